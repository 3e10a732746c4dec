"""``sunwell batch``: many tasks under one lens."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.choices import (
    Chosen,
    budget_of,
    budget_options,
    manner_options,
    model_options,
    models_of,
    output_options,
)
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
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
    default=4,
    show_default=True,
    metavar="N",
    help="Most workers at once.",
)
@click.option(
    "--worker-seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=300,
    show_default=True,
    metavar="S",
    help="Most wall time of one worker.",
)
@click.option("--fail-fast", is_flag=True, help="End with the first task that fails.")
@model_options
@budget_options
@manner_options
@click.option("--dry-run", is_flag=True, help="Show the changes, and make none.")
@output_options
@click.pass_context
def batch(ctx: click.Context, /, **chosen: Any) -> None:
    """Do each task of TASKS.jsonl with a worker of its own; "-" reads standard input.

    A line is a JSON text, or an object with text and perhaps tools, budget, timeout_seconds, scope,
    target_files and done. Without --lens, and with a delegation model, the smart model writes one lens
    for all of them first. The ceilings hold for all workers together. Without --results the results go
    to standard output as JSON Lines, in the order of the tasks, and the bill to standard error.
    """
    from sunwell.agent.agent import Agent
    from sunwell.agent.lens_file import read_lens
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.task_lines import read_tasks
    from sunwell.cli.view import choose_view

    tasks = read_tasks(chosen["tasks"])
    lens = None if chosen["lens"] is None else read_lens(Path(chosen["lens"]))
    options = options_of(chosen, has_lens=lens is not None)
    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"], max_usd=chosen["max_usd"])
    agent = Agent()
    events = agent.batch_events(
        tasks, lens=lens, workspace=chosen["workspace"], options=options, results=chosen["results"]
    )
    result = drive(agent, events, view)
    prints_results = chosen["results"] is None and not chosen["as_json"]
    if prints_results:
        _print_results(result)
    ctx.exit(tell(result, chosen, aside=prints_results))


def options_of(chosen: Chosen, *, has_lens: bool) -> "RunOptions":
    """Return the options of a batch as they were chosen."""
    from sunwell.context.options import RunOptions

    models = models_of(chosen, delegates=True)
    return RunOptions(
        enable_delegation=not has_lens and models["delegation_model"] is not None,
        **models,
        budget=budget_of(chosen),
        effort=chosen["effort"],
        allow_shell=chosen["allow_shell"],
        dry_run=chosen["dry_run"],
        max_concurrent=chosen["max_concurrent"],
        worker_timeout_seconds=chosen["worker_seconds"],
        fail_fast=chosen["fail_fast"],
    )


def _print_results(result: "TaskResult") -> None:
    from sunwell.agent.results_file import result_fields

    for index, worker in enumerate(result.workers):
        line = json.dumps({"index": index, **result_fields(worker)}, ensure_ascii=False)
        click.echo(line.encode("utf-8", "replace").decode())
