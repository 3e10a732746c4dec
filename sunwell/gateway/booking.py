"""What an attempt of a call holds of the budget, and how it is written down when it is over."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from operator import attrgetter
from typing import Any, get_args

import attrs

from sunwell.budget.ledger_protocol import Claim, Ledger, Reservation
from sunwell.budget.tally import Tally
from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.core.model import Completion, Consulted, ModelProtocol, Purpose, Request, Stop, Usage
from sunwell.core.price import Price
from sunwell.core.unbroken import unbroken
from sunwell.errors import BadAnswer, BudgetExhausted, ModelError, is_unsent
from sunwell.events import (
    BOUND_EXCEEDED,
    BUDGET_REFUSED,
    WARNED,
    BoundExceeded,
    BudgetRefused,
    Emit,
    Warned,
)
from sunwell.gateway.answer_lengths import AnswerLengths
from sunwell.gateway.bounds import Bound, Bounds, Source, counted_bound, wire_of
from sunwell.gateway.model_call import ModelCall
from sunwell.gateway.new_input import NewInput
from sunwell.gateway.unsynced import Unsynced
from sunwell.journal.protocol import Journal
from sunwell.journal.records import Answer, Failure, Held, HoldReason, InputCounted, NewTokensCounted, Refused
from sunwell.models.dialects import reasoning_beyond_limit_tokens, written_life
from sunwell.models.http_model import HttpModel, Wire
from sunwell.models.prices import PriceBook, Priced
from sunwell.models.room import ModelLimits, Room
from sunwell.models.tokens import has_tokenizer, input_bound_tokens, load_tokenizer

_STOPS = frozenset(get_args(Stop))
_FIELDS: dict[type, tuple[str, ...]] = {
    part: tuple(field.name for field in attrs.fields(part)) for part in (Text, Thinking, ToolCall)
}
_TEXTS = {part: attrgetter(*names) for part, names in _FIELDS.items()}
_ONLY_TEXT, _ONLY_WHOLE = {str}, {int}
_counts_of = attrgetter(*(field.name for field in attrs.fields(Usage)))


def sound(value: Any, model: str) -> Completion:
    """Return *value* as the answer of *model*; if it does not say who answered, *model* did.

    Raises :exc:`~sunwell.errors.BadAnswer`, as one that may be billed, if it is no
    :class:`~sunwell.core.model.Completion` or a part of it is not what the class says.
    """
    wrong = _what_is_wrong(value)
    if wrong:
        raise BadAnswer(model, f"its answer cannot be used: {wrong}; correct the model's class", True)
    completion: Completion = value
    if completion.model and type(completion.parts) is tuple:
        return completion
    return attrs.evolve(completion, model=completion.model or model, parts=tuple(completion.parts))


def answer_in(error: BaseException, model: str) -> Completion | None:
    """Return the answer of *model* that came with *error*; ``None`` if there is none, or none of use."""
    answer = error.answer if isinstance(error, ModelError) else None
    try:
        return None if answer is None else sound(answer, model)
    except BadAnswer:
        return None


def _what_is_wrong(value: Any) -> str:
    if not isinstance(value, Completion):
        return f"a Completion is wanted, got {type(value).__name__}"
    if type(value.parts) not in (tuple, list):
        return f"its parts are {type(value.parts).__name__}, not a tuple"
    for part in value.parts:
        texts_of = _TEXTS.get(type(part))
        if texts_of is None:
            return f"a part of it is {type(part).__name__}, not Text, Thinking or ToolCall"
        if set(map(type, texts_of(part))) != _ONLY_TEXT:
            wrong = next(name for name in _FIELDS[type(part)] if type(getattr(part, name)) is not str)
            return f"{wrong} of a {type(part).__name__} is not text"
    if type(value.stop) is not str or value.stop not in _STOPS:
        return f"its stop {value.stop!r} is none of {', '.join(sorted(_STOPS))}"
    if not type(value.model) is type(value.provider_stop) is type(value.id) is str:
        named = ("model", "provider_stop", "id")
        return f"its {next(name for name in named if type(getattr(value, name)) is not str)} is not text"
    if value.consulted and not all(
        isinstance(one, Consulted) and isinstance(one.usage, Usage) for one in value.consulted
    ):
        return "the models that it consulted are not a tuple of Consulted"
    stated = value.stated_cost_usd
    if stated is not None and not (isinstance(stated, Decimal) and stated.is_finite() and stated >= 0):
        return "its stated cost is not None and not a Decimal of zero or more"
    if value.usage is None:
        return ""
    if not isinstance(value.usage, Usage):
        return f"its usage is {type(value.usage).__name__}, not Usage or None"
    are_whole = set(map(type, _counts_of(value.usage))) == _ONLY_WHOLE
    return "" if are_whole else "its usage counts are not whole numbers"


LEAST_OUTPUT_TOKENS = 64
"""An answer that may be no longer than this is not worth its prompt, if nothing better is known."""
COUNT_SECONDS = 10.0
"""How long a provider's own count of a prompt is waited for."""
_PER_MILLION = Decimal(1_000_000)


