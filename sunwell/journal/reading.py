"""Reading a journal: in order, in one pass, and with a judgement of what is damaged."""

import os
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import attrs

from sunwell.errors import JournalError
from sunwell.journal.codec import Line, decode, newer_format
from sunwell.journal.disk import as_journal_error
from sunwell.journal.folders import open_file, open_folder
from sunwell.journal.layout import is_run_id
from sunwell.journal.records import Record, RunOpened

LONGEST_LINE_BYTES = 64 << 20
"""A longer line is not written, and counts as damage when it is read: reading has bounded memory."""

_CHUNK_BYTES = 256 << 10
_COMPARED_BYTES = 4096

_Piece = tuple[int, int, bytes, bool]
"""Offset of a line, its size with its end, its text without it, and whether it has one. Of a line that is too
long, the text is a byte of zero if there is one in it, or else empty."""
Read = Callable[[int, int], bytes]
"""Returns up to so many bytes (second) from an offset (first); none at the end of the file."""


@attrs.frozen
class Repair:
    """What stood after the last good line and was never made durable as a whole."""

    dropped_bytes: int
    dropped_lines: int
    """Pieces between line ends, whole or not."""

    def __str__(self) -> str:
        lines = "1 line" if self.dropped_lines == 1 else f"{self.dropped_lines} lines"
        return f"{self.dropped_bytes:,} bytes ({lines}) after the last good record were cut off"


@attrs.frozen
class RunEntry:
    """A good line and its place, without the line's end."""

    offset: int
    size: int
    line: Line


@attrs.define(eq=False)
class Scan:
    """A pass over the lines of a journal. The figures are complete once it is exhausted.

    Going through it again goes on after the last line that it gave: what was added since.
    The end of the file that is no whole line, and nothing after which is a good one, is a torn tail.
    A bad line with good lines after it is damage, and raises :exc:`~sunwell.errors.JournalError`,
    with one exception: if the bad part has bytes of zero, which a loss of power leaves for a block
    that was never written, and no later line knows the bad part to have been durable. A line that
    repeats the one before it, byte for byte, is passed over. Lines may end in CR LF.
    """

    read: Read
    name: str
    """The file, for sentences."""
    count: int = 0
    """Good records."""
    end: int = 0
    """Offset after the last good line, its end included."""
    ends_open: bool = False
    """Whether the last good line lacks its line end."""
    repair: Repair | None = None
    """The torn tail; ``None`` if there is none."""
    first: bytes = b""
    """The first line, without its end."""
    latest: bytes = b""
    """The last good line, without its end."""
    latest_offset: int = 0

    def __iter__(self) -> Iterator[RunEntry]:
        self.repair = None
        if self.ends_open:
            added = self.read(self.end, 2)
            self.end += 2 if added == b"\r\n" else added.startswith(b"\n")
        pieces = _split(self.read, self.end)
        for offset, size, text, is_ended in pieces:
            line = self._decode(text)
            if line is None:
                self._judge_tail(size, text, pieces)
                return
            repeated = line.seq == self.count - 1 and text == self.latest
            if not repeated:
                self._check_order(line)
                self.first = self.first or text
                self.count += 1
            # Before the line is given: who stops there goes on after it.
            self.latest, self.latest_offset = text, offset
            self.end, self.ends_open = offset + size, not is_ended
            if not repeated:
                yield RunEntry(offset, len(text), line)
        if not self.count:
            raise JournalError(f"the journal {self.name} is empty: no run was begun in it")

    def _decode(self, text: bytes) -> Line | None:
        try:
            return decode(text)
        except JournalError as error:
            raise JournalError(f"the journal {self.name} cannot be read: {error.sentence}") from error

    def _check_order(self, line: Line) -> None:
        if line.seq != self.count:
            raise JournalError(
                f"the journal {self.name} is damaged: record {self.count} is missing where record {line.seq} "
                "stands; restore the file from a copy"
            )
        if line.seq == 0 and not isinstance(line.record, RunOpened):
            raise JournalError(f"the journal {self.name} does not begin with the record of a run")
        if isinstance(line.record, RunOpened) and not is_run_id(line.record.run_id):
            raise JournalError(f"the journal {self.name} is damaged: its first record has no run id")

    def _judge_tail(self, size: int, text: bytes, rest: Iterator[_Piece]) -> None:
        if not self.count:
            newer = newer_format(text)
            if newer:
                raise JournalError(f"the journal {self.name} cannot be read: {newer}")
        lost_blocks, seen_good = b"\0" in text, False
        dropped_bytes, dropped_lines = size, 1
        self._check_tail(dropped_bytes)
        # After a loss of power, a file system may have written a later block and not an earlier one, which
        # then reads as zeros. Good lines behind it were appended, but nobody was told that they are durable,
        # unless one of them was written after a sync that covered the bad part.
        for _, size, text, _ in rest:
            line = self._decode(text)
            if line is None:
                lost_blocks = lost_blocks or (not seen_good and b"\0" in text)
            elif not lost_blocks or line.synced > self.count:
                raise JournalError(
                    f"the journal {self.name} is damaged: record {self.count} is unreadable and good ones "
                    "follow it; restore the file from a copy"
                )
            else:
                seen_good = True
            dropped_bytes += size
            dropped_lines += 1
            self._check_tail(dropped_bytes)
        if not self.count:
            raise JournalError(f"the journal {self.name} does not begin with the record of a run")
        self.repair = Repair(dropped_bytes, dropped_lines)

    def _check_tail(self, dropped_bytes: int) -> None:
        # No crash leaves so much. To read on could take hours: a file with a hole has any length.
        if dropped_bytes > LONGEST_LINE_BYTES:
            raise JournalError(
                f"the journal {self.name} is damaged: more than {LONGEST_LINE_BYTES:,} bytes after record "
                f"{self.count} are unreadable; restore the file from a copy"
            )


