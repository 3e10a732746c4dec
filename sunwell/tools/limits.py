"""What a tool call may take, what it gives, and who approves it."""

import json
from collections.abc import Awaitable, Callable
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
    """Limits of every tool call. What is cut off is always said in the result."""

    call_seconds: float = attrs.field(default=30.0, validator=_positive)
    """Longest time of one call; a tool's own ``timeout_seconds`` goes before it."""
    search_seconds: float = attrs.field(default=27.0, validator=_positive)
    """Longest time of matching an expression; never more than nine tenths of ``call_seconds``."""
    command_seconds: float = attrs.field(default=120.0, validator=_positive)
    """Longest time of a shell command; the model may ask for less."""
    python_seconds: float = attrs.field(default=10.0, validator=_positive)
    """Longest time that a script may compute; the time in which it reads files is the call's."""
    python_bytes: int = attrs.field(default=100_000_000, validator=_positive)
    """Most memory of a script."""
    python_calls: int = attrs.field(default=10_000, validator=_positive)
    """Most files that a script may read or folders that it may list, together."""
    output_chars: int = attrs.field(default=30_000, validator=_positive)
    """Longest text that one call gives to the model."""
    file_bytes: int = attrs.field(default=20_000_000, validator=_positive)
    """Largest file that is read, searched or replaced."""
    list_entries: int = attrs.field(default=1_000, validator=_positive)
    """Most entries of one listing."""
    search_matches: int = attrs.field(default=200, validator=_positive)
    """Most lines that one search gives."""
    search_bytes: int = attrs.field(default=500_000_000, validator=_positive)
    """Most bytes that one search looks through."""


@attrs.frozen
class Outcome:
    """Text for the model, how a command ended, and which files the text is of."""

    text: str
    exit_code: int | None = None
    is_error: bool = False
    reads: tuple[FileRead, ...] = ()


def as_text(value: Any) -> str:
    """Return *value* as a model reads it: text as it is, anything else as JSON text.

    Raises ``TypeError`` or ``ValueError`` where JSON cannot say it.
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)


Approve = Callable[[Proposal], "bool | Awaitable[bool]"]
"""Returns, or resolves to, ``True`` for a yes; anything else is a no."""


def both_approve(first: Approve | None, second: Approve | None) -> Approve | None:
    """Return who asks *first*, then *second*, and approves only if both do; the same one is asked once."""
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
    # A bound method is a new object each time that it is looked up.
    return first is second or (ismethod(first) and ismethod(second) and first == second)
