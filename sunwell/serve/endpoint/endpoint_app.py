"""The endpoint over HTTP: three wire formats, the list of models, and streams that last as long as a run."""

import asyncio
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import attrs
import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sunwell.serve.endpoint.client_request import (
    ClientAnswer,
    ClientRequest,
    ClientWire,
    Declined,
    unfit,
)
from sunwell.serve.endpoint.event_stream import json_bytes
from sunwell.serve.endpoint.requested_runs import ClientGone, ClientKey, RequestedRun, RequestedRuns
from sunwell.serve.endpoint.served_chat import ChatWire
from sunwell.serve.endpoint.served_messages import MessagesWire
from sunwell.serve.endpoint.served_responses import ResponsesWire

WIRES: Mapping[str, ClientWire] = {
    "/v1/chat/completions": ChatWire(),
    "/v1/responses": ResponsesWire(),
    "/v1/messages": MessagesWire(),
}
_BEAT_SECONDS = 10.0
_RETRIES = "x-stainless-retry-count"
"""In which the SDKs of OpenAI and Anthropic say how often they have sent a request before."""


_KINDS = {
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    408: "timeout_error",
}


def door_error(status: int, sentence: str) -> dict[str, Any]:
    """Return an error as clients of both vendors read it, for who is not let in."""
    kind = _KINDS.get(status, "invalid_request_error")
    return {"type": "error", "error": {"type": kind, "message": sentence, "param": None, "code": kind}}


async def _not_there(request: Request, error: Exception) -> Response:
    """Answer a request for what is not served, most often by a client with another base URL."""
    status = getattr(error, "status_code", 404)
    place = f"{request.method} {request.url.path[:100]!r}"
    sentence = (
        f"there is no {place} here: base URLs end in /v1 for clients of OpenAI and in no path for those of "
        f"Anthropic; there are POST {', '.join(WIRES)} and GET /v1/models; nothing was spent"
    )
    return _json(door_error(status, sentence), status, getattr(error, "headers", None))


@attrs.define(eq=False)
class Endpoint:
    """Answers requests by runs; the guard in front of it has put the client's key into the scope."""

    runs: RequestedRuns
    models: tuple[str, ...]
    """Names of models that clients may ask for, the usual one first."""
    beat_seconds: float = _BEAT_SECONDS
    """How often a stream without news tells that it goes on."""
    _since: int = attrs.field(factory=lambda: int(time.time()), init=False)

    def app(self) -> Starlette:
        """Return the application."""
        routes = [Route(path, _Posted(self, wire), methods=["POST"]) for path, wire in WIRES.items()]
        routes += [
            Route("/v1/models", self._list, methods=["GET"]),
            Route("/v1/models/{name:path}", self._one, methods=["GET"]),
        ]
        return Starlette(routes=routes, exception_handlers={HTTPException: _not_there})

    async def _list(self, _: Request) -> Response:
        data = [self._model(name) for name in self.models]
        more = {"has_more": False, "first_id": self.models[0], "last_id": self.models[-1]}
        return _json({"object": "list", "data": data, **more})

    async def _one(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in self.models:
            return _json(ChatWire().error(_unknown(name, self.models)), 404)
        return _json(self._model(name))

    def _model(self, name: str) -> dict[str, Any]:
        """Return a model as both OpenAI and Anthropic list theirs."""
        made = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self._since))
        return {
            "id": name,
            "object": "model",
            "created": self._since,
            "owned_by": "sunwell",
            "type": "model",
            "display_name": name,
            "created_at": made,
        }


@attrs.frozen
class _Posted:
    """Answers the requests of one wire format."""

    endpoint: Endpoint
    wire: ClientWire

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request, wire = Request(scope, receive), self.wire
        try:
            asked = wire.read(_object(await request.body()))
            if asked.model not in self.endpoint.models:
                raise _unknown(asked.model, self.endpoint.models)
            run = self._run_for(request, asked)
            gone = asyncio.ensure_future(_gone(receive))
            try:
                with run.listening():
                    await self._tell(asked, run, gone, send)
            finally:
                gone.cancel()
        except Declined as declined:
            headers = _run_headers(declined.about) | (_NOT_AGAIN if declined.is_lasting else {})
            body = _json(wire.error(declined), declined.status, headers)
            await body(scope, receive, send)
        except ClientGone:
            pass

    def _run_for(self, request: Request, asked: ClientRequest) -> RequestedRun:
        key: ClientKey = request.scope["sunwell.key"]
        sent_before = request.headers.get(_RETRIES, "").strip("0").isdecimal()
        named = request.headers.get("idempotency-key", "")
        return self.endpoint.runs.of(key, asked, sent_before=sent_before, idempotency_key=named)

    async def _tell(
        self, asked: ClientRequest, run: RequestedRun, gone: "asyncio.Future[None]", send: Send
    ) -> None:
        await run.begun(gone)
        if not asked.streams or not run.run_id:
            answer = await run.answer(gone)
            response = _json(self.wire.whole(answer), 200, _run_headers(answer.about))
            await _send(send, 200, response.raw_headers, bytes(response.body))
            return
        headers = [*_STREAM_HEADERS, (b"x-sunwell-run-id", run.run_id.encode())]
        await _send(send, 200, headers, b"".join(self._beginning(asked, run)), more=True)
        while True:
            try:
                answer = await run.answer(gone, self.endpoint.beat_seconds)
            except TimeoutError:
                await _send_piece(send, self.wire.beat())
            except Declined as declined:
                await _send_piece(send, b"".join(self.wire.failed(declined)), more=False)
                return
            else:
                ending = self.wire.end(answer, with_usage=asked.with_usage)
                await _send_piece(send, b"".join(ending), more=False)
                return

    def _beginning(self, asked: ClientRequest, run: RequestedRun) -> Iterator[bytes]:
        return self.wire.begin(ClientAnswer(run.run_id, asked.model, int(time.time())))


_NOT_AGAIN = {"x-should-retry": "false"}
"""What keeps the vendors' SDKs from sending a request again after a status at which they do."""
_STREAM_HEADERS = ((b"content-type", b"text/event-stream; charset=utf-8"), (b"cache-control", b"no-store"))


async def _send(
    send: Send, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes, *, more: bool = False
) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await _send_piece(send, body, more=more)


async def _send_piece(send: Send, body: bytes, *, more: bool = True) -> None:
    await send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(receive: Receive) -> None:
    """Return when the client has closed its connection."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _object(body: bytes) -> dict[str, Any]:
    try:
        found = msgspec.json.decode(body)
    except (ValueError, RecursionError):
        raise unfit("the body is not JSON in UTF-8") from None
    if not isinstance(found, dict):
        raise unfit("the body must be a JSON object")
    return found


def _unknown(name: str, models: Iterable[str]) -> Declined:
    there = ", ".join(models)
    sentence = f"there is no model {name[:100]!r} here; there are: {there}; nothing was spent"
    return Declined(404, "not_found_error", sentence)


def _json(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(json_bytes(value), status, dict(headers or {}), "application/json")


def _run_headers(about: Mapping[str, Any]) -> dict[str, str]:
    """Return the headers that name the run and what it has cost."""
    named = {"x-sunwell-run-id": about.get("run_id"), "x-sunwell-cost-usd": about.get("cost_usd")}
    return {name: str(value) for name, value in named.items() if value is not None}
