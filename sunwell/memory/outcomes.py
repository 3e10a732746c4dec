"""Outcomes: how checked pieces of work went, counted by kind of task, who did it and in which way.

No text of a task or a result is in an outcome. What keeps them for later runs is in ``outcome_store.py``.
"""

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from typing import Literal

import attrs

KEPT_OUTCOMES = 100
"""Outcomes of one kind that count, the latest ones: what was not tried for so long is unknown again."""
_LARGEST_LOG = math.log(8)
Way = Literal["direct", "cheap", "delegated"]
"""Who does a task that nobody hands out: the run's own model, the delegation model alone, or that model under
a lens."""
WAYS: tuple[Way, ...] = ("direct", "cheap", "delegated")


@attrs.frozen
class WorkOutcome:
    """One checked piece of work."""

    kind: str
    """Of the task, as :func:`~sunwell.agent.policy.task_kinds.kind_of` tells it."""
    rung: str
    """In which way: a rung of a ladder, ``direct``, ``cheap``, ``delegated``, or ``orchestrated`` and
    ``with-workers`` for a run whose model handed the work out."""
    model: str
    """Who did it."""
    after: str
    """The rungs that failed before, as :func:`~sunwell.agent.policy.rung_outcomes.after_of` writes them."""
    passed: bool | None
    """``None``: the check could not tell, so it is no try."""
    cost_usd: Decimal | None
    """Of all its calls, those of the lens and of the check included; ``None``: a price is unknown."""
    at: float
    """Seconds since 1970."""
    has_lens: bool = False
    """Whether the work was done under a lens."""
    output_tokens: int | None = None
    """What the models wrote for the work, reasoning left out; ``None``: unknown."""
    expected_tokens: int | None = None
    """What the words of the task had let expect of it; ``None``: nobody asked."""
    quoted_usd: Decimal | None = None
    """What the quote for that output had said of this way; ``None``: nobody asked, or a price is unknown.

    Calls that a quote does not foresee, such as a check, are added in proportion: ``cost_usd`` is so many
    times this as the others cost in multiples of their quote."""


@attrs.frozen
class Ratio:
    """How many times a figure was what had been expected, as a sum of logarithms."""

    count: int = 0
    log_sum: float = 0.0
    square_sum: float = 0.0

    @classmethod
    def of(cls, actual: float | Decimal | None, expected: float | Decimal | None) -> "Ratio":
        """Return *actual* in multiples of *expected*; nothing if one is unknown or not above 0.

        More than eight times, or less than an eighth, counts as that: one outcome must not move all others.
        """
        if actual is None or expected is None or actual <= 0 or expected <= 0:
            return cls()
        log = math.log(float(actual)) - math.log(float(expected))
        log = max(-_LARGEST_LOG, min(_LARGEST_LOG, log))
        return cls(1, log, log * log)

    def plus(self, other: "Ratio", times: int = 1) -> "Ratio":
        """Return both together, *other* counted so many times."""
        return Ratio(
            self.count + times * other.count,
            self.log_sum + times * other.log_sum,
            self.square_sum + times * other.square_sum,
        )


@attrs.frozen
class OutcomeCount:
    """Outcomes, counted."""

    tries: int = 0
    passes: int = 0
    cost_usd: Decimal | None = None
    """Mean of the known costs, also of tries that no check decided; ``None``: none is known."""
    output_tokens: int | None = None
    """Mean of the known outputs; ``None``: none is known."""
    size: Ratio = Ratio()
    """Output, in multiples of what the words of the task had let expect."""
    price: Ratio = Ratio()
    """Cost, in multiples of what the quote had said."""


