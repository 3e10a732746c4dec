"""How long the parts of a context should be that a cheaper model is asked about."""

from decimal import Decimal
from math import exp, sqrt
from typing import Self

import attrs

from sunwell.agent.prompts import parts_text, read_system
from sunwell.core.price import Price
from sunwell.models.tokens import estimate_tokens

MOST_ANSWER_TOKENS = 600
"""Longest answer about a part, if a script says nothing else."""
MOST_PARTS = 5_000
"""Longest fan-out."""
_SHORT_ANSWER_TOKENS = 40
_FALL_OFF_TOKENS = 40_000
"""Assumed, and not measured: of what is in a part of n tokens, a reader finds the share exp(-n / this)."""
_ANSWER_SHARE = 4
"""Assumed: an answer has a quarter of the longest length that it may have."""
_QUESTION_TOKENS = 100
_PLACE_TOKENS = 30
_ASSUMED_RATIO = 5.0
_CHARACTERS_PER_TOKEN = 4
_LEAST_TOKENS = 250
_LONGEST_TOKENS = 100_000
_MARGIN = 1.25
"""Tokens are estimates: so much shorter than a limit is a part."""


@attrs.frozen
class PartSizes:
    """Proposes the size of parts that gives the most right answers for a dollar, under one assumption.

    Each part costs its prompt and its answer besides its text, so short parts are dear; in long ones more is
    overlooked. If a part of *n* tokens is worth ``exp(-n / fall_off)``, and its other tokens cost as much as
    *k* tokens of text, the best *n* is ``(sqrt(k * k + 4 * k * fall_off) - k) / 2``, about the geometric
    mean of both. What is paid anyway (the turns of the model that asks) makes those others count less.
    """

    prompt_tokens: int
    """Of a question about a part, without the part."""
    output_ratio: float
    """What a token of an answer costs, in tokens of input."""
    read_share: float
    """Which share of the expected bill is the reading of the text itself, once."""
    least_tokens: int
    most_tokens: int

    @classmethod
    def of(
        cls, price: Price | None, tokens: int, *, room_tokens: int | None, other_usd: Decimal = Decimal(0)
    ) -> Self:
        """Return the sizes for a context of so many *tokens*.

        Args:
            price: Of the model that reads; ``None``: unknown.
            tokens: Estimate for the whole context.
            room_tokens: Longest prompt of that model; ``None``: unknown.
            other_usd: What is expected to be paid besides the questions about parts.
        """
        prompt = sum(map(estimate_tokens, read_system(""))) + _QUESTION_TOKENS + _PLACE_TOKENS
        limits = [_LONGEST_TOKENS, *([] if room_tokens is None else [room_tokens - prompt])]
        ratio, share = _ASSUMED_RATIO, 1.0
        if price is not None:
            rates = price.rates
            limits += [tier.above_input_tokens - prompt for tier in price.tiers]
            reading = tokens * rates.input_usd / 1_000_000
            if rates.input_usd:
                ratio = float(rates.output_usd / rates.input_usd)
            if reading:
                share = float(reading / (reading + other_usd))
        most = max(int(min(limits) / _MARGIN), _LEAST_TOKENS)
        # There may be twice as many parts as their size would need.
        least = max(_LEAST_TOKENS, -(-2 * tokens // MOST_PARTS))
        return cls(prompt, ratio, share, min(least, most), most)

    def characters(self, answer_tokens: int = MOST_ANSWER_TOKENS) -> int:
        """Return the proposed size of parts for answers of at most *answer_tokens*, in two digits."""
        other = self.prompt_tokens + self.output_ratio * max(answer_tokens, 1) / _ANSWER_SHARE
        other *= self.read_share
        best = (sqrt(other * other + 4 * other * _FALL_OFF_TOKENS) - other) / 2
        size = round(min(max(best, self.least_tokens), self.most_tokens)) * _CHARACTERS_PER_TOKEN
        step: int = 10 ** max(len(str(size)) - 2, 0)
        return size // step * step

    def sentence(self) -> str:
        """Return what a model that makes parts is told."""
        usual = self.characters()
        missed = 1 - exp(-usual / _CHARACTERS_PER_TOKEN / _FALL_OFF_TOKENS)
        return parts_text(
            usual, MOST_ANSWER_TOKENS, self.characters(_SHORT_ANSWER_TOKENS), _SHORT_ANSWER_TOKENS, missed
        )
