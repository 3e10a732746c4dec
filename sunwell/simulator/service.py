"""Answers HTTP requests: authenticates, finds the model, applies the fault plan, bills, responds."""

import asyncio
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.core.message import Part, Text, Thinking
from sunwell.simulator.billing import Billing, SimulatedCall
from sunwell.simulator.faults import NO_FAULT, Fault, FaultPlan, Occasion, parse_fault
from sunwell.simulator.said import Said, say
from sunwell.simulator.script import Player, Posed, PosedRequest, Reply
from sunwell.simulator.simulated_models import SimulatedModel, offered_id
from sunwell.simulator.spoiled import report, spoil
from sunwell.simulator.vendor_limits import VendorLimits
from sunwell.simulator.wire import Chunk, Inquiry, Refusal, WireAnswer, WireFormat, cut_stream, encode

if TYPE_CHECKING:
    from aiohttp import web

_USUAL_PER_MINUTE = 4000


@attrs.frozen
class Allowance:
    """The rate limit in the headers of one response: the limit per minute, and the remaining amount."""

    per_minute: int = _USUAL_PER_MINUTE
    remaining: int = _USUAL_PER_MINUTE - 1


@attrs.define(eq=False)
class RequestLimit:
    """A number of requests at once, and as many more each second; ``None``: no limit."""

    per_second: float | None = None
    _available: float = attrs.field(default=0.0, init=False)
    _at: float | None = attrs.field(default=None, init=False)

    def take(self) -> tuple[bool, Allowance]:
        """Return whether one more request is accepted now, and the figures for its response."""
        if self.per_second is None:
            return True, Allowance()
        now = asyncio.get_running_loop().time()
        if self._at is None:
            self._available = self.per_second
        else:
            more = (now - self._at) * self.per_second
            self._available = min(self.per_second, self._available + more)
        self._at = now
        is_taken = self._available >= 1
        if is_taken:
            self._available -= 1
        return is_taken, Allowance(round(self.per_second * 60), int(self._available))


_USUAL = Allowance()
_MESSAGES = {
    401: "invalid x-api-key",
    429: "This request would exceed your rate limit. Please try again later.",
    500: "Internal server error",
    503: "Service unavailable",
    529: "Overloaded",
}


def key_of(headers: Mapping[str, str]) -> str:
    """Return the API key of a request, from either header; empty if there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip()


def planned_refusal(fault: Fault, key: str) -> Refusal:
    """Return the rejection that *fault* describes."""
    status = fault.refused_with or 500
    message, code = _MESSAGES.get(status, "Something went wrong"), None
    if status == 401:
        code = "invalid_api_key"
        message = f"Incorrect API key provided: {key}." if fault.echo_key else message
    elif status == 429:
        code = "insufficient_quota" if fault.quota else "rate_limit_exceeded"
        message = "You exceeded your current quota, please check your plan." if fault.quota else message
    return Refusal(status, message, None, code, fault.retry_after_seconds)


def answer_headers(
    wire: str,
    request_id: str,
    allowance: Allowance = _USUAL,
    limit_headers: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Return the headers of a response: the request's id and the rate limit."""
    if limit_headers is not None:
        return {("request-id" if wire == "messages" else "x-request-id"): request_id, **limit_headers}
    limit, remaining = str(allowance.per_minute), allowance.remaining
    if wire == "messages":
        return {
            "request-id": request_id,
            "anthropic-ratelimit-requests-limit": limit,
            "anthropic-ratelimit-requests-remaining": str(remaining),
        }
    return {
        "x-request-id": request_id,
        "x-ratelimit-limit-requests": limit,
        "x-ratelimit-remaining-requests": str(remaining),
    }


def refusal_headers(
    wire: str, refusal: Refusal, request_id: str, allowance: Allowance = _USUAL
) -> dict[str, str]:
    """Return the headers of an error response, including ``Retry-After`` if it is known."""
    if refusal.status == 429:
        allowance = attrs.evolve(allowance, remaining=0)
    headers = answer_headers(wire, request_id, allowance, refusal.limit_headers)
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = f"{refusal.retry_after_seconds:g}"
    return headers


