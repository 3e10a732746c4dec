"""Where the journals of a workspace are, and what the runs in them are called."""

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import attrs

from sunwell.errors import JournalError
from sunwell.journal.folders import FOLDER, open_folder

FILE = "journal.jsonl"
PAGE = "report.html"
"""The page of a run beside its journal, and that of all runs beside their folders."""
_LAST = "last"

_RUN_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]{0,127}\Z")


@attrs.frozen
class RunFile:
    """A run that has a journal."""

    run_id: str
    path: Path
    """The journal's file."""


def new_run_id() -> str:
    """Return a new UUID of version 7: ids sort by the time at which they were made."""
    if sys.version_info >= (3, 14):
        from uuid import uuid7

        return str(uuid7())
    import uuid_utils

    return str(uuid_utils.uuid7())


def journal_path(root: Path, run_id: str) -> Path:
    """Return where the journal of *run_id* is under the workspace *root*, whether it exists or not.

    Raises :exc:`~sunwell.errors.JournalError` for an id that could not be a folder's name.
    """
    if not _RUN_ID.match(run_id):
        raise JournalError(f"{run_id!r} is not a run id: use letters, digits, dots, dashes and underscores")
    return Path(f"{root}/{FOLDER}/runs/{run_id}/{FILE}")


def list_runs(root: Path) -> tuple[RunFile, ...]:
    """Return the runs that have a journal under the workspace *root*, in the order of their ids.

    What stands in a journal's place and is no file is listed, too, and so is a link in place of a run's
    folder: whoever reads it says what it is. Raises :exc:`~sunwell.errors.JournalError` if ``.sunwell`` or
    the folder of runs is a link, no folder, or another user's.
    """
    with opened_runs(root) as folder:
        return () if folder is None else runs_in(root, folder)


@contextmanager
def opened_runs(root: Path) -> Iterator[int | None]:
    """Open the folder of runs under the workspace *root*; ``None`` if there is none.

    Raises as :func:`list_runs` does.
    """
    runs = root / FOLDER / "runs"
    try:
        folder = open_folder(runs)
    except FileNotFoundError:
        yield None
        return
    except OSError as error:
        raise JournalError(f"the runs in {runs} cannot be listed: {error.strerror}") from error
    try:
        yield folder
    finally:
        os.close(folder)


def runs_in(root: Path, folder: int) -> tuple[RunFile, ...]:
    """Return the runs in the open *folder* of runs under the workspace *root*."""
    runs = root / FOLDER / "runs"
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if _is_run(folder, entry))
    return tuple(RunFile(name, runs / name / FILE) for name in names)


def _is_run(folder: int, entry: "os.DirEntry[str]") -> bool:
    if not _RUN_ID.match(entry.name):
        return False
    if entry.is_symlink():
        return True
    try:
        os.stat(f"{entry.name}/{FILE}", dir_fd=folder, follow_symlinks=False)
    except OSError:
        return False
    return True


def find_run(root: Path, prefix: str) -> RunFile:
    """Return the run under the workspace *root* whose id is *prefix* or alone begins with it.

    ``last`` is the newest run, unless an id begins like that. Raises :exc:`~sunwell.errors.JournalError`
    where no run or more than one fits.
    """
    known = list_runs(root)
    runs = [run for run in known if run.run_id.startswith(prefix)]
    if prefix == _LAST and known and not runs:
        return known[-1]  # ids sort by time
    exact = [run for run in runs if run.run_id == prefix]
    if len(exact or runs) == 1:
        return (exact or runs)[0]
    if prefix == _LAST and not known:
        raise JournalError(f"there is no run under {root / FOLDER} yet")
    if not runs:
        raise JournalError(f"no run under {root / FOLDER} begins with {prefix!r}")
    shown = ", ".join(run.run_id for run in runs[:3]) + (", …" if len(runs) > 3 else "")
    raise JournalError(f"{len(runs)} runs begin with {prefix!r} ({shown}): give more of the id")


def is_run_id(text: str) -> bool:
    """Whether *text* can be the id of a run: it is shown in commands to copy, and names a folder."""
    return _RUN_ID.match(text) is not None
