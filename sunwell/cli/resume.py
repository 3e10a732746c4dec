"""``sunwell resume``: take a run up again."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import (
    Chosen,
    budget_of,
    budget_options,
    config_options,
    output_options,
    sandbox_option,
)
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
    from sunwell.budget.values import Budget
    from sunwell.context.options import RunOptions

_OVER = "the run had finished: nothing was asked and nothing was paid, and this is its result again"


@click.command(epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@budget_options
@click.option("--approve", is_flag=True, help="Ask before each write and command.")
@sandbox_option
@click.option("--accept-changes", is_flag=True, help="Keep answers although their question has changed.")
@config_options
@output_options
@click.pass_context
def resume(ctx: click.Context, /, **chosen: Any) -> None:
    """Go on with RUN, an id or its beginning: no answered call is asked or paid again.

    Ceilings that are named here replace the recorded ones; what was spent still counts. A run that has
    finished gives its result again, and nobody is asked.
    """
    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.finding import has_finished
    from sunwell.cli.plain import PlainView
    from sunwell.cli.view import choose_view

    is_over = has_finished(Path(chosen["workspace"]), chosen["run_id"])
    recorded = _recorded(chosen, asks=chosen["approve"] or is_over)
    budget = raised(recorded, chosen)
    held = configured(ctx, chosen, needs_key=False)
    verbose = held.loaded.values.verbose
    view = choose_view(as_json=chosen["as_json"], verbose=verbose, max_usd=recorded.budget.usd)
    if is_over and not verbose:
        view = PlainView(notes_only=True)  # its steps again would look as if it went on
    options = attrs.evolve(recorded, sandbox=held.resolved.options.sandbox)
    if chosen["approve"]:
        require_terminal("--approve")
        options = attrs.evolve(options, approve=Asker(view))
    agent = held.agent()
    events = agent.resume(
        chosen["run_id"],
        workspace=chosen["workspace"],
        options=options,
        budget=budget,
        accept_changes=chosen["accept_changes"],
    )
    result = drive(agent, events, view)
    if is_over and not chosen["as_json"]:
        view.say(_OVER)
    ctx.exit(tell(result, chosen))


def _recorded(chosen: Chosen, *, asks: bool) -> "RunOptions":
    """Return the options that the run was started with; who was asked then must be asked again."""
    from sunwell.agent.runs.settings import options_from
    from sunwell.cli.finding import settings_of_run
    from sunwell.errors import ConfigurationError

    settings = settings_of_run(Path(chosen["workspace"]), chosen["run_id"])
    if settings.get("asks") and not asks:
        raise ConfigurationError("the run asked before each write and command: take it up with --approve")
    return options_from(settings)


def raised(recorded: "RunOptions", chosen: Chosen) -> "Budget | None":
    """Return the recorded ceilings with those named in their place; ``None`` where none is named."""
    named = {name: value for name, value in attrs.asdict(budget_of(chosen)).items() if value is not None}
    return attrs.evolve(recorded.budget, **named) if named else None
