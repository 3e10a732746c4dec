"""The workspace as the tools of one run see it: the files, overlaid with those planned by a dry run."""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

import attrs

from sunwell.core.message import FileRead
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.ignore_rules import IGNORE_FILES, MOST_BYTES, Ignores, exclude_of, ignores_above
from sunwell.tools.limits import ToolLimits
from sunwell.tools.near_names import near_names
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import FileContent, FolderEntry, Workspace, not_allowed, read_beside


def rules_in(
    workspace: Workspace,
    folder: str,
    above: Ignores,
    entries: Iterable[FolderEntry] | None = None,
    planned: Mapping[str, bytes] | None = None,
) -> Ignores:
    """Return the rules in *folder* of the *workspace*: those from *above*, and its own ignore files.

    A repository in the workspace begins anew, as in git. Ignore files that are links are not read, nor
    those that are not among the *entries* of the folder; ``None`` if these are unknown.
    """
    place = os.path.join(workspace.root, folder)  # noqa: PTH118 - called for every folder
    if folder and os.path.lexists(f"{place}/.git") and (exclude := exclude_of(Path(place))) is not None:
        above = above.in_repository(folder, exclude)
    paths = {name: f"{folder}/{name}" if folder else name for name in IGNORE_FILES}
    # What the user hides is not among the entries, and an ignore file that is hidden still counts.
    is_all = entries is None or bool(workspace.hidden)
    there = paths.values() if is_all else {entry.path for entry in entries or ()}
    texts = []
    for name, path in paths.items():
        if path in there:
            text = (planned or {}).get(path) or read_beside(f"{place}/{name}", MOST_BYTES)
            texts += [(name, text)] if text else []
    return above.below(folder, texts) if texts else above


_MOST_IN_FOLDER = 5_000
_DEEPEST = 50


