"""A run as one object."""

import json
from decimal import Decimal

import attrs

from sunwell.core.model import Usage
from sunwell.core.task import Bill, BillLine, TaskResult, Total
from sunwell.report import summarize
from tests.report.conftest import LENS, WORK, delegated, line


def test_the_object_is_json_and_says_how_the_run_ended(prices) -> None:
    """Plain JSON values: status, answer, files with what happened to them, where the journal is."""
    told = json.loads(json.dumps(summarize(delegated(LENS, WORK), prices=prices)))
    assert (told["status"], told["stop_reason"], told["answer"]) == ("ok", "end", "It is done.")
    assert [(file["path"], file["change"]) for file in told["files"]] == [
        ("a.py", "made"),
        ("b.py", "changed"),
        ("c.py", "removed"),
    ]
    assert (told["run_id"], told["journal"]) == ("01", "/w/.sunwell/runs/01/journal.jsonl")
    assert told["delegation"]["decision"]["delegate"] is True
    assert told["delegation"]["lens"]["heuristics"] == ["Look first."]
    assert told["quote"] is None
    assert told["price_date"] == "2026-01-02"


def test_amounts_are_text_with_every_digit(prices) -> None:
    """A sum of decimals stays exact on its way through JSON."""
    tiny = line("cheap", "work", Usage(1, 1), "0.000000000123", depth=1)
    told = summarize(delegated(LENS, tiny), prices=prices)
    assert told["cost_usd"] == "0.150000000123"


def test_the_parts_add_up_to_the_whole(prices) -> None:
    """By model, provider, depth and purpose, tokens and dollars are the same in sum."""
    told = summarize(delegated(LENS, WORK), prices=prices)
    for part in ("by_model", "by_provider", "by_depth", "by_purpose"):
        assert sum(Decimal(row["cost_usd"]) for row in told[part]) == Decimal("0.35"), part
        assert sum(row["usage"]["total_tokens"] for row in told[part]) == told["usage"]["total_tokens"], part
    assert [row["depth"] for row in told["by_depth"]] == [0, 1]
    assert [row["purpose"] for row in told["by_purpose"]] == ["lens", "work"]


def test_the_smart_model_alone_is_marked_as_an_estimate(prices) -> None:
    """With its basis, and negative where delegating was dearer."""
    small = line("cheap", "work", Usage(1_000, 100), "0.0015", depth=1)
    alone = summarize(delegated(LENS, small), prices=prices)["smart_alone"]
    assert alone["is_estimate"] is True
    assert (alone["estimated_usd"], alone["saved_usd"], alone["saved_percent"]) == (
        "0.015",
        "-0.1365",
        -910.0,
    )
    assert "estimate" in alone["basis"]


def test_an_unknown_cost_is_null(prices) -> None:
    """Unknown is never 0, in all and in its part."""
    told = summarize(delegated(LENS, line("mystery", "work", Usage(5, 5), None, depth=1)), prices=prices)
    assert told["cost_usd"] is None
    assert {row["model"]: row["cost_usd"] for row in told["by_model"]} == {"mystery": None, "smart": "0.15"}


def test_what_is_uncertain_stands_apart(prices) -> None:
    """The bound for a call without usage is in neither tokens nor cost."""
    cut = BillLine("cheap", "acme", 1, "work", Total(0, Usage(), Decimal(0), 1, 500, Decimal("0.07")))
    told = summarize(delegated(LENS, cut), prices=prices)
    assert (told["cost_usd"], told["uncertain_usd"]) == ("0.15", "0.07")
    assert told["usage"]["total_tokens"] == 11_000


def test_a_run_without_delegation_has_no_decision() -> None:
    """Where delegation was off, decision, reason and lens are null, and nothing is compared."""
    result = TaskResult("Do it", "error", "model_error", error="it is down", bill=Bill())
    told = summarize(attrs.evolve(result, run_id="01"))
    assert told["delegation"] == {
        "decision": None,
        "reason": None,
        "lens": None,
        "lens_left_out": [],
        "lens_source": None,
        "lens_test": None,
        "not_delegated": None,
    }
    assert (told["smart_alone"], told["error"], told["cost_usd"]) == (None, "it is down", "0")
