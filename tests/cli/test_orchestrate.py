"""``sunwell run --orchestrate``: who asked for whom, what came of it, and what is refused."""

import json
from pathlib import Path

import pytest

from sunwell.cli.progress import Progress
from sunwell.core import Text, ToolCall
from sunwell.core.task import Status, TaskResult
from sunwell.events import (
    AnswerSet,
    ModelCallFinished,
    ModelCallStarted,
    RunFinished,
    ToolCallFinished,
    WorkerFailed,
    WorkerQueued,
    WorkerWaiting,
)
from sunwell.report.summary import summary_text
from sunwell.simulator import Asked, Fault, FaultPlan, Occasion, Reply, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker

PAIR = ("--smart-model", "opus", "--delegation-model", "haiku")


@pytest.fixture
def simulator():
    """Run an orchestrator with three workers, of which one fails at first."""
    models = {"claude-opus-5-5": orchestrator(3), "claude-haiku-5-5": part_worker((1,))}
    with running_simulator(Simulator(models)) as running:
        yield running


def test_an_orchestrated_run_prints_its_answer_and_its_bill(
    sunwell, tmp_path: Path, simulator: Simulator
) -> None:
    """The answer is the orchestrator's; files and costs are those of all its workers."""
    done = sunwell("run", "Write all parts down", "-w", tmp_path, *PAIR, "--orchestrate", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["status"] == "ok"
    assert told["answer"].startswith("3 of 3 parts are done.")
    assert sorted(file["path"] for file in told["files"]) == [f"parts/{part:03d}.txt" for part in range(3)]
    assert float(told["cost_usd"]) == pytest.approx(float(simulator.bill.total_usd()))


@pytest.mark.parametrize("task", ["Say what this shop lacks", "Generate CRUD endpoints for 5 entities"])
def test_the_models_that_simulate_serves_can_be_orchestrated(sunwell, tmp_path: Path, task: str) -> None:
    """Whoever has no key can watch it: the task is handed out in parts, and put together again."""
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
        done = sunwell("run", task, "-w", tmp_path, *PAIR, "--orchestrate", "--json", env=env)
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["answer"].startswith("4 of 4 parts are done.")
    assert "missing" not in told["answer"]


def test_without_names_it_takes_the_pair_of_the_key(sunwell, tmp_path: Path, simulator: Simulator) -> None:
    """The smart model hands out, the cheap one works."""
    done = sunwell("run", "Write all parts down", "-w", tmp_path, "--orchestrate")
    assert done.exit_code == 0, done.output
    assert {entry.model for entry in simulator.bill.entries()} == {"claude-opus-5-5", "claude-haiku-5-5"}


def test_workers_that_did_not_end_well_are_named(sunwell, tmp_path: Path, simulator: Simulator) -> None:
    """By the names that progress lines and ``show`` have, with the reason; and how many ended well."""
    done = sunwell("run", "Write all parts down", "-w", tmp_path, *PAIR, "--orchestrate")
    assert done.exit_code == 0, done.output
    assert (
        "workers  3 of 4 ok\n         task-0-0-1 incomplete (refusal): claude-haiku-5-5 refused"
        in done.stderr
    )
    assert "orchestrator/task-0-0-1" in done.stderr


def test_the_verdict_counts_the_checks_of_workers(sunwell, tmp_path: Path) -> None:
    """The run itself had none, and this says so."""

    def boss(asked: Asked) -> Reply:
        made = sum(message.role == "assistant" for message in asked.messages)
        if made == 0:
            item = {"tools": None, "context": None}
            tasks = [{**item, "task": f"look {check}", "check": check} for check in ("true", "false")]
            return Reply((ToolCall("c0", "delegate_batch", json.dumps({"tasks": tasks})),))
        if made == 1:
            return Reply((ToolCall("c1", "await_results", json.dumps({"task_ids": None})),))
        return Reply((Text("Seen."),))

    models = {"claude-opus-5-5": boss, "claude-haiku-5-5": lambda _: Reply((Text("It is fine."),))}
    with running_simulator(Simulator(models)) as running:
        env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
        shell = ("--allow-shell", "--sandbox", "off")
        done = sunwell("run", "Look", "-w", tmp_path, *PAIR, "--orchestrate", *shell, env=env)
    assert done.exit_code == 0, done.output
    assert (
        "verdict  not verified: there was no check\n         checks of workers: 1 passed, 1 failed"
        in done.stderr
    )
    assert "workers  1 of 2 ok\n         task-0-0-1 incomplete (check_failed)" in done.stderr


def test_a_later_run_may_read_an_earlier_scratchpad(sunwell, tmp_path: Path) -> None:
    """``--after`` names the run; one that is not there is refused before anything is asked."""
    first = json.loads(sunwell("run", "Write", "-w", tmp_path, *PAIR, "--orchestrate", "--json").stdout)
    again = sunwell("run", "Write", "-w", tmp_path, *PAIR, "--orchestrate", "--after", first["run_id"])
    assert again.exit_code == 0, again.output
    wrong = sunwell("run", "Write", "-w", tmp_path, *PAIR, "--orchestrate", "--after", "nope")
    assert wrong.exit_code == 2, wrong.output
    assert "nope" in wrong.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        pytest.param(("--orchestrate", "--max-depth", "0"), "max_depth must be at least 1", id="no-depth"),
        pytest.param(
            ("--orchestrate", "--delegation-tools", "rlm"), "has the tools of delegate", id="other-tools"
        ),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_asked(
    sunwell, tmp_path: Path, simulator: Simulator, arguments: tuple[str, ...], says: str
) -> None:
    """Exit code 2, one sentence, and no request."""
    done = sunwell("run", "Write", "-w", tmp_path, *PAIR, *arguments)
    assert done.exit_code == 2, done.output
    assert says in done.output
    assert len(simulator.bill.entries()) == 0


def boss_in_a_hurry(asked: Asked) -> Reply:
    """Start four workers, wait for one, and answer twice in one message."""
    made = sum(message.role == "assistant" for message in asked.messages)
    if made == 0:
        tasks = [{"tools": None, "context": None, "task": f"look at part {n}"} for n in range(4)]
        return Reply((ToolCall("c0", "delegate_batch", json.dumps({"tasks": tasks})),))
    if made == 1:
        return Reply((ToolCall("c1", "await_results", json.dumps({"task_ids": None, "at_least": 1})),))
    said = {"content": "All is well.", "ready": True, "confidence": None}
    return Reply(tuple(ToolCall(f"c{n}", "set_answer", json.dumps(said)) for n in (2, 3)))


def all_but_the_first(model: str) -> FaultPlan:
    """Have only the first request to *model* answered before the run is over."""
    seen: list[int] = []

    def plan(occasion: Occasion) -> Fault | None:
        if occasion.model != model or occasion.counting:
            return None
        seen.append(occasion.number)
        return Fault(stall_before_seconds=300) if len(seen) > 1 else None

    return plan


def test_after_the_answer_only_the_summary_follows(sunwell, tmp_path: Path) -> None:
    """What was stopped because the answer was there has not failed, and what workers left is counted."""
    models = {"claude-opus-5-5": boss_in_a_hurry, "claude-haiku-5-5": lambda _: Reply((Text("It is fine."),))}
    told = []
    for more in ((), ("-v",)):
        faults = all_but_the_first("claude-haiku-5-5")
        with running_simulator(Simulator(models, faults=faults)) as running:
            env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
            told.append(sunwell("run", "Look", "-w", tmp_path, *PAIR, "--orchestrate", *more, env=env))
    done, verbose = told
    assert (done.exit_code, done.stdout) == (0, "All is well.\n\n"), done.output
    assert [word for word in ("failed", "cancelled", "unresolved:") if word in done.stderr] == []
    assert "workers  1 of 4 ok, 3 stopped when the answer was there" in done.stderr
    assert "set_answer failed" in verbose.stderr


@pytest.mark.parametrize("status", ["ok", "incomplete"])
def test_what_workers_left_unresolved_is_counted_if_the_run_is_done(status: Status) -> None:
    """The model that read their reports has answered; what it left itself is told, and all in ``--json``."""
    left = ("the last command failed", "nothing was changed")
    worker = TaskResult("Look", "ok", "end", task_id="01A", span="run/o/task-0-0-0", unresolved=left[:1])
    unresolved = (left[1], f"01A: {left[0]}")
    text = summary_text(TaskResult("Look", status, "end", workers=(worker,), unresolved=unresolved))
    assert f"unresolved: {left[1]}\n" in text
    assert (f"unresolved: 01A: {left[0]}" in text) == (status != "ok")
    assert ("workers  1 of 1 ok, 1 with something unresolved (sunwell show names it)" in text) == (
        status == "ok"
    )


def test_in_the_live_view_an_orchestrator_that_has_answered_is_done() -> None:
    """And a worker that was stopped because of that has not failed."""
    boss, worker = "run/orchestrator", "run/orchestrator/task-0-0-0"
    progress = seen(
        call(boss, 0, "orchestrate"),
        WorkerQueued(worker, "01A", "Read", 1, boss),
        call(worker),
        AnswerSet(boss, "Done.", True, None, 2),
        ToolCallFinished(boss, "set_answer", True, 0.0),
        ModelCallFinished(worker, 0, "haiku", "work", 1, error="it was cancelled"),
        RunFinished("01", TaskResult("Read", "ok", "end")),
    )
    assert [(row.state, row.doing) for row in progress.rows.values()] == [("done", ""), ("stopped", "")]


def seen(*events) -> Progress:
    """Return what is known after *events*."""
    progress = Progress()
    for event in events:
        progress.see(event)
    return progress


def call(span: str, depth: int = 1, purpose: str = "work") -> ModelCallStarted:
    return ModelCallStarted(span, 0, "haiku", purpose, depth)


def test_rows_stand_below_who_asked_for_them_under_the_name_of_their_task() -> None:
    """A tree, whatever the order in which work began."""
    boss, first, second = "run/orchestrator", "run/orchestrator/task-0-0-0", "run/orchestrator/task-0-0-1"
    nested = f"{first}/task-1-0-0"
    progress = seen(
        call(boss, 0, "orchestrate"),
        WorkerQueued(first, "01A", "Read the code", 1, boss),
        WorkerQueued(second, "01B", "Read the tests", 1, boss),
        call(first),
        call(second),
        WorkerQueued(nested, "01C", "Read one file", 2, first),
        call(nested, 2),
    )
    rows = [(row.who, row.level) for row in progress.rows.values()]
    assert rows == [("orchestrate", 0), ("Read the code", 1), ("Read one file", 2), ("Read the tests", 1)]


def test_a_row_says_when_its_worker_waits_and_how_it_failed() -> None:
    """Waiting for its own workers; then failed, with the error, or stopped."""
    span = "run/orchestrator/task-0-0-0"
    queued = WorkerQueued(span, "01A", "Read", 1, "run/orchestrator")
    (row,) = seen(queued, call(span), WorkerWaiting(span, "01A")).rows.values()
    assert row.doing == "waiting for its workers"
    finished = ModelCallFinished(span, 0, "haiku", "work", 1, stop="end")
    for status, state in (("error", "failed"), ("cancelled", "stopped")):
        failed = WorkerFailed(span, "01A", status, "model_error", "it broke")
        (row,) = seen(queued, call(span), finished, failed).rows.values()
        assert (row.state, row.doing) == (state, "it broke")
