"""Who decides which way a task is done, and the outcome that each checked piece of work leaves."""

import asyncio
import json
import time
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.agent.policy.estimator import estimate_output
from sunwell.budget.ledger_protocol import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.price import DelegationDecision
from sunwell.core.task import TaskResult
from sunwell.errors import BadRequest
from sunwell.journal.layout import list_runs
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import Way, WorkOutcome
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from sunwell.report.summary import summary_text as report_of
from sunwell.testing import Line
from tests.agent.ladder.ladder_parts import LENS, priced

DONE = "Done. Nothing has to be done: they are there already."
NO = "No. Nothing has to be done: they are there already."
CRUD = "Generate CRUD endpoints for 5 entities"
SAID = {"kind": "feature", "parts": 5, "output_tokens": 3_000, "needs_judgement": True, "probability": 0.95}
PLAIN = json.dumps(SAID | {"needs_judgement": False})


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> OutcomeStore:
    """Return the store of a user whose state folder is new."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path_factory.mktemp("home")))
    return OutcomeStore(outcomes_file(), warn=pytest.fail, longest_seconds=30.0)


async def is_done(checking: Checking) -> Verdict:
    """Check that the answer says so."""
    return Verdict("Done" in checking.answer, "looked")


def learnt(store: OutcomeStore, way: Way, count: int, passes: int) -> None:
    """Record outcomes of earlier runs on tasks like that of this file."""
    model = "smart" if way == "direct" else "cheap"
    store.record(
        [
            WorkOutcome(
                "feature", way, model, "", number < passes, Decimal("0.001"), time.time(), way == "delegated"
            )
            for number in range(count)
        ]
    )


def ran(
    workspace: Path, cheap: list[Line], smart: list[Line], cheap_usd: int = 7, **options: object
) -> TaskResult:
    """Return the result of a checked task for two models; the smart one costs 10 dollars a million tokens."""
    chosen = RunOptions(enable_delegation=True, scout=False, checks=(is_done,), **options)
    session = SessionContext.build(workspace, CRUD, options=chosen)
    agent = Agent(smart_model=priced("smart", smart, 10), delegation_model=priced("cheap", cheap, cheap_usd))
    return asyncio.run(agent.run(session).result())


@pytest.mark.parametrize(
    ("options", "cheap", "smart", "expected"),
    [
        ({}, [DONE], [LENS], ("delegated", "cheap", True)),
        (
            {"delegation_threshold_tokens": 10**6, "decide": "words"},
            [DONE],
            [LENS],
            ("delegated", "cheap", True),
        ),
        ({"decide": "classifier"}, [PLAIN, DONE], [], ("cheap", "cheap", False)),
        ({"enable": False}, [], [DONE], ("direct", "smart", False)),
    ],
)
def test_work_that_was_checked_leaves_one_outcome(
    workspace: Path, store: OutcomeStore, options: dict[str, object], cheap: list[Line], smart: list[Line],
    expected: tuple[str, str, bool],
) -> None:  # fmt: skip
    """With who did it, in which way, what it cost and what it wrote; whatever the check found."""
    given = dict(options)
    enable = given.pop("enable", True)
    chosen = RunOptions(enable_delegation=bool(enable), scout=False, checks=(is_done,), **given)
    session = SessionContext.build(workspace, CRUD, options=chosen)
    agent = Agent(smart_model=priced("smart", smart, 10), delegation_model=priced("cheap", cheap, 1))
    result = asyncio.run(agent.run(session).result())
    (made,) = store.rows()
    assert result.verification is not None
    assert (made.kind, made.passed, made.after) == ("feature", result.verification.passed, "")
    assert made.cost_usd == result.bill.cost_usd
    assert made.output_tokens is not None
    assert (made.rung, made.model, made.has_lens) == expected


def test_work_that_nobody_checked_leaves_none(workspace: Path, store: OutcomeStore) -> None:
    """Whether it was right is not known."""
    session = SessionContext.build(workspace, CRUD, options=RunOptions(enable_delegation=False))
    asyncio.run(Agent(smart_model=priced("smart", [DONE], 10)).run(session).result())
    assert list(store.rows()) == []


def test_each_item_of_a_batch_leaves_one(workspace: Path, store: OutcomeStore) -> None:
    """Under a shared lens, whose price is in none of them; by the kind of each item."""
    tasks = ["Write tests for a.py", "Rename x to y in b.py"]
    options = RunOptions(enable_delegation=True, scout=False, checks=(is_done,), max_concurrent=1)
    agent = Agent(
        smart_model=priced("smart", [LENS], 10),
        delegation_model=priced("cheap", [DONE, NO], 1),
    )
    batch = asyncio.run(agent.batch(tasks, workspace=workspace, options=options))
    found = {one.kind: one for one in store.rows()}
    assert set(found) == {"tests", "edit"}
    assert sorted(bool(one.passed) for one in found.values()) == [False, True]
    assert {(one.rung, one.model, one.has_lens) for one in found.values()} == {("delegated", "cheap", True)}
    costs = [result.bill.cost_usd for result in batch]
    assert sorted(one.cost_usd or 0 for one in found.values()) == sorted(cost or 0 for cost in costs)


@pytest.mark.parametrize("escalate", [False, True])
def test_an_outcome_is_measured_by_the_words_and_not_by_an_estimator_of_the_callers_own(
    workspace: Path, store: OutcomeStore, escalate: bool
) -> None:
    """What such an estimator says differs from one user to the next, and paid work does not ask it again."""
    asked: list[str] = []

    def estimator(text: str) -> int:
        asked.append(text)
        if len(asked) > 1:
            raise KeyError(text)
        return 7

    options = RunOptions(
        enable_delegation=True, scout=False, checks=(is_done,), estimator=estimator, escalate=escalate
    )
    session = SessionContext.build(workspace, CRUD, options=options)
    agent = Agent(smart_model=priced("smart", [DONE], 10), delegation_model=priced("cheap", [DONE], 1))
    result = asyncio.run(agent.run(session).result())
    assert (result.status, result.error) == ("ok", "")
    (made,) = store.rows()
    assert made.expected_tokens == estimate_output(CRUD).expected_tokens


def test_items_that_passed_their_checks_do_not_fail_by_an_estimator(
    workspace: Path, store: OutcomeStore
) -> None:
    """It is made for whole tasks, and knows no item of a batch."""

    def estimator(text: str) -> int:
        raise KeyError(text)

    options = RunOptions(enable_delegation=False, checks=(is_done,), estimator=estimator)
    agent = Agent(smart_model=priced("smart", [DONE], 10), delegation_model=priced("cheap", [DONE], 1))
    batch = asyncio.run(agent.batch(["Rename x to y in b.py"], workspace=workspace, options=options))
    assert [result.status for result in batch] == ["ok"]
    (made,) = store.rows()
    assert made.expected_tokens == estimate_output("Rename x to y in b.py").expected_tokens


def test_a_finished_run_that_is_taken_up_again_leaves_no_second(workspace: Path, store: OutcomeStore) -> None:
    """Nor does one that is played again: nothing was checked anew."""
    result = ran(workspace, [DONE], [LENS], 1)
    agent = Agent(smart_model=priced("smart", [], 10), delegation_model=priced("cheap", [], 1))
    given = {"checks": (is_done,)}
    again = asyncio.run(agent.resume(result.run_id, workspace=workspace, given=given).result())
    assert again.verification == result.verification
    asyncio.run(agent.replay(result.run_id, workspace=workspace).result())
    assert len(list(store.rows())) == 1


def test_a_classifier_decides_by_what_it_says(workspace: Path, store: OutcomeStore) -> None:
    """Work that takes judgement goes to the better model if that costs little more; the call is billed."""
    result = ran(workspace, [json.dumps(SAID)], [DONE], decide="classifier")
    decision = result.decision
    assert decision is not None
    assert (decision.decided_by, bool(decision), decision.without_lens) == ("classifier", False, "model")
    assert "feature, 5 parts, about 3,000 tokens, needs judgement (95% sure)" in decision.reason
    assert decision.estimated_tokens == 3_000
    assert dict(result.bill.by_purpose).keys() == {"classify", "work"}
    assert [(one.rung, one.kind) for one in store.rows()] == [("direct", "feature")]
    assert "decided  by what the delegation model said of the task: " in report_of(result)


def test_plain_work_goes_to_the_cheap_model_alone(workspace: Path, store: OutcomeStore) -> None:
    """Although the words alone would have had a lens written."""
    result = ran(workspace, [PLAIN, DONE], [], 1, decide="classifier")
    assert result.decision is not None
    assert (bool(result.decision), result.decision.without_lens) == (False, "delegation_model")
    assert [one.rung for one in store.rows()] == ["cheap"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (
            "It is a feature.",
            "the answer of the classifier has not the form that was asked for: it is no JSON",
        ),
        (json.dumps({**SAID, "kind": "any"}), "kind is none of those that were named"),
        (BadRequest("cheap", "no such key"), "the classifier gave no answer: cheap: no such key"),
    ],
)
def test_without_an_answer_of_use_words_decide(
    workspace: Path, store: OutcomeStore, answer: Line, said: str
) -> None:
    """The reason says why; it is not asked again."""
    result = ran(workspace, [answer, DONE], [LENS], 1, decide="classifier")
    assert result.decision is not None
    assert (result.decision.decided_by, bool(result.decision)) == ("words", True)
    assert "words decided, because" in result.decision.reason
    assert said in result.decision.reason


def test_a_cap_that_holds_no_question_leaves_the_decision_to_words(
    workspace: Path, store: OutcomeStore
) -> None:
    """The question is reserved like any other call; nothing is spent beyond the cap."""
    result = ran(workspace, [DONE], [DONE], decide="classifier", budget=Budget(calls=0))
    assert result.decision is not None
    assert "the classifier could not be asked" in result.decision.reason
    assert result.bill.calls == 0


def test_a_resume_takes_the_answer_of_the_classifier_from_its_record(
    workspace: Path, store: OutcomeStore
) -> None:
    """Killed after the answer and before the decision: nobody is asked again, and the same is decided."""
    result = ran(workspace, [json.dumps(SAID)], [DONE], decide="classifier")
    (run,) = list_runs(workspace)
    lines = run.path.read_bytes().splitlines(keepends=True)
    kept = next(at for at, line in enumerate(lines) if b'"decision"' in line and b'"classifier"' in line)
    run.path.write_bytes(b"".join(lines[:kept]))
    agent = Agent(smart_model=priced("smart", [DONE], 10), delegation_model=priced("cheap", [], 7))
    given = {"checks": (is_done,)}
    again = asyncio.run(agent.resume(result.run_id, workspace=workspace, given=given).result())
    assert again.decision == result.decision
    assert dict(again.bill.by_purpose).keys() == {"classify", "work"}


def test_outcomes_decide_once_enough_is_known(workspace: Path, store: OutcomeStore) -> None:
    """Until then words do, and the reason says so."""
    first = ran(workspace, [DONE], [LENS], 1, decide="outcomes")
    assert first.decision is not None
    assert first.decision.decided_by == "words"
    assert "0 outcomes of this kind (feature) and 0 of others are too few" in first.decision.reason
    store.forget()
    learnt(store, "cheap", 12, 12)
    result = ran(workspace, [DONE], [], 1, decide="outcomes")
    assert result.decision is not None
    assert (result.decision.decided_by, result.decision.without_lens) == ("outcomes", "delegation_model")
    assert "12 outcomes of this kind (feature)" in result.decision.reason
    assert "decided  by the outcomes of earlier checked work: the way cheap" in report_of(result)


def test_a_lens_that_does_harm_is_named_and_with_outcomes_not_written(
    workspace: Path, store: OutcomeStore
) -> None:
    """With words it is only said, beside the decision and in the report."""
    learnt(store, "delegated", 20, 2)
    learnt(store, "cheap", 9, 8)
    said = "work of this kind under a lens passed 2 of 20 checks, and the same model without a lens 8 of 9"
    words = ran(workspace, [DONE], [LENS], 1)
    assert words.decision is not None
    assert words.decision
    assert said in words.decision.reason
    assert f"note     {said}" in report_of(words)
    outcomes = ran(workspace, [DONE], [], 1, decide="outcomes")
    assert outcomes.decision is not None
    assert not outcomes.decision
    assert "no lens, since it did harm" in outcomes.decision.reason


def test_a_lens_that_does_not_fit_the_budget_is_no_choice(workspace: Path, store: OutcomeStore) -> None:
    """Outcomes speak for it, and the cap does not hold it."""
    learnt(store, "delegated", 40, 40)
    learnt(store, "cheap", 20, 0)

    def decision(tokens: int | None) -> DelegationDecision:
        options = RunOptions(
            decide="outcomes",
            scout=False,
            budget=Budget(tokens=tokens),
            smart_model=priced("smart", [], 10),
            delegation_model=priced("cheap", [], 1),
        )
        session = SessionContext.build(workspace, CRUD, options=options)
        return forecast(session, registry=ModelRegistry()).decision

    assert decision(None)
    capped = decision(1_500)
    assert (bool(capped), capped.lens_fits, capped.decided_by) == (False, False, "outcomes")
    assert "are left of the budget" in capped.reason
