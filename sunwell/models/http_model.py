"""A model that is called over HTTP: one call, its stream of events, its time limits."""

import asyncio
import math
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from typing import Protocol

import attrs

from sunwell.core.alarms import Within
from sunwell.core.model import Completion, Delta, Effort, Request
from sunwell.errors import BadRequest, ModelError, RequestTooLong, SunwellError, mark_unsent
from sunwell.models.answers import ErrorInAnswer, NotAnAnswer, ThoughtSplitter, decode_object
from sunwell.models.connection import Connection, Sdk, Sender, sender_for
from sunwell.models.direct_post import HttpAnswer
from sunwell.models.failures import Failures
from sunwell.models.rate_limits import Need, Ticket, admitted, limiter_for
from sunwell.models.usage import count

_BOM = b"\xef\xbb\xbf"
MAX_EVENT_BYTES = 16 * 2**20
"""Largest event, and largest line, that is read."""


class EventTooLong(ValueError):
    """A line or an event is longer than :data:`MAX_EVENT_BYTES`."""


@attrs.define(eq=False)
class EventParser:
    """Turns bytes, split at any position, into the ``data`` of events.

    Lines may end with LF, CR or CRLF. Comments and fields other than ``data`` are dropped: every wire
    format here repeats an event's name in its data.
    """

    max_bytes: int = MAX_EVENT_BYTES
    _line: list[bytes] = attrs.field(factory=list, init=False)
    _line_bytes: int = attrs.field(default=0, init=False)
    _data: list[bytes] = attrs.field(factory=list, init=False)
    _data_bytes: int = attrs.field(default=0, init=False)
    _after_cr: bool = attrs.field(default=False, init=False)
    _at_start: bool = attrs.field(default=True, init=False)

    def feed(self, chunk: bytes) -> list[bytes]:
        """Return the data of every event that *chunk* completes."""
        if self._after_cr and chunk:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if b"\r" in chunk:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if b"\n" not in chunk:
            self._keep(chunk)
            return []
        lines = chunk.split(b"\n")
        if self._line:
            self._line.append(lines[0])
            lines[0] = b"".join(self._line)
            self._line.clear()
            self._line_bytes = 0
        rest = lines.pop()
        events = self._events(lines)
        if rest:
            self._keep(rest)
        return events

    def close(self) -> list[bytes]:
        """Return the data of a last event that has no closing blank line, if there is one."""
        events = self.feed(b"\n\n")
        self._after_cr = False
        return events

    def _keep(self, piece: bytes) -> None:
        self._line_bytes += len(piece)
        if self._line_bytes > self.max_bytes:
            raise EventTooLong(f"a line of more than {self.max_bytes} bytes")
        self._line.append(piece)

    def _events(self, lines: Iterable[bytes]) -> list[bytes]:
        events: list[bytes] = []
        for line in lines:
            if self._at_start:
                self._at_start = False
                line = line.removeprefix(_BOM)
            if line.startswith(b"data:"):
                self._add(line[6:] if line.startswith(b"data: ") else line[5:])
            elif not line:
                if self._data:
                    events.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                    self._data.clear()
                    self._data_bytes = 0
            elif line == b"data":
                self._add(b"")
        return events

    def _add(self, value: bytes) -> None:
        self._data_bytes += len(value) + 1
        if self._data_bytes > self.max_bytes:
            raise EventTooLong(f"an event of more than {self.max_bytes} bytes")
        self._data.append(value)


@attrs.frozen
class Tuning:
    """Settings of a model; ``None``: the request's own setting, or the provider's default."""

    max_output_tokens: int | None = None
    """Token limit of one answer if the request sets none."""
    effort: Effort | None = None
    thinking_tokens: int | None = None
    """Thinking budget; only Anthropic's format has a field for it."""
    timeout_seconds: float | None = None
    """Time limit for one answer if the request sets none."""
    context_window: int | None = None

    def applied(self, request: Request) -> Request:
        """Return *request* with these settings."""
        effort = self.effort or request.effort
        timeout = self.timeout_seconds if request.timeout_seconds is None else request.timeout_seconds
        if effort == request.effort and timeout == request.timeout_seconds:
            return request
        return attrs.evolve(request, effort=effort, timeout_seconds=timeout)


