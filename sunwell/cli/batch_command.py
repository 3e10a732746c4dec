"""``sunwell batch``: many tasks, one on each line of a file."""

import json
import sys
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.run_command import EXIT_CODES
from sunwell.cli.shared_options import (
    SettingsCommand,
    config_options,
    given_lens,
    lens_option,
    output_options,
    plugins_option,
    settings_options,
    strict_option,
    workspace_option,
)
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.cli.shared_options import Configured
    from sunwell.context.options import RunOptions
    from sunwell.core.task import Task, TaskResult


def read_tasks(source: str) -> "tuple[Task, ...]":
    """Return the tasks in the file *source*, or on standard input where that is ``-``.

    Empty lines are passed over. Raises :exc:`~sunwell.errors.ConfigurationError` with the number of
    the first line that is no task.
    """
    from sunwell.cli.terminal import MOST_INPUT_BYTES, read_input
    from sunwell.tools.given_files import read_given

    name = "standard input" if source == "-" else source
    if source == "-" and sys.stdin is None:
        raise ConfigurationError("standard input is closed: name a file with the tasks")
    try:
        if source == "-":
            data = read_input("the tasks")
        else:
            means = f", or pipe it in if you mean it (- < {source})"
            data = read_given(source, "the batch", MOST_INPUT_BYTES, otherwise=means)
        if len(data) > MOST_INPUT_BYTES:
            raise ConfigurationError(f"{name} has more than {MOST_INPUT_BYTES:,} bytes: split the batch")
        text = data.decode("utf-8-sig").replace("\r\n", "\n")
    except OSError as error:
        raise ConfigurationError(f"the tasks in {name} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{name} is not UTF-8 text") from None
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise ConfigurationError(f"{name} contains no task: write one JSON string or object per line")
    return tuple(_task(line, f"{name}, line {number}") for number, line in lines)


def _task(line: str, where: str) -> "Task":
    from sunwell.agent.workers.worker import task_of

    try:
        value: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(
            f'{where} is not JSON ({error}); write "…" or {{"text": "…"}} on each line'
        ) from None
    if isinstance(value, str):
        value = {"text": value}
    if not isinstance(value, dict):
        raise ConfigurationError(f'{where} must be a string or an object: write {{"text": "…"}}')
    try:
        return task_of(value)
    except ConfigurationError as error:
        raise ConfigurationError(f"{where}: {error}") from None


@click.command(cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("tasks", metavar="TASKS.jsonl")
@workspace_option
@lens_option
@click.option("--results", metavar="OUT.jsonl", help="File that gets each result as soon as it is available.")
@plugins_option
@settings_options(
    "models",
    "delegation",
    "work",
    "permissions",
    "checks",
    "budget",
    "workers",
    without=("delegation_threshold_tokens", "delegation_tools", "split", "max_depth", "worker_share"),
)
@config_options
@output_options
@strict_option
@click.pass_context
def batch(ctx: click.Context, /, **chosen: Any) -> None:
    """Do each task of TASKS.jsonl with its own worker; "-" reads standard input.

    A line is a JSON string, or an object with text and, if needed, tools, budget, timeout_seconds, scope,
    target_files, done and check (a command, or a list of them). Without --lens, and with a delegation model,
    the smart model first writes one lens for all tasks. The budget holds for all workers together. Without
    --results, the results go to standard output as JSON Lines in the order of the tasks, and the bill to
    standard error.
    """
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.shared_options import configured
    from sunwell.cli.unused_options import refuse_unused
    from sunwell.cli.views import choose_view
    from sunwell.context.option_use import Use

    tasks = read_tasks(chosen["tasks"])
    lens = given_lens(chosen)
    held = configured(chosen, delegates=True)
    options = options_of(held, has_lens=lens is not None)
    has_checks = any(task.check for task in tasks)
    use = Use(options, is_batch=True, has_lens=lens is not None, has_task_checks=has_checks)
    refuse_unused(chosen, use)
    values = held.loaded.values
    view = choose_view(as_json=chosen["as_json"], verbose=values.verbose, max_usd=values.run.budget.usd)
    agent = held.agent()
    events = agent.batch_events(
        tasks, lens=lens, workspace=chosen["workspace"], options=options, results=chosen["results"]
    )
    result = drive(agent, events, view, chosen)
    prints_results = chosen["results"] is None and not chosen["as_json"]
    if prints_results:
        _print_results(result)
    ctx.exit(tell(result, chosen, aside=prints_results))


def options_of(held: "Configured", *, has_lens: bool) -> "RunOptions":
    """Return the options of a batch: the configured ones, with a lens for all unless one is given."""
    options, run = held.resolved.options, held.loaded.values
    delegates = options.delegation_model is not None
    if "enable_delegation" in run.chosen:
        delegates = run.run.enable_delegation
    return attrs.evolve(options, enable_delegation=delegates and not has_lens)


def _print_results(result: "TaskResult") -> None:
    from sunwell.agent.batches.results_file import result_fields
    from sunwell.cli.terminal import print_json

    for index, worker in enumerate(result.workers):
        print_json({"index": index, **result_fields(worker)}, None)
