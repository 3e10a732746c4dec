"""``sunwell lens``: writes a lens, checks one, and gives it to other agents as a skill."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.output import say, say_text
from sunwell.cli.run_command import EXIT_CODES
from sunwell.cli.shared_options import (
    Chosen,
    DefaultedGroup,
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
    from sunwell.memory.lens_store import KeptLens, LensStore


@click.group(cls=DefaultedGroup, default="write")
def lens() -> None:
    """Write a lens for a task, check one, see what is kept, or exchange it with other agents as a skill.

    "sunwell lens TASK" writes one.
    """


_WRITING = ("smart_model", "effort", "max_lens_tokens", "scout", "scout_turns", "lens_store")


@lens.command("write", cls=SettingsCommand, epilog=EXIT_CODES)
@click.argument("task", required=False)
@context_option
@click.option("-o", "--output", metavar="LENS.json", help="Where to write the lens.")
@click.option("--check", metavar="LENS.json", help="Check an existing lens; no model is called.")
@workspace_option
@settings_options("budget", only=_WRITING)
@config_options
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def write(**chosen: Any) -> None:
    """Have the smart model write a lens for TASK, and show it as workers will see it.

    This is what "sunwell lens TASK" does.

    If an earlier run wrote one for the same task, models and files, that one is shown, for nothing, unless
    --no-lens-store is given. With --check LENS.json it shows and checks an existing lens.
    """
    from sunwell.agent.lens.lens_file import LensOrigin, lens_json, read_saved_lens
    from sunwell.cli.terminal import print_json
    from sunwell.errors import ConfigurationError, LensError
    from sunwell.report.figures import source_said
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
    source = result.lens_source
    is_taken = source is not None and source.how == "taken"
    day = source.written_on if source is not None and is_taken else datetime.now(UTC).date().isoformat()
    origin = LensOrigin.of(result.lens, task, day)
    if chosen["output"] is not None:
        _save(Path(chosen["output"]), lens_json(result.lens, origin), "; it is in the journal")
    if chosen["as_json"]:
        told = _lens_told(result.lens, result.lens_left_out)
        print_json(told | {"origin": attrs.asdict(origin), "run": _lens_run(result)})
        return
    _show(result.lens)
    if said := source_said(source):
        say(f"sunwell: {said}", err=True)
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
    from sunwell.report.summary import source_object

    return {
        "lens_source": source_object(result.lens_source),
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
@click.argument("file", metavar="LENS.json|ID", required=False)
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

    The lens is a file, a kept one by its id, see "sunwell lens list", or that of a run. The skill holds what
    workers see of it, when to use it, and where it comes from: the model that wrote it, its readers, what a
    test of it has shown, the files that it is about, and a hash of its text. No model is called.
    """
    from sunwell.agent.lens.lens_file import lens_json
    from sunwell.agent.lens.skill_file import SKILL_FILE, skill_name, skill_text
    from sunwell.errors import ConfigurationError

    if (file is None) == (run_id is None):
        raise ConfigurationError("name a lens file, a kept lens by its id, or a run by --run")
    if (folder is None) == (output is None):
        raise ConfigurationError("say where to write it: --skill DIR, or -o LENS.json")
    saved, known = _lens_of_run(workspace, str(run_id)) if file is None else _lens_named(file)
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


def _lens_named(name: str) -> "tuple[SavedLens, tuple[str, ...]]":
    """Return the lens in the file *name*, or the kept one with this id if there is no such file."""
    from sunwell.agent.lens.lens_file import LensOrigin, SavedLens, read_saved_lens

    if Path(name).exists() or not _ID.fullmatch(name.lower()):
        return read_saved_lens(Path(name)), ()
    kept = _kept_named(_store(), name)
    gate = "" if kept.trial is None else str(kept.trial.get("evidence", ""))
    return SavedLens(kept.lens, attrs.evolve(LensOrigin.of(kept.lens, kept.task, _day(kept)), gate=gate)), ()


@lens.command("list", epilog=EXIT_CODES)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON array.")
def list_kept(as_json: bool) -> None:
    """List the lenses that are kept for later runs, the latest first. No model is called.

    Each line has the id, the day, who wrote it and for which model, what that cost, what a trial said of it,
    and the task.
    """
    from sunwell.cli.terminal import print_json
    from sunwell.report.figures import dollars, one_line

    found = _all_kept(_store())
    if as_json:
        print_json([_kept_told(one) for one in found])
        return
    if not found:
        say("sunwell: no lens is kept", err=True)
    for one in found:
        models = " for ".join(str(one.needs.get(name, "unknown")) for name in ("smart", "reader"))
        trial = "" if one.trial is None else f"  trial: {one_line(str(one.trial.get('verdict', 'unknown')))}"
        what = one_line(one.task, _LISTED_CHARACTERS)
        by = f"{one_line(models)}  {dollars(one.cost_usd)}{trial}"
        say(f"{one.id[:_SHOWN_DIGITS]}  {_day(one)}  {by}  {what}")


