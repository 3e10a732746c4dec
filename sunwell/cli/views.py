"""The view that a command uses: the live view in a terminal, plain lines elsewhere."""

import sys
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Protocol, Self

from sunwell.events import Event


class View(Protocol):
    """A context manager that shows the events of a run."""

    def see(self, event: Event) -> None:
        """Show *event*."""
        ...

    def say(self, line: str) -> None:
        """Print a line of the command itself."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Print nothing while the user is asked a question; what comes meanwhile is printed after it."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def choose_view(*, as_json: bool, verbose: bool, max_usd: Decimal | None = None) -> View:
    """Return the view for standard error; silent with *as_json* outside a terminal, unless verbose."""
    from sunwell.cli.plain_view import PlainView

    if sys.stderr is None or not sys.stderr.isatty():  # None if it is closed
        return PlainView(verbose, quiet=as_json and not verbose)
    from sunwell.cli.live_view import LiveView
    from sunwell.cli.output import console

    return LiveView(console(err=True), max_usd, verbose)
