"""The files that a run changed: what of several changes they come to, and by whom."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from sunwell.core.message import FileChange
from sunwell.errors import ToolError
from sunwell.report.page.page_data import FileEntry, PageText, TextId
from sunwell.report.page.page_texts import DIFFS_BYTES, PageTexts
from sunwell.report.worker_entries import file_object
from sunwell.tools.originals import work_diff
from sunwell.tools.workspace import Workspace

DiffOf = Callable[[FileChange], str]
"""Gives what a change comes to as text, for example as a diff; empty: it cannot be shown."""


_DIFF_CHARACTERS = 20_000


def diffs_in(workspace: Workspace, originals: Path | None, redact: Callable[[str], str]) -> DiffOf:
    """Return what shows changes of files of *workspace*; *originals* has their contents before.

    A file that is no longer as the run left it is not shown. *redact* replaces known secrets.
    """

    def diff_of(change: FileChange) -> str:
        try:
            if change.after is not None and workspace.sha256(change.path) != change.after:
                return ""
        except ToolError:  # outside the workspace, or closed to tools
            return ""
        return work_diff([change], workspace, originals, redact, _DIFF_CHARACTERS)

    return diff_of


@attrs.define
class _ChangedPath:
    before: str | None
    after: str | None
    by: dict[str, None]


@attrs.define(eq=False)
class FileViews:
    """Takes the changes of files in order."""

    diff_of: DiffOf | None = None
    """``None``: no change is shown."""
    _files: dict[str, _ChangedPath] = attrs.field(factory=dict, init=False)
    _diffs: dict[str, str] = attrs.field(factory=dict, init=False)

    def take(self, span: str, changes: Iterable[FileChange]) -> None:
        """Take note of what a tool of *span* changed."""
        for change in changes:
            known = self._files.setdefault(change.path, _ChangedPath(change.before, change.after, {}))
            known.after = change.after
            known.by[span] = None
            self._diffs.pop(change.path, None)

    @property
    def has_any(self) -> bool:
        """Whether any file was changed, also if it is again as it was."""
        return bool(self._files)

    def entries(
        self, conflicts: Mapping[str, Mapping[TextId, None]]
    ) -> tuple[dict[str, FileEntry], Mapping[TextId, PageText]]:
        """Return the files that differ from what they were, and the texts of their diffs.

        *conflicts* are by path. What a change came to before another one followed is in neither.
        """
        texts, found = PageTexts(DIFFS_BYTES), {}
        for path, file in self._files.items():
            change = FileChange(path, file.before, file.after)
            if change.before != change.after:
                diff = texts.add(self._diff(change))
                kind = file_object(change)["change"]
                found[path] = FileEntry(kind, tuple(file.by), diff, tuple(conflicts.get(path, ())))
        return found, texts.shown

    def _diff(self, change: FileChange) -> str:
        if self.diff_of is None:
            return ""
        if change.path not in self._diffs:
            self._diffs[change.path] = self.diff_of(change)
        return self._diffs[change.path]
