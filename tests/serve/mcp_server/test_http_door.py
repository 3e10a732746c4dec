"""The server over HTTP: who has the token is served as over standard input; all others get one sentence."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from sunwell.serve.http_door import DoorLimits, HttpDoor
from sunwell.serve.root_settings import ServerTerms
from tests.serve.mcp_server.serving import MODES, TASK, answering, serving, told

TOKEN = "the-token-of-the-test"
LIMITS = DoorLimits(body_bytes=10_000, body_seconds=0.3)
IMPATIENT = DoorLimits(head_seconds=0.3)


@asynccontextmanager
async def opened(root: Path, limits: DoorLimits = LIMITS, **given: Any) -> AsyncIterator[HttpDoor]:
    """Serve *root* while the context is open."""
    server = serving(root, **given)
    door = server.door(TOKEN, limits)
    door.open()
    async with server:
        serve = asyncio.create_task(door.serve())
        try:
            yield door
        finally:
            serve.cancel()
            with suppress(asyncio.CancelledError):
                await serve


@asynccontextmanager
async def client_of(door: HttpDoor, mode: str, **given: Any) -> AsyncIterator[Client]:
    """Connect a client that has the token."""
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with httpx2.AsyncClient(headers=headers, timeout=60, trust_env=False) as http:
        transport = streamable_http_client(f"http://127.0.0.1:{door.port}/mcp", http_client=http)
        async with Client(transport, mode=mode, **given) as client:
            yield client


@pytest.mark.parametrize("mode", MODES)
async def test_who_has_the_token_delegates(root, simulator, mode: str) -> None:
    """With progress, a question to a person, and the bill of the provider."""
    answer, asked = answering(True)
    lines: list[str] = []

    async def progress(_: float, __: float | None, message: str | None) -> None:
        lines.append(message or "")

    terms = ServerTerms(Decimal(1), confirm_above_usd=Decimal("0.001"))
    async with (
        opened(root, terms=terms) as door,
        client_of(door, mode, elicitation_callback=answer) as client,
    ):
        found = told(await client.call_tool("delegate", {"task": TASK}, progress_callback=progress))
    assert found["status"] == "ok"
    assert Decimal(found["cost_usd"]) == simulator.bill.total_usd()
    assert len(asked) == 1
    assert any(line.startswith("run ") for line in lines)


async def said_to(door: HttpDoor, head: str, body: bytes = b"") -> tuple[int, dict[str, Any]]:
    """Send a request as it is written and return the status and the object of the answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
    writer.write(head.replace("\n", "\r\n").format(port=door.port, token=TOKEN).encode() + body)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    first, _, rest = answer.partition(b"\r\n\r\n")
    return int(first.split()[1]), json.loads(rest or b"{}")


PARAMS = {"name": "delegate", "arguments": {"task": TASK}}
CALL = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": PARAMS}).encode()
HEAD = (
    "POST /mcp HTTP/1.1\nHost: {host}\nContent-Type: application/json\n"
    "Accept: application/json, text/event-stream\n"
)
OURS = HEAD.replace("{host}", "127.0.0.1:{port}")
AUTHORIZED = f"{OURS}Authorization: Bearer {{token}}\n"


@pytest.mark.parametrize(
    ("head", "status", "sentence"),
    [
        pytest.param(f"{OURS}", 401, "the token is missing or wrong", id="no-token"),
        pytest.param(f"{OURS}Authorization: Bearer other\n", 401, "the token is missing", id="wrong"),
        pytest.param(f"{AUTHORIZED}Authorization: Bearer x\n", 401, "the token is missing", id="two-tokens"),
        pytest.param(f"{AUTHORIZED}Origin: http://evil.example\n", 403, "from another site", id="origin"),
        pytest.param(f"{AUTHORIZED}Origin: null\n", 403, "from another site", id="null-origin"),
        pytest.param(
            AUTHORIZED.replace("127.0.0.1", "evil.example"), 403, "the Host is not the address", id="host"
        ),
        pytest.param(
            AUTHORIZED.replace(":{port}", ":1"), 403, "the Host is not the address", id="other-port"
        ),
    ],
)
async def test_others_get_one_sentence_and_cost_nothing(
    root, simulator, head: str, status: int, sentence: str
) -> None:
    """A wrong token, another site, another name for this machine: before the body, which never comes here."""
    async with opened(root) as door:
        code, found = await said_to(door, f"{head}Content-Length: {len(CALL)}\n\n")
    assert code == status
    assert sentence in found["error"]
    assert found["error"].endswith("nothing was done")
    assert not simulator.requests


async def test_the_end_is_in_order(root) -> None:
    """A connection that is kept open is closed, and no task is left."""
    before = asyncio.all_tasks()
    async with opened(root) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        head = f"{AUTHORIZED}Content-Length: 2\n\n".replace("\n", "\r\n")
        writer.write(head.format(port=door.port, token=TOKEN).encode() + b"{}")
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
        assert answer.startswith(b"HTTP/1.1 400 ")
        assert b"connection: close" not in answer
    await asyncio.wait_for(reader.read(), 20)  # to the end
    writer.close()
    assert asyncio.all_tasks() == before


async def test_slow_heads_are_ended(root) -> None:
    """One that never begins, one that never ends, and one that is the second of its connection."""
    whole = f"{AUTHORIZED}Content-Length: 2\n\n{{{{}}}}"
    async with opened(root, IMPATIENT) as door:
        for sent in ("", "POST /mcp HTTP/1.1\nHost: ", f"{whole}POST /mcp"):
            reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
            writer.write(sent.replace("\n", "\r\n").format(port=door.port, token=TOKEN).encode())
            answer = await asyncio.wait_for(reader.read(), 3)  # a kept connection would last 5 seconds
            assert answer.startswith(b"HTTP/1.1 400 ") is sent.startswith(whole)
            writer.close()


async def test_giant_and_slow_bodies_are_ended(root, simulator) -> None:
    """A length that is too large, a body without one that does not end, and one that never comes."""
    async with opened(root) as door:
        code, found = await said_to(door, f"{AUTHORIZED}Content-Length: 999999999\n\n")
        assert (code, found["error"][:30]) == (413, "the body is longer than 10,000")
        chunk = b"4000\r\n" + b"x" * 0x4000 + b"\r\n"
        code, found = await said_to(door, f"{AUTHORIZED}Transfer-Encoding: chunked\n\n", chunk)
        assert (code, found["error"][:30]) == (413, "the body is longer than 10,000")
        code, found = await said_to(door, f"{AUTHORIZED}Content-Length: 100\n\n", b"{")
        assert (code, found["error"][:28]) == (408, "the body took longer than 0.")
    assert not simulator.requests
