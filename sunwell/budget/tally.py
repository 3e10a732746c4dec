"""What each call of a run cost, added up for the whole and for every part of it."""

from collections.abc import Iterator
from decimal import Decimal
from operator import add, attrgetter

import attrs

from sunwell.budget.account import Account
from sunwell.budget.ledger_protocol import Amount
from sunwell.core.model import Completion, Purpose, Usage
from sunwell.core.task import Bill, BillLine, ModelBill, Total


@attrs.define(eq=False)
class Past:
    """Amounts at every path and, summed, at every path above it; seconds at their own path alone."""

    _sums: dict[str, Amount] = attrs.field(factory=dict)
    _seconds: dict[str, float] = attrs.field(factory=dict)

    def add(self, path: str, amount: Amount) -> None:
        """Remember *amount* for the accounts that will be opened at *path* or above it."""
        for at in upwards(path):
            self._sums[at] = _sum(self._sums.get(at, Amount()), amount)
        self._seconds[path] = self._seconds.get(path, 0.0) + amount.seconds

    def give(self, account: Account) -> None:
        """Book on a new account what was restored at or below its path."""
        book(account, self._sums.get(account.path, Amount()))
        account.restored_seconds = self._seconds.get(account.path, 0.0)


def upwards(path: str) -> Iterator[str]:
    """Yield *path* and every path above it."""
    while path:
        yield path
        path = path.rpartition("/")[0]


def book(account: Account, amount: Amount) -> None:
    """Book everything but seconds; what was reserved is uncertain now."""
    account.usd.add(amount.settled_usd, amount.uncertain_usd + amount.reserved_usd)
    account.tokens.add(amount.settled_tokens, amount.uncertain_tokens + amount.reserved_tokens)
    account.new_tokens.add(
        amount.settled_new_tokens, amount.uncertain_new_tokens + amount.reserved_new_tokens
    )
    account.calls.add(amount.calls, 0)
    account.turns.add(amount.turns, 0)


def _sum(one: Amount, other: Amount) -> Amount:
    return Amount(
        settled_usd=one.settled_usd + other.settled_usd,
        uncertain_usd=one.uncertain_usd + other.uncertain_usd,
        reserved_usd=one.reserved_usd + other.reserved_usd,
        settled_tokens=one.settled_tokens + other.settled_tokens,
        uncertain_tokens=one.uncertain_tokens + other.uncertain_tokens,
        reserved_tokens=one.reserved_tokens + other.reserved_tokens,
        settled_new_tokens=one.settled_new_tokens + other.settled_new_tokens,
        uncertain_new_tokens=one.uncertain_new_tokens + other.uncertain_new_tokens,
        reserved_new_tokens=one.reserved_new_tokens + other.reserved_new_tokens,
        calls=one.calls + other.calls,
        turns=one.turns + other.turns,
    )


@attrs.frozen
class BilledCall:
    """Where a call happened, what for, and which model answered."""

    span: str
    """Path of the span in which the call was made."""
    depth: int
    """Nesting of workers: the root is 0."""
    purpose: Purpose
    provider: str
    model: str
    """The model that is priced: the one that answered, or was asked where no answer came."""


_counts_of = attrgetter(*(field.name for field in attrs.fields(Usage)))


@attrs.define(eq=False)
class _RunningTotal:
    """A :class:`~sunwell.core.task.Total` that grows: each answer is added, and few are asked for the sum."""

    _calls: int = 0
    _counts: tuple[int, ...] = (0,) * len(attrs.fields(Usage))
    _cost_usd: Decimal | None = Decimal(0)
    _uncertain_calls: int = 0
    _uncertain_tokens: int = 0
    _uncertain_usd: Decimal | None = Decimal(0)

    def add(self, calls: int, usage: Usage, cost_usd: Decimal | None) -> None:
        """Add answered calls; ``cost_usd=None``: a price is unknown."""
        self._calls += calls
        self._counts = tuple(map(add, self._counts, _counts_of(usage)))
        known = self._cost_usd
        self._cost_usd = None if known is None or cost_usd is None else known + cost_usd

    def add_uncertain(self, tokens: int, usd: Decimal | None, calls: int) -> None:
        """Add attempts at their upper bound."""
        self._uncertain_calls += calls
        self._uncertain_tokens += tokens
        known = self._uncertain_usd
        self._uncertain_usd = None if known is None or usd is None else known + usd

    def total(self) -> Total:
        """Return the sum so far."""
        usage = Usage(*self._counts)
        uncertain = (self._uncertain_calls, self._uncertain_tokens, self._uncertain_usd)
        return Total(self._calls, usage, self._cost_usd, *uncertain)


