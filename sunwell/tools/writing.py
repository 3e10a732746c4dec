"""The tools that change files: write_file and edit_file."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import Any

import attrs

from sunwell.core.model import ToolSpec
from sunwell.errors import ToolError
from sunwell.tools.misses import near_misses
from sunwell.tools.paths import quoted
from sunwell.tools.plan import Plan, encoded
from sunwell.tools.schema import closed, text
from sunwell.tools.text_file import TextFile, binary_kind, lines_of, text_of
from sunwell.tools.view import View
from sunwell.tools.wording import counted, on_one_line

_MOST_SPOTS = 10
_MOST_COUNTED = 1_000


@attrs.frozen
class WriteFile:
    """Writes a whole file."""

    view: View
    spec = ToolSpec(
        "write_file",
        "Write a whole text file: make a new one, with its folders, or replace an old one. "
        "To change a part of a file, use edit_file.",
        closed(
            {
                "path": text("File, relative to the workspace."),
                "content": text("The whole text of the file, with a line end at its end."),
            }
        ),
    )

    def plan(self, arguments: Mapping[str, Any]) -> Plan:
        path, content = arguments["path"], arguments["content"]
        _require_text("content", content)
        self.view.workspace.require_writable(path)
        old = self.view.look(path)
        where = self.view.workspace.locate(path)
        new = encoded(self._old_text(where, old.data) if old else None, content)
        _require_size(new, self.view)
        size = f"{counted(len(lines_of(content)), 'line')}, {counted(len(new), 'byte')}"
        kind = "new file" if old is None else "replaced"
        if old is not None and old.data == new:
            kind = "no change, the file held exactly that"
        return Plan(where, old.data if old else None, new, f"wrote {on_one_line(where)}: {size} ({kind})")

    def _old_text(self, path: str, data: bytes) -> TextFile | None:
        if binary_kind(data) is not None:
            return None
        file = text_of(path, data)
        if self.view.redact(file.text) != file.text:
            raise ToolError(
                f"{quoted(path)} holds secrets that are hidden from you, so replacing the whole file would "
                "lose them; change the parts you mean with edit_file"
            )
        return file


@attrs.frozen
class EditFile:
    """Replaces one piece of a file."""

    view: View
    spec = ToolSpec(
        "edit_file",
        "Replace one piece of a text file. 'old' must stand in the file exactly once, white space and "
        "line ends included: take in neighbouring lines until it does.",
        closed(
            {
                "path": text("File, relative to the workspace."),
                "old": text("The piece to replace, exactly as read_file gives it."),
                "new": text("What stands there afterwards; empty deletes the piece."),
            }
        ),
    )

    def plan(self, arguments: Mapping[str, Any]) -> Plan:
        old, new = arguments["old"], arguments["new"]
        _require_text("new", new)
        self.view.workspace.require_writable(arguments["path"])
        content = self.view.read(arguments["path"])
        file = text_of(content.path, content.data)
        if file.crlf:
            old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
        if not old:
            raise ToolError("old is empty; write the piece to replace, or use write_file")
        if old == new:
            raise ToolError("old and new are the same; nothing was changed")
        _require_once(content.path, file.text, old, self.view.redact)
        at = file.text.index(old)
        data = _encoded(file, content.path, file.text.replace(old, new, 1))
        _require_size(data, self.view)
        first = file.text.count("\n", 0, at) + 1
        done = f"edited {on_one_line(content.path)}: {counted(len(lines_of(old)), 'line')} from line {first} "
        return Plan(
            content.path, content.data, data, f"{done}replaced by {counted(len(lines_of(new)), 'line')}"
        )


def _encoded(file: TextFile, path: str, changed: str) -> bytes:
    try:
        return file.encode(changed)
    except UnicodeEncodeError:
        raise ToolError(
            f"{quoted(path)} is not UTF-8, and new has characters that Latin-1 lacks; use write_file"
        ) from None


def _require_once(path: str, content: str, old: str, redact: Callable[[str], str]) -> None:
    spots = list(islice(_spots(content, old), _MOST_COUNTED))
    if len(spots) == 1:
        return
    if not spots:
        near = near_misses(redact(content), old)
        raise ToolError(f"old does not occur in {quoted(path)}; nothing was changed{near}")
    lines = ", ".join(str(content.count("\n", 0, at) + 1) for at in spots[:_MOST_SPOTS])
    more = ", …" if len(spots) > _MOST_SPOTS else ""
    count = f"{len(spots)} times or more" if len(spots) == _MOST_COUNTED else f"{len(spots)} times"
    raise ToolError(
        f"old occurs {count} in {quoted(path)} (lines {lines}{more}); nothing was changed; "
        "take in neighbouring lines until it occurs once"
    )


def _spots(content: str, old: str) -> Iterator[int]:
    """Yield where *old* begins, overlapping ones too: either could be meant."""
    at = content.find(old)
    while at >= 0:
        yield at
        at = content.find(old, at + 1)


def _require_text(key: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ToolError(f"{key} has half a character (a lone surrogate) in it; write whole ones") from None


def _require_size(data: bytes, view: View) -> None:
    most = view.limits.file_bytes
    if len(data) > most:
        raise ToolError(f"the file would have {counted(len(data), 'byte')}; tools write at most {most:,}")
