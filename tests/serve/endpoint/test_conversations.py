"""A client sends its whole conversation each time: what goes on, what begins anew, and what is paid once."""

import asyncio
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import httpx2
import openai
import pytest

from sunwell.core.message import Text, ToolCall
from sunwell.journal import list_runs, read_records
from sunwell.journal.records import RunClosed
from sunwell.journal.retention import is_running
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, running_simulator
from tests.serve.endpoint.serving import OTHER, TOKEN, Served, replied, served

WIRES = ("chat", "responses", "messages")
MODEL = "sunwell/haiku"


def counting(asked: Asked) -> Reply:
    """A model that says how many messages it was sent, and what the last one was."""
    last = "".join(part.text for part in asked.messages[-1].parts if isinstance(part, Text))
    return Reply((Text(f"{len(asked.messages)}: {last.splitlines()[0][:40]}"),))


WORK = {"claude-haiku-5-5": counting}
pytestmark = pytest.mark.parametrize("simulator", [WORK], indirect=True)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def texts_of(simulator: Simulator) -> str:
    """Return the last message that the model was sent."""
    content = simulator.requests[-1].body["messages"][-1]["content"]
    return content if isinstance(content, str) else "".join(part.get("text", "") for part in content)


@pytest.mark.parametrize("wire", WIRES)
async def test_the_next_question_goes_on_with_the_run(root: Path, simulator: Simulator, wire: str) -> None:
    """Its model is sent the whole conversation as it was, so that the provider's cache still has it."""
    async with served(root) as endpoint:
        first, _ = await replied(endpoint, wire, [user("What is here?")], model=MODEL)
        messages = [user("What is here?"), assistant(f" {first}\n"), user("And there?")]
        second, answer = await replied(endpoint, wire, messages, model=MODEL)
        third, _ = await replied(
            endpoint, wire, [*messages, assistant(second), user("And then?")], model=MODEL
        )
    assert (first, second, third) == ("1: What is here?", "3: And there?", "5: And then?")
    before, after = (request.body["messages"] for request in simulator.requests[:2])
    assert [message["role"] for message in after] == ["user", "assistant", "user"]
    assert str(before[0]["content"])[:20] == str(after[0]["content"])[:20]
    assert len(list_runs(root)) == 3
    assert answer.sunwell["stop_reason"] == "end"


@pytest.mark.parametrize("wire", WIRES)
async def test_it_goes_on_after_the_server_was_started_again(
    root: Path, simulator: Simulator, wire: str
) -> None:
    """As long as the key is the same one."""
    async with served(root) as endpoint:
        first, _ = await replied(endpoint, wire, [user("What is here?")], model=MODEL)
    messages = [user("What is here?"), assistant(first), user("And there?")]
    async with served(root) as endpoint:
        assert (await replied(endpoint, wire, messages, model=MODEL))[0] == "3: And there?"


@pytest.mark.parametrize("changed", ["key", "model", "system", "earlier words"])
async def test_what_is_another_conversation_begins_a_run(
    root: Path, simulator: Simulator, changed: str
) -> None:
    """With what was said before in a block of its own, which no text in it closes."""
    async with served(root) as endpoint:
        first, _ = await replied(endpoint, "messages", [user("What is here?")], model=MODEL)
        said = "What is here?" if changed != "earlier words" else "What was here?\n```\n[it failed]"
        more: dict[str, Any] = {"system": "Be brief."} if changed == "system" else {}
        name = "sunwell" if changed == "model" else MODEL
        async with endpoint.anthropic(OTHER if changed == "key" else TOKEN) as client:
            messages: Any = [user(said), assistant(first), user("And there?")]
            answer = await client.messages.create(
                model=name, max_tokens=100, messages=messages, **more, extra_headers={"x-a": "b"}
            )
    assert answer.content[0].text == "1: And there?"
    sent = texts_of(simulator)
    assert "What was said before in this conversation, oldest first:" in sent
    assert "assistant: 1: What is here?" in sent
    if changed == "earlier words":
        assert "\n````\n" in sent
        assert "\n\\[it failed]" in sent


async def test_an_answer_is_named_by_its_id(root: Path, simulator: Simulator) -> None:
    """The client sends the new words alone; an id that nobody was given is refused."""
    async with served(root) as endpoint, endpoint.openai() as client:
        first = await client.responses.create(model=MODEL, input="What is here?")
        second = await client.responses.create(model=MODEL, input="And there?", previous_response_id=first.id)
        third = await client.responses.create(model=MODEL, input="And then?", previous_response_id=second.id)
        assert [second.output_text, third.output_text] == ["3: And there?", "5: And then?"]
        paid = len(simulator.requests)
        for more in (
            {"previous_response_id": "resp_nobody"},
            {"previous_response_id": first.id, "instructions": "Be brief."},
        ):
            with pytest.raises(openai.BadRequestError, match="names no answer that this key got"):
                await client.responses.create(model=MODEL, input="And?", **more)  # type: ignore[arg-type]
        async with endpoint.openai(OTHER) as other:
            with pytest.raises(openai.BadRequestError, match="names no answer that this key got"):
                await other.responses.create(model=MODEL, input="And?", previous_response_id=first.id)
    assert len(simulator.requests) == paid


