"""Which view a command gets: the live one at a terminal, plain lines elsewhere."""

import sys
from contextlib import AbstractContextManager
from decimal import Decimal
from typing import Protocol, Self

from sunwell.events import Event


class View(Protocol):
    """Shows the events of a run, while it is entered."""

    def see(self, event: Event) -> None:
        """Show *event*."""
        ...

    def say(self, line: str) -> None:
        """Show a line of the command's own."""
        ...

    def paused(self) -> AbstractContextManager[None]:
        """Leave the terminal to somebody else for a while."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


def choose_view(*, as_json: bool, verbose: bool, max_usd: Decimal | None = None) -> View:
    """Return the view for standard error. With *as_json* and no terminal it is silent, unless verbose."""
    from sunwell.cli.plain_view import PlainView

    if sys.stderr is None or not sys.stderr.isatty():  # a closed one is None
        return PlainView(verbose, quiet=as_json and not verbose)
    from rich.console import Console

    from sunwell.cli.live_view import LiveView

    return LiveView(Console(stderr=True, highlight=False), max_usd, verbose)
