"""No key, bearer token or named secret stands in any byte that a run leaves or shows, in any encoding."""

import asyncio
import base64
import json
import logging
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path
from urllib.parse import quote, quote_plus

import attrs
import pytest
from click.testing import CliRunner

from sunwell.agent import Agent
from sunwell.cli.main import cli
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Thinking, ToolCall, ToolResult, ToolSpec
from sunwell.errors import ServerFailed
from sunwell.events import Event, RunFinished
from sunwell.gateway import RetryPolicy
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.faults import Fault, FaultRule
from sunwell.testing import ScriptedModel, completion

KEY = "sk-ant-api03/Planted+Key==é-0123456789"
TOKEN = "ghp_planted?token&value 0123456789"
VARIABLES = {"ANTHROPIC_API_KEY": KEY, "PLANTED_SERVICE_TOKEN": TOKEN}


def spellings(value: str) -> Iterator[str]:
    """Yield *value* as it is, in base64 at every place of a group, percent-encoded, in JSON and in hex."""
    yield value
    yield quote(value, safe="")
    yield quote(value)
    yield quote_plus(value)
    yield json.dumps(value)[1:-1]
    yield value.encode().hex()
    yield value.encode().hex().upper()
    yield f"Bearer {value}"
    for before in ("", "x", "xy"):
        yield base64.b64encode(f"{before}{value}".encode()).decode()
        yield base64.urlsafe_b64encode(f"user:{before}{value}".encode()).decode()


PLANTED = [spelled for value in (KEY, TOKEN) for spelled in spellings(value)]
EVERYTHING = "\n".join(f"line {i}: {spelled} and more" for i, spelled in enumerate(PLANTED))


