"""Which size of parts gives most for a dollar, and how near the proposed one comes.

Counting and looking up in a made text with known answers. The money is the simulator's own bill: each size
is a whole question over HTTP, root and reader, with a reader that makes no mistake. The mistakes are drawn,
from several models of how errors grow with the size of a part: the share of what a reader overlooks
(``missed``), and what it finds that is not there (``invented``, for each call). They are assumptions; nothing
here measures a model. The rule that proposes sizes knows none of them, and has no curve of its own.

A second set of readers is drawn at random, with a fixed seed, from families: knees anywhere, losses that grow
smoothly, no growth at all. The rule is not made for them, but part
of them had been seen before its last change.
"""

import asyncio
import json
import math
import os
import random
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from recording import record

from sunwell import Agent, LongContext, RunOptions
from sunwell.agent.prompts import DIRECT_PROMPT
from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.script import Asked, Player, Reply, Script
from sunwell.simulator.simulated_models import SimulatedModel

SIZES = (500, 1_000, 2_000, 4_000, 8_000, 12_000, 16_000, 24_000, 32_000, 48_000, 64_000, 100_000, 200_000)
DRAWS = 60
DRAWS_AT_RANDOM = 12
READERS_AT_RANDOM = 20
"""Of each family."""
SEED = 20_261_130
AIM = 0.9
ROOT = "claude-opus-5-5"
DIRECT_ADVANTAGE = 4.0
"""Assumed: in one call, the dearer model overlooks as much as a reader does in a part a quarter as long."""
FOUND = ("wants the money back", "asks for a refund", "threatens to cancel")
HIDDEN = ("says this is the third time and enough is enough", "would not recommend us to an enemy")
OTHERS = (
    "asks for the opening hours", "sends a new address", "thanks for the quick help", "orders two more",
    "asks how a refund works in general", "reports a typing error on the page", "wants an invoice again",
)  # fmt: skip
SOUGHT = "money back|refund|cancel"
COUNT, LOOKUP = "counting", "looking up"
PROMPTS = {
    COUNT: "How many customers in this part are angry? Answer with the number alone.",
    LOOKUP: "List the numbers of the tickets of angry customers, separated by spaces, or: none.",
}
MOST_TOKENS = {COUNT: 20, LOOKUP: 600}


@attrs.frozen
class Reader:
    """A model of errors: both are functions of the thousands of tokens of a part."""

    missed: Callable[[float], float]
    invented: Callable[[float], float] = lambda thousands: 0.0


def linear(slope: float) -> Callable[[float], float]:
    """Return a share that begins at 1 % and grows by *slope* for each thousand tokens, up to 95 %."""
    return lambda thousands: min(0.95, 0.01 + slope * thousands)


def falling(length: float) -> Callable[[float], float]:
    """Return a share of which e is left for each *length* thousands of tokens."""
    return lambda thousands: 1 - math.exp(-thousands / length)


def knee(at: float, width: float) -> Callable[[float], float]:
    """Return a share of 2 % that jumps to 92 % around *at* thousand tokens."""
    return lambda thousands: 0.02 + 0.9 / (1 + math.exp(min((at - thousands) / width, 500)))


def squared(thousands: float) -> float:
    """Return how much is invented in a call if that grows with the square of the part."""
    return 0.02 * thousands**2


READERS = {
    "falling off by e in 40,000 tokens": Reader(falling(40)),
    "the same form, 10,000 tokens": Reader(falling(10)),
    "the same form, 160,000 tokens": Reader(falling(160)),
    "linear, 0.4 % for each 1,000": Reader(linear(0.004)),
    "linear, 1 % for each 1,000": Reader(linear(0.01)),
    "linear, 4 % for each 1,000": Reader(linear(0.04)),
    "knee at 16,000": Reader(knee(16, 2)),
    "knee at 3,000": Reader(knee(3, 0.5)),
    "linear 1 %, and 0.1 invented in each call": Reader(linear(0.01), lambda thousands: 0.1),
    "linear 0.4 %, and invented with the square": Reader(linear(0.004), squared),
    "3 % at any size": Reader(lambda thousands: 0.03),
}


def drawn_between(chance: random.Random, least: float, most: float) -> float:
    """Return a number, as often between 1 and 2 as between 10 and 20."""
    return math.exp(chance.uniform(math.log(least), math.log(most)))


