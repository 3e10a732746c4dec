"""Whose run it is: a mark in its first line, made with a key that no workspace has.

A workspace may come with a ``.sunwell`` that somebody prepared: a clone, an archive, a cache. To look at its
runs does no harm. Going on from one would: recorded answers stand for those of a model, and originals are
written back over files. So only a run that bears this user's mark is gone on from, and a run without it
after the user has adopted it by name.
"""

import hashlib
import os
import re
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from sunwell.core.real_paths import resolved
from sunwell.core.user_folders import state_folder
from sunwell.errors import JournalError
from sunwell.journal.codec import with_mark, without_checksum
from sunwell.journal.disk import as_journal_error
from sunwell.journal.folders import divided, open_file, read_file
from sunwell.journal.layout import RunFile, find_run
from sunwell.journal.reading import first_line, read_records
from sunwell.journal.user_state import file_doubt, state_doubt

_KEY, _ADOPTED = "journal.key", "adopted"
_KEY_BYTES = 32
_MARK_BYTES = 16
_MARK = re.compile(rb',"mark":"([0-9a-f]{32})","crc":"[0-9a-f]{8}"}\Z')
_TAIL_BYTES = 64
_REPAIR = "Repair that, or set SUNWELL_HOME"


def _key_file() -> Path:
    return _key_in(state_folder())


@lru_cache(maxsize=4)  # each run asks, and mostly for the same
def _key_in(folder: Path) -> Path:
    return folder / _KEY


def user_key(*, make: bool = False) -> bytes | None:
    """Return the key that marks this user's runs; with *make* a new one if there is none.

    ``None`` if there is none, if others can read or replace it, and if none can be kept: runs then bear no
    mark.
    """
    return key_or_doubt(make=make)[0]


def key_or_doubt(*, make: bool = False) -> tuple[bytes | None, str]:
    """Return the key as :func:`user_key` does, and why there is none although there could be.

    That is a clause that begins with a file or folder; empty if nothing is wrong.
    """
    path = _key_file()
    if said := state_doubt(path.parent):
        return None, said
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _new_key(path) if make else (None, "")
    except OSError as error:
        return None, f"{path} is a link" if path.is_symlink() else f"{path} cannot be read ({error.strerror})"
    try:
        status = os.fstat(file)
        if said := file_doubt(status):
            return None, f"{path} {said}"
        # A clone or an archive that brings a key with it brings it readable for all.
        if status.st_mode & 0o077:
            return None, f"other users can read {path}, so its marks say nothing"
        if status.st_size != _KEY_BYTES:
            return None, f"{path} is damaged: it has {status.st_size:,} bytes, and a key has {_KEY_BYTES}"
        return os.read(file, _KEY_BYTES), ""
    finally:
        os.close(file)


def unmarked_warning(doubt: str) -> str:
    """Return what it means for a new run that its key cannot be used, because of *doubt*."""
    return (
        f"this run bears no mark of yours, because {doubt}: resume, fork, replay and undo refuse it "
        f"as somebody else's. {_REPAIR}, then sunwell adopt RUN"
    )


def foreign_warning(doubt: str) -> str:
    """Return what it means for recorded runs that the key cannot be used, because of *doubt*."""
    return f"all runs count as foreign, because {doubt}. {_REPAIR}"


def _new_key(path: Path) -> tuple[bytes | None, str]:
    fresh = path.with_name(f".{_KEY}.{os.urandom(8).hex()}")
    key = os.urandom(_KEY_BYTES)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        file = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            os.write(file, key)
            os.fsync(file)
        finally:
            os.close(file)
        try:
            os.link(fresh, path)  # whole or not at all, and not over another process's key
        except FileExistsError:
            return key_or_doubt()
        finally:
            fresh.unlink()
    except OSError as error:
        return None, f"{path} cannot be made ({error.strerror})"
    return key, ""


def mark_of(line: bytes, key: bytes, journal: Path) -> str:
    """Return the mark that a first line, as far as *line*, gets with *key* in the file *journal*.

    It holds in this place only: a journal that was published could stand in any workspace otherwise.
    """
    above, names = divided(str(journal.parent))  # from .sunwell on, no link is followed
    place = os.fsencode("/".join((resolved(above.rstrip("/") or above).rstrip("/"), *names)))
    return hashlib.blake2b(place + b"\0" + line, key=key, digest_size=_MARK_BYTES).hexdigest()


def marked(line: bytes, key: bytes, journal: Path) -> bytes:
    """Return *line*, the first of the file *journal*, with the mark of *key*."""
    return with_mark(line, mark_of(without_checksum(line), key, journal))


def is_marked(line: bytes, key: bytes | None, journal: Path) -> bool:
    """Whether the first *line* of the file *journal* bears the mark of *key* for this place."""
    found = _MARK.search(line, max(0, len(line) - _TAIL_BYTES)) if key is not None else None
    if found is None or key is None:
        return False
    return mark_of(line[: found.start()], key, journal).encode() == found[1]


def is_own(run: RunFile, line: bytes, key: bytes | None) -> bool:
    """Whether *run*, whose first line is *line*, was started or adopted by who has *key*."""
    if key is None:
        return False
    if is_marked(line, key, run.path):
        return True
    try:
        kept = read_file(run.path.with_name(_ADOPTED), 2 * _MARK_BYTES)
    except (OSError, JournalError):
        return False
    return kept == _adoption(line, key, run.path)


def is_adopted(run: RunFile) -> bool:
    """Whether *run*, which is this user's, was not started but adopted."""
    return not is_marked(first_line(run.path), user_key(), run.path)


def _adoption(line: bytes, key: bytes, journal: Path) -> bytes:
    return mark_of(b"adopted\n" + line, key, journal).encode()


def find_own_run(root: Path, prefix: str) -> RunFile:
    """Return the run under the workspace *root* whose id is *prefix* or alone begins with it, to go on from.

    Raises :exc:`~sunwell.errors.JournalError` as :func:`~sunwell.journal.layout.find_run` does, and if the
    run is not this user's.
    """
    run = find_run(root, prefix)
    key, doubt = key_or_doubt()
    if not is_own(run, first_line(run.path), key):
        if doubt:
            raise JournalError(
                f"nobody can tell whether you started the run {run.run_id}: "
                f"{foreign_warning(doubt)}; then sunwell adopt {run.run_id} if it is still refused"
            )
        raise JournalError(
            f"the run {run.run_id} was not started by you on this machine, as far as {_key_file()} can tell: "
            f"read it with sunwell show {run.run_id} -v, then make it yours with sunwell adopt {run.run_id}"
        )
    return run


def adopt(root: Path, prefix: str) -> RunFile:
    """Make a run under the workspace *root* this user's, and return it: it may then be gone on from.

    Its id is *prefix* or alone begins with it. Only the run's first line is sealed, as in a run of one's own.
    Raises :exc:`~sunwell.errors.JournalError` if the run cannot be read, or there is no place for a key.
    """
    run = find_run(root, prefix)
    for _ in read_records(run.path):
        pass
    key, doubt = key_or_doubt(make=True)
    if key is None:
        raise JournalError(
            f"the key {_key_file()} cannot be used or made: {doubt}; it must be a file of your own with mode "
            "0600 in a folder of your own. Remove it, or name another folder with SUNWELL_HOME"
        )
    place = run.path.with_name(_ADOPTED)
    with as_journal_error(place, "written"):
        with suppress(FileNotFoundError):
            place.unlink()
        file = open_file(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            os.write(file, _adoption(first_line(run.path), key, run.path))
            os.fsync(file)
        finally:
            os.close(file)
    return run
