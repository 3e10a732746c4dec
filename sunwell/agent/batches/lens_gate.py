"""The gate against a lens that harms: some items of a batch run both ways before the others run.

Which items, and in which order, follows from their words. They run in groups. At the end of a group all its
runs have ended, so that what is decided there does not depend on who was first. What was decided is noted
before it is acted on: a resume takes the same way and asks nothing again.
"""

import hashlib
import json
from collections.abc import Sequence
from contextlib import suppress
from decimal import Decimal

import attrs

from sunwell.agent.batches.batch_plan import NO_LENS, Planning
from sunwell.agent.batches.results_file import ResultsFile
from sunwell.agent.ladder.run_ladder import RunLadder
from sunwell.agent.policy.lens_trial import GROUP, LEAST_ITEMS, LensPair, LensTrial, paired_places
from sunwell.agent.run.run_context import Run
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.start_gate import OpenGate, StartGate
from sunwell.agent.workers.worker import WorkerTerms, task_fields
from sunwell.checks.run_checks_tool import RUN_CHECKS
from sunwell.core.markdown import one_line
from sunwell.core.span import Span
from sunwell.core.task import Task, TaskResult, with_both_sides
from sunwell.core.threads import in_thread
from sunwell.core.verdict import LensTest
from sunwell.errors import JournalError
from sunwell.events import LENS_TESTED, LensTested
from sunwell.journal.records import Note, WorkerOpened
from sunwell.memory.lens_store import TRIAL_VERDICT

_TRIAL, _PAIRS, _LOOK = "lens-trial", "lens-pairs:", "lens-look:"
_CUT_OFF = frozenset({"budget_usd", "budget_tokens", "calls", "cancelled"})
"""Ends that say nothing of what the work would have come to."""
_OF_KNOWN = "of_known"
"""Says in the note of the places that unknown pairs show nothing; older runs counted them as equal ones."""
_ITEMS = "items"
"""Under this name a trial, and the note of the places, have a hash of all items: an older run has none."""
_ROOM = Decimal("1.5")
"""What must be left of a cap, in units of what the items that are left and the extra runs should use: items
differ in cost, and none may be lost to a test."""
_OLDER = "the run began before lenses were tested"
_OFF = "it was switched off"


async def places_to_try(run: Run, tasks: Sequence[Task], ladder: RunLadder | None) -> tuple[int, ...] | str:
    """Return the places of the items of *run* that run both ways, or why none does.

    The places are noted before any work. Raises :exc:`~sunwell.errors.JournalError` for noted places that the
    batch does not have.
    """
    noted = run.journal.find(Note, (run.root.path, _TRIAL))
    if noted is not None:
        if why := noted.value.get("why"):
            return str(why)
        places = tuple(noted.value["places"])
        if len(set(places)) != len(places) or any(place >= len(tasks) for place in places):
            raise JournalError("the journal is damaged: the test of its lens names items that are not there")
        return places
    why = _why_not(run, tasks, ladder)
    if why:
        return why
    if run.gateway.recorded_only or any(isinstance(one, WorkerOpened) for one in run.journal.records()):
        return _OLDER
    items = _items_sha256(tasks, ladder)
    if told := await _tested_before(run, items):
        note = Note(run.root.path, _TRIAL, {"places": [], "why": told})
        await run.journal.append(note, durable=False)
        return told
    checked = _checked(tasks, ladder)
    words = [json.dumps(task_fields(tasks[place]), sort_keys=True) for place in checked]
    places = tuple(checked[one] for one in paired_places(words))
    value = {"places": list(places), _OF_KNOWN: True, _ITEMS: items}
    await run.journal.append(Note(run.root.path, _TRIAL, value), durable=False)
    return places


def _empty_trial(run: Run) -> LensTrial:
    """Return the trial of *run* without a pair: by the rule by which it began."""
    noted = run.journal.find(Note, (run.root.path, _TRIAL))
    return LensTrial(counts_unknown=noted is not None and not noted.value.get(_OF_KNOWN))


def _items_sha256(tasks: Sequence[Task], ladder: RunLadder | None) -> str:
    """Return a hash of *tasks* with all that they say and the names of their checks.

    The task of the run has only the beginnings of the first ones.
    """
    checks = None if ladder is None else ladder.checks
    said = [[task_fields(task), () if checks is None else checks.names(task.check)] for task in tasks]
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


