import os
import signal
import subprocess
import sys

import pytest

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, read_records
from sunwell.journal.records import Note, RunOpened

APPENDING = """
import asyncio, sys
from pathlib import Path
from sunwell.journal import FileJournal
from sunwell.journal.records import Note, RunOpened

async def work(journal, worker):
    for turn in range(100_000):
        await journal.append(Note(f"run/{worker}", str(turn), "x" * 300))
        sys.stdout.write(f"{worker} {turn}\\n")  # one system call: a kill leaves whole lines
        sys.stdout.flush()

async def main():
    journal = FileJournal.create(Path(sys.argv[1]), "r1")
    await journal.append(RunOpened("r1", "write it", 1000.0))
    async with asyncio.TaskGroup() as group:
        for worker in range(8):
            group.create_task(work(journal, worker))

asyncio.run(main())
"""
HOLDING = """
import sys
from pathlib import Path
from sunwell.journal import FileJournal

journal = FileJournal.open(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def start(script, argument):
    return subprocess.Popen(
        [sys.executable, "-c", script, str(argument)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("acknowledged", [1, 57, 400])
def test_a_killed_process_loses_no_record_whose_append_returned(tmp_path, acknowledged):
    """After kill -9 in the midst of eight workers, all that any of them was told of is there, in order."""
    with start(APPENDING, tmp_path) as process:
        told = [process.stdout.readline() for _ in range(acknowledged)]
        process.kill()
        told += process.stdout.readlines()
    journal = FileJournal.open(tmp_path / ".sunwell" / "runs" / "r1" / "journal.jsonl")
    first, *notes = journal.records()
    journal.close()
    assert first == RunOpened("r1", "write it", 1000.0)
    turns = {}
    for note in notes:
        assert int(note.name) == turns.get(note.span, -1) + 1
        turns[note.span] = int(note.name)
    for line in told:
        worker, turn = line.split()
        assert turns[f"run/{worker}"] >= int(turn)


async def test_one_process_at_a_time_and_no_stale_lock(tmp_path, opened):
    """A second process is told who has the journal; once the holder is killed, the next one gets it."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    journal.close()
    with start(HOLDING, journal.path) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(JournalError, match=f"is in use by process {holder.pid}: wait"):
            FileJournal.open(journal.path)
        assert list(read_records(journal.path)) == [opened]
        holder.send_signal(signal.SIGKILL)
    FileJournal.open(journal.path).close()


async def test_one_journal_at_a_time_within_a_process(tmp_path, opened):
    """The lock holds against the same process, too, and a refused opening leaves it with its holder."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    for _ in range(2):
        with pytest.raises(JournalError, match=f"is in use by process {os.getpid()}"):
            FileJournal.open(journal.path)
    await journal.append(Note("run", "a", 1))
    journal.close()
    assert list(read_records(journal.path)) == [opened, Note("run", "a", 1)]


async def test_a_refused_journal_is_not_left_locked(tmp_path, opened):
    """Opening a damaged journal gives the lock back, so that a repaired one can be opened."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    journal.close()
    whole = journal.path.read_bytes()
    journal.path.write_bytes(b"")
    with pytest.raises(JournalError, match="is empty"):
        FileJournal.open(journal.path)
    journal.path.write_bytes(whole)
    FileJournal.open(journal.path).close()
