"""``sunwell estimate``: what would be, without a key and without a cent."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

CRUD = "Generate CRUD endpoints for 5 entities"
TYPO = "Fix a typo in user profiles page"
ENDS = ("low", "expected", "high", "worst")


@pytest.mark.parametrize(
    ("task", "delegates"), [pytest.param(CRUD, True, id="crud"), pytest.param(TYPO, False, id="typo")]
)
def test_the_decision_is_said_with_its_numbers(sunwell, shop: Path, simulator, task: str, delegates) -> None:
    """The RFC's own two examples come out as it says; no key is needed and nothing is asked."""
    done = sunwell("estimate", task, "-w", shop, "--json", env={})
    decision = json.loads(done.stdout)["decision"]
    assert (done.exit_code, decision["delegate"], decision["threshold_tokens"]) == (0, delegates, 2000)
    assert (decision["estimated_tokens"] > 2000) == delegates
    assert decision["reason"]
    assert simulator.requests == ()
    assert not (shop / ".sunwell").exists()


def test_both_ways_are_priced_with_assumptions(sunwell, shop: Path) -> None:
    """Low, expected, high and worst of each way ascend, and what was assumed is said."""
    quote = json.loads(sunwell("estimate", CRUD, "-w", shop, "--json").stdout)["quote"]
    assert set(quote["sides"]) == {"delegated", "direct", "smart-low-effort", "cheap"}
    for side in quote["sides"].values():
        low, expected, high, worst = (Decimal(side[f"{name}_usd"]) for name in ENDS)
        assert Decimal(0) < low <= expected <= high <= worst
    assert quote["chosen"] == "delegated"
    assert quote["assumptions"]
    assert quote["price_date"]


@pytest.mark.parametrize(
    ("models", "delegates"),
    [
        pytest.param(("--smart-model", "opus", "--delegation-model", "haiku"), True, id="cheaper"),
        pytest.param(
            ("--model", "haiku", "--smart-model", "opus", "--delegation-model", "sonnet"), False, id="dearer"
        ),
    ],
)
def test_the_estimate_is_what_the_run_decides(sunwell, shop: Path, models, delegates: bool) -> None:
    """A run with the same models decides as foretold, to the amounts that its reason names."""
    foretold = json.loads(sunwell("estimate", CRUD, "-w", shop, *models, "--json").stdout)
    told = json.loads(sunwell("run", CRUD, "-w", shop, *models, "--json").stdout)
    assert foretold["decision"]["delegate"] == delegates
    assert ("delegating would cost about $" in foretold["decision"]["reason"]) != delegates
    assert told["delegation"]["decision"] == foretold["decision"]
    assert told["quote"]["sides"] == foretold["quote"]["sides"]


@pytest.mark.parametrize("env", [None, {}], ids=["with-keys", "without-keys"])
def test_limits_and_windows_of_each_model_bound_the_worst_case(sunwell, shop: Path, tmp_path, env) -> None:
    """The estimate reads what the run reads, and knows a role with settings of its own without a key."""
    settings = tmp_path / "settings.toml"
    settings.write_text(
        "max_output_tokens = 4000\n"
        '[smart_model]\nmodel = "opus"\nmax_output_tokens = 3000\n'
        '[delegation_model]\nmodel = "haiku"\nmax_output_tokens = 1000\n'
    )
    plain = ("--smart-model", "opus", "--delegation-model", "haiku", "--max-output-tokens", "4000")
    usual, own = (
        json.loads(sunwell("estimate", CRUD, "-w", shop, *arguments, "--json", env=env).stdout)["quote"]
        for arguments in (plain, ("--config", settings, "--trust-config"))
    )
    for side in ("delegated", "direct"):
        assert Decimal(own["sides"][side]["worst_usd"]) < Decimal(usual["sides"][side]["worst_usd"])
    (said,) = [line for line in own["assumptions"] if line.startswith("The worst case")]
    assert "answers of 3,000 tokens (1,000 of the delegation model)" in said


def test_the_expected_output_is_shown_as_a_range_with_its_reasons(sunwell, shop: Path) -> None:
    """What was counted, and what was not known; JSON has the same."""
    task = "Write 200 product descriptions and fix everything"
    done = sunwell("estimate", task, "-w", shop)
    output = json.loads(sunwell("estimate", task, "-w", shop, "--json").stdout)["quote"]["output"]
    low, expected, high = (output[f"{name}_tokens"] for name in ("low", "expected", "high"))
    assert 0 < low < 20_000 < expected < high
    assert f"Expected output: {expected:,} tokens, {low:,} to {high:,}" in done.stdout
    assert output["counted"] == ["200 product descriptions: 200 x 120 tokens"]
    assert output["unknown"] == ["the number of places is not given: 8 assumed"]
    for reason in (*output["counted"], *output["unknown"]):
        assert f"  · {reason}" in done.stdout


def test_two_hundred_descriptions_go_to_the_cheap_model(sunwell, shop: Path) -> None:
    """They are no small task for the dear one."""
    found = json.loads(sunwell("estimate", "200 product descriptions", "-w", shop, "--json").stdout)
    assert found["decision"]["delegate"]
    assert found["quote"]["chosen"] == "delegated"


def test_a_task_in_another_language_is_said_to_be_guessed(sunwell, shop: Path) -> None:
    """Its numbers count all the same."""
    done = sunwell("estimate", "Schreibe 200 Beschreibungen für den Katalog", "-w", shop)
    assert "  · the task is not in English: the estimate is a guess" in done.stdout
    assert "200 x " in done.stdout


def test_an_unknown_price_is_said(sunwell, shop: Path) -> None:
    """A model that no table names has an unknown price, never 0."""
    arguments = ("--model", "ollama/llama", "--delegation-model", "ollama/small")
    env = {"OLLAMA_BASE_URL": "http://127.0.0.1:9/v1"}
    done = sunwell("estimate", CRUD, "-w", shop, *arguments, env=env)
    assert done.exit_code == 0
    assert "unknown" in done.stdout
    assert "$0" not in done.stdout
    quote = json.loads(sunwell("estimate", CRUD, "-w", shop, *arguments, "--json", env=env).stdout)["quote"]
    assert quote["sides"]["direct"]["expected_usd"] is None


def test_a_name_that_means_nothing_is_refused(sunwell, shop: Path) -> None:
    """An unknown model is an error here, too."""
    done = sunwell("estimate", CRUD, "-w", shop, "--model", "gigamind")
    assert done.exit_code == 2
    assert "gigamind" in done.stderr


def test_a_threshold_moves_the_decision(sunwell, shop: Path) -> None:
    """The expected output is compared with the threshold that is given."""
    done = sunwell("estimate", "Write a parser for INI files", "-w", shop, "--threshold", "900000", "--json")
    assert json.loads(done.stdout)["decision"]["delegate"] is False
