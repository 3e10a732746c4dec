"""The only module that accesses the files of a workspace."""

import copy
import errno
import functools
import hashlib
import os
import re
import secrets
import stat
import sys
import unicodedata
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice, pairwise
from pathlib import Path
from types import TracebackType
from typing import Literal

import attrs

from sunwell.core.real_paths import real_path
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.folder_walk import FOLDER
from sunwell.tools.guarded_files import LinkedKinds, NamedKinds
from sunwell.tools.hidden_files import HiddenFiles, hidden_from_models
from sunwell.tools.own_code import require_not_own
from sunwell.tools.protected import (
    ProtectedKind,
    folded,
    is_git_folder,
    kind_of_path,
    may_be_secret,
    rules_for,
    secret_in,
    secret_of_elsewhere,
    strongest,
    why_private,
)
from sunwell.tools.wording import counted, quoted

_MOST_LINKS = 40


_MOST_CHARS = 4_096
_MOST_NAME_BYTES = 255
_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")


def parts_of(path: str) -> tuple[str, ...]:
    """Return the names in the relative *path*; ``..`` is kept, ``.`` and double slashes are removed.

    Raises :exc:`~sunwell.errors.ToolError` if it cannot be the path of a file in a workspace.
    """
    if _CONTROLS.search(path):
        raise ToolError(f"the path {quoted(path)} contains control characters; write a plain relative path")
    if path.startswith("/"):
        raise ToolError(f"the path {quoted(path)} is absolute; write it relative to the workspace")
    try:
        names = [part.encode() for part in path.split("/")]
    except UnicodeEncodeError:
        raise ToolError(f"the path {quoted(path)} is not valid text; write a plain relative path") from None
    if len(path) > _MOST_CHARS or max(map(len, names)) > _MOST_NAME_BYTES:
        raise ToolError(f"the path {quoted(path)} is too long for a file system; write a shorter one")
    return tuple(part for part in path.split("/") if part not in ("", "."))


def as_stored(wanted: str, names: list[str]) -> str:
    """Return the name in *names* that equals *wanted* on a case-insensitive file system."""
    if wanted in names:
        return wanted
    key = unicodedata.normalize("NFC", wanted).casefold()
    same = (name for name in names if unicodedata.normalize("NFC", name).casefold() == key)
    return next(same, wanted)


_SPACES = re.compile("[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]")


def same_letters(name: str) -> str:
    """Return *name* with one spelling for each letter and each space."""
    return name if name.isascii() else _SPACES.sub(" ", unicodedata.normalize("NFC", name))


def refusal(path: str, error: OSError) -> ToolError:
    """Return the system error about *path* as a sentence for the model."""
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


REPLACED = "another folder has taken the place of the workspace since this began"


def identity_of(status: os.stat_result) -> tuple[int, int]:
    """Return what tells a folder from every other one of the machine."""
    return status.st_dev, status.st_ino


@attrs.frozen
class FilePlace:
    """The target of a path: a name in an open folder."""

    folder: int
    """Descriptor of the folder; open as long as the descent."""
    name: str
    path: str
    """Relative to the root, links resolved; empty for the root itself."""
    status: os.stat_result | None
    """``None`` if it does not exist yet. Never that of a link."""
    missing: tuple[str, ...] = ()
    """Folders between ``folder`` and ``name`` that do not exist yet."""

    @property
    def is_folder(self) -> bool:
        return self.status is not None and stat.S_ISDIR(self.status.st_mode)


