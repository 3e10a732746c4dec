"""The processes that worked on a run, and who waited in it for what."""

import attrs

from sunwell.journal.records import Answer, Forked, Held, Paused, Record, RunClosed, RunOpened, RunResumed
from sunwell.journal.worked_time import WorkedTime
from sunwell.report.page.page_data import ProcessEntry, WaitEntry


@attrs.define
class _Process:
    began_at: float
    last_at: float
    taken_over: int = 0
    answers: int = 0
    is_closed: bool = False


@attrs.define(eq=False)
class ProcessTimes:
    """Follows the processes of a run.

    What stands in a run before the record of its fork was done by processes of another run, and does not
    count; its answers are taken over.
    """

    waits: dict[str, WaitEntry] = attrs.field(factory=dict, init=False)
    """By their number."""
    started_at: float | None = attrs.field(default=None, init=False)
    last_at: float | None = attrs.field(default=None, init=False)
    """Time of the latest record that has one."""
    _worked: WorkedTime = attrs.field(factory=WorkedTime, init=False)
    _processes: list[_Process] = attrs.field(factory=list, init=False)
    _answered: set[tuple[str, int]] = attrs.field(factory=set, init=False)
    _is_forking: bool = attrs.field(default=False, init=False)
    """Whether nothing but the beginning of a fork is on record since the copied records."""

    def take(self, record: Record) -> None:
        """Take note of *record*; records come in order."""
        before, at = self.last_at, getattr(record, "at", None)
        at = at if isinstance(at, int | float) else None
        match record:
            case RunOpened() if not self._processes:
                self.started_at = record.at
                self._begin(record.at)
            case Forked():
                self.waits.clear()
                self._processes.clear()
                self._worked = WorkedTime()
                self._begin(record.at)
                self._is_forking = True
            case RunResumed() if not self._is_forking:
                if before is not None and record.at > before:
                    self._wait("", "stopped", before, record.at)
                self._begin(record.at)
            case Answer():
                self._answered.add((record.span, record.number))
                if self._processes:
                    self._processes[-1].answers += 1
            case RunClosed() if self._processes:
                self._processes[-1].is_closed = True
            case Held():
                self._wait(record.span, record.reason, record.at - record.seconds, record.at)
            case Paused():
                self._wait("", record.reason, record.at - record.seconds, record.at)
        if not isinstance(record, Forked):
            self._is_forking = False
        self._worked.see(record)
        if at is not None:
            self.last_at = at
            if self._processes:
                self._processes[-1].last_at = max(at, self._processes[-1].last_at)

    @property
    def worked_seconds(self) -> float:
        """The time in which a process worked on the run, without pauses for people."""
        return self._worked.seconds

    def entries(self) -> tuple[ProcessEntry, ...]:
        """Return the processes in order."""
        latest = len(self._processes) - 1
        return tuple(
            ProcessEntry(
                one.began_at,
                one.last_at,
                "closed" if one.is_closed else "open" if number == latest else "killed",
                one.answers,
                one.taken_over,
            )
            for number, one in enumerate(self._processes)
        )

    def _begin(self, at: float) -> None:
        self._processes.append(_Process(at, at, len(self._answered)))

    def _wait(self, span: str, reason: str, from_at: float, to_at: float) -> None:
        self.waits[str(len(self.waits))] = WaitEntry(span, reason, from_at, to_at)
