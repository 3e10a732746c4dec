"""The workspace as the tools of one run see it: the files, overlaid with those planned by a dry run."""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.message import FileRead
from sunwell.errors import ToolError
from sunwell.tools.limits import ToolLimits
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import FileContent, FolderEntry, Workspace

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILES = (".gitignore", ".ignore", ".sunwellignore")
"""Read in this order in every folder; later lines override earlier ones."""
MOST_BYTES = 100_000
_MOST_LINES = 2_000
_MOST_STARS = 3  # each additional star multiplies the time that a malicious pattern can take
# Python warns about these, and may interpret them differently in future.
_ODD_SET = re.compile(r"\[.*(?:\[|--|&&|~~|\|\|)")


def pattern_spec(lines: Iterable[str]) -> "GitIgnoreSpec":
    """Return *lines* of an ignore file as one spec; malformed or slow lines are left out."""
    import pathspec

    kept: list[Any] = []
    for line in lines:
        if not _is_usable(line):
            continue
        try:
            kept += pathspec.GitIgnoreSpec.from_lines([line], backend="simple").patterns
        except (ValueError, re.error):
            continue
    return pathspec.GitIgnoreSpec(kept, backend="simple")


def _is_usable(line: str) -> bool:
    deep = line.count("**")
    stars = max(re.sub(r"\*+", "*", part).count("*") for part in line.split("/"))
    cheap = len(line) <= 500 and deep <= _MOST_STARS and stars <= _MOST_STARS
    return cheap and not _ODD_SET.search(line)


@attrs.frozen
class Ignores:
    """The ignore files of a folder and its parents, the nearest last."""

    _layers: "tuple[tuple[str, GitIgnoreSpec], ...]" = ()

    def below(self, folder: str, texts: Iterable[str]) -> "Ignores":
        """Return these rules plus those of *folder*; *texts* are its ignore files."""
        lines = [line for text in texts for line in text.splitlines()[:_MOST_LINES]]
        return Ignores((*self._layers, (folder, pattern_spec(lines)))) if lines else self

    def hidden(self, entries: Iterable[FolderEntry]) -> frozenset[str]:
        """Return the paths of those among *entries* that are ignored."""
        if not self._layers:
            return frozenset()
        return frozenset(
            [one.path for one in entries if self.hides(one.path, is_folder=one.kind == "folder")]
        )

    def hides(self, path: str, *, is_folder: bool) -> bool:
        """Whether *path* is ignored. The nearest ignore file with a matching line decides."""
        for folder, spec in reversed(self._layers):
            if folder and not path.startswith(folder + "/"):
                continue
            relative = path[len(folder) + 1 :] if folder else path
            said = spec.check_file(relative + "/" if is_folder else relative).include
            if said is not None:
                return said
        return False


def ignore_files_in(folder: str, entries: Iterable[FolderEntry]) -> list[str]:
    """Return the paths of the ignore files among *entries*, which are those of *folder*, in order."""
    there = {entry.path for entry in entries}
    paths = (f"{folder}/{name}" if folder else name for name in IGNORE_FILES)
    return [path for path in paths if path in there]


@attrs.define(eq=False)
class WorkspaceView:
    """The files that tools read. Writes planned by a dry run are visible as if they were done."""

    workspace: Workspace
    limits: ToolLimits
    redact: Callable[[str], str]
    """Replaces known secrets. Text passes through it before it is cut or split into lines."""
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
        on_disk = [c for c in contents if c.path not in self.planned and self.redact(c.path) == c.path]
        return tuple(FileRead(c.path, c.sha256) for c in on_disk)

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
            raise ToolError(f"there is no folder {quoted(folder)}; list_files shows what there is")
        together = {entry.path: entry for entry in found or ()} | planned
        return [together[path] for path in sorted(together)]

    def walk(self, folder: str, depth: int) -> Iterator[tuple[FolderEntry, bool]]:
        """Yield the entries of *folder*, down to *depth* levels, parents first, and whether each is ignored.

        The content of an ignored folder is not yielded.
        """
        where = self.workspace.locate(folder)
        names = where.split("/") if where else []
        rules = Ignores()
        for count in range(len(names)):
            above = "/".join(names[:count])
            rules = self._rules(above, rules, [f"{above}/{name}" if above else name for name in IGNORE_FILES])
        yield from self._walk(where, depth, rules)

    def _walk(self, folder: str, depth: int, rules: Ignores) -> Iterator[tuple[FolderEntry, bool]]:
        entries = self.entries(folder)
        rules = self._rules(folder, rules, ignore_files_in(folder, entries))
        hidden = rules.hidden(entries)
        for entry in entries:
            ignored = entry.path in hidden
            yield entry, ignored
            if entry.kind == "folder" and depth > 1 and not ignored:
                try:
                    yield from self._walk(entry.path, depth - 1, rules)
                except ToolError:  # deleted or not readable: the rest is still useful
                    continue

    def _rules(self, folder: str, above: Ignores, files: Iterable[str]) -> Ignores:
        texts = []
        for path in files:
            try:
                content = self.look(path)
            except ToolError:
                continue
            if content is not None and len(content.data) <= MOST_BYTES:
                texts.append(content.data.decode("utf-8", "replace"))
        return above.below(folder, texts)

    def _planned_in(self, folder: str) -> Iterator[FolderEntry]:
        start = f"{folder}/" if folder else ""
        for path, data in self.planned.items():
            if path.startswith(start):
                name, deeper, _ = path[len(start) :].partition("/")
                yield FolderEntry(start + name, "folder" if deeper else "file", 0 if deeper else len(data))
