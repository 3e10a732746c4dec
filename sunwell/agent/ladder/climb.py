"""One task on the ladder: work on a rung, check it, and choose the next one, until it passes or gives up."""

import time
from collections.abc import Callable, Sequence
from decimal import Decimal

import attrs

from sunwell.agent.conversation.conversation import Assignment, Conversation
from sunwell.agent.conversation.facts_seen import FactsAsked
from sunwell.agent.conversation.final_call import closing_seconds
from sunwell.agent.ladder.attempt_files import PutBack, diff_text, restore_files
from sunwell.agent.ladder.checking import OUT_OF_TIME, Checker, WorkDone
from sunwell.agent.ladder.climb_outcomes import ClimbOutcomes
from sunwell.agent.ladder.rungs import LadderModels, PlannedRung, open_to
from sunwell.agent.lens.lens_writer import LensPlace, write_lens_at
from sunwell.agent.policy.ladder import Attempt, Rung, Step, next_step
from sunwell.agent.prompts import attempt_text, before_you, repair_text
from sunwell.agent.run.run_context import Ending, Run, Work
from sunwell.agent.run.run_outcomes import SpentOnWork
from sunwell.agent.run.toolset import Toolset
from sunwell.core.addresses import without_addresses
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.message import FileChange, digest_of, net_changes
from sunwell.core.span import Span
from sunwell.core.task import Budget
from sunwell.core.verdict import RungAttempt, Verification
from sunwell.events import RUNG_STARTED, RungStarted
from sunwell.journal.records import Note, RungChosen
from sunwell.models.room import own_output_tokens
from sunwell.tools.wording import cut

_FIRST = "cheap"
_FIRST_MODEL = (_FIRST, "cheap_again")
"""Rungs in the conversation of the first one."""
_MAY_GO_ON = frozenset({"end", "length"})
"""Ends after which the same conversation can be told what the check found."""
_LIMITS = frozenset({"budget_usd", "budget_tokens", "calls", "turns", "timeout"})
_SHOWN_CHARACTERS = 4_000
_SHOWN_DIFF_CHARACTERS = 12_000
_ATTEMPT = "attempt"


@attrs.frozen(kw_only=True)
class Errand:
    """A task that climbs: what is asked, how it is checked, and where in the run it is worked on."""

    task: str
    prompt: str
    """The first message of each new conversation."""
    span: Span
    """All work on it is below this span, that of the parent's side, too."""
    checker: Checker
    tools: Toolset
    first: Callable[[], Conversation]
    """Makes the conversation of the rung ``cheap``, at its own span below :attr:`span`."""
    facts: FactsAsked = FactsAsked()
    """What each attempt is looked over for."""
    limits: Budget = Budget()
    """Limits of turns and seconds of each rung."""
    has_lens: bool = False
    """Whether the model of the first rung reads a lens; those of dearer rungs do not."""
    brief: str = ""
    """What the model that asked for the work tells all its workers; it is at the end of the system prompt."""


@attrs.frozen
class Climbed:
    """What a climb came to."""

    ended: Ending
    verification: Verification


@attrs.frozen
class _Tried:
    """One rung that was climbed."""

    attempt: RungAttempt
    ended: Ending
    work: Conversation | None
    """``None`` if the work did not begin: there was no lens."""
    has_asked: bool
    """Whether any model was asked."""

    @property
    def told_evidence(self) -> str:
        """What the next model is told of it: an error may be a provider's, and has no addresses then."""
        evidence = self.attempt.evidence
        return without_addresses(evidence) if self.ended.status == "error" else evidence


