"""Every other name of a setting, in one table: short forms, older names, and the spellings of other tools.

A name in it works wherever the setting can be written: in a file, as a variable, as a keyword, on the command
line, and in the record of an older run.
"""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType

from sunwell.context.options import option_specs

SettingPath = tuple[str, ...]
"""Names from the outermost table inwards."""

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
    ("delegate",): ("enable_delegation",),
    ("threshold",): ("delegation_threshold_tokens",),
    ("max_explore_steps",): ("explore", "max_steps"),
    ("max_recursion_depth",): ("workers", "max_depth"),
    ("max_parallel_jobs",): ("workers", "max_concurrent"),
    ("max_parallel",): ("workers", "max_concurrent"),
    ("worker_seconds",): ("workers", "timeout_seconds"),
    ("max_usd",): ("budget", "usd"),
    ("max_calls",): ("budget", "calls"),
    ("max_turns",): ("budget", "turns"),
    ("max_seconds",): ("budget", "seconds"),
    ("max_sub_calls",): ("sub_calls", "max_per_turn"),
    ("after",): ("scratchpad", "earlier_runs"),
    ("plugin",): ("plugins",),
    ("check",): ("checks",),
    ("check_timeout",): ("check_timeout_seconds",),
    ("context_source",): ("context_sources",),
    ("workers", "timeout"): ("workers", "timeout_seconds"),
    ("budget", "wall_time"): ("budget", "seconds"),
}


def _under(prefix: SettingPath, names: Mapping[SettingPath, SettingPath]) -> dict[SettingPath, SettingPath]:
    return {(*prefix, *name): path for name, path in names.items()}


def _own_names() -> Iterator[tuple[SettingPath, SettingPath]]:
    """Yield what each option may be called besides its place: its full name alone, or in its section."""
    for spec in option_specs().values():
        for written in ((spec.name,), (spec.section, spec.name)):
            # [models] is the table of the user's own names.
            if written != spec.path and written[0] != "models":
                yield written, spec.path


SPELLINGS: Mapping[SettingPath, SettingPath] = MappingProxyType(
    {
        **dict(_own_names()),
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
        ("rlm", "snipara"): ("context", "snipara"),
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


SWITCHES: Mapping[SettingPath, tuple[SettingPath, str]] = MappingProxyType(
    {("sub_calls", "enabled"): (("delegation_tools",), "rlm")}
)
"""Switches of older files: the setting that each stands for, and its value if the switch is on."""


_MEANINGS: Mapping[str, str] = {
    "budget.usd": "dollars usd cost price money spend max_cost max_cost_usd cost_limit cost_usd max_price "
    "max_spend max_dollars max_budget max_budget_usd budget_dollars spending_limit spending_cap usd_limit",
    "budget.tokens": "token_limit total_tokens max_total_tokens tokens_limit token_budget",
    "budget.calls": "requests max_requests max_llm_calls max_model_calls call_limit",
    "budget.turns": "iterations max_iterations steps max_steps rounds max_rounds turn_limit",
    "budget.seconds": "timeout time_limit timeout_seconds max_time max_duration duration deadline wall_time "
    "minutes",
    "model": "llm model_name model_id main_model engine deployment",
    "smart_model": "strong_model big_model large_model planner_model architect_model lens_model",
    "delegation_model": "weak_model small_model cheap_model fast_model worker_model editor_model "
    "executor_model subagent_model sub_model",
    "enable_delegation": "delegation use_delegation",
    "max_output_tokens": "max_completion_tokens max_new_tokens output_tokens",
    "system_prompt": "system instructions system_message prompt custom_instructions",
    "effort": "reasoning thinking reasoning_level thinking_level",
    "tools": "allowed_tools tool_names enabled_tools",
    "allow_shell": "shell bash allow_bash enable_shell allow_commands",
    "allow_python": "python code_interpreter allow_code code_execution",
    "dry_run": "preview read_only no_write",
    "stream": "streaming",
    "workers.max_concurrent": "concurrency parallel parallelism max_workers num_workers max_concurrency jobs "
    "threads",
    "workers.timeout_seconds": "worker_timeout",
    "workers.max_depth": "depth recursion_depth",
    "scratchpad.earlier_runs": "previous_runs",
}
"""Words of other tools that mean a setting and are not accepted: only an error suggests the setting.

They are not spellings, since what they count or their unit may differ.
"""


@cache
def _meant() -> Mapping[str, SettingPath]:
    found = {word: tuple(key.split(".")) for key, words in _MEANINGS.items() for word in words.split()}
    return {**found, **flat_names()}


def meant_setting(name: str) -> SettingPath | None:
    """Return the setting that *name* probably means, by its meaning and not by its letters.

    Case, ``-``, ``_`` and camel case make no difference. ``None`` if nothing is known about the name.
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name[:100]).lower().replace("-", "_").strip("_ ")
    return _meant().get(words)


def canonical(path: SettingPath) -> SettingPath:
    """Return the path in the schema that *path* means; itself where it needs no translation."""
    for length in range(len(path), 0, -1):
        target = SPELLINGS.get(path[:length])
        if target is not None:
            return target + path[length:]
    return path


@cache
def flat_names() -> Mapping[str, SettingPath]:
    """Return the place of each setting by every flat name for it: ``budget_usd``, ``max_usd``."""
    names: dict[str, SettingPath] = {spec.name: spec.path for spec in option_specs().values()}
    for written, path in SPELLINGS.items():
        if len(written) == 1:
            names.setdefault(written[0], path)
    return names
