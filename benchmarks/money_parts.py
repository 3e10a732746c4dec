"""What a random tree of work is made of: its parts, who answers them, and the journal they write."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any, Literal, Protocol

import attrs

from sunwell.budget import Budget
from sunwell.core import Message, Price, Rates, Request, Span, Text, user
from sunwell.core.model import Completion, Delta, ModelProtocol
from sunwell.core.price import Tier
from sunwell.errors import JournalError
from sunwell.journal.protocol import Durability
from sunwell.journal.records import Key, Record
from sunwell.models.connection import Connection
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Billing, Fault, InProcessModel, ModelPrice, ModelRates, Occasion, Reply
from sunwell.simulator.billing import SimulatedCall
from sunwell.simulator.in_process import loop_time, prompt_of
from sunwell.simulator.prompt_tokens import Prompt

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


Conduct = Literal["steady", "hidden", "changing", "small", "large", "missing", "routed"]
"""How the provider behaves. ``hidden``: from some request on, it adds more to a prompt than the table of
allowances says. ``changing``: from then on, it bills the same bytes differently. ``small``, ``large`` and
``missing``: from then on, it reports less than half of what it bills, twice as much, or nothing.
``routed``: the connection is to a router, whose servers bill the same bytes differently."""


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
    """Whether the exact count of the input is known without asking, and is the bound to reserve by."""
    can_count: bool = False
    """Whether the provider counts the input of a request if it is asked."""
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
    """Whether no provider reports more than it bills."""
    conduct: Conduct = "steady"
    change_after: int = 0
    """Number of requests after which a provider that is not steady changes."""
    factor: float = 1.0
    """Tokens that are billed for a prompt, as a multiple of our estimate of a quarter of its bytes."""
    later_factor: float = 1.0
    """The same once the provider has changed, if its conduct says so."""

    @property
    def keeps_promises(self) -> bool:
        """Whether the same bytes are billed alike, within the allowance, so that no bound may be exceeded."""
        return self.conduct in ("steady", "missing", "routed")


class Provider(Protocol):
    """Who answers, and what was billed for it."""

    unit_seconds: float
    """How long a unit of the plan's time takes."""
    has_wire: bool
    """Whether requests are sent in the format of a real provider, so that only one tokenizer is at hand."""

    def begin(self, plan: Plan, faults: Callable[[Occasion], Fault | None]) -> None:
        """Make ready for one interleaving."""

    def model(self, name: str, part: Part, dice: random.Random) -> ModelProtocol:
        """Return the model called *name*, as *part* asks it."""

    async def quiet(self) -> None:
        """Wait until no call is open any more."""

    def billed_usd(self, path: str = "") -> Decimal:
        """Return what was billed in this interleaving, at or below *path* where the provider can tell."""