@attrs.frozen
class OutcomeSums:
    """Sums over outcomes of one kind, rung, model, past and lens: what is kept of kinds that are not asked
    for."""

    tries: int = 0
    passes: int = 0
    costs: int = 0
    cost_usd: Decimal = Decimal(0)
    outputs: int = 0
    output_tokens: int = 0
    size: Ratio = Ratio()
    price: Ratio = Ratio()

    @classmethod
    def of(cls, outcome: WorkOutcome) -> "OutcomeSums":
        """Return *outcome* alone."""
        is_tried = outcome.passed is not None
        return cls(
            int(is_tried),
            int(bool(outcome.passed)),
            int(outcome.cost_usd is not None),
            outcome.cost_usd or Decimal(0),
            int(outcome.output_tokens is not None),
            outcome.output_tokens or 0,
            Ratio.of(outcome.output_tokens, outcome.expected_tokens),
            Ratio.of(outcome.cost_usd, outcome.quoted_usd),
        )

    def plus(self, other: "OutcomeSums", times: int = 1) -> "OutcomeSums":
        """Return both together, *other* counted so many times."""
        return OutcomeSums(
            self.tries + times * other.tries,
            self.passes + times * other.passes,
            self.costs + times * other.costs,
            self.cost_usd + times * other.cost_usd,
            self.outputs + times * other.outputs,
            self.output_tokens + times * other.output_tokens,
            self.size.plus(other.size, times),
            self.price.plus(other.price, times),
        )

    @property
    def count(self) -> OutcomeCount:
        """The sums as means."""
        cost = self.cost_usd / self.costs if self.costs else None
        output = round(self.output_tokens / self.outputs) if self.outputs else None
        return OutcomeCount(self.tries, self.passes, cost, output, self.size, self.price)


CountedAt = tuple[str, str, str, str, bool]
"""Kind, rung, model, what failed before, and whether there was a lens."""


def place_of(outcome: WorkOutcome) -> CountedAt:
    """Return under what *outcome* is counted."""
    return (outcome.kind, outcome.rung, outcome.model, outcome.after, outcome.has_lens)


def sums_of(outcomes: Iterable[WorkOutcome]) -> dict[CountedAt, OutcomeSums]:
    """Return the sums over *outcomes* by what they are counted under."""
    sums: dict[CountedAt, OutcomeSums] = {}
    for outcome in outcomes:
        place = place_of(outcome)
        sums[place] = sums.get(place, OutcomeSums()).plus(OutcomeSums.of(outcome))
    return sums


def _count(several: Iterable[OutcomeSums]) -> OutcomeCount:
    total = OutcomeSums()
    for one in several:
        total = total.plus(one)
    return total.count


