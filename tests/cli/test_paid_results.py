"""What was paid reaches its owner: in any encoding, and if a file cannot be written after the call."""

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sunwell.cli.run_output import Waits
from sunwell.core.message import Text, ToolCall
from sunwell.events import ModelCallFinished, ModelCallStarted, ModelRetried, ModelTextArrived
from sunwell.simulator import Fault, FaultRule, Simulator, echo, running_simulator
from sunwell.simulator.script import Asked, Reply
from tests.cli.beginner import Done, beginner, done

MODEL = "gpt-6-luna"
WORDS = "Grüße — 你好 😀"


def keys(simulator: Simulator) -> dict[str, str]:
    """Return the environment of somebody with a key of OpenAI's."""
    return {**os.environ, "OPENAI_BASE_URL": simulator.openai_url, "OPENAI_API_KEY": "simulated-key"}


def command(simulator: Simulator, *words: str | Path, env: dict[str, str] | None = None, **more: Any) -> Done:
    """Run a command in a process of its own against *simulator*."""
    more.setdefault("folder", Path.cwd())
    return done(*words, env=keys(simulator) | (env or {}), **more)


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a model that repeats what it is asked."""
    with running_simulator(Simulator({MODEL: echo})) as running:
        yield running


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "gbk", "shift_jis", "ascii"])
def test_every_encoding_prints_the_paid_answer(simulator: Simulator, tmp_path: Path, encoding: str) -> None:
    """What the encoding has is printed in it, the rest as escapes; JSON means the same everywhere."""
    env = {"PYTHONIOENCODING": encoding}
    plain = command(simulator, "run", WORDS, "-m", MODEL, "-w", tmp_path, env=env)
    assert plain.returncode == 0, plain.stderr
    assert b"Traceback" not in plain.stderr
    if encoding == "latin-1":
        assert rb"\u4f60\u597d \ud83d\ude00" in plain.stdout
        assert "Grüße".encode("latin-1") in plain.stdout
    told = command(simulator, "run", WORDS, "-m", MODEL, "-w", tmp_path, "--json", env=env)
    assert WORDS in json.loads(told.stdout.decode("ascii"))["answer"]


def test_tasks_on_standard_input_are_utf_8_in_every_encoding(simulator: Simulator, tmp_path: Path) -> None:
    """A pipe holds what a file would hold, whatever the terminal speaks."""
    with (tmp_path / "tasks").open("wb+") as tasks:
        tasks.write(json.dumps(WORDS, ensure_ascii=False).encode())
        tasks.seek(0)
        env = {"PYTHONIOENCODING": "cp1252"}
        ended = command(simulator, "batch", "-", "-m", MODEL, "-w", tmp_path, stdin=tasks.fileno(), env=env)
    assert WORDS in json.loads(ended.stdout)["answer"], ended.stderr


@pytest.mark.parametrize("words", [["run", "Hello"], ["run", "-q", "Hello"]], ids=["task", "question"])
@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_trace_that_cannot_be_written_costs_no_answer(
    simulator: Simulator, tmp_path: Path, words: list[str], as_json: bool
) -> None:
    """Code 1, the answer, the bill, the run, the file, and the command that writes it; one JSON object."""
    more = ["--json"] if as_json else []
    ended = command(
        simulator, *words, "-m", MODEL, "-w", tmp_path, "--trace", "/dev/full", *more, folder=tmp_path
    )
    [run] = (tmp_path / ".sunwell" / "runs").iterdir()
    said = ended.stderr.decode()
    assert ended.returncode == 1, said
    if as_json:
        told = json.loads(ended.stdout)
        assert (told["status"], told["run_id"], "Hello" in told["answer"]) == ("error", run.name, True)
        assert told["cost_usd"] != "0"
        said = told["error"]
    else:
        assert b"Hello" in ended.stdout
        assert "$" in said
    assert "/dev/full cannot be written" in said
    assert f"sunwell export {run.name}" in said


def test_a_results_file_that_is_none_is_refused_before_the_batch(
    simulator: Simulator, tmp_path: Path
) -> None:
    """Code 2, no request, no journal. The same for tasks without an end."""
    (tmp_path / "tasks").write_text('"Hello"\n')
    for words in (["tasks", "--results", "/dev/full"], ["/dev/zero"]):
        ended = command(simulator, "batch", *words, "-m", MODEL, folder=tmp_path)
        assert ended.returncode == 2, ended.stderr
        assert words[-1] in ended.stderr.decode()
    assert simulator.requests == ()
    assert not (tmp_path / ".sunwell").exists()


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_a_results_file_that_is_lost_meanwhile_costs_no_result(tmp_path: Path, as_json: bool) -> None:
    """Code 1, the bill, the run, the file and how to resume; no finished task is asked again."""
    place, work = tmp_path / "place", tmp_path / "work"
    place.mkdir()
    work.mkdir()
    (work / "tasks").write_text('"Hello"\n')

    def taking(asked: Asked) -> Reply:
        shutil.rmtree(place, ignore_errors=True)
        place.touch()
        return echo(asked)

    with running_simulator(Simulator({MODEL: taking})) as simulator:
        words = ["batch", "tasks", "-m", MODEL, "--results", place / "out.jsonl"]
        ended = command(simulator, *words, *(["--json"] if as_json else []), folder=work)
        [run] = (work / ".sunwell" / "runs").iterdir()
        said = ended.stderr.decode()
        assert ended.returncode == 1, said
        if as_json:
            told = json.loads(ended.stdout)
            assert (told["run_id"], told["cost_usd"] != "0") == (run.name, True)
            said = told["error"]
        assert str(place / "out.jsonl") in said
        assert f"sunwell resume {run.name}" in said
        place.unlink()
        resumed = command(simulator, "resume", run.name, "--results", place / "out.jsonl", folder=work)
        assert resumed.returncode == 0, resumed.stderr
        assert len(simulator.bill.entries()) == 1
        assert "Hello" in json.loads((place / "out.jsonl").read_text())["answer"]


_LIMITED = """
import resource, sys
import sunwell.__main__

