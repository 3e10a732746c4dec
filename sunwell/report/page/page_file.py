"""Writes a page to a file: whole or not at all, for its owner alone, and over nothing but an earlier page."""

import os
import stat
from contextlib import suppress
from pathlib import Path

from sunwell.errors import ConfigurationError
from sunwell.journal.folders import FOLDER, open_folder
from sunwell.journal.layout import PAGE, RunFile

MARK = b'<meta name="generator" content="Sunwell report '
"""Stands near the beginning of each page, and of no other file."""
_LOOKED_AT_BYTES = 8192
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_LOOK = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def page_place(run: RunFile) -> Path:
    """Return where the page of *run* is kept: beside its journal, so that it goes when the run is pruned."""
    return run.path.with_name(PAGE)


def overview_place(root: Path) -> Path:
    """Return where the page of all runs under the workspace *root* is kept; pruning any run removes it."""
    return root / FOLDER / "runs" / PAGE


def write_page(path: Path, page: str, *, force: bool = False) -> None:
    """Write *page* to the file *path*, with mode 0600, in a folder that exists.

    It replaces an earlier page, and with *force* any file. A link is never followed: it is refused, or
    replaced.

    Raises :exc:`~sunwell.errors.ConfigurationError` for what is not replaced, and for a folder that is not
    there; :exc:`~sunwell.errors.JournalError` if ``.sunwell`` is a link or another user's; and OSError.
    """
    try:
        folder = open_folder(path.parent)
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigurationError(f"{path.parent} is not a folder: name an existing one") from None
    fresh = f".sunwell-{os.urandom(8).hex()}.tmp"
    try:
        is_new = not _is_to_be_replaced(folder, path, force)
        try:
            with os.fdopen(os.open(fresh, _NEW, 0o600, dir_fd=folder), "wb") as file:
                file.write(page.encode("utf-8"))
            if is_new:
                _name(folder, fresh, path)
            else:
                os.rename(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(fresh, dir_fd=folder)
    finally:
        os.close(folder)


def _name(folder: int, fresh: str, path: Path) -> None:
    """Give the new file its name, unless somebody else has taken it meanwhile."""
    try:
        os.link(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise ConfigurationError(_refusal(path, "was made by somebody else meanwhile")) from None
    except OSError:  # some file systems know no second name
        os.rename(fresh, path.name, src_dir_fd=folder, dst_dir_fd=folder)


def _is_to_be_replaced(folder: int, path: Path, force: bool) -> bool:
    """Return whether there is something that may be replaced; raise if it may not."""
    if path.name in ("", ".."):
        raise ConfigurationError(f"{path} is a folder: name a file in it")
    try:
        kind = os.stat(path.name, dir_fd=folder, follow_symlinks=False).st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISDIR(kind):
        raise ConfigurationError(f"{path} is a folder: name a file in it")
    if force:
        return True
    if stat.S_ISLNK(kind):
        raise ConfigurationError(_refusal(path, "is a link"))
    if not (stat.S_ISREG(kind) and _is_page(folder, path.name)):
        raise ConfigurationError(_refusal(path, "is not a report of Sunwell's"))
    return True


def _refusal(path: Path, reason: str) -> str:
    return f"{path} {reason}: name another file, or replace it with --force"


def _is_page(folder: int, name: str) -> bool:
    file = os.open(name, _LOOK, dir_fd=folder)
    try:
        return MARK in os.read(file, _LOOKED_AT_BYTES)
    finally:
        os.close(file)
