"""The work of a run as records tell of it: calls, tools, checks, workers, files, and their sums."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from sunwell.budget.tally import upwards
from sunwell.core.message import Thinking, ToolResult
from sunwell.core.model import Completion
from sunwell.core.task import Conflict
from sunwell.errors import BudgetExhausted
from sunwell.journal.records import (
    Answer,
    Checked,
    Failure,
    Forked,
    Intent,
    Leeway,
    LensWritten,
    Note,
    Record,
    Refused,
    RunClosed,
    RungChosen,
    RunOpened,
    RunResumed,
    ToolFinished,
    ToolStarted,
    WorkerClosed,
    WorkerOpened,
)
from sunwell.journal.tree import RunBranches
from sunwell.memory.scratchpad import IDS_NOTE, TaskIds
from sunwell.report.page.bill_sums import BillSums, Charge
from sunwell.report.page.call_view import CallTexts, CallView
from sunwell.report.page.file_view import FileViews
from sunwell.report.page.money_points import CallMoney, MoneyPoints
from sunwell.report.page.page_data import CheckEntry, SpanEntry, SpanKind, TextId
from sunwell.report.page.page_texts import PageTexts
from sunwell.report.page.prefix_view import SharedPrefixes
from sunwell.report.page.token_prices import TokenPrices
from sunwell.report.page.work_views import (
    LensViews,
    RungViews,
    SpanPlace,
    SpanView,
    ToolView,
    check_entry,
    span_entry,
)
from sunwell.report.worker_entries import worker_id

_ROOT = "run"
_FAILED = frozenset({"failed", "refused"})
_CallRecord = Intent | Answer | Failure | Refused


@attrs.define(eq=False)
class RunWork:
    """Takes the records of a journal in their order.

    To take one takes the same time however many there were, but for those with which a process begins or
    ends. Texts are cut as they come: a long one is not kept.
    """

    texts: PageTexts
    prices: TokenPrices
    files: FileViews
    branches: RunBranches = attrs.field(factory=RunBranches, init=False)
    sums: BillSums = attrs.field(factory=BillSums, init=False)
    money: MoneyPoints = attrs.field(factory=MoneyPoints, init=False)
    prefixes: SharedPrefixes = attrs.field(factory=SharedPrefixes, init=False)
    rungs: RungViews = attrs.field(init=False)
    lenses: LensViews = attrs.field(init=False)
    calls: dict[str, CallView] = attrs.field(factory=dict, init=False)
    tools: dict[str, ToolView] = attrs.field(factory=dict, init=False)
    checks: dict[str, CheckEntry] = attrs.field(factory=dict, init=False)
    file_conflicts: dict[str, dict[TextId, None]] = attrs.field(factory=dict, init=False)
    """By path."""
    unresolved: dict[str, tuple[TextId, ...]] = attrs.field(factory=dict, init=False)
    """Of workers that have ended, by span."""
    paid_twice: int = attrs.field(default=0, init=False)
    """Answers to a request that had been answered in the same place."""
    has_changed_files: bool = attrs.field(default=False, init=False)
    """Whether a tool changed a file in this run, and not only in one that it was copied from."""
    missing: tuple[Leeway, ...] = attrs.field(default=(), init=False)
    """What the record may lack."""
    _count: int = attrs.field(default=0, init=False)
    _under_way: dict[str, CallView] = attrs.field(factory=dict, init=False)
    """Calls with an attempt that waits for an answer."""
    _asking: dict[tuple[str, str], CallView] = attrs.field(factory=dict, init=False)
    """The call whose answer called a tool, by its span and the id of the tool's call."""
    _spans: dict[str, SpanView] = attrs.field(factory=dict, init=False)
    """Also of paths that have spans below them and no records of their own: one may follow."""
    _failing: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    """Kinds and keys of what failed."""
    _ids: TaskIds | None = attrs.field(default=None, init=False)
    _workers: dict[str, str] = attrs.field(factory=dict, init=False)
    """Spans of workers by the ids by which conflicts name them."""
    _conflicts: dict[str, dict[TextId, None]] = attrs.field(factory=dict, init=False)
    """By the worker's span."""

    def __attrs_post_init__(self) -> None:
        self.rungs, self.lenses = RungViews(self.texts), LensViews(self.texts)

    def take(self, record: Record) -> None:
        """Take note of *record*.

        Raises :exc:`~sunwell.errors.JournalError` for work that is nested deeper than that of any run.
        """
        order, self._count = self._count, self._count + 1
        slim = _without_texts(record)
        self.branches.take(slim, order)
        match record:
            case Intent() | Answer() | Failure() | Refused():
                self._take_call(record, slim)
            case ToolStarted():
                self._start_tool(record)
            case ToolFinished():
                self._finish_tool(record)
            case Checked():
                self._check(record)
            case WorkerOpened():
                self._open_worker(record)
            case WorkerClosed():
                self._close_worker(record)
            case RungChosen():
                self.branches.branch(record.span, order)
                self.rungs.take(record)
                self._cover(record.span, record.at, record.at)
            case LensWritten():
                self.lenses.write(record)
            case Note():
                self._note(record)
            case Forked():
                self._begin_anew()
            case RunOpened() | RunResumed() | RunClosed():
                self._end_process()

    # Calls

    def _take_call(self, record: _CallRecord, slim: Record) -> None:
        span, key = record.span, f"{record.span}:{record.number}"
        call = self.calls.get(key)
        if call is None:
            branch = self.branches.branches[span].calls[record.number]
            climber, rung = self.rungs.of(span)
            call = self.calls[key] = CallView(span, branch, rung, climber)
        call.take(slim)
        match record:
            case Intent():
                self.lenses.ask(record)
                if record.closing_usd is not None:
                    self.money.closing_usd = record.closing_usd
            case Answer():
                if not record.remembered:
                    self.paid_twice += call.answer_again(record.digest)
                self._tell(call, record.completion)
            case Failure():
                call.details[record.attempt] = self.texts.add(record.detail)
                if record.completion is not None:
                    self._tell(call, record.completion)
            case Refused():
                numbers = (record.limit, record.needed, record.used, record.ceiling, record.account)
                said = str(BudgetExhausted(*numbers, record.detail))
                call.texts = attrs.evolve(call.texts, refusal=self.texts.add(said))
        self._charge(call)
        if isinstance(record, Answer):
            self.prefixes.answer(record, call.rates)
        if not isinstance(record, Refused):
            self._cover(span, record.at, record.at)
        failed = call.branch.status in _FAILED and not call.branch.is_kept
        self._fail(("call", key), span, has_failed=failed)

    def _tell(self, call: CallView, completion: Completion) -> None:
        thinking = "\n\n".join(part.text for part in completion.parts if isinstance(part, Thinking))
        call.texts = CallTexts(self.texts.add(completion.text), self.texts.add(thinking), call.texts.refusal)
        call.asked_for.clear()
        for asked in completion.tool_calls:
            self._asking[call.span, asked.id] = call

    def _charge(self, call: CallView) -> None:
        """Bring the sums in step with *call*."""
        depth = self.branches.branches[call.span].depth or 0
        charges, money = call.charges_now(self.prices, depth), call.money_now()
        if charges != call.charges:
            self.sums.replace(call.span, call.charges, charges)
            call.charges = charges
        if money != call.money:
            self.money.change(call.money, money)
            call.money = money
        if call.under_way:
            self._under_way[call.key] = call
        else:
            self._under_way.pop(call.key, None)
        self._change(call.span)

    @property
    def reserved_usd(self) -> Decimal | None:
        """What is reserved for attempts under way; ``None``: a price is unknown."""
        for call in self._under_way.values():
            if any(call.branch.intents[one].reserved_usd is None for one in call.under_way):
                return None
        return self.money.reserved_usd

    # Tools and checks

    def _start_tool(self, record: ToolStarted) -> None:
        tool, key = self._tool(record)
        tool.start(record, self.texts)
        asking = self._asking.get((record.span, record.call.id))
        if asking is not None and key not in asking.asked_for:
            asking.asked_for.append(key)
            asking.touch()
        self._change(record.span)

    def _finish_tool(self, record: ToolFinished) -> None:
        tool, key = self._tool(record)
        tool.finish(record, self.texts)
        changes = record.result.changes
        self.has_changed_files = self.has_changed_files or bool(changes)
        self.files.take(record.span, changes)
        for path in upwards(record.span):
            self._span(path).files.update((change.path, None) for change in changes)
        started = tool.branch.started_at
        if started is not None:
            self._cover(record.span, started, started + record.duration_seconds)
        self._fail(("tool", key), record.span, has_failed=tool.has_failed)
        self._change(record.span)

    def _tool(self, record: ToolStarted | ToolFinished) -> tuple[ToolView, str]:
        key = f"{record.span}:{record.turn}:{record.index}"
        if key not in self.tools:
            branch = self.branches.branches[record.span].tools[record.turn, record.index]
            self.tools[key] = ToolView(record.span, record.turn, record.index, branch)
        return self.tools[key], key

    def _check(self, record: Checked) -> None:
        key = f"{record.span}:{record.number}"
        self.checks[key] = check_entry(record, self.texts)
        self._fail(("check", key), record.span, has_failed=record.passed is False)
        self._cover(record.span, max(0.0, record.at - record.duration_seconds), record.at)

    # Workers and spans

    def _open_worker(self, record: WorkerOpened) -> None:
        self.lenses.open(record)
        self.prefixes.open(record)
        self._workers[worker_id(record.span, self._ids)] = record.span
        view = self._span(record.span)
        view.task = self.texts.add(record.query)
        view.error, view.report, view.unresolved = "", "", ()
        self.unresolved.pop(record.span, None)
        self._cover(record.span, record.at, record.at)

    def _close_worker(self, record: WorkerClosed) -> None:
        view = self._span(record.span)
        view.task, view.error = self.texts.add(record.query), self.texts.add(record.error)
        view.report = self.texts.add(record.answer)
        view.unresolved = tuple(map(self.texts.add, record.unresolved))
        name = _last(record.span)
        said = tuple(self.texts.add(f"{name}: {sentence}") for sentence in record.unresolved)
        self.unresolved[record.span] = said
        for met in record.conflicts:
            self._conflict(met)
        self._cover(record.span, record.at, record.at)

    def _conflict(self, met: Conflict) -> None:
        """Take note of a conflict for its file and both workers, whom it names as a terminal does."""
        spans = [self._workers[one] for one in (met.first, met.second) if one in self._workers]
        what = met.what
        for one in (met.first, met.second):
            if one in self._workers:
                what = what.replace(one, _last(self._workers[one]))
        name = self.texts.add(what)
        self.file_conflicts.setdefault(met.path, {})[name] = None
        for span in spans:
            self._conflicts.setdefault(span, {})[name] = None
            self._change(span)

    def _note(self, record: Note) -> None:
        if record.name == IDS_NOTE:
            self._ids = TaskIds.from_json(record.value)
        elif record.name == "query" and isinstance(record.value, str):
            self._span(record.span).task = self.texts.add(record.value)
            self._change(record.span)
        self.prefixes.plan(record)

    def _span(self, path: str) -> SpanView:
        view = self._spans.get(path)
        if view is None:
            view = self._spans[path] = SpanView(path)
            if path in self.branches.branches:
                asked = self.branches.asked(path).get("query")
                view.task = self.texts.add(asked) if isinstance(asked, str) else ""
        return view

    def _change(self, span: str) -> None:
        for path in upwards(span):
            self._span(path).made = None

    def _cover(self, span: str, from_at: float, to_at: float) -> None:
        for path in upwards(span):
            view = self._span(path)
            view.cover(from_at, to_at)
            view.made = None

    def _fail(self, what: tuple[str, str], span: str, *, has_failed: bool) -> None:
        """Count *what* as failed in *span* and above it, or no longer."""
        if has_failed is (what in self._failing):
            return
        (self._failing.add if has_failed else self._failing.discard)(what)
        for path in upwards(span):
            view = self._span(path)
            view.failures += 1 if has_failed else -1
            view.made = None

    def root(self) -> SpanView:
        """Return what is known of the whole run as a span."""
        return self._span(_ROOT)

    def entries(self) -> dict[str, SpanEntry]:
        """Return all spans but the root, in the order in which they began, parents before children."""
        parents, depths = self.branches.shape()
        branches = self.branches.branches
        waiting = sorted(parents, key=lambda path: branches[path].order, reverse=True)
        made: dict[str, SpanEntry] = {}
        while waiting:
            path = waiting[-1]
            parent = parents[path]
            if parent != _ROOT and parent not in made:
                waiting.append(parent)
                continue
            waiting.pop()
            if path not in made:
                kind: SpanKind = "worker" if depths[path] > depths[parent] else "part"
                made[path] = self._entry(SpanPlace(parent, kind, depths[path], _last(path)), path)
        return made

    def _entry(self, place: SpanPlace, path: str) -> SpanEntry:
        view = self._span(path)
        if view.made is None or view.made[0] != place:
            conflicts = tuple(self._conflicts.get(path, ()))
            branch, total = self.branches.branches[path], self.sums.of_span(path)
            view.made = (place, span_entry(view, branch, place, total, self.branches.pauses, conflicts))
        return view.made[1]

    # Processes

    def charge_missing(self, lost: Sequence[Leeway]) -> None:
        """Charge what may be missing from the record, in place of what was charged for that before."""
        before, after = self.missing, tuple(lost)
        if before != after:
            self.sums.replace(_ROOT, _charges(before), _charges(after))
            self.money.change(
                *(
                    CallMoney(unconfirmed_usd=sum((one.usd for one in each), Decimal(0)))
                    for each in (before, after)
                )
            )
            self.missing = after

    def _end_process(self) -> None:
        """Take note that nobody waits any more for what was under way: it may be billed."""
        for call in list(self._under_way.values()):
            call.die()
            self._charge(call)
        self.charge_missing(self.branches.losses.lost)
        if self.money.closing_usd is not None:
            self.money.closing_usd = Decimal(0)
        for view in self._spans.values():  # pauses between processes do not count
            view.made = None

    def _begin_anew(self) -> None:
        """Take note that another run has paid for all that was done so far."""
        self.charge_missing(())
        for call in self.calls.values():
            self.sums.replace(call.span, call.charges, ())
            call.charges, call.money = (), CallMoney()
            call.touch()
        for tool in self.tools.values():
            tool.touch()
        for view in self._spans.values():
            view.forget()
        self._under_way.clear()
        self._failing.clear()
        self.prefixes.forget()
        self.money = MoneyPoints()
        self.paid_twice, self.has_changed_files = 0, False


