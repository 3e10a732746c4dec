"""The worst case of one attempt of a call, as a claim on the ledger."""

from decimal import Decimal

from sunwell.budget.values import Claim
from sunwell.core.model import ModelProtocol, Request
from sunwell.core.price import Price
from sunwell.models.tokens import input_bound_tokens

DEFAULT_OUTPUT_TOKENS = 8192
"""Most tokens of an answer where nobody chose: long enough for a file, short enough to reserve."""
LEAST_OUTPUT_TOKENS = 64
"""An answer that may be no longer than this is not worth its prompt."""
_PER_MILLION = Decimal(1_000_000)


def claim_for(model: ModelProtocol, request: Request, price: Price | None, *, closing: bool = False) -> Claim:
    """Return the most that one attempt of *request* can cost.

    Input is bounded by bytes and the provider's allowance, priced at the dearest rate that so much
    input can meet, cache writes and tiers included. Without a price the dollar figures are ``None``.
    """
    output = request.max_output_tokens
    if output is None:
        output = getattr(model, "max_output_tokens", None) or DEFAULT_OUTPUT_TOKENS
    bound = input_bound_tokens(model, request)
    input_usd, output_usd_per_token = None, None
    if price is not None:
        input_rate, output_rate = price.worst_rates(bound)
        input_usd, output_usd_per_token = bound * input_rate / _PER_MILLION, output_rate / _PER_MILLION
    least = min(output, LEAST_OUTPUT_TOKENS)
    return Claim(bound, output, least, input_usd, output_usd_per_token, closing)
