"""``sunwell lens``: writes a lens, checks one, and gives it to other agents as a skill."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.output import say, say_text
from sunwell.cli.run_command import EXIT_CODES
from sunwell.cli.shared_options import (
    Chosen,
    SettingsCommand,
    config_options,
    context_option,
    settings_options,
    task_of,
    workspace_option,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sunwell.agent.lens.lens_file import SavedLens
    from sunwell.core.lens import EphemeralLens
    from sunwell.core.task import TaskResult


class LensCommands(click.Group):
    """The commands for lenses. What names none of them is the task of ``write``."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put ``write`` before a task, and before options of it."""
        if not args or not (args[0] in self.commands or args[0] in ctx.help_option_names):
            args = ["write", *args]
        return super().parse_args(ctx, args)


@click.group(cls=LensCommands)
def lens() -> None:
    """Write a lens for a task, check one, or exchange it with other agents as a skill.

    "sunwell lens TASK" writes one.
    """


@lens.command("write", cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("task", required=False)
@context_option
@click.option("-o", "--output", metavar="LENS.json", help="Where to write the lens.")
@click.option("--check", metavar="LENS.json", help="Check an existing lens; no model is called.")
@workspace_option
@settings_options("budget", only=("smart_model", "effort", "max_lens_tokens", "scout", "scout_turns"))
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def write(**chosen: Any) -> None:
    """Have the smart model write a lens for TASK, and show it as workers will see it.

    This is what "sunwell lens TASK" does.

    With --check LENS.json it shows and checks an existing lens.
    """
    from sunwell.agent.lens.lens_file import LensOrigin, lens_json, read_saved_lens
    from sunwell.cli.terminal import print_json
    from sunwell.errors import ConfigurationError, LensError
    from sunwell.tools.environment import secrets_from_environment

    if (chosen["task"] is None) == (chosen["check"] is None):
        raise ConfigurationError("name a task to write a lens for, or --check LENS.json to check one")
    if chosen["check"] is not None:
        _refuse_besides_check(chosen)
        saved = read_saved_lens(Path(chosen["check"]))
        if chosen["as_json"]:
            print_json(_lens_told(saved.lens) | {"origin": attrs.asdict(saved.origin), "run": None})
            return
        _show(saved.lens)
        _tell_origin(saved)
        return
    result = _write(chosen)
    if result.lens is None:
        raise LensError(result.error)
    task = secrets_from_environment().redact(_words_of(chosen))
    origin = LensOrigin.of(result.lens, task, datetime.now(UTC).date().isoformat())
    if chosen["output"] is not None:
        _save(Path(chosen["output"]), lens_json(result.lens, origin), "; it is in the journal")
    if chosen["as_json"]:
        told = _lens_told(result.lens, result.lens_left_out)
        print_json(told | {"origin": attrs.asdict(origin), "run": _lens_run(result)})
        return
    _show(result.lens)
    for sentence in result.lens_left_out:
        say(f"sunwell: left out: {sentence}", err=True)


def _refuse_besides_check(chosen: Chosen) -> None:
    from sunwell.errors import ConfigurationError

    for name, value in chosen.items():
        is_used = name in ("check", "as_json") or (name, value) == ("workspace", ".")
        if not is_used and value not in (None, (), False):
            option = f"--{name.replace('_', '-')}"
            raise ConfigurationError(f"{option} has no effect here: --check only reads a lens")


def _lens_told(shown: "EphemeralLens", left_out: "Sequence[str]" = ()) -> dict[str, Any]:
    from sunwell.agent.lens.lens_file import lens_remarks
    from sunwell.agent.lens.lens_parser import lens_tokens
    from sunwell.report.forecast import lens_object

    return {
        "lens": lens_object(shown),
        "tokens": lens_tokens(shown),
        "left_out": list(left_out),
        "remarks": list(lens_remarks(shown)),
    }


def _lens_run(result: "TaskResult") -> dict[str, Any]:
    from sunwell.report.figures import exact

    return {
        "run_id": result.run_id,
        "journal": result.journal,
        "cost_usd": exact(result.bill.cost_usd),
        "uncertain_usd": exact(result.bill.uncertain_usd),
    }


def _words_of(chosen: Chosen) -> str:
    """Return the task as it was given, without its material; empty if it came through a pipe."""
    task: str = chosen["task"]
    return "" if task == "-" else task


def _tell_origin(saved: "SavedLens") -> None:
    origin = saved.origin
    parts = [
        f"written by {saved.lens.generated_by}" if saved.lens.generated_by else "",
        f"on {origin.date}" if origin.date else "",
        f"for: {origin.task}" if origin.task else "",
    ]
    if any(parts):
        say(f"sunwell: {' '.join(part for part in parts if part)}", err=True)
    if origin.gate:
        say(f"sunwell: a test of it said: {origin.gate}", err=True)


def _write(chosen: Chosen) -> "TaskResult":
    from sunwell.cli.ending import run_async
    from sunwell.cli.shared_options import configured
    from sunwell.context.session import SessionContext

    held = configured(chosen)
    options = attrs.evolve(held.resolved.options, on_lens_failure="fail")
    session = SessionContext.build(chosen["workspace"], task_of(chosen), options=options)
    return run_async(held.agent().lens_events(session).result())


def _save(path: Path, text: str, otherwise: str = "") -> None:
    from sunwell.errors import ConfigurationError

    try:
        path.write_text(text, "utf-8")
    except OSError as error:
        raise ConfigurationError(
            f"the lens cannot be written to {path}: {error.strerror or error}{otherwise}"
        ) from None
    say(f"sunwell: wrote {path}", err=True)


def _show(shown: "EphemeralLens") -> None:
    from sunwell.agent.lens.lens_file import lens_remarks
    from sunwell.agent.lens.lens_parser import lens_tokens

    say_text(shown.to_context())
    say(f"sunwell: about {lens_tokens(shown):,} tokens for each reader", err=True)
    if shown.target_files:
        say(f"sunwell: target files: {', '.join(shown.target_files)}", err=True)
    for remark in lens_remarks(shown):
        say(f"sunwell: look again: {remark}", err=True)


@lens.command("export", epilog=EXIT_CODES)
@click.argument("file", metavar="LENS.json", required=False)
@click.option("--run", "run_id", metavar="RUN", help="The lens of this run, in place of a file's.")
@workspace_option
@click.option("--skill", "folder", metavar="DIR", help="Folder of the skill, named like it.")
@click.option("-o", "--output", metavar="LENS.json", help="Write a lens file, in place of a skill.")
@click.option("--reader", "readers", multiple=True, metavar="M", help="A model that worked with the lens.")
@click.option("--force", is_flag=True, help="Write over a SKILL.md that is there.")
def export_skill(
    file: str | None,
    run_id: str | None,
    workspace: str,
    folder: str | None,
    output: str | None,
    readers: tuple[str, ...],
    force: bool,
) -> None:
    """Write a lens as an Agent Skill: DIR/SKILL.md, which other agents read.

    It holds what workers see of the lens, when to use it, and where it comes from: the model that wrote it,
    its readers, what a test of it has shown, the files that it is about, and a hash of its text. With --run
    it is the lens of a run, and its readers are known. No model is called.
    """
    from sunwell.agent.lens.lens_file import lens_json, read_saved_lens
    from sunwell.agent.lens.skill_file import SKILL_FILE, skill_name, skill_text
    from sunwell.errors import ConfigurationError

    if (file is None) == (run_id is None):
        raise ConfigurationError("name a lens file, or a run by --run")
    if (folder is None) == (output is None):
        raise ConfigurationError("say where to write it: --skill DIR, or -o LENS.json")
    known: tuple[str, ...] = ()
    if file is not None:
        saved = read_saved_lens(Path(file))
    else:
        saved, known = _lens_of_run(workspace, str(run_id))
    if output is not None:
        _save(Path(output), lens_json(saved.lens, saved.origin))
        return
    skill = Path(str(folder))
    name = skill_name(skill.resolve().name)
    gate = saved.origin.gate or "not tested"
    text = skill_text(saved.lens, name, readers=readers or known, gate=gate)
    place = skill / SKILL_FILE
    if place.exists() and not force:
        raise ConfigurationError(f"{place} is there: name another folder, or write over it with --force")
    try:
        skill.mkdir(parents=True, exist_ok=True)
        place.write_text(text, "utf-8", newline="\n")
    except OSError as error:
        raise ConfigurationError(f"{place} cannot be written: {error.strerror or error}") from None
    say(f"sunwell: wrote {place}, the skill {name}")
    if name != skill.resolve().name:
        say(f"sunwell: agents expect a skill in a folder of its name: call the folder {name}", err=True)


def _lens_of_run(workspace: str, run_id: str) -> "tuple[SavedLens, tuple[str, ...]]":
    """Return the lens of a run with what its end says of it, and the models that worked in the run."""
    from sunwell.agent.lens.lens_file import LensOrigin, SavedLens
    from sunwell.cli.record_commands import run_in
    from sunwell.errors import ConfigurationError
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import Answer, RunOpened
    from sunwell.report.recorded_run import lens_in, lens_test_in

    records = list(read_records(run_in(Path(workspace), run_id).path))
    lens, _ = lens_in(records)
    if lens is None:
        raise ConfigurationError(f"the run {run_id} has no lens: name one that was delegated, or a lens file")
    opened = next(record for record in records if isinstance(record, RunOpened))
    day = datetime.fromtimestamp(opened.at, UTC).date().isoformat()
    test = lens_test_in(records)
    tested = test is not None and test.finding != "not tested"
    origin = attrs.evolve(
        LensOrigin.of(lens, opened.task, day), gate=test.evidence if test is not None and tested else ""
    )
    answers = (one for one in records if isinstance(one, Answer) and one.purpose == "work")
    return SavedLens(lens, origin), tuple(dict.fromkeys(one.completion.model for one in answers))


@lens.command("import", epilog=EXIT_CODES)
@click.argument("file", metavar="SKILL.md")
@click.option("-o", "--output", metavar="LENS.json", help="Where to write the lens.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def import_skill(file: str, output: str | None, as_json: bool) -> None:
    """Make a lens of an Agent Skill, SKILL.md or its folder, and show it as workers will see it.

    A skill that was made of a lens gives that lens. Of any other, each item of a list and each paragraph
    becomes a heuristic, and each block of code an example. Nothing of a skill is run, and no file beside it
    is opened. No model is called.
    """
    from sunwell.agent.lens.lens_file import LensOrigin, lens_json
    from sunwell.agent.lens.skill_file import read_skill
    from sunwell.cli.terminal import print_json

    skill = read_skill(Path(file))
    if output is not None:
        origin = attrs.evolve(LensOrigin.of(skill.lens, "", ""), gate=skill.gate)
        _save(Path(output), lens_json(skill.lens, origin))
    if as_json:
        told = {"name": skill.name, "own": skill.is_own, "edited": skill.is_edited}
        print_json(_lens_told(skill.lens) | {"skill": told})
        return
    _show(skill.lens)
    if not skill.is_own:
        say("sunwell: this skill was not made of a lens: read it before workers read it", err=True)
    elif skill.is_edited:
        say("sunwell: this skill was edited since it was made of a lens", err=True)
