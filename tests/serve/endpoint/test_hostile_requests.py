"""Who must not get an answer: one sentence each, before the body has come, and nothing is spent."""

import json
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sunwell.core.message import Text
from sunwell.simulator import Asked, Reply, Simulator
from tests.serve.endpoint.serving import OTHER, TOKEN, Served, served

MODEL = "sunwell/haiku"


def brief(asked: Asked) -> Reply:
    """A model that answers at once."""
    return Reply((Text("42"),))


pytestmark = pytest.mark.parametrize("simulator", [{"claude-haiku-5-5": brief}], indirect=True)
BODY = {"model": MODEL, "max_tokens": 9, "messages": [{"role": "user", "content": "How many?"}]}
BEARER = {"authorization": f"Bearer {TOKEN}"}


async def said_to(
    endpoint: Served, headers: dict[str, str], *, path: str = "/v1/messages", **given: Any
) -> httpx2.Response:
    """Send a request as it is written."""
    method = given.pop("method", "POST")
    given = given or {"json": BODY}
    async with httpx2.AsyncClient(trust_env=False, timeout=30) as client:
        return await client.request(method, f"{endpoint.url}{path}", headers=headers, **given)


@pytest.mark.parametrize(
    ("headers", "status", "sentence"),
    [
        pytest.param({}, 401, "the token is missing or wrong", id="none"),
        pytest.param({"authorization": "Bearer other"}, 401, "the token is missing or wrong", id="wrong"),
        pytest.param({"x-api-key": ""}, 401, "the token is missing or wrong", id="empty"),
        pytest.param({"authorization": f"Basic {TOKEN}"}, 401, "the token is missing", id="other-scheme"),
        pytest.param({**BEARER, "x-api-key": OTHER}, 401, "the token is missing or wrong", id="two-keys"),
        pytest.param({**BEARER, "x-api-key": "other"}, 401, "the token is missing or wrong", id="one-wrong"),
        pytest.param({**BEARER, "origin": "http://evil.example"}, 403, "from another site", id="origin"),
        pytest.param({**BEARER, "host": "evil.example"}, 403, "the Host is not the address", id="host"),
    ],
)
async def test_others_get_one_sentence(
    root: Path, simulator: Simulator, headers: dict[str, str], status: int, sentence: str
) -> None:
    """In the form of an error of the vendors."""
    async with served(root) as endpoint:
        answer = await said_to(endpoint, headers)
    assert answer.status_code == status
    assert sentence in answer.json()["error"]["message"]
    assert not simulator.requests


async def test_a_key_is_taken_where_each_vendor_puts_it(root: Path, simulator: Simulator) -> None:
    """Also in both places, as some clients do."""
    async with served(root) as endpoint:
        for headers in (BEARER, {"x-api-key": TOKEN}, {**BEARER, "x-api-key": TOKEN}):
            answer = await said_to(endpoint, headers)
            assert answer.json()["content"][0]["text"] == "42"


@pytest.mark.parametrize(
    ("given", "status", "sentence"),
    [
        ({"content": b"{"}, 400, "the body is not JSON"),
        ({"content": b"[1]"}, 400, "the body must be a JSON object"),
        ({"content": b"[" * 90_000}, 400, "the body is not JSON"),
        ({"content": b"x" * 200_000}, 413, "the body is longer than 100,000 bytes"),
        ({"json": {**BODY, "model": "claude-opus-5-5"}}, 404, "there is no model 'claude-opus-5-5' here"),
        ({"json": {**BODY, "model": "sunwell/../opus"}}, 404, "there is no model 'sunwell/../opus' here"),
        ({"json": {**BODY, "tools": [{"name": "f"}]}}, 400, "tools of clients are not supported"),
    ],
)
async def test_what_cannot_be_read_is_refused(
    root: Path, simulator: Simulator, given: dict[str, Any], status: int, sentence: str
) -> None:
    """And a client's model cannot choose another one."""
    async with served(root) as endpoint:
        answer = await said_to(endpoint, BEARER, **given)
        assert answer.status_code == status
        assert sentence in answer.json()["error"]["message"]
        [key, _] = endpoint.keys.values()
        assert (key.purse.spent_usd, key.purse.out_usd) == (0, 0)
    assert not simulator.requests


async def test_other_addresses_and_methods_are_not_there(root: Path, simulator: Simulator) -> None:
    """No path leads into the folder."""
    async with served(root) as endpoint:
        for path in (
            "/",
            "/v1",
            "/v1/files",
            "/v1/../README.md",
            "/v1/models/..%2f..%2fREADME.md",
            "/README.md",
        ):
            assert (await said_to(endpoint, BEARER, path=path, method="GET")).status_code == 404, path
        assert (await said_to(endpoint, BEARER, method="GET")).status_code == 405
        found = await said_to(endpoint, BEARER, path=f"/v1/models/{MODEL}", method="GET")
        assert found.json()["id"] == MODEL


async def test_instructions_in_a_request_decide_nothing(root: Path, simulator: Simulator) -> None:
    """Fields that look like options of a run have no effect, and are told."""
    wants = {"budget_usd": 99, "allow_shell": True, "workspace": "/", "smart_model": "opus"}
    async with served(root) as endpoint:
        answer = (await said_to(endpoint, BEARER, json={**BODY, **wants})).json()
    assert answer["sunwell"]["cap_usd"] == "1"
    assert answer["sunwell"]["not_used"] == sorted([*wants, "max_tokens"])
    tools = {tool["name"] for tool in simulator.requests[0].body["tools"]}
    assert "run_command" not in tools
    assert {request.model for request in simulator.requests} == {"claude-haiku-5-5"}
    assert json.dumps(answer)
