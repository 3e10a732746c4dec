"""Is the planner's way of starting siblings the best of all? Each way is really run, timed and billed.

Run with ``python benchmarks/cache_plans.py --count 2000``: points of a grid, drawn at random, of both
providers, lengths of the prefix around the least that a cache keeps, usual and strange prices, numbers
of workers and slots, times to the first answer and to the last (entries that outlive the batch and
entries that do not), a cold cache and a warm one, padding asked for or not. At each point the batch is
run as planned and in every other way, on a virtual clock, and the bills of the simulator are compared,
with what the planner says a second is worth for the time that a way takes longer than the quickest one.
It fails where another way is better in that sense, or where the plan takes longer than all at once by
more than one time to the first answer. Where the planner cannot know yet how soon answers begin, what
its assumption is wrong by may cost that much.
"""

import argparse
import random
import sys
from collections import Counter
from decimal import Decimal

import attrs
from recording import record
from sibling_batches import WAYS, Case

from sunwell.simulator import PRICES, ModelRates

MODELS = ("claude-haiku-5-5", "gpt-6-luna")
STRANGE = {
    "cheap-writes": ModelRates(1, 5, "0.1", "1", "1.5"),
    "dear-writes": ModelRates(1, 5, "0.9", "3", "4"),
    "dear-reads": ModelRates(1, 5, "1", "1.25", "2"),
    "free-reads": ModelRates(1, 5, "0", "1.25", "2"),
}
PREFIXES = (0, 40, 300, 450, 511, 512, 800, 1_023, 1_024, 1_500, 5_000)
WORKERS = (1, 2, 3, 5, 10, 30, 100)
SLOTS = (1, 2, 4, 2_000)
TIMES = ((3.0, 0.0), (1.0, 2.0), (200.0, 0.0), (250.0, 60.0), (400.0, 0.0), (100.0, 100.0), (1_000.0, 0.0))
"""Seconds until an answer begins, and for each of its two pieces."""
_MORE = Decimal("1.0001")


def point(seed: int) -> Case:
    """Return a point of the grid."""
    chance = random.Random(seed)
    name = chance.choice(MODELS)
    rates = chance.choice(("usual", "usual", *STRANGE))
    row = PRICES[name] if rates == "usual" else attrs.evolve(PRICES[name], rates=STRANGE[rates], tiers=())
    latency, chunk = chance.choice(TIMES)
    return Case(
        name,
        chance.choice(PREFIXES),
        chance.choice(WORKERS),
        chance.choice(SLOTS),
        {name: row},
        latency,
        chunk,
        is_warm=chance.random() < 0.3,
        is_known=latency + chunk > 60 or chance.random() < 0.3,
        may_pad=chance.random() < 0.3,
    )


def judged(case: Case) -> tuple[str, str]:
    """Return the planned way, and what is wrong with it; nothing where it is the best of all."""
    planned = case.run()
    plain = attrs.evolve(case, may_pad=False)
    others = {way: plain.run(way) for way in WAYS}
    if case.may_pad:
        others["padded"] = case.run("padded")
    quickest = min(found.seconds for found in (planned, *others.values()))
    weighed = {way: found.weighed_usd(quickest) for way, found in others.items()}
    way = min(weighed, key=lambda way: weighed[way])
    if planned.weighed_usd(quickest) > weighed[way] * _MORE + case.doubt_usd:
        told = f"{planned.weighed_usd(quickest)} with {planned.choice}, {weighed[way]} with {way}"
        return planned.choice, told
    # heard of with the first piece
    late = planned.seconds - others["at-once"].seconds
    if late > (case.latency_seconds + case.chunk_seconds) * 1.0001:
        return planned.choice, f"{late} s later than all at once"
    return planned.choice, ""


def survey(first: int, count: int) -> tuple[Counter[str], list[str]]:
    """Return how often each way was planned at *count* points, and where that was wrong."""
    planned: Counter[str] = Counter()
    wrong = []
    for seed in range(first, first + count):
        choice, complaint = judged(point(seed))
        planned[choice] += 1
        if complaint:
            wrong.append(f"{seed}: {complaint}; {attrs.evolve(point(seed), prices={})}")
    return planned, wrong


def main() -> None:
    """Survey, print and write the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0, help="first seed")
    given = parser.parse_args()
    planned, wrong = survey(given.first, given.count)
    print("\n".join([str(dict(planned)), *wrong]))
    if wrong:
        sys.exit(f"{len(wrong)} of {given.count} plans were not the best")
    found = {"points": given.count, "batches_run": given.count * (len(WAYS) + 1), "planned": dict(planned)}
    print(found) if given.first else print(record("cache_plans", found))


if __name__ == "__main__":
    main()
