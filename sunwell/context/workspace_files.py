"""Which files of a workspace a model may be shown."""

from collections import deque

from sunwell.errors import ToolError
from sunwell.tools.ignore_rules import Ignores, ignores_above
from sunwell.tools.protected import KEY_ENDINGS
from sunwell.tools.workspace import FolderEntry, Workspace
from sunwell.tools.workspace_view import rules_in

_DEEPEST = 50
_MOST_IN_FOLDER = 20_000
MOST_ENTRIES = 10_000
"""Limit of files and folders that are listed; of a larger workspace, only the upper levels."""

_BUILT_FOLDERS = frozenset(
    {".venv", "node_modules", "__pycache__", ".tox", ".nox", ".mypy_cache"}
    | {".pytest_cache", ".ruff_cache", ".hypothesis"}
)


def list_files(
    workspace: Workspace, most_entries: int = MOST_ENTRIES, *, below: str = ""
) -> tuple[list[FolderEntry], bool]:
    """Return the files that may be shown, upper levels first, and whether these are all.

    With *below*, a folder without links on the way, only those in it.

    Ignore files are respected; links are neither followed nor listed. Paths that are closed to tools, files
    that may hold keys, and build folders are always left out. Unreadable files are skipped. Of a folder with
    more than 20,000 entries only so many are looked at, and nothing below 50 levels.
    """
    files: list[FolderEntry] = []
    seen = 0
    is_cut = False
    waiting = deque([(below, _rules_above(workspace, below))])
    while waiting:
        folder, above = waiting.popleft()
        entries, has_more = _entries(workspace, folder)
        is_cut = is_cut or has_more
        rules = rules_in(workspace, folder, above, entries)
        left, seen = most_entries - seen, seen + len(entries)
        shown = [entry for entry in entries[:left] if not _is_kept_back(entry)]
        hidden = rules.hidden(shown)
        for entry in shown:
            if entry.path in hidden:
                continue
            if entry.kind == "folder":
                if entry.path.count("/") < _DEEPEST:
                    waiting.append((entry.path, rules.inside(entry.path)))
                else:
                    is_cut = True
            elif entry.kind == "file":
                files.append(entry)
        if seen > most_entries:
            return files, False
    return files, not is_cut


def _rules_above(workspace: Workspace, folder: str) -> Ignores:
    """Return the rules that hold in *folder* by what is above it."""
    above, parent = ignores_above(workspace.root), ""
    for name in folder.split("/") if folder else ():
        above = rules_in(workspace, parent, above)
        parent = f"{parent}/{name}" if parent else name
        above = above.inside(parent)
    return above


def _entries(workspace: Workspace, folder: str) -> tuple[list[FolderEntry], bool]:
    try:
        entries, has_more = workspace.first_entries(folder, _MOST_IN_FOLDER)
    except ToolError:  # deleted or not readable: the rest is still useful
        return [], False
    return entries or [], has_more


def _is_kept_back(entry: FolderEntry) -> bool:
    name = entry.path.rpartition("/")[2].casefold()
    return name in _BUILT_FOLDERS if entry.kind == "folder" else name.endswith(KEY_ENDINGS)
