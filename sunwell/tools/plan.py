"""What a write will do, worked out before anything is written."""

import difflib
import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

import attrs

from sunwell.core.message import FileChange
from sunwell.core.model import ToolSpec
from sunwell.tools.text_file import TextFile, binary_kind, lines_of, text_of

_MOST_DIFF_LINES = 1_500


@attrs.frozen
class Plan:
    """One file, before and after."""

    path: str
    """From the root, links resolved."""
    old: bytes | None
    """``None`` where there is no file yet."""
    new: bytes
    done: str
    """What the model is told once it is written."""

    @property
    def change(self) -> FileChange:
        return FileChange(self.path, None if self.old is None else _sha256(self.old), _sha256(self.new))

    @property
    def changes(self) -> tuple[FileChange, ...]:
        """The change, or nothing where the file holds exactly that already."""
        return () if self.old == self.new else (self.change,)


class Writer(Protocol):
    """A tool that changes one file."""

    @property
    def spec(self) -> ToolSpec: ...

    def plan(self, arguments: Mapping[str, Any]) -> Plan:
        """Work out the change; nothing is written. Raises :exc:`~sunwell.errors.ToolError`."""
        ...


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def difference(plan: Plan, redact: Callable[[str], str], *, whole: bool = False) -> str:
    """Return the change as a unified difference, or in one sentence where that would take too long.

    With *whole* it shows every character that will be written anew, after the sentence if need be.
    """
    # Before they are split: a secret may be several lines long.
    new = lines_of(redact(_text(plan.path, plan.new)))
    if plan.old is not None and binary_kind(plan.old) is not None:
        said = f"{plan.path}: a binary file of {len(plan.old):,} bytes is replaced by {len(plan.new):,} bytes"
        return _with_all(said, new) if whole else said
    old = lines_of(redact(_text(plan.path, plan.old)))
    start, end = _same_ends(old, new)
    form = _form_changed(plan) if whole else ""
    if max(len(old), len(new)) - start - end > _MOST_DIFF_LINES:
        said = f"{plan.path}: {len(old):,} lines become {len(new):,}; too many differ to show"
        if not whole:
            return said
        changed = [f"-{line}" for line in old[start : len(old) - end]]
        changed += [f"+{line}" for line in new[start : len(new) - end]]
        return f"{form}{plan.path}: from line {start + 1}\n{_closed(changed)}"
    first = max(start - 3, 0)
    last_old, last_new = len(old) - max(end - 3, 0), len(new) - max(end - 3, 0)
    shown = difflib.unified_diff(
        old[first:last_old],
        new[first:last_new],
        "/dev/null" if plan.old is None else f"a/{plan.path}",
        f"b/{plan.path}",
    )
    lines = [_numbered(line, first) if line.startswith("@@ ") else line for line in shown]
    return form + _closed(lines)


def _closed(lines: Iterable[str]) -> str:
    return "".join(line if line.endswith("\n") else f"{line}\n\\ no line end\n" for line in lines)


def _with_all(said: str, new: Iterable[str]) -> str:
    return f"{said}\n{_closed(f'+{line}' for line in new)}"


def _form_changed(plan: Plan) -> str:
    """Return how encoding and line ends change, which the lines themselves do not show; empty if not."""
    old = TextFile("") if plan.old is None else text_of(plan.path, plan.old)
    new = text_of(plan.path, plan.new)
    if (old.encoding, old.crlf) == (new.encoding, new.crlf):
        return ""
    return f"{plan.path}: {_form_of(old)} becomes {_form_of(new)}\n"


def _form_of(file: TextFile) -> str:
    return f"{file.encoding} with line ends {'CR LF' if file.crlf else 'LF'}"


def _text(path: str, data: bytes | None) -> str:
    return "" if data is None else text_of(path, data).text


def _same_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """Return how many lines are the same at the start and, past those, at the end."""
    most = min(len(old), len(new))
    start = next((i for i in range(most) if old[i] != new[i]), most)
    end = next((i for i in range(most - start) if old[-1 - i] != new[-1 - i]), most - start)
    return start, end


def _numbered(header: str, offset: int) -> str:
    """Return a header of a hunk with its line numbers moved down by *offset*."""
    if not offset:
        return header
    moved = []
    for span in header.split(" ")[1:3]:
        number, comma, count = span[1:].partition(",")
        moved.append(f"{span[0]}{int(number) + offset}{comma}{count}")
    return f"@@ {' '.join(moved)} @@\n"


def encoded(file: TextFile | None, content: str) -> bytes:
    """Return *content* as the old file would hold it: its encoding and line ends, where they can be kept."""
    if file is None:
        return content.encode()
    try:
        return attrs.evolve(file, crlf=file.crlf and "\r" not in content).encode(content)
    except UnicodeEncodeError:  # beyond Latin-1: the whole file becomes UTF-8
        return content.encode()
