"""What a model is sent follows from its provider's settings, and never from the spelling of its name."""

import json
from typing import Any

import attrs
import pytest

from sunwell.core.message import user
from sunwell.core.model import Caching, Request
from sunwell.models.catalog import PRESETS, Provider
from sunwell.models.http_model import HttpModel
from sunwell.models.providers import Providers, Route

REQUEST = Request(
    messages=[user("x")],
    system=("a",),
    max_output_tokens=99,
    effort="low",
    caching=Caching("5m", True, "run-1"),
)
KEYS = {"OPENAI_API_KEY": "k", "ANTHROPIC_API_KEY": "k"}


def body(provider: str, model_id: str, supply: Providers | None = None) -> dict[str, Any]:
    """Return what *model_id* of *provider* is sent."""
    supply = supply or Providers(variables=KEYS)
    route = supply.connection(provider)
    assert isinstance(route, Route)
    model = route.model(model_id)
    assert isinstance(model, HttpModel)
    sent: dict[str, Any] = json.loads(b"".join(model.wire.encode(model.model_id, REQUEST, streaming=False)))
    return sent


def marks(sent: dict[str, Any]) -> bool:
    """Whether the end of the system prompt is marked for the cache."""
    return "prompt_cache_breakpoint" in json.dumps(sent)


@pytest.mark.parametrize("model_id", ["gpt-6-luna", "o9", "corp-model", "claude-haiku-5-5", "gemma-4"])
def test_a_model_that_nobody_knows_is_asked_for_everything(model_id):
    """OpenAI serves models under any name, fine-tuned ones among them; refusals tell what one lacks."""
    sent = body("openai", model_id)
    assert (sent["include"], sent["reasoning"]) == (["reasoning.encrypted_content"], {"effort": "low"})
    assert marks(sent)


@pytest.mark.parametrize(
    ("model_id", "reasons", "marked"),
    [
        pytest.param("gpt-4o", False, False, id="neither"),
        pytest.param("gpt-4o-2024-08-06", False, False, id="with-a-date"),
        pytest.param("gpt-5.5", True, False, id="before-breakpoints"),
        pytest.param("gpt-4o-like", True, True, id="only-spelled-alike"),
    ],
)
def test_the_preset_knows_some_models_by_their_whole_id(model_id, reasons, marked):
    """This saves a refused request each; a name that only begins alike says nothing."""
    sent = body("openai", model_id)
    assert ("include" in sent, "reasoning" in sent, marks(sent)) == (reasons, reasons, marked)


@pytest.mark.parametrize("model_id", ["gpt-6-luna", "gemma-4"])
def test_a_server_in_openais_place_is_sent_the_older_limit(model_id):
    """One that ignored the newer name would answer without a limit; a rejected older one is learned."""
    supply = Providers(variables={**KEYS, "OPENAI_BASE_URL": "http://127.0.0.1:9/v1"})
    sent = body("openai", model_id, supply)
    assert sent["max_tokens"] == 99
    assert "max_completion_tokens" not in sent
    assert marks(sent)


@pytest.mark.parametrize(
    ("kind", "api", "where"),
    [
        pytest.param("openai", "chat", "reasoning_effort", id="chat"),
        pytest.param("openai", "responses", "reasoning", id="responses"),
        pytest.param("anthropic", "chat", "output_config", id="messages"),
    ],
)
def test_models_that_do_not_reason_are_sent_no_effort_in_any_format(kind, api, where):
    """The list of the provider's settings holds for each wire format."""
    entry = Provider("lab", kind, "http://127.0.0.1:9", api=api, needs_key=False, without_effort=("small",))
    supply = Providers({"lab": entry})
    assert where in body("lab", "large", supply)
    assert where not in body("lab", "small", supply)


@pytest.mark.parametrize("api", ["chat", "responses"])
def test_azure_serves_models_of_openai(api):
    """A deployment has any name, and is sent what OpenAI's models take."""
    entry = attrs.evolve(PRESETS["azure"], base_url="http://127.0.0.1:9", needs_key=False, api=api)
    sent = body("azure", "my-deployment", Providers({"azure": entry}))
    assert (sent["prompt_cache_key"], marks(sent)) == ("run-1", True)
    assert "max_tokens" not in sent


def test_breakpoints_can_be_set_for_a_gateway():
    """Behind a gateway, OpenAI's models know breakpoints as well; whoever set it up knows that."""
    quirks = PRESETS["openrouter"].quirks
    assert quirks is not None
    entry = attrs.evolve(
        PRESETS["openrouter"], quirks=attrs.evolve(quirks, breakpoints=True), needs_key=False
    )
    assert marks(body("openrouter", "openai/gpt-6-luna", Providers({"openrouter": entry})))
    assert not marks(
        body(
            "openrouter",
            "openai/gpt-6-luna",
            Providers({"openrouter": PRESETS["openrouter"]}, variables={"OPENROUTER_API_KEY": "k"}),
        )
    )
