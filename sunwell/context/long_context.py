"""Contexts that no prompt holds: a file, a folder, a glob or a stream, read where somebody looks.

The context stays with the host. A :class:`Handle` is a range of it, and costs nothing until it is read.
"""

import codecs
import glob
import hashlib
import os
import stat
import tempfile
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import IO, BinaryIO, Literal

import attrs

from sunwell.context.sought_lines import OVERLAP_CHARS, SoughtLines
from sunwell.context.workspace_files import list_files
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.given_files import require_given
from sunwell.tools.protected import kind_of_path, strongest
from sunwell.tools.text_file import binary_kind, unmarked_wide
from sunwell.tools.user_files import own_kind_of
from sunwell.tools.wording import counted, on_one_line
from sunwell.tools.workspace import Workspace

ContextKind = Literal["file", "folder", "glob", "stream"]
MOST_TEXT_BYTES = 8 << 20
"""Longest range whose text is given at once."""
MOST_CHUNKS = 100_000
_BLOCK = 4 << 20
_STEP = 1 << 20
"""What is searched at once: for more, the system would hand out new memory each time, which takes longer."""
_PIECE = 8 << 20
"""Of a longer line, pieces of this size are searched."""
_MANY_LINES = 250
"""Around at most so many lines of a block, secrets are looked for one by one."""
_INDEX = 1 << 20
_PROBE = 8_192
_LONGEST_SECRET = 1 << 16
_MOST_SPOOLED = 4 << 30
_MOST_FILES = 20_000
_MOST_AROUND_CHARS = 2_000_000
_SHOWN_CHARS = 300
_LOOKED_AT = 1 << 20
_WIDE = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_WIDEST = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


@attrs.frozen
class ContextPlace:
    """Where a range is. Its text form is for people and models."""

    name: str
    """Of the context."""
    start: int
    """First byte, counted from 0."""
    end: int
    """The byte behind the last one."""
    first_line: int
    """Counted from 1."""
    last_line: int
    path: str = ""
    """The file in which it begins, if the context is several."""

    def __str__(self) -> str:
        within = f", from {on_one_line(self.path)} on" if self.path else ""
        return (
            f"{on_one_line(self.name)}, lines {self.first_line:,}-{self.last_line:,} "
            f"(bytes {self.start:,}-{self.end:,}{within})"
        )


@attrs.frozen
class AboutContext:
    """What a model is told about a range before it looks into it."""

    name: str
    kind: ContextKind
    size_bytes: int
    lines: int
    beginning: str
    """At most 300 characters, without known secrets; so is the end."""
    end: str
    files: int
    left_out: int
    """Files of a folder or glob that were left out: protected, binary or not readable ones."""


