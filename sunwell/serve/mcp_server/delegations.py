"""What the tools do: each starts a run, goes on with one, or tells of one, within what the server allows."""

import asyncio
from collections.abc import Mapping, Sequence
from decimal import Decimal
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.agent import Agent
from sunwell.agent.lifecycle.authority import CallerTerms, ceilings_now
from sunwell.agent.lifecycle.run_settings import latest_settings, options_from
from sunwell.agent.run.asked_contexts import Confirm
from sunwell.agent.run.run_context import RunEvents, came_to_its_end
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.long_context import LongContext
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.markdown import fenced, with_material
from sunwell.core.price import Side
from sunwell.core.task import Task
from sunwell.core.threads import in_thread, in_thread_to_the_end
from sunwell.errors import ConfigurationError
from sunwell.events import BatchPlanned, Event, ModelCallStarted, RunStarted, WorkerFinished
from sunwell.journal.layout import RunFile, find_run
from sunwell.journal.ownership import find_own_run, key_or_doubt
from sunwell.journal.retention import is_running
from sunwell.report.event_lines import line_of
from sunwell.report.figures import dollars, exact, one_line
from sunwell.report.forecast import Forecast, ask_forecast, forecast
from sunwell.report.page.overview import OverviewRow, run_rows
from sunwell.serve.booked_run import booked
from sunwell.serve.mcp_server.held_call import MOST_SHOWN, HeldCall, approving
from sunwell.serve.mcp_server.outcome_models import (
    EstimateOutcome,
    PurseState,
    RefusedUndo,
    ReportOutcome,
    RunLine,
    RunOutcome,
    UndoOutcome,
    WayPrice,
)
from sunwell.serve.mcp_server.result_bounds import lines_within, undo_within
from sunwell.serve.mcp_server.run_outcome import RecordedOutcome
from sunwell.serve.mcp_server.served_roots import ServedRoot, ServedRoots
from sunwell.serve.process_purse import Portion, Purse
from sunwell.serve.root_settings import RootSettings, ServerTerms, SettingsOf, Work
from sunwell.serve.served_record import ServedRecord
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.file_tools import Plan, difference
from sunwell.tools.originals import UndoStep
from sunwell.tools.originals import undo as put_back
from sunwell.tools.wording import exact_lines, quoted
from sunwell.tools.workspace import Workspace

Held = HeldCall[Any]
_MOST_TEXT = 1_000_000
_MOST_TASKS = 1_000
_MOST_RUNS, _LONG_TASK = 20, 200
_LONGEST_LINE = 300
_NOT_BEGUN = "not begun, and nothing was spent"


@attrs.frozen
class _Order:
    """A run that is about to begin, or to go on: where, with which settings, and what it may cost."""

    place: ServedRoot
    settings: RootSettings
    options: RunOptions
    cap_usd: Decimal
    """What it may still cost."""
    warnings: tuple[str, ...] = ()
    """What its client is told of the order."""


