"""What a reservation costs: with one and with 1,000 others open, and beside the model call that it is for.

Run with ``python benchmarks/ledger.py``. All sides are measured in one process, in turns, so that
the ratios hold on a machine that does other work as well. The model call goes through the gateway, with a
journal in a file, and beside it by the adapter alone, to a server that is a process of its own; counted is
the client's CPU.
"""

import asyncio
import itertools
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from client_cpu import adapter, server
from recording import record
from tables import ledger as table

from sunwell.agent.run.run_context import Run
from sunwell.budget import Budget, Claim, TreeLedger
from sunwell.core import ModelProtocol, Request, user
from sunwell.journal import FileJournal
from sunwell.journal.records import RunOpened
from sunwell.models.connection import close_clients

_ROUNDS = 60
_RESERVATIONS = 500
_CALLS = 20
_CLAIM = Claim(1_000, 500, input_usd=Decimal("0.001"), output_usd_per_token=Decimal("0.000002"))
_BILL_USD = Decimal("0.0005")
_PATH = "run/work/batch%2F3"
_REQUEST = Request([user("Take notes.")], max_output_tokens=500)


async def _ledger(open_reservations: int) -> TreeLedger:
    ledger = TreeLedger()
    ledger.open("run", Budget(usd=1_000_000, tokens=10**12, seconds=86_400))
    ledger.open("run/work", Budget(tokens=10**12))
    ledger.open(_PATH, Budget(usd=100_000))
    for _ in range(open_reservations):
        await ledger.reserve(_PATH, _CLAIM)
    return ledger


async def _reservation_us(ledger: TreeLedger) -> float:
    """Return the CPU of one reserve and settle, through an account three levels down."""
    begun = time.process_time()
    for _ in range(_RESERVATIONS):
        reservation = await ledger.reserve(_PATH, _CLAIM)
        ledger.settle(reservation, 900, _BILL_USD)
    return (time.process_time() - begun) / _RESERVATIONS * 1e6


def _calls(run: Run, port: int) -> dict[str, Callable[[], Awaitable[object]]]:
    """Return what makes one call: through the gateway, and by the adapter alone, on either wire."""

    limits = itertools.cycle((500, 501))

    def by_gateway(model: ModelProtocol) -> Awaitable[object]:
        # The gateway does not send the request that it has just had answered.
        request = attrs.evolve(_REQUEST, max_output_tokens=next(limits))
        return run.gateway.ask(run.root, model, request, purpose="work")

    models = {wire: adapter(wire, port) for wire in ("chat", "messages")}
    calls: dict[str, Callable[[], Awaitable[object]]] = {}
    for wire, model in models.items():
        calls[f"call_{wire}"] = partial(by_gateway, model)
        calls[f"adapter_{wire}"] = partial(model.complete, _REQUEST)
    return calls


async def _call_us(call: Callable[[], Awaitable[object]]) -> float:
    """Return the client's CPU of one call."""
    begun = time.process_time()
    for _ in range(_CALLS):
        await call()
    return (time.process_time() - begun) / _CALLS * 1e6


async def _nobody_watches() -> None:
    """Hold nobody up."""


async def _turns(port: int, folder: Path) -> list[dict[str, float]]:
    """Measure all sides in turns."""
    one, thousand = await _ledger(1), await _ledger(1_000)
    journal = FileJournal.create(folder, "run")
    await journal.append(RunOpened("run", "benchmark", 1.0))
    run = Run(None, journal, Budget(usd=1_000, tokens=10**9))
    run.gateway.hold = _nobody_watches
    calls = _calls(run, port)
    turns = []
    for _ in range(_ROUNDS + 1):
        turn = {"1_open": await _reservation_us(one), "1000_open": await _reservation_us(thousand)}
        turns.append(turn | {name: await _call_us(call) for name, call in calls.items()})
    await close_clients()
    journal.close()
    return turns[1:]  # the first loads what is loaded on first use


def measure() -> dict[str, Any]:
    """Return medians, and the medians of the ratios of each turn."""
    with server() as port, tempfile.TemporaryDirectory() as folder:
        turns = asyncio.run(_turns(port, Path(folder)))

    def ratio(above: str, below: str) -> float:
        return round(statistics.median(turn[above] / turn[below] for turn in turns), 5)

    return {
        "reservations": _ROUNDS * _RESERVATIONS,
        "calls": _ROUNDS * _CALLS,
        "median_us": {name: round(statistics.median(turn[name] for turn in turns), 2) for name in turns[0]},
        "1000_open_to_1_open": ratio("1000_open", "1_open"),
        "to_call": {name: ratio("1_open", name) for name in turns[0] if not name.endswith("open")},
    }


def main() -> None:
    """Measure, write the results, and fail where a reservation takes a hundredth of a call or more."""
    found = measure()
    record("ledger", found)
    print("\n".join(table(found)))
    worst = max(found["to_call"]["call_chat"], found["to_call"]["call_messages"])
    if worst >= 0.01:
        raise SystemExit(f"a reservation takes {worst:.2%} of a call's CPU: it should be less than 1 %")


if __name__ == "__main__":
    main()
