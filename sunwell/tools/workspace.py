"""The one place that touches the files of a workspace."""

import hashlib
import os
import secrets
from pathlib import Path
from typing import Literal

import attrs

from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.descent import FOLDER, Descent, Place, told
from sunwell.tools.file_steps import (
    chunks,
    drop,
    fill,
    hash_of,
    kind_of,
    mode_for_writing,
    opened,
    require_still,
    status_of,
)
from sunwell.tools.own_code import require_not_own
from sunwell.tools.paths import quoted, why_private
from sunwell.tools.wording import counted

Kind = Literal["file", "folder", "link", "other"]


@attrs.frozen
class Content:
    """A file as it was read."""

    path: str
    """From the root, links resolved."""
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@attrs.frozen
class Entry:
    """Something in a folder."""

    path: str
    kind: Kind
    size_bytes: int = 0


def _root(value: str | os.PathLike[str]) -> Path:
    path = Path(value).expanduser()
    if not path.is_dir():
        raise ConfigurationError(f"the workspace {path} is no folder; name one that exists")
    return path.resolve()


@attrs.define(eq=False, init=False)
class Workspace:
    """A folder that tools may work in, and nothing outside of it.

    Paths are relative to the root. Links are followed where they stay inside. ``.git``,
    ``.sunwell`` and ``.env`` files are refused under every name that leads to them. Pipes, sockets
    and devices are never opened. What cannot be done raises :exc:`~sunwell.errors.ToolError` with
    a sentence; a root that is no folder raises :exc:`~sunwell.errors.ConfigurationError`.
    """

    root: Path
    _aliases: tuple[str, ...]
    _folds_case: bool

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = _root(root)
        given = os.path.abspath(Path(root).expanduser())  # noqa: PTH100 - links must stay in it
        self._aliases = tuple({str(self.root).rstrip("/"), given.rstrip("/")})
        swapped = Path(str(self.root).swapcase())
        self._folds_case = swapped != self.root and swapped.exists() and swapped.samefile(self.root)

    def locate(self, path: str) -> str:
        """Return *path* from the root with links resolved; there need be nothing yet."""
        with self._descent() as descent:
            return descent.to(path).path

    def is_file(self, path: str) -> bool:
        """Whether there is something at *path* that is no folder."""
        with self._descent() as descent:
            place = descent.to(path)
            return place.status is not None and not place.is_folder

    def read(self, path: str, limit_bytes: int) -> Content | None:
        """Return the file at *path*, ``None`` where there is nothing."""
        with self._descent() as descent:
            place = descent.to(path)
            if place.status is None:
                return None
            with opened(place) as file:
                size = os.fstat(file).st_size
                if size <= limit_bytes:
                    data = b"".join(chunks(file, place, limit_bytes + 1))
                    size = max(size, len(data))
                if size > limit_bytes:
                    raise ToolError(
                        f"{quoted(place.path)} has {counted(size, 'byte')}; "
                        f"tools take files of at most {limit_bytes:,}"
                    )
        return Content(place.path, data)

    def sha256(self, path: str) -> str | None:
        """Return the hash of the file at *path*, ``None`` where there is nothing."""
        with self._descent() as descent:
            place = descent.to(path)
            return None if place.status is None else hash_of(place)

    def require_writable(self, path: str) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if *path* is part of what the running program is made of."""
        with self._descent() as descent:
            self._refuse_own_code(descent, descent.to(path))

    def write(self, path: str, data: bytes, before: str | None, *, restores: bool = False) -> None:
        """Put *data* at *path* at once or not at all, where its hash is still *before*.

        Folders on the way are made. The mode of an old file is kept. The file is durable when
        this returns. The code of the running program is refused, unless the write *restores* what
        was there before a run.
        """
        with self._descent() as descent:
            place = descent.to(path)
            if not restores:
                self._refuse_own_code(descent, place)
            mode = mode_for_writing(place)
            if place.missing:
                require_still(place, before)  # before folders are made for nothing
            folder = descent.make(place)
            temporary = f".sunwell-{secrets.token_hex(8)}.tmp"
            with told(place.path):
                try:
                    fill(folder, temporary, data, mode)
                    now = attrs.evolve(place, folder=folder, status=status_of(folder, place.name))
                    require_still(now, before)
                    os.rename(temporary, place.name, src_dir_fd=folder, dst_dir_fd=folder)
                except BaseException:
                    drop(folder, temporary)
                    raise
                os.fsync(folder)

    def remove(self, path: str, before: str) -> None:
        """Delete the file at *path* where its hash is still *before*."""
        with self._descent() as descent:
            place = descent.to(path)
            require_still(place, before)
            with told(place.path):
                os.unlink(place.name, dir_fd=place.folder)
                os.fsync(place.folder)

    def entries(self, path: str) -> list[Entry] | None:
        """Return what the folder at *path* holds, by name, links not followed.

        ``None`` where there is nothing at *path*. What is private is left out.
        """
        with self._descent() as descent:
            place = descent.to(path)
            if place.status is None:
                return None
            if not place.is_folder:
                raise ToolError(f"{quoted(place.path)} is {kind_of(place.status)}, not a folder")
            with told(place.path or "."):
                folder = os.open(place.name, FOLDER, dir_fd=place.folder)
                try:
                    return _entries(folder, place.path)
                finally:
                    os.close(folder)

    def _refuse_own_code(self, descent: Descent, place: Place) -> None:
        require_not_own(self.root, descent.folders, place.path, place.status)

    def _descent(self) -> Descent:
        return Descent(self.root, self._aliases, self._folds_case)


def _entries(folder: int, path: str) -> list[Entry]:
    found = []
    with os.scandir(folder) as items:
        for item in items:
            if why_private(item.name) is not None:
                continue
            where = f"{path}/{item.name}" if path else item.name
            if item.is_symlink():
                found.append(Entry(where, "link"))
            elif item.is_dir(follow_symlinks=False):
                found.append(Entry(where, "folder"))
            elif item.is_file(follow_symlinks=False):
                found.append(Entry(where, "file", _size(item)))
            else:
                found.append(Entry(where, "other"))
    return sorted(found, key=lambda entry: entry.path)


def _size(item: "os.DirEntry[str]") -> int:
    try:
        return item.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # deleted while we look
        return 0
