"""The one door to a model, and the only place that retries."""

import asyncio
import inspect
import itertools
from collections.abc import Awaitable, Callable
from contextvars import Token
from decimal import Decimal

import attrs
from blinker import NamedSignal

from sunwell import errors
from sunwell.budget.ledger_protocol import Claim, Ledger, Reservation
from sunwell.budget.tally import Tally
from sunwell.core.model import Completion, ModelProtocol, Purpose, Request, Usage
from sunwell.core.secrets import Secrets, SecretStream
from sunwell.core.span import Span
from sunwell.core.threads import in_thread
from sunwell.errors import (
    BadAnswer,
    BadRequest,
    BudgetExhausted,
    ConnectionFailed,
    JournalError,
    ModelError,
    PinError,
    RequestTooLong,
)
from sunwell.events import (
    MODEL_CALL_FINISHED,
    MODEL_CALL_STARTED,
    MODEL_CONTENT,
    MODEL_HELD,
    MODEL_RETRIED,
    MODEL_TEXT_ARRIVED,
    WARNED,
    Emit,
    ModelCallFinished,
    ModelHeld,
    ModelRetried,
    ModelTextArrived,
    Warned,
)
from sunwell.gateway.booking import Booking, sound
from sunwell.gateway.cleaning import clean_error, cleaned_answer, cleaned_message
from sunwell.gateway.model_call import AnswerStore, ModelCall
from sunwell.gateway.retry import MOST_CHANGES, RetryPolicy
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Answer, Failure, Intent, Refused
from sunwell.models.catalog import is_same_model
from sunwell.models.prices import PriceBook
from sunwell.models.rate_limits import Hold, Ticket, admitted, told_of_holds
from sunwell.models.room import shorter_answer


@attrs.define(eq=False)
class NotRecorded(ModelError):
    """The record of a run has neither an answer to a call nor its failure."""


def recorded_failure(journal: Journal, call: ModelCall) -> ModelError | None:
    """Return how the last attempt of *call* failed, if it did for good."""
    attempt = 0
    while journal.find(Intent, (call.span.path, call.number, attempt + 1)) is not None:
        attempt += 1
    failure = journal.find(Failure, (call.span.path, call.number, attempt))
    kind = getattr(errors, failure.error, None) if failure else None
    if failure is None or not failure.final or not (inspect.isclass(kind) and issubclass(kind, ModelError)):
        return None
    detail = failure.detail.removeprefix(f"{call.model.name}: ")
    return kind(call.model.name, detail, failure.may_be_billed)


def not_recorded(call: ModelCall) -> NotRecorded:
    """Return the error of a call at which the record ends."""
    return NotRecorded(
        call.model.name, f"the record ends here: call {call.number} of {call.span} has no answer in it"
    )


async def _at_once() -> None:
    """Hold nobody up."""


def _always(_: NamedSignal) -> bool:
    return True


@attrs.define(eq=False)
class _Admission:
    """The wait of one attempt for the rate limit of its model."""

    call: ModelCall
    emit: Emit
    _sent: Request | None = attrs.field(default=None, init=False)
    _ticket: Ticket | None = attrs.field(default=None, init=False)
    _token: Token[Ticket | None] | None = attrs.field(default=None, init=False)

    async def wait(self, reservation: Reservation) -> None:
        """Wait, and keep the ticket for the model's own call; models without a rate limit do not wait."""
        admit = getattr(self.call.model, "admit", None)
        if not callable(admit):
            return
        ticket = await admit(self.sent(reservation))
        if isinstance(ticket, Ticket):
            self._ticket, self._token = ticket, admitted.set(ticket)

    def sent(self, reservation: Reservation) -> Request:
        """Return the request with the length of the answer that is reserved."""
        most = reservation.max_output_tokens
        if self._sent is None or self._sent.max_output_tokens != most:
            asked = self.call.request
            self._sent = asked if asked.max_output_tokens == most else asked.limited(most)
        return self._sent

    def end(self) -> None:
        """Give the ticket back if the model has not used it."""
        if self._token is not None:
            admitted.reset(self._token)
        if self._ticket is not None:
            self._ticket.drop()

    def tell(self, hold: Hold) -> None:
        """Tell at once that the call waits, and how long; a warning follows only now and then."""
        call = self.call
        if hold.seconds is None:
            self.emit(WARNED, Warned(f"{call.model.name}: {hold.reason}"))
            return
        held = ModelHeld(call.span.path, call.number, call.model.name, hold.reason, hold.seconds)
        self.emit(MODEL_HELD, held)
        if hold.is_news:
            text = f"{call.model.name}: a request waits about {hold.seconds:.1f} s before it is sent"
            self.emit(WARNED, Warned(f"{text}: {hold.reason}"))


