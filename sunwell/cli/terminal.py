"""The terminal: its width, its encoding, and streams that cannot be read or written."""

import codecs
import errno
import io
import os
import select
import shutil
import sys
import textwrap
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

from sunwell.cli.exit_codes import FAILED, JSON_WANTED, READER_GONE, OutputFailed
from sunwell.cli.output import Screen, say, say_json

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

PLAIN_WIDTH = 100
MOST_INPUT_BYTES = 256 * 1024 * 1024
_ESCAPES = "sunwell-escapes"
_QUIET_INPUT_SECONDS = 1.0
_CHUNK_BYTES = 1 << 16


def is_terminal() -> bool:
    """Return whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()  # None if it is closed


def terminal_width() -> int:
    """Return the width of the terminal at standard output in columns; of a page if there is none."""
    return shutil.get_terminal_size().columns if is_terminal() else PLAIN_WIDTH


def error_width() -> int:
    """Return the width of the terminal at standard error in columns; of a page if there is none."""
    if sys.stderr is None or not sys.stderr.isatty():
        return PLAIN_WIDTH
    try:
        width = int(os.environ.get("COLUMNS") or os.get_terminal_size(sys.stderr.fileno()).columns)
    except (OSError, ValueError):
        width = 0
    return width if width > 0 else PLAIN_WIDTH


def fitted(line: str, indent: int = 0) -> str:
    """Return *line* wrapped to the terminal's width; elsewhere it stays one line, for programs."""
    from sunwell.tools.wording import shown

    line = shown(line, kept="\t")
    return broken(line, terminal_width(), indent) if is_terminal() else line


def fitted_lines(line: str, indent: int = 0) -> list[str]:
    """Return the lines of *line* wrapped as by :func:`fitted`; a line break in it is shown as an escape."""
    return fitted(line, indent).split("\n")


def fitted_error(line: str, indent: int = 0) -> str:
    """Return *line* wrapped to the width of the terminal at standard error; elsewhere it stays one line."""
    if sys.stderr is None or not sys.stderr.isatty():
        return line
    return broken(line, error_width(), indent)


def broken(line: str, width: int, indent: int = 0) -> str:
    """Return *line* wrapped between words at *width*; from the second line on indented by *indent*.

    A word that is longer than a line, such as a path, stays whole: it can be copied from the terminal.
    """
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines)


def read_input(what: str, advice: str = "", longest_seconds: float | None = None) -> bytes:
    """Return all of standard input, at most one byte more than :data:`MOST_INPUT_BYTES`.

    If nothing arrives for a second, standard error says that *what* is waited for: an open pipe that
    nobody writes to would look as if the command hung. *advice* follows that. Raises :exc:`OSError`, and
    :exc:`TimeoutError` if nothing at all has arrived after *longest_seconds*.
    """
    try:
        number = sys.stdin.fileno()
    except (OSError, ValueError):  # a stream without a descriptor
        return sys.stdin.buffer.read(MOST_INPUT_BYTES + 1)
    data, is_told = bytearray(), False
    while len(data) <= MOST_INPUT_BYTES:
        wait_seconds = (None if data else longest_seconds) if is_told else _QUIET_INPUT_SECONDS
        ready, _, _ = select.select([number], [], [], wait_seconds)
        if not ready:
            if is_told:
                raise TimeoutError(f"nothing arrived within {longest_seconds:g} s")
            is_told = True
            say(f"sunwell: waiting for {what} on standard input{advice}", err=True)
            continue
        chunk = os.read(number, _CHUNK_BYTES)
        if not chunk:
            break
        data += chunk
    return bytes(data)


def print_json(value: Any, indent: int | None = 2) -> None:
    """Print *value* as JSON. If standard output is not UTF-8, all other characters become JSON escapes."""
    import json

    import click

    context = click.get_current_context(silent=True)
    if context is not None:
        context.meta[JSON_WANTED] = False  # one object is on standard output; no error may add a second
    say_json(json.dumps(value, ensure_ascii=False, indent=indent))


def if_output_fails(sentence: str) -> None:
    """Let *sentence* say how to get what was printed, if standard output turns out not to take it."""
    descriptor = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    if isinstance(descriptor, _Descriptor):
        descriptor.recovery = sentence


def _escaped(error: UnicodeError) -> tuple[str, int]:
    """Return JSON escapes for characters that an encoding lacks: a person can read them, a program too."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    units = error.object[error.start : error.end].encode("utf-16-be", "surrogatepass")
    pairs = zip(units[::2], units[1::2], strict=True)
    return "".join(f"\\u{high:02x}{low:02x}" for high, low in pairs), error.end


class _Descriptor(io.FileIO):
    """A file descriptor that remembers its first failure."""

    failure: OSError | None = None
    recovery: str = ""
    """How to get what could not be printed."""

    def write(self, data: "ReadableBuffer", /) -> int:
        try:
            while (written := super().write(data)) is None:  # a pipe that does not block, and is full
                select.select([], [self.fileno()], [])
            return written
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


class _Closed(_Descriptor):
    """Standard output that was closed from the beginning: what is printed there is lost."""

    is_silenced: bool = False

    def silence(self) -> None:
        """Let the interpreter's last flush succeed."""
        self.is_silenced = True

    def write(self, data: "ReadableBuffer", /) -> int:
        if self.is_silenced:
            return memoryview(data).nbytes
        self.failure = self.failure or OSError(errno.EBADF, "it is closed")
        return self._failed(self.failure, memoryview(data).nbytes)


class _Errors(_Descriptor):
    """Standard error: a command does its work even if it cannot report it."""

    def _failed(self, error: OSError, size_bytes: int) -> int:
        return size_bytes


def exit_after(command: Callable[[], object]) -> NoReturn:
    """Run *command* and exit with its code.

    If standard output is closed or cannot be written, the exit code is 1 and standard error says why. If
    its reader is gone, the code is 141, and nothing is printed unless a paid result was lost. Messages that
    standard error cannot take are lost and change nothing else.
    """
    codecs.register_error(_ESCAPES, _escaped)
    _fill_closed_descriptors()
    output = _replaced(sys.stdout, _Descriptor) if sys.stdout is not None else _closed_output()
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
        recovery = "" if output is None else output[1].recovery
        code = READER_GONE if failure.errno == errno.EPIPE else code or FAILED
        if code != READER_GONE:
            advice = "" if failure.errno == errno.EBADF else "check that its disk has space, or "
            say(
                f"sunwell: cannot write to standard output ({failure.strerror}): {advice}redirect it"
                f"{recovery and '; '}{recovery}",
                err=True,
            )
        elif recovery:
            say(f"sunwell: standard output was closed by its reader: {recovery}", err=True)
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
    text = Screen(io.BufferedWriter(descriptor), stream.encoding, _ESCAPES, line_buffering=at_once)
    return text, descriptor


def _closed_output() -> tuple[TextIO, _Descriptor]:
    descriptor = _Closed(1, "wb", closefd=False)
    text = Screen(io.BufferedWriter(descriptor), "utf-8", _ESCAPES, line_buffering=True)
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
