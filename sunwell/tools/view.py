"""The workspace as the tools of one run see it: the files, and over them what a dry run has planned."""

from collections.abc import Callable, Iterable, Iterator

import attrs

from sunwell.core.message import FileRead
from sunwell.errors import ToolError
from sunwell.tools.ignores import IGNORE_FILES, MOST_BYTES, Ignores
from sunwell.tools.limits import ToolLimits
from sunwell.tools.paths import quoted
from sunwell.tools.workspace import Content, Entry, Workspace


@attrs.define(eq=False)
class View:
    """What tools read. Writes that a dry run only planned are seen as if they were done."""

    workspace: Workspace
    limits: ToolLimits
    redact: Callable[[str], str]
    """Replaces known secrets. Text that is cut or split into lines goes through it first."""
    planned: dict[str, bytes] = attrs.field(factory=dict)
    """By path from the root, links resolved."""

    def look(self, path: str) -> Content | None:
        """Return the file at *path*, ``None`` where there is nothing."""
        if self.planned:
            where = self.workspace.locate(path)
            if where in self.planned:
                return Content(where, self.planned[where])
        return self.workspace.read(path, self.limits.file_bytes)

    def reads(self, contents: Iterable[Content]) -> tuple[FileRead, ...]:
        """Return what was read of the disk, for the record.

        What a dry run only planned is left out, and so is a file whose very name holds a secret.
        """
        on_disk = [c for c in contents if c.path not in self.planned and self.redact(c.path) == c.path]
        return tuple(FileRead(c.path, c.sha256) for c in on_disk)

    def read(self, path: str) -> Content:
        """Return the file at *path*; raises where there is nothing."""
        content = self.look(path)
        if content is None:
            raise ToolError(f"there is no file {quoted(path)}; list_files shows what there is")
        return content

    def is_file(self, path: str) -> bool:
        """Whether there is something at *path* that is no folder."""
        return self.workspace.locate(path) in self.planned or self.workspace.is_file(path)

    def entries(self, folder: str) -> list[Entry]:
        """Return what *folder* holds, by name, ignored or not."""
        found = self.workspace.entries(folder)
        where = self.workspace.locate(folder)
        planned = {entry.path: entry for entry in self._planned_in(where)}
        if found is None and not planned:
            raise ToolError(f"there is no folder {quoted(folder)}; list_files shows what there is")
        together = {entry.path: entry for entry in found or ()} | planned
        return [together[path] for path in sorted(together)]

    def walk(self, folder: str, depth: int) -> Iterator[tuple[Entry, bool]]:
        """Yield what is in *folder*, down to *depth* levels, parents first, each with whether it is ignored.

        What is in an ignored folder is not yielded.
        """
        where = self.workspace.locate(folder)
        names = where.split("/") if where else []
        rules = Ignores()
        for count in range(len(names)):
            rules = self._rules("/".join(names[:count]), rules)
        yield from self._walk(where, depth, rules)

    def _walk(self, folder: str, depth: int, rules: Ignores) -> Iterator[tuple[Entry, bool]]:
        rules = self._rules(folder, rules)
        for entry in self.entries(folder):
            ignored = rules.hides(entry.path, is_folder=entry.kind == "folder")
            yield entry, ignored
            if entry.kind == "folder" and depth > 1 and not ignored:
                try:
                    yield from self._walk(entry.path, depth - 1, rules)
                except ToolError:  # gone, or not ours to read: the rest is still worth showing
                    continue

    def _rules(self, folder: str, above: Ignores) -> Ignores:
        texts = []
        for name in IGNORE_FILES:
            path = f"{folder}/{name}" if folder else name
            try:
                content = self.look(path)
            except ToolError:
                continue
            if content is not None and len(content.data) <= MOST_BYTES:
                texts.append(content.data.decode("utf-8", "replace"))
        return above.below(folder, texts)

    def _planned_in(self, folder: str) -> Iterator[Entry]:
        start = f"{folder}/" if folder else ""
        for path, data in self.planned.items():
            if path.startswith(start):
                name, deeper, _ = path[len(start) :].partition("/")
                yield Entry(start + name, "folder" if deeper else "file", 0 if deeper else len(data))
