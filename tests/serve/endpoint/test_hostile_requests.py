"""Who must not get an answer: one sentence each, before the body has come, and nothing is spent."""

import asyncio
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


async def raw(endpoint: Served, head: str, *pieces: bytes) -> bytes:
    """Send *head* and *pieces* as they are, and return what comes until the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", endpoint.door.port)
    given = f"Host: 127.0.0.1:{endpoint.door.port}\nx-api-key: {TOKEN}\n"
    writer.write((head + given).replace("\n", "\r\n").encode())
    for piece in pieces:
        writer.write(piece)
    await writer.drain()
    async with asyncio.timeout(20):
        answer = await reader.read()
    writer.close()
    return answer


def chunks(*texts: bytes) -> bytes:
    """Return *texts* as the chunks of a whole body."""
    return b"".join(b"%x\r\n%b\r\n" % (len(text), text) for text in (*texts, b""))


DATA = json.dumps(BODY).encode()
LENGTH = b"Content-Length: %d\r\n" % len(DATA)
CHUNKED, CLOSES = b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n\r\n"
ONE, OLD = "POST /v1/messages HTTP/1.1\n", "POST /v1/messages HTTP/1.0\n"


@pytest.mark.parametrize(
    ("head", "pieces", "begins"),
    [
        pytest.param(ONE, [CHUNKED, CLOSES, chunks(DATA[:9], DATA[9:])], b"HTTP/1.1 200", id="chunks"),
        pytest.param(OLD, [LENGTH, b"\r\n", DATA], b"HTTP/1.1 200", id="http-1.0"),
        pytest.param(ONE, [b"Expect: 100-continue\r\n", LENGTH, CLOSES, DATA], b"HTTP/1.1 200", id="expects"),
        pytest.param(
            ONE,
            [b"Expect: 100-continue\r\nContent-Length: 200000\r\n\r\n"],
            b"HTTP/1.1 413",
            id="expects-not",
        ),
        pytest.param(ONE, [CHUNKED, CLOSES, chunks(*[b" " * 30_000] * 9)], b"HTTP/1.1 413", id="too-many"),
        pytest.param(
            ONE, [b"Content-Length: 900000\r\n\r\n", b" " * 900_000], b"HTTP/1.1 413", id="too-long"
        ),
        pytest.param(ONE, [CHUNKED, LENGTH, CLOSES, chunks(DATA)], b"HTTP/1.1 400", id="two-lengths"),
    ],
)
async def test_bodies_in_each_form_of_http(
    root: Path, simulator: Simulator, head: str, pieces: list[bytes], begins: bytes
) -> None:
    """One that is too long is taken, and thrown away, so that its client reads why."""
    async with served(root) as endpoint:
        answer = await raw(endpoint, head, *pieces)
    answer = answer.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    assert answer.startswith(begins), answer
    assert (b'"text":"42"' in answer) is begins.endswith(b"200")
    assert len(simulator.requests) == begins.endswith(b"200")


async def test_requests_that_are_sent_in_one_go_are_answered_in_their_order(
    root: Path, simulator: Simulator
) -> None:
    """Each by its own run."""
    async with served(root) as endpoint:
        again = f"{ONE}Host: 127.0.0.1:{endpoint.door.port}\nx-api-key: {TOKEN}\n".replace(
            "\n", "\r\n"
        ).encode()
        other = json.dumps({**BODY, "model": "none"}).encode()
        wrong = [again, b"Content-Length: %d\r\n" % len(other), b"\r\n", other]
        answer = await raw(endpoint, ONE, LENGTH, b"\r\n", DATA, *wrong, again, LENGTH, CLOSES, DATA)
    assert [part[:3] for part in answer.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]
    assert len(simulator.requests) == 2
