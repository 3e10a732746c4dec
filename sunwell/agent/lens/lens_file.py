"""A lens as a JSON file: written for people to read and change, read back strictly."""

import json
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.lens.lens_parser import lens_tokens
from sunwell.core.lens import EphemeralLens
from sunwell.errors import ConfigurationError

_LONGEST_BYTES = 1 << 20
_FIELDS = tuple(field.name for field in attrs.fields(EphemeralLens))


def lens_json(lens: EphemeralLens) -> str:
    """Return *lens* as indented JSON, its fields in their order; :func:`read_lens` gives it back."""
    return json.dumps(attrs.asdict(lens), ensure_ascii=False, indent=2) + "\n"


def read_lens(path: Path) -> EphemeralLens:
    """Return the lens in the file *path*.

    Raises :exc:`~sunwell.errors.ConfigurationError` where there is none, or where it guides nobody.
    """
    try:
        if path.stat().st_size > _LONGEST_BYTES:
            raise ConfigurationError(f"{path} is not a lens: it has more than {_LONGEST_BYTES:,} bytes")
        return lens_of(json.loads(path.read_text("utf-8-sig")), str(path))
    except OSError as error:
        raise ConfigurationError(f"the lens {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        if isinstance(error, ConfigurationError):
            raise
        raise ConfigurationError(f"{path} is no JSON: {error}") from None


def lens_of(value: Any, where: str) -> EphemeralLens:
    """Return the lens that the JSON *value* describes; *where* names it in what is raised."""
    if not isinstance(value, dict):
        raise ConfigurationError(f"{where} is not a lens: write an object with {', '.join(_FIELDS)}")
    unknown = [name for name in value if name not in _FIELDS]
    if unknown:
        raise ConfigurationError(f"{where}: a lens has no {unknown[0]!r}; its parts: {', '.join(_FIELDS)}")
    try:
        lens = EphemeralLens(**value)
    except TypeError as error:
        raise ConfigurationError(f"{where} is not a lens: {error}") from None
    if lens.is_empty:
        raise ConfigurationError(f"{where} is empty: give at least one rule")
    return lens


def lens_remarks(lens: EphemeralLens, max_tokens: int = 1500) -> tuple[str, ...]:
    """Return a sentence for each thing that is worth a second look; none where all is well."""
    remarks = []
    size = lens_tokens(lens)
    if size > max_tokens:
        remarks.append(f"it is about {size:,} tokens long, and every turn of every worker reads it again")
    if not lens.task_scope.strip():
        remarks.append("it has no task_scope: nobody sees what it is for")
    if not lens.heuristics:
        remarks.append("it has no heuristics: workers are not told how to go about it")
    return tuple(remarks)
