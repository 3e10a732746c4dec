"""A run taken up again has spent what it had spent: answers, and the worst case of all that may be billed."""

import asyncio
import contextlib
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.lifecycle.open_run import restore
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.budget import Amount, Budget
from sunwell.core import Consulted, Price, Rates, Request, Span, Usage, user
from sunwell.errors import BadAnswer, BudgetExhausted, ServerFailed
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Leeway
from sunwell.testing import ScriptedModel, completion, run_virtual

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
USAGE = Usage(200, 30)
ADVISED = (Consulted("claude-opus-5-5", Usage(400, 50)),)


async def nobody_watches() -> None:
    """Hold nobody up."""


def run_over(records: Any = (), budget: Budget | None = None) -> Run:
    """Return a run over a journal that holds *records*."""
    journal = MemoryJournal.of("again", records)
    run = Run(None, journal, budget or Budget(usd=1), LoopConfig(retry=RetryPolicy(attempts=2)))
    run.gateway.hold = nobody_watches
    return run


async def ask(run: Run, line: Any, name: str, seconds: float = 0.0) -> None:
    """Ask a model that says *line*, and let it fail."""
    model = ScriptedModel("haiku", line if isinstance(line, list) else [line], PRICE, seconds)
    request = Request([user("Say it.")], max_output_tokens=100)
    with contextlib.suppress(BadAnswer, ServerFailed):
        await run.gateway.ask(Span("run").worker("a").child(name), model, request, purpose="work")


def silent() -> Any:
    """Return an answer without usage."""
    return attrs.evolve(completion("Yes."), usage=None)


CASES = [
    pytest.param(completion("Yes.", usage=USAGE), id="answered"),
    pytest.param(silent(), id="usage-never-came"),
    pytest.param(completion("Yes.", usage=USAGE, model="stranger"), id="an-unpriced-model-answered"),
    pytest.param(attrs.evolve(completion("Yes.", usage=USAGE), consulted=ADVISED), id="an-advisor-took-part"),
    pytest.param(
        attrs.evolve(completion("Yes.", usage=USAGE), consulted=(Consulted("stranger", USAGE),)),
        id="an-unpriced-advisor-took-part",
    ),
    pytest.param([BadAnswer("haiku", "cut", may_be_billed=True)], id="failed-and-perhaps-billed"),
    pytest.param(
        [ServerFailed("haiku", "half", True, answer=completion("Ye", usage=USAGE))], id="failed-and-billed"
    ),
    pytest.param(
        [ServerFailed("haiku", "half", True, answer=completion("Ye", usage=USAGE, model="stranger"))],
        id="failed-and-billed-at-an-unknown-price",
    ),
    pytest.param([ServerFailed("haiku", "half", True, answer=silent())], id="failed-with-half-an-answer"),
    pytest.param([ServerFailed("haiku", "down")], id="failed-and-not-billed"),
    pytest.param(
        [BadAnswer("haiku", "cut", may_be_billed=True, retry=True), completion("Yes.", usage=USAGE)],
        id="answered-at-the-second-attempt",
    ),
]


@pytest.mark.parametrize("line", CASES)
def test_the_books_of_the_resumed_run_are_those_of_the_first(line: Any) -> None:
    """Ledger and tally, whole and by part, from the journal alone."""
    first = run_over()
    run_virtual(ask(first, line, "call"))
    second = run_over(first.journal.records())
    restore(second)
    for path in ("run", "run/a"):
        before, after = first.ledger.used(path), second.ledger.used(path)
        assert attrs.evolve(after, seconds=0.0) == attrs.evolve(before, seconds=0.0)
        assert second.tally.bill(path) == first.tally.bill(path)


def test_a_call_in_flight_counts_in_full_as_uncertain() -> None:
    """Its intent stands in the journal and nothing else: the provider may have billed it."""
    first = run_over()

    async def main() -> list[Any]:
        asking = asyncio.ensure_future(ask(first, completion("Yes."), "call", 10))
        await asyncio.sleep(5)
        seen = list(first.journal.records())
        await asking
        return seen

    seen = run_virtual(main())
    second = run_over(seen)
    restore(second)
    used = second.ledger.used("run")
    assert (used.uncertain_usd, used.settled_usd, used.calls) == (seen[0].reserved_usd, 0, 1)
    assert second.tally.bill().uncertain_usd == seen[0].reserved_usd


def test_what_was_spent_leaves_less_of_every_ceiling() -> None:
    """Restored amounts count for the part where they fell and all above it."""
    first = run_over()
    run_virtual(ask(first, completion("Yes.", usage=USAGE), "call"))
    second = run_over(first.journal.records())
    second.ledger.open("run/a", Budget(usd=Decimal("0.5")))
    restore(second)
    spent = Decimal("0.0005")
    assert second.ledger.usd_left("run/a") == Decimal("0.5") - spent
    used = second.ledger.used("run")
    assert attrs.evolve(used, seconds=0.0) == Amount(settled_usd=spent, settled_tokens=230, calls=1)


@pytest.mark.parametrize(
    ("usd", "stopped"), [pytest.param("0.5", False, id="room-is-left"), pytest.param("1", True, id="no-room")]
)
def test_what_a_loss_of_power_may_have_taken_counts_as_uncertain(usd: str, stopped: bool) -> None:
    """At the root of the run, in ledger and bill, in the line of the model that it was measured by."""
    lost = Leeway("first", 16, 5000, 4000, Decimal(usd), "work", "anthropic", "haiku")
    run = run_over([lost, lost])
    run.ledger.open("run", Budget(usd=1), new_tokens=100_000)
    assert restore(run) == lost
    used = run.ledger.used("run")
    assert attrs.evolve(used, seconds=0.0) == Amount(
        uncertain_usd=Decimal(usd), uncertain_tokens=5000, uncertain_new_tokens=4000, calls=16
    )
    [line] = run.tally.bill().models
    assert (line.model, line.provider, line.calls) == ("haiku", "anthropic", 0)
    assert (line.uncertain_calls, line.uncertain_tokens, line.uncertain_usd) == (16, 5000, Decimal(usd))
    assert (run_virtual(outcome(run)) != "answered") == stopped


@pytest.mark.parametrize(
    ("usage", "raised", "stopped"),
    [
        pytest.param(Usage(200, 30), False, False, id="within-its-bound"),
        pytest.param(Usage(9_000, 30), False, False, id="above-its-bound-inside-the-ceiling"),
        pytest.param(Usage(2_000_000, 30), False, True, id="above-the-ceiling"),
        pytest.param(Usage(2_000_000, 30), True, False, id="above-a-ceiling-that-was-raised-since"),
    ],
)
def test_a_passed_ceiling_still_stops_new_calls(usage: Usage, raised: bool, stopped: bool) -> None:
    """A bill above its bound stops nothing; one above the ceiling does, until that is raised."""
    first = run_over()
    run_virtual(ask(first, completion("Yes.", usage=usage), "call"))
    second = run_over(first.journal.records())
    if raised:
        second.ledger.open("run", Budget(usd=100))
    restore(second)
    said = run_virtual(outcome(second))
    assert (said != "answered") == stopped


async def outcome(run: Run) -> str:
    """Return the answer to a new question, or why it was refused."""
    try:
        await ask(run, "More.", "another")
    except BudgetExhausted as error:
        return str(error)
    return "answered"
