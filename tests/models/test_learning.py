"""A server that knows less than OpenAI is noticed by its refusals, and asked differently from then on."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import Text, user
from sunwell.core.model import Request, ResponseSchema, ToolSpec
from sunwell.errors import BadRequest
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import SCHEMA_IN_WORDS, ChatModel, ChatQuirks, quirks_for, without_refused
from sunwell.simulator import Asked, Reply, Simulator, minimal

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
    eager = quirks_for("openai", "gpt-6-luna")
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


@pytest.mark.parametrize(
    ("refusal", "changed"),
    [
        pytest.param(
            "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens'", True, id="newer-name"
        ),
        pytest.param("json_schema is not supported", True, id="schema"),
        pytest.param("Unrecognized request argument: stream_options", True, id="usage"),
        pytest.param("the prompt is too long", False, id="other"),
        pytest.param("model not found", False, id="model"),
    ],
)
def test_only_what_can_go_is_learned(refusal, changed):
    """Any other refusal stays one."""
    assert (without_refused(ChatQuirks(), refusal) is not None) == changed


@given(st.lists(st.sampled_from(
    ["response_format", "json_object", "stream_options", "reasoning_effort", "strict", "prompt_cache_key",
     "'max_tokens'", "max_completion_tokens", "content must be a string"]
), min_size=1, max_size=3).map(" ".join))  # fmt: skip
def test_a_chain_of_refusals_ends(refusal):
    """The same refusal again and again comes to an end."""
    quirks = quirks_for("openai", "gpt-6-luna")
    for _ in range(12):
        changed = without_refused(quirks, refusal)
        if changed is None:
            return
        quirks = changed
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
