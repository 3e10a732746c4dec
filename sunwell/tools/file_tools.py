"""The tools that list, read and change files: list_files, read_file, write_file and edit_file."""

import difflib
import hashlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from threading import Event
from time import monotonic
from typing import Any, Protocol

import attrs

from sunwell.core.marks import as_in_file, guarded, piece_of_file, unguarded
from sunwell.core.message import FileChange, FileRead
from sunwell.core.model import ToolSpec
from sunwell.core.threads import in_thread
from sunwell.errors import ToolError
from sunwell.tools.arguments import closed, nullable, text, whole
from sunwell.tools.edit_hints import why_not_found
from sunwell.tools.limits import Outcome
from sunwell.tools.long_file import lines_of_file
from sunwell.tools.piece import replacement, spans
from sunwell.tools.text_file import TextFile, binary_kind, encoded, lines_of, text_of
from sunwell.tools.wording import counted, cut, on_one_line, quoted
from sunwell.tools.workspace import FolderEntry
from sunwell.tools.workspace_view import WorkspaceView

_MOST_DIFF_LINES = 1_500


@attrs.frozen
class Plan:
    """One file, before and after."""

    path: str
    """Relative to the root, links resolved."""
    old: bytes | None
    """``None`` if there is no file yet."""
    new: bytes
    done: str
    """The result for the model after the write."""
    asked: str = ""
    """Why a person is asked for this write, whatever else was approved; empty if it is an ordinary one."""

    change: FileChange = attrs.field(init=False)
    changes: tuple[FileChange, ...] = attrs.field(init=False)
    """The change, or nothing if the file already has this content."""

    @change.default
    def _change(self) -> FileChange:
        return FileChange(self.path, None if self.old is None else _sha256(self.old), _sha256(self.new))

    @changes.default
    def _changes(self) -> tuple[FileChange, ...]:
        return () if self.old == self.new else (self.change,)


class Writer(Protocol):
    """A tool that changes one file."""

    @property
    def spec(self) -> ToolSpec: ...

    def plan(self, arguments: Mapping[str, Any]) -> Plan:
        """Return the planned change; nothing is written. Raises :exc:`~sunwell.errors.ToolError`."""
        ...


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def difference(plan: Plan, redact: Callable[[str], str], *, whole: bool = False) -> str:
    """Return the change as a unified diff, or as one sentence if a diff would take too long.

    With *whole* it shows every character that will be written, if necessary after that sentence.
    """
    # Before the text is split: a secret may span several lines.
    new = lines_of(redact(_text(plan.path, plan.new)))
    if plan.old is not None and binary_kind(plan.old) is not None:
        said = f"{plan.path}: a binary file of {len(plan.old):,} bytes is replaced by {len(plan.new):,} bytes"
        return _with_all(said, new) if whole else said
    old = lines_of(redact(_text(plan.path, plan.old)))
    start, end = _same_ends(old, new)
    form = _form_changed(plan)
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
        "/dev/null" if plan.old is None else _named("a", plan.path),
        _named("b", plan.path),
    )
    lines = [_numbered(line, first) if line.startswith("@@ ") else line for line in shown]
    return form + _closed(lines)


def counts_in(shown: str) -> str:
    """Return how many lines *shown*, which :func:`difference` returned, adds and removes: ``+12 -3``."""
    lines = shown.split("\n")
    head = next((number for number, line in enumerate(lines) if line.startswith("@@ ")), -1)
    signs = [line[:1] for line in lines[head + 1 :]]  # above the first "@@" are the names of the file
    removed = signs.count("-")
    return f"+{signs.count('+')}" + (f" -{removed}" if removed else "")


def _named(side: str, path: str) -> str:
    """Return the name of a file for the head of a diff: as JSON if it could break out of its line."""
    name = f"{side}/{path}"
    return name if name.isprintable() else json.dumps(name)


def _closed(lines: Iterable[str]) -> str:
    return "".join(line if line.endswith("\n") else f"{line}\n\\ no line end\n" for line in lines)


def _with_all(said: str, new: Iterable[str]) -> str:
    return f"{said}\n{_closed(f'+{line}' for line in new)}"


def _form_changed(plan: Plan) -> str:
    """Return how encoding and line endings change, which the diff does not show; empty if they do not."""
    old = TextFile("") if plan.old is None else text_of(plan.path, plan.old)
    new = text_of(plan.path, plan.new)
    if (old.encoding, old.mark, old.crlf) == (new.encoding, new.mark, new.crlf):
        return ""
    return f"{plan.path}: {_form_of(old)}, becomes {_form_of(new)}\n"


def _form_of(file: TextFile) -> str:
    return f"{file.form}, line ends {'CR LF' if file.crlf else 'LF'}"


def _text(path: str, data: bytes | None) -> str:
    return "" if data is None else text_of(path, data).text


