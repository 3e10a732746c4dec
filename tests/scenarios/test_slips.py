"""Slips of models over real HTTP: each is seen, told in the next message, and unresolved unless it is mended.

The models are scripts: they show what is sent and recorded, and nothing of what a model would do with it.
"""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Text, ToolCall
from sunwell.core.message import ToolResult
from sunwell.core.model import ToolSpec
from sunwell.core.task import Task, TaskResult
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.tools import Toolbox
from tests.checks import final_answers, held_back_answers
from tests.checks.final_answers import Case

MODEL = "claude-haiku-5-5"
Turn = str | tuple[ToolCall, ...]


def call(name: str, **arguments: Any) -> ToolCall:
    return ToolCall("", name, json.dumps(arguments))


def ran(command: str, seconds: int | None = None) -> tuple[ToolCall, ...]:
    return (call("run_command", command=command, timeout_seconds=seconds),)


def wrote(*paths: str) -> tuple[ToolCall, ...]:
    return tuple(call("write_file", path=path, content="exit 0\n") for path in paths)


@attrs.frozen
class Script:
    """Says its turns in their order, whatever it is told."""

    turns: Sequence[Turn]

    def __call__(self, asked: Asked) -> Reply:
        turn = self.turns[sum(message.role == "assistant" for message in asked.messages)]
        if isinstance(turn, str):
            return Reply((Text(turn),))
        place = f"call_{len(asked.messages)}"
        return Reply(tuple(attrs.evolve(one, id=f"{place}_{at}") for at, one in enumerate(turn)))


@attrs.frozen
class Slip:
    """Work that ends in a slip, what the model is told, and two ways in which it goes on."""

    id: str
    task: str
    first: tuple[Turn, ...]
    told: str
    stays: tuple[Turn, ...]
    unresolved: str
    mends: tuple[Turn, ...]


TESTS = "sh run_tests.sh"
SLIPS = (
    Slip(
        "false-claim",
        "Fix the total in cart.txt",
        (wrote("cart.txt"), ran(TESTS), "Fixed. All tests pass."),
        f"it says that tests pass, but `{TESTS}` ended with exit code 1, and no test command passed later",
        ("Fixed. All tests pass.",),
        f"The answer says that tests pass, but `{TESTS}` ended with exit code 1",
        (wrote("run_tests.sh"), ran(TESTS), "Fixed, and all tests pass."),
    ),
    Slip(
        "failed-command",
        "Fix the total in cart.txt",
        (wrote("cart.txt"), ran(TESTS), "Fixed."),
        f"the last command failed: `{TESTS}` ended with exit code 1",
        ("Fixed.",),
        f"The last command failed: `{TESTS}` ended with exit code 1.",
        (wrote("run_tests.sh"), ran(TESTS), "Fixed."),
    ),
    Slip(
        "early-stop",
        "Fix the total in cart.txt",
        (wrote("cart.txt"), "cart.txt is fixed. I'll now run the tests."),
        "it ends with an action that you announce, instead of a report",
        ("Let me do that next.",),
        "The answer ends with an action that was announced and not taken",
        (ran("sh other_tests.sh"), "Fixed, and the tests pass."),
    ),
    Slip(
        "refused-write",
        "Fix the total in secret.txt",
        (wrote("secret.txt"), "Fixed the total in secret.txt."),
        "your change of secret.txt was not made, and you did not repeat it",
        ("Fixed the total in secret.txt.",),
        "A change of secret.txt was not made (write_file was not approved",
        ("Not done: the change of secret.txt was not approved.",),
    ),
    Slip(
        "untouched-target",
        "Fix the total in cart.txt and shop.txt",
        (wrote("cart.txt"), "Both are fixed."),
        "the task names shop.txt, which you did not change",
        ("Both are fixed.",),
        "shop.txt was not changed, although the task names it.",
        (wrote("shop.txt"), "Both are fixed."),
    ),
    Slip(
        "empty-diff",
        "Fix the total in cart.txt",
        ((call("read_file", path="cart.txt", start_line=None, end_line=None),), "Fixed."),
        "no file was changed, although the task asks for a change",
        ("Fixed.",),
        "No file was changed, although the task asks for a change.",
        (wrote("cart.txt"), "Fixed."),
    ),
    Slip(
        "hanging-command",
        "Fix the total in cart.txt",
        (wrote("cart.txt"), ran("sh slow_tests.sh", 1), "Fixed, and checked."),
        "the last command failed: `sh slow_tests.sh` was killed at its time limit",
        ("Fixed, and checked.",),
        "The last command failed: `sh slow_tests.sh` was killed at its time limit.",
        (ran("sh other_tests.sh"), "Fixed."),
    ),
)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    for name, text in {"cart.txt": "x", "shop.txt": "x", "secret.txt": "x"}.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "run_tests.sh").write_text("exit 1\n")
    (tmp_path / "other_tests.sh").write_text("exit 0\n")
    (tmp_path / "slow_tests.sh").write_text("sleep 30\n")
    return tmp_path