@attrs.define(eq=False)
class Descent:
    """Resolves a path like the operating system, but never leaves the root.

    Every folder on the way is opened without following links and stays open, so that replacing a
    folder by a link later has no effect. Links are read and resolved here, name by name; ``..`` goes back
    to the previous folder on this way.
    """

    root: Path
    aliases: tuple[str, ...]
    """Absolute paths that links may use for the root."""
    folds_case: bool = False
    identity: tuple[int, int] | None = None
    """Device and number of the root, if it must still be the same folder."""
    closed: Mapping[str, str] = attrs.field(factory=dict)
    """Why paths are not open that no name closes, by :func:`folded_path`."""
    hidden: HiddenFiles = HiddenFiles()
    """What is refused, under every name that leads to it."""
    _open: list[int] = attrs.field(factory=list, init=False)
    _names: list[str] = attrs.field(factory=list, init=False)

    def __enter__(self) -> "Descent":
        with told(str(self.root)):
            self._open.append(os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC))
        if self.identity is not None and identity_of(os.fstat(self._open[0])) != self.identity:
            os.close(self._open.pop())
            raise ToolError(f"{quoted(str(self.root))} is refused: {REPLACED}")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._open:
            os.close(self._open.pop())

    @property
    def folders(self) -> tuple[int, ...]:
        """Descriptors of the open folders, from the root down."""
        return tuple(self._open)

    def to(self, path: str) -> FilePlace:
        """Return the target of *path*, or raise :exc:`~sunwell.errors.ToolError`."""
        waiting = deque(parts_of(path))
        links = 0
        while waiting:
            name = waiting.popleft()
            if name == "..":
                self._go_back(path)
                continue
            reason = why_private(name, self._names[-1] if self._names else self.root.name)
            if reason is not None:
                raise ToolError(f"{quoted(path)} is refused: {reason}")
            status = self._look(name, path)
            if status is None and (stored := self._spelled_otherwise(name, path)) is not None:
                name = stored
                status = self._look(name, path)
            if status is None:
                return self._nothing_there(name, tuple(waiting), path)
            if self.hidden:
                kind = status.st_mode
                where = (*self._names, self._stored(name))
                self._require_shown(where, path, is_folder=stat.S_ISDIR(kind), is_link=stat.S_ISLNK(kind))
            if stat.S_ISLNK(status.st_mode):
                links += 1
                if links > _MOST_LINKS:
                    raise ToolError(f"{quoted(path)} goes through too many links")
                if waiting and (reason := why_private(waiting[0], name)) is not None:
                    raise ToolError(f"{quoted(path)} is refused: {reason}")
                waiting.extendleft(reversed(self._follow(name, path)))
                continue
            name = self._stored(name)
            if self.closed:
                self._require_open((name,), path)
            if not waiting:
                return FilePlace(self._open[-1], name, "/".join((*self._names, name)), status)
            self._enter(name, status, path)
        here = self._open[-1]
        return FilePlace(here, ".", "/".join(self._names), os.fstat(here))

    def make(self, place: FilePlace) -> int:
        """Create the missing folders of *place*; return the descriptor of the last one."""
        for name in place.missing:
            with told(place.path):
                try:
                    os.mkdir(name, dir_fd=self._open[-1])
                    os.fsync(self._open[-1])
                except FileExistsError:
                    pass  # created in the meantime; entering it rejects links
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

    def _spelled_otherwise(self, name: str, path: str) -> str | None:
        """Return the one entry whose name looks like *name*, but has other characters; ``None`` if none has.

        Some systems store letters as a base and its accents, and put no-break spaces into names.
        """
        if name.isascii() and " " not in name:
            return None
        wanted = same_letters(name)
        with told(path), os.scandir(self._open[-1]) as items:
            alike = [item.name for item in items if same_letters(item.name) == wanted]
        if len(alike) > 1:
            shown = ", ".join(map(ascii, sorted(alike)))
            raise ToolError(f"{quoted(path)} could be any of {shown}; rename all but one")
        return alike[0] if alike else None

    def _nothing_there(self, name: str, after: tuple[str, ...], path: str) -> FilePlace:
        names = (name, *after)
        if ".." in names:
            raise ToolError(f"{quoted(path)} goes through {quoted(name)}, which does not exist")
        for above, further in pairwise(names):
            if (reason := why_private(further, above)) is not None:
                raise ToolError(f"{quoted(path)} is refused: {reason}")
        if self.closed:
            self._require_open(names, path)
        for end in range(1, len(names) + 1) if self.hidden else ():
            # What comes before the last name would be made as a folder.
            self._require_shown((*self._names, *names[:end]), path, is_folder=end < len(names))
        return FilePlace(self._open[-1], names[-1], "/".join((*self._names, *names)), None, names[:-1])

    def _require_open(self, names: tuple[str, ...], path: str) -> None:
        for depth in range(1, len(names) + 1):
            reason = self.closed.get(folded_path("/".join((*self._names, *names[:depth]))))
            if reason is not None:
                raise ToolError(f"{quoted(path)} is refused: {reason}")

    def _require_shown(
        self, where: Sequence[str], path: str, *, is_folder: bool, is_link: bool = False
    ) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if the user hides the entry at *where*, a part of *path*."""
        if self.hidden.hides(same_letters("/".join(where)), is_folder=is_folder, is_link=is_link):
            raise hidden_from_models(path)

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


def folded_path(path: str) -> str:
    """Return *path* with each name as the most tolerant file systems compare it."""
    return "/".join(map(folded, path.split("/")))


_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_CHANGE = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
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
def opened(place: FilePlace) -> Iterator[int]:
    """Open the file at *place* without blocking and without following links."""
    assert place.status is not None
    refuse_unless_file(place, place.status)
    with told(place.path or "."):
        file = os.open(place.name, _READ, dir_fd=place.folder)
    try:
        refuse_unless_file(place, os.fstat(file))
        yield file
    finally:
        os.close(file)


def refuse_unless_file(place: FilePlace, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ToolError(f"{quoted(place.path or '.')} is {kind_of(status)}, not a file")


def chunks(file: int, place: FilePlace, most_bytes: int) -> Iterator[bytes]:
    while most_bytes > 0:
        with told(place.path):
            chunk = os.read(file, min(_CHUNK, most_bytes))
        if not chunk:
            return
        most_bytes -= len(chunk)
        yield chunk


def too_large(path: str, size_bytes: int, limit_bytes: int) -> ToolError:
    return ToolError(
        f"{quoted(path)} has {counted(size_bytes, 'byte')}: too large to be changed or read as a whole "
        f"(limit {limit_bytes:,}); the tools read_file and search_files take it by lines"
    )


def hash_of(place: FilePlace) -> str:
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


def require_still(place: FilePlace, before: str | None) -> None:
    """Raise unless the file at *place* still has the hash *before*."""
    now = None if place.status is None else hash_of(place)
    if now != before:
        raise changed_meanwhile(place)


def changed_meanwhile(place: FilePlace) -> ToolError:
    return ToolError(
        f"{quoted(place.path)} was changed by somebody else since it was looked at; "
        "nothing was written; read it again"
    )


def mode_for_writing(place: FilePlace) -> int | None:
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


def write_through(place: FilePlace, data: bytes, before: str | None) -> None:
    """Write *data* into the file at *place*, which has other names, if its hash is still *before*.

    If it fails half-way, the old content is put back.
    """
    assert place.status is not None
    file = os.open(place.name, _CHANGE, dir_fd=place.folder)
    try:
        status = os.fstat(file)
        refuse_unless_file(place, status)
        if (status.st_dev, status.st_ino) != (place.status.st_dev, place.status.st_ino):
            raise changed_meanwhile(place)
        old = b"".join(chunks(file, place, sys.maxsize))
        if hashlib.sha256(old).hexdigest() != before:
            raise changed_meanwhile(place)
        try:
            _overwrite(file, data)
        except OSError:
            _overwrite(file, old)
            raise
    finally:
        os.close(file)


def _overwrite(file: int, data: bytes) -> None:
    at = 0
    while at < len(data):
        at += os.pwrite(file, data[at:], at)
    os.ftruncate(file, len(data))
    os.fsync(file)


def drop(folder: int, name: str) -> None:
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return


def read_beside(path: str | Path, most_bytes: int, *, follow: bool = False) -> bytes | None:
    """Return a file of git's, which may be outside the workspace; ``None`` if it cannot be read.

    That is also if it is no file, or larger than *most_bytes*, or a link and not to *follow*. What is in it
    is never shown to a model.
    """
    try:
        file = os.open(path, _READ & ~os.O_NOFOLLOW if follow else _READ)
    except (OSError, ValueError):
        return None
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size > most_bytes:
            return None
        parts, left = [], most_bytes  # a file of the system may have the size 0 and no end
        while left > 0 and (part := os.read(file, min(_CHUNK, left))):
            parts.append(part)
            left -= len(part)
        return b"".join(parts)
    except OSError:
        return None
    finally:
        os.close(file)


Kind = Literal["file", "folder", "link", "other"]


@attrs.frozen
class FileContent:
    """A file that was read."""

    path: str
    """Relative to the root, links resolved."""
    data: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.data).hexdigest()


@attrs.frozen
class FolderEntry:
    """An entry of a folder."""

    path: str
    kind: Kind
    size_bytes: int = 0


def _status_of_folder(root: Path, given: str | os.PathLike[str]) -> os.stat_result:
    with suppress(OSError, ValueError):
        status = root.stat()
        if stat.S_ISDIR(status.st_mode):
            return status
    path = Path(os.path.expanduser(given))  # noqa: PTH111 - an unknown user is no error
    raise ConfigurationError(f"the workspace {path} is not a folder: name an existing one")


def _folds_case(root: str, status: os.stat_result) -> bool:
    """Whether another spelling of *root*, which has *status*, leads there, too."""
    swapped = root.swapcase()
    try:
        return swapped != root and os.path.samestat(os.stat(swapped), status)  # noqa: PTH116 - as texts
    except OSError:
        return False


def _hidden(patterns: Iterable[str]) -> HiddenFiles:
    if isinstance(patterns, str):  # map() would take its letters
        raise TypeError(f"expected several patterns, got the single string {patterns!r}")
    return HiddenFiles.of(map(same_letters, patterns))


@attrs.define(eq=False, init=False)
class Workspace:
    """A folder that tools may work in; they cannot access anything outside.

    Paths are relative to the root. Links are followed if they stay inside. Secret files, ``.git`` and
    ``.sunwell`` are rejected under every name that leads to them, see :mod:`~sunwell.tools.protected`. Pipes,
    sockets and devices are never opened. What patterns of ``ignore`` match, in the syntax of ignore files, is
    neither listed nor opened. A failure raises :exc:`~sunwell.errors.ToolError`; a root that is not a folder,
    or a pattern that matches nothing, raises :exc:`~sunwell.errors.ConfigurationError`.
    """

    root: Path
    _aliases: tuple[str, ...]
    _folds_case: bool
    _links: LinkedKinds
    _named: NamedKinds
    identity: tuple[int, int]
    """Device and number of the root: another folder in its place, or a link there, is refused."""

    hidden: HiddenFiles

    def __init__(self, root: str | os.PathLike[str], *, ignore: Iterable[str] = ()) -> None:
        self.root = real_path(root)
        status = _status_of_folder(self.root, root)
        self.identity = identity_of(status)
        real = str(self.root)
        self._aliases = (real.rstrip("/"),)
        if root is not self.root:  # it may be another name of it, by links
            absolute = os.path.abspath(os.path.expanduser(root))  # noqa: PTH100,PTH111 - they must stay
            self._aliases = tuple({real.rstrip("/"), absolute.rstrip("/")})
        self._folds_case = _folds_case(real, status)
        self._links = LinkedKinds(self.root)
        self._named = NamedKinds(self.root)
        self.hidden = _hidden(ignore)

    def hiding(self, ignore: Iterable[str]) -> "Workspace":
        """Return this workspace without what the patterns *ignore* match, beside what it hides already."""
        more = _hidden(ignore)
        if not more:
            return self
        made = copy.copy(self)
        made.hidden = self.hidden.joined(more)
        return made

    def look_round(self) -> None:
        """Find the user's protected files now, if nobody has asked for them yet.

        Call it before anything that may change what links lead to: the files that they led to before stay
        protected.
        """
        self._named.of_user  # noqa: B018 - it is kept from now on

    def inside(self, path: str) -> str:
        """Return *path* relative to the root if it is an absolute path in it; any other unchanged.

        Nothing is looked up, and ``..`` is kept: whether the path stays inside is decided where it is used.
        """
        if not path.startswith("/"):
            return path
        names = [name for name in path.split("/") if name not in ("", ".")]
        for alias in self._aliases:
            root = [name for name in alias.split("/") if name]
            if names[: len(root)] == root:
                return "/".join(names[len(root) :]) or "."
        return path

    def locate(self, path: str) -> str:
        """Return *path* relative to the root with links resolved; it may not exist yet."""
        with self._descent() as descent:
            return descent.to(path).path

    def is_file(self, path: str) -> bool:
        """Whether *path* exists and is not a folder."""
        with self._descent() as descent:
            place = descent.to(path)
            return place.status is not None and not place.is_folder

    def may_have(self, name: str) -> bool:
        """Whether there is anything called *name* in the root; sooner than to look for it as a path."""
        return os.path.lexists(f"{self.root}/{name}")

    def exists(self, path: str) -> bool:
        """Whether there is a file or folder at *path*."""
        with self._descent() as descent:
            return descent.to(path).status is not None

    def read(self, path: str, limit_bytes: int) -> FileContent | None:
        """Return the file at *path*; ``None`` if it does not exist."""
        with self._descent() as descent:
            place = descent.to(path)
            if place.status is None:
                return None
            with opened(place) as file:
                status = os.fstat(file)
                self._refuse_secret_link(place.path, status)
                size = status.st_size
                if size <= limit_bytes:
                    data = b"".join(chunks(file, place, limit_bytes + 1))
                    size = max(size, len(data))
                if size > limit_bytes:
                    raise too_large(place.path, size, limit_bytes)
        refuse_secret(place.path, data)
        self._refuse_secret_elsewhere(place.path, status, data)
        return FileContent(place.path, data)

    @contextmanager
    def opened(self, path: str) -> Iterator[tuple[FilePlace, int]]:
        """Open the file at *path* for reading; give its place and a descriptor. It must exist."""
        with self._descent() as descent:
            place = descent.to(path)
            if place.status is None:
                raise ToolError(f"there is no file {quoted(path)}; list_files shows what there is")
            with opened(place) as file:
                status, data = os.fstat(file), os.pread(file, _CHUNK, 0)
                self._refuse_secret_link(place.path, status)
                refuse_secret(place.path, data)
                self._refuse_secret_elsewhere(place.path, status, data)
                yield place, file

    def size_bytes(self, path: str) -> int:
        """Return the size of the file at *path*; 0 if it does not exist."""
        with self._descent() as descent:
            status = descent.to(path).status
        return 0 if status is None else status.st_size

    def shared_identity(self, path: str) -> tuple[int, int] | None:
        """Return what the names of one file (hard links) have in common; ``None`` if it has only this one."""
        with self._descent() as descent:
            status = descent.to(path).status
        return None if status is None or status.st_nlink < 2 else (status.st_dev, status.st_ino)

    def sha256(self, path: str) -> str | None:
        """Return the hash of the file at *path*; ``None`` if it does not exist."""
        with self._descent() as descent:
            place = descent.to(path)
            return None if place.status is None else hash_of(place)

    def asked_for(self, path: str) -> str:
        """Return why a person is asked before *path* is written, as :meth:`write` has it; empty if nobody is.

        Raises :exc:`~sunwell.errors.ToolError` if it is never written.
        """
        with self._descent() as descent:
            place = descent.to(path)
            kind = self._refuse_closed(descent, place)
            self._refuse_own_code(descent, place)
        return "" if kind is None else kind.why

    def write(
        self,
        path: str,
        data: bytes,
        before: str | None,
        *,
        restores: bool = False,
        allowed: bool = False,
    ) -> None:
        """Write *data* to *path* atomically, if the hash of the file is still *before*.

        Missing folders are created. The mode of an existing file is kept. A file with several names (hard
        links) keeps them all: it is written in place, which is not atomic. The file is durable when this
        returns. The code of the running program is rejected, unless the write *restores* the state
        before a run. So is a file that other programs run by themselves, unless a person has *allowed* it;
        repositories and Sunwell's own configuration are always rejected.
        """
        with self._descent() as descent:
            place = descent.to(path)
            kind = self._refuse_closed(descent, place)
            if not restores:
                self._refuse_own_code(descent, place)
                if kind is not None and not allowed:
                    raise not_allowed(place.path, kind.why)
            mode = mode_for_writing(place)
            if place.status is not None and place.status.st_nlink > 1:
                with told(place.path):
                    write_through(place, data, before)
                return
            if place.missing:
                require_still(place, before)  # before any folders are created
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
        """Delete the file at *path* if its hash is still *before*."""
        with self._descent() as descent:
            place = descent.to(path)
            self._refuse_closed(descent, place)
            require_still(place, before)
            with told(place.path):
                os.unlink(place.name, dir_fd=place.folder)
                os.fsync(place.folder)

    def entries(self, path: str, most: int | None = None) -> list[FolderEntry] | None:
        """Return the entries of the folder at *path*, sorted by name, without following links.

        ``None`` if *path* does not exist. Private entries are left out. Only the first *most* in the order
        of the file system are looked at, if it is given.
        """
        return self.first_entries(path, most)[0]

    def first_entries(self, path: str, most: int | None) -> tuple[list[FolderEntry] | None, bool]:
        """Return what :meth:`entries` does, and whether the folder has more entries than were looked at."""
        with self._descent() as descent:
            place = descent.to(path)
            if place.status is None:
                return None, False
            if not place.is_folder:
                raise ToolError(f"{quoted(place.path)} is {kind_of(place.status)}, not a folder")
            with told(place.path or "."):
                folder = os.open(place.name, FOLDER, dir_fd=place.folder)
                try:
                    above = place.path.rpartition("/")[2] or self.root.name
                    found, has_more = _entries(folder, place.path, above, most)
                    shown = self._shown(found)
                    if closed := self._closed:
                        shown = [entry for entry in shown if folded_path(entry.path) not in closed]
                    return shown, has_more
                finally:
                    os.close(folder)

    def _shown(self, entries: list[FolderEntry]) -> list[FolderEntry]:
        if not self.hidden:
            return entries
        return [
            one
            for one in entries
            if not self.hidden.hides(
                same_letters(one.path), is_folder=one.kind == "folder", is_link=one.kind == "link"
            )
        ]

    @functools.cached_property
    def _closed(self) -> dict[str, str]:
        """Files and folders of the user's that no tool opens, in small letters, and why."""
        hidden = ("secret", "repository")
        of_user = self._named.of_user.items()
        return {folded_path(path): kind.why for path, kind in of_user if kind.level in hidden}

    def _refuse_own_code(self, descent: Descent, place: FilePlace) -> None:
        require_not_own(self.root, descent.folders, place.path, place.status)

    def _refuse_closed(self, descent: Descent, place: FilePlace) -> ProtectedKind | None:
        """Raise if the file at *place* is never written; return its kind if a person must be asked."""
        name = place.missing[0] if place.missing else place.name
        if _is_in_repository(descent.folders, place, name) or any(map(_is_repository, self.root.parents)):
            raise ToolError(
                f"{quoted(place.path)} is not written: it would be, or is, part of a git repository, and git "
                "runs what a repository's files name; choose other names or another folder"
            )
        named = (kind_of_path(place.path, self.root.name), self._named.kind_of(place.path))
        kind = strongest(*named, None if place.status is None else self._links.kind_of(place.status))
        if kind is not None and kind.level != "asked":
            raise ToolError(f"{quoted(place.path)} is not written: {kind.why}")
        return kind

    def _refuse_secret_link(self, path: str, status: os.stat_result) -> None:
        if status.st_nlink < 2:
            return
        kind = self._links.kind_of(status)
        if kind is not None and kind.level in ("secret", "repository"):
            raise ToolError(f"{quoted(path)} is refused: it has another name (a hard link), and {kind.why}")

    def _refuse_secret_elsewhere(self, path: str, status: os.stat_result, data: bytes) -> None:
        if status.st_nlink < 2:
            return
        why = secret_of_elsewhere(data)
        if why is not None and self._links.has_other_names(status):
            raise ToolError(
                f"{quoted(path)} is refused: it has another name (a hard link) outside of the workspace, and "
                f"{why}; do without it, or say that a copy of it is needed in its place"
            )

    def _descent(self) -> Descent:
        return Descent(
            self.root,
            self._aliases,
            self._folds_case,
            self.identity,
            closed=self._closed,
            hidden=self.hidden,
        )


