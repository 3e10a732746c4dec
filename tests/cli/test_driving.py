"""Ctrl-C: what is there is kept, said and billed."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.simulator import SimulatedModel, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import Begun

TASK = "Generate CRUD endpoints for 5 entities"
_FOREVER_SECONDS = 3600.0


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a cheap model that never comes to an answer."""
    stuck = SimulatedModel(DEMO_MODELS["claude-haiku-5-5"], latency_seconds=_FOREVER_SECONDS)
    with running_simulator(Simulator({**DEMO_MODELS, "claude-haiku-5-5": stuck})) as running:
        yield running


def begun(process: Begun) -> None:
    """Return once the lens is there: then the cheap model is being asked."""
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("lens by"):
            return
    raise AssertionError("the run ended before it was interrupted")


def test_the_first_interrupt_ends_the_run_in_good_order(start, shop: Path, simulator: Simulator) -> None:
    """The answer so far, the bill and the command to go on are printed, and the exit code is 130."""
    process = start("run", TASK, "-w", shop, "--delegate")
    begun(process)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "cancelled" in err
    assert "claude-opus-5-5" in err
    assert "sunwell resume" in err
    assert "Traceback" not in out + err


def test_a_cancelled_run_is_an_object_that_hides_no_money(start, shop: Path, simulator: Simulator) -> None:
    """The call in flight is listed apart as uncertain; booked and uncertain together cover the bill."""
    process = start("run", TASK, "-w", shop, "--delegate", "--json", "-v")
    begun(process)
    process.send_signal(signal.SIGTERM)
    told = json.loads(process.communicate(timeout=60)[0])
    assert (process.returncode, told["status"]) == (130, "cancelled")
    most = Decimal(told["cost_usd"]) + Decimal(told["uncertain_usd"])
    assert Decimal(told["cost_usd"]) <= simulator.bill.total_usd() <= most


DEAF = """
import asyncio, sys
from sunwell.cli.run_output import drive
from sunwell.cli.plain_view import PlainView
from sunwell.events import RunStarted

class Deaf:
    def stop(self):
        print("asked to stop", flush=True)

async def events(begins):
    if begins:
        yield RunStarted("01", "Do it", "haiku")
    print("hangs", flush=True)
    await asyncio.Event().wait()

try:
    drive(Deaf(), events(sys.argv[1] == "begun"), PlainView(quiet=True))
except KeyboardInterrupt:
    print("stopped before it began", flush=True)
"""


@pytest.fixture
def hanging() -> "Iterator[Callable[[str], subprocess.Popen[str]]]":
    """Return a function that starts a run which never ends, and whose agent does not heed a stop."""
    processes: list[subprocess.Popen[str]] = []

    def begin(how: str) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", DEAF, how], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        processes.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "hangs\n"
        return process

    yield begin
    for process in processes:
        process.kill()
        process.communicate()


def test_the_second_interrupt_ends_at_once(hanging) -> None:
    """Whatever still hangs, the process is gone, with the exit code of a cancelled run."""
    process = hanging("begun")
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "asked to stop\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "ended at once" in err


def test_an_interrupt_before_the_run_has_begun_ends_it(hanging) -> None:
    """There is nothing to tell of then."""
    process = hanging("opening")
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert out == "stopped before it began\n"
