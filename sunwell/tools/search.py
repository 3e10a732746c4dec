"""The tool that searches: search_files."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import attrs

from sunwell.core.message import FileRead
from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools import matcher
from sunwell.tools.arguments import closed, nullable, text
from sunwell.tools.limits import Outcome
from sunwell.tools.text_file import binary_kind, text_of
from sunwell.tools.wording import counted, on_one_line
from sunwell.tools.workspace import FileContent, FolderEntry
from sunwell.tools.workspace_view import WorkspaceView, pattern_spec

_STEP = 20
_DEEPEST = 50
_LONGEST_PATTERN = 1_000
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
            hits = await (_in_process(files, pattern, most) if plain else self._apart(files, pattern, most))
        shown = {path for path, _, _ in hits}
        return Outcome(self._said(hits, tally), reads=tuple(r for r in tally.reads if r.path in shown))

    async def _files(self, path: str, glob: str | None, tally: _Tally) -> AsyncGenerator[FileContent, None]:
        wanted = None if glob is None else _glob(glob)
        for count, entry in enumerate(self._entries(path)):
            if count % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            if wanted is not None and not wanted.match_file(entry.path):
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

    async def _apart(self, files: AsyncIterator[FileContent], pattern: str, most: int) -> list[Hit]:
        """Match in a process of its own, which is killed when the time is over."""
        limits = self.view.limits
        # Before the limit of the call, whose sentence does not say what to change about the search.
        seconds = min(limits.search_seconds, limits.call_seconds * 0.9)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-I", "-S", str(Path(matcher.__file__))),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
        assert process.stdin is not None
        assert process.stdout is not None
        order = {"pattern": pattern, "most": most, "seconds": int(seconds) + 1}
        feeding = asyncio.create_task(_feed(process.stdin, order, files))
        try:
            async with asyncio.timeout(seconds):
                hits = [_hit(line) async for line in process.stdout]
                await feeding
                code = await process.wait()
        except TimeoutError:
            raise ToolError(
                f"the search took more than {seconds:g} seconds; use a simpler pattern, a path or a glob"
            ) from None
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            feeding.cancel()
            await asyncio.gather(feeding, return_exceptions=True)
            await process.wait()
        if code:
            raise ToolError("the pattern needs too much time or memory; use a simpler one, or literal")
        return hits


def _check(pattern: str, plain: bool) -> None:
    if not pattern:
        raise ToolError("pattern is empty; write what to look for")
    if len(pattern) > _LONGEST_PATTERN:
        raise ToolError(f"pattern is longer than {_LONGEST_PATTERN:,} characters; write a shorter one")
    if "\n" in pattern and plain:
        raise ToolError("pattern has a line end in it; lines are matched one by one")


def _glob(glob: str) -> Any:
    spec = pattern_spec([glob])
    if not spec.patterns or not spec.patterns[0].include:
        raise ToolError("glob is not a pattern that can be used; write one such as '*.py'")
    return spec


async def _in_process(files: AsyncIterator[FileContent], pattern: str, most: int) -> list[Hit]:
    hits: list[Hit] = []
    find = matcher.literal(pattern)
    async for content in files:
        for number, line in matcher.matches(content.data, find):
            hits.append((content.path, number, line))
            if len(hits) >= most:
                return hits
    return hits


async def _feed(sink: asyncio.StreamWriter, order: dict[str, Any], files: AsyncIterator[FileContent]) -> None:
    with suppress(ConnectionError):  # the matcher has all the matches it wants
        try:
            sink.write(json.dumps(order).encode() + b"\n")
            async for content in files:
                header = {"path": content.path, "size": len(content.data)}
                sink.write(json.dumps(header).encode() + b"\n")
                sink.write(content.data)
                await sink.drain()
        finally:
            sink.close()


def _hit(line: bytes) -> Hit:
    said = json.loads(line)
    if isinstance(said, dict):
        raise ToolError(f"pattern is no regular expression: {said['error']}; or set literal to true")
    path, number, matched = said
    return path, number, matched
