"""How far is each way to decide from the best choice in hindsight, and how long does a decision take?

Run with ``python benchmarks/decisions.py [SEEDS]``. Worlds are drawn, and each of their tasks goes through
the real ``decide`` and ``decided_way``, with ``KnownOutcomes`` that begin empty. No model is asked: the
figures show what the policy does if outcomes are like this, and nothing about the skill of a model.

A world has thirty kinds of tasks. Each kind has a chance to pass for each way (direct, cheap, delegated), a
usual output (300 to 30,000 tokens), and a factor by which its output differs from what its words let expect
(a standard deviation of 0.4 in the logarithm). In logits, a chance is the way's own level in the world, how
hard the kind is (standard deviation 0.7), and what this way has with this kind (0.4). What a try costs is
what the cost model says of the output that it takes, with a factor for each way (0.2) and each try (0.25).

- *usual*: direct 0.90, cheap 0.65, delegated 0.80 at prices of 5 to 1.
- *weak*: the cheap model passes 0.30, and 0.55 under a lens.
- *able*: the cheap model passes 0.90, and 0.91 under a lens.
- *harm*: lenses make it worse: cheap 0.70, delegated 0.50.
- *alike*: the models cost 2 to 1.
- *steep*: prices of 20 to 1.

Two more are meant to be too much for it, and are not in the sum:

- *spread*: as usual, but kinds differ more in how hard they are (standard deviation 1.2).
- *erratic*: as usual, but what a way has with a kind weighs more than all else (1.2).

*Regret* is what the choices cost to passed results, in expectation, beyond the best choice for each task by
the true chances and costs, which nobody knows: sum over sum. What does not pass is done again the direct way
until it does. The classifier is imperfect: it tells whether the cheap model alone passes less than 0.65 of
the kind, is right in three of four cases, and guesses the true output with a standard deviation of 0.5 in
the logarithm; its own call is not in the costs. *Coin* chooses at random, for comparison.

The aim: after 50 outcomes, over thirty kinds, ``outcomes`` has at most 5 % of regret in the first six sorts
of worlds together. The 200 tasks after them count; what they teach is learnt, too. It fails if that is
missed, or if a decision with a million outcomes in the file takes 10 ms.
"""

import math
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.agent.policy.task_kinds import TaskClass
from sunwell.agent.policy.way_choice import WayOffer, costs_to_a_pass, sized_by_outcomes
from sunwell.agent.run.decision import Candidates, LensOutlook, PricedModel, decide
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.way_decision import Grounds, decided_way
from sunwell.context.options import Decide
from sunwell.core.price import DelegationDecision, OutputEstimate, Price, Quote, Rates
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WAYS, KnownOutcomes, Way, WorkOutcome

SEEDS = 16
KINDS = 30
LEARNT = 50
LATER = 200
MOST_REGRET = 0.05
MOST_MILLISECONDS = 10.0
ROWS = 1_000_000
POLICIES = ("outcomes", "classifier", "words", "coin")
NAMES: Mapping[Way, str] = {"direct": "strong", "cheap": "small", "delegated": "small"}
TASK = "Do it."


@attrs.frozen
class DrawnFrom:
    """How the worlds of one family are drawn."""

    name: str
    levels: tuple[float, float, float] = (0.90, 0.65, 0.80)
    """Chance to pass on a kind of usual difficulty: direct, cheap, delegated."""
    gap: float = 5.0
    hard: float = 0.7
    own: float = 0.4
    is_stress: bool = False


FAMILIES = (
    DrawnFrom("usual"),
    DrawnFrom("weak", (0.90, 0.30, 0.55)),
    DrawnFrom("able", (0.93, 0.90, 0.91)),
    DrawnFrom("harm", (0.90, 0.70, 0.50)),
    DrawnFrom("alike", gap=2.0),
    DrawnFrom("steep", gap=20.0),
    DrawnFrom("spread", hard=1.2, is_stress=True),
    DrawnFrom("erratic", own=1.2, is_stress=True),
)


@attrs.frozen
class KindOfWork:
    """What is true of one kind; nothing of it is told to a policy."""

    chances: Mapping[Way, float]
    usual_tokens: float
    times: float
    """Output, in multiples of what the words let expect."""


@attrs.frozen
class TaskWorld:
    """What is true in one world."""

    prices: Prices
    kinds: tuple[KindOfWork, ...]
    factors: Mapping[Way, float]
    """Cost, in multiples of what the cost model says."""

    @classmethod
    def drawn(cls, family: DrawnFrom, chance: random.Random) -> "TaskWorld":
        """Draw a world of *family*."""
        strong = Price(Rates(Decimal(5), Decimal(25), Decimal("0.5"), Decimal("6.25")), date="2026-11-30")
        gap = Decimal(str(family.gap))
        rates = [rate / gap for rate in (Decimal(5), Decimal(25), Decimal("0.5"), Decimal("6.25"))]
        small = Price(Rates(*rates), date="2026-11-30")
        factors = {way: math.exp(chance.gauss(0, 0.2)) for way in WAYS}
        kinds = tuple(_kind(family, chance) for _ in range(KINDS))
        return cls(Prices(strong, strong, small), kinds, factors)

    def costs(self, kind: KindOfWork, tokens: int) -> dict[Way, float]:
        """Return what a try is expected to cost by each way, with *tokens* of true output."""
        made = quote(tokens, self.prices, Shape(redone_share=Decimal(0)))
        assert made.cheap is not None
        usd = {"direct": made.direct, "cheap": made.cheap, "delegated": made.delegated}
        return {way: float(usd[way].expected_usd or 0) * self.factors[way] for way in WAYS}


