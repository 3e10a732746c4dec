"""One piece of work: a model, its tools and a conversation, turn by turn, to an answer or a limit."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from decimal import Decimal
from operator import is_
from typing import Protocol, Self

import attrs

from sunwell.agent.conversation.compaction import Compactor, WindowFull
from sunwell.agent.conversation.facts_seen import FactsAsked
from sunwell.agent.conversation.final_call import (
    CLOSING_HISTORY_BYTES,
    CLOSING_OUTPUT_TOKENS,
    ClosingText,
    ClosingWords,
    bare_tokens,
    closing_caching,
    closing_reserve,
    closing_seconds,
    closing_words,
    fitting_request,
    shown_sizes,
    unanswered,
    with_words,
)
from sunwell.agent.conversation.tool_calls import CallRunner, with_sound_ids
from sunwell.agent.prompts import (
    CALL_CUT_OFF,
    CALL_NOT_RUN,
    CONTINUE,
    EMPTY_MESSAGE,
    THINK_LESS,
    answer_cut,
    facts_text,
)
from sunwell.agent.run.composed_answer import composed_answer
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import Fact, SeenCall, told_of
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import History, Message, Text, Thinking, net_changes, user
from sunwell.core.model import CacheLife, Caching, Completion, Effort, ModelProtocol, Purpose, Request
from sunwell.core.price import Price
from sunwell.core.span import Span
from sunwell.core.task import Status, StopReason
from sunwell.errors import BudgetExhausted, ModelError, RequestTooLong
from sunwell.events import BUDGET_EXHAUSTED, BudgetUsedUp
from sunwell.journal.records import Note
from sunwell.models.dialects import written_life
from sunwell.models.room import own_output_tokens
from sunwell.models.tokens import estimate_tokens, input_bound_tokens


class ConversationHooks(Protocol):
    """Tells the model where it stands, and knows when it has declared its answer."""

    async def remark(self, turn: int) -> str:
        """Return what is said at the end of the prompt of *turn*; the same text each time it is asked."""
        ...

    def declared(self) -> Ending | None:
        """Return the end where the model has declared one."""
        ...

    async def wind_up(self, reason: StopReason, turn: int, most_bytes: int) -> str:
        """End what was handed out, since a limit is met; return what came of it, for the closing call."""
        ...

    def partial(self) -> str:
        """Return an answer made of what is there; empty where there is nothing."""
        ...

    def draft(self) -> str:
        """Return the model's draft of its answer; empty if there is none."""
        ...


_TIMED_OUT = "timed-out"
_CLOSING_WORDS = "closing-words"
_FACTS_TOLD = "facts-told"
"""Name of the note with what the model was told of the facts, and at which turn."""
_LIMITS: dict[str, StopReason] = {
    "usd": "budget_usd",
    "tokens": "budget_tokens",
    "new_tokens": "budget_tokens",
    "calls": "calls",
    "turns": "turns",
    "seconds": "timeout",
}
_MOST_CONTINUATIONS = 3
_TURNS_AT_ONCE = 8
"""Turns of a record that are played again before other tasks can run."""
_MOST_THOUGHTS = 2
_NEARLY = 0.95
"""Part of an answer's limit from which on it is not worth continuing."""
_SURELY = 0.9
"""Part of the room that a shortened conversation is made for: how many tokens it has is an estimate."""