def _charges(lost: Sequence[Leeway]) -> tuple[Charge, ...]:
    return tuple(
        Charge(
            each.model,
            each.provider,
            each.purpose,
            0,
            unconfirmed_usd=each.usd,
            unconfirmed_tokens=each.tokens,
            unconfirmed_calls=each.calls,
        )
        for each in lost
    )


def _last(span: str) -> str:
    """Return how a terminal calls *span*."""
    return span.rpartition("/")[2].replace("%2F", "/").replace("%25", "%")


def _without_texts(record: Record) -> Record:
    """Return *record* without what may be long and is shown in another way; the rest is kept for long."""
    match record:
        case Answer():
            return attrs.evolve(record, completion=_without_parts(record.completion))
        case Failure():
            said = record.completion
            return attrs.evolve(record, detail="", completion=None if said is None else _without_parts(said))
        case ToolFinished():
            done = record.result
            slim = ToolResult("", "", done.is_error, exit_code=done.exit_code, refused=done.refused)
            return attrs.evolve(record, result=slim)
        case Checked():
            return attrs.evolve(record, evidence="")
        case WorkerOpened():
            return attrs.evolve(record, told="")
        case WorkerClosed():
            found = record.verification
            if found is not None:
                tried = [attrs.evolve(one, evidence="", reason="") for one in found.attempts]
                found = attrs.evolve(found, evidence="", attempts=tuple(tried))
            return attrs.evolve(
                record,
                query="",
                answer="",
                error="",
                diff="",
                files=(),
                commands=(),
                conflicts=(),
                unresolved=(),
                tools_called=(),
                verification=found,
            )
        case RunOpened():
            return attrs.evolve(record, settings={})
        case RunResumed():
            return attrs.evolve(record, settings={})
        case RunClosed():
            return attrs.evolve(record, answer="", error="", verification=None)
    return record


def _without_parts(completion: Completion) -> Completion:
    return completion.cleaned((), completion.stop, completion.usage)
