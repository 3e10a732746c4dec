"""The tool that searches: search_files."""

import os
import re
import unicodedata
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.marks import guarded
from sunwell.core.message import FileRead
from sunwell.core.model import ToolSpec
from sunwell.core.threads import in_thread
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text
from sunwell.tools.file_glob import FileGlob
from sunwell.tools.limits import Outcome
from sunwell.tools.line_patterns import LinePattern
from sunwell.tools.long_file import parts_of_file
from sunwell.tools.ripgrep import Sieve, find_ripgrep
from sunwell.tools.text_file import binary_kind, text_of
from sunwell.tools.wording import counted, on_one_line, quoted
from sunwell.tools.workspace import FileReader, FolderEntry
from sunwell.tools.workspace_view import WorkspaceView

if TYPE_CHECKING:
    from regex import Pattern

_DEEPEST = 50
_LONGEST_PATTERN = 1_000
_LONGEST_LINE = 300
_MOST_NODES = 100_000  # of a compiled expression, at about 400 bytes each
_PROBE_BYTES = 8_192
_STEP = 20  # files between two looks at the clock
_FIRST_BATCH = 200  # files that are looked through before starting a program is worth it
_SHORTEST = 3  # a shorter text is in nearly every file
_BATCH_BYTES = 400_000  # of names in one command line; systems take 2 MB and more
Hit = tuple[str, int, str]


class _Stopped(Exception):
    """The search ends here; what was found is kept."""


@attrs.frozen
class SearchFiles:
    """Searches text files line by line; ignored and binary files are left out."""

    view: WorkspaceView
    parallel = True
    repeatable = True
    spec = ToolSpec(
        "search_files",
        "Search the text files of the workspace line by line. Ignored and binary files are left out. "
        "Gives path:line: text for every match, 200 at most if nothing else is set.",
        closed(
            {
                "pattern": text("Python regular expression, matched within one line. (?i) ignores case."),
                "literal": nullable(
                    {"type": "boolean", "description": "true: pattern is plain text. null: false."}
                ),
                "path": nullable(text("File or folder to search in. null: the whole workspace.")),
                "glob": nullable(
                    text("Only files like this, e.g. '*.py' or 'src/**/*.{ts,tsx}'. null: all.")
                ),
            }
        ),
    )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        pattern = arguments["pattern"]
        plain = bool(arguments["literal"]) or re.escape(pattern) == pattern
        require_pattern(pattern, plain)
        limits = self.view.limits
        # Before the limit of the call, whose sentence does not say what was found.
        seconds = min(limits.search_seconds, limits.call_seconds * 0.9)
        path = self.view.meant(arguments["path"] or ".")
        glob = FileGlob.of(arguments["glob"], self.view.workspace.inside) if arguments["glob"] else None
        search = _Search(self.view, _composed(pattern), plain, glob, seconds)
        await self._carry_out(search, search.steps(path))
        return search.outcome(path, arguments["glob"] or "")

    async def _carry_out(self, search: "_Search", steps: Iterator[None]) -> None:
        """Search in a thread: an expression that explodes, or a large tree, would stop the event loop."""
        try:
            await in_thread(deque, steps, 0)
        finally:
            search.stop.set()  # the thread of a call that is cancelled ends soon


