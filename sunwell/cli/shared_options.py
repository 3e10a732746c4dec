"""The options that commands share, and the configuration that they make."""

import os
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.agent.lifecycle.authority import CallerTerms, Ceiling
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.config.resolution import Resolved
    from sunwell.config.sources import Loaded, Sources
    from sunwell.context.options import Approve, RunOptions
    from sunwell.context.session import SessionContext

F = TypeVar("F", bound=Callable[..., Any])
Chosen = Mapping[str, Any]
"""Values of a command's options by name."""

_PAIRS = (
    ("ANTHROPIC", "opus", "haiku"),
    ("OPENAI", "openai-smart", "openai-cheap"),
)


class _Dollars(click.ParamType[Decimal]):
    name = "usd"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Decimal:
        try:
            amount = Decimal(str(value).removeprefix("$"))
        except InvalidOperation:
            self.fail(f"{value!r} is no amount in US dollars: write 0.50", param, ctx)
        if not amount.is_finite() or amount < 0:
            self.fail(f"{value!r} is no amount that could be spent: write zero or more", param, ctx)
        return amount


DOLLARS = _Dollars()
_COUNT = click.IntRange(min=1)
_EFFORTS = click.Choice(("low", "medium", "high", "xhigh", "max"))

_MODELS = (
    click.option("-m", "--model", metavar="M", help="The model that works where nothing is delegated."),
    click.option("--smart-model", metavar="M", help="The model that writes the lens."),
    click.option(
        "--delegation-model",
        "--child-model",
        "delegation_model",
        metavar="M",
        help="The cheap model that works under the lens; naming one turns delegation on.",
    ),
)
_TASK = (
    click.argument("task", required=False),
    click.option(
        "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder to work in."
    ),
    click.option(
        "--threshold",
        type=click.IntRange(min=0),
        default=2000,
        show_default=True,
        metavar="TOKENS",
        help="Largest expected output that is not worth a lens.",
    ),
)
_BUDGET = (
    click.option("--max-usd", type=DOLLARS, metavar="X", help="Most US dollars that may be billed."),
    click.option("--budget-tokens", type=_COUNT, metavar="N", help="Most tokens, input and output."),
    click.option("--max-turns", type=_COUNT, metavar="N", help="Most turns of the work (default: 50)."),
    click.option("--max-calls", type=_COUNT, metavar="N", help="Most model calls."),
    click.option(
        "--max-seconds",
        type=click.FloatRange(min=0, min_open=True),
        metavar="S",
        help="Most time; waiting for your approval does not count.",
    ),
)
_SANDBOX = click.option(
    "--sandbox",
    type=click.Choice(("required", "off")),
    default="required",
    show_default=True,
    help="Run commands in a sandbox, or with all that your account can do.",
)
_MANNER = (
    click.option("--effort", type=_EFFORTS, help="Effort of the smart model and of the loop's own."),
    click.option(
        "--allow-shell/--no-allow-shell", default=False, help="Let the model run commands in the workspace."
    ),
    _SANDBOX,
    click.option(
        "--allow-python/--no-allow-python",
        default=False,
        help="Let the model run Python in a sandbox (needs sunwell[python]).",
    ),
)
_CONFIG = (
    click.option("--config", metavar="FILE", help="Settings in place of the project's own file."),
    click.option("--trust-config", is_flag=True, help="Trust the project's file this once."),
)
_OUTPUT = (
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on standard output."),
    click.option("-v", "--verbose/--no-verbose", default=False, help="Show every call and every tool."),
)


_ORCHESTRATION = (
    click.option(
        "--orchestrate/--no-orchestrate",
        default=None,
        help="Have the smart model hand all work to workers, and touch nothing itself.",
    ),
    click.option(
        "--delegation-tools",
        type=click.Choice(("delegate", "rlm", "subagent")),
        help="Tools with which the working model may start workers (default: none).",
    ),
    click.option("--sub-calls/--no-sub-calls", default=None, help="The same as --delegation-tools rlm."),
    click.option(
        "--max-sub-calls", type=_COUNT, metavar="N", help="Most sub-calls of one turn (default: 5)."
    ),
    click.option(
        "--after",
        multiple=True,
        metavar="RUN",
        help="A run of this workspace whose scratchpad may be read; several times for several.",
    ),
)


