"""The outcomes that a run knows of: read once for each kind of task, added to, and kept for later runs."""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import attrs

from sunwell.core.task import Bill, Total
from sunwell.core.threads import in_thread
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import KnownOutcomes, WorkOutcome

_WORK = frozenset({"work", "orchestrate", "closing", "read"})
"""Purposes of calls whose output is that of the work: not the lens, and not what a judge says."""


@attrs.frozen
class SpentOnWork:
    """What a piece of work has come to."""

    cost_usd: Decimal | None
    """Of all its calls; ``None``: a price is unknown."""
    output_tokens: int | None
    """What was written for the work, reasoning left out; ``None``: a call did not report it."""

    @classmethod
    def of(cls, bill: Bill, rung: str | None = None) -> "SpentOnWork":
        """Return what the calls of *bill* come to, or those of one *rung* of a ladder."""
        lines = [line for line in bill.lines if rung is None or line.rung == rung]
        total = Total.of([line.total for line in lines])
        work = Total.of([line.total for line in lines if line.purpose in _WORK])
        is_known = work.calls and not work.uncertain_calls
        output = work.usage.output_tokens - work.usage.reasoning_tokens
        return cls(total.cost_usd, max(0, output) if is_known else None)


@attrs.define(eq=False)
class RunOutcomes:
    """The outcomes of one run, with those of earlier ones.

    A run that keeps none still learns from its own.
    """

    file: Path | None
    """Where they are kept; ``None``: nowhere."""
    warn: Callable[[str], None]
    """Is told in the loop of the run what is wrong with the file."""
    _known: KnownOutcomes = attrs.field(factory=KnownOutcomes, init=False)
    _asked: set[str] = attrs.field(factory=set, init=False)
    _store: OutcomeStore = attrs.field(init=False)
    _said: list[str] = attrs.field(factory=list, init=False)
    """What the store has said in a thread."""
    _reading: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self._store = OutcomeStore(self.file, warn=self._said.append)

    async def of(self, kind: str) -> KnownOutcomes:
        """Return all that is known, after the file was read for *kind*. It goes on growing."""
        async with self._reading:
            if kind not in self._asked:
                self._asked.add(kind)
                if self.file is not None:
                    await in_thread(self._store.read_into, self._known, kind)
                    self._tell()
        return self._known

    async def record(self, outcome: WorkOutcome) -> None:
        """Add *outcome*, and keep it for later runs."""
        (await self.of(outcome.kind)).add(outcome)
        if self.file is not None:
            await in_thread(self._store.record, [outcome])  # others may write, and it waits for them
            self._tell()

    def _tell(self) -> None:
        said, self._said[:] = tuple(self._said), ()
        for sentence in said:
            self.warn(sentence)
