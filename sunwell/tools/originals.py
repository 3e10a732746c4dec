"""Keeps the original content of files before a run, restores it, and shows what has changed since."""

import functools
import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Protocol, Self

import attrs

from sunwell.core.marks import guarded
from sunwell.core.message import FileChange
from sunwell.errors import ConfigurationError, JournalError, ToolError
from sunwell.journal.folders import open_file, open_folder, read_file
from sunwell.journal.layout import FILE
from sunwell.journal.reading import read_records
from sunwell.journal.records import Forked, ToolFinished, ToolStarted
from sunwell.tools.file_tools import Plan, difference
from sunwell.tools.wording import counted, cut, quoted, refusal_of
from sunwell.tools.workspace import Workspace


@attrs.frozen
class Uncovered:
    """Calls of one tool whose changes cannot be undone, since no originals were kept."""

    tool: str
    calls: int
    paths: tuple[str, ...] = ()
    """Files that these calls are known to have changed; they may have changed others."""

    def __str__(self) -> str:
        files = f", which changed {', '.join(quoted(path) for path in self.paths)}" if self.paths else ""
        return f"{counted(self.calls, 'call')} of {self.tool}{files}"


def uncovered_calls(
    journal: Path, workspace: Workspace, kept: Collection[tuple[str, str | None]]
) -> tuple[tuple[Uncovered, ...], str]:
    """Return, by tool, the calls in *journal* that *kept* does not cover, and why they are unknown.

    *kept* contains each path, relative to the root of *workspace*, with the hash that a call left there.
    A call is covered if all files that it changed are, and if it is repeatable or stated its changes in
    advance. Without a journal there are none. For an unreadable journal, the reason is returned.
    """
    if not journal.is_file():
        return (), ""
    try:
        records = list(read_records(journal))
    except JournalError as error:
        return (), str(error)
    copied = [number for number, record in enumerate(records) if isinstance(record, Forked)]
    records = records[copied[-1] + 1 :] if copied else records  # records before that are from another run
    ended = {record.key: record.result for record in records if isinstance(record, ToolFinished)}
    calls: Counter[str] = Counter()
    paths: dict[str, dict[str, None]] = {}
    for record in records:
        if not isinstance(record, ToolStarted):
            continue
        name, result = record.call.name, ended.get(record.key)
        if result is not None and result.is_error and result.content == refusal_of(name):
            continue
        changes = record.changes if result is None else result.changes
        lost = [change.path for change in changes if _left_by(change, workspace) not in kept]
        if lost or not (record.repeatable or record.changes):
            calls[name] += 1
            paths.setdefault(name, {}).update(dict.fromkeys(lost))
    return tuple(Uncovered(name, count, tuple(paths[name])) for name, count in calls.items()), ""


def _left_by(change: FileChange, workspace: Workspace) -> tuple[str, str | None] | None:
    try:
        return workspace.locate(change.path), change.after
    except ToolError:  # outside the workspace, or closed to tools
        return None


_MOST_SHOWN_BYTES = 2_000_000
_INDEX = "index.jsonl"
_MOST_INDEX_BYTES = 256 << 20
_MOST_ORIGINAL_BYTES = 1 << 30
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_APPEND = os.O_WRONLY | os.O_CREAT | os.O_APPEND
_HASH = re.compile(r"[0-9a-f]{64}")


class Keeper(Protocol):
    """Keeps originals so that a run can be undone."""

    def keep(self, path: str, before_hash: str | None, content: bytes | None) -> None:
        """Keep the content of *path*, ``None`` if there was no file; only the first call counts."""
        ...

    def expect(self, path: str, after_hash: str) -> None:
        """Record the content that the run is about to write to *path*."""
        ...


