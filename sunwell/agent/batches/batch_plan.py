"""The planner's part in a batch: what is known before it starts, the plan, and what comes of it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from sunwell.agent.policy.cache_planner import CacheLessons, CachePlan, Siblings, plan
from sunwell.agent.run.run_context import Run
from sunwell.agent.workers.start_gate import OpenGate, PilotGate, StartGate, WarmGate
from sunwell.agent.workers.worker import CALLS_WITH_TOOLS, WorkerTerms
from sunwell.context.options import CacheChoice
from sunwell.core.message import digest_of
from sunwell.core.model import Caching, Usage
from sunwell.core.span import Span
from sunwell.core.task import Task
from sunwell.events import BATCH_PLANNED, BatchPlanned, Event, ModelCallFinished
from sunwell.journal.records import Answer, Note, WorkerClosed
from sunwell.models.prices import PriceBook, provider_and_id
from sunwell.models.tokens import cache_life_seconds, estimate_tokens

_ASSUMED_SECONDS = 2.0
_PLAN, _PAD = "cache-plan", "cache-pad"
_LIFE_SECONDS = {"1h": 3_600.0}
_BYTES_PER_TOKEN = 4


@attrs.frozen
class Planning:
    """Plans the batches of one run."""

    run: Run
    prices: PriceBook
    lessons: CacheLessons
    at_once: int
    choice: CacheChoice | None = None
    """The way to take whatever it costs; ``None``: the cheapest."""
    may_pad: bool = False

    async def plan(
        self, terms: WorkerTerms, parent: Span, tasks: Sequence[Task]
    ) -> tuple[WorkerTerms, StartGate]:
        """Return the terms of the workers of *parent*, and the gate through which they start.

        The plan is journalled with its figures, and so is what the first answers teach.
        """
        terms, pad_tokens = self._padded_before(terms, parent)
        self._recall(terms, parent)
        siblings = self._siblings(terms, self._open(parent, tasks))
        made = plan(siblings, self.choice)
        if made.pad_tokens and not pad_tokens:
            terms = _padded(terms, made.pad_tokens)
            await self.run.journal.append(Note(parent.path, _PAD, made.pad_tokens))
        calls, key = siblings.calls_per_worker, _key(terms)
        caching = Caching(made.life, conversation=calls > 1, key=key)
        terms = attrs.evolve(terms, caching=caching)
        figures = _figures(siblings, made) | {"key": key, "life": made.life}
        await self.run.journal.append(Note(parent.path, _PLAN, figures), durable=False)
        told = BatchPlanned(parent.path, siblings.workers, made.choice, made.reason, made.input_usd)
        self.run.tell(BATCH_PLANNED, told)
        return terms, self._gate(terms, parent, siblings, made)

    def plan_spawned(
        self, terms: WorkerTerms, parent: Span, tasks: Sequence[Task], paths: Mapping[str, str]
    ) -> tuple[WorkerTerms, StartGate]:
        """Return terms and gate of workers that a model starts together, with one prompt before their tasks.

        *paths* are the paths of their spans by id. Nothing is padded or asked beforehand, and nothing of the
        plan is journalled: a resume plans those anew that are left.
        """
        siblings = attrs.evolve(self._siblings(terms, tasks), may_pad=False)
        made = plan(siblings, self.choice)
        caching = Caching(made.life, conversation=siblings.calls_per_worker > 1, key=_key(terms))
        terms = attrs.evolve(terms, caching=caching)
        told = BatchPlanned(parent.path, siblings.workers, made.choice, made.reason, made.input_usd)
        self.run.tell(BATCH_PLANNED, told)
        return terms, self._gate(terms, parent, siblings, made, paths)

    def _gate(
        self,
        terms: WorkerTerms,
        parent: Span,
        siblings: Siblings,
        made: CachePlan,
        paths: Mapping[str, str] | None = None,
    ) -> StartGate:
        if made.life is None:
            return OpenGate()
        seconds = self._life_seconds(terms, made.life)
        lesson = _Lesson(self.lessons, terms, parent, siblings.prefix_tokens, seconds)
        self.run.watch(lesson.see)
        if not made.waits:
            return OpenGate()
        if made.choice == "pre-warm" and paths is None:
            return WarmGate(self.run, terms, parent.child("pre-warm"), lesson.begun)
        return PilotGate(self.run, parent.path, lesson.begun, paths or {})

    def _life_seconds(self, terms: WorkerTerms, life: str) -> float:
        return _LIFE_SECONDS.get(life) or cache_life_seconds(*provider_and_id(terms.model))

    def _recall(self, terms: WorkerTerms, parent: Span) -> None:
        """Learn from what an earlier process wrote down when the cache last had the prefix."""
        noted = self.run.journal.find(Note, (parent.path, _PLAN))
        if noted is None or noted.value.get("key") != _key(terms) or noted.value.get("life") is None:
            return
        seconds = self._life_seconds(terms, noted.value["life"])
        for record in self.run.journal.records():
            match record:
                case Answer(purpose="work", completion=done) if _is_below(record.span, parent):
                    if _is_kept(done.usage):
                        begun = record.at - record.duration_seconds
                        self.lessons.saw_kept(_key(terms), begun, seconds)

    def _open(self, parent: Span, tasks: Sequence[Task]) -> list[Task]:
        """Return the tasks that an earlier process of this run has not finished."""
        find = self.run.journal.find
        spans = [(parent.worker(f"task-{index}"), task) for index, task in enumerate(tasks)]
        ended = [(find(WorkerClosed, (span.path,)), task) for span, task in spans]
        return [task for end, task in ended if end is None or end.status in ("cancelled", "error")]

    def _siblings(self, terms: WorkerTerms, tasks: Sequence[Task]) -> Siblings:
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
            call_seconds=self.lessons.call_seconds(model) or _ASSUMED_SECONDS,
            life_seconds=cache_life_seconds(*provider_and_id(model)),
            is_warm=self.lessons.is_warm(_key(terms)),
            calls_per_worker=CALLS_WITH_TOOLS if has_tools else 1,
            may_pad=self.may_pad,
            has_long_life=price is not None and price.rates.cache_write_1h_usd is not None,
        )

    def _padded_before(self, terms: WorkerTerms, parent: Span) -> tuple[WorkerTerms, int]:
        """Return *terms* with a prefix that is as long as the run's first plan made it, and by how much."""
        noted = self.run.journal.find(Note, (parent.path, _PAD))
        return (terms, 0) if noted is None else (_padded(terms, int(noted.value)), int(noted.value))


