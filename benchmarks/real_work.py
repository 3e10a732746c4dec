"""Can a cap be spent? Runs of the size of real work, at real prices, under caps of five cents to two dollars.

Run with ``python benchmarks/real_work.py``. Prompts grow from 6,000 to 60,000 tokens over twenty turns, and
answers have 100 to 3,000 tokens. Four ways: one conversation of the smart model, one of the cheap model with
a lens, five workers with a lens, a batch of a hundred small tasks. Two pairs of models: the provider of one
counts a prompt for nothing, the other has a tokenizer that counts up to 5 % too much.

Each call that is refused or shortened is held against its *true worst case*: its real tokens at the most
expensive rate that they can meet, and the longest answer. It fails if a bound is more than 1.15 times the
real tokens, if a call is refused although 1.15 times its true worst case has room, if a cap is passed, or if
too little of a cap is used. The models are scripts: this shows the machinery and the money, not skill.
"""

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from decimal import Decimal
from typing import Any, Self

import attrs
from recording import record

from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.loop import AgentLoop, LoopConfig
from sunwell.agent.run.guidance import Guidance
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.budget import Budget, TreeLedger
from sunwell.budget.ledger_protocol import Claim, Reservation
from sunwell.core import (
    Completion,
    Delta,
    EphemeralLens,
    Price,
    Request,
    Span,
    TaskResult,
    Text,
    ToolCall,
    ToolResult,
    Usage,
)
from sunwell.core.message import Part, Thinking
from sunwell.core.model import ModelProtocol, Stop
from sunwell.errors import BudgetExhausted, ConfigurationError
from sunwell.events import BoundExceeded, RunFinished
from sunwell.gateway import Gateway
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import RunOpened
from sunwell.models.prices import PriceBook
from sunwell.models.room import DEFAULT_OUTPUT_TOKENS
from sunwell.simulator import Billing
from sunwell.simulator.in_process import loop_time, prompt_of
from sunwell.simulator.prompt_tokens import Piece, Prompt
from sunwell.testing import run_virtual
from sunwell.tools import tool

TURNS = 20
WORKERS = 5
FIRST_PROMPT, LAST_PROMPT = 6_000, 60_000
SHORTEST_ANSWER, LONGEST_ANSWER = 100, 3_000
HIDDEN_TOKENS = 400
"""What the provider that counts for nothing adds to a prompt with tools; its count has it, too."""
MOST_TO_TRUE = 1.15
BATCH, SMALL_PROMPT, SMALL_ANSWER = 100, 1_500, 800
PAIRS = {"opus": ("claude-opus-5-5", "claude-haiku-5-5"), "sol": ("gpt-6.1-sol", "gpt-6-luna")}
_PER_MILLION = Decimal(1_000_000)

_SENTENCES = (
    "return self.value for item in order if item.price is not None",
    "the customer may pay later, and every function says what it gives back in a plain sentence",
    "raise ValueError(total) from error",
)
_random = random.Random(7)
_PROSE = "\n".join(_random.choice(_SENTENCES) for _ in range(12_000))


def prose(draw: random.Random, size_bytes: int) -> str:
    """Return text of so many bytes from a random place of one long text."""
    start = draw.randrange(len(_PROSE) - size_bytes)
    return _PROSE[start : start + size_bytes]


