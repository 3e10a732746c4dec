"""What the command line and the user's own settings give to a recorded run that goes on."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from sunwell.cli.choices import Chosen, budget_of, sandbox_option

if TYPE_CHECKING:
    from sunwell.agent.lifecycle.authority import CallerTerms, Ceiling
    from sunwell.budget.ledger_protocol import Budget
    from sunwell.cli.configured import Configured
    from sunwell.context.options import Approve, RunOptions

F = TypeVar("F", bound=Callable[..., Any])

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

    return set(recorded.tools or ()) - taken_names()
