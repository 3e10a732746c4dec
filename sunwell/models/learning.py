"""What a server does not support is learned from its refusals, in the same way for every wire format."""

import re
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

import attrs

from sunwell.core.model import Request
from sunwell.models.written import write_json

SCHEMA_IN_WORDS = "Answer with one JSON object and nothing else. It must obey this JSON schema:"
"""Begins the instruction that replaces a schema on a server that cannot enforce one."""

_OF_SIZE = re.compile(
    r"too (?:large|long|many|high)|exceed|maximum|at most|less than|greater than", re.IGNORECASE
)
Features = TypeVar("Features")
_READ_CHARACTERS = 4_000
"""Of a refusal, which may be any text of a server."""


@attrs.frozen
class Lesson(Generic[Features]):
    """How the features of a wire format change after a refusal that matches ``pattern``."""

    pattern: re.Pattern[str]
    change: Callable[[Features, str], Features]
    """Returns the features without what the refusal names, or the same features."""
    is_about_size: bool = True
    """Whether a refusal that says that something is too large is also meant."""


def lesson(
    pattern: str, change: Callable[[Features, str], Features], *, is_about_size: bool = True
) -> Lesson[Features]:
    """Return a lesson; *pattern* is matched in any case."""
    return Lesson(re.compile(pattern, re.IGNORECASE), change, is_about_size)


def without(**off: object) -> Callable[[Features, str], Features]:
    """Return a change that sets fields of the features."""

    def change(features: Features, _: str) -> Features:
        return attrs.evolve(features, **off)  # type: ignore[misc]

    return change


def learned(features: Features, refusal: str, lessons: Sequence[Lesson[Features]]) -> Features | None:
    """Return *features* without the one that *refusal* names; ``None`` if it names none of them.

    The first lesson that changes something counts. Each feature is changed once for the same refusal, so a
    chain of refusals ends.
    """
    refusal = refusal[:_READ_CHARACTERS]
    for one in lessons:
        if one.pattern.search(refusal) and (one.is_about_size or not _OF_SIZE.search(refusal)):
            changed = one.change(features, refusal)
            if changed != features:
                return changed
    return None


def asked_in_words(request: Request, enforced: str) -> tuple[str, ...]:
    """Return the schema of *request* as an instruction, unless the server enforces it: ``json_schema``."""
    schema = request.response_schema
    if schema is None or enforced == "json_schema":
        return ()
    return (f"{SCHEMA_IN_WORDS}\n{write_json(schema.schema)}",)
