"""The ledger against a slow model that adds up every booking anew, over random trees and histories."""

import asyncio
from decimal import Decimal

import attrs
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from sunwell.budget import Amount, Budget, Claim, Reservation, TreeLedger
from sunwell.errors import BudgetExhausted
from sunwell.testing import VirtualLoop

RATE_USD = Decimal("0.01")
LIMITS = ("usd", "tokens", "calls")
NOTHING = {"usd": Decimal(0), "tokens": 0, "calls": 0}

counts = st.integers(0, 60)
ceilings = st.none() | st.integers(40, 300) | st.integers(40, 300)
budgets = st.builds(
    lambda usd, tokens, calls: Budget(
        usd=None if usd is None else usd * RATE_USD, tokens=tokens, calls=calls
    ),
    ceilings,
    ceilings,
    st.none() | st.none() | st.integers(2, 8),
)
roots = st.builds(
    lambda budget, tokens: attrs.evolve(budget, tokens=tokens, usd=tokens * RATE_USD),
    budgets,
    st.integers(60, 300),
)
claims = st.builds(
    lambda given, most, least, closing: Claim(given, most, least, given * RATE_USD, RATE_USD, closing == 0),
    counts,
    st.integers(1, 80),
    st.integers(1, 30),
    st.integers(0, 5),
)
PATHS = ["run/a", "run/b", "run/a/c", "run/a/d", "run/b/e"]
SPANS = ["run", "run/a", "run/a/c/x", "run/a/d", "run/b", "run/b/e/y", "run/ab"]


@attrs.define(eq=False)
class Asked:
    """A claim that was made, and what came of it."""

    number: int
    path: str
    claim: Claim
    task: "asyncio.Task[Reservation]"
    granted: bool = False
    drawn: dict = attrs.field(factory=lambda: dict(NOTHING))

    @property
    def waits(self) -> bool:
        return not self.task.done()


