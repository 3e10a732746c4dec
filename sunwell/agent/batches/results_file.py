"""The results of a batch as JSON Lines: whole at every moment, in the order of input at the end."""

import errno
import json
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import attrs

from sunwell.core.task import TaskResult
from sunwell.core.verdict import verification_fields
from sunwell.errors import ConfigurationError, JournalError


@attrs.define(eq=False)
class ResultsFile:
    """Holds one line for each result. Lines are only added, each in one piece, until :meth:`finish`.

    A resumed run continues with the same file: a result that is already in it is not added twice.
    :meth:`finish` puts the lines in order and replaces the file at once, durably.
    """

    path: Path
    repair: str = ""
    """What :meth:`open` cut out of the file, in a sentence; empty if the file was intact."""
    _lines: dict[int, str] = attrs.field(factory=dict, init=False)

    @classmethod
    def open(cls, path: Path, *, resumed: bool, count: int) -> "ResultsFile":
        """Begin a file for *count* results, or continue with it if the run is *resumed*.

        What a crash or a loss of power left damaged is cut out, kept in ``NAME.torn`` beside the file, and
        told in ``repair``: the run writes these results again from its journal. A whole result stays, also
        without its line end. Raises :exc:`~sunwell.errors.ConfigurationError` if the file cannot be read
        or written, or holds the results of another run; it is not changed then.
        """
        file = cls(path)
        try:
            data = _read(path)
            if data and not resumed:
                raise _not_empty(path)
            damaged = [line for line in data.splitlines(keepends=True) if not file._take(line, count)]
            path.parent.mkdir(parents=True, exist_ok=True)
            if damaged:
                file._set_aside(b"".join(damaged))
            file._replace()
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(f"the results cannot be written to {path}: {reason}") from None
        return file

    @classmethod
    def require_new(cls, path: Path) -> None:
        """Refuse *path* for the results of a new run, before there is one; nothing is written.

        Raises :exc:`~sunwell.errors.ConfigurationError` as :meth:`open` would.
        """
        try:
            if _read(path):
                raise _not_empty(path)
            place = path if path.exists() else _existing_folder(path)
            if not os.access(place, os.W_OK):
                raise ConfigurationError(f"the results cannot be written to {path}: {place} is not writable")
            if place.is_dir():
                with TemporaryFile(dir=place):  # some file systems promise more than they keep
                    pass
        except OSError as error:
            reason = error.strerror or error
            raise ConfigurationError(f"the results cannot be written to {path}: {reason}") from None

    def add(self, index: int, result: TaskResult) -> None:
        """Add the result of the task at *index*; one that was cancelled is no result yet.

        Raises :exc:`~sunwell.errors.JournalError` if the file cannot be written.
        """
        if result.status == "cancelled":
            return
        line = json.dumps({"index": index, **result_fields(result)}, ensure_ascii=False)
        line = line.encode("utf-8", "replace").decode()
        known = index in self._lines
        self._lines[index] = line
        if known:
            return  # the new one stands in the file from finish() on; until then the old one does
        with self._failing():
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
            try:
                data = memoryview(f"{line}\n".encode())
                while data:  # mostly one call; a disk that is nearly full takes a part
                    data = data[os.write(descriptor, data) :]
            finally:
                os.close(descriptor)

    def finish(self) -> None:
        """Put the lines in the order of input, durably."""
        with self._failing():
            self._replace()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or error
            raise JournalError(
                f"the results file {self.path} cannot be written ({reason}): make room for it, or name "
                "another one with --results; the journal of the run has all results"
            ) from error

    def _take(self, line: bytes, count: int) -> bool:
        """Keep *line* if it is the whole result of one of *count* tasks; return whether nothing was lost."""
        text = line.rstrip(b"\r\n")
        if not text:
            return True
        try:
            fields = json.loads(text.decode())
        except (ValueError, RecursionError):  # includes text that is not UTF-8
            return False
        if (
            not isinstance(fields, dict)
            or set(fields) - _LATER != _FIELDS
            or type(fields["index"]) is not int
        ):
            return False
        if not 0 <= fields["index"] < count:
            raise ConfigurationError(
                f"{self.path} holds results of another run (index {fields['index']}): name another file"
            )
        self._lines[fields["index"]] = text.decode()
        return True

    def _set_aside(self, data: bytes) -> None:
        """Keep what is cut out before the file is replaced: it may be all that somebody has."""
        torn = self.path.with_name(f"{self.path.name}.torn")
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        _write(os.open(torn, flags, 0o600), data)
        self.repair = f"{len(data):,} bytes of {self.path} were not whole results; they are kept in {torn}"

    def _replace(self) -> None:
        temporary = _beside(self.path)
        temporary.unlink(missing_ok=True)  # a link left there must not be followed
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        lines = "".join(f"{self._lines[index]}\n" for index in sorted(self._lines))
        _write(os.open(temporary, flags, 0o666), lines.encode())
        temporary.replace(self.path)


def _beside(path: Path) -> Path:
    """Return the name of a file that takes the place of *path*; a long name must not become too long."""
    return path.with_name(f".{path.name[:40]}.{os.getpid()}.tmp")


def _not_empty(path: Path) -> ConfigurationError:
    return ConfigurationError(
        f"{path} is not empty: name another file, or go on with its run by sunwell resume"
    )


def _existing_folder(path: Path) -> Path:
    """Return the folder above *path* in which missing folders would be made."""
    folder = next(place for place in path.absolute().parents if os.path.lexists(place))
    if not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
    return folder


def _read(path: Path) -> bytes:
    """Return the content of *path*, nothing if there is no such file. Raises :exc:`OSError`."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not block us
    except FileNotFoundError:
        return b""
    with os.fdopen(file, "rb") as opened:
        if not stat.S_ISREG(os.fstat(opened.fileno()).st_mode):
            raise ConfigurationError(f"the results cannot be written to {path}: it is not a file")
        return opened.read()


def _write(file: int, data: bytes) -> None:
    """Write all of *data* durably, and close *file*."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(file, view) :]
        os.fsync(file)
    finally:
        os.close(file)


def result_fields(result: TaskResult) -> dict[str, Any]:
    """Return *result* as JSON values: what the worker says, and apart from it what was recorded."""
    usage, cost = result.bill.usage, result.bill.cost_usd
    return {
        "task_id": result.task_id,
        "task": result.task,
        "status": result.status,
        "stop_reason": result.stop_reason,
        "summary": result.summary,
        "answer": result.answer,
        "answer_by": result.answer_by,
        "error": result.error,
        "turns": result.turns,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": None if cost is None else str(cost),
        "duration_seconds": round(result.duration_seconds, 3),
        "receipts": {
            "files": [attrs.asdict(change) for change in result.files],
            "commands": [attrs.asdict(command) for command in result.commands],
            "tools_called": dict(result.tools_called),
        },
        "conflicts": [attrs.asdict(conflict) for conflict in result.conflicts],
        "unresolved": list(result.unresolved),
        "verification": verification_fields(result.verification),
    }


_LATER = frozenset({"answer_by", "unresolved", "verification"})
"""Names that lines of older versions lack."""
_FIELDS = frozenset({"index", *result_fields(TaskResult("", "ok", "end"))}) - _LATER
"""The names in a line of any version. A line that lacks one was cut off, or something else wrote it."""
