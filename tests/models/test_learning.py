"""What a server does not support is noticed by its refusals, and left out from then on, on every wire."""

import asyncio
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import Text, user
from sunwell.core.model import Caching, Request, ResponseSchema, ToolSpec
from sunwell.errors import BadRequest
from sunwell.models import anthropic_messages, openai_chat, openai_responses
from sunwell.models.anthropic_messages import AnthropicModel, MessagesFeatures
from sunwell.models.catalog import quirks_for
from sunwell.models.connection import Connection
from sunwell.models.learning import SCHEMA_IN_WORDS, learned
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesFeatures, ResponsesModel
from sunwell.models.quirks import ChatQuirks
from sunwell.simulator import Asked, Fault, FaultRule, Reply, Simulator, minimal

TOOL = ToolSpec("read", "Reads.", {"type": "object", "properties": {}})
SCHEMA = {
    "type": "object",
    "properties": {"plan": {"type": "string"}},
    "required": ["plan"],
    "additionalProperties": False,
}


def obedient(asked: Asked) -> Reply:
    """A model that does what its instructions say."""
    _, found, schema = asked.system.partition(SCHEMA_IN_WORDS)
    return Reply((Text(json.dumps(minimal(json.loads(schema))) if found else "done"),))


@pytest.mark.parametrize("streaming", [False, True], ids=["whole", "stream"])
async def test_a_plain_server_is_worked_around(streaming):
    """Each refusal allows one more attempt and takes one thing away, until the server understands."""
    eager = quirks_for("openai")
    request = Request(
        messages=[user("plan")],
        system=("one", "two"),
        tools=[TOOL],
        max_output_tokens=500,
        effort="low",
        response_schema=ResponseSchema("plan", SCHEMA),
    )
    async with Simulator({"gpt-6-luna": obedient}, dialect="plain") as simulator:
        model = ChatModel("gpt-6-luna", Connection("lab", simulator.openai_url, "key-of-lab"), quirks=eager)
        for _attempt in range(10):
            try:
                if streaming:
                    completion = [delta async for delta in model.stream(request)][-1].completion
                else:
                    completion = await model.complete(request)
                break
            except BadRequest as error:
                assert (error.retry, error.may_be_billed) == (True, False)  # noqa: PT017
    assert completion is not None
    assert json.loads(completion.text) == {"plan": ""}
    assert (completion.usage is None) == streaming
    quirks = model.quirks
    assert (quirks.schema, quirks.token_limit, quirks.effort) == ("none", "max_tokens", False)
    assert len(simulator.bill.entries()) == 1


DEFAULTS = {
    "messages": (MessagesFeatures(), anthropic_messages.LESSONS),
    "chat": (quirks_for("openai"), openai_chat.LESSONS),
    "responses": (ResponsesFeatures(), openai_responses.LESSONS),
}
OPTIONAL = {
    "messages": (
        "output_config.effort",
        "output_config.format",
        "cache_control",
    ),
    "chat": ("reasoning_effort", "response_format", "prompt_cache_key", "prompt_cache_options"),
    "responses": (
        "reasoning.effort",
        "include",
        "text.format",
        "prompt_cache_key",
        "prompt_cache_options",
        "store",
        "max_output_tokens",
    ),
}
EAGER = Request(
    messages=[user("plan")],
    system=("one", "two"),
    max_output_tokens=500,
    effort="low",
    response_schema=ResponseSchema("plan", SCHEMA),
    caching=Caching(prefix="1h", conversation=True, key="siblings"),
)


def on(simulator: Simulator, wire: str) -> AnthropicModel | ChatModel | ResponsesModel:
    """Return a model of *wire* on *simulator*."""
    if wire == "messages":
        return AnthropicModel("claude-haiku-5-5", Connection("anthropic", simulator.url, "key-of-a-test"))
    connection = Connection("openai", simulator.openai_url, "key-of-a-test")
    kind = ChatModel if wire == "chat" else ResponsesModel
    return kind("gpt-6-luna", connection)


async def answered(model: AnthropicModel | ChatModel | ResponsesModel, request: Request, *, stream: bool):
    """Return the answer after as many attempts as the refusals allow."""
    while True:
        try:
            if stream:
                return [delta async for delta in model.stream(request)][-1].completion
            return await model.complete(request)
        except BadRequest as error:
            if error.may_be_billed or not (error.retry and error.is_changed):
                raise