def knee_anywhere(chance: random.Random, least: float, most: float) -> Reader:
    """Return a reader whose errors jump somewhere between two lengths, more or less sharply."""
    at = drawn_between(chance, least, most)
    return Reader(knee(at, at * chance.uniform(0.05, 0.25)))


def inventive(chance: random.Random) -> Reader:
    """Return a reader that overlooks more in long parts, and invents in each call."""
    slope, mean = drawn_between(chance, 0.001, 0.04), chance.uniform(0, 0.1)
    return Reader(linear(slope), lambda thousands: mean)


def flat(chance: random.Random) -> Reader:
    """Return a reader to which the length makes no difference."""
    share = chance.uniform(0, 0.1)
    return Reader(lambda thousands: share)


FAMILIES: dict[str, Callable[[random.Random], Reader]] = {
    "knees at 1,000 to 3,000 tokens": lambda chance: knee_anywhere(chance, 1, 3),
    "knees at 3,000 to 50,000": lambda chance: knee_anywhere(chance, 3, 50),
    "falling off in 5,000 to 200,000": lambda chance: Reader(falling(drawn_between(chance, 5, 200))),
    "linear, 0.1 % to 4 % for each 1,000": lambda chance: Reader(linear(drawn_between(chance, 0.001, 0.04))),
    "linear, and up to 0.1 invented in each call": inventive,
    "up to 10 % at any size": flat,
}


@attrs.frozen
class Setting:
    """A context and the model that reads its parts."""

    name: str
    reader: str
    characters: int
    least: int


SETTINGS = (
    Setting("haiku reads 400,000 characters", "claude-haiku-5-5", 400_000, 500),
    Setting("sonnet reads 400,000 characters", "claude-sonnet-5-5", 400_000, 500),
    Setting("haiku reads 1,600,000 characters", "claude-haiku-5-5", 1_600_000, 1_000),
)


def made_text(characters: int) -> str:
    """Return tickets, one a line; one of 25 is of an angry customer, three in five of whom say it plainly."""
    chance = random.Random(7)
    lines: list[str] = []
    size = 0
    while size < characters - 100:
        is_angry = chance.random() < 0.04
        said = chance.choice(FOUND + HIDDEN if is_angry else OTHERS)
        lines.append(
            f"ticket {10_000 + len(lines)} of 2026-11-{chance.randint(1, 28):02d}: the customer {said}\n"
        )
        size += len(lines[-1])
    return "".join(lines)


def angry(text: str) -> list[str]:
    """Return the numbers of the tickets in *text* that are of angry customers."""
    lines = [line for line in text.splitlines() if line.endswith(FOUND + HIDDEN)]
    return [line.split()[1] for line in lines]


def flawless(asked: Asked) -> Reply:
    """Answer the question about a part without a mistake."""
    found = angry(asked.messages[-1].text)
    return Reply((Text(str(len(found)) if "How many" in asked.system else " ".join(found) or "none"),))


def chunked(task: str, size: int | None) -> str:
    """Return the script that asks about all parts; ``None``: of the proposed size."""
    given = "" if size is None else str(size)
    most = MOST_TOKENS[task] if size is None or size < 24_000 else 16_000  # so that no list is cut
    return f"parts = context.chunks({given})\n" + _ASKING.format(prompt=PROMPTS[task], most=most)


def retrieving(task: str) -> str:
    """Return the script that searches, and asks about the lines that were found."""
    return (
        f"lines = [hit.text() for hit in context.search({SOUGHT!r}, 5000)]\n"
        "parts = [''.join(lines[at:at + 200]) for at in range(0, len(lines), 200)]\n"
        + _ASKING.format(prompt=PROMPTS[task], most=MOST_TOKENS[task])
    )


_ASKING = "answers = llm_map({prompt!r}, parts, {most})\nreport = ' '.join(answers)\nprint(len(parts))"


def root(code: str) -> Script:
    """Return a model that looks once, runs *code*, and answers."""
    calls = (
        ("explore", {"code": "print(context.size, context.lines(1, 5).text())"}),
        ("explore", {"code": code}),
        ("set_answer", {"content": None, "variable": "report"}),
    )

    def says(asked: Asked) -> Reply:
        turn = sum(message.role == "assistant" for message in asked.messages)
        name, given = calls[turn]
        return Reply((ToolCall(f"call_{turn}", name, json.dumps(given)),))

    return says


