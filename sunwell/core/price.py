"""Prices of models, quotes for a task, and the decision whether to delegate."""

from collections.abc import Iterable
from decimal import Decimal
from itertools import pairwise
from typing import Any, Literal

import attrs

from sunwell.core.model import CacheLife, Usage

_PER_MILLION = Decimal(1_000_000)


def _rate(_: object, attribute: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not (Decimal(value).is_finite() and value >= 0):
        raise ValueError(f"{attribute.name} must be 0 or more dollars, got {value}")


def _tiers(value: "Iterable[Tier]") -> "tuple[Tier, ...]":
    return tuple(value)


def _sentences(value: "Iterable[str]") -> "tuple[str, ...]":
    return tuple(value)


def _ascending(_: object, __: object, tiers: "tuple[Tier, ...]") -> None:
    bounds = [tier.above_input_tokens for tier in tiers]
    if any(lower >= upper for lower, upper in pairwise(bounds)):
        raise ValueError(f"tiers must be sorted by above_input_tokens in ascending order, got {bounds}")


@attrs.frozen
class Rates:
    """US dollars per million tokens; a cache rate of ``None`` means the input rate."""

    input_usd: Decimal = attrs.field(validator=_rate)
    """Input that is neither read from a cache nor written to one."""
    output_usd: Decimal = attrs.field(validator=_rate)
    """Output, reasoning included."""
    cache_read_usd: Decimal | None = attrs.field(default=None, validator=_rate)
    """Input that was read from a cache."""
    cache_write_usd: Decimal | None = attrs.field(default=None, validator=_rate)
    """Input that was written to a cache."""
    cache_write_1h_usd: Decimal | None = attrs.field(default=None, validator=_rate)
    """Input that was written to a cache for an hour."""

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the exact price of *usage* at these rates."""
        return self._usd(
            usage.input_tokens,
            usage.output_tokens,
            usage.cache_read_tokens,
            usage.cache_write_tokens,
            usage.cache_write_1h_tokens,
        )

    def _usd(self, input_: int, output: int, cache_read: int, cache_write: int, hour_write: int) -> Decimal:
        fallback = self.input_usd
        total = (
            max(0, input_ - cache_read - cache_write - hour_write) * self.input_usd
            + cache_read * (fallback if self.cache_read_usd is None else self.cache_read_usd)
            + cache_write * (fallback if self.cache_write_usd is None else self.cache_write_usd)
            + hour_write * (fallback if self.cache_write_1h_usd is None else self.cache_write_1h_usd)
            + output * self.output_usd
        )
        return total / _PER_MILLION

    def highest_input_usd(self, written: CacheLife | None = "1h") -> Decimal:
        """Return the highest rate of an input token of a request that may write it to a cache.

        *written* is the longest life of an entry that may be written; ``None``: nothing is written.
        """
        highest = self.input_usd
        if self.cache_read_usd is not None and self.cache_read_usd > highest:
            highest = self.cache_read_usd
        if written and self.cache_write_usd is not None and self.cache_write_usd > highest:
            highest = self.cache_write_usd
        if written == "1h" and self.cache_write_1h_usd is not None and self.cache_write_1h_usd > highest:
            highest = self.cache_write_1h_usd
        return highest


@attrs.frozen
class Tier:
    """Different rates for the *whole* request if its input is longer than ``above_input_tokens``."""

    above_input_tokens: int
    rates: Rates


@attrs.frozen
class Price:
    """The price of one model.

    ``source`` and ``date`` (ISO, of the table) tell where the figures are from; every figure shown to a
    user has this date.
    """

    rates: Rates
    """Rates of the lowest tier."""
    tiers: tuple[Tier, ...] = attrs.field(default=(), converter=_tiers, validator=_ascending)
    """Ascending by ``above_input_tokens``."""
    context_window: int | None = None
    """Context window: limit of input and output tokens together; ``None`` if unknown."""
    source: str = ""
    """Where the price is from."""
    date: str = ""
    """ISO day of the table that it is from."""

    def rates_for(self, input_tokens: int) -> Rates:
        """Return the rates of a request with this much input."""
        chosen = self.rates
        for tier in self.tiers:
            if input_tokens > tier.above_input_tokens:
                chosen = tier.rates
        return chosen

    def cost_usd(self, usage: Usage) -> Decimal:
        """Return the cost of *usage*, which must be of one request: exact, not rounded."""
        rates = self.rates_for(usage.input_tokens) if self.tiers else self.rates
        return rates.cost_usd(usage)

    def conversation_usd(self, turns: Iterable[tuple[int, int, int, int]]) -> Decimal:
        """Return what a conversation costs, each turn at the rates of its own length: exact, not rounded.

        A turn is its tokens of input, output, cache reads and cache writes, as in
        :class:`~sunwell.core.model.Usage`.
        """
        costs = (self.rates_for(turn[0])._usd(*turn, 0) for turn in turns)
        return sum(costs, Decimal(0))

    def worst_usd(self, requests: Iterable[tuple[int, int]], *, written: CacheLife | None = "1h") -> Decimal:
        """Return the most that *requests* of so many tokens of input and output can cost.

        No more input is billed than the context window holds. *written* is as in :meth:`worst_rates`.
        """
        total = Decimal(0)
        for input_tokens, output_tokens in requests:
            bound = input_tokens if self.context_window is None else min(input_tokens, self.context_window)
            input_usd, output_usd = self.worst_rates(bound, written=written)
            total += (bound * input_usd + output_tokens * output_usd) / _PER_MILLION
        return total

    def worst_rates(self, input_tokens: int, *, written: CacheLife | None = "1h") -> tuple[Decimal, Decimal]:
        """Return the highest (input, output) rates for a request of up to *input_tokens*.

        *written* is the longest life of a cache entry that the request may write; ``None``: it writes none.
        """
        if not self.tiers or input_tokens <= self.tiers[0].above_input_tokens:
            return self.rates.highest_input_usd(written), self.rates.output_usd
        reachable = [self.rates]
        reachable += [tier.rates for tier in self.tiers if input_tokens > tier.above_input_tokens]
        return (
            max(rates.highest_input_usd(written) for rates in reachable),
            max(rates.output_usd for rates in reachable),
        )

    def is_above(self, other: "Price") -> bool:
        """Whether a token of input and one of output, without caching, cost more than at *other*."""
        mine, theirs = self.rates, other.rates
        return mine.input_usd + mine.output_usd > theirs.input_usd + theirs.output_usd


@attrs.frozen
class OutputEstimate:
    """How much a task will make models write, in tokens, all turns together: a range, with its reasons.

    It is no bound. Raises :exc:`ValueError` if the figures are negative or not in order.
    """

    expected_tokens: int = attrs.field(validator=attrs.validators.ge(0))
    low_tokens: int = attrs.field(validator=attrs.validators.ge(0))
    high_tokens: int = attrs.field(validator=attrs.validators.ge(0))
    counted: tuple[str, ...] = attrs.field(default=(), converter=_sentences)
    """What was counted: "200 product descriptions: 200 x 120 tokens"."""
    unknown: tuple[str, ...] = attrs.field(default=(), converter=_sentences)
    """What was not known and makes the range wide."""

    def __attrs_post_init__(self) -> None:
        if not self.low_tokens <= self.expected_tokens <= self.high_tokens:
            raise ValueError(
                "low, expected and high tokens must be in ascending order, got "
                f"{self.low_tokens}, {self.expected_tokens}, {self.high_tokens}"
            )

    @classmethod
    def around(cls, tokens: int) -> "OutputEstimate":
        """Return *tokens* with an assumed range, from half of it to twice as much."""
        if tokens < 0:
            raise ValueError(f"estimated tokens cannot be negative, got {tokens}")
        assumed = "no range is given: from half to twice the number is assumed"
        return cls(tokens, tokens // 2, 2 * tokens, (), (assumed,))


@attrs.frozen
class Side:
    """The price of one way to do a task. All figures except ``worst_usd`` are estimates.

    ``low_usd``, ``expected_usd`` and ``high_usd`` follow the range of the expected output. ``worst_usd`` is
    an upper bound under the limits named in the quote's assumptions.
    """

    name: str
    """``delegated``, ``direct``, ``cheap``, ``smart-low-effort``, ``orchestrated`` or ``with-workers``."""
    low_usd: Decimal | None
    expected_usd: Decimal | None
    """``None`` if a price is unknown."""
    worst_usd: Decimal | None
    """``None`` if a price is unknown, or if nothing but a budget bounds the side."""
    high_usd: Decimal | None = None
    """What the high end of the expected output costs; ``None``: unknown, or not computed."""


@attrs.frozen
class Quote:
    """The ways to do a task side by side, with the assumptions."""

    delegated: Side
    direct: Side
    alternatives: tuple[Side, ...] = ()
    cheap: Side | None = None
    """The delegation model alone, without a lens; ``None``: none is named. However little it costs, it stops
    no delegation: a price does not say whether the work would be right."""
    lens_tokens: int = 0
    """Input and output tokens of writing the lens that count against the budget."""
    assumptions: tuple[str, ...] = ()
    price_date: str = ""
    output: OutputEstimate | None = None
    """The range of output that the figures follow; ``None``: not given."""
    handed_out: Side | None = None
    """The way taken if a model hands the work out itself: an orchestrator's (``orchestrated``), or that of a
    model with delegation tools (``with-workers``); ``None``: no model does."""
    delegated_once_usd: Decimal | None = None
    """What delegating is expected to cost if nothing of it is done again; ``None``: a price is unknown."""
    smart_alone_usd: Decimal | None = None
    """What the smart model alone is expected to cost, to compare ``handed_out`` with; ``None``: unknown, or
    no model hands work out."""

    @property
    def sides(self) -> tuple[Side, ...]:
        """The ways to do the task: by a model that hands it out, if one does; delegated, the loop's own model
        alone, the smart model alone at low effort, and the delegation model alone, if one is named."""
        several = (self.handed_out, self.delegated, self.direct, *self.alternatives, self.cheap)
        return tuple(side for side in several if side is not None)

    @property
    def times_smart_alone(self) -> Decimal | None:
        """Expected cost of work that is handed out, in multiples of that of the smart model alone; ``None``:
        unknown, or no model hands work out."""
        ours = None if self.handed_out is None else self.handed_out.expected_usd
        return None if ours is None or not self.smart_alone_usd else ours / self.smart_alone_usd

    def chosen(self, decision: "DelegationDecision | None") -> Side:
        """Return the way that is taken: that of *decision*, unless a model hands the work out itself."""
        if self.handed_out is not None:
            return self.handed_out
        if decision is None:
            return self.direct
        if decision:
            return self.delegated
        cheap = self.cheap if decision.without_lens == "delegation_model" else None
        return self.direct if cheap is None else cheap

    @property
    def delegation_is_dearer(self) -> bool:
        """Whether delegating is known to cost at least as much as the cheapest alternative."""
        ours = self.delegated.expected_usd
        others = [side.expected_usd for side in (self.direct, *self.alternatives)]
        known = [usd for usd in others if usd is not None]
        return ours is not None and bool(known) and ours >= min(known)


@attrs.frozen
class DelegationDecision:
    """Whether a task is delegated, and why. True in a boolean context if it is delegated."""

    delegate: bool
    """Whether the task is delegated."""
    reason: str
    """One sentence for people, shown in the event and in the output."""
    estimated_tokens: int
    """Expected output of the task. Its range is in the quote."""
    threshold_tokens: int
    """Expected output up to which a task is not delegated."""
    budget_remaining: int | None = None
    """Tokens that the budget leaves; ``None`` if it has no limit in tokens."""
    lens_fits: bool = True
    """Whether the budget holds a lens."""
    without_lens: Literal["model", "delegation_model"] = "model"
    """Who does the task if it is not delegated: the delegation model, if one is named that is not known to
    cost more than the loop's own model."""
    lens_input_tokens: int | None = None
    """Size of what the smart model reads to write the lens; ``None``: not measured."""
    scout_turns: int = 0
    """Turns in which the smart model may look for itself first; 0 if what it is shown is enough."""
    decided_by: Literal["words", "classifier", "outcomes"] = "words"
    """What decided: the words and numbers of the task, the answer of a model that was asked, or how earlier
    checked work went."""
    kind: str = ""
    """The kind of the task; empty in records of older versions."""
    noted: str = ""
    """What outcomes say against work under a lens, in a sentence; empty: nothing."""
    change_input_tokens: int | None = None
    """Size of what the smart model reads to say what must change of a kept lens; ``None``: there is none."""

    def __bool__(self) -> bool:
        return self.delegate