async def _tested_before(run: Run, items: str) -> str:
    """Return what an earlier run has found of a lens that helps with these *items*; empty if none has.

    It was taken from the store for the same files and models. Any other finding is looked at again.
    """
    source, shelf = run.lens_source, run.shelf
    if shelf is None or source is None or source.how != "taken":
        return ""
    kept = await in_thread(shelf.store.get, source.from_id)
    trial = None if kept is None else kept.trial
    if trial is None or (trial.get(TRIAL_VERDICT), trial.get(_ITEMS)) != ("helps", items):
        return ""
    return f"an earlier run has tested it: {one_line(str(trial.get('evidence', 'it helps')))}"


async def _note_trial(run: Run) -> None:
    """Note what the test has shown of a kept lens, for later runs that would take it."""
    source, test = run.lens_source, run.lens_test
    if run.shelf is None or source is None or test is None or test.finding in ("undecided", "not tested"):
        return
    if kept_id := source.stored_id:
        counts = {name: getattr(test, name) for name in ("withheld", "pairs", "better", "worse", "unknown")}
        trial = {TRIAL_VERDICT: test.finding, "evidence": test.evidence, **counts}
        noted = run.journal.find(Note, (run.root.path, _TRIAL))
        trial[_ITEMS] = "" if noted is None else noted.value.get(_ITEMS, "")
        await in_thread(run.shelf.store.note_trial, kept_id, trial | {"run": run.journal.run_id})


def _why_not(run: Run, tasks: Sequence[Task], ladder: RunLadder | None) -> str:
    if not run.config.lens_gate:
        return _OFF
    checked = len(_checked(tasks, ladder))
    if not checked:
        return "no item has a check"
    if checked < LEAST_ITEMS:
        return f"{checked:,} of {len(tasks):,} items have a check, and a test takes {LEAST_ITEMS}"
    tools = {name for task in tasks for name in run.tools.changing(task.tools)} - {RUN_CHECKS}
    if tools:
        return f"the items share a folder, and their tools may change it: {', '.join(sorted(tools)[:5])}"
    return ""


def _checked(tasks: Sequence[Task], ladder: RunLadder | None) -> list[int]:
    """Return the places of the items that have a check."""
    return [] if ladder is None else [at for at, task in enumerate(tasks) if ladder.checks_task(task)]


def why_no_test(run: Run, why: str) -> LensTest | None:
    """Return that the lens of *run* was not tested, and *why*; ``None`` if there is no lens."""
    return None if run.lens is None else LensTest("not tested", why)


_Way = tuple[WorkerTerms, StartGate]
"""How workers are started: their terms, and the gate through which they begin."""