def asked_for(code: str, setting: Setting, file: Path) -> tuple[float, float, str]:
    """Ask once over HTTP; return the simulator's bill, the part of the reader in it, and the answer."""
    models: dict[str, Script | Player | SimulatedModel] = {ROOT: root(code), setting.reader: flawless}
    with running_simulator(Simulator(models)) as simulator:
        os.environ |= {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}

        async def ask() -> str:
            options = RunOptions(smart_model=ROOT, delegation_model=setting.reader, answer_memory=False)
            async with Agent() as agent:
                result = await agent.ask(
                    "Which customers are angry?", file, workspace=file.parent, options=options
                )
            if result.status != "ok":
                raise RuntimeError(result.error)
            return result.answer.partition("\n\n[Coverage")[0]

        answer = asyncio.run(ask())
        bill = simulator.bill
        return float(bill.total_usd()), float(bill.total_usd(model=setting.reader)), answer


def direct_usd(model: str, task: str, text: str) -> float:
    """Return the simulator's bill of one call with everything."""
    import anthropic

    with running_simulator(Simulator({model: flawless})) as simulator:
        client = anthropic.Anthropic(base_url=simulator.url, api_key="simulated-key")
        client.messages.create(
            model=model,
            max_tokens=16_000,
            system=f"{DIRECT_PROMPT}\n{PROMPTS[task]}",
            messages=[{"role": "user", "content": text}],
        )
        return float(simulator.bill.total_usd())


def quality(
    task: str, parts: Sequence[tuple[float, int]], items: int, reader: Reader, draws: int = DRAWS
) -> float:
    """Return the mean quality of answers with drawn errors, 0 to 1.

    *parts* are the thousands of tokens of each, and how many of the *items* it holds. Counting: one less the
    error as a share of the right number. Looking up: F1 of the tickets that were named.
    """
    values = []
    for draw in range(draws):
        chance = random.Random(draw)
        right = wrong = 0
        for thousands, held in parts:
            missed, invented = reader.missed(thousands), reader.invented(thousands)
            right += sum(chance.random() >= missed for _ in range(held))
            wrong += poisson(chance, invented) if invented else 0
        if task == COUNT:
            values.append(max(0.0, 1 - abs(right + wrong - items) / items))
        else:
            values.append(2 * right / (right + wrong + items))
    return statistics.mean(values)


def poisson(chance: random.Random, mean: float) -> int:
    """Return a draw; a normal one for a large *mean*."""
    if mean > 50:
        return max(0, round(chance.gauss(mean, math.sqrt(mean))))
    bound, count, product = math.exp(-mean), 0, chance.random()
    while product > bound:
        count, product = count + 1, product * chance.random()
    return count


@attrs.frozen
class Way:
    """One way of answering: what it costs, and which parts are read."""

    usd: float
    reading_usd: float
    parts: list[tuple[float, int]]
    calls: int


def ways_of(setting: Setting, task: str, file: Path, text: str) -> tuple[dict[str, Way], int]:
    """Return the ways with their bills, and the proposed size in characters."""
    ways: dict[str, Way] = {}
    with LongContext.of(file) as context:

        def parts_of(size: int) -> list[tuple[float, int]]:
            texts = [part.text() for part in context.whole.chunks(size)]
            return [(len(one) / 4000, len(angry(one))) for one in texts]

        for size in (*(one for one in SIZES if one >= setting.least), setting.characters):
            usd, reading, answer = asked_for(chunked(task, size), setting, file)
            told = sum(map(int, answer.split())) if task == COUNT else len(answer.replace("none", "").split())
            if told != len(angry(text)):
                raise RuntimeError(f"a flawless reader found {told} at {size}")
            parts = parts_of(size)
            ways[f"{size:,}"] = Way(usd, reading, parts, len(parts))
        longest = "parts = context.chunks()\nreport = str(parts[0].size)"
        proposed = int(asked_for(longest, setting, file)[2])
        usd, reading, _ = asked_for(chunked(task, None), setting, file)
        parts = parts_of(proposed)
        ways["proposed"] = Way(usd, reading, parts, len(parts))
        hits = [line for line in text.splitlines() if any(one in line for one in SOUGHT.split("|"))]
        groups = ["\n".join(hits[at : at + 200]) for at in range(0, len(hits), 200)]
        usd, reading, _ = asked_for(retrieving(task), setting, file)
        parts = [(len(one) / 4000, len(angry(one))) for one in groups]
        ways["retrieval only"] = Way(usd, reading, parts, len(parts))
    everything = len(text) / 4000
    for name, model, thousands in (
        ("direct, reader", setting.reader, everything),
        ("direct, root", ROOT, everything / DIRECT_ADVANTAGE),
    ):
        paid = direct_usd(model, task, text)
        ways[name] = Way(paid, paid, [(thousands, len(angry(text)))], 1)
    return ways, proposed


