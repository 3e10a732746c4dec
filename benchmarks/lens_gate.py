"""Which lenses does the gate withhold, which does it let pass, and what does that cost?

Run with ``python benchmarks/lens_gate.py [TRIALS]``. Batches are drawn and go through the real ``LensTrial``.
No model is asked: this shows what the rule does if lenses are like this, and nothing of what they are like.

An item is *steady* (it passes always, or never) or *unsteady* (each run of it passes with chance 1/2). Two
identical runs differ on half of the unsteady items, so on 18 % of all items if 36 % are unsteady; nearer to a
base rate of 0 or 1 there is less room for unsteady items, and they are fewer. A lens of -20 points makes 20 %
of all items fail that would pass steadily, and nothing else: *one way*. A lens that changes items *both ways*
makes 10 % of all items better besides, and 10 % more worse. A run with the lens costs more than one without.

Bars, at 18 % and a base rate of 0.5, for lenses that change items one way:

- of lenses that are 20 points worse, at least 90 % are withheld,
- of lenses that are 20 points better, at least 85 % pass,
- the extra runs are at most 12 in the mean of both, and never more than 20.

Then whole batches run on the simulator over HTTP, with the gate in the agent: what it finds of each must be
what ``LensTrial`` finds of the same draws. It fails if a bar or that is missed.
"""

import asyncio
import random
import re
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from statistics import mean
from typing import Any

import attrs
from recording import record

from sunwell.agent import Agent
from sunwell.agent.batches.task_batch import BatchResult
from sunwell.agent.policy.lens_trial import GROUP, MOST_PAIRS, LensPair, LensTrial, paired_places
from sunwell.context import RunOptions
from sunwell.core import EphemeralLens, Task
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import Text
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.simulator import Asked, Reply, Script, SimulatedModel, Simulator, running_simulator

TRIALS = 5_000
SEED = 20_261_130
DIFFER = 0.18
EFFECTS = tuple(range(-30, 31, 5))
RATES = (0.3, 0.5, 0.7, 0.9)
SIZES = (40, 100, 400)
LEAST_WITHHELD, LEAST_PASSED, MOST_EXTRA = 0.90, 0.85, 12.0
HTTP_BATCHES, HTTP_ITEMS = 20, 44
HTTP_EFFECTS = (-20, 0, 20)
MODEL = "claude-haiku-5-5"
_WITH_COST, _WITHOUT_COST = Decimal(2), Decimal(1)
_EPSILON = 1e-9


@attrs.frozen
class LensWorld:
    """What is true of items, and of what a lens does to them."""

    effect: float
    """Points of the pass rate, from -1 to 1."""
    rate: float = 0.5
    """Share of the items that pass without the lens."""
    differ: float = DIFFER
    """Share of the items on which two identical runs differ."""
    besides: float = 0.0
    """Share of the items that the lens makes better, and of those that it makes worse, beyond its effect."""

    @property
    def unsteady(self) -> float:
        """Share of the items that pass by chance."""
        return min(2 * self.differ, 1.2 * min(self.rate, 1 - self.rate))

    @property
    def worse(self) -> float:
        """Share of the items that pass steadily, and fail with the lens."""
        return self.besides + max(0.0, -self.effect)

    @property
    def better(self) -> float:
        """Share of the items that fail steadily, and pass with the lens."""
        return self.besides + max(0.0, self.effect)

    @property
    def is_possible(self) -> bool:
        """Whether there are so many steady items."""
        passing = self.rate - self.unsteady / 2
        return self.worse <= passing + _EPSILON and self.better <= 1 - passing - self.unsteady + _EPSILON

    def pair(self, chance: random.Random) -> tuple[bool, bool]:
        """Draw an item, and return whether a run with the lens and one without it pass."""
        drawn = chance.random()
        if drawn < self.unsteady:
            return chance.random() < 0.5, chance.random() < 0.5
        drawn -= self.unsteady
        passing = self.rate - self.unsteady / 2
        if drawn < passing:
            return drawn >= self.worse, True
        return drawn - passing < self.better, False


@attrs.frozen
class Tried:
    """What came of one trial."""

    withheld: bool
    pairs: int
    paired_passes: int
    """Items of the pairs that have passed, by the better of their two runs."""


Rule = Callable[[Sequence[LensPair]], bool | None]
"""Says of the pairs so far whether the lens is withheld; ``None``: more are needed."""


