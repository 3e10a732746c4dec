"""The one place that writes to the terminal. A test finds any other.

Texts of models, files, tools, providers, journals and configurations come through here. What a terminal acts
on or does not show is written out as an escape, and a line stays one line. Only styles and the cursor
movements of the live view are written as they are, and nobody else can give them.
"""

import io
import logging
import os
import select
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

    from sunwell.cli.colours import Palette


class Screen(io.TextIOWrapper):
    """A standard stream that shows control characters instead of sending them, whoever writes to it."""

    def write(self, text: str, /) -> int:
        """Write *text*, safe for a terminal; also what Python or a library prints."""
        from sunwell.tools.wording import shown

        super().write(text if text.isascii() and text.isprintable() else shown(text))
        return len(text)

    def write_own(self, text: str) -> int:
        """Write *text* as it is: Sunwell's styles and cursor movements around texts that are safe."""
        return super().write(text)


@contextmanager
def holding() -> Iterator[None]:
    """Keep all lines back while the context is open; they are written at its end, in their order.

    Only :func:`say_now` writes meanwhile: nothing comes between a question and its answer.
    """
    global _held
    before, _held = _held, [] if _held is None else _held
    try:
        yield
    finally:
        held, _held = _held, before
        if before is None:
            for write in held:
                write()


_held: list[Callable[[], None]] | None = None
_above: Callable[[str], None] | None = None


@contextmanager
def above(say_above: Callable[[str], None]) -> Iterator[None]:
    """Have *say_above* print each line for standard error, such as a warning, above a live view."""
    global _above
    before, _above = _above, say_above
    try:
        yield
    finally:
        _above = before


def when_free(write: Callable[[], None]) -> None:
    """Call *write* now, or when no question is open any more."""
    if _held is None:
        write()
    else:
        _held.append(write)


def say(
    line: str = "",
    *,
    err: bool = False,
    wrap: int | None = None,
    palette: "Palette | None" = None,
    **style: Any,
) -> None:
    """Print *line* to standard output, or with *err* to standard error.

    It stays one line: a line break in it is shown as an escape. In a terminal, with *wrap*, it is wrapped
    between words, from the second line on indented by *wrap* columns. *style* is that of ``click.style`` for
    the whole line, *palette* colours parts of it.
    """
    if err and _above is not None and not style:
        _above(line)
    else:
        when_free(lambda: say_now(line, err=err, wrap=wrap, palette=palette, **style))


def say_now(
    line: str = "",
    *,
    err: bool = False,
    wrap: int | None = None,
    end: str = "\n",
    palette: "Palette | None" = None,
    **style: Any,
) -> None:
    """Print *line* as :func:`say`, also while all others wait; *end* follows it."""
    from sunwell.cli.terminal import fitted, fitted_error
    from sunwell.tools.wording import shown

    line = shown(line, kept="\t")
    if wrap is not None:
        line = (fitted_error if err else fitted)(line, wrap)
    _write(line, end, err, style, palette)


def say_text(text: str, *, err: bool = False) -> None:
    """Print *text* of several lines that is not Sunwell's, such as an answer, and a line break.

    See :func:`~sunwell.report.figures.printable`. A line that a terminal would break so that its rest looks
    like a line of Sunwell's report is broken here, with a sign before the rest.
    """
    from sunwell.report.figures import printable

    safe = printable(text)
    stream = sys.stderr if err else sys.stdout
    if stream is not None and stream.isatty():
        safe = _broken_visibly(safe, err)
    when_free(lambda: _write(safe, "\n", err, {}))


def _broken_visibly(safe: str, err: bool) -> str:
    from sunwell.cli.change_text import FOLDED
    from sunwell.cli.terminal import error_width, terminal_width
    from sunwell.core.marks import guarded_from_report
    from sunwell.report.figures import pieces

    width = error_width() if err else terminal_width()
    lines = safe.split("\n")
    for number, line in enumerate(lines):
        if len(line) * 2 > width:
            first, *rest = pieces(line, max(2, width))
            below = "\n".join(rest)
            if guarded_from_report(below) != below:
                lines[number] = "\n".join([first, *(f"{FOLDED}{piece}" for piece in rest)])
    return "\n".join(lines)


