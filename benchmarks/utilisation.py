"""How much of a cap is used by work that would go on for ever?

Run with ``python benchmarks/utilisation.py``. Simulated models in one process, on a virtual clock.
"""

import asyncio
from decimal import Decimal

import attrs
from recording import record

from sunwell.agent.conversation.final_call import bare_tokens, closing_reserve
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget import Budget
from sunwell.core import Message, Request, Text, ToolCall, ToolResult, user
from sunwell.core.task import Task
from sunwell.gateway.booking import claim_for
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Billing, InProcessModel, Reply
from sunwell.simulator.in_process import loop_time
from sunwell.testing import run_virtual
from sunwell.tools import tool

_MODEL = "claude-haiku-5-5"
_PROMPT = "Look into every corner of the shop and say what lies there. " * 20
_OUTPUT_TOKENS = 2_000
_TURNS = 4
"""Turns after which a worker's conversation begins anew: so all attempts cost about the same."""


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


def _answer(asked: Asked) -> Reply:
    turns = sum(message.role == "assistant" for message in asked.messages)
    if not asked.tools or turns >= _TURNS:
        return Reply((Text("Nothing so far."),), output_tokens=200)
    call = ToolCall(f"call_{turns}", "look", '{"place": "the shelf"}')
    return Reply((call,), output_tokens=700)


@attrs.frozen
class Used:
    """How much of a cap was used, as shares of it."""

    workers: int
    worst_share: float
    """Worst case of one attempt and the closing reserve together, at a worker's last turn."""
    booked_share: float
    billed_share: float
    calls: int


def measure(workers: int, attempts: Decimal) -> Used:
    """Let *workers* do one task after the other on a cap of so many worst cases, until it is used up."""
    return run_virtual(_measure(workers, attempts))


async def _measure(workers: int, attempts: Decimal) -> Used:
    billing, prices, tools = Billing(clock=loop_time), PriceBook(), Toolset.of((look,), None)
    model = InProcessModel(_MODEL, _answer, billing, latency_seconds=2.0)
    worst = _worst_usd(model, tools, prices)
    cap = worst * attempts
    run = Run(None, MemoryJournal("run"), Budget(usd=cap), LoopConfig(prices=prices))
    run.gateway.hold = _nobody_watches
    terms = WorkerTerms(model, tools, max_output_tokens=_OUTPUT_TOKENS, timeout_seconds=None)
    dispatcher = Dispatcher(run, terms, Slots(workers))

    async def one_after_the_other() -> None:
        while True:
            [result] = await dispatcher.await_results([dispatcher.start(Task(_PROMPT), run.root)])
            if result is None or result.status != "ok":
                return

    async with asyncio.TaskGroup() as group:
        for _ in range(workers):
            group.create_task(one_after_the_other())
    used, billed = run.ledger.used("run"), billing.total_usd()
    booked = used.settled_usd + used.uncertain_usd
    assert billed <= cap
    return Used(workers, float(worst / cap), float(booked / cap), float(billed / cap), used.calls)


def _worst_usd(model: InProcessModel, tools: Toolset, prices: PriceBook) -> Decimal:
    """Return the worst case of the last turn of a task, with the closing reserve that is kept beside it."""
    messages = [user(_PROMPT)]
    for turn in range(_TURNS):
        messages.append(Message("assistant", (ToolCall(f"call_{turn}", "look", '{"place": "the shelf"}'),)))
        messages.append(Message("tool", (ToolResult(f"call_{turn}", "nothing at the shelf"),)))
    request = Request(messages, tools=tools.specs, max_output_tokens=_OUTPUT_TOKENS)
    price = prices.price(model)
    claim = claim_for(model, request, price)
    reserve = closing_reserve(bare_tokens(model, request), request.messages.size_bytes, price)
    assert claim.input_usd is not None
    assert claim.output_usd_per_token is not None
    assert reserve.usd is not None
    return claim.input_usd + claim.output_usd_per_token * _OUTPUT_TOKENS + reserve.usd


async def _nobody_watches() -> None:
    """Hold nobody up."""


def main() -> None:
    """Measure, print the table, and write the results."""
    shares = (2, 5, 10, 20, 50, 200)
    rows = [measure(workers, Decimal(share)) for workers in (1, 10, 100) for share in shares]
    record("utilisation", {"model": _MODEL, "rows": [attrs.asdict(row) for row in rows]})
    print("| workers | worst case + reserve | booked | billed | calls |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for row in rows:
        shown = (row.worst_share, row.booked_share, row.billed_share)
        print(f"| {row.workers} | " + " | ".join(f"{share:.1%}" for share in shown) + f" | {row.calls:,} |")


if __name__ == "__main__":
    main()
