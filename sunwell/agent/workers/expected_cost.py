"""What a worker is expected to cost: a guess at first, then what its siblings have cost."""

import math

import attrs

from sunwell.agent.workers.worker import CALLS_WITH_TOOLS, Worker
from sunwell.models.prices import PriceBook
from sunwell.models.tokens import estimate_tokens

PILOTS = 5
"""Workers of one kind that begin on the likely guess, as long as none of them has finished."""
_MOST_OUTPUT_TOKENS = 4_096
"""Most output of one answer that is guessed: with a higher limit, few answers use it up."""
_LIKELY_OUTPUT_TOKENS = 1_000
"""Likely output of an answer of several: most of them only call tools."""
_PER_MILLION = 1_000_000
_GUESSED_SPREAD = 0.3
"""Standard deviation to mean, as one further observation beside those that are there."""
_RESERVED = 2.0
"""What a call reserves at least, beyond its cost and in units of it: a bound, and a longer answer."""
_CARE = 1.0
"""Standard deviations that are added to the sum of what is expected."""


@attrs.frozen
class Cost:
    """Dollars and tokens, expected or used: figures to decide by, never to book."""

    usd: float = 0.0
    tokens: float = 0.0

    def of(self, unit: str) -> float:
        """Return the figure in ``usd`` or ``tokens``."""
        return self.usd if unit == "usd" else self.tokens

    def less(self, other: "Cost") -> "Cost":
        """Return what is left without *other*."""
        return Cost(self.usd - other.usd, self.tokens - other.tokens)


@attrs.frozen
class Guess:
    """What a worker may cost as far as its prompt, its limits and prices say."""

    likely: Cost
    most: Cost


def first_guess(worker: Worker, prices: PriceBook) -> Guess:
    """Return what *worker* may cost before any sibling has finished.

    An unknown price counts nothing: the ledger refuses such a call under a ceiling in dollars.
    """
    terms, task = worker.terms, worker.task
    texts = [*terms.system, task.prompt, terms.told(task)]
    for spec in terms.tools.specs:
        texts += (spec.name, spec.description, spec.schema_text)
    prompt = sum(estimate_tokens(text) for text in texts)
    prompt += 0 if terms.looks_up is None else terms.looks_up.most_tokens
    limits = (terms.max_output_tokens, terms.max_answer_tokens)
    limit = min((tokens for tokens in limits if tokens is not None), default=None)
    longest = min(prices.room(terms.model, limit).output_tokens, _MOST_OUTPUT_TOKENS)
    has_tools = bool(terms.tools.granted) and task.tools != ()
    calls = CALLS_WITH_TOOLS if has_tools else 1
    calls = max(1, min(calls, terms.ceilings(task).turns or calls))
    likely = min(longest, _LIKELY_OUTPUT_TOKENS) if calls > 1 else longest
    price = prices.price(terms.model)

    def cost(output: int) -> Cost:
        usd = 0.0
        if price is not None:
            rates = price.rates_for(prompt)
            usd = float(prompt * rates.input_usd + output * rates.output_usd) / _PER_MILLION
        return Cost(calls * usd, float(calls * (prompt + output)))

    return Guess(cost(likely), cost(longest))


@attrs.define(eq=False)
class _Sample:
    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def add(self, value: float) -> None:
        self.count += 1
        self.total += value
        self.squares += value * value


@attrs.define(eq=False)
class Experience:
    """What finished workers of one kind have cost, and the turns that they took."""

    turns: list[int] = attrs.field(factory=list)
    _usd: _Sample = attrs.field(factory=_Sample, init=False)
    _tokens: _Sample = attrs.field(factory=_Sample, init=False)

    def add(self, spent: Cost, turns: int) -> None:
        """Take note of one that came to its own end."""
        self.turns.append(turns)
        self._usd.add(spent.usd)
        self._tokens.add(spent.tokens)

    @property
    def count(self) -> int:
        """How many there were."""
        return self._usd.count

    def mean(self, unit: str) -> float:
        """Return what one has cost on average."""
        sample = self._of(unit)
        return sample.total / sample.count

    def spread(self, unit: str) -> float:
        """Return the standard deviation; a usual one counts as a further observation."""
        sample, mean = self._of(unit), self.mean(unit)
        off = max(0.0, sample.squares - sample.count * mean * mean)
        return math.sqrt((off + (_GUESSED_SPREAD * mean) ** 2) / sample.count)

    def last_call(self, unit: str) -> float:
        """Return what one call has cost on average."""
        return self._of(unit).total / max(1, sum(self.turns))

    def _of(self, unit: str) -> _Sample:
        return self._usd if unit == "usd" else self._tokens


@attrs.define(eq=False)
class Load:
    """The expected rest of several workers together, with the doubt about it."""

    _rest: float = 0.0
    _variance: float = 0.0
    _shares: dict[int, tuple[Experience, str, float]] = attrs.field(factory=dict, init=False)
    """By kind: how many whole workers the rest of its workers comes to."""

    def add(self, experience: Experience | None, expected: float, spent: float, unit: str) -> None:
        """Add a worker that is *expected* to cost so much in all, of which so much is *spent*."""
        if experience is None:  # a guess, and careful by itself
            self._rest += max(expected - spent, expected / CALLS_WITH_TOOLS)
            return
        rest = max(expected - spent, min(expected, experience.last_call(unit)))
        self._rest += rest
        share = rest / expected if expected else 0.0
        self._variance += experience.spread(unit) ** 2 * share
        _, _, so_far = self._shares.get(id(experience), (experience, unit, 0.0))
        self._shares[id(experience)] = (experience, unit, so_far + share)

    def most(self) -> float:
        """Return the rest of all, with an addition for its doubt: of each, and of the mean itself."""
        variance = self._variance
        for experience, unit, share in self._shares.values():
            variance += (share * experience.spread(unit)) ** 2 / experience.count
        return self._rest + _CARE * math.sqrt(variance) + self._bound

    @property
    def _bound(self) -> float:
        """What a call reserves beyond what it costs: once, since calls that lack it wait for each other.

        Not for workers of one turn: if that call does not fit, nothing is lost.
        """
        calls = [
            experience.last_call(unit)
            for experience, unit, _ in self._shares.values()
            if sum(experience.turns) > experience.count
        ]
        return _RESERVED * max(calls, default=0.0)
