"""Making the folders of a run: private to the user, and invisible to git."""

import os
from pathlib import Path

from sunwell.errors import JournalError
from sunwell.journal.disk import as_journal_error, sync_folder
from sunwell.journal.layout import FOLDER


def make_folders(root: Path, folder: Path) -> None:
    """Make *folder*, which is below ``.sunwell`` of the workspace *root*, durably.

    ``.sunwell`` gets mode 0700 and a ``.gitignore`` that hides all in it. A link in place of a folder is
    refused: in a workspace from elsewhere it could lead anywhere.
    """
    top = root / FOLDER
    with as_journal_error(top, "kept there"):
        for parent in reversed((folder, *folder.parents)):
            if parent != top and top not in parent.parents:
                continue
            if parent.is_symlink():
                raise JournalError(f"{parent} is a link, which journals do not follow: make it a folder")
            if not parent.is_dir():
                parent.mkdir(mode=0o700)
                sync_folder(parent.parent)
        if top.stat().st_mode & 0o077:
            top.chmod(0o700)
        _hide_from_git(top)


def _hide_from_git(top: Path) -> None:
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        file = os.open(top / ".gitignore", flags, 0o600)
    except FileExistsError:
        return
    try:
        os.write(file, b"*\n")
    finally:
        os.close(file)
