"""Questions about long contexts whose processes are killed in a fan-out, and resumed in another process."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from sunwell.core import Text, ToolCall
from sunwell.journal import read_records
from sunwell.journal.records import Answer, Intent
from sunwell.simulator import Asked, Reply, SimulatedModel, Simulator, running_simulator

pytest.importorskip("pydantic_monty")
PROGRAM = Path(__file__).parent / "killed_questions.py"
ROOT, READER = "gpt-6.1-sol", "gpt-6-luna"
PARTS = 40
CODE = """parts = context.chunks(10000)
try:
    answers = llm_map('Which line is first?', parts)
except RuntimeError:
    answers = llm_map('Which line is first?', parts[:10])
report = ' '.join(answers)"""


def root(asked: Asked) -> Reply:
    """Ask about all parts at once, then answer."""
    if any(message.role == "assistant" for message in asked.messages):
        return Reply((ToolCall("c1", "set_answer", json.dumps({"content": None, "variable": "report"})),))
    return Reply((ToolCall("c0", "explore", json.dumps({"code": CODE})),))


def reader(asked: Asked) -> Reply:
    """Answer with the number of the first line."""
    return Reply((Text(asked.messages[-1].text.partition("line ")[2].split()[0]),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A provider with both models."""
    models = {ROOT: root, READER: SimulatedModel(reader, latency_seconds=0.02)}
    with running_simulator(Simulator(models)) as running:
        yield running


@pytest.fixture(scope="module")
def program() -> Iterator["subprocess.Popen[str]"]:
    """Start the program that forks a process for each question; it is loaded once."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, str(PROGRAM)], stdin=pipe, stdout=pipe, text=True) as started:
        assert started.stdin is not None
        yield started
        started.stdin.close()


@pytest.fixture
def ask(
    program: "subprocess.Popen[str]", tmp_path: Path, simulator: Simulator
) -> Callable[..., dict[str, Any]]:
    """Return what asks about a log in a process of its own, or takes the run up."""
    lines = [f"line {number} is fine".ljust(99) + "\n" for number in range(PARTS * 100)]
    (tmp_path / "context.txt").write_text("".join(lines))
    job = {"folder": str(tmp_path), "url": simulator.openai_url, "models": [ROOT, READER], "question": "Q?"}

    def asked(**more: Any) -> dict[str, Any]:
        assert program.stdin is not None
        assert program.stdout is not None
        program.stdin.write(json.dumps({**job, **more}) + "\n")
        program.stdin.flush()
        told: dict[str, Any] = json.loads(program.stdout.readline())
        return told

    return asked


@pytest.mark.timeout(180)
@pytest.mark.parametrize("at", [1, 20, 40])
def test_a_killed_fan_out_goes_on_with_the_answers_of_its_record(at, ask, simulator, tmp_path) -> None:
    """Only what was in flight is asked twice, and it is booked as perhaps billed."""
    assert ask(kill_at=at)["code"] == -9
    [journal] = tmp_path.glob(".sunwell/runs/*/journal.jsonl")
    records = [one for one in read_records(journal) if getattr(one, "purpose", "") == "read"]
    answered = {one.span for one in records if isinstance(one, Answer)}
    in_flight = {one.span for one in records if isinstance(one, Intent)} - answered
    told = ask()
    assert told["status"] == "ok"
    first_lines = " ".join(str(100 * part) for part in range(PARTS))
    assert told["answer"].startswith(f"{first_lines}\n")
    assert told["uncertain_calls"] == len(in_flight)
    sent = [json.dumps(request.body) for request in simulator.requests if request.model == READER]
    twice = sum(count - 1 for count in Counter(sent).values())
    assert len(answered) >= at
    assert max(Counter(sent).values()) <= 2
    assert (len(set(sent)), twice <= len(in_flight)) == (PARTS, True)
    assert sum(request.model == ROOT for request in simulator.requests) == 2


@pytest.mark.timeout(180)
def test_what_was_paid_under_a_cap_comes_for_nothing_the_next_time(ask, simulator, tmp_path) -> None:
    """A plan that does not fit is refused, what was answered is remembered, and the cap holds."""
    cache = str(tmp_path / "cache")
    capped = ask(cache=cache, tokens=100_000)
    assert sum(line.input_tokens + line.output_tokens for line in simulator.bill.entries()) <= 100_000
    asked = sum(request.model == READER for request in simulator.requests)
    assert asked == 10
    second = ask(cache=cache, again=True)
    assert second["remembered"] == asked
    assert sum(request.model == READER for request in simulator.requests) == PARTS
    assert (capped["status"], second["status"]) == ("ok", "ok")
