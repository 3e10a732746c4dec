import asyncio
import errno
import threading
from pathlib import Path

import attrs
import pytest

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, MemoryJournal, read_records
from sunwell.journal.file import SharedSync
from sunwell.journal.records import Answer, Failure, Intent, Note, RunOpened
from sunwell.testing import run_virtual


@pytest.fixture
async def begun(tmp_path, fake_disk, opened):
    """Makes a journal on a fake disk with its first record in it."""

    async def begin(**disk):
        made = fake_disk()
        journal = FileJournal.create(tmp_path, "r1", disk=made)
        await journal.append(opened)
        for name, value in disk.items():
            setattr(made, name, value)
        return journal, made

    return begin


@pytest.fixture(params=["file", "memory"])
def either(request, tmp_path):
    """A new journal of either sort."""
    return FileJournal.create(tmp_path, "r1") if request.param == "file" else MemoryJournal("r1")


async def test_what_was_appended_is_found_and_listed(either, opened, intent, answer):
    """Either journal gives back the latest record of a kind and key, and all in order."""
    first, second = answer(usd="0.1"), answer(usd="0.2")
    given = [opened, intent(), first, Note("run", "a", 1), second]
    for record in given:
        await either.append(record)
    assert list(either.records()) == given
    assert either.find(Answer, ("run", 0)) == second
    assert either.find(Note, ("run", "a")) == Note("run", "a", 1)
    assert either.find(Intent, ("run", 0, 1)) == intent()
    assert either.find(RunOpened, ()) == opened
    assert either.find(Failure, ("run", 0, 1)) is None
    assert either.find(Answer, ("run", 1)) is None
    assert either.run_id == "r1"
    either.close()


async def test_either_journal_refuses_what_could_not_be_read_back(either, opened):
    """A value that is no JSON is refused when it is appended, and leaves nothing behind."""
    await either.append(opened)
    with pytest.raises(TypeError, match="not tuple"):
        await either.append(Note("run", "a", (1,)))
    await either.append(Note("run", "a", [1]))
    assert list(either.records()) == [opened, Note("run", "a", [1])]
    either.close()


async def test_a_closed_journal_takes_nothing_more(either, opened):
    """After close, which may be called twice, appending is an error of one sentence."""
    await either.append(opened)
    either.close()
    either.close()
    with pytest.raises(JournalError, match="is closed"):
        await either.append(Note("run", "a", 1))


async def test_another_process_finds_what_the_first_one_appended(tmp_path, opened, answer):
    """A journal that is opened again finds the answers and goes on with the next number."""
    journal = FileJournal.create(tmp_path, "r1")
    given = [opened, *(answer(f"run/{i}") for i in range(20))]
    for record in given:
        await journal.append(record)
    journal.close()
    again = FileJournal.open(journal.path)
    assert (again.run_id, again.repair) == ("r1", None)
    assert again.find(Answer, ("run/7", 0)) == given[8]
    await again.append(Note("run", "a", 1))
    assert list(read_records(journal.path)) == [*given, Note("run", "a", 1)]
    again.close()


async def test_a_journal_is_read_while_it_is_written(tmp_path, opened, note):
    """A reader needs no lock and sees whole records only."""
    journal = FileJournal.create(tmp_path, "r1")
    await journal.append(opened)
    reader = read_records(journal.path)
    assert next(reader) == opened
    await journal.append(note(1), durable=False)
    assert list(read_records(journal.path)) == [opened, note(1)]
    with journal.path.open("ab") as file:
        file.write(b'{"seq":2,"ki')
    assert list(read_records(journal.path)) == [opened, note(1)]
    reader.close()
    journal.close()


@pytest.mark.parametrize(
    "record",
    [
        pytest.param(Note("run", "a", 1), id="not-the-run"),
        pytest.param(RunOpened("another", "t", 1.0), id="another-run"),
    ],
)
async def test_a_file_begins_with_its_run(tmp_path, record):
    """A first record that no resume could begin with is refused."""
    journal = FileJournal.create(tmp_path, "r1")
    with pytest.raises(JournalError, match="begins with the record of run r1"):
        await journal.append(record)
    journal.close()


async def test_the_order_in_the_file_is_the_order_of_the_calls(begun, note):
    """Tasks that append side by side stand in the order in which they called."""
    journal, _ = await begun()
    async with asyncio.TaskGroup() as group:
        for number in range(200):
            group.create_task(journal.append(note(number), durable=number % 3 > 0))
    assert [record.name for record in journal.records() if isinstance(record, Note)] == [
        str(number) for number in range(200)
    ]


async def test_a_hundred_workers_share_their_syncs(begun, note):
    """A thousand durable records of a hundred workers take about ten syncs, not a thousand."""
    journal, disk = await begun()

    async def work(worker):
        for turn in range(10):
            await journal.append(note(worker * 100 + turn))

    before = disk.syncs
    async with asyncio.TaskGroup() as group:
        for worker in range(100):
            group.create_task(work(worker))
    assert disk.syncs - before <= 12


