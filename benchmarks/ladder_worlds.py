"""What does the ladder do to bill and solves, and when does it make things worse?

Run with ``python benchmarks/ladder_worlds.py [SEEDS]``. Worlds are drawn, and each of their tasks goes
through the real ``next_step``, ``rungs_with`` and ``KnownOutcomes``, which begin without any outcome. No
model is asked: the figures show what the policy does if outcomes are like this, and nothing about the skill
of a model.

A world has 1 to 10 kinds of tasks and 50 to 2,000 tasks (even in the logarithm). A try of the smart rung
costs 1, one of the cheap rung 1/gap, with a gap from 2 to 100 (even in the logarithm). For each kind the
worker solves a share from 0 to 1, and the smart rung a share from 0.2 to 1, but no less than the worker.
Whether two rungs solve a task is half correlated: half of the tasks have one difficulty for all rungs, the
other half one for each rung. ``cheap_again`` solves 3 to 10 points of all tasks more than ``cheap``. A
check flags a bad result with its *sensitivity* (0.7 to 1), and a good one with its *false flags* (0 to
0.3). What is delivered is what passed, or else the last result; it is solved if it is good in truth.

*Strong alone* gives each task to the smart rung once, without a check. It costs 1 for each task, and solves
the same tasks as the smart rung of the ladder: its outcome on a task is drawn once. *Always up* tries
cheap, and smart if that was flagged; it never learns, passes nothing over and gives nothing up. Its bill is
1/gap and the share that goes up. In a *hopeless* kind, nine tasks of ten or more are solved by no rung;
such worlds have at least one other kind.

Two more questions have worlds of their own (``ladder_worlds.py twins``). *Twins* look the same to any
policy and are not. *Three models* of different families stand beside each other, without a smart rung.

Families with *told* in their name tell the policy how many bad results the check passes (``passes_wrong``).
Where nobody says so, a check counts as exact. No aim on solves is held for such families whose check is not:
they show what is lost if an inexact check is taken for an exact one.

The aims, each over all seeds of a family:

- the bill is above 1.05 of strong alone in at most 5 % of seeds (every family),
- with an exact check and two rungs, it is above 1.05 of always up in at most 5 % of seeds, and not in sum,
- solves are at least 99 % of strong alone at the fifth percentile (check exact, or told and without a
  hopeless kind: giving such a kind up loses what strong alone solves of it),
- in hopeless kinds, giving up saves at least 40 % of what always up spends there in all worlds, and loses at
  most 1 % of the solves of these worlds (check exact or told).

It fails if one is missed, and prints the worst worlds of each family.
"""

import random
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from typing import Any

import attrs
from recording import record

from sunwell.agent.policy.ladder import Attempt, Rung, Step, next_step
from sunwell.agent.policy.rung_outcomes import DEFAULT_PRIORS, after_of, rungs_with
from sunwell.memory.outcomes import KEPT_OUTCOMES, KnownOutcomes, WorkOutcome

SEEDS = 200
MOST_BILL = 1.05
MOST_SEEDS_ABOVE = 0.05
LEAST_SOLVES = 0.99
LEAST_SAVED = 0.40
MOST_LOST = 0.01
LENS_USD = Decimal("0.3")
_FOREVER = 10**9


@attrs.frozen
class World:
    """What is true of tasks, rungs and the check; nothing of it is told to the policy but prices."""

    gap: float
    kinds: tuple[Mapping[str, float], ...]
    """For each kind, the share of tasks that each rung solves; ``cheap_again``: the points that it adds."""
    tasks: int
    sensitivity: float = 1.0
    false_flags: float = 0.0
    hopeless: int = 0
    """So many of the first kinds are hopeless."""
    failed_cost: float = 1.0
    """What a try with a bad result costs, to one with a good result."""


def _shares(cheap: float, smart: float) -> Mapping[str, float]:
    return {"cheap": cheap, "cheap_again": 0.0, "lens": 0.0, "second": cheap, "smart": smart}


