"""How much of the contexts of a question was looked at, as the harness saw it."""

from collections.abc import Mapping
from typing import Any, Self

import attrs


@attrs.frozen
class CoveredRange:
    """A range that calls read."""

    path: str
    """The file, of a context that is several; empty for a context that is one text."""
    start: int
    """First byte in that file or text, counted from 0."""
    end: int
    """The byte behind the last one."""


@attrs.frozen
class ContextCoverage:
    """What was looked at of one context."""

    name: str
    size_bytes: int
    searched_bytes: int
    """Bytes that scripts searched, counted in, or took as text. A search that found as much as it was to find
    counts up to there; finding the borders of lines and parts does not count."""
    read_bytes: int
    """Bytes in questions that a model answered, or in the prompt of a direct answer; each once."""
    parts: int
    """Different parts that were read so."""
    ranges: tuple[CoveredRange, ...] = ()
    """What was read, the first 1,000 ranges."""


@attrs.frozen
class AnswerCoverage:
    """What an answer to a question about contexts rests on, computed by the harness."""

    in_prompt: bool
    """Whether all of the contexts was in the prompt of one call."""
    contexts: tuple[ContextCoverage, ...]
    shown_characters: int = 0
    """Characters of what scripts printed that the model was shown. What they are of is not known."""
    unanswered: tuple[str, ...] = ()
    """Where and why, for each question about a part that came to no answer in the end."""
    cut_answers: int = 0
    """Answers about parts that were cut at their limit of tokens, and had no whole one later."""

    def as_object(self) -> dict[str, Any]:
        """Return it as JSON values."""
        contexts = [
            {**attrs.asdict(one), "ranges": [attrs.asdict(each) for each in one.ranges]}
            for one in self.contexts
        ]
        return {
            "in_prompt": self.in_prompt,
            "contexts": contexts,
            "shown_characters": self.shown_characters,
            "unanswered": list(self.unanswered),
            "cut_answers": self.cut_answers,
        }

    @classmethod
    def from_object(cls, noted: Mapping[str, Any]) -> Self:
        """Return the coverage of :meth:`as_object`, as JSON gives it back."""
        contexts = [
            ContextCoverage(**{**one, "ranges": tuple(CoveredRange(**each) for each in one["ranges"])})
            for one in noted["contexts"]
        ]
        return cls(**{**noted, "contexts": tuple(contexts), "unanswered": tuple(noted["unanswered"])})
