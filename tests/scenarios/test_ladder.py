"""The ladder over HTTP: what passes, on which rung, what it costs, and what is left if it does not.

The models are scripts: the figures prove the machinery and the money, not the skill of a model.
"""

import re
import shutil
from collections import defaultdict
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.task import TaskResult
from sunwell.journal import read_records
from sunwell.journal.records import Answer
from sunwell.models.connection import close_clients
from sunwell.models.registry import ModelRegistry
from sunwell.report.verdict_text import verdict_line
from sunwell.simulator import Asked, Reply, Script, Simulator
from sunwell.simulator.scripts import smart
from tests.bubblewrap import needs_bubblewrap
from tests.scenarios.ladder_scripts import FileWriter, hasty, path_in
from tests.scenarios.test_bill import model

SHOP = Path(__file__).parents[2] / "examples" / "shop"
SHOP_TASK = "Generate CRUD endpoints for 5 entities"
ALL_RUNGS = {"cheap", "cheap_again", "lens", "second", "smart"}
OPUS, SONNET, HAIKU = "claude-opus-5-5", "claude-sonnet-5-5", "claude-haiku-5-5"


async def is_right(checking: Checking) -> Verdict:
    """Check that the file of the task holds the right word."""
    assert checking.workspace is not None
    path = checking.workspace / path_in(checking.task)
    found = path.read_text().strip() if path.exists() else "nothing"
    return Verdict(found == "right", f"{path.name} holds {found}")


def simulated(cheap: Script, second: Script, best: Script) -> Simulator:
    """Return a provider of three models."""
    return Simulator({HAIKU: cheap, SONNET: second, OPUS: best})


def options(sim: Simulator, **chosen: Any) -> RunOptions:
    """Return options of a run that climbs and has a second model."""
    given = {"checks": (is_right,), "escalate": True, "worth_usd": 100} | chosen
    return RunOptions(second_model=model(sim, "anthropic", SONNET), **given)


def agent_on(sim: Simulator) -> Agent:
    """Return an agent whose models are those of *sim*."""
    return Agent(
        smart_model=model(sim, "anthropic", OPUS),
        delegation_model=model(sim, "anthropic", HAIKU),
        registry=ModelRegistry(),
    )


async def climbed(sim: Simulator, workspace: Path, task: str, **chosen: Any) -> TaskResult:
    """Return the result of *task* on the ladder."""
    try:
        session = SessionContext.build(workspace, task, options=options(sim, **chosen))
        return await agent_on(sim).run(session)
    finally:
        await close_clients()


def require_true_bill(result: TaskResult, sim: Simulator) -> None:
    """Hold the bill against the provider's, call by call, and each rung against the calls of its spans."""
    entries = sim.bill.entries()
    assert {entry.why for entry in entries} == {"answered"}
    assert result.bill.cost_usd == sum((entry.usd for entry in entries), Decimal(0))
    assert result.bill.uncertain_usd == 0
    answers = [one for one in read_records(Path(result.journal or "")) if isinstance(one, Answer)]
    assert sorted(one.cost_usd or 0 for one in answers) == sorted(entry.usd for entry in entries)
    by_rung: dict[str, Decimal] = defaultdict(Decimal)
    for one in answers:
        by_rung[next(name for name in one.span.split("/") if name in ALL_RUNGS)] += one.cost_usd or 0
    assert {name: total.cost_usd for name, total in result.bill.split("rung")} == by_rung


