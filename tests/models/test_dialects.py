"""What providers do that a price or a bound depends on: routing, cache writes, limits of reasoning."""

from typing import Any

import pytest

from sunwell.core import Caching
from sunwell.models.anthropic_messages import AnthropicModel, MessagesFeatures
from sunwell.models.connection import Connection
from sunwell.models.dialects import (
    UNKNOWN_WINDOW_TOKENS,
    is_routed,
    reasoning_beyond_limit_tokens,
    sent_effort,
    written_life,
)
from sunwell.models.http_model import Tuning
from sunwell.models.openai_chat import ChatModel, ChatQuirks
from sunwell.models.openai_responses import ResponsesModel
from sunwell.testing import ScriptedModel

NOTHING = Caching(prefix=None, conversation=False)
OWN = Connection("anthropic", api_key="k")
OPENAI = Connection("openai", api_key="k")
CLAUDE = AnthropicModel("claude-haiku-5-5", Connection("anthropic", api_key="k"))
LUNA = ResponsesModel("gpt-6-luna", OPENAI)
PROXIED = AnthropicModel("claude-haiku-5-5", Connection("mine", "https://proxy.example/v1", "k"))


@pytest.mark.parametrize(
    ("model", "caching", "life"),
    [
        pytest.param(CLAUDE, Caching(), "5m", id="anthropic-asked"),
        pytest.param(CLAUDE, Caching("1h"), "1h", id="anthropic-asked-for-an-hour"),
        pytest.param(CLAUDE, Caching(None), "5m", id="anthropic-conversation-alone"),
        pytest.param(CLAUDE, Caching(conversation=False), "5m", id="anthropic-prefix-alone"),
        pytest.param(CLAUDE, NOTHING, None, id="anthropic-not-asked"),
        pytest.param(PROXIED, NOTHING, "5m", id="unknown-server-not-asked"),
        pytest.param(LUNA, NOTHING, None, id="openai-switched-off"),
        pytest.param(LUNA, Caching(), "5m", id="openai"),
        pytest.param(ChatModel("gpt-6-luna", OPENAI), NOTHING, None, id="openai-chat-switched-off"),
        pytest.param(ChatModel("m", Connection("groq", api_key="k")), NOTHING, "5m", id="another-not-asked"),
        pytest.param(ScriptedModel("claude-haiku-5-5", []), NOTHING, "5m", id="no-provider"),
    ],
)
def test_a_request_can_write_what_it_asks_for_or_what_the_provider_writes_unasked(
    model: Any, caching: Caching, life: str | None
) -> None:
    """Only a provider that is known to write on request writes nothing if it is not asked."""
    assert written_life(model, caching) == life


@pytest.mark.parametrize(
    ("model", "sent"),
    [
        pytest.param(CLAUDE, "low", id="the-requests"),
        pytest.param(
            AnthropicModel("claude-haiku-5-5", OWN, tuning=Tuning(effort="max")), "max", id="the-models-own"
        ),
        pytest.param(
            AnthropicModel("claude-haiku-4-5", OWN, features=MessagesFeatures(effort=False)),
            None,
            id="no-field",
        ),
        pytest.param(ChatModel("m", OPENAI, quirks=ChatQuirks(effort=False)), None, id="no-field-in-chat"),
        pytest.param(ScriptedModel("any", []), "low", id="no-provider"),
    ],
)
def test_the_effort_that_is_sent(model: Any, sent: str | None) -> None:
    """The model's own setting comes before the request's; some models are sent none."""
    assert sent_effort(model, "low") == sent


@pytest.mark.parametrize(
    ("provider", "base_url", "routed"),
    [
        pytest.param("anthropic", None, False, id="own-address"),
        pytest.param("openrouter", "https://openrouter.ai/api/v1", True, id="openrouter"),
        pytest.param("mine", "https://openrouter.ai/api/v1", True, id="openrouter-by-another-name"),
        pytest.param("openai", "https://eu.gateway.ai.cloudflare.com/v1/x", True, id="gateway"),
        pytest.param("openai", "https://proxy.example/v1", None, id="openai-elsewhere"),
        pytest.param("azure", "https://mine.openai.azure.com", False, id="an-address-for-each-customer"),
        pytest.param("mine", "http://10.0.0.1:8000/v1", None, id="unknown"),
        pytest.param("ollama", "http://127.0.0.1:11434/v1", False, id="local"),
    ],
)
def test_a_connection_is_routed_if_its_provider_or_its_host_passes_requests_on(
    provider: str, base_url: str | None, routed: bool | None
) -> None:
    """What is not known stays unknown."""
    assert is_routed(ChatModel("m", Connection(provider, base_url, "k"))) is routed


XAI = Connection("xai", "https://api.x.ai/v1", "k")


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        pytest.param(ChatModel("grok-4", XAI), UNKNOWN_WINDOW_TOKENS - 1_000, id="reasons-beyond-it"),
        pytest.param(ChatModel("grok-4-fast-non-reasoning", XAI), 0, id="does-not-reason"),
        pytest.param(LUNA, 0, id="openai"),
        pytest.param(CLAUDE, 0, id="anthropic"),
    ],
)
def test_reasoning_beyond_the_limit_is_as_long_as_the_window_allows(model: Any, tokens: int) -> None:
    """The limit of an answer bounds reasoning, too, with nearly all providers."""
    assert reasoning_beyond_limit_tokens(model, None, 1_000) == tokens
    assert reasoning_beyond_limit_tokens(model, 1_000, 1_000) == 0
