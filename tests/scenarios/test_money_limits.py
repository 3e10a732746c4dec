"""Every limit ends work that would go on for ever: with its true reason, and a closing answer inside it."""

from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell.agent.conversation.conversation import Assignment, Conversation
from sunwell.agent.conversation.final_call import CLOSING_HISTORY_BYTES, closing_seconds
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.run.toolset import Toolset
from sunwell.budget import Amount, Budget
from sunwell.core import Price, Rates, Request, Span, ToolCall, Usage
from sunwell.core.price import Tier
from sunwell.events import BudgetUsedUp, BudgetWarning, Event
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook
from sunwell.testing import ScriptedModel, completion, run_virtual
from sunwell.tools import tool

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")
CLOSING = "This is done, that is missing."
ANSWER_SECONDS = 8.0

LIMITS = [
    pytest.param(Budget(usd="0.08"), "budget_usd", id="usd"),
    pytest.param(Budget(tokens=40_000), "budget_tokens", id="tokens"),
    pytest.param(Budget(calls=6), "calls", id="calls"),
    pytest.param(Budget(turns=7), "turns", id="turns"),
    pytest.param(Budget(seconds=100), "timeout", id="seconds"),
]


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def endless(request: Request) -> Any:
    """Ask for one more tool, for ever, unless tools are forbidden: then close."""
    usage = Usage(1_500, 100)
    if request.tool_choice == "none":
        return completion(CLOSING, usage=usage)
    return completion("On.", ToolCall(f"c{len(request.messages)}", "look", '{"place": "a"}'), usage=usage)


async def nobody_watches() -> None:
    """Hold nobody up."""


@attrs.frozen
class Outcome:
    """What came of a piece of work, and what its account and that of the run used."""

    ended: Ending
    model: ScriptedModel
    own: Amount
    whole: Amount
    used_up: list[BudgetUsedUp]
    warned: list[BudgetWarning]


def worked(
    own: Budget,
    run_budget: Budget,
    lines: Any = endless,
    seconds: float = ANSWER_SECONDS,
    price: Price = PRICE,
) -> Outcome:
    """Let a worker with a ceiling of its own work under a run's ceilings, on a virtual clock."""
    model = ScriptedModel("haiku", [lines] * 300, price, seconds)
    span = Span().worker("w")

    async def main() -> Outcome:
        run = Run(None, MemoryJournal("run"), run_budget, LoopConfig(prices=PriceBook()))
        run.gateway.hold = nobody_watches
        told: list[Event] = []
        run.watch(told.append)
        run.ledger.open(span.path, own)
        kept = closing_seconds(own.seconds if own.seconds is not None else run_budget.seconds)
        given = Assignment(span, model, "Look for ever.", max_output_tokens=400, closing_seconds=kept)
        ended = await Conversation(run, given, Toolset.of((look,), None)).to_the_end()
        used_up = [event for event in told if isinstance(event, BudgetUsedUp)]
        warned = [event for event in told if isinstance(event, BudgetWarning)]
        return Outcome(ended, model, run.ledger.used(span.path), run.ledger.used("run"), used_up, warned)

    return run_virtual(main())


def told_limit(reason: str) -> str:
    """Return the limit that events name where work stops for *reason*."""
    return reason.removeprefix("budget_").replace("timeout", "seconds")


@pytest.mark.parametrize("of", ["run", "worker"])
@pytest.mark.parametrize(("budget", "reason"), LIMITS)
def test_work_without_end_meets_its_limit_and_closes_inside_it(of, budget, reason) -> None:
    """Hard stop, one closing call without tools, and nothing above the ceiling."""
    came = worked(Budget(), budget) if of == "run" else worked(budget, Budget())
    ended = came.ended
    assert (ended.status, ended.stop_reason, ended.answer) == ("incomplete", reason, CLOSING)
    assert ended.error
    assert [request.tool_choice for request in came.model.calls[-2:]] == ["auto", "none"]
    used = came.whole
    assert used.reserved_usd == 0
    assert budget.usd is None or used.settled_usd + used.uncertain_usd <= budget.usd
    assert budget.tokens is None or used.settled_tokens + used.uncertain_tokens <= budget.tokens
    assert budget.calls is None or used.calls == budget.calls
    assert budget.turns is None or used.turns == budget.turns
    assert budget.seconds is None or used.seconds <= budget.seconds
    assert len(came.model.calls) >= 4
    assert len(came.warned) == 1
    for warning in came.warned:
        assert (warning.limit, warning.account) == (told_limit(reason), "run/w" if of == "worker" else "run")
        assert warning.ceiling * 4 / 5 <= warning.used <= warning.ceiling
    limit, [told] = told_limit(reason), came.used_up
    assert (told.span, told.limit, told.ceiling) == ("run/w", limit, Decimal(str(getattr(budget, limit))))
    assert told.used <= told.ceiling
    assert told.used >= told.ceiling / 2
    assert told.account == ("run/w" if of == "worker" or limit == "seconds" else "run")


