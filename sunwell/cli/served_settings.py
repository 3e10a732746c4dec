"""What commands that serve other programs have in common: settings of a folder, and a door with a token."""

import os
from collections.abc import Callable, Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.shared_options import DOLLARS, Chosen, Configured, F
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.agent.lifecycle.authority import CallerTerms
    from sunwell.context.options import Approve, RunOptions
    from sunwell.serve.http_door import HttpDoor
    from sunwell.serve.root_settings import Work

_LEAST_TOKEN = 16
_TIMES = 10
"""How many runs at their cap the total allows, unless it is set."""


def money_options(total: str, *, one: str, all_of: str) -> Callable[[F], F]:
    """Add ``--max-cost``, the cap of *one* run, and the option *total* for *all_of* them together."""
    cap = click.option(
        "--max-cost",
        type=DOLLARS,
        default=Decimal(1),
        show_default=True,
        metavar="X",
        help=f"US dollars that {one} may cost at most.",
    )
    together = click.option(
        f"--{total}",
        type=DOLLARS,
        metavar="X",
        help=f"US dollars that {all_of} may cost together. Default: ten times --max-cost.",
    )
    return lambda function: cap(together(function))


def total_usd(chosen: Chosen, total: str) -> Decimal:
    """Return what all runs may cost together, by the option *total* or by that of one run.

    Raises :exc:`~sunwell.errors.ConfigurationError` if nothing could be done.
    """
    cap, whole = chosen["max_cost"], chosen[total.replace("-", "_")]
    if cap <= 0 or (whole is not None and whole <= 0):
        raise ConfigurationError(
            f"--max-cost and --{total} must be more than 0 dollars: nothing could be done"
        )
    found: Decimal = cap * _TIMES if whole is None else whole
    return found


def token_of(variable: str) -> tuple[str, bool]:
    """Return the token in *variable*, or a new one, and whether it is new."""
    import secrets

    given = os.environ.get(variable, "")
    return (require_token(given, variable), False) if given else (secrets.token_urlsafe(32), True)


def require_token(token: str, where: str) -> str:
    """Return *token*. Raises :exc:`~sunwell.errors.ConfigurationError` if it would protect nothing."""
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"{where} is no token: it must have {_LEAST_TOKEN} or more printable characters, without spaces"
        )
    return token


def opened(door: "HttpDoor", port: int, path: str, made: Iterable[str]) -> None:
    """Open *door*, and print its address; the tokens that were *made* for it go to standard error."""
    from sunwell.cli.output import say

    try:
        address = door.open(port)
    except OSError as error:
        raise ConfigurationError(f"the port {port} cannot be used ({error.strerror}): name another") from None
    say(f"{address}{path}")
    for token in made:
        say(f"Authorization: Bearer {token}", err=True)


@attrs.frozen
class CommandSettings:
    """The settings of a root, as those of a command that is typed there."""

    chosen: Chosen
    held: Configured
    options: "RunOptions"
    warnings: tuple[str, ...]

    @classmethod
    def of(cls, chosen: Chosen, root: Path, work: "Work") -> "CommandSettings":
        """Return what holds in *root* for *work*."""
        from sunwell.cli.batch_command import options_of
        from sunwell.cli.shared_options import configured
        from sunwell.config.preflight import require_sound

        here: Mapping[str, Any] = {
            **chosen,
            "workspace": str(root),
            "accept_changes": False,
            "allow_checks": False,
            "results": None,
        }
        is_new = work in ("task", "batch", "question")
        held = configured(here, needs_key=is_new, delegates=work != "again")
        warnings = tuple(require_sound(held.resolved)) if is_new else ()
        options = held.resolved.options
        if work == "batch":
            options = options_of(held, has_lens=False)
        elif work == "question":
            options = attrs.evolve(options, tools=None)
        return cls(here, held, options, warnings)

    def agent(self) -> "Agent":
        """Return an agent with the configured models and prices."""
        return self.held.agent()

    def terms(self, recorded: "RunOptions", approve: "Approve | None") -> "CallerTerms":
        """Return what is given again for a run that was recorded; all ceilings are usual ones."""
        from sunwell.cli.shared_options import ceilings_of, terms_of

        made = terms_of(self.chosen, self.held, recorded, approve)
        return attrs.evolve(made, budget=None, ceilings=ceilings_of(self.held))