UNTUNED = Tuning()

_NOTHING = Delta()
MAX_ANSWER_BYTES = 64 * 2**20
"""Largest answer that is read, including its events."""
_DRAIN_SECONDS = 0.25


class Reader(Protocol):
    """Builds a completion from the events of a stream."""

    @property
    def done(self) -> bool:
        """Whether the terminal event has arrived."""
        ...

    def take(self, data: bytes) -> Delta | None:
        """Process the data of one event; return the part to show to a user."""
        ...

    def completion(self) -> Completion:
        """Return the complete answer, or raise if the terminal event has not arrived."""
        ...


class Wire(Protocol):
    """A wire format: how a request is written, where it is sent, and how an answer is read."""

    @property
    def sdk(self) -> Sdk:
        """The SDK whose client is used."""
        ...

    @property
    def path(self) -> str:
        """The path of requests below the base URL."""
        ...

    @property
    def count_path(self) -> str | None:
        """The path of requests that only count the input; ``None``: the format has none."""
        ...

    def encode(
        self, model_id: str, request: Request, *, streaming: bool, counting: bool = False
    ) -> Sequence[bytes]:
        """Return the body of a request, in pieces; with *counting*, of one that only counts its input."""
        ...

    def read(self, data: bytes, asked: str) -> Completion:
        """Return the completion in a complete answer."""
        ...

    def reader(self, asked: str) -> Reader:
        """Return a reader for one stream."""
        ...

    def without(self, refusal: str) -> "Wire | None":
        """Return the format without the optional feature that *refusal* names; ``None`` if it names none."""
        ...


