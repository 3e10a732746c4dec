"""``sunwell run``: what it does, what it prints, how it ends."""

import json
import os
import shlex
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.report.figures import dollars
from sunwell.simulator import Fault, FaultRule, Simulator, echo, running_simulator

TASK = "Generate CRUD endpoints for 5 entities"
PAIR = ("--smart-model", "opus", "--delegation-model", "haiku")


def test_a_delegated_run_gives_one_object(sunwell, shop: Path, simulator: Simulator) -> None:
    """``--json`` prints one object that says how the run ended, what it did and what it cost."""
    done = sunwell("run", TASK, "-w", shop, *PAIR, "--json")
    told = json.loads(done.stdout)
    assert done.exit_code == 0
    assert (told["status"], told["stop_reason"], told["error"]) == ("ok", "end", None)
    assert told["answer"].startswith("The endpoints of customer")
    assert {file["path"]: file["change"] for file in told["files"]} == {
        **{
            f"shop/endpoints/{name}.py": "made"
            for name in ("customer", "product", "order", "supplier", "invoice")
        },
        "shop/routes.py": "changed",
    }
    assert Path(told["journal"]).is_file()
    assert told["run_id"] in told["journal"]
    assert told["delegation"]["decision"]["delegate"] is True
    assert "2,000" in told["delegation"]["reason"]
    assert told["delegation"]["lens"]["constraints"]
    assert told["smart_alone"]["is_estimate"] is True
    assert told["smart_alone"]["model"] == "claude-opus-5-5"
    assert told["quote"]["became_usd"] == told["cost_usd"]


def test_the_bill_is_the_simulators_in_all_and_by_model(sunwell, shop: Path, simulator: Simulator) -> None:
    """What is booked is what the other side of the wire charged, to the last digit, for each model."""
    told = json.loads(sunwell("run", TASK, "-w", shop, *PAIR, "--json").stdout)
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()
    billed = {name: (total.calls, total.usd) for name, total in simulator.bill.by_model().items()}
    assert {row["model"]: (row["calls"], Decimal(row["cost_usd"])) for row in told["by_model"]} == billed
    for part in ("by_model", "by_provider", "by_depth", "by_purpose"):
        assert sum(Decimal(row["cost_usd"]) for row in told[part]) == Decimal(told["cost_usd"]), part
        assert sum(row["usage"]["total_tokens"] for row in told[part]) == told["usage"]["total_tokens"], part
    assert told["uncertain_usd"] == "0"


def test_people_read_the_answer_and_the_bill(sunwell, shop: Path) -> None:
    """Standard output has the answer alone; standard error a line for each thing, the files and the bill."""
    done = sunwell("run", TASK, "-w", shop, *PAIR, "--max-usd", "0.50")
    assert done.exit_code == 0
    assert "The endpoints of customer" in done.stdout
    assert "created  shop/endpoints/order.py" in done.stderr
    assert "claude-opus-5-5 alone, estimated:" in done.stderr
    assert "$" not in done.stdout
    assert "work: write_file shop/endpoints/order.py" in done.stderr
    assert "delegating to claude-haiku-5-5" in done.stderr
    assert "\x1b" not in done.output


@pytest.mark.parametrize(
    ("arguments", "models"),
    [
        pytest.param(("--delegate",), {"claude-opus-5-5", "claude-haiku-5-5"}, id="pair-of-the-key"),
        pytest.param(("--child-model", "gpt-6-luna"), {"claude-opus-5-5", "gpt-6-luna"}, id="child-model"),
        pytest.param((), {"claude-opus-5-5"}, id="nothing-named"),
        pytest.param(("--no-delegate",), {"claude-opus-5-5"}, id="turned-off"),
        pytest.param(("--model", "haiku"), {"claude-haiku-5-5"}, id="own-model"),
        pytest.param(("--model", "sonnet", "--delegate"), {"claude-sonnet-5-5"}, id="delegate-to-itself"),
    ],
)
def test_who_is_asked(sunwell, shop: Path, simulator: Simulator, arguments, models) -> None:
    """Delegation is on where a delegation model is named or ``--delegate`` is given, and off elsewhere."""
    env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    env |= {"OPENAI_BASE_URL": simulator.openai_url, "OPENAI_API_KEY": "simulated-key"}
    done = sunwell("run", TASK, "-w", shop, *arguments, "--json", env=env)
    assert done.exit_code == 0, done.output
    assert set(simulator.bill.by_model()) == models


