"""``sunwell resume``: going on without paying twice."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.simulator import Simulator

TASK = "Generate CRUD endpoints for 5 entities"


def test_a_run_goes_on_with_more_turns(sunwell, shop: Path, simulator: Simulator) -> None:
    """A higher limit takes a run to its end, and the lens is not asked for again."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "3", "--json").stdout)
    before = len(simulator.requests)
    done = sunwell("resume", first["run_id"][:20], "-w", shop, "--max-turns", "20", "--json")
    told = json.loads(done.stdout)
    assert (first["status"], done.exit_code, told["status"]) == ("incomplete", 0, "ok")
    assert told["run_id"] == first["run_id"]
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()
    lenses = [request for request in simulator.requests if request.model == "claude-opus-5-5"]
    assert len(lenses) == 1
    assert before < len(simulator.requests)


def test_a_finished_run_costs_nothing_more(sunwell, shop: Path, simulator: Simulator) -> None:
    """Taking up what is done gives the same answer, and nothing is asked."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)
    asked = len(simulator.requests)
    again = json.loads(sunwell("resume", first["run_id"], "-w", shop, "--json").stdout)
    assert again["answer"] == first["answer"]
    assert again["cost_usd"] == first["cost_usd"]
    assert len(simulator.requests) == asked


def test_a_finished_run_says_that_nothing_was_asked(sunwell, shop: Path) -> None:
    """One sentence and the result again: the steps of a run that is over are not told as if it went on."""
    first = sunwell("run", TASK, "-w", shop, "--delegate")
    done = sunwell("resume", "0", "-w", shop)
    told_first = first.stdout.splitlines()  # and, in between, what had been forecast
    assert done.exit_code == 0
    assert done.stdout.splitlines() == [line for line in told_first if line in done.stdout]
    assert len(done.stdout.splitlines()) > 10
    assert done.stderr.splitlines() == [
        "the run had finished: nothing was asked and nothing was paid, and this is its result again"
    ]
    told = sunwell("resume", "0", "-w", shop, "-v")
    assert "from the journal" in told.stderr
    assert done.stderr in told.stderr


@pytest.mark.parametrize("is_over", [True, False], ids=["finished", "cut-off"])
def test_what_is_cut_off_the_end_of_a_journal_is_said(sunwell, shop: Path, simulator, is_over) -> None:
    """One sentence: how much, and where it is kept. The answers before it are asked no more."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)
    asked, journal = len(simulator.requests), Path(first["journal"])
    if is_over:
        journal.write_bytes(journal.read_bytes() + b"\0" * 99 + b"garbage")
    else:
        journal.write_bytes(journal.read_bytes()[:-40])
    done = sunwell("resume", "0", "-w", shop)
    [said] = [line for line in done.stderr.splitlines() if "cut off" in line]
    torn = journal.with_suffix(".torn")
    size = torn.stat().st_size
    assert said == (
        f"note: {size:,} bytes (1 line) after the last good record were cut off; they are kept in {torn}"
    )
    assert (done.exit_code, len(simulator.requests)) == (0, asked)
    assert "cut off" not in sunwell("resume", "0", "-w", shop).stderr


def test_a_folder_in_the_place_of_a_journal_is_named(sunwell, shop: Path) -> None:
    """One sentence that says what is in the way; the listing shows it as damaged."""
    place = shop / ".sunwell/runs/0000/journal.jsonl"
    place.mkdir(parents=True)
    done = sunwell("resume", "0", "-w", shop)
    assert done.exit_code == 2
    assert f"the journal {place} is no file: move what is there out of the way" in done.stderr
    [listed] = json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]
    assert (listed["status"], "is no file" in listed["error"]) == ("damaged", True)


def test_other_ceilings_stay(sunwell, shop: Path) -> None:
    """A ceiling that is raised leaves the recorded others as they were."""
    first = json.loads(
        sunwell(
            "run", TASK, "-w", shop, "--model", "haiku", "--max-turns", "2", "--max-calls", "4", "--json"
        ).stdout
    )
    told = json.loads(sunwell("resume", first["run_id"], "-w", shop, "--max-turns", "20", "--json").stdout)
    assert (told["status"], told["stop_reason"]) == ("incomplete", "calls")


def test_a_changed_model_is_refused(sunwell, shop: Path, simulator: Simulator) -> None:
    """Who takes a run up elsewhere, where a name stands for nothing, gets a sentence."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "2", "--json").stdout)
    done = sunwell("resume", first["run_id"], "-w", shop, env={})
    assert done.exit_code == 2
    assert "ANTHROPIC_API_KEY" in done.stderr
