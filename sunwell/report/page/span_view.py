"""One span as records tell of it: its figures, and its entry on a page."""

import attrs

from sunwell.journal.tree import SpanBranch
from sunwell.report.page.bill_sums import ChargeSum
from sunwell.report.page.page_data import SpanEntry, SpanKind, TextId
from sunwell.report.verdict_text import verdict_sentence


@attrs.frozen
class SpanPlace:
    """Where a span stands among the others."""

    parent: str
    kind: SpanKind
    depth: int
    name: str


@attrs.define(eq=False)
class SpanView:
    """What is known of a span besides its branch, all below it included."""

    path: str
    task: TextId = ""
    error: TextId = ""
    report: TextId = ""
    unresolved: tuple[TextId, ...] = ()
    failures: int = 0
    files: dict[str, None] = attrs.field(factory=dict)
    made: tuple[SpanPlace, SpanEntry] | None = None
    """Its entry, with the place for which it was made; ``None``: it has changed."""
    _start: float | None = None
    _end: float | None = None

    def cover(self, from_at: float, to_at: float) -> None:
        """Have it last at least from one time to another."""
        self._start = from_at if self._start is None else min(from_at, self._start)
        self._end = to_at if self._end is None else max(to_at, self._end)

    def forget(self) -> None:
        """Forget what another run did and how long it took; the files are as it left them."""
        self.failures, self._start, self._end, self.made = 0, None, None, None

    @property
    def started_at(self) -> float | None:
        """When it began, in seconds since 1970; ``None``: nothing in it has a time."""
        return self._start

    def lasted(self, pauses: list[tuple[float, float]]) -> float | None:
        """Return how long it lasted, in seconds, without *pauses* between processes."""
        if self._start is None or self._end is None:
            return None
        idle = sum(max(0.0, min(self._end, until) - max(self._start, since)) for since, until in pauses)
        return max(0.0, self._end - self._start - idle)


def span_entry(
    view: SpanView,
    branch: SpanBranch,
    place: SpanPlace,
    total: ChargeSum,
    pauses: list[tuple[float, float]],
    conflicts: tuple[TextId, ...],
) -> SpanEntry:
    """Return the entry of a worker or a part; *total* is what it and all below it were charged."""
    closed = branch.closed if place.kind == "worker" else None
    found = None if closed is None else closed.verification
    return SpanEntry(
        parent=place.parent,
        kind=place.kind,
        name=place.name,
        task=view.task if place.kind == "worker" else "",
        model=branch.model or "",
        status=(branch.status or "") if place.kind == "worker" else "",
        stop_reason=closed.stop_reason if closed else "",
        error=view.error,
        report=view.report,
        depth=place.depth,
        started_at=view.started_at,
        seconds=view.lasted(pauses) if closed is None else closed.duration_ms / 1000,
        usd=total.usd,
        unconfirmed_usd=total.unconfirmed_usd,
        tokens=total.tokens,
        calls=total.calls,
        failures=view.failures,
        files=tuple(view.files),
        conflicts=conflicts,
        unresolved=view.unresolved,
        verified=None if found is None else found.passed,
        verdict="" if found is None else verdict_sentence(found, total.usd),
    )
