"""What a record may not decide when its run goes on: permissions, plugins, ceilings, places to write.

A journal lies in the workspace, where others may have edited it. It is data: it can ask for less than the
caller allows, never for more.
"""

import shlex
from collections.abc import Mapping, Set
from functools import cache
from pathlib import Path
from typing import Any, Literal

import attrs

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lifecycle.equipment import Equipment, taken_names
from sunwell.agent.lifecycle.model_roles import Choices
from sunwell.agent.lifecycle.run_settings import options_from, own_checks
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import MODEL_ROLES, OptionSpec, RunOptions, option_specs
from sunwell.core.markdown import one_line
from sunwell.errors import ConfigurationError
from sunwell.models.registry import ModelRegistry
from sunwell.tools.protected import kind_of_path
from sunwell.tools.tool_plugins import ToolPlugins

_KINDS = ("usd", "tokens", "calls", "turns", "seconds")
ALLOW_CHECKS = "allow those of the record with --allow-checks (allow_checks=True in Python)"


@cache
def permissions() -> Mapping[str, OptionSpec]:
    """Return the options that a resumed run must be given again, by name."""
    return {name: spec for name, spec in option_specs().items() if spec.is_permission}


def _as_typed(spec: OptionSpec, value: Any) -> str:
    """Return how the command line gives *value*."""
    if isinstance(value, tuple):
        return " ".join(f"{spec.switch} {shlex.quote(one)}" for one in value)
    return spec.switch if value is True else f"{spec.switch} {value}"


@attrs.frozen
class CallerTerms:
    """What the caller says when a recorded run goes on; for everything else the record counts."""

    options: RunOptions | None = None
    """Choices in place of all recorded ones; its budget may only narrow the recorded one."""
    given: Mapping[str, Any] = attrs.field(factory=dict)
    """Single options by name, in place of the recorded ones."""
    budget: Budget | None = None
    """Ceilings that replace the recorded ones, each kind by itself; ``None`` in it leaves a kind as it is."""
    ceilings: Budget = Budget()
    """The caller's usual ceilings: of each kind the lower one of these and the recorded ones holds."""
    results: Path | None = None
    """The results file of a batch."""
    accept_changes: bool = False
    allow_checks: bool = False
    """Whether the commands that the record names as checks may run."""

    @classmethod
    def of(
        cls,
        options: RunOptions | None,
        given: Mapping[str, Any] | None,
        budget: Budget | None,
        ceilings: Budget | None,
        results: str | Path | None,
        *,
        accept_changes: bool,
        allow_checks: bool = False,
    ) -> "CallerTerms":
        """Return the terms that the arguments of a method of the agent say."""
        file = None if results is None else Path(results)
        return cls(options, given or {}, budget, ceilings or Budget(), file, accept_changes, allow_checks)

    def __attrs_post_init__(self) -> None:
        known = {field.name for field in attrs.fields(RunOptions)} - {"budget"}
        unknown = sorted(set(self.given) - known)
        if unknown:
            raise ConfigurationError(
                f"given has {unknown[0]!r}, which is not an option of a run (for the budget use budget=)"
            )


def options_now(settings: Mapping[str, Any], terms: CallerTerms, equipment: Equipment) -> RunOptions:
    """Return the options under which the run with the recorded *settings* goes on.

    *equipment* is what the caller has to make tools from.
    Raises :exc:`~sunwell.errors.ConfigurationError` for a permission that only the record gives, for a
    tool of the caller's own that is not given again, and
    :exc:`~sunwell.errors.JournalError` for settings that are damaged.
    """
    recorded = options_from(settings)
    # A tool that is gone is a change: who accepts it goes on with the tools that there are.
    before = equipment.playable(recorded, settings) if terms.accept_changes else recorded
    chosen = attrs.evolve(before if terms.options is None else terms.options, **terms.given)
    if chosen.lens is None and "lens" not in terms.given:  # options in place of all others need not repeat it
        chosen = attrs.evolve(chosen, lens=recorded.lens)
    # Also over an executor of the caller's own: commands and scripts are added to its toolbox.
    for name in permissions():
        if name != "checks" or not terms.allow_checks:
            _require_permission(name, recorded, chosen, terms)
    own = {tool.spec.name for tool in equipment.own_tools(chosen)}
    if not terms.accept_changes:
        _require_own_tools(settings, own)
        _require_own_checks(settings, chosen)
    plugins = equipment.own_plugins
    if plugins is not None and terms.options is None and "tools" not in terms.given:
        _require_tools(before, plugins, own | equipment.served_names)
    held = [ceiling for ceiling in ceilings_now(recorded.budget, terms) if ceiling.value is not None]
    budget = Budget(**{ceiling.kind: ceiling.value for ceiling in held})
    return attrs.evolve(chosen, budget=budget, dry_run=chosen.dry_run or recorded.dry_run)


def _require_permission(name: str, recorded: RunOptions, chosen: RunOptions, terms: CallerTerms) -> None:
    value, permission = getattr(recorded, name), permissions()[name]
    if value == permission.harmless or name in terms.given:
        return
    texts = {"checks": "check_commands", "context_sources": "context_source_texts"}
    now = getattr(chosen, texts.get(name, name))
    if terms.options is not None and (now == value or terms.accept_changes):
        return
    option = _as_typed(permission, value)
    raise ConfigurationError(
        f"the run was started with {option}, which its record cannot grant: give it again "
        f"({option}, or given={{{name!r}: {value!r}}} in Python)"
        + (f", or {ALLOW_CHECKS}" if name == "checks" else "")
    )


