"""Which way a task is done, from what each way costs and how often its work passes: arithmetic alone.

RFC-17 has the reasons for the weights.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal

import attrs

from sunwell.agent.policy.pass_chances import PassCount, pass_chances
from sunwell.core.price import OutputEstimate
from sunwell.memory.outcomes import KnownOutcomes, OutcomeCount, Ratio, Way

LEAST_TRIES = 2
"""Outcomes of a kind from which on they decide. Ten of other kinds count as one."""
LEAST_SIZES = 4
"""Outcomes of a kind from which on they change what is expected of its output."""
LEAST_COMPARED = 8
"""Outcomes on each side from which on a lens can be said to do harm."""
_OTHERS_FOR_ONE = 10
_HOPE = 0.5  # standard errors of a chance that an exploring choice hopes for
_DEAREST_TRY = 1.1  # a way is tried for what it may teach if it costs at most so many times the best
_SIZE_TRIES = 3
_PRICE_TRIES = 4
_SURE = 0.05
_WIDE = 1.28  # standard deviations to the tenth and the ninetieth of a hundred


@attrs.frozen
class WayOffer:
    """One way to do a task, as far as it is known."""

    way: Way
    usd: Decimal
    """Expected cost of one try, in US dollars."""
    chance: float
    """Chance that its work passes a check."""
    doubt: float = 0.0
    """Standard deviation of the chance."""
    tries: int = 0
    """Outcomes of the way on tasks of this kind."""
    others: int = 0
    """Outcomes of the way on tasks of other kinds."""

    @property
    def hoped(self) -> float:
        """The chance, a little better than expected if little is known."""
        return min(1.0, self.chance + _HOPE * self.doubt)


@attrs.frozen
class WayChoice:
    """The way to take, with the ways that were compared."""

    offer: WayOffer
    usd: float
    """Expected cost to a passed result."""
    offers: tuple[tuple[WayOffer, float], ...]
    """Each way with its expected cost to a passed result, the cheapest first."""
    explores: bool = False
    """Whether it is taken for what it may teach, although another is expected to cost a little less."""


def costs_to_a_pass(offers: Sequence[WayOffer], direct: WayOffer) -> list[float]:
    """Return what a passed result costs by each of *offers*, in US dollars.

    What does not pass is done again the direct way until it does: ``usd + (1 - chance) * direct``, where a
    direct pass is its price divided by its chance.
    """
    again = float(direct.usd) / max(direct.chance, 0.01)
    return [float(offer.usd) + (1 - offer.chance) * again for offer in offers]


def choose_way(offers: Sequence[WayOffer], direct: WayOffer, *, explores: bool = True) -> WayChoice:
    """Return the way of *offers* that costs least to a passed result.

    With *explores*, a way of which little is known is taken instead if it would cost less with a little luck,
    and is not expected to cost more than a tenth more. *direct* need not be among *offers*.
    """
    costs = costs_to_a_pass(offers, direct)
    ranked = sorted(zip(offers, costs, strict=True), key=lambda one: one[1])
    best, least = ranked[0]
    if explores:
        lucky = [attrs.evolve(offer, chance=offer.hoped) for offer, _ in ranked]
        hoped = costs_to_a_pass(lucky, direct)
        tempting = min(range(len(ranked)), key=lambda at: hoped[at])
        offer, usd = ranked[tempting]
        if offer is not best and usd <= _DEAREST_TRY * least:
            return WayChoice(offer, usd, tuple(ranked), explores=True)
    return WayChoice(best, least, tuple(ranked))


def offers_of(
    known: KnownOutcomes, kind: str, models: Mapping[Way, str], quoted: Mapping[Way, Decimal]
) -> tuple[WayOffer, ...]:
    """Return each way of *quoted*, with its chance and its cost as outcomes let expect them.

    *models* says who works on each way, under the names of outcomes; *quoted* what one try costs by the cost
    model, nothing done again.
    """
    near = {way: known.of_way(kind, way, models[way]) for way in quoted}
    far = {way: known.of_way_elsewhere(kind, way, models[way]) for way in quoted}
    chances = pass_chances(_pass_counts(known, models), kind, list(quoted))
    offers = []
    for way, usd in quoted.items():
        times = math.exp(_mean_log(near[way].price, far[way].price, _PRICE_TRIES))
        priced = usd * Decimal(str(round(times, 6)))
        expected = chances[way]
        offers.append(WayOffer(way, priced, expected.chance, expected.doubt, near[way].tries, far[way].tries))
    return tuple(offers)


def _pass_counts(known: KnownOutcomes, models: Mapping[Way, str]) -> list[PassCount]:
    counts = []
    for way, model in models.items():
        for kind, sums in known.by_kind(way, model).items():
            counts.append(PassCount(kind, way, sums.tries, sums.passes))
    return counts


def are_enough(offers: Iterable[WayOffer]) -> bool:
    """Whether there are enough outcomes to decide by."""
    several = list(offers)
    near, far = sum(one.tries for one in several), sum(one.others for one in several)
    return near + far / _OTHERS_FOR_ONE >= LEAST_TRIES


def redone_share(known: KnownOutcomes, kind: str, worker: str, assumed: Decimal) -> tuple[Decimal, int]:
    """Return the share of delegated work that is done again, and on how many outcomes of *kind* it rests.

    Without any it is *assumed*, which weighs as much as ten of them.
    """
    count = known.of_way(kind, "delegated", worker)
    failed = count.tries - count.passes
    if not count.tries:
        return assumed, 0
    return ((failed + 10 * assumed) / (count.tries + 10)).quantize(Decimal("0.001")), count.tries


def sized_by_outcomes(output: OutputEstimate, known: KnownOutcomes, kind: str) -> OutputEstimate:
    """Return *output* as outcomes of *kind* let expect it; as it is if there are too few.

    They say how many times the output was what the words of a task had let expect.
    """
    near = known.of_kind(kind).size
    if near.count < LEAST_SIZES:
        return output
    log = near.log_sum / (near.count + _SIZE_TRIES)
    mean = near.log_sum / near.count
    spread = math.sqrt(max(0.0, near.square_sum / near.count - mean * mean) + 0.05)
    times, low, high = math.exp(log), math.exp(log - _WIDE * spread), math.exp(log + _WIDE * spread)
    expected = round(output.expected_tokens * times)
    said = (
        f"{near.count:,} checked tasks of this kind ({kind}) wrote about {times:.2g} times what their words "
        f"let expect, so {output.expected_tokens:,} tokens by the words become {expected:,}"
    )
    return OutputEstimate(
        expected,
        min(expected, round(output.expected_tokens * low)),
        max(expected, round(output.expected_tokens * high)),
        (*output.counted, said),
        output.unknown,
    )


@attrs.frozen
class Harm:
    """Work under a lens passed less often than the same kind of work done in another way."""

    than: Way
    with_lens: OutcomeCount
    without: OutcomeCount

    @property
    def sentence(self) -> str:
        """What is told of it."""
        name = {"cheap": "the same model without a lens", "direct": "the direct way"}.get(self.than, "")
        return (
            f"work of this kind under a lens passed {self.with_lens.passes:,} of "
            f"{self.with_lens.tries:,} checks, and {name} {self.without.passes:,} of {self.without.tries:,}"
        )


def harm_of_lenses(known: KnownOutcomes, kind: str, models: Mapping[Way, str]) -> Harm | None:
    """Return how much worse work on *kind* is under a lens; ``None`` if that cannot be said.

    The other way is the same model without a lens, or else the direct one. It can be said from eight outcomes
    on each side, if chance alone would make such a difference in at most one case of twenty (Fisher).
    """
    ours = known.of_way(kind, "delegated", models["delegated"])
    others: tuple[Way, ...] = ("cheap", "direct")
    for way in others:
        theirs = known.of_way(kind, way, models[way])
        if min(ours.tries, theirs.tries) >= LEAST_COMPARED and _fisher(ours, theirs) <= _SURE:
            return Harm(way, ours, theirs)
    return None


def _fisher(ours: OutcomeCount, theirs: OutcomeCount) -> float:
    """Return how likely as few of our passes are, or fewer, if both ways were equally good."""
    passes, tries = ours.passes + theirs.passes, ours.tries + theirs.tries
    ways = math.comb(tries, passes)
    few = range(max(0, passes - theirs.tries), ours.passes + 1)
    return sum(math.comb(ours.tries, one) * math.comb(theirs.tries, passes - one) for one in few) / ways


def _mean_log(near: Ratio, far: Ratio, prior_count: int) -> float:
    usual = far.log_sum / (far.count + prior_count)
    return (near.log_sum + prior_count * usual) / (near.count + prior_count)
