"""Single steps on open folders and files, by name in a folder that is held open."""

import hashlib
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sunwell.errors import ToolError
from sunwell.tools.descent import Place, told
from sunwell.tools.paths import quoted

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHUNK = 1 << 20
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
    stat.S_IFLNK: "a link",
}


def kind_of(status: os.stat_result) -> str:
    return _KINDS.get(stat.S_IFMT(status.st_mode), "a file")


@contextmanager
def opened(place: Place) -> Iterator[int]:
    """Open the file at *place* without waiting for anybody and without following links."""
    assert place.status is not None
    refuse_unless_file(place, place.status)
    with told(place.path or "."):
        file = os.open(place.name, _READ, dir_fd=place.folder)
    try:
        refuse_unless_file(place, os.fstat(file))
        yield file
    finally:
        os.close(file)


def refuse_unless_file(place: Place, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ToolError(f"{quoted(place.path or '.')} is {kind_of(status)}, not a file")


def chunks(file: int, place: Place, most_bytes: int) -> Iterator[bytes]:
    while most_bytes > 0:
        with told(place.path):
            chunk = os.read(file, min(_CHUNK, most_bytes))
        if not chunk:
            return
        most_bytes -= len(chunk)
        yield chunk


def hash_of(place: Place) -> str:
    state = hashlib.sha256()
    with opened(place) as file:
        for chunk in chunks(file, place, sys.maxsize):
            state.update(chunk)
    return state.hexdigest()


def status_of(folder: int, name: str) -> os.stat_result | None:
    try:
        return os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return None


def require_still(place: Place, before: str | None) -> None:
    """Raise unless the file at *place* still has the hash *before*."""
    now = None if place.status is None else hash_of(place)
    if now != before:
        raise ToolError(
            f"{quoted(place.path)} was changed by somebody else since it was looked at; "
            "nothing was written; read it again"
        )


def mode_for_writing(place: Place) -> int | None:
    if place.status is None:
        return None
    refuse_unless_file(place, place.status)
    mode = stat.S_IMODE(place.status.st_mode) & 0o777
    if not mode & 0o222:
        raise ToolError(f"{quoted(place.path)} is read-only")
    return mode


def fill(folder: int, name: str, data: bytes, mode: int | None) -> None:
    file = os.open(name, _NEW, 0o666 if mode is None else 0o600, dir_fd=folder)
    try:
        if mode is not None:
            os.fchmod(file, mode)
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)


def drop(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
