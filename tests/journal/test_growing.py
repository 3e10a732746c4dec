"""A journal that is read while it grows."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.errors import JournalError
from sunwell.journal import FileJournal, read_records
from sunwell.journal.codec import encode
from sunwell.journal.reading import GrowingJournal
from sunwell.journal.records import Note, Record, RunOpened

RECORDS = [RunOpened("r1", "write it", 1000.0), *(Note("run", str(i), "x" * i * 37) for i in range(1, 30))]
LINES = [encode(record, seq, synced=seq) + b"\n" for seq, record in enumerate(RECORDS)]
WHOLE = b"".join(LINES)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def taken(journal: GrowingJournal, before: list[Record]) -> list[Record]:
    """Return all records that count after another reading."""
    records = list(before)
    for record in journal.added():
        if record is None:
            records.clear()
        else:
            records.append(record)
    return records


@given(
    cuts=st.lists(st.integers(len(LINES[0]), len(WHOLE)), max_size=20), end=st.sampled_from([b"\n", b"\r\n"])
)
def test_reading_in_pieces_gives_what_reading_at_once_gives(
    tmp_path_factory: pytest.TempPathFactory, cuts: list[int], end: bytes
) -> None:
    """At whatever bytes the file ends at each moment, also between and within line ends."""
    path = tmp_path_factory.mktemp("runs") / "journal.jsonl"
    content = WHOLE.replace(b"\n", end)
    journal, records = GrowingJournal(path), []
    for cut in [*sorted(cuts), len(content)]:
        path.write_bytes(content[:cut])
        records = taken(journal, records)
        assert records == list(read_records(path))
        assert (journal.repair is not None) == (cut < len(content) and not decodes(content[:cut], end))
    assert records == RECORDS


def decodes(content: bytes, end: bytes) -> bool:
    """Whether *content* ends with a whole line, with or without its line end, or half of that."""
    return any(WHOLE.replace(b"\n", end)[: len(content) + more].endswith(end) for more in range(len(end) + 1))


def test_who_stops_in_the_middle_goes_on_there(path: Path) -> None:
    """No record is given twice, and none is lost."""
    path.write_bytes(WHOLE)
    journal, records = GrowingJournal(path), []
    for _ in RECORDS:
        reading = journal.added()
        records.append(next(reading))
        reading.close()
    assert records == RECORDS
    assert list(journal.added()) == []


def test_a_torn_end_that_is_cut_off_does_not_count(path: Path) -> None:
    """Another process takes the run up: what it writes stands where the torn end was."""
    path.write_bytes(b"".join(LINES[:3]) + LINES[3][:-9])
    journal = GrowingJournal(path)
    assert taken(journal, []) == RECORDS[:3]
    assert journal.repair is not None
    FileJournal.open(path).close()
    with path.open("ab") as file:
        file.write(LINES[3] + LINES[4])
    assert taken(journal, RECORDS[:3]) == RECORDS[:5]
    assert journal.repair is None


@pytest.mark.parametrize("lines", [LINES[:2], LINES[:6], [LINES[0], encode(Note("run", "other", 1), 1)]])
def test_a_file_that_is_replaced_is_read_from_its_beginning(path: Path, lines: list[bytes]) -> None:
    """By a shorter, a longer or another one; what was given before does not count any more."""
    path.write_bytes(b"".join(LINES[:4]))
    journal = GrowingJournal(path)
    records = taken(journal, [])
    other = path.with_name("other")
    other.write_bytes(b"".join(lines))
    other.rename(path)
    assert taken(journal, records) == list(read_records(path))


def test_a_file_that_is_cut_short_in_place_is_read_from_its_beginning(path: Path) -> None:
    """A copy may have been written over it."""
    path.write_bytes(b"".join(LINES[:4]))
    journal = GrowingJournal(path)
    records = taken(journal, [])
    path.write_bytes(b"".join(LINES[:2]))
    records = taken(journal, records)
    assert records == RECORDS[:2]
    path.write_bytes(LINES[0] + encode(Note("run", "1", "y" * 37), 1, synced=1) + b"\n" + LINES[2])
    assert taken(journal, records) == list(read_records(path))


def test_a_file_that_is_gone_is_told_and_may_come_back(path: Path) -> None:
    """A run may be pruned, or its folder moved away and back."""
    path.write_bytes(b"".join(LINES[:4]))
    journal = GrowingJournal(path)
    records = taken(journal, [])
    path.rename(path.with_name("elsewhere"))
    with pytest.raises(JournalError, match="cannot be read"):
        list(journal.added())
    path.with_name("elsewhere").rename(path)
    with path.open("ab") as file:
        file.write(LINES[4])
    assert taken(journal, records) == RECORDS[:5]


def test_damage_is_told_when_it_is_still_there(path: Path) -> None:
    """A reading that meets a repair sees damage that is not there: only the second one in a row counts."""
    path.write_bytes(b"".join(LINES[:2]))
    journal = GrowingJournal(path)
    records = taken(journal, [])
    path.write_bytes(b"".join(LINES[:2]) + b"garbage\n" + LINES[3])
    assert taken(journal, records) == records
    with pytest.raises(JournalError, match="damaged"):
        list(journal.added())
    path.write_bytes(b"".join(LINES[:4]))
    assert taken(journal, records) == RECORDS[:4]


def test_a_link_in_place_of_the_journal_is_not_followed(tmp_path: Path) -> None:
    """Also if it is put there while the run is followed."""
    path = tmp_path / ".sunwell" / "runs" / "r1" / "journal.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(WHOLE)
    journal = GrowingJournal(path)
    assert taken(journal, []) == RECORDS
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(JournalError, match="is a link"):
        list(journal.added())
