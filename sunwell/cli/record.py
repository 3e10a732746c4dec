"""``sunwell record``: record a run anew on the simulator."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.choices import output_options
from sunwell.cli.run import EXIT_CODES

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.events import Event

_ROLES = ("model", "smart_model", "delegation_model")


@click.command(epilog=EXIT_CODES)
@click.argument("journal", metavar="JOURNAL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--files", metavar="DIR", help="The files that the run begins with; they are copied.")
@click.option("--allow-shell", is_flag=True, help="Let the run have the shell, if it had it.")
@click.option("--allow-python", is_flag=True, help="Let the run have Python, if it had it.")
@click.option("--plugin", multiple=True, metavar="NAME", help="A plugin that the run may load.")
@output_options
@click.pass_context
def record(ctx: click.Context, /, **chosen: Any) -> None:
    """Record the run in the file JOURNAL anew: the same task and settings, with the code of today.

    The simulator's scripted models answer, so neither key nor network is needed. For journals that tests
    play again: where such a test fails on purpose, this makes the new recording. JOURNAL is replaced where
    the new run comes to an end that is no error.
    """
    from sunwell.agent.agent import Agent
    from sunwell.agent.lifecycle.run_settings import latest_settings
    from sunwell.cli.driving import drive
    from sunwell.cli.ending import tell
    from sunwell.cli.view import choose_view
    from sunwell.journal.reading import read_records
    from sunwell.models.registry import ModelRegistry
    from sunwell.plugins import Plugins
    from sunwell.tools.tool_plugins import ToolPlugins

    path: Path = chosen["journal"]
    settings = latest_settings(read_records(path))
    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"])
    plugins = ToolPlugins(Plugins("sunwell.tools", chosen["plugin"] or None))
    agent = Agent(registry=ModelRegistry(), tool_plugins=plugins, **_models(settings["models"]))
    with tempfile.TemporaryDirectory(prefix="sunwell-record-") as folder:
        workspace = Path(folder) / "workspace"
        if chosen["files"]:
            shutil.copytree(chosen["files"], workspace, ignore=shutil.ignore_patterns(".sunwell"))
        else:
            workspace.mkdir()
        result = drive(agent, _events(agent, path, settings, workspace, chosen), view)
        if result.status in ("ok", "incomplete") and result.journal:
            shutil.copyfile(result.journal, path)
        code = tell(result, {**chosen, "workspace": str(workspace)})  # may read the journal, which goes now
    ctx.exit(code)


def _models(named: Mapping[str, str | None]) -> dict[str, Any]:
    from sunwell.errors import ConfigurationError
    from sunwell.simulator.inprocess import InProcessModel
    from sunwell.simulator.scripts import DEMO_MODELS

    for name in named.values():
        if name is not None and name not in DEMO_MODELS:
            raise ConfigurationError(
                f"the simulator has no script for {name}; it has some for: {', '.join(DEMO_MODELS)}"
            )
    return {
        role: InProcessModel(name, DEMO_MODELS[name]) if (name := named[role]) else None for role in _ROLES
    }


def _events(
    agent: "Agent", path: Path, settings: Mapping[str, Any], workspace: Path, chosen: Mapping[str, Any]
) -> "AsyncGenerator[Event, None]":
    import attrs

    from sunwell.agent.lifecycle.authority import PERMISSIONS, CallerTerms, options_now
    from sunwell.agent.lifecycle.run_settings import batch_in
    from sunwell.context.session import SessionContext
    from sunwell.journal.memory import ReplayedJournal
    from sunwell.journal.records import RunOpened

    opened = ReplayedJournal.read(path).find(RunOpened, ())
    assert opened is not None
    nobody: dict[str, Any] = dict.fromkeys(_ROLES)  # the agent has the models
    given = {name: True for name in PERMISSIONS if chosen.get(name)}
    options = attrs.evolve(options_now(settings, CallerTerms(given=given), agent.tool_plugins), **nobody)
    batch = batch_in(settings)
    if batch is not None:
        return agent.batch_events(batch.tasks, lens=batch.lens, workspace=workspace, options=options)
    return agent.run(SessionContext.build(workspace, opened.task, options=options))
