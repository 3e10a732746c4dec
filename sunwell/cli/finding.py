"""Finding a run by its id, or the beginning of it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.layout import RunFile, find_run
from sunwell.journal.reading import read_records


def require_folder(workspace: Path) -> Path:
    """Return *workspace*, or raise :exc:`~sunwell.errors.ConfigurationError` where it is no folder."""
    if not workspace.is_dir():
        raise ConfigurationError(f"the workspace {workspace} is no folder: name an existing one")
    return workspace


def run_in(workspace: Path, run_id: str) -> RunFile:
    """Return the run under *workspace* that *run_id* means, or raise a sentence of the house."""
    return find_run(require_folder(workspace), run_id)


def settings_of_run(workspace: Path, run_id: str) -> Mapping[str, Any]:
    """Return the settings with which a run was left."""
    from sunwell.agent.lifecycle.run_settings import latest_settings

    found = run_in(workspace, run_id)
    settings = latest_settings(read_records(found.path))
    if not settings:
        raise JournalError(f"{found.path} does not say how the run was begun: it cannot be taken up")
    return settings


def has_finished(workspace: Path, run_id: str) -> bool:
    """Return whether a run came to its proper end, so that nobody is asked when it is taken up."""
    from sunwell.agent.conversation.execution import came_to_its_end

    return came_to_its_end(read_records(run_in(workspace, run_id).path))
