"""The file under a journal: what the journal asks of it, and the real one."""

import errno
import fcntl
import functools
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

import attrs

from sunwell.errors import JournalError
from sunwell.journal.folders import open_file, open_folder
from sunwell.journal.power import boot_id

# FALLOC_FL_KEEP_SIZE of linux/falloc.h. A longer file would end in bytes of zero, which after a crash look
# like blocks that were lost.
_KEEP_SIZE = 1
# Only macOS has it: fsync there leaves the data in the drive's own cache.
_FULL_SYNC: int = getattr(fcntl, "F_FULLFSYNC", 51)
_FAILED = ".unsynced"
_ADVICE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "make it writable",
    errno.EPERM: "make it writable",
    errno.EROFS: "use a folder that can be written",
    errno.EISDIR: "move the folder out of the way",
    errno.ELOOP: "replace the link by a real file",
    errno.EEXIST: "take that run up, or give the new one another id",
    errno.ENOENT: "check the path",
    errno.ENOTDIR: "check the path",
}


class Disk(Protocol):
    """One open file that a journal is written to. Every method may block, and may raise OSError."""

    @property
    def threaded(self) -> bool:
        """Whether :meth:`sync` takes long enough to be worth a thread of its own."""
        ...

    @property
    def boot(self) -> str:
        """Which start of the machine this is; empty if the system does not say."""
        ...

    def size(self) -> int:
        """Return the number of bytes in the file."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*; none at the end."""
        ...

    def write(self, data: bytes) -> None:
        """Add all of *data* at the end. After an error, a part of it may be there."""
        ...

    def sync(self) -> None:
        """Return once all that was written before would survive a loss of power."""
        ...

    def truncate(self, size: int) -> None:
        """Cut the file to *size* bytes and give back what is allocated past them."""
        ...

    def allocate(self, offset: int, size: int) -> None:
        """Make sure that *size* bytes from *offset* can be written without filling the disk."""
        ...

    def set_aside(self, data: bytes) -> None:
        """Keep *data*, which is about to be cut off, in a file beside this one, durably."""
        ...

    def close(self) -> None:
        """Give up the file and its lock."""
        ...


@contextmanager
def as_journal_error(path: Path, doing: str) -> Iterator[None]:
    """Turn an OSError into a JournalError of one sentence: what, where, what to do."""
    try:
        yield
    except OSError as error:
        raise JournalError(sentence(path, doing, error)) from error


def sentence(path: Path, doing: str, error: OSError) -> str:
    """Return one sentence that says that *doing* something to *path* failed, and what to do."""
    reason = error.strerror or str(error) or type(error).__name__
    advice = _ADVICE.get(error.errno or 0, "check the disk")
    return f"the journal {path} cannot be {doing} ({reason}): {advice}"