@attrs.define(eq=False)
class _Search:
    """One search. It goes on as its steps are taken, in any thread."""

    view: WorkspaceView
    pattern: str
    is_plain: bool
    glob: FileGlob | None
    seconds: float
    stop: Event = attrs.field(factory=Event, init=False)
    hits: list[Hit] = attrs.field(factory=list, init=False)
    files: int = attrs.field(default=0, init=False)
    """Files that were looked through, binary ones included."""
    _left_out: int = attrs.field(default=0, init=False)
    _ignored: int = attrs.field(default=0, init=False)
    _too_large: int = attrs.field(default=0, init=False)
    _too_deep: int = attrs.field(default=0, init=False)
    _size_bytes: int = attrs.field(default=0, init=False)
    _remark: str = attrs.field(default="", init=False)
    _reads: list[FileRead] = attrs.field(factory=list, init=False)
    _needed: bytes = attrs.field(default=b"", init=False)
    """Bytes that are in every file with a match, in ASCII; empty if nothing is known."""
    _expression: "_Expression | None" = attrs.field(default=None, init=False)
    _deadline: float = attrs.field(default=0.0, init=False)

    def steps(self, path: str) -> Iterator[None]:
        """Search *path*; what was found, and why it ended early, is in this object afterwards."""
        self._deadline = monotonic() + self.seconds
        if not self.is_plain:
            self._expression = _Expression(self.pattern, self._check)
        needed = self.pattern if self.is_plain else literal_in(self.pattern)
        if not self.view.secrets.may_show(needed):  # a secret's name in place of it could make a match
            self._needed = max(re.findall(rb"[\x01-\x7f]*", needed.encode("utf-8", "replace")), key=len)
        with FileReader(self.view.workspace) as reader:
            try:
                yield from self._steps(path, reader)
            except _Stopped as stopped:
                self._remark = str(stopped)

    def _steps(self, path: str, reader: FileReader) -> Iterator[None]:
        where = self.view.workspace.locate(path)
        if self.view.is_file(path):
            size = self.view.size_of(path)
            if size <= self.view.limits.file_bytes:
                text_of(where, self.view.read(path).data)  # says why it cannot be searched
            self._look(FolderEntry(where, "file", size), reader)
            return
        if not self.view.exists(path):
            raise self.view.nothing_at(path)
        chosen = self._chosen(path)
        for entry in islice(chosen, _FIRST_BATCH):
            self._look(entry, reader)
            yield
        program = None
        if len(self._needed) >= _SHORTEST and self.files == _FIRST_BATCH:
            program = find_ripgrep(self.view.workspace.root)
        if program is None:
            for entry in chosen:
                self._look(entry, reader)
                yield
            return
        with ExitStack() as running:
            before: tuple[list[FolderEntry], Sieve | None] = ([], None)
            for batch in _batches(chosen):
                yield
                sieve = self._sieve(program, batch)
                if sieve is not None:
                    running.callback(sieve.stop)
                self._finish(*before, reader)  # while ripgrep is at work on the next ones
                before = (batch, sieve)
            self._finish(*before, reader)

    def _sieve(self, program: Path, batch: Iterable[FolderEntry]) -> Sieve | None:
        paths = [entry.path for entry in batch if entry.path not in self.view.planned]
        try:
            return Sieve.start(program, self.view.workspace.root, self._needed, paths) if paths else None
        except OSError:  # it was removed, or there are too many processes: it is not needed
            return None

    def _finish(self, batch: list[FolderEntry], sieve: Sieve | None, reader: FileReader) -> None:
        left = None if sieve is None else sieve.left(self._check)
        for entry in batch:
            if left is None or entry.path in left or entry.path in self.view.planned:
                self._look(entry, reader)
            else:
                self._count(entry)

    def _chosen(self, path: str) -> Iterator[FolderEntry]:
        deepest = _DEEPEST - 1 + (0 if path in ("", ".") else path.count("/") + 1)
        for count, (entry, ignored) in enumerate(self.view.walk(path, _DEEPEST)):
            if count % _STEP == 0:
                self._check()
            if ignored:
                self._ignored += 1
            elif entry.kind == "file":
                if self.glob is not None and not self.glob.takes(entry.path):
                    self._left_out += 1
                elif entry.size_bytes > self.view.limits.search_bytes:
                    self._too_large += 1  # it must not keep the search from all others
                else:
                    yield entry
            elif entry.kind == "folder" and entry.path.count("/") >= deepest:
                self._too_deep += 1

    def _check(self) -> None:
        if self.stop.is_set():
            raise _Stopped("cancelled")
        if monotonic() > self._deadline:
            raise _Stopped(
                f"stopped after {self.seconds:g} seconds; narrow path or glob, or simplify pattern"
            )

    def _count(self, entry: FolderEntry) -> None:
        if self._size_bytes + entry.size_bytes > self.view.limits.search_bytes:
            raise _Stopped(f"stopped after {counted(self._size_bytes, 'byte')}; narrow path or glob")
        self.files += 1
        self._size_bytes += entry.size_bytes

    def _look(self, entry: FolderEntry, reader: FileReader) -> None:
        self._check()
        self._count(entry)
        path, before = entry.path, len(self.hits)
        try:
            data = self.view.planned.get(path)
            if data is None and entry.size_bytes > self.view.limits.file_bytes:
                for line, part in parts_of_file(
                    self.view.workspace, path, self._needed, self.view.secrets.redact, self._check
                ):
                    self._lines(path, part, line)
                return
            if data is None:
                data = reader.read(path, self.view.limits.file_bytes)
            if self._needed and self._needed not in data and b"\0" not in data[:_PROBE_BYTES]:
                return
            if binary_kind(data) is None:
                # Before matching: a cut line could hold half a secret, and a match tell of a hidden one.
                self._lines(path, self.view.secrets.redact(text_of(path, data).text), 1)
        except ToolError:  # gone, or not readable: the other files still count
            return
        finally:
            if len(self.hits) > before and path not in self.view.planned:
                self._reads += self.view.reads_of(path, data)

    def _lines(self, path: str, text: str, first: int) -> None:
        """Add the matches in *text*, whose first line has the number *first*."""
        most = self.view.limits.search_matches + 1
        text = text if self.pattern.isascii() else _composed(text)
        if self.is_plain:
            lines = _lines_with(text, self.pattern, first)
        else:
            assert self._expression is not None
            lines = self._expression.lines(path, text, first)
        for number, line, at in lines:
            self.hits.append((path, number, _around(line, at)))
            if len(self.hits) >= most:
                raise _Stopped("")

    def outcome(self, path: str, glob: str) -> Outcome:
        """Return what was found, for the model."""
        most = self.view.limits.search_matches
        lines = [f"{on_one_line(path)}:{number}: {line}" for path, number, line in self.hits[:most]]
        if len(self.hits) > most:
            lines.append(f"(more than {most:,} matches; narrow pattern, path or glob)")
        elif not self.hits:
            lines.append(self._nothing(path, glob))
        if self._too_large:
            most_bytes = counted(self.view.limits.search_bytes, "byte")
            lines.append(f"({counted(self._too_large, 'file')} of more than {most_bytes} not searched)")
        if self._too_deep:
            lines.append(f"({counted(self._too_deep, 'folder')} below {_DEEPEST} levels not searched)")
        if self._remark:
            lines.append(f"({self._remark})")
        return Outcome(guarded("\n".join(lines)), reads=tuple(self._reads))

    def _nothing(self, path: str, glob: str) -> str:
        if self._remark:
            return f"no match in the first {counted(self.files, 'file')}"
        if self.files:
            return f"no match in {counted(self.files, 'file')}"
        hidden = f"; {self._ignored:,} ignored, left out (read_file opens them)" if self._ignored else ""
        if self._left_out:
            count = counted(self._left_out, "file")
            return f"no file to search: glob {quoted(glob)} selects none of {count}{hidden}"
        return f"no file to search in {quoted(path)}{hidden}"


