"""The tool that searches: search_files."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Mapping
from contextlib import aclosing
from time import monotonic
from typing import Any

import attrs

from sunwell.core.message import FileRead
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text
from sunwell.tools.file_glob import FileGlob
from sunwell.tools.limits import Outcome
from sunwell.tools.text_file import binary_kind, text_of
from sunwell.tools.wording import counted, on_one_line
from sunwell.tools.workspace import FileContent, FolderEntry
from sunwell.tools.workspace_view import WorkspaceView

_STEP = 20
_DEEPEST = 50
_LONGEST_PATTERN = 1_000
_LONGEST_LINE = 300
_MOST_NODES = 100_000  # of a compiled expression, at about 400 bytes each
Find = Callable[[str], int | None]
"""Gives where a line matches, ``None`` if it does not."""
Hit = tuple[str, int, str]


@attrs.define
class _Tally:
    """What a search has gone through."""

    files: int = 0
    size_bytes: int = 0
    remark: str = ""
    reads: list[FileRead] = attrs.field(factory=list)


@attrs.frozen
class SearchFiles:
    """Searches text files line by line; ignored and binary files are left out."""

    view: WorkspaceView
    parallel = True
    repeatable = True
    spec = ToolSpec(
        "search_files",
        "Search the text files of the workspace line by line. Ignored and binary files are left out. "
        "Gives path:line: text for every match.",
        closed(
            {
                "pattern": text("Python regular expression, matched within one line. (?i) ignores case."),
                "literal": nullable(
                    {"type": "boolean", "description": "true: pattern is plain text. null: false."}
                ),
                "path": nullable(text("File or folder to search in. null: the whole workspace.")),
                "glob": nullable(text("Only files like this, e.g. '*.py' or 'src/**/*.ts'. null: all.")),
            }
        ),
    )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        pattern = arguments["pattern"]
        plain = bool(arguments["literal"]) or re.escape(pattern) == pattern
        _check(pattern, plain)
        tally = _Tally()
        files = self._files(arguments["path"] or ".", arguments["glob"], tally)
        most = self.view.limits.search_matches + 1
        async with aclosing(files):
            hits = await (_plain(files, pattern, most) if plain else self._expression(files, pattern, most))
        shown = {path for path, _, _ in hits}
        return Outcome(self._said(hits, tally), reads=tuple(r for r in tally.reads if r.path in shown))

    async def _files(self, path: str, glob: str | None, tally: _Tally) -> AsyncGenerator[FileContent, None]:
        wanted = None if glob is None else _glob(glob)
        for count, entry in enumerate(self._entries(path)):
            if count % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            if wanted is not None and not wanted.takes(entry.path):
                continue
            try:
                content = self.view.look(entry.path)
            except ToolError:  # too large, gone or not readable: the other files still count
                continue
            if content is None or binary_kind(content.data) is not None:
                continue
            if tally.size_bytes + len(content.data) > self.view.limits.search_bytes:
                tally.remark = f"stopped after {counted(tally.size_bytes, 'byte')}; narrow path or glob"
                return
            tally.files += 1
            tally.size_bytes += len(content.data)
            tally.reads += self.view.reads([content])
            # Before matching: a cut line could hold half a secret, and a match tell of a hidden one.
            text = self.view.redact(content.data.decode("utf-8", "replace"))
            yield attrs.evolve(content, data=text.encode())

    def _entries(self, path: str) -> Iterable[FolderEntry]:
        where = self.view.workspace.locate(path)
        if self.view.is_file(path):
            text_of(where, self.view.read(path).data)  # says why it cannot be searched
            return [FolderEntry(where, "file")]
        walked = self.view.walk(path, _DEEPEST)
        return (entry for entry, ignored in walked if entry.kind == "file" and not ignored)

    def _said(self, hits: list[Hit], tally: _Tally) -> str:
        most = self.view.limits.search_matches
        lines = [f"{on_one_line(path)}:{number}: {line}" for path, number, line in hits[:most]]
        if len(hits) > most:
            lines.append(f"(more than {most:,} matches; narrow pattern, path or glob)")
        elif not hits:
            lines.append(f"no match in {counted(tally.files, 'file')}")
        if tally.remark:
            lines.append(f"({tally.remark})")
        return "\n".join(lines)

    async def _expression(self, files: AsyncIterator[FileContent], pattern: str, most: int) -> list[Hit]:
        limits = self.view.limits
        # Before the limit of the call, whose sentence does not say what to change about the search.
        seconds = min(limits.search_seconds, limits.call_seconds * 0.9)
        hits: list[Hit] = []
        try:
            # In a thread: on the event loop an expression that explodes would stop every worker. A call
            # that is cancelled leaves its thread behind, which ends by the same limit.
            find = await asyncio.to_thread(_regular, pattern, seconds)
            async for content in files:
                hits += await asyncio.to_thread(_matches, content, find, most - len(hits))
                if len(hits) >= most:
                    break
        except TimeoutError:
            raise ToolError(
                f"the search took more than {seconds:g} seconds; use a simpler pattern, a path or a glob"
            ) from None
        except MemoryError:  # ``regex`` limits the room for ways back, of which a long line can have many
            raise ToolError("the pattern needs too much memory; use a simpler one, or literal") from None
        return hits


def _check(pattern: str, plain: bool) -> None:
    if not pattern:
        raise ToolError("pattern is empty; write what to look for")
    if len(pattern) > _LONGEST_PATTERN:
        raise ToolError(f"pattern is longer than {_LONGEST_PATTERN:,} characters; write a shorter one")
    if "\n" in pattern and plain:
        raise ToolError("pattern has a line end in it; lines are matched one by one")


def _glob(glob: str) -> Any:
    return FileGlob.of(glob)


async def _plain(files: AsyncIterator[FileContent], pattern: str, most: int) -> list[Hit]:
    def find(line: str) -> int | None:
        at = line.find(pattern)
        return None if at < 0 else at

    hits: list[Hit] = []
    async for content in files:
        hits += _matches(content, find, most - len(hits))
        if len(hits) >= most:
            break
    return hits


def _regular(pattern: str, seconds: float) -> Find:
    """Return what finds *pattern*; after *seconds* from now it raises :exc:`TimeoutError`."""
    import regex

    if _RECURSION.search(pattern):
        raise ToolError(
            "pattern calls itself or a group, which takes too much memory; write it out, or literal"
        )
    if _nodes(pattern) > _MOST_NODES:
        raise ToolError("pattern repeats too much; write smaller counts, or set literal to true")
    deadline = monotonic() + seconds
    try:
        search = regex.compile(pattern, regex.VERSION0).search
    except (regex.error, OverflowError, RecursionError, ValueError) as error:  # ValueError: of its flags
        raise ToolError(f"pattern is no regular expression: {error}; or set literal to true") from None

    def find(line: str) -> int | None:
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError
        match = search(line, timeout=left, concurrent=True)
        return match.start() if match else None

    return find


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


def _matches(content: FileContent, find: Find, most: int) -> list[Hit]:
    """Return path, number and text of up to *most* matching lines; long lines are cut around the match."""
    hits: list[Hit] = []
    for number, line in enumerate(content.data.decode("utf-8", "replace").split("\n"), 1):
        line = line.rstrip("\r")
        at = find(line)
        if at is not None:
            hits.append((content.path, number, _around(line, at)))
            if len(hits) >= most:
                break
    return hits


def _around(line: str, at: int) -> str:
    if len(line) <= _LONGEST_LINE:
        return line
    start = max(0, min(at - _LONGEST_LINE // 3, len(line) - _LONGEST_LINE))
    end = start + _LONGEST_LINE
    return f"{'…' if start else ''}{line[start:end]}{'…' if end < len(line) else ''}"
