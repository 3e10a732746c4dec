"""Many tasks, questions about files, and what of a run can be read afterwards."""

import json
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.agent.lens.skill_file import parsed_skill
from sunwell.serve.mcp_server.run_uris import RunUri
from sunwell.serve.root_settings import ServerTerms
from tests.serve.mcp_server.serving import MODES, TASK, answering, connected, refused, serving, told


@pytest.mark.parametrize("mode", MODES)
async def test_many_tasks_share_a_cap_and_a_lens(root, simulator, mode: str) -> None:
    """Each has its own result, in the order of the tasks."""
    tasks = [
        {"text": f"Write endpoints for {name}", "target_files": [f"shop/endpoints/{name}.py"]}
        for name in ("order", "supplier", "invoice")
    ]
    async with connected(serving(root), mode) as client:
        found = told(await client.call_tool("batch", {"tasks": tasks}))
        assert (found["status"], len(found["tasks"])) == ("ok", 3)
        assert [one["task"][:30] for one in found["tasks"]] == [one["text"][:30] for one in tasks]
        assert sum(Decimal(one["cost_usd"]) for one in found["tasks"]) < Decimal(found["cost_usd"])
        assert simulator.bill.total_usd() == Decimal(found["cost_usd"])
        for given, sentence in (
            ([], "give between 1 and 1,000 tasks; not begun, and nothing was spent"),
            ([{"text": " "}], "tasks.0.text: String should match pattern"),
            ([{"text": "Look.", "check": "ls"}], "tasks.0.check: Extra inputs are not permitted"),
            ([{"text": "Look."}] * 1_001, "give between 1 and 1,000 tasks"),
        ):
            assert sentence in refused(await client.call_tool("batch", {"tasks": given}))
        assert simulator.bill.total_usd() == Decimal(found["cost_usd"])


@pytest.mark.parametrize("mode", MODES)
async def test_a_long_file_is_asked_about(tmp_path: Path, simulator, mode: str) -> None:
    """The answer says how much was read, and the bill is the provider's; a person is asked."""
    pytest.importorskip("pydantic_monty")
    lines = [f"2026-11-30 INFO request {number} served in {number % 97} ms" for number in range(120_000)]
    lines[70_000] = "2026-11-30 ERROR disk full on node 70000"
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "app.log").write_text("\n".join(lines))
    answer, asked = answering(True)
    terms = ServerTerms(Decimal(1), confirm_above_usd=Decimal("0.00001"))
    server = serving(tmp_path, terms=terms, answer_memory=False)
    async with connected(server, mode, elicitation_callback=answer) as client:
        arguments = {"question": "What are the 'ERROR' lines about?", "contexts": ["logs/*.log"]}
        found = told(await client.call_tool("ask", arguments))
        assert found["status"] == "ok"
        assert "ERROR disk full on node 70000" in found["answer"]
        assert "Coverage, from the harness" in found["answer"]
        assert Decimal(found["cost_usd"]) == simulator.bill.total_usd()
        assert asked[0].startswith("Spend up to $1.00? (")
        assert "call" in asked[1]
        assert "name at least one" in refused(
            await client.call_tool("ask", {"question": "What?", "contexts": []})
        )
    assert not (tmp_path / "logs" / ".sunwell").exists()


@pytest.mark.parametrize("mode", MODES)
async def test_runs_and_lenses_can_be_read(root, simulator, mode: str) -> None:
    """The lens is a skill as other agents read it; what there is not is said in a sentence."""
    async with connected(serving(root), mode) as client:
        run_id = told(await client.call_tool("delegate", {"task": TASK}))["run_id"]
        listed = {str(one.uri): one for one in (await client.list_resources()).resources}
        assert list(listed) == [
            f"sunwell://shop/runs/{run_id}/report",
            f"skill://sunwell/shop/{run_id}/SKILL.md",
        ]
        report = json.loads((await client.read_resource(next(iter(listed)))).contents[0].text)
        assert (report["run_id"], report["status"], report["task"]) == (run_id, "ok", TASK)
        skill = (await client.read_resource(f"skill://sunwell/shop/{run_id}/SKILL.md")).contents[0]
        assert skill.mime_type == "text/markdown"
        assert parsed_skill(skill.text).is_own
        assert len((await client.list_resource_templates()).resource_templates) == 3
        for uri, sentence in (
            ("sunwell://shop/runs/0000/report", "no run under"),
            ("sunwell://other/runs/0000/report", "this server has no root 'other'"),
            ("sunwell://shop/runs/%2e%2e%2f/answer", "no run under"),
            ("sunwell://shop/files/secret", "there is no such resource"),
            ("skill://sunwell/../../SKILL.md", "this server has no root '..'"),
        ):
            with pytest.raises(Exception, match=sentence):
                await client.read_resource(uri)


@pytest.mark.parametrize("part", ["report", "answer", "skill"])
@pytest.mark.parametrize("name", ["shop", "my shop", "läden", "a/b%2f", "SKILL.md", "runs"])
def test_addresses_are_read_as_they_are_written(name: str, part: str) -> None:
    """Whatever a root is called."""
    uri = RunUri(name, "0199-a", part)  # type: ignore[arg-type]
    assert RunUri.read(str(uri)) == uri
