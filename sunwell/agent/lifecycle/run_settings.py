"""What of a run's options stands in its first record, so that another process can go on with it."""

import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from functools import update_wrapper
from types import MappingProxyType
from typing import Any, Generic, TypeVar

import attrs

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.agent.workers.worker import plain
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.kinds import Seconds, read_value, without_none
from sunwell.context.options import MODEL_ROLES, OptionSpec, RunOptions, option_specs
from sunwell.core.check import name_of
from sunwell.core.lens import EphemeralLens
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.records import Record, RunClosed, RunOpened, RunResumed

_DAMAGED = "the settings in the journal are damaged"
_ADVICE = "restore the journal from a copy, or start the task again"
_OLDER: Mapping[str, str] = MappingProxyType(
    {
        "orchestration.max_iterations": "orchestrator_max_turns",
        "orchestration.confidence_threshold": "orchestrator_confidence_threshold",
        "orchestration.share": "worker_share",
        "orchestration.max_entries": "scratchpad_max_entries",
        "orchestration.persist_decisions": "scratchpad_persist_decisions",
        "orchestration.earlier_runs": "earlier_runs",
        "orchestration.sub_calls.max_depth": "sub_calls_max_depth",
        "orchestration.sub_calls.max_sub_calls_per_turn": "sub_calls_max_per_turn",
        "orchestration.sub_calls.max_total_tokens": "sub_calls_max_total_tokens",
        "orchestration.sub_calls.max_cost_per_session": "sub_calls_max_cost_per_session",
        "orchestration.sub_calls.budget_inheritance": "sub_calls_budget_inheritance",
    }
)
"""Names of options in the records of runs before 2026-11-28."""
_OLDEST_ROLES = {"model", "smart_model", "delegation_model"}
"""What the records of all versions name a model for."""
_PARTS: Mapping[str, Any] = MappingProxyType(
    {
        "models": dict[str, str | None],
        "options": dict[str, Any],
        "recalled": str,
        "surroundings": str,
        "asks": bool,
        "lens_only": bool,
        "code": dict[str, Any],
        "batch": dict[str, Any],
        "asked": dict[str, Any],
        "forked": dict[str, str],
        "continues": dict[str, str],
        "lens": dict[str, Any],
        "lens_left_out": list[str],
        "own_tools": list[tuple[str, str]],
        "served_tools": list[tuple[str, str, str]],
        "own_checks": list[str],
        "answer_schema": str,
        "watched": dict[str, Any],
        "confinement": dict[str, Any],
    }
)
"""What each part of the settings is."""


Of = TypeVar("Of")
Made = TypeVar("Made")


class KeptForEach(Generic[Of, Made]):
    """A function of one object that is called once for each object: by identity, which takes no hash of it.

    The object must not change, and what is made of it must not refer to it: it would never be let go.
    """

    def __init__(self, make: Callable[[Of], Made]) -> None:
        self._make = make
        self._kept: dict[int, tuple[weakref.ref[Any], Made]] = {}
        update_wrapper(self, make)

    def __call__(self, of: Of) -> Made:
        """Return what the function returned for *of*."""
        number = id(of)
        found = self._kept.get(number)
        if found is not None and found[0]() is of:
            return found[1]
        made = self._make(of)
        self._kept[number] = (weakref.ref(of, lambda gone: self._drop(number, gone)), made)
        return made

    def _drop(self, number: int, gone: "weakref.ref[Any]") -> None:
        found = self._kept.get(number)
        if found is not None and found[0] is gone:  # another object may have got the number meanwhile
            del self._kept[number]


def settings_of(options: RunOptions, roles: Roles, recalled: str) -> dict[str, Any]:
    """Return JSON values that say all of *options*, and the names of the models.

    Of ``approve`` they say only whether there was one; of ``estimator`` nothing: its decision is recorded.
    """
    chosen = dict(_chosen(options))
    models = (roles.own, roles.smart, roles.worker, roles.second, roles.judge)
    named = {role: model.name if model else None for role, model in zip(MODEL_ROLES, models, strict=True)}
    asks = options.approve is not None
    return {"models": named, "options": chosen, "recalled": recalled, "asks": asks}


@KeptForEach
def _chosen(options: RunOptions) -> Mapping[str, Any]:
    return {name: _written(_value(options, spec)) for name, spec in option_specs().items()}


def _value(options: RunOptions, spec: OptionSpec) -> Any:
    if spec.section == "budget":
        return getattr(options.budget, spec.key)
    if spec.name == "checks":
        return options.check_commands
    if spec.name == "context_sources":
        return options.context_source_texts
    return options.tool_names if spec.name == "tools" else getattr(options, spec.name)


def _written(value: Any) -> Any:
    """Return *value* of an option as JSON: amounts are texts, and a model is its name."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Decimal) else value.name


def own_checks(options: RunOptions) -> list[str]:
    """Return what the checks of *options* are called that are the caller's own code."""
    return [name_of(check) for check in options.checks if not isinstance(check, str)]


def latest_settings(records: Iterable[Record]) -> Mapping[str, Any]:
    """Return the settings that held at the end of *records*; a run that is resumed goes on with them.

    Raises :exc:`~sunwell.errors.JournalError` if they are not what :func:`settings_of` writes.
    """
    settings: Mapping[str, Any] = {}
    for record in records:
        if isinstance(record, RunOpened | RunResumed) and record.settings:
            settings = record.settings
    if settings:
        _check(settings)
    return settings