@attrs.define(eq=False)
class RealSizes:
    """A model whose tokens are *bytes_per_token* bytes long; its answers have the sizes of real ones."""

    name: str
    billing: Billing
    bytes_per_token: float
    draw: random.Random
    turns: int = TURNS
    growth_tokens: int = (LAST_PROMPT - FIRST_PROMPT) // (TURNS - 1)
    longest_answer: int = LONGEST_ANSWER
    price: Price | None = None
    calls: int = attrs.field(default=0, init=False)

    @property
    def provider(self) -> str:
        """The provider; its dialect says when a cache is written."""
        return "anthropic" if self.name.startswith("claude") else "openai"

    def true_tokens(self, request: Request) -> int:
        """Return what the provider bills as input."""
        return self._prompt(request).tokens

    def true_worst_usd(self, request: Request, price: Price, output_tokens: int) -> Decimal:
        """Return the most that *request* can cost with the longest answer."""
        tokens = self.true_tokens(request)
        rates = price.rates_for(tokens)
        writes = request.caching.prefix is not None or request.caching.conversation
        if self.provider == "openai" or writes:
            rate = max(rates.input_usd, rates.cache_write_usd or rates.input_usd)
        else:
            rate = rates.input_usd
        return (tokens * rate + output_tokens * rates.output_usd) / _PER_MILLION

    async def complete(self, request: Request) -> Completion:
        """Answer: with a tool call until the last turn, in as many tokens as were drawn."""
        self.calls += 1
        call = self.billing.begin("key", self.name, self._prompt(request))
        await asyncio.sleep(1.0)
        call.begin_answer()
        wanted, parts, stop = self._said(request)
        limit = request.max_output_tokens or DEFAULT_OUTPUT_TOKENS
        output = min(wanted, limit)
        if output < wanted:
            parts, stop = tuple(_cut(part, self._bytes(output)) for part in parts), "length"
        await asyncio.sleep(output / 100)
        call.generate(output)
        call.end()
        split = call.split
        cached = (split.read_tokens, split.write_tokens, split.write_1h_tokens)
        return Completion(parts, stop, Usage(split.input_tokens, output, *cached), self.name)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer at its end."""
        answer = await self.complete(request)
        yield Delta(text=answer.text)
        yield Delta(completion=answer)

    def _bytes(self, tokens: int) -> int:
        return int(tokens * self.bytes_per_token)

    def _said(self, request: Request) -> tuple[int, tuple[Part, ...], Stop]:
        if request.response_schema is not None:
            words = json.dumps(_lens(self.draw, request.response_schema.schema))
            return int(len(words) / self.bytes_per_token) + 8, (Text(words),), "end"
        share = self.draw.random()
        wanted = int(SHORTEST_ANSWER * (self.longest_answer / SHORTEST_ANSWER) ** share)
        turn = sum(message.role == "assistant" for message in request.messages)
        text = prose(self.draw, self._bytes(wanted - 40))
        if request.tool_choice == "none" or not request.tools or turn >= self.turns - 1:
            return wanted, (Text(text),), "end"
        size = max(200, self._bytes(self.growth_tokens - wanted))
        arguments = json.dumps({"place": f"src/part_{turn}.py", "size": size})
        return wanted, (Text(text), ToolCall(f"call_{self.calls}", "look", arguments)), "tool_calls"

    def _prompt(self, request: Request) -> Prompt:
        rule = self.billing.price_of(self.name).cache_rule
        made = prompt_of(request, rule)
        pieces = tuple(self._counted(piece) for piece in made.pieces)
        if request.tools and self.provider == "anthropic":
            pieces = (attrs.evolve(pieces[0], tokens=pieces[0].tokens + HIDDEN_TOKENS), *pieces[1:])
        return attrs.evolve(made, pieces=pieces)

    def _counted(self, piece: Piece) -> Piece:
        return attrs.evolve(piece, tokens=2 + int(piece.tokens * 4 / self.bytes_per_token))


@attrs.define(eq=False)
class Counts(RealSizes):
    """Its provider counts a prompt for nothing."""

    counted: int = attrs.field(default=0, init=False)

    async def count_input_tokens(self, request: Request) -> int:
        """Return the exact count."""
        self.counted += 1
        await asyncio.sleep(0.2)
        return self.true_tokens(request)


@attrs.define(eq=False)
class Tokenizes(RealSizes):
    """Its tokenizer is known, and counts up to 5 % too much."""

    def input_bound_tokens(self, request: Request) -> int:
        """Return the tokenizer's count."""
        return int(self.true_tokens(request) * 1.03) + 3