@attrs.define(eq=False)
class Climb:
    """Carries one :class:`Errand` up the ladder. Used once."""

    run: Run
    errand: Errand
    models: LadderModels
    rungs: tuple[PlannedRung, ...]
    outcomes: ClimbOutcomes
    works: list[Work] = attrs.field(factory=list, repr=False)
    """All conversations so far, and what was put back between them, in order."""
    _by: tuple[str, ...] = attrs.field(default=(), init=False)
    """What the checks are called."""
    _missed: tuple[str, ...] = attrs.field(default=(), init=False)
    """Those that did not pass the latest work."""
    _changed: tuple[str, ...] = attrs.field(default=(), init=False)
    """Files that all attempts so far have changed, before any was put back."""
    _tried: list[_Tried] = attrs.field(factory=list, init=False)

    async def to_the_end(self) -> Climbed:
        """Climb until a check passes, nothing is worth it, or nothing has room."""
        while (step := await self._next()).rung is not None:
            planned = next(one for one in self.rungs if one.name == step.rung.name)
            await self._climb(planned, step)
        return self._climbed(step)

    async def _next(self) -> Step:
        """Return the next step: the recorded one, or the one that the policy chooses now."""
        number, path = len(self._tried), self.errand.span.path
        recorded = self.run.journal.find(RungChosen, (path, number))
        is_same = recorded is not None and recorded.after == self._known_so_far
        if recorded is not None and is_same and (recorded.rung or self.run.gateway.heed_refusals):
            rung = Rung(recorded.rung, recorded.model, recorded.cost_usd) if recorded.rung else None
            return Step(rung, recorded.reason)
        step = self._chosen()
        rung = step.rung
        record = RungChosen(
            path,
            number,
            "" if rung is None else rung.name,
            "" if rung is None else rung.model,
            step.reason,
            None if rung is None else rung.cost_usd,
            time.time(),
            self._known_so_far,
        )
        await self.run.journal.append(record, durable=False)  # the intent of its first call comes after it
        return step

    @property
    def _known_so_far(self) -> str:
        known = [f"{one.attempt.rung} {one.attempt.passed} {one.attempt.evidence}" for one in self._tried]
        return digest_of(*known).hex()[:16] if known else ""

    def _chosen(self) -> Step:
        tried = [one.attempt for one in self._tried]
        if tried and not self._tried[-1].has_asked and tried[-1].passed is not True:
            return Step(None, self._tried[-1].ended.error or "no model could be asked any more")
        if self.errand.checker.out_of_time:
            return Step(None, OUT_OF_TIME)
        offered = open_to(self.rungs, [one.rung for one in tried], may_repair=self._may_repair)
        attempts = [Attempt(one.rung, one.passed, one.cost_usd) for one in tried]
        left_usd = self.run.ledger.usd_left(self.errand.span.path)
        known = self.outcomes.rungs(offered, attempts)
        step = next_step(
            known,
            attempts,
            left_usd=left_usd,
            worth_usd=self.run.config.worth_usd,
            passes_wrong=self.run.config.passes_wrong,
        )
        if step.rung is None and not attempts:  # what it may cost is a guess, and the cap holds anyway
            cheapest = next((one for one in known if one.name == _FIRST), known[0])
            return Step(cheapest, f"the first rung, although {step.reason}")
        return step

    @property
    def _may_repair(self) -> bool:
        first = next((one for one in self._tried if one.attempt.rung == _FIRST), None)
        is_last = first is not None and self._tried[-1] is first
        return is_last and first is not None and first.ended.stop_reason in _MAY_GO_ON

    async def _climb(self, rung: PlannedRung, step: Step) -> None:
        run, span = self.run, self._span_of(rung)
        run.tally.label(span.path, rung.name)
        chosen = step.rung
        expected_usd = None if chosen is None else chosen.cost_usd
        told = RungStarted(
            self.errand.span.path,
            rung.name,
            rung.model.name,
            step.reason,
            expected_usd,
            self.models.smart.name if rung.name == "lens" else "",
        )
        run.tell(RUNG_STARTED, told)
        work, ended = await self._work_on(rung, span)
        has_asked = ended.stop_reason not in _LIMITS or work is None or work.turns > 0
        passed: bool | None = False
        evidence, is_new = ended.error, False
        if ended.status != "error":
            models = tuple(dict.fromkeys(one.attempt.model for one in self._tried) | {rung.model.name: None})
            done = WorkDone.of(self.errand.task, ended.answer, self.works, models)
            checked, is_new = await self.errand.checker.check(done, rung.name)
            evidence, passed, self._by = checked.evidence, checked.passed, checked.by
            self._missed = checked.missed
        attempt = RungAttempt(
            rung.name,
            rung.model.name,
            passed,
            evidence,
            self._cost_usd(rung),
            expected_usd,
            step.reason,
        )
        self._tried.append(_Tried(attempt, ended, work, has_asked))
        if is_new:
            bill = run.tally.bill(self.errand.span.path)
            await self.outcomes.record(
                attempt,
                [one.attempt for one in self._tried[:-1]],
                has_lens=rung.name == "lens" or (self.errand.has_lens and rung.name in _FIRST_MODEL),
                output_tokens=SpentOnWork.of(bill, rung.name).output_tokens,
            )

    def _span_of(self, rung: PlannedRung) -> Span:
        span = self.errand.span
        if rung.name in _FIRST_MODEL:
            return span.child(rung.name)
        return Span(span.child(rung.name).path, max(0, span.depth - 1))  # the parent's side

    async def _work_on(self, rung: PlannedRung, span: Span) -> tuple[Conversation | None, Ending]:
        """Have the model of *rung* work; return its conversation and how it ended."""
        self._changed = tuple(change.path for change in self._files)
        shown = await self._attempt_text(span) if rung.name == "lens" else ""
        if self.run.config.fresh and rung.name not in _FIRST_MODEL:
            await self._restore(span)
        if rung.name == _FIRST:
            return await self._carry_out(self.errand.first())
        if rung.name == "cheap_again":
            return await self._repair(span)
        if rung.name == "lens":
            return await self._under_new_lens(rung, span, shown)
        return await self._carry_out(self._conversation(rung, span, None, await self._diff(span)))

    async def _carry_out(self, work: Conversation) -> tuple[Conversation, Ending]:
        self.works.append(work)
        path = work.given.span.path
        self.run.ledger.open(path, self.errand.limits)
        try:
            return work, await work.to_the_end()
        finally:
            self.run.ledger.close(path)

    async def _repair(self, span: Span) -> tuple[Conversation, Ending]:
        """Go on in the conversation of the first rung, with what the check found."""
        last = self._tried[-1]
        assert last.work is not None
        self.run.gateway.pin(span, last.work.given.model)
        given = attrs.evolve(last.work.given, span=span)
        begun = last.work.continued(repair_text(last.attempt.evidence))
        again = Conversation(self.run, given, self.errand.tools, begun=begun)
        again.earlier = tuple(last.work.all_calls)
        return await self._carry_out(again)

    async def _under_new_lens(
        self, rung: PlannedRung, span: Span, shown: str
    ) -> tuple[Conversation | None, Ending]:
        """Have the smart model write a lens from what was tried, and the cheap one work under it."""
        place = LensPlace(span.child("lens"), self.errand.task, shown)
        written = await write_lens_at(self.run, self.models.smart, place)
        if written.lens is None:
            return None, Ending("error", "lens_failed", "", f"no lens: {written.reason}")
        self.run.lens, self.run.lens_left_out = written.lens, written.left_out
        at = Span(span.child("work").path, self.errand.span.depth)
        self.run.gateway.pin(at, rung.model)
        return await self._carry_out(self._conversation(rung, at, written.lens))

    def _conversation(
        self, rung: PlannedRung, span: Span, lens: EphemeralLens | None, diff: str = ""
    ) -> Conversation:
        run, prompt = self.run, self.errand.prompt
        if self._tried:
            evidence = self._tried[-1].told_evidence
            report = self._tried[-1].ended.answer
            before = before_you(evidence, report, self._changed, diff=diff, restored=run.config.fresh)
            prompt = f"{prompt}\n\n{before}"
        given = Assignment(
            span,
            rung.model,
            prompt,
            (*run.guidance.sections(lens), *([self.errand.brief] if self.errand.brief else [])),
            own_output_tokens(rung.model, run.config.max_output_tokens),
            rung.effort,
            stream=run.config.stream,
            closing_seconds=closing_seconds(run.ledger.seconds_left(self.errand.span.path)),
            facts=self.errand.facts,
        )
        work = Conversation(run, given, self.errand.tools)
        if not run.config.fresh:  # what others have changed already need not be changed again
            calls = [call for one in self._tried if one.work is not None for call in one.work.all_calls]
            work.earlier = tuple(call for call in calls if call.changed or call.is_opaque)
        return work

    async def _diff(self, span: Span) -> str:
        """Return what attempts have changed so far; noted, since the files go on changing."""
        if not self._tried or self.run.config.fresh:
            return ""
        noted = self.run.journal.find(Note, (span.path, _ATTEMPT))
        if noted is not None:
            return str(noted.value)
        diff = cut(diff_text(self.run.ladder_terms, self._files), _SHOWN_DIFF_CHARACTERS)
        await self.run.journal.append(Note(span.path, _ATTEMPT, diff), durable=False)
        return diff

    async def _attempt_text(self, span: Span) -> str:
        """Return what the lens writer is shown of the attempts; noted, since the files go on changing."""
        noted = self.run.journal.find(Note, (span.path, _ATTEMPT))
        if noted is not None:
            return str(noted.value)
        last = self._tried[-1]
        diff = diff_text(self.run.ladder_terms, self._files)
        text = attempt_text(
            diff,
            last.ended.answer[:_SHOWN_CHARACTERS],
            last.told_evidence,
            [one.attempt.model for one in self._tried],
            restored=self.run.config.fresh,
        )
        await self.run.journal.append(Note(span.path, _ATTEMPT, text), durable=False)
        return text

    @property
    def _files(self) -> tuple[FileChange, ...]:
        """Files as all attempts together have changed them."""
        return net_changes([change for work in self.works for change in work.calls.changes])

    async def _restore(self, span: Span) -> None:
        changed = await restore_files(self.run, span.child("restore"), self._files)
        self.works.append(PutBack(changed, self.works[-1]))

    def _cost_usd(self, rung: PlannedRung) -> Decimal | None:
        """Return what *rung* has cost so far: all calls that are labelled with it."""
        totals = dict(self.run.tally.bill(self.errand.span.path).split("rung"))
        return totals[rung.name].cost_usd if rung.name in totals else Decimal(0)

    def _climbed(self, last: Step) -> Climbed:
        tried = [one.attempt for one in self._tried]
        passed = tried[-1].passed
        answered = [one.ended for one in self._tried if one.ended.answer]
        ended = self._tried[-1].ended
        if not ended.answer and answered:
            last_said = answered[-1]
            ended = attrs.evolve(
                ended,
                answer=last_said.answer,
                answer_by=last_said.answer_by,
                answer_tokens=last_said.answer_tokens,
            )
        if not self._by:  # each attempt failed before there was any work: no check has looked
            passed = None
            ended = attrs.evolve(ended, error=one_line(f"{ended.error}; {last.reason}"))
        by = self._by or self.errand.checker.names
        gave_up = "" if passed else last.reason
        alone = (self._alone_usd(), self.models.smart.name)
        verification = Verification(
            passed, by, tried[-1].evidence, tuple(tried), gave_up, *alone, missed=self._missed
        )
        ended = self.errand.checker.in_time(ended)
        return Climbed(not_passed(ended, passed, self._missed or by, gave_up), verification)

    def _alone_usd(self) -> Decimal | None:
        """Return what the smart model alone would about have cost: the first rung's tokens at its price."""
        by_rung = {one.attempt.rung: one.attempt.cost_usd for one in self._tried}
        if "smart" in by_rung:
            return by_rung["smart"]
        price = self.run.gateway.prices.price(self.models.smart)
        totals = dict(self.run.tally.bill(self.errand.span.path).split("rung"))
        first = totals.get(self._tried[0].attempt.rung)
        if price is None or first is None or not first.calls:
            return None
        return price.rates.cost_usd(first.usage)


def not_passed(ended: Ending, passed: bool | None, by: Sequence[str], gave_up: str = "") -> Ending:
    """Return *ended* as it is after a check: work that a check found wrong is not done."""
    if passed is not False or ended.status not in ("ok", "error"):
        return ended
    more = f"; {gave_up}" if gave_up else ""
    why = f"the work did not pass its check ({', '.join(by)}){more}"
    return attrs.evolve(ended, status="incomplete", stop_reason="check_failed", error=one_line(why))
