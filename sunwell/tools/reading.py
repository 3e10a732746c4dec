"""The tools that look: list_files and read_file."""

import asyncio
from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.outcome import Outcome
from sunwell.tools.paths import quoted
from sunwell.tools.schema import closed, nullable, text, whole
from sunwell.tools.text_file import lines_of, text_of
from sunwell.tools.view import View
from sunwell.tools.wording import counted, cut, on_one_line
from sunwell.tools.workspace import Content, Entry

_STEP = 50  # entries between two chances for other tasks to run
_DEPTH = 3


@attrs.frozen
class ListFiles:
    """Lists a folder; what ignore files name is left out."""

    view: View
    parallel = True
    repeatable = True
    spec = ToolSpec(
        "list_files",
        "List files and folders of the workspace. Ignored files are left out. Folders end with '/'.",
        closed(
            {
                "path": text("Folder, relative to the workspace; '.' is the workspace itself."),
                "depth": nullable(whole(f"How many levels to go down, 1 or more. null: {_DEPTH}.")),
            }
        ),
    )

    async def run(self, arguments: Mapping[str, Any]) -> str:
        depth = _DEPTH if arguments["depth"] is None else arguments["depth"]
        if depth < 1:
            raise ToolError("depth must be at least 1")
        lines: list[str] = []
        more = hidden = 0
        for count, (entry, ignored) in enumerate(self.view.walk(arguments["path"], min(depth, 50))):
            if count % _STEP == _STEP - 1:
                await asyncio.sleep(0)
            if ignored:
                hidden += 1
            elif len(lines) < self.view.limits.list_entries:
                lines.append(_line(entry))
            else:
                more += 1
        if more:
            lines.append(f"({more:,} more; list a deeper folder or use a smaller depth)")
        if hidden:
            lines.append(f"({hidden:,} ignored, not shown)")
        return "\n".join(lines) or "(empty)"


def _line(entry: Entry) -> str:
    name = on_one_line(entry.path)
    match entry.kind:
        case "folder":
            return f"{name}/"
        case "link":
            return f"{name} (link)"
        case "other":
            return f"{name} (no ordinary file)"
    return f"{name} ({counted(entry.size_bytes, 'byte')})"


@attrs.frozen
class ReadFile:
    """Reads a text file or some lines of it, as they are: without line numbers."""

    view: View
    parallel = True
    repeatable = True
    spec = ToolSpec(
        "read_file",
        "Read a text file of the workspace, or a range of its lines. The first line of the result says "
        "which lines follow and how many there are; the text after it is exactly the file's.",
        closed(
            {
                "path": text("File, relative to the workspace."),
                "start_line": nullable(whole("First line to read, counted from 1. null: the first.")),
                "end_line": nullable(whole("Last line to read, included. null: the last.")),
            }
        ),
    )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        content = self.view.read(arguments["path"])
        return Outcome(self._said(content, arguments), reads=self.view.reads([content]))

    def _said(self, content: Content, arguments: Mapping[str, Any]) -> str:
        file = text_of(content.path, content.data)
        lines = lines_of(self.view.redact(file.text))
        name = on_one_line(content.path)
        if not lines:
            return f"{name}: the file is empty"
        first, last = _range(arguments, len(lines), name)
        last, body = self._fitting(lines, first, last)
        left = len(lines) - last
        rest = f"; {counted(left, 'line')} left, read on with start_line={last + 1}" if left else ""
        return f"{name}: lines {first}-{last} of {len(lines)}{rest}{file.remarks}\n\n{body}"

    def _fitting(self, lines: list[str], first: int, last: int) -> tuple[int, str]:
        """Return the last line that fits into the limit on output, and the text up to it."""
        room = max(self.view.limits.output_chars - 500, 100)
        size = 0
        for number in range(first, last + 1):
            size += len(lines[number - 1])
            if size > room and number > first:
                last = number - 1
                break
        return last, cut("".join(lines[first - 1 : last]), room)


def _range(arguments: Mapping[str, Any], count: int, name: str) -> tuple[int, int]:
    first = 1 if arguments["start_line"] is None else arguments["start_line"]
    last = count if arguments["end_line"] is None else min(arguments["end_line"], count)
    if first < 1 or first > count:
        raise ToolError(f"{quoted(name)} has lines 1 to {count}; start_line {first} is not one of them")
    if last < first:
        raise ToolError(f"end_line {last} comes before start_line {first}; {quoted(name)} has {count} lines")
    return first, last