def telling(value: str) -> Iterator[bytes]:
    """Yield byte strings of which none may be found where *value* may not stand."""
    data = value.encode()
    yield data
    yield quote(value, safe="").encode()
    yield quote(value).encode()
    yield quote_plus(value).encode()
    yield json.dumps(value)[1:-1].encode()
    yield data.hex().encode()
    yield data.hex().upper().encode()
    for before in range(3):
        inner = base64.b64encode(b"\0" * before + data)[4:-4]
        yield inner[: len(inner) // 2]
        yield inner[len(inner) // 2 :]
        yield inner.replace(b"+", b"-").replace(b"/", b"_")


def found_in(data: bytes) -> list[bytes]:
    """Return what of the planted secrets stands in *data*."""
    return [bad for value in (KEY, TOKEN) for bad in telling(value) if bad in data]


@attrs.define(eq=False)
class LeakyExecutor:
    """A caller's own executor: its results and its errors are full of secrets."""

    def specs(self) -> tuple[ToolSpec, ...]:
        """Offer both."""
        return tuple(ToolSpec(name, "x", {"type": "object", "properties": {}}) for name in ("give", "raise"))

    async def execute(self, call: ToolCall) -> ToolResult:
        """Give secrets, or raise with them."""
        if call.name == "raise":
            raise RuntimeError(EVERYTHING)
        return ToolResult(call.id, EVERYTHING)


@pytest.fixture
def planted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a workspace full of secrets, in a process whose environment has them."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "README.md").write_text(EVERYTHING)
    (tmp_path / f"{quote(TOKEN, safe='')}.txt").write_text(EVERYTHING)
    return tmp_path


async def _told(agent: Agent, workspace: Path, options: RunOptions) -> list[Event]:
    session = SessionContext.build(workspace, f"Tell README.md\n{EVERYTHING}", options=options)
    async with aclosing(agent.run(session)) as events:
        return [event async for event in events]


def told(agent: Agent, workspace: Path, options: RunOptions) -> list[Event]:
    """Return the events of a run whose task is full of secrets."""
    return asyncio.run(_told(agent, workspace, options))


def left_by(workspace: Path) -> bytes:
    """Return every byte of the journals below *workspace*."""
    return b"".join(path.read_bytes() for path in workspace.rglob("journal.jsonl"))


def shown_of(workspace: Path) -> bytes:
    """Return all that the command line tells of the runs of *workspace*."""
    place, runner = ["-w", str(workspace)], CliRunner()
    commands = [["runs"], ["runs", "--json"], ["show", "0", "-v", "--all"], ["replay", "0", "--json", "-v"]]
    commands += [["export", "0", "--format", form] for form in ("json", "chrome-trace", "otlp-json")]
    results = [runner.invoke(cli, [*command, *place]) for command in commands]
    assert not [result.exception for result in results if not isinstance(result.exception, SystemExit | None)]
    return "".join(result.output for result in results).encode()


def test_files_tools_and_prompts_leave_no_secret(planted: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Task, system prompt, what the smart model is shown, reading, searching, listing, commands."""
    caplog.set_level(logging.DEBUG)
    lens = {"task_scope": "x", "heuristics": ["Read."]}
    empty = ("patterns", "anti_patterns", "constraints", "examples", "target_files")
    calls = [
        ("read_file", {"path": "README.md", "start_line": None, "end_line": None}),
        ("search_files", {"pattern": "line", "literal": True, "path": None, "glob": None}),
        ("list_files", {"path": ".", "depth": None}),
        ("run_command", {"command": "cat README.md; env; exit 3", "timeout_seconds": None}),
    ]
    parts = [ToolCall(f"c{i}", name, json.dumps(given)) for i, (name, given) in enumerate(calls)]
    agent = Agent(
        smart_model=ScriptedModel("opus-x", [json.dumps(lens | {name: [] for name in empty})]),
        delegation_model=ScriptedModel("haiku-x", [completion(*parts), "Done."]),
        registry=ModelRegistry(),
    )
    options = RunOptions(
        enable_delegation=True,
        delegation_threshold_tokens=0,
        system_prompt=EVERYTHING,
        allow_shell=True,
        sandbox="off",
    )
    events = told(agent, planted, options)
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert (last.result.status, last.result.lens is not None) == ("ok", True)
    assert b"[PLANTED_SERVICE_TOKEN]" in left_by(planted)
    assert found_in(left_by(planted)) == []
    assert found_in(shown_of(planted)) == []
    assert found_in("".join(map(repr, events)).encode()) == []
    assert found_in(caplog.text.encode()) == []


@pytest.mark.parametrize("name", ["give", "raise"])
def test_a_callers_own_executor_leaves_no_secret(
    planted: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    """Neither by what it gives nor by what it raises."""
    model = ScriptedModel("opus-x", [completion(ToolCall("c0", name, "{}")), "Done."])
    agent = Agent(model=model, registry=ModelRegistry(), tool_executor=LeakyExecutor())
    events = told(agent, planted, RunOptions())
    assert b"line 0: [ANTHROPIC_API_KEY] and more" in left_by(planted)
    assert found_in(left_by(planted)) == []
    assert found_in("".join(map(repr, events)).encode() + caplog.text.encode()) == []


def test_a_provider_that_repeats_secrets_in_its_answers_leaves_none(
    planted: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """In its text, its reasoning, its calls and its ids: nothing of it is recorded or shown."""
    caplog.set_level(logging.DEBUG)
    call = ToolCall(
        TOKEN, "read_file", json.dumps({"path": EVERYTHING, "start_line": None, "end_line": None})
    )
    unknown = ToolCall("c1", TOKEN, json.dumps({EVERYTHING: EVERYTHING}))
    thought = Thinking(EVERYTHING, json.dumps({"thinking": EVERYTHING}), "any")
    lines = [
        attrs.evolve(completion(part, call, unknown, EVERYTHING), id=TOKEN, provider_stop=TOKEN)
        for part in (thought, EVERYTHING[: len(EVERYTHING) // 2])
    ]
    model = ScriptedModel("opus-x", [*lines, EVERYTHING])
    events = told(Agent(model=model, registry=ModelRegistry()), planted, RunOptions())
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert "line 0: [ANTHROPIC_API_KEY] and more" in last.result.answer
    assert found_in(left_by(planted) + shown_of(planted)) == []
    assert found_in("".join(map(repr, events)).encode() + caplog.text.encode()) == []
    assert found_in("".join(map(repr, model.calls)).encode()) == []


def test_a_run_that_edits_around_a_secret_keeps_it_in_the_file(planted: Path) -> None:
    """The model reads a file, writes its line back as it saw it, is refused, and changes what it may."""
    written = f"token = {TOKEN}\nport = 1\n"
    (planted / "conf").write_text(written)
    shown = "token = [PLANTED_SERVICE_TOKEN]\nport = 1\n"
    calls = [
        ("read_file", {"path": "conf", "start_line": None, "end_line": None}),
        ("write_file", {"path": "conf", "content": shown.replace("1", "2")}),
        ("edit_file", {"path": "conf", "old": shown, "new": shown.replace("1", "2")}),
        ("edit_file", {"path": "conf", "old": "port = 1", "new": "port = 2"}),
    ]
    model = ScriptedModel(
        "opus-x",
        [
            *(
                completion(ToolCall(f"c{i}", name, json.dumps(given)))
                for i, (name, given) in enumerate(calls)
            ),
            "Done.",
        ],
    )
    told(Agent(model=model, registry=ModelRegistry()), planted, RunOptions())
    model.assert_finished()
    results = [part for part in model.calls[-1].messages[-1].parts if isinstance(part, ToolResult)]
    assert not results[0].is_error
    assert (planted / "conf").read_text() == written.replace("1\n", "2\n")
    assert found_in(left_by(planted)) == []


def test_settings_of_a_run_are_recorded_without_secrets(planted: Path) -> None:
    """Commands of checks, protected paths, names of tools and stop words are somebody's texts, too."""
    options = RunOptions(
        checks=[f"curl -H 'Authorization: Bearer {TOKEN}' localhost"], sandbox="off", allow_shell=True
    )
    model = ScriptedModel("opus-x", ["Done."] * 5)
    events = told(Agent(model=model, registry=ModelRegistry()), planted, options)
    assert found_in(left_by(planted) + shown_of(planted)) == []
    assert found_in("".join(map(repr, events)).encode()) == []


def test_a_provider_that_repeats_secrets_in_its_errors_leaves_none(planted: Path) -> None:
    """Not in the record of the failure, not in the result, not in an event."""
    model = ScriptedModel("opus-x", [ServerFailed("opus-x", f"who sent {EVERYTHING}?", retry=True)])
    agent = Agent(model=model, registry=ModelRegistry(), retry=RetryPolicy(attempts=1))
    events = told(agent, planted, RunOptions())
    last = events[-1]
    assert isinstance(last, RunFinished)
    assert last.result.error.startswith("opus-x: who sent line 0: [ANTHROPIC_API_KEY]")
    assert found_in(left_by(planted) + shown_of(planted)) == []
    assert found_in("".join(map(repr, events)).encode()) == []


def test_a_key_that_a_provider_echoes_over_http_is_not_shown(planted: Path) -> None:
    """By the command line, its JSON and the journal."""
    refusing = FaultRule(Fault(echo_key=True))
    with running_simulator(Simulator(faults=[refusing])) as simulator:
        environment = {
            "ANTHROPIC_API_KEY": "sk-planted-0123456789abcdef",
            "ANTHROPIC_BASE_URL": simulator.url,
        }
        command = ["run", "Say it.", "--model", "opus", "-w", str(planted), "--json", "-v"]
        done = CliRunner(env=environment).invoke(cli, command)
    assert json.loads(done.stdout)["status"] == "error"
    assert len(simulator.requests) == 1
    seen = (done.stdout + done.stderr).encode() + left_by(planted)
    assert b"key" in seen
    assert b"sk-planted-0123456789abcdef" not in seen
