"""RFC-137's cost model, worked through: prices in, break-even out. Arithmetic only; no model is asked.

Run it with ``python benchmarks/cost_model.py``.
"""

from collections.abc import Iterator
from decimal import Decimal

from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.core.price import Price, Rates, Tier

PER_MILLION = Decimal(1_000_000)
PRICE_DATE = "2026-11"

# As the RFC writes them: one rate for each model, which in truth was its input rate.
RFC_SMART_USD, RFC_CHEAP_USD = Decimal(15), Decimal("0.25")
# What the same two models (Claude 3 Opus and Haiku) cost for output.
RFC_SMART_OUTPUT_USD, RFC_CHEAP_OUTPUT_USD = Decimal(75), Decimal("1.25")
RFC_TASK_TOKENS, RFC_LENS_TOKENS = 15_000, 1_000


def _price(rates: list[str], tiers: tuple[Tier, ...] = ()) -> Price:
    price_in, read, write, out = map(Decimal, rates)
    return Price(Rates(price_in, out, read, write), tiers, date=PRICE_DATE)


_HAIKU_TIER = Tier(100_000, Rates(Decimal("0.50"), Decimal("2.50"), Decimal("0.05"), Decimal("0.625")))
PAIRS = {
    "claude-opus-5-5 + claude-haiku-5-5": (
        _price(["4", "0.20", "5", "20"]),
        _price(["0.10", "0.01", "0.125", "0.50"], (_HAIKU_TIER,)),
    ),
    "gpt-6.1-sol + gpt-6-luna": (
        _price(["2", "0.10", "2.50", "10"]),
        _price(["0.10", "0.01", "0.125", "0.50"]),
    ),
}
"""Smart and delegation model with their prices of :data:`PRICE_DATE`."""


def cost_usd(tokens: int, usd_per_million: Decimal) -> Decimal:
    """Return what *tokens* cost at one rate."""
    return tokens * usd_per_million / PER_MILLION


def delegated_usd(task: int, lens: int, smart_usd: Decimal, cheap_usd: Decimal) -> Decimal:
    """Return the RFC's delegated cost: the lens on the smart model, the rest on the cheap one."""
    return cost_usd(lens, smart_usd) + cost_usd(task - lens, cheap_usd)


def break_even_tokens(lens: int, smart_usd: Decimal, cheap_usd: Decimal) -> Decimal:
    """Return the output at which both ways cost the same: ``lens * smart / (smart - cheap)``.

    Here the lens comes on top of the whole output, as in the RFC's second table.
    """
    return lens * smart_usd / (smart_usd - cheap_usd)


def quoted_break_even(smart: Price, cheap: Price, shape: Shape) -> int:
    """Return the smallest output at which delegating is the cheapest of all quoted ways."""
    low, high = 0, 1_000_000
    while low < high:
        middle = (low + high) // 2
        if quote(middle, Prices(smart, smart, cheap), shape).delegation_is_dearer:
            low = middle + 1
        else:
            high = middle
    return low


def rfc_lines() -> Iterator[str]:
    """Yield the RFC's own figures beside what they come to."""
    baseline = cost_usd(RFC_TASK_TOKENS, RFC_SMART_USD)
    delegated = delegated_usd(RFC_TASK_TOKENS, RFC_LENS_TOKENS, RFC_SMART_USD, RFC_CHEAP_USD)
    true_baseline = cost_usd(RFC_TASK_TOKENS, RFC_SMART_OUTPUT_USD)
    true_delegated = delegated_usd(
        RFC_TASK_TOKENS, RFC_LENS_TOKENS, RFC_SMART_OUTPUT_USD, RFC_CHEAP_OUTPUT_USD
    )
    even = break_even_tokens(RFC_LENS_TOKENS, RFC_SMART_USD, RFC_CHEAP_USD)
    true_even = break_even_tokens(RFC_LENS_TOKENS, RFC_SMART_OUTPUT_USD, RFC_CHEAP_OUTPUT_USD)
    rows = [
        ("RFC-137, 15,000 tokens", "as written", "worked out", "at output rates"),
        ("smart model throughout", "$0.225", f"${baseline:.4f}", f"${true_baseline:.4f}"),
        ("1,000 tokens of lens, 14,000 delegated", "$0.019", f"${delegated:.4f}", f"${true_delegated:.4f}"),
        ("saved", "92%", f"{1 - delegated / baseline:.1%}", f"{1 - true_delegated / true_baseline:.1%}"),
        ("break-even, tokens of output", "3000", f"{even:,.0f}", f"{true_even:,.0f}"),
    ]
    for title, written, worked, at_output in rows:
        yield f"{title:<40}{written:>12}{worked:>14}{at_output:>18}"


def quoted_lines() -> Iterator[str]:
    """Yield what the quote says today, history and lens read again every turn."""
    for name, (smart, cheap) in PAIRS.items():
        yield f"{name}, prices of {PRICE_DATE}"
        for tokens in (500, 2_000, 5_000, 15_000, 50_000):
            made = quote(tokens, Prices(smart, smart, cheap))
            sides = (made.direct, *made.alternatives, made.delegated)
            shown = "   ".join(f"{side.name} ${side.expected_usd:.4f}" for side in sides)
            yield f"  {tokens:>6,} tokens   {shown}"
        yield f"  break-even at {quoted_break_even(smart, cheap, Shape()):,} tokens of output"


def main() -> None:
    """Print both tables."""
    for line in (*rfc_lines(), "", *quoted_lines()):
        print(line)


if __name__ == "__main__":
    main()
