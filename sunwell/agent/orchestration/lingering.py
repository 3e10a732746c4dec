"""How long whoever waits for some reports is kept for those that follow."""

from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol

import attrs

from sunwell.agent.orchestration.reports import fitting
from sunwell.agent.policy.cache_planner import USD_PER_WAITING_SECOND
from sunwell.agent.run.run_context import Run
from sunwell.core.span import Span
from sunwell.core.task import TaskResult

LONGEST_SECONDS = 30.0
"""Whoever waits for the next report is not kept longer for further ones, however dear its turns are."""
LONGEST_QUEUED_SECONDS = 120.0
"""The same while tasks wait in the queue."""
_SHARE_OF_TIME_LEFT = 0.05


class OwnWorkers(Protocol):
    """The workers that one piece of work has started."""

    def at_work(self) -> tuple[int, int]:
        """Return how many are running, and how many wait until one of the workers that run is done."""
        ...

    def unread(self) -> Sequence[TaskResult]:
        """Return the results that were not given yet."""
        ...

    def results(self) -> Sequence[TaskResult]:
        """Return the results that are there."""
        ...


@attrs.frozen
class Lingering:
    """Keeps the work at ``span`` waiting for further reports when it could go on.

    Each report that comes meanwhile saves it a turn, which takes time and reads its whole conversation again.
    So it waits as long as a turn takes, and as what it costs is worth. If every worker that may run is
    running and more tasks wait in the queue, an earlier turn starts nothing earlier, and a second costs no
    more than what the workers spend in it: that is all that an earlier look at their reports could save.
    Otherwise, a second is worth :data:`~sunwell.agent.policy.cache_planner.USD_PER_WAITING_SECOND`.
    """

    run: Run
    span: Span
    workers: OwnWorkers
    report_characters: int

    def most_seconds(self) -> float:
        """Return how long it is kept at most, as things stand now; 0 if the cost of a turn is unknown."""
        usd, seconds = self.run.gateway.next_turn(self.span)
        if usd is None:
            return 0.0
        running, queued = self.workers.at_work()
        most = LONGEST_QUEUED_SECONDS if queued else LONGEST_SECONDS
        left = self.run.ledger.seconds_left(self.span.path)
        if left is not None:
            most = min(most, left * _SHARE_OF_TIME_LEFT)
        rate = self._spent_in_a_second(running) if queued else USD_PER_WAITING_SECOND
        return min(seconds + float(usd / rate), most) if rate else most

    def has_enough(self) -> bool:
        """Whether further reports can wait: one failed, or those that are here fill a tool result."""
        unread = self.workers.unread()
        is_full = len(fitting(unread, self.report_characters)) < len(unread)
        return is_full or not all(one.success for one in unread)

    def _spent_in_a_second(self, running: int) -> Decimal:
        """Return what *running* workers spend in a second, if they spend as those that are done."""
        done = self.workers.results()
        usd, seconds = _all_usd(done), sum(one.duration_seconds for one in done)
        if usd is None or seconds <= 0:
            return USD_PER_WAITING_SECOND
        return min(usd / Decimal(str(seconds)) * running, USD_PER_WAITING_SECOND)


def _all_usd(results: Sequence[TaskResult]) -> Decimal | None:
    costs = [one.bill.cost_usd for one in results]
    known = [cost for cost in costs if cost is not None]
    return sum(known, Decimal(0)) if len(known) == len(costs) else None
