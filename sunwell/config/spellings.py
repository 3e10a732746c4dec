"""Other names for settings: short forms, and the spellings of the documents that Sunwell grew from."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from sunwell.config.setting import SettingPath
from sunwell.config.shape import leaves

_SUBAGENT: Mapping[SettingPath, SettingPath] = {
    ("provider",): ("delegation_model", "provider"),
    ("model",): ("delegation_model", "model"),
    ("reasoning_effort",): ("delegation_model", "effort"),
    ("effort",): ("delegation_model", "effort"),
    ("max_tokens",): ("delegation_model", "max_output_tokens"),
    ("max_output_tokens",): ("delegation_model", "max_output_tokens"),
    ("thinking_budget",): ("delegation_model", "thinking_tokens"),
    ("thinking_tokens",): ("delegation_model", "thinking_tokens"),
    ("max_concurrent",): ("workers", "max_concurrent"),
    ("timeout",): ("workers", "timeout_seconds"),
}
_ORCHESTRATOR: Mapping[SettingPath, SettingPath] = {
    ("max_iterations",): ("orchestrator", "max_turns"),
    ("max_wall_time",): ("orchestrator", "max_seconds"),
    ("max_tokens",): ("orchestrator", "max_output_tokens"),
    ("reasoning_effort",): ("orchestrator", "effort"),
    ("thinking_budget",): ("orchestrator", "thinking_tokens"),
}
_SUB_CALLS: Mapping[SettingPath, SettingPath] = {
    ("max_sub_calls",): ("sub_calls", "max_per_turn"),
    ("max_sub_calls_per_turn",): ("sub_calls", "max_per_turn"),
}
_SHORT: Mapping[SettingPath, SettingPath] = {
    ("provider",): ("model", "provider"),
    ("thinking_budget",): ("model", "thinking_tokens"),
    ("reasoning_effort",): ("effort",),
    ("max_tokens",): ("max_output_tokens",),
    ("child_model",): ("delegation_model",),
    ("enable_delegation",): ("delegate",),
    ("threshold",): ("delegation_threshold_tokens",),
    ("max_explore_steps",): ("explore", "max_steps"),
    ("max_commit_cycles",): ("explore", "max_commit_cycles"),
    ("max_recursion_depth",): ("workers", "max_depth"),
    ("max_depth",): ("workers", "max_depth"),
    ("max_parallel_jobs",): ("workers", "max_concurrent"),
    ("max_parallel",): ("workers", "max_concurrent"),
    ("max_concurrent",): ("workers", "max_concurrent"),
    ("budget_tokens",): ("budget", "tokens"),
    ("workers", "timeout"): ("workers", "timeout_seconds"),
    ("budget", "wall_time"): ("budget", "seconds"),
}


def _under(prefix: SettingPath, names: Mapping[SettingPath, SettingPath]) -> dict[SettingPath, SettingPath]:
    return {(*prefix, *name): path for name, path in names.items()}


SPELLINGS: Mapping[SettingPath, SettingPath] = MappingProxyType(
    {
        **_SHORT,
        **_under(("subagent",), _SUBAGENT),
        **_under(("orchestrator",), _ORCHESTRATOR),
        **_under(("sub_calls",), _SUB_CALLS),
        **_under(("rlm", "subagent"), _SUBAGENT),
        **_under(("rlm", "orchestrator"), _ORCHESTRATOR),
        **_under(("rlm", "sub_calls"), _SUB_CALLS),
        ("rlm", "orchestrator"): ("orchestrator",),
        ("rlm", "sub_calls"): ("sub_calls",),
        ("rlm", "scratchpad"): ("scratchpad",),
        ("rlm", "snipara"): ("context_source",),
        ("rlm", "max_depth"): ("workers", "max_depth"),
        ("rlm", "token_budget"): ("budget", "tokens"),
    }
)
"""Where a key leads that the schema does not have; the longest beginning that is here counts."""

UNSET_WHEN_EMPTY = (("subagent",), ("rlm", "subagent"))
"""Tables in which an empty text and a zero mean "not set", as their authors have it."""

RLM_VARIABLES: Mapping[str, str] = MappingProxyType(
    {
        "RLM_MODEL": "model",
        "RLM_CHILD_MODEL": "child_model",
        "RLM_MAX_EXPLORE_STEPS": "max_explore_steps",
        "RLM_MAX_COMMIT_CYCLES": "max_commit_cycles",
        "RLM_MAX_RECURSION_DEPTH": "max_recursion_depth",
        "RLM_MAX_PARALLEL_JOBS": "max_parallel_jobs",
        "RLM_CACHE_DIR": "cache_dir",
        "RLM_USE_NIX": "use_nix",
        "RLM_VERBOSE": "verbose",
        "RLM_SUB_CALLS_ENABLED": "sub_calls_enabled",
        "RLM_SUB_CALLS_MAX_PER_TURN": "sub_calls_max_per_turn",
        "RLM_SUB_CALLS_BUDGET_INHERITANCE": "sub_calls_budget_inheritance",
        "RLM_SUB_CALLS_MAX_COST_PER_SESSION": "sub_calls_max_cost_per_session",
    }
)
"""Variables of the seed with a context to explore, and the option that each stands for."""


def canonical(path: SettingPath) -> SettingPath:
    """Return the path in the schema that *path* means; itself where it needs no translation."""
    for length in range(len(path), 0, -1):
        target = SPELLINGS.get(path[:length])
        if target is not None:
            return target + path[length:]
    return path


@attrs.frozen
class Option:
    """A setting with a fixed name, as variables and keyword arguments call it."""

    name: str
    path: SettingPath
    kind: Any = attrs.field(eq=False)


def options() -> dict[str, Option]:
    """Return every setting with a fixed name by its flat name: ``budget_usd``, ``model``, ``child_model``."""
    return {option.name: option for option in _options()}


def _options() -> Iterator[Option]:
    kinds = dict(leaves())
    for path, kind in kinds.items():
        yield Option("_".join(path), path, kind)
    for role in ("model", "smart_model", "delegation_model"):
        yield Option(role, (role, "model"), kinds[role, "model"])
    for name in SPELLINGS:
        if len(name) == 1:
            path = SPELLINGS[name]
            path = path if path in kinds else (*path, "model")
            yield Option(name[0], path, kinds[path])
