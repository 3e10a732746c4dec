"""A finished body goes out exactly as the SDK itself would send it."""

from types import SimpleNamespace

import httpx2
import pytest

from sunwell.models.connection import Connection, Sender, _watched, request_options, sender_for

PATHS = {"anthropic": "/v1/messages", "openai": "/chat/completions"}
BODY = b'{"model": "m-1"}'


def _connections():
    """Yield connections that differ in what an SDK does with them."""
    for sdk in PATHS:
        url = "http://lab.test/deep/v1"
        yield pytest.param(sdk, Connection(sdk, url, "sk-secret-1"), id=f"{sdk}-key")
        yield pytest.param(sdk, Connection(sdk, url, "k", headers={"X-Team": "a"}), id=f"{sdk}-header")
        without = {"User-Agent": None, "Authorization": "Basic eDp5"}
        yield pytest.param(sdk, Connection(sdk, url, headers=without), id=f"{sdk}-own-authorization")
        yield pytest.param(sdk, Connection("lab", url, needs_key=False), id=f"{sdk}-no-key")
        yield pytest.param(sdk, Connection("lab", "http://lab.test/deep?v=1", "k"), id=f"{sdk}-query")
        login = "http://u:p@lab.test/deep"
        yield pytest.param(sdk, Connection("lab", login, needs_key=False), id=f"{sdk}-login-in-url")


def caught(made, status=200):
    """Return what makes a transport that keeps requests in *made* and answers nothing of interest."""

    def answer(request):
        made.append(request)
        return httpx2.Response(status, json={"error": {"message": "no"}})

    return lambda: httpx2.MockTransport(answer)


def seen(request):
    """Return what a server would see of *request*."""
    headers = sorted((name.lower(), value) for name, value in request.headers.raw)
    return request.method, str(request.url), headers, request.content


@pytest.mark.parametrize(("sdk", "connection"), list(_connections()))
async def test_what_is_sent_is_what_the_sdk_would_send(sdk, connection):
    """Address, headers and body of a request are the SDK's own, the first time and after it."""
    made = []
    transport = caught(made)
    sender = await sender_for(sdk, Connection(**_fields(connection), transport=transport))
    await sender.client.post(
        PATHS[sdk],
        cast_to=httpx2.Response,
        content=BODY,
        options=request_options(sdk, connection),
        stream=True,
    )
    for _ in range(2):
        await sender.post(PATHS[sdk], BODY)
    by_sdk, first, second = map(seen, made)
    assert first == by_sdk
    assert second == by_sdk


@pytest.mark.parametrize("sdk", PATHS)
async def test_each_path_and_each_body_has_its_own_head(sdk):
    """Another path is another address, and each body is as long as it is."""
    made = []
    sender = await sender_for(sdk, Connection(sdk, "http://lab.test", "k", transport=caught(made)))
    for path, body in (("/one", b"1"), ("/two", b"22"), ("/one", b"333")):
        await sender.post(path, body)
    got = [(request.url.path, request.headers["content-length"], request.content) for request in made]
    assert got == [("/one", "1", b"1"), ("/two", "2", b"22"), ("/one", "3", b"333")]


@pytest.mark.parametrize("sdk", PATHS)
async def test_an_error_is_an_answer_too(sdk):
    """Whatever the status, the response comes back as it is; nothing is raised, followed or repeated."""
    made = []
    sender = await sender_for(sdk, Connection(sdk, "http://lab.test", "k", transport=caught(made, 307)))
    response = await sender.post("/one", b"{}")
    assert (response.status_code, len(made)) == (307, 1)


async def test_a_client_without_what_is_private_sends_all_the_same():
    """A later version of the library may have other inner parts: the request then counts as sent at once."""
    made = []
    sender = await sender_for("openai", Connection("openai", "http://lab.test", "k", transport=caught(made)))
    public = SimpleNamespace(send=sender._http.send, timeout=sender._http.timeout)
    flight = SimpleNamespace(is_sent=False)
    response = await Sender(sender.client, public).post("/one", b"1", flight)
    assert (response.status_code, made[0].content, flight.is_sent) == (200, b"1", True)
    assert not _watched(public)


def _fields(connection):
    names = ("provider", "base_url", "api_key", "headers", "needs_key")
    return {name: getattr(connection, name) for name in names}
