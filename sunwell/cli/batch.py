"""``sunwell batch``: many tasks under one lens."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.choices import (
    budget_options,
    config_options,
    manner_options,
    model_options,
    output_options,
)
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
    from sunwell.cli.configured import Configured
    from sunwell.context.options import RunOptions
    from sunwell.core.task import TaskResult


@click.command(epilog=EXIT_CODES)
@click.argument("tasks", metavar="TASKS.jsonl")
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Where to work.")
@click.option("--lens", metavar="LENS.json", help="The lens that all workers read; see sunwell lens.")
@click.option("--results", metavar="OUT.jsonl", help="A file that holds each result as soon as it is there.")
@click.option(
    "--max-concurrent",
    "--max-parallel",
    type=click.IntRange(min=1),
    metavar="N",
    help="Most workers at once (default: 4).",
)
@click.option(
    "--worker-seconds",
    type=click.FloatRange(min=0, min_open=True),
    metavar="S",
    help="Most wall time of one worker (default: 300).",
)
@click.option("--fail-fast", is_flag=True, help="End with the first task that fails.")
@model_options
@budget_options
@manner_options
@click.option("--dry-run/--no-dry-run", default=False, help="Show the changes, and make none.")
@config_options
@output_options
@click.pass_context
def batch(ctx: click.Context, /, **chosen: Any) -> None:
    """Do each task of TASKS.jsonl with a worker of its own; "-" reads standard input.

    A line is a JSON text, or an object with text and perhaps tools, budget, timeout_seconds, scope,
    target_files and done. Without --lens, and with a delegation model, the smart model writes one lens
    for all of them first. The ceilings hold for all workers together. Without --results the results go
    to standard output as JSON Lines, in the order of the tasks, and the bill to standard error.
    """
    from sunwell.agent.lens.lens_file import read_lens
    from sunwell.cli.configured import configured
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.task_lines import read_tasks
    from sunwell.cli.view import choose_view

    tasks = read_tasks(chosen["tasks"])
    lens = None if chosen["lens"] is None else read_lens(Path(chosen["lens"]))
    held = configured(ctx, chosen, delegates=True)
    options = options_of(held, has_lens=lens is not None, fail_fast=chosen["fail_fast"])
    values = held.loaded.values
    view = choose_view(as_json=chosen["as_json"], verbose=values.verbose, max_usd=values.budget.usd)
    agent = held.agent()
    events = agent.batch_events(
        tasks, lens=lens, workspace=chosen["workspace"], options=options, results=chosen["results"]
    )
    result = drive(agent, events, view)
    prints_results = chosen["results"] is None and not chosen["as_json"]
    if prints_results:
        _print_results(result)
    ctx.exit(tell(result, chosen, aside=prints_results))


def options_of(held: "Configured", *, has_lens: bool, fail_fast: bool) -> "RunOptions":
    """Return the options of a batch: the configured ones, with a lens for all where none is given."""
    options = held.resolved.options
    delegates = not has_lens and options.delegation_model is not None
    return attrs.evolve(options, enable_delegation=delegates, fail_fast=fail_fast)


def _print_results(result: "TaskResult") -> None:
    from sunwell.agent.batches.results_file import result_fields
    from sunwell.report.figures import json_text

    for index, worker in enumerate(result.workers):
        line = json_text({"index": index, **result_fields(worker)}, None)
        click.echo(line.encode("utf-8", "replace").decode())
