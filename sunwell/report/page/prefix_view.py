"""What workers of one parent share of their prompts: how often it was written and read, and what it cost."""

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import attrs

from sunwell.core.model import Usage
from sunwell.core.price import Rates
from sunwell.journal.records import Answer, Note, WorkerOpened
from sunwell.report.page.page_data import PrefixEntry, Usd

_PER_MILLION = Decimal(1_000_000)
_PLAN = "cache-plan"
_SURE_SECONDS = 240.0
_SAME_PROMPT = ("cheap", "cheap_again")
"""Steps of a ladder whose prompt begins as that of the worker does; those of others begin otherwise."""


@attrs.frozen
class _PrefixCall:
    """What one call of a worker had of its prompt, and at which rates."""

    worker: str
    is_first: bool
    began_at: float
    ended_at: float
    usage: Usage
    rates: Rates | None


@attrs.define(eq=False)
class SharedPrefixes:
    """Follows the calls of workers that were started under one parent on one model.

    That their prompts begin alike is taken from the provider's own counts alone: the first calls of at least
    two workers read as many tokens from the cache, or one wrote what others then read. Part of what it wrote
    may have been there before, from another run. Where these counts do not fit, nothing is said.
    """

    _workers: dict[str, tuple[str, str]] = attrs.field(factory=dict, init=False)
    """Parent and model of each worker."""
    _calls: dict[tuple[str, str], list[_PrefixCall]] = attrs.field(factory=dict, init=False)
    _plans: dict[str, str] = attrs.field(factory=dict, init=False)
    _made: dict[str, PrefixEntry] = attrs.field(factory=dict, init=False)
    _changed: set[tuple[str, str]] = attrs.field(factory=set, init=False)

    def open(self, record: WorkerOpened) -> None:
        """Take note of a worker."""
        self._workers[record.span] = (record.span.rpartition("/")[0], record.model)

    def plan(self, note: Note) -> None:
        """Take note of how the workers below the note's span are started."""
        value: Any = note.value
        if note.name == _PLAN and isinstance(value, Mapping) and isinstance(value.get("reason"), str):
            self._plans[note.span] = value["reason"]
            self._changed.update(group for group in self._calls if group[0] == note.span)

    def answer(self, record: Answer, rates: Rates | None) -> None:
        """Take note of an answer to a worker; *rates* are those at which it was booked, if they are known."""
        worker = record.span
        if worker not in self._workers:
            above, _, last = worker.rpartition("/")
            if last not in _SAME_PROMPT:
                return
            worker = above
        group = self._workers.get(worker)
        usage = record.completion.usage
        if group is None or usage is None or record.purpose != "work" or record.completion.model == "":
            return
        is_first = record.number == 0 and not record.span.endswith("/cheap_again")
        self._calls.setdefault(group, []).append(
            _PrefixCall(worker, is_first, record.at - record.duration_seconds, record.at, usage, rates)
        )
        self._changed.add(group)

    def forget(self) -> None:
        """Forget the calls that another run paid for."""
        self._calls.clear()
        self._made.clear()
        self._changed.clear()

    def entries(self) -> dict[str, PrefixEntry]:
        """Return what is shared, by parent and model."""
        for group in self._changed:
            key = f"{group[0]}:{group[1]}"
            found = self._entry(*group)
            if found is None:
                self._made.pop(key, None)
            else:
                self._made[key] = found
        self._changed.clear()
        return dict(sorted(self._made.items()))

    def _entry(self, parent: str, model: str) -> PrefixEntry | None:
        calls = self._calls[parent, model]
        others = _others(calls)
        calls = [call for call in calls if call.worker not in others]
        tokens = _shared_tokens([call for call in calls if call.is_first])
        readers = {call.worker for call in calls if call.is_first}
        if not tokens or len(readers) < 2:
            return None
        reads = [call for call in calls if call.usage.cache_read_tokens >= tokens]
        writes = [call for call in calls if call.usage.cache_read_tokens < tokens]
        if any(call.usage.input_tokens < tokens or _shares_less(call, tokens) for call in writes):
            return None  # their prompts are shorter, or share less: they do not begin alike
        last = parent.rpartition("/")[2]
        name = "beginning of the prompts of the run's workers"
        if last != "run":
            name = f"beginning of the prompts of the workers of {last}"
        usd = _sum([_cost(call, tokens) for call in calls])
        return PrefixEntry(
            name, model, len(readers), tokens, len(writes), len(reads), usd,
            _least(calls, writes, tokens), self._plans.get(parent, ""),
        )  # fmt: skip


