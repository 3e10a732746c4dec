"""``sunwell batch`` killed while it works, and taken up again by ``sunwell resume``."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sunwell.simulator import SimulatedModel, Simulator, echo, running_simulator
from tests.cli.beginner import Begun

COUNT, SLOTS = 50, 4
MODEL = "claude-haiku-5-5"
Start = Callable[..., Begun]


def wait_for(lines: int, out: Path, process: Begun) -> None:
    """Return once *out* has so many lines; the process must still be at work then."""
    until = time.monotonic() + 60
    while not out.exists() or len(out.read_text().splitlines()) < lines:
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < until, "no results came"
        time.sleep(0.02)  # another process is at work: there is no clock to turn


@pytest.mark.timeout(150)
def test_fifty_results_in_order_after_two_kills(start: Start, shop: Path, tmp_path: Path) -> None:
    """Killed by SIGKILL twice: no answered call is billed again, at most those in flight are."""
    tasks, out = tmp_path / "tasks.jsonl", tmp_path / "out.jsonl"
    tasks.write_text("".join(f"{json.dumps(f'Say {i}')}\n" for i in range(COUNT)))
    with running_simulator(Simulator({MODEL: SimulatedModel(echo, latency_seconds=0.1)})) as sim:
        env = {"ANTHROPIC_BASE_URL": sim.url, "ANTHROPIC_API_KEY": "simulated-key"}
        words: tuple[str | Path, ...] = ("batch", tasks, "-w", shop, "-m", MODEL, "--results", out)
        for lines in (9, 25):
            process = start(*words, env=env)
            wait_for(lines, out, process)
            process.kill()
            process.wait()
            run = next((shop / ".sunwell" / "runs").glob("0*")).name
            words = ("resume", run, "-w", shop, "--results", out)
        last = start(*words, env=env)
        _, said = last.communicate(timeout=60)
        assert last.returncode == 0, said
        results = [json.loads(line) for line in out.read_text().splitlines()]
        assert [(one["index"], one["status"]) for one in results] == [(i, "ok") for i in range(COUNT)]
        assert COUNT <= len(sim.bill.entries()) <= COUNT + 2 * SLOTS
