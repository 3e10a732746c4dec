"""How long the parts of a context should be that a cheaper model is asked about."""

from decimal import Decimal
from typing import Self

import attrs

from sunwell.agent.prompts import parts_text, read_system
from sunwell.core.price import Price
from sunwell.models.tokens import estimate_tokens

MOST_ANSWER_TOKENS = 600
"""Longest answer about a part, if a script says nothing else."""
MOST_PARTS = 5_000
"""Longest fan-out."""
_MOST_OVERHEAD = 0.09
"""Which share of the bill of reading may be prompts and answers besides the text: what a reader that
overlooks nothing in any part would lose by short ones. It is to stay below a tenth."""
LEAST_ANSWER_TOKENS = 5
"""Assumed: so long is what each answer says however little is in its part."""
ANSWER_SHARE = 0.03
"""Assumed: tokens that answers have besides, for what was found, for each token of text.

They cost the same in parts of any size, so they count in prices, and not where a size is proposed.
"""
_QUESTION_TOKENS = 40
_PLACE_TOKENS = 30
_ASSUMED_RATIO = 5.0
BYTES_PER_TOKEN = 4
"""Or characters, as most texts have one byte for each."""
_LEAST_TOKENS = 500
"""A shorter part shows too little of what is around a place."""
_LEAST_ROOM_TOKENS = 250
_LONGEST_TOKENS = 100_000
_MARGIN = 1.25
"""Tokens are estimates: so much shorter than a limit is a part."""


def question_tokens() -> int:
    """Return how many tokens a question about a part is expected to have, without the part."""
    return sum(map(estimate_tokens, read_system(""))) + _QUESTION_TOKENS + _PLACE_TOKENS


@attrs.frozen
class PartSizes:
    """Proposes the shortest parts whose questions cost little besides their text.

    Each part costs its prompt and what every answer says, so short parts are dear: that is known. In long
    ones more is overlooked, and how fast that grows is not known: it may be slow, or begin at once at some
    length. So the loss that is known is given a bound, and the parts are as short as it allows. If the rest
    of a question costs as much as *k* tokens of text, parts of *k* / 9 % are 9 % dearer than one part. What
    is paid anyway makes that share of the bill smaller.
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
            other_usd: What is paid at least besides the questions about parts.
        """
        prompt = question_tokens()
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
        most = max(int(min(limits) / _MARGIN), _LEAST_ROOM_TOKENS)
        # There may be twice as many parts as their size would need.
        least = max(_LEAST_TOKENS, -(-2 * tokens // MOST_PARTS))
        return cls(prompt, ratio, share, min(least, most), most)

    def characters(self) -> int:
        """Return the proposed size of parts, in two digits."""
        best = self._other_tokens() / _MOST_OVERHEAD
        size = round(min(max(best, self.least_tokens), self.most_tokens)) * BYTES_PER_TOKEN
        step: int = 10 ** max(len(str(size)) - 2, 0)
        return size // step * step

    def _other_tokens(self) -> float:
        """Return what a question costs besides its part, in tokens of text, as a share of the whole bill."""
        return (self.prompt_tokens + self.output_ratio * LEAST_ANSWER_TOKENS) * self.read_share

    def sentence(self) -> str:
        """Return what a model that makes parts is told."""
        characters = self.characters()
        share = self._other_tokens() * BYTES_PER_TOKEN / characters
        return parts_text(characters, share, LEAST_ANSWER_TOKENS)

    def tokens(self) -> int:
        """Return the proposed size of parts as an estimate in tokens."""
        return self.characters() // BYTES_PER_TOKEN

    def answer_tokens(self) -> int:
        """Return how long an answer about such a part is expected to be."""
        return min(LEAST_ANSWER_TOKENS + round(ANSWER_SHARE * self.tokens()), MOST_ANSWER_TOKENS)

    def part_usd(self, price: Price) -> Decimal:
        """Return what a question about such a part is expected to cost at the *price* of the reader."""
        return price.conversation_usd([(self.prompt_tokens + self.tokens(), self.answer_tokens(), 0, 0)])