@attrs.frozen
class Family:
    """How worlds are drawn; what is ``None`` is drawn from its whole range."""

    name: str
    rungs: tuple[str, ...] = ("cheap", "smart")
    is_exact: bool = True
    sensitivity: float | None = None
    false_flags: float | None = None
    gap: float | None = None
    worker: tuple[float, float] = (0.0, 1.0)
    tasks: int | None = None
    kinds: int | None = None
    is_hopeless: bool = False
    failed_cost: float = 1.0
    is_told: bool = False
    """Whether the policy is told the share of bad results that the check passes."""

    def world(self, chance: random.Random) -> World:
        """Draw a world."""
        kinds = self.kinds or chance.randint(2 if self.is_hopeless else 1, 10)
        drawn = [self._kind(chance, self.is_hopeless and number == 0) for number in range(kinds)]
        sensitivity, false_flags = chance.uniform(0.7, 1.0), chance.uniform(0.0, 0.3)
        if self.is_exact:
            sensitivity, false_flags = 1.0, 0.0
        return World(
            gap=self.gap or 2 * 50 ** chance.random(),
            kinds=tuple(drawn),
            tasks=self.tasks or round(50 * 40 ** chance.random()),
            sensitivity=sensitivity if self.sensitivity is None else self.sensitivity,
            false_flags=false_flags if self.false_flags is None else self.false_flags,
            hopeless=int(self.is_hopeless),
            failed_cost=self.failed_cost,
        )

    def _kind(self, chance: random.Random, is_hopeless: bool) -> Mapping[str, float]:
        cheap = chance.uniform(*self.worker)
        smart = max(cheap, chance.uniform(0.2, 1.0))
        if is_hopeless:
            smart = chance.uniform(0.0, 0.1)
            cheap = smart * chance.random()
        left = 0.0 if is_hopeless else 1.0
        return {
            "cheap": cheap,
            "cheap_again": left * chance.uniform(0.03, 0.10),
            "lens": left * chance.uniform(0.03, 0.15),
            "second": chance.uniform(cheap, smart),
            "smart": smart,
        }


def shipped_step(rungs: Sequence[Rung], attempts: Sequence[Attempt], passes_wrong: float = 0.0) -> Step:
    """Decide as the product does, with room for all and no worth given."""
    return next_step(rungs, attempts, left_usd=None, worth_usd=None, passes_wrong=passes_wrong)


@attrs.frozen
class Policy:
    """A policy under test: how it decides, and how it counts."""

    name: str
    decide: Callable[[Sequence[Rung], Sequence[Attempt]], Step] = shipped_step
    priors: Mapping[str, float] = DEFAULT_PRIORS
    kept: int = KEPT_OUTCOMES
    pools: bool = True
    """Whether outcomes of other kinds, and after other failures, move the priors."""

    def known(
        self, outcomes: KnownOutcomes, kind: str, rungs: Sequence[Rung], tried: Sequence[Attempt]
    ) -> Any:
        """Return *rungs* with their outcomes."""
        found = rungs_with(outcomes, kind, rungs, tried)
        if self.pools:
            return found
        return [attrs.evolve(rung, prior=self.priors[rung.name]) for rung in found]


def plain_step(rungs: Sequence[Rung], attempts: Sequence[Attempt]) -> Step:
    """Decide by price and chance alone: the cheapest pass first, until one costs ten times the smart rung."""
    tried = {attempt.rung for attempt in attempts}
    untried = [rung for rung in rungs if rung.name not in tried]
    if any(attempt.passed for attempt in attempts) or not untried:
        return Step(None, "passed, or all tried")
    best = min(untried, key=lambda rung: rung.pass_usd)
    worth = 10 * max(rung.cost_usd or Decimal(0) for rung in rungs)
    return Step(best if best.pass_usd <= worth else None, "by price and chance")


def careful_step(rungs: Sequence[Rung], attempts: Sequence[Attempt]) -> Step:
    """Decide as shipped, but begin with the smart rung unless the cheap one passes eight times of ten."""
    sure = [rung for rung in rungs if rung.name != "cheap" or rung.chance >= 0.8]
    return shipped_step(sure, attempts)


