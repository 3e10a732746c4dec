"""Outcomes of earlier runs: kept in the user's state folder, used by the next run and against a lens."""

import asyncio
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.agent.ladder.climb_outcomes import ClimbOutcomes, ExpectedClimb
from sunwell.agent.ladder.rungs import LadderModels, plan_rungs
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.context import RunOptions, SessionContext
from sunwell.core.lens import EphemeralLens
from sunwell.core.price import OutputEstimate
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import KnownOutcomes, WorkOutcome
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.prices import known_as
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from sunwell.testing import ScriptedModel
from tests.agent.ladder.ladder_parts import LENS, climb, priced, writes

CRUD = "Generate CRUD endpoints for 5 entities"


@pytest.fixture
def store(tmp_path_factory: Any, monkeypatch: Any) -> OutcomeStore:
    """Return the store of a user whose state folder is new."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path_factory.mktemp("home")))
    return OutcomeStore(outcomes_file(), warn=pytest.fail)


def outcomes(count: int, passes: int, task: str = CRUD, model: str = "cheap") -> list[WorkOutcome]:
    """Return *count* outcomes of the cheap rung alone, of which *passes* passed."""
    kind, now = kind_of(task), time.time()
    return [
        WorkOutcome(kind, "cheap", model, "", number < passes, Decimal("0.001"), now)
        for number in range(count)
    ]


def test_each_verdict_is_one_row_without_any_text(workspace: Path, store: OutcomeStore) -> None:
    """Kind, rung, model, what failed before, passed and cost; the second rung knows of the first."""
    cheap = priced("cheap", [writes("1"), "1", writes("42"), "2"], 1)
    result = asyncio.run(climb(workspace, cheap, priced("smart", [], 10)))
    assert result.verification is not None
    known = store.read()
    kind = kind_of("Write 42 into answer.txt")
    assert dict(known.counts(kind)).keys() == {
        ("cheap", "cheap", ""),
        ("cheap_again", "cheap", "cheap:cheap"),
    }
    assert (
        known.count(kind, "cheap", "cheap", "").tries,
        known.count(kind, "cheap", "cheap", "").passes,
    ) == (1, 0)
    assert known.count(kind, "cheap_again", "cheap", "cheap:cheap").passes == 1
    assert store.file is not None
    assert b"answer.txt" not in store.file.read_bytes()


def test_a_rung_is_under_the_given_lens_only_if_its_prompt_has_it(
    workspace: Path, store: OutcomeStore
) -> None:
    """The delegation model reads it in its first work and its repair; the smart model never does."""
    lens = EphemeralLens(("Mind the lens.",))
    cheap = priced("cheap", [writes("1"), "1", writes("2"), "2"], 1)
    smart = priced("smart", [writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, lens=lens))
    assert result.verification is not None
    assert [one.rung for one in result.verification.attempts] == ["cheap", "cheap_again", "smart"]
    read = {model.name: "Mind the lens." in "".join(model.calls[-1].system) for model in (cheap, smart)}
    assert read == {"cheap": True, "smart": False}
    assert {one.rung: one.has_lens for one in store.rows()} == {
        "cheap": True,
        "cheap_again": True,
        "smart": False,
    }


def test_a_worker_that_never_passed_is_passed_over(workspace: Path, store: OutcomeStore) -> None:
    """The next run begins with the smart model, and says on how many outcomes that rests."""
    store.record(outcomes(40, 0, "Write 42 into answer.txt"))
    cheap = priced("cheap", [], 9)
    smart = priced("smart", [writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, worth_usd=None))
    assert result.verification is not None
    (attempt,) = result.verification.attempts
    assert (attempt.rung, attempt.passed) == ("smart", True)


def test_switched_off_nothing_is_kept(workspace: Path, store: OutcomeStore, monkeypatch: Any) -> None:
    """The run still learns from its own outcomes."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "off")
    cheap = priced("cheap", [writes("42"), "Done."], 1)
    asyncio.run(climb(workspace, cheap, priced("smart", [], 10)))
    assert store.file is not None
    assert not store.file.exists()


@pytest.mark.parametrize(("count", "passes", "is_delegated"), [(9, 9, True), (10, 10, False), (40, 0, True)])
def test_from_ten_outcomes_on_the_cheap_model_alone_can_stop_a_lens(
    workspace: Path, store: OutcomeStore, count: int, passes: int, is_delegated: bool
) -> None:
    """If it passes often enough; the forecast says what the run then does."""
    store.record(outcomes(count, passes))
    smart = priced("smart", [LENS] if is_delegated else [], 10)
    cheap = priced("cheap", ["Nothing has to be done: they are there already."], 1)
    options = RunOptions(enable_delegation=True, smart_model=smart, delegation_model=cheap, scout=False)
    session = SessionContext.build(workspace, CRUD, options=options)
    foretold = forecast(session, registry=ModelRegistry())
    result = asyncio.run(Agent().run(session).result())
    assert result.decision is not None
    assert bool(result.decision) is bool(foretold.decision) is is_delegated
    assert result.decision.reason == foretold.decision.reason
    if not is_delegated:
        assert "passed its check on 10 of 10 tasks of this kind" in result.decision.reason
        assert result.decision.without_lens == "delegation_model"


def test_a_model_at_another_address_is_another_model() -> None:
    """Outcomes of a simulator say nothing of the model whose name it uses."""
    own = AnthropicModel("claude-haiku-5-5", Connection("anthropic", None, "any-key"))
    other = AnthropicModel("claude-haiku-5-5", Connection("anthropic", "http://127.0.0.1:9/", "any-key"))
    assert known_as(own) == "claude-haiku-5-5"
    assert known_as(other) == "claude-haiku-5-5@127.0.0.1:9"
    assert known_as(ScriptedModel("m", [])) == "m"


def test_a_climb_is_expected_to_cost_each_rung_by_its_chance() -> None:
    """The order is the run's; the chances that people read are without hope, and with outcomes they count."""
    models = LadderModels(priced("cheap", [], 1), priced("smart", [], 20))
    rungs = plan_rungs(models, LoopConfig(), "Fix it", OutputEstimate.around(2_000), system=(), tools=())
    new = ExpectedClimb.of(rungs, ClimbOutcomes("fix", KnownOutcomes()), left_usd=None, worth_usd=None)
    assert new.rungs[0].name == "cheap"
    assert (new.rungs[0].reached, new.rungs[0].chance, new.rungs[0].tries) == (1.0, 0.5, 0)
    total = sum(one.reached * float(one.side.expected_usd or 0) for one in new.rungs)
    assert float(new.expected_usd or 0) == pytest.approx(total, rel=1e-4)
    told = ExpectedClimb.of(
        rungs, ClimbOutcomes("fix", KnownOutcomes()), left_usd=None, worth_usd=None, passes_wrong=0.3
    )
    assert told.rungs[0].name == "smart"
    assert new.worst_usd == sum(one.side.worst_usd or 0 for one in new.rungs)
    known = KnownOutcomes()
    for outcome in outcomes(20, 20, "Fix it"):
        known.add(outcome)
    good = ExpectedClimb.of(rungs, ClimbOutcomes(kind_of("Fix it"), known), left_usd=None, worth_usd=None)
    assert good.rungs[0].chance > 0.9
    assert good.rungs[0].tries == 20
    assert (good.expected_usd or 0) < (new.expected_usd or 0)