def settings_of_last_end(records: Iterable[Record]) -> Mapping[str, Any]:
    """Return the settings under which the run of *records* last came to an end of its own, else its first.

    An end that an error or the user made does not count: what a ceiling refused before that, it did not
    refuse under the settings of that process.
    """
    now: Mapping[str, Any] = {}
    at_end: Mapping[str, Any] = {}
    for record in records:
        if isinstance(record, RunOpened | RunResumed):
            now = record.settings or now
            at_end = at_end or now
        elif isinstance(record, RunClosed) and record.status in ("ok", "incomplete"):
            at_end = now
    return at_end


def lens_fields_of(lens: EphemeralLens) -> dict[str, Any]:
    """Return *lens* as JSON values, from which :func:`options_from` makes it again."""
    return {name: plain(value) for name, value in attrs.asdict(lens).items()}


def _lens_in(settings: Mapping[str, Any]) -> EphemeralLens | None:
    """Return the lens that the run was given. Raises :exc:`~sunwell.errors.JournalError` if it is damaged."""
    if "lens" not in settings:
        return None
    try:
        return EphemeralLens(**settings["lens"])
    except (TypeError, ValueError) as error:
        raise JournalError(f"{_DAMAGED}: its lens cannot be read ({error}); {_ADVICE}") from None


def batch_in(settings: Mapping[str, Any]) -> Batch | None:
    """Return the batch that the run consists of; ``None`` where it is one task.

    Raises :exc:`~sunwell.errors.JournalError` if it is damaged.
    """
    if "batch" not in settings:
        return None
    try:
        return Batch.of(settings["batch"])
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, ConfigurationError) as error:
        raise JournalError(f"{_DAMAGED}: its batch cannot be read ({error}); {_ADVICE}") from None


def options_from(settings: Mapping[str, Any]) -> RunOptions:
    """Return the options that :func:`settings_of` recorded; models are named, nobody approves.

    Raises :exc:`~sunwell.errors.JournalError` for a value that no run can have had.
    """
    specs = option_specs()
    chosen: dict[str, Any] = {}
    budget: dict[str, Any] = {}
    for written, value in _flat(_read("options", settings.get("options"), dict[str, Any])):
        name = _OLDER.get(written, written.replace("budget.", "budget_"))
        spec = specs.get(name)
        if spec is None:
            raise _damaged(f"options.{written}", value)
        try:
            given = _recorded_value(value, spec.kind)
        except (ValueError, ArithmeticError):
            raise _damaged(f"options.{written}", value) from None
        if spec.section == "budget":
            budget[spec.key] = given
        else:
            chosen[name] = given
    try:
        return RunOptions(budget=Budget(**budget), lens=_lens_in(settings), **chosen)
    except ConfigurationError as error:
        raise JournalError(f"{_DAMAGED}: its options cannot be read ({error}); {_ADVICE}") from None


def _flat(fields: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield names and values; older records have tables in tables."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, value


def _recorded_value(value: Any, kind: Any) -> Any:
    """Return *value* as it was written: amounts are texts, and times are numbers."""
    if value is None and without_none(kind) is not kind:
        return None
    kind = without_none(kind)
    if kind in (Decimal, Seconds) and isinstance(value, str) is not (kind is Decimal):
        raise ValueError(value)
    return read_value(value, kind)


def _check(settings: Mapping[str, Any]) -> None:
    """Raise :exc:`~sunwell.errors.JournalError` for a part of *settings* that is not as it is written."""
    for name, kind in _PARTS.items():
        if name in settings:
            _read(name, settings[name], kind)
        elif name == "models":
            raise _damaged(name, None)
    if not _OLDEST_ROLES <= set(settings["models"]) <= set(MODEL_ROLES):
        raise _damaged("models", settings["models"])
    if watched := settings.get("watched"):
        _read("watched.globs", watched.get("globs"), list[str])
        _read("watched.steering", watched.get("steering"), bool)
        _read("watched.before", watched.get("before"), dict[str, str])
        _read("watched.programs", watched.get("programs", []), list[str])
        _read("watched.ignoring", watched.get("ignoring", {}), dict[str, str])
    if (asked := settings.get("asked")) is not None:
        _read("asked.contexts", asked.get("contexts"), list[tuple[str, str]])
        _read("asked.confirms", asked.get("confirms", False), bool)
    if code := settings.get("code"):
        _read("code.tools", code.get("tools"), list[tuple[str, str]])
        _read("code.prompts", code.get("prompts"), dict[str, int])


def _read(where: str, value: Any, kind: Any) -> Any:
    """Return *value*, out of JSON, as *kind*; nothing is converted."""
    import msgspec

    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise _damaged(where, value) from None


def _damaged(where: str, value: Any) -> JournalError:
    try:
        shown = repr(value)
    except ValueError:  # Python does not write numbers of some thousand digits
        shown = "a number of very many digits"
    return JournalError(f"{_DAMAGED}: its {where} cannot be {shown[:80]}; {_ADVICE}")