resource.setrlimit(resource.RLIMIT_FSIZE, (240_000, 240_000))
del sys.argv[1:3]
sunwell.__main__.main()
"""


def test_a_journal_that_cannot_be_written_after_a_call_ends_with_the_bill(tmp_path: Path) -> None:
    """Code 1 and not 2: the bill, the run, the journal's name, and the command that goes on."""

    def talkative(asked: Asked) -> Reply:
        return Reply((Text("word " * 30_000), ToolCall("1", "list_files", "{}")), output_tokens=50)

    with running_simulator(Simulator({MODEL: talkative})) as simulator:
        ended = command(simulator, "-c", _LIMITED, "run", "Hello", "-m", MODEL, "--json", folder=tmp_path)
        asked = len(simulator.requests)
    [run] = (tmp_path / ".sunwell" / "runs").iterdir()
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["status"], told["run_id"]) == (1, "error", run.name), ended.stderr
    assert asked >= 1
    assert told["usage"]["output_tokens"] > 0 or told["uncertain_usd"] != "0"
    assert str(run / "journal.jsonl") in told["error"]
    assert f"sunwell resume {run.name}" in told["error"]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_an_answer_that_cannot_be_printed_can_be_had_again(
    simulator: Simulator, tmp_path: Path, unbuffered: str
) -> None:
    """A full disk, a closed output, a reader that is gone: one sentence names the command."""
    reading, gone = os.pipe()
    os.close(reading)
    with Path("/dev/full").open("wb") as full, os.fdopen(gone, "wb") as pipe:
        for output, code in ((full, 1), (pipe, 141)):
            words = ["run", "Hello", "-m", MODEL]
            env = {"PYTHONUNBUFFERED": unbuffered}
            ended = command(simulator, *words, folder=tmp_path, stdout=output.fileno(), env=env)
            run = max((tmp_path / ".sunwell" / "runs").iterdir()).name
            last = ended.stderr.decode().splitlines()[-1]
            assert (ended.returncode, f"sunwell resume {run} prints" in last) == (code, True), ended.stderr
    again = command(simulator, "resume", run, folder=tmp_path)
    assert b"Hello" in again.stdout
    assert len(simulator.requests) == 2


