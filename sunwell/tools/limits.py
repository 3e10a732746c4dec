"""Limits and results of tool calls, and their approval."""

import json
from collections.abc import Awaitable, Callable
from functools import partial
from inspect import isawaitable, ismethod
from typing import Any

import attrs

from sunwell.core.message import FileRead
from sunwell.core.tool import Proposal
from sunwell.errors import ConfigurationError


def _positive(instance: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if not value > 0:
        raise ConfigurationError(f"the tool limit {attribute.name} must be more than 0, got {value}")


@attrs.frozen(kw_only=True)
class ToolLimits:
    """Limits of every tool call. The result always says if something was cut off."""

    call_seconds: float = attrs.field(default=30.0, validator=_positive)
    """Time limit of one call; a tool's own ``timeout_seconds`` overrides it."""
    search_seconds: float = attrs.field(default=27.0, validator=_positive)
    """Time limit of one search, which then gives what it found; never more than 90% of ``call_seconds``."""
    command_seconds: float = attrs.field(default=120.0, validator=_positive)
    """Time limit of a shell command; the model may choose a shorter one."""
    python_seconds: float = attrs.field(default=10.0, validator=_positive)
    """Limit of a script's computing time; reading files counts only against ``call_seconds``."""
    python_bytes: int = attrs.field(default=100_000_000, validator=_positive)
    """Memory limit of a script."""
    python_calls: int = attrs.field(default=10_000, validator=_positive)
    """Limit of files that a script may read and folders that it may list, together."""
    output_chars: int = attrs.field(default=30_000, validator=_positive)
    """Limit of the text that one call returns to the model."""
    file_bytes: int = attrs.field(default=20_000_000, validator=_positive)
    """Largest file that is changed or read as a whole; larger ones are read and searched by their lines."""
    list_entries: int = attrs.field(default=1_000, validator=_positive)
    """Limit of entries in one listing."""
    search_matches: int = attrs.field(default=200, validator=_positive)
    """Limit of lines that one search returns."""
    search_bytes: int = attrs.field(default=500_000_000, validator=_positive)
    """Limit of bytes that one search reads."""


@attrs.frozen
class Outcome:
    """Text for the model, the exit code of a command, and the files that the text is from."""

    text: str
    exit_code: int | None = None
    is_error: bool = False
    reads: tuple[FileRead, ...] = ()
    left_behind: tuple[str, ...] = ()
    """As in :class:`~sunwell.core.message.ToolResult`."""


def as_text(value: Any) -> str:
    """Return *value* as text for a model: a string unchanged, anything else as JSON if possible.

    In JSON, amounts, dates, paths and the like are strings, and dataclasses are objects. It never raises: the
    tool has already run, and a failure would tell the model to run it again.
    """
    if isinstance(value, str):
        return value
    import msgspec

    try:
        return json.dumps(value, ensure_ascii=False, default=partial(msgspec.to_builtins, enc_hook=str))
    except Exception:  # a key that is not a string, a circle, or a foreign __str__ that fails
        return _represented(value)


def _represented(value: Any) -> str:
    try:
        return repr(value)
    except Exception:
        return f"a {type(value).__name__} that cannot be shown as text"


Approve = Callable[[Proposal], "bool | Awaitable[bool]"]
"""Returns, or resolves to, ``True`` to approve; any other value rejects."""


def both_approve(first: Approve | None, second: Approve | None) -> Approve | None:
    """Return an approver that asks *first*, then *second*, and approves only if both do."""
    if first is None or second is None or _is_same(first, second):
        return second if first is None else first

    async def approve(proposal: Proposal) -> bool:
        for one in (first, second):
            said = one(proposal)
            if (await said if isawaitable(said) else said) is not True:
                return False
        return True

    return approve


def _is_same(first: Approve, second: Approve) -> bool:
    # A bound method is a new object at each access.
    return first is second or (ismethod(first) and ismethod(second) and first == second)