@attrs.define(eq=False)
class HttpCall:
    """One request to one model. Every failure is a :exc:`~sunwell.errors.ModelError`."""

    model_id: str
    wire: Wire
    connection: Connection
    failures: Failures
    request: Request
    learn: Callable[[ModelError, Wire], None]
    """Gets each error that the provider sends, with the format of the request."""
    is_sent: bool = attrs.field(default=False, init=False)
    """Whether any part of the request may have been sent: a connection to the server is open."""
    _ticket: Ticket = attrs.field(init=False)
    """Known once the request may go out."""

    async def whole(self) -> Completion:
        """Request the answer in one piece and return it."""
        sender = await self._sender()
        limit = Within(self._limit_seconds)
        try:
            with limit:
                response = await self._send(sender, streaming=False)
                data = response.data
                if data is None or len(data) > MAX_ANSWER_BYTES:
                    try:
                        data = await _read_all(response)
                    finally:
                        await response.aclose()
            completion = self._read(data, response.headers.get("content-type", ""))
            self._ticket.finished(completion.usage)
            return completion
        except asyncio.CancelledError as error:
            self._mark(error)
            raise
        except Exception as error:
            failure = self._meaning(error, limit.expired(), f"gave no answer in {self._limit_seconds:g} s")
            if failure is None:
                raise
        finally:
            self._ticket.finished(None)
            sender.calls -= 1
        raise failure  # without a context: the SDK's exception may hold the key

    async def stream(self) -> AsyncGenerator[Delta, None]:
        """Request the answer as a stream and yield its parts, the completion last."""
        sender = await self._sender()
        try:
            deadline = asyncio.get_running_loop().time() + self._limit_seconds
            response = await self._begin(sender, deadline)
            try:
                if "json" in response.headers.get("content-type", ""):
                    completion = await self._unstreamed(response, deadline)
                    self._ticket.finished(completion.usage)
                    yield Delta(text=completion.text)
                else:
                    chunks, parser = response.pieces, EventParser()
                    reader, size_bytes, thoughts = self.wire.reader(self.model_id), 0, ThoughtSplitter()
                    while not reader.done:
                        chunk = await self._next(chunks, deadline, reader)
                        size_bytes += len(chunk)
                        for delta in self._take(chunk, size_bytes, parser, reader):
                            if thoughts.is_over or (delta := thoughts.split(delta)) != _NOTHING:
                                yield delta
                        if not chunk:  # the end, with or without the terminal event
                            break
                    if (rest := thoughts.end()) != _NOTHING:
                        yield rest
                    completion = self._completed(reader)
                    self._ticket.finished(completion.usage)
                    await _drain(chunks)
            finally:
                await response.aclose()
        finally:
            self._ticket.finished(None)
            sender.calls -= 1
        yield Delta(completion=completion)

    @property
    def _limit_seconds(self) -> float:
        asked = self.request.timeout_seconds
        return self.connection.timeout_seconds if asked is None else asked

    async def _sender(self) -> Sender:
        """Return the sender as soon as the request may be sent; the caller must decrement its ``calls``.

        Outside of the time limit: importing an SDK takes seconds, and so may waiting for the rate limit.
        """
        try:
            sender = await sender_for(self.wire.sdk, self.connection)
            sender.calls += 1  # before the wait: an idle client may be closed
            try:
                ticket = admitted.get()  # which the gateway got before it wrote the intent
                limiter = limiter_for(self.connection, self.model_id)
                if ticket is None or ticket.is_used or ticket.limiter is not limiter:
                    ticket = await limiter.enter(_need_of(self.request))
                ticket.is_used = True
                self._ticket = ticket
            except BaseException:
                sender.calls -= 1
                raise
            return sender
        except asyncio.CancelledError as error:
            self._mark(error)
            raise
        except Exception as error:
            failure = self._meaning(error)
            if failure is None:
                raise
        raise failure

    async def _send(self, sender: Sender, *, streaming: bool) -> HttpAnswer:
        try:
            body = b"".join(self.wire.encode(self.model_id, self.request, streaming=streaming))
            response = await sender.post(self.wire.path, body, self)
        except BaseException:
            self._ticket.unheard()
            raise
        self._ticket.heard(response.status_code, response.headers)
        if not 200 <= response.status_code < 300:
            raise await self._refused(response)
        return response

    async def _refused(self, response: HttpAnswer) -> ModelError:
        try:
            body = await _read_all(response)
        except Exception:  # an error with a truncated body: the status says enough
            body = b""
        finally:
            await response.aclose()
        failure = self.failures.from_status(response.status_code, response.headers, body)
        self.learn(failure, self.wire)
        return failure

    async def _begin(self, sender: Sender, deadline: float) -> HttpAnswer:
        first_byte_seconds = min(self.connection.first_byte_seconds, self._limit_seconds)
        limit = asyncio.timeout_at(min(deadline, deadline - self._limit_seconds + first_byte_seconds))
        try:
            async with limit:
                return await self._send(sender, streaming=True)
        except asyncio.CancelledError as error:
            self._mark(error)
            raise
        except Exception as error:
            failure = self._meaning(error, limit.expired(), f"gave no answer in {first_byte_seconds:g} s")
            if failure is None:
                raise
        raise failure

    async def _unstreamed(self, response: HttpAnswer, deadline: float) -> Completion:
        limit = asyncio.timeout_at(deadline)
        try:
            async with limit:
                data = await _read_all(response)
            return self._read(data, "")
        except Exception as error:
            failure = self._meaning(error, limit.expired(), f"did not finish in {self._limit_seconds:g} s")
            if failure is None:
                raise
        raise failure

    async def _next(self, chunks: AsyncIterator[bytes], deadline: float, reader: Reader) -> bytes:
        """Return the next piece of the stream, no bytes at its end.

        If the stream breaks or stalls after the answer has ended, or after the provider reported an error, it
        ends there.
        """
        silent_until = asyncio.get_running_loop().time() + self.connection.stall_seconds
        limit = asyncio.timeout_at(min(deadline, silent_until))
        try:
            async with limit:
                return await anext(chunks, b"")
        except Exception as error:
            stalled = silent_until < deadline
            what = (
                f"sent nothing for {self.connection.stall_seconds:g} s"
                if stalled
                else "did not finish in time"
            )
            failure = self._meaning(error, limit.expired(), f"{what} within a stream")
            if failure is None:
                raise
        if _has_ended(reader):
            return b""
        raise failure

    def _take(self, chunk: bytes, size_bytes: int, parser: EventParser, reader: Reader) -> list[Delta]:
        try:
            if size_bytes > MAX_ANSWER_BYTES:
                raise _too_long()
            deltas = _deltas(parser.feed(chunk) if chunk else parser.close(), reader)
            if not chunk and not reader.done:
                reader.completion()  # raises an error that says what is missing
            return deltas
        except Exception as error:
            failure = self._meaning(error)
            if failure is None:
                raise
        raise failure

    def _completed(self, reader: Reader) -> Completion:
        try:
            return reader.completion()
        except (NotAnAnswer, ErrorInAnswer) as error:
            failure = self._meaning(error)
            if failure is None:
                raise
        raise failure

    def _read(self, data: bytes, content_type: str) -> Completion:
        if data.startswith(b"{") or ("event-stream" not in content_type and not _is_stream(data)):
            return self.wire.read(data, self.model_id)
        parser, reader = EventParser(), self.wire.reader(self.model_id)
        _deltas([*parser.feed(data), *parser.close()], reader)
        return reader.completion()

    def _mark(self, error: asyncio.CancelledError) -> None:
        if not self.is_sent:
            mark_unsent(error)

    def _meaning(self, error: Exception, expired: bool = False, late: str = "") -> ModelError | None:
        match error:
            case SunwellError():
                return None
            case NotAnAnswer():
                return self.failures.bad_answer(str(error), retry=not error.arrived)
            case EventTooLong():
                return self.failures.bad_answer(f"sent {error}", retry=False)
            case ErrorInAnswer():
                failure = self.failures.from_error_object(error.error)
                if error.answer is not None:  # it was billed, and a retry would be billed again
                    failure.answer = error.answer
                    failure.retry = failure.retry and failure.most_repeats is not None
                self.learn(failure, self.wire)
                return failure
            case TimeoutError() if expired:
                return self.failures.timed_out(late, is_sent=self.is_sent)
            case _:
                return self.failures.from_exception(error, is_sent=self.is_sent)