def figures_of(setting: Setting, task: str) -> dict[str, Any]:
    """Return what each way costs, its quality for each reader, and how near the proposed size comes."""
    text = made_text(setting.characters)
    items = len(angry(text))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tickets.txt"
        file.write_text(text)
        ways, proposed = ways_of(setting, task, file, text)
    sizes = [name for name in ways if name[0].isdigit()]
    rows: dict[str, Any] = {}
    for name, reader in READERS.items():
        found = {way: quality(task, one.parts, items, reader) for way, one in ways.items()}
        worth = {way: found[way] / ways[way].usd for way in ways}
        reading = {way: found[way] / ways[way].reading_usd for way in ways}
        best, best_reading = (max(sizes, key=lambda size: each[size]) for each in (worth, reading))
        rows[name] = {
            "best": best,
            "to_best": round(worth["proposed"] / worth[best], 3),
            "best_of_reading": best_reading,
            "to_best_of_reading": round(reading["proposed"] / reading[best_reading], 3),
            "quality": {way: round(value, 3) for way, value in found.items()},
            "per_dollar": {way: round(value, 2) for way, value in worth.items()},
        }
        print(setting.name, task, name, best, rows[name]["to_best"], flush=True)
    return {
        "proposed_characters": proposed,
        "at_random": {name: at_random(name, task, ways, items) for name in FAMILIES},
        "items": items,
        "usd": {way: round(one.usd, 6) for way, one in ways.items()},
        "reading_usd": {way: round(one.reading_usd, 6) for way, one in ways.items()},
        "calls": {way: one.calls for way, one in ways.items()},
        "readers": rows,
    }


def at_random(family: str, task: str, ways: dict[str, Way], items: int) -> list[float]:
    """Return how near the proposed size comes to the best for each reader of a family, the worst first."""
    chance = random.Random(f"{SEED} {family}")
    sizes = [name for name in ways if name[0].isdigit()]
    found = []
    for _ in range(READERS_AT_RANDOM):
        reader = FAMILIES[family](chance)
        worth = {
            way: quality(task, ways[way].parts, items, reader, DRAWS_AT_RANDOM) / ways[way].usd
            for way in (*sizes, "proposed")
        }
        found.append(round(worth["proposed"] / max(worth[size] for size in sizes), 3))
    print(family, sorted(found), flush=True)
    return sorted(found)


def main() -> None:
    """Measure and record; fail if the proposed size is far from the best for a reader of the first set."""
    found = {setting.name: {task: figures_of(setting, task) for task in PROMPTS} for setting in SETTINGS}
    ratios = {
        (setting, task, reader): row["to_best"]
        for setting, tasks in found.items()
        for task, part in tasks.items()
        for reader, row in part["readers"].items()
    }
    missed = [f"{', '.join(key)}: {value}" for key, value in ratios.items() if value < AIM]
    summary = {"within": len(ratios) - len(missed), "of": len(ratios), "missed": missed}
    drawn = {
        family: sorted(
            ratio
            for tasks in found.values()
            for part in tasks.values()
            for ratio in part["at_random"][family]
        )
        for family in FAMILIES
    }
    families = {
        family: {
            "readers": READERS_AT_RANDOM,
            "cases": len(each),
            "within": sum(ratio >= AIM for ratio in each),
            "median": statistics.median(each),
            "worst_tenth": each[len(each) // 10],
            "worst": each[0],
        }
        for family, each in drawn.items()
    }
    whole = {"draws": DRAWS, "settings": found, **summary, "families": families}
    print(f"written to {record('chunk_sizes', whole)}")
    if missed:
        sys.exit(f"far from the best: {'; '.join(missed)}")


if __name__ == "__main__":
    main()