@attrs.define(eq=False)
class Originals:
    """Originals in *folder*: one file per content, named by its hash, and an index of paths.

    The data passed to :meth:`keep` and :meth:`expect` is durable when they return. Files have mode 0600,
    the folder 0700; it is created with the first original. A resumed run continues to use the same
    folder, and the first original of a path stays.
    """

    _named: str | os.PathLike[str] = attrs.field(alias="folder")
    _kept: set[str] | None = attrs.field(default=None, init=False)

    @classmethod
    def of_run(cls, journal: Path) -> Self:
        """Return those of the run whose journal is the file *journal*."""
        return cls(f"{os.fspath(journal).rpartition('/')[0]}/originals")

    @functools.cached_property
    def folder(self) -> Path:
        """Where they are. Made on first use: most runs change no file."""
        return Path(self._named)

    def keep(self, path: str, before_hash: str | None, content: bytes | None) -> None:
        """Keep the content of *path*, ``None`` if there was no file; only the first call counts."""
        with _as_refusal(path):
            if self._kept is None:
                self._kept = {line["path"] for line in _index(self.folder) if "before" in line}
            if path in self._kept:
                return
            if content is not None and before_hash is not None:
                self._store(before_hash, content)
            self._note({"path": path, "before": before_hash})
            self._kept.add(path)

    def hold(self, content: bytes | None) -> None:
        """Keep *content* of a file by its hash alone, to show later what was changed; undo ignores it."""
        if content is not None:
            self._store(hashlib.sha256(content).hexdigest(), content)

    def expect(self, path: str, after_hash: str | None) -> None:
        """Record the content that the run is about to write to *path*, ``None`` for no file."""
        with _as_refusal(path):
            self._note({"path": path, "after": after_hash})

    def miss(self, path: str, after_hash: str | None) -> None:
        """Record that a call changed a different file of this name, since its executor works elsewhere."""
        with _as_refusal(path):
            self._note({"path": path, "missed": after_hash})

    def _store(self, name: str, content: bytes) -> None:
        self._make_folder()
        if (self.folder / name).exists():
            return
        temporary = self.folder / f"{name}.{os.getpid()}.tmp"
        temporary.unlink(missing_ok=True)
        _put(os.open(temporary, _NEW, 0o600), content)
        temporary.rename(self.folder / name)
        _sync(self.folder)

    def _note(self, line: dict[str, Any]) -> None:
        self._make_folder()
        is_new = not (self.folder / _INDEX).exists()
        # The line break comes first: a line that a crash cut off then damages no other line.
        _put(open_file(self.folder / _INDEX, _APPEND), b"\n" + json.dumps(line).encode())
        if is_new:
            _sync(self.folder)
            _sync(self.folder.parent)

    def _make_folder(self) -> None:
        os.close(open_folder(self.folder, make=True))


@contextmanager
def _as_refusal(path: str) -> Iterator[None]:
    """Turn a folder of originals that is not ours to use into the refusal of a change of *path*."""
    try:
        yield
    except JournalError as error:
        raise ToolError(
            f"the original of {path} cannot be kept ({error.sentence}); it was not changed"
        ) from None


def _put(file: int, data: bytes) -> None:
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)


