"""Files that a person names for a prompt: read by the table of protected files, as a tool reads them."""

import os
import stat
from os import PathLike
from pathlib import Path

from sunwell.errors import ConfigurationError
from sunwell.tools.guarded_files import LinkedKinds, guarded_in
from sunwell.tools.protected import kind_of_path, secret_in
from sunwell.tools.user_files import why_secret_of_user

_PRIVATE = ("secret", "repository")
_MOST_ENTRIES = 20_000
"""Files and folders that are looked through in the home folder, or above it, for other names of a file."""
_NOWHERE = Path(os.devnull)
_TOPS = (".git", ".sunwell")
"""What the upper folder of a project has."""


def read_given(file: str | PathLike[str], what: str, most_bytes: int, *, otherwise: str = "") -> bytes:
    """Return the first *most_bytes* of *file*, and one more if it is longer.

    *what* begins the sentence if it is refused, and *otherwise* says at its end how the user can do it
    nevertheless. Raises :exc:`OSError`, and :exc:`~sunwell.errors.ConfigurationError` for a file that no tool
    reads: by its name or one that a link leads to, its content, or another of its names (hard links) in the
    project or the home folder.
    """
    with Path(file).open("rb") as opened:
        data = opened.read(most_bytes + 1)
        status = os.fstat(opened.fileno())
    require_given(file, what, data, status, otherwise=otherwise)
    return data


def require_given(
    file: str | PathLike[str], what: str, data: bytes, status: os.stat_result, *, otherwise: str = ""
) -> None:
    """Refuse the opened *file* as :func:`read_given` does; *data* is its beginning, *status* its own."""
    real = Path(os.path.realpath(file))
    if stat.S_ISREG(status.st_mode) and not _is_same(real, status):
        raise ConfigurationError(f"{what} {file} was replaced while it was read: try again")
    if why := _why_private(real, data, status):
        raise ConfigurationError(
            f"{what} {file} would be sent to a model, and it is {why}: name another one{otherwise}"
        )


def _is_same(real: Path, status: os.stat_result) -> bool:
    try:
        named = real.lstat()
    except OSError:
        return False
    return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)


def _why_private(real: Path, data: bytes, status: os.stat_result) -> str:
    kind = kind_of_path(str(real).lstrip("/"))
    if (kind is not None and kind.level == "secret") or secret_in(str(real), data):
        return "a file with secrets"
    if kind is not None and kind.level in _PRIVATE:
        return "part of a repository's records"
    if _has_private_name(real, status):
        return "a file with secrets: another name of it (a hard link) says so"
    return "a file with secrets" if why_secret_of_user(real) else ""


def _has_private_name(real: Path, status: os.stat_result) -> bool:
    if status.st_nlink < 2:
        return False
    root = _project_of(real)
    if not _holds_home(root):
        return _is_private_link(root, status)
    if _is_private_link(_NOWHERE, status):  # what the table names in the home folder
        return True
    found = guarded_in(root, _MOST_ENTRIES).values()
    identity = (status.st_dev, status.st_ino)
    return any(one.identity == identity and one.kind.level in _PRIVATE for one in found)


def _holds_home(root: Path) -> bool:
    try:
        home = os.path.realpath(Path.home())
    except RuntimeError:  # this user has none
        home = "/"
    return Path(home).is_relative_to(root)


def _is_private_link(root: Path, status: os.stat_result) -> bool:
    kind = LinkedKinds(root).kind_of(status)
    return kind is not None and kind.level in _PRIVATE


def _project_of(real: Path) -> Path:
    """Return the folder in which other names of the file *real* are looked for."""
    here = Path.cwd()
    if real.is_relative_to(here):
        return here
    tops = (one for one in real.parents if any(os.path.lexists(one / each) for each in _TOPS))
    return next(tops, real.parent)
