"""How long tools may take and how much they may say."""

from typing import Any

import attrs

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
