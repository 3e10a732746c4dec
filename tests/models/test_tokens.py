"""Estimates and bounds of tokens before a provider has counted them."""

import json
import subprocess
import sys
import time

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import Request, ResponseSchema, ToolSpec, user
from sunwell.core.message import History, Message, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Caching
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_framing import body_tokens
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.tokens import (
    allowance_tokens,
    estimate_tokens,
    input_bound_tokens,
    least_cacheable_tokens,
    tokenizer_bound,
)
from sunwell.testing import ScriptedModel


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        pytest.param("", 0, id="nothing"),
        pytest.param("a", 1, id="one-byte"),
        pytest.param("abcd", 1, id="four-bytes"),
        pytest.param("abcde", 2, id="five-bytes"),
        pytest.param("éé", 1, id="two-letters-of-two-bytes"),
        pytest.param("ééa", 2, id="bytes-not-letters"),
        pytest.param("\ud800", 1, id="half-a-pair"),
    ],
)
def test_an_estimate_is_a_quarter_of_the_bytes(text, tokens):
    """Bytes divided by four, rounded up; text that is no valid Unicode has an estimate too."""
    assert estimate_tokens(text) == tokens


@given(st.text(), st.text())
def test_estimates_of_parts(one, other):
    """The estimate of a whole is at most that of its parts, and at most one token less."""
    apart = estimate_tokens(one) + estimate_tokens(other)
    assert apart - 1 <= estimate_tokens(one + other) <= apart


@pytest.mark.parametrize(
    ("provider", "model_id", "tokens"),
    [
        pytest.param("anthropic", "claude-opus-5-5", 1_024, id="anthropic"),
        pytest.param("Anthropic", "claude-opus-5-5", 1_024, id="capitals"),
        pytest.param("openai", "gpt-6-luna", 512, id="openai"),
        pytest.param(None, "gpt-6-luna", 512, id="told-by-the-id"),
        pytest.param(None, "llama-5", 1_024, id="nobody-knows"),
        pytest.param("vllm", "gpt-6-luna", 1_024, id="unknown-provider"),
    ],
)
def test_allowances(provider, model_id, tokens):
    """What a provider may add stands in a table; for an unknown one the largest figure holds."""
    assert allowance_tokens(provider, model_id) == tokens


def test_anthropic_allowance_covers_what_was_seen():
    """Tool prompts of up to 530 tokens were seen: the allowance holds them with a margin."""
    assert allowance_tokens("anthropic", "claude-3-opus-20240229") >= 530 * 1.5


@attrs.define(eq=False)
class Bounded(ScriptedModel):
    """A model whose provider counts for it."""

    def input_bound_tokens(self, request: Request) -> int:
        return 7


TOOL = ToolSpec("read", "Reads a file.", {"type": "object", "properties": {}})


def test_a_models_own_bound_holds():
    """A model that can bound its input itself is believed."""
    assert input_bound_tokens(Bounded("own", []), Request((user("a" * 1_000),))) == 7


@given(st.text(max_size=200), st.text(max_size=200), st.booleans())
def test_the_bound_covers_every_byte(system, text, tools):
    """The bound is above the bytes of all that is sent, plus the allowance."""
    schema = ResponseSchema("answer", {"type": "object"})
    request = Request((user(text),), (system,), (TOOL,) if tools else (), response_schema=schema)
    sent = len((system + text).encode()) + len(str(schema.schema))
    sent += len((TOOL.name + TOOL.description + TOOL.schema_text).encode()) if tools else 0
    assert input_bound_tokens(ScriptedModel("claude-opus-5-5", []), request) >= sent + 1_024


def test_each_tool_adds_to_the_bound():
    """A tool costs more than its words: providers write names and brackets around it."""
    model = ScriptedModel("gpt-6-luna", [])
    one, two = (input_bound_tokens(model, Request((user("x"),), (), (TOOL,) * count)) for count in (1, 2))
    assert two - one > len((TOOL.name + TOOL.description + TOOL.schema_text).encode())


@pytest.mark.parametrize(
    ("model_id", "expected"),
    [
        ("claude-opus-5-5", (512, False)),
        ("claude-haiku-5.5", (512, False)),
        ("claude-haiku-5-5-20260901", (512, False)),
        ("claude-sonnet-5", (1_024, False)),
        ("claude-haiku-4-5", (4_096, False)),
        ("gpt-6.1-sol", (1_024, False)),
        ("claude-haiku-5-5-giga", (4_096, True)),
        ("llama-5", (4_096, True)),
    ],
)
def test_least_cacheable_prefixes(model_id, expected):
    """Known minima stand in a table; where none is known the largest is assumed, and said to be."""
    assert least_cacheable_tokens(model_id) == expected


OPENAI = Connection("openai", api_key="sk-1")
SCHEMA = ResponseSchema(
    "answer",
    {
        "type": "object",
        "properties": {"text": {"type": "string"}},
        "required": ["text"],
        "additionalProperties": False,
    },
)
TURN = (
    Message("assistant", (Text("I read it."), ToolCall("c1", "read", '{"path":"a"}'))),
    Message("tool", (ToolResult("c1", "one\ntwo\n" * 20), Text("Time is short."))),
)
WORKED = Request(History((user("Read a."), *TURN)), ("Be exact.", "Write short sentences."), (TOOL,))


