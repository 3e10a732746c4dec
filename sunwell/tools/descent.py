"""The way from the root of a workspace down to a file, one name at a time."""

import errno
import os
import stat
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

import attrs

from sunwell.errors import ToolError
from sunwell.tools.paths import as_stored, parts_of, quoted, why_private

_MOST_LINKS = 40
FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def refusal(path: str, error: OSError) -> ToolError:
    """Return what the system says about *path* as a sentence for the model."""
    if error.errno in (errno.ELOOP, errno.EMLINK):
        return ToolError(f"{quoted(path)} was replaced by a link while it was used; try again")
    reason = (error.strerror or str(error)).lower()
    return ToolError(f"{quoted(path)} cannot be used: {reason}")


@contextmanager
def told(path: str) -> Iterator[None]:
    """Turn a system error about *path* into a :exc:`~sunwell.errors.ToolError`."""
    try:
        yield
    except OSError as error:
        raise refusal(path, error) from None


@attrs.frozen
class Place:
    """Where a path leads: a name in a folder that is held open."""

    folder: int
    """Descriptor of the folder; open as long as the descent is."""
    name: str
    path: str
    """From the root, links resolved; empty for the root itself."""
    status: os.stat_result | None
    """``None`` where there is nothing yet. Never that of a link."""
    missing: tuple[str, ...] = ()
    """Folders between ``folder`` and ``name`` that do not exist yet."""

    @property
    def is_folder(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


@attrs.define(eq=False)
class Descent:
    """Resolves a path the way the system does, and never leaves the root.

    Every folder on the way is opened without following links and stays open, so that swapping a
    folder for a link later changes nothing. Links are read and resolved here, name by name;
    ``..`` goes back to the folder that we came through.
    """

    root: Path
    aliases: tuple[str, ...]
    """Absolute paths by which links may call the root."""
    folds_case: bool = False
    _open: list[int] = attrs.field(factory=list, init=False)
    _names: list[str] = attrs.field(factory=list, init=False)

    def __enter__(self) -> "Descent":
        with told(str(self.root)):
            self._open.append(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.pop())

    @property
    def folders(self) -> tuple[int, ...]:
        """Descriptors of the folders that are open, from the root down."""
        return tuple(self._open)

    def to(self, path: str) -> Place:
        """Return where *path* leads, or raise :exc:`~sunwell.errors.ToolError`."""
        waiting = deque(parts_of(path))
        links = 0
        while waiting:
            name = waiting.popleft()
            if name == "..":
                self._go_back(path)
                continue
            reason = why_private(name)
            if reason is not None:
                raise ToolError(f"{quoted(path)} is refused: {reason}")
            status = self._look(name, path)
            if status is None:
                return self._nothing_there(name, tuple(waiting), path)
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise ToolError(f"{quoted(path)} goes through too many links")
                waiting.extendleft(reversed(self._follow(name, path)))
                continue
            name = self._stored(name)
            if not waiting:
                return Place(self._open[-1], name, "/".join((*self._names, name)), status)
            self._enter(name, status, path)
        here = self._open[-1]
        return Place(here, ".", "/".join(self._names), os.fstat(here))

    def make(self, place: Place) -> int:
        """Create the folders that *place* misses; return the descriptor of the last."""
        for name in place.missing:
            with told(place.path):
                try:
                    os.mkdir(name, dir_fd=self._open[-1])
                    os.fsync(self._open[-1])
                except FileExistsError:
                    pass  # somebody made it meanwhile; entering it refuses links
                self._open.append(os.open(name, FOLDER, dir_fd=self._open[-1]))
        return self._open[-1]

    def _go_back(self, path: str) -> None:
        if not self._names:
            raise ToolError(f"{quoted(path)} leads out of the workspace; tools stay inside it")
        os.close(self._open.pop())
        self._names.pop()

    def _look(self, name: str, path: str) -> os.stat_result | None:
        try:
            return os.stat(name, dir_fd=self._open[-1], follow_symlinks=False)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise refusal(path, error) from None

    def _nothing_there(self, name: str, after: tuple[str, ...], path: str) -> Place:
        names = (name, *after)
        if ".." in names:
            raise ToolError(f"{quoted(path)} goes through {quoted(name)}, which does not exist")
        for further in after:
            if (reason := why_private(further)) is not None:
                raise ToolError(f"{quoted(path)} is refused: {reason}")
        return Place(self._open[-1], names[-1], "/".join((*self._names, *names)), None, names[:-1])

    def _follow(self, name: str, path: str) -> tuple[str, ...]:
        with told(path):
            target = os.readlink(name, dir_fd=self._open[-1])
        if not target.startswith("/"):
            return parts_of(target)
        for alias in self.aliases:
            if target == alias or target.startswith(alias + "/"):
                while self._names:
                    self._go_back(path)
                return parts_of(target[len(alias) + 1 :])
        raise ToolError(f"{quoted(path)} goes through a link out of the workspace; tools stay inside it")

    def _enter(self, name: str, status: os.stat_result, path: str) -> None:
        if not stat.S_ISDIR(status.st_mode):
            raise ToolError(f"{quoted(path)} goes through {quoted(name)}, which is no folder")
        with told(path):
            self._open.append(os.open(name, FOLDER, dir_fd=self._open[-1]))
        self._names.append(name)

    def _stored(self, name: str) -> str:
        if not self.folds_case:
            return name
        with os.scandir(self._open[-1]) as items:
            return as_stored(name, [item.name for item in items])