@pytest.mark.parametrize("stream", [False, True], ids=["plain", "streamed"])
@pytest.mark.parametrize("wire", DEFAULTS)
async def test_every_optional_field_can_be_refused_on_every_wire(wire, stream):
    """A server that knows none of them is asked without, and a schema is then asked for in words."""
    fields = OPTIONAL[wire]
    faults = [FaultRule(Fault(unknown_fields=fields))]
    scripts = {"claude-haiku-5-5": obedient, "gpt-6-luna": obedient}
    async with Simulator(scripts, faults=faults) as simulator:
        model = on(simulator, wire)
        completion = await answered(model, EAGER, stream=stream)
        assert json.loads(completion.text) == {"plan": ""}
        refused = len(simulator.requests) - 1
        assert 0 < refused <= len(fields)
        await answered(model, EAGER, stream=stream)
        assert len(simulator.requests) == refused + 2  # learned once
        assert len(simulator.bill.entries()) == 2


@pytest.mark.parametrize("wire", DEFAULTS)
async def test_calls_that_are_refused_together_are_all_asked_again(wire):
    """Twenty siblings go out before the first refusal arrives: each learns from it."""
    fields = tuple(name for name in OPTIONAL[wire] if "effort" in name or "format" in name)
    faults = [FaultRule(Fault(unknown_fields=fields))]
    scripts = {"claude-haiku-5-5": obedient, "gpt-6-luna": obedient}
    async with Simulator(scripts, faults=faults) as simulator:
        model = on(simulator, wire)
        answers = await asyncio.gather(*(answered(model, EAGER, stream=False) for _ in range(20)))
        assert [json.loads(answer.text) for answer in answers] == [{"plan": ""}] * 20


