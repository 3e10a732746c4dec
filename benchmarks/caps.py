"""What is billed on a cap of one dollar, by 100 workers at about ten cents each, at once?

Once as one long call each, once as two, once as ten: what is in flight when the cap is reached differs.
Run with ``python benchmarks/caps.py --peers FOLDER``, where FOLDER holds one virtual environment for
each peer, named ``pydantic-ai``, ``openai-agents``, ``langchain``; what is not there is left out. The
judge is the bill of Sunwell's simulator, which all of them ask over HTTP.
"""

import argparse
import asyncio
import json
import statistics
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Any

import environments
from recording import record

from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.workers.dispatcher import Dispatcher
from sunwell.agent.workers.slots import Slots
from sunwell.agent.workers.worker import WorkerTerms
from sunwell.budget import Budget
from sunwell.core import Text, ToolCall
from sunwell.core.task import Task
from sunwell.journal.memory import MemoryJournal
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Reply, Script, SimulatedModel, Simulator, running_simulator
from sunwell.tools import tool

_MODEL = "gpt-6.1-sol"
_WORKERS = 100
_CAP_USD = "1"
_WORKER_TOKENS = 10_000
"""Output of one worker: ten cents at the model's ten dollars per million."""
_CALLS = (1, 2, 10)
_AT_ONCE = {"sunwell": _WORKERS, "sunwell, 4 at once": 4}
_PROMPT = "Look into every corner of the shop and say what lies there."


def _script(calls: int) -> Script:
    """Return a model that looks *calls* - 1 times and then answers: ten cents for each worker."""

    def answer(asked: Asked) -> Reply:
        turns = sum(message.role == "assistant" for message in asked.messages)
        output = _WORKER_TOKENS // calls
        if "look" in asked.tools and turns < calls - 1:
            call = ToolCall(f"call_{turns}", "look", json.dumps({"place": f"shelf {turns}"}))
            return Reply((call,), output_tokens=output)
        return Reply((Text("Nothing lies there."),), output_tokens=output)

    return answer


@tool(parallel=True, repeatable=True)
async def look(place: str) -> str:
    """Look somewhere."""
    return f"nothing at {place}"


async def _sunwell(url: str, at_once: int, calls: int) -> dict[str, Any]:
    prices = PriceBook()
    run = Run(None, MemoryJournal("run"), Budget(usd=Decimal(_CAP_USD)), LoopConfig(prices=prices))
    run.gateway.hold = _nobody_watches
    model = ChatModel(_MODEL, Connection("openai", url, "key"))
    terms = WorkerTerms(model, Toolset.of((look,), None), max_output_tokens=_most_tokens(calls))
    dispatcher = Dispatcher(run, terms, Slots(at_once))
    ids = [dispatcher.start(Task(f"{_PROMPT} ({number})"), run.root) for number in range(_WORKERS)]
    results = await dispatcher.await_results(ids)
    await close_clients()
    statuses = sorted({result.stop_reason for result in results if result and result.status != "ok"})
    answers = sum(result is not None and result.status == "ok" for result in results)
    return {"version": version("sunwell"), "answers": answers, "errors": statuses}


async def _nobody_watches() -> None:
    """Hold nobody up."""


def _most_tokens(calls: int) -> int:
    """Return the limit on one answer that everybody sends: a little more than the answer takes."""
    return _WORKER_TOKENS // calls + 24


def _peer(peers: Path, name: str, url: str, calls: int) -> dict[str, Any]:
    words = (url, _MODEL, str(_WORKERS), _CAP_USD, str(_most_tokens(calls)), _PROMPT)
    return environments.ask(peers, name, *words)


def _measure(name: str, calls: int, peers: Path | None, rounds: int) -> dict[str, Any]:
    """Let one of them do the job several times, each time with a fresh bill."""
    billed: list[Decimal] = []
    told: list[dict[str, Any]] = []
    for _ in range(rounds):
        simulator = Simulator({_MODEL: SimulatedModel(_script(calls), latency_seconds=0.5)})
        with running_simulator(simulator):
            url = simulator.openai_url
            if peers is None or name in _AT_ONCE:
                told.append(asyncio.run(_sunwell(url, _AT_ONCE[name], calls)))
            else:
                told.append(_peer(peers, name, url, calls))
        billed.append(simulator.bill.total_usd())
    return {
        "calls": calls,
        "name": name,
        "version": told[0]["version"],
        "n": rounds,
        "median_usd": str(statistics.median(billed)),
        "least_usd": str(min(billed)),
        "most_usd": str(max(billed)),
        "answers": [one["answers"] for one in told],
        "errors": sorted({error for one in told for error in one["errors"]}),
    }


def main() -> None:
    """Measure Sunwell and every peer that is there, print the table, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    environments.add_option(parser)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    there = environments.found(given.peers)
    names = (*_AT_ONCE, *there)
    rows = [_measure(name, calls, given.peers, given.rounds) for calls in _CALLS for name in names]
    record("caps", {"model": _MODEL, "cap_usd": _CAP_USD, "workers": _WORKERS, "rows": rows})
    print("| calls of a worker | | version | billed, median USD | least | most | answered, of 100 |")
    print("| ---: | --- | --- | ---: | ---: | ---: | ---: |")
    for row in rows:
        usd = [f"{Decimal(row[of]):.4f}" for of in ("median_usd", "least_usd", "most_usd")]
        cells = [row["calls"], row["name"], row["version"], *usd, statistics.median(row["answers"])]
        print("| " + " | ".join(str(cell) for cell in cells) + " |")


if __name__ == "__main__":
    main()