def openai_model(api, model_id, connection=OPENAI, **more):
    return (ChatModel if api == "chat" else ResponsesModel)(model_id, connection, **more)


@pytest.mark.parametrize("api", ["chat", "responses"])
@pytest.mark.parametrize("model_id", ["gpt-4o", "gpt-5-mini"])
@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(Request((user("hello"),)), id="one-message"),
        pytest.param(WORKED, id="with-tools"),
        pytest.param(attrs.evolve(WORKED, tool_choice="none", effort="low"), id="no-more-tools"),
        pytest.param(attrs.evolve(WORKED, max_output_tokens=50, caching=Caching(key="k")), id="cached"),
    ],
)
def test_the_tokenizer_bounds_what_is_sent(api, model_id, request_):
    """The bound of a request is that of the body which is sent for it."""
    model = openai_model(api, model_id)
    body = json.loads(b"".join(model.wire.encode(model_id, request_, streaming=True)))
    assert tokenizer_bound(model, request_) == body_tokens(api, body) is not None


def test_a_schema_is_bounded():
    """The schema of the answer is in the bound."""
    model, plain = openai_model("responses", "gpt-4o"), Request((user("hello"),))
    more = tokenizer_bound(model, attrs.evolve(plain, response_schema=SCHEMA)) - tokenizer_bound(model, plain)
    assert 15 < more < 40


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_a_growing_conversation_is_bounded_alike(api):
    """Each message of a conversation is counted once, and the bound is that of the whole."""
    model, history = openai_model(api, "gpt-4.1"), History((user("Read a."),))
    for _ in range(5):
        asked = Request(history, ("Be exact.",), (TOOL,))
        fresh = attrs.evolve(asked, messages=History(tuple(history)))
        assert tokenizer_bound(model, asked) == tokenizer_bound(model, fresh) is not None
        history = history.plus(*TURN)


def test_the_bound_of_a_long_conversation_takes_no_longer():
    """The bound of a conversation with one more message does not count its megabyte again."""
    model, begun = openai_model("responses", "gpt-4.1"), History((user("word " * 200_000),))
    tokenizer_bound(model, Request(begun))
    started = time.process_time()
    for n in range(100):
        tokenizer_bound(model, Request(begun.plus(user(f"And {n}?"))))
    assert time.process_time() - started < 1


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(openai_model("responses", "gpt-6-luna"), id="unknown-model"),
        pytest.param(
            openai_model("chat", "gpt-4o", Connection("vllm", "http://127.0.0.1:8000/v1")),
            id="compatible-server",
        ),
        pytest.param(
            openai_model("chat", "gpt-4o", Connection("openai", "https://proxy.example/v1")),
            id="another-address",
        ),
        pytest.param(AnthropicModel("claude-opus-5-5", Connection("anthropic")), id="another-provider"),
        pytest.param(ScriptedModel("gpt-4o", []), id="no-provider"),
    ],
)
def test_only_openais_own_models_are_bounded(model):
    """No other model, and no other server, is known to use the tokenizer and the framing."""
    assert tokenizer_bound(model, Request((user("hello"),))) is None


def test_reasoning_that_goes_back_is_not_bounded():
    """Nobody knows how many tokens encrypted reasoning has."""
    model = openai_model("responses", "gpt-5")
    raw = '{"type":"reasoning","id":"rs_1","summary":[],"encrypted_content":"gAAAA"}'
    thought = Thinking("", raw, "openai-responses@openai/gpt-5")
    request = Request((user("hello"), Message("assistant", (thought, Text("Hi."))), user("And?")))
    assert tokenizer_bound(model, request) is None


LOADED = """
import asyncio, sys
from sunwell.core import Request, user
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.tokens import load_tokenizer, tokenizer_bound
found = []
for model in (
    AnthropicModel("claude-opus-5-5", Connection("anthropic")),
    ResponsesModel("gpt-6-luna", Connection("openai")),
    ResponsesModel("gpt-4.1", Connection("openai")),
):
    asyncio.run(load_tokenizer(model))
    found.append("tiktoken" in sys.modules)
    found.append(tokenizer_bound(model, Request((user("hello"),))))
    found.append("tiktoken" in sys.modules)
print(found)
"""


def test_the_tokenizer_is_loaded_only_for_a_model_that_needs_it():
    """Neither another provider's model nor an unknown one loads ``tiktoken``."""
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, check=True)
    assert done.stdout == "[False, None, False, False, None, False, True, 8, True]\n"


WITHOUT_LZMA = """
import importlib.util, sys
from importlib.machinery import PathFinder
class Lacking(PathFinder):
    @classmethod
    def find_spec(cls, name, *more):
        return None if name == "_lzma" else super().find_spec(name, *more)
sys.meta_path = [Lacking if one is PathFinder else one for one in sys.meta_path]
sys.modules.pop("_lzma", None)
from sunwell.core import Request, user
from sunwell.models.connection import Connection
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.tokens import tokenizer_bound
print(tokenizer_bound(ResponsesModel("gpt-4.1", Connection("openai")), Request((user("hello"),))))
"""


def test_a_python_that_cannot_unpack_the_vocabulary_has_no_such_bound():
    """Without ``lzma``, which some builds of Python lack, requests are bounded in the other ways."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_LZMA], capture_output=True, text=True, check=False)
    assert done.stdout == "None\n", done.stderr
