"""Keeping house among the runs of a workspace: which goes on, and which may go.

Removing is done below open folders, name by name: a link is removed and never followed, also one that is put
in a folder's place meanwhile, and what another file system or another user has there is left.
"""

import errno
import fcntl
import os
import stat
import time
from contextlib import suppress
from pathlib import Path

import attrs

from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.folders import open_file, open_folder
from sunwell.journal.layout import FILE, PAGE, RunFile, opened_runs, runs_in

_GONE = ".gone-"
_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_DEEPEST = 64  # a run has one folder in its own


def is_running(run: RunFile, *, runs: int | None = None) -> bool:
    """Whether some process has the run's journal open for writing at this moment.

    *runs* is the open folder of runs, if there is one already.
    """
    try:
        folder = open_folder(run.path.parent, above=runs)
        try:
            lock = _open_lock(run, folder)
        finally:
            os.close(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise JournalError(f"the lock of run {run.run_id} cannot be read: {error.strerror}") from error
    if lock is None:
        return False
    try:
        return not _taken(lock)
    finally:
        os.close(lock)


@attrs.frozen
class LeftRun:
    """A run that could not be removed."""

    run: RunFile
    reason: str


@attrs.frozen
class Pruned:
    """What pruning did, or would do."""

    removed: tuple[RunFile, ...] = ()
    running: tuple[RunFile, ...] = ()
    """Would have gone, and are left because a process has them."""
    freed_bytes: int = 0
    left: tuple[LeftRun, ...] = ()
    """Would have gone, and could not be removed."""


def prune(
    root: Path, *, older_than_seconds: float | None = None, keep: int | None = None, dry_run: bool = False
) -> Pruned:
    """Remove runs under the workspace *root*, with their originals: after that they cannot be undone.

    The page of all runs is removed as well, since it tells of them.

    A run goes where it was last written to more than *older_than_seconds* ago, and is not among the
    newest *keep*. A run that a process has is never removed, and one that cannot be removed does not keep the
    others. A *dry_run* says what would go. Raises :exc:`~sunwell.errors.ConfigurationError` where neither is
    given, and :exc:`~sunwell.errors.JournalError` if the folder of runs is a link or another user's.
    """
    if older_than_seconds is None and keep is None:
        raise ConfigurationError("say which runs may go: --older-than, --keep or both")
    removed: list[RunFile] = []
    running: list[RunFile] = []
    left: list[LeftRun] = []
    freed = 0
    with opened_runs(root) as folder:
        if folder is None:
            return Pruned()
        runs = runs_in(root, folder)
        may_go = runs[: len(runs) - min(keep, len(runs))] if keep is not None else runs
        oldest_kept = time.time() - (older_than_seconds or 0.0)
        if not dry_run:
            _sweep(folder)
        for run in may_go:
            try:
                if older_than_seconds is not None and _written_at(run, folder) > oldest_kept:
                    continue
                size = _Removal(folder, is_wanted=not dry_run).of(run)
            except (OSError, JournalError) as error:
                left.append(LeftRun(run, str(getattr(error, "strerror", None) or error)))
                continue
            if size is None:
                running.append(run)
                continue
            removed.append(run)
            freed += size
        if removed and not dry_run:
            with suppress(OSError):  # the page of all runs tells of those that are gone
                os.unlink(PAGE, dir_fd=folder)
    return Pruned(tuple(removed), tuple(running), freed, tuple(left))


def _written_at(run: RunFile, runs: int) -> float:
    folder = open_folder(run.path.parent, above=runs)
    try:
        return os.stat(FILE, dir_fd=folder, follow_symlinks=False).st_mtime
    finally:
        os.close(folder)


@attrs.frozen
class _Removal:
    """Removes a run, or looks at all that would be removed."""

    runs: int
    """The open folder of runs."""
    is_wanted: bool

    def of(self, run: RunFile) -> int | None:
        """Remove *run* and return how many bytes that frees; ``None`` if a process has it."""
        folder = open_folder(run.path.parent, above=self.runs)
        try:
            lock = _open_lock(run, folder)
            try:
                if lock is not None and not _taken(lock):
                    return None
                size = _emptied(folder, is_wanted=False)  # what must stay is found before anything goes
                if self.is_wanted:
                    gone = f"{_GONE}{run.run_id}"
                    # At once or not at all: half a run would be listed as damaged.
                    os.rename(run.run_id, gone, src_dir_fd=self.runs, dst_dir_fd=self.runs)
                    # What was looked at is emptied, not what may bear its name by now.
                    _emptied(folder, is_wanted=True)
                    os.rmdir(gone, dir_fd=self.runs)
                return size
            finally:
                if lock is not None:
                    os.close(lock)
        finally:
            os.close(folder)


def _emptied(folder: int, *, is_wanted: bool, depth: int = 0) -> int:
    """Return the size of all files in *folder* and, if that is wanted, remove all that is in it."""
    if depth > _DEEPEST:
        raise JournalError(f"it has folders within folders, more than {_DEEPEST} levels: remove it yourself")
    size = 0
    with os.scandir(folder) as entries:
        found = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in entries]
    for name, is_folder in found:
        if is_folder:
            below = _opened_below(folder, name)
            try:
                size += _emptied(below, is_wanted=is_wanted, depth=depth + 1)
            finally:
                os.close(below)
            if is_wanted:
                os.rmdir(name, dir_fd=folder)
            continue
        status = os.stat(name, dir_fd=folder, follow_symlinks=False)
        size += status.st_size if stat.S_ISREG(status.st_mode) and status.st_nlink == 1 else 0
        if is_wanted:
            os.unlink(name, dir_fd=folder)
    return size


def _opened_below(folder: int, name: str) -> int:
    """Open the folder *name* in *folder*, which must be ours and of the same mount."""
    below = os.open(name, _STEP, dir_fd=folder)
    if os.fstat(below).st_uid != os.geteuid() or _mount_of(below) != _mount_of(folder):
        os.close(below)
        raise JournalError(f"the folder {name} in it is another user's or a mount: remove it yourself")
    return below


def _mount_of(folder: int) -> tuple[int, str]:
    """Return what tells the mount of *folder* from others; a bind mount has the same device number."""
    number = ""
    try:
        said = Path(f"/proc/self/fdinfo/{folder}").read_text("ascii")
        number = next((line for line in said.splitlines() if line.startswith("mnt_id:")), "")
    except OSError:  # only Linux has it
        pass
    return os.fstat(folder).st_dev, number


def _remove(runs: int, name: str) -> None:
    try:
        folder = _opened_below(runs, name)
    except OSError as error:
        if error.errno not in (errno.ELOOP, errno.ENOTDIR):
            raise
        os.unlink(name, dir_fd=runs)  # a link, put there meanwhile
        return
    try:
        _emptied(folder, is_wanted=True)
    finally:
        os.close(folder)
    os.rmdir(name, dir_fd=runs)


def _sweep(runs: int) -> None:
    """Finish what an earlier pruning began."""
    for name in os.listdir(runs):
        if name.startswith(_GONE):
            try:
                _remove(runs, name)
            except (OSError, JournalError):  # it is listed nowhere, and does not keep the others
                continue


def _open_lock(run: RunFile, folder: int) -> int | None:
    try:
        return open_file(run.path.with_suffix(".lock"), folder=folder)
    except FileNotFoundError:
        return None


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
