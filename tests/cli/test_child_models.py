"""Whoever is named as the child model does all work that is handed out, by whatever way it is handed out."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.core import Text, ToolCall
from sunwell.journal import list_runs
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from sunwell.simulator.scripts.conversation_state import ScriptedConversation
from sunwell.simulator.scripts.scripted_orchestrator import orchestrator, part_worker

PARENT, CHILD = "claude-opus-5-5", "gpt-6-luna"
NAMED = ("-m", f"anthropic/{PARENT}", "--child-model", f"openai/{CHILD}")
HANDING_OUT = {"set_answer", "rlm_sub_complete", "subagent"}
QUESTIONS = {
    "rlm_sub_complete": {"query": "Part 1", "max_tokens": None, "system": None, "tools": None},
    "subagent": {"question": "Part 1"},
}


def parent(asked: Asked) -> Reply:
    """Hand work out with the tools that are there; refuse to do any."""
    if "set_answer" in asked.tools:
        return orchestrator(2)(asked)
    name = next((name for name in QUESTIONS if name in asked.tools), None)
    if name is None:
        return DEMO_MODELS[PARENT](asked)
    if ScriptedConversation.of(asked).attempts:
        return Reply((Text("Done."),))
    return Reply((ToolCall("c1", name, json.dumps(QUESTIONS[name])),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a parent that hands work out, and a child."""
    models = {PARENT: parent, CHILD: part_worker(), "claude-haiku-5-5": part_worker()}
    with running_simulator(Simulator(models)) as running:
        yield running


@pytest.fixture
def both_keys(simulator: Simulator) -> dict[str, str]:
    """Return the environment of somebody with the keys of two providers."""
    return {
        "ANTHROPIC_BASE_URL": simulator.url,
        "ANTHROPIC_API_KEY": "simulated-key",
        "OPENAI_BASE_URL": simulator.openai_url,
        "OPENAI_API_KEY": "simulated-key",
    }


def roles(simulator: Simulator) -> Counter[tuple[str, bool]]:
    """Return how often each model was asked, by whether it could hand work out."""
    asked: Counter[tuple[str, bool]] = Counter()
    for request in simulator.requests:
        names = {tool.get("name") or tool["function"]["name"] for tool in request.body.get("tools", ())}
        asked[request.model, bool(names & HANDING_OUT)] += 1
    return asked


def test_named_tools_count_beside_a_switch_that_is_off(
    sunwell, tmp_path: Path, both_keys, simulator: Simulator
) -> None:
    """``--sub-calls`` is short for one choice of ``--delegation-tools``; off, it leaves others alone."""
    asked = ("--delegation-tools", "subagent", "--no-sub-calls", "--no-delegate")
    done = sunwell("run", "Write the parts", "-w", tmp_path, *NAMED, *asked, env=both_keys)
    assert done.exit_code == 0, done.output
    first = simulator.requests[0].body["tools"]
    assert {tool["name"] for tool in first} & {*QUESTIONS} == {"subagent"}


@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        pytest.param(("--orchestrate",), {(PARENT, True): 5, (CHILD, False): 4}, id="orchestrate"),
        pytest.param(
            ("--sub-calls", "--no-delegate"), {(PARENT, True): 2, (CHILD, False): 2}, id="sub-calls"
        ),
        pytest.param(
            ("--delegation-tools", "subagent", "--no-delegate"),
            {(PARENT, True): 2, (CHILD, False): 2},
            id="subagent",
        ),
    ],
)
def test_a_run(sunwell, tmp_path: Path, both_keys, simulator: Simulator, arguments, counted) -> None:
    """The parent hands out, the child works, and nobody else is asked."""
    done = sunwell("run", "Write the parts", "-w", tmp_path, *NAMED, *arguments, env=both_keys)
    assert done.exit_code == 0, done.output
    assert roles(simulator) == counted


def test_a_batch(sunwell, tmp_path: Path, both_keys, simulator: Simulator) -> None:
    """The smart model writes the lens, the child does every task."""
    (tmp_path / "tasks.jsonl").write_text('"Part 1 of 2"\n"Part 2 of 2"\n')
    done = sunwell("batch", tmp_path / "tasks.jsonl", "-w", tmp_path, *NAMED, env=both_keys)
    assert done.exit_code == 0, done.output
    assert roles(simulator) == {(PARENT, False): 1, (CHILD, False): 4}


def test_a_run_that_is_resumed(sunwell, tmp_path: Path, both_keys, simulator: Simulator) -> None:
    """The recorded names hold, whatever the configuration says meanwhile."""
    given = ("run", "Write the parts", "-w", tmp_path, *NAMED, "--orchestrate", "--max-calls", "2")
    assert sunwell(*given, env=both_keys).exit_code == 3
    before = len(simulator.requests)
    (run,) = list_runs(tmp_path)
    env = both_keys | {"SUNWELL_DELEGATION_MODEL": "haiku", "SUNWELL_MODEL": "haiku"}
    done = sunwell("resume", run.run_id, "-w", tmp_path, "--max-calls", "50", env=env)
    assert done.exit_code == 0, done.output
    assert len(simulator.requests) > before
    assert {model for model, _ in roles(simulator)} == {PARENT, CHILD}
    assert (CHILD, True) not in roles(simulator)


def test_a_fork(sunwell, tmp_path: Path, both_keys, simulator: Simulator) -> None:
    """Another child is named for it, and works from there on."""
    given = ("run", "Write the parts", "-w", tmp_path, *NAMED, "--orchestrate")
    assert sunwell(*given, env=both_keys).exit_code == 0
    before = roles(simulator)
    (run,) = list_runs(tmp_path)
    at = ("--at", "run/orchestrator", "--accept-changes")
    changed = ("--child-model", "haiku")
    done = sunwell("fork", run.run_id, *at, "-w", tmp_path, *changed, env=both_keys)
    assert done.exit_code == 0, done.output
    assert set(roles(simulator) - before) == {(PARENT, True), ("claude-haiku-5-5", False)}


def test_a_fork_of_a_run_without_workers(sunwell, tmp_path: Path, both_keys, simulator: Simulator) -> None:
    """A child that would never be asked is refused with a sentence."""
    assert sunwell("run", "Say hello", "-w", tmp_path, "-m", "opus", env=both_keys).exit_code == 0
    (run,) = list_runs(tmp_path)
    given = ("fork", run.run_id, "--at", "run/direct", "-w", tmp_path, "--child-model", "haiku")
    done = sunwell(*given, env=both_keys)
    assert (done.exit_code, "the run hands nothing out" in done.stderr) == (2, True)
    assert len(simulator.requests) == 1