def _others(calls: Sequence[_PrefixCall]) -> set[str]:
    """Return the workers that read nothing although what the others share was in the cache.

    They began soon after an answer to another one, sooner than any entry expires, so their prompts begin
    otherwise, for example since they have other tools.
    """
    silent = [call for call in calls if call.is_first and not call.usage.cache_read_tokens]
    return {call.worker for call in _late(silent, calls)}


def _late(some: Sequence[_PrefixCall], calls: Sequence[_PrefixCall]) -> list[_PrefixCall]:
    """Return those of *some* that began when what an answer of *calls* left in the cache was surely there."""
    known = sorted(call.ended_at for call in calls if _cached_tokens(call))

    def is_late(call: _PrefixCall) -> bool:
        before = bisect_left(known, call.began_at)
        return before > 0 and call.began_at - known[before - 1] < _SURE_SECONDS

    return [call for call in some if is_late(call)]


def _shared_tokens(first: Sequence[_PrefixCall]) -> int:
    """Return how much of their prompts the *first* calls of workers share; 0: nothing is known.

    A call that began before another one had written it may have read less, from an earlier run. One that
    began later read all that it shares.
    """
    reading = [call for call in first if call.usage.cache_read_tokens]
    late = [call.usage.cache_read_tokens for call in _late(reading, first)]
    return min(late) if late else max((call.usage.cache_read_tokens for call in reading), default=0)


def _shares_less(call: _PrefixCall, tokens: int) -> bool:
    """Whether *call* read a part of the prefix and did not write the rest."""
    return bool(call.usage.cache_read_tokens) and _cached_tokens(call) < tokens


def _cached_tokens(call: _PrefixCall) -> int:
    usage = call.usage
    return usage.cache_read_tokens + usage.cache_write_tokens + usage.cache_write_1h_tokens


def _cost(call: _PrefixCall, tokens: int) -> Usd:
    """Return what the first *tokens* of the prompt cost in *call*; ``None``: unknown."""
    rates, usage = call.rates, call.usage
    if rates is None:
        return None
    read = min(usage.cache_read_tokens, tokens)
    rest, rate = tokens - read, None
    if not rest:
        rate = Decimal(0)
    elif usage.cache_write_tokens >= rest:
        rate = _or_plain(rates.cache_write_usd, rates)
    elif usage.cache_write_1h_tokens >= rest:
        rate = _or_plain(rates.cache_write_1h_usd, rates)
    elif not usage.cache_write_tokens and not usage.cache_write_1h_tokens:
        rate = rates.input_usd
    if rate is None:
        return None
    return (read * _or_plain(rates.cache_read_usd, rates) + rest * rate) / _PER_MILLION


def _least(calls: Sequence[_PrefixCall], writes: Sequence[_PrefixCall], tokens: int) -> Usd:
    """Return what as many calls cost if one of *writes* writes what was missing, and all others read all.

    If nobody wrote it, it was in the cache before, and all read it.
    """
    known = [call.rates for call in calls if call.rates is not None]
    if len(known) < len(calls):
        return None
    reads = [_or_plain(rates.cache_read_usd, rates) for rates in known]
    usd = tokens * sum(reads, Decimal(0))
    if writes:
        missing = tokens - max(call.usage.cache_read_tokens for call in writes)
        usd += missing * min(
            _or_plain(rates.cache_write_usd, rates) - read for rates, read in zip(known, reads, strict=True)
        )
    return usd / _PER_MILLION


def _or_plain(rate: Decimal | None, rates: Rates) -> Decimal:
    return rates.input_usd if rate is None else rate


def _sum(amounts: Sequence[Usd]) -> Usd:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, Decimal(0)) if len(known) == len(amounts) else None
