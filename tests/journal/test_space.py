import sys

import pytest

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, read_records
from sunwell.journal.records import Failure

MIB = 1 << 20
CLOSING_BYTES = 64 << 10  # kept free for what a run writes about its end


@pytest.fixture
async def begun(tmp_path, fake_disk, opened):
    """A journal on a fake disk, with its first record."""
    disk = fake_disk()
    journal = FileJournal.create(tmp_path, "r1", disk=disk)
    await journal.append(opened)
    return journal, disk


def failure(number):
    return Failure("run", number, 1, "Cancelled", "", True, True, 1001.0)


@pytest.mark.parametrize(
    ("spare", "fits"),
    [pytest.param(0, True, id="exactly"), pytest.param(-1, False, id="one-byte-short")],
)
async def test_an_answer_is_asked_only_where_it_fits(begun, spare, fits):
    """Up to the last byte there is room for the answer and for the end of the run, or the run stops."""
    journal, disk = begun
    disk.capacity = disk.size() + 50_000 + CLOSING_BYTES + spare
    if fits:
        await journal.reserve_space(50_000)
        return
    with pytest.raises(JournalError, match=r"room for an answer of 50,000 bytes .*No space left.*free some"):
        await journal.reserve_space(50_000)


async def test_a_full_disk_before_a_call_leaves_the_journal_usable(begun, note):
    """The run can still note how it ended."""
    journal, disk = begun
    disk.capacity = disk.size() + 1000
    with pytest.raises(JournalError, match="No space left"):
        await journal.reserve_space(50_000)
    await journal.append(note(1))


async def test_calls_in_flight_keep_their_room(begun, intent, answer):
    """Each call in flight has room of its own; an answer or a failure gives it to the next call."""
    journal, disk = begun
    disk.capacity = disk.size() + 3 * 50_000 + CLOSING_BYTES + 10_000
    for number in range(3):
        await journal.reserve_space(50_000)
        await journal.append(intent(number=number))
    for end in (answer(number=0), failure(1)):
        with pytest.raises(JournalError, match="No space left"):
            await journal.reserve_space(50_000)
        await journal.append(end)
        await journal.reserve_space(50_000)
        await journal.append(intent(number=10 + end.number))


async def test_calls_that_begin_at_the_same_time_do_not_share_room(begun):
    """Room is kept from the moment of asking for it, not only once the intent is written."""
    journal, disk = begun
    disk.capacity = disk.size() + 2 * 50_000 + CLOSING_BYTES
    await journal.reserve_space(50_000)
    await journal.reserve_space(50_000)
    with pytest.raises(JournalError, match="No space left"):
        await journal.reserve_space(50_000)


async def test_room_is_taken_in_steps_and_given_back(begun, intent, answer):
    """A thousand calls that were answered need one allocation, and closing frees what is left."""
    journal, disk = begun
    for number in range(1000):
        await journal.reserve_space(50_000)
        await journal.append(intent(number=number), durable=False)
        await journal.append(answer(number=number), durable=False)
    assert disk.allocated_to - disk.size() <= 2 * MIB
    journal.close()
    assert disk.allocated_to == disk.size()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux allocates without a longer file")
async def test_a_real_disk_takes_the_blocks_and_keeps_the_size(tmp_path, opened):
    """Blocks are taken, no byte is added, and closing frees the blocks."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    size = journal.path.stat().st_size
    await journal.reserve_space(4 * MIB)
    state = journal.path.stat()
    assert state.st_size == size
    assert state.st_blocks * 512 >= 4 * MIB
    assert list(read_records(journal.path)) == [opened]
    journal.close()
    assert journal.path.stat().st_blocks * 512 < MIB


async def test_a_real_disk_refuses_more_than_there_is(tmp_path, opened):
    """An answer larger than any disk is refused before it is asked."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    with pytest.raises(JournalError, match="cannot be given room for an answer of"):
        await journal.reserve_space(1 << 60)
    journal.close()
