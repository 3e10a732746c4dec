"""What a model says of a task that it was asked about: how it is asked, and how its answer is read."""

from collections.abc import Mapping

import attrs

from sunwell.agent.policy.task_kinds import KINDS
from sunwell.context.json_text import json_in, strict_json
from sunwell.core.model import ResponseSchema
from sunwell.core.price import OutputEstimate
from sunwell.memory.outcomes import Way

_MOST_PARTS = 1_000
_MOST_TOKENS = 1_000_000
_SURE = 0.95
_LOST_TO_JUDGEMENT = {"direct": 0.05, "cheap": 0.65, "delegated": 0.3}
"""How much less often each way passes if the task surely needs judgement. Assumed: it was not measured."""

CLASS_SCHEMA = ResponseSchema(
    "task_class",
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": list(KINDS)},
            "parts": {"type": "integer"},
            "output_tokens": {"type": "integer"},
            "needs_judgement": {"type": "boolean"},
            "probability": {"type": "number"},
        },
        "required": ["kind", "parts", "output_tokens", "needs_judgement", "probability"],
        "additionalProperties": False,
    },
)
"""What is to be said of a task, in the part of JSON Schema that providers accept in strict mode."""


@attrs.frozen
class TaskClass:
    """What a model said of a task."""

    kind: str
    parts: int
    """So many pieces of work of the same sort."""
    output_tokens: int
    needs_judgement: bool
    probability: float
    """How sure it is of ``needs_judgement``."""

    @property
    def output(self) -> OutputEstimate:
        """The expected output, with the range of a bare number."""
        made = OutputEstimate.around(self.output_tokens)
        return attrs.evolve(made, counted=(f"the delegation model said {self.output_tokens:,} tokens",))

    @property
    def judgement(self) -> float:
        """Chance that the task needs judgement."""
        return self.probability if self.needs_judgement else 1 - self.probability

    @property
    def chances(self) -> Mapping[Way, float]:
        """Chance that each way passes."""
        ways: tuple[Way, ...] = ("direct", "cheap", "delegated")
        return {way: _SURE - _LOST_TO_JUDGEMENT[way] * self.judgement for way in ways}

    @property
    def sentence(self) -> str:
        """What it said, in words."""
        parts = "1 part" if self.parts == 1 else f"{self.parts:,} parts"
        needs = "needs" if self.needs_judgement else "needs no"
        return (
            f"{self.kind}, {parts}, about {self.output_tokens:,} tokens, {needs} judgement "
            f"({self.probability:.0%} sure)"
        )


def read_class(text: str) -> TaskClass:
    """Return what *text*, an answer, says of the task.

    Raises :exc:`ValueError`, with a clause, if it is not one JSON object of the form that was asked for.
    """
    try:
        found = strict_json(json_in(text))
    except ValueError:
        raise ValueError("it is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    kind, probability = found.get("kind"), found.get("probability")
    if kind not in KINDS:
        raise ValueError("kind is none of those that were named")
    parts = _count(found, "parts", 1, _MOST_PARTS)
    tokens = _count(found, "output_tokens", 0, _MOST_TOKENS)
    if not isinstance(found.get("needs_judgement"), bool):
        raise ValueError("needs_judgement is neither true nor false")
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("probability is no number from 0 to 1")
    return TaskClass(str(kind), parts, tokens, found["needs_judgement"], float(probability))


def _count(found: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = found.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is no whole number from {least} to {most:,}")
    return value
