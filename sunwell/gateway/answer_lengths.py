"""How long the answers of a run were, and which length holds nearly all of them."""

from bisect import insort
from collections.abc import Mapping

import attrs

from sunwell.core.model import Completion, Purpose

_PRIORS_TOKENS: Mapping[Purpose, int] = {
    "lens": 2_048,
    "work": 1_024,
    "check": 512,
    "closing": 256,
    "classify": 64,
    "orchestrate": 1_024,
    "probe": 16,
    "read": 512,
}
"""What is enough for most answers of a purpose, until :data:`_ENOUGH_ANSWERS` are known."""
_ENOUGH_ANSWERS = 4
_QUANTILE_PER_CENT = 95
_CUT_FACTOR = 2
"""An answer that was cut would have been longer: so many times as long is assumed."""


@attrs.define(eq=False)
class AnswerLengths:
    """Output tokens of the answers so far, by model and purpose."""

    _seen: dict[tuple[str, Purpose], list[int]] = attrs.field(factory=dict, init=False)
    """In ascending order."""

    def add(self, model_name: str, purpose: Purpose, completion: Completion) -> None:
        """Take note of an answer; one without usage says nothing."""
        if completion.usage is None:
            return
        factor = _CUT_FACTOR if completion.stop == "length" else 1
        insort(self._seen.setdefault((model_name, purpose), []), completion.usage.output_tokens * factor)

    def enough_tokens(self, model_name: str, purpose: Purpose) -> int:
        """Return the length that holds nearly all answers of the model with this purpose, at least 1.

        As long as few are known, it is at least a usual length for the purpose.
        """
        seen = self._seen.get((model_name, purpose), [])
        place = -(-len(seen) * _QUANTILE_PER_CENT // 100) - 1
        found = seen[place] if seen else 0
        return max(found, 1) if len(seen) >= _ENOUGH_ANSWERS else max(found, _PRIORS_TOKENS[purpose])
