"""Files that must not change, and files that must: whoever changed them, with or without a tool's record."""

import os
import stat
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import attrs

from sunwell.checks.steering import steering_kind
from sunwell.context.options import read_globs
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import FileChange
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.ignore_rules import IGNORE_FILES, MOST_BYTES, Ignores, ignores_above
from sunwell.tools.workspace import FolderEntry, Workspace
from sunwell.tools.workspace_view import rules_in

_MOST_NAMED = 20
_COARSE_NS = 100_000_000
MOST_WATCHED = 20_000
"""Limit of files whose content is noted."""
_MOST_HASHED_BYTES = 64 << 20
"""A larger file is compared by its status: a file with holes has any size, and hashing it would not end."""
_MADE_FOLDERS = frozenset(
    {".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".hypothesis"}
)
"""Folders that programs fill: what changes in them is watched only if a glob names the folder."""
_PROGRAM_FOLDERS = {
    ".venv": ("bin", "Scripts"),
    "venv": ("bin", "Scripts"),
    "node_modules": (".bin",),
}
"""Of them, those with programs that a check may start."""
_ENTRY_FOLDERS = (".egg-info", ".dist-info")
"""Endings of folders that name plugins: pytest loads those of ``entry_points.txt``."""


@attrs.define(eq=False)
class WatchedFiles:
    """The files of a workspace that checks look at, as they were when the run began.

    Watched are the files that *globs* select and, with *steering*, those that can turn a check around.
    What git ignored then is watched only if a glob is its exact path; folders that programs fill, such as
    ``__pycache__``, only if a glob names them. A link counts with where it leads and what is there.
    """

    workspace: Workspace
    globs: tuple[str, ...]
    steering: bool = False
    before: Mapping[str, str] = attrs.field(factory=dict)
    """SHA-256 of each by its path; of a link or a large file, a text that says what it is."""
    programs: tuple[str, ...] = ()
    """Paths of files that commands of checks start."""
    ignoring: Mapping[str, str] | None = None
    """The ignore files as they were when the run began; ``None``: as they are."""
    _set: GlobSet = attrs.field(init=False)
    _known: dict[str, tuple[tuple[int, ...], str | None]] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._set = GlobSet(self.globs)

    @classmethod
    def begin(
        cls, root: Path, globs: Iterable[str], *, steering: bool = False, programs: Iterable[str] = ()
    ) -> "WatchedFiles":
        """Return the files under *root*, with their content noted.

        Raises :exc:`~sunwell.errors.ConfigurationError` if they are too many.
        """
        made = cls(Workspace(root), tuple(globs), steering, programs=tuple(dict.fromkeys(programs)))
        found: dict[str, str] = {}
        made.before = made.now(found)
        made.ignoring = found
        return made

    def record(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`of` makes these files again."""
        said = {"globs": list(self.globs), "steering": self.steering, "before": dict(self.before)}
        said |= {"programs": list(self.programs)}
        return said | ({} if self.ignoring is None else {"ignoring": dict(self.ignoring)})

    @classmethod
    def of(cls, root: Path, record: Mapping[str, Any]) -> "WatchedFiles":
        """Return the files that *record* describes."""
        before, ignoring = dict(record["before"]), record.get("ignoring")
        globs, programs = tuple(record["globs"]), tuple(record.get("programs", ()))
        return cls(Workspace(root), globs, record["steering"], before, programs, ignoring)

    def changes(self) -> tuple[FileChange, ...]:
        """Return what has changed since the run began; each file once."""
        now = self.now()
        paths = sorted({*self.before, *now})
        found = (FileChange(path, self.before.get(path), now.get(path)) for path in paths)
        return tuple(change for change in found if change.before != change.after)

    def now(self, ignoring: dict[str, str] | None = None) -> dict[str, str]:
        """Return the SHA-256 of each watched file as it is; ignore files are noted in *ignoring*."""
        found: dict[str, str] = {}
        is_link: dict[str, bool] = {"": False}
        # Those that were there are looked at even if an ignore file, which the work may change, hides them.
        for path in dict.fromkeys((*self.before, *self.programs, *self._paths(ignoring))):
            sha256 = None if self._is_below_link(path, is_link) else self._sha256(path)
            if sha256 is not None:
                found[path] = sha256
            if len(found) > MOST_WATCHED:
                raise ConfigurationError(
                    f"more than {MOST_WATCHED:,} files are protected or looked at by checks: "
                    "name fewer with protect and must_change"
                )
        return found

    def _sha256(self, path: str) -> str | None:
        """Return the hash of the file *path*; a file whose status is as it was is not read again."""
        try:
            status = os.lstat(self.workspace.root / path)
        except OSError:
            return None
        # A command can set the other times, but not that of the last change of status.
        key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        known_key, known = self._known.get(path, (None, None))
        if key == known_key:
            return known
        try:
            if stat.S_ISLNK(status.st_mode):
                return self._of_link(path)
            sha256 = _by_status(status) or self.workspace.sha256(path)
        except (OSError, ToolError):  # deleted in the meantime, or not readable
            return None
        # The clock of a file system is coarse: right after a change, another one may get the same time.
        if time.time_ns() - status.st_ctime_ns > _COARSE_NS:
            self._known[path] = key, sha256
        return sha256

    def _of_link(self, path: str) -> str:
        """Return a text on the link *path*: a copy in its place, or another target, gives another text."""
        place = self.workspace.root / path
        said = f"link to {os.readlink(place)!a}"  # noqa: PTH115 - names are text here
        try:
            return f"{said}: {_by_status(place.stat()) or self.workspace.sha256(path)}"
        except (OSError, ToolError):  # out of the workspace, to a folder, or to nothing
            return said

    def _is_below_link(self, path: str, known: dict[str, bool]) -> bool:
        """Whether a folder of *path* is a link: then the file is another one, even if it is equal."""
        folder = path.rpartition("/")[0]
        if folder not in known:
            place = self.workspace.root / folder
            known[folder] = self._is_below_link(folder, known) or place.is_symlink()
        return known[folder]

    def _paths(self, ignoring: dict[str, str] | None) -> Iterator[str]:
        waiting = deque([("", ignores_above(self.workspace.root))])
        while waiting:
            folder, above = waiting.popleft()
            entries = self._entries(folder)
            if ignoring is not None:
                ignoring.update(self._ignore_files(entries))
            rules = self._rules(folder, above, entries)
            hidden = rules.hidden(entries)
            for entry in entries:
                is_hidden = entry.path in hidden
                if entry.kind == "folder":
                    if self._is_entered(entry.path, is_hidden=is_hidden):
                        waiting.append((entry.path, rules.inside(entry.path)))
                    elif self.steering:
                        yield from self._programs_in(entry.path)
                elif entry.kind in ("file", "link") and self._is_watched(entry.path, is_hidden=is_hidden):
                    yield entry.path

    def _is_entered(self, path: str, *, is_hidden: bool) -> bool:
        name = path.rpartition("/")[2]
        is_plain = name not in _MADE_FOLDERS and not is_hidden
        return is_plain or self._set.enters(name) or (self.steering and name.endswith(_ENTRY_FOLDERS))

    def _programs_in(self, path: str) -> Iterator[str]:
        """Yield the programs in a folder that programs fill, and what makes its packages run."""
        name = path.rpartition("/")[2]
        for inner in _PROGRAM_FOLDERS.get(name, ()):
            yield from (one.path for one in self._entries(f"{path}/{inner}") if one.kind in ("file", "link"))
        if name in (".venv", "venv"):
            yield f"{path}/pyvenv.cfg"
            for version in self._entries(f"{path}/lib"):
                for one in self._entries(f"{version.path}/site-packages"):
                    if one.path.endswith(_ENTRY_FOLDERS):
                        yield f"{one.path}/entry_points.txt"
                    elif one.path.endswith((".pth", "/sitecustomize.py", "/usercustomize.py")):
                        yield one.path

    def _ignore_files(self, entries: list[FolderEntry]) -> Iterator[tuple[str, str]]:
        for entry in entries:
            if entry.kind == "file" and entry.path.rpartition("/")[2] in IGNORE_FILES:
                data = b""
                with suppress(ToolError):  # too large, or another name of a secret, which no journal holds
                    found = self.workspace.read(entry.path, MOST_BYTES)
                    data = b"" if found is None else found.data
                # Not empty: what is planned without content would be read as it is now.
                yield entry.path, (data or b"\n").decode("latin-1")

    def _rules(self, folder: str, above: Ignores, entries: list[FolderEntry]) -> Ignores:
        """Return the rules of the start: an ignore file that the work changes must hide nothing."""
        if self.ignoring is None:
            return rules_in(self.workspace, folder, above, entries)
        paths = [f"{folder}/{name}" if folder else name for name in IGNORE_FILES]
        then = {path: self.ignoring[path].encode("latin-1") for path in paths if path in self.ignoring}
        there = [FolderEntry(path, "file") for path in then]
        return rules_in(self.workspace, folder, above, there, then)

    def _is_watched(self, path: str, *, is_hidden: bool) -> bool:
        if self._set.takes(path) and (not is_hidden or self._set.names(path)):
            return True
        kind = steering_kind(path) if self.steering or self._set.takes(path) else None
        # An ignore file is the model's to change, and must not hide a new conftest.py.
        return kind == "steering" or (kind == "test" and self.steering and not is_hidden)

    def _entries(self, folder: str) -> list[FolderEntry]:
        try:
            return self.workspace.entries(folder) or []
        except ToolError:  # deleted or not readable: the rest is still watched
            return []


def _by_status(status: os.stat_result) -> str:
    """Return what a file that is too large to be hashed is compared by; empty if it is not too large."""
    if status.st_size <= _MOST_HASHED_BYTES:
        return ""
    return f"{status.st_size} bytes, {status.st_ino}, {status.st_mtime_ns}, {status.st_ctime_ns}"


def _protected(globs: Iterable[str]) -> tuple[str, ...]:
    return read_globs("protect", globs)


def _must_change(globs: Iterable[str]) -> tuple[str, ...]:
    return read_globs("must_change", globs)


@attrs.frozen
class FilesCheck:
    """Passed if no file that ``protect`` selects was changed, created or deleted, and ``must_change`` was.

    Each glob of ``must_change`` must select at least one file that was changed or created. Globs are those
    of the tool ``list_files``: ``tests/**``, ``*.py``, ``src/{a,b}/**``. Changes count that a tool recorded
    and, in a run, those that a command made without a record.
    """

    protect: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_protected)
    """Globs of files that must not be changed, created or deleted."""
    must_change: tuple[str, ...] = attrs.field(default=(), kw_only=True, converter=_must_change)
    """Globs, of each of which at least one file must be changed or created."""
    midway = True
    runs_code = False

    @property
    def name(self) -> str:
        """The globs, on one line."""
        parts = [("protect", self.protect), ("must change", self.must_change)]
        return "; ".join(f"{said} {', '.join(globs)}" for said, globs in parts if globs) or "files"

    @property
    def told(self) -> str:
        """What a model is told of it before its work."""
        kept = f"no file that {', '.join(self.protect)} selects is changed" if self.protect else ""
        wanted = f"a file of each of {', '.join(self.must_change)} is changed" if self.must_change else ""
        return "; ".join(part for part in (kept, wanted) if part)

    @property
    def watches(self) -> tuple[str, ...]:
        """Globs of the files that it looks at."""
        return (*self.protect, *self.must_change)

    async def __call__(self, checking: Checking) -> Verdict:
        """Compare the changed files with the globs."""
        protected = GlobSet(self.protect)
        broken = [change for change in checking.files if self.protect and protected.takes(change.path)]
        sentences = [_broken(broken)] if broken else []
        changed = [change.path for change in checking.files if change.after is not None]
        for glob in self.must_change:
            one = GlobSet((glob,))
            if not any(one.takes(path) for path in changed):
                sentences.append(f"No file that {glob} selects was changed or created.")
        if sentences:
            return Verdict(False, "\n".join(sentences))
        return Verdict(True, f"{len(checking.files):,} changed files were compared")


def _broken(changes: list[FileChange]) -> str:
    named = [f"{change.path} ({change.verb})" for change in changes[:_MOST_NAMED]]
    more = f", and {len(changes) - _MOST_NAMED:,} more" if len(changes) > _MOST_NAMED else ""
    return f"Protected files were changed; undo that: {', '.join(named)}{more}."
