"""Whether the user's folder for state is theirs alone: what others can change there is not used."""

import os
import stat
from pathlib import Path

_OTHERS_WRITE = stat.S_IWOTH


def state_doubt(folder: Path) -> str:
    """Return why what is in the state folder *folder* cannot be used; ``""`` if it can, or is not there yet.

    It is a clause that begins with the folder. A link to a folder is followed: the user's own folders may be
    kept elsewhere. Groups are not looked at: on many systems each user is the only member of theirs.
    """
    try:
        status = folder.stat()
    except FileNotFoundError:
        return f"{folder} is a link that leads nowhere" if folder.is_symlink() else ""
    except OSError as error:
        return f"{folder} cannot be looked at ({error.strerror})"
    if not stat.S_ISDIR(status.st_mode):
        return f"{folder} is not a folder"
    if status.st_uid != os.geteuid():
        return f"{folder} belongs to another user (number {status.st_uid})"
    if status.st_mode & _OTHERS_WRITE:
        return f"{folder} can be written by every user (chmod go-w makes it yours alone)"
    return ""


def file_doubt(status: os.stat_result) -> str:
    """Return why a file of state with *status* cannot be used; ``""`` if it can be.

    It is a clause that follows the name. *status* is that of the name itself, or of the descriptor that was
    opened without following a link.
    """
    if stat.S_ISLNK(status.st_mode):
        return "is a link"
    if not stat.S_ISREG(status.st_mode):
        return "is not a file"
    if status.st_uid != os.geteuid():
        return f"belongs to another user (number {status.st_uid})"
    if status.st_mode & _OTHERS_WRITE:
        return "can be written by every user (chmod go-w makes it yours alone)"
    return ""
