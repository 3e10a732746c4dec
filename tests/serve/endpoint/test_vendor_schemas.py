"""Bodies and events, held against the types of the vendors' own packages."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from anthropic.types import (
    ErrorResponse,
    Message,
    RawContentBlockDeltaEvent,
    RawContentBlockStartEvent,
    RawContentBlockStopEvent,
    RawMessageDeltaEvent,
    RawMessageStartEvent,
    RawMessageStopEvent,
)
from openai.types import ErrorObject
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import (
    Response,
    ResponseCompletedEvent,
    ResponseContentPartAddedEvent,
    ResponseContentPartDoneEvent,
    ResponseCreatedEvent,
    ResponseErrorEvent,
    ResponseIncompleteEvent,
    ResponseInProgressEvent,
    ResponseOutputItemAddedEvent,
    ResponseOutputItemDoneEvent,
    ResponseTextDeltaEvent,
    ResponseTextDoneEvent,
)
from pydantic import TypeAdapter

from sunwell.core.model import Usage
from sunwell.serve.endpoint.client_request import ClientAnswer, Declined
from sunwell.serve.endpoint.endpoint_app import door_error
from sunwell.serve.endpoint.event_stream import json_bytes
from sunwell.serve.endpoint.requested_runs import _ERRORS
from sunwell.serve.endpoint.served_chat import ChatWire
from sunwell.serve.endpoint.served_messages import MessagesWire
from sunwell.serve.endpoint.served_responses import ResponsesWire

ENDS = ("end", "length", "refusal")
OF_RESPONSES = {
    "response.created": ResponseCreatedEvent,
    "response.in_progress": ResponseInProgressEvent,
    "response.output_item.added": ResponseOutputItemAddedEvent,
    "response.content_part.added": ResponseContentPartAddedEvent,
    "response.output_text.delta": ResponseTextDeltaEvent,
    "response.output_text.done": ResponseTextDoneEvent,
    "response.content_part.done": ResponseContentPartDoneEvent,
    "response.output_item.done": ResponseOutputItemDoneEvent,
    "response.completed": ResponseCompletedEvent,
    "response.incomplete": ResponseIncompleteEvent,
    "error": ResponseErrorEvent,
}
OF_MESSAGES = {
    "message_start": RawMessageStartEvent,
    "content_block_start": RawContentBlockStartEvent,
    "content_block_delta": RawContentBlockDeltaEvent,
    "content_block_stop": RawContentBlockStopEvent,
    "message_delta": RawMessageDeltaEvent,
    "message_stop": RawMessageStopEvent,
    "error": ErrorResponse,
}
KINDS = [
    *sorted({(status, kind) for status, kind in _ERRORS.values()}),
    (400, "invalid_request_error"),
    (404, "not_found_error"),
    (413, "request_too_large"),
    (422, "run_failed"),
]


def held(kind: Any, value: Any) -> Any:
    """Require *value* to be of *kind* to the letter: no number for a text, no text for a number."""
    return TypeAdapter(kind).validate_json(json_bytes(value), strict=True)


def answered(stop: Any, text: str = "Tea.") -> ClientAnswer:
    """Return an answer with all that one may have."""
    usage = Usage(input_tokens=9, output_tokens=4, cache_read_tokens=3, cache_write_tokens=2)
    return ClientAnswer("1", "sunwell", 7, text, stop, usage, Decimal("0.00012"), {"run_id": "1"})


def events_of(data: bytes) -> Iterator[tuple[str, Any]]:
    """Yield the name and the value of each event in *data*; the end of a list of chunks is ``None``."""
    for event in data.decode().removesuffix("\n\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in event.split("\n"))
        said = fields.get("data")
        yield fields.get("event", ""), None if said in (None, "[DONE]") else json.loads(str(said))


def told(wire: Any, answer: ClientAnswer) -> list[tuple[str, Any]]:
    """Return the events of a whole stream with *answer*."""
    return list(events_of(b"".join([*wire.begin(answer), *wire.end(answer, with_usage=True)])))


@pytest.mark.parametrize("text", ["Tea.", ""])
@pytest.mark.parametrize("stop", ENDS)
def test_answers_of_chat_completions(stop: str, text: str) -> None:
    """Whole ones, and chunks up to the word that ends them."""
    assert held(ChatCompletion, ChatWire().whole(answered(stop, text))).choices[0].message.content == text
    *chunks, (_, last) = told(ChatWire(), answered(stop, text))
    read = [held(ChatCompletionChunk, value) for _, value in chunks]
    assert last is None
    assert "".join(one.choices[0].delta.content or "" for one in read if one.choices) == text
    assert read[-1].usage.total_tokens == 13


@pytest.mark.parametrize("text", ["Tea.", ""])
@pytest.mark.parametrize("stop", ENDS)
def test_answers_of_responses(stop: str, text: str) -> None:
    """Whole ones, and events whose numbers have no gap; the last one has the whole answer."""
    assert held(Response, ResponsesWire().whole(answered(stop, text))).output_text == text
    read = [held(OF_RESPONSES[name], value) for name, value in told(ResponsesWire(), answered(stop, text))]
    assert [one.sequence_number for one in read] == list(range(len(read)))
    assert read[-1].response.output_text == text
    assert read[-1].type == ("response.incomplete" if stop == "length" else "response.completed")


@pytest.mark.parametrize("text", ["Tea.", ""])
@pytest.mark.parametrize("stop", ENDS)
def test_answers_of_messages(stop: str, text: str) -> None:
    """Whole ones, and events up to the end of the message."""
    assert held(Message, MessagesWire().whole(answered(stop, text))).content[0].text == text
    read = [held(OF_MESSAGES[name], value) for name, value in told(MessagesWire(), answered(stop, text))]
    assert [read[0].type, read[-2].type, read[-1].type] == ["message_start", "message_delta", "message_stop"]
    assert read[-2].usage.output_tokens == 4


@pytest.mark.parametrize(("status", "kind"), KINDS)
def test_errors(status: int, kind: str) -> None:
    """As a body and at the end of a stream, in the words that each vendor has for it."""
    declined = Declined(status, kind, "It failed.", {"run_id": "1"})
    for wire in (ChatWire(), ResponsesWire()):
        assert held(ErrorObject, wire.error(declined)["error"]).code == kind
    assert held(ErrorResponse, MessagesWire().error(declined)).error.message == "It failed."
    [(_, chunk)] = events_of(b"".join(ChatWire().failed(declined)))
    assert held(ErrorObject, chunk["error"]).message == "It failed."
    [(name, event)] = events_of(b"".join(ResponsesWire().failed(declined)))
    assert held(OF_RESPONSES[name], event).code == kind
    [(name, event)] = events_of(b"".join(MessagesWire().failed(declined)))
    assert held(OF_MESSAGES[name], event).error.message == "It failed."


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 408, 413])
def test_refusals_at_the_door(status: int) -> None:
    """One form that clients of both vendors read."""
    body = door_error(status, "no")
    assert held(ErrorObject, body["error"]).message == "no"
    assert held(ErrorResponse, body).error.message == "no"