def _need_of(request: Request) -> Need:
    return Need(request.size_bytes / 4, request.max_output_tokens)


def _has_ended(reader: Reader) -> bool:
    try:
        reader.completion()
    except ErrorInAnswer:
        return True
    except NotAnAnswer:
        return False
    return True


def _is_stream(data: bytes) -> bool:
    return data.removeprefix(_BOM).lstrip().startswith((b"data:", b"event:"))


def _too_long() -> NotAnAnswer:
    return NotAnAnswer(f"sent an answer of more than {MAX_ANSWER_BYTES} bytes", arrived=True)


def _deltas(events: Iterable[bytes], reader: Reader) -> list[Delta]:
    """Return what arrived together; texts that follow each other are one, as nobody saw them apart."""
    deltas: list[Delta] = []
    texts: list[str] = []
    for data in events:
        if reader.done:
            break
        delta = reader.take(data)
        if delta is None:
            continue
        if delta.text and not (delta.thinking or delta.tool_name or delta.completion):
            texts.append(delta.text)
            continue
        if texts:
            deltas.append(Delta(text="".join(texts)))
            texts.clear()
        deltas.append(delta)
    if texts:
        deltas.append(Delta(text="".join(texts)))
    return deltas


async def _read_all(answer: HttpAnswer) -> bytes:
    pieces, size_bytes = [], 0
    async for piece in answer.pieces:
        size_bytes += len(piece)
        if size_bytes > MAX_ANSWER_BYTES:
            raise _too_long()
        pieces.append(piece)
    return b"".join(pieces)


