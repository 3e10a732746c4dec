import asyncio
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.errors import JournalError
from sunwell.journal import FileJournal
from sunwell.journal.records import Note, RunOpened
from sunwell.testing import run_virtual

PATH = Path("anywhere")
OPENED = RunOpened("r1", "write it", 1000.0)
DURABLE = st.sampled_from((True, False, "soon"))
BURSTS = st.lists(st.lists(DURABLE, min_size=1, max_size=6), min_size=1, max_size=8)


async def run_until_the_power_fails(disk, bursts):
    """Append bursts of records side by side; return all that were called for, and those that returned."""
    journal = FileJournal.create(PATH, "r1", disk=disk)
    called, returned = [], []

    async def append(record, durable):
        called.append(record)
        await journal.append(record, durable=durable)
        if durable is True:
            returned.append(record)

    try:
        await append(OPENED, True)
        for number, burst in enumerate(bursts):
            tasks = [append(Note("run", f"{number}-{i}", "x" * i * 9), flag) for i, flag in enumerate(burst)]
            for failure in await asyncio.gather(*tasks, return_exceptions=True):
                if failure is not None:
                    raise failure
            if "soon" in burst:
                await asyncio.sleep(0.03)
                assert disk.durable_size == disk.size() or disk.operations_left <= 0
                returned += [record for record in called if disk.operations_left > 0]
    except JournalError:
        pass
    return called, returned


@settings(max_examples=250, deadline=None)
@given(BURSTS, st.integers(1, 30), st.data())
def test_what_append_returned_for_survives_a_loss_of_power(fake_disk, bursts, operations, data):
    """Wherever the power fails, and whichever blocks past the last sync are lost: every record whose
    append returned is there, in the order of the calls, and the run can be taken up."""
    disk = fake_disk(operations_left=operations)
    called, returned = run_virtual(run_until_the_power_fails(disk, bursts))
    tail = disk.size() - disk.durable_size
    length = data.draw(st.integers(0, tail), label="bytes of the tail that the file system knows of")
    lost = data.draw(st.sets(st.integers(0, tail // 64), max_size=4), label="blocks never written")
    survivor = disk.survivor(length, lost)
    if not returned:
        return  # no run was begun
    journal = FileJournal.open(PATH, disk=survivor)
    found = list(journal.records())
    assert found == called[: len(found)]
    assert {record.key for record in returned} <= {record.key for record in found}
    run_virtual(journal.append(Note("run", "after", 1)))
    again = FileJournal.open(PATH, disk=survivor.survivor(0))
    assert list(again.records()) == [*found, Note("run", "after", 1)]
