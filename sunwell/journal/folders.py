"""The folder ``.sunwell``: opened step by step, so that nothing leads out, and refused if others own it.

A workspace may come from elsewhere, and its owner may be somebody else who changes it meanwhile. So every
folder from ``.sunwell`` on is opened below the one before it, without following a link; what is checked is
then what is used.
"""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

from sunwell.errors import JournalError

FOLDER = ".sunwell"
SET_ASIDE = "set-aside"
"""The folder in it for what commands left behind for other programs to run."""

_OPEN = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_STEP = _OPEN | os.O_NOFOLLOW
# A pipe in place of a file must not block us, and a terminal must not become ours.
_FILE = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_OTHERS = 0o077
_GITIGNORE = ".gitignore"
_HIDE_ALL = b"*\n"
_HIDING = frozenset({b"*", b"**", b"runs", b"runs/", b"/runs", b"/runs/"})
_MOST_IGNORE_BYTES = 4096


def open_folder(path: Path, *, make: bool = False, above: int | None = None) -> int:
    """Return a descriptor of the folder *path*, for use as ``dir_fd``; the caller closes it.

    From ``.sunwell`` on, no link is followed, each folder must belong to this user, and one that others
    may enter is closed to them; ``.sunwell`` has a ``.gitignore``. With *make*, missing folders are created,
    those above the last one durably. *above* is the open folder that it is in, if there is one already.
    Raises OSError if *path* is not there or cannot be opened, and :exc:`~sunwell.errors.JournalError` for
    what is refused.
    """
    if above is not None:
        return _step(above, path.name, str(path), make=make, durably=False)
    return _open_steps(str(path), make=make)


def _open_steps(path: str, *, make: bool = False, needed_later: bool = False) -> int:
    start, names = divided(path)
    if make and not names:
        Path(start).mkdir(0o700, parents=True, exist_ok=True)
    here = os.open(start, _OPEN)
    last = len(names) - 1
    for number, name in enumerate(names):
        try:
            if needed_later and number == 1:  # here is .sunwell
                _require_later(here, start)
            below = _step(here, name, path, make=make, durably=number < last)
        finally:
            os.close(here)
        here = below
    return here


def make_run_folder(path: str) -> int:
    """Make the folder *path* of a run and return a descriptor of it, as :func:`open_folder` does.

    The folders that a run may need later are checked on the way, see :func:`require_folders`.
    """
    return _open_steps(path, make=True, needed_later=True)


def require_folders(directory: Path) -> None:
    """Check the folders that a run may need later in ``.sunwell`` of the workspace *directory*.

    Raises :exc:`~sunwell.errors.JournalError` as :func:`open_folder` does: what a command leaves behind could
    not be set aside otherwise, and the run would only notice then.
    """
    with suppress(FileNotFoundError):
        os.close(_open_steps(f"{directory}/{FOLDER}/{SET_ASIDE}"))


def _require_later(ours: int, start: str) -> None:
    with suppress(FileNotFoundError):
        os.close(_step(ours, SET_ASIDE, f"{start}{FOLDER}/{SET_ASIDE}", make=False, durably=False))


def open_file(path: Path | str, flags: int = os.O_RDONLY, *, folder: int | None = None) -> int:
    """Return a descriptor of the file *path*, opened with *flags*; the caller closes it.

    A file below ``.sunwell`` is reached as by :func:`open_folder`, must belong to this user, and gets mode
    0600. If it is opened for writing, it must not have another name, which could be anywhere. *folder* is
    the open folder that it is in, if there is one already. Raises as :func:`open_folder` does, and
    :exc:`~sunwell.errors.JournalError` for anything that is not a file.
    """
    place, slash, name = os.fspath(path).rpartition("/")
    is_ours = FOLDER in place.split("/")
    above = _open_steps(place or slash or ".") if folder is None else folder
    try:
        if not flags & os.O_EXCL:  # then nothing that is there is opened
            _require_file(above, name, path, follows=not is_ours)
        # Links elsewhere may be followed: whoever names a file of their own means what it leads to.
        flags |= _FILE if is_ours else _FILE & ~os.O_NOFOLLOW
        file = os.open(name, flags, 0o600, dir_fd=above)
    except FileExistsError:
        _require_file(above, name, path, follows=not is_ours)
        raise
    finally:
        if folder is None:
            os.close(above)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode):
            raise JournalError(f"{path} is not a file: move it out of the way")
        if is_ours:
            _close_to_others(file, status, path)
            if flags & os.O_ACCMODE != os.O_RDONLY and status.st_nlink > 1:
                raise JournalError(f"{path} is a hard link, which is not written to: replace it by a copy")
    except BaseException:
        os.close(file)
        raise
    return file


def read_file(path: Path, most_bytes: int) -> bytes:
    """Return the content of the file *path*, opened as by :func:`open_file`.

    Raises :exc:`~sunwell.errors.JournalError` if it has more than *most_bytes*.
    """
    file = open_file(path)
    try:
        if os.fstat(file).st_size > most_bytes:
            raise JournalError(f"{path} has more than {most_bytes:,} bytes: restore it from a copy")
        found = []
        while chunk := os.read(file, 1 << 20):
            found.append(chunk)
        return b"".join(found)
    finally:
        os.close(file)


