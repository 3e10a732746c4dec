"""Where journals are kept: the seam between a run and what holds its record."""

from pathlib import Path
from typing import Protocol

import attrs

from sunwell.journal.disk import as_journal_error
from sunwell.journal.file import FileJournal
from sunwell.journal.folders import FOLDER, require_folders
from sunwell.journal.memory import ReplayedJournal
from sunwell.journal.ownership import find_own_run
from sunwell.journal.protocol import Journal


class Journals(Protocol):
    """Makes and finds the journals of a workspace."""

    def create(self, workspace: Path, run_id: str) -> Journal:
        """Begin the journal of a new run."""
        ...

    def open(self, workspace: Path, run_id: str) -> Journal:
        """Take up the journal of the run whose id is or begins with *run_id*."""
        ...

    def read(self, workspace: Path, run_id: str) -> Journal:
        """Return that journal as it is now, without holding it; what is appended stays in memory."""
        ...


@attrs.frozen
class JournalFiles:
    """Keeps each journal in a file under ``.sunwell/runs`` of its workspace.

    A run that somebody else prepared there is neither opened nor read, unless the user has adopted it.
    """

    def create(self, workspace: Path, run_id: str) -> Journal:
        """Begin ``journal.jsonl`` of a new run; see :meth:`FileJournal.create`."""
        return FileJournal.create(workspace, run_id)

    def open(self, workspace: Path, run_id: str) -> Journal:
        """Open the one run that *run_id* names; see :meth:`FileJournal.open`."""
        found = find_own_run(workspace, run_id)
        with as_journal_error(workspace / FOLDER, "taken up"):
            require_folders(workspace)
        return FileJournal.open(found.path)

    def read(self, workspace: Path, run_id: str) -> Journal:
        """Read the one run that *run_id* names; see :meth:`ReplayedJournal.read`."""
        return ReplayedJournal.read(find_own_run(workspace, run_id).path)