def _kind(family: DrawnFrom, chance: random.Random) -> KindOfWork:
    hard = chance.gauss(0, family.hard)
    chances: dict[Way, float] = {}
    for way, level in zip(WAYS, family.levels, strict=True):
        logit = math.log(level / (1 - level)) + hard + chance.gauss(0, family.own)
        chances[way] = min(0.99, max(0.02, 1 / (1 + math.exp(-logit))))
    return KindOfWork(chances, 300 * 100 ** chance.random(), math.exp(chance.gauss(0, 0.4)))


@attrs.define
class Judged:
    """A policy in one world: what it knows, and what its choices cost."""

    policy: str
    known: KnownOutcomes = attrs.field(factory=KnownOutcomes)
    costs: list[float] = attrs.field(factory=list)
    by_outcomes: int = 0
    """So many decisions that outcomes took."""


def play(family: DrawnFrom, seed: int) -> dict[str, tuple[list[float], int]]:
    """Return the costs of the choices of each policy in one world, task by task, and of the best."""
    chance = random.Random(f"{family.name} {seed}")
    world = TaskWorld.drawn(family, chance)
    judged = [Judged(policy) for policy in POLICIES]
    best: list[float] = []
    for _ in range(LEARNT + LATER):
        number = chance.randrange(KINDS)
        kind = world.kinds[number]
        words = max(50, round(kind.usual_tokens * math.exp(chance.gauss(0, 0.4))))
        tokens = round(words * kind.times * math.exp(chance.gauss(0, 0.2)))
        costs = world.costs(kind, tokens)
        truth = _to_a_pass(kind, costs)
        best.append(min(truth.values()))
        drawn = random.Random(chance.random())
        said = _classified(kind, tokens, drawn)
        passes = {way: drawn.random() < kind.chances[way] for way in WAYS}
        noise = math.exp(drawn.gauss(0, 0.25))
        for one in judged:
            way, by_outcomes = chosen(one, world.prices, f"kind {number}", words, said, drawn)
            one.costs.append(truth[way])
            one.by_outcomes += by_outcomes
            one.known.add(_outcome(world, number, way, passes[way], costs[way] * noise, tokens, words))
    found = {one.policy: (one.costs, one.by_outcomes) for one in judged}
    return {**found, "best": (best, 0)}


def _to_a_pass(kind: KindOfWork, costs: Mapping[Way, float]) -> dict[Way, float]:
    offers = [WayOffer(way, Decimal(str(costs[way])), kind.chances[way]) for way in WAYS]
    return dict(zip(WAYS, costs_to_a_pass(offers, offers[0]), strict=True))


def _classified(kind: KindOfWork, tokens: int, chance: random.Random) -> TaskClass:
    needs = kind.chances["cheap"] < 0.65
    said = needs if chance.random() < 0.75 else not needs
    return TaskClass("other", 1, round(tokens * math.exp(chance.gauss(0, 0.5))), said, 0.75)


def chosen(
    one: Judged, prices: Prices, kind: str, words: int, said: TaskClass, chance: random.Random
) -> tuple[Way, bool]:
    """Return the way that a policy takes, and whether outcomes decided."""
    if one.policy == "coin":
        return chance.choice(WAYS), False
    modes: dict[str, Decide] = {"classifier": "classifier", "outcomes": "outcomes"}
    config = LoopConfig(enable_delegation=True, decide=modes.get(one.policy, "words"))
    grounds = Grounds(mode=config.decide, kind=kind, known=one.known, names=NAMES)
    if one.policy == "classifier":
        grounds = attrs.evolve(grounds, asked=said)
    guess = said.output_tokens if one.policy == "classifier" else words
    decision, _ = decided(grounds, config, prices, guess)
    way: Way = (
        "delegated" if decision else "cheap" if decision.without_lens == "delegation_model" else "direct"
    )
    return way, decision.decided_by == "outcomes"


def decided(
    grounds: Grounds, config: LoopConfig, prices: Prices, words_tokens: int
) -> tuple[DelegationDecision, Quote]:
    """Decide as a run does, with so many tokens of output by the words, or by the classifier."""
    models = Candidates(
        PricedModel("strong", prices.smart),
        PricedModel("strong", prices.own),
        PricedModel("small", prices.delegation),
    )
    output = OutputEstimate.around(words_tokens)
    if grounds.asked is None:
        output = sized_by_outcomes(output, grounds.known, grounds.kind)
    outlook = LensOutlook(input_tokens=8_000)
    words, priced = decide(TASK, output, config, models, lens=outlook, redone=grounds.redone)
    return decided_way(words, priced, grounds, models), priced


