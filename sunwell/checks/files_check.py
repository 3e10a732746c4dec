"""Files that must not change, and files that must: whoever changed them, with or without a tool's record."""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.checks.steering import steering_kind
from sunwell.context.options import read_globs
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import FileChange
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.ignore_rules import ignores_above
from sunwell.tools.workspace import FolderEntry, Workspace
from sunwell.tools.workspace_view import rules_in

_MOST_NAMED = 20
_COARSE_NS = 100_000_000
MOST_WATCHED = 20_000
"""Limit of files whose content is noted."""
_MADE_FOLDERS = frozenset(
    {".hg", ".svn", ".venv", "venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".hypothesis"}
)
"""Folders that programs fill: what changes in them is watched only if a glob names the folder."""


@attrs.define(eq=False)
class WatchedFiles:
    """The files of a workspace that checks look at, as they were when the run began.

    Watched are the files that *globs* select and, with *steering*, those that can turn a check around.
    What git ignores is watched only if a glob is its exact path; folders that programs fill, such as
    ``__pycache__``, only if a glob names them.
    """

    workspace: Workspace
    globs: tuple[str, ...]
    steering: bool = False
    before: Mapping[str, str] = attrs.field(factory=dict)
    """SHA-256 of each by its path."""
    _set: GlobSet = attrs.field(init=False)
    _keys: dict[str, tuple[int, ...]] = attrs.field(factory=dict, init=False)
    _hashes: dict[str, str | None] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._set = GlobSet(self.globs)

    @classmethod
    def begin(cls, root: Path, globs: Iterable[str], *, steering: bool = False) -> "WatchedFiles":
        """Return the files under *root*, with their content noted.

        Raises :exc:`~sunwell.errors.ConfigurationError` if they are too many.
        """
        made = cls(Workspace(root), tuple(globs), steering)
        made.before = made.now()
        return made

    def record(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`of` makes these files again."""
        return {"globs": list(self.globs), "steering": self.steering, "before": dict(self.before)}

    @classmethod
    def of(cls, root: Path, record: Mapping[str, Any]) -> "WatchedFiles":
        """Return the files that *record* describes."""
        return cls(Workspace(root), tuple(record["globs"]), record["steering"], dict(record["before"]))

    def changes(self) -> tuple[FileChange, ...]:
        """Return what has changed since the run began; each file once."""
        now = self.now()
        paths = sorted({*self.before, *now})
        found = (FileChange(path, self.before.get(path), now.get(path)) for path in paths)
        return tuple(change for change in found if change.before != change.after)

    def now(self) -> dict[str, str]:
        """Return the SHA-256 of each watched file as it is."""
        found: dict[str, str] = {}
        # Those that were there are looked at even if an ignore file, which the work may change, hides them.
        for path in dict.fromkeys((*self.before, *self._paths())):
            sha256 = self._sha256(path)
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
        if key != self._keys.get(path):
            try:
                sha256 = self.workspace.sha256(path)
            except ToolError:  # deleted in the meantime, or not readable
                return None
            self._hashes[path] = sha256
            # The clock of a file system is coarse: right after a change, another one may get the same time.
            if time.time_ns() - status.st_ctime_ns > _COARSE_NS:
                self._keys[path] = key
        return self._hashes[path]

    def _paths(self) -> Iterator[str]:
        waiting = deque([("", ignores_above(self.workspace.root))])
        while waiting:
            folder, above = waiting.popleft()
            entries = self._entries(folder)
            rules = rules_in(self.workspace, folder, above, entries)
            hidden = rules.hidden(entries)
            for entry in entries:
                name, is_hidden = entry.path.rpartition("/")[2], entry.path in hidden
                if entry.kind == "folder":
                    if (name not in _MADE_FOLDERS and not is_hidden) or self._set.enters(name):
                        waiting.append((entry.path, rules.inside(entry.path)))
                elif entry.kind == "file" and self._is_watched(entry.path, is_hidden=is_hidden):
                    yield entry.path

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