@attrs.define(eq=False)
class LongContext:
    """A text of any length, in UTF-8. It is read in blocks: a gigabyte takes a few megabytes of memory.

    A single file is read where it is. What comes as a stream, the files of a folder or a glob, and UTF-16
    are copied into a temporary file that has no name, so nothing is left of it after a kill. A file of a
    folder or a glob has its path as a heading, ``==> path <==``. Files are not mapped: a mapping counts as
    memory, and whoever cuts the file would end the process. Methods block, and any thread may call them.
    """

    name: str
    kind: ContextKind
    size_bytes: int
    """Without a byte order mark."""
    left_out: tuple[str, ...]
    """Paths that were left out of a folder or a glob: protected, binary or not readable ones."""
    _file: IO[bytes]
    _first: int
    """Bytes of the mark that are passed over."""
    _headings: tuple[tuple[int, str], ...]
    """Where each file of a folder or glob begins, and its path."""
    _secrets: Secrets
    _stamp: tuple[int, int]
    _line_ends: list[int] = attrs.field(factory=lambda: [0], init=False)
    """Line ends before each whole block of an index that grows as it is needed."""
    _checked: tuple[object, dict[int, list[tuple[int, int]]]] = attrs.field(default=(None, {}), init=False)
    """What was found in blocks that were looked at for secrets, and of which file and secrets."""
    _lock: Lock = attrs.field(factory=Lock, init=False)
    _digest: str = attrs.field(default="", init=False)

    @classmethod
    def of(
        cls, source: str | os.PathLike[str] | BinaryIO, name: str = "", *, secrets: Secrets | None = None
    ) -> "LongContext":
        """Return the context of a file, a folder, a glob (a text with ``*``, ``?`` or ``[``) or a stream.

        A folder is its text files under the ignore files. A file that is named, by itself or by a glob, is
        taken although it is ignored. Protected files are refused, in folders and globs left out. A stream is
        read to its end. *secrets* are replaced where text leaves. Raises
        :exc:`~sunwell.errors.ConfigurationError` if it cannot be read, is binary, or is a pipe or device.
        """
        known = secrets or Secrets()
        if not isinstance(source, str | os.PathLike):
            blocks = iter(lambda: source.read(_BLOCK), b"")
            spool = _copied(lambda copy: copy.take("the stream", blocks))
            named = name or "standard input"
            try:
                spool.file.flush()
                _require_text(named, _head(spool.file))
            except BaseException:
                spool.file.close()
                raise
            return cls._made(named, "stream", spool, known)
        path = Path(source).expanduser()
        shown = name or on_one_line(str(source))
        if path.is_dir():
            return cls._made(shown, "folder", _copied(lambda copy: copy.add_folder(path)), known)
        if glob.has_magic(str(source)) and not os.path.lexists(path):
            return cls._made(shown, "glob", _copied(lambda copy: copy.add_glob(str(path))), known)
        file = _opened(path)
        head, status = _head(file), os.fstat(file.fileno())
        try:
            _require_text(str(path), head)
        except BaseException:
            file.close()
            raise
        if _wide_of(head)[0]:
            with file:
                spool = _copied(lambda copy: copy.take(str(path), _blocks_of(file)))
            return cls._made(shown, "file", spool, known)
        first = len(codecs.BOM_UTF8) if head.startswith(codecs.BOM_UTF8) else 0
        size = status.st_size - first
        return cls(shown, "file", size, (), file, first, (), known, (status.st_size, status.st_mtime_ns))

    @classmethod
    def _made(cls, name: str, kind: ContextKind, spool: "_CopiedFile", secrets: Secrets) -> "LongContext":
        spool.file.flush()
        status = os.fstat(spool.file.fileno())
        stamp, headings = (status.st_size, status.st_mtime_ns), tuple(spool.headings)
        left_out = tuple(spool.left_out)
        return cls(name, kind, status.st_size, left_out, spool.file, 0, headings, secrets, stamp)

    @property
    def whole(self) -> "Handle":
        """All of it."""
        return Handle(self, 0, self.size_bytes)

    def changed(self) -> str:
        """Return a sentence if the file has changed since it was opened; empty if not.

        If :meth:`digest` was asked for before, a file with another time and the same content is unchanged.
        """
        status = os.fstat(self._file.fileno())
        size, time = self._stamp
        if (status.st_size, status.st_mtime_ns) == (size, time):
            return ""
        if status.st_size < size:
            return f"{self.name} was cut while it was read: what was found in it may not be there any more"
        if self._digest and self._hashed(0, self.size_bytes) == self._digest:
            if status.st_size == size:
                return ""
            return f"{self.name} has grown since it was opened: the first {counted(size, 'byte')} were read"
        return f"{self.name} was changed while it was read: answers may mix both versions"

    def digest(self) -> str:
        """Return the SHA-256 of the whole text, in hex; it is computed once."""
        if not self._digest:
            self._digest = self._hashed(0, self.size_bytes)
        return self._digest

    def close(self) -> None:
        """Close the file; a temporary one is gone with that. Handles cannot be read afterwards."""
        self._file.close()

    def __enter__(self) -> "LongContext":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _hashed(self, start: int, end: int) -> str:
        state = hashlib.sha256()
        for _, block in self._blocks(start, end, _BLOCK):
            state.update(block)
        return state.hexdigest()

    def _read(self, start: int, end: int) -> bytes:
        """Return the bytes of a range, which lies within the text."""
        parts, at = [], start
        while at < end:
            try:
                part = os.pread(self._file.fileno(), end - at, self._first + at)
            except ValueError:
                raise ToolError(f"{self.name} is closed") from None
            except OSError as error:
                raise ToolError(f"{self.name} cannot be read: {error.strerror}") from None
            if not part:
                size = max(0, os.fstat(self._file.fileno()).st_size - self._first)
                raise ToolError(f"{self.name} was cut while it was read: it ends at byte {size:,} now")
            parts.append(part)
            at += len(part)
        return parts[0] if len(parts) == 1 else b"".join(parts)

    def _blocks(self, start: int, end: int, size: int) -> Iterator[tuple[int, bytes]]:
        for at in range(start, end, size):
            yield at, self._read(at, min(at + size, end))

    def _at_character(self, at: int, least: int) -> int:
        """Return *at*, or the beginning of the character that it is in; not before *least*."""
        if not least < at < self.size_bytes:
            return at
        before = self._read(max(least, at - 3), min(at + 1, self.size_bytes))
        if before[-1] & 0xC0 != 0x80:
            return at
        for back in range(1, len(before)):
            lead = before[-1 - back]
            if lead & 0xC0 != 0x80:
                length = 4 if lead >= 0xF0 else 3 if lead >= 0xE0 else 2 if lead >= 0xC0 else 1
                return at - back if length > back else at
        return at

    def _ends_before(self, at: int) -> int:
        """Return the number of line ends before the byte *at*."""
        block = at // _INDEX
        self._index(lambda: len(self._line_ends) <= block)
        return self._line_ends[block] + self._read(block * _INDEX, at).count(b"\n")

    def _line_start(self, line: int) -> int:
        """Return where *line*, counted from 0, begins; the end of the text if there are not so many."""
        if line <= 0:
            return 0
        self._index(lambda: self._line_ends[-1] < line)
        block = bisect_left(self._line_ends, line) - 1
        start, left = block * _INDEX, line - self._line_ends[block]
        if start >= self.size_bytes:
            return self.size_bytes
        data, at = self._read(start, min(start + _INDEX, self.size_bytes)), 0
        for _ in range(left):
            at = data.find(b"\n", at) + 1
            if at == 0:
                return self.size_bytes
        return start + at

    def _index(self, is_short: Callable[[], bool]) -> None:
        with self._lock:
            while is_short() and (start := (len(self._line_ends) - 1) * _INDEX) < self.size_bytes:
                block = self._read(start, min(start + _INDEX, self.size_bytes))
                self._line_ends.append(self._line_ends[-1] + block.count(b"\n"))

    def _path_at(self, start: int) -> str:
        at = self._heading_before(start)
        return "" if at is None else self._headings[at][1]

    def _heading_before(self, start: int) -> int | None:
        """Return which file the byte *start* is in; ``None``: the context is not several files."""
        if not self._headings:
            return None
        return max(bisect_left(self._headings, start + 1, key=lambda each: each[0]) - 1, 0)

    def by_file(self, start: int, end: int) -> Iterator[tuple[str, int, int]]:
        """Yield which files a range is of, and the bytes within each; without headings and what is between.

        The path is empty if the context is one text.
        """
        first = self._heading_before(start)
        if first is None:
            yield "", start, end
            return
        for at in range(first, len(self._headings)):
            begins, path = self._headings[at]
            text = begins + len(_heading_of(path))
            # A file ends before an empty line, except the last one.
            ends = self._headings[at + 1][0] - 1 if at + 1 < len(self._headings) else self.size_bytes
            if begins >= end:
                return
            if max(start, text) < min(end, ends):
                yield path, max(start, text) - text, min(end, ends) - text

    def _shown(self, start: int, end: int) -> str:
        """Return the text of a range; a secret that is partly in it is replaced as a whole."""
        around = self._around
        text = _decoded(self._read(start, end))
        if not around:
            return text
        before = _decoded(self._read(max(start - around, 0), start))
        after = _decoded(self._read(end, min(end + around, self.size_bytes)))
        parts: list[str] = []
        done, last = len(before), len(before) + len(text)
        whole = before + text + after
        for first, behind, instead in self._secrets.spans(whole):
            if behind > len(before) and first < last:
                parts += (whole[done : max(first, done)], instead)
                done = min(behind, last)
        return "".join((*parts, whole[done:last]))

    def _suspected(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return where secrets are in a range, also those that are partly in it, in order; they may overlap.

        What is known of a block is kept while the file and the known secrets are the same: searches of one
        context follow each other.
        """
        status = os.fstat(self._file.fileno())
        state = (self._secrets.version, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        found: list[tuple[int, int]] = []
        for block in range(start // _STEP, -(-end // _STEP)):
            with self._lock:
                if self._checked[0] != state:
                    self._checked = (state, {})
                known = self._checked[1].get(block)
            if known is None:
                known = self._suspected_in(block * _STEP, min((block + 1) * _STEP, self.size_bytes))
                with self._lock:
                    if self._checked[0] == state:
                        self._checked[1][block] = known
            found += known
        return [one for one in found if one[0] < end and start < one[1]]

    def _suspected_in(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return the same by reading the range."""
        around = self._around
        at = max(start - around, 0)
        data = self._read(at, min(end + around, self.size_bytes))
        if not self._secrets.may_be_in(data):
            return []
        text = data.decode("utf-8", "surrogateescape")
        found, done = [], 0
        for first, behind, _ in self._secrets.spans(text):
            at += len(text[done:first].encode("utf-8", "surrogateescape"))
            size = len(text[first:behind].encode("utf-8", "surrogateescape"))
            found.append((at, at + size))
            at, done = at + size, behind
        return found

    @property
    def _around(self) -> int:
        """How many bytes before and behind a place a secret may begin and end that is at the place."""
        return min(4 * self._secrets.longest_chars, _LONGEST_SECRET)

    def _is_hidden(self, sought: SoughtLines, start: int, end: int) -> bool:
        """Whether a line is found for a secret alone: that it was found would tell of it."""
        if not self._secrets.longest_chars or end - start > _LOOKED_AT:
            return False
        shown, text = self._shown(start, end), _decoded(self._read(start, end))
        return shown != text and not sought.is_in_line(shown.removesuffix("\n").removesuffix("\r"))


@attrs.frozen
class Handle:
    """A range of a context, in bytes. Everything but :meth:`text` gives handles, or figures."""

    context: LongContext
    start: int
    end: int

    __iter__ = None

    def __len__(self) -> int:
        """Return the number of bytes."""
        return self.end - self.start

    def __getitem__(self, part: slice) -> "Handle":
        """Return a part by bytes, as a slice of ``bytes``; a border within a character moves to its start."""
        if not isinstance(part, slice) or part.step not in (None, 1):
            raise ToolError("a part of a context is written [start:end], in bytes")
        first, last, _ = part.indices(len(self))
        cut = self.context._at_character
        start = cut(self.start + first, self.start)
        return Handle(self.context, start, max(start, cut(self.start + max(first, last), self.start)))

    def lines(self, first: int, last: int | None = None) -> "Handle":
        """Return the lines from *first* to *last*, counted from 1, both included; ``None``: to the end."""
        if first < 1 or (last is not None and last < first - 1):
            raise ToolError("lines are counted from 1, and the last one is not before the first")
        before = self.context._ends_before(self.start)
        start = self.start if first == 1 else self.context._line_start(before + first - 1)
        end = self.end if last is None else self.context._line_start(before + last)
        start = min(max(start, self.start), self.end)
        return Handle(self.context, start, max(start, min(end, self.end)))

    def search(
        self, pattern: str, limit: int = 100, literal: bool = False, *, seconds: float = 30.0
    ) -> list["Handle"]:
        """Return the first *limit* lines with a match, each as a handle with its line end.

        *pattern* is a regular expression that is matched within lines, or with *literal* a plain text. Of a
        line that is longer than 8 MB, a match is found if it has at most 65,536 characters. A line that
        matches only in a known secret is not found. Raises :exc:`~sunwell.errors.ToolError` if the pattern
        is none, or if it takes longer than *seconds*.
        """
        if limit < 1:
            raise ToolError("limit must be at least 1")
        sought = SoughtLines.of(pattern, literal, seconds)
        return [Handle(self.context, *line) for line in islice(self._found(sought), limit)]

    def count(self, pattern: str, literal: bool = False, *, seconds: float = 30.0) -> int:
        """Return how many lines match, as :meth:`search` without a limit would find them."""
        sought = SoughtLines.of(pattern, literal, seconds)
        at, count = self.start, 0
        while at < self.end:
            data = self._piece(at)
            size = len(data) if at + len(data) == self.end else data.rfind(b"\n") + 1
            if not size:  # in a very long line
                return count + sum(1 for _ in self[at - self.start :]._found(sought))
            count, at = count + self._count_in(sought, at, data[:size]), at + size
        return count

    def _piece(self, at: int) -> bytes:
        """Return what is searched next: whole lines and more, or as much of one as is searched at once."""
        data = self.context._read(at, min(at + _STEP, self.end))
        if at + len(data) == self.end or b"\n" in data:
            return data
        return self.context._read(at, min(at + _PIECE, self.end))

    def _count_in(self, sought: SoughtLines, at: int, data: bytes) -> int:
        """Return how many lines of *data*, which begins at *at*, match not in a secret alone."""
        context = self.context
        if not context._secrets.longest_chars:
            return sought.count_in(data)
        few = sought.few_in(data, at)
        if few is not None:
            return sum(1 for _ in self._without_hidden(sought, at, data, iter(few)))
        count = sought.count_in(data)
        if count:
            for first, last in _lines_at(data, at, context._suspected(at, at + len(data))):
                found = sought.lines_in(data[first:last], at + first)
                count -= sum(context._is_hidden(sought, *line) for line in found)
        return count

    def around(self, characters: int, within: "Handle | None" = None) -> "Handle":
        """Return this range with so many characters before and behind it, of *within*, else of the context.

        A border moves towards this range to the next line border if there is one. Raises
        :exc:`~sunwell.errors.ToolError` for more than 2,000,000 characters.
        """
        if not 1 <= characters <= _MOST_AROUND_CHARS:
            raise ToolError(f"characters must be from 1 to {_MOST_AROUND_CHARS:,}")
        context, room = self.context, self.context.whole if within is None else within
        least, most = min(room.start, self.start), max(room.end, self.end)
        first = context._at_character(max(least, self.start - 4 * characters), least)
        before = context._read(first, self.start)
        start = self.start - _size_of_end(before, characters)
        line = before.find(b"\n", max(len(before) + start - self.start - 1, 0)) + 1
        if start > least and 0 < line < len(before):
            start = self.start - len(before) + line
        behind = context._read(self.end, min(most, self.end + 4 * characters))
        end = self.end + _size_of(behind, characters)
        if end < most and (line := behind.rfind(b"\n", 0, end - self.end) + 1):
            end = self.end + line
        return Handle(context, start, end)

    def _found(self, sought: SoughtLines) -> Iterator[tuple[int, int]]:
        """Yield where the lines with a match are."""
        at, is_middle, context = self.start, False, self.context
        while at < self.end:
            data = context._read(at, min(at + _PIECE, self.end)) if is_middle else self._piece(at)
            is_last = at + len(data) == self.end
            if is_middle:  # in a line of which the pieces before had no match
                size = data.find(b"\n") + 1 or len(data)
                is_cut = size == len(data) and not is_last and data[-1:] != b"\n"
            else:
                size = len(data) if is_last else data.rfind(b"\n") + 1
                is_cut = size == 0
            if not is_cut and not is_middle:
                yield from self._shown_lines(sought, at, data[:size])
                at += size
            elif sought.is_in_piece(data[:size] or data, is_middle=is_middle, is_cut=is_cut):
                line = self._line_around(at, at + (size or len(data)))
                if not context._is_hidden(sought, *line):
                    yield line
                at, is_middle = line[1], False
            elif is_cut:
                at, is_middle = context._at_character(at + len(data) - 4 * OVERLAP_CHARS, at), True
            else:
                at, is_middle = at + size, False

    def _shown_lines(self, sought: SoughtLines, at: int, data: bytes) -> Iterator[tuple[int, int]]:
        """Return where the lines of *data*, which begins at *at*, are that match not in a secret alone."""
        context = self.context
        found = sought.lines_in(data, at)
        return self._without_hidden(sought, at, data, found) if context._secrets.longest_chars else found

    def _without_hidden(
        self, sought: SoughtLines, at: int, data: bytes, found: Iterator[tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        """Yield those of the lines *found* in *data*, which begins at *at*, that match not in a secret alone.

        Around the first ones, it is looked whether there is a secret at all. If there may be one, or if
        there are many lines, secrets are looked for once in all of *data*, and only lines that hold one are
        cleaned.
        """
        context = self.context
        around, secrets = context._around, context._secrets
        suspected: list[tuple[int, int]] | None = None
        number = 0
        for count, line in enumerate(found):
            first, last = line[0] - at, line[1] - at
            if suspected is None:
                is_within = around <= first and last + around <= len(data) and count < _MANY_LINES
                if is_within and not secrets.may_be_in(data[first - around : last + around]):
                    yield line
                    continue
                suspected = _lines_at(data, at, context._suspected(at, at + len(data)))
            while number < len(suspected) and suspected[number][1] <= first:
                number += 1
            may_hold = number < len(suspected) and suspected[number][0] < last
            if not (may_hold and context._is_hidden(sought, *line)):
                yield line

    def _line_around(self, start: int, end: int) -> tuple[int, int]:
        """Return the whole line, within this range, of which a part is known to be in one."""
        first = max(self.context._line_start(self.context._ends_before(start)), self.start)
        for at, block in self.context._blocks(end - 1, self.end, _BLOCK):
            if (found := block.find(b"\n")) >= 0:
                return first, at + found + 1
        return first, self.end

    def chunks(self, characters: int, overlap: int = 0) -> list["Handle"]:
        """Return it in parts of at most that many characters, in order; empty for an empty range.

        Each is cut at the last line end in its second half, if there is one: so there are at most twice as
        many as needed. The next one begins up to *overlap* characters before the end of the last, at the
        start of a line if there is one. Raises :exc:`~sunwell.errors.ToolError` for more than 100,000 parts,
        or an overlap of more than a third.
        """
        if characters < 1 or not 0 <= overlap <= characters // 3:
            raise ToolError("characters must be at least 1, and overlap at most a third of it")
        if len(self) // (4 * characters) > MOST_CHUNKS:
            raise ToolError(_too_many(characters))
        found: list[Handle] = []
        start = self.start
        while start < self.end:
            end, back = self._chunk_end(start, characters, overlap)
            found.append(Handle(self.context, start, end))
            if len(found) > MOST_CHUNKS:
                raise ToolError(_too_many(characters))
            start = end if end == self.end else back
        return found

    def _chunk_end(self, start: int, characters: int, overlap: int) -> tuple[int, int]:
        """Return where the chunk that begins at *start* ends, and where the next one begins."""
        if self.end - start <= characters:  # each has a byte at least
            return self.end, self.end
        limit, _ = self._behind(start, characters)
        if limit == self.end:
            return self.end, self.end
        half, _ = self._behind(start, characters - characters // 2)
        end = self._last_line_end(half - 1, limit) or limit
        if not overlap:
            return end, end
        _, size = self._behind(start, end - start, end)
        back, _ = self._behind(start, size - overlap)
        for at, block in self.context._blocks(back - 1, end - 1, _BLOCK):
            if (found := block.find(b"\n")) >= 0:
                return end, at + found + 1
        return end, back

    def _behind(self, start: int, characters: int, end: int | None = None) -> tuple[int, int]:
        """Return where so many characters from *start* on end, at *end* at the latest, and how many they are.

        The text is read in blocks, however many they are.
        """
        at, last, left = start, self.end if end is None else end, characters
        while left and at < last:
            stop = min(at + min(4 * left, _BLOCK), last)
            stop = stop if stop == last else self.context._at_character(stop, at)
            data = self.context._read(at, stop)
            size, count = len(data), len(data)
            if not data.isascii():
                count = len(data.decode("utf-8", "surrogateescape"))
            if count > left:
                size, count = _size_of(data, left), left
            at, left = at + size, left - count
        return at, characters - left

    def _last_line_end(self, start: int, end: int) -> int:
        """Return what is behind the last line end from *start* to *end*; 0 if there is none."""
        while end > start:
            begin = max(start, end - _BLOCK)
            found = self.context._read(begin, end).rfind(b"\n")
            if found >= 0:
                return begin + found + 1
            end = begin
        return 0

    def text(self, most_bytes: int = MOST_TEXT_BYTES) -> str:
        """Return the text, without known secrets; what is no UTF-8 is shown with replacement characters.

        Raises :exc:`~sunwell.errors.ToolError` if the range has more than *most_bytes*.
        """
        if len(self) > most_bytes:
            raise ToolError(
                f"these are {len(self):,} bytes, and at most {most_bytes:,} are given as text at once: "
                "take a slice, search, or use chunks"
            )
        return self.context._shown(self.start, self.end)

    @property
    def place(self) -> ContextPlace:
        """Where it is in the context."""
        context, last = self.context, max(self.end - 1, self.start)
        first_line = context._ends_before(self.start) + 1
        # Two counts only if it is long: that of a line is right behind the other.
        last_line = context._ends_before(last) + 1
        path = context._path_at(self.start)
        return ContextPlace(context.name, self.start, self.end, first_line, last_line, path)

    @property
    def spot(self) -> str:
        """Where it is, for people and models: ``path:line`` in a file of a folder or glob, else the place.

        Lines of a file are counted from 1, without the heading.
        """
        context, place = self.context, self.place
        at = context._heading_before(self.start)
        if at is None or (at + 1 < len(context._headings) and context._headings[at + 1][0] < self.end):
            return str(place)
        before = context._ends_before(context._headings[at][0]) + 1
        first, last = place.first_line - before, place.last_line - before
        path = on_one_line(place.path)
        if first < 1:
            return path
        return f"{path}:{first}" if first == last else f"{path}:{first}-{last}"

    def files(self) -> dict[str, "Handle"]:
        """Return the text of each file that lies in this range, by path, without headings.

        A context that is one file or a stream is its only one, by its name.
        """
        context, headings = self.context, self.context._headings
        if not headings:
            return {context.name: self}
        found = {}
        for number, (start, path) in enumerate(headings):
            is_last = number + 1 == len(headings)
            end = context.size_bytes if is_last else headings[number + 1][0] - 1  # between is an empty line
            if self.start <= start and end <= self.end:
                found[path] = Handle(context, start + len(_heading_of(path)), end)
        return found

    def digest(self) -> str:
        """Return the SHA-256 of its bytes, in hex."""
        context = self.context
        is_all = (self.start, self.end) == (0, context.size_bytes)
        return context.digest() if is_all else context._hashed(self.start, self.end)

    def about(self) -> AboutContext:
        """Return what a model is told about it first. It reads the range once, to count its lines."""
        place, context = self.place, self.context
        is_empty = self.end == self.start
        ending = self[-4 * _SHOWN_CHARS :].text()[-_SHOWN_CHARS:]
        return AboutContext(
            context.name,
            context.kind,
            len(self),
            0 if is_empty else place.last_line - place.first_line + 1,
            self[: 4 * _SHOWN_CHARS].text()[:_SHOWN_CHARS],
            ending,
            len(context._headings) or 1,
            len(context.left_out),
        )


def _too_many(characters: int) -> str:
    return f"chunks of {characters:,} characters are more than {MOST_CHUNKS:,}: take longer ones"


def _lines_at(data: bytes, base: int, ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return which lines of *data*, which begins at *base*, are in *ranges*: lines that stand together."""
    found: list[tuple[int, int]] = []
    for start, end in ranges:
        first = data.rfind(b"\n", 0, max(start - base, 0)) + 1
        last = data.find(b"\n", min(max(end - base, 1), len(data)) - 1) + 1 or len(data)
        if found and first < found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def _decoded(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _size_of(data: bytes, characters: int) -> int:
    """Return the bytes of the first *characters* of *data*."""
    if data[:characters].isascii():
        return min(characters, len(data))
    text = data.decode("utf-8", "surrogateescape")
    return len(text[:characters].encode("utf-8", "surrogateescape"))


def _size_of_end(data: bytes, characters: int) -> int:
    """Return the bytes of the last *characters* of *data*."""
    text = data.decode("utf-8", "surrogateescape")
    return len(text[-characters:].encode("utf-8", "surrogateescape"))


@attrs.define(eq=False)
class _CopiedFile:
    """A temporary file without a name that texts are copied into."""

    file: IO[bytes] = attrs.field(factory=tempfile.TemporaryFile, init=False)
    headings: list[tuple[int, str]] = attrs.field(factory=list, init=False)
    left_out: list[str] = attrs.field(factory=list, init=False)
    size: int = attrs.field(default=0, init=False)
    _last: bytes = attrs.field(default=b"", init=False)

    def add(self, path: str, descriptor: int) -> None:
        """Copy the file at *path*, under a heading; a binary one is left out. Closes the *descriptor*."""
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            if binary_kind(_head(file)[:_PROBE]) is not None:
                self.left_out.append(path)
                return
            self._begin(path)
            try:
                self.take(path, _blocks_of(file))
            except OSError:  # what was read of it stays
                self.left_out.append(path)

    def add_folder(self, root: Path) -> None:
        """Copy the text files of a folder, under its ignore files."""
        real = Path(os.path.realpath(root))
        kind = strongest(kind_of_path(str(real).lstrip("/")), own_kind_of(real))
        if kind is not None and kind.level in ("secret", "repository"):
            raise ConfigurationError(f"the context {root} would be sent to a model, and {kind.why}")
        workspace = Workspace(root)
        entries, is_all = list_files(workspace, _MOST_FILES)
        if not is_all:
            raise ConfigurationError(
                f"the context {root} has more than {_MOST_FILES:,} files and folders: name a smaller one, or "
                "a glob"
            )
        for entry in sorted(entries, key=lambda each: each.path):
            try:
                with workspace.opened(entry.path) as (_, descriptor):
                    self.add(entry.path, os.dup(descriptor))
            except (ToolError, OSError):  # the rest is still useful, and what is missing is counted
                self.left_out.append(entry.path)
        if not self.headings:
            raise ConfigurationError(f"the context {root} has no text files that may be read")

    def add_glob(self, pattern: str) -> None:
        """Copy the text files that *pattern* fits. Of an absolute one, paths begin behind what is fixed."""
        found = glob.iglob(pattern, recursive=True)  # noqa: PTH207 - the pattern may be absolute
        paths = sorted(islice(found, _MOST_FILES + 1))
        if len(paths) > _MOST_FILES:
            raise ConfigurationError(
                f"the context {pattern} fits more than {_MOST_FILES:,} files: name fewer"
            )
        root = _fixed_folder(pattern)
        for path in paths:
            if Path(path).is_dir():
                continue
            shown = os.path.relpath(path, root) if root else path
            try:
                file = _opened(Path(path))
            except ConfigurationError:
                self.left_out.append(shown)
                continue
            with file:
                self.add(shown, os.dup(file.fileno()))
        if not paths:
            raise ConfigurationError(f"the context {pattern} matches nothing: check the path and the pattern")
        if not self.headings:
            raise ConfigurationError(f"the context {pattern} fits no text file that may be read")

    def _begin(self, path: str) -> None:
        gap = b"" if not self.size else b"\n" if self._last == b"\n" else b"\n\n"
        self._write(path, gap)
        self.headings.append((self.size, path))
        self._write(path, _heading_of(path))

    def take(self, what: str, blocks: Iterable[bytes]) -> None:
        """Copy a text, without its mark; one in UTF-16 becomes UTF-8."""
        decoder = None
        for number, block in enumerate(blocks):
            if number == 0:
                encoding, mark = _wide_of(block)
                if encoding:
                    decoder = codecs.getincrementaldecoder(encoding)("replace")
                    block = block[mark:]
                block = block.removeprefix(codecs.BOM_UTF8)
            self._write(what, block if decoder is None else decoder.decode(block).encode())
        if decoder is not None:
            self._write(what, decoder.decode(b"", final=True).encode())

    def _write(self, what: str, data: bytes) -> None:
        self.size += len(data)
        if self.size > _MOST_SPOOLED:
            raise ConfigurationError(
                f"{what} has more than {_MOST_SPOOLED >> 30} GB: write it into one file, and name that"
            )
        try:
            self.file.write(data)
        except OSError as error:
            raise ConfigurationError(
                f"{what} cannot be copied to a temporary file: {error.strerror}"
            ) from None
        self._last = data[-1:] or self._last


def _fixed_folder(pattern: str) -> str:
    """Return the folder of an absolute *pattern* that all its paths are in; empty for a relative one."""
    if not Path(pattern).is_absolute():
        return ""
    parts = Path(pattern).parts[:-1]
    fixed = next((at for at, part in enumerate(parts) if glob.has_magic(part)), len(parts))
    return str(Path(*parts[:fixed]))


def _heading_of(path: str) -> bytes:
    return f"==> {on_one_line(path)} <==\n".encode()


def _opened(path: Path) -> IO[bytes]:
    """Open a file that a person names; raises :exc:`~sunwell.errors.ConfigurationError`."""
    try:
        file = os.fdopen(os.open(path, _OPEN), "rb", buffering=0)
    except OSError as error:
        raise ConfigurationError(f"the context {path} cannot be read: {error.strerror}") from None
    status = os.fstat(file.fileno())
    try:
        if not stat.S_ISREG(status.st_mode):
            raise ConfigurationError(
                f"the context {path} is no file but a pipe or a device: pipe it in, with -c -"
            )
        require_given(path, "the context", _head(file), status)
    except BaseException:
        file.close()
        raise
    return file


def _head(file: IO[bytes]) -> bytes:
    return os.pread(file.fileno(), _LOOKED_AT, 0)


def _blocks_of(file: IO[bytes]) -> Iterator[bytes]:
    return iter(lambda: file.read(_BLOCK), b"")


def _require_text(what: str, head: bytes) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if what begins with *head* is no text to search."""
    kind = binary_kind(head[:_PROBE])
    if kind is not None and kind != "binary":  # NULs alone: logs have them after a crash
        raise ConfigurationError(f"the context {what} is no text ({kind})")


def _wide_of(head: bytes) -> tuple[str, int]:
    """Return the encoding of a text in UTF-16, and the length of its mark; empty for any other."""
    if head[:4] in _WIDEST:
        return "", 0
    marked = _WIDE.get(head[:2], "")
    return (marked, 2) if marked else (unmarked_wide(head[: len(head) // 2 * 2]), 0)


def _copied(fill: Callable[[_CopiedFile], None]) -> _CopiedFile:
    spool = _CopiedFile()
    try:
        fill(spool)
    except BaseException:
        spool.file.close()
        raise
    return spool
