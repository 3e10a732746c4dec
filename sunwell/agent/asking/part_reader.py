"""What scripts ask about parts of a context: counted before it is paid, each question once, kept in notes."""

import asyncio
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import attrs

from sunwell.agent.asking.part_sizes import MOST_ANSWER_TOKENS
from sunwell.agent.asking.passages import Extent
from sunwell.agent.policy.cache_planner import CachePlan, Siblings, plan
from sunwell.agent.prompts import read_system, read_text
from sunwell.agent.run.run_context import Run
from sunwell.context.long_context import Handle
from sunwell.core.markdown import one_line
from sunwell.core.message import History, digest_of, user
from sunwell.core.model import Caching, Completion, ModelProtocol, Request
from sunwell.core.span import Span
from sunwell.core.threads import in_thread
from sunwell.errors import BudgetExhausted, ModelError, ToolError
from sunwell.events import BATCH_PLANNED, BatchPlanned
from sunwell.models.prices import provider_and_id
from sunwell.models.room import own_output_tokens
from sunwell.models.tokens import cache_life_seconds, estimate_tokens
from sunwell.tools.wording import counted

MOST_AT_ONCE = 64
"""Calls of one fan-out that are under way at the same time."""
_LONGEST_ANSWER_TOKENS = 16_000
_ASSUMED_SECONDS = 2.0
_PROMPT_BYTES = 20_000
Part = Handle | str


@attrs.frozen
class PartQuestion:
    """One question about one part. Its text is read again when it is sent: a fan-out may be long."""

    name: str
    """Names the question: the same for the same model, prompt, text and limit of the answer."""
    about: str
    """The same whatever the limit of the answer is."""
    tokens: int
    """Estimated input."""
    most_tokens: int
    """Longest answer."""
    system: tuple[str, ...]
    """What all questions of a fan-out have in common."""
    extents: tuple[Extent, ...]
    """Where the text is from; none: a script put it together."""
    request: Callable[[], Request]
    """Reads the text, and so blocks."""


@attrs.frozen
class ReadAnswer:
    """What came of a question: the answer, or why there is none."""

    text: str
    failed: str = ""
    cut: str = ""
    """A mark that the answer ended at its limit of tokens; it is not in the text."""

    @property
    def value(self) -> str:
        """What the script gets."""
        if self.failed:
            return f"[no answer: {self.failed}]"
        return f"{self.text}\n{self.cut}" if self.cut else self.text


@attrs.frozen
class FanOut:
    """Questions that are asked together, counted before they are paid."""

    model: str
    questions: int
    calls: int
    """Questions that nobody has answered yet."""
    most_usd: Decimal | None
    """Estimated input and the longest answers; ``None``: the price is unknown."""
    most_tokens: int

    def __str__(self) -> str:
        known = "" if self.most_usd is None else f", at most ${self.most_usd:.4f}"
        again = self.questions - self.calls
        kept = f" ({again:,} of {self.questions:,} are answered already)" if again else ""
        return f"{counted(self.calls, 'call')} to {self.model}{known}{kept}"