async def _drain(chunks: AsyncIterator[bytes]) -> None:
    """Read the rest of a finished stream, so that its connection can be reused."""
    try:
        async with asyncio.timeout(_DRAIN_SECONDS):
            async for _ in chunks:
                pass
    except Exception:  # the answer is complete: a failure of the connection no longer matters
        return


COUNT_SECONDS = 5.0
"""Longest wait for the provider's own count of a request, if the connection sets no shorter one."""
_SILENT_SECONDS = 60.0  # after a failure: a server that does not count must not delay each call
_HAS_NO_COUNT = frozenset({404, 405, 410, 501})


@attrs.define(eq=False)
class InputCounter:
    """Asks a server for its own count of a request, and remembers whether it can count."""

    model_id: str
    connection: Connection
    failures: Failures
    _can_count: bool = attrs.field(init=False)
    _silent_until: float = attrs.field(default=-math.inf, init=False)
    """Time of the event loop until which the server is not asked again."""

    @_can_count.default
    def _by_preset(self) -> bool:
        from sunwell.models.catalog import may_count

        return may_count(self.connection)

    @property
    def can_count(self) -> bool:
        """Whether the server may count, as far as is known by now."""
        return self._can_count

    async def count(self, wire: Wire, request: Request) -> int | None:
        """Return the server's count of the input of *request*; ``None`` if there is none."""
        clock = asyncio.get_running_loop()
        if wire.count_path is None or not self._can_count or clock.time() < self._silent_until:
            return None
        try:
            counted = await self._asked(wire, request)
        except (SunwellError, NotAnAnswer, TimeoutError):
            counted = None
        except Exception as error:
            if self.failures.from_exception(error) is None:
                raise  # a bug in our own code
            counted = None
        if counted is None:
            self._silent_until = clock.time() + _SILENT_SECONDS
        return counted

    async def _asked(self, wire: Wire, request: Request) -> int | None:
        body = b"".join(wire.encode(self.model_id, request, streaming=False, counting=True))
        sender = await sender_for(wire.sdk, self.connection)  # outside of the limit: may import an SDK
        sender.calls += 1
        try:
            async with asyncio.timeout(min(COUNT_SECONDS, self.connection.first_byte_seconds)):
                # A pace of its own: providers limit these requests apart from others, and their figures say
                # nothing about others. What the user has set holds for both.
                pace = limiter_for(self.connection, f"{self.model_id}{wire.count_path}")
                ticket = await pace.enter(Need(0.0, 0))
                try:
                    response = await sender.post(str(wire.count_path), body)
                    ticket.heard(response.status_code, response.headers)
                    try:
                        return self._read(response.status_code, await _read_all(response))
                    finally:
                        await response.aclose()
                finally:
                    ticket.unheard()
        finally:
            sender.calls -= 1

    def _read(self, status: int, data: bytes) -> int | None:
        if status in _HAS_NO_COUNT:
            self._can_count = False
        return count(decode_object(data).get("input_tokens")) if 200 <= status < 300 else None