@attrs.define(eq=False)
class KnownOutcomes:
    """The latest outcomes of each kind of task, counted. Pure: it reads and writes nothing.

    Of a kind that was read for, it has the outcomes themselves, of others only sums.
    """

    kept: int = KEPT_OUTCOMES
    """Most outcomes of a kind that count."""
    _latest: dict[str, deque[WorkOutcome]] = attrs.field(factory=dict, init=False)
    _sums: dict[tuple[str, str], dict[str, dict[tuple[str, bool], OutcomeSums]]] = attrs.field(
        factory=dict, init=False
    )
    """By rung and model, then kind, then what failed before and whether there was a lens."""

    def add(self, outcome: WorkOutcome) -> None:
        """Count *outcome*; the oldest of its kind no longer counts if there are too many."""
        latest = self._latest.setdefault(outcome.kind, deque())
        latest.append(outcome)
        self._move(place_of(outcome), OutcomeSums.of(outcome))
        if len(latest) > self.kept:
            oldest = latest.popleft()
            self._move(place_of(oldest), OutcomeSums.of(oldest), -1)

    def take(self, kind: str, outcomes: Iterable[WorkOutcome]) -> None:
        """Have *outcomes* be what is known of *kind*."""
        for kinds in self._sums.values():
            kinds.pop(kind, None)
        self._latest.pop(kind, None)
        for outcome in outcomes:
            self.add(outcome)
        self._latest.setdefault(kind, deque())

    def take_sums(self, others: Mapping[CountedAt, OutcomeSums]) -> None:
        """Have *others* be what is known of each kind whose outcomes were not taken."""
        unknown = {place[0] for place in others} - self._latest.keys()
        for kinds in self._sums.values():
            for other in unknown:
                kinds.pop(other, None)
        for place, sums in others.items():
            if place[0] in unknown:
                self._move(place, sums)

    def places(self) -> Iterator[tuple[CountedAt, OutcomeSums]]:
        """Yield the sums, with what they are counted under."""
        for (rung, model), kinds in self._sums.items():
            for kind, places in kinds.items():
                for (after, has_lens), sums in places.items():
                    yield (kind, rung, model, after, has_lens), sums

    def counts(self, kind: str) -> Mapping[tuple[str, str, str], OutcomeCount]:
        """Return what is known of *kind*, by rung, model and what failed before."""
        found: dict[tuple[str, str, str], list[OutcomeSums]] = {}
        for rung, kinds in self._sums.items():
            for (after, _), sums in kinds.get(kind, {}).items():
                if sums.tries or sums.costs:
                    found.setdefault((*rung, after), []).append(sums)
        return {place: _count(sums) for place, sums in found.items()}

    def count(self, kind: str, rung: str, model: str, after: str) -> OutcomeCount:
        """Return the outcomes of a rung on *kind* after exactly these failures."""
        places = self._kinds(rung, model).get(kind, {})
        return _count(sums for place, sums in places.items() if place[0] == after)

    def count_otherwise(self, kind: str, rung: str, model: str, after: str) -> OutcomeCount:
        """Return the outcomes of a rung on *kind* after other failures than these."""
        places = self._kinds(rung, model).get(kind, {})
        return _count(sums for place, sums in places.items() if place[0] != after)

    def count_elsewhere(self, kind: str, rung: str, model: str) -> OutcomeCount:
        """Return the outcomes of a rung on all kinds but *kind*, whatever failed before."""
        kinds = self._kinds(rung, model)
        return _count(sums for other, places in kinds.items() if other != kind for sums in places.values())

    def of_way(self, kind: str, way: Way, model: str) -> OutcomeCount:
        """Return the outcomes of *model* on *kind* in one way, from the start of a task on."""
        return _count(sums for other, sums in self._of_way(way, model) if other == kind)

    def of_way_elsewhere(self, kind: str, way: Way, model: str) -> OutcomeCount:
        """Return the outcomes of *model* on all kinds but *kind* in one way, from the start of a task on."""
        return _count(sums for other, sums in self._of_way(way, model) if other != kind)

    def by_kind(self, way: Way, model: str) -> dict[str, OutcomeCount]:
        """Return the outcomes of *model* in one way, from the start of a task on, by kind."""
        kinds: dict[str, list[OutcomeSums]] = {}
        for kind, sums in self._of_way(way, model):
            kinds.setdefault(kind, []).append(sums)
        return {kind: _count(several) for kind, several in kinds.items()}

    def of_kind(self, kind: str) -> OutcomeCount:
        """Return all outcomes on *kind* from the start of a task on, whoever did it."""
        return _count(
            sums
            for kinds in self._sums.values()
            for (after, _), sums in kinds.get(kind, {}).items()
            if not after
        )

    def _of_way(self, way: Way, model: str) -> Iterator[tuple[str, OutcomeSums]]:
        """Yield kind and sums of all that *model* did in one way. What a given lens helped is delegated."""
        for rung in _RUNGS_OF_WAYS[way]:
            for kind, places in self._kinds(rung, model).items():
                for (after, has_lens), sums in places.items():
                    if not after and has_lens == (way == "delegated"):
                        yield kind, sums

    def _kinds(self, rung: str, model: str) -> dict[str, dict[tuple[str, bool], OutcomeSums]]:
        return self._sums.get((rung, model), {})

    def _move(self, place: CountedAt, sums: OutcomeSums, times: int = 1) -> None:
        kind, rung, model, after, has_lens = place
        places = self._sums.setdefault((rung, model), {}).setdefault(kind, {})
        places[after, has_lens] = places.get((after, has_lens), OutcomeSums()).plus(sums, times)


_RUNGS_OF_WAYS: Mapping[Way, tuple[str, ...]] = {
    "direct": ("direct", "smart"),
    "cheap": ("cheap",),
    "delegated": ("delegated", "cheap"),
}
