"""Which way a question about long contexts is answered, and what either way is expected to cost."""

from decimal import Decimal

from sunwell.agent.asking.ask_tools import SPECS
from sunwell.agent.asking.part_sizes import (
    ANSWER_SHARE,
    BYTES_PER_TOKEN,
    LEAST_ANSWER_TOKENS,
    MOST_ANSWER_TOKENS,
    PartSizes,
    question_tokens,
)
from sunwell.agent.prompts import ASK_PROMPT
from sunwell.core.model import ModelProtocol
from sunwell.core.price import DelegationDecision, Price, Quote, Side
from sunwell.errors import ConfigurationError
from sunwell.models.prices import PriceBook
from sunwell.models.tokens import estimate_tokens
from sunwell.tools.python_session import has_interpreter

_ANSWER_TOKENS = 500
_LEAST_TURNS, _TURNS, _MANY_TURNS = 1, 4, 8
_LOW_INPUT, _HIGH_INPUT = 0.7, 1.25
"""How far the tokens of a text may be from the estimate by its bytes."""
_SHORT_ANSWER_TOKENS, _LONG_ANSWER_TOKENS = 50, 2_000
_FAR_BELOW = 2
"""A budget warns if it is less than the expected price divided by this."""
_TURN_TOKENS, _TURN_OUTPUT_TOKENS = 900, 250
_ASSUMED_WINDOW_TOKENS = 100_000
_UNPRICED_TOKENS = 30_000
"""Longest context that goes into the prompt if a price is unknown."""
_MARGIN = 1.25
"""A context must be so much shorter than the window as an estimate of its tokens may be too low."""


def way_of(
    question: str,
    size_bytes: int,
    models: tuple[ModelProtocol, ModelProtocol],
    prices: PriceBook,
    *,
    max_output_tokens: int | None = None,
    tokens_left: int | None = None,
    usd_left: Decimal | None = None,
) -> tuple[DelegationDecision, Quote]:
    """Decide how *question* about contexts of *size_bytes* is answered, as :func:`decide_way`.

    *models* are the one that looks into the contexts, or reads them whole, and the one that is asked about
    parts. Nothing is asked.
    """
    model, reader = models
    window = prices.room(model, max_output_tokens).prompt_tokens
    tokens = size_bytes // BYTES_PER_TOKEN + estimate_tokens(question)
    return decide_way(
        tokens,
        prices.price(model),
        prices.price(reader),
        reader_room_tokens=_room_of(reader, prices),
        fits=tokens * _MARGIN <= (_ASSUMED_WINDOW_TOKENS if window is None else window),
        can_explore=has_interpreter(),
        tokens_left=tokens_left,
        usd_left=usd_left,
    )


def part_sizes(tokens: int, models: tuple[ModelProtocol, ModelProtocol], prices: PriceBook) -> PartSizes:
    """Return how long the parts of contexts of so many *tokens* should be; *models* as for :func:`way_of`."""
    model, reader = (prices.price(one) for one in models)
    return _sizes_of(tokens, model, reader, _room_of(models[1], prices))


def _room_of(reader: ModelProtocol, prices: PriceBook) -> int | None:
    return prices.room(reader, MOST_ANSWER_TOKENS).prompt_tokens


def _sizes_of(tokens: int, price: Price | None, reader_price: Price | None, room: int | None) -> PartSizes:
    turns = Decimal(0) if price is None else _turns_usd(price, _LEAST_TURNS)
    return PartSizes.of(reader_price, tokens, room_tokens=room, other_usd=turns)


def fits_one_call(size_bytes: int, room_tokens: int | None) -> bool:
    """Whether so many bytes fit into one question about a part, to a model with room for so many tokens.

    A very long window is not filled: much of so long a text would be overlooked.
    """
    tokens = size_bytes // BYTES_PER_TOKEN + question_tokens()
    return tokens * _MARGIN <= min(room_tokens or _ASSUMED_WINDOW_TOKENS, _ASSUMED_WINDOW_TOKENS)


def budget_warning(decision: DelegationDecision, quote: Quote, usd_left: Decimal | None) -> str:
    """Return a sentence if the dollars that are left are far below the expected price; else nothing."""
    expected = quote.chosen(decision).expected_usd
    if usd_left is None or expected is None or usd_left * _FAR_BELOW >= expected:
        return ""
    way = "exploring" if decision else "one direct call"
    return (
        f"the budget of ${usd_left:.4f} is far below the ${expected:.4f} that {way} is expected to cost: the "
        "answer may rest on little, or not come"
    )


