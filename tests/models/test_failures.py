"""Every failure becomes one of our errors: is it billed, may a retry help, and what should one do?"""

import json
from datetime import UTC, datetime
from email.utils import format_datetime

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import (
    BadRequest,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    Unauthorized,
)
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.failures import Failures, retry_after_seconds
from sunwell.models.openai_chat import ChatModel

KEY = "sk-very/secret+1"
KINDS = [AnthropicModel, ChatModel]


def error(message="no", **fields):
    return json.dumps({"type": "error", "error": {"message": message, **fields}}).encode()


async def failure_of(kind, status, body, headers=None, streaming=False, key=KEY):
    """Return what a model of *kind* raises when the provider answers so."""

    def answer(_: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, content=body, headers=headers or {})

    connection = Connection("lab", "http://lab.test/v1", key, transport=lambda: httpx2.MockTransport(answer))
    model = kind("m-1", connection)
    request = Request(messages=[user("hello")])
    with pytest.raises(ModelError) as caught:
        await (anext(model.stream(request)) if streaming else model.complete(request))
    return caught.value


@pytest.mark.parametrize(
    ("status", "body", "expected", "billed", "retry"),
    [
        pytest.param(400, error(), BadRequest, False, False, id="400"),
        pytest.param(400, error("Your credit balance is too low"), QuotaExhausted, False, False, id="credit"),
        pytest.param(401, error(), Unauthorized, False, False, id="401"),
        pytest.param(402, error(), QuotaExhausted, False, False, id="402"),
        pytest.param(403, error(), Unauthorized, False, False, id="403"),
        pytest.param(404, error(), BadRequest, False, False, id="404"),
        pytest.param(408, error(), ServerFailed, False, True, id="408"),
        pytest.param(413, error(), BadRequest, False, False, id="413"),
        pytest.param(422, b'{"detail": [{"loc": ["body"]}]}', BadRequest, False, False, id="422"),
        pytest.param(429, error(), RateLimited, False, True, id="429"),
        pytest.param(429, error(code="insufficient_quota"), QuotaExhausted, False, False, id="quota"),
        pytest.param(429, error(type="insufficient_quota"), QuotaExhausted, False, False, id="quota-by-type"),
        pytest.param(500, error(), ServerFailed, False, True, id="500"),
        pytest.param(500, b"<html>Oops</html>", ServerFailed, True, True, id="500-of-somebody-else"),
        pytest.param(502, b"<html>Oops</html>", ServerFailed, True, True, id="502"),
        pytest.param(503, b"", RateLimited, False, True, id="503"),
        pytest.param(504, error(), ServerFailed, True, True, id="504"),
        pytest.param(529, error(type="overloaded_error"), RateLimited, False, True, id="529"),
        pytest.param(302, b"", BadRequest, False, False, id="redirect"),
        pytest.param(418, b"\xff\xfe", BadRequest, False, False, id="garbage"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_status_says_what_it_costs_and_whether_to_retry(
    kind, streaming, status, body, expected, billed, retry
):
    """Each status has its error; what a gateway says in place of the provider may hide a bill."""
    got = await failure_of(kind, status, body, streaming=streaming)
    assert type(got) is expected
    assert (got.may_be_billed, got.retry) == (billed, retry)
    assert "http://lab.test/v1" in str(got)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("status", [400, 401, 429, 500])
async def test_a_key_that_comes_back_is_not_shown(kind, status):
    """A provider may echo the key: it is in no text, cause or context of the error."""
    echoed = f"wrong key {KEY} or {KEY.replace('/', '%2F').replace('+', '%2B')}"
    got = await failure_of(kind, status, error(echoed), headers={"x-key": KEY})
    assert "wrong key [LAB_API_KEY] or [LAB_API_KEY]" in str(got)
    assert KEY not in repr(got)
    assert (got.__cause__, got.__context__) == (None, None)


@pytest.mark.parametrize("kind", KINDS)
async def test_a_long_message_is_cut_and_stands_on_one_line(kind):
    """A page of text from a provider does not flood the screen, and no key is cut in two."""
    got = await failure_of(kind, 400, error(f"line\n{'x' * 370} {KEY} {'y' * 1000}"))
    assert len(str(got)) < 700
    assert "\n" not in str(got)
    assert KEY[:8] not in str(got)


async def test_a_refused_retry_is_not_retried():
    """The provider itself may say that asking again is of no use."""
    got = await failure_of(AnthropicModel, 429, error(), headers={"x-should-retry": "false"})
    assert (type(got), got.retry) == (RateLimited, False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        pytest.param({}, None, id="nothing"),
        pytest.param({"retry-after": "3"}, 3.0, id="seconds"),
        pytest.param({"retry-after": "0.5"}, 0.5, id="fraction"),
        pytest.param({"retry-after-ms": "1500", "retry-after": "9"}, 1.5, id="milliseconds-first"),
        pytest.param({"retry-after": "-1"}, None, id="negative"),
        pytest.param({"retry-after": "nan"}, None, id="no-number"),
        pytest.param({"retry-after": "inf"}, None, id="without-end"),
        pytest.param({"retry-after": "soon"}, None, id="word"),
        pytest.param({"retry-after": "Sat, 21 Nov 2026 00:00:30 GMT"}, 30.0, id="date"),
        pytest.param({"retry-after": "Sat, 21 Nov 2020 00:00:30 GMT"}, 0.0, id="date-gone-by"),
        pytest.param({"retry-after": "Sat, 99 Nov 2026 00:00:30 GMT"}, None, id="no-date"),
    ],
)
def test_the_wait_is_read_in_every_form(headers, expected):
    """Seconds, milliseconds and dates; nonsense is no wait."""
    now = datetime(2026, 11, 21, tzinfo=UTC).timestamp()
    assert retry_after_seconds(headers, now) == expected


@pytest.mark.parametrize("kind", KINDS)
async def test_the_wait_that_a_provider_asks_for_is_passed_on(kind):
    """The gateway, which caps it, learns the wait from the error."""
    later = format_datetime(datetime(2199, 1, 1, tzinfo=UTC), usegmt=True)
    assert (await failure_of(kind, 429, error(), {"retry-after": "7"})).retry_after_seconds == 7.0
    assert (await failure_of(kind, 503, b"", {"retry-after": later})).retry_after_seconds > 1e6


@pytest.mark.parametrize(
    ("reported", "expected"),
    [
        pytest.param({"type": "overloaded_error", "message": "busy"}, RateLimited, id="anthropic"),
        pytest.param({"code": 429, "message": "slow"}, RateLimited, id="number"),
        pytest.param({"code": "insufficient_quota"}, QuotaExhausted, id="quota"),
        pytest.param({"type": "invalid_request_error"}, BadRequest, id="request"),
        pytest.param({"message": "what"}, ServerFailed, id="unknown"),
        pytest.param("what", ServerFailed, id="text"),
        pytest.param(None, ServerFailed, id="nothing"),
    ],
)
def test_an_error_inside_an_answer_may_be_billed(reported, expected):
    """A provider that fails after it began has perhaps done work."""
    got = Failures("m-1", Connection("lab", "http://lab.test", KEY)).from_error_object(reported)
    assert (type(got), got.may_be_billed) == (expected, True)


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_error_answer_is_one_of_our_errors(status, body):
    """Whatever a server says, there is one sentence."""
    got = Failures("m-1", Connection("lab", "http://lab.test", KEY)).from_status(status, {}, body)
    assert isinstance(got, ModelError)
    assert str(status) in str(got)


def test_a_bug_of_ours_is_no_failure_of_the_provider():
    """Exceptions that no transport raises are not dressed up as a provider's."""
    assert Failures("m-1", Connection("lab", "http://lab.test", KEY)).from_exception(KeyError("x")) is None


@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_that_is_none_is_said(kind):
    """A base URL without a scheme is a mistake that no retry mends."""
    with pytest.raises(ModelError, match="correct it") as caught:
        await kind("m-1", Connection("lab", "localhost:11434/v1", KEY)).complete(
            Request(messages=[user("x")])
        )
    assert (caught.value.may_be_billed, caught.value.retry) == (False, False)