def divided(path: str) -> tuple[str, list[str]]:
    """Return what is above the last ``.sunwell`` of *path*, and the names from there on."""
    parts = path.split("/")
    if FOLDER not in parts:
        return path, []
    at = len(parts) - 1 - parts[::-1].index(FOLDER)
    return "/".join([*parts[:at], ""]) or ".", parts[at:]


def _step(above: int, name: str, path: str, *, make: bool, durably: bool) -> int:
    """Open the folder *name* of *path* below *above*, and see that it is ours alone."""
    try:
        folder = os.open(name, _STEP, dir_fd=above)
    except FileNotFoundError:
        if not make:
            raise
        folder = _made(above, name, durably=durably)
    except OSError:
        kind = os.stat(name, dir_fd=above, follow_symlinks=False).st_mode
        if stat.S_ISLNK(kind):
            raise JournalError(
                f"{_place(path, name)} is a link, which journals do not follow: put what it leads to there"
            ) from None
        if not stat.S_ISDIR(kind):
            raise JournalError(f"{_place(path, name)} is not a folder: move it out of the way") from None
        raise
    try:
        status = os.fstat(folder)
        if status.st_mode & _OTHERS or status.st_uid != os.geteuid():
            _close_to_others(folder, status, _place(path, name))
        if name == FOLDER:
            _hide_from_git(folder, path)
    except BaseException:
        os.close(folder)
        raise
    return folder


def _place(path: str, name: str) -> Path:
    """Return the part of *path* down to the folder *name* in it, as far as ``.sunwell`` or below."""
    start, names = divided(path)
    return Path(start, *names[: names.index(name) + 1])


def _made(above: int, name: str, *, durably: bool) -> int:
    try:
        os.mkdir(name, 0o700, dir_fd=above)
    except FileExistsError:  # another run has just made it
        pass
    else:
        # A sync of a file does not cover names: after a loss of power it could be in no folder. The journal
        # makes the name of its own folder durable; these are the folders of other runs, too.
        if durably:
            os.fsync(above)
    return os.open(name, _STEP, dir_fd=above)


def _require_file(above: int, name: str, path: Path | str, *, follows: bool) -> None:
    """Refuse what is no file before it is opened: opening a device may already do something."""
    try:
        kind = os.stat(name, dir_fd=above, follow_symlinks=follows).st_mode
    except FileNotFoundError:
        return
    if stat.S_ISLNK(kind):
        raise JournalError(f"{path} is a link, which journals do not follow: replace the link by the file")
    if not stat.S_ISREG(kind):
        raise JournalError(f"{path} is not a file: move it out of the way")


def _close_to_others(opened: int, status: os.stat_result, place: Path | str) -> None:
    """Refuse what belongs to another user, and take from others what they may do with it."""
    if status.st_uid != os.geteuid():
        raise JournalError(
            f"{place} belongs to another user (number {status.st_uid}): remove it, or use a workspace of "
            "your own"
        )
    is_elsewhere = stat.S_ISREG(status.st_mode) and status.st_nlink > 1  # that name's mode is not ours to set
    if status.st_mode & _OTHERS and not is_elsewhere:
        try:
            os.fchmod(opened, stat.S_IMODE(status.st_mode) & ~_OTHERS)
        except OSError as error:
            if error.errno != errno.EROFS:  # what nobody can write to may still be read
                raise


def _hide_from_git(folder: int, path: str) -> None:
    """See that git does not take up what is in *folder*; a file of the user's own that does so stays."""
    try:
        kind = os.stat(_GITIGNORE, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISDIR(kind.st_mode):
            raise JournalError(f"{_place(path, FOLDER) / _GITIGNORE} is not a file: move it out of the way")
        if stat.S_ISREG(kind.st_mode) and _hides(folder):
            return
    except FileNotFoundError:
        pass
    fresh = f"{_GITIGNORE}.{os.urandom(8).hex()}"
    try:
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=folder)
        try:
            os.write(file, _HIDE_ALL)
        finally:
            os.close(file)
        os.rename(fresh, _GITIGNORE, src_dir_fd=folder, dst_dir_fd=folder)
    except OSError as error:
        if error.errno != errno.EROFS:
            raise


def _hides(folder: int) -> bool:
    file = os.open(_GITIGNORE, os.O_RDONLY | _FILE, dir_fd=folder)
    try:
        status = os.fstat(file)
        is_ours = status.st_uid == os.geteuid() and not status.st_mode & 0o022 and status.st_nlink == 1
        if not is_ours or status.st_size > _MOST_IGNORE_BYTES:
            return False
        lines = {line.strip() for line in os.read(file, _MOST_IGNORE_BYTES).splitlines()}
    finally:
        os.close(file)
    return bool(lines & _HIDING) and not any(line.startswith(b"!") for line in lines)