@lens.command("show", epilog=EXIT_CODES)
@click.argument("lens_id", metavar="ID")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show_kept(lens_id: str, as_json: bool) -> None:
    """Show a kept lens as workers see it, and what it rests on. No model is called.

    The beginning of an id is enough.
    """
    from sunwell.cli.terminal import print_json
    from sunwell.report.figures import dollars, one_line

    kept = _kept_named(_store(), lens_id)
    if as_json:
        print_json(_kept_told(kept))
        return
    _show(kept.lens)
    say(f"sunwell: written on {_day(kept)} for: {one_line(kept.task)}", err=True)
    say(f"sunwell: it cost {dollars(kept.cost_usd)}; kind {kept.kind}; {_workspace_of(kept)}", err=True)
    for name, value in kept.needs.items():
        say(f"sunwell: {name}: {one_line(str(value))}", err=True)
    for path, digest in sorted(kept.files.items()):
        say(f"sunwell: rests on {one_line(path)} {digest[:12] if digest else '(not there)'}", err=True)
    if kept.trial is not None:
        say(f"sunwell: trial: {one_line(json.dumps(kept.trial))}", err=True)


@lens.command("drop", epilog=EXIT_CODES)
@click.argument("lens_id", metavar="ID", required=False)
@click.option("--all", "drops_all", is_flag=True, help="Drop all lenses.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def drop_kept(lens_id: str | None, drops_all: bool, as_json: bool) -> None:
    """Drop a kept lens, or all of them: later runs have new ones written. No model is called."""
    from sunwell.cli.terminal import print_json
    from sunwell.errors import ConfigurationError

    if (lens_id is None) != drops_all:
        raise ConfigurationError("name the lens to drop by its id, or all of them with --all")
    store = _store()
    count = store.drop_all() if lens_id is None else store.drop([_kept_named(store, lens_id).id])
    if as_json:
        print_json({"dropped": count})
        return
    say(f"sunwell: dropped {count:,} {'lens' if count == 1 else 'lenses'}")


_ID = re.compile(r"[0-9a-f]{4,16}")
_SHOWN_DIGITS = 8
_LISTED_CHARACTERS = 80


def _store() -> "LensStore":
    """Return the user's store. What is wrong with it is an error here."""
    from sunwell.errors import ConfigurationError
    from sunwell.memory.lens_store import LensStore, lenses_file

    def fail(sentence: str) -> None:
        raise ConfigurationError(sentence.partition("; the run goes on")[0])

    file = lenses_file()
    if file is None:
        raise ConfigurationError("no lenses are kept: SUNWELL_LENSES is off")
    return LensStore(file, warn=fail, longest_seconds=5.0)


def _all_kept(store: "LensStore") -> "tuple[KeptLens, ...]":
    """Return all kept lenses, without secrets that this process knows."""
    from sunwell.tools.environment import secrets_from_environment

    return tuple(map(secrets_from_environment().cleaned, store.all()))


def _kept_named(store: "LensStore", lens_id: str) -> "KeptLens":
    from sunwell.errors import ConfigurationError

    found = [one for one in _all_kept(store) if one.id.startswith(lens_id.lower())] if lens_id else []
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigurationError(
            f"{len(found):,} lenses have an id that begins with {lens_id!r}: give more of it"
        )
    raise ConfigurationError(f"no kept lens has the id {lens_id!r}: sunwell lens list has all")


def _kept_told(kept: "KeptLens") -> dict[str, Any]:
    from sunwell.report.figures import exact

    return _lens_told(kept.lens) | {
        "id": kept.id,
        "written_on": _day(kept),
        "task": kept.task,
        "kind": kept.kind,
        "workspace_sha256": kept.scope or None,
        "needs": dict(kept.needs),
        "files": dict(kept.files),
        "items": [dict(item) for item in kept.items],
        "cost_usd": exact(kept.cost_usd),
        "trial": None if kept.trial is None else dict(kept.trial),
    }


def _workspace_of(kept: "KeptLens") -> str:
    return (
        f"of one workspace ({kept.scope[:12]})" if kept.scope else "written from no files, for any workspace"
    )


def _day(kept: "KeptLens") -> str:
    return datetime.fromtimestamp(kept.kept_at, UTC).date().isoformat()


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
