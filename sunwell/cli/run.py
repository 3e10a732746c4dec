"""``sunwell run``: do a task."""

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import (
    DOLLARS,
    Chosen,
    budget_options,
    config_options,
    manner_options,
    model_options,
    orchestration_options,
    output_options,
    session_of,
    task_options,
    with_delegation_tools,
)
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.cli.configured import Configured
    from sunwell.cli.view import View
    from sunwell.context.options import RunOptions
    from sunwell.core.task import TaskResult
    from sunwell.report.forecast import Forecast

EXIT_CODES = (
    "\b\nExit codes:\n"
    "  0    done\n"
    "  1    the run ended in an error\n"
    "  2    wrong usage or bad input: nothing was asked and nothing was spent\n"
    "  3    incomplete: a limit was reached, the model refused, or its answer did not end properly\n"
    "  130  cancelled"
)


@click.command(epilog=EXIT_CODES)
@task_options
@model_options
@click.option("--delegate/--no-delegate", default=None, help="Turn delegation on or off.")
@orchestration_options
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
@click.option("--dry-run/--no-dry-run", default=False, help="Show the changes, and make none.")
@click.option("--stream/--no-stream", default=False, help="Stream the answers.")
@click.option(
    "-q",
    "--query",
    metavar="QUESTION",
    help="Answer a question, without the workspace's tools; see --context.",
)
@click.option(
    "-c", "--context", metavar="FILE", help="What the question is about (default: what is piped in)."
)
@click.option(
    "--max-explore",
    type=click.IntRange(min=1),
    metavar="N",
    help="Understood, without effect yet: a context is given whole, or refused where it does not fit.",
)
@click.option("--max-depth", type=click.IntRange(min=0), metavar="N", help="Most levels of workers.")
@click.option("--trace", metavar="FILE", help="Write the whole trace as JSON.")
@config_options
@output_options
@click.pass_context
def run(ctx: click.Context, /, **chosen: Any) -> None:
    """Do TASK in a workspace; "-" reads the task from standard input.

    Delegation is on where a delegation model is named, or with --delegate; that alone takes the pair of
    models of the provider whose key is there. The answer and the bill go to standard output, all else to
    standard error.
    """
    from sunwell.cli.asking import Asker, require_terminal
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.question import refuse_lens_options, require_place
    from sunwell.cli.view import choose_view
    from sunwell.config.preflight import require_sound, unlisted_models
    from sunwell.report.forecast import forecast

    if chosen["approve"]:
        require_terminal("--approve")
    if chosen["trace"] is not None:
        require_place(chosen["trace"])
    held = configured(ctx, chosen, delegates=bool(chosen["orchestrate"]))
    values = held.loaded.values
    if chosen["query"] is not None:
        refuse_lens_options(ctx, chosen)
        ctx.exit(_answer(held, chosen))
    view = choose_view(as_json=chosen["as_json"], verbose=values.verbose, max_usd=values.budget.usd)
    options = attrs.evolve(
        with_delegation_tools(held.resolved.options, chosen),
        approve=Asker(view) if chosen["approve"] else None,
    )
    session = session_of(chosen, options)
    warnings = require_sound(held.resolved)
    unlisted = asyncio.run(unlisted_models(held.resolved))
    for warning in (*warnings, *(finding.sentence for finding in unlisted)):
        view.say(warning)
    made = forecast(session, prices=held.resolved.prices, registry=held.resolved.registry)
    _confirm(chosen["confirm_above"], made, options, view)
    agent = held.agent()
    result = drive(agent, agent.run(session), view)
    code = tell(result, chosen, made)
    _trace(result, chosen)
    ctx.exit(code)


def _answer(held: "Configured", chosen: Chosen) -> int:
    """Answer one question and return the exit code."""
    from sunwell.cli.asking import Asker
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.failing import exit_code
    from sunwell.cli.plain import PlainView
    from sunwell.cli.question import options_for, question_of, session_for, tell_end
    from sunwell.config.preflight import require_sound
    from sunwell.report.forecast import forecast

    if chosen["task"] is not None:
        raise ConfigurationError("a task and --query are two things: give one of them")
    require_sound(held.resolved)
    verbose = held.loaded.values.verbose
    view = PlainView(verbose, quiet=not verbose)
    options = options_for(chosen, held)
    if chosen["approve"]:
        options = attrs.evolve(options, approve=Asker(view))
    question = question_of(chosen, held, options)
    session = session_for(question, chosen, options)
    if chosen["confirm_above"] is not None:
        made = forecast(session, prices=held.resolved.prices, registry=held.resolved.registry)
        _confirm(chosen["confirm_above"], made, options, view)
    if verbose:
        question.say_beginning()
    agent = held.agent()
    result = drive(agent, agent.run(session), view)
    if chosen["as_json"]:
        tell(result, chosen)
    else:
        tell_end(result, verbose=verbose)
    _trace(result, chosen)
    return exit_code(result.status)


def _trace(result: "TaskResult", chosen: Chosen) -> None:
    from sunwell.cli.question import write_trace

    if chosen["trace"] is not None:
        write_trace(result, chosen["trace"])


def _confirm(above: Decimal | None, made: "Forecast", options: "RunOptions", view: "View") -> None:
    """Ask where the way that will be taken is expected to cost more than *above*, or nobody knows."""
    from sunwell.cli.asking import require_terminal
    from sunwell.report.figures import dollars

    side = made.chosen if options.enable_delegation else made.quote.direct
    if above is None or (side.expected_usd is not None and side.expected_usd <= above):
        return
    expected = f"the {side.name} way is expected to cost {dollars(side.expected_usd)}"
    require_terminal(f"{expected}, more than --confirm-above {dollars(above)}, which")
    view.say(f"{expected} ({dollars(side.worst_usd)} at worst)")
    if not click.confirm("Go on?", err=True):
        raise ConfigurationError("not begun: nothing was spent")