_EVEN = dict.fromkeys(DEFAULT_PRIORS, 0.5)
POLICIES = (
    Policy("as shipped"),
    Policy("plain: price by chance, priors of 0.5", plain_step, _EVEN, _FOREVER, pools=False),
    Policy("all priors 0.5", priors=_EVEN),
    Policy("nothing is forgotten", kept=_FOREVER),
    Policy("no outcomes of other kinds or failures", pools=False),
    Policy("a rung need not pay", plain_step),
    Policy("cheap first only above a chance of 0.8", careful_step),
)


@attrs.define
class Found:
    """What a policy did in one world. Money is in prices of the smart rung."""

    world: World
    seed: int
    bill: float = 0.0
    solves: int = 0
    strong_bill: float = 0.0
    strong_solves: int = 0
    up_bill: float = 0.0
    went_up: int = 0
    cheap_flagged: int = 0
    smart_passed: int = 0
    hopeless_bill: float = 0.0
    hopeless_up_bill: float = 0.0
    hopeless_solves: int = 0
    hopeless_up_solves: int = 0
    up_solves: int = 0
    hopeless_tasks: int = 0

    @property
    def to_strong(self) -> float:
        """The bill, to that of strong alone."""
        return self.bill / self.strong_bill

    @property
    def to_up(self) -> float:
        """The bill, to that of always up."""
        return self.bill / self.up_bill

    @property
    def solved(self) -> float:
        """Solves, to those of strong alone."""
        return self.solves / self.strong_solves if self.strong_solves else 1.0

    def told(self) -> str:
        """Return world and figures in one line."""
        world = self.world
        shares = ", ".join(f"{kind['cheap']:.2f}/{kind['smart']:.2f}" for kind in world.kinds[:4])
        more = ", …" if len(world.kinds) > 4 else ""
        return (
            f"seed {self.seed}: bill {self.to_strong:.3f}, solves {self.solved:.3f}; gap {world.gap:.1f}, "
            f"{world.tasks} tasks, sensitivity {world.sensitivity:.2f}, false flags {world.false_flags:.2f}, "
            f"{len(world.kinds)} kinds, worker/smart {shares}{more}"
        )


def live(world: World, names: Sequence[str], policy: Policy, seed: int, is_told: bool = False) -> Found:
    """Send all tasks of *world* through the ladder of *names*, one after another."""
    chance = random.Random(f"{seed} tasks")
    cheap_usd = Decimal(1) / Decimal(f"{world.gap:.6f}")
    prices = {"smart": Decimal(1), "lens": LENS_USD, "second": 3 * cheap_usd}
    rungs = [
        Rung(name, name, min(prices.get(name, cheap_usd), Decimal(1)), prior=policy.priors[name])
        for name in names
    ]
    known, found = KnownOutcomes(policy.kept), Found(world, seed)
    for _ in range(world.tasks):
        kind = chance.randrange(len(world.kinds))
        good = _truth(world.kinds[kind], chance)
        flags = {
            name: chance.random() < (world.false_flags if good[name] else world.sensitivity) for name in good
        }
        attempts = _climb(policy, known, str(kind), rungs, flags, 1 - world.sensitivity if is_told else 0.0)
        _add(found, kind < world.hopeless, good, flags, attempts, rungs)
    return found


def _truth(shares: Mapping[str, float], chance: random.Random) -> dict[str, bool]:
    """Return which rungs solve one task."""
    is_shared, common = chance.random() < 0.5, chance.random()
    draws = {name: chance.random() for name in ("cheap", "second", "smart")}
    good = {name: (common if is_shared else draw) < shares[name] for name, draw in draws.items()}
    for name, before in (("cheap_again", "cheap"), ("lens", "cheap")):
        gain = shares[name] / (1 - shares["cheap"]) if shares["cheap"] < 1 else 0.0
        good[name] = good[before] or chance.random() < gain
    return good