@attrs.define(eq=False)
class Exchange:
    """A call whose input is billed; :meth:`run` answers it and closes its line in the bill."""

    wire: WireFormat
    inquiry: Inquiry
    model: SimulatedModel
    said: Said
    fault: Fault
    call: SimulatedCall
    created: int
    allowance: Allowance = Allowance()
    limits: VendorLimits | None = None
    limit_headers: Mapping[str, str] | None = None
    posed: PosedRequest | None = None
    """The request to a player, whose answer replaces ``said``."""
    _opened: "web.StreamResponse | None" = attrs.field(default=None, init=False)
    """The response, if it had to begin before the answer was there."""

    async def run(self, request: "web.Request") -> "web.StreamResponse":
        """Answer *request*. If the caller disconnects, the output generated so far is billed."""
        try:
            return await self._run(request)
        finally:
            self.call.end("cancelled")
            if self.posed is not None:
                self.posed.close()

    async def _run(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        await asyncio.sleep(self.model.latency_seconds + self.fault.stall_before_seconds)
        if self.fault.cut == "before":
            self.call.end("cut")
            _hang_up(request)
            return web.Response()
        if self.posed is not None:
            await self._wait_for_player(request, self.posed)
        self.call.begin_answer()
        if self.fault.slip:
            return self._lost(_SLIP)
        if self.fault.gateway_status is not None:
            # In the provider's own shape, as some gateways do: the hardest case to distinguish from a
            # rejection.
            return self._lost(Refusal(self.fault.gateway_status, "Provider returned error"))
        if self.inquiry.stream or self.fault.stream_anyway:
            return await self._stream(request)
        return await self._plain(request)

    async def _wait_for_player(self, request: "web.Request", posed: PosedRequest) -> None:
        """Wait for the answer, and keep the connection alive as providers do: in a stream with an event
        without content, else with line breaks before the JSON.
        """
        keeps_alive = not self.fault.slip and self.fault.gateway_status is None
        streams = self.inquiry.stream or self.fault.stream_anyway
        answer = asyncio.ensure_future(posed.reply())
        try:
            while not (await asyncio.wait({answer}, timeout=self.model.keep_alive_seconds))[0]:
                if keeps_alive:
                    response = self._opened or await self._prepared(request, streams=streams)
                    await response.write(self.wire.keep_alive if streams else b"\n")
            self.said = say(answer.result(), self.inquiry.asked.max_output_tokens)
        finally:
            answer.cancel()

    async def _prepared(self, request: "web.Request", *, streams: bool) -> "web.StreamResponse":
        """Return a response whose body can be written; one that has begun is used."""
        from aiohttp import web

        if self._opened is None:
            headers = answer_headers(self.wire.name, self.call.request_id, self.allowance, self.limit_headers)
            if streams:
                kind = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
            else:
                kind = {"content-type": "application/json"}
            self._opened = web.StreamResponse(headers=headers | kind)
            await self._opened.prepare(request)
        return self._opened

    def _lost(self, refusal: Refusal) -> "web.Response":
        """Generate the complete answer, but send the error of a server that could not use it."""
        from aiohttp import web

        self.call.generate(self.said.output_tokens)
        self.call.end("cut")
        told = self.wire.refuse(refusal, self.call.request_id)
        return web.Response(status=refusal.status, body=encode(told), content_type="application/json")

    async def _plain(self, request: "web.Request") -> "web.StreamResponse":
        from aiohttp import web

        answer = self._answer()
        if self.model.chunk_seconds or self.fault.stall_midway_seconds:
            chunks = self.wire.stream(answer)
            for i in range(len(chunks)):
                await self._generate(i, len(chunks))
        self.call.generate(self.said.output_tokens)
        body = encode(self.wire.plain(answer))
        headers = answer_headers(self.wire.name, self.call.request_id, self.allowance, self.limit_headers)
        self._count_output()
        if self._opened is not None:
            self.call.end("cut" if self.fault.cut else "answered")
            await self._opened.write(body[: len(body) // 2] if self.fault.cut else body)
            if self.fault.cut:
                _hang_up(request)
            else:
                await self._opened.write_eof()
            return self._opened
        if self.fault.cut is None:
            self.call.end()
            return web.Response(body=body, content_type="application/json", headers=headers)
        response = web.StreamResponse(headers=headers | {"content-type": "application/json"})
        response.content_length = len(body)
        self.call.end("cut")
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        _hang_up(request)
        return response

    async def _stream(self, request: "web.Request") -> "web.StreamResponse":
        whole = self.wire.stream(self._answer())
        chunks, drops = cut_stream(whole, self.fault.cut)
        response = await self._prepared(request, streams=True)
        await self._write(response, chunks, len(whole))
        self._count_output()
        self.call.end("cut" if self.fault.cut else "answered")
        if drops:
            _hang_up(request)
        else:
            await response.write_eof()
        return response

    async def _write(self, response: "web.StreamResponse", chunks: "Sequence[Chunk]", whole: int) -> None:
        """Write *chunks* of an answer of *whole* chunks; the last chunk generates nothing new."""
        if not self.model.chunk_seconds and not self.fault.stall_midway_seconds:
            self.call.generate(self._generated(len(chunks) - 1, whole))
            await response.write(b"".join(chunk.data for chunk in chunks))
            return
        for i, chunk in enumerate(chunks):
            await self._generate(i, whole)
            await response.write(chunk.data)

    async def _generate(self, i: int, whole: int) -> None:
        await asyncio.sleep(self.model.chunk_seconds)
        if i == whole // 2:
            await asyncio.sleep(self.fault.stall_midway_seconds)
        self.call.generate(self._generated(i, whole))

    def _generated(self, i: int, whole: int) -> int:
        """Return the output generated up to chunk *i*; the end of a stream itself generates none."""
        return min(self.said.output_tokens, self.said.output_tokens * (i + 1) // max(1, whole - 1))

    def _count_output(self) -> None:
        if self.limits is not None:
            self.limits.produce(self.call.output_tokens)

    def _answer(self) -> WireAnswer:
        shown = spoil(self.said, self.fault)
        return WireAnswer(
            request_id=self.call.request_id,
            model=self.fault.answering_model or self.inquiry.asked.model,
            said=attrs.evolve(shown, parts=tuple(part for part in shown.parts if self._is_shown(part))),
            usage=report(self.call.split, self.said, self.fault),
            fault=self.fault,
            created=self.created,
            include_usage=self.inquiry.include_usage,
        )

    def _is_shown(self, part: Part) -> bool:
        """Leave out empty texts: a provider sends none, and rejects them when they come back."""
        if isinstance(part, Thinking):
            return self.inquiry.thinking
        return not isinstance(part, Text) or part.text != ""


_SLIP = Refusal(
    400,
    "Failed to call a function. Please adjust your prompt. See 'failed_generation' for more details.",
    None,
    "tool_use_failed",
)


def check_known(body: Mapping[str, Any], unknown: Sequence[str], wire: str) -> None:
    """Raise :exc:`Refusal`, in the words of *wire*'s provider, if *body* has one of the *unknown* fields."""
    for path in unknown:
        found: Any = body
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
        if found is not None:
            extra = f"{path}: Extra inputs are not permitted"
            raise Refusal(400, extra if wire == "messages" else f"Unknown parameter: '{path}'.", path)


def _hang_up(request: "web.Request") -> None:
    """Close the connection after the data already written, without a proper end of the body."""
    if request.transport is not None:
        request.transport.close()


log = logging.getLogger("sunwell.simulator")

FAULT_HEADER = "x-simulator-fault"


@attrs.frozen
class SimulatedRequest:
    """A request for an answer, or one that only counts input tokens, as received."""

    number: int
    """Number from 1 among its kind, in the order of arrival, including rejected requests."""
    path: str
    key: str
    """Empty if none was sent."""
    model: str
    body: Mapping[str, Any]
    """The parsed JSON; empty if it could not be parsed."""
    raw: bytes | None = None
    """The raw body, if the simulator keeps it."""


@attrs.define(eq=False)
class Service:
    """Handles the routes of a simulator."""

    models: Mapping[str, SimulatedModel]
    billing: Billing
    plan: FaultPlan
    keep_bodies: bool = False
    limit: RequestLimit = attrs.field(factory=RequestLimit)
    vendor_limits: VendorLimits | None = None
    requests: list[SimulatedRequest] = attrs.field(factory=list, init=False)
    counts: list[SimulatedRequest] = attrs.field(factory=list, init=False)
    """Requests that only count input tokens."""

    async def answer(self, request: "web.Request", wire: WireFormat) -> "web.StreamResponse":
        """Answer a request for a completion in *wire*'s format."""
        raw = await request.read()
        number = len(self.requests) + 1
        body, failure = _parsed(raw)
        key, name = key_of(request.headers), str(body.get("model", ""))
        kept = raw if self.keep_bodies else None
        self.requests.append(SimulatedRequest(number, request.path, key, name, body, kept))
        is_taken, allowance = self.limit.take()
        try:
            if not is_taken:
                raise Refusal(429, "Rate limit reached for requests", None, "rate_limit_exceeded", 1.0)
            if failure is not None:
                raise failure
            occasion = Occasion(number, name, key, body.get("stream") is True)
            fault = self._fault(request.headers, occasion)
            exchange = self._open(request, wire, body, fault, key)
        except Refusal as refusal:
            return await refused(wire, refusal, f"req_refused_{number:08d}", allowance)
        return await attrs.evolve(exchange, allowance=allowance).run(request)

    async def count(self, request: "web.Request", wire: WireFormat) -> "web.StreamResponse":
        """Answer how many input tokens would be billed for a request in *wire*'s format; this is free."""
        from aiohttp import web

        raw = await request.read()
        body, failure = _parsed(raw)
        key, name = key_of(request.headers), str(body.get("model", ""))
        kept = raw if self.keep_bodies else None
        self.counts.append(SimulatedRequest(len(self.counts) + 1, request.path, key, name, body, kept))
        try:
            if failure is not None:
                raise failure
            occasion = Occasion(len(self.requests) + 1, name, key, counting=True)
            fault = self._fault(request.headers, occasion)
            await asyncio.sleep(fault.stall_before_seconds)
            if fault.cut is not None:
                _hang_up(request)
                return web.Response()
            if fault.refused_with is not None:
                raise planned_refusal(fault, key)
            _authenticate(key)
            model = self._model(name)
            assert wire.read_count is not None  # a route of a format without one does not exist
            inquiry = wire.read_count(body, _lower(request.headers))
            self._check_window(model, inquiry)
        except Refusal as refusal:
            return await refused(wire, refusal, f"req_count_{len(self.counts):08d}")
        counted = inquiry.prompt.tokens + fault.hidden_input_tokens
        return _json(200, {**wire.counted, "input_tokens": counted}, {})

    async def list_models(self, request: "web.Request") -> "web.StreamResponse":
        """List the models in the format of the provider that the caller expects."""
        if "anthropic-version" in request.headers:
            listed = [_anthropic_model(name) for name in self.models]
            names = [*self.models, None]
            ends = {"first_id": names[0], "last_id": names[-2] if self.models else None}
            return _json(200, {"data": listed, "has_more": False, **ends}, {})
        data = [
            {"id": name, "object": "model", "created": 0, "owned_by": "simulator"} for name in self.models
        ]
        return _json(200, {"object": "list", "data": data}, {})

    def _fault(self, headers: Mapping[str, str], occasion: Occasion) -> Fault:
        text = headers.get(FAULT_HEADER)
        if text is None:
            return self.plan(occasion) or NO_FAULT
        try:
            return parse_fault(text)
        except ValueError as error:
            raise Refusal(400, f"{FAULT_HEADER}: {error}") from None

    def _open(
        self, request: "web.Request", wire: WireFormat, body: Mapping[str, Any], fault: Fault, key: str
    ) -> Exchange:
        if fault.refused_with is not None:
            raise planned_refusal(fault, key)
        _authenticate(key)
        model = self._model(str(body.get("model", "")))
        check_known(body, fault.unknown_fields, wire.name)
        inquiry = wire.read(body, _lower(request.headers))
        self._check_window(model, inquiry)
        script = self.models[model]
        try:  # before the call is billed: if a script fails, nothing was generated
            reply = _UNKNOWN if isinstance(script.script, Player) else script.script(inquiry.asked)
            said = say(reply, inquiry.asked.max_output_tokens)
        except Exception as error:
            log.exception("the script of %s failed", model)
            raise Refusal(500, f"the script of {model} failed: {error!r}") from error
        limit_headers = self._within_limits(key, model, inquiry)
        hidden = fault.hidden_input_tokens
        posed = None
        if isinstance(script.script, Player):  # after all other checks: an unbilled request is never posed
            posed = _pose(script.script, Posed(inquiry.asked, body, wire.name, inquiry.prompt.tokens))
        call = self.billing.begin(key, model, inquiry.prompt, hidden_input_tokens=hidden)
        return Exchange(
            wire,
            inquiry,
            script,
            said,
            fault,
            call,
            int(time.time()),
            limits=self.vendor_limits,
            limit_headers=limit_headers,
            posed=posed,
        )

    def _within_limits(self, key: str, model: str, inquiry: Inquiry) -> Mapping[str, str] | None:
        limits = self.vendor_limits
        if limits is None:
            return None
        cached = self.billing.cached_tokens(key, model, inquiry.prompt)
        verdict = limits.admit(inquiry.prompt.tokens, cached, inquiry.asked.max_output_tokens)
        if not verdict.is_taken:
            code = "rate_limit_exceeded" if verdict.status == 429 else None
            message, after = _MESSAGES[verdict.status], verdict.retry_after_seconds
            raise Refusal(verdict.status, message, None, code, after, verdict.headers)
        return verdict.headers

    def _model(self, asked: str) -> str:
        name = offered_id(asked, self.models)
        if name is None:
            text = f"model: {asked}" if asked else "model: Field required"
            raise Refusal(404 if asked else 400, text, "model", "model_not_found" if asked else None)
        return name

    def _check_window(self, model: str, inquiry: Inquiry) -> None:
        window = self.billing.price_of(model).context_window
        tokens = inquiry.prompt.tokens
        if window is not None and tokens > window:
            text = f"prompt is too long: {tokens} tokens > {window} maximum"
            raise Refusal(400, text, "messages", "context_length_exceeded")


_UNKNOWN = Reply(())
"""In place of an answer that a player has not given yet."""


def _pose(player: Player, posed: Posed) -> PosedRequest:
    try:
        return player.pose(posed)
    except Refusal:
        raise
    except Exception as error:
        log.exception("the player of %s failed", posed.asked.model)
        raise Refusal(500, f"the player of {posed.asked.model} failed: {error!r}") from error


async def refused(
    wire: WireFormat, refusal: Refusal, request_id: str, allowance: Allowance | None = None
) -> "web.Response":
    """Return the error response for *refusal*."""
    headers = refusal_headers(wire.name, refusal, request_id, allowance or Allowance())
    return _json(refusal.status, wire.refuse(refusal, request_id), headers)


def _authenticate(key: str) -> None:
    if not key:
        raise Refusal(
            401, "no API key was sent: give Authorization: Bearer or x-api-key", None, "invalid_api_key"
        )


def _parsed(raw: bytes) -> tuple[Mapping[str, Any], Refusal | None]:
    try:
        body = json.loads(raw)
    except ValueError as error:
        return {}, Refusal(400, f"We could not parse the JSON body of your request: {error}")
    if not isinstance(body, dict):
        return {}, Refusal(400, "The body of the request must be a JSON object.")
    return body, None


def _lower(headers: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _anthropic_model(name: str) -> dict[str, Any]:
    return {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}


def _json(status: int, body: Any, headers: Mapping[str, str]) -> "web.Response":
    from aiohttp import web

    return web.Response(status=status, body=encode(body), content_type="application/json", headers=headers)