def _require_own_checks(settings: Mapping[str, Any], chosen: RunOptions) -> None:
    there = own_checks(chosen)
    gone = [name for name in settings.get("own_checks", ()) if name not in there]
    if gone:
        raise ConfigurationError(
            f"the run had checks of your own, whose code no record can hold: give {', '.join(gone)} again "
            f"(given={{'checks': [{', '.join(gone)}]}} in Python)"
        )


def require_task_checks(settings: Mapping[str, Any], batch: Batch | None, terms: CallerTerms) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if tasks of *batch* name commands that nobody allows.

    A journal lies in the workspace, and so does the list of tasks in it. The same is raised if tasks had
    checks of the caller's own code, unless changes are accepted.
    """
    own = settings.get("batch", {}).get("own_checks", [])
    if own and not terms.accept_changes:
        raise ConfigurationError(
            f"tasks of the batch had checks of your own ({', '.join(map(str, own))}), whose code no record "
            "can hold: go on without them with --accept-changes (accept_changes=True in Python)"
        )
    found = () if batch is None else batch.checks
    if not found or terms.allow_checks:
        return
    first, many = found[0], f" and {len(found) - 1:,} more" if len(found) > 1 else ""
    raise ConfigurationError(
        f"tasks of the batch have checks, which its record cannot grant: {one_line(str(first))}{many}; read "
        f"them, then {ALLOW_CHECKS}"
    )


def _require_own_tools(settings: Mapping[str, Any], own: Set[str]) -> None:
    gone = [name for name, _ in settings.get("own_tools", ()) if name not in own]
    if gone:
        names = ", ".join(gone)
        raise ConfigurationError(
            f"the run had tools of your own, whose code no record can hold: give {names} again "
            f"(Agent(tools=[{names}]), or given={{'tools': [{names}]}}, in Python)"
        )


def _require_tools(recorded: RunOptions, plugins: ToolPlugins, own: Set[str]) -> None:
    foreign = [name for name in recorded.tool_names or () if name not in taken_names() | own]
    if foreign and plugins.plugins.allowed is None:
        there = ", ".join(plugins.plugins.names()) or "none"
        raise ConfigurationError(
            f"the run had the tool {foreign[0]} of a plugin, which its record cannot grant: name the plugin "
            f"again with --plugin NAME (installed: {there}), or the tools with given={{'tools': …}} in Python"
        )


def require_own_models(
    options: RunOptions, mine: Choices, terms: CallerTerms, registry: ModelRegistry
) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if only the record chose a model of a plugin.

    Such a name would run the plugin's code. Any other name means what the caller's registry says, so it
    leads to no other address and no other key than the caller's own configuration gives for it.
    """
    if terms.options is not None:
        return
    for role in MODEL_ROLES:
        name = getattr(options, role)
        if role in terms.given or getattr(mine, role) is not None or not isinstance(name, str):
            continue
        plugin = registry.plugin_of(name)
        if plugin is not None:
            raise ConfigurationError(
                f"the run had the model {name} of the plugin {plugin}, which its record cannot grant: name "
                f"the plugin again (--plugin {plugin}, or given={{{role!r}: {name!r}}} in Python)"
            )


@attrs.frozen
class Ceiling:
    """The ceiling of one kind that holds, and who set it."""

    kind: str
    value: Any
    """``None`` if there is none."""
    source: Literal["named", "usual", "recorded"]


def ceilings_now(recorded: Budget, terms: CallerTerms) -> tuple[Ceiling, ...]:
    """Return the ceiling of each kind: the named one, else the lowest of the usual and the recorded one."""
    usual = [terms.ceilings] + ([terms.options.budget] if terms.options is not None else [])
    return tuple(_ceiling(kind, recorded, usual, terms.budget) for kind in _KINDS)


def _ceiling(kind: str, recorded: Budget, usual: list[Budget], named: Budget | None) -> Ceiling:
    value = getattr(named, kind, None)
    if value is not None:
        return Ceiling(kind, value, "named")
    lowest, source = getattr(recorded, kind), "recorded"
    for budget in usual:
        value = getattr(budget, kind)
        if value is not None and (lowest is None or value < lowest):
            lowest, source = value, "usual"
    return Ceiling(kind, lowest, "usual" if source == "usual" else "recorded")


def batch_now(
    batch: Batch | None, workspace: Path, named: Path | None, *, is_finished: bool
) -> tuple[Batch | None, str]:
    """Return *batch* with the results file that may be written, and a sentence if none may.

    The recorded file counts if it is in the workspace, is not protected and not behind a link of any kind;
    any other only if the caller *named* it. Raises :exc:`~sunwell.errors.ConfigurationError` if it would
    be needed; a run that is finished leaves the file as it is.
    """
    if batch is None:
        if named is not None:
            raise ConfigurationError("the run is not a batch, so it has no results file: leave --results out")
        return None, ""
    if named is not None:
        return attrs.evolve(batch, results=named.absolute()), ""
    if batch.results is None or _is_inside(batch.results, workspace):
        return batch, ""
    said = f"the results file {batch.results} of the record is not a place in the workspace"
    if is_finished:
        return attrs.evolve(batch, results=None), f"{said} and is left as it is: name it with --results"
    raise ConfigurationError(f"{said}: name it again with --results FILE (results= in Python)")


def _is_inside(file: Path, workspace: Path) -> bool:
    root = workspace.resolve()
    try:
        place = file.parent.resolve() / file.name
    except (OSError, RuntimeError, ValueError):
        return False
    if not file.is_absolute() or file.name in ("", "..") or not place.is_relative_to(root):
        return False
    if kind_of_path(place.relative_to(root).as_posix()) is not None or place.is_symlink():
        return False
    return not place.is_file() or place.stat().st_nlink < 2  # lines would be added to its other name
