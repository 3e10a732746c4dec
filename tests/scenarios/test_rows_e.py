"""An orchestrator with parallel workers and a scratchpad: rows that cross the rooms."""

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.budget.ledger_protocol import Budget
from sunwell.config import Sources
from sunwell.config.resolution import resolve
from sunwell.context.options import RunOptions
from sunwell.core import Request, TaskResult, ToolCall, ToolResult
from sunwell.errors import ServerFailed
from sunwell.events import AnswerSet, RunFinished
from sunwell.testing import ScriptedModel, completion, run_virtual, task_in
from sunwell.tools import tool

SEEDS = Path(__file__).parents[1] / "config" / "seeds"
TOOLS = {
    "delegate",
    "delegate_batch",
    "write_brief",
    "stream_results",
    "await_results",
    "inspect",
    "set_answer",
}


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


@attrs.define(eq=False)
class Worker:
    """A model for many workers: the task says how long it takes, and whether it fails."""

    name: str = "worker"
    price: Any = None
    asked: list[Request] = attrs.field(factory=list)

    async def complete(self, request: Request) -> Any:
        self.asked.append(request)
        text = task_in(request)
        await asyncio.sleep(float(text.partition(" ")[0]))
        if "fail" in text:
            raise ServerFailed("worker", "it broke")
        return attrs.evolve(completion(f"found by {text}"), model=self.name)

    def stream(self, request: Request) -> Any:
        raise NotImplementedError


def call(name: str, **arguments: Any) -> Any:
    """Return an answer that calls one tool."""
    return completion(ToolCall("c1", name, json.dumps(arguments)))


def batch(*tasks: str) -> Any:
    """Return an answer that starts a worker for each task."""
    return call("delegate_batch", tasks=[{"task": task, "tools": None} for task in tasks])


def waiting() -> Any:
    """Return an answer that waits for all workers."""
    return call("await_results", task_ids=None, timeout_seconds=None)


def answer(content: str, *, ready: bool | None = True, confidence: float | None = None) -> Any:
    """Return an answer that sets the answer."""
    return call("set_answer", content=content, ready=ready, confidence=confidence)


def ran(*lines: Any, tools: Any = (look,), **config: Any) -> tuple[TaskResult, ScriptedModel, list[Any]]:
    """Return the result of an orchestrated run on a virtual clock, its orchestrator and its events."""
    boss = ScriptedModel("boss", lines)
    loop = AgentLoop(
        boss, None, LoopConfig(orchestrate=True, **config), smart_model=boss, delegation_model=Worker()
    )

    async def main() -> list[Any]:
        return [event async for event in loop.run("Find out", tools)]

    events = run_virtual(main())
    assert isinstance(events[-1], RunFinished)
    return events[-1].result, boss, events


def told(boss: ScriptedModel, turn: int) -> str:
    """Return the newest tool result that *boss* was given in a turn."""
    parts = [part for message in boss.calls[turn].messages for part in message.parts]
    return [part.content for part in parts if isinstance(part, ToolResult)][-1]


def test_an_orchestrator_has_no_tools_but_those_to_hand_work_out() -> None:
    """A tool of the workspace is not offered to it, and a call of one is refused."""
    result, boss, _ = ran(call("look", place="here"), batch("1 a"), waiting(), answer("Nothing."))
    assert {spec.name for spec in boss.calls[0].tools} == TOOLS
    assert "no tool 'look'" in told(boss, 1)
    assert (result.status, result.answer) == ("ok", "Nothing.")


def test_the_prompt_says_role_tools_pattern_parallel_work_and_budget() -> None:
    """Six steps from breaking down to the answer; as many as possible at once; nothing is waited for idly."""
    _, boss, _ = ran("Done.")
    prompt, place = boss.calls[0].system
    steps = re.findall(r"^\d\.", prompt, re.MULTILINE)
    assert steps == ["1.", "2.", "3.", "4.", "5.", "6."]
    order = [
        "delegate_batch",
        "stream_results",
        "Put them together",
        "inspect only",
        "set_answer",
    ]
    pattern = prompt.partition("## Pattern")[2]
    places = [pattern.index(word) for word in order]
    assert places == sorted(places)
    for words in ("as many independent tasks as you can", "Do not wait for all", "Wait for all only if"):
        assert words in prompt
    assert all(name in prompt for name in TOOLS)
    assert "The status line after each turn says what is left" in prompt
    assert "Workers have these tools: look." in place


