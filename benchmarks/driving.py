"""How much does an orchestrator read and write that thirty workers report to? Beside an earlier version.

Run ``python benchmarks/driving.py --against FOLDER`` with a checkout of an earlier version in FOLDER. The
same behaviour (``tests/scenarios/reading_orchestrator.py``) drives both on a virtual clock and a provider
that bills: thirty workers, five at once, one of which fails at first, and five more that build on what
others found. It prints what the orchestrator read (input tokens of all its calls), its turns, its output
and its cost, and writes ``benchmarks/results/driving.json``. It takes reports in one by one, or five at
once. It fails if it reads or writes more than half of what it did in the earlier version, or takes more than
half of its turns one by one, or 0.6 of them five at once: of those there were few, and six of them are no
waits. The models are scripts: the figures are those of the harness, not of any model's skill.
"""

import argparse
import json
import os
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

PARTS, AT_ONCE, FAILS = 30, 5, (7,)
MOST_SHARE, MOST_TURNS = 0.5, {"one by one": 0.5, "a few at once": 0.6}
RHYTHMS = {"one by one": (1, 10.0), "a few at once": (5, 30.0)}
"""How many reports are waited for, and how long at once if a version cannot wait for a number of them."""
ROOT = Path(__file__).parents[1]


def measure(at_once: int, wait_seconds: float) -> dict[str, Any]:
    """Drive the installed version and return what its orchestrator read and wrote."""
    from sunwell.agent.loop import AgentLoop, LoopConfig
    from sunwell.events import RunFinished
    from sunwell.simulator import Billing, Fault, InProcessModel, loop_time
    from sunwell.simulator.faults import Occasion
    from sunwell.testing import run_virtual

    sys.path.insert(0, str(ROOT))  # after the imports above, which may be those of an earlier version
    from tests.scenarios.reading_orchestrator import ReadingOrchestrator, reading_worker

    sizes = {part: 600 + part * 1_931 % 9_000 for part in range(PARTS)}

    def slow(occasion: Occasion) -> Fault:
        """Have calls take 10 to 60 seconds: workers do not end together."""
        return Fault(stall_before_seconds=occasion.number * 37 % 51)

    async def main() -> Any:
        billing = Billing(clock=loop_time)
        reader = ReadingOrchestrator(PARTS, at_once=at_once, wait_seconds=wait_seconds)
        smart = InProcessModel("claude-opus-5-5", reader, billing, latency_seconds=4.0)
        cheap = InProcessModel("claude-haiku-5-5", reading_worker(sizes, FAILS), billing, slow, "k", 10.0)
        config = LoopConfig(orchestrate=True, max_concurrent=AT_ONCE, orchestrator_max_turns=100)
        loop = AgentLoop(smart, smart_model=smart, delegation_model=cheap, config=config)
        async for event in loop.run("Say of each part what it checks"):
            if isinstance(event, RunFinished):
                return event.result
        raise AssertionError("no result")

    result = run_virtual(main())
    if not result.success:
        raise SystemExit(f"{result.stop_reason}: {result.error}")
    usage = {line.model: (line.calls, line.usage, line.cost_usd) for line in result.bill.models}
    calls, used, cost = usage["claude-opus-5-5"]
    workers, theirs, their_cost = usage["claude-haiku-5-5"]
    return {
        "turns": calls,
        "tokens_read": used.input_tokens,
        "tokens_written": used.output_tokens,
        "usd": str(cost),
        "worker_calls": workers,
        "worker_tokens_read": theirs.input_tokens,
        "worker_usd": str(their_cost),
        "seconds": round(result.duration_seconds, 1),
        "reports": sum(len(one.answer) for one in result.workers),
    }


def main() -> None:
    """Measure both, print and record."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--against", type=Path, help="checkout of an earlier version")
    parser.add_argument("--measure", action="store_true", help="print the figures of one version alone")
    given = parser.parse_args()
    if given.measure or given.against is None:
        print(json.dumps({name: measure(*rhythm) for name, rhythm in RHYTHMS.items()}))
        return
    command = [sys.executable, str(Path(__file__).resolve()), "--measure"]
    environ = {**os.environ, "PYTHONPATH": str(given.against.resolve()), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    before = json.loads(done.stdout)
    now = {name: measure(*rhythm) for name, rhythm in RHYTHMS.items()}
    names = ("tokens_read", "turns", "tokens_written", "usd", "worker_usd")
    shares = {
        rhythm: {
            name: round(float(Decimal(now[rhythm][name]) / Decimal(before[rhythm][name])), 3)
            for name in names
        }
        for rhythm in RHYTHMS
    }
    figures = {"before": before, "now": now, "shares": shares, "parts": PARTS, "at_once": AT_ONCE}
    print(json.dumps(figures, indent=2))
    from recording import record

    record("driving", figures)
    for rhythm, share in shares.items():
        for name, most in (
            ("tokens_read", MOST_SHARE),
            ("tokens_written", MOST_SHARE),
            ("turns", MOST_TURNS[rhythm]),
        ):
            if share[name] > most:
                raise SystemExit(f"{rhythm}: {name} is {share[name]} of what it was before")


if __name__ == "__main__":
    main()
