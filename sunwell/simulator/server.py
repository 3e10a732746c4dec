"""The simulator as a server on loopback."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Self

import attrs

from sunwell.simulator.billing import Billing, Clock
from sunwell.simulator.chat_dialects import DIALECTS
from sunwell.simulator.chat_wire import CHAT, PLAIN
from sunwell.simulator.faults import FaultPlan, fault_plan
from sunwell.simulator.messages_wire import MESSAGES
from sunwell.simulator.responses_wire import RESPONSES
from sunwell.simulator.script import Player, Script
from sunwell.simulator.service import RequestLimit, Service, SimulatedRequest
from sunwell.simulator.simulated_models import SimulatedModel, offered
from sunwell.simulator.simulated_prices import PRICES, ModelPrice
from sunwell.simulator.vendor_limits import VendorLimits

if TYPE_CHECKING:
    from aiohttp import web

_CHATS = {"openai": CHAT, "plain": PLAIN, **DIALECTS}
_BACKLOG = 2048
_LARGEST_BODY_BYTES = 256 * 1024 * 1024
_HOST = "127.0.0.1"


@attrs.define(eq=False)
class Simulator:
    """A provider on loopback that bills, caches and fails like a real one.

    ``models`` are scripts or players by model id, each with a price in ``prices``; with ``None`` every
    priced model echoes. Each non-empty key is a separate account. Anthropic clients use :attr:`url` as
    their base URL, OpenAI clients :attr:`openai_url`.
    """

    models: Mapping[str, Script | Player | SimulatedModel] | None = None
    prices: Mapping[str, ModelPrice] = attrs.field(default=PRICES, repr=False)
    faults: FaultPlan | Sequence[FaultPlan] | None = None
    clock: Clock = attrs.field(default=time.time, repr=False)
    """Clock for the lifetime of cache entries."""
    port: int = 0
    """0: any free port."""
    dialect: Literal["openai", "plain", "gemini", "openrouter", "deepseek", "mistral"] = "openai"
    """How Chat Completions behave: like OpenAI, like a simple compatible server with fewer features, or like
    one that wants back unchanged what it sent: signatures, reasoning, thinking parts, its own ids."""
    requests_per_second: float | None = None
    """Limit of requests per second, for all callers together; more are rejected with 429."""
    limits: VendorLimits | None = attrs.field(default=None, repr=False)
    """Rate limits by the rules of a vendor, for all callers together."""
    keep_bodies: bool = False
    """Whether :attr:`requests` keep the raw bodies."""
    bill: Billing = attrs.field(init=False)
    """Everything billed so far."""
    connections: int = attrs.field(default=0, init=False)
    """Number of connections opened so far."""
    _service: Service = attrs.field(init=False, repr=False)
    _runner: "web.AppRunner | None" = attrs.field(default=None, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.bill = Billing(self.prices, self.clock)
        models = offered(self.models, self.prices)
        limit = RequestLimit(self.requests_per_second)
        self._service = Service(
            models, self.bill, fault_plan(self.faults), self.keep_bodies, limit, self.limits
        )

    @property
    def url(self) -> str:
        """Address of the server, without ``/v1``."""
        return f"http://{_HOST}:{self.port}"

    @property
    def openai_url(self) -> str:
        """Address for OpenAI clients, with ``/v1``."""
        return f"{self.url}/v1"

    @property
    def requests(self) -> Sequence[SimulatedRequest]:
        """All requests for answers so far, in the order of arrival, including rejected ones."""
        return tuple(self._service.requests)

    @property
    def counts(self) -> Sequence[SimulatedRequest]:
        """All requests so far that only count input tokens, as they arrived, including rejected ones."""
        return tuple(self._service.counts)

    async def start(self) -> None:
        """Start to listen. Raises :exc:`OSError` if the port is in use."""
        from aiohttp import web

        runner = web.AppRunner(self._app(), handler_cancellation=True, access_log=None, shutdown_timeout=0)
        await runner.setup()
        try:
            site = web.TCPSite(runner, _HOST, self.port, backlog=_BACKLOG)
            await site.start()
        except BaseException:
            await runner.cleanup()
            raise
        self._runner = runner
        self.port = runner.addresses[0][1]

    async def stop(self) -> None:
        """Close the server and all connections; the bill stays readable. Calling it twice is safe."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def serve_forever(self, ready: Callable[[Self], object] | None = None) -> None:
        """Listen until cancelled; *ready* is called once the address is known."""
        async with self:
            if ready is not None:
                ready(self)
            await asyncio.Event().wait()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def _app(self) -> "web.Application":
        from aiohttp import web

        service = self._service

        async def messages(request: web.Request) -> web.StreamResponse:
            return await service.answer(request, MESSAGES)

        async def chat(request: web.Request) -> web.StreamResponse:
            return await service.answer(request, _CHATS[self.dialect])

        async def responses(request: web.Request) -> web.StreamResponse:
            return await service.answer(request, RESPONSES)

        app = web.Application(client_max_size=_LARGEST_BODY_BYTES, middlewares=[self._count_connections()])
        app.router.add_post("/v1/messages", messages)

        async def count_messages(request: web.Request) -> web.StreamResponse:
            return await service.count(request, MESSAGES)

        async def count_responses(request: web.Request) -> web.StreamResponse:
            return await service.count(request, RESPONSES)

        app.router.add_post("/v1/messages/count_tokens", count_messages)
        for prefix in ("", "/v1"):
            app.router.add_post(f"{prefix}/chat/completions", chat)
            app.router.add_post(f"{prefix}/responses", responses)
            app.router.add_post(f"{prefix}/responses/input_tokens", count_responses)
            app.router.add_get(f"{prefix}/models", service.list_models)
        return app

    def _count_connections(self) -> Any:
        import weakref

        from aiohttp import web

        seen: weakref.WeakSet[Any] = weakref.WeakSet()

        @web.middleware
        async def counted(request: web.Request, handler: Any) -> web.StreamResponse:
            if request.transport not in seen:
                seen.add(request.transport)
                self.connections += 1
            response: web.StreamResponse = await handler(request)
            return response

        return counted


@contextmanager
def running_simulator(simulator: Simulator) -> Iterator[Simulator]:
    """Run *simulator* in a thread with its own event loop, for code that has none.

    Raises :exc:`OSError` if the port is in use.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sunwell-simulator", daemon=True)
    thread.start()
    try:
        asyncio.run_coroutine_threadsafe(simulator.start(), loop).result()
        yield simulator
    finally:
        asyncio.run_coroutine_threadsafe(simulator.stop(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
