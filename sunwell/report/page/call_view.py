"""One call of a model as records tell of it: its entry on a page, and what it was charged."""

from collections.abc import Iterable, Iterator
from decimal import Decimal

import attrs

from sunwell.core.model import Completion, Usage
from sunwell.core.price import Rates
from sunwell.journal.records import Answer, Failure, Intent, Record
from sunwell.journal.tree import CallBranch
from sunwell.report.page.bill_sums import Charge, token_counts
from sunwell.report.page.money_points import CallMoney
from sunwell.report.page.page_data import CallAttempt, CallEntry, SumLine, TextId, Usd
from sunwell.report.page.token_prices import TokenPrices, adds_up, sum_lines

_ZERO = Decimal(0)
_PER_MILLION = Decimal(1_000_000)


@attrs.frozen
class CallTexts:
    """Ids of the texts of a call."""

    answer: TextId = ""
    thinking: TextId = ""
    refusal: TextId = ""


@attrs.define(eq=False)
class CallView:
    """A call. Its branch has the rules of what is billed, uncertain and kept."""

    span: str
    branch: CallBranch
    rung: str = ""
    climber: str = ""
    """The span that the rung is a step of."""
    texts: CallTexts = CallTexts()
    asked_for: list[str] = attrs.field(factory=list)
    """Keys of the tools that its answer called."""
    details: dict[int, TextId] = attrs.field(factory=dict)
    """What failed attempts said."""
    charges: tuple[Charge, ...] = ()
    """As they are in the sums of the run."""
    money: CallMoney = CallMoney()
    """As it is in the money of the run."""
    rates: Rates | None = None
    """Those at which its latest answer was booked; ``None``: unknown."""
    _digests: set[str] = attrs.field(factory=set, init=False)
    _ends: dict[int, Answer | Failure] = attrs.field(factory=dict, init=False)
    _dead: set[int] = attrs.field(factory=set, init=False)
    """Attempts that were under way when their process ended."""
    _entry: CallEntry | None = attrs.field(default=None, init=False)

    def take(self, record: Record) -> None:
        """Take note of *record* of this call, which the branch has taken."""
        self._entry = None
        if isinstance(record, Answer | Failure):
            self._ends[record.attempt] = record
        elif isinstance(record, Intent):
            self._ends.pop(record.attempt, None)
            self._dead.discard(record.attempt)

    @property
    def key(self) -> str:
        """The key of its entry."""
        return f"{self.span}:{self.branch.number}"

    @property
    def under_way(self) -> tuple[int, ...]:
        """The attempts that wait for an answer."""
        if self.branch.is_kept:
            return ()
        return tuple(one for one in self.branch.intents if one not in self._ends and one not in self._dead)

    def answer_again(self, digest: str) -> bool:
        """Take note of an answer to the request of this *digest*, and say whether there was one before."""
        was_answered = digest in self._digests
        self._digests.add(digest)
        return was_answered

    def die(self) -> None:
        """Take note that the process ended in which the call was made."""
        self._dead.update(self.under_way)
        self._entry = None

    def touch(self) -> None:
        """Have the entry made again, since something that it shows has changed."""
        self._entry = None

    def money_now(self) -> CallMoney:
        """Return what it holds of the cap."""
        branch = self.branch
        if branch.is_kept:
            return CallMoney()
        open_, settled, reserved, unconfirmed = self.under_way, _ZERO, _ZERO, _ZERO
        for attempt in open_:
            reserved += branch.intents[attempt].reserved_usd or _ZERO
        for attempt in branch.uncertain:
            if attempt not in open_:
                unconfirmed += branch.most_usd(attempt) or _ZERO
        for one in branch.billed:
            if one.cost_usd is None:  # its price is unknown: all that was held counts
                intent = branch.intents.get(one.attempt)
                unconfirmed += (intent and intent.reserved_usd) or _ZERO
            else:
                settled += one.cost_usd
        return CallMoney(settled, reserved, unconfirmed)

    def charges_now(self, prices: TokenPrices, depth: int) -> tuple[Charge, ...]:
        """Return what it was charged or may be charged; *depth* is that of its span."""
        branch = self.branch
        if branch.is_kept:
            return ()
        made: list[Charge] = []
        for one in branch.billed:
            if one.completion is not None and one.completion.usage is not None:
                intent = branch.intents.get(one.attempt)
                made += self._billed(one, one.completion, one.completion.usage, intent, prices, depth)
        for attempt in branch.uncertain:
            if attempt not in self.under_way:
                made.append(self._unconfirmed(branch.intents[attempt], branch.most_usd(attempt)))
        return tuple(made)

    def _billed(
        self,
        one: Answer | Failure,
        completion: Completion,
        usage: Usage,
        intent: Intent | None,
        prices: TokenPrices,
        depth: int,
    ) -> Iterator[Charge]:
        provider, asked = (intent.provider, intent.model) if intent else ("", "")
        place = Charge(
            completion.model,
            provider,
            one.purpose if isinstance(one, Answer) else str(self.branch.purpose or "work"),
            one.depth if isinstance(one, Answer) else intent.depth if intent else depth,
            self.rung,
            self.climber,
            is_lost=isinstance(one, Failure),
        )
        usd = one.cost_usd
        for advisor in completion.consulted:
            price = prices.price(advisor.model, provider, one.at)
            rates = None if price is None else price.rates_for(advisor.usage.input_tokens)
            yield _explained(place, advisor.model, 0, advisor.usage, advisor.cost_usd, rates)
            if usd is not None and advisor.cost_usd is not None:
                usd -= advisor.cost_usd
        rates = prices.rates(completion, asked, provider, one.at, usd)
        if rates is None and (found := prices.stated(completion, asked, provider, one.at, usd)):
            rates, more = found
            yield _explained(place, completion.model, 1, usage, usd, rates, (more,))
        else:
            yield _explained(place, completion.model, 1, usage, usd, rates)
        self.rates = rates

    def _unconfirmed(self, intent: Intent, most_usd: Usd) -> Charge:
        return Charge(
            intent.model,
            intent.provider,
            intent.purpose,
            intent.depth,
            self.rung,
            self.climber,
            unconfirmed_usd=most_usd,
            unconfirmed_tokens=intent.reserved_tokens,
            unconfirmed_calls=1,
        )

    def entry(self) -> CallEntry:
        """Return the entry; it is made again only if something has changed."""
        if self._entry is None:
            self._entry = self._made()
        return self._entry

    def _made(self) -> CallEntry:
        branch, node = self.branch, self.branch.node(self.span, 0)
        usages = [one.usage for one in self.charges if not one.unconfirmed_calls]
        attempts = () if branch.is_kept else tuple(self._attempts())
        return CallEntry(
            self.span,
            branch.number,
            branch.purpose or "",
            branch.model or "",
            next((intent.provider for intent in reversed(branch.intents.values())), ""),
            str(node.status),
            node.started_at,
            None if branch.is_kept else _seconds(node.started_at, self._ends.values()),
            attempts,
            token_counts(Usage.of(usages)) if usages else None,
            _sum([one.usd for one in self.charges]),
            _sum([one.unconfirmed_usd for one in self.charges]),
            tuple(self._sum_lines()),
            branch.answer.completion.stop if branch.answer else "",
            self.texts.answer,
            self.texts.thinking,
            tuple(self.asked_for),
            self.texts.refusal,
            self.rung,
        )

    def _attempts(self) -> Iterator[CallAttempt]:
        branch, open_, uncertain = self.branch, self.under_way, self.branch.uncertain
        for number, intent in branch.intents.items():
            end = self._ends.get(number)
            is_open = number in open_
            yield CallAttempt(
                number,
                intent.at,
                None if end is None else end.at,
                end.completion.model if end is not None and end.completion is not None else intent.model,
                "open" if end is None else "answered" if isinstance(end, Answer) else "failed",
                end.error if isinstance(end, Failure) else "",
                self.details.get(number, ""),
                intent.reserved_usd,
                intent.reserved_tokens,
                intent.bound,
                None if end is None else end.cost_usd,
                branch.most_usd(number) if number in uncertain and not is_open else _ZERO,
            )

    def _sum_lines(self) -> Iterator[SumLine]:
        """Yield what the costs are made of, if they are made of it to the last digit."""
        booked = [one for one in self.charges if not one.unconfirmed_calls]
        if any(one.usd is None or not (one.lines or one.usd == 0) for one in booked):
            return
        for one in booked:
            for line in one.lines:
                is_own = one.calls == 1
                yield line if is_own else attrs.evolve(line, what=f"{line.what} of the advisor {one.model}")


