"""The commands that a person would type to go on with a run, to look at it, or to start it again."""

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from sunwell.context.option_use import Use, unused
from sunwell.context.options import RunOptions, option_specs
from sunwell.report.page.page_data import ShellStep

_LONGEST_WORD = 100_000
"""Bytes of one word of a command: the system takes few more."""
_ONLY_IN_PYTHON = ("own_tools", "own_checks", "batch", "lens", "lens_only", "forked", "continues")
"""Parts of the settings of a run that ``sunwell run`` does not start again."""
_FROM_FILES = ("answer_schema", "judge")


@attrs.frozen
class RunState:
    """What decides which commands make sense for a run."""

    run_id: str
    workspace: str
    task: str
    status: str
    settings: Mapping[str, Any]
    options: RunOptions | None
    """``None``: they cannot be read."""
    has_changed_files: bool
    has_conversation: bool
    """Whether there is one conversation that can go on: a batch has none."""
    fork_at: str = ""
    """A call from which the run could be begun anew; empty: it has none."""
    is_foreign: bool = False
    """Whether others may have written its record. It then decides nothing that is typed."""


def shell_steps(state: RunState) -> tuple[ShellStep, ...]:
    """Return the commands, quoted for a shell; one that cannot be typed is left out."""
    made = ((_command(words), does) for words, does in _steps(state))
    return tuple(ShellStep(command, does) for command, does in made if command)


def _steps(state: RunState) -> Iterator[tuple[list[str], str]]:
    run, where = state.run_id, ["-w", state.workspace] if state.workspace else []
    if state.is_foreign:
        yield ["sunwell", "show", run, "--spans", *where], "shows every call with its place"
        yield ["sunwell", "export", run, "--with-texts", *where], "writes all of it as JSON"
        yield ["sunwell", "adopt", run, *where], "makes the run yours; others prepared it, so read it first"
        return
    if state.status != "ok":
        yield ["sunwell", "resume", run, *where], "goes on where it ended; no answered call is paid again"
    yield ["sunwell", "show", run, "--spans", *where], "shows every call with its place"
    yield ["sunwell", "replay", run, *where], "plays it again from its record; nobody is asked"
    if state.fork_at:
        does = "begins a new run from this call on; what came before is not paid again"
        yield ["sunwell", "fork", run, "--at", state.fork_at, *where], does
    if state.has_conversation and state.status != "open":
        yield ["sunwell", "continue", run, "TEXT", *where], "asks the next question in its conversation"
    if state.has_changed_files:
        yield ["sunwell", "undo", run, *where], "puts the files back that it changed"
    yield ["sunwell", "export", run, "--with-texts", *where], "writes all of it as JSON"
    if (again := _again(state)) is not None:
        yield again, "starts the same task as a new run"


def _again(state: RunState) -> list[str] | None:
    """Return the command that starts the task again; ``None``: no command does."""
    options = state.options
    if options is None or any(state.settings.get(part) for part in _ONLY_IN_PYTHON):
        return None
    if options.tools == () or any(getattr(options, name) is not None for name in _FROM_FILES):
        return None
    words, chosen = ["sunwell", "run"], _chosen(options, state.settings)
    useless = {name for name, _ in unused(chosen, Use(options))}
    for name, value in chosen.items():
        if name not in useless:
            words += _typed(option_specs()[name].switch, value)
    if state.settings.get("asks") and not options.dry_run:
        words.append("--approve")
    if state.workspace:
        words += ["-w", state.workspace]
    return [*words, *(["--"] if state.task.startswith("-") else []), state.task]


def _chosen(options: RunOptions, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that are not as usual, and the models by which the work was done."""
    chosen: dict[str, Any] = {}
    for name, spec in option_specs().items():
        value = getattr(options.budget, spec.key) if spec.section == "budget" else getattr(options, name)
        if value != spec.default:
            chosen[name] = value
    models = settings.get("models")
    roles = ("smart_model", "delegation_model") if options.enable_delegation or options.orchestrate else ()
    for role in roles or (() if options.escalate else ("model",)):
        named = models.get(role) if isinstance(models, Mapping) else None
        if isinstance(named, str):
            chosen.setdefault(role, named)
    return chosen


def _typed(switch: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [switch if value else f"--no-{switch.removeprefix('--')}"]
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (switch, f"{one:g}" if isinstance(one, float) else str(one))]


def _command(words: list[str]) -> str:
    """Return *words* as one command; empty if no terminal could take one of them as it is."""
    for word in words:
        plain = word.replace("\n", "").replace("\t", "")
        if not (plain.isprintable() and len(word.encode("utf-8", "surrogatepass")) <= _LONGEST_WORD):
            return ""
    return shlex.join(words)