def test_openai_has_its_own_pair(sunwell, shop: Path, simulator: Simulator) -> None:
    """With OpenAI's key alone, its two models are asked, over its own wire format."""
    env = {"OPENAI_BASE_URL": simulator.openai_url, "OPENAI_API_KEY": "simulated-key"}
    done = sunwell("run", TASK, "-w", shop, "--delegate", "--json", env=env)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"]) == (0, "ok")
    assert set(simulator.bill.by_model()) == {"gpt-6.1-sol", "gpt-6-luna"}
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()


def test_a_task_comes_from_standard_input(sunwell, shop: Path) -> None:
    """A dash stands for standard input."""
    done = sunwell("run", "-", "-w", shop, "--model", "haiku", "--json", said="Say hello\n")
    assert json.loads(done.stdout)["task"] == "Say hello"


def test_a_task_that_is_no_text_is_refused(shop: Path) -> None:
    """Bytes on standard input that are no UTF-8 are no task, also where the locale would let them pass."""
    done = subprocess.run(
        [sys.executable, "-m", "sunwell", "run", "-", "-w", shop, "--model", "haiku"],
        input=b"\xff\xfe",
        env={
            **os.environ,
            "LC_ALL": "C",
            "ANTHROPIC_API_KEY": "k",
            "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
        },
        capture_output=True,
    )
    assert done.returncode == 2
    assert b"the task must be UTF-8" in done.stderr


def test_streaming_ends_in_the_same_answer(sunwell, shop: Path) -> None:
    """A streamed run is the same run."""
    done = sunwell("run", TASK, "-w", shop, *PAIR, "--stream", "--json")
    assert json.loads(done.stdout)["status"] == "ok"


