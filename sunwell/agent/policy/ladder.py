"""The ladder: which rung a task goes to next, or why it goes to none. Arithmetic alone.

The caller says what each rung costs and how it has done so far. The same values give the same step, so
recorded outcomes can be replayed without a model.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from math import inf
from typing import Any

import attrs

WORTH_IN_SMART_RUNGS = 10
"""What a passed task is worth if nobody says: so many times the price of the smart rung."""
SMART = "smart"
"""Name of the rung that the others are there to save."""
_PRIOR_TRIES = 2
MOST_LOST = Fraction(1, 200)
"""Share of tasks that may be lost to a rung before the smart one, because the check passes wrong results."""


def _usd(value: Any) -> Decimal | None:
    # A float would not mix with Decimal, and Decimal(0.1) is not what its writer meant.
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


def _share(instance: object, attribute: "attrs.Attribute[float]", value: float) -> None:
    if not 0 <= value <= 1:
        raise ValueError(f"{attribute.name} must be from 0 to 1, got {value}")


@attrs.frozen
class Rung:
    """One way to try a task, and how it has done on tasks of this kind after the earlier rungs failed."""

    name: str
    model: str
    cost_usd: Decimal | None = attrs.field(converter=_usd)
    """Expected cost of one try; ``None``: no price is known."""
    tries: int = 0
    """Outcomes that a check has decided."""
    passes: int = 0
    prior: float = attrs.field(default=0.5, validator=_share)
    """Chance to pass that is assumed without outcomes. It weighs as much as two of them."""

    @property
    def chance(self) -> Fraction:
        """The expected chance that its result passes the check."""
        return (self.passes + _PRIOR_TRIES * Fraction(self.prior)) / (self.tries + _PRIOR_TRIES)

    @property
    def pass_usd(self) -> Fraction | float:
        """What a pass costs: price divided by chance; infinite if there is no chance or no price."""
        if self.cost_usd is None or not self.chance:
            return inf
        return Fraction(self.cost_usd) / self.chance


def _name(rung: Rung | str) -> str:
    return rung.name if isinstance(rung, Rung) else rung


@attrs.frozen
class Attempt:
    """One rung that was tried on this task."""

    rung: str = attrs.field(converter=_name)
    """Its name; a :class:`Rung` is taken by its name."""
    passed: bool | None
    """What the check said; ``None``: it could not tell."""
    cost_usd: Decimal | None = attrs.field(converter=_usd)


@attrs.frozen
class Step:
    """What to do next, and why."""

    rung: Rung | None
    """``None``: the task passed, there is no room, or it is given up."""
    reason: str


def next_step(
    rungs: Sequence[Rung],
    attempts: Sequence[Attempt],
    *,
    left_usd: Decimal | None = None,
    worth_usd: Decimal | None = None,
    passes_wrong: float = 0.0,
) -> Step:
    """Return the rung that a task goes to after *attempts*.

    Of the rungs that were not tried and cost at most *left_usd*, the one whose pass costs least comes first.
    A rung is passed over if a pass costs more than *worth_usd*, ten times the smart rung if ``None``. The
    smart rung is the one of that name; without one, the dearest, of equally dear ones the last.

    If a rung is called ``smart``, the others are there to save it. Before it, a rung must pay for itself:
    cost no more than what its passes save of the smart rung. After it, a rung must keep the bill of this task
    within the price of the smart rung alone. Both hold for rungs of at most half that price; dearer ones are
    its equals. A *worth_usd* above ten times the smart rung raises both limits in proportion.

    Without *worth_usd* the first attempt is always made: a task is not refused by statistics alone. If a
    price is unknown, rungs come in the order given, and only known prices are compared with *left_usd*.
    A check that cannot tell sends a task up once; twice in a row ends it.

    *passes_wrong* is the share of wrong results that the check is known to pass, 0 for an exact one, 1 for
    one that tells nothing. Above 0, chances are those of a right result, which is what passed less what
    passed wrongly, and a rung does not come before one called ``smart`` if more than one task of 200 would
    be lost: done wrong, passed, and within the reach of the smart rung. It is not used if a price is unknown.

    *attempts* are in order. A rung was tried if one of them has its name.
    """
    if not 0 <= passes_wrong <= 1:
        raise ValueError(f"passes_wrong must be from 0 to 1, got {passes_wrong}")
    passed = [attempt.rung for attempt in attempts if attempt.passed]
    if passed:
        return Step(None, f"{passed[0]} passed")
    if len(attempts) > 1 and attempts[-1].passed is None and attempts[-2].passed is None:
        return Step(None, "gave up: the check could not tell, twice in a row")
    tried = {attempt.rung for attempt in attempts}
    untried = [rung for rung in rungs if rung.name not in tried]
    if not untried:
        return Step(None, "gave up: every rung was tried")
    left = _usd(left_usd)
    within = [rung for rung in untried if left is None or rung.cost_usd is None or rung.cost_usd <= left]
    if not within:
        cheapest = min(untried, key=lambda rung: rung.cost_usd or Decimal(0))
        cost = _said(cheapest.cost_usd)
        return Step(None, f"no room: {cheapest.name} costs about {cost}, and {_said(left)} is left")
    prices = [rung.cost_usd for rung in rungs if rung.cost_usd is not None]
    if len(prices) < len(rungs):
        return Step(within[0], f"{within[0].name} is next in order: not every price is known")
    chances = _Chances(Fraction(str(passes_wrong)))
    return _by_price(rungs, within, attempts, _usd(worth_usd), chances)


@attrs.frozen
class _Chances:
    """Chances of a right result, by a check that passes the share *wrong* of the wrong ones."""

    wrong: Fraction

    def of(self, rung: Rung) -> Fraction:
        """Return what passed less what passed wrongly.

        A check that passes all tells nothing, so its passes are taken as they are. One that flags right
        results makes the estimate too low, which is the careful side.
        """
        if self.wrong in (0, 1):
            return rung.chance
        return max(Fraction(0), (rung.chance - self.wrong) / (1 - self.wrong))

    def pass_usd(self, rung: Rung) -> Fraction | float:
        """Return what a right result costs."""
        chance = self.of(rung)
        return Fraction(rung.cost_usd or 0) / chance if chance else inf

    def lost(self, rung: Rung, smart: Rung) -> Fraction:
        """Return the share of tasks that *rung* does wrong, the check passes, and *smart* would solve."""
        return (1 - self.of(rung)) * self.wrong * self.of(smart)


def _by_price(
    rungs: Sequence[Rung],
    within: Sequence[Rung],
    attempts: Sequence[Attempt],
    worth_usd: Decimal | None,
    chances: _Chances,
) -> Step:
    smart = _smart(rungs)
    smart_usd = smart.cost_usd or Decimal(0)
    worth = Fraction(WORTH_IN_SMART_RUNGS * smart_usd if worth_usd is None else worth_usd)
    alone = max(Fraction(smart_usd), worth / WORTH_IN_SMART_RUNGS)
    if smart.name == SMART and smart in within and chances.pass_usd(smart) <= worth:
        within = [rung for rung in within if rung is smart or chances.lost(rung, smart) <= MOST_LOST]
    by_pass = sorted(within, key=chances.pass_usd)
    worthy = [rung for rung in by_pass if chances.pass_usd(rung) <= worth]
    if not worthy:
        first = min(within, key=lambda rung: rung.cost_usd or Decimal(0))
        if attempts or worth_usd is not None:
            return Step(None, f"gave up: {_offer(by_pass[0], chances)}, and a pass is worth {_said(worth)}")
        return Step(first, f"{_offer(first, chances)}, more than it is worth; a first attempt is always made")
    spent = sum((Fraction(attempt.cost_usd or 0) for attempt in attempts), Fraction(0))

    def pays(rung: Rung) -> bool:
        cost = Fraction(rung.cost_usd or 0)
        if smart.name != SMART or 2 * cost > smart_usd:
            return True
        if smart in worthy:
            return chances.pass_usd(rung) <= alone
        was_tried = any(attempt.rung == smart.name for attempt in attempts)
        return not was_tried or spent + cost <= alone

    paying = [rung for rung in worthy if pays(rung)]
    if paying:
        return Step(paying[0], _offer(paying[0], chances))
    more = f"{worthy[0].name} would cost more than it would gain"
    return Step(None, f"gave up: {smart.name} failed, and {more}")


def _smart(rungs: Sequence[Rung]) -> Rung:
    """Return the rung called ``smart``; without one, the dearest, of equally dear ones the last."""
    named = [rung for rung in rungs if rung.name == SMART]
    dearest = max((rung.cost_usd or Decimal(0) for rung in rungs), default=Decimal(0))
    return (named or [rung for rung in rungs if (rung.cost_usd or Decimal(0)) == dearest])[-1]


def _offer(rung: Rung, chances: _Chances) -> str:
    if not rung.tries:  # the chance is a hope, which would pass for a figure
        return f"{rung.name}: about {_said(rung.cost_usd)}, no outcomes so far"
    of = f"{rung.passes} of {rung.tries} passed"
    if chances.wrong:
        of += f", and the check passes {float(chances.wrong):.0%} of wrong results"
    at = f"a {float(chances.of(rung)):.0%} chance ({of})"
    return f"{rung.name}: about {_said(rung.cost_usd)} at {at}, {_said(chances.pass_usd(rung))} for each pass"


def _said(amount: Decimal | Fraction | float | None) -> str:
    return "an unknown amount" if amount is None or amount == inf else f"${float(amount):.4f}"
