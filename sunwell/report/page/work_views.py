"""The entries of spans, tools, checks, rungs and lenses, as records tell of them."""

import re
from collections.abc import Iterable, Iterator, Mapping

import attrs

from sunwell.budget.tally import upwards
from sunwell.core.lens import EphemeralLens
from sunwell.journal.records import (
    Checked,
    Intent,
    LensWritten,
    RungChosen,
    ToolFinished,
    ToolStarted,
    WorkerOpened,
)
from sunwell.journal.tree import SpanBranch, ToolBranch
from sunwell.report.figures import source_said
from sunwell.report.page.bill_sums import BillSums, ChargeSum
from sunwell.report.page.page_data import (
    CheckEntry,
    LensEntry,
    RungEntry,
    SpanEntry,
    SpanKind,
    TextId,
    ToolEntry,
)
from sunwell.report.page.page_texts import PageTexts
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


@attrs.define(eq=False)
class ToolView:
    """One run of a tool. Its branch has the rules of what is kept and what has failed."""

    span: str
    turn: int
    index: int
    branch: ToolBranch
    arguments: TextId = ""
    result: TextId = ""
    files: tuple[str, ...] = ()
    exit_code: int | None = None
    _entry: ToolEntry | None = attrs.field(default=None, init=False)

    def start(self, record: ToolStarted, texts: PageTexts) -> None:
        """Take note that it is about to run."""
        self.arguments, self._entry = texts.add(record.call.arguments), None
        self.files = tuple(change.path for change in record.changes)

    def finish(self, record: ToolFinished, texts: PageTexts) -> None:
        """Take note of its result."""
        self.result, self._entry = texts.add(record.result.content), None
        self.files = tuple(change.path for change in record.result.changes)
        self.exit_code = record.result.exit_code

    def touch(self) -> None:
        """Have the entry made again, since its branch has changed."""
        self._entry = None

    @property
    def has_failed(self) -> bool:
        """Whether it ran here and failed."""
        done = self.branch.finished
        return done is not None and done.result.is_error and not self.branch.is_kept

    def entry(self) -> ToolEntry:
        """Return the entry; it is made again only if something has changed."""
        if self._entry is None:
            node, done = self.branch.node(self.span, 0), self.branch.finished
            self._entry = ToolEntry(
                self.span,
                self.turn,
                self.index,
                self.branch.name,
                self.branch.subject or "",
                self.arguments,
                self.result,
                str(node.status),
                node.started_at,
                None if done is None or self.branch.is_kept else done.duration_seconds,
                self.files,
                self.exit_code,
            )
        return self._entry


def check_entry(record: Checked, texts: PageTexts) -> CheckEntry:
    """Return what checks found as a page shows it."""
    return CheckEntry(
        record.span,
        record.number,
        record.by,
        record.missed,
        record.passed,
        texts.add(record.evidence),
        record.cost_usd,
        max(0.0, record.at - record.duration_seconds),
        record.duration_seconds,
    )


_CHECK = re.compile(r"check-\d+")


@attrs.define(eq=False)
class RungViews:
    """Takes the choices of rungs in order, and labels the spans below them as the bill does."""

    texts: PageTexts
    _entries: dict[str, RungEntry] = attrs.field(factory=dict, init=False)
    """Without costs."""
    _labels: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    """The span that climbs and the rung, by the span whose calls belong to it."""
    _latest: dict[str, str] = attrs.field(factory=dict, init=False)

    def take(self, record: RungChosen) -> None:
        """Take note of a choice."""
        self._entries[f"{record.span}:{record.number}"] = RungEntry(
            record.span,
            record.number,
            record.rung,
            record.model,
            self.texts.add(record.reason),
            record.cost_usd,
            None,
            record.at,
        )
        if record.rung:
            self._labels[f"{record.span}/{record.rung}"] = (record.span, record.rung)
            self._latest[record.span] = record.rung

    def of(self, span: str) -> tuple[str, str]:
        """Return the span that climbs and the rung that the calls of *span* belong to; empty: none."""
        if not self._latest:
            return "", ""
        for path in upwards(span):
            above, _, last = path.rpartition("/")
            if path not in self._labels and above in self._latest and _CHECK.fullmatch(last):
                self._labels[path] = (above, self._latest[above])  # the rung pays for the calls of its check
            if path in self._labels:
                return self._labels[path]
        return "", ""

    def entries(self, sums: BillSums) -> dict[str, RungEntry]:
        """Return the steps; *sums* has what they cost."""
        return {
            key: attrs.evolve(one, usd=sums.of_rung(one.span, one.rung).usd)
            for key, one in self._entries.items()
        }


_PARTS = ("heuristics", "patterns", "anti_patterns", "constraints", "examples")
_GIVEN = "run"


@attrs.define(eq=False)
class LensViews:
    """Takes what says of lenses and of those who work under them."""

    texts: PageTexts
    _lenses: dict[str, LensEntry] = attrs.field(factory=dict, init=False)
    """Without readers and costs."""
    _asked: dict[str, None] = attrs.field(factory=dict, init=False)
    """Spans whose model was asked to work."""
    _workers: dict[str, None] = attrs.field(factory=dict, init=False)

    def give(self, lens: EphemeralLens, left_out: Iterable[str]) -> None:
        """Take note of the *lens* that the run was given."""
        self._lenses[_GIVEN] = self._entry(_GIVEN, lens, left_out)

    def write(self, record: LensWritten) -> None:
        """Take note of a lens that was written."""
        entry = self._entry(record.span, record.lens, record.left_out)
        self._lenses[record.span] = attrs.evolve(entry, origin=source_said(record.source))

    def ask(self, record: Intent) -> None:
        """Take note of who is asked."""
        if record.purpose == "work":
            self._asked[record.span] = None

    def open(self, record: WorkerOpened) -> None:
        """Take note of a worker."""
        self._workers[record.span] = None

    def entries(self, sums: BillSums) -> Mapping[str, LensEntry]:
        """Return the lenses by span; *sums* has what they cost to write."""
        return {
            span: attrs.evolve(
                lens,
                readers=tuple(self._readers(span)),
                usd=None if span == _GIVEN else sums.of_span(span).usd,
            )
            for span, lens in self._lenses.items()
        }

    def _readers(self, span: str) -> Iterator[str]:
        """Yield the spans whose prompts have the lens of *span*: work beside it, and workers of its task."""
        is_given = span == _GIVEN
        base = _GIVEN if is_given else span.rpartition("/")[0]
        if f"{base}/work" in self._asked:
            yield f"{base}/work"
        if is_given:  # the first steps of a ladder work under it, the others do not
            yield from (path for path in _first_steps(f"{base}/work") if path in self._asked)
        for worker in self._workers:
            if worker.rpartition("/")[0] not in (base, f"{base}/orchestrator"):
                continue
            yield from (path for path in (worker, *_first_steps(worker)) if path in self._asked)

    def _entry(self, span: str, lens: EphemeralLens, left_out: Iterable[str]) -> LensEntry:
        parts = ((name, tuple(map(self.texts.add, getattr(lens, name)))) for name in _PARTS)
        said: tuple[TextId, ...] = tuple(map(self.texts.add, left_out))
        given = tuple((name, items) for name, items in parts if items)
        return LensEntry(span, lens.generated_by, lens.task_scope, given, lens.target_files, said, (), None)


def _first_steps(span: str) -> tuple[str, ...]:
    return f"{span}/cheap", f"{span}/cheap_again"