def shipped(pairs: Sequence[LensPair]) -> bool | None:
    """Decide as the product does."""
    if len(pairs) % GROUP:
        return None
    trial = LensTrial(tuple(pairs))
    return None if trial.finding is None else trial.is_withheld


def bounded(bound: int, every: int) -> Rule:
    """Return a rule that decides at a difference of *bound*, looked at after *every* so many pairs."""

    def rule(pairs: Sequence[LensPair]) -> bool | None:
        difference = sum(pair.difference for pair in pairs)
        if len(pairs) == MOST_PAIRS:
            return difference <= 0
        return difference < 0 if len(pairs) % every == 0 and abs(difference) >= bound else None

    return rule


RULES: dict[str, Rule] = {
    "as shipped: 3 after 4 pairs, then 2 after each 4": shipped,
    "2, after each pair": bounded(2, 1),
    "2, after each 4 pairs": bounded(2, 4),
    "3, after each 4 pairs": bounded(3, 4),
    "20 pairs each time": bounded(MOST_PAIRS + 1, 1),
}


def tried(world: LensWorld, rule: Rule, chance: random.Random) -> Tried:
    """Return what *rule* makes of one batch of *world*."""
    pairs: list[LensPair] = []
    while True:
        pairs.append(LensPair(*world.pair(chance), _WITH_COST, _WITHOUT_COST))
        found = rule(pairs)
        if found is not None:
            passes = sum(bool(pair.with_lens or pair.without) for pair in pairs)
            return Tried(found, len(pairs), passes)


def trials(world: LensWorld, rule: Rule = shipped, count: int = TRIALS) -> list[Tried]:
    """Return what came of so many batches; the same draws for each rule."""
    chance = random.Random(f"{SEED} {world}")
    return [tried(world, rule, random.Random(chance.random())) for _ in range(count)]


def figures(world: LensWorld, found: Sequence[Tried]) -> dict[str, Any]:
    """Return the share that is withheld, the extra runs, and points gained by size of batch.

    Points are those of the pass rate of the whole batch, beside the same batch under the lens without a gate.
    """
    gained = {}
    for size in SIZES:
        rates = []
        for one in found:
            rate = world.rate if one.withheld else world.rate + world.effect
            rates.append((one.paired_passes + (size - one.pairs) * rate) / size)
        gained[str(size)] = round(100 * (mean(rates) - world.rate - world.effect), 2)
    return {
        "effect": round(100 * world.effect),
        "rate": world.rate,
        "withheld": round(mean(one.withheld for one in found), 4),
        "extra": round(mean(one.pairs for one in found), 2),
        "most_extra": max(one.pairs for one in found),
        "gained": gained,
    }


def curve(count: int) -> list[dict[str, Any]]:
    """Return the figures of each effect at each base rate that has room for it."""
    worlds = [LensWorld(effect / 100, rate) for rate in RATES for effect in EFFECTS]
    return [figures(world, trials(world, count=count)) for world in worlds if world.is_possible]


def others(count: int) -> dict[str, list[dict[str, Any]]]:
    """Return the same of worlds that are otherwise: steadier, less steady, and with changes both ways."""
    kinds = {
        "8 % differ": {"differ": 0.08},
        "24 % differ": {"differ": 0.24},
        "both ways": {"besides": 0.10},
    }
    found = {}
    for name, given in kinds.items():
        worlds = [LensWorld(effect / 100, **given) for effect in (-20, -10, -5, 0, 5, 10, 20)]
        found[name] = [figures(world, trials(world, count=count)) for world in worlds if world.is_possible]
    return found


def rules(count: int) -> dict[str, list[dict[str, Any]]]:
    """Return what each rule does to lenses that harm, do nothing and help."""
    worlds = [LensWorld(effect / 100) for effect in (-20, -5, 0, 5, 20)]
    return {
        name: [figures(world, trials(world, rule, count)) for world in worlds] for name, rule in RULES.items()
    }