def agent(sim: Simulator, executor: Any = None) -> Agent:
    model = AnthropicModel(MODEL, Connection("anthropic", sim.url, "key-of-a-test"))
    return Agent(model=model, registry=ModelRegistry(), tool_executor=executor)


async def result(sim: Simulator, workspace: Path, task: str, stream: bool) -> TaskResult:
    options = RunOptions(
        allow_shell=True,
        sandbox="off",
        stream=stream,
        approve=lambda proposal: "secret.txt" not in proposal.summary,
    )
    session = SessionContext.build(workspace, task, options=options)
    return await agent(sim, Toolbox(workspace)).result(session)


def told_in(sim: Simulator) -> list[str]:
    """Return what the harness told, in the order of the requests: each message once."""
    found: list[str] = []
    for request in sim.requests:
        for message in request.body["messages"]:
            for part in message["content"] if isinstance(message["content"], list) else []:
                text = part.get("text", "")
                if text.startswith("[From the harness: ") and text not in found:
                    found.append(text)
    return found


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("slip", SLIPS, ids=[slip.id for slip in SLIPS])
async def test_a_slip_that_stays_is_told_once_and_unresolved(
    workspace: Path, slip: Slip, stream: bool
) -> None:
    """The last request holds the message, and the result says what remains."""
    with running_simulator(Simulator({MODEL: Script((*slip.first, *slip.stays))})) as sim:
        made = await result(sim, workspace, slip.task, stream)
    (told,) = told_in(sim)
    assert slip.told in told
    assert told in str(sim.requests[len(slip.first)].body["messages"][-1]["content"])
    assert (made.status, made.answer) == ("ok", slip.stays[-1])
    (unresolved,) = made.unresolved
    assert unresolved.startswith(slip.unresolved)
    assert len(sim.requests) == len(slip.first) + len(slip.stays)


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.id for slip in SLIPS])
async def test_a_slip_that_is_mended_is_gone(workspace: Path, slip: Slip) -> None:
    """The report after it is the answer, and nothing is unresolved."""
    with running_simulator(Simulator({MODEL: Script((*slip.first, *slip.mends))})) as sim:
        made = await result(sim, workspace, slip.task, False)
    assert len(told_in(sim)) == 1
    assert (made.status, made.answer, made.unresolved) == ("ok", slip.mends[-1], ())


async def test_several_slips_are_one_message(workspace: Path) -> None:
    """One extra turn is all that they cost."""
    first: tuple[Turn, ...] = (wrote("cart.txt"), ran(TESTS), "cart.txt is done. Next, I'll fix shop.txt.")
    last = "Not done: shop.txt. The tests fail."
    with running_simulator(Simulator({MODEL: Script((*first, last))})) as sim:
        made = await result(sim, workspace, "Fix the total in cart.txt and shop.txt", False)
    (told,) = told_in(sim)
    for clause in ("the last command failed", "the task names shop.txt", "an action that you announce"):
        assert clause in told
    assert made.unresolved == (f"The last command failed: `{TESTS}` ended with exit code 1.",)


# ---- Sound answers ----

_SPEC = {"type": "object", "properties": {}, "additionalProperties": True}


@attrs.define(eq=False)
class Recorded:
    """An executor that gives recorded results, one after the other."""

    case: Case
    _results: Iterator[ToolResult] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._results = iter([done.result for done in self.case.done])

    def specs(self) -> tuple[ToolSpec, ...]:
        return tuple(ToolSpec(name, "A tool.", _SPEC) for name in self.case.tools)

    async def execute(self, call: ToolCall) -> ToolResult:
        return next(self._results)


SOUND = (*final_answers.SOUND_ANSWERS, *held_back_answers.SOUND_ANSWERS)


@pytest.mark.parametrize("case", SOUND, ids=[case.id for case in SOUND])
async def test_a_sound_answer_costs_no_request(tmp_path: Path, case: Case) -> None:
    """The answer is the end, and nothing is unresolved: in a run, and for a worker with named files."""
    turns: list[Turn] = [*((done.call,) for done in case.done), case.answer]
    with running_simulator(Simulator({MODEL: Script(turns)})) as sim:
        asking = agent(sim, Recorded(case))
        if case.targets:
            task = Task(case.task, target_files=case.targets)
            made = (await asking.batch([task], workspace=tmp_path)).run
        else:
            made = await asking.result(SessionContext.build(tmp_path, case.task))
    assert (made.status, made.unresolved) == ("ok", ())
    assert told_in(sim) == []
    assert len(sim.requests) == len(turns)
