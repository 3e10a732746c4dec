"""The planner's part in a batch: what is known before it starts, the plan, and what comes of it."""

import asyncio
import time
from collections.abc import Collection, Sequence
from typing import Any

import attrs

from sunwell.agent.policy.cache_planner import SURELY, CacheLessons, CachePlan, Siblings, plan
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
NO_LENS = "no-lens"
"""The part of a batch whose workers do without its lens, to see what it does: below the batch, and apart."""
_LIFE_SECONDS = {"1h": 3_600.0}
_BYTES_PER_TOKEN = 4


@attrs.define(eq=False)
class SpawnedPrompt:
    """The prompt before the tasks of workers that a model starts under one parent, call after call."""

    terms: WorkerTerms
    parent: Span
    paths: dict[str, str] = attrs.field(factory=dict, init=False)
    """Paths of the spans of all workers that were started with it, by their ids."""
    spans: set[str] = attrs.field(factory=set, init=False)
    """The same paths."""
    gate: PilotGate | None = attrs.field(default=None, init=False)
    """The gate through which the latest of them start that are held."""
    lesson: "_Lesson | None" = attrs.field(default=None, init=False)

    def was_begun(self, within_seconds: float) -> bool:
        """Whether an answer to one of them began so lately: the cache can be read from then on.

        This is known before the call is over, whose usage says so.
        """
        began = None if self.gate is None else self.gate.opened_at
        return began is not None and asyncio.get_running_loop().time() - began < within_seconds


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
        self, terms: WorkerTerms, parent: Span, tasks: Sequence[Task], places: Sequence[int] | None = None
    ) -> tuple[WorkerTerms, StartGate]:
        """Return the terms of the workers of *parent*, and the gate through which they start.

        *places* are those of *tasks* in the batch; ``None``: they are the batch. The plan is journalled with
        its figures, and so is what the first answers teach.
        """
        terms, pad_tokens = self._padded_before(terms, parent)
        self._recall(terms, parent)
        siblings = self._siblings(terms, self._open(parent, tasks, places))
        made = plan(siblings, self.choice)
        if made.pad_tokens and not pad_tokens:
            terms = _padded(terms, made.pad_tokens)
            await self.run.journal.append(Note(parent.path, _PAD, made.pad_tokens))
        calls, key = siblings.calls_per_worker, prompt_key(terms)
        caching = Caching(made.life, conversation=calls > 1, key=key)
        terms = attrs.evolve(terms, caching=caching)
        figures = _figures(siblings, made) | {"key": key, "life": made.life}
        await self.run.journal.append(Note(parent.path, _PLAN, figures), durable=False)
        told = BatchPlanned(parent.path, siblings.workers, made.choice, made.reason, made.input_usd)
        self.run.tell(BATCH_PLANNED, told)
        return terms, self._gate(terms, parent, siblings, made)

    def plan_spawned(
        self, prompt: SpawnedPrompt, tasks: Sequence[Task], spans: Collection[str], at_once: int | None = None
    ) -> tuple[Caching, StartGate | None]:
        """Return how *prompt* is cached for *tasks*, which a model starts together, and their gate if any.

        *spans* are the paths of their spans, to which more may be added later. No more than *at_once* of them
        work at the same time. Nothing is padded or asked beforehand, and nothing of the plan is journalled:
        no recorded answer depends on it, and a resume plans anew.
        """
        terms = prompt.terms
        key, model = prompt_key(terms), terms.model
        life_seconds = cache_life_seconds(*provider_and_id(model))
        siblings = self._siblings(terms, tasks)
        siblings = attrs.evolve(
            siblings,
            may_pad=False,
            at_once=siblings.at_once if at_once is None else min(at_once, siblings.at_once),
            is_warm=siblings.is_warm or prompt.was_begun(life_seconds * SURELY),
        )
        if len(tasks) == 1:  # more of them may come with the next message: it is cached as any work is
            self._learn_of(prompt, siblings, life_seconds, terms.caching)
            return attrs.evolve(terms.caching, key=key), None
        made = plan(siblings, self.choice)
        caching = Caching(made.life, conversation=siblings.calls_per_worker > 1, key=key)
        told = BatchPlanned(prompt.parent.path, siblings.workers, made.choice, made.reason, made.input_usd)
        self.run.tell(BATCH_PLANNED, told)
        if made.life is None:
            return caching, None
        lesson = self._learn_of(prompt, siblings, self._life_seconds(terms, made.life), caching)
        if not made.waits:
            return caching, None
        # Workers of an earlier message may still wait for their first: it writes the prompt for all.
        if prompt.gate is None or not prompt.gate.holds:
            lesson.judge(spans)
            prompt.gate = PilotGate(
                self.run, prompt.parent.path, lesson.begun, prompt.paths, made.longest_hold_seconds
            )
        return caching, prompt.gate

    def _learn_of(
        self, prompt: SpawnedPrompt, siblings: Siblings, life_seconds: float, caching: Caching
    ) -> "_Lesson":
        terms = attrs.evolve(prompt.terms, caching=attrs.evolve(caching, key=prompt_key(prompt.terms)))
        if prompt.lesson is None:
            prompt.lesson = _Lesson(
                self.lessons, terms, prompt.parent, siblings.prefix_tokens, life_seconds, prompt.spans
            )
            self.run.watch(prompt.lesson.see)
        prompt.lesson.terms, prompt.lesson.life_seconds = terms, life_seconds
        return prompt.lesson

    def _gate(
        self,
        terms: WorkerTerms,
        parent: Span,
        siblings: Siblings,
        made: CachePlan,
    ) -> StartGate:
        if made.life is None:
            return OpenGate()
        seconds = self._life_seconds(terms, made.life)
        lesson = _Lesson(self.lessons, terms, parent, siblings.prefix_tokens, seconds)
        self.run.watch(lesson.see)
        if not made.waits:
            return OpenGate()
        if made.choice == "pre-warm":
            return WarmGate(self.run, terms, parent.child("pre-warm"), lesson.begun)
        longest = made.longest_hold_seconds
        return PilotGate(self.run, parent.path, lesson.begun, longest_hold_seconds=longest)

    def _life_seconds(self, terms: WorkerTerms, life: str) -> float:
        return _LIFE_SECONDS.get(life) or cache_life_seconds(*provider_and_id(terms.model))

    def _recall(self, terms: WorkerTerms, parent: Span) -> None:
        """Learn from what an earlier process wrote down when the cache last had the prefix."""
        noted = self.run.journal.find(Note, (parent.path, _PLAN))
        if noted is None or noted.value.get("key") != prompt_key(terms) or noted.value.get("life") is None:
            return
        seconds = self._life_seconds(terms, noted.value["life"])
        for record in self.run.journal.records():
            match record:
                case Answer(purpose="work", completion=done) if _is_below(record.span, parent):
                    if _is_kept(done.usage):
                        begun = record.at - record.duration_seconds
                        self.lessons.saw_kept(prompt_key(terms), begun, seconds)

    def _open(self, parent: Span, tasks: Sequence[Task], places: Sequence[int] | None) -> list[Task]:
        """Return the tasks that an earlier process of this run has not finished."""
        find = self.run.journal.find
        numbered = zip(range(len(tasks)) if places is None else places, tasks, strict=True)
        spans = [(parent.worker(f"task-{place}"), task) for place, task in numbered]
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
            is_warm=self.lessons.is_warm(prompt_key(terms)),
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
    """Watches the answers of siblings, and notes what they show of the provider's cache."""

    lessons: CacheLessons
    terms: WorkerTerms
    parent: Span
    prefix_tokens: int
    life_seconds: float
    spans: Collection[str] | None = None
    """Paths of the siblings' spans; ``None``: all work below the parent is theirs."""
    _has_begun: bool = attrs.field(default=False, init=False)
    _first: dict[str, Usage] | None = attrs.field(factory=dict, init=False)
    """The siblings that were answered first; ``None`` once there is nothing more to learn of them."""
    _judged: Collection[str] | None = attrs.field(default=None, init=False)
    """Spans of those that start together; ``None``: all."""

    def judge(self, spans: Collection[str]) -> None:
        """Look at the first answers in *spans*, whose workers start together."""
        self._has_begun, self._first, self._judged = False, {}, spans

    def begun(self, seconds: float) -> None:
        """Take note that the first answer has begun."""
        self._has_begun = True
        self.lessons.saw_first_answer(self.terms.model, seconds)

    def see(self, event: Event) -> None:
        """Look at each answer of a sibling."""
        match event:
            case ModelCallFinished(replayed=False, error="", purpose="work"):
                if event.usage is not None and self._is_siblings(event.span):
                    self._learn(event, event.usage)

    def _is_siblings(self, span: str) -> bool:
        if self.spans is None:
            return _is_below(span, self.parent)
        return span in self.spans  # not what is below: workers of workers may begin with another prompt

    def _learn(self, event: ModelCallFinished, usage: Usage) -> None:
        lessons, model = self.lessons, self.terms.model
        lessons.saw_call(model, event.duration_seconds)
        if _is_kept(usage) and self.terms.caching.key is not None:
            since_seconds = event.duration_seconds
            if not usage.cache_read_tokens:  # an entry is there, and lives, from the answer's beginning on
                since_seconds -= min(since_seconds, lessons.first_answer_seconds(model) or 0.0)
            lessons.saw_kept(self.terms.caching.key, lessons.clock() - since_seconds, self.life_seconds)
        if self._first is None or event.number or not self._is_judged(event.span):
            return
        self._first[event.span] = usage
        if self._has_begun and len(self._first) == 2:
            # One of them could read what the other has written. Who goes first may well be done last.
            best = max(self._first.values(), key=lambda one: one.cache_read_tokens)
            lessons.saw_sibling(model, best, self.prefix_tokens)
            self._first = None

    def _is_judged(self, span: str) -> bool:
        return self._judged is None or span in self._judged


def _is_below(span: str, parent: Span) -> bool:
    """Whether *span* is below *parent*, and not of the workers there that have another prompt."""
    return span.startswith(f"{parent.path}/") and not span.startswith(f"{parent.child(NO_LENS).path}/")


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


def prompt_key(terms: WorkerTerms) -> str:
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
