"""The options that commands share, and what of a run's options they come to."""

import os
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any, TypeVar

import attrs
import click

from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.context.options import RunOptions
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