def _cut(part: Part, size: int) -> Part:
    match part:
        case Text(text):
            return Text(text[:size])
        case ToolCall():
            return attrs.evolve(part, arguments=part.arguments[: max(0, size // 4)])
        case Thinking() | ToolResult():
            return part


def _lens(draw: random.Random, schema: Any) -> dict[str, Any]:
    """Return a lens of about 900 tokens that fits *schema*."""
    made: dict[str, Any] = {}
    for name, kind in schema["properties"].items():
        kinds = json.dumps(kind)
        if '"array"' in kinds and '"object"' not in kinds:
            made[name] = [prose(draw, 110).strip() for _ in range(5)]
        elif '"array"' in kinds:
            made[name] = []
        elif '"null"' in kinds:
            made[name] = None
        else:
            made[name] = prose(draw, 120).strip()
    return made


@tool(parallel=True, repeatable=True)
async def look(place: str, size: int) -> str:
    """Look at a part of the shop."""
    return prose(random.Random(f"{place}{size}"), size)


@attrs.define(eq=False)
class Outcome:
    """What became of one run."""

    way: str
    pair: str
    cap_usd: Decimal
    finished: bool = False
    status: str = ""
    stop_reason: str = ""
    error: str = ""
    billed_usd: Decimal = Decimal(0)
    booked_usd: Decimal = Decimal(0)
    calls: int = 0
    done: int = 0
    """Tasks that came to their end."""
    refused: int = 0
    lowered: int = 0
    too_early: int = 0
    """Calls that were refused although 1.15 times their true worst case had room."""
    exceeded: int = 0
    """Answers that were billed above their bound."""
    bounds: list[float] = attrs.field(factory=list)
    """Bounds of refused and shortened calls, to their real tokens."""

    def note(self, result: TaskResult) -> None:
        """Take note of how the run ended."""
        self.status, self.stop_reason, self.error = result.status, result.stop_reason, result.error
        self.finished = result.status == "ok"
        workers = result.workers
        self.done = sum(one.status == "ok" for one in workers) if workers else int(self.finished)

    @property
    def share(self) -> float:
        """How much of the cap was billed."""
        return float(self.billed_usd / self.cap_usd)


_asked: ContextVar[tuple[RealSizes, Request]] = ContextVar("asked")
"""The model and the request of the call that is being made in this task."""
_claimed: ContextVar[Claim] = ContextVar("claimed")
"""What was claimed last for it."""


@attrs.define(eq=False)
class WatchedDoor(Gateway):
    """A door that tells the ledger which request it is about."""

    async def ask(self, span: Span, model: ModelProtocol, request: Request, **given: Any) -> Completion:
        """Ask as every door does, and have the ledger note a refusal."""
        assert isinstance(model, RealSizes)
        assert isinstance(self.ledger, WatchedLedger)
        _asked.set((model, request))
        try:
            return await super().ask(span, model, request, **given)
        except BudgetExhausted as error:
            if error.limit == "usd":
                self.ledger.note_refused()
            raise


@attrs.define(eq=False)
class WatchedLedger(TreeLedger):
    """A ledger that holds each call that is refused or shortened against its true worst case."""

    out: Outcome = attrs.field(kw_only=True)
    book: PriceBook = attrs.field(kw_only=True)

    async def reserve(self, path: str, claim: Claim) -> Reservation:
        """Hold room as every ledger does, and note what was shortened."""
        _claimed.set(claim)
        made = await super().reserve(path, claim)
        if made.max_output_tokens < claim.max_output_tokens:
            self.out.lowered += 1
            self._note_bound(claim)
        return made

    def _note_bound(self, claim: Claim) -> None:
        model, request = _asked.get()
        self.out.bounds.append(claim.input_tokens / model.true_tokens(request))

    def note_refused(self) -> None:
        """Note the latest claim of this task: its call was refused."""
        claim = _claimed.get()
        self.out.refused += 1
        self._note_bound(claim)
        model, request = _asked.get()
        price = self.book.price(model)
        assert price is not None
        worst = model.true_worst_usd(request, price, claim.max_output_tokens)
        used, kept = self.used(self.root), self.held_back(self.root)
        taken = used.settled_usd + used.uncertain_usd + used.reserved_usd + kept.reserved_usd
        if taken + worst * Decimal(str(MOST_TO_TRUE)) <= self.out.cap_usd:
            self.out.too_early += 1


async def _at_once() -> None:
    """Hold nobody up."""


def watched_run(loop: AgentLoop, out: Outcome, **given: Any) -> Run:
    """Return a run whose door and ledger note into *out*."""
    journal, config = MemoryJournal("run"), loop.config
    run = Run(loop, journal, config.ceilings, config, **given)
    ledger = WatchedLedger(out=out, book=config.prices)
    ledger.open(run.root.path, config.ceilings)
    run.ledger = ledger
    run.gateway = WatchedDoor(journal, ledger, run.tally, config.prices, run.tell, config.retry, _at_once)
    return run


def loop_of(way: str, smart: RealSizes, cheap: RealSizes, cap_usd: Decimal) -> AgentLoop:
    """Return the loop that does the work of *way*."""
    config = LoopConfig(
        enable_delegation=way == "delegated",
        budget=Budget(usd=cap_usd, turns=10_000),
        worker_timeout_seconds=None,
    )
    if way == "direct":
        return AgentLoop(smart, config=config)
    return AgentLoop(smart, config=config, smart_model=smart, delegation_model=cheap)


def batch_of(way: str, draw: random.Random, bytes_per_token: float) -> Batch | None:
    """Return the batch of *way*, if it is one."""
    if way == "batch":
        size = int((SMALL_PROMPT - 500) * bytes_per_token)
        return Batch([f"Describe part {i}. {prose(draw, size)}" for i in range(BATCH)])
    if way == "five":
        lens = EphemeralLens(heuristics=tuple(prose(draw, 110) for _ in range(20)), task_scope="the shop")
        return Batch([f"Go through part {i} of the shop." for i in range(WORKERS)], lens=lens)
    return None


async def _one(way: str, pair: str, cap_usd: Decimal, seed: int) -> Outcome:
    draw, billing = random.Random(f"{way}{pair}{seed}"), Billing(clock=loop_time)
    kind, ratio = (Counts if pair == "opus" else Tokenizes), draw.uniform(2.9, 4.3)
    smart, cheap = (kind(name, billing, ratio, random.Random(f"{name}{seed}")) for name in PAIRS[pair])
    batch = batch_of(way, draw, ratio)
    system_tokens = FIRST_PROMPT - 1_000
    if way == "batch":
        cheap.longest_answer, cheap.turns, system_tokens = SMALL_ANSWER, 1, 400
    loop = loop_of(way, smart, cheap, cap_usd)
    out = Outcome(way, pair, cap_usd)
    # The policy delegates what is about several files.
    task = f"Go through several files of the shop and say what lies there. {prose(draw, int(800 * ratio))}"
    run = watched_run(
        loop,
        out,
        task=task,
        tools=Toolset.of(() if way == "batch" else (look,), None),
        guidance=Guidance(prose(draw, int(system_tokens * ratio))),
    )
    await run.journal.append(RunOpened("run", task, time.time()))
    try:
        async with loop.events_of(run, batch) as events:
            async for event in events:
                if isinstance(event, RunFinished):
                    out.note(event.result)
                elif isinstance(event, BoundExceeded):
                    out.exceeded += 1
    except ConfigurationError as error:  # the cap does not hold the first call
        out.status, out.error = "refused", error.sentence
    used = run.ledger.used("run")
    out.billed_usd, out.calls = billing.total_usd(), len(billing.entries())
    out.booked_usd = used.settled_usd + used.uncertain_usd
    return out


def one(way: str, pair: str, cap_usd: Decimal, seed: int) -> Outcome:
    """Return what becomes of one run."""
    return run_virtual(_one(way, pair, cap_usd, seed))


@attrs.frozen
class Row:
    """What came of all seeds of one way, pair and cap."""

    way: str
    pair: str
    cap_usd: str
    runs: int
    finished: float
    """Share of the runs that came to their end."""
    used_least: float
    """The least share of the cap that an unfinished run used."""
    used_median: float
    """The median of it; 1 if all finished."""
    refused: int
    shortened: int
    too_early: int
    loosest: float
    exceeded: int
    passed: int
    """Bills above their caps."""

    @classmethod
    def of(cls, outcomes: list[Outcome]) -> Self:
        """Return the row of *outcomes*, which have one way, pair and cap."""
        first, unfinished = outcomes[0], [one for one in outcomes if not one.finished]
        shares = sorted(one.share for one in unfinished)
        return cls(
            first.way,
            first.pair,
            str(first.cap_usd),
            len(outcomes),
            round(1 - len(unfinished) / len(outcomes), 3),
            round(shares[0], 3) if shares else 1.0,
            round(statistics.median(shares), 3) if shares else 1.0,
            sum(one.refused for one in outcomes),
            sum(one.lowered for one in outcomes),
            sum(one.too_early for one in outcomes),
            round(max((bound for one in outcomes for bound in one.bounds), default=0.0), 3),
            sum(one.exceeded for one in outcomes),
            sum(one.billed_usd > one.cap_usd for one in outcomes),
        )

    def faults(self) -> list[str]:
        """Return what is not as it must be."""
        name = f"{self.way}, {self.pair}, ${self.cap_usd}"
        found = []
        if self.passed:
            found.append(f"{name}: {self.passed} bills are above the cap")
        if self.too_early:
            found.append(f"{name}: {self.too_early} calls were refused although they had room")
        if self.loosest > MOST_TO_TRUE:
            found.append(f"{name}: a bound was {self.loosest} times the real tokens")
        least_used, least_finished = BARS.get((self.way, self.pair, self.cap_usd), (0.0, 0.0))
        if self.used_least < least_used:
            found.append(f"{name}: an unfinished run used {self.used_least:.0%} of its cap")
        if self.finished < least_finished:
            found.append(f"{name}: {self.finished:.0%} of the runs finished")
        return found


BARS = {
    ("direct", "opus", "0.50"): (0.70, 0.0),
    ("direct", "opus", "1.00"): (0.70, 0.90),
    ("direct", "sol", "0.25"): (0.70, 0.0),
    ("direct", "sol", "0.50"): (0.70, 0.90),
    ("batch", "opus", "0.02"): (0.95, 0.0),
    ("batch", "sol", "0.02"): (0.95, 0.0),
}
"""What must be used at least by runs that do not finish, and what share of runs must finish."""
CAPS: dict[str, dict[str, tuple[str, ...]]] = {
    "direct": {"opus": ("0.05", "0.25", "0.50", "1.00", "2.00"), "sol": ("0.05", "0.25", "0.50", "1.00")},
    "delegated": {"opus": ("0.05", "0.10", "0.25", "0.50"), "sol": ("0.05", "0.10", "0.25", "0.50")},
    "five": {"opus": ("0.05", "0.10", "0.25"), "sol": ("0.05", "0.10", "0.25")},
    "batch": {"opus": ("0.02", "0.05", "0.10"), "sol": ("0.02", "0.05", "0.10")},
}


def rows_of(seeds: int) -> Iterator[Row]:
    """Yield the rows, one for each way, pair and cap."""
    for way, pairs in CAPS.items():
        for pair, caps in pairs.items():
            for cap in caps:
                yield Row.of([one(way, pair, Decimal(cap), seed) for seed in range(seeds)])


def below_the_first_call(seeds: int) -> list[str]:
    """Return the runs that spent something although the cap is below the worst case of their first call."""
    found = []
    for way, pairs in CAPS.items():
        for pair in pairs:
            for seed in range(seeds):
                outcome = one(way, pair, FIRST_CAPS[way, pair], seed)
                if outcome.calls:
                    found.append(f"{way}, {pair}, seed {seed}: {outcome.calls} calls under {outcome.cap_usd}")
    return found


FIRST_CAPS = {
    (way, pair): Decimal(cap)
    for way, caps in {
        "direct": ("0.02", "0.01"),
        "delegated": ("0.0006", "0.0006"),  # a lens that does not fit leaves the work to the cheap model
        "five": ("0.0006", "0.0006"),
        "batch": ("0.0002", "0.0002"),
    }.items()
    for pair, cap in zip(PAIRS, caps, strict=True)
}
"""Caps that cannot hold the prompt of the first call and a useful answer."""


def main() -> None:
    """Measure, print the table, write the results, and fail if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "--seeds", type=int, default=200, help="runs of each way, pair and cap (default: 200)"
    )
    seeds = parser.parse_args().seeds
    begun, rows, faults = time.perf_counter(), [], below_the_first_call(max(1, seeds // 10))
    print("| way | models | cap | finished | least used | shortened | refused | loosest bound |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for row in rows_of(seeds):
        rows.append(row)
        faults += row.faults()
        print(
            f"| {row.way} | {row.pair} | ${row.cap_usd} | {row.finished:.0%} | {row.used_least:.0%} "
            f"| {row.shortened} | {row.refused} | {row.loosest:.2f} |"
        )
    seconds = round(time.perf_counter() - begun, 1)
    found = {"seeds": seeds, "seconds": seconds, "rows": [attrs.asdict(row) for row in rows]}
    print(record("real_work", found | {"faults": faults}))
    if faults:
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
