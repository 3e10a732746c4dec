"""The lenses of a run, and who read them."""

from collections.abc import Iterable, Iterator, Mapping

import attrs

from sunwell.core.lens import EphemeralLens
from sunwell.journal.records import Intent, LensWritten, WorkerOpened
from sunwell.report.page.bill_sums import BillSums
from sunwell.report.page.page_data import LensEntry, TextId
from sunwell.report.page.page_texts import PageTexts

_PARTS = ("heuristics", "patterns", "anti_patterns", "constraints", "examples")
_ROOT = "run"


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
        self._lenses[_ROOT] = self._entry(_ROOT, lens, left_out)

    def write(self, record: LensWritten) -> None:
        """Take note of a lens that was written."""
        self._lenses[record.span] = self._entry(record.span, record.lens, record.left_out)

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
                usd=None if span == _ROOT else sums.of_span(span).usd,
            )
            for span, lens in self._lenses.items()
        }

    def _readers(self, span: str) -> Iterator[str]:
        """Yield the spans whose prompts have the lens of *span*: work beside it, and workers of its task."""
        is_given = span == _ROOT
        base = _ROOT if is_given else span.rpartition("/")[0]
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