def _explained(
    place: Charge,
    model: str,
    calls: int,
    usage: Usage,
    usd: Usd,
    rates: Rates | None,
    more: tuple[SumLine, ...] = (),
) -> Charge:
    """Return the charge for *usage* of *model*, with its lines if these add up to *usd* at *rates*."""
    lines = () if rates is None else (*sum_lines(usage, rates), *more)
    reasoning_usd = _ZERO
    if rates is None or not adds_up(lines, usd):
        lines = ()
    elif usage.reasoning_tokens:
        reasoning_usd = usage.reasoning_tokens * rates.output_usd / _PER_MILLION
    return attrs.evolve(
        place, model=model, calls=calls, usage=usage, usd=usd, lines=lines, reasoning_usd=reasoning_usd
    )


def _seconds(started_at: float | None, ends: Iterable[Answer | Failure]) -> float | None:
    """Return the time from the first attempt to the latest end; ``None``: nothing has ended."""
    last = None
    for end in ends:
        lasted = end.duration_seconds if isinstance(end, Answer) else 0.0
        until = 0.0 if started_at is None else end.at - started_at
        last = max(last or 0.0, lasted, until)
    return last


def _sum(amounts: list[Usd]) -> Usd:
    known = [amount for amount in amounts if amount is not None]
    return sum(known, _ZERO) if len(known) == len(amounts) else None