def _climb(
    policy: Policy,
    known: KnownOutcomes,
    kind: str,
    rungs: Sequence[Rung],
    flags: Mapping[str, bool],
    passes_wrong: float = 0.0,
) -> list[Attempt]:
    attempts: list[Attempt] = []
    while True:
        offered = policy.known(known, kind, rungs, attempts)
        if passes_wrong:
            step = shipped_step(offered, attempts, passes_wrong)
        else:
            step = policy.decide(offered, attempts)
        if step.rung is None:
            return attempts
        rung, passed = step.rung, not flags[step.rung.name]
        after = after_of(rungs, attempts)
        known.add(WorkOutcome(kind, rung.name, rung.model, after, passed, rung.cost_usd, 0.0))
        attempts.append(Attempt(rung.name, passed, rung.cost_usd))


def _add(
    found: Found,
    is_hopeless: bool,
    good: Mapping[str, bool],
    flags: Mapping[str, bool],
    attempts: Sequence[Attempt],
    rungs: Sequence[Rung],
) -> None:
    prices = {rung.name: float(rung.cost_usd or 0) for rung in rungs}

    def billed(name: str) -> float:
        return prices[name] * (1.0 if good[name] else found.world.failed_cost)

    bill = sum(billed(attempt.rung) for attempt in attempts)
    up_bill = billed("cheap") + (billed("smart") if flags["cheap"] else 0.0)
    solved = bool(attempts) and good[attempts[-1].rung]
    up_solved = good["smart"] if flags["cheap"] else good["cheap"]
    found.bill += bill
    found.solves += solved
    found.strong_bill += billed("smart")
    found.strong_solves += good["smart"]
    found.up_bill += up_bill
    found.up_solves += up_solved
    found.cheap_flagged += flags["cheap"]
    if attempts and attempts[-1].rung == "smart":
        found.went_up += 1
        found.smart_passed += bool(attempts[-1].passed)
    if is_hopeless:
        found.hopeless_tasks += 1
        found.hopeless_bill += bill
        found.hopeless_up_bill += up_bill
        found.hopeless_solves += solved
        found.hopeless_up_solves += up_solved


FULL = ("cheap", "cheap_again", "lens", "second", "smart")
FAMILIES = (
    Family("exact check"),
    Family("exact check, cheap again", rungs=("cheap", "cheap_again", "smart")),
    Family("exact check, all five rungs", rungs=FULL),
    Family("exact check, failures cost 1.4 times", failed_cost=1.4),
    Family("false flags only", is_exact=False, sensitivity=1.0),
    Family("useless worker", worker=(0.0, 0.13)),
    Family("useless worker, 50 tasks of 10 kinds", worker=(0.0, 0.0), tasks=50, kinds=10),
    Family("useless worker, 50 tasks of one kind", worker=(0.0, 0.0), tasks=50, kinds=1),
    Family("a hopeless kind", is_hopeless=True),
    Family("a hopeless kind, any check", is_exact=False, is_hopeless=True),
    Family("any check", is_exact=False),
    Family("any check, cheap again", is_exact=False, rungs=("cheap", "cheap_again", "smart")),
    Family("any check, told", is_exact=False, is_told=True),
    Family(
        "any check, cheap again, told", rungs=("cheap", "cheap_again", "smart"), is_exact=False, is_told=True
    ),
    Family("a hopeless kind, any check, told", is_exact=False, is_hopeless=True, is_told=True),
)


def _one(family: Family, policy: Policy, seed: int) -> Found:
    world = family.world(random.Random(f"{seed} world"))
    return live(world, family.rungs, policy, seed, family.is_told)


def survey(family: Family, policy: Policy, seeds: range) -> list[Found]:
    """Return what *policy* did in each world of *family*."""
    return [_one(family, policy, seed) for seed in seeds]


TWINS = {
    "exact check, worker solves 0.37": World(20.0, (_shares(0.37, 0.714),), 2_000),
    "check passes 0.30 of bad results, worker solves 0.10": World(20.0, (_shares(0.10, 0.50),), 2_000, 0.70),
}
"""Two worlds in which the same shares of results pass, so that no policy can tell them apart."""


