"""Sums of charges: for the whole run, for each span with all below it, and for each line of the bill."""

from collections.abc import Callable, Hashable, Iterable, Sequence
from decimal import Decimal
from enum import IntEnum, auto
from typing import Any, TypeVar

import attrs

from sunwell.budget.tally import upwards
from sunwell.core.model import Usage
from sunwell.core.task import Bill, BillLine, Total
from sunwell.report.page.page_data import BillRow, BillTables, SumLine, TokenCounts, Usd
from sunwell.report.page.token_prices import CACHE_READ, CACHE_WRITE, CACHE_WRITE_1H, INPUT, OUTPUT

_ZERO = Decimal(0)


class _Amount(IntEnum):
    """Where an amount stands among those that are added up. ``NO_…`` counts what has no amount."""

    USD = 0
    NO_USD = auto()
    UNCONFIRMED = auto()
    NO_UNCONFIRMED = auto()
    LOST = auto()
    NO_LOST = auto()
    UNEXPLAINED = auto()
    """Counts the costs that are not known to be made of tokens."""
    CHARGES = auto()
    CALLS = auto()
    UNCONFIRMED_CALLS = auto()
    UNCONFIRMED_TOKENS = auto()
    INPUT = auto()
    CACHE_WRITE = auto()
    CACHE_READ = auto()
    OUTPUT = auto()
    REASONING = auto()
    OTHER = auto()
    TOKENS = auto()
    """The first of the counts of a :class:`~sunwell.core.model.Usage`, in the order of its fields."""


_USAGE = tuple(field.name for field in attrs.fields(Usage))
_SIZE = _Amount.TOKENS + len(_USAGE)
_PARTS = {
    INPUT: _Amount.INPUT,
    CACHE_WRITE: _Amount.CACHE_WRITE,
    CACHE_WRITE_1H: _Amount.CACHE_WRITE,
    CACHE_READ: _Amount.CACHE_READ,
    OUTPUT: _Amount.OUTPUT,
}


@attrs.frozen
class Charge:
    """Something that a call was charged, or may be charged, and where it stands in the bill."""

    model: str
    """The model that is priced."""
    provider: str
    purpose: str
    depth: int
    rung: str = ""
    climber: str = ""
    """The span that the rung is a step of."""
    calls: int = 0
    """1: an answer, 0: an advisor in one, or an attempt whose usage never came."""
    usage: Usage = Usage()
    usd: Usd = _ZERO
    unconfirmed_usd: Usd = _ZERO
    unconfirmed_tokens: int = 0
    unconfirmed_calls: int = 0
    lines: tuple[SumLine, ...] = ()
    """What ``usd`` is made of; empty: unknown, or nothing."""
    reasoning_usd: Decimal = _ZERO
    """Part of the output in ``lines``."""
    is_lost: bool = False
    """Whether it paid for an attempt that failed."""

    def amounts(self) -> list[Any]:
        """Return what is added up, in the order of the places."""
        found: list[Any] = [0] * _SIZE
        found[_Amount.CHARGES], found[_Amount.CALLS] = 1, self.calls
        found[_Amount.UNCONFIRMED_CALLS] = self.unconfirmed_calls
        found[_Amount.UNCONFIRMED_TOKENS] = self.unconfirmed_tokens
        found[_Amount.TOKENS :] = [getattr(self.usage, name) for name in _USAGE]
        if self.unconfirmed_usd is None:
            found[_Amount.NO_UNCONFIRMED] = 1
        else:
            found[_Amount.UNCONFIRMED] = self.unconfirmed_usd
        if self.usd is None:
            found[_Amount.NO_USD] = found[_Amount.UNEXPLAINED] = 1
            found[_Amount.NO_LOST] = int(self.is_lost)
            return found
        found[_Amount.USD] = self.usd
        found[_Amount.LOST] = self.usd if self.is_lost else 0
        found[_Amount.UNEXPLAINED] = int(bool(self.usd) and not self.lines)
        for line in self.lines:
            found[_PARTS.get(line.what, _Amount.OTHER)] += line.usd
        found[_Amount.REASONING] = self.reasoning_usd
        return found


_NOTHING = [
    _ZERO
    if place
    in {
        _Amount.USD,
        _Amount.UNCONFIRMED,
        _Amount.LOST,
        *range(_Amount.INPUT, _Amount.TOKENS),
    }
    else 0
    for place in range(_SIZE)
]


