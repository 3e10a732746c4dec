"""Clients are shared where connections agree, and nowhere else."""

import asyncio
import gc
import subprocess
import sys

import pytest

from sunwell.errors import MissingKeyError
from sunwell.models.connection import Connection, client_for, close_clients

SDKS = ["anthropic", "openai"]
KEY = "sk-secret-1"


@pytest.mark.parametrize("sdk", SDKS)
async def test_equal_connections_share_a_client(sdk):
    """Two connections with the same values have one client; any difference makes another."""
    one = await client_for(sdk, Connection(sdk, "http://127.0.0.1:1", KEY))
    assert await client_for(sdk, Connection(sdk, "http://127.0.0.1:1", KEY)) is one
    for other in (
        Connection(sdk, "http://127.0.0.1:2", KEY),
        Connection(sdk, "http://127.0.0.1:1", "sk-secret-2"),
        Connection(sdk, "http://127.0.0.1:1", KEY, headers={"X-Team": "a"}),
    ):
        assert await client_for(sdk, other) is not one


@pytest.mark.parametrize("sdk", SDKS)
async def test_closing_is_followed_by_a_new_client(sdk):
    """After closing, the old client is closed and the next call makes another."""
    connection = Connection(sdk, "http://127.0.0.1:1", KEY)
    old = await client_for(sdk, connection)
    await close_clients()
    assert old.is_closed()
    assert not (await client_for(sdk, connection)).is_closed()


@pytest.mark.parametrize("sdk", SDKS)
def test_each_loop_has_its_own_client_and_closes_it(sdk):
    """A client belongs to one event loop and is closed when that loop ends, without being asked."""
    connection = Connection(sdk, "http://127.0.0.1:1", KEY)
    first, second = (asyncio.run(client_for(sdk, connection)) for _ in range(2))
    gc.collect()
    assert first is not second
    assert (first.is_closed(), second.is_closed()) == (True, True)


@pytest.mark.parametrize("sdk", SDKS)
async def test_without_a_key_there_is_no_client(sdk):
    """The missing key is found before anything is made or sent."""
    with pytest.raises(MissingKeyError):
        await client_for(sdk, Connection(sdk))


@pytest.mark.parametrize("sdk", SDKS)
async def test_the_sdk_neither_retries_nor_follows_redirects(sdk):
    """Repeating a call is the gateway's work, and a redirect would carry the prompt elsewhere."""
    client = await client_for(sdk, Connection(sdk, api_key=KEY))
    assert client.max_retries == 0
    assert client._client.follow_redirects is False


async def test_anthropic_emits_no_spans():
    """The tracing of the SDK is off: Sunwell's own stands in its place."""
    client = await client_for("anthropic", Connection("anthropic", api_key=KEY))
    assert client.open_telemetry["traces"]["enabled"] is False


def test_importing_an_adapter_imports_no_sdk():
    """The SDKs take a second to import: only a call does that."""
    code = (
        "import sys, sunwell.models.anthropic_messages, sunwell.models.openai_chat;"
        "heavy = ('anthropic', 'openai', 'httpx2', 'aiohttp', 'msgspec');"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