@attrs.define(eq=False)
class Tally:
    """Adds up calls by where they happened. A parent's bill includes every descendant's.

    A resumed run adds the calls of earlier processes again, from its journal.
    """

    price_date: str = ""
    """ISO date of the price table; every bill carries it."""
    _sums: dict[BilledCall, _RunningTotal] = attrs.field(factory=dict, init=False)
    _below: dict[str, list[BilledCall]] = attrs.field(factory=dict, init=False)
    """The calls at and below each span: a worker's bill takes no look at its siblings."""
    _rungs: dict[str, str] = attrs.field(factory=dict, init=False)
    _remembered: dict[str, int] = attrs.field(factory=dict, init=False)
    """Calls at and below each span that an answer of an earlier run was taken for."""

    def add(self, call: BilledCall, usage: Usage, cost_usd: Decimal | None) -> None:
        """Add an answered call; ``cost_usd=None`` where the price is unknown, never 0."""
        self._sum(call).add(1, usage, cost_usd)

    def add_answer(self, call: BilledCall, completion: Completion, cost_usd: Decimal | None) -> None:
        """Add an answer that came to *cost_usd* in all; each advisor in it stands in a line of its own."""
        for one in completion.consulted:
            self._sum(attrs.evolve(call, model=one.model)).add(0, one.usage, one.cost_usd)
            if cost_usd is not None and one.cost_usd is not None:
                cost_usd -= one.cost_usd
        assert completion.usage is not None
        self._sum(call).add(1, completion.usage, cost_usd)

    def add_uncertain(
        self, call: BilledCall, reserved_tokens: int, reserved_usd: Decimal | None, calls: int = 1
    ) -> None:
        """Add *calls* attempts whose usage never came, at their upper bound. They stand apart in a bill."""
        self._sum(call).add_uncertain(reserved_tokens, reserved_usd, calls)

    def add_remembered(self, span: str) -> None:
        """Add a call of *span* that an answer of an earlier run was taken for; it stands apart."""
        for path in upwards(span):
            self._remembered[path] = self._remembered.get(path, 0) + 1

    def label(self, prefix: str, rung: str) -> None:
        """Have the calls of the span *prefix* and below it belong to *rung* in every bill."""
        self._rungs[prefix] = rung

    def bill(self, prefix: str = "run") -> Bill:
        """Return what the span *prefix* and everything below it came to.

        Models are sorted by name, then provider; a model that two providers serve has two lines.
        """
        lines: dict[tuple[str, str, int, str, str], list[Total]] = {}
        models: dict[tuple[str, str], list[Total]] = {}
        for call in self._below.get(prefix, ()):
            total = self._sums[call].total()
            model = (call.model, call.provider)
            models.setdefault(model, []).append(total)
            lines.setdefault((*model, call.depth, call.purpose, self._rung_of(call)), []).append(total)
        bill = Bill(
            models=tuple(_model_bill(*model, Total.of(models[model])) for model in sorted(models)),
            lines=tuple(BillLine(*line[:4], Total.of(lines[line]), line[4]) for line in sorted(lines)),
            price_date=self.price_date,
            remembered_calls=self._remembered.get(prefix, 0),
        )
        purposes = tuple((str(purpose), total.cost_usd) for purpose, total in bill.split("purpose"))
        return attrs.evolve(bill, by_purpose=purposes)

    def _rung_of(self, call: BilledCall) -> str:
        if not self._rungs:
            return ""
        return next((self._rungs[path] for path in upwards(call.span) if path in self._rungs), "")

    def _sum(self, call: BilledCall) -> _RunningTotal:
        found = self._sums.get(call)
        if found is None:
            found = self._sums[call] = _RunningTotal()
            for path in upwards(call.span):
                self._below.setdefault(path, []).append(call)
        return found


def _model_bill(model: str, provider: str, total: Total) -> ModelBill:
    return ModelBill(
        model=model,
        calls=total.calls,
        usage=total.usage,
        cost_usd=total.cost_usd,
        uncertain_usd=total.uncertain_usd,
        uncertain_calls=total.uncertain_calls,
        provider=provider,
        uncertain_tokens=total.uncertain_tokens,
    )
