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
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestTooLong,
    ServerFailed,
    Unauthorized,
)
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.failures import Failures, retry_after_seconds
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel

KEY = "sk-very/secret+1"
KINDS = [AnthropicModel, ChatModel, ResponsesModel]


def error(message="no", **fields):
    """Return an error object in the shape of both wire formats."""
    named = {"type": "invalid_request_error", "message": message}
    return json.dumps({"type": "error", "error": named | fields}).encode()


def encoded(value):
    return json.dumps(value).encode()


def refused(status, body, shape):
    """Return what an error answer means in one wire format."""
    return Failures("m-1", Connection("lab", "http://lab.test", KEY), shape).from_status(status, {}, body)


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
        pytest.param(302, b"", BadRequest, True, False, id="redirect"),
        pytest.param(303, error(), BadRequest, True, False, id="redirect-after-work"),
        pytest.param(400, error(), BadRequest, False, False, id="400"),
        pytest.param(400, error("Your credit balance is too low"), QuotaExhausted, False, False, id="credit"),
        pytest.param(401, error(), Unauthorized, False, False, id="401"),
        pytest.param(402, error(), QuotaExhausted, False, False, id="402"),
        pytest.param(403, error(), Unauthorized, False, False, id="403"),
        pytest.param(403, b"<html>Blocked</html>", Unauthorized, True, False, id="403-of-a-proxy"),
        pytest.param(404, error(), BadRequest, False, False, id="404"),
        pytest.param(404, b"404 page not found", BadRequest, True, False, id="404-of-somebody-else"),
        pytest.param(407, error(), ConnectionFailed, False, False, id="407-of-a-proxy"),
        pytest.param(408, error(), ServerFailed, True, True, id="408"),
        pytest.param(409, error(), ServerFailed, True, True, id="409"),
        pytest.param(413, error(), RequestTooLong, False, False, id="413"),
        pytest.param(418, b"\xff\xfe", BadRequest, True, False, id="garbage"),
        pytest.param(422, error(), BadRequest, False, False, id="422"),
        pytest.param(429, error(type="rate_limit_error"), RateLimited, False, True, id="429"),
        pytest.param(429, b"", RateLimited, True, True, id="429-without-a-body"),
        pytest.param(429, error(code="insufficient_quota"), QuotaExhausted, False, False, id="quota"),
        pytest.param(499, error(), ServerFailed, True, True, id="499"),
        pytest.param(500, error(), ServerFailed, True, True, id="500"),
        pytest.param(500, b"<html>Oops</html>", ServerFailed, True, True, id="500-of-somebody-else"),
        pytest.param(502, b"<html>Oops</html>", ServerFailed, True, True, id="502"),
        pytest.param(502, error(), ServerFailed, True, True, id="502-in-the-providers-shape"),
        pytest.param(
            502,
            encoded({"error": {"message": "no", "code": 502}}),
            ServerFailed,
            True,
            True,
            id="502-with-a-code",
        ),
        pytest.param(503, error(type="overloaded_error"), RateLimited, False, True, id="503"),
        pytest.param(503, b"", RateLimited, True, True, id="503-without-a-body"),
        pytest.param(504, error(), ServerFailed, True, True, id="504"),
        pytest.param(520, error(), ServerFailed, True, True, id="520"),
        pytest.param(524, encoded({"status": 524, "title": "A timeout"}), ServerFailed, True, True, id="524"),
        pytest.param(527, error(), ServerFailed, True, True, id="527"),
        pytest.param(528, error(), ServerFailed, True, True, id="528"),
        pytest.param(529, error(type="overloaded_error"), RateLimited, False, True, id="529"),
        pytest.param(529, b"{}", RateLimited, True, True, id="529-of-somebody-else"),
        pytest.param(598, error(), ServerFailed, True, True, id="598"),
        pytest.param(599, error(), ServerFailed, True, True, id="599"),
    ],
)
@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_status_says_what_it_costs_and_whether_to_retry(
    kind, streaming, status, body, expected, billed, retry
):
    """Each status has its error; only what the provider refuses before any work is free for certain."""
    got = await failure_of(kind, status, body, streaming=streaming)
    assert type(got) is expected
    assert (got.may_be_billed, got.retry) == (billed, retry)
    assert "http://lab.test/v1" in str(got)