@attrs.frozen
class Assignment:
    """What one piece of work is given."""

    span: Span
    model: ModelProtocol
    prompt: str
    system: tuple[str, ...] = ()
    max_output_tokens: int | None = None
    effort: Effort | None = None
    caching: Caching = Caching()
    stream: bool = False
    closing_seconds: float = 0.0
    """Time that is kept for the closing call."""
    purpose: Purpose = "work"
    most_turns: int | None = None
    """Most turns of this work itself; ``None``: only the ledger's ceilings hold."""
    max_answer_tokens: int | None = None
    """Most tokens of the whole answer, continuations included; ``None``: no limit but that of each message.

    Messages have this limit, too, until one is cut before its answer begins, in a call or while the model
    thinks: from then on they have the usual limit, and a longer answer is cut when it is there.
    """
    closing: ClosingText | None = None
    """What is said at a limit, with the words that what is left pays for; ``None``: the usual."""
    facts: FactsAsked = FactsAsked()
    """What the work is looked over for when its answer is there."""

    @classmethod
    def of(
        cls,
        run: Run,
        span: Span,
        model: ModelProtocol,
        *,
        lens: EphemeralLens | None = None,
        effort: Effort | None = None,
    ) -> Self:
        """Return the task of *run* as *model* is given it in *span*, under *lens* if there is one."""
        return cls(
            span,
            model,
            run.task,
            run.guidance.sections(lens),
            own_output_tokens(model, run.config.max_output_tokens),
            effort,
            stream=run.config.stream,
            closing_seconds=closing_seconds(run.config.ceilings.seconds),
            facts=FactsAsked("all", run.task),
        )