def test_every_turn_says_what_is_used_and_left() -> None:
    """Turns, tokens, time and workers; where little is left, to come to an end."""
    budget = Budget(tokens=100_000, seconds=600)
    _, boss, _ = ran(batch("1 a"), waiting(), "Done.", budget=budget, orchestrator_max_turns=4)
    lines = [request.messages[-1].text for request in boss.calls]
    assert "turn 1 of 4" in lines[0]
    assert all(word in lines[0] for word in ("0 tokens spent", "100,000 tokens left", "10 min left"))
    assert "workers: 1 running, 0 queued, 0 not given yet" in lines[1]
    assert "workers: 0 running, 0 queued, 0 not given yet" in lines[2]
    assert ["Little is left" in line for line in lines] == [False, False, False]
    _, short, _ = ran(*[waiting()] * 8, "Done.", orchestrator_max_turns=10)
    assert "Little is left" in short.calls[-1].messages[-1].text


def test_an_orchestrator_has_so_many_turns_of_its_own() -> None:
    """Twenty unless it says otherwise; then one closing call, and the true reason."""
    assert RunOptions().orchestrator_max_turns == 20
    look_again = [call("stream_results")] * 25
    result, boss, _ = ran(*look_again)
    assert (result.status, result.stop_reason) == ("incomplete", "turns")
    assert len(boss.calls) == 21
    assert boss.calls[-1].tool_choice == "none"


def test_an_orchestrated_run_has_half_an_hour() -> None:
    """Unless it is given more or less; a worker that hangs does not hold it."""
    result, _, _ = ran(batch("100000 a"), waiting(), "late", worker_timeout_seconds=None)
    assert (result.status, result.stop_reason) == ("incomplete", "timeout")
    assert 1700 <= result.duration_seconds <= 1800


@pytest.mark.parametrize(
    ("ready", "confidence", "asks"),
    [
        pytest.param(None, 0.89, False, id="left-out-below"),
        pytest.param(None, 0.9, True, id="left-out-at"),
        pytest.param(None, 1.0, True, id="left-out-above"),
        pytest.param(False, 1.0, False, id="a-draft-however-sure"),
    ],
)
def test_a_sure_answer_is_asked_about_once(ready: bool | None, confidence: float, asks: bool) -> None:
    """At the threshold of 0.9, and only if ``ready`` is left out; it never ends the run."""
    draft = answer("A draft.", ready=ready, confidence=confidence)
    result, boss, events = ran(draft, draft, answer("The answer."))
    assert result.answer == "The answer."
    assert ["is it your final answer?" in told(boss, turn) for turn in (1, 2)] == [asks, False]
    seen = [(one.content, one.ready, one.turn) for one in events if isinstance(one, AnswerSet)]
    assert seen == [("A draft.", False, 0), ("A draft.", False, 1), ("The answer.", True, 2)]


def test_only_ready_ends_the_run() -> None:
    """A draft while workers are at work says who is; an empty answer ends nothing."""
    sure = answer("Too early.", ready=False, confidence=1.0)
    result, boss, _ = ran(batch("9 a"), sure, waiting(), answer("", ready=True), answer("Found."))
    assert "Running: 1 (" in told(boss, 2)
    assert "until set_answer with ready=true" in told(boss, 2)
    assert "empty" in told(boss, 4)
    assert result.answer == "Found."


def test_an_answer_without_a_call_is_the_answer() -> None:
    """The run ends with it."""
    result, _, _ = ran(batch("1 a"), waiting(), "It was found.")
    assert (result.status, result.stop_reason, result.answer) == ("ok", "end", "It was found.")


def test_where_the_orchestrators_model_fails_the_workers_results_are_kept() -> None:
    """An error, its sentence, and what was delivered by then."""
    result, _, _ = ran(batch("1 a", "1 b"), waiting(), *[ServerFailed("boss", "it is down")] * 4)
    assert (result.status, result.stop_reason) == ("error", "model_error")
    assert "it is down" in result.error
    assert "found by 1 a" in result.answer
    assert "found by 1 b" in result.answer


