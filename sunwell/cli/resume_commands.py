"""``sunwell resume``, ``fork``, ``replay`` and ``record``: recorded runs that go on or are played again."""

import shutil
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.run_command import EXIT_CODES
from sunwell.cli.shared_options import (
    SettingsCommand,
    StrictCommand,
    again_options,
    ceilings_line,
    checks_line,
    config_options,
    context_option,
    next_options,
    output_options,
    plugins_option,
    question_again_options,
    settings_options,
    strict_option,
    task_of,
    terms_of,
)

if TYPE_CHECKING:
    from sunwell.agent.agent import Agent
    from sunwell.events import Event

_OVER = "the run had finished: nothing was asked and nothing was paid, and this is its result again"


@click.command(cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@settings_options("budget")
@again_options
@question_again_options
@click.option("--accept-changes", is_flag=True, help="Keep recorded answers whose request has changed.")
@config_options
@output_options
@strict_option
@click.pass_context
def resume(ctx: click.Context, /, **chosen: Any) -> None:
    """Resume RUN, an id or its beginning: no answered call is made or paid again.

    The record of a run grants nothing: give shell, Python, plugins, context sources and checks again, here or
    in your own settings, and the contexts of a question that are not in the workspace with -c.
    Limits that you give here replace the recorded ones; otherwise the lower of the recorded and your usual
    ones holds. What was spent still counts. A finished run returns its result again without any call.
    """
    from sunwell.agent.lifecycle.authority import ceilings_now
    from sunwell.agent.lifecycle.run_settings import options_from
    from sunwell.cli.approval_prompt import Asker, require_terminal
    from sunwell.cli.ask_command import given_again
    from sunwell.cli.plain_view import PlainView
    from sunwell.cli.record_commands import has_finished, settings_of_run
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.shared_options import configured
    from sunwell.cli.views import choose_view

    workspace, run_id = Path(chosen["workspace"]), chosen["run_id"]
    settings = settings_of_run(workspace, run_id)
    recorded = options_from(settings)
    is_over = has_finished(workspace, run_id)
    held = configured(chosen, needs_key=False)
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
    with ExitStack() as opened:
        events = agent.resume(
            run_id,
            workspace=workspace,
            given=terms.given,
            budget=terms.budget,
            ceilings=terms.ceilings,
            results=terms.results,
            **given_again(chosen, settings, opened, view),
            accept_changes=terms.accept_changes,
            allow_checks=terms.allow_checks,
        )
        if not is_over:
            view.say(ceilings_line(ceilings, held))
            if checks := checks_line(settings, terms):
                view.say(checks)
        result = drive(agent, events, view, chosen)
    if is_over and not chosen["as_json"]:
        view.say(_OVER)
    ctx.exit(tell(result, chosen))


_CHANGED = ("model", "smart_model", "delegation_model", "second_model", "judge_model", "effort")


@click.command(cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "--at",
    required=True,
    metavar="SPAN[:CALL]",
    help="Span to start again, or one of its calls to continue from; sunwell show RUN --spans lists them.",
)
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@settings_options("models", "budget", only=("effort",))
@again_options
@question_again_options
@click.option("--accept-changes", is_flag=True, help="Use the files as they are.")
@config_options
@output_options
@strict_option
@click.pass_context
def fork(ctx: click.Context, /, **chosen: Any) -> None:
    """Continue RUN from one of its calls as a new run, with the options given here changed.

    Everything before is copied, and neither called nor paid again; RUN stays as it is. As for resume, the
    record grants no shell, Python, plugin or check; a batch has a results file only if --results names one.
    If a file is not as it was at that place, the new run does not start: restore the files (with git, or
    with sunwell undo RUN for a place before the first change), or use --accept-changes.
    """
    from sunwell.agent.lifecycle.authority import ceilings_now
    from sunwell.agent.lifecycle.run_settings import batch_in, options_from
    from sunwell.cli.approval_prompt import Asker, require_terminal
    from sunwell.cli.ask_command import given_again
    from sunwell.cli.record_commands import settings_of_run
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.shared_options import configured
    from sunwell.cli.views import choose_view
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
    asks_smart = recorded.enable_delegation or recorded.orchestrate or recorded.model is None
    if chosen["smart_model"] is not None and not asks_smart:
        raise ConfigurationError(
            "the run asks no smart model, so --smart-model has no effect: leave it out, or name the model "
            "that works with --model"
        )
    held = configured(chosen, needs_key=False)
    changed = {name: chosen[name] for name in _CHANGED if chosen[name] is not None}
    terms = terms_of(chosen, held, recorded, None, changed)
    ceilings = ceilings_now(recorded.budget, terms)
    verbose = held.loaded.values.verbose
    view = choose_view(as_json=chosen["as_json"], verbose=verbose, max_usd=ceilings[0].value)
    if chosen["approve"]:
        require_terminal("--approve")
        terms = terms_of(chosen, held, recorded, Asker(view), changed)
    agent = held.agent()
    with ExitStack() as opened:
        events = agent.fork(
            chosen["run_id"],
            chosen["at"],
            workspace=workspace,
            given=terms.given,
            budget=terms.budget,
            ceilings=terms.ceilings,
            results=terms.results,
            **given_again(chosen, settings, opened, view),
            accept_changes=terms.accept_changes,
            allow_checks=terms.allow_checks,
        )
        view.say(ceilings_line(ceilings, held))
        if checks := checks_line(settings, terms):
            view.say(checks)
        ctx.exit(tell(drive(agent, events, view, chosen), chosen))


@click.command("continue", cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.argument("task", metavar="TEXT")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@context_option
@settings_options("models", "budget", only=("effort",))
@next_options
@click.option(
    "--accept-changes",
    is_flag=True,
    help="Go on although files have changed that the run had seen; the model is told which.",
)
@config_options
@output_options
@strict_option
@click.pass_context
def continue_(ctx: click.Context, /, **chosen: Any) -> None:
    """Say TEXT next in the conversation of RUN, as a new run; "-" reads TEXT from standard input.

    RUN is an id, its beginning, or "last". It may have ended in any way; it stays as it is, and must not be
    running. The new run knows all that was said and done, which the provider's cache may still have, and has
    its own limits and bill. It keeps the models and options of RUN; as for resume, the record grants no
    shell, Python, plugin or check. A batch has no single conversation and cannot be continued.
    """
    from sunwell.agent.lifecycle.authority import ceilings_now
    from sunwell.agent.lifecycle.run_settings import options_from
    from sunwell.cli.approval_prompt import Asker, require_terminal
    from sunwell.cli.record_commands import own_run_in, settings_of_run
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.shared_options import configured
    from sunwell.cli.views import choose_view

    workspace = Path(chosen["workspace"])
    run_id = own_run_in(workspace, chosen["run_id"]).run_id
    settings = settings_of_run(workspace, run_id)
    recorded, words = options_from(settings), task_of(chosen)
    held = configured(chosen, needs_key=False)
    changed = {name: chosen[name] for name in _CHANGED if chosen[name] is not None}
    terms = terms_of(chosen, held, recorded, None, changed)
    ceilings = ceilings_now(recorded.budget, terms)
    view = choose_view(
        as_json=chosen["as_json"], verbose=held.loaded.values.verbose, max_usd=ceilings[0].value
    )
    if chosen["approve"]:
        require_terminal("--approve")
        terms = terms_of(chosen, held, recorded, Asker(view), changed)
    agent = held.agent()
    events = agent.continue_run(
        run_id,
        words,
        workspace=workspace,
        given=terms.given,
        budget=terms.budget,
        ceilings=terms.ceilings,
        accept_changes=terms.accept_changes,
        allow_checks=terms.allow_checks,
    )
    view.say(f"continues: {run_id}")
    view.say(ceilings_line(ceilings, held))
    if checks := checks_line(settings, terms):
        view.say(checks)
    ctx.exit(tell(drive(agent, events, view, chosen), chosen))


@click.command(cls=StrictCommand, epilog=EXIT_CODES)
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.option("--accept-changes", is_flag=True, help="Continue if requests have changed.")
@output_options
@click.pass_context
def replay(ctx: click.Context, /, **chosen: Any) -> None:
    """Replay RUN from its journal alone, with the installed version.

    No model is called and nothing is paid, written or changed; neither an API key nor a network is needed.
    Each request must be the recorded one. If the record ends before the run did, the result is cancelled and
    says at which call.
    """
    from sunwell.agent.agent import Agent
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.views import choose_view

    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"])
    agent = Agent()
    events = agent.replay(
        chosen["run_id"], workspace=chosen["workspace"], accept_changes=chosen["accept_changes"]
    )
    ctx.exit(tell(drive(agent, events, view, chosen), chosen))


_ROLES = ("model", "smart_model", "delegation_model", "second_model", "judge_model")


@click.command(cls=StrictCommand, epilog=EXIT_CODES)
@click.argument("journal", metavar="JOURNAL", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--files", metavar="DIR", help="The files that the run begins with; they are copied.")
@click.option("--allow-shell", is_flag=True, help="Let the run have the shell, if it had it.")
@click.option("--allow-python", is_flag=True, help="Let the run have Python, if it had it.")
@click.option("--allow-checks", is_flag=True, help="Run the commands that the record names as checks.")
@plugins_option
@output_options
@click.pass_context
def record(ctx: click.Context, /, **chosen: Any) -> None:
    """Record the run in the file JOURNAL again: the same task and settings, with the installed version.

    The simulator's scripted models answer, so neither an API key nor a network is needed. For journals that
    tests replay: if such a test fails because of an intended change, this makes the new recording. JOURNAL is
    replaced only if the new run ends without an error.
    """
    from sunwell.agent.agent import Agent
    from sunwell.agent.lifecycle.run_settings import latest_settings
    from sunwell.cli.run_output import drive, tell
    from sunwell.cli.views import choose_view
    from sunwell.journal.reading import read_records
    from sunwell.models.registry import ModelRegistry
    from sunwell.plugins import Plugins
    from sunwell.tools.tool_plugins import ToolPlugins

    path: Path = chosen["journal"]
    settings = latest_settings(read_records(path))
    view = choose_view(as_json=chosen["as_json"], verbose=chosen["verbose"])
    plugins = ToolPlugins(Plugins("sunwell.tools", chosen["plugins"] or None))
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
    from sunwell.simulator.in_process import InProcessModel
    from sunwell.simulator.scripts import DEMO_MODELS

    for name in named.values():
        if name is not None and name not in DEMO_MODELS:
            raise ConfigurationError(
                f"the simulator has no script for {name}; it has some for: {', '.join(DEMO_MODELS)}"
            )
    return {
        role: InProcessModel(name, DEMO_MODELS[name]) if (name := named.get(role)) else None
        for role in _ROLES
    }


def _events(
    agent: "Agent", path: Path, settings: Mapping[str, Any], workspace: Path, chosen: Mapping[str, Any]
) -> "AsyncGenerator[Event, None]":
    import attrs

    from sunwell.agent.lifecycle.authority import CallerTerms, options_now, permissions, require_task_checks
    from sunwell.agent.lifecycle.equipment import Equipment
    from sunwell.agent.lifecycle.run_settings import batch_in
    from sunwell.context.session import SessionContext
    from sunwell.errors import ConfigurationError
    from sunwell.journal.memory import ReplayedJournal
    from sunwell.journal.records import RunOpened

    opened = ReplayedJournal.read(path).find(RunOpened, ())
    assert opened is not None
    if opened.continues:
        raise ConfigurationError(
            f"{path} continues the run {opened.continues}, so it cannot be recorded again by itself: "
            "record a run that begins its own conversation"
        )
    nobody: dict[str, Any] = dict.fromkeys(_ROLES)  # the agent has the models
    given = {name: True for name in permissions() if chosen.get(name)}
    terms = CallerTerms(given=given, allow_checks=chosen["allow_checks"])
    options = attrs.evolve(options_now(settings, terms, Equipment(plugins=agent.tool_plugins)), **nobody)
    batch = batch_in(settings)
    require_task_checks(settings, batch, terms)
    if batch is not None:
        return agent.batch_events(batch.tasks, lens=batch.lens, workspace=workspace, options=options)
    return agent.run(SessionContext.build(workspace, opened.task, options=options))
