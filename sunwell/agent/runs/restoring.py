"""A run taken up again: what earlier processes spent, added up from the journal."""

import math
from decimal import Decimal

import attrs

from sunwell.agent.run.run import Run
from sunwell.budget.ledger import passed
from sunwell.budget.ledger_protocol import Amount
from sunwell.budget.tally import BilledCall
from sunwell.core.model import Completion
from sunwell.errors import JournalError
from sunwell.journal.records import Answer, Failure, Forked, Intent, Paused, Record, RunOpened, RunResumed

_Attempt = tuple[str, int, int]


def restore(run: Run) -> None:
    """Book every answer of *run*'s journal, and the reservation of each intent that came to none.

    An intent without an answer may have been billed: its whole reservation counts, as uncertain.
    A bill above its reservation still stops new calls, unless the budget was raised since. Raises
    :exc:`~sunwell.errors.JournalError` for an amount below zero: it would raise a ceiling.
    """
    open_intents: dict[_Attempt, Intent] = {}
    answered: set[tuple[str, int]] = set()
    seconds = _Seconds()
    is_copied = run.journal.find(Forked, ()) is not None  # up to that record, another run has paid
    for record in run.journal.records():
        run.files.see(record)
        _check(record)
        if is_copied:
            if isinstance(record, Answer):
                answered.add((record.span, record.number))
            if isinstance(record, Forked):
                run.gateway.accepted |= answered
                is_copied = False
            continue
        seconds.see(record)
        match record:
            case Intent():
                open_intents[record.span, record.number, record.attempt] = record
            case Answer():
                answered.add((record.span, record.number))
                intent = open_intents.pop((record.span, record.number, record.attempt), None)
                _book_answer(run, record, intent)
            case Failure(completion=Completion() as completion):
                intent = open_intents.pop((record.span, record.number, record.attempt), None)
                if intent is not None:
                    _book_answer(run, _as_answer(intent, completion, record), intent)
            case Failure(may_be_billed=False):
                open_intents.pop((record.span, record.number, record.attempt), None)
            case RunResumed(accepted=True):
                run.gateway.accepted |= answered
    for intent in open_intents.values():
        _book_uncertain(run, intent)
    run.ledger.restore(run.root.path, Amount(seconds=max(0.0, seconds.total)))


def _check(record: Record) -> None:
    amounts: tuple[Decimal | float | None, ...] = ()
    match record:
        case Intent():
            amounts = (record.reserved_usd, record.reserved_tokens, record.max_output_tokens)
        case Answer():
            stated = record.completion.stated_cost_usd
            amounts = (record.cost_usd, record.duration_seconds, record.at, stated)
        case Failure():
            stated = None if record.completion is None else record.completion.stated_cost_usd
            amounts = (record.cost_usd, record.at, stated)
        case Paused():
            amounts = (record.seconds, record.at)
        case _:
            amounts = (getattr(record, "at", None),)
    if not all(amount is None or _is_amount(amount) for amount in amounts):
        raise JournalError(
            f"the journal is damaged: a record of the kind {record.kind} has an amount below zero or one "
            "that is not finite; restore it from a copy, or start the task anew"
        )


def _is_amount(amount: Decimal | float) -> bool:
    if isinstance(amount, Decimal) and not amount.is_finite():  # NaN cannot be compared
        return False
    return 0 <= amount < math.inf


def _book_answer(run: Run, answer: Answer, intent: Intent | None) -> None:
    billed = answer.completion.billed_tokens
    if billed is None:
        if intent is not None:
            _book_uncertain(run, intent, answer.completion.stated_cost_usd)
        return
    run.ledger.restore(answer.span, _spent(answer, billed, intent))
    if intent is not None and run.gateway.heed_refusals:
        reserved = (intent.reserved_tokens, intent.reserved_usd)
        if limit := passed(*reserved, billed, answer.cost_usd):
            run.ledger.stop(limit)
    provider = intent.provider if intent else ""
    entry = BilledCall(answer.span, answer.depth, answer.purpose, provider, answer.completion.model)
    run.tally.add_answer(entry, answer.completion, answer.cost_usd)


def _as_answer(intent: Intent, completion: Completion, failure: Failure) -> Answer:
    """Return what came with an error as the answer to *intent*: it was billed alike."""
    return Answer(
        intent.span,
        intent.number,
        intent.attempt,
        intent.purpose,
        intent.depth,
        intent.digest,
        completion,
        failure.cost_usd,
        0.0,
        failure.at,
    )


def _spent(answer: Answer, tokens: int, intent: Intent | None) -> Amount:
    if answer.cost_usd is not None:
        return Amount(settled_usd=answer.cost_usd, settled_tokens=tokens, calls=1)
    reserved = intent.reserved_usd if intent else None  # the price is unknown: all that was held counts
    return Amount(uncertain_usd=reserved or Decimal(0), settled_tokens=tokens, calls=1)


def _book_uncertain(run: Run, intent: Intent, stated_usd: Decimal | None = None) -> None:
    tokens, usd = intent.reserved_tokens, intent.reserved_usd
    if stated_usd is not None and (usd is None or stated_usd > usd):  # the provider charges more
        if run.gateway.heed_refusals and (limit := passed(tokens, usd, tokens, stated_usd)):
            run.ledger.stop(limit)
        usd = stated_usd
    spent = Amount(uncertain_usd=usd or Decimal(0), uncertain_tokens=tokens, calls=1)
    run.ledger.restore(intent.span, spent)
    entry = BilledCall(intent.span, intent.depth, intent.purpose, intent.provider, intent.model)
    run.tally.add_uncertain(entry, tokens, usd)


@attrs.define
class _Seconds:
    """Adds up the time in which some process worked on the run; what it waited for people does not count."""

    total: float = 0.0
    _latest: float | None = None

    def see(self, record: Record) -> None:
        if isinstance(record, Paused):
            self.total -= record.seconds
        at = getattr(record, "at", None)
        if at is None:
            return
        if self._latest is not None and not isinstance(record, RunOpened | RunResumed):
            self.total += max(0.0, at - self._latest)  # clocks are set back now and then
        self._latest = at