REFUSALS = [
    # In the words of servers: OpenAI, vLLM, Azure, Mistral (pydantic), Fireworks, Anthropic, Bedrock.
    ("chat", "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.",
     {"token_limit": "max_tokens"}, {"token_limit": "max_completion_tokens"}),
    ("chat", "json_schema is not supported", {}, {"schema": "json_object"}),
    ("chat", "Unrecognized request argument supplied: stream_options", {}, {"stream_usage": False}),
    ("chat", "Unrecognized request argument supplied: reasoning_effort", {}, {"effort": False}),
    ("chat", "body.reasoning_effort: Extra inputs are not permitted", {}, {"effort": False}),
    ("chat", "tools[0].function: unknown field 'strict'", {"strict_tools": True}, {"strict_tools": False}),
    ("chat", "Unknown parameter: 'prompt_cache_key'", {}, {"cache_key": False, "breakpoints": False}),
    ("chat", "max_tokens is too large: 8192. This model supports at most 4096 completion tokens", {}, None),
    ("chat", "'max_completion_tokens' is too large: 9000. The maximum context length is 8192", {}, None),
    ("chat", "the prompt is too long", {}, None),
    ("chat", "model not found", {}, None),
    ("responses", "Unsupported parameter: 'reasoning.effort' is not supported with this model.", {},
     {"effort": False}),
    ("responses", "Encrypted content is not supported with this model.", {}, {"include": False}),
    ("responses", "Unknown parameter: 'include'.", {}, {"include": False}),
    ("responses", "Unknown parameter: 'prompt_cache_options'.", {}, {"breakpoints": False}),
    ("responses", "Unknown parameter: 'prompt_cache_key'.", {}, {"breakpoints": False, "cache_key": False}),
    ("responses", "Invalid parameter: 'text.format' of type 'json_schema' is not supported.", {},
     {"schema": "json_object"}),
    ("responses", "max_output_tokens is too large: 99999", {}, None),
    ("responses", "The model does not exist", {}, None),
    ("messages", "output_config.effort: Extra inputs are not permitted", {}, {"effort": False}),
    ("messages", "This model does not support the effort parameter.", {}, {"effort": False}),
    ("messages", "output_config.format: Extra inputs are not permitted", {}, {"schema": "none"}),
    ("messages", "output_config: Extra inputs are not permitted", {}, {"schema": "none", "effort": False}),
    ("messages", "cache_control: Extra inputs are not permitted", {}, {"cache_conversation": False}),
    ("messages", "system.1.cache_control.ephemeral.ttl: Extra inputs are not permitted", {},
     {"cache_life": False}),
    ("messages", "system.1.cache_control: Extra inputs are not permitted", {}, {"cache": False}),
    ("chat", "Tool call id was call_1 but must be a-z, A-Z, 0-9, with a length of 9.", {},
     {"call_ids": "nine"}),
    ("chat", "Invalid 'messages[1].tool_calls[0].id': string too long. Expected a maximum length of 40",
     {"call_ids": "any"}, {"call_ids": "short"}),
    ("chat", "messages.1.assistant.reasoning_content: Extra inputs are not permitted",
     {"returns_reasoning": True}, {"returns_reasoning": False}),
    ("chat", "'messages.1': property 'reasoning' is unsupported", {"returns_reasoning": True},
     {"returns_reasoning": False}),
    ("chat", "The reasoning_content in the thinking mode must be passed back to the API.",
     {"returns_reasoning": True}, None),
    ("chat", "Function call is missing a thought_signature in functionCall parts.", {},
     {"marks_unsigned_calls": True}),
    ("responses", "The encrypted content could not be verified.", {}, {"returns_reasoning": False}),
    ("responses", "Item with id 'rs_1' not found.", {}, {"returns_reasoning": False}),
    ("responses", "Encrypted content is not supported with this model.", {}, {"include": False}),
    ("messages", "messages.1.content.0: Invalid `signature` in `thinking` block", {},
     {"returns_thinking": False}),
    ("chat", '"qwen" does not support thinking', {}, {"effort": False}),
    ("chat", "Thinking level is not supported by this model.", {}, {"effort": False}),
    ("chat", "Unknown name \"additionalProperties\" at 'generation_config.response_schema'", {},
     {"schema": "none"}),
    ("responses", "Unknown parameter: 'text'.", {}, {"schema": "none"}),
    ("responses", "[{'type': 'extra_forbidden', 'loc': ['body', 'text']}]", {}, {"schema": "none"}),
    ("responses", "[{'type': 'string_type', 'loc': ['body', 'input', 0, 'text']}]", {}, None),
    ("responses", "unsupported field store", {}, {"store": False}),
    ("messages", "This model does not support output format", {}, {"schema": "none"}),
    ("messages", "prompt is too long: 210000 tokens > 200000 maximum", {}, None),
    ("messages", "messages: at least one message is required", {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("wire", "refusal", "known", "change"), REFUSALS)
def test_only_what_can_go_is_learned(wire, refusal, known, change):
    """A refusal takes away what it names; any other refusal stays one."""
    features, lessons = DEFAULTS[wire]
    features = attrs.evolve(features, **known)
    expected = None if change is None else attrs.evolve(features, **change)
    assert learned(features, refusal, lessons) == expected


WORDS = sorted({word for names in OPTIONAL.values() for word in names} | {
    "json_object", "json_schema", "stream_options", "strict", "'max_tokens'", "max_completion_tokens",
    "content must be a string", "output_config", "ttl", "reasoning", "tools.0.cache_control",
})  # fmt: skip


@pytest.mark.parametrize("wire", DEFAULTS)
@given(st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join))
def test_a_chain_of_refusals_ends(wire, refusal):
    """The same refusal again and again comes to an end."""
    features, lessons = DEFAULTS[wire]
    for _ in range(12):
        changed = learned(features, refusal, lessons)
        if changed is None:
            return
        features = changed
    raise AssertionError("it never ends")


async def test_work_with_tools_is_refused_where_there_are_none():
    """A server that is set to take no tools gets no request that has some; a question it gets."""
    async with Simulator({"gpt-6-luna": obedient}, dialect="plain") as simulator:
        connection = Connection("lab", simulator.openai_url, "key-of-lab")
        quirks = ChatQuirks(tools=False, stream_usage=False)
        model = ChatModel("gpt-6-luna", connection, quirks=quirks)
        with pytest.raises(BadRequest, match="does not support tools"):
            await model.complete(Request(messages=[user("x")], tools=[TOOL]))
        assert simulator.requests == ()
        assert (await model.complete(Request(messages=[user("x")]))).text == "done"