def _same_ends(old: list[str], new: list[str]) -> tuple[int, int]:
    """Return the number of equal lines at the start, and at the end of the rest."""
    most = min(len(old), len(new))
    start = next((i for i in range(most) if old[i] != new[i]), most)
    end = next((i for i in range(most - start) if old[-1 - i] != new[-1 - i]), most - start)
    return start, end


def _numbered(header: str, offset: int) -> str:
    """Return a hunk header with its line numbers increased by *offset*."""
    if not offset:
        return header
    moved = []
    for span in header.split(" ")[1:3]:
        number, comma, count = span[1:].partition(",")
        moved.append(f"{span[0]}{int(number) + offset}{comma}{count}")
    return f"@@ {' '.join(moved)} @@\n"


_STEP = 50  # entries between two looks at whether the call was cancelled
_DEPTH = 3


@attrs.frozen
class ListFiles:
    """Lists a folder, without ignored files."""

    view: WorkspaceView
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
        stop = Event()
        try:  # in a thread: a single folder may have hundreds of thousands of entries
            return await in_thread(self._listed, arguments["path"], min(depth, 50), stop)
        finally:
            stop.set()  # the thread of a call that is cancelled ends soon

    def _listed(self, path: str, depth: int, stop: Event) -> str:
        shown: list[FolderEntry] = []
        more = hidden = 0
        remark = "list a deeper folder or use a smaller depth"
        seconds = min(self.view.limits.search_seconds, self.view.limits.call_seconds * 0.9)
        end = monotonic() + seconds
        for count, (entry, ignored) in enumerate(self.view.walk(self.view.meant(path), depth)):
            if count % _STEP == _STEP - 1:
                if stop.is_set():
                    raise ToolError("cancelled")
                if monotonic() > end:
                    more += 1
                    remark = f"stopped after {seconds:g} seconds; {remark}"
                    break
            if ignored:
                hidden += 1
            elif len(shown) < self.view.limits.list_entries:
                shown.append(entry)
            else:
                more += 1
        names = [on_one_line(entry.path) for entry in shown]
        sizes = [counted(entry.size_bytes, "byte") for entry in shown]
        lines = [_line(*each) for each in zip(shown, names, sizes, strict=True)]
        if more:
            lines.append(f"({more:,} more; {remark})")
        if hidden:
            lines.append(f"({hidden:,} ignored, not shown)")
        return "\n".join(lines) or "(empty)"


def _line(entry: FolderEntry, name: str, size: str) -> str:
    match entry.kind:
        case "folder":
            return f"{name}/"
        case "link":
            return f"{name} (link)"
        case "other":
            return f"{name} (no ordinary file)"
    return f"{name} ({size})"


@attrs.frozen
class ReadFile:
    """Reads a text file or some of its lines, unchanged and without line numbers."""

    view: WorkspaceView
    parallel = True
    repeatable = True
    spec = ToolSpec(
        "read_file",
        "Read a text file of the workspace, or a range of its lines. The first line of the result says "
        "which lines follow and how many there are. After an empty line, their text follows exactly as it is "
        "in the file, without line numbers: search_files gives those.",
        closed(
            {
                "path": text("File, relative to the workspace."),
                "start_line": nullable(whole("First line to read, counted from 1. null: the first.")),
                "end_line": nullable(whole("Last line to read, included. null: the last.")),
            }
        ),
    )

    async def run(self, arguments: Mapping[str, Any]) -> Outcome:
        path = self.view.meant(arguments["path"])
        if self.view.size_of(path) > self.view.limits.file_bytes:
            return await self._by_lines(path, arguments)
        content = self.view.look(path)
        if content is None:
            raise await in_thread(self.view.no_file, path)  # it looks for similar names
        file = text_of(content.path, content.data)
        lines = lines_of(self.view.secrets.redact(file.text))
        name = on_one_line(content.path)
        said = f"{name}: the file is empty"
        if lines:
            first, last = _range(arguments, len(lines), name)
            said = self._said(name, lines[first - 1 : last], first, len(lines), file.remarks)
        return Outcome(said, reads=self.view.reads([content]))

    async def _by_lines(self, path: str, arguments: Mapping[str, Any]) -> Outcome:
        """Read a file that is too large to be kept in memory."""
        name = on_one_line(path)
        first, last = _range(arguments, sys.maxsize, name)
        stop = Event()

        def check() -> None:
            if stop.is_set():
                raise ToolError("cancelled")

        try:
            found = await in_thread(
                lines_of_file,
                self.view.workspace,
                path,
                (first, last),
                4 * self._room,
                self.view.secrets.redact,
                check,
            )
        finally:
            stop.set()  # the thread of a call that is cancelled ends soon
        _range(arguments, found.lines, name)
        said = self._said(
            on_one_line(found.path), lines_of(found.text), first, found.lines, found.remarks, is_long=True
        )
        is_open = self.view.secrets.redact(found.path) == found.path
        return Outcome(said, reads=(FileRead(found.path, found.sha256),) if is_open else ())

    @property
    def _room(self) -> int:
        return max(self.view.limits.output_chars - 500, 100)

    def _said(
        self, name: str, lines: list[str], first: int, count: int, remarks: str, *, is_long: bool = False
    ) -> str:
        """Return *lines*, the first of which has the number *first*, as far as they fit into the output."""
        size = fitting = 0
        for line in lines:
            size += len(line)
            if size > self._room and fitting:
                break
            fitting += 1
        last = first + fitting - 1
        left = count - last
        rest = f"; {counted(left, 'line')} left, read on with start_line={last + 1}" if left else ""
        plain = "".join(lines[:fitting])
        body = guarded(plain)
        if body != plain:
            remarks += "; where a line looks like a note about a result, \\ stands before it, not in the file"
        body = cut(body, self._room)
        large = "; large file, edit_file cannot change it" if is_long else ""
        return f"{name}: lines {first}-{last} of {count}{rest}{remarks}{large}\n\n{body}"