@attrs.define(eq=False)
class Delegations:
    """Runs in the roots of a server, under its caps.

    What spends or changes anything takes the call of a client, which is told of progress and asked questions.
    Each method raises a :exc:`~sunwell.errors.SunwellError` with a sentence if it has done nothing.
    """

    roots: ServedRoots
    settings_of: SettingsOf
    terms: ServerTerms
    purse: Purse

    async def delegate(
        self, call: Held, task: str, material: str, root: str, max_cost_usd: float | None
    ) -> RunOutcome:
        """Do one task, as ``sunwell run`` does it."""
        order = await self._order(call, root, "task", max_cost_usd)
        goal = _goal(task, material)
        session = await in_thread(SessionContext.build, order.place.require(), goal, order.options)
        agent = order.settings.agent()
        if self._may_ask(order):
            await self._confirm(call, await in_thread(_expected, agent, session), order.cap_usd)
        async with self.purse.portion(order.cap_usd) as portion:
            session = attrs.evolve(session, options=_capped(order.options, portion.usd))
            return await self._followed(call, order, agent, agent.run(session), portion)

    async def batch(
        self, call: Held, tasks: Sequence[Task], root: str, max_cost_usd: float | None
    ) -> RunOutcome:
        """Do each of *tasks* with a worker of its own, as ``sunwell batch`` does it."""
        if not tasks or len(tasks) > _MOST_TASKS:
            raise ConfigurationError(f"give between 1 and {_MOST_TASKS:,} tasks; {_NOT_BEGUN}")
        order = await self._order(call, root, "batch", max_cost_usd)
        agent, workspace = order.settings.agent(), order.place.require()
        if self._may_ask(order):
            await self._confirm(call, None, order.cap_usd)  # nobody prices a batch beforehand
        async with self.purse.portion(order.cap_usd) as portion:
            events = agent.batch_events(
                tasks, workspace=workspace, options=_capped(order.options, portion.usd)
            )
            return await self._followed(call, order, agent, events, portion)

    async def ask(
        self, call: Held, question: str, contexts: Sequence[str], root: str, max_cost_usd: float | None
    ) -> RunOutcome:
        """Answer a question about files, as ``sunwell ask`` does it."""
        _text(question, "the question")
        order = await self._order(call, root, "question", max_cost_usd)
        if not contexts:
            raise ConfigurationError(f"name at least one file, folder or glob in contexts; {_NOT_BEGUN}")
        places = await in_thread(order.place.places, contexts)
        agent = order.settings.agent()
        if self._may_ask(order):
            side = await in_thread(_expected_answer, agent, question, places, order.options)
            await self._confirm(call, side, order.cap_usd)
        async with self.purse.portion(order.cap_usd) as portion:
            events = agent.ask(
                question,
                places,
                workspace=order.place.require(),
                options=_capped(order.options, portion.usd),
                confirm=self._confirming(call),
            )
            return await self._followed(call, order, agent, events, portion)

    async def resume(self, call: Held, run_id: str, root: str, max_cost_usd: float | None) -> RunOutcome:
        """Go on with a run, as ``sunwell resume`` does it; one that has finished gives its outcome again."""
        place = self.roots.named(root)
        workspace = place.require()
        found = await in_thread(_own_run, workspace, run_id)
        read = await in_thread(ServedRecord.read, found)
        if came_to_its_end(read.records):
            return await in_thread(RecordedOutcome(read, place.name).outcome)
        settings = await in_thread(self.settings_of, workspace, "again")
        self._require_approver(call)
        recorded = latest_settings(read.records)
        options, asked = options_from(recorded), recorded.get("asked") or {}
        await in_thread(_require_inside, place, recorded)
        terms = settings.terms(options, approving(call) if self.terms.approves else None)
        cap = self._again(options.budget, terms, max_cost_usd)
        spent = read.most_spent_usd
        if spent is None:
            raise ConfigurationError(f"nobody knows what {found.run_id} has cost so far: start a new run")
        order = _Order(place, settings, options, max(Decimal(0), cap - spent), _unheard(max_cost_usd, cap))
        if self._may_ask(order):
            await self._confirm(call, None, order.cap_usd)  # nobody prices what is left of a run
        agent = settings.agent()
        async with self.purse.portion(order.cap_usd) as portion:
            events = agent.resume(
                found.run_id,
                workspace=workspace,
                given=terms.given,
                budget=Budget(usd=min(cap, spent + portion.usd)),
                ceilings=terms.ceilings,
                accept_changes=terms.accept_changes,
                confirm=self._confirming(call, must_ask=bool(asked.get("confirms"))),
            )
            return await self._followed(call, order, agent, events, portion, spent)

    async def report(self, run_id: str, root: str) -> ReportOutcome:
        """Return what is known of a run, or the latest runs if none is named. Nothing is asked."""
        place = self.roots.named(root)
        workspace = place.require()
        run, runs = None, list[RunLine]()
        if run_id.strip():
            found = await in_thread(find_run, workspace, run_id)
            run = await in_thread(lambda: RecordedOutcome(ServedRecord.read(found), place.name).outcome())
        else:
            runs = await in_thread(lambda: [_line(row) for row in _latest(workspace)])
        purse = self.purse
        return ReportOutcome(
            run=run,
            runs=runs,
            roots=[one.name for one in self.roots.roots],
            purse=PurseState(
                total_usd=_told(purse.total_usd),
                spent_usd=_told(purse.spent_usd),
                held_usd=_told(purse.out_usd),
                left_usd=_told(purse.left_usd),
            ),
        )

    async def estimate(self, task: str, material: str, root: str) -> EstimateOutcome:
        """Return what a task would cost, as ``sunwell estimate`` does. Nothing is asked and nothing spent."""
        place = self.roots.named(root)
        workspace = place.require()
        settings = await in_thread(self.settings_of, workspace, "estimate")
        options, agent = settings.options, settings.agent()
        goal = _goal(task, material)
        session = await in_thread(SessionContext.build, workspace, goal, options)
        made = await in_thread(_forecast, agent, session)
        return EstimateOutcome(
            chosen=made.taken(options).name,
            reason=made.reason(options),
            ways=[_way(side) for side in made.quote.sides],
            models={
                "smart_model": made.smart_model,
                "model": made.own_model,
                "delegation_model": made.delegation_model,
            },
            least_cap_usd=exact(made.least_usd),
            cap_usd=_told(self._usual(options.budget)),
            warnings=lines_within([*settings.warnings, *made.warnings]),
        )

    async def undo(self, call: Held, run_id: str, root: str) -> UndoOutcome:
        """Put back the files that a run has changed, as ``sunwell undo`` does it."""
        workspace = self.roots.named(root).require()
        found = await in_thread(_own_run, workspace, run_id)
        if is_running(found):
            raise ConfigurationError(f"the run {found.run_id} is running: cancel its call first")
        settings = await in_thread(self.settings_of, workspace, "again")
        allowed, loop = GlobSet(settings.options.allow_write), asyncio.get_running_loop()

        def refuses(step: UndoStep) -> str:
            if not step.reason or allowed.takes(step.path):
                return ""
            if not call.can_ask:
                return f"{step.reason}, so only a person can allow it, and this client cannot ask one"
            text = difference(Plan(step.path, step.old, step.new or b"", ""), _redact, whole=True)
            lines = exact_lines(text, is_diff=True)
            if sum(map(len, lines)) > MOST_SHOWN:
                return f"{step.reason}, and the change is too long to be shown to a person"
            verb = step.verb.removesuffix("s").capitalize()
            told = f"{verb} {quoted(step.path)}?\nAsked because {step.reason}\n{fenced(chr(10).join(lines))}"
            asked = asyncio.run_coroutine_threadsafe(call.ask(told), loop)
            return "" if asked.result() else "a person did not approve it"

        report = await in_thread_to_the_end(
            partial(put_back, found.path.parent / "originals", Workspace(workspace), refuses=refuses)
        )
        return undo_within(
            UndoOutcome(
                run_id=found.run_id,
                restored=list(report.restored),
                removed=list(report.removed),
                unchanged=list(report.unchanged),
                skipped=[RefusedUndo(path=one.path, reason=one.reason) for one in report.refused],
                not_saved=[*map(str, report.uncovered), *([report.unread] if report.unread else [])],
                left_out=0,
            )
        )

    def _again(self, recorded: Budget, terms: CallerTerms, max_cost_usd: float | None) -> Decimal:
        """Return the whole cap of a run that goes on: what the client says, or what is recorded."""
        usual = self._usual(terms.ceilings)
        if max_cost_usd is not None:
            return _lower(usual, max_cost_usd)
        held = ceilings_now(recorded, attrs.evolve(terms, budget=None))[0].value
        return usual if held is None else min(usual, held)

    def _usual(self, configured: Budget) -> Decimal:
        """Return the cap of a run for which no client names one: the server's, or a lower one of settings."""
        usual, held = self.terms.max_cost_usd, configured.usd
        return usual if held is None else min(usual, held)

    async def _order(self, call: Held, root: str, work: Work, max_cost_usd: float | None) -> _Order:
        place = self.roots.named(root)
        self._require_approver(call)
        settings = await in_thread(self.settings_of, place.require(), work)
        options = settings.options
        if self.terms.approves:
            options = attrs.evolve(options, approve=approving(call))
        cap = _lower(self._usual(options.budget), max_cost_usd)
        return _Order(place, settings, options, cap, _unheard(max_cost_usd, cap))

    def _require_approver(self, call: Held) -> None:
        if self.terms.approves and not call.can_ask:
            raise ConfigurationError(
                "this server has each write and command approved by a person (--approve), and this client "
                f"cannot ask one (elicitation); {_NOT_BEGUN}"
            )

    def _confirming(self, call: Held, *, must_ask: bool = False) -> Confirm | None:
        """Return what asks before a fan-out; a run that asked before goes on asking."""
        above = self.terms.confirm_above_usd
        if above is None:
            if not must_ask:
                return None
            above = Decimal(0)

        async def confirm(what: str, most_usd: Decimal | None) -> bool:
            if most_usd is not None and most_usd <= above:
                return True
            return await call.ask(f"{what}. Go on?")

        return confirm

    def _may_ask(self, order: _Order) -> bool:
        """Whether *order* can cost so much that a person might have to be asked first."""
        above = self.terms.confirm_above_usd
        return above is not None and order.cap_usd > above

    async def _confirm(self, call: Held, side: Side | None, cap_usd: Decimal) -> None:
        """Ask a person if the expected cost is above the limit, or if nobody knows it."""
        above = self.terms.confirm_above_usd
        assert above is not None
        expected = None if side is None else side.expected_usd
        if expected is not None and expected <= above:
            return
        about = f"{dollars(expected)} expected" if expected is not None else "nobody knows what is expected"
        if not call.can_ask:
            raise ConfigurationError(
                f"{about}, and above {dollars(above)} a person is asked first (--confirm-above), which this "
                f"client cannot do (elicitation); {_NOT_BEGUN}"
            )
        if not await call.ask(f"Spend up to {dollars(cap_usd)}? ({about})"):
            raise ConfigurationError(f"a person said no, or nobody answered; {_NOT_BEGUN}")

    async def _followed(
        self,
        call: Held,
        order: _Order,
        agent: Agent,
        events: RunEvents,
        portion: Portion,
        spent_before: Decimal = Decimal(0),
    ) -> RunOutcome:
        """Return the outcome of the run of *events*, and book what it has spent."""

        def tell(event: Event) -> None:
            if isinstance(event, RunStarted):
                call.stop_with = agent.stop
            if line := one_line(_line_of(event), _LONGEST_LINE):
                call.tell(line)

        try:
            read, error = await booked(agent, events, portion, tell, spent_before)
        finally:
            call.stop_with = _nothing  # what is left only reads
        warnings = [*order.settings.warnings, *order.warnings, *filter(None, (portion.told,))]
        return await in_thread(RecordedOutcome(read, order.place.name, warnings, error).outcome)


