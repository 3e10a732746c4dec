import os
import tracemalloc
from pathlib import Path

import pytest

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import Note, RunOpened

OPENED = RunOpened("r1", "write it", 1000.0)
RECORDS = [OPENED, *(Note("run", str(i), i) for i in range(1, 5))]
LINES = [encode(record, seq, synced=seq) + b"\n" for seq, record in enumerate(RECORDS)]
UNSYNCED = [encode(record, seq) + b"\n" for seq, record in enumerate(RECORDS)]
WHOLE = b"".join(LINES)
NEWER = encode(OPENED, 0).replace(b'"1.6"', b'"2.0"') + b"\n"
GARBAGE = b"\x93\xff not a line\n"
HOLE = b"\0" * 50


@pytest.fixture
def journal_with(tmp_path):
    """Writes the bytes of a journal and returns its path."""

    def write(content):
        path = tmp_path / "journal.jsonl"
        path.write_bytes(content)
        return path

    return write


@pytest.mark.parametrize(
    ("content", "kept", "dropped"),
    [
        pytest.param(WHOLE, 5, None, id="whole"),
        pytest.param(WHOLE[:-1], 5, None, id="last-line-end-missing"),
        pytest.param(WHOLE[:-2], 4, (len(LINES[4]) - 2, 1), id="one-byte-short"),
        pytest.param(WHOLE + b"{", 5, (1, 1), id="one-byte-more"),
        pytest.param(WHOLE + LINES[1][:20], 5, (20, 1), id="half-a-line"),
        pytest.param(WHOLE + GARBAGE * 2, 5, (2 * len(GARBAGE), 2), id="garbage-at-the-end"),
        pytest.param(WHOLE + HOLE, 5, (50, 1), id="nuls-at-the-end"),
        pytest.param(WHOLE + b"\n", 5, (1, 1), id="empty-line-at-the-end"),
        pytest.param(b"".join(LINES[:3]) + GARBAGE, 3, (len(GARBAGE), 1), id="garbage-for-the-last-records"),
        pytest.param(WHOLE + LINES[4], 5, None, id="last-line-doubled"),
        pytest.param(b"".join([*LINES[:2], *LINES[1:]]), 5, None, id="line-in-the-middle-doubled"),
        pytest.param(LINES[0] * 3 + b"".join(LINES[1:]), 5, None, id="first-line-tripled"),
        pytest.param(WHOLE.replace(b"\n", b"\r\n"), 5, None, id="line-ends-of-an-editor"),
        pytest.param(WHOLE.replace(b"\n", b"\r\n")[:-1], 5, None, id="half-a-line-end"),
        pytest.param(
            b"".join(UNSYNCED[:2]) + HOLE + b"".join(UNSYNCED[3:]),
            2,
            (50 + len(b"".join(UNSYNCED[3:])), 2),
            id="block-lost-before-lines-never-synced",
        ),
    ],
)
def test_a_torn_tail_is_cut_off_and_all_before_it_stays(journal_with, content, kept, dropped):
    """What is no whole record at the end is cut off, said and kept beside; the records are all there."""
    path = journal_with(content)
    told = []
    assert list(read_records(path, torn=told.append)) == RECORDS[:kept]
    assert path.read_bytes() == content  # reading changes nothing
    journal = FileJournal.open(path)
    repair = journal.repair and (journal.repair.dropped_bytes, journal.repair.dropped_lines)
    assert repair == dropped
    assert told == ([journal.repair] if dropped else [])
    assert list(journal.records()) == RECORDS[:kept]
    journal.close()
    torn = path.with_suffix(".torn")
    assert (torn.read_bytes() if torn.exists() else b"") == (content[-dropped[0] :] if dropped else b"")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        pytest.param(b"", "is empty", id="empty"),
        pytest.param(b'{"se', "does not begin with the record of a run", id="half-of-the-first-line"),
        pytest.param(GARBAGE * 3, "does not begin with the record of a run", id="garbage"),
        pytest.param(HOLE, "does not begin with the record of a run", id="nuls"),
        pytest.param(
            b"\xef\xbb\xbf" + WHOLE, "record 0 is unreadable and good ones follow", id="byte-order-mark"
        ),
        pytest.param(
            encode(RECORDS[1], 0) + b"\n", "does not begin with the record of a run", id="no-run-record"
        ),
        pytest.param(b"".join(LINES[1:]), "record 0 is missing where record 1 stands", id="first-line-gone"),
        pytest.param(
            b"".join([*LINES[:2], *LINES[3:]]), "record 2 is missing where record 3 stands", id="line-gone"
        ),
        pytest.param(
            b"".join([*LINES[:2], LINES[3], LINES[2], LINES[4]]), "record 2 is missing", id="lines-exchanged"
        ),
        pytest.param(
            b"".join([*LINES[:4], *LINES[2:]]), "record 4 is missing where record 2", id="two-lines-doubled"
        ),
        pytest.param(
            b"".join([*LINES[:2], UNSYNCED[1], *LINES[2:]]),
            "record 2 is missing where record 1",
            id="doubled-with-other-bytes",
        ),
        pytest.param(
            b"".join([*LINES[:2], GARBAGE, *LINES[3:]]),
            "record 2 is unreadable and good ones follow",
            id="bad-line-in-the-middle",
        ),
        pytest.param(
            b"".join([*UNSYNCED[:2], GARBAGE, *UNSYNCED[3:]]),
            "record 2 is unreadable and good ones follow",
            id="bad-line-without-nuls-is-no-loss-of-power",
        ),
        pytest.param(
            b"".join([*LINES[:2], HOLE, *LINES[3:]]),
            "record 2 is unreadable and good ones follow",
            id="nuls-where-a-later-line-knows-it-was-durable",
        ),
        pytest.param(
            b"".join([*UNSYNCED[:2], GARBAGE, UNSYNCED[3], HOLE, UNSYNCED[4]]),
            "record 2 is unreadable and good ones follow",
            id="nuls-only-after-a-good-line",
        ),
        pytest.param(
            b"".join([*LINES[:2], b"\n", *LINES[2:]]),
            "record 2 is unreadable and good ones follow",
            id="empty-line-in-the-middle",
        ),
        pytest.param(NEWER, "format 2.0 by a newer Sunwell", id="newer-version-with-its-own-checksum"),
    ],
)
def test_damage_is_refused_in_one_sentence_and_nothing_is_changed(journal_with, content, sentence):
    """Where good records could be lost, neither reading nor taking up goes on; the file stays."""
    path = journal_with(content)
    for use in (lambda: list(read_records(path)), lambda: FileJournal.open(path)):
        with pytest.raises(JournalError, match=sentence) as refused:
            use()
        assert str(path) in str(refused.value)
        assert "\n" not in str(refused.value)
    assert path.read_bytes() == content
    assert not path.with_suffix(".torn").exists()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        pytest.param(lambda path: path.mkdir(), "is not a file", id="folder"),
        pytest.param(lambda path: os.mkfifo(path), "is not a file", id="pipe"),
        pytest.param(lambda path: None, "No such file", id="nothing"),
    ],
)
def test_what_is_no_file_is_refused_in_one_sentence(tmp_path, make, sentence):
    """A folder, a pipe or nothing in the journal's place blocks nobody and is named."""
    path = tmp_path / "journal.jsonl"
    make(path)
    for use in (lambda: list(read_records(path)), lambda: FileJournal.open(path)):
        with pytest.raises(JournalError, match=sentence):
            use()


