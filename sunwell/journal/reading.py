"""Reading a journal: in order, in one pass, and with a judgement of what is damaged."""

import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from sunwell.errors import JournalError
from sunwell.journal.codec import Line, decode, newer_format
from sunwell.journal.disk import as_journal_error
from sunwell.journal.layout import is_run_id
from sunwell.journal.records import Record, RunOpened

LONGEST_LINE_BYTES = 64 << 20
"""A longer line is not written, and counts as damage when it is read: reading has bounded memory."""

_CHUNK_BYTES = 256 << 10

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
    """One pass over the lines of a journal. The figures are complete once it is exhausted.

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

    def __iter__(self) -> Iterator[RunEntry]:
        before = b""
        lines = _split(self.read)
        for offset, raw in lines:
            text = _without_end(raw)
            line = self._decode(text)
            if line is None:
                self._judge_tail(raw, lines)
                return
            repeated = line.seq == self.count - 1 and text == before
            if not repeated:
                self._check_order(line)
                yield RunEntry(offset, len(text), line)
                self.count += 1
            before = text
            self.end = offset + len(raw)
            self.ends_open = not raw.endswith(b"\n")
        if not self.count:
            raise JournalError(f"the journal {self.name} is empty: no run was begun in it")

    def _decode(self, text: bytes) -> Line | None:
        try:
            return decode(text) if len(text) <= LONGEST_LINE_BYTES else None
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

    def _judge_tail(self, raw: bytes, rest: Iterator[tuple[int, bytes]]) -> None:
        if not self.count:
            newer = newer_format(_without_end(raw))
            if newer:
                raise JournalError(f"the journal {self.name} cannot be read: {newer}")
        lost_blocks, seen_good = b"\0" in raw, False
        dropped_bytes, dropped_lines = len(raw), 1
        # After a loss of power, a file system may have written a later block and not an earlier one, which
        # then reads as zeros. Good lines behind it were appended, but nobody was told that they are durable,
        # unless one of them was written after a sync that covered the bad part.
        for _, raw in rest:
            line = self._decode(_without_end(raw))
            if line is None:
                lost_blocks = lost_blocks or (not seen_good and b"\0" in raw)
            elif not lost_blocks or line.synced > self.count:
                raise JournalError(
                    f"the journal {self.name} is damaged: record {self.count} is unreadable and good ones "
                    "follow it; restore the file from a copy"
                )
            else:
                seen_good = True
            dropped_bytes += len(raw)
            dropped_lines += 1
        if not self.count:
            raise JournalError(f"the journal {self.name} does not begin with the record of a run")
        self.repair = Repair(dropped_bytes, dropped_lines)


def read_records(path: Path, *, torn: Callable[[Repair], None] | None = None) -> Iterator[Record]:
    """Yield the records of the journal at *path* in order; the file is never changed.

    Memory does not grow with the file, no lock is needed, and a run that goes on may be read: what
    is at the end and no whole line yet is left out, and *torn* is told of it. If the file cannot
    be read or is damaged before its end, going through it raises :exc:`~sunwell.errors.JournalError`.
    """
    with as_journal_error(path, "read"):
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block us
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise JournalError(f"the journal {path} is not a file: move it out of the way")
        scan = Scan(lambda offset, size: os.pread(file, size, offset), str(path))
        with as_journal_error(path, "read"):
            for entry in scan:
                yield entry.line.record
        if scan.repair and torn:
            torn(scan.repair)
    finally:
        os.close(file)


def _split(read: Read) -> Iterator[tuple[int, bytes]]:
    """Yield each line with its end and its offset; a piece over the longest line comes by itself."""
    offset, position, pieces, held = 0, 0, [b""], 0
    while chunk := read(position, _CHUNK_BYTES):
        position += len(chunk)
        *whole, rest = chunk.split(b"\n")
        for part in whole:
            line = b"".join([*pieces, part, b"\n"])
            yield offset, line
            offset += len(line)
            pieces, held = [], 0
        pieces.append(rest)
        held += len(rest)
        if held > LONGEST_LINE_BYTES + 2:
            yield offset, b"".join(pieces)
            offset += held
            pieces, held = [], 0
    if held:
        yield offset, b"".join(pieces)


def _without_end(raw: bytes) -> bytes:
    return raw.removesuffix(b"\n").removesuffix(b"\r")