def _line_of(event: Event) -> str:
    match event:
        case RunStarted():
            begun = "goes on" if event.resumed else "begins"
            return f"run {event.run_id} {begun}; report finds it by this id"
        case BatchPlanned():
            return f"{event.workers} workers: {event.choice}"
        case ModelCallStarted():  # which may take minutes
            return f"{event.model} is asked ({event.purpose})"
        case WorkerFinished():
            return f"task {event.result.task_id}: {event.result.status}"
    return line_of(event) or ""


def _nothing() -> None:
    """Stop nothing: there is nothing left to be stopped."""


def _redact(text: str) -> str:
    return secrets_from_environment().redact(text)


def _told(amount: Decimal) -> str:
    return exact(amount) or "0"


def _way(side: Side) -> WayPrice:
    return WayPrice(
        name=side.name,
        low_usd=exact(side.low_usd),
        expected_usd=exact(side.expected_usd),
        high_usd=exact(side.high_usd),
        worst_usd=exact(side.worst_usd),
    )


def _latest(workspace: Path) -> list[OverviewRow]:
    key, _ = key_or_doubt()
    return list(islice(run_rows(workspace, key), _MOST_RUNS))


def _line(row: OverviewRow) -> RunLine:
    return RunLine(
        run_id=row.run_id,
        status=row.status,
        task=one_line(row.error or row.task, _LONG_TASK),
        started_at=row.started_at,
        cost_usd=exact(row.usd),
        verified=row.verified,
    )


