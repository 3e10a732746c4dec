"""The reducer: records of a run in, the data of its page out, at any moment."""

from decimal import Decimal
from pathlib import Path

import attrs

from sunwell.journal.folders import FOLDER
from sunwell.journal.power import boot_id, missing_calls
from sunwell.journal.reading import Repair
from sunwell.journal.records import Record, RunOpened, RunResumed, Unknown
from sunwell.models.prices import PriceBook
from sunwell.report.lens_test_text import lens_test_sentence
from sunwell.report.page.file_view import DiffOf, FileViews
from sunwell.report.page.page_data import (
    CallEntry,
    JournalHealth,
    PageData,
    RunCost,
    RunHead,
    ShellStep,
    SmartAlone,
    SpanEntry,
)
from sunwell.report.page.page_texts import PageTexts
from sunwell.report.page.process_times import ProcessTimes
from sunwell.report.page.run_facts import RunFacts
from sunwell.report.page.run_work import RunWork
from sunwell.report.page.shell_steps import RunState, shell_steps
from sunwell.report.page.token_prices import TokenPrices
from sunwell.report.summary import compare_bill
from sunwell.report.verdict_text import verdict_sentence

_ROOT = "run"
_FORKED = ("lens", "work", "orchestrate")
"""Purposes of calls from which it makes sense to begin anew."""


