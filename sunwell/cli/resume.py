"""``sunwell resume``: take a run up again."""

from pathlib import Path
from typing import Any

import click

from sunwell.cli.again import again_options, ceilings_line, terms_of
from sunwell.cli.choices import budget_options, config_options, output_options
from sunwell.cli.run import EXIT_CODES

_OVER = "the run had finished: nothing was asked and nothing was paid, and this is its result again"


@click.command(epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@budget_options
@again_options
@click.option("--accept-changes", is_flag=True, help="Keep answers although their question has changed.")
@config_options
@output_options
@click.pass_context
def resume(ctx: click.Context, /, **chosen: Any) -> None:
    """Go on with RUN, an id or its beginning: no answered call is asked or paid again.

    The record of a run grants nothing: shell, Python and plugins that it had must be given again, here or in
    your own settings. Ceilings that are named here replace the recorded ones; of the recorded and your usual
    ones the lower hold. What was spent still counts. A run that has finished gives its result again, and
    nobody is asked.
    """
    from sunwell.agent.lifecycle.authority import ceilings_now
    from sunwell.agent.lifecycle.run_settings import options_from
    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.finding import has_finished, settings_of_run
    from sunwell.cli.plain import PlainView
    from sunwell.cli.view import choose_view

    workspace, run_id = Path(chosen["workspace"]), chosen["run_id"]
    recorded = options_from(settings_of_run(workspace, run_id))
    is_over = has_finished(workspace, run_id)
    held = configured(ctx, chosen, needs_key=False)
    terms = terms_of(chosen, held, recorded, None)
    ceilings = ceilings_now(recorded.budget, terms)
    verbose = held.loaded.values.verbose
    view = choose_view(as_json=chosen["as_json"], verbose=verbose, max_usd=ceilings[0].value)
    if is_over and not verbose:
        view = PlainView(notes_only=True)  # its steps again would look as if it went on
    if chosen["approve"]:
        require_terminal("--approve")
        terms = terms_of(chosen, held, recorded, Asker(view))
    agent = held.agent()
    events = agent.resume(
        run_id,
        workspace=workspace,
        given=terms.given,
        budget=terms.budget,
        ceilings=terms.ceilings,
        results=terms.results,
        accept_changes=terms.accept_changes,
    )
    if not is_over:
        view.say(ceilings_line(ceilings, held))
    result = drive(agent, events, view)
    if is_over and not chosen["as_json"]:
        view.say(_OVER)
    ctx.exit(tell(result, chosen))