def _range(arguments: Mapping[str, Any], count: int, name: str) -> tuple[int, int]:
    first = 1 if arguments["start_line"] is None else arguments["start_line"]
    last = count if arguments["end_line"] is None else min(arguments["end_line"], count)
    if first < 1 or first > count:
        raise ToolError(f"{quoted(name)} has lines 1 to {count}; start_line {first} is not one of them")
    if last < first:
        raise ToolError(f"end_line {last} comes before start_line {first}; {quoted(name)} has {count} lines")
    return first, last


_MOST_SPOTS = 10
_MOST_COUNTED = 1_000


@attrs.frozen
class WriteFile:
    """Writes a whole file."""

    view: WorkspaceView
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
        path, content = self.view.meant(arguments["path"]), arguments["content"]
        _require_text("content", content)
        if "\\" in path and not self.view.exists(path):
            plain = path.replace("\\", "/")
            raise ToolError(f"{quoted(path)} has backslashes; folders end with '/': write {quoted(plain)}")
        asked = self.view.asked_for(path)
        old = self.view.look(path)
        where = self.view.workspace.locate(path)
        file = (self._old_text(where, old.data) if old else None) or TextFile("")
        content = as_in_file(content, file.text)
        if file.crlf and "\r" in content:
            file = attrs.evolve(file, crlf=False)
        _require_no_placeholder("content", content, "" if old is None else file.text, self.view)
        new = encoded(where, file, content)
        _require_size(new, self.view)
        size = f"{counted(len(lines_of(content)), 'line')}, {counted(len(new), 'byte')}"
        kind = "new file" if old is None else "replaced"
        if old is not None and old.data == new:
            kind = "no change, the file held exactly that"
        elif old is not None and (was := binary_kind(old.data)) is not None:
            kind = f"replaced a file that was no text ({was})"
        done = f"wrote {on_one_line(where)}: {size} ({kind}{_form_after(where, file, new)})"
        return Plan(where, old.data if old else None, new, done, asked)

    def _old_text(self, path: str, data: bytes) -> TextFile | None:
        if binary_kind(data) is not None:
            return None
        file = text_of(path, data)
        if self.view.secrets.redact(file.text) != file.text:
            raise ToolError(
                f"{quoted(path)} holds secrets that are hidden from you, so replacing the whole file would "
                "lose them; change the parts you mean with edit_file"
            )
        return file


