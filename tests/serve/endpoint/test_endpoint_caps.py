"""What a key may spend, what a check and a cap make of a run, and who is told."""

import asyncio
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest

from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Asked, Reply, Simulator
from tests.serve.endpoint.serving import OTHER, TASK, replied, served

WIRES = ("chat", "responses", "messages")
MODEL = "sunwell/haiku"
ERRORS = (openai.APIStatusError, anthropic.APIStatusError)


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def endless(_: Asked) -> Reply:
    """A model that looks around at length and never comes to an end."""
    return Reply((ToolCall("", "list_files", '{"path": ".", "depth": null}'),), output_tokens=9_000)


def brief(asked: Asked) -> Reply:
    """A model that answers at once."""
    return Reply((Text("42"),))


ENDLESS, BRIEF = {"claude-haiku-5-5": endless}, {"claude-haiku-5-5": brief}


@pytest.mark.parametrize("simulator", [ENDLESS], indirect=True)
async def test_a_hundred_clients_on_one_key_and_a_dollar(root: Path, simulator: Simulator) -> None:
    """Each may spend ten cents, and would: nobody pays more than the dollar, and no other key is used."""
    ends: Counter[tuple[int, bool]] = Counter()

    async def client(number: int) -> None:
        try:
            await replied(endpoint, WIRES[number % 3], [user(f"Look, {number}.")], model=MODEL)
        except ERRORS as error:
            ends[error.status_code, "sunwell" in str(error.body)] += 1

    async with served(root, max_cost="0.1", total="1") as endpoint:
        await asyncio.gather(*(client(number) for number in range(100)))
        key, other = endpoint.keys.values()
    assert Decimal("0.8") < simulator.bill.total_usd() <= 1
    assert (key.purse.spent_usd, key.purse.out_usd) == (simulator.bill.total_usd(), 0)
    assert other.purse.spent_usd == 0
    assert ends[402, True] >= 10
    assert ends[402, True] + ends[402, False] == 100


@pytest.mark.parametrize("streams", [False, True])
@pytest.mark.parametrize("wire", WIRES)
@pytest.mark.parametrize("simulator", [ENDLESS], indirect=True)
async def test_a_run_that_meets_its_cap_is_an_error_with_its_bill(
    root: Path, simulator: Simulator, wire: str, streams: bool
) -> None:
    """In the words of each wire, also in the middle of a stream; and to ask again costs nothing."""
    async with served(root, max_cost="0.1") as endpoint:
        with pytest.raises((*ERRORS, openai.APIError)) as caught:
            await replied(endpoint, wire, [user("Look.")], model=MODEL, stream=streams)
        paid = simulator.bill.total_usd()
        with pytest.raises((*ERRORS, openai.APIError)):
            await replied(endpoint, wire, [user("Look.")], model=MODEL, stream=streams)
    assert Decimal("0.05") < paid <= Decimal("0.1")
    assert simulator.bill.total_usd() == paid
    body: Any = caught.value.body
    error = body.get("error", body)
    assert "run " in error["message"]
    assert "insufficient_quota" in (error.get("type"), error.get("code"))
    if "sunwell" in error:
        assert Decimal(error["sunwell"]["cost_usd"]) == paid


@pytest.mark.parametrize("simulator", [BRIEF], indirect=True)
@pytest.mark.parametrize("wire", WIRES)
async def test_a_check_decides_whether_an_answer_stands(root: Path, simulator: Simulator, wire: str) -> None:
    """One that stands says so; one that does not is an error, in which the answer can be read."""
    async with served(root, checks=("true",)) as endpoint:
        text, answer = await replied(endpoint, wire, [user("How many?")], model=MODEL)
        assert (text, answer.sunwell["verified"]) == ("42", True)
        assert answer.sunwell["verdict"].startswith("verified by true")
    async with served(root, checks=("false",)) as endpoint:
        with pytest.raises(ERRORS) as caught:
            await replied(endpoint, wire, [user("How much?")], model=MODEL)
    assert caught.value.status_code == 422
    body: Any = caught.value.body
    about = body.get("error", body)["sunwell"]
    assert (about["stop_reason"], about["verified"], about["answer"]) == ("check_failed", False, "42")
    assert caught.value.response.headers["x-sunwell-run-id"] == about["run_id"]
    assert caught.value.response.headers["x-sunwell-cost-usd"] == about["cost_usd"]


@pytest.mark.parametrize("simulator", [BRIEF], indirect=True)
async def test_a_purse_that_is_used_up_is_told_before_anything_is_spent(
    root: Path, simulator: Simulator
) -> None:
    """For that key alone."""
    async with served(root, total="0.000001") as endpoint:
        with pytest.raises(ERRORS, match="nothing was spent") as caught:
            await replied(endpoint, "chat", [user("How many?")], model=MODEL)
        assert caught.value.status_code == 402
        key, other = endpoint.keys.values()
        key.purse.spent_usd, other.purse.total_usd = key.purse.total_usd, Decimal(1)
        with pytest.raises(ERRORS, match="nothing was spent: all requests with this key") as caught:
            await replied(endpoint, "chat", [user("How many?")], model=MODEL)
        assert caught.value.status_code == 402
        async with endpoint.openai(OTHER) as client:
            answer = await client.chat.completions.create(model=MODEL, messages=[user("How?")])  # type: ignore
            assert answer.choices[0].message.content == "42"
    assert len(simulator.requests) == 1


@pytest.mark.parametrize("wire", WIRES)
async def test_a_delegated_run_has_both_models_in_its_bill(
    root: Path, simulator: Simulator, wire: str
) -> None:
    """And the lens of the smart one stays in the folder of the runs."""
    async with served(root) as endpoint:
        _, answer = await replied(endpoint, wire, [user(TASK)])
    models = {request.model for request in simulator.requests}
    assert models == {"claude-opus-5-5", "claude-haiku-5-5"}
    assert Decimal(answer.sunwell["cost_usd"]) == simulator.bill.total_usd()