def twins(seeds: range) -> dict[str, dict[str, float]]:
    """Return what a ladder sees of each twin, and what is true of it."""
    rows = {}
    for name, world in TWINS.items():
        found = [live(world, ("cheap", "smart"), POLICIES[0], seed) for seed in seeds]
        rows[name] = {
            "cheap_passed": 1 - statistics.mean(one.cheap_flagged / world.tasks for one in found),
            "smart_passed_then": sum(one.smart_passed for one in found) / sum(one.went_up for one in found),
            "bill": statistics.mean(one.to_strong for one in found),
            "solves": statistics.mean(one.solved for one in found),
        }
    return {name: {key: round(value, 3) for key, value in row.items()} for name, row in rows.items()}


BESIDE_USD = (Decimal("0.03"), Decimal("0.05"), Decimal("0.10"))
BESIDE_SOLVE = (0.45, 0.42, 0.48)


def beside(names: Sequence[str], seeds: range, tasks: int = 1_000) -> dict[str, float]:
    """Return how three cheap models of different families do that are called *names*; the check is exact.

    The bill is to the dearest of them alone, solves are to the best of them alone.
    """
    bill = solves = dearest = best = 0.0
    rungs = [Rung(name, name, usd) for name, usd in zip(names, BESIDE_USD, strict=True)]
    shares = dict(zip(names, BESIDE_SOLVE, strict=True))
    for seed in seeds:
        chance, known = random.Random(f"{seed} beside"), KnownOutcomes()
        for _ in range(tasks):
            is_shared, common = chance.random() < 0.5, chance.random()
            good = {
                name: (common if is_shared else chance.random()) < share for name, share in shares.items()
            }
            attempts = _climb(POLICIES[0], known, "kind", rungs, {name: not good[name] for name in good})
            bill += sum(float(attempt.cost_usd or 0) for attempt in attempts)
            solves += bool(attempts[-1].passed)
            dearest += float(BESIDE_USD[-1])
            best += good[names[-1]]
    return {"bill": round(bill / dearest, 3), "solves": round(solves / best, 3)}


