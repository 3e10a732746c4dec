"""What an outcome says of a price: the quote that the way was decided by, for the output that it took."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import History, Text, user
from sunwell.core.model import Request, Usage
from sunwell.core.task import TaskResult
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import WorkOutcome
from sunwell.simulator import Reply
from sunwell.testing import Line, completion
from tests.agent.ladder.ladder_parts import priced
from tests.agent.lens.lens_desk import TASK, LensDesk, lens_desk

TOKENS = 8_000
CRUD = "Generate CRUD endpoints for 5 entities"
SAYS_DONE = "Done. Nothing has to be done: they are there already."
DONE = completion(SAYS_DONE, usage=Usage(10, TOKENS))
SAID = {"kind": "feature", "parts": 5, "output_tokens": 3_000, "needs_judgement": True, "probability": 0.95}


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LensDesk]:
    """Give a workspace with two models, of which the cheap one writes so many tokens."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    with lens_desk(tmp_path, monkeypatch) as made:
        made.work = lambda _: Reply((Text(SAYS_DONE),), output_tokens=TOKENS)
        yield made


async def is_done(checking: Checking) -> Verdict:
    """Check that the answer says so."""
    return Verdict("Done" in checking.answer, "looked")


async def is_done_says_a_judge(checking: Checking) -> Verdict:
    """Have a model look."""
    asked = Request(History([user("Is it done?")]), max_output_tokens=100)
    answered = await checking.ask(asked, checking.judges[0])
    return Verdict("Yes" in answered.text, "asked")


def last_outcome() -> WorkOutcome:
    """Return the latest outcome in the user's file."""
    return list(OutcomeStore(outcomes_file(), warn=pytest.fail).rows())[-1]


async def ran_at(desk: LensDesk, task: str = TASK) -> TaskResult:
    """Return the result of a task whose output is expected to be what it is."""
    return await desk.run(task, checks=(is_done,), estimator=lambda _: TOKENS)


@pytest.mark.parametrize("how", ["written", "after looking", "changed", "taken"])
async def test_work_under_a_lens_is_measured_by_its_own_quote(desk: LensDesk, how: str) -> None:
    """With what is read for the lens, looking before it, and what is changed: else it is corrected twice."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    task = TASK
    if how == "after looking":
        for number in range(60):
            lines = [f"def invoice_{number}_{at}():\n    return 'the invoice'\n" for at in range(60)]
            desk.write(f"src/m{number}.py", "\n".join(lines))
        task = "Rename the entity invoice in all modules"
    elif how != "written":
        await ran_at(desk)
        task = TASK.replace("5 modules", "7 modules") if how == "changed" else TASK
    result = await ran_at(desk, task)
    assert result.decision is not None
    assert result.quote is not None
    assert result.lens_source is not None
    assert result.lens_source.how == ("written" if how == "after looking" else how)
    assert (result.decision.scout_turns > 0) is (how == "after looking")
    assert (result.decision.change_input_tokens is not None) is (how == "changed")
    made = last_outcome()
    assert (made.rung, made.output_tokens) == ("delegated", TOKENS)
    assert made.cost_usd == result.bill.cost_usd
    assert made.quoted_usd == result.quote.delegated_once_usd


@pytest.mark.parametrize(
    ("cheap", "smart", "options", "purposes"),
    [
        ([json.dumps(SAID)], [DONE], {"decide": "classifier"}, {"classify", "work"}),
        ([DONE], ["Yes."], {"checks": (is_done_says_a_judge,), "threshold": 10**6}, {"work", "check"}),
        ([], ["No lens.", "None.", DONE], {"cheap_usd": 1}, {"lens", "work"}),
    ],
    ids=["classifier", "judge", "no-lens"],
)
def test_calls_that_no_quote_foresees_do_not_count_against_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch, cheap: list[Line], smart: list[Line],
    options: dict[str, Any], purposes: set[str],
) -> None:  # fmt: skip
    """The cost is that of all calls, and as many times the quote as the work cost."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    monkeypatch.setenv("SUNWELL_HOME", str(workspace.parent / "home"))
    given = {"checks": (is_done,), "cheap_usd": 7, "threshold": 1_000} | options
    chosen = RunOptions(
        enable_delegation=True,
        scout=False,
        checks=given["checks"],
        estimator=lambda _: TOKENS,
        decide=given.get("decide", "words"),
        delegation_threshold_tokens=given["threshold"],
    )
    session = SessionContext.build(workspace, CRUD, options=chosen)
    agent = Agent(
        smart_model=priced("smart", smart, 10),
        delegation_model=priced("cheap", cheap, given["cheap_usd"]),
    )
    result = asyncio.run(agent.run(session).result())
    bill = dict(result.bill.by_purpose)
    assert bill.keys() == purposes
    assert result.quote is not None
    made = last_outcome()
    side = {"direct": result.quote.direct, "cheap": result.quote.cheap}[made.rung]
    assert made.cost_usd == result.bill.cost_usd
    assert made.quoted_usd is not None
    assert made.cost_usd / made.quoted_usd == pytest.approx(bill["work"] / side.expected_usd)