def refuse_secret(path: str, data: bytes) -> None:
    """Raise :exc:`~sunwell.errors.ToolError` if *data*, the content of the file at *path*, is a secret."""
    why = secret_in(path, data)
    if why is not None:
        raise ToolError(f"{quoted(path)} is refused: {why}")


def not_allowed(path: str, why: str) -> ToolError:
    """Return the error that nobody may be asked for a write to *path*."""
    return ToolError(
        f"{quoted(path)} was not written: {why}, so only a person can allow it (--approve, or --allow-write "
        "with its path); do not try it again, do the rest, and say at the end what should stand in it"
    )


def _is_in_repository(folders: Sequence[int], place: FilePlace, name: str) -> bool:
    """Whether a folder on the way to *place* is a repository of git, or would be one with *name* in it."""
    if place.name == ".":
        return any(map(_is_repository, folders))
    return any(map(_is_repository, folders[:-1])) or _is_repository(folders[-1], name)


def _is_repository(folder: int | Path, new: str = "") -> bool:
    """Whether git takes *folder*, with an entry called *new*, for a repository."""
    new = "HEAD" if new.lower() == "head" else new.lower()
    if new != "HEAD" and not _has(folder, "HEAD"):
        return False
    there = [name for name in ("refs", "objects", "commondir") if name == new or _has(folder, name)]
    return is_git_folder(("HEAD", *there))


