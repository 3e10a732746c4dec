"""What happens between a model and its provider when the connection, not the answer, is the trouble."""

import asyncio
import gzip
import json
from contextlib import aclosing

import httpx2
import pytest

from sunwell.core.message import Text, user
from sunwell.core.model import Caching, Request, Usage
from sunwell.errors import BadAnswer, ConnectionFailed, ModelError, Unauthorized
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, client_for, close_clients
from sunwell.models.http_model import MAX_ANSWER_BYTES
from sunwell.models.openai_chat import ChatModel

ASKED = Request(messages=[user("hello")], caching=Caching(None, False))
MESSAGE = {
    "type": "message",
    "id": "msg_1",
    "model": "claude-haiku-5-5",
    "content": [{"type": "text", "text": "good day"}],
    "stop_reason": "end_turn",
    "usage": {"input_tokens": 3, "output_tokens": 2},
}
CHAT = {
    "id": "chat_1",
    "model": "gemma",
    "choices": [{"message": {"content": "good day"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 3, "completion_tokens": 2},
}
MESSAGE_EVENTS = (
    {"type": "message_start", "message": {**MESSAGE, "content": [], "stop_reason": None}},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "good "}},
    {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "day"}},
    {"type": "content_block_stop", "index": 0},
    {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 2}},
    {"type": "message_stop"},
)
CHAT_EVENTS = (
    {"id": "chat_1", "model": "gemma", "choices": [{"delta": {"content": "good "}}]},
    {"choices": [{"delta": {"content": "day"}, "finish_reason": None}]},
    {"choices": [{"delta": {}, "finish_reason": "stop"}]},
    {"choices": [], "usage": {"prompt_tokens": 3, "completion_tokens": 2}},
    "[DONE]",
)
WIRES = [
    pytest.param(AnthropicModel, MESSAGE, MESSAGE_EVENTS, id="messages"),
    pytest.param(ChatModel, CHAT, CHAT_EVENTS, id="chat"),
]


@pytest.fixture
def model_of(server):
    """Return a function that makes a model of the scripted server."""

    def make(kind, **settings):
        connection = Connection("lab", server.url, api_key="sk-secret-1", **settings)
        return kind("m-1", connection)

    return make


async def gathered(model, request=ASKED):
    async with aclosing(model.stream(request)) as deltas:
        return [delta async for delta in deltas]


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_an_answer_is_read_whole_or_as_it_comes(server, model_of, kind, answer, events):
    """A whole answer and a stream of the same words give the same completion, and the stream shows them.

    Words that arrive together are one piece.
    """
    server.scripts += [[server.whole(answer), "keep"], server.streamed(*events)]
    model = model_of(kind)
    whole = await model.complete(ASKED)
    deltas = await gathered(model)
    assert whole.parts == (Text("good day"),)
    assert whole.usage == Usage(3, 2)
    assert deltas[-1].completion == whole
    assert [delta.text for delta in deltas[:-1] if delta.text] == ["good day"]


LOOKS = {"type": "tool_use", "id": "c", "name": "look"}
CALLS_BETWEEN = {
    AnthropicModel: (
        MESSAGE_EVENTS[0],
        *MESSAGE_EVENTS[1:5],
        {"type": "content_block_start", "index": 1, "content_block": LOOKS},
        {
            "type": "content_block_start",
            "index": 2,
            "content_block": {"type": "text", "text": "and good night"},
        },
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}},
        MESSAGE_EVENTS[-1],
    ),
    ChatModel: (
        *CHAT_EVENTS[:2],
        {"choices": [{"delta": {"tool_calls": [{"index": 0, "id": "c", "function": {"name": "look"}}]}}]},
        {"choices": [{"delta": {"content": "and good night"}}]},
        {"choices": [{"delta": {}, "finish_reason": "tool_calls"}]},
        *CHAT_EVENTS[3:],
    ),
}


