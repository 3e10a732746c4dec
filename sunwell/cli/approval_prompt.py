"""``--approve``: show in the terminal what will be done, and ask."""

import asyncio
import os
import sys
from contextlib import suppress

import attrs

from sunwell.cli.change_text import change_lines
from sunwell.cli.output import say_now
from sunwell.cli.terminal import error_width
from sunwell.cli.views import View
from sunwell.core.tool import Proposal
from sunwell.errors import ConfigurationError
from sunwell.report.figures import one_line
from sunwell.tools.wording import counted

_PASTE_SECONDS = 0.05
"""Lines that come within this time were not typed one after the other."""
_ANSWERS = "(y, n, all, details, ?)"
_ALL = "approved from here on: each write, command and tool of this run, without showing it"
_HELP = (
    "y        yes, do this",
    "n        no: it is not done, and the model is told so",
    "all      yes to this and to all that this run would still ask about, not shown:",
    "         each write, command and tool of every worker. What must always be",
    "         asked is still asked. A run that is resumed asks again.",
    "details  show all of it again, nothing left out",
    "Ctrl-C   end the run; it can be resumed",
)


def require_terminal(option: str) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if there is no terminal to answer a question."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"{option} needs a terminal: run it in a terminal, or leave the option out")


@attrs.define(eq=False)
class Asker:
    """Asks about each proposal; the answer *all* means yes to everything that follows in this run."""

    view: View
    _all: bool = attrs.field(default=False, init=False)
    _turn: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    async def __call__(self, proposal: Proposal) -> bool:
        """Show *proposal* and return whether it may be done; it asks until it gets an answer.

        The end of the input means no. After *all*, only what must always be asked is shown.
        """
        async with self._turn:
            if self._all and not proposal.always:
                return True
            with self.view.paused():
                _show(proposal)
                while True:
                    match await answer(f"{_question(proposal)} {_ANSWERS} "):
                        case "y" | "yes":
                            return True
                        case "all":
                            self._all = True
                            say_now(f"  {_ALL}", err=True)
                            return True
                        case "n" | "no" | None:
                            return False
                        case "details":
                            _show_details(proposal, is_whole=True)
                        case "?":
                            for line in _HELP:
                                say_now(f"  {line}", err=True)
                        case _:
                            say_now("  no answer yet: type y, n, all, details or ?", err=True)


def can_ask() -> bool:
    """Whether a person can see a question and answer it."""
    is_seen = sys.stderr is not None and sys.stderr.isatty()
    return is_seen and sys.stdin is not None and sys.stdin.isatty()


async def confirmed(question: str) -> bool:
    """Ask *question* until it is answered with yes or no; an empty line and the end of the input mean no."""
    while True:
        match await answer(f"{question} [y/N]: "):
            case "y" | "yes":
                return True
            case "n" | "no" | "" | None:
                return False


def _show(proposal: Proposal) -> None:
    say_now(err=True)
    if proposal.asked_by:
        say_now(f"asked by {one_line(proposal.asked_by)}", err=True)
    _show_details(proposal, is_whole=not proposal.path)
    if proposal.conditions:
        say_now(one_line(proposal.conditions), err=True, wrap=0)
    if proposal.reason:
        say_now(f"asked because {one_line(proposal.reason)}", err=True, wrap=0)


def _show_details(proposal: Proposal, *, is_whole: bool) -> None:
    is_diff = bool(proposal.path)
    left_out = []
    for row in change_lines(
        proposal.details, error_width(), is_diff=is_diff, is_whole=is_whole, tells_order=not is_diff
    ):
        say_now(row.text, err=True, fg=row.colour)
        left_out += [row.text] * row.is_cut
    if left_out:  # said again here: the row above may have left the screen
        places = f" (and in {counted(len(left_out) - 1, 'more place')})" if len(left_out) > 1 else ""
        say_now(f"{left_out[0]}{places}", err=True, bold=True)


def _question(proposal: Proposal) -> str:
    """Return what is asked, short enough for one row with the possible answers."""
    room = max(20, error_width() - len(_ANSWERS) - 4)
    asked = one_line(proposal.summary, room)
    return f"{asked[:1].upper()}{asked[1:]}?"


async def answer(question: str) -> str | None:
    """Print *question* and return the next line that is typed, in small letters.

    ``None`` at the end of the input. What was typed before the question appeared is thrown away. If several
    lines come at once, they were pasted and answer nothing: it asks again. Waiting can be cancelled, unlike
    in a thread.
    """
    number = sys.stdin.fileno()
    while True:
        _forget_typed(number)
        say_now(question, err=True, end="", bold=True)
        typed = bytearray()
        while not typed.endswith(b"\n") and (piece := await _read(number)):
            typed += piece
        if not typed.endswith(b"\n"):  # the input ended, perhaps in the middle of a line
            say_now(err=True)  # the cursor is still behind the question
            return None
        if not await _comes_more(number):
            return typed.decode("utf-8", "replace").strip().lower()
        say_now("  several lines came at once, so none is taken for the answer", err=True)


async def _comes_more(number: int) -> bool:
    """Return whether more lines follow at once; they are read away."""
    found = False
    with suppress(TimeoutError):
        while True:
            async with asyncio.timeout(_PASTE_SECONDS):
                if not await _read(number):
                    return found
            found = True
    return found


async def _read(number: int) -> bytes:
    """Return what can be read next; nothing at the end of the input, and if the terminal is gone."""
    loop = asyncio.get_running_loop()
    came: asyncio.Future[None] = loop.create_future()

    def see() -> None:
        if not came.done():
            came.set_result(None)

    loop.add_reader(number, see)
    try:
        await came
    finally:
        loop.remove_reader(number)
    try:
        return os.read(number, 4096)
    except OSError:
        return b""


def _forget_typed(number: int) -> None:
    try:
        import termios
    except ImportError:  # not on Windows
        return
    with suppress(termios.error):  # no terminal
        termios.tcflush(number, termios.TCIFLUSH)