def decide_way(
    tokens: int,
    price: Price | None,
    reader_price: Price | None,
    *,
    fits: bool,
    reader_room_tokens: int | None = None,
    can_explore: bool = True,
    tokens_left: int | None = None,
    usd_left: Decimal | None = None,
) -> tuple[DelegationDecision, Quote]:
    """Decide by price whether a question is answered in one call, or by looking into its contexts.

    Args:
        tokens: Estimate for contexts and question.
        price: Of the model that looks into the contexts, or reads them; ``None``: unknown.
        reader_price: Of the model that is asked about parts.
        fits: Whether the contexts fit into the window of the first.
        reader_room_tokens: Longest prompt of the second; ``None``: unknown.
        can_explore: Whether scripts can run here.
        tokens_left: Tokens that the budget leaves; ``None``: it has no such limit.
        usd_left: Its dollars.

    Raises :exc:`~sunwell.errors.ConfigurationError` if neither is possible.
    """
    sizes = _sizes_of(tokens, price, reader_price, reader_room_tokens)
    direct, explored = _direct_side(tokens, price), _explored_side(tokens, sizes, price, reader_price)
    date = "" if price is None else price.date
    quote = Quote(explored, direct, assumptions=_assumptions(sizes), price_date=date)
    is_affordable = (tokens_left is None or tokens + _ANSWER_TOKENS <= tokens_left) and (
        usd_left is None or direct.expected_usd is None or direct.expected_usd <= usd_left
    )
    if not can_explore and not fits:
        raise ConfigurationError(
            f"the context has about {tokens:,} tokens, more than the model's window holds, and looking into "
            "it needs an extra package: run pip install 'sunwell[python]'"
        )
    said = f"direct {shown_usd(direct)}, exploring {shown_usd(explored)} expected"
    if not can_explore:
        explores, why = False, "scripts cannot run here"
    elif not fits:
        explores, why = True, f"about {tokens:,} tokens do not fit into one prompt"
    elif not is_affordable:
        explores, why = True, f"about {tokens:,} tokens in one prompt do not fit the budget"
    elif direct.expected_usd is None or explored.expected_usd is None:
        explores = tokens > _UNPRICED_TOKENS
        why = f"a price is unknown, and about {tokens:,} tokens are {'many' if explores else 'few'}"
    else:
        explores = direct.expected_usd > explored.expected_usd
        why = f"{'exploring' if explores else 'one call'} is expected to cost less"
    reason = f"{'exploring' if explores else 'one direct call'}: {why} ({said})"
    return DelegationDecision(explores, reason, _ANSWER_TOKENS, 0, tokens_left), quote


def _assumptions(sizes: PartSizes) -> tuple[str, ...]:
    return (
        (
            f"exploring: {_TURNS} turns, and all of the context is asked about once, in parts of "
            f"{sizes.tokens():,} tokens; at the low end {_LEAST_TURNS} turn that asks nothing, at the high "
            f"end {_MANY_TURNS} turns, and all is asked about twice"
        ),
        (
            f"a question about a part: {sizes.prompt_tokens:,} tokens besides the part, and an answer of "
            f"{sizes.answer_tokens():,}: {LEAST_ANSWER_TOKENS}, and {ANSWER_SHARE:.0%} of the part for what "
            f"was found, at most {MOST_ANSWER_TOKENS:,}"
        ),
        f"direct: an answer of {_ANSWER_TOKENS} tokens, {_SHORT_ANSWER_TOKENS} to {_LONG_ANSWER_TOKENS:,}",
        (
            f"tokens are estimated from bytes, {BYTES_PER_TOKEN} to a token; of a direct prompt, "
            f"{1 - _LOW_INPUT:.0%} fewer at the low end and {_HIGH_INPUT - 1:.0%} more at the high end"
        ),
        "nothing is cached, and no answer is remembered",
    )


def shown_usd(side: Side) -> str:
    return "at an unknown price" if side.expected_usd is None else f"${side.expected_usd:.4f}"


def _direct_side(tokens: int, price: Price | None) -> Side:
    if price is None:
        return Side("direct", None, None, None)
    low, expected, high = (
        price.conversation_usd([(round(tokens * share), answer, 0, 0)])
        for share, answer in (
            (_LOW_INPUT, _SHORT_ANSWER_TOKENS),
            (1, _ANSWER_TOKENS),
            (_HIGH_INPUT, _LONG_ANSWER_TOKENS),
        )
    )
    return Side("direct", low, expected, None, high)


def _turns_usd(price: Price, count: int) -> Decimal:
    """Return what so many turns of the model that looks into contexts cost."""
    tools = sum(estimate_tokens(spec.description + spec.schema_text) for spec in SPECS)
    begins = estimate_tokens(ASK_PROMPT) + tools
    return price.conversation_usd(
        (begins + turn * _TURN_TOKENS, _TURN_OUTPUT_TOKENS, 0, 0) for turn in range(count)
    )


def _explored_side(tokens: int, sizes: PartSizes, price: Price | None, reader_price: Price | None) -> Side:
    if price is None or reader_price is None:
        return Side("explored", None, None, None)
    low, turns, many = (_turns_usd(price, count) for count in (_LEAST_TURNS, _TURNS, _MANY_TURNS))
    once = sizes.part_usd(reader_price) * -(-tokens // sizes.tokens())
    return Side("explored", low, turns + once, None, many + 2 * once)
