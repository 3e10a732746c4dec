"""Whether a claim is granted, waits or is refused: numbers in, answer out."""

from decimal import Decimal
from itertools import accumulate

from sunwell.budget.account import Account, Gauge, Want
from sunwell.budget.clock import Clock
from sunwell.budget.ledger_protocol import Claim, Reservation
from sunwell.budget.standing import Standing
from sunwell.errors import BudgetExhausted, ConfigurationError, SunwellError


def judge(want: Want, clock: Clock) -> "int | Account | SunwellError":
    """Return the output to grant, or the account to wait at, or why the call is refused.

    A claim gets its whole limit, since an answer that is cut has to be paid for and asked again. It waits
    at the topmost account that has not room for that now, but whose calls in flight could free more, or
    at which somebody waits who came earlier: a later claim on that account waits behind it. A closing
    claim that fits does not stand in line, since its room is kept for it. If nothing could free more,
    the claim gets the largest limit that fits, or is refused if that is below its least.
    """
    late = clock.out_of_time(want.account, want.claim.closing)
    if late is not None:
        return _time_is_up(late, want, clock)
    chain = want.account.chain
    fits = [account.fits(want, later=False) for account in chain]
    fit = min(fits)
    most = want.claim.max_output_tokens
    targets = [most] * len(chain)
    if fit < most:
        later = [account.fits(want, later=True) for account in chain]
        # Refused now: even if all that is in flight came back unused, it would not fit.
        if min(later) < want.least:
            return refusal(want, chain[later.index(min(later))])
        # More than the accounts below can ever allow is not worth waiting for. Those above are left out:
        # what is in flight here is in flight there too, so they can free as much. So a target changes only
        # with a booking on its own account, which is when its line is served.
        targets = list(accumulate(reversed(later), min, initial=most))[:0:-1]
    for account, here, target in zip(chain, fits, targets, strict=True):
        if here < target or (account.line and _is_behind(want, account.line[0])):
            return account
    return fit


def _is_behind(want: Want, first: Want) -> bool:
    return first.ticket < want.ticket and not want.claim.closing


def refusal(want: Want, account: Account) -> SunwellError:
    """Return why *account* can never serve *want* with what is in flight."""
    claim = want.claim
    if account.usd.ceiling is not None and unpriced(claim):
        return ConfigurationError(
            "a budget in US dollars cannot hold for a model whose price is unknown: give the model a "
            "price in the configuration, or limit tokens in place of dollars"
        )
    own = want.account
    calls, tokens = Decimal(1), Decimal(claim.input_tokens + want.least)
    if account.calls.ceiling is not None and _lacks(account.calls, own.calls, want, calls):
        return _exhausted("calls", account.calls, calls, account)
    if account.tokens.ceiling is not None and _lacks(account.tokens, own.tokens, want, tokens):
        return _exhausted("tokens", account.tokens, tokens, account)
    new = Decimal(claim.most_new_tokens(want.least))
    if account.new_tokens.ceiling is not None and _lacks(account.new_tokens, own.new_tokens, want, new):
        return _exhausted("new_tokens", account.new_tokens, new, account)
    return _exhausted("usd", account.usd, least_usd(want) or Decimal(0), account)


def _lacks(gauge: Gauge[int], own: Gauge[int], want: Want, needed: Decimal) -> bool:
    if want.claim.closing:
        return gauge.closing_room(True, own.own, own is gauge) < needed
    return gauge.room(True) < needed


def unpriced(claim: Claim) -> bool:
    """Say whether a rate of *claim* is unknown."""
    return claim.input_usd is None or claim.output_usd_per_token is None


def least_usd(want: Want) -> Decimal | None:
    """Return the US dollars without which *want* is refused; ``None`` if its price is unknown."""
    return want.claim.most_usd(want.least)


def turns_used_up(account: Account) -> SunwellError:
    """Return why no turn is left."""
    return _exhausted("turns", account.turns, Decimal(1), account)


def overtaken(held: Reservation, account: Account, limit: str) -> BudgetExhausted:
    """Return why the call of *held* does not begin: by now, other calls have passed *limit* of *account*."""
    gauges: dict[str, tuple[Gauge[int] | Gauge[Decimal], Decimal]] = {
        "usd": (account.usd, held.usd or Decimal(0)),
        "tokens": (account.tokens, Decimal(held.tokens)),
        "calls": (account.calls, Decimal(1)),
        "new_tokens": (account.new_tokens, Decimal(held.new_tokens)),
    }
    gauge, needed = gauges[limit]
    return _exhausted(limit, gauge, needed, account)


def _exhausted(
    limit: str, gauge: "Gauge[int] | Gauge[Decimal]", needed: Decimal, account: Account
) -> BudgetExhausted:
    standing = standing_of(limit, gauge, account.path)
    sentence = standing.refusal(needed)
    return BudgetExhausted(limit, needed, Decimal(gauge.booked), standing.ceiling, account.path, sentence)


def standing_of(limit: str, gauge: "Gauge[int] | Gauge[Decimal]", path: str) -> Standing:
    """Return where the ceiling of *gauge* stands; only if it has one."""
    assert gauge.ceiling is not None
    return Standing(
        limit,
        Decimal(gauge.ceiling),
        Decimal(gauge.settled),
        Decimal(gauge.uncertain),
        Decimal(gauge.reserved),
        Decimal(gauge.kept),
        path,
    )


def _time_is_up(account: Account, want: Want, clock: Clock) -> BudgetExhausted:
    ceiling = Decimal(str(account.budget.seconds))
    used = Decimal(str(round(clock.elapsed_seconds(account), 3)))
    kept = 0.0 if want.claim.closing and want.account is account else account.closing_seconds
    reserve = f", {kept:g} of them kept for a closing call" if kept else ""
    sentence = f"the time of {account.path} is up: {used:f} of {ceiling:f} seconds are over{reserve}"
    return BudgetExhausted("seconds", Decimal(str(kept)), used, ceiling, account.path, sentence)