@pytest.mark.parametrize("kind", CALLS_BETWEEN)
async def test_what_arrives_together_keeps_its_order(server, model_of, kind):
    """Texts that follow each other are one piece; what stands between two of them stays there."""
    server.scripts.append(server.streamed(*CALLS_BETWEEN[kind]))
    *shown, _ = await gathered(model_of(kind))
    told = [(one.text, one.tool_name) for one in shown]
    assert told == [("good day", ""), ("", "look"), ("and good night", "")]


@pytest.mark.parametrize("shift", [1, 7, 64])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_stream_may_be_cut_anywhere(server, model_of, kind, answer, events, shift):
    """Pieces of the network need not end where events do."""
    data = server.events(*events)
    pieces = [data[at : at + shift] for at in range(0, len(data), shift)]
    server.scripts += [[server.head(), *map(server.chunk, pieces), server.chunk(b"")]]
    assert (await gathered(model_of(kind)))[-1].completion.text == "good day"


def ended(server, events, ending):
    """Return the script of a stream of *events* that ends so."""
    if ending == "last-chunk":
        return server.streamed(*events)
    if ending in ("reset", "silent"):
        return [*server.streamed(*events, end=False), *(["reset"] if ending == "reset" else [])]
    until_closed = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n"
    return [until_closed, server.events(*events)]