def _with(options: tuple[Callable[[F], F], ...]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def model_options(function: F) -> F:
    """Add the options that name models."""
    return _with(_MODELS)(function)


def orchestration_options(function: F) -> F:
    """Add how a model hands work out itself."""
    return _with(_ORCHESTRATION)(function)


def with_delegation_tools(options: "RunOptions", chosen: Chosen) -> "RunOptions":
    """Return *options* with the delegation tools and the earlier runs that were named.

    Raises :exc:`~sunwell.errors.ConfigurationError` for tools that an orchestrator does not have.
    """
    tools = chosen["delegation_tools"]
    if tools not in (None, "delegate") and options.orchestrate:
        raise ConfigurationError(
            f"an orchestrator has the tools of delegate: leave --delegation-tools {tools} out"
        )
    if tools is not None:
        options = attrs.evolve(options, delegation_tools=tools)
    earlier = tuple(chosen["after"])
    return attrs.evolve(options, orchestration=attrs.evolve(options.orchestration, earlier_runs=earlier))


def task_options(function: F) -> F:
    """Add the task, the workspace and the threshold."""
    return _with(_TASK)(function)


def budget_options(function: F) -> F:
    """Add the ceilings."""
    return _with(_BUDGET)(function)


def manner_options(function: F) -> F:
    """Add effort, shell and Python."""
    return _with(_MANNER)(function)


def sandbox_option(function: F) -> F:
    """Add ``--sandbox``."""
    return _SANDBOX(function)


def config_options(function: F) -> F:
    """Add ``--config`` and ``--trust-config``."""
    return _with(_CONFIG)(function)


def output_options(function: F) -> F:
    """Add ``--json`` and ``-v``."""
    return _with(_OUTPUT)(function)


def task_of(chosen: Chosen) -> str:
    """Return the task: the argument, or standard input where that is ``-``."""
    task: str | None = chosen["task"]
    if task is None:
        raise ConfigurationError("no task is given: say in a sentence what is to be done")
    if task != "-":
        return task
    if sys.stdin is None:
        raise ConfigurationError("standard input is closed: give the task as an argument")
    try:
        return sys.stdin.buffer.read().decode().strip()
    except UnicodeDecodeError:
        raise ConfigurationError("standard input is no text: the task must be UTF-8") from None


def budget_of(chosen: Chosen) -> "Budget":
    """Return the ceilings that were named."""
    from sunwell.budget.ledger_protocol import Budget

    return Budget(
        usd=chosen["max_usd"],
        tokens=chosen["budget_tokens"],
        calls=chosen["max_calls"],
        turns=chosen["max_turns"],
        seconds=chosen["max_seconds"],
    )


def session_of(chosen: Chosen, options: "RunOptions") -> "SessionContext":
    """Return the session; a folder that is none and an empty task are refused."""
    from sunwell.context.session import SessionContext

    return SessionContext.build(chosen["workspace"], task_of(chosen), options)


def default_pair(needs_key: bool) -> tuple[str, str]:
    """Return the smart and the cheap model of the provider whose key is there.

    Raises :exc:`~sunwell.errors.ConfigurationError` where no key is there and one is needed.
    """
    for prefix, smart, cheap in _PAIRS:
        if any(os.environ.get(f"{prefix}_{part}", "").strip() for part in ("API_KEY", "BASE_URL")):
            return smart, cheap
    if needs_key:
        raise ConfigurationError(
            "no model is named and no key is there: set ANTHROPIC_API_KEY or OPENAI_API_KEY, or name the "
            "models (--model, --smart-model, --delegation-model); sunwell demo needs neither"
        )
    return _PAIRS[0][1:]


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
    from sunwell.config.sources import Sources

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
    from sunwell.config.resolution import resolve
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


_OPTIONS = {
    "usd": "--max-usd",
    "tokens": "--budget-tokens",
    "calls": "--max-calls",
    "turns": "--max-turns",
    "seconds": "--max-seconds",
}
_ROLES = ("model", "smart_model", "delegation_model")
_AGAIN = (
    click.option(
        "--allow-shell/--no-allow-shell",
        default=False,
        help="Let the model run commands; the record of a run cannot allow it.",
    ),
    click.option(
        "--allow-python/--no-allow-python",
        default=False,
        help="Let the model run Python in a sandbox; the record of a run cannot allow it.",
    ),
    click.option(
        "--plugin",
        multiple=True,
        metavar="NAME",
        help="A plugin that the run may load; several times for several.",
    ),
    click.option("--approve", is_flag=True, help="Ask before each write and command."),
    click.option("--dry-run", is_flag=True, help="Show the changes, and make none; a dry run stays one."),
    click.option(
        "--results",
        metavar="OUT.jsonl",
        help="The results file of a batch; needed again if it is not in the workspace.",
    ),
)


def again_options(function: F) -> F:
    """Add what a record cannot decide."""
    for option in reversed(_AGAIN):
        function = option(function)
    return sandbox_option(function)


def terms_of(
    chosen: Chosen,
    held: "Configured",
    recorded: "RunOptions",
    approve: "Approve | None",
    changed: dict[str, Any] | None = None,
) -> "CallerTerms":
    """Return what is given for a run with the options *recorded*; *changed* are typed options of its own."""
    from sunwell.agent.lifecycle.authority import PERMISSIONS, CallerTerms

    settings, given = held.loaded.settings, dict(changed or {})
    for name, permission in PERMISSIONS.items():
        setting, was = settings.get((name,)), getattr(recorded, name)
        # Typed, it holds. Only configured, it gives again what the run had, and adds nothing to it.
        if setting and (setting.origin.source == "option" or was == setting.value != permission.harmless):
            given[name] = setting.value
    if held.loaded.values.dry_run:
        given["dry_run"] = True
    if approve is not None:
        given["approve"] = approve
    if set(recorded.tools or ()) & set(held.loaded.values.tools or ()) >= _foreign(recorded):
        given["tools"] = recorded.tools
    own_models = {*held.resolved.names.values(), *held.loaded.values.models}
    for role in _ROLES:
        if getattr(recorded, role) in own_models:
            given.setdefault(role, getattr(recorded, role))
    return CallerTerms(
        given=given,
        budget=budget_of(chosen),
        ceilings=usual_ceilings(held),
        results=None if chosen["results"] is None else Path(chosen["results"]),
        accept_changes=chosen["accept_changes"],
    )


def usual_ceilings(held: "Configured") -> "Budget":
    """Return the ceilings of files and environment, without those that were typed."""
    from sunwell.budget.ledger_protocol import Budget

    usual = {
        path[1]: setting.value
        for path, setting in held.loaded.settings.items()
        if path[0] == "budget" and setting.origin.source != "option"
    }
    return Budget(**usual)


def ceilings_line(ceilings: "tuple[Ceiling, ...]", held: "Configured") -> str:
    """Return the line that says which ceilings hold and where each comes from."""
    from sunwell.report.figures import dollars

    told = []
    for ceiling in ceilings:
        if ceiling.value is None:
            continue
        amount = dollars(ceiling.value) if ceiling.kind == "usd" else f"{ceiling.value:,} {ceiling.kind}"
        told.append(f"{amount} ({_source(ceiling, held)})")
    return f"ceilings: {', '.join(told) or 'none'}"


def _source(ceiling: "Ceiling", held: "Configured") -> str:
    if ceiling.source == "named":
        return _OPTIONS[ceiling.kind]
    if ceiling.source == "usual":
        return str(held.loaded.settings["budget", ceiling.kind].origin)
    return "the run's record"


def _foreign(recorded: "RunOptions") -> set[str]:
    from sunwell.agent.lifecycle.equipment import taken_names

    return set(recorded.tool_names or ()) - taken_names()