def _sync(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _index(folder: Path) -> Iterator[dict[str, Any]]:
    try:
        text = read_file(folder / _INDEX, _MOST_INDEX_BYTES).decode("utf-8", "replace")
    except FileNotFoundError:
        return
    for line in text.split("\n"):
        try:
            said = json.loads(line)
        except (ValueError, RecursionError):  # empty, or cut off by a crash before the workspace was changed
            continue
        if isinstance(said, dict) and isinstance(said.get("path"), str) and _has_hashes(said):
            yield said


def _has_hashes(said: dict[str, Any]) -> bool:
    """Whether the hashes in a line of the index are valid; others may be able to write to the index."""
    hashes = [said[name] for name in ("before", "after", "missed") if name in said]
    return all(one is None or (isinstance(one, str) and _HASH.fullmatch(one)) for one in hashes)


@attrs.frozen
class UndoRefusal:
    """A file that was not restored, and why."""

    path: str
    reason: str


@attrs.frozen
class UndoStep:
    """A file as an undo is about to change it."""

    path: str
    old: bytes | None
    """What it holds now, if there is a reason to ask; ``None``: it does not exist, or cannot be shown."""
    new: bytes | None
    """What it will hold; ``None``: it is removed."""
    is_new: bool
    """Whether the undo makes the file."""
    reason: str = ""
    """Why a person has to decide it, for example that other programs run the file; empty: nobody has to."""
    is_protected: bool = False
    """Whether that is because of the file's name."""

    @property
    def verb(self) -> str:
        """What will be done: ``creates``, ``restores`` or ``removes``."""
        return "removes" if self.new is None else "creates" if self.is_new else "restores"


def unless_protected(step: UndoStep) -> str:
    """Return why *step* is not taken if nobody can be asked: its file is one that is asked for each time."""
    return f"{step.reason}, so only a person can allow it" if step.is_protected else ""


@attrs.frozen
class UndoReport:
    """The result of an undo, by path."""

    restored: tuple[str, ...] = ()
    """Files that have their original content again."""
    removed: tuple[str, ...] = ()
    """Files that did not exist before the run and were removed."""
    unchanged: tuple[str, ...] = ()
    """Files that already had their original content."""
    refused: tuple[UndoRefusal, ...] = ()
    """Files left as they are: changed after the run, or impossible to restore."""
    uncovered: tuple[Uncovered, ...] = ()
    """Calls that may have made changes for which no originals were kept, by tool."""
    unread: str = ""
    """Why these calls are unknown; empty if the journal could be read."""


@attrs.define
class _Kept:
    """What is known about one path."""

    before: str | None
    afters: set[str | None] = attrs.field(factory=set)


def undo(
    folder: str | os.PathLike[str],
    workspace: Workspace,
    *,
    only: Collection[str] | None = None,
    refuses: Callable[[UndoStep], str] = unless_protected,
) -> UndoReport:
    """Restore the files that a run changed; *folder* contains its originals.

    With *only*, no other files are restored than these, by their paths. Before each file, *refuses* is asked
    why it must stay as it is, and returns an empty text if it need not. By default that are the files which a
    person is asked about each time, such as ``.envrc``: originals lie in the workspace, where others may have
    put them.

    A file that was changed after the run is not touched, and is reported. Calling it twice is safe.
    Changes by commands, by the caller's tools and by executors without staging cannot be undone: the
    report lists these calls, from the journal next to *folder* if there is one.
    Raises :exc:`~sunwell.errors.ConfigurationError` if *folder* contains no originals; the error lists the
    calls that are not covered. Raises :exc:`~sunwell.errors.JournalError` if they cannot be read, or are a
    link's or another user's.
    """
    place = Path(folder)
    for part in (place, place / _INDEX):
        if part.is_symlink():
            raise ConfigurationError(f"{part} is a symbolic link, which is not followed; nothing was undone")
    try:
        known = _known(place)
        missed = {(line["path"], line["missed"]) for line in _index(place) if "missed" in line}
    except OSError as error:
        raise JournalError(f"{place / _INDEX} cannot be read: {error.strerror}") from None
    left = {(path, after) for path, kept in known.items() for after in kept.afters}
    uncovered, unread = uncovered_calls(place.parent / FILE, workspace, left - missed)
    if not known and not (place / _INDEX).exists():
        raise ConfigurationError(_nothing_kept(place, uncovered, unread))
    done: dict[str, list[str]] = {"restored": [], "removed": [], "unchanged": []}
    refused = []
    for path, kept in _joined(known, workspace).items():
        if only is not None and path not in only:
            continue
        try:
            done[_put_back(place, workspace, path, kept, refuses)].append(path)
        except ToolError as error:
            refused.append(UndoRefusal(path, error.sentence))
    return UndoReport(
        tuple(done["restored"]),
        tuple(done["removed"]),
        tuple(done["unchanged"]),
        tuple(refused),
        uncovered,
        unread,
    )


def _nothing_kept(folder: Path, uncovered: tuple[Uncovered, ...], unread: str) -> str:
    if not uncovered and not unread:
        return f"nothing to undo: the run changed no files with its tools (no originals in {folder})"
    said = "; ".join([*map(str, uncovered), *([unread] if unread else [])])
    return f"nothing can be restored: there are no originals in {folder}; not covered: {said}"


def _known(folder: Path) -> dict[str, _Kept]:
    known: dict[str, _Kept] = {}
    for line in _index(folder):
        path = line["path"]
        if "before" in line:
            known.setdefault(path, _Kept(line["before"]))
        elif path in known and "after" in line:
            known[path].afters.add(line["after"])
    return known


def _joined(known: dict[str, _Kept], workspace: Workspace) -> dict[str, _Kept]:
    """Return *known* with one entry for all names of a file: the first original is what it was before."""
    first: dict[tuple[int, int], _Kept] = {}
    joined = {}
    for path, kept in known.items():
        try:
            identity = workspace.shared_identity(path)
        except ToolError:  # putting it back will say why
            identity = None
        if identity is not None and kept.before is not None:
            whole = first.setdefault(identity, kept)
            whole.afters |= kept.afters
            kept = whole
        joined[path] = kept
    return joined


def _put_back(
    folder: Path, workspace: Workspace, path: str, kept: _Kept, refuses: Callable[[UndoStep], str]
) -> str:
    now = workspace.sha256(path)
    if now == kept.before:
        return "unchanged"
    if now not in kept.afters:
        raise ToolError(f"{quoted(path)} was changed after the run; it is left as it is")
    new = None if kept.before is None else original_of(folder, path, kept.before)
    if why := refuses(_step(workspace, path, new, is_new=now is None)):
        raise ToolError(f"{quoted(path)} is left as it is: {why}")
    if new is None:
        assert now is not None  # it differs from the original
        workspace.remove(path, now)
        return "removed"
    workspace.write(path, new, now, restores=True)
    return "restored"


def _step(workspace: Workspace, path: str, new: bytes | None, *, is_new: bool) -> UndoStep:
    reason, is_protected = "", False
    try:
        reason = workspace.asked_for(path)
        is_protected = bool(reason)
    except (
        ToolError
    ) as error:  # code of the program that runs; or it is never written, as writing it will say
        reason = error.sentence
    found = None
    if reason:
        with suppress(ToolError):  # too large, or a key: it is not shown
            found = workspace.read(path, _MOST_SHOWN_BYTES)
    return UndoStep(path, None if found is None else found.data, new, is_new, reason, is_protected)


def original_of(folder: Path | None, path: str, name: str) -> bytes:
    """Return the content with the SHA-256 *name* that *path* had before it was changed.

    Raises :exc:`~sunwell.errors.ToolError` if it was not kept in *folder*, or is damaged there.
    """
    if folder is None:
        raise ToolError(f"the original of {quoted(path)} was not kept")
    try:
        data = read_file(folder / Path(name).name, _MOST_ORIGINAL_BYTES)
    except OSError:
        raise ToolError(f"the original of {quoted(path)} is missing from {folder}") from None
    except JournalError as error:
        raise ToolError(f"the original of {quoted(path)} cannot be read: {error.sentence}") from None
    if hashlib.sha256(data).hexdigest() != name:
        raise ToolError(f"the original of {quoted(path)} in {folder} is damaged; nothing was restored")
    return data


def work_diff(
    changes: Iterable[FileChange],
    workspace: Workspace,
    originals: Path | None,
    redact: Callable[[str], str],
    most_chars: int,
) -> str:
    """Return *changes* as unified diffs against the originals in the folder *originals*, within *most_chars*.

    A file whose original was not kept, as after a command, is only named. *redact* replaces known secrets;
    lines that look like Sunwell's own notes are guarded.
    """
    found = [_difference_of(change, workspace, originals, redact) for change in changes]
    return cut("\n".join(part.rstrip() for part in found), most_chars)


def _difference_of(
    change: FileChange, workspace: Workspace, originals: Path | None, redact: Callable[[str], str]
) -> str:
    named = redact(change.path)
    if change.after is None:
        return f"{named}: removed"
    try:
        old = None if change.before is None else original_of(originals, change.path, change.before)
        new = workspace.read(change.path, _MOST_SHOWN_BYTES)
        if new is None:
            return f"{named}: removed since"
        return guarded(redact(difference(Plan(change.path, old, new.data, ""), redact)))
    except ToolError as error:
        return f"{named}: {change.verb}; it cannot be shown ({redact(error.sentence)})"