@attrs.define(eq=False)
class RunView:
    """Takes the records of a journal in their order, and gives what a page shows of the run so far.

    To take a record takes the same time however many there were, but for those with which a process or a
    fork begins. :meth:`data` takes time in proportion to what there is to show.
    """

    journal: str | Path = ""
    """The file, to be named on the page."""
    prices: PriceBook | None = None
    """Prices by which costs are explained; ``None``: those of the installed table on the day of each call."""
    diff_of: DiffOf | None = None
    """Shows what changed in a file; ``None``: no diffs are shown."""
    is_foreign: bool = False
    """Whether the run was not started by this user on this machine."""
    _texts: PageTexts = attrs.field(factory=PageTexts, init=False)
    _times: ProcessTimes = attrs.field(factory=ProcessTimes, init=False)
    _facts: RunFacts = attrs.field(init=False)
    _prices: TokenPrices = attrs.field(init=False)
    _work: RunWork = attrs.field(init=False)
    _records: int = attrs.field(default=0, init=False)
    _unknown: int = attrs.field(default=0, init=False)
    _torn_bytes: int = attrs.field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._facts = RunFacts(self._texts)
        self._prices = TokenPrices(self.prices)
        self._work = RunWork(self._texts, self._prices, FileViews(self.diff_of))

    def take(self, record: Record) -> None:
        """Take note of *record*.

        Raises :exc:`~sunwell.errors.JournalError` for work that is nested deeper than that of any run.
        """
        self._records += 1
        self._unknown += isinstance(record, Unknown)
        self._times.take(record)
        self._facts.take(record)
        self._work.take(record)
        if isinstance(record, RunOpened | RunResumed):
            self._take_given_lens()
        self._work.money.mark(self._times.last_at or 0.0)

    def torn(self, repair: Repair | None) -> None:
        """Take note of what stands after the last good record; ``None``: nothing."""
        self._torn_bytes = 0 if repair is None else repair.dropped_bytes

    def data(self) -> PageData:
        """Return what a page shows of all records so far."""
        losses = self._work.branches.losses
        # For this page only: what is known of the latest process may change with the next record.
        self._work.charge_missing(losses.until(boot_id()))
        try:
            return self._data()
        finally:
            self._work.charge_missing(losses.lost)

    def _data(self) -> PageData:
        work = self._work
        calls = {key: call.entry() for key, call in work.calls.items()}
        files, diffs = work.files.entries(work.file_conflicts)
        return PageData(
            head=self._head(),
            cost=self._cost(calls),
            bill=work.sums.tables(),
            health=JournalHealth(
                str(self.journal), self._records, self._torn_bytes, self._unknown, self._times.entries()
            ),
            reproduce=self._reproduce(calls),
            spans={_ROOT: self._root_span(tuple(files)), **work.entries()},
            calls=calls,
            tools={key: tool.entry() for key, tool in work.tools.items()},
            checks=dict(work.checks),
            rungs=work.rungs.entries(work.sums),
            waits=dict(self._times.waits),
            money=work.money.blocks(),
            prefixes=work.prefixes.entries(),
            lenses=work.lenses.entries(work.sums),
            files=files,
            texts={**self._texts.shown, **diffs},
        )

    def _take_given_lens(self) -> None:
        options = self._facts.options
        if options is not None and options.lens is not None:
            left_out = self._facts.settings.get("lens_left_out")
            said = left_out if isinstance(left_out, list) else []
            self._work.lenses.give(options.lens, [one for one in said if isinstance(one, str)])

    @property
    def _status(self) -> str:
        return "open" if self._facts.end is None else self._facts.end.status

    def _head(self) -> RunHead:
        facts, end, usd = self._facts, self._facts.end, self._work.sums.whole.usd
        version = facts.settings.get("version")
        unresolved = [name for said in self._work.unresolved.values() for name in said]
        notices = (
            *(unresolved if end is None else end.unresolved),
            *(self._texts.add(missing_calls(lost)) for lost in self._work.missing),
            *facts.left_behind,
            facts.sandbox,
            facts.doubt,
        )
        return RunHead(
            run_id=facts.run_id,
            task=facts.task_id,
            status=self._status,
            stop_reason="" if end is None else end.stop_reason,
            error="" if end is None else end.error,
            answer="" if end is None else end.answer,
            answer_by="" if end is None else end.answer_by,
            started_at=self._times.started_at or 0.0,
            seconds=self._times.worked_seconds if end is None else end.seconds,
            models=facts.models,
            workspace=facts.workspace,
            version=version if isinstance(version, str) else "",
            verdict="" if end is None else verdict_sentence(end.verification, usd),
            verified=None if end is None or end.verification is None else end.verification.passed,
            delegation=facts.delegation,
            lens_test="" if end is None or end.lens_test is None else lens_test_sentence(end.lens_test),
            notices=tuple(name for name in dict.fromkeys(notices) if name),
            continues=facts.continues,
            forked_from=facts.forked_from,
            foreign=self.is_foreign,
        )

    def _root_span(self, files: tuple[str, ...]) -> SpanEntry:
        head, whole, root = self._head(), self._work.sums.whole, self._work.root()
        branch = self._work.branches.branch(_ROOT, 0)
        return SpanEntry(
            parent="",
            kind="run",
            name=_ROOT,
            task=head.task,
            model=branch.model or "",
            status=head.status,
            stop_reason=head.stop_reason,
            error=head.error,
            report=head.answer,
            depth=0,
            started_at=head.started_at,
            seconds=head.seconds,
            usd=whole.usd,
            unconfirmed_usd=whole.unconfirmed_usd,
            tokens=whole.tokens,
            calls=whole.calls,
            failures=root.failures,
            files=files,
            verified=head.verified,
            verdict=head.verdict,
        )

    def _cost(self, calls: dict[str, CallEntry]) -> RunCost:
        whole, work, options = self._work.sums.whole, self._work, self._facts.options
        own = [call for call in calls.values() if call.status != "kept"]
        attempts = [len(call.attempts) for call in own]
        return RunCost(
            usd=whole.usd,
            unconfirmed_usd=whole.unconfirmed_usd,
            reserved_usd=work.reserved_usd,
            closing_usd=work.money.closing_usd,
            cap_usd=None if options is None else options.budget.usd,
            lost_usd=whole.lost_usd,
            tokens=whole.tokens,
            calls=whole.calls,
            attempts=sum(attempts),
            failed=sum(call.status == "failed" for call in own),
            refused=sum(call.status == "refused" for call in own),
            retried=sum(max(0, count - 1) for count in attempts),
            paid_twice=work.paid_twice,
            alone=self._alone(),
            estimate=self._facts.expected,
            price_date=self._facts.quote.price_date if self._facts.quote else "",
        )

    def _alone(self) -> SmartAlone | None:
        """Return the comparison with the smart model alone, as the summary of a result makes it.

        What is saved is said once the work has ended: the lens is paid before it.
        """
        if not self._facts.is_delegated:
            return None
        prices = self._prices.book(self._times.started_at or 0.0)
        found = compare_bill(self._work.sums.bill(), prices)
        if found is None:
            return None
        is_over = self._status not in ("open", "cancelled")
        share: Decimal | None = found.saved_share if is_over else None
        return SmartAlone(
            found.smart_model,
            found.estimated_usd,
            found.saved_usd if is_over else None,
            None if share is None else float(share),
            found.basis,
        )

    @property
    def _place(self) -> str:
        """The workspace in which the journal lies, which may not be where the run began; empty: in none."""
        above = Path(self.journal).absolute().parents if self.journal else ()
        return str(above[3]) if len(above) > 3 and above[2].name == FOLDER else ""

    def _reproduce(self, calls: dict[str, CallEntry]) -> tuple[ShellStep, ...]:
        facts = self._facts
        answered = [
            key for key, call in calls.items() if call.status == "answered" and call.purpose in _FORKED
        ]
        is_single = not any(facts.settings.get(part) for part in ("batch", "lens_only"))
        at = "" if not answered else answered[0 if self._status == "ok" else -1]
        return shell_steps(
            RunState(
                facts.run_id,
                self._place or ("" if self.is_foreign else facts.workspace),
                facts.task,
                self._status,
                facts.settings,
                facts.options,
                self._work.has_changed_files,
                is_single,
                at,
                self.is_foreign,
            )
        )
