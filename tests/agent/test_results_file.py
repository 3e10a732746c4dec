"""A results file that a crash or a loss of power left damaged: every result is in it once at the end."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.agent import Agent
from sunwell.errors import ConfigurationError
from sunwell.events import Event, RunFinished, Warned
from sunwell.journal.records import WorkerClosed
from sunwell.testing import ScriptedModel, run_virtual
from tests.agent.conftest import UnthreadedFiles

TASKS = ("Say ä.", "Say €.", "Say 𝄞.")


class Batch:
    """A batch in a folder of its own, and its results file in the same folder."""

    def __init__(self, workspace: Path) -> None:
        self.workspace = workspace
        self.out = workspace / "out.jsonl"

    def run(self) -> None:
        """Do all tasks."""
        agent = self._agent(*(f"Said: {task}" for task in TASKS))
        self._events(agent.batch_events(TASKS, workspace=self.workspace, results=self.out))

    def resume(self, **named: Path) -> list[Event]:
        """Resume the run with a model that has nothing left to say."""
        return self._events(self._agent().resume("", workspace=self.workspace, **named))

    def forget_the_last_worker(self) -> None:
        """Cut the journal off before the last worker ended, as a kill would."""
        [path] = self.workspace.glob(".sunwell/runs/*/journal.jsonl")
        lines = path.read_bytes().splitlines(keepends=True)
        ends = [i for i, line in enumerate(lines) if f'"kind":"{WorkerClosed.kind}"'.encode() in line]
        path.write_bytes(b"".join(lines[: ends[-1]]))

    def results(self) -> list[tuple[int, str]]:
        """Return index and answer of each line."""
        lines = self.out.read_bytes().decode().splitlines()
        return [(one["index"], one["answer"]) for one in map(json.loads, lines)]

    def _agent(self, *lines: str) -> Agent:
        return Agent(model=ScriptedModel("opus-x", list(lines)), journals=UnthreadedFiles())

    def _events(self, events) -> list[Event]:
        async def collect() -> list[Event]:
            return [event async for event in events]

        told = run_virtual(collect())
        assert isinstance(told[-1], RunFinished)
        assert told[-1].result.status == "ok", told[-1].result.error
        return told


ALL = [(index, f"Said: {task}") for index, task in enumerate(TASKS)]


@pytest.fixture
def batch(tmp_path: Path) -> Batch:
    """Return a batch that is done."""
    made = Batch(tmp_path)
    made.run()
    assert made.results() == ALL
    return made


def _half_a_character(data: bytes) -> bytes:
    return data[: data.rindex("𝄞".encode()) + 2]


def _garbage_in_the_middle(data: bytes) -> bytes:
    first, *rest = data.splitlines(keepends=True)
    return b"".join([first, b"\xff garbage \x00\n", *rest])


DAMAGE = {
    "half-a-character": _half_a_character,
    "zeros-at-the-end": lambda data: data + b"\0" * 4096,
    "zeros-for-the-last-line": lambda data: data[:-100] + b"\0" * 100,
    "half-a-line": lambda data: data[:-40],
    "no-line-end": lambda data: data[:-1],
    "garbage-in-the-middle": _garbage_in_the_middle,
    "another-object": lambda data: b"{}\n" + data,
    "only-an-index": lambda data: data[:-1] + b'\n{"index": 0}\n',
    "a-line-nested-too-deep": lambda data: data + b"[" * 100_000,
    "empty": lambda data: b"",
    "gone": lambda data: None,
}


@pytest.mark.parametrize("is_over", [True, False], ids=["finished", "unfinished"])
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_file_is_repaired_on_resume(batch: Batch, damage, is_over) -> None:
    """What was lost is written again from the journal, and nobody is asked for it a second time."""
    if not is_over:
        batch.forget_the_last_worker()
    before = batch.out.read_bytes()
    after = damage(before)
    if after is None:
        batch.out.unlink()
    else:
        batch.out.write_bytes(after)
    batch.resume()
    assert batch.results() == ALL


def test_what_is_cut_out_is_kept_and_told(batch: Batch) -> None:
    """The bytes are in a file beside the results, and one warning names it."""
    cut = batch.out.read_bytes()[:-7]
    batch.out.write_bytes(cut + b"\xff")
    [said] = [event.message for event in batch.resume() if isinstance(event, Warned)]
    torn = batch.out.with_name("out.jsonl.torn")
    assert torn.read_bytes() == cut.splitlines()[-1] + b"\xff"
    assert said == (
        f"{torn.stat().st_size:,} bytes of {batch.out} were not whole results; they are kept in {torn}"
    )
    assert [event for event in batch.resume() if isinstance(event, Warned)] == []


def test_a_whole_result_is_not_lost_with_its_line_end(batch: Batch) -> None:
    """The result of a worker that the journal lacks stays until the worker has ended again."""
    batch.forget_the_last_worker()
    batch.out.write_bytes(batch.out.read_bytes()[:-1])
    assert [event for event in batch.resume() if isinstance(event, Warned)] == []
    assert batch.results() == ALL


def test_the_results_of_another_run_are_refused(batch: Batch) -> None:
    """Whole results that this run cannot have written are not taken for damage."""
    line = json.loads(batch.out.read_bytes().splitlines()[0])
    batch.out.write_text(json.dumps({**line, "index": len(TASKS)}) + "\n")
    before = batch.out.read_bytes()
    with pytest.raises(ConfigurationError, match=r"holds results of another run \(index 3\)"):
        batch.resume()
    assert batch.out.read_bytes() == before


@pytest.mark.parametrize("kind", ["a-folder", "a-pipe", "below-a-file"])
def test_what_is_not_a_file_is_named_in_one_sentence(batch: Batch, kind: str) -> None:
    """Nothing is read from it, and nothing waits for it."""
    batch.out.unlink()
    if kind == "a-folder":
        batch.out.mkdir()
    elif kind == "a-pipe":
        os.mkfifo(batch.out)
    else:
        batch.out.write_text("a file")
        batch.out = batch.out / "out.jsonl"
    with pytest.raises(ConfigurationError, match=r"out\.jsonl"):
        batch.resume(results=batch.out)


@pytest.fixture(scope="module")
def done() -> Iterator[Batch]:
    """Return one batch for all examples of a property."""
    with tempfile.TemporaryDirectory() as folder:
        made = Batch(Path(folder))
        made.run()
        yield made


@settings(deadline=None, max_examples=150)
@given(data=st.data(), tail=st.binary(max_size=40))
def test_a_file_cut_anywhere_ends_with_every_result_once(done: Batch, data, tail: bytes) -> None:
    """Cut at any byte, with any bytes after it."""
    whole = done.out.read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    done.out.write_bytes(whole[:at] + tail)
    done.resume()
    assert done.results() == ALL


def test_a_file_cut_at_every_byte_of_its_end_ends_with_every_result_once(done: Batch) -> None:
    """Around a line's end and in characters of several bytes, with what a loss of power may leave behind."""
    whole = done.out.read_bytes()
    line = whole.rindex(b"\n", 0, -1)
    for at in (0, *range(line - 3, line + 4), *range(len(whole) - 60, len(whole) + 1)):
        done.out.write_bytes(whole[:at] + (b"\0" if at % 2 else b""))
        done.resume()
        assert done.results() == ALL