@attrs.define(eq=False)
class _Lesson:
    """Watches the answers of a batch, and notes what they show of the provider's cache."""

    lessons: CacheLessons
    terms: WorkerTerms
    parent: Span
    prefix_tokens: int
    life_seconds: float
    _has_begun: bool = attrs.field(default=False, init=False)
    _first: set[str] | None = attrs.field(factory=set, init=False)
    """The siblings that were answered first; ``None`` once there is nothing more to learn of them."""

    def begun(self, seconds: float) -> None:
        """Take note that the first answer has begun."""
        self._has_begun = True
        self.lessons.saw_first_answer(self.terms.model, seconds)

    def see(self, event: Event) -> None:
        """Look at each answer of a sibling."""
        match event:
            case ModelCallFinished(replayed=False, error="", purpose="work"):
                if event.usage is not None and _is_below(event.span, self.parent):
                    self._learn(event, event.usage)

    def _learn(self, event: ModelCallFinished, usage: Usage) -> None:
        lessons, model = self.lessons, self.terms.model
        lessons.saw_call(model, event.duration_seconds)
        if _is_kept(usage) and self.terms.caching.key is not None:
            since_seconds = event.duration_seconds
            if not usage.cache_read_tokens:  # an entry is there, and lives, from the answer's beginning on
                since_seconds -= min(since_seconds, lessons.first_answer_seconds(model) or 0.0)
            lessons.saw_kept(self.terms.caching.key, lessons.clock() - since_seconds, self.life_seconds)
        if self._first is None or event.number:
            return
        self._first.add(event.span)
        if self._has_begun and len(self._first) == 2:  # the first that could read what another has written
            lessons.saw_sibling(model, usage, self.prefix_tokens)
            self._first = None


def _is_below(span: str, parent: Span) -> bool:
    return span.startswith(f"{parent.path}/")


def _is_kept(usage: Usage | None) -> bool:
    """Whether a call with *usage* has read its prefix from the cache, or written it."""
    if usage is None:
        return False
    return usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens > 0


def _prefix_tokens(terms: WorkerTerms) -> int:
    texts = [*terms.system]
    for spec in terms.tools.specs:
        texts += (spec.name, spec.description, spec.schema_text)
    return sum(estimate_tokens(text) for text in texts)


def _key(terms: WorkerTerms) -> str:
    """Return what routes siblings to one cache: the same for the same prefix, in any process."""
    texts = [terms.model.name, *terms.system]
    for spec in terms.tools.specs:
        texts += (spec.name, spec.description, spec.schema_text)
    return f"sunwell-{digest_of(*texts).hex()[:24]}"


def _padded(terms: WorkerTerms, tokens: int) -> WorkerTerms:
    return attrs.evolve(terms, system=(*terms.system, _padding(terms, tokens)))


def _padding(terms: WorkerTerms, tokens: int) -> str:
    """Return text of about *tokens* tokens that says nothing new."""
    head = "The same once more:\n\n"
    texts = [*terms.system, *(spec.description for spec in terms.tools.specs)]
    once = "\n\n".join(texts) + "\n\n"
    wanted = tokens * _BYTES_PER_TOKEN
    return (head + once * (wanted // len(once) + 1))[:wanted]


def _figures(siblings: Siblings, made: CachePlan) -> dict[str, Any]:
    ways = [[way.choice, str(way.input_usd), way.held_seconds] for way in made.ways]
    given = attrs.asdict(siblings, recurse=False) | {"price": None}
    if siblings.price is not None:
        given["price"] = [str(rate) for rate in attrs.astuple(siblings.price.rates)]
    return {"choice": made.choice, "reason": made.reason, "ways": ways, "given": given, "at": time.time()}
