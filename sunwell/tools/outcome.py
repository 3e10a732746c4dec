"""What a tool of the house gives back where text alone does not say it."""

import json
from typing import Any

import attrs

from sunwell.core.message import FileRead


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