def test_a_pipe_that_does_not_block_takes_the_whole_answer(tmp_path: Path) -> None:
    """It is waited for until it can be written again."""
    words = "word " * 60_000
    answer = Reply((Text(words),), output_tokens=50)
    with running_simulator(Simulator({MODEL: lambda _: answer})) as simulator:
        reading, writing = os.pipe()
        os.set_blocking(writing, False)
        line = ["run", "Hello", "-m", MODEL]
        with Path("/dev/null").open("rb") as nothing, Path("/dev/null").open("wb") as lost:
            streams = [nothing.fileno(), writing, lost.fileno()]
            process = beginner().begin(line, keys(simulator), streams, tmp_path)
        os.close(writing)
        with os.fdopen(reading, "rb") as output:
            assert output.read().decode().strip() == words.strip()
        assert process.wait() == 0


@pytest.mark.parametrize(
    ("words", "what"),
    [
        pytest.param(["run", "-q", "What?"], "the context of the question", id="question"),
        pytest.param(["run", "-"], "the task", id="task"),
        pytest.param(["batch", "-"], "the tasks", id="batch"),
    ],
)
def test_an_open_pipe_is_told_to_be_waited_for(
    simulator: Simulator, tmp_path: Path, words: list[str], what: str
) -> None:
    """A command that reads standard input says so if nothing comes, and goes on when it does."""
    reading, writing = os.pipe()
    line = [*words, "-m", MODEL, "-w", str(tmp_path)]
    process = beginner().piped(line, keys(simulator), reading)
    os.close(reading)
    assert process.stderr is not None
    with os.fdopen(writing, "w") as pipe:
        assert process.stderr.readline().startswith(f"sunwell: waiting for {what}")
        pipe.write('"Hello"')
    out, err = process.communicate(timeout=60)
    assert (process.returncode, "Hello" in out) == (0, True), err


def test_a_provider_that_says_nothing_is_told_after_seconds(tmp_path: Path) -> None:
    """A line on standard error names the model and the seconds while the call goes on."""
    slow = FaultRule(Fault(stall_before_seconds=60))
    with running_simulator(Simulator({MODEL: echo}, faults=[slow])) as simulator:
        process = beginner().piped(["run", "Hello", "-m", MODEL, "-w", str(tmp_path)], keys(simulator))
        assert process.stderr is not None
        lines = [process.stderr.readline() for _ in range(2)]
        process.kill()
        process.communicate()
    assert lines[1].startswith(f"waiting for {MODEL}, "), lines
    assert lines[1].endswith(" s\n")


def test_silence_is_told_rarely_and_from_the_last_word_on() -> None:
    """After 5, 15, 45 and 105 seconds, then each minute; text and a retry begin it anew."""
    now = [0.0]
    waits = Waits(lambda: now[0])
    waits.see(ModelCallStarted("run/a", 0, "haiku", "work"))

    def told(until: int) -> list[str]:
        lines = []
        while now[0] < until:
            now[0] += 1
            lines += waits.due()
        return lines

    said = told(200)
    assert said == [f"waiting for haiku, {seconds} s" for seconds in (5, 15, 45, 105, 165)]
    waits.see(ModelTextArrived("run/a", "Hello"))
    waits.see(ModelCallStarted("run/b", 0, "haiku", "work"))
    assert told(206) == ["waiting for haiku (2 calls), 5 s"]
    waits.see(ModelRetried("run/a", 0, "haiku", 1, "down", 2.0))
    waits.see(ModelCallFinished("run/b", 0, "haiku", "work"))
    assert told(212) == []
    assert told(213) == ["waiting for haiku, 5 s"]
    waits.see(ModelCallFinished("run/a", 0, "haiku", "work"))
    assert told(300) == []
