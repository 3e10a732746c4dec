"""The provider's bill: one line for each call, in the simulator's own exact arithmetic."""

import time
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal

import attrs

from sunwell.errors import ConfigurationError
from sunwell.simulator.cache import CacheSplit, PromptCache
from sunwell.simulator.prompt_tokens import Prompt
from sunwell.simulator.simulated_prices import PRICES, ModelPrice, ModelRates

_PER_MILLION = Decimal("0.000001")

Clock = Callable[[], float]
"""Returns the time in seconds; only differences matter."""


@attrs.define(eq=False)
class ManualClock:
    """A clock that advances only when a test tells it to."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        """Advance the clock by *seconds*."""
        self.now += seconds


@attrs.frozen
class BillEntry:
    """One line of the bill: the charge for one call."""

    request_id: str
    key: str
    model: str
    uncached_tokens: int
    read_tokens: int
    write_tokens: int
    write_1h_tokens: int
    output_tokens: int
    usd: Decimal
    time: float
    """Time at which the call arrived, on the billing's clock."""
    why: str
    """``answered``, ``cut``, ``cancelled``, or ``open`` while the call is in flight."""

    @property
    def input_tokens(self) -> int:
        """All input, cached or not."""
        return self.uncached_tokens + self.read_tokens + self.write_tokens + self.write_1h_tokens


@attrs.frozen
class SimulatedTotal:
    """Totals of the calls of one model, of one key, or of all."""

    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    usd: Decimal = Decimal(0)


@attrs.define(eq=False)
class SimulatedCall:
    """One billed call in progress; its input is already charged.

    Call :meth:`begin_answer` when the first piece of the answer is sent, :meth:`generate` as output is
    generated, and :meth:`end` in any case.
    """

    request_id: str
    key: str
    model: str
    split: CacheSplit
    rates: ModelRates
    time: float
    _billing: "Billing" = attrs.field(repr=False)
    output_tokens: int = attrs.field(default=0, init=False)
    why: str = attrs.field(default="open", init=False)

    def begin_answer(self) -> None:
        """Make the cache entries of this call readable for later calls."""
        self._billing.store(self.split)

    def generate(self, output_tokens: int) -> None:
        """Charge output up to a total of *output_tokens*; a smaller value than before changes nothing."""
        more = output_tokens - self.output_tokens
        if self.why != "open":
            raise ValueError(f"call {self.request_id} has ended")
        if more > 0:
            self.output_tokens = output_tokens
            self._billing.charge(self, more * self.rates.output_usd * _PER_MILLION)

    def end(self, why: str = "answered") -> None:
        """Close the line; only the first call has an effect."""
        if self.why == "open":
            self.why = why

    @property
    def input_usd(self) -> Decimal:
        """Cost of the input."""
        return _input_usd(self.split, self.rates)

    @property
    def usd(self) -> Decimal:
        """Cost of the call so far."""
        return self.input_usd + self.output_tokens * self.rates.output_usd * _PER_MILLION

    def entry(self) -> BillEntry:
        """Return the current line of the bill."""
        split = self.split
        parts = (split.uncached_tokens, split.read_tokens, split.write_tokens, split.write_1h_tokens)
        return BillEntry(
            self.request_id, self.key, self.model, *parts, self.output_tokens, self.usd, self.time, self.why
        )


@attrs.define(eq=False)
class Billing:
    """The accounts of a provider. Each API key is an account with its own cache."""

    prices: Mapping[str, ModelPrice] = PRICES
    clock: Clock = time.time
    _cache: PromptCache = attrs.field(factory=PromptCache, init=False, repr=False)
    _calls: list[SimulatedCall] = attrs.field(factory=list, init=False, repr=False)
    _usd: dict[tuple[str, str], Decimal] = attrs.field(factory=dict, init=False, repr=False)

    def begin(self, key: str, model: str, prompt: Prompt, *, hidden_input_tokens: int = 0) -> SimulatedCall:
        """Match *prompt* against the cache of *key* and charge the input.

        ``hidden_input_tokens`` are tokens that a provider adds to a prompt; they are billed as uncached
        input and count towards the tier. Raises :exc:`~sunwell.errors.ConfigurationError` if *model* has
        no price.
        """
        price = self.price_of(model)
        now = self.clock()
        split = self._cache.split(prompt, price, f"{len(key)}:{key}{model}".encode(), now)
        if hidden_input_tokens:
            split = attrs.evolve(split, uncached_tokens=split.uncached_tokens + hidden_input_tokens)
        rates = price.rates_for(split.input_tokens)
        call = SimulatedCall(f"req_{len(self._calls) + 1:08d}", key, model, split, rates, now, self)
        self._calls.append(call)
        self.charge(call, call.input_usd)
        return call

    def cached_tokens(self, key: str, model: str, prompt: Prompt) -> int:
        """Return the part of *prompt* that would be read from the cache of *key* now; nothing is charged."""
        space = f"{len(key)}:{key}{model}".encode()
        return self._cache.split(prompt, self.price_of(model), space, self.clock()).read_tokens

    def price_of(self, model: str) -> ModelPrice:
        """Return the price of *model*, or raise :exc:`~sunwell.errors.ConfigurationError`."""
        if model not in self.prices:
            raise ConfigurationError(f"the simulator has no price for {model!r}: add it to prices=")
        return self.prices[model]

    def store(self, split: CacheSplit) -> None:
        """Make the entries of *split* readable from now on."""
        if split.entries:
            self._cache.store(split.entries, self.clock())

    def charge(self, call: SimulatedCall, usd: Decimal) -> None:
        """Add *usd* to the account of *call*."""
        account = (call.key, call.model)
        self._usd[account] = self._usd.get(account, Decimal(0)) + usd

    def total_usd(self, key: str | None = None, model: str | None = None) -> Decimal:
        """Return the total billed so far, including calls in flight; ``None``: of all accounts."""
        accounts = tuple(self._usd.items())  # the server may add one in its own thread
        return sum((usd for account, usd in accounts if _matches(account, key, model)), Decimal(0))

    def entries(self, key: str | None = None, model: str | None = None) -> tuple[BillEntry, ...]:
        """Return the lines of the bill in the order in which the calls arrived."""
        return tuple(call.entry() for call in self._chosen(key, model))

    def by_model(self, key: str | None = None) -> dict[str, SimulatedTotal]:
        """Return the totals of each model that was called."""
        totals: dict[str, SimulatedTotal] = {}
        for call in self._chosen(key, None):
            so_far = totals.get(call.model, SimulatedTotal())
            totals[call.model] = SimulatedTotal(
                so_far.calls + 1,
                so_far.input_tokens + call.split.input_tokens,
                so_far.output_tokens + call.output_tokens,
                so_far.usd + call.usd,
            )
        return totals

    def _chosen(self, key: str | None, model: str | None) -> Iterator[SimulatedCall]:
        calls = self._calls[:]
        return (call for call in calls if _matches((call.key, call.model), key, model))


def _input_usd(split: CacheSplit, rates: ModelRates) -> Decimal:
    plain = rates.input_usd
    total = split.uncached_tokens * plain
    for tokens, rate in (
        (split.read_tokens, rates.read_usd),
        (split.write_tokens, rates.write_usd),
        (split.write_1h_tokens, rates.write_1h_usd),
    ):
        if tokens:
            total += tokens * (plain if rate is None else rate)
    return total * _PER_MILLION


def _matches(account: tuple[str, str], key: str | None, model: str | None) -> bool:
    return key in (None, account[0]) and model in (None, account[1])