def _outcome(
    world: TaskWorld, number: int, way: Way, passed: bool, usd: float, tokens: int, words: int
) -> WorkOutcome:
    made = quote(tokens, world.prices, Shape(redone_share=Decimal(0)))
    sides = {"direct": made.direct, "cheap": made.cheap, "delegated": made.delegated}
    side = sides[way]
    assert side is not None
    return WorkOutcome(
        f"kind {number}",
        way,
        NAMES[way],
        "",
        passed,
        Decimal(str(usd)),
        0.0,
        way == "delegated",
        tokens,
        words,
        side.expected_usd,
    )


def regret(costs: Sequence[float], best: Sequence[float]) -> float:
    """Return what *costs* are above *best*, as a share of it."""
    return sum(costs) / sum(best) - 1


def survey(family: DrawnFrom, seeds: Sequence[int]) -> dict[str, Any]:
    """Return the regret of each policy in the worlds of *family*, before and after 50 outcomes."""
    worlds = [play(family, seed) for seed in seeds]
    found: dict[str, Any] = {}
    for policy in POLICIES:
        before = [regret(world[policy][0][:LEARNT], world["best"][0][:LEARNT]) for world in worlds]
        after = [regret(world[policy][0][LEARNT:], world["best"][0][LEARNT:]) for world in worlds]
        found[policy] = {
            "before": statistics.mean(before),
            "after": statistics.mean(after),
            "worst": max(after),
            "next_fifty": statistics.mean(
                regret(world[policy][0][LEARNT : 2 * LEARNT], world["best"][0][LEARNT : 2 * LEARNT])
                for world in worlds
            ),
        }
    found["by_outcomes"] = statistics.mean(world["outcomes"][1] for world in worlds) / (LEARNT + LATER)
    wins = [regret(w["words"][0][LEARNT:], w["outcomes"][0][LEARNT:]) < 0 for w in worlds]
    found["words_cheaper"] = sum(wins)
    return found


def timed() -> dict[str, float]:
    """Return how long a decision takes, its reading included, with a file of a million outcomes, in ms.

    Each figure is the median of 41 decisions, of which every one opens the file anew.
    """
    found = {}
    world = TaskWorld.drawn(FAMILIES[0], random.Random(1))
    config = LoopConfig(enable_delegation=True, decide="outcomes")
    with tempfile.TemporaryDirectory() as folder:
        for name, count in (("none", 0), ("thousand", 1_000), ("million", ROWS)):
            file = Path(folder) / "state" / f"{name}.sqlite3"
            _filled(file, world, count)
            took = []
            for _ in range(41):
                began = time.perf_counter()
                known = OutcomeStore(file, warn=sys.exit).read("kind 3")
                grounds = Grounds(mode=config.decide, kind="kind 3", known=known, names=NAMES)
                decided(grounds, config, world.prices, 5_000)
                took.append(1_000 * (time.perf_counter() - began))
            found[name] = statistics.median(took)
            found[f"{name}_megabytes"] = file.stat().st_size / 1e6 if file.exists() else 0.0
    return found


def _filled(file: Path, world: TaskWorld, count: int) -> None:
    chance = random.Random(2)
    store = OutcomeStore(file, warn=sys.exit, most=2 * ROWS, longest_seconds=600.0)
    for begin in range(0, count, 50_000):
        rows = []
        for at in range(begin, min(count, begin + 50_000)):
            way = WAYS[at % 3]
            rows.append(_outcome(world, at % KINDS, way, chance.random() < 0.7, 0.02, 4_000, 3_000))
        store.record(rows)


def main() -> None:
    """Draw, time, print and record; fail if an aim is missed."""
    seeds = range(int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS)
    rows: dict[str, Any] = {}
    with ProcessPoolExecutor() as pool:
        jobs = {family.name: pool.submit(survey, family, seeds) for family in FAMILIES}
        for name, job in jobs.items():
            rows[name] = job.result()
            print(name, {p: {k: f"{v:.1%}" for k, v in rows[name][p].items()} for p in POLICIES})
    overall = {
        policy: {
            key: statistics.mean(rows[one.name][policy][key] for one in FAMILIES if not one.is_stress)
            for key in ("before", "after", "next_fifty")
        }
        for policy in POLICIES
    }
    print("all", {p: {k: f"{v:.1%}" for k, v in overall[p].items()} for p in POLICIES})
    took = timed()
    print("ms", took)
    wrong = []
    if overall["outcomes"]["after"] > MOST_REGRET:
        wrong.append(f"regret of outcomes is {overall['outcomes']['after']:.1%}")
    if took["million"] >= MOST_MILLISECONDS:
        wrong.append(f"a decision with {ROWS:,} outcomes takes {took['million']:.1f} ms")
    counts = {"seeds": len(seeds), "tasks": LEARNT + LATER, "learnt": LEARNT, "kinds": KINDS}
    record("decisions", {**counts, "rows": rows, "overall": overall, "took_ms": took, "missed": wrong})
    print("missed:", wrong or "nothing")
    if wrong:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