@attrs.define(eq=False)
class HttpModel:
    """A model that is called over HTTP through the SDK of its wire format."""

    model_id: str
    connection: Connection
    name: str
    """The model's name in bills, events and journals."""
    wire: Wire = attrs.field(repr=False)
    stream_above_tokens: int | None = None
    """Answers that may be longer than this are streamed: a silent connection may be closed."""
    tuning: Tuning = UNTUNED
    provider: str = attrs.field(init=False, repr=False)
    """The provider's name."""
    _failures: Failures = attrs.field(init=False, repr=False)
    _counter: InputCounter = attrs.field(init=False, repr=False)

    @provider.default
    def _of_connection(self) -> str:
        return self.connection.provider

    @_failures.default
    def _for_this_model(self) -> Failures:
        return Failures(self.name, self.connection, self.wire.sdk)

    @_counter.default
    def _of_this_model(self) -> InputCounter:
        return InputCounter(self.model_id, self.connection, self._failures)

    @property
    def max_output_tokens(self) -> int | None:
        """Token limit of one answer if a request sets none; ``None``: not set."""
        return self.tuning.max_output_tokens

    @property
    def thinking_tokens(self) -> int | None:
        """The thinking budget that was set; ``None``: none, or the wire format has no field for it."""
        return None

    @property
    def context_window(self) -> int | None:
        """The context window that was set for the model in tokens; ``None``: not set, see its price."""
        return self.tuning.context_window

    def check_key(self) -> None:
        """Raise :exc:`~sunwell.errors.MissingKeyError` if a key is required and none is set."""
        self.connection.check_key()

    def input_bound_tokens(self, request: Request) -> int:
        """Return an upper bound on the input tokens that the provider can bill for *request*.

        It is the size of the body in bytes, since no token is shorter than a byte, plus the dated
        allowance for what the provider adds to a prompt.
        """
        from sunwell.models.tokens import allowance_tokens

        return self.sent_bytes(request) + allowance_tokens(self.provider, self.model_id)

    def sent_bytes(self, request: Request) -> int:
        """Return the size of the body in which *request* is sent."""
        return sum(map(len, self.wire.encode(self.model_id, self.tuning.applied(request), streaming=True)))

    def is_thinking(self, request: Request) -> bool:
        """Whether *request* is sent with a thinking budget, which its own limit may leave no room for."""
        return False

    @property
    def can_count(self) -> bool:
        """Whether :meth:`count_input_tokens` may return a count, as far as is known by now."""
        return self.wire.count_path is not None and self._counter.can_count

    async def count_input_tokens(self, request: Request) -> int | None:
        """Return the provider's own count of the input of *request*; ``None`` if there is none.

        The provider asks nothing for it. The same body is sent as for an answer, without the fields that the
        endpoint does not accept. It takes at most :data:`COUNT_SECONDS`, and never raises for a failure of
        the server. A server without such an endpoint is asked once, one that fails once a minute.
        """
        return await self._counter.count(self.wire, self.tuning.applied(request))

    async def admit(self, request: Request) -> Ticket:
        """Wait until the rate limit lets *request* go, and return the right to send it.

        The gateway does so before it writes down that it sends the request. Without that, a call waits by
        itself.
        """
        limiter = limiter_for(self.connection, self.model_id)
        return await limiter.enter(_need_of(request))

    async def complete(self, request: Request) -> Completion:
        """Return one completion, or raise :exc:`~sunwell.errors.ModelError`.

        The request's time limit, or else the connection's, applies to the whole call. A cancelled
        call closes its connection. If the server rejects an optional field, the error allows another
        attempt, which leaves the field out.
        """
        call, above, asked = self._call(request), self.stream_above_tokens, request.max_output_tokens
        if above is None or asked is None or asked <= above:
            return await call.whole()
        completion = None
        async with aclosing(call.stream()) as deltas:
            async for delta in deltas:
                completion = delta.completion
        assert completion is not None
        return completion

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer as it arrives; the last delta carries the completion.

        Raises what :meth:`complete` raises, also if the stream ends too early.
        """
        return self._call(request).stream()

    def _learn(self, error: ModelError, sent: Wire) -> None:
        """Leave out what *error* refuses from now on; *sent* is the format of the refused request."""
        # With an answer, the request was accepted and billed: another attempt would be billed, too.
        if not isinstance(error, BadRequest) or isinstance(error, RequestTooLong) or error.answer is not None:
            return
        if sent.without(error.detail) is None:
            return
        # Calls that went out together are refused together: the first refusal has changed the format, and the
        # others profit from that.
        self.wire = self.wire.without(error.detail) or self.wire
        error.retry, error.is_changed, error.retry_after_seconds = True, True, 0.0

    def _call(self, request: Request) -> HttpCall:
        tuned = self.tuning.applied(request)
        return HttpCall(self.model_id, self.wire, self.connection, self._failures, tuned, self._learn)
