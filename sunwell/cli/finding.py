"""Finding a run by its id, or the beginning of it."""

from pathlib import Path

from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.layout import RunFile, find_run
from sunwell.journal.reading import read_records
from sunwell.journal.records import RunOpened


def require_folder(workspace: Path) -> Path:
    """Return *workspace*, or raise :exc:`~sunwell.errors.ConfigurationError` where it is no folder."""
    if not workspace.is_dir():
        raise ConfigurationError(f"the workspace {workspace} is no folder: name an existing one")
    return workspace


def run_in(workspace: Path, run_id: str) -> RunFile:
    """Return the run under *workspace* that *run_id* means, or raise a sentence of the house."""
    return find_run(require_folder(workspace), run_id)


def opened_record(workspace: Path, run_id: str) -> RunOpened:
    """Return the first record of a run."""
    found = run_in(workspace, run_id)
    for record in read_records(found.path):
        if isinstance(record, RunOpened):
            return record
        break
    raise JournalError(f"{found.path} does not begin with a run: it cannot be taken up")