def _goal(task: str, material: str) -> str:
    return with_material(_text(task, "the task"), _bounded(material, "the material"))


def _text(text: str, what: str) -> str:
    if not text.strip():
        raise ConfigurationError(f"{what} is empty: say in a sentence what is to be done")
    return _bounded(text, what)


def _bounded(text: str, what: str) -> str:
    if len(text) > _MOST_TEXT:
        raise ConfigurationError(f"{what} is longer than {_MOST_TEXT:,} characters: put it into a file")
    return text


def _lower(usual: Decimal, wanted: float | None) -> Decimal:
    """Return the cap that a client wants, or the usual one if that is lower."""
    if wanted is None:
        return usual
    asked = Budget(usd=wanted).usd
    return usual if asked is None else min(usual, asked)


def _unheard(wanted: float | None, cap: Decimal) -> tuple[str, ...]:
    """Return what a client is told whose wanted cap is above what the server allows."""
    asked = None if wanted is None else Budget(usd=wanted).usd
    if asked is None or asked <= cap:
        return ()
    return (f"max_cost_usd is above what is allowed here, so the cap of this run was {dollars(cap)}",)


def _capped(options: RunOptions, usd: Decimal) -> RunOptions:
    return attrs.evolve(options, budget=attrs.evolve(options.budget, usd=usd))


def _forecast(agent: Agent, session: SessionContext) -> Forecast:
    return forecast(session, prices=agent.prices, registry=agent.registry, equipment=agent.equipment)


def _expected(agent: Agent, session: SessionContext) -> Side:
    return _forecast(agent, session).taken(session.options)


def _expected_answer(agent: Agent, question: str, places: Mapping[str, str], options: RunOptions) -> Side:
    size = 0
    for path in places.values():
        with LongContext.of(path) as context:
            size += context.size_bytes
    made = ask_forecast(question, size, options, agent.prices, agent.registry)
    return made.quote.chosen(made.decision)


def _own_run(workspace: Path, run_id: str) -> RunFile:
    if not run_id.strip():
        raise ConfigurationError("name a run by its id; report without an id lists the runs")
    return find_own_run(workspace, run_id)


def _require_inside(place: ServedRoot, recorded: Mapping[str, Any]) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` if the record names a context outside of the root."""
    paths = [path for _, path in (recorded.get("asked") or {}).get("contexts", ()) if path]
    if paths:
        place.places(paths)