def some_answer(asked: Asked, dice: random.Random, factor: float) -> Reply:
    """Return an answer of any length, also one that the limit will cut; its bytes fit what it costs."""
    most = asked.max_output_tokens or 1
    tokens = dice.randint(1, most + most // 4)
    text = "x" * max(1, int(min(tokens, most) * 4 / factor) - 8)
    return Reply((Text(text),), output_tokens=tokens)


class Talk:
    """What one part says, turn by turn: the same in every process, so that a resume asks the same."""

    def __init__(self, part: Part, plan: Plan, *, has_wire: bool) -> None:
        self._part, self._dice = part, random.Random(f"{plan.seed} {part.span.path}")
        self._messages: list[Message] = [user(part.prompt)]
        self._efforts = (None,) if has_wire else (None, "low", "high")
        self._effort: Any = None

    @property
    def request(self) -> Request:
        """The next question."""
        return Request(self._messages[:], max_output_tokens=self._part.output_tokens, effort=self._effort)

    def take(self, answer: Completion) -> None:
        """Go on after *answer*, at times in a shorter conversation or with another effort."""
        dice = self._dice
        if dice.random() < 0.15:
            self._messages = [user(self._part.prompt[: dice.choice((20, 600))]), user("So far: nothing.")]
        else:
            self._messages += [answer.as_message(), user("Go on. " * dice.choice((1, 1, 40)))]
        if dice.random() < 0.15:
            self._effort = dice.choice(self._efforts)


@attrs.define(eq=False)
class Tokenizing(Billing):
    """A bill by a tokenizer of the provider's own: some multiple of a quarter of the bytes."""

    factor: Callable[[], float] = attrs.field(kw_only=True)

    def begin(self, key: str, model: str, prompt: Prompt, *, hidden_input_tokens: int = 0) -> SimulatedCall:
        """Charge the input of *prompt*."""
        own = in_tokens_of(prompt, self.factor())
        return super().begin(key, model, own, hidden_input_tokens=hidden_input_tokens)


def in_tokens_of(prompt: Prompt, factor: float) -> Prompt:
    """Return *prompt* as a tokenizer sees it that makes so many times the tokens."""
    pieces = (attrs.evolve(piece, tokens=max(1, int(piece.tokens * factor))) for piece in prompt.pieces)
    return attrs.evolve(prompt, pieces=tuple(pieces))


class Tokenized(InProcessModel):
    """A simulated model of a provider with a tokenizer, and with a conduct, of its own."""

    __slots__ = ("_provider",)

    def __init__(self, provider: "InProcess", name: str, part: Part, latency: float, slow: float) -> None:
        given = (part.span.path, latency, slow, part.can_count)
        super().__init__(name, provider.say, provider.bill, provider.faults, *given)
        self._provider = provider

    def own_tokens(self, request: Request) -> int:
        """Return what this model's tokenizer makes of *request*."""
        return in_tokens_of(prompt_of(request, PRICES[self.name].cache_rule), self._provider.factor()).tokens

    async def complete(self, request: Request) -> Completion:
        """Return the script's answer, with the usage that the provider reports."""
        return self._reported(await super().complete(request))

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer in pieces."""
        async for delta in super().stream(request):
            whole = delta.completion
            yield delta if whole is None else attrs.evolve(delta, completion=self._reported(whole))

    async def count_input_tokens(self, request: Request) -> int | None:
        """Return the provider's count, or ``None`` if it gives none."""
        counted = await super().count_input_tokens(request)
        plain = prompt_of(request, PRICES[self.name].cache_rule).tokens
        return None if counted is None else counted - plain + self.own_tokens(request)

    def _reported(self, answer: Completion) -> Completion:
        usage = answer.usage
        if usage is None or not self._provider.reports_less:
            return answer
        less = attrs.evolve(
            usage,
            input_tokens=max(1, usage.input_tokens * 2 // 5),
            cache_read_tokens=usage.cache_read_tokens * 2 // 5,
            cache_write_tokens=usage.cache_write_tokens * 2 // 5,
            cache_write_1h_tokens=usage.cache_write_1h_tokens * 2 // 5,
        )
        return attrs.evolve(answer, usage=less)


class Counted(Tokenized):
    """A model whose tokens are known exactly beforehand, and whose provider adds none."""

    __slots__ = ()

    def input_bound_tokens(self, request: Request) -> int:
        """Return exactly what will be billed as input."""
        return self.own_tokens(request)


class Routed(Tokenized):
    """A model behind a router."""

    __slots__ = ()
    connection = Connection("openrouter", "http://127.0.0.1:9", "key")


@attrs.define(eq=False)
class InProcess:
    """Simulated models without a wire, on the clock of the event loop."""

    unit_seconds: float = 1.0
    has_wire: bool = False
    bill: Billing = attrs.field(init=False)
    faults: Any = None
    """Says what goes wrong with each request."""
    _plan: Plan = attrs.field(init=False)
    _dice: random.Random = attrs.field(init=False)
    _asked: int = 0

    def begin(self, plan: Plan, faults: Callable[[Occasion], Fault | None]) -> None:
        """Open new accounts."""
        self.bill = Tokenizing(PRICES, loop_time, factor=self.factor)
        self.faults, self._plan, self._dice, self._asked = faults, plan, random.Random(plan.seed), 0

    def model(self, name: str, part: Part, dice: random.Random) -> ModelProtocol:
        """Return a model with an account of its own for the part."""
        slow = dice.choice((0.0, 0.0, 0.3))
        latency = dice.random() * 4
        kind: type[Tokenized] = Tokenized
        if self._plan.conduct == "routed":
            kind, part = Routed, attrs.evolve(part, can_count=False)  # a router cannot count for its servers
        elif part.is_counted:
            kind = Counted
        return kind(self, name, part, latency, slow)

    @property
    def has_changed(self) -> bool:
        """Whether so many requests were made that the provider behaves differently now."""
        return self._asked > self._plan.change_after

    def factor(self) -> float:
        """Return the multiple of our estimate that is billed now."""
        plan = self._plan
        if plan.conduct == "routed":
            return self._dice.uniform(0.6, 3.0)
        return plan.later_factor if plan.conduct == "changing" and self.has_changed else plan.factor

    @property
    def reports_less(self) -> bool:
        """Whether less than half is reported now of what is billed."""
        return self._plan.conduct == "small" and self.has_changed

    def say(self, asked: Asked) -> Reply:
        """Answer, and count the requests that were."""
        self._asked += 1
        return some_answer(asked, self._dice, max(self._plan.factor, self._plan.later_factor))

    async def quiet(self) -> None:
        """Return at once: who is cancelled here has ended."""

    def billed_usd(self, path: str = "") -> Decimal:
        """Return what was billed, for the part at *path* and those below it where it is given."""
        if not path:
            return self.bill.total_usd()
        below = f"{path}/"
        lines = (entry for entry in self.bill.entries() if f"{entry.key}/".startswith(below))
        return sum((entry.usd for entry in lines), Decimal(0))


@attrs.define(eq=False)
class Pages:
    """A journal in memory whose appends may last; a record may be there long before its append returns."""

    dice: random.Random
    unit_seconds: float
    kept: list[Record] = attrs.field(factory=list)
    watch: Callable[[Record], None] | None = None
    """Told each record that a process writes."""
    run_id: str = "run"
    path: None = None
    boot: str = ""
    count: int = 0
    synced: int = 0
    is_dead: bool = attrs.field(default=False, init=False)
    """Whether the process that writes here was killed: what it does in its last steps is not real."""
    _latest: dict[tuple[str, Key | None], Record] = attrs.field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._latest = {(record.kind, record.key): record for record in self.kept}

    async def append(self, record: Record, *, durable: Durability = True) -> None:
        """Add *record* and perhaps wait."""
        if self.is_dead:
            raise JournalError("the process was killed")
        if self.watch is not None:
            self.watch(record)
        self.kept.append(record)
        self._latest[record.kind, record.key] = record
        if self.dice.random() < 0.25:
            await asyncio.sleep(self.dice.random() * self.unit_seconds)

    async def reserve_space(self, size_bytes: int) -> None:
        """Do nothing: memory is not reserved."""

    def find(self, kind: type[Record], key: Key) -> Any:
        """Return the latest record of the class *kind* with *key*, or ``None``."""
        return self._latest.get((kind.kind, key))

    def has(self, kind: type[Record]) -> bool:
        """Whether there is a record of the class *kind* with a key."""
        return any(name == kind.kind for name, _ in self._latest)

    def records(self) -> Iterator[Record]:
        """Yield all records in order."""
        return iter(tuple(self.kept))

    def close(self) -> None:
        """Do nothing."""