def _batches(entries: Iterable[FolderEntry]) -> Iterator[list[FolderEntry]]:
    batch: list[FolderEntry] = []
    size = 0
    for entry in entries:
        batch.append(entry)
        size += len(os.fsencode(entry.path)) + 12
        if size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _composed(text: str) -> str:
    """Return *text* with each letter in one piece (NFC): a search must not depend on how it is stored."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def require_pattern(pattern: str, plain: bool) -> None:
    """Refuse a *pattern*, of a model, that cannot be searched for in lines; *plain*: it is no expression."""
    if not pattern:
        raise ToolError("pattern is empty; write what to look for")
    if len(pattern) > _LONGEST_PATTERN:
        raise ToolError(f"pattern is longer than {_LONGEST_PATTERN:,} characters; write a shorter one")
    if "\n" in pattern and plain:
        raise ToolError("pattern has a line end in it; lines are matched one by one")


def _lines_with(text: str, sought: str, first: int) -> Iterator[tuple[int, str, int]]:
    """Yield the lines with the plain text *sought*: number, text, and where it is in the line."""
    last, number = 0, first
    at = text.find(sought)
    while at >= 0:
        number += text.count("\n", last, at)
        start = text.rfind("\n", 0, at) + 1
        end = text.find("\n", at)
        end = len(text) if end < 0 else end
        line = text[start:end].rstrip("\r")
        if at - start + len(sought) <= len(line):
            yield number, line, at - start
        last = end
        at = text.find(sought, end)


_SLICES_SECONDS = (0.1, 0.4, 1.0)
"""How long one match may take, in computing time. ``regex`` measures that of the whole process: it passes
faster if other threads compute too, and slower if the machine is busy. So a match gets short slices, between
which the clock is looked at, and a cancelled search ends within one of them."""
# What makes the match of a line depend on its being a line, and not a part of the text.
_LINE_BOUND = re.compile(r"\(\?(?![:i]|P?<[A-Za-z_]|P=)|\(\*|\\[AZGKBRX]|[*+?}]\+|\{[^\d,]|(?<!\[)\^|\$")


@attrs.define(eq=False)
class _Expression:
    """A regular expression that is matched within lines, for a limited time."""

    pattern: str
    check: Callable[[], None]
    """Raises if the search must end."""
    _search: "Callable[..., Any]" = attrs.field(init=False)
    _is_part: bool = attrs.field(init=False)
    """Whether a text that has a line with a match also has a match as a whole."""

    def __attrs_post_init__(self) -> None:
        self._search = expression_of(self.pattern).search
        self._is_part = _LINE_BOUND.search(self.pattern) is None

    def lines(self, path: str, text: str, first: int) -> Iterator[tuple[int, str, int]]:
        """Yield the lines with a match: number, text, and where the match starts."""
        if self._is_part and not self._may_match(text):
            return
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else (), first):
            line = line.rstrip("\r")
            at = self._find(line, path, number)
            if at is not None:
                yield number, line, at

    def _may_match(self, text: str) -> bool:
        try:
            return self._search(text, timeout=_SLICES_SECONDS[0], concurrent=True) is not None
        except (TimeoutError, MemoryError):
            return True

    def _find(self, line: str, path: str, number: int) -> int | None:
        where = f"{on_one_line(path)}:{number}"
        for seconds in _SLICES_SECONDS:
            try:
                match = self._search(line, timeout=seconds, concurrent=True)
            except TimeoutError:
                self.check()
                continue
            except MemoryError:  # ``regex`` limits the room for ways back, of which a long line can have many
                raise _Stopped(
                    f"stopped at {where}, where pattern needs too much memory; use a simpler one, or literal"
                ) from None
            return match.start() if match else None
        raise _Stopped(f"stopped at {where}, where pattern takes too long; use a simpler one")


def expression_of(pattern: str, *, by_lines: bool = False) -> "Pattern[str]":
    """Return *pattern*, of a model, compiled; with *by_lines*, ``^`` and ``$`` mean those of each line.

    Raises :exc:`~sunwell.errors.ToolError` if it is no regular expression, or takes too much memory.
    """
    import regex

    if _RECURSION.search(pattern):
        raise ToolError(
            "pattern calls itself or a group, which takes too much memory; write it out, or literal"
        )
    if _nodes(pattern) > _MOST_NODES:
        raise ToolError("pattern repeats too much; write smaller counts, or set literal to true")
    try:
        return regex.compile(pattern, regex.VERSION0 | (regex.MULTILINE if by_lines else 0))
    except (regex.error, OverflowError, RecursionError, ValueError) as error:  # ValueError: of its flags
        raise ToolError(f"pattern is no regular expression: {error}; or set literal to true") from None


def literal_in(pattern: str) -> str:
    """Return the longest text that is known to be in every line that *pattern* matches; empty: none is."""
    known = LinePattern.of(pattern)
    clauses = () if known is None else known.clauses
    return max((texts[0] for texts in clauses if len(texts) == 1), key=len, default="")


_COUNT = re.compile(r"(?=\{((?:\d|\s|#[^\n]*\n)+))")  # verbose mode takes spaces and comments in a count
# ``re`` has none of it, and one line can make ``regex`` take half a gigabyte for it.
_RECURSION = re.compile(r"\(\?(?:R|[+-]?\d+|&\w+|P>\w+)\)")
_VERBOSE = re.compile(r"\(\?[A-Za-z0-9]*x")


def _nodes(pattern: str) -> int:
    """Return an upper bound for the nodes that *pattern* is compiled to.

    ``regex`` writes out what ``{n}`` repeats: without this bound ``(a{1000}){1000}`` takes hundreds of
    megabytes before any time limit holds. Counts after a group multiply, as if the groups were nested; others
    add up. In verbose mode a comment may stand between a group and its count, so every count multiplies.
    """
    verbose = _VERBOSE.search(pattern) is not None
    added, factor = len(pattern), 1
    for found in _COUNT.finditer(pattern):
        count = int("0" + re.sub(r"\s|#[^\n]*\n", "", found[1]))
        if verbose or pattern[: found.start()].endswith((")", "}", "*", "+", "?")):
            factor *= max(1, count)
        else:
            added += count
    return added * factor


def _around(line: str, at: int) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    start = max(0, min(at - _LONGEST_LINE // 3, len(line) - _LONGEST_LINE))
    end = start + _LONGEST_LINE
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"
