"""What a climb is expected to cost, before any of it is spent."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from sunwell.agent.ladder.climb_outcomes import ClimbOutcomes
from sunwell.agent.ladder.rungs import PlannedRung, open_to
from sunwell.agent.policy.ladder import Attempt, next_step
from sunwell.core.price import Side


@attrs.frozen
class ExpectedRung:
    """A rung in the order in which it would be climbed if every check before it failed."""

    name: str
    model: str
    side: Side
    """What the rung costs if it is climbed."""
    reached: float
    """Chance that it is climbed at all."""
    chance: float
    """Chance that its work then passes the check."""
    tries: int
    """Outcomes on tasks of this kind that the chance rests on; 0: it is assumed."""


@attrs.frozen
class ExpectedClimb:
    """The rungs in order, and what they come to together."""

    rungs: tuple[ExpectedRung, ...]
    expected_usd: Decimal | None
    """Cost of each rung, weighed by the chance that it is climbed; ``None``: a price is unknown."""
    worst_usd: Decimal | None
    """Bound on all of them together."""
    passes: float
    """Chance that a check passes on any of them."""

    @classmethod
    def of(
        cls,
        planned: Sequence[PlannedRung],
        outcomes: ClimbOutcomes,
        *,
        left_usd: Decimal | None,
        worth_usd: Decimal | None,
    ) -> "ExpectedClimb":
        """Return what climbing *planned* is expected to come to, by the policy and outcomes of a run."""
        sides: dict[str, Side] = {rung.name: rung.side for rung in planned}
        found: list[ExpectedRung] = []
        attempts: list[Attempt] = []
        reached = 1.0
        while True:
            offered = open_to(planned, [one.rung for one in attempts], may_repair=_may_repair(attempts))
            known = outcomes.rungs(offered, attempts)
            rung = next_step(known, attempts, left_usd=left_usd, worth_usd=worth_usd).rung
            if rung is None:
                break
            side, chance = sides[rung.name], float(rung.chance)
            found.append(ExpectedRung(rung.name, rung.model, side, reached, chance, rung.tries))
            attempts.append(Attempt(rung.name, False, side.expected_usd))
            if left_usd is not None and side.expected_usd is not None:
                left_usd -= side.expected_usd
            reached *= 1 - chance
        return cls(tuple(found), _expected_usd(found), _worst_usd(found), 1 - reached)


def _may_repair(attempts: Sequence[Attempt]) -> bool:
    return [one.rung for one in attempts] == ["cheap"]


def _expected_usd(found: Sequence[ExpectedRung]) -> Decimal | None:
    total = Decimal(0)
    for one in found:
        if one.side.expected_usd is None:
            return None
        total += Decimal(str(round(one.reached, 6))) * one.side.expected_usd
    return total


def _worst_usd(found: Sequence[ExpectedRung]) -> Decimal | None:
    worst = [one.side.worst_usd for one in found]
    known = [usd for usd in worst if usd is not None]
    return sum(known, Decimal(0)) if len(known) == len(worst) else None
