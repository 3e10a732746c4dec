"""Answers of earlier runs: nobody is asked, nothing is paid, and the record says so."""

from decimal import Decimal

import attrs
import pytest

from sunwell.budget import Budget
from sunwell.core import Completion, Span, Text, Usage
from sunwell.core.secrets import Secrets
from sunwell.errors import BudgetExhausted
from sunwell.events import ModelCallFinished, ModelCallStarted
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Answer
from sunwell.journal.tree import tree
from sunwell.testing import ScriptedModel, completion, run_virtual


@attrs.define(eq=False)
class KeptAnswers:
    """Answers in memory, as a later run finds them."""

    kept: dict[str, Completion] = attrs.field(factory=dict)

    def find(self, key: str) -> Completion | None:
        found = self.kept.get(key)
        return None if found is None else attrs.evolve(found, usage=None, id="")

    def keep(self, key: str, completion: Completion) -> None:
        self.kept[key] = completion


@pytest.fixture
def memory(open_door, price) -> KeptAnswers:
    """Return what a run has left behind that asked one question."""
    kept = KeptAnswers()
    model = ScriptedModel("haiku", [completion("Yes.", usage=Usage(200, 30))], price)
    run_virtual(open_door(memory=kept).ask(model, "Is it?", remember=True))
    return kept


def test_a_kept_answer_costs_nothing(open_door, memory) -> None:
    """It is on record without an intent; no ceiling is touched, and the bill counts it apart."""
    door = open_door(Budget(usd=0, calls=0), memory=memory)
    said = run_virtual(door.ask(ScriptedModel("haiku", []), "Is it?", remember=True))
    assert (said.text, said.usage) == ("Yes.", None)
    [record] = door.records
    assert isinstance(record, Answer)
    assert (record.remembered, record.cost_usd, record.completion) == (True, Decimal(0), said)
    [event] = door.told(ModelCallFinished)
    assert (event.remembered, event.replayed, event.cost_usd) == (True, False, Decimal(0))
    assert door.told(ModelCallStarted) == []
    bill = door.gateway.tally.bill()
    assert (bill.remembered_calls, bill.calls, bill.cost_usd) == (1, 0, Decimal(0))
    assert door.gateway.tally.bill("run/other").remembered_calls == 0
    assert (door.used.calls, door.used.settled_usd) == (0, Decimal(0))


@pytest.mark.parametrize(
    "changed",
    [
        pytest.param({"prompt": "Is it not?"}, id="question"),
        pytest.param({"system": ("Be brief.",)}, id="system-prompt"),
        pytest.param({"effort": "high"}, id="effort"),
        pytest.param({"name": "opus"}, id="model"),
        pytest.param({"remember": False}, id="not-asked-for"),
    ],
)
def test_another_question_is_asked_and_paid(open_door, price, memory, changed) -> None:
    """Everything that the answer depends on is in the key, and a call that does not ask for it gets none."""
    given = {"prompt": "Is it?", "remember": True, "name": "haiku"} | changed
    model = ScriptedModel(given.pop("name"), [completion("No.", usage=Usage(200, 30))], price)
    door = open_door(memory=memory)
    assert run_virtual(door.ask(model, **given)).text == "No."
    assert door.gateway.tally.bill().remembered_calls == 0


def test_a_resume_takes_it_from_the_journal(open_door, memory) -> None:
    """Also if it has left the memory meanwhile."""
    door = open_door(memory=memory)
    run_virtual(door.ask(ScriptedModel("haiku", []), "Is it?", remember=True))
    later = open_door(journal=MemoryJournal.of("again", door.records), memory=KeptAnswers())
    assert run_virtual(later.ask(ScriptedModel("haiku", []), "Is it?", remember=True)).text == "Yes."
    [event] = later.told(ModelCallFinished)
    assert (event.replayed, event.remembered) == (True, True)


def test_a_secret_that_this_run_knows_is_replaced(open_door, memory) -> None:
    """The run that kept the answer may not have known it."""
    secrets = Secrets()
    secrets.add("Yes, it is.", "KEY")
    memory.kept = {key: completion("So: Yes, it is.") for key in memory.kept}
    door = open_door(memory=memory, secrets=secrets)
    said = run_virtual(door.ask(ScriptedModel("haiku", []), "Is it?", remember=True))
    assert said.text == "So: [KEY]"
    assert door.records[0].completion.text == "So: [KEY]"


def test_nothing_is_kept_of_a_call_that_was_refused(open_door, price) -> None:
    """The next run asks again."""
    kept = KeptAnswers()
    door = open_door(Budget(calls=0), memory=kept)
    with pytest.raises(BudgetExhausted):
        run_virtual(door.ask(ScriptedModel("haiku", [], price), "Is it?", remember=True))
    assert kept.kept == {}


def test_the_tree_names_it_and_prices_it_at_nothing(open_door, memory) -> None:
    """It is not among the calls that may still be billed."""
    door = open_door(memory=memory)
    run_virtual(door.ask(ScriptedModel("haiku", []), "Is it?", remember=True, span=Span("run/work", 1)))
    [call] = [node for node in tree(door.records).walk() if node.type == "call"]
    assert (call.status, call.usage, call.total_cost_usd) == ("remembered", None, Decimal(0))
    assert call.uncertain_usd == Decimal(0)


def test_the_answer_in_words_alone_is_given(open_door, memory) -> None:
    """Without the id and the usage of the call that was paid."""
    door = open_door(memory=memory)
    said = run_virtual(door.ask(ScriptedModel("haiku", []), "Is it?", remember=True))
    assert (said.parts, said.id) == ((Text("Yes."),), "")
