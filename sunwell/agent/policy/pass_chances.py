"""How often each way passes on a kind of task, from few outcomes of many kinds: one model of all of them.

In logits, a chance is the level of the way, how hard the kind is, and what this way has with this kind alone.
All three are unknown and have normal priors; outcomes pull at the three together. So one outcome says
something about its way on all kinds, about its kind for all ways, and most about its way on its kind. RFC-17
has the reasons for the variances.
"""

import math
from collections.abc import Mapping, Sequence

import attrs

from sunwell.memory.outcomes import Way

PRIORS: Mapping[Way, float] = {"direct": 0.9, "cheap": 0.7, "delegated": 0.8}
"""Chance to pass that is assumed of each way without any outcome."""
_LEVEL = 1.0  # variances: of a way's level around its prior,
_DIFFICULTY = 0.5  # of how hard kinds are,
_OWN = 0.25  # and of what a way has with one kind alone
_SWEEPS = 8
_LONGEST_STEP = 1.5
_MOST_COUNTS = 300


@attrs.frozen
class PassCount:
    """Outcomes of one way on one kind."""

    kind: str
    way: Way
    tries: int
    passes: int


@attrs.frozen
class PassChance:
    """What is expected of one way on one kind."""

    chance: float
    doubt: float
    """Standard deviation of the chance."""


def pass_chances(counts: Sequence[PassCount], kind: str, ways: Sequence[Way]) -> dict[Way, PassChance]:
    """Return what is expected of each of *ways* on *kind*. The same counts give the same chances.

    Of very many counts, those of other kinds with the fewest tries are left out.
    """
    used = [one for one in counts if one.tries > 0 and one.way in ways]
    if len(used) > _MOST_COUNTS:
        used.sort(key=lambda one: (one.kind != kind, -one.tries, one.kind, one.way))
        used = used[:_MOST_COUNTS]
    fit = _Fit.of(used, ways)
    for _ in range(_SWEEPS):
        fit.sweep()
    return {way: fit.chance(kind, way) for way in ways}


@attrs.define
class _Fit:
    """The three parts of all chances, moved towards the outcomes by Newton's method, block by block."""

    counts: Sequence[PassCount]
    priors: Mapping[str, float]
    levels: dict[str, float]
    difficulties: dict[str, float]
    own: dict[tuple[str, str], float]

    @classmethod
    def of(cls, counts: Sequence[PassCount], ways: Sequence[Way]) -> "_Fit":
        priors: dict[str, float] = {way: math.log(PRIORS[way] / (1 - PRIORS[way])) for way in ways}
        difficulties = dict.fromkeys((one.kind for one in counts), 0.0)
        own: dict[tuple[str, str], float] = {(one.kind, one.way): 0.0 for one in counts}
        return cls(counts, priors, dict(priors), difficulties, own)

    def sweep(self) -> None:
        """Move levels, then difficulties, then what is left."""
        for way, (gain, weight) in self._pulls("way").items():
            self.levels[way] += _step(gain, weight, self.levels[way] - self.priors[way], _LEVEL)
        for kind, (gain, weight) in self._pulls("kind").items():
            self.difficulties[kind] += _step(gain, weight, self.difficulties[kind], _DIFFICULTY)
        for one in self.counts:
            place = (one.kind, one.way)
            gain, weight = self._pull(one)
            self.own[place] += _step(gain, weight, self.own[place], _OWN)

    def chance(self, kind: str, way: Way) -> PassChance:
        """Return the mean over what is not known of the three parts."""
        mean = self.levels[way] + self.difficulties.get(kind, 0.0) + self.own.get((kind, way), 0.0)
        _, of_way = self._pulls("way").get(way, (0.0, 0.0))
        _, of_kind = self._pulls("kind").get(kind, (0.0, 0.0))
        of_own = sum(self._pull(one)[1] for one in self.counts if (one.kind, one.way) == (kind, way))
        variance = sum(
            1 / (weight + 1 / prior)
            for weight, prior in ((of_way, _LEVEL), (of_kind, _DIFFICULTY), (of_own, _OWN))
        )
        chance = _logistic(mean / math.sqrt(1 + math.pi * variance / 8))
        return PassChance(chance, chance * (1 - chance) * math.sqrt(variance))

    def _pull(self, one: PassCount) -> tuple[float, float]:
        """Return how far the passes of *one* are from what is expected, and how much they weigh."""
        chance = _logistic(self.levels[one.way] + self.difficulties[one.kind] + self.own[one.kind, one.way])
        return one.passes - one.tries * chance, one.tries * chance * (1 - chance)

    def _pulls(self, by: str) -> dict[str, tuple[float, float]]:
        """Return the sums of pulls by way or by kind."""
        sums: dict[str, tuple[float, float]] = {}
        for one in self.counts:
            name = one.way if by == "way" else one.kind
            gain, weight = self._pull(one)
            before = sums.get(name, (0.0, 0.0))
            sums[name] = (before[0] + gain, before[1] + weight)
        return sums


def _step(gain: float, weight: float, away: float, variance: float) -> float:
    step = (gain - away / variance) / (weight + 1 / variance)
    return max(-_LONGEST_STEP, min(_LONGEST_STEP, step))


def _logistic(logit: float) -> float:
    return 1 / (1 + math.exp(-max(-30.0, min(30.0, logit))))