def missed(found: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Yield a sentence for each bar that is missed."""
    at = {row["effect"]: row for row in found if row["rate"] == 0.5}
    if at[-20]["withheld"] < LEAST_WITHHELD:
        yield f"of lenses 20 points worse, {at[-20]['withheld']:.1%} are withheld"
    if 1 - at[20]["withheld"] < LEAST_PASSED:
        yield f"of lenses 20 points better, {1 - at[20]['withheld']:.1%} pass"
    if (extra := (at[-20]["extra"] + at[20]["extra"]) / 2) > MOST_EXTRA:
        yield f"{extra} extra runs in the mean"
    if (most := max(row["most_extra"] for row in found)) > MOST_PAIRS:
        yield f"{most} extra runs"


LENS = EphemeralLens(("Mind the lens.",), task_scope="Questions")
_NUMBER = re.compile(r"Question (\d+)")


async def _is_right(checking: Checking) -> Verdict:
    return Verdict(checking.answer == "right", checking.answer)


def _script(drawn: Sequence[tuple[bool, bool]]) -> Script:
    def say(asked: Asked) -> Reply:
        text = " ".join(part.text for part in asked.messages[0].parts if isinstance(part, Text))
        number = _NUMBER.search(text)
        assert number is not None
        with_lens, without = drawn[int(number[1])]
        passes = with_lens if LENS.heuristics[0] in asked.system else without
        return Reply((Text("right" if passes else "wrong"),))

    return say


async def _batch(url: str) -> BatchResult:
    model = AnthropicModel(MODEL, Connection("anthropic", url, "key"))
    tasks = [Task(f"Question {number}") for number in range(HTTP_ITEMS)]
    options = RunOptions(checks=(_is_right,), lens=LENS, tools=(), max_concurrent=8)
    async with Agent(model=model) as agent:
        with tempfile.TemporaryDirectory() as folder:
            return await agent.batch(tasks, workspace=Path(folder), options=options)


def over_http(effect: int, number: int) -> dict[str, Any]:
    """Return what one whole batch came to, and whether that is what the rule finds of the same draws."""
    world = LensWorld(effect / 100)
    chance = random.Random(f"{SEED} {effect} {number}")
    drawn = [world.pair(chance) for _ in range(HTTP_ITEMS)]
    simulator = Simulator({MODEL: SimulatedModel(_script(drawn))})
    with running_simulator(simulator):
        done = asyncio.run(_batch(simulator.url))
    places = paired_places([f'{{"text": "Question {at}"}}' for at in range(HTTP_ITEMS)])
    pairs = iter(LensPair(*drawn[at], _WITH_COST, _WITHOUT_COST) for at in places)
    trial = LensTrial()
    while trial.finding is None:
        trial = trial.plus([next(pairs) for _ in range(GROUP)])
    test = done.run.lens_test
    assert test is not None
    paired = set(places[: len(trial.pairs)])
    passes = [max(one) if at in paired else one[trial.is_withheld] for at, one in enumerate(drawn)]
    is_same = (test.finding, test.withheld, test.pairs, test.better, test.worse) == (
        trial.finding, trial.is_withheld, len(trial.pairs), trial.better, trial.worse,
    )  # fmt: skip
    is_same &= [bool(one.verification and one.verification.passed) for one in done] == passes
    is_same &= len(simulator.bill.entries()) == HTTP_ITEMS + test.pairs
    is_same &= simulator.bill.total_usd() == done.run.bill.cost_usd
    return {
        "effect": effect,
        "withheld": test.withheld,
        "extra": test.pairs,
        "is_same": is_same,
        "extra_share": float((test.extra_usd or 0) / (done.run.bill.cost_usd or 1)),
    }


def http_figures() -> list[dict[str, Any]]:
    """Return the figures of whole batches by effect."""
    found = []
    for effect in HTTP_EFFECTS:
        runs = [over_http(effect, number) for number in range(HTTP_BATCHES)]
        found.append(
            {
                "effect": effect,
                "batches": len(runs),
                "same": sum(one["is_same"] for one in runs),
                "withheld": mean(one["withheld"] for one in runs),
                "extra": mean(one["extra"] for one in runs),
                "extra_share": round(mean(one["extra_share"] for one in runs), 3),
            }
        )
    return found


def main() -> None:
    """Draw, run, print and record."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else TRIALS
    found = curve(count)
    http = http_figures()
    faults = list(missed(found))
    faults += [
        f"{row['batches'] - row['same']} batches at {row['effect']} points came to something else over HTTP"
        for row in http
        if row["same"] < row["batches"]
    ]
    told = {"trials": count, "curve": found, "others": others(count), "rules": rules(count), "http": http}
    for row in found:
        print(row)
    for row in http:
        print(row)
    record("lens_gate", told | {"missed": faults})
    if faults:
        raise SystemExit("; ".join(faults))


if __name__ == "__main__":
    main()
