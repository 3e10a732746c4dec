"""A client delegates a task: the answer, the bill, the files, and the run that can be found again."""

from decimal import Decimal
from typing import Any

import pytest

from tests.serve.mcp_server.serving import MODES, TASK, connected, refused, serving, told


@pytest.mark.parametrize("mode", MODES)
async def test_a_task_is_done_and_its_bill_is_the_providers(root, simulator, mode: str) -> None:
    """In both forms of the protocol; the run is found by its id afterwards, free of charge."""
    lines: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        lines.append(message or "")

    async with connected(serving(root), mode) as client:
        found = told(await client.call_tool("delegate", {"task": TASK}, progress_callback=progress))
        paid = simulator.bill.total_usd()
        assert (found["status"], found["stop_reason"], found["root"]) == ("ok", "end", "shop")
        assert Decimal(found["cost_usd"]) == paid > 0
        assert found["cap_usd"] == "1"
        assert {one["model"] for one in found["by_model"]} == {"claude-opus-5-5", "claude-haiku-5-5"}
        assert "shop/endpoints/customer.py" in [one["path"] for one in found["files"]]
        assert found["answer"]
        assert lines[0].startswith(f"run {found['run_id']} begins")
        again = told(await client.call_tool("report", {"run_id": found["run_id"]}))
        assert again["run"] == found
        assert again["purse"]["spent_usd"] == found["cost_usd"]
        listed = told(await client.call_tool("report"))
        assert [one["run_id"] for one in listed["runs"]] == [found["run_id"]]
        assert simulator.bill.total_usd() == paid


@pytest.mark.parametrize("mode", MODES)
async def test_an_estimate_is_free_and_names_the_way(root, simulator, mode: str) -> None:
    """Nobody is asked; a cap that holds the first call is named."""
    async with connected(serving(root), mode) as client:
        found = told(await client.call_tool("estimate", {"task": TASK}))
    assert found["chosen"] in {way["name"] for way in found["ways"]} >= {"delegated", "direct"}
    assert 0 < Decimal(found["least_cap_usd"]) < 1
    assert found["models"]["smart_model"] == "claude-opus-5-5"
    assert not simulator.requests


async def test_an_estimate_names_the_way_that_a_run_takes(root, simulator) -> None:
    """With delegation off, that is the model alone, however cheap it were to delegate."""
    way: dict[str, Any] = {"smart_model": None, "delegation_model": None, "model": "haiku"}
    for settings, chosen, reason in (
        (way, "direct", "delegation is off: claude-haiku-5-5 does the task"),
        ({"enable_delegation": False}, "direct", "delegation is off: claude-opus-5-5 does the task"),
        ({}, "delegated", "expected"),
    ):
        async with connected(serving(root, **settings), "legacy") as client:
            found = told(await client.call_tool("estimate", {"task": TASK}))
        assert found["chosen"] == chosen
        assert reason in found["reason"]
    assert not simulator.requests


async def test_what_is_not_known_is_said_in_a_sentence(root, simulator) -> None:
    """An argument that there is not, a number that is none, an empty task, a run and a root."""
    async with connected(serving(root), "legacy") as client:
        for name, arguments, sentence in (
            ("delegate", {"task": TASK, "model": "opus"}, "delegate has no argument 'model'; it has: task"),
            (
                "delegate",
                {"task": TASK, "max_cost_usd": "much"},
                "max_cost_usd: Input should be a valid number",
            ),
            ("delegate", {"task": TASK, "max_cost_usd": -1}, "Input should be greater than 0"),
            ("delegate", {"task": " "}, "the task is empty: say in a sentence what is to be done"),
            ("delegate", {"task": TASK, "root": "other"}, "this server has no root 'other'; it has: 'shop'"),
            ("report", {"run_id": "0199"}, "no run under"),
            ("resume", {"run_id": "0199"}, "no run under"),
            ("undo", {"run_id": ""}, "name a run by its id"),
        ):
            said = refused(await client.call_tool(name, arguments))
            assert sentence in said
            assert "\n" not in said
    assert not simulator.requests


async def test_each_tool_has_a_schema_for_what_it_gives(root) -> None:
    """Descriptions are constant: nothing of the workspace is in them."""
    async with connected(serving(root), "legacy") as client:
        listed = (await client.list_tools()).tools
    names = ["delegate", "batch", "ask", "estimate", "resume", "report", "undo"]
    assert [tool.name for tool in listed] == names
    hints = {tool.name: tool.annotations for tool in listed}
    assert [name for name, one in hints.items() if one.read_only_hint] == ["estimate", "report"]
    assert [name for name, one in hints.items() if one.destructive_hint is False] == ["ask"]
    for tool in listed:
        assert tool.output_schema is not None
        assert tool.output_schema["type"] == "object"
        assert tool.description
        assert "shop" not in tool.model_dump_json()
