"""What a file that nobody has trusted may set: only what narrows the settings that hold without it."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from sunwell.config.schema import Configuration
from sunwell.config.settings import Path, Setting
from sunwell.tools.tool_plugins import BUILT_IN

_UNSET_TURNS = 50
"""Turns of a run without a ceiling on them: a project's file may not name more."""
_ABSENT = object()

Narrows = Callable[[Any, Any, Configuration], bool]
"""Is given the file's value, the one that holds without the file, and all settings without the file."""


def _only(allowed: Any) -> Narrows:
    return lambda value, held, base: bool(value == allowed)


def _at_most(value: Any, held: Any, base: Configuration) -> bool:
    return held is not None and bool(value <= held)


def _ceiling(value: Any, held: Any, base: Configuration) -> bool:
    return held is None or bool(value <= held)


def _turns(value: Any, held: Any, base: Configuration) -> bool:
    return bool(value <= (_UNSET_TURNS if held is None else held))


def _seconds(value: Any, held: Any, base: Configuration) -> bool:
    orchestrator = base.orchestrator
    if held is None and (orchestrator.enabled or orchestrator.model is not None):
        held = orchestrator.max_seconds  # what ends an orchestrated run without a ceiling
    return held is None or bool(value <= held)


def _fewer_tools(value: Any, held: Any, base: Configuration) -> bool:
    return set(value) <= (BUILT_IN if held is None else set(held))


NARROWING: Mapping[Path, Narrows] = MappingProxyType(
    {
        ("budget", "usd"): _ceiling,
        ("budget", "tokens"): _ceiling,
        ("budget", "calls"): _ceiling,
        ("budget", "turns"): _turns,
        ("budget", "seconds"): _seconds,
        ("allow_shell",): _only(False),
        ("allow_python",): _only(False),
        ("dry_run",): _only(True),
        ("sandbox",): _only("required"),
        ("tools",): _fewer_tools,
        ("max_output_tokens",): _at_most,
        ("on_lens_failure",): _only("fail"),
        ("fallback",): _only("fail"),
        ("workers", "max_concurrent"): _at_most,
        ("workers", "max_depth"): _at_most,
        ("workers", "timeout_seconds"): _at_most,
        ("orchestrator", "max_turns"): _at_most,
        ("orchestrator", "max_seconds"): _at_most,
        ("sub_calls", "enabled"): _only(False),
        ("sub_calls", "max_per_turn"): _at_most,
        ("sub_calls", "budget_inheritance"): _at_most,
        ("sub_calls", "max_cost_per_session"): _at_most,
        ("sub_calls", "max_total_tokens"): _at_most,
        ("scratchpad", "max_entries"): _at_most,
        ("explore", "max_steps"): _at_most,
        ("explore", "max_commit_cycles"): _at_most,
    }
)
"""The settings that an untrusted file may have at all, and which values of each. All others need trust."""


def narrows(setting: Setting, base: Configuration) -> bool:
    """Whether *setting* changes nothing of *base*, which holds without it, or only narrows it."""
    held = _held(base, setting.path)
    if held is not _ABSENT and held is not None and held == setting.value:
        return True
    rule = NARROWING.get(setting.path)
    return rule is not None and rule(setting.value, held, base)


def _held(base: Configuration, path: Path) -> Any:
    held: Any = base
    for name in path:
        held = held.get(name, _ABSENT) if isinstance(held, Mapping) else getattr(held, name, _ABSENT)
        if held is _ABSENT:
            return _ABSENT
    return held
