"""``--ignore`` over real HTTP: nothing of a hidden file reaches a provider, whoever asks for it."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sunwell.core import Text, ToolCall
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import RunOpened
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.simulator.scripts.conversation_state import all_text
from tests.agent.orchestrated import TASK_ID
from tests.cli.conftest import Invoke

TASK = "Write 20 files about 5 entities, as told in plans/secret.py and rows.csv"
CANARY = "canary_91be"
LOOKING: Sequence[tuple[str, dict[str, object]]] = (
    ("list_files", {"path": ".", "depth": 9}),
    ("search_files", {"pattern": CANARY[:6] + "_", "literal": True, "path": None, "glob": None}),
    ("read_file", {"path": "plans/secret.py", "start_line": None, "end_line": None}),
    ("edit_file", {"path": "rows.csv", "old": "1,2", "new": "3,4"}),
    ("write_file", {"path": "plans/new.py", "content": "x = 1\n"}),
    ("execute_python", {"code": "print(list_files())\nprint(read_file('rows.csv'))"}),
)


def hands_out(asked: Asked) -> tuple[str, dict[str, object]]:
    """Start a worker, wait for it, and be done."""
    done = sum(message.role == "tool" for message in asked.messages)
    if done == 0:
        return "delegate", {"task": "Look around.", "tools": None}
    if done == 1:
        return "await_results", {"task_ids": TASK_ID.findall(all_text(asked)), "timeout_seconds": None}
    return "set_answer", {"content": "Done.", "ready": True, "confidence": 1}


def looks_everywhere(asked: Asked) -> Reply:
    """Write a lens, or hand out, if there is nothing else to do; else try one tool after the other."""
    done = sum(message.role == "tool" for message in asked.messages)
    if not asked.tools:
        return Reply((Text(json.dumps({"heuristics": ["Models first."], "task_scope": "the shop"})),))
    if "set_answer" not in asked.tools and done >= len(LOOKING):
        return Reply((Text("Done."),))
    name, given = hands_out(asked) if "set_answer" in asked.tools else LOOKING[done]
    return Reply((ToolCall(f"c{done}", name, json.dumps(given)),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run models that look for what they are not shown."""
    models = dict.fromkeys(("claude-opus-5-5", "claude-haiku-5-5"), looks_everywhere)
    with running_simulator(Simulator(models)) as running:
        yield running


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """Return a workspace with files that nobody is to see, and one that everybody is."""
    folder = tmp_path / "work"
    (folder / "plans").mkdir(parents=True)
    (folder / "plans/secret.py").write_text(f"def {CANARY}(): ...\n")
    (folder / "rows.csv").write_text(f"{CANARY}\n1,2\n")
    (folder / "main.py").write_text("def main(): ...\n")
    return folder


def sent_to(simulator: Simulator) -> str:
    """Return all that was ever sent."""
    return json.dumps([request.body for request in simulator.requests])


HOW = {
    "option": (("--ignore", "plans/", "--ignore", "*.csv"), {}, ""),
    "variable": ((), {"SUNWELL_IGNORE": "plans/\n*.csv\n"}, ""),
    "untrusted-file": ((), {}, 'ignore = ["plans/", "*.csv"]\n'),
}
WAYS = {
    "direct": ("-m", "opus", "--no-delegate"),
    "lens": ("-m", "opus", "--delegation-model", "haiku", "--delegation-threshold-tokens", "0"),
    "orchestrated": ("-m", "opus", "--delegation-model", "haiku", "--orchestrate"),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("options", "variables", "file"), HOW.values(), ids=HOW)
def test_no_hidden_content_is_sent(
    sunwell: Invoke, keys, simulator, work: Path, way: str, options, variables, file: str
) -> None:
    """Prompt, surroundings, lens, and each tool of whoever works; the setting means the same everywhere."""
    if file:
        (work / "sunwell.toml").write_text(file)
    done = sunwell("run", TASK, *WAYS[way], "--allow-python", *options, "-w", work, env={**keys, **variables})
    assert done.exit_code == 0, done.output
    sent = sent_to(simulator)
    assert CANARY not in sent
    assert "main.py" in sent
    assert sent.replace(TASK, "").count("is hidden by the user (setting ignore)") >= 4
    assert sorted(one.name for one in (work / "plans").iterdir()) == ["secret.py"]
    assert (work / "rows.csv").read_text() == f"{CANARY}\n1,2\n"


def test_without_it_the_same_models_see_all(sunwell: Invoke, simulator, work: Path) -> None:
    """So what the tests above do not find is not there because of the setting."""
    done = sunwell("run", TASK, *WAYS["lens"], "--allow-python", "-w", work)
    assert done.exit_code == 0, done.output
    assert CANARY in json.dumps(simulator.requests[0].body)
    assert "hidden by the user" not in sent_to(simulator)


def test_a_run_goes_on_with_the_patterns_that_it_began_with(sunwell: Invoke, simulator, work: Path) -> None:
    """Resume, fork and replay have them from the record, whatever is configured by then."""
    options = ("--ignore", "plans/", "--ignore", "*.csv", "--allow-python", "--budget-calls", "1")
    first = sunwell("run", TASK, *WAYS["direct"], *options, "-w", work)
    assert first.exit_code == 3, first.output
    [run] = list_runs(work)
    opened = next(record for record in read_records(run.path) if isinstance(record, RunOpened))
    assert opened.settings["options"]["ignore"] == ["plans/", "*.csv"]
    (work / "sunwell.toml").write_text('ignore = ["main.py"]\n')
    again = ("--allow-python", "-w", work, "--budget-calls", "20")
    resumed = sunwell("resume", run.run_id, *again)
    assert resumed.exit_code == 0, resumed.output
    forked = sunwell("fork", run.run_id, "--at", "run/direct:1", *again)
    assert forked.exit_code == 0, forked.output
    assert sunwell("replay", run.run_id, "-w", work).exit_code == 0
    sent = sent_to(simulator)
    assert CANARY not in sent
    assert sent.count("\"rows.csv' is hidden") == 0
    said = {
        part["content"] if isinstance(part["content"], str) else json.dumps(part["content"])
        for request in simulator.requests
        for message in request.body["messages"]
        for part in message["content"]
        if isinstance(part, dict) and part.get("type") == "tool_result"
    }
    assert any("main.py" in one for one in said)
    assert any("'plans/secret.py' is hidden by the user" in one for one in said)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param(("--ignore", "data["), "ignore cannot have the pattern 'data['", id="option"),
        pytest.param((), "ignore cannot have the pattern './x'", id="file"),
    ],
)
def test_a_pattern_that_matches_nothing_is_one_sentence(
    sunwell: Invoke, simulator, work: Path, given, said: str
) -> None:
    """Before anything is asked or written."""
    if not given:
        (work / "sunwell.toml").write_text('ignore = ["./x"]\n')
    done = sunwell("run", TASK, *WAYS["direct"], *given, "-w", work)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert (simulator.requests, list_runs(work)) == ((), ())


def test_the_estimate_reads_what_the_run_would_read(sunwell: Invoke, work: Path) -> None:
    """A lens over fewer files is cheaper."""
    (work / "rows.csv").write_text("1,2\n" * 50_000)
    (work / "plans/secret.py").write_text("x = 1\n" * 20_000)
    told = [
        json.loads(sunwell("estimate", TASK, *WAYS["lens"], "-w", work, "--json", *more).stdout)
        for more in ((), ("--ignore", "*.csv", "--ignore", "plans/"))
    ]
    seen = [one["quote"]["sides"]["delegated"]["expected_usd"] for one in told]
    assert float(seen[1]) < float(seen[0])