NAMED = {"message": "no", "type": "invalid_request_error", "param": None, "code": None}
OPENAI = [
    pytest.param(401, {"error": NAMED | {"code": "invalid_api_key"}}, False, id="openai"),
    pytest.param(429, {"error": NAMED | {"type": "tokens", "code": "rate_limit_exceeded"}}, False, id="rate"),
    pytest.param(400, {"error": NAMED | {"code": "context_length_exceeded"}}, False, id="window"),
    pytest.param(503, {"error": NAMED | {"type": "server_error"}}, False, id="openai-overload"),
    pytest.param(503, {"error": NAMED | {"type": "unavailable_error", "code": 503}}, False, id="llama.cpp"),
    pytest.param(402, {"error": {"message": "no", "code": 402}, "user_id": "u"}, False, id="openrouter"),
    pytest.param(400, [{"error": {"code": 400, "message": "no", "status": "INVALID_ARGUMENT"}}], False,
                 id="gemini"),
    pytest.param(400, {"code": "invalid-argument", "error": "no"}, False, id="xai"),
    pytest.param(400, {"object": "error", "message": "no", "type": "BadRequestError", "code": 400}, False,
                 id="vllm"),
    pytest.param(400, {"object": "error", "message": "no", "type": "invalid", "code": "1500"}, False,
                 id="mistral"),
    pytest.param(422, {"detail": [{"loc": ["body"], "msg": "no", "type": "missing"}]}, False, id="fastapi"),
    pytest.param(404, {"detail": "Not Found"}, True, id="fastapi-about-something-else"),
    pytest.param(422, {"detail": []}, True, id="no-detail"),
    pytest.param(401, {"error": {"message": "no"}}, True, id="no-type"),
    pytest.param(401, {"error": {"type": "invalid_request_error"}}, True, id="no-message"),
    pytest.param(401, {"error": "no"}, True, id="only-a-text"),
    pytest.param(401, {"message": "no"}, True, id="only-a-message"),
    pytest.param(401, ["no"], True, id="a-list"),
    pytest.param(400, {"error": NAMED | {"code": "tool_use_failed"}}, True, id="groq-after-work"),
    pytest.param(400, {"error": NAMED | {"failed_generation": "{"}}, True, id="groq-shows-the-work"),
    pytest.param(400, {"error": NAMED | {"code": "content_filter"}}, True, id="azure-filter"),
    pytest.param(429, {"error": {"message": "no", "code": 502}}, True, id="a-status-from-behind"),
    pytest.param(403, {"error": {"message": "no", "code": "524"}}, True, id="the-same-as-text"),
    pytest.param(400, {"error": NAMED | {"type": "server_error"}}, True, id="a-failure-as-a-refusal"),
    pytest.param(503, {"error": NAMED | {"type": "upstream_timeout"}}, True, id="a-timeout-as-overload"),
]  # fmt: skip
ANTHROPIC = [
    pytest.param(529, {"type": "overloaded_error", "message": "no"}, False, id="overloaded"),
    pytest.param(400, {"type": "invalid_request_error", "message": "no"}, False, id="request"),
    pytest.param(400, {"type": "api_error", "message": "no"}, True, id="failure"),
    pytest.param(503, {"type": "api_error", "message": "no"}, True, id="failure-as-overload"),
    pytest.param(400, {"type": "timeout_error", "message": "no"}, True, id="timeout"),
    pytest.param(400, {"type": "invented", "message": "no"}, True, id="unknown-type"),
    pytest.param(400, {"message": "no"}, True, id="no-type"),
    pytest.param(400, {"type": "invalid_request_error"}, True, id="no-message"),
    pytest.param(400, "no", True, id="text"),
]


@pytest.mark.parametrize(("status", "body", "billed"), OPENAI)
def test_openai_and_compatible_servers_refuse_in_known_shapes(status, body, billed):
    """A refusal in one of their shapes is free, unless a type or code says that work may have been done."""
    assert refused(status, encoded(body), "openai").may_be_billed == billed


@pytest.mark.parametrize(("status", "said", "billed"), ANTHROPIC)
def test_anthropic_refuses_in_one_shape(status, said, billed):
    """A refusal has Anthropic's frame and one of its types; nothing else is free for certain."""
    assert refused(status, encoded({"type": "error", "error": said}), "anthropic").may_be_billed == billed
    assert refused(status, encoded({"error": said}), "anthropic").may_be_billed


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
    connection = Connection("lab", "http://lab.test", KEY)
    got = Failures("m-1", connection, "openai").from_error_object(reported)
    assert (type(got), got.may_be_billed) == (expected, True)


@given(st.integers(300, 599), st.binary(max_size=60))
def test_any_error_answer_is_one_of_our_errors(status, body):
    """Whatever a server says, there is one sentence."""
    got = refused(status, body, "openai")
    assert isinstance(got, ModelError)
    assert got.may_be_billed == (status != 407)
    assert str(status) in str(got)


def test_a_bug_of_ours_is_no_failure_of_the_provider():
    """Exceptions that no transport raises are not dressed up as a provider's."""
    failures = Failures("m-1", Connection("lab", "http://lab.test", KEY), "openai")
    assert failures.from_exception(KeyError("x")) is None


@pytest.mark.parametrize("url", ["localhost:11434/v1", "http://[broken/v1"])
@pytest.mark.parametrize("kind", KINDS)
async def test_an_address_that_is_none_is_said(kind, url):
    """A base URL without a scheme, or with half an address, is a mistake that no retry mends."""
    with pytest.raises(ModelError, match="correct it") as caught:
        await kind("m-1", Connection("lab", url, KEY)).complete(Request(messages=[user("x")]))
    assert (caught.value.may_be_billed, caught.value.retry) == (False, False)


@pytest.mark.parametrize(
    ("kind", "field"),
    [(ChatModel, "reasoning_effort"), (ResponsesModel, "reasoning.effort")],
    ids=["chat", "responses"],
)
async def test_a_field_that_only_the_error_object_names_is_left_out_next_time(kind, field):
    """OpenAI's errors name the field in ``param``; not every server repeats it in the message."""
    failed = await failure_of(kind, 400, error("Unsupported parameter", param=field))
    assert field in failed.detail
    assert failed.retry