@pytest.mark.parametrize(
    ("own", "whole", "reason"),
    [
        pytest.param(Budget(turns=3), Budget(turns=9), "turns", id="the-workers-is-nearer"),
        pytest.param(Budget(turns=9), Budget(calls=4), "calls", id="the-runs-is-nearer"),
        pytest.param(Budget(usd=1), Budget(seconds=60), "timeout", id="of-different-kinds"),
    ],
)
def test_the_nearer_of_two_limits_gives_the_reason(own, whole, reason) -> None:
    """A worker's ceilings and the run's hold at once."""
    assert worked(own, whole).ended.stop_reason == reason


@pytest.mark.parametrize(("budget", "reason"), LIMITS)
def test_a_closing_call_that_fails_leaves_what_was_said_last(budget, reason) -> None:
    """Never an exception, never the error of the closing call: the answer is composed from the last words."""
    from sunwell.errors import BadRequest

    def no_closing(request: Request) -> Any:
        if request.tool_choice == "none":
            raise BadRequest("haiku", "not without tools")
        return endless(request)

    ended = worked(Budget(), budget, no_closing).ended
    assert (ended.status, ended.stop_reason) == ("incomplete", reason)
    assert ended.answer.endswith("The model said last:\n\n> On.")
    assert "not without tools" not in ended.answer


def test_a_closing_call_that_takes_too_long_ends_with_the_time() -> None:
    """The margin of time is kept for it, and not a second more."""
    came = worked(Budget(), Budget(seconds=100), seconds=45)
    assert came.ended.stop_reason == "timeout"
    assert came.ended.answer.endswith("The model said last:\n\n> On.")
    assert came.whole.seconds == pytest.approx(100)


@pytest.mark.parametrize("border", [1_200, 2_000, 4_000, 7_000, 9_000])
def test_the_closing_reserve_holds_on_either_side_of_a_tier(border) -> None:
    """Also where the call without the conversation is below the border, and the one with it above."""
    dear = Rates(Decimal(5), Decimal(50))
    price = Price(PRICE.rates, (Tier(border, dear),), source="test", date="2026-11-01")
    came = worked(Budget(), Budget(usd="0.45"), price=price)
    assert (came.ended.stop_reason, came.ended.answer) == ("budget_usd", CLOSING)
    assert came.whole.settled_usd + came.whole.uncertain_usd <= Decimal("0.45")


@pytest.mark.parametrize(
    "usd", [pytest.param("0.0001", id="nothing"), pytest.param("0.005", id="nearly-one-call")]
)
def test_work_that_never_began_makes_no_closing_call(usd) -> None:
    """There is nothing to turn into an answer, so nothing is paid; the reason is still the true one."""
    came = worked(Budget(), Budget(usd=usd))
    assert (came.ended.status, came.ended.stop_reason, came.ended.answer) == ("incomplete", "budget_usd", "")
    assert came.model.calls == []


def test_seconds_that_a_call_hangs_are_counted() -> None:
    """A provider that never answers is cut off before the margin, and its call stays booked as uncertain."""
    came = worked(Budget(), Budget(seconds=50), seconds=10_000)
    assert came.ended.stop_reason == "timeout"
    assert came.whole.seconds == pytest.approx(45)
    assert came.whole.calls == len(came.model.calls) == 1
    assert came.whole.settled_tokens == 0


def test_what_is_kept_for_closing_grows_with_the_conversation() -> None:
    """The closing call shows most of a long conversation, and only the newest of one beyond the limit."""

    def talkative(request: Request) -> Any:
        if request.tool_choice == "none":
            return completion(CLOSING, usage=Usage(1_500, 100))
        place = ToolCall(f"c{len(request.messages)}", "look", '{"place": "a"}')
        return completion("word " * 200, place, usage=Usage(1_500, 100))

    shown = {}
    for turns in (4, 14, 60):
        came = worked(Budget(), Budget(usd=10, turns=turns), lines=talkative)
        assert came.ended.answer == CLOSING
        shown[turns] = came.model.calls[-1].size_bytes
    assert 4_000 < shown[4] < 6_000
    assert 14_000 < shown[14] < 21_000
    assert CLOSING_HISTORY_BYTES - 2_000 < shown[60] < CLOSING_HISTORY_BYTES + 2_000