def _has(folder: int | Path, name: str) -> bool:
    try:
        if isinstance(folder, int):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
        else:
            os.lstat(folder / name)
    except OSError:
        return False
    return True


def _entries(folder: int, path: str, above: str, most: int | None) -> tuple[list[FolderEntry], bool]:
    found = []
    with os.scandir(folder) as items:
        for item in islice(items, most):
            if rules_for(item.name) and why_private(item.name, above) is not None:
                continue
            where = f"{path}/{item.name}" if path else item.name
            if item.is_symlink():
                found.append(FolderEntry(where, "link"))
            elif item.is_dir(follow_symlinks=False):
                found.append(FolderEntry(where, "folder"))
            elif item.is_file(follow_symlinks=False):
                found.append(FolderEntry(where, "file", _size(item)))
            else:
                found.append(FolderEntry(where, "other"))
        has_more = next(items, None) is not None
    return sorted(found, key=lambda entry: entry.path), has_more


def _size(item: "os.DirEntry[str]") -> int:
    try:
        return item.stat(follow_symlinks=False).st_size
    except FileNotFoundError:  # deleted in the meantime
        return 0


@attrs.define(eq=False)
class FileReader:
    """Reads many files of a workspace by the paths that its entries have.

    The folder of the last file stays open, so that files in one folder cost little. Links are not followed.
    """

    workspace: Workspace
    _descent: Descent | None = attrs.field(default=None, init=False)
    _path: str | None = attrs.field(default=None, init=False)
    _folder: int = attrs.field(default=-1, init=False)

    def __enter__(self) -> "FileReader":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()

    def read(self, path: str, limit_bytes: int) -> bytes:
        """Return the content of the file at *path*; raises :exc:`~sunwell.errors.ToolError`."""
        folder, _, name = path.rpartition("/")
        if folder != self._path:
            self._leave()
            self._enter(folder)
        try:  # as in told(), which would take a good part of the time
            file = os.open(name, _READ, dir_fd=self._folder)
            try:
                status = os.fstat(file)
                if not stat.S_ISREG(status.st_mode):
                    raise ToolError(f"{quoted(path)} is {kind_of(status)}, not a file")
                if status.st_size > limit_bytes:
                    raise too_large(path, status.st_size, limit_bytes)
                if status.st_nlink > 1:
                    self.workspace._refuse_secret_link(path, status)
                data = os.read(file, status.st_size + 1)
                if len(data) != status.st_size:  # it grows, or it has no size as in /proc
                    rest = iter(lambda: os.read(file, _CHUNK), b"")
                    data = b"".join([data, *islice(rest, limit_bytes // _CHUNK + 1)])
                if may_be_secret(name, data):
                    refuse_secret(path, data)
                if status.st_nlink > 1:
                    self.workspace._refuse_secret_elsewhere(path, status, data)
                return data
            finally:
                os.close(file)
        except OSError as error:
            raise refusal(path, error) from None

    def _enter(self, folder: str) -> None:
        descent = self.workspace._descent()
        with ExitStack() as opening:
            opening.enter_context(descent)
            place = descent.to(folder)
            with told(folder):
                self._folder = os.open(place.name, FOLDER, dir_fd=place.folder)
            opening.pop_all()  # it stays open until the next folder
        self._descent, self._path = descent, folder

    def _leave(self) -> None:
        if self._descent is not None:
            os.close(self._folder)
            self._descent.__exit__(None, None, None)
        self._descent = self._path = None