async def posted(endpoint: Served, body: dict[str, Any], **headers: str) -> httpx2.Response:
    """Send a request to Messages as it is."""
    told = {"x-api-key": TOKEN, **{name.replace("_", "-"): value for name, value in headers.items()}}
    async with httpx2.AsyncClient(trust_env=False, timeout=60) as client:
        return await client.post(f"{endpoint.url}/v1/messages", json=body, headers=told)


BODY = {"model": MODEL, "max_tokens": 100, "messages": [user("What is here?")]}


async def test_a_request_that_is_sent_again_is_paid_once(root: Path, simulator: Simulator) -> None:
    """An SDK says that it tries again, or the caller names the request; without that it is a new question."""
    async with served(root) as endpoint:
        first = await posted(endpoint, BODY)
        again = await posted(endpoint, BODY, x_stainless_retry_count="1")
        assert again.json()["id"] == first.json()["id"]
        assert again.json()["content"] == first.json()["content"]
        assert len(simulator.requests) == 1
        other = await posted(endpoint, BODY, x_stainless_retry_count="0")
        assert other.json()["id"] != first.json()["id"]
        named = [await posted(endpoint, BODY, idempotency_key="mine") for _ in range(2)]
        assert len({one.json()["id"] for one in named}) == 1
        assert named[0].json()["id"] not in (first.json()["id"], other.json()["id"])
        assert len(simulator.requests) == 3
        [key, _] = endpoint.keys.values()
        assert key.purse.spent_usd == simulator.bill.total_usd()


async def test_a_request_that_is_named_twice_at_once_is_one_run(root: Path, simulator: Simulator) -> None:
    """Both get its answer."""
    async with served(root) as endpoint:
        both = await asyncio.gather(*(posted(endpoint, BODY, idempotency_key="mine") for _ in range(9)))
    assert len({one.json()["id"] for one in both}) == len(simulator.requests) == 1


STALLING = FaultRule(Fault(stall_before_seconds=600), numbers=(2,))


async def test_a_client_that_goes_away_stops_its_run(root: Path, simulator, monkeypatch) -> None:
    """What was paid is kept; the same request goes on with it, and nothing is paid twice."""
    with running_simulator(Simulator({"claude-haiku-5-5": looking}, faults=(STALLING,))) as stalling:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stalling.url)
        async with served(root) as endpoint:
            async with endpoint.anthropic() as client:
                asking = asyncio.create_task(client.messages.create(**BODY))  # type: ignore[call-overload]
                async with asyncio.timeout(30):
                    while len(stalling.requests) < 2:
                        await client.models.list()
                asking.cancel()
                await asyncio.wait((asking,))
            [run] = list_runs(root)
            async with asyncio.timeout(30):
                while await asyncio.to_thread(is_running, run):
                    pass
            closed = [one for one in read_records(run.path) if isinstance(one, RunClosed)]
            assert [one.status for one in closed] == ["cancelled"]
            answer = (await posted(endpoint, BODY)).json()
            assert answer["sunwell"]["run_id"] == run.run_id
            assert answer["content"][0]["text"] == "found"
            assert len(stalling.requests) == 3  # the one without an answer was asked again
            [key, _] = endpoint.keys.values()
            assert key.purse.out_usd == 0
            cost, besides = (Decimal(answer["sunwell"][name] or 0) for name in ("cost_usd", "uncertain_usd"))
            assert cost <= stalling.bill.total_usd() <= cost + besides == key.purse.spent_usd


def looking(asked: Asked) -> Reply:
    """A model that looks once, and then knows."""
    if len(asked.messages) == 1:
        return Reply((ToolCall("", "list_files", '{"path": "."}'),))
    return Reply((Text("found"),))


async def test_the_end_of_the_server_is_told(root: Path, simulator, monkeypatch) -> None:
    """Its runs are stopped in good order, and their clients may send the request again."""
    with running_simulator(Simulator({"claude-haiku-5-5": looking}, faults=(STALLING,))) as stalling:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", stalling.url)
        async with served(root) as endpoint, endpoint.anthropic() as client:
            asking = asyncio.create_task(client.messages.create(**BODY))  # type: ignore[call-overload]
            async with asyncio.timeout(30):
                while len(stalling.requests) < 2:
                    await client.models.list()
            await endpoint.endpoint.runs.stop()
            told = pytest.raises(anthropic.InternalServerError, match=r"was stopped .*goes on with it")
            with told as caught:
                await asking
            assert caught.value.status_code == 503
