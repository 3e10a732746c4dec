"""What a climb knows of outcomes so far, and what it adds to them."""

import asyncio
import time
from collections.abc import Sequence

import attrs

from sunwell.agent.ladder.rungs import PlannedRung
from sunwell.agent.policy.ladder import Attempt, Rung
from sunwell.agent.policy.rung_outcomes import DEFAULT_PRIORS, after_of, rungs_with
from sunwell.core.verdict import RungAttempt
from sunwell.memory.outcomes import KnownOutcomes, OutcomeStore, RungOutcome


@attrs.define(eq=False)
class ClimbOutcomes:
    """The outcomes on tasks of one kind, those of this run included."""

    kind: str
    known: KnownOutcomes
    store: OutcomeStore | None = None
    """Where outcomes are kept for later runs; ``None``: nowhere."""

    def rungs(self, planned: Sequence[PlannedRung], attempts: Sequence[Attempt]) -> tuple[Rung, ...]:
        """Return *planned* with what is known of each after *attempts*."""
        plain = [
            Rung(rung.name, rung.model.name, rung.cost_usd, prior=DEFAULT_PRIORS[rung.name])
            for rung in planned
        ]
        return rungs_with(self.known, self.kind, plain, attempts)

    async def record(self, attempt: RungAttempt, before: Sequence[RungAttempt]) -> None:
        """Add what the check said of *attempt*, which came after *before*."""
        tried = [Attempt(one.rung, one.passed, one.cost_usd) for one in before]
        rungs = [Rung(one.rung, one.model, one.cost_usd) for one in before]
        after = after_of(rungs, tried)
        made = RungOutcome(
            self.kind, attempt.rung, attempt.model, after, attempt.passed, attempt.cost_usd, time.time()
        )
        self.known.add(made)
        if self.store is not None and self.store.file is not None:
            await asyncio.to_thread(self.store.record, [made])  # others may write, and it waits for them
