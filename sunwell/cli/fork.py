"""``sunwell fork``: go on from a place in a run, with something changed."""

from pathlib import Path
from typing import Any

import click

from sunwell.cli.again import again_options, ceilings_line, terms_of
from sunwell.cli.choices import budget_options, config_options, model_options, output_options
from sunwell.cli.run import EXIT_CODES

_CHANGED = ("model", "smart_model", "delegation_model", "effort")


@click.command(epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--at",
    required=True,
    metavar="SPAN[:CALL]",
    help="Where: a span begun anew, or from one of its calls on; sunwell show RUN --spans lists them.",
)
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@model_options
@click.option(
    "--effort", type=click.Choice(("low", "medium", "high", "xhigh", "max")), help="Effort from there on."
)
@budget_options
@again_options
@click.option("--accept-changes", is_flag=True, help="Take the files as they are.")
@config_options
@output_options
@click.pass_context
def fork(ctx: click.Context, /, **chosen: Any) -> None:
    """Go on from a place in RUN in a new run, with what is named here changed.

    What came before is copied, and neither asked nor paid again; RUN itself stays as it is. As for resume,
    the record grants no shell, Python or plugin; a batch has a results file only if --results names one.
    The files are yours: where they are not as they were at that place, nothing is begun. Put them
    back first (with git, say, or sunwell undo RUN for a place before the first change), or --accept-changes.
    """
    from sunwell.agent.lifecycle.authority import ceilings_now
    from sunwell.agent.lifecycle.run_settings import batch_in, options_from
    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.finding import settings_of_run
    from sunwell.cli.view import choose_view
    from sunwell.errors import ConfigurationError

    workspace = Path(chosen["workspace"])
    settings = settings_of_run(workspace, chosen["run_id"])
    recorded = options_from(settings)
    hands_out = recorded.enable_delegation or recorded.orchestrate or recorded.delegation_tools
    if chosen["delegation_model"] is not None and not hands_out and batch_in(settings) is None:
        raise ConfigurationError(
            "the run hands nothing out, so no call would be --delegation-model's: leave it out, or name the "
            "model that works with --model"
        )
    held = configured(ctx, chosen, needs_key=False)
    changed = {name: chosen[name] for name in _CHANGED if chosen[name] is not None}
    terms = terms_of(chosen, held, recorded, None, changed)
    ceilings = ceilings_now(recorded.budget, terms)
    verbose = held.loaded.values.verbose
    view = choose_view(as_json=chosen["as_json"], verbose=verbose, max_usd=ceilings[0].value)
    if chosen["approve"]:
        require_terminal("--approve")
        terms = terms_of(chosen, held, recorded, Asker(view), changed)
    agent = held.agent()
    events = agent.fork(
        chosen["run_id"],
        chosen["at"],
        workspace=workspace,
        given=terms.given,
        budget=terms.budget,
        ceilings=terms.ceilings,
        results=terms.results,
        accept_changes=terms.accept_changes,
    )
    view.say(ceilings_line(ceilings, held))
    ctx.exit(tell(drive(agent, events, view), chosen))
