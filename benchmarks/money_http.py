"""The same random trees of work over HTTP: Sunwell's adapters against the simulator on loopback."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import attrs
from money_parts import NAMES, PRICES, Part, Plan, some_answer

from sunwell.core.model import ModelProtocol
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.simulator import Asked, Fault, Occasion, Reply, Simulator


@attrs.define(eq=False)
class OverHttp:
    """Simulated models behind a server; both wire formats."""

    unit_seconds: float = 0.01
    has_wire: bool = True
    simulator: Simulator = attrs.field(init=False)
    _key: str = ""
    """An account of its own for each interleaving: a request that was cut off may arrive late."""
    _faults: Any = None
    _dice: random.Random = attrs.field(factory=random.Random)

    def __attrs_post_init__(self) -> None:
        self.simulator = Simulator(dict.fromkeys(NAMES, self._say), PRICES, lambda one: self._faults(one))

    def begin(self, plan: Plan, faults: Callable[[Occasion], Fault | None]) -> None:
        """Open a new account."""
        self._faults, self._dice = faults, random.Random(plan.seed)
        self._key = f"key-{plan.seed}"

    def model(self, name: str, part: Part, dice: random.Random) -> ModelProtocol:
        """Return an adapter: Messages for the cheap model, Chat Completions for the dear one."""
        if name == NAMES[0]:
            return AnthropicModel(name, Connection("lab", self.simulator.url, self._key))
        return ChatModel(name, Connection("lab", self.simulator.openai_url, self._key))

    async def quiet(self) -> None:
        """Wait until the server has noticed every connection that was closed."""
        while self._is_open():  # noqa: ASYNC110 - the server has no event for it
            await asyncio.sleep(0.002)

    def billed_usd(self, path: str = "") -> Decimal:
        """Return what was billed in this interleaving; by path it is not known."""
        return Decimal(0) if path else self.simulator.bill.total_usd(self._key)

    def _is_open(self) -> bool:
        return any(entry.why == "open" for entry in self.simulator.bill.entries(self._key))

    def _say(self, asked: Asked) -> Reply:
        return some_answer(asked, self._dice, 1.0)


@asynccontextmanager
async def over_http() -> AsyncIterator[OverHttp]:
    """Serve, and close what was opened."""
    provider = OverHttp()
    try:
        async with provider.simulator:
            yield provider
            await close_clients()
    finally:
        await close_clients()