@attrs.frozen
class EditFile:
    """Replaces one piece of a file."""

    view: WorkspaceView
    spec = ToolSpec(
        "edit_file",
        "Replace one piece of a text file. 'old' must be in the file exactly once, white space included: "
        "take in neighbouring lines until it is. Edits in one message are made in their order.",
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
        path = self.view.meant(arguments["path"])
        asked = self.view.asked_for(path)
        content = self.view.read(path)
        file = text_of(content.path, content.data)
        if file.crlf:
            old, new = old.replace("\r\n", "\n"), new.replace("\r\n", "\n")
        plain = piece_of_file(old, file.text)
        if plain is None:
            raise ToolError(
                f"old may mean two pieces of {quoted(content.path)}: one begins with \\ in the file, the "
                "other only as read_file shows it; nothing was changed; take in neighbouring lines"
            )
        new = as_in_file(new, file.text) if plain == old else unguarded(new)
        old = plain
        if not old:
            raise ToolError("old is empty; write the piece to replace, or use write_file")
        if old == new:
            raise ToolError("old and new are the same; nothing was changed")
        _require_no_placeholder("old", old, file.text, self.view)
        _require_no_placeholder("new", new, old, self.view)
        start, end, remark = _found(content.path, file.text, old, self.view.secrets.redact)
        _require_apart(content.path, (start, end), file.text, self.view)
        piece = file.text[start:end]
        is_mixed = "\r" in file.text and "\r" not in new
        written = replacement(file.text, start, end, new) if remark or is_mixed else new
        if written == piece:
            raise ToolError(
                "old and new differ only in line ends, spaces or spellings of letters, and edit_file keeps "
                "those of the file; nothing was changed; to change them, use write_file"
            )
        data = encoded(content.path, file, file.text[:start] + written + file.text[end:])
        _require_size(data, self.view)
        first = len(lines_of(file.text[:start])) + (start == 0 or file.text[start - 1] == "\n")
        done = (
            f"edited {on_one_line(content.path)}: {counted(len(lines_of(old)), 'line')} from line {first} "
            f"replaced by {counted(len(lines_of(new)), 'line')}{remark}"
        )
        done += _form_after(content.path, file, data)
        return Plan(content.path, content.data, data, done, asked)


def _form_after(path: str, before: TextFile, data: bytes) -> str:
    """Return the encoding that was written, if it is no plain UTF-8 or another than before."""
    after = text_of(path, data) if binary_kind(data) is None else before
    if after.encoding != before.encoding and not after.text.isascii():
        return f"; the text is now {after.form}, as it declares"
    return "" if before.encoding == "utf-8" else f"; still {before.form}"


def _found(path: str, content: str, old: str, redact: Callable[[str], str]) -> tuple[int, int, str]:
    """Return where *old* is in *content*, and a remark if something in it is spelled otherwise."""
    if old not in content:
        near = list(islice(spans(content, old), 2))
        if len(near) == 1:
            return (
                *near[0],
                "; line ends, spaces or letters of the file are other than in old, and were kept",
            )
        if near:
            raise ToolError(
                f"old does not occur exactly in {quoted(path)}, and more than once with other line ends, "
                "spaces or spellings of letters; nothing was changed; take in neighbouring lines until it "
                "occurs once"
            )
    _require_once(path, content, old, redact)
    at = content.index(old)
    return at, at + len(old), ""


def _require_once(path: str, content: str, old: str, redact: Callable[[str], str]) -> None:
    spots = list(islice(_spots(content, old), _MOST_COUNTED))
    if len(spots) == 1:
        return
    if not spots:
        near = why_not_found(redact(content), old)
        raise ToolError(f"old does not occur in {quoted(path)}; nothing was changed{near}")
    lines = ", ".join(str(content.count("\n", 0, at) + 1) for at in spots[:_MOST_SPOTS])
    more = ", …" if len(spots) > _MOST_SPOTS else ""
    count = f"{len(spots)} times or more" if len(spots) == _MOST_COUNTED else f"{len(spots)} times"
    raise ToolError(
        f"old occurs {count} in {quoted(path)} (lines {lines}{more}); nothing was changed; "
        "take in neighbouring lines until it occurs once"
    )


def _spots(content: str, old: str) -> Iterator[int]:
    """Yield the positions of *old*, including overlapping ones: either could be meant."""
    at = content.find(old)
    while at >= 0:
        yield at
        at = content.find(old, at + 1)


def _require_no_placeholder(key: str, value: str, before: str, view: WorkspaceView) -> None:
    """Raise :exc:`~sunwell.errors.ToolError` if *value* has the name of a secret in place of it.

    A file would get the name, where the model means the secret. Names that stand *before* in the text itself
    are just text.
    """
    for shown in view.secrets.placeholders_in(value):
        if value.count(shown) > before.count(shown):
            raise ToolError(
                f"{key} has {shown} in it, which stands for a secret that is hidden from you: the file has "
                "the secret there, and would get these characters; nothing was changed; leave the secret "
                "where it is, and change only pieces before or after it with edit_file"
            )


def _require_apart(path: str, piece: tuple[int, int], content: str, view: WorkspaceView) -> None:
    """Raise :exc:`~sunwell.errors.ToolError` if *piece* touches a secret.

    A part of one that is changed is no longer recognized, and the rest would be shown from then on.
    """
    for start, end, shown in view.secrets.spans(content):
        if start < piece[1] and piece[0] < end:
            raise ToolError(
                f"old is a part of {shown} in {quoted(path)}, a secret that is hidden from you; nothing was "
                "changed; leave the secret where it is, and change only pieces before or after it"
            )


def _require_text(key: str, value: str) -> None:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise ToolError(f"{key} has half a character (a lone surrogate) in it; write whole ones") from None


def _require_size(data: bytes, view: WorkspaceView) -> None:
    most = view.limits.file_bytes
    if len(data) > most:
        raise ToolError(f"the file would have {counted(len(data), 'byte')}; tools write at most {most:,}")
