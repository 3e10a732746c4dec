"""A run taken up again: what is on record is neither asked nor paid a second time."""

import asyncio
from decimal import Decimal

import pytest

from sunwell.budget import Budget
from sunwell.core import Span, Usage
from sunwell.errors import BudgetExhausted, JournalError, ServerFailed
from sunwell.events import ModelCallFinished
from sunwell.gateway import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.testing import ScriptedModel, completion, run_virtual


def again(door, *, upto: int | None = None) -> MemoryJournal:
    """Return the journal of *door* as another process would find it."""
    return MemoryJournal.of("again", door.records[:upto])


@pytest.fixture
def answered(open_door, price):
    """Return a door behind which one question was answered."""
    door = open_door(Budget(usd=1))
    run_virtual(door.ask(ScriptedModel("haiku", [completion("Yes.", usage=Usage(200, 30))], price)))
    return door


def test_a_recorded_answer_is_given_again_and_nobody_asked(open_door, answered) -> None:
    """Not even the one who watches is waited for; the event says that it is a replay."""

    async def nobody_looks() -> None:
        await asyncio.Event().wait()

    door = open_door(journal=again(answered), hold=nobody_looks)
    model = ScriptedModel("haiku", [])
    assert run_virtual(door.ask(model)) == answered.records[1].completion
    [event] = door.told(ModelCallFinished)
    assert (event.replayed, event.cost_usd, event.usage) == (True, Decimal("0.0005"), Usage(200, 30))
    assert door.kinds() == ["intent", "answer"]


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"prompt": "Say something else."}, id="question"),
        pytest.param({"system": ("Be brief.",)}, id="system-prompt"),
        pytest.param({"effort": "high"}, id="effort"),
    ],
)
def test_an_answer_to_another_question_is_refused_unless_changes_are_accepted(
    open_door, answered, changed
) -> None:
    """The place finds the answer, the digest verifies it."""
    with pytest.raises(JournalError, match="--accept-changes"):
        run_virtual(open_door(journal=again(answered)).ask(ScriptedModel("haiku", []), **changed))
    kept = open_door(journal=again(answered), accept_changes=True)
    assert run_virtual(kept.ask(ScriptedModel("haiku", []), **changed)).text == "Yes."


def test_another_model_is_another_question(open_door, answered) -> None:
    """The answer of one model is not handed out as another's."""
    with pytest.raises(JournalError):
        run_virtual(open_door(journal=again(answered)).ask(ScriptedModel("opus", [])))


def test_limits_may_differ_when_a_run_is_taken_up(open_door, answered) -> None:
    """What a ceiling lowers is no part of the question."""
    door = open_door(journal=again(answered))
    assert run_virtual(door.ask(ScriptedModel("haiku", []), max_output_tokens=7)).text == "Yes."


def test_the_next_place_is_asked(open_door, answered, price) -> None:
    """Answers count by their place in the span; what comes after them is new."""
    door = open_door(journal=again(answered))
    model = ScriptedModel("haiku", ["And more."], price)

    async def main() -> list[str]:
        return [(await door.ask(model, prompt)).text for prompt in ("Say it.", "Go on.")]

    assert run_virtual(main()) == ["Yes.", "And more."]
    assert [record.number for record in door.records] == [0, 0, 1, 1]


def test_spans_count_for_themselves(open_door, answered, price) -> None:
    """The same question elsewhere in the tree has no answer yet."""
    door = open_door(journal=again(answered))
    model = ScriptedModel("haiku", ["Elsewhere."], price)
    assert run_virtual(door.ask(model, span=Span("run/other"))).text == "Elsewhere."


def test_a_call_that_was_cut_off_is_asked_again_as_a_new_attempt(open_door, answered, price) -> None:
    """The old intent keeps its number: it may have been billed."""
    door = open_door(journal=again(answered, upto=1))
    run_virtual(door.ask(ScriptedModel("haiku", ["Yes."], price)))
    assert [(record.kind, record.attempt) for record in door.records] == [
        ("intent", 0), ("intent", 1), ("answer", 1),
    ]  # fmt: skip


def test_a_final_failure_is_asked_again(open_door, price) -> None:
    """A provider that was down may be up now."""
    broken = open_door(retry=RetryPolicy(attempts=1))
    with pytest.raises(ServerFailed):
        run_virtual(broken.ask(ScriptedModel("haiku", [ServerFailed("haiku", "down", retry=True)], price)))
    door = open_door(journal=again(broken))
    assert run_virtual(door.ask(ScriptedModel("haiku", ["Up."], price))).text == "Up."


def test_a_refusal_is_given_again_unless_the_budget_was_raised(open_door, price) -> None:
    """The same numbers, and no second record; with another budget the call is made."""
    poor = open_door(Budget(usd="0.001"))
    with pytest.raises(BudgetExhausted) as first:
        run_virtual(poor.ask(ScriptedModel("haiku", [], price)))
    door = open_door(Budget(usd=1), journal=again(poor))
    with pytest.raises(BudgetExhausted) as second:
        run_virtual(door.ask(ScriptedModel("haiku", [], price)))
    for name in ("limit", "needed", "used", "ceiling", "account"):
        assert getattr(second.value, name) == getattr(first.value, name)
    assert door.kinds() == ["refused"]
    raised = open_door(Budget(usd=1), journal=again(poor), heed_refusals=False)
    assert run_virtual(raised.ask(ScriptedModel("haiku", ["Yes."], price))).text == "Yes."


def test_a_replayed_refusal_says_what_the_first_one_said(open_door, price) -> None:
    """Also where part of the ceiling was kept for the closing call."""
    poor = open_door(Budget(usd="0.0022"))
    poor.gateway.ledger.hold_back("run", 1200, Decimal("0.0021"))
    with pytest.raises(BudgetExhausted) as first:
        run_virtual(poor.ask(ScriptedModel("haiku", [], price)))
    door = open_door(Budget(usd="0.0022"), journal=again(poor))
    with pytest.raises(BudgetExhausted) as second:
        run_virtual(door.ask(ScriptedModel("haiku", [], price)))
    assert str(second.value) == str(first.value)