@pytest.mark.parametrize("ending", ["last-chunk", "closed", "reset", "silent"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_finish_reason_and_usage_end_an_answer(server, model_of, kind, answer, events, ending):
    """Some servers never send the terminal event; the answer is paid, and asking again would pay twice."""
    server.scripts += [ended(server, events[:-1], ending)]
    completion = (await gathered(model_of(kind, stall_seconds=0.2)))[-1].completion
    assert (completion.text, completion.stop, completion.usage) == ("good day", "end", Usage(3, 2))


@pytest.mark.parametrize("ending", ["last-chunk", "closed"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_stream_without_its_end_is_no_answer(server, model_of, kind, answer, events, ending):
    """A stream that closes before the finish reason and the usage may be billed, and is asked again."""
    server.scripts += [ended(server, events[:-2], ending)]
    with pytest.raises(BadAnswer, match="closed the stream without") as caught:
        await gathered(model_of(kind))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, True)


async def test_done_without_a_finish_reason_is_not_a_proper_end(server, model_of):
    """``[DONE]`` says that the answer is all there, so it is not asked for again; it may be half of one."""
    server.scripts += [server.streamed(*CHAT_EVENTS[:2], "[DONE]")]
    completion = (await gathered(model_of(ChatModel)))[-1].completion
    assert (completion.stop, completion.provider_stop) == ("other", "")


@pytest.mark.parametrize("step", ["reset", "end"])
@pytest.mark.parametrize("place", ["before-any-byte", "in-the-head", "in-the-stream"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_dropped_connection_may_be_billed(server, model_of, kind, answer, events, place, step):
    """Wherever a connection breaks after the request was sent, it may be billed, and a retry may help."""
    begun = {
        "before-any-byte": [],
        "in-the-head": [server.head()[:20]],
        "in-the-stream": server.streamed(*events[:3], end=False),
    }[place]
    server.scripts += [[*begun, step]]
    with pytest.raises(ConnectionFailed) as caught:
        await gathered(model_of(kind))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, True)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_an_answer_cut_in_its_body_may_be_billed(server, model_of, kind, answer, events):
    """A plain answer that is shorter than it says is a broken connection, not an answer."""
    server.scripts += [[server.whole(answer)[:-10]]]
    with pytest.raises(ConnectionFailed) as caught:
        await model_of(kind).complete(ASKED)
    assert caught.value.may_be_billed


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_stall_ends_at_the_longest_silence(server, model_of, kind, answer, events):
    """Silence in the middle of a stream ends the call, and the server sees the client go."""
    server.scripts += [[*server.streamed(*events[:3], end=False), "stall"]]
    with pytest.raises(ConnectionFailed, match=r"sent nothing for 0\.05 s") as caught:
        await gathered(model_of(kind, stall_seconds=0.05))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, True)
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_stream_that_does_not_begin_ends_at_the_first_byte_limit(
    server, model_of, kind, answer, events
):
    """Long before the limit of a whole answer; the error says that it was silence."""
    server.scripts += [["stall"]]
    model = model_of(kind, first_byte_seconds=0.5)
    await client_for(model.wire.sdk, model.connection)  # importing an SDK takes longer than that
    with pytest.raises(ConnectionFailed, match=r"gave no answer in 0\.5 s") as caught:
        await gathered(model)
    assert (caught.value.may_be_billed, caught.value.retry, caught.value.silent) == (True, True, True)
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_libraries_log_no_request_at_info(server, model_of, kind, answer, events, caplog):
    """Events tell of each call once; the first one builds a request more, which is no call."""
    server.scripts += [[server.whole(answer)]]
    with caplog.at_level("INFO"):
        await model_of(kind).complete(ASKED)
    assert len([record for record in caplog.records if record.levelname == "INFO"]) == 0


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize("begun", [False, True], ids=["no-byte", "begun"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_the_limit_of_the_request_holds_over_the_whole_call(
    server, model_of, kind, answer, events, begun, streaming
):
    """A request's own time limit ends the call, before the first byte or after."""
    script = server.streamed(*events[:3], end=False) if streaming else [server.whole(answer)[:-10]]
    server.scripts += [[*(script if begun else []), "stall"]]
    request = Request(messages=[user("hello")], timeout_seconds=0.2)
    model = model_of(kind)
    await client_for(model.wire.sdk, model.connection)  # importing an SDK takes longer than that
    with pytest.raises(ConnectionFailed, match="allow more time") as caught:
        await (gathered(model, request) if streaming else model.complete(request))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, True)
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize("kind", [AnthropicModel, ChatModel])
async def test_what_was_never_sent_is_not_billed(kind, unused_tcp_port):
    """Nobody listens: the error names the address, nothing was billed, and retrying may help."""
    url = f"http://127.0.0.1:{unused_tcp_port}"
    with pytest.raises(ConnectionFailed, match=url) as caught:
        await kind("m-1", Connection("lab", url, api_key="sk-secret-1")).complete(ASKED)
    assert (caught.value.may_be_billed, caught.value.retry) == (False, True)


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_cancelled_call_closes_its_connection(server, model_of, kind, answer, events, streaming):
    """Cancelling passes through untouched, and the provider sees the connection close."""
    server.scripts += [[*(server.streamed(*events[:3], end=False) if streaming else []), "stall"]]
    model, begun = model_of(kind), asyncio.Event()

    async def ask():
        if not streaming:
            await model.complete(ASKED)
        async with aclosing(model.stream(ASKED)) as deltas:
            async for _ in deltas:
                begun.set()

    task = asyncio.create_task(ask())
    if streaming:
        await asyncio.wait_for(begun.wait(), 5)
    await server.until_asked(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.wait_for(server.gone.wait(), 5)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_reader_that_stops_early_closes_the_connection(server, model_of, kind, answer, events):
    """Closing the generator of a stream gives the connection up."""
    server.scripts += [[*server.streamed(*events[:3], end=False), "stall"]]
    async with aclosing(model_of(kind).stream(ASKED)) as deltas:
        async for _ in deltas:
            break
    await asyncio.wait_for(server.gone.wait(), 5)


class EndlessBody(httpx2.AsyncByteStream):
    """A body that begins and never ends, and remembers whether it was closed."""

    def __init__(self, begun: bytes) -> None:
        self.begun, self.is_read, self.closed = begun, False, False

    async def __aiter__(self):
        yield self.begun
        self.is_read = True
        await asyncio.Event().wait()

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("way", ["cancelled", "stopped-early"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_response_is_closed_by_the_call_itself(server, kind, answer, events, way):
    """No call leaves its connection to the collector of garbage."""
    body = EndlessBody(server.events(*events[:3]))
    response = httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=body)
    transport = httpx2.MockTransport(lambda _: response)
    model = kind("m-1", Connection("lab", server.url, "sk-secret-1", transport=lambda: transport))
    if way == "cancelled":
        task = asyncio.create_task(model.complete(ASKED))
        await client_for(model.wire.sdk, model.connection)
        while not body.is_read:
            await asyncio.wait([task], timeout=0.001)
        task.cancel()
        await asyncio.wait([task])
    else:
        async with aclosing(model.stream(ASKED)) as deltas:
            async for _ in deltas:
                break
    assert body.closed


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_finished_call_leaves_its_connection_for_the_next(server, model_of, kind, answer, events):
    """Whole answers and streams share one connection, read to its end even where that comes later."""
    streamed = [*server.streamed(*events, end=False), "pause", server.chunk(b"")]
    server.scripts += [[*streamed, "keep"], [server.whole(answer), "keep"], [*streamed, "keep"], streamed]
    model = model_of(kind)
    await gathered(model)
    await model.complete(ASKED)
    await gathered(model)
    await gathered(model)
    assert server.connections == 1


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_events_may_answer_a_plain_request(server, model_of, kind, answer, events):
    """A gateway that streams what was not asked to be streamed is understood, header or not."""
    data = server.events(*events)
    server.scripts += [
        [*server.streamed(*events), "keep"],
        [server.head("text/plain", content_length=len(data)) + data],
    ]
    model = model_of(kind)
    assert (await model.complete(ASKED)).text == "good day"
    assert (await model.complete(ASKED)).usage == Usage(3, 2)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_whole_answer_may_answer_a_streaming_request(server, model_of, kind, answer, events):
    """A server that cannot stream is understood too."""
    server.scripts += [[server.whole(answer)]]
    deltas = await gathered(model_of(kind))
    assert [delta.text for delta in deltas] == ["good day", ""]
    assert deltas[-1].completion.text == "good day"


async def test_an_answer_that_may_be_long_is_streamed_from_anthropic(server, model_of):
    """Past 21,333 tokens a silent connection would be cut: the call streams by itself."""
    server.scripts += [[server.whole(MESSAGE), "keep"], server.streamed(*MESSAGE_EVENTS)]
    model = model_of(AnthropicModel)
    for tokens in (21_333, 21_334):
        request = Request(messages=[user("hello")], max_output_tokens=tokens)
        assert (await model.complete(request)).text == "good day"
    assert [b'"stream":true' in body for _, body in server.requests] == [False, True]


@pytest.mark.parametrize("status", ["500 Oops", "429 Slow", "409 Busy", "503 Full"])
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_failed_call_is_sent_once(server, model_of, kind, answer, events, status):
    """The SDKs' own retries are off: only the gateway repeats a call."""
    server.scripts += [[server.whole({"error": {"message": "no"}}, status), "keep"]]
    with pytest.raises(ModelError):
        await model_of(kind).complete(ASKED)
    assert len(server.requests) == 1


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_no_log_holds_the_key(server, model_of, kind, answer, events, caplog):
    """Not even the SDKs' own logs at the finest level show the key, also where the provider echoes it."""
    caplog.set_level(0)
    refused = server.whole({"error": {"message": "wrong key sk-secret-1"}}, "401 No")
    server.scripts += [[server.whole(answer), "keep"], [refused]]
    model = model_of(kind)
    await model.complete(ASKED)
    with pytest.raises(Unauthorized, match="LAB_API_KEY"):
        await model.complete(ASKED)
    assert "authorization: Bearer sk-secret-1" in server.requests[0][0].replace(
        "Authorization", "authorization"
    )
    assert caplog.records
    assert "sk-secret-1" not in caplog.text


async def test_a_body_of_megabytes_is_sent(server, model_of):
    """A long history is no trouble to the transport."""
    server.scripts += [[server.whole(MESSAGE)]]
    request = Request(messages=[user("x" * 3_000_000)])
    assert (await model_of(AnthropicModel).complete(request)).text == "good day"
    assert len(server.requests[0][1]) > 3_000_000


async def test_many_calls_run_side_by_side(server, model_of):
    """A fan-out does not wait for free connections: all calls are in flight at once."""
    server.scripts += [["stall"] for _ in range(300)]
    model = model_of(ChatModel)
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(model.complete(ASKED)) for _ in range(300)]
        await server.until_asked(300)
        for task in tasks:
            task.cancel()
    assert server.connections == 300
    await close_clients()


@pytest.mark.parametrize("step", ["stall", "reset"])
async def test_an_error_in_a_stream_that_then_breaks_off_is_that_error(server, model_of, step):
    """Half an answer was paid: it is not asked for again because the server is silent afterwards."""
    failed = {"error": {"code": 502, "message": "the model died"}}
    server.scripts += [[*server.streamed(CHAT_EVENTS[0], failed, end=False), step]]
    with pytest.raises(ModelError, match="the model died") as caught:
        await gathered(model_of(ChatModel, stall_seconds=0.2))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, False)


async def test_a_paid_failure_is_not_taken_for_a_refusal_to_learn_from(server, model_of):
    """A request that the server answered and billed is not tried again without a field."""
    failed = {"error": {"code": 400, "message": "response_format was not followed"}}
    server.scripts += [[server.whole(CHAT | failed)]]
    with pytest.raises(ModelError, match="response_format") as caught:
        await model_of(ChatModel).complete(ASKED)
    assert (caught.value.may_be_billed, caught.value.retry) == (True, False)


async def test_an_answer_that_is_too_long_is_not_asked_for_again(server, model_of):
    """It came and was paid: the same request would bring the same again."""
    event = b"data: " + b"x" * (MAX_ANSWER_BYTES // 2)
    server.scripts += [[server.head(), *[server.chunk(event)] * 3]]
    with pytest.raises(BadAnswer) as caught:
        await gathered(model_of(ChatModel))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, False)


@pytest.mark.parametrize("streaming", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize(
    ("body", "retry"),
    [
        pytest.param(b'{"id": "a", "model": "m"}', False, id="an-answer"),
        pytest.param(b"<html>busy</html>", True, id="a-page-of-a-proxy"),
    ],
)
@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_whole_answer_that_is_of_no_use_is_not_asked_for_again(
    server, model_of, kind, answer, events, body, retry, streaming
):
    """It has arrived and may be billed, so the same request would be paid again; a proxy's page has not."""
    server.scripts += [[server.whole(body)]]
    model = model_of(kind)
    with pytest.raises(BadAnswer) as caught:
        await (gathered(model) if streaming else model.complete(ASKED))
    assert (caught.value.may_be_billed, caught.value.retry) == (True, retry)


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_stream_under_a_wrong_type_is_read_also_after_a_byte_order_mark(
    server, model_of, kind, answer, events
):
    """The head says JSON, the body is a stream."""
    server.scripts += [[server.whole(b"\xef\xbb\xbf" + server.events(*events))]]
    assert (await model_of(kind).complete(ASKED)).text == "good day"


@pytest.mark.parametrize(("kind", "answer", "events"), WIRES)
async def test_a_compressed_answer_is_read(server, model_of, kind, answer, events):
    """An answer that a server compresses, as most do, says the same; the connection can be used again."""
    packed = gzip.compress(json.dumps(answer).encode())
    for _ in range(2):
        server.scripts.append([server.whole(packed, content_encoding="gzip"), "keep"])
    for _ in range(2):
        completion = await model_of(kind).complete(ASKED)
        assert completion.parts == (Text("good day"),)
    assert server.connections == 1


async def test_names_of_headers_are_read_in_any_case(server, model_of):
    """What a server says in headers counts however it spells their names, and a name may come twice."""
    refusal = {"error": {"message": "slow down"}}
    twice = {"Retry-After": "7", "X-Request-Id": "a", "x-request-ID": "b"}
    server.scripts.append([server.whole(refusal, "429 Too Many Requests", **twice)])
    with pytest.raises(ModelError) as caught:
        await model_of(ChatModel).complete(ASKED)
    assert caught.value.retry_after_seconds == 7
