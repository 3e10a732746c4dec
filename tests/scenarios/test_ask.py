"""Questions about long contexts over HTTP, on the command line and in Python, by the provider's bill."""

import asyncio
import json
import os
import random
import re
import time
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

pytest.importorskip("pydantic_monty")

from click.testing import CliRunner

from sunwell.agent import Agent
from sunwell.cli.main import cli
from sunwell.context.options import RunOptions
from sunwell.core import Text, ToolCall
from sunwell.core.message import ToolResult
from sunwell.events import BatchPlanned, RunFinished
from sunwell.journal import list_runs, read_records
from sunwell.journal.records import Answer
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, running_simulator
from tests.cli.beginner import beginner
from tests.cli.terminals import Terminal

SMART, CHEAP = "claude-opus-5-5", "claude-haiku-5-5"
QUESTION = "Which line is odd?"
STEPS = (
    "hits = context.search('line 7\\\\d:')\nparts = context.chunks(100000)\nprint(len(hits), len(parts))",
    "answers = llm_map('Is it odd?', parts)\nprint(len(answers))",
    "more = rlm_query('What is odd?', context.part(0, 330000))\nprint(more)",
    "answers.append(llm_query('Sum up.', more))\nprint(answers[-1])",
)
CHILD = ("first = llm_query('Q?', context.part(0, 500))\nprint(first, context.size)",)
ANSWERS = 5 + 5 + 2 + 1 + 1
"""Turns of the smart model, parts, turns of the child, its question, and the last one."""


def call(name: str, **arguments: Any) -> Reply:
    """Return a message with one call."""
    return Reply((ToolCall("", name, json.dumps(arguments)),))


def last_result(asked: Asked) -> str:
    """Return the result of the last call; empty if the last message has none."""
    last = asked.messages[-1].parts[0]
    return last.content if isinstance(last, ToolResult) else ""


def looking(asked: Asked) -> Reply:
    """Look with the scripts in order; end at the first that fails, or that comes to an end of its own."""
    turn = sum(message.role == "assistant" for message in asked.messages)
    steps = STEPS if asked.model == SMART else CHILD
    if turn and not last_result(asked):
        return Reply((Text("Not finished."),))
    if "[it failed]" in last_result(asked):
        return call("set_answer", content="Too little is left.", variable=None)
    if turn < len(steps):
        return call("explore", code=steps[turn])
    return call("set_answer", content=None, variable="answers" if asked.model == SMART else "first")


def wordy(asked: Asked) -> Reply:
    """Look, and pay for many words at each turn."""
    return attrs.evolve(looking(asked), output_tokens=600)


def reading(asked: Asked) -> Reply:
    """Look as a child does, or say how much was read."""
    if "explore" in asked.tools:
        return looking(asked)
    size = sum(
        len(part.text) for message in asked.messages for part in message.parts if isinstance(part, Text)
    )
    return Reply((Text(f"nothing in {size:,} letters"),), output_tokens=40)


@attrs.frozen
class Desk:
    """A workspace with a log, and a provider that answers about it."""

    folder: Path
    simulator: Simulator

    @property
    def env(self) -> dict[str, str]:
        """The environment of somebody with a key."""
        return {"ANTHROPIC_BASE_URL": self.simulator.url, "ANTHROPIC_API_KEY": "key"}

    def typed(self, *words: str) -> tuple[str, ...]:
        """Return a command line in this place."""
        cache = () if words[0] == "resume" else ("--cache-dir", str(self.folder / "cache"))
        return (*words, "-w", str(self.folder), *cache, "--json")

    def run(self, *words: str) -> dict[str, Any]:
        """Run a command in this process, and return what it prints as JSON."""
        done = CliRunner(env=self.env).invoke(cli, list(self.typed(*words)))
        assert done.exception is None or isinstance(done.exception, SystemExit), done.output
        told: dict[str, Any] = json.loads(done.stdout)
        return told

    def ask(self, *options: str) -> dict[str, Any]:
        """Ask the question about the log."""
        return self.run("ask", QUESTION, "-c", str(self.folder / "log.txt"), *options)

    def sent(self, model: str) -> list[str]:
        """Return the requests to *model*, as texts."""
        return [json.dumps(one.body, sort_keys=True) for one in self.simulator.requests if one.model == model]

    def parts(self) -> list[str]:
        """Return the requests about parts, as texts."""
        return [body for body in self.sent(CHEAP) if '"tools"' not in body]

    @property
    def billed_usd(self) -> Decimal:
        """What the provider has billed."""
        return self.simulator.bill.total_usd()

    @property
    def journal(self) -> Path:
        """The one journal."""
        (run,) = list_runs(self.folder)
        return run.path


