"""Calls of a run that changed, or may have changed, something of which no original was kept."""

from collections import Counter
from collections.abc import Collection
from pathlib import Path

import attrs

from sunwell.core.message import FileChange
from sunwell.errors import JournalError, ToolError
from sunwell.journal.reading import read_records
from sunwell.journal.records import Forked, ToolFinished, ToolStarted
from sunwell.tools.paths import quoted
from sunwell.tools.wording import counted, refusal_of
from sunwell.tools.workspace import Workspace


@attrs.frozen
class Uncovered:
    """Calls to one tool of whose effects no original was kept."""

    tool: str
    calls: int
    paths: tuple[str, ...] = ()
    """Files that they are known to have changed; they may have changed others."""

    def __str__(self) -> str:
        files = f", which changed {', '.join(quoted(path) for path in self.paths)}" if self.paths else ""
        return f"{counted(self.calls, 'call')} of {self.tool}{files}"


def uncovered_calls(
    journal: Path, workspace: Workspace, kept: Collection[tuple[str, str | None]]
) -> tuple[tuple[Uncovered, ...], str]:
    """Return, by tool, the calls in *journal* that nothing in *kept* covers, and why nobody can say them.

    *kept* has each path, from the root of *workspace*, with the hash that a call left there. A call is
    covered if all files that it changed are, and if it is repeatable or said beforehand what it changes.
    Without a journal there are none. One that cannot be read gives the reason.
    """
    if not journal.is_file():
        return (), ""
    try:
        records = list(read_records(journal))
    except JournalError as error:
        return (), str(error)
    copied = [number for number, record in enumerate(records) if isinstance(record, Forked)]
    records = records[copied[-1] + 1 :] if copied else records  # before that, another run worked
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
    except ToolError:  # outside of the workspace, or closed
        return None
