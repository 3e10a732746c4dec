"""Reads text files that are too large to be kept in memory, by their lines."""

import hashlib
import os
from collections.abc import Callable, Iterator

import attrs

from sunwell.errors import ToolError
from sunwell.tools.wording import counted, quoted
from sunwell.tools.workspace import FilePlace, Workspace, told

_PART_BYTES = 4 << 20
_LONGEST_LINE_BYTES = 64 << 20
_CONTEXT_BYTES = 1 << 16  # no secret is longer
_PROBE_BYTES = 8_192


def parts_of_file(
    workspace: Workspace,
    path: str,
    needed: bytes,
    redact: Callable[[str], str],
    check: Callable[[], None],
) -> Iterator[tuple[int, str]]:
    """Yield whole lines of the text file at *path*, some megabytes at a time, without known secrets.

    With each part goes the number of its first line. Parts without the bytes *needed* are left out. *check*
    is called for each part, and may raise. A binary file has no parts.
    """
    with workspace.opened(path) as (place, file):
        if _is_binary(file):
            return
        line, kept = 1, b""
        for chunk in _chunks(place, file, check):
            kept += chunk
            end = _end_of_part(kept, redact)
            if end == 0 and len(kept) > _LONGEST_LINE_BYTES:
                end = len(kept)
            part, kept = kept[:end], kept[end:]
            if part and needed in part:
                yield line, redact(_decoded(part)[0])
            line += part.count(b"\n")
        if kept and needed in kept:
            yield line, redact(_decoded(kept)[0])


@attrs.frozen
class LongRead:
    """Some lines of a large file."""

    path: str
    lines: int
    """Lines of the whole file."""
    text: str
    """The lines that were asked for, or the first of them, without known secrets."""
    remarks: str
    sha256: str


def lines_of_file(
    workspace: Workspace,
    path: str,
    span: tuple[int, int | None],
    most_bytes: int,
    redact: Callable[[str], str],
    check: Callable[[], None],
) -> LongRead:
    """Return the lines from the first to the last of *span*, counted from 1, of the text file at *path*.

    At most about *most_bytes* of them are kept. *check* is called again and again, and may raise. Raises
    :exc:`~sunwell.errors.ToolError` if the file is binary, or if a secret is partly in these lines.
    """
    state = hashlib.sha256()
    taken = _Taken(span[0], span[1], most_bytes)
    ends, last = 0, b""
    with workspace.opened(path) as (place, file):
        if _is_binary(file):
            size = os.fstat(file).st_size
            raise ToolError(f"{quoted(place.path)} is no text (binary or UTF-16, {counted(size, 'byte')})")
        for chunk in _chunks(place, file, check):
            state.update(chunk)
            ends = taken.add(chunk, ends)
            last = chunk[-1:]
    before, after = (_decoded(part)[0] for part in (taken.before, taken.after))
    text, remarks = _decoded(taken.kept)
    if redact(before + text + after) != redact(before) + redact(text) + redact(after):
        raise ToolError(
            f"a secret is partly in these lines of {quoted(place.path)}; read some lines more or less"
        )
    return LongRead(place.path, ends + (last not in (b"", b"\n")), redact(text), remarks, state.hexdigest())


@attrs.define
class _Taken:
    """The bytes of the lines that are wanted, and some before and after them."""

    first: int
    last: int | None
    most_bytes: int
    before: bytes = b""
    kept: bytes = b""
    after: bytes = b""
    is_full: bool = False

    def add(self, chunk: bytes, ends: int) -> int:
        """Take what is wanted of *chunk*, before which there are *ends* line ends; return those after it."""
        count = chunk.count(b"\n")
        start = 0
        if not self.kept and not self.is_full:
            if ends + count < self.first - 1:
                self.before = (self.before + chunk)[-_CONTEXT_BYTES:]
                return ends + count
            start = _after(chunk, self.first - 1 - ends)
            self.before = (self.before + chunk[:start])[-_CONTEXT_BYTES:]
        if not self.is_full:
            end = len(chunk)
            if self.last is not None and ends + count >= self.last:
                end, self.is_full = max(start, _after(chunk, self.last - ends)), True
            if len(self.kept) + end - start > self.most_bytes:
                end, self.is_full = start + self.most_bytes - len(self.kept), True
            self.kept += chunk[start:end]
            start = end
        if self.is_full and len(self.after) < _CONTEXT_BYTES:
            self.after += chunk[start : start + _CONTEXT_BYTES]
        return ends + count


def _after(chunk: bytes, ends: int) -> int:
    """Return the position in *chunk* behind that many line ends."""
    at = 0
    for _ in range(ends):
        at = chunk.index(b"\n", at) + 1
    return at


def _chunks(place: FilePlace, file: int, check: Callable[[], None]) -> Iterator[bytes]:
    while True:
        check()
        with told(place.path):
            chunk = os.read(file, _PART_BYTES)
        if not chunk:
            return
        yield chunk


def _is_binary(file: int) -> bool:
    return b"\0" in os.pread(file, _PROBE_BYTES, 0)


def _end_of_part(data: bytes, redact: Callable[[str], str]) -> int:
    """Return the end of the last line of *data* that no secret goes over; 0 if there is none yet."""
    end = len(data) - _CONTEXT_BYTES
    for _ in range(100):
        end = data.rfind(b"\n", 0, max(end, 0)) + 1
        left = data[max(end - _CONTEXT_BYTES, 0) : end].decode("utf-8", "replace")
        right = data[end : end + _CONTEXT_BYTES].decode("utf-8", "replace")
        if redact(left + right) == redact(left) + redact(right):
            return end
        end -= 1
    return 0


def _decoded(data: bytes) -> tuple[str, str]:
    """Return *data* as text, and a remark if it is not UTF-8. A letter cut off at its end is left out."""
    try:
        return data.decode(), ""
    except UnicodeDecodeError as error:
        if (
            error.end == len(data)
            and error.start >= len(data) - 3
            and error.reason == "unexpected end of data"
        ):
            return data[: error.start].decode(), ""
        return data.decode("latin-1"), "; not UTF-8, encoding unknown, shown as Latin-1: letters may be wrong"