def lines_of(count: int) -> str:
    """Return a log of *count* lines."""
    return "".join(f"line {number}: all is well\n" for number in range(1, count + 1))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A provider with the scripted models."""
    with running_simulator(Simulator({SMART: looking, CHEAP: reading})) as running:
        yield running


@pytest.fixture
def desk(tmp_path: Path, simulator: Simulator) -> Desk:
    """A log of 468,894 bytes, about which one direct call would cost more."""
    (tmp_path / "log.txt").write_text(lines_of(20_000))
    return Desk(tmp_path, simulator)


def test_a_plan_is_counted_paid_and_told(desk: Desk) -> None:
    """A fan-out, a question with a session of its own, and a last one; the bill is the provider's."""
    told = desk.ask()
    assert told["status"] == "ok"
    assert told["answer"].startswith('["nothing in 100,0')
    assert "calls read 100.0 % of log.txt (6 parts, in bytes 0-468,894)" in told["answer"].replace(
        str(desk.folder / "log.txt"), "log.txt"
    )
    assert Decimal(told["cost_usd"]) == desk.billed_usd
    assert len(desk.simulator.bill.entries()) == ANSWERS
    whole = "".join(desk.sent(SMART)[-1:])
    assert "[From the harness: 5 calls to claude-haiku-5-5, at most $0." in whole
    assert Counter(desk.sent(CHEAP)).most_common(1)[0][1] == 1