@attrs.define(eq=False)
class PosixDisk:
    """A real file, mode 0600, held under a lock that ends with the process."""

    path: Path
    _file: int
    _lock: int
    threaded: bool = True
    """False syncs on the event loop itself: for a virtual clock, which knows no threads."""
    boot: str = attrs.field(factory=boot_id, init=False)
    """Which start of the machine this is; empty also if a sync of the file has failed before."""
    _folder: int = -1
    """The open folder of a new file, until the first sync makes its name and that of the file durable."""

    @classmethod
    def create(cls, path: Path, *, threaded: bool = True, folder: int | None = None) -> Self:
        """Make the file, which must not exist, in its folder, which must exist and may be new as well.

        *folder* is that folder if it is open already; it is closed here or by the disk. The first
        :meth:`sync` makes the names of both durable, too: file systems do all three in one step if nothing
        else is made durable in between.
        """
        if folder is None:
            with as_journal_error(path, "created"):
                folder = open_folder(path.parent)
        try:
            made = cls._locked(path, "created", os.O_CREAT | os.O_EXCL, threaded, folder)
        except BaseException:
            os.close(folder)
            raise
        made._folder = folder
        return made

    @classmethod
    def open(cls, path: Path, *, threaded: bool = True) -> Self:
        """Open the file for appending.

        Raises :exc:`~sunwell.errors.JournalError` if another process has it, or it is no file
        that can be written.
        """
        with as_journal_error(path, "opened"):
            folder = open_folder(path.parent)
            try:
                return cls._locked(path, "opened", 0, threaded, folder)
            finally:
                os.close(folder)

    @classmethod
    def _locked(cls, path: Path, doing: str, flags: int, threaded: bool, folder: int) -> Self:
        try:
            if not flags:  # without a journal, no lock is left behind
                os.close(open_file(path, folder=folder))
            lock = _take_lock(path, folder)  # first: two processes must not both find the file and repair it
            try:
                file = open_file(path, flags | os.O_RDWR | os.O_APPEND, folder=folder)
            except (OSError, JournalError):
                os.close(lock)
                raise
        except OSError as error:
            raise JournalError(sentence(path, doing, error)) from error
        made = cls(path, file, lock, threaded)
        if not flags and path.with_suffix(_FAILED).exists():
            made.boot = ""
        return made

    def size(self) -> int:
        """Return the number of bytes in the file."""
        return os.fstat(self._file).st_size

    def read(self, offset: int, size: int) -> bytes:
        """Return up to *size* bytes from *offset*; none at the end."""
        return os.pread(self._file, size, offset)

    def write(self, data: bytes) -> None:
        """Add all of *data* at the end."""
        # A write may be short on a disk that is nearly full; the next one then gets the error.
        written = os.write(self._file, data)
        while written < len(data):
            written += os.write(self._file, data[written:])

    def sync(self) -> None:
        """Return once all that was written before would survive a loss of power.

        If that fails, a file beside this one says so: what was written may be lost at any time, and whoever
        opens the journal must not trust that it has all records.
        """
        try:
            self._sync()
        except OSError:
            with suppress(OSError, JournalError):
                os.close(open_file(self.path.with_suffix(_FAILED), os.O_WRONLY | os.O_CREAT))
            raise

    def _sync(self) -> None:
        if sys.platform == "darwin":
            _sync_drive(self._file)
        else:
            os.fdatasync(self._file)
        if self._folder >= 0:  # a sync of the file makes neither its name durable nor that of its folder
            os.fsync(self._folder)
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._folder)
            try:
                os.fsync(above)
            finally:
                os.close(above)
            self._leave_folder()

    def truncate(self, size: int) -> None:
        """Cut the file to *size* bytes and give back what is allocated past them."""
        os.ftruncate(self._file, size)

    def allocate(self, offset: int, size: int) -> None:
        """Take the blocks if the system can do so without a longer file; else look for room."""
        if _allocate_blocks(self._file, offset, size):
            return
        free = os.fstatvfs(self._file)
        if free.f_bavail * free.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def set_aside(self, data: bytes) -> None:
        """Add *data* to ``journal.torn`` beside the file."""
        beside = self.path.with_suffix(".torn")
        kept = PosixDisk(beside, open_file(beside, os.O_WRONLY | os.O_CREAT | os.O_APPEND), -1)
        try:
            kept.write(data)
            kept.sync()
        finally:
            os.close(kept._file)
        sync_folder(beside.parent)

    def close(self) -> None:
        """Give up the file and its lock."""
        self._leave_folder()
        os.close(self._file)
        os.close(self._lock)

    def _leave_folder(self) -> None:
        folder, self._folder = self._folder, -1
        if folder >= 0:
            os.close(folder)


def sync_folder(folder: Path) -> None:
    """Make the names in *folder* durable."""
    handle = open_folder(folder)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _sync_drive(file: int) -> None:
    try:
        fcntl.fcntl(file, _FULL_SYNC)
    except OSError as error:
        if error.errno not in (errno.ENOTSUP, errno.ENOTTY, errno.EINVAL):
            raise
        os.fsync(file)  # network file systems do not know the call


def _take_lock(path: Path, folder: int) -> int:
    # A file of its own: it can name the holder, and readers of the journal never meet it.
    lock = open_file(f"{_without_ending(path)}.lock", os.O_RDWR | os.O_CREAT, folder=folder)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        said = os.pread(lock, 20, 0).strip()
        holder = said.decode() if said.isdigit() else "unknown"
        os.close(lock)
        raise JournalError(
            f"the journal {path} is in use by process {holder}: wait until it ends, or end it"
        ) from None
    if os.fstat(lock).st_size:  # the name of an earlier holder, which may be longer
        os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _without_ending(path: Path) -> str:
    text = os.fspath(path)
    return text[: len(text) - len(path.suffix)]


def _allocate_blocks(file: int, offset: int, size: int) -> bool:
    fallocate = _fallocate()
    if fallocate is None:
        return False
    while (code := fallocate(file, offset, size)) == errno.EINTR:
        pass
    if code in (errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
        return False
    if code:
        raise OSError(code, os.strerror(code))
    return True


@functools.cache
def _fallocate() -> Callable[[int, int, int], int] | None:
    """Return Linux's call that allocates and keeps the size, which ``os`` does not offer."""
    if sys.platform != "linux":
        return None
    import ctypes

    library = ctypes.CDLL(None, use_errno=True)
    call = getattr(library, "fallocate64", None) or getattr(library, "fallocate", None)
    if call is None:
        return None
    call.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)

    def allocate(file: int, offset: int, size: int) -> int:
        return ctypes.get_errno() if call(file, _KEEP_SIZE, offset, size) else 0

    return allocate