@attrs.define(eq=False)
class PartReader:
    """Asks one model about parts of a context. All sessions of a run share it, so each question is paid once.

    A call of a script is kept in a note with its outcome: which questions failed, and why. Answers themselves
    are in the journal under a span that the question names.
    """

    run: Run
    model: ModelProtocol
    span: Span
    """Under it each question has a span of its own, pinned to the model."""
    answers: dict[str, ReadAnswer] = attrs.field(factory=dict, init=False)
    _failed: dict[str, int] = attrs.field(factory=dict, init=False)
    """How often a question came to no answer: each attempt has a span of its own."""
    _asking: dict[str, asyncio.Lock] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self.run.gateway.pin(self.span, self.model)

    async def asked(self, prompt: Any, part: Part | Sequence[Part], most_tokens: Any) -> PartQuestion:
        """Return the question. Raises :exc:`~sunwell.errors.ToolError` for one that cannot be asked."""
        if not isinstance(prompt, str) or not prompt.strip():
            raise ToolError("the prompt is a text that says what to find or to do")
        if len(prompt.encode("utf-8", "replace")) > _PROMPT_BYTES:
            raise ToolError(f"the prompt is longer than {_PROMPT_BYTES:,} bytes: put text into the part")
        if type(most_tokens) is not int or not 1 <= most_tokens <= _LONGEST_ANSWER_TOKENS:
            raise ToolError(f"most_tokens is a number from 1 to {_LONGEST_ANSWER_TOKENS:,}")
        parts: list[Any] = list(part) if isinstance(part, list | tuple) else [part]
        return await in_thread(self._question, prompt, parts, most_tokens)

    def _question(self, prompt: str, parts: Sequence[Part], most_tokens: int) -> PartQuestion:
        redact, own = self.run.gateway.redact, own_output_tokens(self.model)
        system = tuple(map(redact, read_system(prompt)))
        most = most_tokens if own is None else min(most_tokens, own)

        def request() -> Request:
            text, places = _joined(parts)
            shown = read_text([redact(place) for place in places], redact(text))
            caching = Caching(None, conversation=False)
            return Request(History([user(shown)]), system, (), most, caching=caching)

        made = request()
        extents = tuple(Extent.of(part) for part in parts if isinstance(part, Handle))
        about = f"q-{made.digest(self.model.name)[:24]}"  # which leaves the limit of the answer out
        name = about if most_tokens == MOST_ANSWER_TOKENS else f"{about}-most-{most_tokens}"
        return PartQuestion(name, about, _tokens_of(made), most, system, extents, request)

    def counted(self, questions: Sequence[PartQuestion]) -> FanOut:
        """Return what *questions* take, before any of them is asked."""
        price, open_ones = self.run.gateway.prices.price(self.model), self._open(questions)
        sizes = [(one.tokens, one.most_tokens) for one in open_ones]
        usd = None if price is None else price.worst_usd(sizes, written=None)
        return FanOut(self.model.name, len(questions), len(open_ones), usd, sum(map(sum, sizes)))

    def require_room(self, fan_out: FanOut, kept_usd: Decimal, kept_tokens: int) -> None:
        """Raise :exc:`~sunwell.errors.ToolError` if *fan_out* does not fit what the budget leaves.

        What is kept is for whoever reads the answers.
        """
        ledger, path = self.run.ledger, self.span.path
        usd, tokens = ledger.usd_left(path), ledger.tokens_left(path)
        if usd is not None and fan_out.most_usd is not None:
            room = max(Decimal(0), usd - kept_usd)
            if fan_out.most_usd > room:
                kept = f" of the ${usd:.4f} that is left: the rest is kept for your next message"
                raise ToolError(f"{fan_out} do not fit: ${room:.4f} is left for them{kept}. {_LESS}")
        if tokens is not None:
            tokens = max(0, tokens - kept_tokens)
            if fan_out.most_tokens > tokens:
                needed = f"{fan_out}, {fan_out.most_tokens:,} tokens"
                raise ToolError(f"{needed}, do not fit: {tokens:,} are left for them. {_LESS}")

    async def read(self, questions: Sequence[PartQuestion]) -> list[ReadAnswer]:
        """Return the answers in the order of *questions*; a failure is an answer that says so."""
        open_ones = self._open(questions)
        made = self._planned(open_ones)
        caching = Caching(None, conversation=False)
        if made is not None:
            reason = f"{self.counted(questions)}; {made.reason}"
            planned = BatchPlanned(self.span.path, len(open_ones), made.choice, reason, made.input_usd)
            self.run.tell(BATCH_PLANNED, planned)
            key = f"sunwell-{digest_of(self.model.name, *open_ones[0].system).hex()[:24]}"
            caching = Caching(made.life, conversation=False, key=key)
        found: dict[str, ReadAnswer] = {}
        by_name = {one.name: one for one in questions}
        first = [open_ones[0].name] if made is not None and made.waits else []
        for name in first:  # it writes the prompt into the cache, which the others read
            found[name] = await self._answer(by_name[name], caching)
        slots = asyncio.Semaphore(MOST_AT_ONCE)

        async def answer(one: PartQuestion) -> None:
            async with slots:
                found[one.name] = await self._answer(one, caching)

        try:
            async with asyncio.TaskGroup() as tasks:
                for name, one in by_name.items():
                    if name not in found:
                        tasks.create_task(answer(one))
        except BaseExceptionGroup as errors:  # a broken journal or pin: callers know errors one by one
            raise errors.exceptions[0] from None
        return [found[one.name] for one in questions]

    def recall(self, name: str, failed: str) -> None:
        """Take note that an earlier process had no answer to the question *name*, if it *failed*."""
        if failed:
            self._failed[name] = self._failed.get(name, 0) + 1

    async def recorded(self, question: PartQuestion, failed: str) -> ReadAnswer:
        """Return what came of *question* in an earlier process; its answer is in the journal."""
        return ReadAnswer("", failed) if failed else await self._answer(question)

    def _open(self, questions: Sequence[PartQuestion]) -> list[PartQuestion]:
        known = {one.name: one for one in questions if one.name not in self.answers}
        has_answer, failed = self.run.gateway.has_answer, self._failed
        return [
            one for one in known.values() if not has_answer(self._span_of(one.name, failed.get(one.name, 0)))
        ]

    def _planned(self, questions: Sequence[PartQuestion]) -> CachePlan | None:
        """Return how the prompt that *questions* share is cached; ``None``: there is nothing to share."""
        if len(questions) < 2:
            return None
        config, model = self.run.config, self.model
        price = self.run.gateway.prices.price(model)
        lessons = config.lessons
        first_seconds = lessons.first_answer_seconds(model) or _ASSUMED_SECONDS
        siblings = Siblings(
            len(questions),
            sum(estimate_tokens(text) for text in questions[0].system),
            lessons.least_tokens(model),
            price,
            at_once=MOST_AT_ONCE,
            first_answer_seconds=first_seconds,
            call_seconds=max(first_seconds, lessons.call_seconds(model) or _ASSUMED_SECONDS),
            life_seconds=cache_life_seconds(*provider_and_id(model)),
            has_long_life=price is not None and price.rates.cache_write_1h_usd is not None,
        )
        return plan(siblings, config.cache_choice)

    async def _answer(self, one: PartQuestion, caching: Caching | None = None) -> ReadAnswer:
        async with self._asking.setdefault(one.name, asyncio.Lock()):
            if one.name in self.answers:
                return self.answers[one.name]
            span = self._span_of(one.name, self._failed.get(one.name, 0))
            request = await in_thread(one.request)
            if caching is not None:
                request = attrs.evolve(request, caching=caching)
            try:
                completion = await self.run.gateway.ask(
                    span, self.model, request, purpose="read", remember=True
                )
            except (ModelError, BudgetExhausted) as error:
                self.recall(one.name, failed=str(error))
                return ReadAnswer("", one_line(self.run.gateway.redact(str(error)))[:300])
            if failed := _flaw(completion):
                self.recall(one.name, failed)
                return ReadAnswer("", failed)
            answer = ReadAnswer(completion.text, cut=_cut(one) if completion.stop == "length" else "")
            self.answers[one.name] = answer
            return answer

    def _span_of(self, name: str, failed: int) -> Span:
        return self.span.child(f"{name}-{failed + 1}" if failed else name)


_LESS = "Ask about fewer parts, or for shorter answers (most_tokens)"


def _cut(one: PartQuestion) -> str:
    return f"[cut off at {one.most_tokens:,} tokens: raise most_tokens, or ask for smaller parts]"


def _flaw(completion: Completion) -> str:
    """Return why *completion* is no answer; empty if it is one, cut or not."""
    if completion.stop in ("refusal", "window", "other", "pause"):
        return f"the model stopped without an answer ({completion.stop})"
    return "" if completion.text.strip() else "the model wrote nothing"


def _tokens_of(request: Request) -> int:
    return sum(map(estimate_tokens, request.system)) + sum(
        estimate_tokens(message.text) for message in request.messages
    )


def _joined(parts: Sequence[Any]) -> tuple[str, list[str]]:
    """Return the text of *parts*, and the places of those that a context has."""
    texts: list[str] = []
    places: list[str] = []
    for part in parts:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, Handle):
            texts.append(part.text())
            places.append(str(part.place))
        else:
            raise ToolError(f"a part is a part of the context or a string, not {type(part).__name__}")
    text = "\n".join(texts)
    if not text.strip():
        raise ToolError("the part is empty: there is nothing to ask about")
    return text, places
