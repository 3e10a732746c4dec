"""What a tool of the house gives back where text alone does not say it."""

import json
from typing import Any

import attrs


@attrs.frozen
class Outcome:
    """Text for the model, and how a command ended."""

    text: str
    exit_code: int | None = None
    is_error: bool = False


def as_text(value: Any) -> str:
    """Return *value* as a model reads it: text as it is, anything else as JSON text.

    Raises ``TypeError`` or ``ValueError`` where JSON cannot say it.
    """
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
