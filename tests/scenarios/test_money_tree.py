"""A parent's cost includes every descendant's, each at the rates of the model that did the work."""

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.lifecycle.open_run import restore
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.budget import Budget
from sunwell.core import Price, Rates, Request, Span, Usage, user
from sunwell.errors import BadAnswer, BudgetExhausted, ModelError, ServerFailed
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook, price_per_token
from sunwell.testing import ScriptedModel, completion, run_virtual

SEED = PriceBook(
    {"expensive-model": price_per_token("0.01", "0.05"), "cheap-model": price_per_token("0.001", "0.005")}
)
"""The prices of the example in the seed: dollars for one token."""
PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
PATH = (
    Span(),
    Span().worker("a"),
    Span().worker("a").worker("b"),
    Span().worker("a").worker("b").worker("c"),
)
"""A parent, its child, grandchild and great-grandchild."""


async def nobody_watches() -> None:
    """Hold nobody up."""


def a_run(prices: PriceBook, budget: Budget | None = None) -> Run:
    run = Run(
        None,
        MemoryJournal("run"),
        budget or Budget(),
        LoopConfig(prices=prices, retry=RetryPolicy(attempts=2)),
    )
    run.gateway.hold = nobody_watches
    return run


async def ask(run: Run, span: Span, name: str, line: Any, seconds: float = 0.0) -> None:
    """Ask the model *name*, which says *line*, in *span*."""
    lines = line if isinstance(line, list) else [line]
    model = ScriptedModel(name, lines, None if name.endswith("model") else PRICE, seconds)
    question = f"Question {run.ledger.used(span.path).calls}?"
    await run.gateway.ask(span, model, Request([user(question)], max_output_tokens=2000), purpose="work")


def test_the_example_of_35_and_7_dollars() -> None:
    """1,000 in and 500 out of the dear model, 2,000 and 1,000 of the cheap one: 35.0 + 7.0."""
    run = a_run(SEED)

    async def main() -> None:
        await ask(run, PATH[0], "expensive-model", completion("Go.", usage=Usage(1000, 500)))
        await ask(run, PATH[1], "cheap-model", completion("Done.", usage=Usage(2000, 1000)))

    run_virtual(main())
    bill = run.tally.bill()
    assert bill.cost_usd == Decimal(42)
    assert [(line.model, line.cost_usd) for line in bill.models] == [
        ("cheap-model", Decimal(7)), ("expensive-model", Decimal(35)),
    ]  # fmt: skip
    assert [(depth, total.cost_usd) for depth, total in bill.split("depth")] == [(0, 35), (1, 7)]
    assert run.tally.bill(PATH[1].path).cost_usd == Decimal(7)


def test_its_recursive_cost_by_model_at_depth_three() -> None:
    """Each level on a model of its own rates; every node's cost is its own and all below it."""
    run = a_run(SEED)
    calls = [
        ("expensive-model", Usage(1000, 500), 35),
        ("cheap-model", Usage(2000, 1000), 7),
        ("cheap-model", Usage(1000, 0), 1),
        ("expensive-model", Usage(100, 100), 6),
    ]

    async def main() -> None:
        for span, (model, usage, _) in zip(PATH, calls, strict=True):
            await ask(run, span, model, completion("Done.", usage=usage))

    run_virtual(main())
    costs = [usd for *_, usd in calls]
    assert [run.tally.bill(span.path).cost_usd for span in PATH] == [sum(costs[i:]) for i in range(4)]
    totals = {(line.model, line.depth): line.total.cost_usd for line in run.tally.bill().lines}
    assert totals == {
        ("expensive-model", 0): 35, ("cheap-model", 1): 7, ("cheap-model", 2): 1, ("expensive-model", 3): 6,
    }  # fmt: skip
    assert dict(run.tally.bill().split("model"))["expensive-model"].cost_usd == 41


USAGE = Usage(200, 30)
USD = Decimal("0.0005")
ENDS = [
    pytest.param(completion("Yes.", usage=USAGE), 0.0, None, 1, 0, id="success"),
    pytest.param([ServerFailed("haiku", "down")], 0.0, None, 0, 0, id="error-not-billed"),
    pytest.param([BadAnswer("haiku", "cut", may_be_billed=True)], 0.0, None, 0, 1, id="error-perhaps-billed"),
    pytest.param(
        [BadAnswer("haiku", "cut", may_be_billed=True, retry=True), completion("Yes.", usage=USAGE)],
        0.0, None, 1, 1, id="retry",
    ),
    pytest.param(completion("late"), 60.0, "timeout", 0, 1, id="timeout"),
    pytest.param(completion("late"), 60.0, "cancel", 0, 1, id="cancel"),
    pytest.param(attrs.evolve(completion("Yes."), usage=None), 0.0, None, 0, 1, id="usage-never-came"),
]  # fmt: skip


@pytest.mark.parametrize(("line", "seconds", "cut", "answered", "uncertain"), ENDS)
def test_totals_include_every_descendant_however_it_ended(line, seconds, cut, answered, uncertain) -> None:
    """Ledger and bill, at each of the four levels, and again in a run that is taken up."""
    run = a_run(PriceBook(), Budget(usd=1))
    for span in PATH[1:]:
        run.ledger.open(span.path, Budget(usd=Decimal("0.5")))

    async def level(depth: int) -> None:
        said = completion("Mine.", usage=USAGE)
        await ask(run, PATH[depth], "haiku", said)
        if depth < 2:
            await level(depth + 1)
            return
        with contextlib.suppress(ModelError, TimeoutError):
            async with asyncio.timeout(20 if cut == "timeout" else None):
                await ask(run, PATH[3], "haiku", line, seconds)

    async def main() -> None:
        task = asyncio.ensure_future(level(0))
        await asyncio.wait([task], timeout=30 if cut == "cancel" else None)
        task.cancel()
        await asyncio.wait([task])

    run_virtual(main())
    again = Run(None, MemoryJournal.of("again", run.journal.records()), Budget(usd=1))
    for span in PATH[1:]:
        again.ledger.open(span.path, Budget(usd=Decimal("0.5")))
    restore(again)
    for one in (run, again):
        for depth, span in enumerate(PATH):
            above = 3 - depth
            used, bill = one.ledger.used(span.path), one.tally.bill(span.path)
            assert used.settled_usd == bill.cost_usd == USD * (above + answered)
            assert (bill.calls, used.calls) == (above + answered, above + answered + uncertain)
            assert used.uncertain_usd == bill.uncertain_usd
            assert (used.uncertain_usd > 0) == (uncertain > 0)
            assert used.reserved_usd == 0


def test_a_child_cannot_spend_what_its_parent_has_not() -> None:
    """A ceiling is not money set aside: the great-grandchild is refused by the account three above."""
    run = a_run(PriceBook(), Budget(usd="0.03"))
    for span in PATH[1:]:
        run.ledger.open(span.path, Budget(usd=1))

    async def main() -> None:
        for _ in range(99):
            await ask(run, PATH[3], "haiku", completion("More.", usage=Usage(200, 300)))

    with pytest.raises(BudgetExhausted) as caught:
        run_virtual(main())
    assert caught.value.account == "run"
    assert Decimal("0.02") < run.ledger.used(PATH[3].path).settled_usd <= Decimal("0.03")
