"""Answers HTTP requests: authenticates, finds the model, applies the plan of faults, bills, writes."""

import json
import logging
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import attrs

from sunwell.simulator.allowance import Allowance, RequestLimit
from sunwell.simulator.anthropic_answer import MESSAGES
from sunwell.simulator.anthropic_format import read_count
from sunwell.simulator.billing import Billing
from sunwell.simulator.exchange import Exchange
from sunwell.simulator.faults import NO_FAULT, Fault, FaultPlan, Occasion, parse_fault
from sunwell.simulator.models import SimulatedModel, offered_id
from sunwell.simulator.refusing import key_of, planned_refusal, refusal_headers
from sunwell.simulator.said import say
from sunwell.simulator.wire import Inquiry, Refusal, WireFormat, encode

if TYPE_CHECKING:
    from aiohttp import web

log = logging.getLogger("sunwell.simulator")

FAULT_HEADER = "x-simulator-fault"


@attrs.frozen
class SimulatedRequest:
    """A request for an answer, as it came in."""

    number: int
    """Counts from 1, in the order of arrival; refused requests count too."""
    path: str
    key: str
    """Empty where none was sent."""
    model: str
    body: Mapping[str, Any]
    """The parsed JSON; empty where it could not be parsed."""
    raw: bytes | None = None
    """The body's bytes, where the simulator keeps them."""


@attrs.define(eq=False)
class Service:
    """What stands behind the routes of a simulator."""

    models: Mapping[str, SimulatedModel]
    billing: Billing
    plan: FaultPlan
    keep_bodies: bool = False
    limit: RequestLimit = attrs.field(factory=RequestLimit)
    requests: list[SimulatedRequest] = attrs.field(factory=list, init=False)

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

    async def count(self, request: "web.Request") -> "web.StreamResponse":
        """Answer ``count_tokens``; nothing is billed."""
        body, failure = _parsed(await request.read())
        try:
            if failure is not None:
                raise failure
            _authenticate(key_of(request.headers))
            self._model(str(body.get("model", "")))
            inquiry = read_count(body, _lower(request.headers))
        except Refusal as refusal:
            return await refused(MESSAGES, refusal, "req_count")
        return _json(200, {"input_tokens": inquiry.prompt.tokens}, {})

    async def list_models(self, request: "web.Request") -> "web.StreamResponse":
        """List the models in the shape of the provider that the caller takes us for."""
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
        inquiry = wire.read(body, _lower(request.headers))
        self._check_window(model, inquiry)
        script = self.models[model]
        try:  # before the call is billed: nothing was generated where a script fails
            said = say(script.script(inquiry.asked), inquiry.asked.max_output_tokens)
        except Exception as error:
            log.exception("the script of %s failed", model)
            raise Refusal(500, f"the script of {model} failed: {error!r}") from error
        hidden = fault.hidden_input_tokens
        call = self.billing.begin(key, model, inquiry.prompt, hidden_input_tokens=hidden)
        return Exchange(wire, inquiry, script, said, fault, call, int(time.time()))

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