def read_records(
    path: Path,
    *,
    torn: Callable[[Repair], None] | None = None,
    first: Callable[[bytes], None] | None = None,
    runs: int | None = None,
) -> Iterator[Record]:
    """Yield the records of the journal at *path* in order; the file is never changed.

    Memory does not grow with the file, no lock is needed, and a run that goes on may be read: what
    is at the end and no whole line yet is left out, and *torn* is told of it. *first* gets the first line.
    *runs* is the open folder of runs, if there is one already.
    If the file cannot be read or is damaged before its end, going through it raises
    :exc:`~sunwell.errors.JournalError`.
    """
    with as_journal_error(path, "read"):
        folder = None if runs is None else open_folder(path.parent, above=runs)
        try:
            file = open_file(path, folder=folder)
        finally:
            if folder is not None:
                os.close(folder)
    try:
        scan = Scan(lambda offset, size: os.pread(file, size, offset), str(path))
        with as_journal_error(path, "read"):
            for entry in scan:
                if first and scan.count == 1:
                    first(scan.first)
                yield entry.line.record
        if scan.repair and torn:
            torn(scan.repair)
    finally:
        os.close(file)


def first_line(path: Path) -> bytes:
    """Return the first line of the journal at *path*, without its end.

    Raises :exc:`~sunwell.errors.JournalError` as :func:`read_records` does.
    """
    lines: list[bytes] = []
    for _ in read_records(path, first=lines.append):
        break
    return lines[0]


@attrs.define(eq=False)
class GrowingJournal:
    """The journal at *path*, read from where the last reading stopped. It is never written to or locked.

    Whoever writes it may be killed, and another process may cut off a torn end and go on. The file may be
    replaced by another one, or removed and put back; it is then read from its beginning again.
    """

    path: Path
    repair: Repair | None = attrs.field(default=None, init=False)
    """The torn end as of the last reading that came to the end; ``None`` if there is none."""
    _scan: Scan | None = attrs.field(default=None, init=False)
    _file: int = attrs.field(default=-1, init=False)
    _identity: tuple[int, int] = attrs.field(default=(0, 0), init=False)
    _seen: tuple[int, int] | None = attrs.field(default=None, init=False)
    """Size and time of change of the file when it was last read to its end."""
    _doubted: bool = attrs.field(default=False, init=False)

    def added(self) -> Generator[Record | None, None, None]:
        """Yield the records that were added since the last reading; who stops goes on there the next time.

        ``None`` comes first if all records that were given before do not count any more.
        Raises :exc:`~sunwell.errors.JournalError` if the file is gone or cannot be read, or if it is damaged
        and still was when it was read again: a repair at the same moment looks like damage.
        """
        with as_journal_error(self.path, "read"):
            self._file = open_file(self.path)
            try:
                yield from self._added()
            finally:
                os.close(self._file)
                self._file = -1

    def _added(self) -> Iterator[Record | None]:
        status = os.fstat(self._file)
        identity, seen = (status.st_dev, status.st_ino), (status.st_size, status.st_mtime_ns)
        if self._scan is not None and identity == self._identity and seen == self._seen:
            return
        if self._scan is not None and (identity != self._identity or self._is_changed(self._scan)):
            self._scan = None
            yield None
        if self._scan is None:
            self._scan, self._identity = Scan(self._read, str(self.path)), identity
        self.repair = None
        try:
            for entry in self._scan:
                yield entry.line.record
        except JournalError:
            if self._doubted or not self._scan.count:
                raise
            self._doubted = True
            return
        self._doubted, self._seen, self.repair = False, seen, self._scan.repair

    def _is_changed(self, scan: Scan) -> bool:
        """Whether the last line that was given is not in its place any more."""
        size = len(scan.latest)
        compared = min(size, _COMPARED_BYTES)  # its checksum is at its end
        if self._read(scan.latest_offset + size - compared, compared) != scan.latest[-compared:]:
            return True
        after = self._read(scan.end, 1)
        return scan.ends_open and after not in (b"", b"\r", b"\n")

    def _read(self, offset: int, size: int) -> bytes:
        return os.pread(self._file, size, offset)


def _split(read: Read, offset: int) -> Iterator[_Piece]:
    """Yield the lines from *offset* on; of one that is too long no more than the longest line is held."""
    position, held = offset, 0
    pieces: list[bytes] = []
    while chunk := read(position, _CHUNK_BYTES):
        position += len(chunk)
        *whole, rest = chunk.split(b"\n")
        for text in whole:
            size = held + len(text) + 1
            if pieces or size > LONGEST_LINE_BYTES:
                text = _joined([*pieces, text], size)
                pieces, held = [], 0
            yield offset, size, text[:-1] if text.endswith(b"\r") else text, True
            offset += size
        if rest:
            pieces.append(rest)
            held += len(rest)
        if held > LONGEST_LINE_BYTES + 2:
            yield offset, held, _joined(pieces, held), False
            offset += held
            pieces, held = [], 0
    if held:
        yield offset, held, _joined(pieces, held).removesuffix(b"\r"), False


def _joined(pieces: list[bytes], size: int) -> bytes:
    if size > LONGEST_LINE_BYTES + 2:
        return b"\0" if any(b"\0" in part for part in pieces) else b""
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)
