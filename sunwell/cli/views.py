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
        """Let other code use the terminal while the context is open."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def choose_view(*, as_json: bool, verbose: bool, max_usd: Decimal | None = None) -> View:
    """Return the view for standard error; silent with *as_json* outside a terminal, unless verbose."""
    from sunwell.cli.plain_view import PlainView

    if sys.stderr is None or not sys.stderr.isatty():  # None if it is closed
        return PlainView(verbose, quiet=as_json and not verbose)
    from rich.console import Console

    from sunwell.cli.live_view import LiveView

    return LiveView(Console(stderr=True, highlight=False), max_usd, verbose)
