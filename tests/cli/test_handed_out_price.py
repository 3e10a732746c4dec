"""What ``sunwell estimate`` and ``sunwell run`` say of the price of work that a model hands out itself."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from tests.scenarios.priced_orchestrations import CASES, MODELS, priced

QUESTION = "Say what this project does"
ORCHESTRATED = (*MODELS, "--orchestrate")


@pytest.mark.parametrize("case", [*CASES[::2], CASES[-1]], ids=lambda case: f"{case.parts}-{case.task[:24]}")
def test_the_bill_of_an_orchestrated_run_lies_in_the_range_that_was_printed(case, shop: Path) -> None:
    """For runs of different sizes; and what the result says was quoted is what the estimate has printed.

    ``benchmarks/orchestrated_cost.py`` has more of them.
    """
    run = priced(case, shop)
    print(f"billed to expected: {run.actual_usd / run.expected_usd:.2f}")
    assert run.low_usd <= run.actual_usd <= run.high_usd
    quote = run.told["quote"]
    assert (quote["chosen"], quote["became_usd"]) == ("orchestrated", run.told["cost_usd"])
    assert quote["sides"] == run.estimated["quote"]["sides"]


def estimated(sunwell, shop: Path, task: str, *arguments: str) -> dict:
    done = sunwell("estimate", task, "-w", shop, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_the_orchestrated_way_stands_beside_the_others(sunwell, shop: Path) -> None:
    """Its range ascends; nothing but a budget bounds it; the other ways are as without it."""
    plain = estimated(sunwell, shop, QUESTION, *MODELS)["quote"]["sides"]
    found = estimated(sunwell, shop, QUESTION, *ORCHESTRATED)
    sides = found["quote"]["sides"]
    assert list(sides) == ["orchestrated", "delegated", "direct", "smart-low-effort", "cheap"]
    low, expected, high = (
        Decimal(sides["orchestrated"][f"{end}_usd"]) for end in ("low", "expected", "high")
    )
    assert Decimal(0) < low < expected < high
    assert sides["orchestrated"]["worst_usd"] is None
    assert {name: sides[name] for name in ("direct", "cheap")} == {
        name: plain[name] for name in ("direct", "cheap")
    }
    assert found["quote"]["chosen"] == "orchestrated"
    assert found["decision"] is None
    assert "orchestrated" not in plain


def test_a_question_is_said_to_be_dearer_than_the_smart_model_alone(sunwell, shop: Path) -> None:
    """In one sentence with the multiple and both amounts, in the estimate and before the run."""
    quote = estimated(sunwell, shop, QUESTION, *ORCHESTRATED)["quote"]
    assert quote["times_smart_alone"] > 1
    said = (
        f"An orchestrated run costs about {quote['times_smart_alone']:.1f} times the smart model alone here"
    )
    shown = " ".join(sunwell("estimate", QUESTION, "-w", shop, *ORCHESTRATED).stdout.split())
    assert said in shown
    assert "so it is expected to be dearer" in shown
    assert "no bound" in shown
    ran = sunwell("run", QUESTION, "-w", shop, *ORCHESTRATED)
    assert ran.exit_code == 0, ran.output
    assert said in " ".join(ran.stderr.split())
    assert "expected (orchestrated), $" in ran.stderr


def test_much_output_is_said_to_be_cheaper_and_a_run_does_not_warn(sunwell, shop: Path) -> None:
    """The smart model writes little of it."""
    task = "Generate CRUD endpoints for 5 entities"
    quote = estimated(sunwell, shop, task, *ORCHESTRATED)["quote"]
    assert quote["times_smart_alone"] < 1
    assert "cheaper" in sunwell("estimate", task, "-w", shop, *ORCHESTRATED).stdout
    assert "the smart model alone here" not in sunwell("run", task, "-w", shop, *ORCHESTRATED).stderr


def test_assumptions_are_named_as_such_and_the_workers_can_be_given(sunwell, shop: Path) -> None:
    """Workers, turns and reports are said to be assumed from simulated runs; more workers cost more."""
    usual = estimated(sunwell, shop, QUESTION, *ORCHESTRATED)["quote"]
    assert any("assumed from simulated runs, and not measured" in said for said in usual["assumptions"])
    assert any("starts 4 workers (1 to 8)" in said for said in usual["assumptions"])
    many = estimated(sunwell, shop, QUESTION, *ORCHESTRATED, "--expect-workers", "20")["quote"]
    assert any("starts 20 workers (20 to 20)" in said for said in many["assumptions"])
    amounts = [Decimal(one["sides"]["orchestrated"]["expected_usd"]) for one in (usual, many)]
    assert amounts[0] < amounts[1]
    refused = sunwell("estimate", QUESTION, "-w", shop, *MODELS, "--expect-workers", "3")
    assert refused.exit_code == 2
    assert "--expect-workers has no effect here" in refused.stderr


@pytest.mark.parametrize("kind", ["delegate", "rlm", "subagent"])
def test_delegation_tools_are_priced_and_quoted(sunwell, shop: Path, kind: str) -> None:
    """The model may hand out nothing, so low is at most what its own work costs. The run quotes the same."""
    tools = ("--model", "opus", "--delegation-tools", kind)
    found = estimated(sunwell, shop, QUESTION, *tools)["quote"]
    side, direct = found["sides"]["with-workers"], found["sides"]["direct"]
    assert found["chosen"] == "with-workers"
    assert Decimal(side["low_usd"]) <= Decimal(direct["low_usd"]) < Decimal(side["expected_usd"])
    ran = sunwell("run", QUESTION, "-w", shop, *tools, "--json")
    assert ran.exit_code == 0, ran.output
    told = json.loads(ran.stdout)
    assert told["quote"]["sides"] == found["sides"]
    assert told["quote"]["chosen"] == "with-workers"


def test_a_task_with_tools_and_no_lens_is_not_said_to_be_delegated(sunwell, shop: Path) -> None:
    """Without a delegation model no lens is written, however large the task."""
    task, tools = "Generate CRUD endpoints for 5 entities", ("--model", "opus", "--delegation-tools", "rlm")
    said = sunwell("estimate", task, "-w", shop, *tools).stdout
    assert said.startswith("would not be delegated: delegation is off: claude-opus-5-5 does the task")
    assert "claude-opus-5-5 works and may hand parts out to claude-opus-5-5" in said
    under = sunwell("estimate", task, "-w", shop, *MODELS, "--delegation-tools", "rlm").stdout
    assert under.startswith("would be delegated")
    assert "claude-haiku-5-5 works and may hand parts out to claude-haiku-5-5" in under


def test_tools_under_a_decision_are_quoted_as_the_estimate_does(sunwell, shop: Path) -> None:
    """With a delegation model, the run decides on a lens as well, and its quote is that of the way taken."""
    tools = (*MODELS, "--delegation-tools", "delegate")
    task = "Generate CRUD endpoints for 5 entities"
    found = estimated(sunwell, shop, task, *tools)["quote"]
    told = json.loads(sunwell("run", task, "-w", shop, *tools, "--json").stdout)["quote"]
    assert told["sides"] == found["sides"]
    assert (told["chosen"], found["chosen"]) == ("with-workers", "with-workers")


def test_an_unknown_price_makes_the_orchestrated_way_unknown(sunwell, shop: Path) -> None:
    """It is never 0, and nothing is compared."""
    models = ("--model", "ollama/llama", "--delegation-model", "ollama/small", "--orchestrate")
    env = {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}
    done = sunwell("estimate", QUESTION, "-w", shop, *models, "--json", env=env)
    quote = json.loads(done.stdout)["quote"]
    assert quote["sides"]["orchestrated"]["expected_usd"] is None
    assert quote["times_smart_alone"] is None


def test_a_run_asks_first_if_the_orchestrated_way_is_above_the_amount(sunwell, shop: Path) -> None:
    """The amount is that of the way taken: without a terminal it is refused, and nothing is asked."""
    done = sunwell("run", QUESTION, "-w", shop, *ORCHESTRATED, "--confirm-above", "0.05")
    assert done.exit_code == 2
    assert "the orchestrated way is expected to cost $0.07" in done.stderr


def test_a_question_that_is_handed_out_is_quoted_too(sunwell, tmp_path: Path) -> None:
    """With its own prompt, which holds the context; nothing of a lens is in it."""
    asked = ("run", "-q", "What is this?", "-w", tmp_path, "--model", "opus", "--child-model", "haiku")
    done = sunwell(*asked, "--orchestrate", "--json", said="A shop. " * 40)
    assert done.exit_code == 0, done.output
    quote = json.loads(done.stdout)["quote"]
    assert quote["chosen"] == "orchestrated"
    assert Decimal(quote["sides"]["orchestrated"]["low_usd"]) > 0


def test_sub_calls_that_no_depth_allows_are_not_priced(sunwell, shop: Path) -> None:
    """No model hands anything out then."""
    found = estimated(sunwell, shop, QUESTION, *MODELS, "--sub-calls", "--sub-calls-max-depth", "0")
    assert "with-workers" not in found["quote"]["sides"]


def test_a_resumed_and_a_replayed_run_keep_their_quote(sunwell, shop: Path) -> None:
    """It was written down as the run began."""
    first = json.loads(sunwell("run", QUESTION, "-w", shop, *ORCHESTRATED, "--json").stdout)
    again = sunwell("resume", first["run_id"], "-w", shop, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["quote"] == first["quote"]
