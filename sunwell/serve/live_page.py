"""The page of a run on loopback: who may read it, and what there is to read."""

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import attrs

from sunwell.core.threads import in_thread
from sunwell.report.page.page_data import PageData
from sunwell.serve.followed_run import FollowedRun
from sunwell.serve.loopback_server import (
    HOST,
    HTML,
    JSON,
    LoopbackServer,
    PageRequest,
    PageResponse,
    ServerLimits,
    refusal,
)

IDLE_SECONDS = 120.0
"""So long after the last request, a server whose run has ended is not needed any more. A browser lets a page
in the background ask once in a minute."""
_LONGEST_WAIT_SECONDS = 10.0
_PAGE_WAIT_SECONDS = 1.0
"""How long the page itself waits for what was added: it asks for the rest by itself."""
_TOKEN_BYTES = 32
_METHODS = ("GET", "HEAD")
_FRAMED_BY_NOBODY = "frame-ancestors 'none'"
"""The rest of the policy is in the page itself, where this cannot be said."""


@attrs.define(eq=False)
class LivePage:
    """Serves the page of *run* under ``/TOKEN/``, ``changes`` and ``request`` below it, and a 404 elsewhere.

    A request must name the server by a name of loopback and its port, so that no other name can be made to
    lead here, and must come from the page itself or from a person who typed the address. *html* makes the
    page from its data, their version and the path under which it asks for more. *sent* gives the request of
    a call by its key, as JSON, or ``None`` if there is no such call.
    """

    run: FollowedRun
    html: Callable[[PageData, int, str], str]
    sent: Callable[[str], Awaitable[Mapping[str, Any] | None]]
    limits: ServerLimits = ServerLimits()
    wait_seconds: float = _LONGEST_WAIT_SECONDS
    """How long a question for changes waits for one."""
    token: str = attrs.field(factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), init=False, repr=False)
    asked_at: float = attrs.field(factory=time.monotonic, init=False)
    """When the page was last asked for anything, by the monotonic clock."""
    _server: LoopbackServer = attrs.field(init=False)
    _once: str = attrs.field(factory=lambda: secrets.token_urlsafe(_TOKEN_BYTES), init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self._server = LoopbackServer(self._answer, self.limits)

    async def __aenter__(self) -> "LivePage":
        await self._server.__aenter__()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.__aexit__()
        await self.run.close()

    @property
    def url(self) -> str:
        """The address of the page. Who knows it can read the page."""
        return f"http://{HOST}:{self._server.port}/{self.token}/"

    @property
    def url_for_once(self) -> str:
        """An address that leads to the page once: other users can see with what a browser is started."""
        return f"http://{HOST}:{self._server.port}/{self._once}/"

    async def until_idle(self, has_ended: Callable[[], bool], idle_seconds: float = IDLE_SECONDS) -> None:
        """Return when nobody has asked for *idle_seconds* and the run *has_ended*."""
        while True:
            left = self.asked_at + idle_seconds - time.monotonic()
            if left <= 0 and has_ended():
                return
            await asyncio.sleep(left if left > 0 else idle_seconds)

    async def _answer(self, request: PageRequest) -> PageResponse:
        _, token, *rest = request.path.split("/", 2)
        if not (rest and self._is_from_us(request)):
            return refusal(404)
        given = token.encode("ascii")
        if rest == [""] and secrets.compare_digest(given, self._once.encode("ascii")):
            self._once = secrets.token_urlsafe(_TOKEN_BYTES)
            return refusal(303, ("Location", f"/{self.token}/"))
        if not secrets.compare_digest(given, self.token.encode("ascii")):
            return refusal(404)
        if request.method not in _METHODS:
            return refusal(405, ("Allow", ", ".join(_METHODS)))
        self.asked_at = time.monotonic()
        match rest[0]:
            case "":
                return await self._page()
            case "changes":
                return await self._changes(request.query)
            case "request":
                return await self._sent(request.query)
        return refusal(404)

    def _is_from_us(self, request: PageRequest) -> bool:
        """Whether nothing says that the request comes from another site, or through another name."""
        host = request.headers.get("host", "").lower()
        if host not in (f"{HOST}:{self._server.port}", f"localhost:{self._server.port}"):
            return False
        if request.headers.get("origin", f"http://{host}").lower() != f"http://{host}":
            return False
        site = request.headers.get("sec-fetch-site", "same-origin")
        is_typed = site == "none" and request.headers.get("sec-fetch-mode", "navigate") == "navigate"
        return site == "same-origin" or is_typed

    async def _page(self) -> PageResponse:
        await self.run.look(_PAGE_WAIT_SECONDS)
        page = await self.run.whole(lambda data, version: self.html(data, version, f"/{self.token}/"))
        return PageResponse(200, page.encode("utf-8"), HTML, policy=_FRAMED_BY_NOBODY)

    async def _changes(self, query: str) -> PageResponse:
        given = _only(query, "since")
        if given is None or not (given.isascii() and given.isdigit() and len(given) < 16):
            return refusal(404)
        since = int(given)
        await self.run.newer(since, self.wait_seconds)
        versions = self.run.versions
        told = {"version": versions.version, "patch": versions.since(since), "trouble": self.run.trouble}
        return await _as_json(told)

    async def _sent(self, query: str) -> PageResponse:
        key = _only(query, "call")
        found = None if key is None else await self.sent(key)
        return refusal(404) if found is None else await _as_json(found)


def _only(query: str, name: str) -> str | None:
    """Return the value of *name* in *query*; ``None`` unless it is the only one there."""
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, strict_parsing=True, max_num_fields=1, errors="strict"
        )
    except ValueError:
        return None
    return pairs[0][1] if len(pairs) == 1 and pairs[0][0] == name else None


async def _as_json(value: object) -> PageResponse:
    # ASCII alone: half a character, which a text of a run may hold, has no form in UTF-8.
    text = await in_thread(lambda: json.dumps(value, separators=(",", ":")))
    return PageResponse(200, text.encode("ascii"), JSON)