def _percentile(values: Sequence[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def figures(found: Sequence[Found]) -> dict[str, float]:
    """Return the figures that the aims are about."""
    bills, solves = [one.to_strong for one in found], [one.solved for one in found]
    numbers = {
        "bill_mean": statistics.mean(bills),
        "bill_most": max(bills),
        "seeds_above_strong": sum(bill > MOST_BILL for bill in bills) / len(bills),
        "solves_p05": _percentile(solves, 0.05),
        "solves_median": statistics.median(solves),
        "solves_least": min(solves),
        "seeds_above_up": sum(one.to_up > MOST_BILL for one in found) / len(found),
        "bill_to_up": sum(one.bill for one in found) / sum(one.up_bill for one in found),
        "went_up": statistics.mean(one.went_up / one.world.tasks for one in found),
    }
    spent = sum(one.hopeless_up_bill for one in found)
    if spent:
        lost = sum(one.hopeless_up_solves - one.hopeless_solves for one in found)
        numbers["saved"] = 1 - sum(one.hopeless_bill for one in found) / spent
        numbers["lost"] = lost / sum(one.up_solves for one in found)
        for most, name in ((20, "saved_up_to_20_tasks"), (_FOREVER, "saved_more_tasks")):
            some = [one for one in found if (one.hopeless_tasks <= 20) == (most == 20) and one.hopeless_tasks]
            if some:
                money = sum(one.hopeless_up_bill for one in some)
                numbers[name] = 1 - sum(one.hopeless_bill for one in some) / money
    return {name: round(value, 4) for name, value in numbers.items()}


def missed(family: Family, numbers: Mapping[str, float]) -> list[str]:
    """Return a sentence for each aim that *numbers* miss."""
    wrong = []
    if numbers["seeds_above_strong"] > MOST_SEEDS_ABOVE:
        wrong.append(
            f"the bill is above 1.05 of strong alone in {numbers['seeds_above_strong']:.1%} of seeds"
        )
    is_exact = family.is_exact or family.sensitivity == 1.0
    knows = is_exact or family.is_told
    if knows and (is_exact or not family.is_hopeless) and numbers["solves_p05"] < LEAST_SOLVES:
        wrong.append(f"solves at the fifth percentile are {numbers['solves_p05']:.1%} of strong alone")
    if family.is_exact and family.rungs == ("cheap", "smart"):
        if numbers["seeds_above_up"] > MOST_SEEDS_ABOVE:
            wrong.append(f"the bill is above 1.05 of always up in {numbers['seeds_above_up']:.1%} of seeds")
        if numbers["bill_to_up"] > MOST_BILL:
            wrong.append(f"the bill of all worlds is {numbers['bill_to_up']:.3f} of always up")
    if knows and family.is_hopeless and numbers["saved"] < LEAST_SAVED:
        wrong.append(f"giving up saves {numbers['saved']:.1%}")
    if knows and family.is_hopeless and numbers["lost"] > MOST_LOST:
        wrong.append(f"giving up loses {numbers['lost']:.2%} of solves")
    return [f"{family.name}: {sentence}" for sentence in wrong]


def by_sensitivity(found: Sequence[Found]) -> dict[str, dict[str, float]]:
    """Return solves by how many bad results the check flags."""
    rows = {}
    for least in (0.70, 0.80, 0.90, 0.95):
        most = {0.70: 0.80, 0.80: 0.90, 0.90: 0.95, 0.95: 1.0}[least]
        some = [one for one in found if least <= one.world.sensitivity < most]
        if some:
            solves = [one.solved for one in some]
            rows[f"{least:.2f} to {most:.2f}"] = {
                "solves_p05": round(_percentile(solves, 0.05), 4),
                "solves_median": round(statistics.median(solves), 4),
                "bill_mean": round(statistics.mean(one.to_strong for one in some), 4),
            }
    return rows


def worst(found: Sequence[Found], count: int = 2) -> list[str]:
    """Return the dearest worlds, and those with the fewest solves."""
    dearest = sorted(found, key=lambda one: -one.to_strong)[:count]
    fewest = sorted(found, key=lambda one: one.solved)[:count]
    return [one.told() for one in (*dearest, *fewest)]


def other_questions(seeds: range) -> None:
    """Print and record the worlds that no aim is about."""
    found = {
        "seeds": len(seeds),
        "twins": twins(seeds),
        "beside": {
            "three models": beside(("a", "b", "c"), seeds),
            "the dearest called smart": beside(("a", "b", "smart"), seeds),
        },
    }
    print(*found.items(), sep="\n")
    record("ladder_twins", found)


def main() -> None:
    """Draw, print and record; fail if an aim is missed."""
    if sys.argv[1:] == ["twins"]:
        other_questions(range(20))
        return
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    rows: dict[str, Any] = {}
    policies: dict[str, Any] = {}
    wrong: list[str] = []
    with ProcessPoolExecutor() as pool:
        shipped = [(family, pool.submit(survey, family, POLICIES[0], seeds)) for family in FAMILIES]
        compared = [family for family in FAMILIES if family.name in COMPARED]
        others = [
            (policy, family, pool.submit(survey, family, policy, seeds[: len(seeds) // 2]))
            for policy in POLICIES
            for family in compared
        ]
        for family, job in shipped:
            found = job.result()
            rows[family.name] = numbers = figures(found)
            print(family.name, numbers, *worst(found), sep="\n    ")
            wrong += missed(family, numbers)
            if family.name == "any check":
                sensitivities = by_sensitivity(found)
                print(*sensitivities.items(), sep="\n    ")
        for policy, family, job in others:
            policies.setdefault(policy.name, {})[family.name] = figures(job.result())
            print(policy.name, family.name, policies[policy.name][family.name], sep=" | ")
    print("missed:", *(wrong or ["nothing"]), sep="\n    ")
    counts = {"seeds": len(seeds), "compared_seeds": len(seeds) // 2}
    tables = {"rows": rows, "by_sensitivity": sensitivities, "policies": policies}
    record("ladder_worlds", {**counts, **tables, "missed": wrong})
    if wrong:
        raise SystemExit(1)


COMPARED = ("exact check", "useless worker, 50 tasks of 10 kinds", "a hopeless kind", "any check")

if __name__ == "__main__":
    main()