async def test_a_call_that_is_alone_waits_for_nobody(begun, intent, answer):
    """If no other call is in flight, its records are durable without a pass of the event loop."""
    journal, disk = await begun()
    passes = []
    asyncio.get_running_loop().call_soon(passes.append, "one")
    await journal.append(intent())
    await journal.append(answer())
    assert (passes, disk.syncs, disk.durable_size == disk.size()) == ([], 3, True)


async def test_answers_to_calls_in_flight_share_their_sync(begun, intent, answer):
    """The answers to fifty calls that are in flight together take one sync."""
    journal, disk = await begun()
    for number in range(50):
        await journal.reserve_space(10)
        await journal.append(intent(number=number), durable=False)
    before = disk.syncs
    await asyncio.gather(*(journal.append(answer(number=number)) for number in range(50)))
    assert (disk.syncs - before, disk.durable_size == disk.size()) == (1, True)


async def test_a_call_that_is_alone_joins_a_sync_that_others_wait_for(begun, note, intent):
    """A sync that is about to run serves all who have appended by then."""
    journal, disk = await begun()
    await asyncio.gather(journal.append(note(1)), journal.append(intent()))
    assert (disk.syncs, disk.durable_size == disk.size()) == (2, True)


async def test_a_quick_sync_takes_no_way_to_a_thread(tmp_path, fake_disk, opened, note):
    """Every sync of a quick disk runs on the event loop, the first one among them."""

    @attrs.define(eq=False)
    class WatchedDisk(fake_disk):
        threaded: bool = True
        threads: list = attrs.field(factory=list)

        def sync(self):
            self.threads.append(threading.current_thread() is threading.main_thread())
            super().sync()

    disk = WatchedDisk()
    journal = FileJournal.create(tmp_path, "r1", disk=disk)
    await journal.append(opened)
    for number in range(50):
        await journal.append(note(number))
    journal.close()
    assert all(disk.threads)


async def test_a_slow_disk_holds_the_loop_up_ever_more_rarely():
    """After two syncs of 5 ms the next 16 run in the thread, after one more on the loop 32, and so on."""
    here, now = [], [0.0]

    def sync():
        now[0] += 0.005
        here.append(threading.current_thread() is threading.main_thread())

    shared = SharedSync(sync, lambda: len(here) + 1, True, clock=lambda: now[0])
    for _ in range(120):
        assert await shared.coming()
    shared.close()
    assert [number for number, is_here in enumerate(here[:120]) if is_here] == [0, 1, 18, 51, 116]


def test_a_slow_disk_under_a_virtual_clock_syncs_where_it_is():
    """The clock knows no threads: a sync in one would look as if everybody waited for nothing."""
    here, now = [], [0.0]

    def sync():
        now[0] += 0.005
        here.append(threading.current_thread() is threading.main_thread())

    async def main():
        shared = SharedSync(sync, lambda: len(here) + 1, True, clock=lambda: now[0])
        for _ in range(20):
            assert await shared.coming()
        shared.close()

    run_virtual(main())
    assert len(here) >= 20
    assert all(here)


async def test_journals_share_threads_and_each_waits_for_its_own_sync_at_the_end():
    """A run on a slow disk starts no thread of its own, and ends when its records are durable."""
    now, names, threads = [0.0], [], []

    def sync():
        now[0] += 0.005
        names.append(threading.current_thread().name)

    for _ in range(5):
        begun = len(names)
        shared = SharedSync(sync, lambda at=begun: len(names) - at + 1, True, clock=lambda: now[0])
        for _ in range(4):
            assert await shared.coming()
        waiting = shared.coming(is_alone=True)
        shared.close()
        assert len(names) >= begun + 5
        assert await waiting
        threads.append(threading.active_count())
    assert any(name.startswith("sunwell-journal") for name in names)
    assert threads == threads[:1] * 5


async def test_one_slow_moment_of_a_quick_disk_starts_no_thread():
    """Slow syncs that do not come in a row all run on the event loop."""
    here, now = [], [0.0]

    def sync():
        now[0] += 0.005 if len(here) % 2 else 0.0005
        here.append(threading.current_thread() is threading.main_thread())

    shared = SharedSync(sync, lambda: len(here) + 1, True, clock=lambda: now[0])
    for _ in range(40):
        assert await shared.coming()
    shared.close()
    assert all(here)


@pytest.fixture
def gated_disk(fake_disk):
    """A slow disk, so that syncs run in a thread; the third one waits until the test lets it go on."""

    @attrs.define(eq=False)
    class GatedDisk(fake_disk):
        threaded: bool = True
        running: threading.Event = attrs.field(factory=threading.Event)
        go_on: threading.Event = attrs.field(factory=threading.Event)

        def sync(self):
            if self.syncs < 2:
                self.go_on.wait(0.005)
            else:
                self.running.set()
                self.go_on.wait(10)
            super().sync()

    return GatedDisk()