def chain_of(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


class LedgerStates(RuleBasedStateMachine):
    """Bookings are kept as a plain list of (account, kind, amounts)."""

    asked = Bundle("asked")

    @initialize(budget=roots, opened=st.dictionaries(st.sampled_from(PATHS), budgets, max_size=5))
    def begin(self, budget, opened):
        self.loop = VirtualLoop()
        self.ledger = TreeLedger()
        self.budgets = {}
        self.held = {}
        self.bookings = []
        self.asks = []
        self.ended = []
        self.excess = []
        self.do(lambda: self.ledger.open("run", budget))
        self.budgets["run"], self.held["run"] = budget, dict(NOTHING)
        for path in sorted(opened):
            self.do(lambda path=path: self.ledger.open(path, opened[path]))
            self.budgets[path], self.held[path] = opened[path], dict(NOTHING)

    def teardown(self):
        if hasattr(self, "loop"):
            for asked in self.asks:
                asked.task.cancel()
            self.do(lambda: None)
            self.loop.close()

    def do(self, action):
        async def step():
            result = action()
            for _ in range(6):
                await asyncio.sleep(0)
            return result

        return self.loop.run_until_complete(step())

    # -- the slow model

    def account_of(self, path):
        return next(at for at in reversed(chain_of(path)) if at in self.budgets)

    def chain(self, path):
        return [at for at in chain_of(path) if at in self.budgets]

    def sum_of(self, account, limit, kinds=("settled", "uncertain", "reserved")):
        below = account + "/"
        return sum(
            (
                amounts[limit]
                for at, kind, amounts in self.bookings
                if kind in kinds and (at + "/").startswith(below)
            ),
            NOTHING[limit],
        )

    def room(self, account, limit, asked, later):
        ceiling = getattr(self.budgets[account], limit)
        kinds = ("settled", "uncertain") if later else ("settled", "uncertain", "reserved")
        free = ceiling - self.sum_of(account, limit, kinds)
        ordinary = free - self.kept(account, limit)
        if not asked.claim.closing:
            return ordinary
        own = self.account_of(asked.path)
        most = free if own == account else free - min(self.held[account][limit], self.tenth(ceiling))
        return min(most, max(0, ordinary) + self.held[own][limit])

    def tenth(self, ceiling):
        if isinstance(ceiling, Decimal):
            return ceiling / 10
        return max(ceiling // 10, 1) if ceiling >= 2 else 0

    def kept(self, account, limit):
        """What ordinary claims must leave: all reserves at and below an account, a tenth at most."""
        reserves = [held[limit] for at, held in self.held.items() if (at + "/").startswith(account + "/")]
        return min(sum(reserves, NOTHING[limit]), self.tenth(getattr(self.budgets[account], limit)))

    def fit(self, account, asked, later):
        budget, claim = self.budgets[account], asked.claim
        fits = [claim.max_output_tokens]
        if budget.calls is not None and self.room(account, "calls", asked, later) < 1:
            return -1
        if budget.tokens is not None:
            fits.append(self.room(account, "tokens", asked, later) - claim.input_tokens)
        if budget.usd is not None:
            left = self.room(account, "usd", asked, later) - claim.input_usd
            fits.append(-1 if left < 0 else int(left // claim.output_usd_per_token))
        return max(-1, min(fits))

    def least(self, asked):
        return min(asked.claim.least_output_tokens, asked.claim.max_output_tokens)

    def note_grants(self):
        while self.ended:
            asked = self.ended.pop(0)
            if asked.task.cancelled():
                continue
            if asked.task.exception() is not None:
                assert isinstance(asked.task.exception(), BudgetExhausted)
                assert self.is_hopeless(asked)
                continue
            asked.granted = True
            got, own = asked.task.result(), self.account_of(asked.path)
            amounts = {"usd": got.usd, "tokens": got.tokens, "calls": 1}
            assert got.account == own
            assert got.tokens == asked.claim.input_tokens + got.max_output_tokens
            assert self.least(asked) <= got.max_output_tokens <= asked.claim.max_output_tokens
            self.bookings.append([own, "reserved", amounts])
            if asked.claim.closing:
                asked.drawn = {limit: min(self.held[own][limit], amounts[limit]) for limit in LIMITS}
                self.held[own] = {limit: self.held[own][limit] - asked.drawn[limit] for limit in LIMITS}
            self.check_what_is_left(asked)

    def check_what_is_left(self, asked):
        """An ordinary call leaves what is kept; a closing call what is kept for closing calls above it."""
        for account in self.chain(asked.path):
            for limit in LIMITS:
                ceiling = getattr(self.budgets[account], limit)
                if ceiling is None:
                    continue
                free = ceiling - self.sum_of(account, limit)
                if not asked.claim.closing:
                    assert free >= self.kept(account, limit)
                elif account == self.account_of(asked.path):
                    assert free >= 0
                else:
                    assert free >= min(self.held[account][limit], self.tenth(ceiling))

    def reserved(self, asked):
        got = asked.task.result()
        amounts = {"usd": got.usd, "tokens": got.tokens, "calls": 1}
        return self.bookings.index([got.account, "reserved", amounts])

    def is_open(self, asked):
        return asked.granted

    # -- what can happen

    @rule(path=st.sampled_from(PATHS), budget=budgets)
    def open(self, path, budget):
        fresh = path not in self.budgets and not any(at.startswith(path + "/") for at in self.budgets)
        if not fresh or any((ask.path + "/").startswith(path + "/") for ask in self.asks):
            return
        self.do(lambda: self.ledger.open(path, budget))
        self.budgets[path], self.held[path] = budget, dict(NOTHING)

    @rule(data=st.data(), more=st.integers(0, 100))
    def raise_ceilings(self, data, more):
        path = data.draw(st.sampled_from(sorted(self.budgets)))
        old = self.budgets[path]
        new = Budget(
            usd=None if old.usd is None else old.usd + more * RATE_USD,
            tokens=None if old.tokens is None else old.tokens + more,
            calls=None if old.calls is None else old.calls + more // 20,
        )
        self.budgets[path] = new
        self.do(lambda: self.ledger.open(path, new))
        self.note_grants()

    @rule(target=asked, path=st.sampled_from(SPANS), claim=claims)
    def reserve(self, path, claim):
        return self.ask(path, claim)

    @rule(target=asked, claims=st.lists(st.tuples(st.sampled_from(SPANS), claims), min_size=3, max_size=6))
    def reserve_many(self, claims):
        return multiple(*(self.ask(path, claim) for path, claim in claims))

    def ask(self, path, claim):
        def start():
            task = asyncio.get_running_loop().create_task(self.ledger.reserve(path, claim))
            asked = Asked(len(self.asks), path, claim, task)
            task.add_done_callback(lambda _: self.ended.append(asked))
            return asked

        asked = self.do(start)
        self.asks.append(asked)
        self.note_grants()
        return asked

    def is_hopeless(self, asked):
        return any(self.fit(at, asked, later=True) < self.least(asked) for at in self.chain(asked.path))

    @rule(asked=consumes(asked), share=st.integers(0, 100))
    def settle(self, asked, share):
        if self.is_open(asked):
            got = asked.task.result()
            tokens, usd = got.tokens * share // 100, got.usd * share / 100
            booking = self.bookings[self.reserved(asked)]
            booking[1:] = ["settled", {"usd": usd, "tokens": tokens, "calls": 1}]
            assert self.do(lambda: self.ledger.settle(got, tokens, usd)) is False
            self.note_grants()

    @rule(asked=consumes(asked), more=st.integers(1, 20))
    def settle_above_the_bound(self, asked, more):
        if self.is_open(asked) and len(self.asks) > 12:
            got = asked.task.result()
            booking = self.bookings[self.reserved(asked)]
            usd = got.usd + more * RATE_USD
            booking[1:] = ["settled", {"usd": usd, "tokens": got.tokens + more, "calls": 1}]
            self.excess.append((booking[0], {"usd": more * RATE_USD, "tokens": more, "calls": 0}))
            assert self.do(lambda: self.ledger.settle(got, got.tokens + more, usd)) is True
            self.note_grants()

    @rule(asked=asked)
    def confirm(self, asked):
        """A call that is only reserved does not begin once more than a ceiling above it is booked."""
        if not self.is_open(asked):
            return
        is_passed = self.is_passed(asked.task.result().account)
        if is_passed:
            self.forget(asked)
            asked.granted = False
        assert self.do(lambda: self.begins(asked)) is not is_passed
        self.note_grants()

    def begins(self, asked):
        try:
            self.ledger.confirm(asked.task.result(), asked.claim)
        except BudgetExhausted:
            return False
        return True

    def is_passed(self, path):
        return any(
            getattr(self.budgets[at], limit) is not None
            and self.sum_of(at, limit) > getattr(self.budgets[at], limit)
            for at in self.chain(path)
            for limit in LIMITS
        )

    def forget(self, asked):
        got = asked.task.result()
        del self.bookings[self.reserved(asked)]
        own = self.held[got.account]
        self.held[got.account] = {limit: own[limit] + asked.drawn[limit] for limit in LIMITS}

    @rule(asked=consumes(asked))
    def keep(self, asked):
        if self.is_open(asked):
            self.bookings[self.reserved(asked)][1] = "uncertain"
            self.do(lambda: self.ledger.keep(asked.task.result()))
            self.note_grants()

    @rule(asked=consumes(asked))
    def release(self, asked):
        if self.is_open(asked):
            self.forget(asked)
            self.do(lambda: self.ledger.release(asked.task.result()))
            self.note_grants()

    @rule(data=st.data())
    def cancel(self, data):
        waiting = [asked for asked in self.asks if asked.waits]
        if waiting:
            self.do(data.draw(st.sampled_from(waiting)).task.cancel)
            self.note_grants()

    @rule(data=st.data(), tokens=st.integers(0, 40))
    def hold_back_or_close(self, data, tokens):
        path = data.draw(st.sampled_from(sorted(self.budgets)))
        self.held[path] = {"usd": tokens * RATE_USD, "tokens": tokens, "calls": 1 if tokens else 0}
        for asked in self.asks:  # what an older closing call drew does not come back to a new reserve
            if self.account_of(asked.path) == path:
                asked.drawn = dict(NOTHING)
        if tokens:
            self.do(lambda: self.ledger.hold_back(path, tokens, tokens * RATE_USD))
        else:
            self.do(lambda: self.ledger.close(path))
        self.note_grants()

    @rule(data=st.data(), tokens=st.integers(0, 30))
    def restore(self, data, tokens):
        path = data.draw(st.sampled_from(sorted(self.budgets)))
        amounts = {"usd": tokens * RATE_USD, "tokens": tokens, "calls": 1}
        self.bookings.append([path, "settled", amounts])
        self.excess.append((path, amounts))
        self.do(lambda: self.ledger.restore(path, Amount(tokens * RATE_USD, settled_tokens=tokens, calls=1)))
        self.note_grants()

    # -- what always holds

    @invariant()
    def every_account_is_the_sum_of_what_is_booked_at_and_below_it(self):
        for path in self.budgets:
            used = self.ledger.used(path)
            for kind in ("settled", "uncertain", "reserved"):
                assert getattr(used, f"{kind}_usd") == self.sum_of(path, "usd", (kind,))
                assert getattr(used, f"{kind}_tokens") == self.sum_of(path, "tokens", (kind,))
            assert used.calls == self.sum_of(path, "calls")

    @invariant()
    def no_ceiling_is_passed_by_more_than_bills_above_their_reservation_and_what_was_restored(self):
        for path, budget in self.budgets.items():
            for limit in LIMITS:
                ceiling = getattr(budget, limit)
                above = [more[limit] for at, more in self.excess if (at + "/").startswith(path + "/")]
                assert ceiling is None or self.sum_of(path, limit) <= ceiling + sum(above)

    @invariant()
    def who_waits_has_a_reason_and_a_hope(self):
        taken = set()
        for asked in self.asks:
            if not asked.waits:
                continue
            chain = self.chain(asked.path)
            fits = [self.fit(at, asked, later=False) for at in chain]
            later = [self.fit(at, asked, later=True) for at in chain]
            assert min(later) >= self.least(asked), f"{asked} waits without hope"
            reasons = [
                at
                for n, (at, fit) in enumerate(zip(chain, fits, strict=True))
                if fit < min(asked.claim.max_output_tokens, *later[n:]) or at in taken
            ]
            assert reasons, f"{asked} waits although there is room"
            taken.add(reasons[0])


LedgerStates.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerStates = LedgerStates.TestCase
