"""Answers of earlier runs: nobody is asked, nothing is paid, and the record says so."""

from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any

import attrs
import pytest

from sunwell import AnthropicModel, Connection
from sunwell.budget import Budget
from sunwell.core import Completion
from sunwell.core.secrets import Secrets
from sunwell.errors import BudgetExhausted
from sunwell.events import ModelCallFinished, ModelCallStarted
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import Answer
from sunwell.journal.tree import tree
from sunwell.models.http_model import Tuning
from sunwell.simulator import Simulator, echo
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


def served(simulator: Simulator, name: str = "claude-haiku-5-5", **tuning: Any) -> AnthropicModel:
    """Return a model that *simulator* serves."""
    return AnthropicModel(name, Connection("anthropic", simulator.url, "any-key"), **tuning)


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A provider whose models repeat what they are asked."""
    async with Simulator({"claude-haiku-5-5": echo, "claude-opus-5-5": echo}) as running:
        yield running


@pytest.fixture
async def memory(open_door, simulator: Simulator) -> KeptAnswers:
    """Return what a run has left behind that asked one question."""
    kept = KeptAnswers()
    await open_door(memory=kept).ask(served(simulator), "Is it?", remember=True)
    assert len(simulator.requests) == len(kept.kept) == 1
    return kept


async def test_a_kept_answer_costs_nothing(open_door, simulator, memory) -> None:
    """It is on record without an intent; no ceiling is touched, and the bill counts it apart."""
    door = open_door(Budget(usd=0, calls=0), memory=memory)
    said = await door.ask(served(simulator), "Is it?", remember=True)
    assert (said.text, said.usage, said.id, len(simulator.requests)) == ("Is it?", None, "", 1)
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
    [call] = [node for node in tree(door.records).walk() if node.type == "call"]
    assert (call.status, call.usage, call.total_cost_usd, call.uncertain_usd) == ("remembered", None, 0, 0)


@pytest.mark.parametrize(
    ("changed", "tuning"),
    [
        pytest.param({"prompt": "Is it not?"}, {}, id="question"),
        pytest.param({"system": ("Be brief.",)}, {}, id="system-prompt"),
        pytest.param({"effort": "high"}, {}, id="effort"),
        pytest.param({}, {"name": "claude-opus-5-5"}, id="model"),
        pytest.param({}, {"tuning": Tuning(thinking_tokens=2_000)}, id="settings"),
        pytest.param({"remember": False}, {}, id="not-asked-for"),
    ],
)
async def test_another_question_is_asked_and_paid(open_door, simulator, memory, changed, tuning) -> None:
    """Everything that the answer depends on is in the key, and a call that does not ask for it gets none."""
    door = open_door(memory=memory)
    given = {"prompt": "Is it?", "remember": True, "max_output_tokens": 4_000} | changed
    await door.ask(served(simulator, **tuning), **given)
    assert (len(simulator.requests), door.gateway.tally.bill().remembered_calls) == (2, 0)


async def test_the_same_name_at_another_address_is_another_model(open_door, memory) -> None:
    """A server that imitates a provider answers for itself alone."""
    async with Simulator({"claude-haiku-5-5": echo}) as other:
        await open_door(memory=memory).ask(served(other), "Is it?", remember=True)
        assert len(other.requests) == 1


def test_nothing_is_kept_of_a_model_of_the_callers_own(open_door) -> None:
    """Its name does not say which one it is."""
    kept = KeptAnswers()
    model = ScriptedModel("haiku", [completion("Yes."), completion("No.")])
    for said in ("Yes.", "No."):
        assert run_virtual(open_door(memory=kept).ask(model, "Is it?", remember=True)).text == said
    assert kept.kept == {}


async def test_a_resume_takes_it_from_the_journal(open_door, simulator, memory) -> None:
    """Also if it has left the memory meanwhile."""
    door = open_door(memory=memory)
    await door.ask(served(simulator), "Is it?", remember=True)
    later = open_door(journal=MemoryJournal.of("again", door.records), memory=KeptAnswers())
    assert (await later.ask(served(simulator), "Is it?", remember=True)).text == "Is it?"
    [event] = later.told(ModelCallFinished)
    assert (event.replayed, event.remembered, len(simulator.requests)) == (True, True, 1)


async def test_a_secret_that_this_run_knows_is_replaced(open_door, simulator, memory) -> None:
    """The run that kept the answer may not have known it."""
    secrets = Secrets()
    secrets.add("Yes, it is.", "KEY")
    memory.kept = {key: completion("So: Yes, it is.") for key in memory.kept}
    door = open_door(memory=memory, secrets=secrets)
    said = await door.ask(served(simulator), "Is it?", remember=True)
    assert said.text == door.records[0].completion.text == "So: [KEY]"


async def test_nothing_is_kept_of_a_call_that_was_refused(open_door, simulator) -> None:
    """The next run asks again."""
    kept = KeptAnswers()
    with pytest.raises(BudgetExhausted):
        await open_door(Budget(calls=0), memory=kept).ask(served(simulator), "Is it?", remember=True)
    assert kept.kept == {}
