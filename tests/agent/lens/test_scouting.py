"""A smart model that is not shown enough looks for itself: over real HTTP, in three formats, within caps."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sunwell.agent import Agent
from sunwell.agent.lens.scouting import needs_scouting
from sunwell.agent.prompts import LENS_PROMPT, SCOUT_NO_MORE
from sunwell.budget import Budget
from sunwell.context.excerpts import Shown
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import TaskResult, Text, ToolCall
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.simulator import Asked, Reply, Simulator

TASK = "Rename the entity invoice in all modules"
GOOD = json.dumps({"task_scope": "invoices", "heuristics": ["Rename the class first."]})
MODELS: dict[str, tuple[type[Any], str, str, str]] = {
    "messages": (AnthropicModel, "anthropic", "claude-opus-5-5", "claude-haiku-5-5"),
    "chat": (ChatModel, "openai", "gpt-6.1-sol", "gpt-6-luna"),
    "responses": (ResponsesModel, "openai", "gpt-6.1-sol", "gpt-6-luna"),
}
SEARCH = ToolCall(
    "c1", "search_files", json.dumps({"pattern": "hidden", "literal": True, "path": None, "glob": None})
)
READ = ToolCall("c2", "read_file", json.dumps({"path": "m59.py", "start_line": None, "end_line": None}))


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """Return a workspace of which not all that fits the task can be shown."""
    for number in range(60):
        lines = [f"def invoice_{number}_{line}():\n    return 'the invoice'\n" for line in range(60)]
        (tmp_path / f"m{number}.py").write_text("\n".join(lines) + f"\nhidden_{number} = 1\n")
    return tmp_path


def looking(turns: int) -> Callable[[Asked], Reply]:
    """Return a smart model that looks so many times before it writes the lens."""

    def answer(asked: Asked) -> Reply:
        done = sum(message.role == "tool" for message in asked.messages)
        if asked.tools and done < turns and SCOUT_NO_MORE not in asked.messages[-1].text:
            return Reply((SEARCH, READ))
        return Reply((Text(GOOD),))

    return answer


def works(asked: Asked) -> Reply:
    """Be done at once."""
    return Reply((Text("No module has it, so nothing was changed."),))


def simulator_of(dialect: str, smart: Callable[[Asked], Reply]) -> Simulator:
    _, _, smart_id, cheap_id = MODELS[dialect]
    return Simulator({smart_id: smart, cheap_id: works})


def agent_on(simulator: Simulator, dialect: str) -> Agent:
    kind, provider, smart_id, cheap_id = MODELS[dialect]
    url = simulator.url if provider == "anthropic" else f"{simulator.url}/v1"
    smart, cheap = (kind(name, Connection(provider, url, "key")) for name in (smart_id, cheap_id))
    return Agent(model=smart, smart_model=smart, delegation_model=cheap)


def much(task: str) -> int:
    """Expect so much output that a lens pays."""
    return 40_000


def session_in(workspace: Path, **options: Any) -> SessionContext:
    given = {"enable_delegation": True, "estimator": much, **options}
    return SessionContext.build(workspace, TASK, options=RunOptions(**given))


async def run(
    workspace: Path, smart: Callable[[Asked], Reply], dialect: str = "messages", **options: Any
) -> tuple[TaskResult, list[Any], Simulator]:
    """Return the result of a run, the bodies of the requests to the smart model, and the simulator."""
    async with simulator_of(dialect, smart) as simulator, agent_on(simulator, dialect) as agent:
        result = await agent.run(session_in(workspace, **options))
        asked = [one.body for one in simulator.requests if one.body["model"] == MODELS[dialect][2]]
        return result, asked, simulator


@pytest.mark.parametrize("dialect", MODELS)
async def test_the_lens_writer_looks_and_then_writes(large: Path, dialect: str):
    """Its tools only read, its results are in the next request, and the bill has all of it as the lens."""
    result, asked, simulator = await run(large, looking(2), dialect)
    assert (result.status, result.lens and result.lens.heuristics) == ("ok", ("Rename the class first.",))
    assert len(asked) == 3
    names = [tool.get("name") or tool["function"]["name"] for tool in asked[0]["tools"]]
    assert names == ["list_files", "read_file", "search_files"]
    assert all(body["tools"] == asked[0]["tools"] for body in asked)
    assert "hidden_59 = 1" in json.dumps(asked[-1])
    lens = next(line for line in result.bill.lines if line.purpose == "lens")
    assert lens.total.calls == 3
    assert result.bill.cost_usd == simulator.bill.total_usd()


@pytest.mark.parametrize("dialect", MODELS)
async def test_what_was_read_is_read_from_the_cache(large: Path, dialect: str):
    """Instructions, tools and earlier messages stay the same bytes, also in the last request."""
    result, *_ = await run(large, looking(9), dialect)
    usage = next(line for line in result.bill.lines if line.purpose == "lens").total.usage
    assert usage.cache_read_tokens > usage.input_tokens // 2


@pytest.mark.parametrize("most", [1, 3])
async def test_the_turns_are_limited(large: Path, most: int):
    """After the last of them the model is told to write, and what it writes is the lens."""
    result, asked, _ = await run(large, looking(most), scout_turns=most)
    assert len(asked) == most + 1
    assert SCOUT_NO_MORE in json.dumps(asked[-1])
    assert result.lens is not None


async def test_a_model_that_only_looks_is_asked_once_more_without_tools(large: Path):
    """It is told why, and may call no tool then."""

    def stubborn(asked: Asked) -> Reply:
        return Reply((Text(GOOD),)) if asked.schema is not None else Reply((SEARCH,))

    result, asked, _ = await run(large, stubborn, scout_turns=1)
    assert result.lens is not None
    assert len(asked) == 3
    assert asked[-1]["tool_choice"] == {"type": "none"}


async def test_an_answer_that_is_no_lens_is_repaired_after_looking(large: Path):
    """What was seen stays in the conversation."""

    def careless(asked: Asked) -> Reply:
        if asked.schema is not None:
            return Reply((Text(GOOD),))
        return (
            looking(1)(asked)
            if not any(m.role == "tool" for m in asked.messages)
            else Reply((Text("Well."),))
        )

    result, asked, _ = await run(large, careless)
    assert result.lens is not None
    assert "hidden_59 = 1" in json.dumps(asked[-1])
    assert "cannot be used" in json.dumps(asked[-1])


async def test_no_scouting_if_it_is_switched_off(large: Path):
    """Then it is one question with the schema, as ever."""
    _, asked, _ = await run(large, looking(2), scout=False)
    assert len(asked) == 1
    assert "tools" not in asked[0]
    assert asked[0]["system"][0]["text"] == LENS_PROMPT


async def test_no_scouting_in_a_workspace_that_is_shown_whole(tmp_path: Path):
    """There is nothing more to see."""
    (tmp_path / "invoice.py").write_text("class Invoice:\n    pass\n")
    _, asked, _ = await run(tmp_path, looking(2))
    assert len(asked) == 1


async def test_tools_that_the_run_has_not_are_not_used_for_looking(large: Path):
    """Whoever takes reading from the run takes it from the lens writer, too."""
    _, asked, _ = await run(large, looking(2), tools=("search_files", "write_file"))
    assert [tool["name"] for tool in asked[0]["tools"]] == ["search_files"]
    _, asked, _ = await run(large, looking(2), tools=("write_file",))
    assert len(asked) == 1


@pytest.mark.parametrize("usd", ["0.20", "0.40", "0.80", "1.60", "3.20"])
async def test_a_cap_holds_and_leaves_room_for_lens_and_work(large: Path, usd: str):
    """Under any cap that holds a lens there is one, the work is done, and no more is billed."""
    result, _, simulator = await run(large, looking(9), budget=Budget(usd=usd))
    assert (result.status, result.answer) == ("ok", "No module has it, so nothing was changed.")
    assert simulator.bill.total_usd() <= Budget(usd=usd).usd


async def test_a_small_cap_makes_no_turn_of_looking(large: Path):
    """What does not fit is not begun: the lens is written from what is shown."""
    result, asked, _ = await run(large, looking(9), budget=Budget(usd="0.30"))
    assert result.lens is not None
    assert len(asked) == 1


async def test_a_cap_of_calls_leaves_lens_and_work(large: Path):
    """Of three calls one is for looking."""
    result, asked, _ = await run(large, looking(9), budget=Budget(calls=3))
    assert (result.status, len(asked)) == ("ok", 2)


async def test_results_of_one_turn_are_limited(large: Path):
    """A long file is cut with a note; no turn shows more than 12,000 bytes."""
    (large / "m59.py").write_text("hidden = 'x'\n" * 10_000)
    _, asked, _ = await run(large, looking(1))
    results = [
        block for message in asked[-1]["messages"] for block in message["content"] if "tool_use_id" in block
    ]
    assert sum(len(json.dumps(block["content"])) for block in results) < 15_000
    assert "more bytes left out here" in json.dumps(results)


def test_results_of_one_turn_share_its_room_fairly():
    """Short results and errors are whole wherever they stand; long ones have the same room."""
    from sunwell.agent.lens.scouting import TURN_BYTES, _cut
    from sunwell.core import ToolResult

    long = "a line of text\n" * 2_000
    contents = [long, "found nothing", long, "error: no such file", long]
    shown = [part.content for part in _cut(tuple(ToolResult(str(i), one) for i, one in enumerate(contents)))]
    assert (shown[1], shown[3]) == ("found nothing", "error: no such file")
    sizes = [len(one) for one in (shown[0], shown[2], shown[4])]
    assert max(sizes) - min(sizes) < 20
    assert TURN_BYTES * 0.95 < sum(sizes) < TURN_BYTES * 1.05
    assert [part.content for part in _cut((ToolResult("1", "x"), ToolResult("2", "y")))] == ["x", "y"]


async def test_a_run_killed_at_any_record_looks_and_pays_only_once(large: Path):
    """After every line of the journal: no answered call is asked again, and the lens is the same."""
    async with simulator_of("messages", looking(2)) as simulator, agent_on(simulator, "messages") as agent:
        whole = await agent.run(session_in(large))
        path = Path(whole.journal or "")
        lines = path.read_bytes().splitlines(keepends=True)
        for count in range(1, len(lines)):
            path.write_bytes(b"".join(lines[:count]))
            answered = sum(b'"kind":"answer"' in line for line in lines[:count])
            before = len(simulator.requests)
            again = await agent.resume(whole.run_id, workspace=large, given={"estimator": much})
            assert (again.status, again.lens) == ("ok", whole.lens)
            assert len(simulator.requests) - before == whole.bill.calls - answered


async def test_a_scouted_run_is_played_again_and_forked(large: Path):
    """The record alone is enough, and a fork keeps the looking before its place."""
    async with simulator_of("messages", looking(2)) as simulator, agent_on(simulator, "messages") as agent:
        whole = await agent.run(session_in(large))
        before = len(simulator.requests)
        assert (await agent.replay(whole.run_id, workspace=large)).lens == whole.lens
        assert len(simulator.requests) == before
        forked = await agent.fork(whole.run_id, "run/lens:2", workspace=large)
        assert (forked.status, forked.lens) == ("ok", whole.lens)
        assert len(simulator.requests) == before + 2


@pytest.mark.parametrize(
    ("shown", "needs"),
    [
        pytest.param(Shown(""), False, id="nothing-there"),
        pytest.param(Shown("x", whole=("a.py",), fit=0.1), False, id="all-is-shown"),
        pytest.param(Shown("x", partly=("a.py",), fit=0.9), False, id="what-fits-is-shown"),
        pytest.param(Shown("x", partly=("a.py",), fit=0.4), True, id="nothing-fits-well"),
        pytest.param(Shown("x", not_shown=("a.py",), fit=0.9), True, id="no-room"),
        pytest.param(Shown("x", unlisted=3, fit=0.9), True, id="not-listed"),
    ],
)
def test_scouting_starts_where_something_is_missing(shown: Shown, needs: bool):
    """A lens writer that is shown all that fits does not look."""
    assert needs_scouting(shown) is needs
