"""What a climb knows of outcomes so far, what it adds to them, and what it is expected to cost."""

import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from decimal import Decimal

import attrs

from sunwell.agent.ladder.rungs import PlannedRung, open_to
from sunwell.agent.policy.ladder import Attempt, Rung, next_step
from sunwell.agent.policy.rung_outcomes import DEFAULT_PRIORS, EXPECTED_PRIORS, after_of, rungs_with
from sunwell.core.price import Side
from sunwell.core.verdict import RungAttempt
from sunwell.memory.outcomes import KnownOutcomes, WorkOutcome
from sunwell.models.prices import known_as


@attrs.define(eq=False)
class ClimbOutcomes:
    """The outcomes on tasks of one kind, those of this run included."""

    kind: str
    known: KnownOutcomes
    keep: Callable[[WorkOutcome], Awaitable[None]] | None = None
    """Adds an outcome to what is known, and keeps it for later runs; ``None``: it is only added."""
    expected_tokens: int | None = None
    """What the words of the task let expect of the output; ``None``: nobody asked."""
    _names: dict[str, str] = attrs.field(factory=dict, init=False)
    """Under which name outcomes of each model are kept."""

    def rungs(
        self,
        planned: Sequence[PlannedRung],
        attempts: Sequence[Attempt],
        priors: Mapping[str, float] = DEFAULT_PRIORS,
    ) -> tuple[Rung, ...]:
        """Return *planned* with what is known of each after *attempts*; *priors* hold without outcomes."""
        self._names |= {rung.model.name: known_as(rung.model) for rung in planned}
        plain = [
            Rung(rung.name, known_as(rung.model), rung.cost_usd, prior=priors[rung.name]) for rung in planned
        ]
        shown: dict[str, str] = {rung.name: rung.model.name for rung in planned}
        found = rungs_with(self.known, self.kind, plain, attempts)
        return tuple(attrs.evolve(rung, model=shown[rung.name]) for rung in found)

    async def record(
        self,
        attempt: RungAttempt,
        before: Sequence[RungAttempt],
        *,
        has_lens: bool = False,
        output_tokens: int | None = None,
    ) -> None:
        """Add what the check said of *attempt*, which came after *before*."""
        tried = [Attempt(one.rung, one.passed, one.cost_usd) for one in before]
        names = self._names
        rungs = [Rung(one.rung, names.get(one.model, one.model), one.cost_usd) for one in before]
        made = WorkOutcome(
            self.kind,
            attempt.rung,
            names.get(attempt.model, attempt.model),
            after_of(rungs, tried),
            attempt.passed,
            attempt.cost_usd,
            time.time(),
            has_lens,
            output_tokens,
            self.expected_tokens,
        )
        if self.keep is None:
            self.known.add(made)
        else:
            await self.keep(made)


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
        passes_wrong: float = 0.0,
    ) -> "ExpectedClimb":
        """Return what climbing *planned* is expected to come to, by the policy and outcomes of a run."""
        sides: dict[str, Side] = {rung.name: rung.side for rung in planned}
        found: list[ExpectedRung] = []
        attempts: list[Attempt] = []
        reached = 1.0
        while True:
            offered = open_to(planned, [one.rung for one in attempts], may_repair=_may_repair(attempts))
            known = outcomes.rungs(offered, attempts)
            rung = next_step(
                known, attempts, left_usd=left_usd, worth_usd=worth_usd, passes_wrong=passes_wrong
            ).rung
            if rung is None:
                break
            expected = outcomes.rungs(offered, attempts, EXPECTED_PRIORS)
            chance = next(float(one.chance) for one in expected if one.name == rung.name)
            side = sides[rung.name]
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
