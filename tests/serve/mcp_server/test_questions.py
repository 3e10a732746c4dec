"""Questions to a person: before money is spent, before a file is written; or a refusal."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.report.figures import dollars
from sunwell.serve.mcp_server.held_call import HeldCall
from sunwell.serve.root_settings import ServerTerms
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.testing import run_virtual
from tests.serve.mcp_server.serving import MODES, TASK, answering, connected, refused, serving, told

WORK = "claude-haiku-5-5"
CONFIRMED = ServerTerms(Decimal("0.31"), confirm_above_usd=Decimal("0.001"))
APPROVED = ServerTerms(Decimal(1), approves=True)


def writing(asked: Asked) -> Reply:
    """A model that writes the file that it is told of, and ends with what came of it."""
    last = asked.messages[-1].parts[-1]
    told_all = "".join(part.text for part in asked.messages[0].parts if isinstance(part, Text))
    path = ".envrc" if "envrc" in told_all else "note.txt"
    if isinstance(last, ToolResult):
        return Reply((Text(last.content),))
    return Reply((ToolCall("", "write_file", json.dumps({"path": path, "content": "Hello.\n"})),))


@pytest.fixture
def writer(monkeypatch: pytest.MonkeyPatch):
    """Run a provider of a model that writes."""
    with running_simulator(Simulator({WORK: writing})) as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "simulated-key")
        yield running


@pytest.mark.parametrize("mode", MODES)
async def test_a_person_is_asked_before_much_is_spent(root, simulator, mode: str) -> None:
    """With the cap and what is expected. No, and no answer at all, cost nothing; yes goes on."""
    answer, asked = answering(False, True)
    async with connected(serving(root, terms=CONFIRMED), mode, elicitation_callback=answer) as client:
        said = refused(await client.call_tool("delegate", {"task": TASK}))
        assert "a person said no, or nobody answered; not begun, and nothing was spent" in said
        assert not simulator.requests
        assert told(await client.call_tool("delegate", {"task": TASK}))["status"] == "ok"
    assert asked[0] == asked[1]
    assert asked[0].startswith("Spend up to $0.31? ($0.")
    assert asked[0].endswith(" expected)")


@pytest.mark.parametrize("mode", MODES)
async def test_a_client_that_cannot_ask_is_told_so(root, simulator, mode: str) -> None:
    """Before anything is spent; what costs less than the limit needs no question."""
    async with connected(serving(root, terms=CONFIRMED), mode) as client:
        said = refused(await client.call_tool("delegate", {"task": TASK}))
        assert "a person is asked first (--confirm-above), which this client cannot do (elicitation)" in said
        assert told(await client.call_tool("estimate", {"task": TASK}))
    async with connected(serving(root, terms=APPROVED), mode) as client:
        for name, arguments in (("delegate", {"task": TASK}), ("batch", {"tasks": [{"text": TASK}]})):
            said = refused(await client.call_tool(name, arguments))
            assert "approved by a person (--approve), and this client cannot ask one" in said
    assert not simulator.requests
    high = ServerTerms(Decimal(1), confirm_above_usd=Decimal(5))
    async with connected(serving(root, terms=high), mode) as client:
        assert told(await client.call_tool("delegate", {"task": TASK}))["status"] == "ok"


async def test_nobody_is_asked_if_the_cap_is_within_the_limit(root, simulator) -> None:
    """Whatever is expected, the run cannot cost more; so a client that cannot ask may start it, too."""
    batch = {"tasks": [{"text": "Write endpoints for order"}]}
    async with connected(serving(root, terms=CONFIRMED), "legacy") as client:
        for name, arguments in (("delegate", {"task": TASK}), ("batch", batch)):
            within = told(await client.call_tool(name, {**arguments, "max_cost_usd": 0.001}))
            assert Decimal(within["cost_usd"]) <= Decimal("0.001")
            said = refused(await client.call_tool(name, {**arguments, "max_cost_usd": 0.002}))
            assert "a person is asked first (--confirm-above)" in said


@pytest.mark.parametrize("mode", MODES)
async def test_a_person_is_asked_before_a_run_goes_on(root, simulator, mode: str) -> None:
    """With what it may still cost; without a question if that is within the limit, or if it has finished."""
    low = {"task": TASK, "max_cost_usd": 0.004}
    async with connected(serving(root), mode) as client:
        stopped = told(await client.call_tool("delegate", low))
    assert stopped["stop_reason"] == "budget_usd"
    spent = Decimal(stopped["cost_usd"]) + Decimal(stopped["uncertain_usd"])
    sent = len(simulator.requests)
    again = {"run_id": stopped["run_id"], "max_cost_usd": 0.3}
    async with connected(serving(root, terms=CONFIRMED), mode) as client:
        said = refused(await client.call_tool("resume", again))
        assert "a person is asked first (--confirm-above), which this client cannot do (elicitation)" in said
        assert told(await client.call_tool("resume", {**again, "max_cost_usd": 0.004}))["status"] != "ok"
    answer, asked = answering(False, True)
    async with connected(serving(root, terms=CONFIRMED), mode, elicitation_callback=answer) as client:
        said = refused(await client.call_tool("resume", again))
        assert "a person said no, or nobody answered; not begun, and nothing was spent" in said
        assert len(simulator.requests) == sent
        assert told(await client.call_tool("resume", again))["status"] == "ok"
        assert told(await client.call_tool("resume", again))["status"] == "ok"
    assert asked == [f"Spend up to {dollars(Decimal('0.3') - spent)}? (nobody knows what is expected)"] * 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("yes", [True, False])
async def test_a_write_is_approved_or_not_done(writer, tmp_path: Path, mode: str, yes: bool) -> None:
    """The person sees the change; the model reads what was decided, and the run goes on."""
    answer, asked = answering(yes)
    server = serving(tmp_path, terms=APPROVED, smart_model=None, delegation_model=None, model="haiku")
    async with connected(server, mode, elicitation_callback=answer) as client:
        found = told(await client.call_tool("delegate", {"task": "Write a note."}))
    assert len(asked) == 1
    assert "note.txt" in asked[0]
    assert "+Hello." in asked[0]
    assert (tmp_path / "note.txt").exists() is yes
    assert [one["path"] for one in found["files"]] == (["note.txt"] if yes else [])
    assert found["status"] == "ok"
    assert ("was not approved" in found["answer"]) is not yes


@pytest.mark.parametrize("mode", MODES)
async def test_undo_asks_for_what_other_programs_run(writer, tmp_path: Path, mode: str) -> None:
    """All else is put back without a question; a client that cannot ask leaves such a file."""
    answer, asked = answering(True)
    model = {"smart_model": None, "delegation_model": None, "model": "haiku"}
    async with connected(serving(tmp_path, **model, allow_write=[".envrc"]), mode) as client:
        note = told(await client.call_tool("delegate", {"task": "Write a note."}))["run_id"]
        file = told(await client.call_tool("delegate", {"task": "Write the envrc."}))["run_id"]
        assert told(await client.call_tool("undo", {"run_id": note}))["removed"] == ["note.txt"]
        assert not (tmp_path / "note.txt").exists()
    async with connected(serving(tmp_path, **model), mode) as client:
        left = told(await client.call_tool("undo", {"run_id": file}))
        assert [one["path"] for one in left["skipped"]] == [".envrc"]
        assert "only a person can allow it, and this client cannot ask one" in left["skipped"][0]["reason"]
        assert (tmp_path / ".envrc").exists()
    async with connected(serving(tmp_path, **model), mode, elicitation_callback=answer) as client:
        assert told(await client.call_tool("undo", {"run_id": file}))["removed"] == [".envrc"]
    assert asked[0].startswith("Remove '.envrc'?\nAsked because ")
    assert not (tmp_path / ".envrc").exists()


async def test_an_answer_without_its_question_does_nothing(root, simulator) -> None:
    """A state that was used, or that somebody made up, is refused."""
    answer, _ = answering(False)
    async with connected(serving(root, terms=CONFIRMED), "2026-07-28", elicitation_callback=answer) as client:
        first = await client.session.call_tool("delegate", {"task": TASK}, allow_input_required=True)
        assert first.request_state
        second = await client.session.call_tool(
            "delegate", {"task": TASK}, request_state=first.request_state, allow_input_required=True
        )
        assert "nothing was spent" in refused(second)
        third = await client.session.call_tool(
            "delegate", {"task": TASK}, request_state=first.request_state, allow_input_required=True
        )
        assert "not open any more" in refused(third)
        with pytest.raises(Exception, match="Invalid or expired requestState"):
            await client.session.call_tool(
                "delegate", {"task": TASK}, request_state="made-up", allow_input_required=True
            )
    assert not simulator.requests


async def test_a_question_that_is_abandoned_is_forgotten(root, simulator) -> None:
    """With its call: a client that comes back late is told where to look, and the server keeps nothing."""
    answer, _ = answering(True)
    server = serving(root, terms=CONFIRMED, answer_seconds=0.05)
    async with connected(server, "2026-07-28", elicitation_callback=answer) as client:
        first = await client.session.call_tool("delegate", {"task": TASK}, allow_input_required=True)
        assert first.request_state
        async with asyncio.timeout(20):
            while server.open_calls:
                await client.list_tools()
        late = await client.session.call_tool(
            "delegate", {"task": TASK}, request_state=first.request_state, allow_input_required=True
        )
        assert "not open any more: see with report whether a run had begun" in refused(late)
    assert not simulator.requests


def test_a_question_that_nobody_answers_stops_the_work() -> None:
    """After ten minutes, and what waits behind it is not asked any more."""

    async def main() -> list[bool]:
        loop, said = asyncio.get_running_loop(), list[bool]()
        call: HeldCall[None] = HeldCall(can_ask=True)
        stopped = loop.create_future()
        call.stop_with = lambda: stopped.set_result(loop.time())

        async def work(held: HeldCall[None]) -> None:
            said.extend(await asyncio.gather(held.ask("One?"), held.ask("Two?")))

        call.begin(work)
        await call.ended()
        assert stopped.result() == pytest.approx(600, abs=1)
        return said

    assert run_virtual(main()) == [False, False]
