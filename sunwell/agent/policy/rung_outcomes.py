"""What is known of each rung: outcomes counted for a kind of task, given which rungs failed before."""

from collections.abc import Iterable, Mapping, Sequence, Set

import attrs

from sunwell.agent.policy.ladder import Attempt, Rung
from sunwell.memory.outcomes import KnownOutcomes, OutcomeCount

_PRIOR_TRIES = 2  # as a prior weighs in Rung.chance
# A few failures here and a few there would otherwise multiply, and give a rung up that had failed nine times.
_NEAR_PRIOR_TRIES = 10
DEFAULT_PRIORS: Mapping[str, float] = {
    "cheap": 0.85,
    "cheap_again": 0.15,
    "lens": 0.2,
    "second": 0.3,
    "smart": 0.95,
}
"""Chance to pass after the rungs before it failed, without any outcome: hopes rather than estimates.

A hope that is too high costs a few tries, one that is too low is never corrected. See RFC-11 for the figures.
"""
EXPECTED_PRIORS: Mapping[str, float] = {
    "cheap": 0.5,
    "cheap_again": 0.12,
    "lens": 0.15,
    "second": 0.3,
    "smart": 0.5,
}
"""The same without hope, for what is told of costs. A second try gains 3 to 10 points of all tasks."""


def after_of(rungs: Sequence[Rung], attempts: Iterable[Attempt]) -> str:
    """Return the rungs that failed in *attempts*, in order and with their models, as one text.

    ``""`` if none failed. Attempts that no check decided are left out.
    """
    models = {rung.name: rung.model for rung in rungs}
    failed = [attempt.rung for attempt in attempts if attempt.passed is False]
    return ",".join(f"{name}:{models.get(name, '')}" for name in failed)


def rungs_with(
    known: KnownOutcomes, kind: str, rungs: Sequence[Rung], attempts: Sequence[Attempt]
) -> tuple[Rung, ...]:
    """Return *rungs* with their outcomes on this *kind* of task, given the *attempts* so far.

    ``cheap_again`` is left out before ``cheap`` was tried, and ``lens``, which needs evidence, before any
    rung was. ``tries`` and ``passes`` are counted after exactly these failures; for a rung that was tried,
    after those before it. ``prior`` is the rung's own, moved by what is known besides, from far to near: the
    same rung and model on other kinds, then on this kind after other failures. The last rung has none to go
    to after it, so other kinds do not count against it.
    """
    tried = {attempt.rung for attempt in attempts}
    found = []
    for rung in rungs:
        if not _is_open(rung.name, tried):
            continue
        before = list(attempts)
        for at, attempt in enumerate(attempts):
            if attempt.rung == rung.name:
                before = before[:at]
                break
        after = after_of(rungs, before)
        exact = known.count(kind, rung.name, rung.model, after)
        elsewhere = known.count_elsewhere(kind, rung.name, rung.model)
        near = known.count_otherwise(kind, rung.name, rung.model, after)
        prior = rung.prior if rung is rungs[-1] else _moved(rung.prior, elsewhere)
        prior = _moved(prior, near, _NEAR_PRIOR_TRIES)
        found.append(attrs.evolve(rung, tries=exact.tries, passes=exact.passes, prior=prior))
    return tuple(found)


def _is_open(name: str, tried: Set[str]) -> bool:
    if name == "cheap_again":
        return "cheap" in tried
    return name != "lens" or bool(tried)


def _moved(prior: float, count: OutcomeCount, prior_tries: int = _PRIOR_TRIES) -> float:
    return (count.passes + prior_tries * prior) / (count.tries + prior_tries)
