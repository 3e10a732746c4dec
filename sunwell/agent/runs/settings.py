"""What of a run's options stands in its first record, so that another process can go on with it."""

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from sunwell.agent.batches.batch import Batch
from sunwell.agent.runs.roles import Roles
from sunwell.budget.values import Budget
from sunwell.context.options import ModelReference, RunOptions
from sunwell.context.orchestration import Orchestration
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


def settings_of(options: RunOptions, roles: Roles, recalled: str) -> dict[str, Any]:
    """Return JSON values that say all of *options*, and the names of the models.

    Of ``approve`` they say only whether there was one.
    """
    chosen: dict[str, Any] = {name: getattr(options, name) for name in _PLAIN}
    chosen |= {name: _written(getattr(options, name)) for name in _MODELS}
    chosen["tools"] = None if options.tools is None else list(options.tools)
    chosen["orchestration"] = options.orchestration.as_json()
    budget = attrs.asdict(options.budget)
    chosen["budget"] = budget | {"usd": None if budget["usd"] is None else str(budget["usd"])}
    models = (roles.own, roles.smart, roles.worker)
    named = {role: model.name if model else None for role, model in zip(_MODELS, models, strict=True)}
    asks = options.approve is not None
    return {"models": named, "options": chosen, "recalled": recalled, "asks": asks}


def latest_settings(records: Iterable[Record]) -> Mapping[str, Any]:
    """Return the settings that held at the end of *records*; a run that is taken up goes on with them."""
    settings: Mapping[str, Any] = {}
    for record in records:
        if isinstance(record, RunOpened | RunResumed) and record.settings:
            settings = record.settings
    return settings


def batch_in(settings: Mapping[str, Any]) -> Batch | None:
    """Return the batch that the run consists of; ``None`` where it is one task."""
    return Batch.of(settings["batch"]) if "batch" in settings else None


def options_from(settings: Mapping[str, Any]) -> RunOptions:
    """Return the options that :func:`settings_of` recorded; models are named, nobody approves.

    A sandbox that was off is required again: a record is no permission.
    """
    chosen = dict(settings["options"])
    chosen.pop("sandbox", None)
    budget = Budget(**chosen.pop("budget"))
    if "orchestration" in chosen:
        chosen["orchestration"] = Orchestration.from_json(chosen["orchestration"])
    return RunOptions(budget=budget, **chosen)


def _written(reference: ModelReference | None) -> str | None:
    return reference if reference is None or isinstance(reference, str) else reference.name
