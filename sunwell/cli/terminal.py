"""The terminal: its width, and streams that cannot be written."""

import errno
import io
import os
import shutil
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TextIO

from sunwell.cli.exit_codes import FAILED, READER_GONE, OutputFailed

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PLAIN_WIDTH = 100


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()  # None if it is closed


def terminal_width() -> int:
    """Return the width of the terminal at standard output in columns; of a page if there is none."""
    return shutil.get_terminal_size().columns if is_terminal() else PLAIN_WIDTH


def fitted(line: str, indent: int = 0) -> str:
    """Return *line* wrapped to the terminal's width; elsewhere it stays one line, for programs."""
    return broken(line, terminal_width(), indent) if is_terminal() else line


def fitted_error(line: str, indent: int = 0) -> str:
    """Return *line* wrapped to the width of the terminal at standard error; elsewhere it stays one line."""
    if sys.stderr is None or not sys.stderr.isatty():
        return line
    try:
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError):
        width = 0
    return broken(line, width if width > 0 else PLAIN_WIDTH, indent)


def broken(line: str, width: int, indent: int = 0) -> str:
    """Return *line* wrapped between words at *width*; from the second line on indented by *indent*."""
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines)


class _Descriptor(io.FileIO):
    """A file descriptor that remembers its first failure."""

    failure: OSError | None = None

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            return super().write(data)
        except BlockingIOError:
            raise
        except OSError as error:
            self.failure = self.failure or error
            return self._failed(error, memoryview(data).nbytes)

    def _failed(self, error: OSError, size_bytes: int) -> int:
        raise OutputFailed(error.errno, error.strerror) from None

    def silence(self) -> None:
        """Redirect the descriptor to the null device, so that the interpreter's last flush cannot fail."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


class _Errors(_Descriptor):
    """Standard error: a command does its work even if it cannot report it."""

    def _failed(self, error: OSError, size_bytes: int) -> int:
        return size_bytes


def exit_after(command: Callable[[], object]) -> NoReturn:
    """Run *command* and exit with its code.

    If standard output cannot be written, the exit code is 1 and standard error says why; if its
    reader is gone, the code is 141 and nothing is printed. Messages that standard error cannot take
    are lost and change nothing else.
    """
    _fill_closed_descriptors()
    output = _replaced(sys.stdout, _Descriptor)
    errors = _replaced(sys.stderr, _Errors)
    if output is not None:
        sys.stdout = output[0]
    if errors is not None:
        sys.stderr = errors[0]
    code: str | int | None = 0
    try:
        command()
    except SystemExit as ended:
        code = ended.code
    except OutputFailed:
        code = FAILED
    finally:  # also for a bug: a second traceback must not follow the first
        failure = None if output is None else _flushed(*output)
    if failure is not None:
        code = READER_GONE if failure.errno == errno.EPIPE else code or FAILED
        if code != READER_GONE:
            print(
                f"sunwell: cannot write to standard output ({failure.strerror}): "
                "check that its disk has space, or redirect it",
                file=sys.stderr,
            )
    sys.exit(code)


def _flushed(stream: TextIO, descriptor: _Descriptor) -> OSError | None:
    """Flush *stream* and return what went wrong with it since it was opened."""
    with suppress(OutputFailed):  # the descriptor remembers it
        stream.flush()
    if descriptor.failure is not None:
        descriptor.silence()
        stream.flush()
    return descriptor.failure


def _replaced(stream: TextIO | None, kind: type[_Descriptor]) -> tuple[TextIO, _Descriptor] | None:
    """Return a stream like *stream* over a descriptor of *kind*; ``None`` if it has no descriptor."""
    if not isinstance(stream, io.TextIOWrapper):
        return None
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return None
    stream.flush()
    descriptor = kind(number, "wb", closefd=False)
    at_once = stream.line_buffering or stream.write_through
    text = io.TextIOWrapper(
        io.BufferedWriter(descriptor), stream.encoding, stream.errors, line_buffering=at_once
    )
    return text, descriptor


def _fill_closed_descriptors() -> None:
    """Open the null device as each standard descriptor that is closed.

    Otherwise the next opened file, such as a run's journal, becomes standard output or standard error
    of every program that is started.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            if opened != number:
                os.dup2(opened, number)
                os.close(opened)
            os.set_inheritable(number, True)
