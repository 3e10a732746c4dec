"""What a climb knows of outcomes so far, what it adds to them, and what it is expected to cost."""

import time
from collections.abc import Mapping, Sequence
from decimal import Decimal
from urllib.parse import urlsplit

import attrs

from sunwell.agent.ladder.rungs import PlannedRung, open_to
from sunwell.agent.policy.ladder import Attempt, Rung, next_step
from sunwell.agent.policy.rung_outcomes import DEFAULT_PRIORS, EXPECTED_PRIORS, after_of, rungs_with
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.core.model import ModelProtocol
from sunwell.core.price import Side
from sunwell.core.threads import in_thread
from sunwell.core.verdict import RungAttempt
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import KnownOutcomes, OutcomeCount, WorkOutcome


def known_as(model: ModelProtocol) -> str:
    """Return under which name outcomes of *model* are kept: with its host, if that is not the provider's own.

    A model of the same name at another address, such as a simulator's, is another model.
    """
    address = getattr(getattr(model, "connection", None), "base_url", None)
    host = urlsplit(address).netloc.rpartition("@")[2] if isinstance(address, str) else ""
    return f"{model.name}@{host}" if host else model.name


def cheap_alone(known: KnownOutcomes, task: str, model: ModelProtocol) -> OutcomeCount:
    """Return the outcomes of *model* alone, before any other rung, on tasks of the kind of *task*."""
    return known.count(kind_of(task), "cheap", known_as(model), "")


@attrs.define(eq=False)
class ClimbOutcomes:
    """The outcomes on tasks of one kind, those of this run included."""

    kind: str
    known: KnownOutcomes
    store: OutcomeStore | None = None
    """Where outcomes are kept for later runs; ``None``: nowhere."""
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

    async def record(self, attempt: RungAttempt, before: Sequence[RungAttempt]) -> None:
        """Add what the check said of *attempt*, which came after *before*."""
        tried = [Attempt(one.rung, one.passed, one.cost_usd) for one in before]
        names = self._names
        rungs = [Rung(one.rung, names.get(one.model, one.model), one.cost_usd) for one in before]
        after = after_of(rungs, tried)
        made = WorkOutcome(
            self.kind,
            attempt.rung,
            names.get(attempt.model, attempt.model),
            after,
            attempt.passed,
            attempt.cost_usd,
            time.time(),
        )
        self.known.add(made)
        if self.store is not None and self.store.file is not None:
            await in_thread(self.store.record, [made])  # others may write, and it waits for them


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
