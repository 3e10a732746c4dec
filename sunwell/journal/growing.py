"""Reading a journal while another process writes it: each time what was added since."""

import os
from collections.abc import Generator, Iterator
from pathlib import Path

import attrs

from sunwell.errors import JournalError
from sunwell.journal.disk import as_journal_error
from sunwell.journal.folders import open_file
from sunwell.journal.reading import Repair, Scan
from sunwell.journal.records import Record

_COMPARED_BYTES = 4096


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
