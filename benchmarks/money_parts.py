"""What a random tree of work is made of: its parts, who answers them, and the journal they write."""

import asyncio
import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any, Protocol

import attrs

from sunwell.budget import Budget
from sunwell.core import Price, Rates, Request, Span, Text
from sunwell.core.model import ModelProtocol
from sunwell.core.price import Tier
from sunwell.errors import JournalError
from sunwell.journal.records import Key, Record
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Billing, Fault, InProcessModel, ModelPrice, ModelRates, Occasion, Reply
from sunwell.simulator.in_process import loop_time, prompt_of

NAMES = ("claude-cheap-1", "claude-dear-1")
PRICES = {
    NAMES[0]: ModelPrice(
        ModelRates(1, 5, "0.1", "1.25", 2), ((700, ModelRates(5, 25, "0.5", "6.25", 10)),), "blocks", 64
    ),
    NAMES[1]: ModelPrice(ModelRates(4, 20, "0.2", 5, 8), (), "messages", 64),
}
"""A cheap model that costs five times as much above 700 tokens, and a dear one."""
BOOK = PriceBook(
    {
        NAMES[0]: Price(
            Rates(Decimal(1), Decimal(5), Decimal("0.1"), Decimal("1.25"), Decimal(2)),
            (Tier(700, Rates(Decimal(5), Decimal(25), Decimal("0.5"), Decimal("6.25"), Decimal(10))),),
        ),
        NAMES[1]: Price(Rates(Decimal(4), Decimal(20), Decimal("0.2"), Decimal(5), Decimal(8))),
    }
)


@attrs.frozen
class Part:
    """One node of a tree of work: calls, then children side by side, then calls again."""

    span: Span
    budget: Budget | None
    model: str
    prompt: str
    output_tokens: int
    before: int
    after: int
    children: tuple["Part", ...] = ()
    cancelled_after: float | None = None
    is_counted: bool = False
    """Whether the provider's own count of the input, to the token, is the bound to reserve by."""
    closes: bool = False
    """Whether it keeps a closing reserve and makes a closing call at a limit."""


@attrs.frozen
class Plan:
    """One interleaving."""

    seed: int
    tree: Part
    kills: tuple[float, ...] = ()
    """Seconds after which the process is killed; each is another process."""
    truthful: bool = False
    """Whether no provider reports more than it bills: such a report would end a crowd at once."""
    beyond: bool = False
    """Whether a provider adds more to a prompt than the table of allowances says."""


class Provider(Protocol):
    """Who answers, and what was billed for it."""

    unit_seconds: float
    """How long a unit of the plan's time takes."""

    def begin(self, seed: int, faults: Callable[[Occasion], Fault | None]) -> None:
        """Make ready for one interleaving."""

    def model(self, name: str, part: Part, dice: random.Random) -> ModelProtocol:
        """Return the model called *name*, as *part* asks it."""

    async def quiet(self) -> None:
        """Wait until no call is open any more."""

    def billed_usd(self, path: str = "") -> Decimal:
        """Return what was billed in this interleaving, at or below *path* where the provider can tell."""


def some_answer(asked: Asked, dice: random.Random) -> Reply:
    """Return an answer of any length, also one that the limit will cut."""
    most = asked.max_output_tokens or 1
    return Reply((Text("…"),), output_tokens=dice.randint(1, most + most // 4))


class Counted(InProcessModel):
    """A simulated model whose provider counts the tokens of a request beforehand, and adds none."""

    __slots__ = ()

    def input_bound_tokens(self, request: Request) -> int:
        """Return exactly what will be billed as input."""
        return prompt_of(request, PRICES[self.name].cache_rule).tokens


@attrs.define(eq=False)
class InProcess:
    """Simulated models without a wire, on the clock of the event loop."""

    unit_seconds: float = 1.0
    _bill: Billing = attrs.field(init=False)
    _faults: Any = None
    _dice: Any = None

    def begin(self, seed: int, faults: Callable[[Occasion], Fault | None]) -> None:
        """Open new accounts."""
        self._bill = Billing(PRICES, loop_time)
        self._faults, self._dice = faults, random.Random(seed)

    def model(self, name: str, part: Part, dice: random.Random) -> ModelProtocol:
        """Return a model with an account of its own for the part."""
        slow = dice.choice((0.0, 0.0, 0.3))
        latency = dice.random() * 4
        kind = Counted if part.is_counted else InProcessModel
        return kind(name, self._say, self._bill, self._faults, part.span.path, latency, slow)

    def _say(self, asked: Asked) -> Reply:
        return some_answer(asked, self._dice)

    async def quiet(self) -> None:
        """Return at once: who is cancelled here has ended."""

    def billed_usd(self, path: str = "") -> Decimal:
        """Return what was billed, for the part at *path* and those below it where it is given."""
        if not path:
            return self._bill.total_usd()
        below = f"{path}/"
        lines = (entry for entry in self._bill.entries() if f"{entry.key}/".startswith(below))
        return sum((entry.usd for entry in lines), Decimal(0))


@attrs.define(eq=False)
class Pages:
    """A journal in memory whose appends may last; a record may be there long before its append returns."""

    dice: random.Random
    unit_seconds: float
    kept: list[Record] = attrs.field(factory=list)
    run_id: str = "run"
    path: None = None
    is_dead: bool = attrs.field(default=False, init=False)
    """Whether the process that writes here was killed: what it does in its last steps is not real."""
    _latest: dict[tuple[str, Key | None], Record] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._latest = {(record.kind, record.key): record for record in self.kept}

    async def append(self, record: Record, *, durable: bool = True) -> None:
        """Add *record* and perhaps wait."""
        if self.is_dead:
            raise JournalError("the process was killed")
        self.kept.append(record)
        self._latest[record.kind, record.key] = record
        if self.dice.random() < 0.25:
            await asyncio.sleep(self.dice.random() * self.unit_seconds)

    async def reserve_space(self, size_bytes: int) -> None:
        """Do nothing: memory is not reserved."""

    def find(self, kind: type[Record], key: Key) -> Any:
        """Return the latest record of the class *kind* with *key*, or ``None``."""
        return self._latest.get((kind.kind, key))

    def records(self) -> Iterator[Record]:
        """Yield all records in order."""
        return iter(tuple(self.kept))

    def close(self) -> None:
        """Do nothing."""