@pytest.mark.parametrize(
    ("limit", "reason"),
    [
        pytest.param(("--max-turns", "2"), "turns", id="turns"),
        pytest.param(("--max-calls", "3"), "calls", id="calls"),
        pytest.param(("--max-usd", "0.001"), "budget_usd", id="usd"),
        pytest.param(("--budget-tokens", "8000"), "budget_tokens", id="tokens"),
    ],
)
def test_a_limit_leaves_the_run_incomplete(sunwell, shop: Path, simulator: Simulator, limit, reason) -> None:
    """A limit ends the run with exit code 3 and its name; a tenth of a cent holds at the provider."""
    done = sunwell("run", TASK, "-w", shop, "--model", "haiku", *limit, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"], told["stop_reason"]) == (3, "incomplete", reason)
    assert reason != "budget_usd" or simulator.bill.total_usd() <= Decimal("0.001")


@pytest.mark.parametrize(
    ("option", "amount"), [("--budget-tokens", "20"), ("--max-usd", "0.0001")], ids=["tokens", "usd"]
)
def test_a_cap_that_cannot_hold_the_first_call_is_bad_input(sunwell, shop: Path, simulator, option, amount):
    """Nothing is spent, the exit code says so, and the named cap lets the run begin."""
    done = sunwell("run", TASK, "-w", shop, "--model", "haiku", option, amount, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"]) == (2, "error")
    assert "nothing was spent: the smallest cap with which the run can begin is " in told["error"]
    assert simulator.bill.total_usd() == 0
    option, least = told["error"].partition("(")[2].partition(")")[0].split()
    begun = sunwell("run", TASK, "-w", shop, "--model", "haiku", option, least, "--json")
    assert begun.exit_code != 2
    assert simulator.bill.total_usd() > 0


def test_an_incomplete_run_says_how_to_go_on(sunwell, shop: Path) -> None:
    """The last line is the command that takes the run up, with the limit to raise."""
    done = sunwell("run", TASK, "-w", shop, "--model", "haiku", "--max-turns", "2")
    last = done.stderr.splitlines()[-1]
    assert "sunwell resume" in last
    assert last.endswith("--budget-turns N")


def test_a_run_that_goes_on_says_what_is_spent(sunwell, shop: Path, simulator: Simulator) -> None:
    """The sum of the simulator's own bill until then, the lens included."""
    begun = sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "2", "--json")
    spent = dollars(simulator.bill.total_usd())
    again = sunwell("resume", json.loads(begun.stdout)["run_id"], "-w", shop, "--max-turns", "20")
    assert f"resumed with claude-opus-5-5; spent so far: {spent}\n" in again.stderr


def test_a_dry_run_shows_changes_and_makes_none(sunwell, shop: Path) -> None:
    """``--dry-run`` prints the differences, and no file is touched."""
    done = sunwell("run", TASK, "-w", shop, *PAIR, "--dry-run")
    assert done.exit_code == 0
    assert "+++ b/shop/endpoints/customer.py" in done.stdout
    assert not (shop / "shop/endpoints/customer.py").exists()


@pytest.mark.parametrize(
    ("above", "code"),
    [pytest.param("0.001", 2, id="expected-is-above"), pytest.param("5", 0, id="expected-is-below")],
)
def test_nobody_can_be_asked_without_a_terminal(
    sunwell, shop: Path, simulator, above: str, code: int
) -> None:
    """``--confirm-above`` refuses where it would have to ask, before anything is spent."""
    done = sunwell("run", TASK, "-w", shop, *PAIR, "--confirm-above", above)
    assert done.exit_code == code
    assert bool(simulator.requests) == (code == 0)


def test_an_unknown_cost_is_above_whatever_was_named(sunwell, shop: Path, simulator) -> None:
    """Nobody knows what a model without a price costs, so somebody must be asked."""
    done = sunwell(
        "run", TASK, "-w", shop, "--model", "anthropic/claude-brand-new", "--confirm-above", "1000"
    )
    assert done.exit_code == 2
    assert "unknown, more than --confirm-above $1,000" in done.stderr
    assert not simulator.requests


def test_what_the_model_says_cannot_take_hold_of_the_terminal(sunwell, shop: Path) -> None:
    """Control sequences in an answer are shown, not sent: the scripted model repeats its task."""
    done = sunwell("run", "Say \x1b[31mred\x1b]0;title\x07", "-w", shop, "--model", "haiku")
    assert done.exit_code == 0
    assert r"Say \x1b[31mred\x1b]0;title\x07" in done.stdout
    assert "\x1b" not in done.output


def test_an_answer_that_did_not_end_properly_is_no_success(sunwell, tmp_path: Path) -> None:
    """The exit code says so, the provider's word is shown, and no resume is offered that could not help."""
    aborted = FaultRule(Fault(stop_word="abort"))
    with running_simulator(Simulator({"claude-haiku-5-5": echo}, faults=[aborted])) as simulator:
        keys = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        done = sunwell("run", "Say hello", "-w", tmp_path, "--model", "haiku", env=keys)
        assert done.exit_code == 3, done.output
        assert "stopped with 'abort'" in done.output
        assert "sunwell resume" not in done.output
        assert len(simulator.bill.entries()) == 1


def test_the_command_to_go_on_can_be_copied(sunwell, shop: Path) -> None:
    """A shell takes it as it is printed, also if the workspace has a space in its name."""
    place = shop.rename(shop.with_name("my shop"))
    done = sunwell("run", TASK, "-w", place, "--delegate", "--max-turns", "1")
    assert done.exit_code == 3
    *words, value = shlex.split(done.stderr.partition("resume   sunwell ")[2])
    assert (words[0], words[-1], value) == ("resume", "--budget-turns", "N")
    assert sunwell(*words, "40").exit_code == 0