def test_each_worker_has_its_entry_under_its_id() -> None:
    """``task:`` and the id is the key in the scratchpad, of failures too, and of its result."""
    result, boss, _ = ran(batch("1 a", "2 fail"), waiting(), call("inspect", key="", page=None), "Done.")
    keys = [one.scratchpad_key for one in result.workers]
    assert keys == [f"task:{one.task_id}" for one in result.workers]
    listed = told(boss, 3)
    assert all(key in listed for key in keys)
    assert "Failed: " in listed
    assert [one.success for one in result.workers] == [True, False]
    assert [one.summary.startswith("Failed: ") for one in result.workers] == [False, True]


@pytest.mark.parametrize("persists", [True, False])
def test_decisions_are_kept_where_that_is_wanted(persists: bool) -> None:
    """They stand in the scratchpad beside what the workers found, unless switched off."""
    settings = {"scratchpad_persist_decisions": persists}
    _, boss, _ = ran(batch("1 a"), waiting(), call("inspect", key="", page=None), "Done.", **settings)
    assert ("decision:" in told(boss, 3)) is persists
    assert RunOptions().scratchpad_persist_decisions


@pytest.mark.parametrize("most", [2, 1000])
def test_the_scratchpad_of_a_run_has_so_many_entries_at_most(most: int) -> None:
    """The newest stay, and can be inspected; what gave way is still among the results."""
    settings = {"scratchpad_max_entries": most, "scratchpad_persist_decisions": False}
    result, boss, _ = ran(
        batch("1 a", "2 b", "3 c"),
        waiting(),
        call("inspect", key="", page=None),
        "Done.",
        **settings,
    )
    kept = [one.task for one in result.workers if one.scratchpad_key in told(boss, 3)]
    assert kept == ["1 a", "2 b", "3 c"][-most:]


@pytest.mark.parametrize(("threshold", "asks"), [(0.5, True), (0.7, False)])
def test_how_sure_is_sure_enough_is_the_callers(threshold: float, asks: bool) -> None:
    """The same draft is asked about, or is not."""
    settings = {"orchestrator_confidence_threshold": threshold}
    draft = answer("A draft.", ready=None, confidence=0.6)
    _, boss, _ = ran(draft, "Another answer.", **settings)
    assert ("is it your final answer?" in told(boss, 1)) is asks


def test_a_batch_with_a_mistake_in_it_gives_the_ids_of_what_it_started() -> None:
    """No worker is at work whose id nobody has; only the task with the mistake has to be sent again."""
    wrong = call("delegate_batch", tasks=[{"task": "1 a", "tools": None}, {"task": " ", "tools": None}])
    result, boss, _ = ran(wrong, waiting(), "Done.")
    (one,) = result.workers
    assert f"- {one.task_id} · 1 a" in told(boss, 1)
    assert "the task is empty" in told(boss, 1)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"20": "7", "30m": "90s", "0.9": "0.75", ": 5 ": ": 6 ", "5m": "45s", "1000": "12", "true": "false"},
    ],
    ids=["as-it-stands", "other-values"],
)
def test_the_sources_own_configuration_is_what_a_run_gets(tmp_path: Path, other: dict[str, str]) -> None:
    """Each of its keys reaches the options that an orchestrated run goes by, whatever its value is."""
    text = (SEEDS / "004.yaml").read_text()
    for old, new in other.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    file = tmp_path / "config.yaml"
    file.write_text(text)
    environ = {"SUNWELL_HOME": str(tmp_path), "ANTHROPIC_API_KEY": "key", "MOONSHOT_API_KEY": "key"}
    made = resolve(Sources(tmp_path, file, environ, trust_config=True).load().values, environ)
    options = made.options
    assert options.orchestrate
    models = [made.registry.get(name).name for name in (options.smart_model, options.delegation_model)]
    assert models == ["claude-sonnet-4", "kimi-k2"]
    got = (
        options.orchestrator_max_turns, options.orchestrator_max_seconds,
        options.orchestrator_confidence_threshold,
        options.max_concurrent, options.worker_timeout_seconds,
        options.scratchpad_max_entries, options.scratchpad_persist_decisions,
    )  # fmt: skip
    assert got == ((7, 90, 0.75, 6, 45, 12, False) if other else (20, 1800, 0.9, 5, 300, 1000, True))
