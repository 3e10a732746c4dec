"""A cap that does not hold the first call is refused, with the smallest cap that does."""

import re
from decimal import Decimal

import pytest

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget.ledger_protocol import Budget
from sunwell.core import Price, Rates
from sunwell.errors import ConfigurationError
from sunwell.events import DelegationSkipped, DelegationStarted, RunFinished
from sunwell.testing import ScriptedModel, completion, run_virtual

DEAR = Price(Rates(Decimal(10), Decimal(100)), source="test", date="2026-11-01")
CHEAP = Price(Rates(Decimal("0.01"), Decimal("0.1")), source="test", date="2026-11-01")
TASK = "Write tests for all modules, for each of 40 files"


def _events(loop, task="Say yes"):
    async def main():
        return [event async for event in loop.run(task, ())]

    return run_virtual(main())


def _config(unit, amount, **options):
    return LoopConfig(budget=Budget(**{unit: amount}), delegation_threshold_tokens=0, **options)


def _smallest(error, unit):
    option = {"usd": "--budget-usd", "tokens": "--budget-tokens"}[unit]
    return Decimal(re.search(rf"{option} ([\d.]+)", str(error)).group(1))


@pytest.mark.parametrize(("unit", "step"), [("usd", Decimal("0.000001")), ("tokens", 1)])
@pytest.mark.parametrize("task", ["Say yes", "Say yes to this: " + "words and more words " * 400])
@pytest.mark.parametrize("orchestrate", [False, True])
def test_the_named_cap_is_the_smallest_with_which_a_run_begins(unit, step, task, orchestrate):
    """With it the model is asked; with one unit less it is not, and the same cap is named again.

    An orchestrator's status line tells the cap itself, so its figure has a margin.
    """
    model = ScriptedModel("dear", [completion("Yes.")] * 4, DEAR)
    few = 1 if unit == "tokens" else Decimal("0.000001")

    def run(amount):
        return _events(AgentLoop(model, None, _config(unit, amount, orchestrate=orchestrate)), task)

    with pytest.raises(ConfigurationError, match="nothing was spent") as caught:
        run(few)
    least = _smallest(caught.value, unit)
    below = least * Decimal("0.95") if orchestrate else least - step
    with pytest.raises(ConfigurationError) as again:
        run(below if unit == "usd" else int(below))
    assert orchestrate or _smallest(again.value, unit) == least
    assert not model.calls
    assert caught.value.result.bill.lines == ()
    assert isinstance(run(least if unit == "usd" else int(least))[-1], RunFinished)
    assert model.calls


def test_a_run_that_has_spent_is_not_refused_but_incomplete():
    """From then on there is something to keep."""
    model = ScriptedModel("dear", [completion(""), completion("Cut.")], DEAR)
    with pytest.raises(ConfigurationError) as caught:
        _events(AgentLoop(model, None, _config("usd", Decimal("0.000001"))))
    least = _smallest(caught.value, "usd")
    ended = _events(AgentLoop(model, None, _config("usd", least)))[-1].result
    assert (ended.status, ended.stop_reason) == ("incomplete", "budget_usd")


def _delegating(usd, smart, own, worker):
    config = LoopConfig(budget=Budget(usd=usd), enable_delegation=True, delegation_threshold_tokens=0)
    return AgentLoop(own, None, config, smart, worker)


def test_a_lens_that_does_not_fit_the_dollars_left_is_not_begun_and_the_cheap_model_works():
    """The reason names the cost of the lens; the dear model is never asked."""
    smart, own = ScriptedModel("opus", [], DEAR), ScriptedModel("own", [], DEAR)
    worker = ScriptedModel("haiku", [completion("Done.")], CHEAP)
    events = _events(_delegating(Decimal("0.05"), smart, own, worker), TASK)
    assert not [event for event in events if isinstance(event, DelegationStarted)]
    (skipped,) = [event for event in events if isinstance(event, DelegationSkipped)]
    assert "writing a lens and the first call under it may cost $" in skipped.reason
    result = events[-1].result
    assert (result.status, result.answer) == ("ok", "Done.")
    assert [model.model for model in result.bill.models] == ["haiku"]
    assert result.not_delegated == skipped.reason
    assert skipped.reason.endswith("haiku does the task without a lens")


def test_with_the_dollars_for_it_the_lens_is_begun():
    """The veto holds only below what the lens and the first call may cost."""
    smart = ScriptedModel("opus", [completion("no lens"), completion("none")], DEAR)
    own, worker = ScriptedModel("own", [completion("Done.")], DEAR), ScriptedModel("haiku", [], CHEAP)
    events = _events(
        _delegating(Decimal("0.05"), smart, own, ScriptedModel("haiku", [completion("y")], CHEAP)), TASK
    )
    reason = next(event.reason for event in events if isinstance(event, DelegationSkipped))
    needed = Decimal(re.search(r"may cost \$([\d.]+)", reason).group(1)) + Decimal("0.0001")
    events = _events(_delegating(needed, smart, own, worker), TASK)
    assert [event for event in events if isinstance(event, DelegationStarted)]
    assert smart.calls


def test_a_batch_whose_cap_holds_no_task_is_refused():
    """With the least cap of any of its tasks."""
    model = ScriptedModel("dear", [completion("Yes.")] * 3, DEAR)

    def loop(usd):
        return AgentLoop(model, None, _config("usd", usd))

    async def results(usd):
        from sunwell.agent.run.run_context import Run
        from sunwell.agent.run.toolset import Toolset
        from sunwell.journal.layout import new_run_id
        from sunwell.journal.memory import MemoryJournal

        made = loop(usd)
        run = Run(
            made, MemoryJournal(new_run_id()), made.config.budget, made.config, task="b",
            tools=Toolset.of((), None), context="",
        )  # fmt: skip
        async with made.events_of(run, Batch(["Say yes", "Say yes to a longer task"], None, None)) as events:
            return [event async for event in events][-1].result

    with pytest.raises(ConfigurationError) as caught:
        run_virtual(results(Decimal("0.000001")))
    least = _smallest(caught.value, "usd")
    with pytest.raises(ConfigurationError):
        run_virtual(results(least - Decimal("0.000001")))
    assert not model.calls
    assert any(worker.status == "ok" for worker in run_virtual(results(least)).workers)