@attrs.define(eq=False)
class ChargeSum:
    """Adds charges up, and takes them away again where more becomes known of a call."""

    amounts: list[Any] = attrs.field(factory=lambda: list(_NOTHING))

    def add(self, amounts: Sequence[Any]) -> None:
        """Add the *amounts* of a charge, or of another sum."""
        self.amounts = [one + other for one, other in zip(self.amounts, amounts, strict=True)]

    def take_away(self, amounts: Sequence[Any]) -> None:
        """Take the *amounts* of a charge away that was added."""
        self.amounts = [one - other for one, other in zip(self.amounts, amounts, strict=True)]

    @property
    def is_empty(self) -> bool:
        """Whether nothing is added."""
        return not self.amounts[_Amount.CHARGES]

    @property
    def usd(self) -> Usd:
        """What was booked; ``None``: a price is unknown."""
        return self._known(_Amount.USD, _Amount.NO_USD)

    @property
    def unconfirmed_usd(self) -> Usd:
        """Upper bound for attempts that may be billed; ``None``: a price is unknown."""
        return self._known(_Amount.UNCONFIRMED, _Amount.NO_UNCONFIRMED)

    @property
    def lost_usd(self) -> Usd:
        """Part of :attr:`usd` that paid for attempts that failed."""
        return self._known(_Amount.LOST, _Amount.NO_LOST)

    @property
    def calls(self) -> int:
        """Answers that were paid for."""
        return int(self.amounts[_Amount.CALLS])

    @property
    def tokens(self) -> TokenCounts:
        """All reported tokens, as a page shows them."""
        return token_counts(self._usage)

    def row(self, name: str) -> BillRow:
        """Return the line of a bill that is called *name*."""
        parts = [self._known(place, _Amount.UNEXPLAINED) for place in range(_Amount.INPUT, _Amount.TOKENS)]
        return BillRow(name, self.calls, self.tokens, self.usd, self.unconfirmed_usd, *parts)

    def total(self) -> Total:
        """Return the same as the bill of a result has it."""
        calls, tokens = (
            self.amounts[_Amount.UNCONFIRMED_CALLS],
            self.amounts[_Amount.UNCONFIRMED_TOKENS],
        )
        return Total(self.calls, self._usage, self.usd, calls, tokens, self.unconfirmed_usd)

    @property
    def _usage(self) -> Usage:
        return Usage(*self.amounts[_Amount.TOKENS :])

    def _known(self, place: int, missing: int) -> Usd:
        amount: Decimal = self.amounts[place]
        return None if self.amounts[missing] else amount


def token_counts(usage: Usage) -> TokenCounts:
    """Return *usage* as a page shows it."""
    return TokenCounts(
        usage.input_tokens,
        usage.cache_write_tokens + usage.cache_write_1h_tokens,
        usage.cache_read_tokens,
        usage.output_tokens,
        usage.reasoning_tokens,
    )


_Line = tuple[str, str, int, str, str]
"""Model, provider, depth, purpose, rung."""
_K = TypeVar("_K", bound=Hashable)


@attrs.define(eq=False)
class BillSums:
    """The sums of a run."""

    whole: ChargeSum = attrs.field(factory=ChargeSum, init=False)
    _spans: dict[str, ChargeSum] = attrs.field(factory=dict, init=False)
    _lines: dict[_Line, ChargeSum] = attrs.field(factory=dict, init=False)
    _rungs: dict[tuple[str, str], ChargeSum] = attrs.field(factory=dict, init=False)

    def replace(self, span: str, before: Iterable[Charge], after: Iterable[Charge]) -> None:
        """Take the charges *before* of a call of *span* away, and add those *after*."""
        for charge in before:
            self._change(span, charge, ChargeSum.take_away)
        for charge in after:
            self._change(span, charge, ChargeSum.add)

    def of_span(self, span: str) -> ChargeSum:
        """Return the sum of *span* and all below it."""
        return self._spans.get(span) or ChargeSum()

    def of_rung(self, climber: str, rung: str) -> ChargeSum:
        """Return the sum of a step that the span *climber* took, its checks included."""
        return self._rungs.get((climber, rung)) or ChargeSum()

    def bill(self) -> Bill:
        """Return the lines of the bill, as a result has them."""
        return Bill(
            lines=tuple(
                BillLine(*line[:4], self._lines[line].total(), line[4]) for line in sorted(self._lines)
            )
        )

    def tables(self) -> BillTables:
        """Return the bill, divided in different ways."""
        providers: dict[str, set[str]] = {}
        for model, provider, *_ in self._lines:
            providers.setdefault(model, set()).add(provider)

        def model_of(line: _Line) -> str:
            model, provider = line[:2]
            return model if len(providers[model]) == 1 else f"{model} ({provider or 'no provider named'})"

        has_rungs = any(line[4] for line in self._lines)
        return BillTables(
            whole=self.whole.row("total"),
            by_model=self._rows(model_of),
            by_purpose=self._rows(lambda line: line[3]),
            by_rung=self._rows(lambda line: line[4] or "no rung") if has_rungs else (),
            by_depth=self._rows(lambda line: line[2]),
        )

    def _rows(self, name_of: Callable[[_Line], Any]) -> tuple[BillRow, ...]:
        groups: dict[Any, ChargeSum] = {}
        for line, total in self._lines.items():
            groups.setdefault(name_of(line), ChargeSum()).add(total.amounts)
        return tuple(groups[name].row(str(name)) for name in sorted(groups))

    def _change(self, span: str, charge: Charge, how: Callable[[ChargeSum, Sequence[Any]], None]) -> None:
        amounts = charge.amounts()
        how(self.whole, amounts)
        for path in upwards(span):
            how(_sum_at(self._spans, path), amounts)
        line = (charge.model, charge.provider, charge.depth, charge.purpose, charge.rung)
        how(_sum_at(self._lines, line), amounts)
        if self._lines[line].is_empty:
            del self._lines[line]
        if charge.climber:
            how(_sum_at(self._rungs, (charge.climber, charge.rung)), amounts)


def _sum_at(sums: dict[_K, ChargeSum], key: _K) -> ChargeSum:
    found = sums.get(key)
    if found is None:
        found = sums[key] = ChargeSum()
    return found