async def test_records_that_come_during_a_sync_share_the_next_one(tmp_path, gated_disk, opened, note):
    """While one sync runs in its thread the loop goes on, and all who append then share one more."""
    journal = FileJournal.create(tmp_path, "r1", disk=gated_disk)
    await journal.append(opened)
    await journal.append(note(50))
    first = asyncio.create_task(journal.append(note(0)))
    await asyncio.to_thread(gated_disk.running.wait, 10)
    others = [asyncio.create_task(journal.append(note(number))) for number in range(1, 50)]
    await asyncio.sleep(0)
    assert not any(task.done() for task in (first, *others))
    gated_disk.go_on.set()
    await asyncio.gather(first, *others)
    assert gated_disk.syncs == 4
    assert gated_disk.durable_size == gated_disk.size()
    journal.close()


async def test_those_who_came_during_a_sync_that_failed_fail_without_another(
    tmp_path, gated_disk, opened, note
):
    """A system reports a failed sync once: a second one would succeed and mean nothing."""
    journal = FileJournal.create(tmp_path, "r1", disk=gated_disk)
    await journal.append(opened)
    await journal.append(note(50))
    gated_disk.sync_error = OSError(errno.EIO, "Input/output error")
    first = asyncio.create_task(journal.append(note(0)))
    await asyncio.to_thread(gated_disk.running.wait, 10)
    other = asyncio.create_task(journal.append(note(1)))
    await asyncio.sleep(0)
    gated_disk.go_on.set()
    got = await asyncio.gather(first, other, return_exceptions=True)
    assert [type(each) for each in got] == [JournalError, JournalError]
    assert gated_disk.syncs == 3
    journal.close()


async def test_a_record_that_need_not_be_durable_goes_with_the_next(begun, note):
    """It is in the file at once, and durable with the next durable record, or at close."""
    journal, disk = await begun()
    await journal.append(note(1), durable=False)
    assert (disk.syncs, disk.durable_size < disk.size()) == (1, True)
    await journal.append(note(2))
    assert (disk.syncs, disk.durable_size == disk.size()) == (2, True)
    await journal.append(note(3), durable=False)
    journal.close()
    assert (disk.syncs, disk.durable_size == disk.size()) == (3, True)
    assert disk.closed


def test_a_record_that_is_durable_soon_is_so_within_its_time(opened, note, fake_disk):
    """Its append waits for nothing; a sync of its own comes in 20 ms unless another one comes before."""

    async def appends():
        disk = fake_disk()
        journal, seen = FileJournal.create(Path("anywhere"), "r1", disk=disk), []

        def look(*_):
            seen.append((disk.syncs, disk.durable_size == disk.size()))

        await journal.append(opened)
        await journal.append(note(1), durable="soon")
        look()
        await asyncio.sleep(0.019)
        look()
        await asyncio.sleep(0.002)
        look()
        await journal.append(note(2), durable="soon")
        await journal.append(note(3))
        look()
        await asyncio.sleep(1)
        look()  # the sync of its own was not needed any more
        await journal.append(note(4), durable="soon")
        journal.close()
        look()
        await asyncio.sleep(1)
        look()
        return seen

    durable = [(2, True), (3, True), (3, True), (4, True), (4, True)]
    assert run_virtual(appends()) == [(1, False), (1, False), *durable]


def test_a_failed_sync_of_what_is_durable_soon_ends_the_journal(opened, note, fake_disk):
    """Nobody waits for it, so the next append tells."""

    async def appends():
        disk = fake_disk()
        journal = FileJournal.create(Path("anywhere"), "r1", disk=disk)
        await journal.append(opened)
        disk.sync_error = OSError(errno.EIO, "Input/output error")
        await journal.append(note(1), durable="soon")
        await asyncio.sleep(0.1)
        syncs = disk.syncs
        with pytest.raises(JournalError, match="cannot be made durable"):
            await journal.append(note(2), durable=False)
        journal.close()
        assert disk.syncs == syncs

    run_virtual(appends())


def test_what_is_durable_soon_is_so_on_the_next_event_loop_too(opened, note, fake_disk):
    """A loop that ended takes its timers with it."""
    disk = fake_disk()

    async def begin():
        journal = FileJournal.create(Path("anywhere"), "r1", disk=disk)
        await journal.append(opened)
        await journal.append(note(1), durable="soon")
        return journal

    async def go_on(journal):
        await journal.append(note(2), durable="soon")
        await asyncio.sleep(0.1)
        return disk.durable_size == disk.size()

    journal = run_virtual(begin())
    assert run_virtual(go_on(journal))
    journal.close()