@attrs.define(eq=False)
class _Silence:
    """How long the attempts of one call took that ended at a time limit."""

    seconds: float = 0.0


@attrs.define(eq=False)
class Gateway:
    """Asks models: once for each place in a run, within the budget, and with a record of it all.

    Every attempt is a reservation and an intent before it is sent. An answer is in the journal
    before anybody uses it; if the journal has it already, nobody is asked.
    """

    journal: Journal
    ledger: Ledger
    tally: Tally
    prices: PriceBook
    emit: Emit
    retry: RetryPolicy = RetryPolicy()
    hold: Callable[[], Awaitable[None]] = _at_once
    """Awaited before each call that is really made: an observer of the run may hold it up."""
    accept_changes: bool = False
    """Whether a recorded answer counts although the question has changed since."""
    heed_refusals: bool = True
    """Whether a recorded refusal of the ledger counts; not if the budget was raised since."""
    secrets: Secrets = attrs.field(factory=Secrets)
    """Replaced in all that providers send, in answers and failures: some repeat the key."""
    recorded_only: bool = False
    """Whether nobody is asked: a call without a recorded answer fails as it did, or as not recorded."""
    compare: Callable[[ModelCall, Answer | None], None] | None = None
    """Gets each question with the recorded answer, if there is one, in place of the check that it is the
    recorded one."""
    accepted: set[tuple[str, int]] = attrs.field(factory=set)
    """Calls, by span and number, whose recorded answers count although their questions have changed."""
    hears: Callable[[NamedSignal], bool] = _always
    """Whether anybody would be told of an event of a signal: those of calls are not made for nobody."""
    memory: AnswerStore | None = None
    """Has the answers of earlier runs, for calls that ask for them."""
    ran_out: str = attrs.field(default="", init=False)
    """Says which call of a run that is only played again had no answer; empty for none."""
    _booking: Booking = attrs.field(init=False)
    _numbers: dict[str, int] = attrs.field(factory=dict, init=False)
    _answered: dict[str, tuple[str, int | None]] = attrs.field(factory=dict, init=False)
    """The latest answered request of each span: its digest and its limit of output tokens."""
    _models: dict[str, ModelProtocol] = attrs.field(factory=dict, init=False)
    """The model of the latest answered call of each span."""
    _pins: dict[str, str] = attrs.field(factory=dict, init=False)
    _refused: set[tuple[str, int]] = attrs.field(factory=set, init=False)
    """Places at which a call was refused in this process."""

    def __attrs_post_init__(self) -> None:
        self._booking = Booking(self.journal, self.ledger, self.tally, self.prices, self.emit)

    def redact(self, text: str) -> str:
        """Return *text* with known secrets replaced."""
        return self.secrets.redact(text)

    def pin(self, span: Span, model: ModelProtocol) -> None:
        """From now on nothing at or below *span* runs on another model than *model*.

        Raises :exc:`~sunwell.errors.PinError` if another one is pinned there or above.
        """
        self._check_pin(span, model)
        self._pins[span.path] = model.name

    async def ask(
        self,
        span: Span,
        model: ModelProtocol,
        request: Request,
        *,
        purpose: Purpose,
        closing: bool = False,
        stream: bool = False,
        remember: bool = False,
    ) -> Completion:
        """Return the answer of *model* at the next place of *span*.

        With *remember*, that may be one of an earlier run to the same request, which costs nothing and has
        no usage, and a new one is kept for later runs. Models of classes of the caller's own are always
        asked.

        Raises :exc:`~sunwell.errors.BudgetExhausted` if no room is left, the last attempt's
        :exc:`~sunwell.errors.ModelError` if none succeeded (after a
        :exc:`~sunwell.errors.RequestTooLong`, the next call of the span has the same place),
        :exc:`~sunwell.errors.PinError` for another model than the pinned one, and
        :exc:`~sunwell.errors.JournalError` if the question differs from the recorded one. ``closing`` opens
        the closing reserve.

        A request that was answered is not sent again unchanged: whatever was wrong with the answer, it
        would be paid twice. Such a call raises :exc:`~sunwell.errors.BadRequest`.
        """
        if self._pins:
            self._check_pin(span, model)
        # Before the first await: two calls of a span that go on side by side must not get one place.
        number = self._numbers.get(span.path, 0)
        self._numbers[span.path] = number + 1
        call = ModelCall(
            span, number, model, request, purpose, request.digest(model.name), closing, stream, remember
        )
        if self._answered.get(span.path) == (call.digest, request.max_output_tokens):
            detail = "the request is the one that was just answered, so it is not sent again"
            raise BadRequest(model.name, f"{detail}; change the task or the model")
        try:
            completion = await self._answer_to(call)
        except (RequestTooLong, BudgetExhausted):
            # Nothing was billed, and the caller may ask again with less. The answer then takes this place, so
            # that a resume, which asks with less at once, finds it.
            self._refused.add((span.path, number))
            if self._numbers[span.path] == number + 1:
                self._numbers[span.path] = number
            raise
        self._answered[span.path] = (call.digest, request.max_output_tokens)
        self._models[span.path] = model
        return completion

    async def _answer_to(self, call: ModelCall) -> Completion:
        span, number = call.span, call.number
        recorded = self.journal.find(Answer, (span.path, number))
        if recorded is not None:
            return self._replay(call, recorded)
        if self.compare is not None:
            self.compare(call, None)
        # Once: who was refused here may ask again with less.
        heeds = self.heed_refusals and (span.path, number) not in self._refused
        refused = self.journal.find(Refused, (span.path, number)) if heeds else None
        if refused is not None:
            numbers = (refused.limit, refused.needed, refused.used, refused.ceiling, refused.account)
            raise BudgetExhausted(*numbers, refused.detail)
        if self.recorded_only:
            raise await self._recorded_failure(call)
        key = call.memory_key if call.remember else None
        if key is None or self.memory is None:
            await self.hold()
            return await self._ask_now(call)
        return await self._remembered(call, key, self.memory)

    async def _remembered(self, call: ModelCall, key: str, memory: AnswerStore) -> Completion:
        """Return what an earlier run was answered; otherwise ask, and keep the answer."""
        found = await in_thread(memory.find, key)
        if found is None:
            await self.hold()
            completion = await self._ask_now(call)
            await in_thread(memory.keep, key, completion)
            return completion
        # Again: this run may know secrets that the earlier one did not.
        answer = call.remembered(cleaned_answer(sound(found, call.model.name), self.secrets))
        # Not durable by itself: if it is lost, nothing that rests on it is on record, and nothing was paid.
        await self.journal.append(answer, durable=False)
        self.tally.add_remembered(call.span.path)
        self._tell_recorded(call, answer, replayed=False)
        return answer.completion

    async def _recorded_failure(self, call: ModelCall) -> ModelError:
        await asyncio.sleep(0)  # a recorded time-out comes now
        failure = recorded_failure(self.journal, call)
        if failure is None:
            failure = not_recorded(call)
            self.ran_out = self.ran_out or failure.detail
        return failure

    def can_count(self, model: ModelProtocol) -> bool:
        """Whether the tokens of a request to *model* can be counted before it is sent."""
        return self._booking.can_count(model)

    def enough_output_tokens(self, model: ModelProtocol, purpose: Purpose) -> int:
        """Return the length that holds nearly all answers of *model* with this purpose so far."""
        return self._booking.bounds.lengths.enough_tokens(model.name, purpose)

    async def least_usd(
        self, span: Span, model: ModelProtocol, request: Request, *, purpose: Purpose, usd_left: Decimal
    ) -> Decimal | None:
        """Return the US dollars without which *request* would be refused; ``None`` if a price is unknown.

        Nothing is reserved or sent, but the provider may be asked to count, if *usd_left* may not do.
        """
        claim = await self.least_claim(span, model, request, purpose=purpose, usd_left=usd_left)
        return claim.most_usd(claim.least_output_tokens)

    async def least_claim(
        self, span: Span, model: ModelProtocol, request: Request, *, purpose: Purpose, usd_left: Decimal
    ) -> Claim:
        """Return the claim of *request* at the next place of *span*, as far as is known; see above."""
        number = self._numbers.get(span.path, 0)
        call = ModelCall(span, number, model, request, purpose, request.digest(model.name))
        return await self._booking.least_claim(call, usd_left)

    def next_turn(self, span: Span) -> tuple[Decimal | None, float]:
        """Return about what one more turn of *span* costs in US dollars and in seconds; ``None``: unknown.

        That is what its latest turn read and wrote, from the cache if it uses one, as much to write, and as
        many seconds.
        """
        answer = self.journal.find(Answer, (span.path, self._numbers.get(span.path, 0) - 1))
        model = self._models.get(span.path)
        if answer is None or model is None:
            return None, 0.0
        usage, price = answer.completion.usage, self.prices.price(model)
        if usage is None or price is None:
            return None, answer.duration_seconds
        again = usage.input_tokens + usage.output_tokens
        cached = again if usage.cache_read_tokens or usage.cache_write_tokens else 0
        usd = price.cost_usd(Usage(again, usage.output_tokens, cache_read_tokens=cached))
        return usd, answer.duration_seconds

    def has_answer(self, span: Span) -> bool:
        """Whether the answer to the next call of *span* is on record."""
        return self.journal.find(Answer, (span.path, self._numbers.get(span.path, 0))) is not None

    def is_on_record(self, span: Span) -> bool:
        """Whether the next call of *span* has an answer; if questions are compared, whether it was begun."""
        begun = (span.path, self._numbers.get(span.path, 0), 0)
        return self.has_answer(span) or (
            self.compare is not None and self.journal.find(Intent, begun) is not None
        )

    def _check_pin(self, span: Span, model: ModelProtocol) -> None:
        path = span.path
        while path:
            named = self._pins.get(path)
            if named is not None and named != model.name:
                raise PinError(named, model.name, span.path)
            path = path.rpartition("/")[0]

    def _replay(self, call: ModelCall, recorded: Answer) -> Completion:
        is_accepted = self.accept_changes or (recorded.span, recorded.number) in self.accepted
        if self.compare is not None:
            self.compare(call, recorded)
        elif recorded.digest != call.digest and not is_accepted:
            raise JournalError(
                f"call {call.number} of {call.span} is not the one that was answered: the task, the tools, "
                "a model or a file has changed since; run with --accept-changes to keep the old answers"
            )
        completion = recorded.completion
        if recorded.digest == call.digest:  # else it says nothing about this question
            intent = self.journal.find(Intent, (recorded.span, recorded.number, recorded.attempt))
            limit = None if intent is None else intent.max_output_tokens
            self._booking.learn(call, completion, limit)
        self._tell_recorded(call, recorded, replayed=True)
        return completion

    def _tell_recorded(self, call: ModelCall, answer: Answer, *, replayed: bool) -> None:
        completion, name = answer.completion, call.model.name
        # A fork may go on with another model than the one that its copied answers came from.
        finished = call.finished(
            name if is_same_model(name, completion.model) else completion.model,
            usage=completion.usage,
            cost_usd=answer.cost_usd,
            duration_seconds=answer.duration_seconds,
            stop=completion.stop,
            replayed=replayed,
            remembered=answer.remembered,
        )
        self.emit(MODEL_CALL_FINISHED, finished)

    async def _ask_now(self, call: ModelCall) -> Completion:
        clock = asyncio.get_running_loop()
        started = clock.time()
        if self.hears(MODEL_CALL_STARTED):
            self.emit(MODEL_CALL_STARTED, call.started())
        try:
            answer = await self._try_until_answered(call)
        except BaseException as error:
            is_stopped = isinstance(error, asyncio.CancelledError)
            said = "it was cancelled" if is_stopped else str(error) or type(error).__name__
            said = cleaned_message(said, self.secrets)
            failed = call.finished(
                error=said,
                error_kind=type(error).__name__,
                duration_seconds=clock.time() - started,
                **call.account.fields(),
            )
            self._tell_end(call, failed, None)
            raise
        completion = answer.completion
        if MODEL_CONTENT.receivers or self.hears(MODEL_CALL_FINISHED):
            finished = call.finished(
                attempts=answer.attempt + 1,
                usage=completion.usage,
                cost_usd=answer.cost_usd,
                stop=completion.stop,
                duration_seconds=clock.time() - started,
                answered_by=completion.model,
                answer_id=completion.id,
                provider_stop=completion.provider_stop,
                **call.account.fields(),
            )
            self._tell_end(call, finished, completion)
        return completion

    def _tell_end(self, call: ModelCall, finished: ModelCallFinished, completion: Completion | None) -> None:
        if MODEL_CONTENT.receivers:  # mostly nobody wants the texts, and they are long
            self.emit(MODEL_CONTENT, call.content(completion))
        self.emit(MODEL_CALL_FINISHED, finished)

    async def _try_until_answered(self, call: ModelCall) -> Answer:
        first, failed, silent = self._first_free_attempt(call), 0, _Silence()
        for tried in itertools.count():
            try:
                return await self._try_once(call, first, tried, failed, silent)
            except ModelError as error:
                call = self._with_shorter_answer(call, error)
                wait_seconds = self.retry.wait_seconds(failed, error, silent.seconds)
                if wait_seconds is None:
                    raise
                self._tell_retry(call, tried + 1, wait_seconds, error)
                failed += not error.is_changed
            await asyncio.sleep(wait_seconds)
            await self._booking.held(call, "rate", wait_seconds)
        raise AssertionError("counting has no end")

    def _learn_limits(self, call: ModelCall, error: RequestTooLong, refused_tokens: int) -> None:
        """Learn the figures in *error*; if a shorter answer makes the request fit, allow another attempt."""
        self.prices.limits.learn(call.model, error)
        room = self.prices.room(call.model, call.request.max_output_tokens)
        error.shorter_answer_tokens = shorter_answer(error, refused_tokens, room)
        error.retry = error.is_changed = error.shorter_answer_tokens is not None

    def _with_shorter_answer(self, call: ModelCall, error: ModelError) -> ModelCall:
        tokens = error.shorter_answer_tokens if isinstance(error, RequestTooLong) else None
        if tokens is None:
            return call
        return attrs.evolve(call, request=attrs.evolve(call.request, max_output_tokens=tokens))

    def _first_free_attempt(self, call: ModelCall) -> int:
        # A process that crashed between intent and answer has left an intent whose call may be billed. The
        # same number again would replace it, and its uncertain cost would drop out of the bill.
        attempt = 0
        while self.journal.find(Intent, (call.span.path, call.number, attempt)) is not None:
            attempt += 1
        return attempt

    def _tell_retry(self, call: ModelCall, attempt: int, wait_seconds: float, error: ModelError) -> None:
        retried = ModelRetried(
            call.span.path, call.number, call.model.name, attempt, str(error), wait_seconds
        )
        self.emit(MODEL_RETRIED, retried)

    async def _try_once(
        self, call: ModelCall, first: int, tried: int, failed: int, silent: "_Silence"
    ) -> Answer:
        """Make the attempt after *tried* others, of which *failed* were repetitions."""
        attempt = first + tried
        admission = _Admission(call, self.emit)
        listening = told_of_holds.set(admission.tell)  # also if the model itself waits, as in direct use
        try:
            held = await self._booking.begin(call, attempt, admission.wait)
            call.account.begin(held.reservation)
            clock = asyncio.get_running_loop()
            started = clock.time()
            try:
                completion = await self._complete(call, admission.sent(held.reservation))
            except BaseException as error:  # a cancellation too: if the request is out, it may be billed
                if isinstance(error, ModelError):
                    silent.seconds += clock.time() - started if error.silent else 0.0
                    clean_error(error, call.model.name, self.secrets)
                    if isinstance(error, RequestTooLong):
                        self._learn_limits(call, error, held.reservation.max_output_tokens)
                    error.is_changed = error.is_changed and tried - failed < MOST_CHANGES
                final = self.retry.wait_seconds(failed, error, silent.seconds) is None
                await self._booking.failed(call, attempt, held, error, final=final)
                raise
            seconds = clock.time() - started
            return await self._booking.answered(call, attempt, held, completion, seconds)
        finally:
            told_of_holds.reset(listening)
            admission.end()

    async def _complete(self, call: ModelCall, request: Request) -> Completion:
        name = call.model.name
        try:
            answer = await (self._streamed(call, request) if call.stream else call.model.complete(request))
            return cleaned_answer(sound(answer, name), self.secrets)
        except TimeoutError as error:  # the model's own: a limit of ours reaches it as a cancellation
            raise ConnectionFailed(
                name, "it gave no answer in its own time; ask again", True, True, silent=True
            ) from error
        except asyncio.CancelledError as error:
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            # Nobody cancelled this task: a model's own client cancelled its call and let that out. Passed on
            # as it is, it would look as if the worker had been stopped.
            raise ConnectionFailed(name, "its call was cancelled, and not by the run", True) from error

    async def _streamed(self, call: ModelCall, request: Request) -> Completion:
        completion = None
        has_begun = False
        shown = SecretStream(self.secrets)
        clock = asyncio.get_running_loop()
        asked = clock.time()
        async for delta in call.model.stream(request):
            text = shown.feed(delta.text)
            if not has_begun:
                call.account.first_piece_seconds = clock.time() - asked
            if text or not has_begun:  # the first piece tells that the answer has begun
                has_begun = True
                self.emit(MODEL_TEXT_ARRIVED, ModelTextArrived(call.span.path, text))
            completion = delta.completion or completion
        if rest := shown.end():
            self.emit(MODEL_TEXT_ARRIVED, ModelTextArrived(call.span.path, rest))
        if completion is None:  # a cut stream can end like a whole one: only the last delta tells them apart
            raise BadAnswer(call.model.name, "the stream ended without an answer; ask again", True, True)
        return completion
