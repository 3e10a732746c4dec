"""What of a run's options stands in its first record, so that another process can go on with it."""

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from types import MappingProxyType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import attrs

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lifecycle.model_roles import Roles
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import ModelReference, Orchestration, RunOptions, SubCallLimits
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.records import Record, RunOpened, RunResumed

_PLAIN = (
    "enable_delegation",
    "delegation_threshold_tokens",
    "system_prompt",
    "max_output_tokens",
    "effort",
    "on_lens_failure",
    "fallback",
    "allow_shell",
    "allow_python",
    "sandbox",
    "dry_run",
    "max_concurrent",
    "worker_timeout_seconds",
    "max_depth",
    "orchestrate",
    "delegation_tools",
    "fail_fast",
    "split",
    "pad_prefix",
    "stream",
)
_MODELS = ("model", "smart_model", "delegation_model")
_RECORDED = frozenset({*_PLAIN, *_MODELS, "tools"})
_LARGEST = 2**53
_DAMAGED = "the settings in the journal are damaged"
_ADVICE = "restore the journal from a copy, or start the task anew"
_PARTS: Mapping[str, Any] = MappingProxyType(
    {
        "models": dict[str, str | None],
        "options": dict[str, Any],
        "recalled": str,
        "asks": bool,
        "lens_only": bool,
        "code": dict[str, Any],
        "batch": dict[str, Any],
        "forked": dict[str, str],
        "own_tools": list[tuple[str, str]],
    }
)
"""What each part of the settings is."""


def settings_of(options: RunOptions, roles: Roles, recalled: str) -> dict[str, Any]:
    """Return JSON values that say all of *options*, and the names of the models.

    Of ``approve`` they say only whether there was one.
    """
    chosen: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN}
    chosen |= {name: _written(getattr(options, name)) for name in _MODELS}
    names = options.tool_names
    chosen["tools"] = None if names is None else list(names)
    chosen["orchestration"] = options.orchestration.as_json()
    budget = attrs.asdict(options.budget)
    chosen["budget"] = budget | {"usd": None if budget["usd"] is None else str(budget["usd"])}
    models = (roles.own, roles.smart, roles.worker)
    named = {role: model.name if model else None for role, model in zip(_MODELS, models, strict=True)}
    asks = options.approve is not None
    return {"models": named, "options": chosen, "recalled": recalled, "asks": asks}


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
    kinds: dict[str, Any] = {field.name: field.type for field in attrs.fields(RunOptions)}
    kinds |= dict.fromkeys(_MODELS, str | None) | {"tools": tuple[str, ...] | None}
    chosen: dict[str, Any] = {}
    for name, value in _read("options", settings.get("options"), dict[str, Any]).items():
        where = f"options.{name}"
        if name == "budget":
            chosen[name] = _read_fields(where, value, Budget)
        elif name == "orchestration":
            chosen[name] = _orchestration(where, value)
        elif name in _RECORDED:
            chosen[name] = _read(where, value, kinds[name])
        else:
            raise _damaged(where, value)
    options: RunOptions = _made(RunOptions, "options", chosen)
    return options


def _orchestration(where: str, value: Any) -> Orchestration:
    fields = _read(where, value, dict[str, Any])
    limits = fields.pop("sub_calls", None)
    given = {} if limits is None else _read_given(f"{where}.sub_calls", limits, SubCallLimits)
    made = _read_given(where, fields, Orchestration)
    orchestration: Orchestration = _made(
        Orchestration, where, made | {"sub_calls": _made(SubCallLimits, where, given)}
    )
    return orchestration


def _check(settings: Mapping[str, Any]) -> None:
    """Raise :exc:`~sunwell.errors.JournalError` for a part of *settings* that is not as it is written."""
    for name, kind in _PARTS.items():
        if name in settings:
            _read(name, settings[name], kind)
        elif name == "models":
            raise _damaged(name, None)
    if set(settings["models"]) != set(_MODELS):
        raise _damaged("models", settings["models"])
    if code := settings.get("code"):
        _read("code.tools", code.get("tools"), list[tuple[str, str]])
        _read("code.prompts", code.get("prompts"), dict[str, int])


def _read_fields(where: str, value: Any, cls: Any) -> Any:
    return _made(cls, where, _read_given(where, value, cls))


def _read_given(where: str, value: Any, cls: Any) -> dict[str, Any]:
    kinds = {field.name: field.type for field in attrs.fields(cls)}
    given = _read(where, value, dict[str, Any])
    unknown = next((name for name in given if name not in kinds), None)
    if unknown is not None:
        raise _damaged(f"{where}.{unknown}", given[unknown])
    return {name: _read(f"{where}.{name}", one, kinds[name]) for name, one in given.items()}


def _made(cls: Any, where: str, given: dict[str, Any]) -> Any:
    try:
        return cls(**given)
    except (TypeError, ValueError, ArithmeticError, ConfigurationError) as error:
        raise JournalError(f"{_DAMAGED}: its {where} cannot be read ({error}); {_ADVICE}") from None


def _read(where: str, value: Any, kind: Any) -> Any:
    """Return *value* as *kind*, in its own type; numbers are finite, not negative and not beyond reason."""
    if kind in (Decimal | None, Decimal):
        return _amount(where, value)
    if not _fits(value, kind):
        raise _damaged(where, value)
    if isinstance(value, int | float) and not 0 <= value <= _LARGEST:  # NaN is neither
        raise _damaged(where, value)
    return dict(value) if isinstance(value, Mapping) else value


def _fits(value: Any, kind: Any) -> bool:
    """Whether *value*, out of JSON, is of *kind*; an int is taken for a float, and nothing is converted."""
    origin, inner = get_origin(kind), get_args(kind)
    if kind is Any:
        return True
    if origin in (Union, UnionType):
        return any(_fits(value, one) for one in inner)
    if origin is Literal:
        return isinstance(value, str) and value in inner
    if origin is dict:
        return isinstance(value, Mapping) and all(_fits(one, inner[1]) for one in value.values())
    if origin is list or (origin is tuple and inner[-1] is Ellipsis):
        return isinstance(value, list | tuple) and all(_fits(one, inner[0]) for one in value)
    if origin is tuple:
        return isinstance(value, list | tuple) and len(value) == len(inner) and all(map(_fits, value, inner))
    return type(value) in (int, float) if kind is float else type(value) is kind


def _amount(where: str, value: Any) -> Decimal | None:
    """Return an amount in US dollars, which is recorded as text."""
    if value is None:
        return None
    try:
        amount = Decimal(value) if isinstance(value, str) else Decimal("NaN")
    except InvalidOperation:
        raise _damaged(where, value) from None
    if not amount.is_finite() or not 0 <= amount <= _LARGEST:
        raise _damaged(where, value)
    return amount


def _damaged(where: str, value: Any) -> JournalError:
    try:
        shown = repr(value)
    except ValueError:  # Python does not write numbers of some thousand digits
        shown = "a number of very many digits"
    return JournalError(f"{_DAMAGED}: its {where} cannot be {shown[:80]}; {_ADVICE}")


def _written(reference: ModelReference | None) -> str | None:
    return reference if reference is None or isinstance(reference, str) else reference.name
