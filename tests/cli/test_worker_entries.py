"""Workers in ``--json``, ``--trace`` and ``sunwell export``: one schema, the same in all three."""

import json
import re
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.core import Text
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker

PAIR = ("--smart-model", "opus", "--delegation-model", "haiku")
SAME = ("workers", "confidence", "conflicts", "unresolved")
FIELDS = [
    "id", "parent", "task", "status", "stop_reason", "error", "answer_by", "turns", "duration_seconds",
    "usage", "cost_usd", "tools_called", "files", "commands", "conflicts", "unresolved", "verification",
    "texts",
]  # fmt: skip
OLD = Path(__file__).parents[1] / "data" / "journals" / "orchestrated"
DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def served(**scripts: Any) -> Iterator[dict[str, str]]:
    """Yield the environment in which opus and haiku are these scripts."""
    models = {f"claude-{name}-5-5": script for name, script in scripts.items()}
    with running_simulator(Simulator(models)) as running:
        yield {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}


@pytest.fixture
def keys() -> Iterator[dict[str, str]]:
    """Three parts, of which one is refused at first and handed out once more."""
    yield from served(opus=orchestrator(3), haiku=part_worker((1,)))


def all_three(sunwell, folder: Path, *arguments: str, texts: bool = False) -> list[dict[str, Any]]:
    """Return what ``--json``, ``--trace`` and ``export`` say of the same run."""
    more = ("--with-texts",) if texts else ()
    trace = folder.parent / "trace.json"
    done = sunwell("run", *arguments, "-w", folder, "--json", "--trace", trace, *more)
    assert done.exit_code in (0, 3), done.output
    told = json.loads(done.stdout)
    exported = sunwell("export", told["run_id"], "-w", folder, *more)
    assert exported.exit_code == 0, exported.output
    return [told, json.loads(trace.read_text()), json.loads(exported.stdout)]


@pytest.mark.parametrize("texts", [False, True], ids=["without-texts", "with-texts"])
def test_workers_are_the_same_in_all_three(sunwell, tmp_path: Path, texts: bool) -> None:
    """Id, task, end, cost, tokens, files and the rest; texts only on request."""
    folder = tmp_path / "work"
    folder.mkdir()
    told, *others = all_three(sunwell, folder, "Write all parts down", *PAIR, "--orchestrate", texts=texts)
    for other in others:
        assert {name: other[name] for name in SAME} == {name: told[name] for name in SAME}
        assert other["root"]["type"] == "run"
    first, refused, third, again = told["workers"]
    assert [list(worker) for worker in told["workers"]] == [FIELDS] * 4
    assert all(re.fullmatch(r"\w{26}", worker["id"]) for worker in told["workers"])
    assert (first["status"], first["stop_reason"], first["parent"], first["error"]) == (
        "ok",
        "end",
        None,
        None,
    )
    assert (refused["status"], refused["stop_reason"], refused["files"]) == ("incomplete", "refusal", [])
    assert [(file["path"], file["change"]) for file in third["files"]] == [("parts/002.txt", "made")]
    assert again["tools_called"] == {"write_file": 1}
    assert told["confidence"] == 0.95
    assert first["usage"]["total_tokens"] > 0
    rest = Decimal(next(part["cost_usd"] for part in told["by_depth"] if part["depth"] == 1))
    assert sum(Decimal(worker["cost_usd"]) for worker in told["workers"]) == rest
    if texts:
        assert first["texts"]["task"] == "Part 0 of 3: write it down and report what you wrote."
        assert first["texts"]["report"].startswith("wrote ")
    else:
        assert {json.dumps(worker["texts"]) for worker in told["workers"]} == {"null"}