def claim_for(
    model: ModelProtocol,
    request: Request,
    price: Price | None,
    *,
    closing: bool = False,
    room: Room | None = None,
    input_tokens: int | None = None,
    least_output_tokens: int = LEAST_OUTPUT_TOKENS,
) -> Claim:
    """Return the most that one attempt of *request* can cost, with the longest answer that *room* allows.

    Without *room* the model's window is unknown. *input_tokens* is a bound on the input; without it, the
    bound is computed from bytes and the provider's allowance. The answer is useless if it may be no longer
    than *least_output_tokens*.

    Input is priced at the highest rate that so much of it can meet, tiers included, and cache writes if the
    request may cause them. If the limit of the answer does not bound the model's reasoning, the longest
    reasoning counts with the input. Without a price the dollar figures are ``None``.
    """
    room = ModelLimits().room(model, None, request.max_output_tokens) if room is None else room
    output = room.output_tokens
    bound = input_bound_tokens(model, request) if input_tokens is None else input_tokens
    reasoning = reasoning_beyond_limit_tokens(model, room.window_tokens, output)
    input_usd, output_usd_per_token = None, None
    if price is not None:
        input_rate, output_rate = price.worst_rates(bound, written=written_life(model, request.caching))
        input_usd = (bound * input_rate + reasoning * output_rate) / _PER_MILLION
        output_usd_per_token = output_rate / _PER_MILLION
    least = min(output, least_output_tokens)
    return Claim(bound + reasoning, output, least, input_usd, output_usd_per_token, closing)


def first_claim(model: ModelProtocol, request: Request, prices: PriceBook, purpose: Purpose) -> Claim:
    """Return the claim of a first call without anything known from answers or from a provider's count.

    It is what the door claims last, unless the provider counts: then the door may claim less.
    """
    return claim_for(
        model,
        request,
        prices.price(model),
        room=prices.room(model, request.max_output_tokens),
        input_tokens=input_bound_tokens(model, request),
        least_output_tokens=AnswerLengths().enough_tokens(model.name, purpose),
    )


_RECORD_BYTES = 4096
_NOTICED_SECONDS = 0.01
_MOST_BROKEN_COUNTS = 2  # a model whose count breaks or hangs so often is not asked for it any more
_BYTES_PER_TOKEN = 12  # a token of code is four bytes or so; what JSON escapes takes more


@attrs.define(eq=False)
class Granted:
    """What an attempt holds of the budget until it is answered or has failed."""

    reservation: Reservation
    claim: Claim
    source: Source
    """How its input was bounded."""
    wire: Wire | None = None
    """How the request was written when it was sent; ``None``: not known."""


