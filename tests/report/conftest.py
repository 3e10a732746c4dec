"""Results of runs that nobody ran, with prices that are easy to reckon with."""

from decimal import Decimal

import pytest

from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileChange
from sunwell.core.model import Usage
from sunwell.core.price import DelegationDecision, Price, Rates
from sunwell.core.task import Bill, BillLine, ModelBill, TaskResult, Total
from sunwell.models.prices import PriceBook

MILLION = 1_000_000


@pytest.fixture
def prices() -> PriceBook:
    """Return prices of 10 and 50 dollars a million for the smart model, 1 and 5 for the cheap one."""
    smart = Price(Rates(Decimal(10), Decimal(50)), date="2026-01-02")
    return PriceBook({"smart": smart, "cheap": Price(Rates(Decimal(1), Decimal(5)), date="2026-01-02")})


def bill_of(*lines: BillLine) -> Bill:
    """Return a bill whose models add up from *lines*."""
    models: dict[tuple[str, str], Total] = {}
    for line in lines:
        key = (line.model, line.provider)
        models[key] = models.get(key, Total()) + line.total
    return Bill(
        models=tuple(
            ModelBill(
                model, t.calls, t.usage, t.cost_usd, t.uncertain_usd, t.uncertain_calls, provider,
                t.uncertain_tokens,
            )
            for (model, provider), t in sorted(models.items())
        ),
        price_date="2026-01-02",
        lines=tuple(lines),
    )  # fmt: skip


def line(model: str, purpose: str, usage: Usage, usd: str | None, depth: int = 0) -> BillLine:
    """Return a line of one answered call."""
    cost = None if usd is None else Decimal(usd)
    return BillLine(model, "acme", depth, purpose, Total(1, usage, cost))


LENS = line("smart", "lens", Usage(10_000, 1_000), "0.15")
WORK = line("cheap", "work", Usage(100_000, 20_000), "0.2", depth=1)


def delegated(*lines: BillLine) -> TaskResult:
    """Return the result of a delegated run with a bill of *lines*."""
    return TaskResult(
        task="Do it",
        status="ok",
        stop_reason="end",
        answer="It is done.",
        files=(FileChange("a.py", None, "1"), FileChange("b.py", "1", "2"), FileChange("c.py", "1", None)),
        turns=3,
        bill=bill_of(*lines),
        duration_seconds=1.5,
        run_id="01",
        journal="/w/.sunwell/runs/01/journal.jsonl",
        decision=DelegationDecision(True, "it is long", 9_000, 2_000),
        lens=EphemeralLens(heuristics=("Look first.",), generated_by="smart"),
    )
