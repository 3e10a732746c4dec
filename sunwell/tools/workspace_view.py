"""The workspace as the tools of one run see it: the files, overlaid with those planned by a dry run."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from sunwell.core.message import FileRead
from sunwell.errors import ToolError
from sunwell.tools.ignore_rules import IGNORE_FILES, MOST_BYTES, Ignores, exclude_of, ignores_above
from sunwell.tools.limits import ToolLimits
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import FileContent, FolderEntry, Workspace, read_beside


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
    there = paths.values() if entries is None else {entry.path for entry in entries}
    texts = []
    for name, path in paths.items():
        if path in there:
            text = (planned or {}).get(path) or read_beside(f"{place}/{name}", MOST_BYTES)
            texts += [(name, text)] if text else []
    return above.below(folder, texts) if texts else above


@attrs.define(eq=False)
class WorkspaceView:
    """The files that tools read. Writes planned by a dry run are visible as if they were done."""

    workspace: Workspace
    limits: ToolLimits
    redact: Callable[[str], str]
    """Replaces known secrets. Text passes through it before it is cut or split into lines."""
    may_show: Callable[[str], bool] = attrs.field(default=lambda _: False)
    """Whether what *redact* puts in place of a secret could contain, or be a part of, a text."""
    planned: dict[str, bytes] = attrs.field(factory=dict)
    """By path relative to the root, links resolved."""

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
        if path in self.planned or self.redact(path) != path:
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
            raise ToolError(f"there is no file {quoted(path)}; list_files shows what there is")
        return content

    def is_file(self, path: str) -> bool:
        """Whether *path* exists and is not a folder."""
        return self.workspace.locate(path) in self.planned or self.workspace.is_file(path)

    def entries(self, folder: str) -> list[FolderEntry]:
        """Return the entries of *folder* by name, including ignored ones."""
        found = self.workspace.entries(folder)
        where = self.workspace.locate(folder)
        planned = {entry.path: entry for entry in self._planned_in(where)}
        if found is None and not planned:
            what = "; wildcards go into glob" if any(sign in folder for sign in "*?{") else ""
            raise ToolError(f"there is no folder {quoted(folder)}; list_files shows what there is{what}")
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

    def _planned_in(self, folder: str) -> Iterator[FolderEntry]:
        start = f"{folder}/" if folder else ""
        for path, data in self.planned.items():
            if path.startswith(start):
                name, deeper, _ = path[len(start) :].partition("/")
                yield FolderEntry(start + name, "folder" if deeper else "file", 0 if deeper else len(data))