def test_the_fields_of_a_worker_are_documented() -> None:
    """Each once, in the order in which they are written."""
    (table,) = re.findall(r"\| field of a worker \|.*?(?=\n\n)", DOCS.read_text(), re.DOTALL)
    named = [name for row in table.splitlines()[2:] for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert named == FIELDS


def nested_boss(asked: Asked) -> Reply:
    """Ask one worker, which asks one of its own."""
    talk = ScriptedConversation.of(asked)
    calls = [
        Wanted("delegate", {"task": "Hand this on", "tools": None}),
        Wanted("await_results", {"task_ids": None, "timeout_seconds": None}),
        Wanted("set_answer", {"content": "done", "ready": True, "confidence": None}),
    ]
    return Reply((calls[talk.turns].as_call(f"call_{talk.turns}"),))


def nested_worker(asked: Asked) -> Reply:
    """Hand the task on, or say that it is done."""
    talk = ScriptedConversation.of(asked)
    calls = [
        Wanted("delegate", {"task": "Part 7: the last hand", "tools": []}),
        Wanted("await_results", {"task_ids": None, "timeout_seconds": None}),
    ]
    if talk.task.startswith("Hand this on") and talk.turns < len(calls):
        return Reply((calls[talk.turns].as_call(f"call_{talk.turns}"),))
    return Reply((Text("It is done."),))


def test_a_worker_names_who_started_it(sunwell, tmp_path: Path) -> None:
    """The id of a worker, or null for the run itself; figures of the parent include its own workers'."""
    for env in served(opus=nested_boss, haiku=nested_worker):
        done = sunwell(
            "run", "Go", "-w", tmp_path, *PAIR, "--orchestrate", "--max-depth", "2", "--json", env=env
        )
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    parent, child = told["workers"]
    assert (parent["parent"], child["parent"]) == (None, parent["id"])
    assert Decimal(parent["cost_usd"]) > Decimal(child["cost_usd"]) > 0
    assert told["confidence"] is None
    exported = json.loads(sunwell("export", told["run_id"], "-w", tmp_path).stdout)
    assert exported["workers"] == told["workers"]


def same_file(asked: Asked) -> Reply:
    """Write the one file that all parts write."""
    talk = ScriptedConversation.of(asked)
    call = Wanted("write_file", {"path": "shared.txt", "content": f"{talk.task[:7]}\n"})
    if talk.is_open(call, 1):
        return Reply((call.as_call("call_0"),))
    return Reply((Text("wrote it"),))


def test_conflicts_stand_at_both_workers_and_at_the_run(sunwell, tmp_path: Path) -> None:
    """Whoever ended first was not told of it then, and has it here."""
    folder = tmp_path / "work"
    folder.mkdir()
    for env in served(opus=orchestrator(2), haiku=same_file):
        done = sunwell("run", "Write", "-w", folder, *PAIR, "--orchestrate", "--json", env=env)
    told = json.loads(done.stdout)
    (conflict,) = told["conflicts"]
    assert conflict["path"] == "shared.txt"
    assert {conflict["first"], conflict["second"]} == {worker["id"] for worker in told["workers"]}
    assert [worker["conflicts"] for worker in told["workers"]] == [[conflict]] * 2
    exported = json.loads(sunwell("export", told["run_id"], "-w", folder).stdout)
    assert {name: exported[name] for name in SAME} == {name: told[name] for name in SAME}


def test_workers_of_a_batch_have_the_same_fields_with_their_verification(sunwell, tmp_path: Path) -> None:
    """Ids are those of the results file; what a check found stands at its worker."""
    folder = tmp_path / "work"
    folder.mkdir()
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('{"text": "Part 1 of 2: go", "check": "true"}\n"Part 2 of 2: go"\n')
    done = sunwell("batch", tasks, "-w", folder, "-m", "haiku", "--sandbox", "off", "--json")
    assert done.exit_code == 3, done.output  # the second has no check
    told = json.loads(done.stdout)
    assert [worker["id"] for worker in told["workers"]] == ["task-0", "task-1"]
    assert told["workers"][0]["verification"]["passed"] is True
    assert told["workers"][1]["verification"] is None
    exported = json.loads(sunwell("export", told["run_id"], "-w", folder).stdout)
    assert {name: exported[name] for name in SAME} == {name: told[name] for name in SAME}


def test_a_run_that_was_killed_exports_who_is_open(sunwell, tmp_path: Path) -> None:
    """Cut after its second worker began: that one is open, with what it cost so far."""
    done = sunwell("run", "Write all parts down", "-w", tmp_path, *PAIR, "--orchestrate", "--json")
    told = json.loads(done.stdout)
    journal = Path(told["journal"])
    lines = journal.read_bytes().splitlines(keepends=True)
    ends = [number for number, line in enumerate(lines) if b'"kind":"sub_completion"' in line]
    journal.write_bytes(b"".join(lines[: ends[1]]))
    cut = json.loads(sunwell("export", told["run_id"], "-w", tmp_path).stdout)
    assert [worker["status"] for worker in cut["workers"]].count("open") >= 1
    opened = next(worker for worker in cut["workers"] if worker["status"] == "open")
    assert (opened["stop_reason"], opened["duration_seconds"]) == (None, None)
    assert cut["confidence"] is None


def test_an_older_orchestrated_run_has_its_workers_and_no_quote(sunwell, tmp_path: Path) -> None:
    """Nothing new is needed in its journal, and no quote is made up for it."""
    workspace = tmp_path / "journal-example"
    shutil.copytree(OLD / "workspace", workspace)
    shutil.copytree(OLD / "runs", workspace / ".sunwell" / "runs")
    (run,) = (path.name for path in (OLD / "runs").iterdir())
    assert sunwell("adopt", run, "-w", workspace).exit_code == 0
    resumed = json.loads(sunwell("resume", run, "-w", workspace, "--json").stdout)
    exported = json.loads(sunwell("export", run, "-w", workspace).stdout)
    assert resumed["workers"]
    assert {name: exported[name] for name in SAME} == {name: resumed[name] for name in SAME}
    assert resumed["quote"] is None


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(("run", "Write", "--with-texts"), id="run"),
        pytest.param(("export", "01", "--with-texts", "--format", "chrome-trace"), id="export"),
    ],
)
def test_texts_that_would_be_given_nowhere_are_refused(sunwell, tmp_path: Path, arguments) -> None:
    """With exit code 2, before anything is asked."""
    done = sunwell(*arguments, "-w", tmp_path)
    assert done.exit_code == 2
    assert "--with-texts has no effect here" in done.stderr