@needs_bubblewrap
async def test_the_shop_passes_on_the_second_rung(tmp_path: Path) -> None:
    """The cheap model breaks conventions that it has not read. Shown the failed tests, it reads them.

    The verdict line says by what the result was verified, on which rung, and what opus alone might have cost.
    """
    shop = Path(shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__")))
    async with simulated(hasty, hasty, smart) as sim:
        result = await climbed(sim, shop, SHOP_TASK, checks=("python3 -B -m unittest",))
        require_true_bill(result, sim)
    assert result.verification is not None
    first, second = result.verification.attempts
    assert (first.rung, first.passed, second.rung, second.passed) == ("cheap", False, "cheap_again", True)
    assert "FAILED" in first.evidence
    assert result.status == "ok"
    assert re.fullmatch(
        rf"verified by python3 -B -m unittest on rung 2 \({HAIKU} with evidence\), \$0\.\d+, "
        rf"vs\. about \$0\.\d+ for {OPUS} alone",
        verdict_line(result),
    )
    assert {entry.model for entry in sim.bill.entries()} == {HAIKU}


async def test_a_batch_of_twenty_with_six_failing_items_ends_with_twenty_passed(tmp_path: Path) -> None:
    """Three are repaired, three need another model; the other fourteen cost nothing more than their work."""
    slips = {f"items/{number:02d}.txt": 1 if number % 2 else 9 for number in (1, 4, 7, 10, 13, 16)}
    tasks = [f"Write the word right into items/{number:02d}.txt" for number in range(20)]
    async with simulated(FileWriter(slips), FileWriter(), FileWriter()) as sim:
        try:
            done = await agent_on(sim).batch(tasks, workspace=tmp_path, options=options(sim))
        finally:
            await close_clients()
        require_true_bill(done.run, sim)
    assert done.run.verification is not None
    assert done.run.verification.evidence == "20 of 20 tasks passed their checks"
    assert done.run.status == "ok"
    assert [result.task for result in done] == tasks
    tried = [() if one.verification is None else one.verification.attempts for one in done]
    assert sum(len(attempts) == 1 for attempts in tried) == 14
    assert sum(result.bill.cost_usd or 0 for result in done) == done.run.bill.cost_usd
    for result, attempts in zip(done, tried, strict=True):
        assert sum(attempt.cost_usd or 0 for attempt in attempts) == result.bill.cost_usd
        assert {attempt.passed for attempt in attempts[:-1]} <= {False}


async def test_every_rung_stands_in_the_bill_to_the_last_digit(tmp_path: Path) -> None:
    """All five are climbed and none passes: evidence and the reason are left of it."""
    async with simulated(WRONG, WRONG, stubborn) as sim:
        result = await climbed(sim, tmp_path, "Write the word right into items/00.txt")
        require_true_bill(result, sim)
    assert result.verification is not None
    assert {attempt.rung for attempt in result.verification.attempts} == ALL_RUNGS
    for attempt in result.verification.attempts:
        assert "00.txt holds wrong" in attempt.evidence
        assert attempt.reason
    assert result.verification.gave_up == "gave up: every rung was tried"
    assert (result.status, result.stop_reason) == ("incomplete", "check_failed")
    assert "did not pass after 5 rungs" in verdict_line(result)


WRONG = FileWriter(usually=9, writes=8)


def stubborn(asked: Asked) -> Reply:
    """Write a lens if one is wanted, else the wrong word."""
    return smart(asked) if asked.schema is not None else WRONG(asked)


@pytest.mark.parametrize("share", ["0.02", "0.7", "0.98"])
async def test_a_cap_holds_on_every_rung(tmp_path: Path, share: str) -> None:
    """For each rung, a cap that ends the run within it or before it: never more is billed than the cap."""
    scripts, task = (WRONG, WRONG, stubborn), "Write the word right into items/00.txt"
    (tmp_path / "whole").mkdir()
    async with simulated(*scripts) as sim:
        whole = await climbed(sim, tmp_path / "whole", task, max_output_tokens=200)
    assert whole.verification is not None
    spent, ended = Decimal(0), []
    for number, rung in enumerate(whole.verification.attempts):
        assert rung.cost_usd is not None
        cap = spent + rung.cost_usd * Decimal(share)
        spent += rung.cost_usd
        if (number, share) == (0, "0.02"):  # it does not hold one call, and is refused
            continue
        (tmp_path / rung.rung).mkdir()
        async with simulated(*scripts) as sim:
            chosen = {"max_output_tokens": 200, "budget": Budget(usd=cap)}
            result = await climbed(sim, tmp_path / rung.rung, task, **chosen)
            assert sim.bill.total_usd() <= cap
        assert result.bill.cost_usd == sim.bill.total_usd()
        assert result.status == "incomplete"
        assert result.verification is not None
        assert result.verification.passed is False
        assert "00.txt holds wrong" in result.verification.evidence
        # A rung that is cut short may cost less, and leave room for a cheaper one.
        assert len(result.verification.attempts) <= number + 2
        assert result.verification.gave_up
        ended.append((len(result.verification.attempts), result.verification.gave_up))
    assert len(set(ended)) > 1
