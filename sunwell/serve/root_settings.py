"""What a server needs of the settings that hold in one of its roots. The command line makes it."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Literal, Protocol

import attrs

from sunwell.agent.agent import Agent
from sunwell.agent.lifecycle.authority import CallerTerms
from sunwell.context.options import Approve, RunOptions

Work = Literal["task", "batch", "question", "estimate", "again"]
"""What is going to be done with the settings."""


class RootSettings(Protocol):
    """The settings of one root for one call, read anew for it as for a command."""

    @property
    def options(self) -> RunOptions:
        """The options of a new run. Nobody approves yet."""
        ...

    @property
    def warnings(self) -> tuple[str, ...]:
        """What is wrong with the settings and does not keep a run from being started, in sentences."""
        ...

    def agent(self) -> Agent:
        """Return an agent with the configured models, prices, plugins and servers."""
        ...

    def terms(self, recorded: RunOptions, approve: Approve | None) -> CallerTerms:
        """Return what is given again for a run with the options *recorded*.

        All ceilings of the settings stand as usual ones: the lower of these and the recorded ones holds.
        """
        ...


SettingsOf = Callable[[Path, Work], RootSettings]
"""Raises :exc:`~sunwell.errors.ConfigurationError` for what is wrong, or not trusted."""


@attrs.frozen
class ServerTerms:
    """What was decided when the server was started, for all of its runs."""

    max_cost_usd: Decimal = Decimal(1)
    """What one run may cost at most."""
    confirm_above_usd: Decimal | None = None
    """Expected cost above which a person is asked first; ``None``: nobody is asked."""
    approves: bool = False
    """Whether a person approves each write and command."""
