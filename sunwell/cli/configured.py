"""The options of a command on top of everything else that is configured."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import Chosen, default_pair

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.config.loading import Loaded, Sources
    from sunwell.config.resolving import Resolved

_SETTING_OF = {
    "model": "model",
    "smart_model": "smart_model",
    "delegation_model": "delegation_model",
    "delegate": "delegate",
    "threshold": "delegation_threshold_tokens",
    "on_lens_failure": "on_lens_failure",
    "max_usd": "budget_usd",
    "budget_tokens": "budget_tokens",
    "max_turns": "budget_turns",
    "max_calls": "budget_calls",
    "max_seconds": "budget_seconds",
    "effort": "effort",
    "allow_shell": "allow_shell",
    "sandbox": "sandbox",
    "allow_python": "allow_python",
    "dry_run": "dry_run",
    "stream": "stream",
    "verbose": "verbose",
    "max_explore": "explore_max_steps",
    "max_depth": "workers_max_depth",
    "max_concurrent": "workers_max_concurrent",
    "worker_seconds": "workers_timeout_seconds",
    "orchestrate": "orchestrator_enabled",
    "sub_calls": "sub_calls_enabled",
    "max_sub_calls": "sub_calls_max_per_turn",
    "plugin": "plugins",
}
"""Which setting each option of a command is."""


@attrs.frozen
class Configured:
    """What holds for one command."""

    loaded: "Loaded"
    resolved: "Resolved"

    def agent(self) -> "Agent":
        """Return an agent with the configured models and prices."""
        from sunwell.agent.agent import Agent

        made = self.resolved
        return Agent(registry=made.registry, prices=made.prices, tool_plugins=made.tool_plugins)


def sources_of(chosen: Chosen) -> "Sources":
    """Return where settings are looked for."""
    from sunwell.config.loading import Sources

    config = chosen.get("config")
    return Sources(
        Path(chosen.get("workspace") or "."),
        None if config is None else Path(config),
        trust_config=bool(chosen.get("trust_config")),
    )


def configured(
    ctx: click.Context,
    chosen: Chosen,
    *,
    needs_key: bool = True,
    delegates: bool = False,
    sources: "Sources | None" = None,
) -> Configured:
    """Return the settings for a command; what was typed goes before all else, switches included.

    Where no model is named anywhere, it is the smart one of the provider whose key is there, and its
    cheap one, too, where delegation is on or *delegates* is true. Each file is read once. Raises
    :exc:`~sunwell.errors.ConfigurationError` for what is wrong, or not trusted.
    """
    from sunwell.config.resolving import resolve
    from sunwell.tools.wording import on_one_line

    reading, options = (sources or sources_of(chosen)).read(), typed(ctx, chosen)
    loaded = reading.load(**options).require_trust()
    values = loaded.values
    if values.model.model is None and values.smart_model.model is None:
        smart, cheap = default_pair(needs_key)
        options["smart_model"] = smart
        if values.delegation_model.model is None and (values.delegate or delegates):
            options["delegation_model"] = cheap
        loaded = reading.load(**options).require_trust()
    for warning in loaded.warnings:
        click.echo(on_one_line(f"sunwell: {warning}"), err=True)
    return Configured(loaded, resolve(loaded.values))


def typed(ctx: click.Context, chosen: Chosen) -> dict[str, Any]:
    """Return the settings that were typed on the command line: an option's default is not one."""
    from click.core import ParameterSource

    return {
        setting: chosen[option]
        for option, setting in _SETTING_OF.items()
        if option in chosen and ctx.get_parameter_source(option) is ParameterSource.COMMANDLINE
    }
