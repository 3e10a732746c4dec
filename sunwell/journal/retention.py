"""Keeping house among the runs of a workspace: which goes on, and which may go."""

import fcntl
import os
import shutil
import time
from pathlib import Path

import attrs

from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.layout import FOLDER, RunFile, list_runs

_GONE = ".gone-"


def is_running(run: RunFile) -> bool:
    """Whether some process has the run's journal open for writing at this moment."""
    lock = _open_lock(run)
    if lock is None:
        return False
    try:
        return not _taken(lock)
    finally:
        os.close(lock)


@attrs.frozen
class Pruned:
    """What pruning did, or would do."""

    removed: tuple[RunFile, ...] = ()
    running: tuple[RunFile, ...] = ()
    """Would have gone, and are left because a process has them."""
    freed_bytes: int = 0


def prune(
    root: Path, *, older_than_seconds: float | None = None, keep: int | None = None, dry_run: bool = False
) -> Pruned:
    """Remove runs under the workspace *root*, with their originals: after that they cannot be undone.

    A run goes where it was last written to more than *older_than_seconds* ago, and is not among the
    newest *keep*. A run that a process has is never removed. A *dry_run* says what would go.
    Raises :exc:`~sunwell.errors.ConfigurationError` where neither is given, and
    :exc:`~sunwell.errors.JournalError` where a folder cannot be removed.
    """
    if older_than_seconds is None and keep is None:
        raise ConfigurationError("say which runs may go: --older-than, --keep or both")
    runs = list_runs(root)
    may_go = runs[: len(runs) - min(keep, len(runs))] if keep is not None else runs
    oldest_kept = time.time() - (older_than_seconds or 0.0)
    removed: list[RunFile] = []
    running: list[RunFile] = []
    freed = 0
    for run in may_go:
        if older_than_seconds is not None and run.path.lstat().st_mtime > oldest_kept:
            continue
        size = sum(file.stat().st_size for file in run.path.parent.rglob("*") if file.is_file())
        if is_running(run) if dry_run else not _removed(run):
            running.append(run)
            continue
        removed.append(run)
        freed += size
    if not dry_run:
        _sweep(root)
    return Pruned(tuple(removed), tuple(running), freed)


def _removed(run: RunFile) -> bool:
    """Remove the folder of *run* unless a process has it; it is held meanwhile."""
    lock = _open_lock(run)
    try:
        if lock is not None and not _taken(lock):
            return False
        gone = run.path.parent.with_name(f"{_GONE}{run.run_id}")
        try:
            run.path.parent.rename(gone)  # at once or not at all: half a run would be listed as damaged
            shutil.rmtree(gone)
        except OSError as error:
            raise JournalError(f"the run {run.run_id} cannot be removed: {error.strerror}") from error
    finally:
        if lock is not None:
            os.close(lock)
    return True


def _sweep(root: Path) -> None:
    """Finish what an earlier pruning began."""
    for left in (root / FOLDER / "runs").glob(f"{_GONE}*"):
        shutil.rmtree(left, ignore_errors=True)


def _open_lock(run: RunFile) -> int | None:
    try:
        return os.open(run.path.with_suffix(".lock"), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise JournalError(f"the lock of run {run.run_id} cannot be read: {error.strerror}") from error


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
