"""Walks through folders by descriptors: no link leads out of the tree, whatever is swapped meanwhile."""

import os
import stat
from collections import deque
from collections.abc import Iterator
from pathlib import Path

from sunwell.tools.protected import MADE_FOLDERS

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
"""How a folder is opened that must not be a link."""
TOP = FOLDER & ~os.O_NOFOLLOW
"""How the upper folder is opened, whose name is the caller's."""


def walk(
    root: Path, most_entries: int | None = None, *, opens_all: bool = False
) -> Iterator[tuple[str, str, list["os.DirEntry[str]"], int]]:
    """Yield each folder below *root*, upper ones first: its path, its name, its entries, its descriptor.

    No link is followed, whatever is swapped meanwhile. The caller may take names out of the entries: folders
    that are left are entered, except what package managers fill. With *opens_all*, folders of this user that
    cannot be looked into are opened to their owner first. With *most_entries*, it ends after so many.
    """
    try:
        top = os.open(root, TOP)
    except OSError:
        if not opens_all:
            return
        root.chmod(stat.S_IMODE(root.stat().st_mode) | stat.S_IRWXU)
        top = os.open(root, TOP)
    waiting = deque([""])
    seen = 0
    try:
        while waiting and (most_entries is None or seen < most_entries):
            path = waiting.popleft()
            try:
                folder = open_below(top, path, opens_all=opens_all)
            except OSError:  # gone, a link by now, or not readable
                continue
            try:
                with os.scandir(folder) as items:
                    entries = list(items)
                seen += len(entries)
                yield path, path.rpartition("/")[2] or root.name, entries, folder
                for entry in entries:
                    if entry.name not in MADE_FOLDERS and entry.is_dir(follow_symlinks=False):
                        waiting.append(f"{path}/{entry.name}" if path else entry.name)
            except OSError:
                continue
            finally:
                os.close(folder)
    finally:
        os.close(top)


def open_below(top: int, path: str, *, opens_all: bool = False) -> int:
    """Return a descriptor of the folder *path* below the open folder *top*, reached without any link.

    With *opens_all*, folders of this user on the way are opened to their owner if they are not.
    """
    here = os.dup(top)
    try:
        for name in path.split("/") if path else ():
            try:
                below = os.open(name, FOLDER, dir_fd=here)
            except PermissionError:
                if not opens_all:
                    raise
                give_owner_rights(here, name)
                below = os.open(name, FOLDER, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def give_owner_rights(folder: int, name: str) -> None:
    """Let this user read, write and enter the folder *name* in the open *folder*, if it is theirs."""
    held = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        mode = stat.S_IMODE(os.fstat(held).st_mode)
        os.chmod(f"/proc/self/fd/{held}", mode | stat.S_IRWXU)  # noqa: PTH101 - the opened folder itself
    finally:
        os.close(held)
