"""Estimates and bounds of tokens before a provider has counted them."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import Request, ResponseSchema, ToolSpec, user
from sunwell.models.tokens import (
    allowance_tokens,
    estimate_tokens,
    input_bound_tokens,
    least_cacheable_tokens,
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
