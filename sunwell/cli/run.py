"""``sunwell run``: do a task."""

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.choices import (
    DOLLARS,
    Chosen,
    budget_of,
    budget_options,
    manner_options,
    model_options,
    models_of,
    output_options,
    session_of,
    task_options,
)

if TYPE_CHECKING:
    from sunwell.cli.view import View
    from sunwell.context.options import RunOptions
    from sunwell.report.forecast import Forecast

EXIT_CODES = (
    "\b\nExit codes:\n"
    "  0    done\n"
    "  1    the run ended in an error\n"
    "  2    wrong usage or bad input: nothing was asked and nothing was spent\n"
    "  3    incomplete: a limit was reached, or the model refused\n"
    "  130  cancelled"
)


@click.command(epilog=EXIT_CODES)
@task_options
@model_options
@click.option("--delegate/--no-delegate", default=None, help="Turn delegation on or off.")
@click.option(
    "--on-lens-failure",
    type=click.Choice(("direct", "generic", "fail")),
    default="direct",
    show_default=True,
    help="Without a lens: go on undelegated, take a generic one, or end.",
)
@budget_options
@click.option("--confirm-above", type=DOLLARS, metavar="X", help="Ask first where more is expected.")
@manner_options
@click.option("--approve", is_flag=True, help="Ask before each write and command.")
@click.option("--dry-run", is_flag=True, help="Show the changes, and make none.")
@click.option("--stream", is_flag=True, help="Stream the answers.")
@output_options
@click.pass_context
def run(ctx: click.Context, /, **chosen: Any) -> None:
    """Do TASK in a workspace; "-" reads the task from standard input.

    Delegation is on where a delegation model is named, or with --delegate; that alone takes the pair of
    models of the provider whose key is there. The answer and the bill go to standard output, all else to
    standard error.
    """
    from sunwell.agent.agent import Agent
    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.view import choose_view
    from sunwell.report.forecast import forecast

    if chosen["approve"]:
        require_terminal("--approve")
    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"], max_usd=chosen["max_usd"])
    options = options_of(chosen, Asker(view) if chosen["approve"] else None)
    session = session_of(chosen, options)
    made = forecast(session)
    _confirm(chosen["confirm_above"], made, options, view)
    agent = Agent()
    result = drive(agent, agent.run(session), view)
    ctx.exit(tell(result, chosen, made))


def options_of(chosen: Chosen, approve: Any = None) -> "RunOptions":
    """Return the options of a run as they were chosen."""
    from sunwell.context.options import RunOptions

    delegates = chosen["delegate"]
    if delegates is None:
        delegates = chosen["delegation_model"] is not None
    return RunOptions(
        enable_delegation=delegates,
        delegation_threshold_tokens=chosen["threshold"],
        **models_of(chosen, delegates=delegates),
        budget=budget_of(chosen),
        effort=chosen["effort"],
        on_lens_failure=chosen["on_lens_failure"],
        allow_shell=chosen["allow_shell"],
        approve=approve,
        dry_run=chosen["dry_run"],
        stream=chosen["stream"],
    )


def _confirm(above: Decimal | None, made: "Forecast", options: "RunOptions", view: "View") -> None:
    """Ask where the way that will be taken is expected to cost more than *above*, or nobody knows."""
    from sunwell.cli.asking import require_terminal
    from sunwell.errors import ConfigurationError
    from sunwell.report.figures import dollars

    side = made.chosen if options.enable_delegation else made.quote.direct
    if above is None or (side.expected_usd is not None and side.expected_usd <= above):
        return
    expected = f"the {side.name} way is expected to cost {dollars(side.expected_usd)}"
    require_terminal(f"{expected}, more than --confirm-above {dollars(above)}, which")
    view.say(f"{expected} ({dollars(side.worst_usd)} at worst)")
    if not click.confirm("Go on?", err=True):
        raise ConfigurationError("not begun: nothing was spent")
