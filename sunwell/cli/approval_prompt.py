"""``--approve``: show a change in the terminal and ask yes or no."""

import asyncio
import os
import sys

import attrs
import click

from sunwell.cli.views import View
from sunwell.core.tool import Proposal
from sunwell.errors import ConfigurationError
from sunwell.tools.wording import on_one_line, visible

_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def require_terminal(option: str) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if there is no terminal to answer a question."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise ConfigurationError(f"{option} needs a terminal: run it in a terminal, or leave the option out")


@attrs.define(eq=False)
class Asker:
    """Asks about each proposal; the answer *all* means yes to everything that follows in this run."""

    view: View
    _all: bool = attrs.field(default=False, init=False)

    async def __call__(self, proposal: Proposal) -> bool:
        """Show *proposal* and return whether it may be applied; any answer but yes or all means no."""
        if self._all:
            return True
        with self.view.paused():
            # Exactly what will be done: complete, and no control character can hide what follows.
            click.secho(f"\n{on_one_line(proposal.tool)}: {visible(proposal.summary)}", bold=True, err=True)
            for line in visible(proposal.details).split("\n"):
                click.secho(f"  {line}", fg=_STYLES.get(line[:1]), err=True)
            click.echo("Allow this? [y]es, [n]o, [a]ll: ", nl=False, err=True)
            answer = (await _typed_line()).strip().lower()
        self._all = answer in ("a", "all")
        return self._all or answer in ("y", "yes")


async def _typed_line() -> str:
    """Return the next line from standard input. Waiting can be cancelled, unlike in a thread."""
    loop = asyncio.get_running_loop()
    typed: asyncio.Future[bytes] = loop.create_future()
    number = sys.stdin.fileno()

    def read() -> None:
        if not typed.done():
            typed.set_result(os.read(number, 4096))

    loop.add_reader(number, read)
    try:
        return (await typed).decode("utf-8", "replace")
    finally:
        loop.remove_reader(number)