async def test_two_torn_tails_are_both_kept(journal_with):
    """What a second repair cuts off is added to what the first one kept."""
    path = journal_with(WHOLE + b"one")
    FileJournal.open(path).close()
    with path.open("ab") as file:
        file.write(b"two")
    FileJournal.open(path).close()
    assert path.with_suffix(".torn").read_bytes() == b"onetwo"


async def test_a_run_goes_on_after_a_repair(journal_with):
    """Appending after a cut, or after a missing line end, gives a whole file again."""
    for content in (WHOLE + b"half", WHOLE[:-1], WHOLE.replace(b"\n", b"\r\n")):
        journal = FileJournal.open(journal_with(content))
        await journal.append(Note("run", "more", 5))
        journal.close()
        assert list(read_records(journal.path)) == [*RECORDS, Note("run", "more", 5)]


def test_the_cut_is_durable_before_anything_is_appended(fake_disk):
    """What is cut off is kept first, then cut, then synced; nothing else happens on opening."""
    disk = fake_disk(WHOLE + b"half")
    FileJournal.open(Path("anywhere/journal.jsonl"), disk=disk)
    assert disk.events == ["set aside", "truncate", "sync"]
    assert disk.kept == [b"half"]


def test_reading_takes_memory_that_does_not_grow(journal_with):
    """Four times the records take no more memory to read through."""
    peaks = []
    for count in (1_000, 4_000):
        lines = [encode(Note("run", str(i), "x" * 1000), i) for i in range(1, count)]
        path = journal_with(b"\n".join([encode(OPENED, 0), *lines, b""]))
        tracemalloc.start()
        assert sum(1 for _ in read_records(path)) == count
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.3


def test_lines_longer_than_a_chunk_are_read_whole(journal_with):
    """A record of a megabyte, between short ones, comes back."""
    long = Note("run", "long", "é" * 600_000)
    path = journal_with(LINES[0] + encode(long, 1) + b"\n" + LINES[2])
    assert list(read_records(path)) == [OPENED, long, RECORDS[2]]