def say_told(text: str) -> None:
    """Print *text*, an error or a warning of several lines, to standard error.

    Its first line is Sunwell's. Of the others, one that looks like a line of the report gets a backslash: an
    error repeats what others said.
    """
    from sunwell.report.figures import printable

    first, *rest = text.split("\n")
    for line in [first, *map(printable, rest)]:
        say(line, err=True)


def say_change(text: str, *, err: bool = False) -> None:
    """Print *text*, what a dry run would have done, as a person would see it who is asked to approve it."""
    from sunwell.cli.change_text import change_lines, is_diff
    from sunwell.cli.terminal import error_width, terminal_width

    for row in change_lines(text, error_width() if err else terminal_width(), is_diff=is_diff(text)):
        say(row.text, err=err, fg=row.colour)


def say_json(text: str) -> None:
    """Print *text*, which is JSON; what standard output cannot take or a terminal acts on becomes escapes."""
    import codecs

    from sunwell.report.figures import json_shown

    is_utf8 = codecs.lookup(getattr(sys.stdout, "encoding", None) or "utf-8").name == "utf-8"
    _write(json_shown(text, ascii_only=not is_utf8), "\n", False, {})


def say_page(page: str) -> None:
    """Write *page*, a file for a browser, to standard output, which must not be a terminal."""
    if sys.stdout is not None:
        sys.stdout.flush()
        sys.stdout.buffer.write(page.encode("utf-8"))
        sys.stdout.flush()


def flush() -> None:
    """Write out what is kept back in a buffer, if that is possible."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()


def say_at_once(data: bytes, *, err: bool = True) -> None:
    """Write *data*, Sunwell's own, while the process is being ended; nothing if that would have to wait."""
    number = 2 if err else 1
    with suppress(OSError):  # a reader that is stuck or gone must not keep the process alive
        if select.select([], [number], [], 0)[1]:
            os.write(number, data)


def silence_errors() -> None:
    """Have the process say nothing on standard error any more, whoever writes to it."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)


def _write(safe: str, end: str, err: bool, style: dict[str, Any], palette: "Palette | None" = None) -> None:
    stream = sys.stderr if err else sys.stdout
    if stream is None:  # it was closed from the beginning
        return
    text = safe
    if (any(style.values()) or palette is not None) and _has_colours(stream):
        parts = [(safe, style)] if palette is None else palette.parts(safe)
        text = "".join([click.style(part, **look) if look else part for part, look in parts])
    (stream.write_own if isinstance(stream, Screen) else stream.write)(text + end)
    stream.flush()


def _has_colours(stream: TextIO) -> bool:
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


class _Own:
    """Writes what rich draws as it is; the texts in it come from :func:`cell`."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        stream = self._stream
        return stream.write_own(text) if isinstance(stream, Screen) else stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def console(*, err: bool = False) -> "Console":
    """Return rich's console for standard output, or with *err* for standard error."""
    from rich.console import Console

    stream: Any = _Own(sys.stderr if err else sys.stdout)
    return Console(file=stream, highlight=False, markup=False, emoji=False)


def cell(text: str, style: str = "", *, no_wrap: bool = False) -> "Text":
    """Return *text* for rich: one line, safe for a terminal, and never read as markup."""
    from rich.text import Text

    from sunwell.tools.wording import shown

    return Text(shown(text, kept=""), style=style, no_wrap=no_wrap)


class _LogLines(logging.Handler):
    """Prints warnings of the log line by line."""

    def emit(self, record: logging.LogRecord) -> None:
        from sunwell.tools.environment import told_safely

        say_told(told_safely(self.format(record)))


def take_over() -> None:
    """Have warnings and tracebacks printed here, too, for the rest of the process."""
    logging.getLogger().addHandler(_LogLines(logging.WARNING))
    logging.captureWarnings(True)
    sys.excepthook = _print_bug
    threading.excepthook = lambda told: _print_bug(told.exc_type, told.exc_value, told.exc_traceback)


def _print_bug(kind: type[BaseException], error: BaseException | None, where: Any) -> None:
    from sunwell.tools.environment import told_safely

    text = "".join(traceback.format_exception(kind, error, where))
    say_told(told_safely(text).rstrip("\n"))