async def test_a_failed_sync_is_told_to_all_who_wait_and_never_retried(begun, note):
    """Everyone gets the sentence, the journal takes nothing more, and no later sync is tried."""
    journal, disk = await begun(sync_error=OSError(errno.EIO, "Input/output error"))
    got = await asyncio.gather(*(journal.append(note(i)) for i in range(10)), return_exceptions=True)
    assert {type(error) for error in got} == {JournalError}
    assert len({id(error) for error in got}) == 10  # one traceback each
    assert "cannot be made durable (Input/output error)" in str(got[0])
    disk.sync_error, syncs, size = None, disk.syncs, disk.size()
    with pytest.raises(JournalError, match="cannot be made durable"):
        await journal.append(note(11), durable=False)
    journal.close()
    assert (disk.syncs, disk.size()) == (syncs, size)


async def test_a_bug_in_a_disk_surfaces_as_itself(begun, note):
    """An error that is none of the system is not dressed up as a full disk."""
    journal, _ = await begun(sync_error=ZeroDivisionError("bug"))
    with pytest.raises(ZeroDivisionError):
        await journal.append(note(1))
    journal.close()


async def test_a_full_disk_ends_the_journal_and_loses_nothing(begun, note, opened, fake_disk, tmp_path):
    """Those whose records were written before are told the truth; nothing is taken after."""
    journal, disk = await begun()
    disk.capacity = disk.size() + 300
    got = await asyncio.gather(*(journal.append(note(i, 60)) for i in range(4)), return_exceptions=True)
    assert [type(each) for each in got] == [type(None), type(None), JournalError, JournalError]
    assert "cannot be written (No space left on device): free some space" in str(got[2])
    disk.capacity = None
    with pytest.raises(JournalError, match="No space left"):
        await journal.append(note(5))
    journal.close()
    again = FileJournal.open(journal.path, disk=fake_disk(disk.content))
    assert list(again.records()) == [opened, note(0, 60), note(1, 60)]


async def test_a_failed_sync_at_close_is_told_and_the_file_given_up(begun, note):
    """Records that were never durable are not forgotten silently."""
    journal, disk = await begun(sync_error=OSError(errno.EIO, "Input/output error"))
    await journal.append(note(1), durable=False)
    with pytest.raises(JournalError, match="cannot be made durable"):
        journal.close()
    assert disk.closed
    journal.close()


async def test_closing_serves_those_who_still_wait(begun, note):
    """Appends that wait for their sync return once close has made them durable."""
    journal, disk = await begun()
    tasks = [asyncio.create_task(journal.append(note(number))) for number in range(3)]
    await asyncio.sleep(0)
    journal.close()
    assert await asyncio.gather(*tasks) == [None, None, None]
    assert disk.durable_size == disk.size()


async def test_a_journal_in_memory_can_begin_with_records(opened, answer):
    """A run that another journal holds can be taken up in memory."""
    journal = MemoryJournal.of("r1", [opened, answer()])
    assert journal.find(Answer, ("run", 0)) == answer()
    await journal.append(Note("run", "a", 1))
    assert list(journal.records()) == [opened, answer(), Note("run", "a", 1)]
    assert journal.path is None
    await journal.reserve_space(1 << 60)


async def test_a_cancelled_append_harms_nobody(begun, note):
    """Its record stands, and those who share its sync are served."""
    journal, _ = await begun()
    tasks = [asyncio.create_task(journal.append(note(number))) for number in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    got = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in got] == [type(None), asyncio.CancelledError, type(None)]
    await journal.append(note(3))
    assert [record.name for record in journal.records() if isinstance(record, Note)] == ["0", "1", "2", "3"]


async def test_a_record_that_no_reader_would_take_is_refused(begun):
    """A line over 64 MiB is refused, and the journal goes on."""
    journal, _ = await begun()
    with pytest.raises(JournalError, match="too long"):
        await journal.append(Note("run", "a", "x" * (64 << 20)))
    await journal.append(Note("run", "a", 1))


async def test_a_file_changed_under_a_running_journal_is_noticed(begun, note):
    """Looking a record up checks its checksum."""
    journal, disk = await begun()
    await journal.append(note(1))
    disk.content[-20] ^= 1
    with pytest.raises(JournalError, match="changed by somebody else"):
        journal.find(Note, ("run", "1"))


def test_a_real_file_works_on_a_virtual_clock(tmp_path, opened, note):
    """Where the loop knows no threads, the sync runs on the loop."""

    async def main():
        journal = FileJournal.create(tmp_path, "r1", threaded=False)
        await journal.append(opened)
        await asyncio.sleep(3600)
        await journal.append(note(1))
        journal.close()
        return journal.path

    assert list(read_records(run_virtual(main()))) == [opened, note(1)]
