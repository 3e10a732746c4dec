"""What is kept of the writing of requests, and what is not."""

import json

import pytest

from sunwell.core.message import user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel


@pytest.mark.parametrize("kind", [AnthropicModel, ChatModel, ResponsesModel])
def test_a_schema_that_its_owner_changes_is_sent_as_it_is_now(kind) -> None:
    """It is the caller's dict, which may have been sent before with other content."""
    wire = kind("m-1", Connection("lab", "http://127.0.0.1:9", "k")).wire
    schema = {"type": "object", "properties": {}, "required": [], "additionalProperties": False}
    request = Request(messages=[user("hello")], response_schema=ResponseSchema("answer", schema))

    def sent() -> str:
        return json.dumps(json.loads(b"".join(wire.encode("m-1", request, streaming=False))))

    before = sent()
    schema["title"] = "Changed since"
    assert "Changed since" not in before
    assert "Changed since" in sent()


@pytest.mark.parametrize("kind", [AnthropicModel, ChatModel, ResponsesModel])
def test_what_stands_around_messages_is_written_once_for_a_conversation(kind) -> None:
    """Also if each of its requests says anew, and alike, what is cached; another limit is another ending."""
    wire = kind("m-1", Connection("lab", "http://127.0.0.1:9", "k")).wire
    system, tools = ("Be brief.",), (ToolSpec("note", "Takes a note.", {"type": "object"}),)

    def ending(text: str, most: int) -> bytes:
        request = Request([user(text)], system, tools, most, caching=Caching("5m", False, "key"))
        return wire.encode("m-1", request, streaming=False)[-1]

    assert ending("one", 100) is ending("two", 100)
    assert ending("one", 100) != ending("one", 200)
