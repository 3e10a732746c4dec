"""The planner's part in a batch: what is known before it starts, the plan, and what comes of it."""

import time
from collections.abc import Sequence
from typing import Any

import attrs

from sunwell.agent.cache_lessons import CacheLessons
from sunwell.agent.cache_planner import CachePlan, Choice, Siblings, plan
from sunwell.agent.run import Run
from sunwell.agent.start_gate import OpenGate, PilotGate, StartGate, WarmGate
from sunwell.agent.terms import Terms
from sunwell.core.message import digest_of
from sunwell.core.model import Caching
from sunwell.core.span import Span
from sunwell.core.task import Task
from sunwell.events import BATCH_PLANNED, BatchPlanned, Event, ModelCallFinished
from sunwell.journal.records import Note, WorkerClosed
from sunwell.models.prices import PriceBook
from sunwell.models.tokens import estimate_tokens

_CALLS_WITH_TOOLS = 6
"""Expected calls of a worker that has tools; one without has no second turn to make."""
_ASSUMED_SECONDS = 2.0
_PLAN, _PAD, _LESSON = "cache-plan", "cache-pad", "cache-lesson"
_BYTES_PER_TOKEN = 4


@attrs.frozen
class Planning:
    """Plans the batches of one run."""

    run: Run
    prices: PriceBook
    lessons: CacheLessons
    at_once: int
    choice: Choice | None = None
    """The way to take whatever it costs; ``None``: the cheapest."""
    may_pad: bool = False

    async def plan(self, terms: Terms, parent: Span, tasks: Sequence[Task]) -> tuple[Terms, StartGate]:
        """Return the terms of the workers of *parent*, and the gate through which they start.

        The plan is journalled with its figures, and so is what the first answers teach.
        """
        siblings = self._siblings(terms, self._open(parent, tasks))
        made = _forced(plan(siblings), self.choice)
        terms = await self._padded(terms, parent, made)
        calls = siblings.calls_per_worker
        caching = Caching(made.life, conversation=calls > 1, key=_key(terms))
        terms = attrs.evolve(terms, caching=caching)
        await self.run.journal.append(Note(parent.path, _PLAN, _figures(siblings, made)), durable=False)
        told = BatchPlanned(parent.path, siblings.workers, made.choice, made.reason, made.input_usd)
        self.run.tell(BATCH_PLANNED, told)
        return terms, self._gate(terms, parent, siblings, made)

    def _gate(self, terms: Terms, parent: Span, siblings: Siblings, made: CachePlan) -> StartGate:
        if not made.waits:
            return OpenGate()
        lesson = _Lesson(self, terms, parent, siblings.prefix_tokens)
        self.run.watch(lesson.see)
        if made.choice == "pre-warm":
            return WarmGate(self.run, terms, parent.child("pre-warm"), lesson.begun)
        return PilotGate(self.run, parent.path, lesson.begun)

    def _open(self, parent: Span, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks that an earlier process of this run has not finished."""
        find = self.run.journal.find
        spans = [(parent.worker(f"task-{index}"), task) for index, task in enumerate(tasks)]
        ended = [(find(WorkerClosed, (span.path,)), task) for span, task in spans]
        return [task for end, task in ended if end is None or end.status in ("cancelled", "error")]

    def _siblings(self, terms: Terms, tasks: Sequence[Task]) -> Siblings:
        model = terms.model
        price = self.prices.price(model)
        has_tools = bool(terms.tools.granted) and any(task.tools != () for task in tasks)
        return Siblings(
            max(1, len(tasks)),
            _prefix_tokens(terms),
            self.lessons.least_tokens(model),
            price,
            at_once=self.at_once,
            first_answer_seconds=self.lessons.first_answer_seconds(model) or _ASSUMED_SECONDS,
            calls_per_worker=_CALLS_WITH_TOOLS if has_tools else 1,
            may_pad=self.may_pad,
            has_long_life=price is not None and price.rates.cache_write_1h_usd is not None,
        )

    async def _padded(self, terms: Terms, parent: Span, made: CachePlan) -> Terms:
        """Return *terms* with a prefix that is as long as the run's first plan made it."""
        noted = self.run.journal.find(Note, (parent.path, _PAD))
        tokens = int(noted.value) if noted is not None else made.pad_tokens
        if noted is None and tokens:
            await self.run.journal.append(Note(parent.path, _PAD, tokens))
        return attrs.evolve(terms, system=(*terms.system, _padding(terms, tokens))) if tokens else terms


@attrs.define(eq=False)
class _Lesson:
    """Watches the first answers of a batch, and notes what they show of the provider's cache."""

    planning: Planning
    terms: Terms
    parent: Span
    prefix_tokens: int
    _has_begun: bool = attrs.field(default=False, init=False)
    _siblings: set[str] = attrs.field(factory=set, init=False)

    def begun(self, seconds: float) -> None:
        """Take note that the first answer has begun."""
        self._has_begun = True
        self.planning.lessons.saw_first_answer(self.terms.model, seconds)

    def see(self, event: Event) -> None:
        """Look for the first sibling that could read what the first answer has written."""
        match event:
            case ModelCallFinished(number=0, replayed=False, error="", purpose="work"):
                self._learn(event)

    def _learn(self, event: ModelCallFinished) -> None:
        if not event.span.startswith(f"{self.parent.path}/") or event.usage is None:
            return
        self._siblings.add(event.span)
        if self._has_begun and len(self._siblings) == 2:
            self.planning.lessons.saw_sibling(self.terms.model, event.usage, self.prefix_tokens)
            self.planning.run.unwatch(self.see)


def _forced(made: CachePlan, choice: Choice | None) -> CachePlan:
    if choice is None or choice == made.choice:
        return made
    usd = next((way.input_usd for way in made.ways if way.choice == choice), None)
    return attrs.evolve(made, choice=choice, reason=f"{choice} was asked for", input_usd=usd)


def _prefix_tokens(terms: Terms) -> int:
    texts = [*terms.system]
    for spec in terms.tools.specs:
        texts += (spec.name, spec.description, spec.schema_text)
    return sum(estimate_tokens(text) for text in texts)


def _key(terms: Terms) -> str:
    """Return what routes siblings to one cache: the same for the same prefix, in any process."""
    texts = [terms.model.name, *terms.system]
    for spec in terms.tools.specs:
        texts += (spec.name, spec.description, spec.schema_text)
    return f"sunwell-{digest_of(*texts).hex()[:24]}"


def _padding(terms: Terms, tokens: int) -> str:
    """Return text of about *tokens* tokens that says nothing new."""
    head = "The same once more:\n\n"
    texts = [*terms.system, *(spec.description for spec in terms.tools.specs)]
    once = "\n\n".join(texts) + "\n\n"
    wanted = tokens * _BYTES_PER_TOKEN * 5 // 4
    return head + (once * (wanted // len(once) + 1))[:wanted]


def _figures(siblings: Siblings, made: CachePlan) -> dict[str, Any]:
    ways = [[way.choice, str(way.input_usd), way.held_seconds] for way in made.ways]
    given = attrs.asdict(siblings, recurse=False) | {"price": None}
    if siblings.price is not None:
        given["price"] = [str(rate) for rate in attrs.astuple(siblings.price.rates)]
    return {"choice": made.choice, "reason": made.reason, "ways": ways, "given": given, "at": time.time()}