@attrs.define(eq=False)
class WorkspaceView:
    """The files that tools read. Writes planned by a dry run are visible as if they were done."""

    workspace: Workspace
    limits: ToolLimits
    secrets: Secrets
    """What is replaced in text before it is cut or split into lines, and what no edit may touch."""
    planned: dict[str, bytes] = attrs.field(factory=dict)
    """By path relative to the root, links resolved."""
    allow_write: tuple[str, ...] = ()
    """Globs of files that may be written although other programs run them by themselves."""
    asks: bool = False
    """Whether a person can be asked for a write."""

    def allows(self, path: str) -> bool:
        """Whether *path*, relative to the root with links resolved, is among ``allow_write``."""
        return bool(self.allow_write) and GlobSet(self.allow_write).takes(path)

    def asked_for(self, path: str) -> str:
        """Return why a person is asked before *path* is written, whatever else was approved; empty if not.

        Raises :exc:`~sunwell.errors.ToolError` if it is never written, or if nobody can be asked.
        """
        why = self.workspace.asked_for(path)
        if why and self.allows(where := self.workspace.locate(path)):
            return ""
        if why and not self.asks:
            raise not_allowed(where, why)
        return why

    def meant(self, path: str) -> str:
        """Return *path*, written as a model writes it, relative to the root; it may not exist.

        An absolute path inside the workspace is made relative. If there is nothing at the path, but at
        exactly one other reading of it, that is returned: with ``/`` for backslashes, without the name of
        the workspace's own folder at its start, without spaces or quotes around it. What is returned is
        checked wherever it is used, like any other path.
        """
        given = self.workspace.inside(path)
        if self.exists(given):
            return given
        root = self.workspace.root.name
        if root and self.exists(root):
            root = ""  # the name at the start may be that of the folder in it
        found: dict[str, str] = {}
        for reading in _readings_of(given, root):
            with suppress(ToolError):
                reading = self.workspace.inside(reading)
                if self.exists(reading):
                    found.setdefault(self.workspace.locate(reading), reading)
        return next(iter(found.values())) if len(found) == 1 else given

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at *path*, written or planned."""
        where = self.workspace.locate(path)
        return where in self.planned or self.workspace.exists(path) or any(self._planned_in(where))

    def look(self, path: str) -> FileContent | None:
        """Return the file at *path*; ``None`` if it does not exist."""
        if self.planned:
            where = self.workspace.locate(path)
            if where in self.planned:
                return FileContent(where, self.planned[where])
        return self.workspace.read(path, self.limits.file_bytes)

    def reads(self, contents: Iterable[FileContent]) -> tuple[FileRead, ...]:
        """Return the files that were read from disk, for the journal.

        Files planned by a dry run are left out, and so are files whose name contains a secret.
        """
        return tuple(read for c in contents for read in self.reads_of(c.path, c.data))

    def reads_of(self, path: str, data: bytes | None) -> tuple[FileRead, ...]:
        """Return the file *path* as it was read; *data* is ``None`` if it was too large to be kept."""
        if path in self.planned or self.secrets.redact(path) != path:
            return ()
        sha256 = self.workspace.sha256(path) if data is None else FileContent(path, data).sha256
        return () if sha256 is None else (FileRead(path, sha256),)

    def size_of(self, path: str) -> int:
        """Return the size of the file at *path* in bytes; 0 if it does not exist."""
        where = self.workspace.locate(path)
        return len(self.planned[where]) if where in self.planned else self.workspace.size_bytes(path)

    def read(self, path: str) -> FileContent:
        """Return the file at *path*; raises if it does not exist."""
        content = self.look(path)
        if content is None:
            raise self.no_file(path)
        return content

    def no_file(self, path: str) -> ToolError:
        """Return the error that there is no file *path*, with the names that may be meant."""
        return ToolError(f"there is no file {quoted(path)}{self._instead(path, 'file')}")

    def nothing_at(self, path: str) -> ToolError:
        """Return the error that there is nothing at *path*, with the names that may be meant."""
        if any(sign in path for sign in "*?{"):
            return ToolError(
                f"there is nothing at {quoted(path)}: a path has no wildcards; list_files lists a "
                "whole folder, search_files takes wildcards as glob"
            )
        return ToolError(f"there is no file or folder {quoted(path)}{self._instead(path, 'any')}")

    def _instead(self, path: str, kind: Literal["file", "folder", "any"]) -> str:
        near = near_names(self.walk_broadly(), path, kind)
        if near:
            return f"; did you mean {' or '.join(map(quoted, near))}?"
        return "; list_files shows what there is"

    def is_file(self, path: str) -> bool:
        """Whether *path* exists and is not a folder."""
        return self.workspace.locate(path) in self.planned or self.workspace.is_file(path)

    def entries(self, folder: str, most: int | None = None) -> list[FolderEntry]:
        """Return the entries of *folder* by name, including ignored ones; at most *most*, if it is given."""
        found = self.workspace.entries(folder, most)
        where = self.workspace.locate(folder)
        planned = {entry.path: entry for entry in self._planned_in(where)}
        if found is None and not planned:
            if any(sign in folder for sign in "*?{"):
                raise self.nothing_at(folder)
            raise ToolError(f"there is no folder {quoted(folder)}{self._instead(folder, 'folder')}")
        together = {entry.path: entry for entry in found or ()} | planned
        return [together[path] for path in sorted(together)]

    def walk(self, folder: str, depth: int) -> Iterator[tuple[FolderEntry, bool]]:
        """Yield the entries of *folder*, down to *depth* levels, parents first, and whether each is ignored.

        The content of an ignored folder is not yielded.
        """
        where = self.workspace.locate(folder)
        above, parent = ignores_above(self.workspace.root), ""
        for at, sign in enumerate(f"{where}/" if where else ""):
            if sign == "/":
                above = rules_in(self.workspace, parent, above, None, self.planned)
                parent = where[:at]
                above = above.inside(parent)
        yield from self._walk(where, depth, above)

    def _walk(self, folder: str, depth: int, above: Ignores) -> Iterator[tuple[FolderEntry, bool]]:
        entries = self.entries(folder)
        rules = rules_in(self.workspace, folder, above, entries, self.planned)
        hidden = rules.hidden(entries)
        for entry in entries:
            ignored = entry.path in hidden
            yield entry, ignored
            if entry.kind == "folder" and depth > 1 and not ignored:
                try:
                    yield from self._walk(entry.path, depth - 1, rules.inside(entry.path))
                except ToolError:  # deleted or not readable: the rest is still useful
                    continue

    def walk_broadly(self) -> Iterator[FolderEntry]:
        """Yield all entries that are not ignored, those near the root first; of a large folder, a part."""
        waiting = deque([("", ignores_above(self.workspace.root))])
        while waiting:
            folder, above = waiting.popleft()
            try:
                entries = self.entries(folder, _MOST_IN_FOLDER)
            except ToolError:  # deleted or not readable: the rest is still useful
                continue
            rules = rules_in(self.workspace, folder, above, entries, self.planned)
            hidden = rules.hidden(entries)
            for entry in entries:
                if entry.path not in hidden:
                    yield entry
                    if entry.kind == "folder" and entry.path.count("/") < _DEEPEST:
                        waiting.append((entry.path, rules.inside(entry.path)))

    def _planned_in(self, folder: str) -> Iterator[FolderEntry]:
        start = f"{folder}/" if folder else ""
        for path, data in tuple(self.planned.items()):  # a search in a thread reads it while others plan
            if path.startswith(start):
                name, deeper, _ = path[len(start) :].partition("/")
                yield FolderEntry(start + name, "folder" if deeper else "file", 0 if deeper else len(data))


_AROUND = " \t\"'`"


def _readings_of(path: str, root: str) -> Iterator[str]:
    """Yield other readings of *path* in the workspace whose folder is called *root*."""
    bare = path.strip(_AROUND)
    for plain in dict.fromkeys((path, bare, bare.replace("\\", "/"))):
        yield plain
        head, slash, rest = plain.removeprefix("./").partition("/")
        if root and head == root:
            yield rest if slash and rest.strip("/") else "."