def test_the_plan_comes_before_its_calls_in_python(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The event names calls and dollars; a refusal of the caller is told to the model, and costs nothing."""
    for name, value in desk.env.items():
        monkeypatch.setenv(name, value)
    options = RunOptions(smart_model="opus", delegation_model="haiku", answer_memory=False)
    plans: list[tuple[int, str]] = []
    asked: list[str] = []

    async def confirm(said: str, usd: Decimal | None) -> bool:
        asked.append(said)
        assert not desk.sent(CHEAP)
        assert usd is not None
        return False

    async def ask(**given: Any) -> Any:
        agent = Agent()
        async with agent, agent.ask(QUESTION, desk.folder / "log.txt", options=options, **given) as events:
            async for event in events:
                if isinstance(event, BatchPlanned):
                    plans.append((len(desk.sent(CHEAP)), event.reason))
                if isinstance(event, RunFinished):
                    return event.result
        raise AssertionError("no result")

    refused = asyncio.run(ask(workspace=desk.folder, confirm=confirm))
    assert (refused.answer.splitlines()[0], desk.sent(CHEAP), len(asked)) == ("Too little is left.", [], 1)
    result = asyncio.run(ask(workspace=desk.folder))
    assert (plans[0][0], plans[0][1].partition(",")[0]) == (0, "5 calls to claude-haiku-5-5")
    assert result.bill.cost_usd == desk.billed_usd - refused.bill.cost_usd


@pytest.mark.parametrize("cap", ["0.02", "0.03", "0.05", "0.06", "0.07", "0.08", "0.09", "0.1", "0.11"])
def test_a_cap_in_the_middle_holds_and_what_was_paid_is_paid_once(tmp_path: Path, cap: str) -> None:
    """By the provider's own bill. A resume or a second question takes what was answered for nothing."""
    (tmp_path / "log.txt").write_text(lines_of(20_000))
    with running_simulator(Simulator({SMART: wordy, CHEAP: reading})) as simulator:
        desk = Desk(tmp_path, simulator)
        first = desk.ask("--budget-usd", cap)
        assert desk.billed_usd <= Decimal(cap)
        if first["status"] == "error":
            assert "nothing was spent" in first["error"]
            assert not simulator.requests
            return
        assert Decimal(first["cost_usd"]) == desk.billed_usd
        second = desk.run("resume", "last", "--budget-usd", "2")
        assert (second["status"], second["run_id"]) == ("ok", first["run_id"])
        third = desk.ask()
        assert third["answer"].startswith('["nothing in 100,')
        assert max(Counter(desk.parts()).values()) == 1
        assert len(desk.parts()) == 5 + 1 + 1


@pytest.mark.timeout(300)
def test_cut_off_at_every_record_and_resumed_nothing_is_paid_twice(desk: Desk) -> None:
    """The answer is the same, and the provider gets the requests that have no recorded answer.

    At each third record; ``tests/agent/asking/test_resumed_questions.py`` has each of them.
    """
    whole = desk.ask("--no-answer-memory")
    lines = desk.journal.read_bytes().splitlines(keepends=True)
    answers = [isinstance(record, Answer) for record in read_records(desk.journal)]
    assert sum(answers) == ANSWERS
    for kept in (1, 2, *range(3, len(lines) - 1, 3), len(lines) - 1):
        desk.journal.write_bytes(b"".join(lines[:kept]))
        before = len(desk.simulator.requests)
        again = desk.run("resume", "last")
        assert again["answer"] == whole["answer"], kept
        assert len(desk.simulator.requests) - before == sum(answers[kept:]), kept
        assert sum(row["calls"] for row in again["by_model"]) == ANSWERS, kept


def killed(desk: Desk, words: tuple[str, ...], size: int, pause: float) -> int:
    """Run a command, and kill it *pause* seconds after its journal has grown beyond *size*."""
    process = beginner().piped(desk.typed(*words), {**os.environ, **desk.env})
    while process.poll() is None:
        runs = list_runs(desk.folder)
        if runs and runs[-1].path.stat().st_size > size:
            time.sleep(pause)  # any moment will do
            process.kill()
            break
        time.sleep(0.02)
    process.communicate()
    return process.wait()


@pytest.mark.timeout(300)
def test_a_command_that_is_killed_again_and_again_pays_no_answer_twice(desk: Desk) -> None:
    """The provider's bill has at most one fan-out of calls more for the kills: those that were under way."""
    chance, words, size, kills = random.Random(7), ("ask", QUESTION, "-c", str(desk.folder / "log.txt")), 0, 0
    while kills < 5:
        code = killed(
            desk,
            (*words, *(("--no-answer-memory",) if words[0] == "ask" else ())),
            size,
            chance.uniform(0, 0.02),
        )
        if code != -9:
            break
        kills += 1
        size = desk.journal.stat().st_size + chance.randrange(0, 6_000)
        words = ("resume", "last")
    told = desk.run("resume", "last")
    assert kills >= 2
    assert (told["status"], told["answer"].partition("\n")[0][:18]) == ("ok", '["nothing in 100,0')
    assert sum(isinstance(record, Answer) for record in read_records(desk.journal)) == ANSWERS
    uncertain = sum(row["uncertain_calls"] for row in told["by_model"])
    assert ANSWERS <= len(desk.simulator.bill.entries()) <= ANSWERS + uncertain


def test_answers_are_remembered_by_what_was_asked(desk: Desk) -> None:
    """The same question costs turns alone; where the log has changed, the parts that did are asked again."""
    first = desk.ask()
    parts = len(desk.sent(CHEAP))
    again = desk.ask()
    assert again["answer"] == first["answer"]
    assert again["remembered_calls"] == 5 + 1 + 1
    assert len(desk.sent(CHEAP)) == parts + 2  # the turns of the child, which are no questions about a part
    text = lines_of(20_000).replace("line 9000: all is well", "line 9000: all is fell")
    (desk.folder / "log.txt").write_text(text)
    changed = desk.ask()
    assert changed["remembered_calls"] == 4 + 1 + 1
    assert Decimal(changed["cost_usd"]) < Decimal(first["cost_usd"])
    without = desk.ask("--no-answer-memory")
    assert "remembered_calls" not in without or not without["remembered_calls"]
    assert Decimal(without["cost_usd"]) > Decimal(again["cost_usd"])


def test_a_question_about_costs_is_asked_at_the_terminal(desk: Desk) -> None:
    """Calls and dollars are named; a no is told to the model, a yes to the next step lets it go on."""
    words = [
        "ask",
        QUESTION,
        "-c",
        str(desk.folder / "log.txt"),
        "-w",
        str(desk.folder),
        "--no-answer-memory",
    ]
    for typed, answer in ((b"n", "Too little is left."), (b"y", "nothing in 100,0")):
        screen = Terminal([*words, "--confirm-above", "0.001"], desk.env)
        try:
            told = screen.read_until(b"[y/N]").decode()
            assert "5 calls to claude-haiku-5-5, at most $0." in told
            assert re.search(r"; \$0\.\d+ is spent\. Go on\?", told), told
            assert not desk.sent(CHEAP)
            screen.type(typed)
            assert answer in screen.result()
        finally:
            screen.close()


@pytest.mark.parametrize(("depth", "turns"), [("1", 2), ("0", 0)])
def test_a_child_has_a_session_of_its_own_if_the_depth_allows(desk: Desk, depth: str, turns: int) -> None:
    """It is the cheap model's, with the part as its context; without room for it, one direct call answers."""
    told = desk.ask("--max-depth", depth, "--no-answer-memory")
    assert told["status"] == "ok"
    sessions = [body for body in desk.sent(CHEAP) if '"name": "explore"' in body]
    assert len(sessions) == turns
    if turns:
        assert "What is odd?" in sessions[0]
        assert "context: 330,000 bytes of" in sessions[0]
    assert Decimal(told["cost_usd"]) == desk.billed_usd


def operating(asked: Asked) -> Reply:
    """Look, ask and answer with the operations that need no Python."""

    def step(op: str, bind: str, **given: Any) -> dict[str, Any]:
        names = ("input", "pattern", "start", "end", "size", "prompt")
        return {"op": op, "bind": bind, **{name: given.get(name) for name in names}}

    messages: list[dict[str, Any]] = [
        {"mode": "explore", "operations": [
            step("grep", "hits", pattern="line 7\\d:"), step("count", "n", input="hits"),
            step("slice", "head", start=0, end=90_000), step("chunk", "parts", input="head", size=30_000),
        ], "answer": None, "output": "n"},
        {"mode": "commit", "operations": [
            step("map", "answers", input="parts", prompt="Is it odd?"),
            step("combine", "all", input="answers", prompt="Sum up."),
        ], "answer": None, "output": "all"},
        {"mode": "final", "operations": [], "answer": None, "output": "all"},
    ]  # fmt: skip
    return call("operations", **messages[sum(message.role == "assistant" for message in asked.messages)])


def test_operations_do_the_same_without_python(tmp_path: Path) -> None:
    """Grep, slice, chunk, map and combine in JSON; the same engine counts and pays."""
    (tmp_path / "log.txt").write_text(lines_of(20_000))
    with running_simulator(Simulator({SMART: operating, CHEAP: reading})) as simulator:
        desk = Desk(tmp_path, simulator)
        told = desk.ask()
        assert (told["status"], told["answer"].partition(" in ")[0]) == ("ok", "nothing")
        assert len(desk.sent(CHEAP)) == 4 + 1
        assert "10\\n" in desk.sent(SMART)[1]
        assert Decimal(told["cost_usd"]) == desk.billed_usd


def plain(asked: Asked) -> Reply:
    """Answer from what is in the prompt."""
    return Reply((Text("Line 3 is odd."),))


def test_a_short_context_is_one_call_which_writes_nothing_to_the_cache(tmp_path: Path) -> None:
    """Both prices are told; a failed call is made by the resume, and a finished run costs nothing again."""
    (tmp_path / "log.txt").write_text(lines_of(300))
    faults = FaultRule(Fault(status=401), numbers=(1,))
    with running_simulator(Simulator({SMART: plain, CHEAP: reading}, faults=faults)) as simulator:
        desk = Desk(tmp_path, simulator)
        assert desk.ask()["status"] == "error"
        told = desk.run("resume", "last")
        assert told["answer"].startswith("Line 3 is odd.\n\n[Coverage, from the harness: the whole context")
        (entry,) = simulator.bill.entries()
        assert (entry.write_tokens, entry.read_tokens, entry.model) == (0, 0, SMART)
        assert Decimal(told["cost_usd"]) == desk.billed_usd == entry.usd
        sides = {name: Decimal(side["expected_usd"]) for name, side in told["quote"]["sides"].items()}
        assert entry.usd < sides["direct"] < sides["explored"]
        (tmp_path / "log.txt").unlink()
        assert desk.run("resume", "last")["answer"] == told["answer"]
        assert len(simulator.bill.entries()) == 1