@attrs.define(eq=False)
class Conversation:
    """Carries an :class:`Assignment` out. Used once."""

    run: Run
    given: Assignment
    tools: Toolset
    hooks: ConversationHooks | None = None
    """Who stands by work that hands out other work."""
    begun: History | None = None
    """A conversation that this one goes on with, instead of beginning with the prompt."""
    tokens_per_byte: float | None = None
    """Of the latest request of that conversation, as the provider counted them; ``None``: unknown."""
    turns: int = attrs.field(default=0, init=False)
    calls: CallRunner = attrs.field(init=False)
    on_turn: Callable[[int], None] | None = attrs.field(default=None, init=False)
    """Told after each turn how many there were."""
    hand_over: Callable[[int], Awaitable[str]] | None = attrs.field(default=None, init=False)
    """Asked, with the number of turns so far, when the model writes words without a call; it returns what its
    workers report, or nothing if the words are the end. ``None``: they always are."""
    end_pays: Callable[[int], bool] | None = attrs.field(default=None, init=False)
    """Asked, with the number of turns so far, whether the end is written to the cache; ``None``: yes."""
    keeps_reserve: Callable[[int], bool] | None = attrs.field(default=None, init=False)
    """Asked, with the number of turns so far, whether money is kept for the closing call; ``None``: yes."""
    _history: History = attrs.field(init=False)
    _pieces: list[str] = attrs.field(factory=list, init=False)
    """Pieces of an answer that was cut and is being continued."""
    _piece_tokens: int = attrs.field(default=0, init=False)
    """What these pieces took of the limit of the whole answer."""
    _has_usual_limit: bool = attrs.field(default=False, init=False)
    """Whether messages have the usual limit although the answer has one."""
    last_text: str = attrs.field(default="", init=False)
    """The latest plain text that the model said."""
    _answer_tokens: int | None = attrs.field(default=0, init=False)
    """Output tokens of the pieces of the answer so far; ``None`` where nobody said."""
    _price: Price | None = attrs.field(default=None, init=False)
    _bare_tokens: int = attrs.field(default=0, init=False)
    _empty: int = attrs.field(default=0, init=False)
    _thoughts: int = attrs.field(default=0, init=False)
    """Answers that were cut before the model had written anything."""
    _results: Message | None = attrs.field(default=None, init=False)
    """Results of tools that are not in the conversation yet."""
    _met_time_limit: bool = attrs.field(default=False, init=False)
    """Whether this turn met the time limit when it was recorded."""
    _is_known_time_out: bool = attrs.field(default=False, init=False)
    _compactor: Compactor = attrs.field(init=False)
    _uncut: History = attrs.field(init=False)
    """The conversation of this turn before it was made shorter for it."""
    _other_bytes: int | None = attrs.field(default=None, init=False)
    """Bytes of system prompt and tools."""
    earlier: tuple[SeenCall, ...] = attrs.field(default=(), init=False)
    """Calls of attempts that this work goes on from: what they did need not be done again."""
    _first: Ending | None = attrs.field(default=None, init=False)
    """The end that would have been, had the model not been told the facts about it."""
    _told_at: int = attrs.field(default=0, init=False)
    """Tool calls at that time."""
    _closing: tuple[tuple[object, ...], CacheLife | None] | None = attrs.field(default=None, init=False)
    """What the closing call would write to the cache, after what that rests on."""

    def __attrs_post_init__(self) -> None:
        self.calls = CallRunner(self.run, self.given.span, self.tools)
        self._history = History([user(self.given.prompt)]) if self.begun is None else self.begun
        given = self.given
        self._price = self.run.gateway.prices.price(given.model)
        can_read = any(spec.name == "read_file" for spec in self.tools.specs)
        self._compactor = Compactor(self.run, given.span, given.model, given.max_output_tokens, can_read)
        self._compactor.start_with(self.tokens_per_byte)

    async def to_the_end(self) -> Ending:
        """Return how the work ended. Limits, refusals and providers' failures are ends, not exceptions.

        Raises :exc:`~sunwell.errors.JournalError` and :exc:`~sunwell.errors.PinError`, and lets
        cancellation pass.
        """
        try:
            ended = await self._all_turns()
        except (TimeoutError, BudgetExhausted, WindowFull, ModelError) as error:
            return self._first_end(_why(error)) or await self._end_by(error)
        return ended if ended.status == "ok" else self._first_end(ended.error) or ended

    async def _end_by(self, error: Exception) -> Ending:
        match error:
            case TimeoutError():
                return await self._stop(self._time_is_up())
            case BudgetExhausted():
                return await self._stop(error)
            case WindowFull():
                return await self._close("window", _WINDOW)
        return self.composed_end("error", "model_error", str(error))

    def composed_end(
        self, status: Status, reason: StopReason, sentence: str, words: str = "", *, is_cut: bool = False
    ) -> Ending:
        """Return an end whose answer is put together here.

        *words* are those of a closing call without a proper end; *is_cut*: they begin an answer.
        """
        draft = self.hooks.draft() if self.hooks is not None else ""
        delivered = self.hooks.partial() if self.hooks is not None and not draft else ""
        answer = composed_answer(
            sentence,
            last_words=words or ("" if draft or delivered else self.last_text),
            is_cut=is_cut and bool(words.strip()),
            draft=draft,
            delivered=delivered,
            files=net_changes(self.calls.changes),
            commands=self.calls.commands,
        )
        return Ending(status, reason, answer, sentence, "harness" if answer else "model")

    def continued(self, words: str) -> History:
        """Return the conversation after its end with *words* of the user behind it, for one that goes on."""
        return with_words(self.until_now(CALL_NOT_RUN), words)

    def until_now(self, why: str) -> History:
        """Return the conversation after its end; calls without a result are answered with *why*."""
        self._keep_results()
        history = self._history
        if history[-1].tool_calls:
            history = history.plus(unanswered(history[-1], why))
        return history

    @property
    def measured_tokens_per_byte(self) -> float | None:
        """Tokens of a byte of the latest request, as the provider counted them; ``None``: unknown."""
        return self._compactor.tokens_per_byte

    async def _all_turns(self) -> Ending:
        while True:
            await self.run.gateway.hold()  # outside the time limit: our caller's time is not ours
            if self.run.resumed and self.turns % _TURNS_AT_ONCE == 0:
                await asyncio.sleep(0)  # turns on record wait for nothing, and others may want to stop us
            try:
                async with self.run.time_limits.limit(self._seconds):
                    ended = await self._turn()
            except TimeoutError:
                await self._note_time_out()
                raise
            self.turns += 1
            if self.on_turn is not None:
                self.on_turn(self.turns)
            if ended is not None:
                return ended

    def _timed_out_before(self) -> bool:
        """Whether this very turn met the time limit when it was recorded: time does not come again."""
        if not self.run.resumed or not self.run.gateway.heed_refusals:
            return False
        noted = self.run.journal.find(Note, (self.given.span.path, _TIMED_OUT))
        return noted is not None and noted.value == self.turns

    async def _note_time_out(self) -> None:
        self._is_known_time_out = self._timed_out_before()
        if not self._is_known_time_out:
            await self.run.journal.append(Note(self.given.span.path, _TIMED_OUT, self.turns))

    def _seconds(self) -> float | None:
        """Return the time for this turn: what is left, less what is kept for closing."""
        self._met_time_limit = self._timed_out_before()
        if self._met_time_limit:
            return 0.0
        left = self.run.ledger.seconds_left(self.given.span.path)
        return None if left is None else max(0.0, left - self.given.closing_seconds)

    def _seconds_left(self) -> float | None:
        return self.run.ledger.seconds_left(self.given.span.path)

    async def _turn(self) -> Ending | None:
        most, path = self.given.most_turns, self.given.span.path
        if most is not None and self.turns >= most:
            raise BudgetExhausted("turns", Decimal(1), Decimal(self.turns), Decimal(most), path)
        self.run.ledger.take_turn(path)
        await self._prepare()
        return await self._take(await self._ask())

    async def _prepare(self) -> None:
        """Make the conversation what it is at this turn: short enough, with the status at its end.

        The status stands in the message before, behind the results: some servers want the sides of
        a conversation to take turns. Where the model goes on with a text of its own, there is none.
        """
        if self.hooks is not None and (self._results is not None or not self.turns):
            self._keep_results(await self.hooks.remark(self.turns))
        self._uncut = self._history
        self._history = await self._compactor.fit(self._history, self._others(), self.turns)

    def _others(self) -> int:
        if self._other_bytes is None:  # the same at each turn, and long
            self._other_bytes = self._request().size_bytes - self._history.size_bytes
        return self._other_bytes

    def _keep_results(self, remark: str = "") -> None:
        """Add the results of the last turn to the conversation, with *remark* after them."""
        message, self._results = self._results, None
        if message is None and remark and self.begun is not None:
            self._history = with_words(self._history, remark)
        elif message is None and remark:
            self._history = History([user(f"{self.given.prompt}\n\n{remark}")])
        elif message is not None:
            more = (Text(remark),) if remark else ()
            self._history = self._history.plus(Message(message.role, (*message.parts, *more)))

    def _request(self) -> Request:
        given = self.given
        return Request(
            self._history,
            given.system,
            self.tools.specs,
            self._message_tokens(),
            effort=given.effort,
            caching=self._caching(),
        )

    def _message_tokens(self) -> int | None:
        """Return the limit of the next message; ``None``: the usual one of the model."""
        given = self.given
        if given.max_answer_tokens is None or self._has_usual_limit:
            return given.max_output_tokens
        left = max(1, given.max_answer_tokens - self._piece_tokens)
        return left if given.max_output_tokens is None else min(left, given.max_output_tokens)

    async def _ask(self) -> Completion:
        """Return the answer of this turn.

        A conversation that is refused as too long, or that has no room in the budget, is made shorter once.
        """
        try:
            return await self._ask_as_it_is()
        except BudgetExhausted as refusal:
            shorter = await self._affordable(refusal)
            if shorter is None:
                raise
            self._history = shorter
        except RequestTooLong as refusal:
            if refusal.output_limit_tokens is not None:  # it was not the conversation that was too long
                raise
            self._history = await self._compactor.shorten(
                self._uncut, self._others(), self.turns, self._history.size_bytes, refusal
            )
        try:
            return await self._ask_as_it_is()
        except RequestTooLong as refusal:
            raise WindowFull from refusal

    async def _affordable(self, refusal: BudgetExhausted) -> History | None:
        """Return the conversation made so short that a call has room; ``None`` if it cannot be."""
        if refusal.limit not in ("usd", "tokens"):
            return None
        run, given, path = self.run, self.given, self.given.span.path
        least = run.gateway.enough_output_tokens(given.model, given.purpose)
        rooms: list[float] = []
        tokens_left, usd_left = run.ledger.tokens_left(path), run.ledger.usd_left(path)
        if tokens_left is not None:
            rooms.append(tokens_left - least)
        if usd_left is not None and self._price is not None:
            request_tokens = round(self._history.size_bytes * (self._compactor.tokens_per_byte or 1.0))
            written = written_life(given.model, self._caching())
            input_usd, output_usd = self._price.worst_rates(request_tokens, written=written)
            rooms.append(float((usd_left * 1_000_000 - least * output_usd) / input_usd) if input_usd else 0.0)
        if not rooms:
            return None
        room = min(rooms) * _SURELY
        if not run.gateway.can_count(given.model):  # then every byte counts as a token
            room *= self._compactor.tokens_per_byte or 1.0
        return await self._compactor.shorten_to(self._uncut, self._others(), self.turns, room, refusal.limit)

    async def _ask_as_it_is(self) -> Completion:
        given, run = self.given, self.run
        if self._met_time_limit and not run.gateway.is_on_record(given.span):
            await asyncio.sleep(0)  # the limit holds from here on: no call begins
        request = self._request()
        path = given.span.path
        if not self.turns:  # there is nothing to close with
            run.ledger.hold_back(path, 0, None, given.closing_seconds)
        elif self._needs_no_money_to_close():
            run.ledger.hold_back(path, 1, None, given.closing_seconds)  # keeps one call, too
        else:
            bare = self._bare_tokens = self._bare_tokens or bare_tokens(given.model, request)
            counted = self._compactor.tokens_per_byte if run.gateway.can_count(given.model) else None
            of_a_byte = 1.0 if counted is None else min(1.0, counted / _SURELY)
            written = self._closing_life(request)
            size = self._history.size_bytes
            reserve = closing_reserve(bare, size, self._price, of_a_byte, written=written)
            run.ledger.hold_back(path, reserve.tokens, reserve.usd, given.closing_seconds)
        completion = await run.gateway.ask(
            given.span, given.model, request, purpose=given.purpose, stream=given.stream
        )
        usage = completion.usage
        if usage is not None:
            self._compactor.learn(self._history.size_bytes + self._others(), usage.input_tokens)
        return completion

    def _closing_life(self, request: Request) -> CacheLife | None:
        """Return the longest life of what a closing call would write to the cache; mostly known already."""
        model = self.given.model
        rests_on = (
            request.caching,
            request.effort,
            getattr(model, "wire", None),
            getattr(model, "tuning", None),
        )
        if self._closing is None or not all(map(is_, self._closing[0], rests_on)):
            self._closing = rests_on, written_life(model, closing_caching(model, request))
        return self._closing[1]

    def _caching(self) -> Caching:
        """Return what is written to the cache: not the end of a conversation that nobody will read again."""
        most, caching = self.given.most_turns, self.given.caching
        is_last = not self.tools.specs or (most is not None and self.turns + 1 >= most)
        if is_last or (self.end_pays is not None and not self.end_pays(self.turns)):
            return attrs.evolve(caching, conversation=False)
        return caching

    def _needs_no_money_to_close(self) -> bool:
        if self.keeps_reserve is not None and not self.keeps_reserve(self.turns):
            return True
        ledger, path = self.run.ledger, self.given.span.path
        return ledger.tokens_left(path) is None and ledger.usd_left(path) is None

    async def _take(self, completion: Completion) -> Ending | None:
        """Take one answer into the conversation; return the end where it is one."""
        message = with_sound_ids(completion.as_message(), len(self._history) if self.begun else self.turns)
        calls = message.tool_calls
        self.last_text = completion.text or self.last_text
        if not self._pieces:
            self._answer_tokens = 0
        if self._answer_tokens is not None:
            usage = completion.usage
            self._answer_tokens = None if usage is None else self._answer_tokens + usage.output_tokens
        if calls and completion.stop not in ("refusal", "window", "other"):
            self._history = self._history.plus(message)
            if completion.stop == "length":
                self._has_usual_limit = True  # a call may need more than the answer
                # Half a call can be valid JSON: a file would be written in half, and called done.
                self._results = unanswered(message, CALL_CUT_OFF)
            else:
                self._results = await self.calls.carry_out(calls, self.turns)
            if self.hooks is None:
                self._keep_results()
            self._pieces.clear()
            self._piece_tokens = 0
            return None if self.hooks is None else self.hooks.declared()
        match completion.stop:
            case "refusal":
                return self._incomplete("refusal", completion.text, _refusal(completion))
            case "window":
                return self._incomplete("window", self._answer(completion), _WINDOW)
            case "pause" if message.parts:
                self._history = self._history.plus(message)
                return None
            case "other" | "pause":
                return self._incomplete("provider_stop", self._answer(completion), _odd_stop(completion))
            case "length":
                return self._continue(completion, message)
        return await self._end(completion, message)

    def _continue(self, completion: Completion, message: Message) -> Ending | None:
        if not completion.text:
            # The same request again would be thought about, cut and paid for in the same way.
            self._thoughts += 1
            self._has_usual_limit = True
            if self._thoughts >= _MOST_THOUGHTS:
                return self._incomplete("length", self._answer(completion), _ONLY_THOUGHT)
            said = self._history.plus(message) if message.parts else self._history
            self._history = with_words(said, THINK_LESS)
            return None
        if ended := self._end_at_limit(completion):
            return ended
        if len(self._pieces) >= _MOST_CONTINUATIONS:
            answer, tokens = self._answer(completion), self._answer_tokens
            return Ending("incomplete", "length", answer, _TOO_LONG, answer_tokens=tokens)
        self._pieces.append(completion.text)
        self._history = self._history.plus(message, user(CONTINUE))
        return None

    async def _end(self, completion: Completion, message: Message) -> Ending | None:
        answer = self._answer(completion)
        if answer.strip():
            self._history = self._history.plus(message)
            if ended := self._end_at_limit(completion):
                return ended
            if self.hand_over is not None and (more := await self.hand_over(self.turns)):
                self._results = user(more)
                if self.hooks is None:
                    self._keep_results()
                self._pieces.clear()
                self._piece_tokens = 0
                return None
            return await self._look_over(answer)
        self._empty += 1
        if self._empty > 1:
            twice = f"{completion.model} ended without an answer, twice"
            return self.composed_end("error", "model_error", twice)
        said = self._history.plus(message) if message.parts else self._history
        self._history = with_words(said, EMPTY_MESSAGE)
        return None

    async def _look_over(self, answer: str) -> Ending | None:
        """Return the end with *answer*, or ``None`` if the model is told once what does not fit it."""
        facts = self._facts_about(answer)
        sentences = tuple(fact.sentence for fact in facts)
        ended = Ending("ok", "end", answer, unresolved=sentences, answer_tokens=self._answer_tokens)
        text = "" if self._first is not None else await self._text_on(facts)
        if not text:
            return ended
        self._first, self._told_at = ended, len(self.calls.seen)
        self._pieces.clear()
        self._piece_tokens = 0
        self._history = self._history.plus(user(text))
        return None

    def _facts_about(self, answer: str) -> tuple[Fact, ...]:
        return self.given.facts.found(answer, self.all_calls, self.tools)

    @property
    def all_calls(self) -> tuple[SeenCall, ...]:
        """All tool calls, those of earlier attempts before its own."""
        return (*self.earlier, *self.calls.seen)

    async def _text_on(self, facts: Sequence[Fact]) -> str:
        """Return what the model is told of *facts* at this turn; empty for nothing.

        It is written down before it is sent: another version of Sunwell may see other facts, and a run that
        is resumed or played again must ask what was asked.
        """
        key, journal = (self.given.span.path, _FACTS_TOLD), self.run.journal
        noted = journal.find(Note, key)
        if noted is not None:
            return str(noted.value["text"]) if noted.value["turn"] == self.turns else ""
        told = told_of(facts)
        if not told or self.run.gateway.recorded_only:
            return ""
        text = facts_text(told)
        await journal.append(Note(*key, {"turn": self.turns, "text": text}), durable=False)
        return text

    def _first_end(self, sentence: str) -> Ending | None:
        """Return the end before the model was told the facts, if what came then is no end in its place.

        That answer was whole, and is never lost because more was asked for. Only if it announced an action,
        and the model then went on with its tools, is the work what it is: not at its end.
        """
        first = self._first
        if first is None:
            return None
        went_on = len(self.calls.seen) > self._told_at
        facts = self._facts_about(first.answer)
        if went_on and any(fact.kind == "announced_action" for fact in facts):
            return None
        more = (f"After this answer the work went on, and then stopped: {sentence}.",) if went_on else ()
        return attrs.evolve(first, unresolved=(*(fact.sentence for fact in facts), *more))

    def _end_at_limit(self, completion: Completion) -> Ending | None:
        """Return the end of an answer that has reached its limit; ``None`` if it may go on, or is whole.

        Without usage, a message that was cut has taken the limit that it was sent with.
        """
        most, text = self.given.max_answer_tokens, completion.text
        if most is None:
            return None
        usage, is_cut = completion.usage, completion.stop == "length"
        thought = any(isinstance(part, Thinking) for part in completion.parts)
        if usage is not None and thought and not usage.reasoning_tokens:
            # The output includes thinking, and nobody says how much: the text is all that can be measured.
            taken = min(usage.output_tokens, estimate_tokens(text))
        elif usage is not None:
            taken = usage.output_tokens - usage.reasoning_tokens
        else:
            taken = most if is_cut else estimate_tokens(text)
        left = most - self._piece_tokens
        self._piece_tokens += taken
        if taken > left:
            text = text[: len(text) * max(0, left) // taken]
        elif not is_cut or self._piece_tokens < most * _NEARLY:
            return None
        answer, tokens = "".join([*self._pieces, text]), self._answer_tokens
        return Ending("incomplete", "length", answer, answer_cut(most), answer_tokens=tokens)

    def _incomplete(self, reason: StopReason, answer: str, sentence: str) -> Ending:
        """Return an end with what the model wrote of its answer; if that is nothing, with what is there."""
        if answer.strip():
            return Ending("incomplete", reason, answer, sentence, answer_tokens=self._answer_tokens)
        return self.composed_end("incomplete", reason, sentence)

    def _answer(self, completion: Completion) -> str:
        return "".join([*self._pieces, completion.text])

    async def _stop(self, met: BudgetExhausted) -> Ending:
        """Tell which limit was met, and close."""
        used_up = BudgetUsedUp(self.given.span.path, met.limit, met.used, met.ceiling, met.account)
        self.run.tell(BUDGET_EXHAUSTED, used_up)
        return await self._close(_LIMITS[met.limit], str(met))

    def _time_is_up(self) -> BudgetExhausted:
        path = self.given.span.path
        used = self.run.ledger.used(path).seconds
        most = used + (self.run.ledger.seconds_left(path) or 0.0)
        numbers = (Decimal(0), Decimal(str(round(used, 3))), Decimal(str(round(most, 3))))
        return BudgetExhausted("seconds", *numbers, path, "the time limit was reached")

    async def _close(self, reason: StopReason, sentence: str) -> Ending:
        """Turn what is there into an answer with one call out of the closing reserve."""
        if all(
            one.role == "user" for one in self._history
        ):  # nothing is there: a call could only say so, for money
            return Ending("incomplete", reason, "", sentence)
        self._keep_results()
        delivered = await self._wind_up(reason)
        if self._history[-1].tool_calls:
            self._history = self._history.plus(unanswered(self._history[-1], CALL_NOT_RUN))
        # The reason is a part of the name: with another budget, another limit may be met at the same turn.
        span = self.given.span.child(f"closing-{self.turns}-{reason}")
        was_cut_off = self._is_known_time_out and not self.run.gateway.has_answer(span)
        if was_cut_off and not self.run.gateway.is_on_record(span):
            return self.composed_end("incomplete", reason, sentence)
        try:
            async with self.run.time_limits.limit((lambda: 0.0) if was_cut_off else self._seconds_left):
                completion = await self._last_answer(span, reason, delivered)
        except (BudgetExhausted, ModelError, TimeoutError):
            return self.composed_end("incomplete", reason, sentence)
        if completion.stop != "end" or not completion.text.strip():
            is_cut = completion.stop in ("length", "window")
            return self.composed_end("incomplete", reason, sentence, completion.text, is_cut=is_cut)
        tokens = None if completion.usage is None else completion.usage.output_tokens
        return Ending("incomplete", reason, completion.text, sentence, answer_tokens=tokens)

    async def _last_answer(self, span: Span, reason: StopReason, delivered: str) -> Completion:
        """Make the closing call, with less of the conversation if there is no room for more.

        Each size has a place of its own in the run: a resume finds the answer of the one that had room.
        """
        gateway, model = self.run.gateway, self.given.model
        most_bytes = self._compactor.fitting_bytes(self._others(), CLOSING_OUTPUT_TOKENS)
        sizes = shown_sizes(self._history.size_bytes, most_bytes)
        places = [
            (span if at == 0 else Span(f"{span.path}-less-{at}"), size) for at, size in enumerate(sizes)
        ]
        answered = [place for place in places if gateway.has_answer(place[0])]
        last = None
        for place, size in answered or places:
            request = fitting_request(
                model, self._request(), reason, size, delivered, self.given.max_answer_tokens
            )
            if self.given.closing is not None:
                words = ClosingWords(self.given.closing, await self._closing_words(place, request))
                request = fitting_request(
                    model, self._request(), reason, size, delivered, self.given.max_answer_tokens, words
                )
            try:
                return await gateway.ask(place, model, request, purpose="closing", closing=True)
            except BudgetExhausted as error:
                last = error
                if error.limit not in ("usd", "tokens", "new_tokens"):
                    break
        assert last is not None
        raise last

    async def _closing_words(self, place: Span, request: Request) -> int:
        """Return how many words the budget pays for beside *request*; a run that goes on takes them from its
        record, as what it asks must be what it asked."""
        run, model, path = self.run, self.given.model, self.given.span.path
        noted = run.journal.find(Note, (place.path, _CLOSING_WORDS))
        if noted is not None:
            return int(noted.value)
        read = float(input_bound_tokens(model, request))
        if run.gateway.can_count(model) and self._compactor.tokens_per_byte:
            read = request.size_bytes * self._compactor.tokens_per_byte
        rooms: list[float] = [CLOSING_OUTPUT_TOKENS]
        for limit in ("usd", "tokens"):
            standing = run.ledger.standing(path, limit)
            if standing is None:
                continue
            left = float(max(Decimal(0), standing.ceiling - standing.booked))
            if limit == "tokens":
                rooms.append(left - read)
            elif self._price is not None:
                input_usd, output_usd = map(float, self._price.worst_rates(round(read), written=None))
                rooms.append((left * 1_000_000 - read * input_usd) / output_usd if output_usd else left)
        words = closing_words(max(0.0, min(rooms)))
        if not run.gateway.recorded_only:
            await run.journal.append(Note(place.path, _CLOSING_WORDS, words), durable=False)
        return words

    async def _wind_up(self, reason: StopReason) -> str:
        if self.hooks is None:
            return ""
        return await self.hooks.wind_up(reason, self.turns, CLOSING_HISTORY_BYTES * 3 // 4)


_WINDOW = "the conversation has filled the model's context window"
_TOO_LONG = "the answer was longer than the limits of several messages together"
_ONLY_THOUGHT = (
    "the model reached the length limit of its messages twice while it was still thinking; raise "
    "max_output_tokens or lower the effort"
)


def _why(error: Exception) -> str:
    return _WINDOW if isinstance(error, WindowFull) else str(error) or "the time limit was reached"


def _refusal(completion: Completion) -> str:
    word = completion.provider_stop
    said = f" (the provider says {word[:60]!r})" if word and word != "refusal" else ""
    return f"{completion.model} refused the task{said}"


def _odd_stop(completion: Completion) -> str:
    word = completion.provider_stop
    said = f"with {word[:60]!r}" if word else "without a reason"
    return (
        f"{completion.model} stopped {said}, which is not a proper end, so the answer may be incomplete; "
        "start a new run or use another model"
    )