@attrs.define(eq=False)
class LensGate:
    """Runs a batch whose lens is tested on the way. Used once.

    Each item has one result: of the two runs of a pair, the better one. If both passed or neither did, it is
    that with the lens: it is the work that was ordered, and the other run is only its measure.
    """

    run: Run
    dispatcher: Dispatcher
    tasks: tuple[Task, ...]
    places: tuple[int, ...]
    planning: Planning
    file: ResultsFile | None = None
    _trial: LensTrial = attrs.field(init=False)
    _items: dict[int, str] = attrs.field(factory=dict, init=False)
    """Ids of the workers that have begun, by the place of the item."""
    _twins: dict[int, str] = attrs.field(factory=dict, init=False)
    """The same of the runs without the lens, of items that run both ways."""
    _stopped: str = attrs.field(default="", init=False)
    """Why no more pairs are begun."""
    _has_failed: bool = attrs.field(default=False, init=False)
    """Whether an item has failed in a batch that is to end then."""

    @_trial.default
    def _before_any_pair(self) -> LensTrial:
        return _empty_trial(self.run)

    async def results(self) -> tuple[TaskResult, ...]:
        """Return the results in the order of the items, and leave what the test has shown in the run."""
        try:
            with_lens = await self.planning.plan(self.dispatcher.terms, self.run.root, self.tasks)
            without = await self.planning.plan(
                self._plain_terms(), self._apart, [self.tasks[place] for place in self.places], self.places
            )
            await self._test(with_lens, without)
            self._conclude()
            await _note_trial(self.run)
            withheld = self.run.lens_test is not None and self.run.lens_test.withheld
            await self._do_rest((without[0], OpenGate()) if withheld else with_lens)
        except BaseException:
            await self.dispatcher.close()
            with suppress(JournalError):  # the file may be what failed
                self._write_all()
            raise
        return self._write_all()

    def so_far(self) -> tuple[TaskResult, ...]:
        """Return the results that are there, in the order of the items."""
        return with_both_sides(self._found().values())

    @property
    def _apart(self) -> Span:
        return self.run.root.child(NO_LENS)

    def _plain_terms(self) -> WorkerTerms:
        return attrs.evolve(self.dispatcher.terms, system=self.run.guidance.sections(), has_lens=False)

    async def _test(self, with_lens: _Way, without: _Way) -> None:
        """Run pairs, group after group, until they are evidence enough or there is no room for more."""
        no_climb = (attrs.evolve(without[0], may_climb=False), without[1])
        for number in range(len(self.places) // GROUP):
            group = self.places[number * GROUP : (number + 1) * GROUP]
            known = self._known_look(number)
            if known is None and not await self._may_begin(number, group, with_lens):
                return
            self._start(self._items, group, self.run.root, with_lens)
            # A recorded run that did not pass is not worth more than the other one, and is left alone.
            is_all = known is None or self.run.gateway.compare is not None
            twins = [place for at, place in enumerate(group) if is_all or (known and known[at].without)]
            self._start(self._twins, twins, self._apart, no_climb)
            await self._wait(group)
            if self._has_failed and known is None:
                self._stopped = "an item failed, which ends the batch"
                return
            self._trial = self._trial.plus(known or await self._look(number, group))
            if self._trial.finding is not None:
                return

    def _known_look(self, number: int) -> list[LensPair] | None:
        noted = self.run.journal.find(Note, (self.run.root.path, f"{_LOOK}{number}"))
        if noted is None:
            return None
        return [LensPair(one, other, Decimal(cost), Decimal(more)) for one, other, cost, more in noted.value]

    async def _look(self, number: int, group: Sequence[int]) -> list[LensPair]:
        """Return the pairs of *group*, which have ended, and note them: a later look finds the same."""
        pairs = [
            LensPair(_first_passed(one), _first_passed(other), self._used(one), self._used(other))
            for one, other in ((self._result(self._items[at]), self._result(self._twins[at])) for at in group)
        ]
        value = [[one.with_lens, one.without, str(one.with_cost), str(one.without_cost)] for one in pairs]
        note = Note(self.run.root.path, f"{_LOOK}{number}", value)
        await self.run.journal.append(note, durable=False)
        return pairs

    async def _may_begin(self, number: int, group: Sequence[int], with_lens: _Way) -> bool:
        """Whether a group may begin: what was decided before, or what the caps have room for now.

        Under a cap, the items of the first group are done before: until then nobody knows what one uses.
        """
        run = self.run
        noted = run.journal.find(Note, (run.root.path, f"{_PAIRS}{number}"))
        if noted is not None:
            self._stopped = noted.value
            return not self._stopped
        if not number and self._has_caps:
            self._start(self._items, group, run.root, with_lens)
            await self._wait(group)
        self._stopped = "" if run.config.lens_gate else _OFF
        if not self._stopped and not self._has_room(len(group)):
            self._stopped = "near the cap, extra runs would take what the other items need"
        if self._has_failed:
            self._stopped = "an item failed, which ends the batch"
        await run.journal.append(Note(run.root.path, f"{_PAIRS}{number}", self._stopped), durable=False)
        return not self._stopped

    @property
    def _has_caps(self) -> bool:
        return bool(self.run.ledger.ceilings(self.run.root.path)) or self.run.budget.calls is not None

    def _has_room(self, extra: int) -> bool:
        """Whether the caps hold so many *extra* runs beside all items that are not done."""
        done = [self._result(task_id) for task_id in (*self._items.values(), *self._twins.values())]
        if not done:
            return True
        ended = sum(self.dispatcher.result(task_id) is not None for task_id in self._items.values())
        runs = len(self.tasks) - ended + extra
        share = _ROOM * runs / len(done)
        path = self.run.root.path
        usd = share * sum((one.bill.cost_usd or Decimal(0) for one in done), Decimal(0))
        tokens = share * sum(one.bill.usage.total_tokens for one in done)
        calls = share * sum(one.bill.calls for one in done)
        for ceiling in self.run.ledger.ceilings(path):
            if ceiling.usd is not None and ceiling.usd < usd:
                return False
            if ceiling.tokens is not None and ceiling.tokens < tokens:
                return False
        most_calls = self.run.budget.calls
        return most_calls is None or most_calls - self.run.ledger.used(path).calls >= calls

    def _start(self, ids: dict[int, str], places: Sequence[int], parent: Span, way: _Way) -> None:
        """Start the workers of *places* that are not in *ids* yet."""
        for place in places:
            if place not in ids:
                ids[place] = self.dispatcher.start(
                    self.tasks[place],
                    parent,
                    name=f"task-{place}",
                    index=place,
                    terms=way[0],
                    gate=way[1],
                )

    async def _do_rest(self, way: tuple[WorkerTerms, StartGate]) -> None:
        rest = [place for place in range(len(self.tasks)) if place not in self._items]
        self._start(self._items, rest, self.run.root, way)
        if self._has_failed:
            self.dispatcher.cancel([self._items[place] for place in rest])
        await self._wait(rest)

    async def _wait(self, places: Sequence[int]) -> None:
        """Return once all runs of *places* have ended; write down each item whose result is known."""
        wanted = {ids[at]: at for ids in (self._items, self._twins) for at in places if at in ids}
        async for result in self.dispatcher.results(wanted):
            place = wanted[result.task_id]
            found = self._best(place)
            if self.run.config.fail_fast and found is not None and found.status == "error":
                self._has_failed = True
                self.dispatcher.cancel(wanted)
            if found is not None and self.file is not None:
                self.file.add(place, found)

    def _best(self, place: int) -> TaskResult | None:
        """Return the result of the item at *place*; ``None`` while any of its runs goes on."""
        found = [self.dispatcher.result(ids[place]) for ids in (self._items, self._twins) if place in ids]
        if not found or found[0] is None:
            return None
        if len(found) == 1:
            return found[0]
        return None if found[1] is None else better_of(found[0], found[1])

    def _found(self) -> dict[int, TaskResult]:
        found = {}
        for place in sorted(self._items):
            result = self._best(place) or self.dispatcher.result(self._items[place])
            if result is not None:
                found[place] = result
        return found

    def _write_all(self) -> tuple[TaskResult, ...]:
        found = self._found()
        done = with_both_sides(found.values())
        if self.file is not None:
            for place, result in zip(found, done, strict=True):
                self.file.add(place, result)
        return done

    def _result(self, task_id: str) -> TaskResult:
        result = self.dispatcher.result(task_id)
        assert result is not None
        return result

    def _used(self, result: TaskResult) -> Decimal:
        """Return what the first rung of *result* used: list price if that is known, else tokens.

        Without the discounts of a cache, which depend on who came first.
        """
        lines = [line for line in result.bill.lines if line.purpose == "work" and line.rung in ("", "cheap")]
        price = self.run.gateway.prices.price(self.dispatcher.terms.model)
        read = sum(line.total.usage.input_tokens for line in lines)
        written = sum(line.total.usage.output_tokens for line in lines)
        if price is None:
            return Decimal(read + written)
        return read * price.rates.input_usd + written * price.rates.output_usd

    def _conclude(self) -> None:
        """Leave what the pairs have shown in the run, and tell it."""
        trial, run = self._trial, self.run
        withheld = trial.is_withheld
        left = len(self.tasks) - len(self._items)
        if trial.finding == "undecided":
            known = len(trial.pairs) - trial.unknown
            self._stopped = f"of {known:,} of {len(trial.pairs):,} pairs it is known how both runs went"
        run.lens_test = LensTest(
            trial.finding or ("undecided" if trial.pairs else "not tested"),
            self._stopped,
            withheld,
            len(trial.pairs),
            trial.better,
            trial.worse,
            trial.unknown,
            run.tally.bill(self._apart.path).cost_usd,
            left if withheld else 0,
        )
        run.tell(LENS_TESTED, LensTested(run.lens_test, left))


def better_of(with_lens: TaskResult, without: TaskResult) -> TaskResult:
    """Return the one that is worth more; that *with_lens* if neither is."""
    return without if _worth(without) > _worth(with_lens) else with_lens


def _worth(result: TaskResult) -> int:
    passed = None if result.verification is None else result.verification.passed
    if result.status in ("error", "cancelled"):
        return 0
    return 3 if passed else 2 if passed is None else 1


def _first_passed(result: TaskResult) -> bool | None:
    """Whether the first work on an item passed its checks; ``None``: that is not known."""
    found = result.verification
    if found is None or result.stop_reason in _CUT_OFF or result.status in ("error", "cancelled"):
        return None
    return found.attempts[0].passed if found.attempts else found.passed
