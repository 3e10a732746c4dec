"""The test of a lens: items that ran with it and without it, and when they are evidence enough.

Two identical runs of a model differ on 8 to 24 % of real tasks, so that one comparison shows nothing. Only
*discordant* pairs count, of which one run passed and the other did not; one of which that is not known shows
nothing, and is no reason to withhold a lens. Their running difference is looked at
after each group of four pairs, and nowhere between: groups can run side by side, and the order in which their
runs end changes nothing. ``benchmarks/lens_gate.py`` has what the rule does to good and bad lenses.
"""

import hashlib
from collections.abc import Sequence
from decimal import Decimal
from typing import Literal, Self

import attrs

LEAST_ITEMS = 40
"""Checked items of a batch from which on a test is worth its extra runs."""
MOST_PAIRS = 20
GROUP = 4
"""Pairs between two looks."""
LEAST_KNOWN = 10
"""Known pairs of all of them without which a lens has not shown that it is no gain."""
_BLIND_PAIRS = 8
"""Pairs of which none is known, after which no more are begun: the checks cannot tell."""
_FIRST_BOUND, _BOUND = 3, 2
"""Differences that decide: in the first four known pairs a larger one, since 2 of 4 are often chance."""

LensFinding = Literal["helps", "harms", "no harm", "no gain", "undecided"]


@attrs.frozen
class LensPair:
    """One item that ran both ways."""

    with_lens: bool | None
    """Whether the run with the lens passed its checks; ``None``: that is not known."""
    without: bool | None
    with_cost: Decimal = Decimal(0)
    """What the run with the lens used, in one unit for all pairs."""
    without_cost: Decimal = Decimal(0)

    @property
    def difference(self) -> int:
        """1 if only the run with the lens passed, -1 if only the other one did, else 0."""
        if self.with_lens is None or self.without is None:
            return 0
        return int(self.with_lens) - int(self.without)

    @property
    def is_known(self) -> bool:
        """Whether it is known of both runs if they passed."""
        return self.with_lens is not None and self.without is not None


@attrs.frozen
class LensTrial:
    """The pairs so far, in their order. Adding pairs gives a new one.

    >>> LensTrial().plus([LensPair(False, True)] * 4).finding
    'harms'
    """

    pairs: tuple[LensPair, ...] = ()
    counts_unknown: bool = attrs.field(default=False, kw_only=True)
    """Whether an unknown pair counts as one without a difference: that was the rule of older runs."""

    def plus(self, pairs: Sequence[LensPair]) -> Self:
        """Return the trial with more *pairs*."""
        return attrs.evolve(self, pairs=(*self.pairs, *pairs))

    @property
    def better(self) -> int:
        """Pairs in which only the run with the lens passed."""
        return sum(pair.difference > 0 for pair in self.pairs)

    @property
    def worse(self) -> int:
        """Pairs in which only the run without the lens passed."""
        return sum(pair.difference < 0 for pair in self.pairs)

    @property
    def unknown(self) -> int:
        """Pairs that show nothing, since a run broke off or a check could not tell."""
        return sum(not pair.is_known for pair in self.pairs)

    @property
    def costs_more(self) -> bool:
        """Whether the runs with the lens used more than the others; runs that broke off do not count."""
        known = [pair for pair in self.pairs if pair.is_known]
        return sum(pair.with_cost for pair in known) > sum(pair.without_cost for pair in known)

    @property
    def finding(self) -> LensFinding | None:
        """What the pairs show; ``None``: more are needed.

        After the last pair, a lens with as many worse pairs as better ones, or more, has shown no gain.
        ``undecided``: too few of the pairs show anything, and more would hardly.
        """
        known, difference = 0, 0
        for place, pair in enumerate(self.pairs[:MOST_PAIRS], 1):
            known += pair.is_known or self.counts_unknown
            difference += pair.difference
            if place % GROUP:
                continue
            if abs(difference) >= (_FIRST_BOUND if known <= GROUP else _BOUND):
                return "helps" if difference > 0 else "harms"
            if place >= _BLIND_PAIRS and not known:
                return "undecided"
        if len(self.pairs) < MOST_PAIRS:
            return None
        if known < LEAST_KNOWN:
            return "undecided"
        return "no harm" if difference > 0 else "no gain"

    @property
    def is_withheld(self) -> bool:
        """Whether the items that are left are better done without the lens."""
        finding = self.finding
        return finding == "harms" or (finding == "no gain" and self.costs_more)


def paired_places(items: Sequence[str]) -> tuple[int, ...]:
    """Return the places of the items that run both ways, in the order in which they do.

    It is the order of their hashes: neither chance nor the order of a file, which is often sorted. Equal
    items stand in their own order.
    """
    order = sorted(range(len(items)), key=lambda place: (_hash(items[place]), place))
    return tuple(order[:MOST_PAIRS])


def _hash(item: str) -> bytes:
    return hashlib.sha256(item.encode("utf-8", "surrogatepass")).digest()