@attrs.define(eq=False)
class Booking:
    """Keeps journal, ledger and tally in step for every attempt."""

    journal: Journal
    ledger: Ledger
    tally: Tally
    prices: PriceBook
    emit: Emit
    bounds: Bounds = attrs.field(init=False)
    new_input: NewInput = attrs.field(init=False)
    unsynced: Unsynced = attrs.field(init=False)
    _uncounted: dict[str, int] = attrs.field(factory=dict, init=False)
    """How often the provider's count broke or hung, by the model's name."""
    _told: set[tuple[str, str]] = attrs.field(factory=set, init=False)
    """Doubts that were told: the model, and the kind of doubt."""

    def __attrs_post_init__(self) -> None:
        self.bounds = Bounds(self.journal)
        self.new_input = NewInput(self.bounds)
        self.unsynced = Unsynced(self.journal, self.ledger)

    async def begin(
        self, call: ModelCall, attempt: int, pace: Callable[[Reservation], Awaitable[None]]
    ) -> Granted:
        """Reserve the worst case of the attempt, wait for its pace and write the intent down.

        *pace* is awaited before the intent is written: a call that waits for the rate limit was not sent,
        also if the process is killed meanwhile.

        Raises :exc:`~sunwell.errors.BudgetExhausted` if there is no room; that is recorded, too.
        """
        clock = asyncio.get_running_loop()
        asked = clock.time()
        try:
            held = await self._reserve(call)
            try:
                if (seconds := clock.time() - asked) >= _NOTICED_SECONDS:
                    await self.held(call, "ledger", seconds)
                # Before the intent: once the answer is paid for, a full disk must not keep us from writing it
                # down.
                await self.journal.reserve_space(_answer_bytes(held.reservation))
                asked = clock.time()
                await pace(held.reservation)
                if (seconds := clock.time() - asked) >= _NOTICED_SECONDS:
                    await self.held(call, "rate", seconds)
            except BaseException:
                self.ledger.release(held.reservation)
                raise
            # During the waits above, another answer may have been billed above a bound of this kind.
            while not self.bounds.holds(call.model, held.source):
                self.ledger.release(held.reservation)
                held = await self._reserve(call)
            self.ledger.confirm(held.reservation, held.claim)
        except BudgetExhausted as error:
            numbers = (error.limit, error.needed, error.used, error.ceiling, error.account)
            await self.journal.append(Refused(call.span.path, call.number, *numbers, error.detail))
            self.emit(BUDGET_REFUSED, BudgetRefused(*numbers, str(error)))
            raise
        try:
            kept_usd = self.ledger.kept_usd(call.span.path.partition("/")[0])  # of the cap of the whole run
            intent = call.intent(attempt, held.reservation, held.source, kept_usd)
            await self.unsynced.append(intent, held.reservation)
        except BaseException as error:
            await self._not_sent(call, attempt, held, error)
            raise
        held.wire = wire_of(call.model)
        return held

    async def _not_sent(self, call: ModelCall, attempt: int, held: Granted, error: BaseException) -> None:
        """Give back what was reserved for a call whose intent could not be written, or that was cancelled."""
        if isinstance(error, asyncio.CancelledError):
            # The intent may be on record by now. Nothing was sent: a resume must not count it as billed.
            unsent = call.failure(attempt, error, may_be_billed=False, final=False)
            await unbroken(self._fail(call, held, unsent))
        else:
            self.ledger.release(held.reservation)

    async def _reserve(self, call: ModelCall) -> Granted:
        """Reserve the worst case of *call*.

        The first claim insists on the whole answer. Before a call is refused or its answer is shortened, its
        bound is computed again, since the claim may have waited for answers that report something, and the
        provider is asked for its own count: a claim that is computed from bytes may be several times too
        large.
        """
        await load_tokenizer(call.model)
        bound = self.bounds.of(call)
        whole = self._claim(call, bound, is_whole=True)
        try:
            reservation = await self.ledger.reserve(call.span.path, whole)
        except BudgetExhausted as error:
            if error.limit not in ("usd", "tokens", "new_tokens"):
                raise
        else:
            return Granted(reservation, whole, bound.source)
        bound = self.bounds.of(call)
        if self._counts(call, bound):
            bound = await self._counted(call, bound)
        claim = self._claim(call, bound)
        return Granted(await self.ledger.reserve(call.span.path, claim), claim, bound.source)

    async def least_claim(self, call: ModelCall, usd_left: Decimal) -> Claim:
        """Return the last claim that would be made for *call*, by a count if *usd_left* may not hold it.

        Nothing is reserved.
        """
        await load_tokenizer(call.model)
        bound = self.bounds.of(call)
        claim = self._claim(call, bound)
        least_usd = claim.most_usd(claim.least_output_tokens)
        if least_usd is not None and least_usd > usd_left and self._counts(call, bound):
            return self._claim(call, await self._counted(call, bound))
        return claim

    def _claim(self, call: ModelCall, bound: Bound, *, is_whole: bool = False) -> Claim:
        """Return the claim of *call*; *is_whole*: a shorter answer than the longest one is of no use."""
        price, room = self.prices.price_and_room(call.model, call.request.max_output_tokens)
        enough = self.bounds.lengths.enough_tokens(call.model.name, call.purpose)
        claim = claim_for(
            call.model,
            call.request,
            price,
            closing=call.closing,
            room=room,
            input_tokens=bound.tokens,
            least_output_tokens=room.output_tokens if is_whole else enough,
        )
        if not self._counts_new(call):
            return claim
        old = bound.tokens - self.new_input.bound_tokens(call, bound.tokens)
        return attrs.evolve(claim, new_input_tokens=claim.input_tokens - old)

    def _counts_new(self, call: ModelCall) -> bool:
        """Whether *call* is under a ceiling of new tokens; without one, nothing is counted apart."""
        return self.ledger.new_tokens_left(call.span.path) is not None

    def learn(self, call: ModelCall, completion: Completion, limit_tokens: int | None) -> None:
        """Take note of a recorded answer to *call*; see :meth:`~sunwell.gateway.bounds.Bounds.learn`."""
        self.bounds.learn(call, completion, limit_tokens)
        if self._counts_new(call):
            self.new_input.learn(call, completion)

    def can_count(self, model: ModelProtocol) -> bool:
        """Whether the input of a request to *model* may be counted by a tokenizer or by the provider."""
        if not isinstance(model, HttpModel) and callable(getattr(model, "input_bound_tokens", None)):
            return True
        return has_tokenizer(model) or self._provider_counts(model)

    def _counts(self, call: ModelCall, bound: Bound) -> bool:
        """Whether the provider can be asked to count the input of *call*, and *bound* is no count yet."""
        return bound.source in ("bytes", "reported") and self._provider_counts(call.model)

    def _provider_counts(self, model: ModelProtocol) -> bool:
        return (
            callable(getattr(model, "count_input_tokens", None))
            and getattr(model, "can_count", True) is True
            and self.bounds.holds(model, "counted")
            and self._uncounted.get(model.name, 0) < _MOST_BROKEN_COUNTS
        )

    async def _counted(self, call: ModelCall, bound: Bound) -> Bound:
        """Return the bound from the provider's own count, or *bound* if that is smaller or nothing comes."""
        tokens, count = None, getattr(call.model, "count_input_tokens")  # noqa: B009
        try:
            async with asyncio.timeout(COUNT_SECONDS):
                tokens = await count(call.request)
        except Exception:  # the count only helps: without it, the bound that is known applies
            self._uncounted[call.model.name] = self._uncounted.get(call.model.name, 0) + 1
        if type(tokens) is not int or tokens < 1:
            return bound
        record = InputCounted(call.span.path, call.number, call.digest, tokens, time.time())
        await self.journal.append(record, durable=False)  # durable with the intent, which follows
        return min(bound, counted_bound(tokens), key=lambda one: one.tokens)

    async def held(self, call: ModelCall, reason: HoldReason, seconds: float) -> None:
        """Write down that the call was held up, if that took any time to speak of."""
        if seconds >= _NOTICED_SECONDS:
            held = Held(call.span.path, reason, seconds, time.time())
            await self.journal.append(held, durable=False)  # durable with the intent, which follows

    async def answered(
        self, call: ModelCall, attempt: int, held: Granted, completion: Completion, seconds: float
    ) -> Answer:
        """Write the answer down and settle, whatever happens to us meanwhile."""
        priced = self.prices.priced(call.model, completion)
        if priced.note or completion.usage_doubt:
            self._tell_doubts(call, priced)
        completion, counts_new = priced.completion, self._counts_new(call)
        new = self.new_input.counted_tokens(call, completion) if counts_new else None
        answer = Answer(
            span=call.span.path,
            number=call.number,
            attempt=attempt,
            purpose=call.purpose,
            depth=call.span.depth,
            digest=call.digest,
            completion=completion,
            cost_usd=priced.cost_usd,
            duration_seconds=seconds,
            at=time.time(),
        )
        self.bounds.learn(call, completion, held.reservation.max_output_tokens, held.wire)
        if counts_new:
            self.new_input.learn(call, completion)
        self.bounds.lengths.add(call.model.name, call.purpose, completion)
        await unbroken(self._settle(call, held, answer, new))
        return answer

    async def failed(
        self, call: ModelCall, attempt: int, held: Granted, error: BaseException, *, final: bool
    ) -> None:
        """Write the failure down and book what came with it, or give back or keep what was reserved."""
        # A call that was cut off by us, or broke in a way nobody foresaw, may have been billed.
        may_be_billed = error.may_be_billed if isinstance(error, ModelError) else not is_unsent(error)
        completion, cost_usd = answer_in(error, call.model.name), None
        if completion is not None:
            priced = self.prices.priced(call.model, completion)
            self._tell_doubts(call, priced)
            completion, cost_usd = priced.completion, priced.cost_usd
        failure = call.failure(
            attempt,
            error,
            may_be_billed=may_be_billed,
            final=final,
            completion=completion,
            cost_usd=cost_usd,
        )
        await unbroken(self._fail(call, held, failure))

    async def _settle(self, call: ModelCall, held: Granted, answer: Answer, new_tokens: int | None) -> None:
        # The journal first: after a crash between the two, a resume books the answer from its record. The
        # other way round, the room would be free for others while the answer that used it might be lost.
        # Durable soon, and not at once: all that acts on an answer, a call, a tool that changes anything, the
        # end of the run, waits for a durable record of its own, which comes later in the file. If power fails
        # before, the intent is there, and the call counts as perhaps billed, as one that was in flight.
        try:
            if new_tokens is not None:
                key = (answer.span, answer.number, answer.attempt)
                await self.journal.append(NewTokensCounted(*key, new_tokens, answer.at), durable=False)
            await self.journal.append(answer, durable="soon")
        except BaseException:
            self._keep(call, held)  # it was billed, and no record says how much
            raise
        self._book(call, held, answer.completion, answer.cost_usd, new_tokens)

    def _book(
        self,
        call: ModelCall,
        held: Granted,
        completion: Completion,
        cost_usd: Decimal | None,
        new_tokens: int | None = None,
    ) -> None:
        billed = completion.billed_tokens
        if billed is None:  # and nobody said how much
            self._keep(call, held, completion.stated_cost_usd)
            return
        passed = self.ledger.settle(held.reservation, billed, cost_usd, new_tokens)
        call.account.book(completion, cost_usd)
        self.tally.add_answer(call.entry(completion.model), completion, cost_usd)
        if passed:
            self._end_shortcut(call, held, billed, cost_usd)

    def _end_shortcut(self, call: ModelCall, held: Granted, billed: int, cost_usd: Decimal | None) -> None:
        """Say that an answer was billed above its bound; from now on the model's bounds are safer ones."""
        reservation = held.reservation
        self.bounds.fail(call.model.name, held.source)
        excess = BoundExceeded(call.model.name, reservation.tokens, billed, reservation.usd, cost_usd)
        self.emit(BOUND_EXCEEDED, excess)

    def _tell_doubts(self, call: ModelCall, priced: Priced) -> None:
        """Say what is doubtful about the cost of an answer, once for each model and kind of doubt."""
        completion = priced.completion
        if not (completion.usage_doubt or priced.note):
            return
        usage = f"the usage that {call.model.name} reports is contradictory: {completion.usage_doubt}"
        kinds = (
            ("usage", completion.usage_doubt and f"{usage}; the most expensive meaning is booked"),
            (completion.model, priced.note),
        )
        for kind, sentence in kinds:
            if sentence and (call.model.name, kind) not in self._told:
                self._told.add((call.model.name, kind))
                self.emit(WARNED, Warned(sentence))

    async def _fail(self, call: ModelCall, held: Granted, failure: Failure) -> None:
        if failure.completion is not None:
            self._book(call, held, failure.completion, failure.cost_usd)
        elif failure.may_be_billed:
            self._keep(call, held)
        else:
            self.ledger.release(held.reservation)
        # After the ledger: the reservation has to end also if the record cannot be written. A crash before
        # the record leaves an intent alone, which a resume counts as uncertain.
        await self.journal.append(failure)

    def _keep(self, call: ModelCall, held: Granted, stated_usd: Decimal | None = None) -> None:
        reservation = held.reservation
        tokens, usd = reservation.tokens, reservation.usd
        # Some providers state a cost (OpenRouter, xAI, Perplexity), here without usage. It counts if it is
        # more.
        if stated_usd is not None and (usd is None or stated_usd > usd):
            if self.ledger.settle(reservation, tokens, stated_usd, reservation.new_tokens):
                self._end_shortcut(call, held, tokens, stated_usd)
            usd = stated_usd
        else:
            self.ledger.keep(reservation)
        call.account.keep(usd)
        self.tally.add_uncertain(call.entry(call.model.name), tokens, usd)


def _answer_bytes(reservation: Reservation) -> int:
    """Return what the record of the longest answer may take on disk, escapes included."""
    return _RECORD_BYTES + _BYTES_PER_TOKEN * reservation.max_output_tokens
