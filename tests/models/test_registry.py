"""Names resolve to models, once each, whoever asks at the same time."""

import datetime
from collections.abc import Hashable
from typing import Any

import attrs
import pytest

from sunwell.core import ModelProtocol
from sunwell.errors import (
    ConfigurationError,
    MissingKeyError,
    UnknownModelError,
    UnknownProviderError,
)
from sunwell.models.catalog import Provider
from sunwell.models.prices import PriceBook
from sunwell.models.providers import Environment, Providers, Route
from sunwell.models.registry import ModelRegistry, get_registry, resolve_model
from sunwell.testing import ScriptedModel


def model(name: str = "a model") -> ScriptedModel:
    return ScriptedModel(name, [])


@attrs.define(eq=False)
class Makers:
    """A supply whose environment is one string that a test may change."""

    environment: str = "key-1"
    made: list[tuple[str, Hashable]] = attrs.field(factory=list)

    def connection(self, provider: str) -> Hashable | None:
        return (provider, self.environment) if provider in ("anthropic", "openai", "hub") else None

    def model(self, model_id: str, connection: Hashable) -> ModelProtocol:
        self.made.append((model_id, connection))
        return model(model_id)


def test_a_registered_model_is_given_back():
    """``get`` and ``resolve_model`` return the very instance that was registered."""
    registry, opus = ModelRegistry(), model("opus")
    registry.register("opus", opus)
    assert registry.get("opus") is opus
    assert resolve_model("opus", registry) is opus


def test_an_instance_passes_through():
    """A model needs no registration to be used."""
    opus = model()
    assert resolve_model(opus, ModelRegistry()) is opus


def test_one_registry_for_the_process():
    """Where no registry is passed, everyone shares one."""
    ours = model()
    get_registry().register("test_registry/ours", ours)
    assert get_registry() is get_registry()
    assert resolve_model("test_registry/ours") is ours


@pytest.mark.parametrize(
    "wrong", [None, 3, ["opus"], ScriptedModel], ids=["none", "number", "list", "class-of-models"]
)
def test_neither_model_nor_name(wrong):
    """What is neither a model nor a name is refused with a sentence, also when it is registered."""
    with pytest.raises(TypeError, match="a model has name, complete and stream"):
        resolve_model(wrong, ModelRegistry())
    with pytest.raises(TypeError, match="'opus' cannot be registered as"):
        ModelRegistry().register("opus", wrong)


@pytest.mark.parametrize("name", ["", "  "], ids=["empty", "blank"])
def test_a_name_is_not_empty(name):
    """No model is registered under a name that nobody can read."""
    with pytest.raises(ConfigurationError, match="must not be empty"):
        ModelRegistry().register(name, model())


def test_registering_again_replaces():
    """The last registration of a name holds, whatever its kind."""
    registry, first, second, third = ModelRegistry(), model("1"), model("2"), model("3")
    registry.register("worker", first)
    registry.register_factory("worker", lambda: second)
    assert registry.get("worker") is second
    registry.register("other", third)
    registry.alias("worker", "other")
    assert registry.get("worker") is third
    registry.register("worker", first)
    assert registry.get("worker") is first


@pytest.mark.parametrize(
    ("reference", "model_id", "provider"),
    [
        pytest.param("opus", "claude-opus-5-5", "anthropic", id="short-name"),
        pytest.param("sonnet", "claude-sonnet-5-5", "anthropic", id="sonnet"),
        pytest.param("haiku", "claude-haiku-5-5", "anthropic", id="haiku"),
        pytest.param("anthropic-smart", "claude-opus-5-5", "anthropic", id="anthropic-smart"),
        pytest.param("anthropic-cheap", "claude-haiku-5-5", "anthropic", id="anthropic-cheap"),
        pytest.param("openai-smart", "gpt-6.1-sol", "openai", id="openai-smart"),
        pytest.param("openai-cheap", "gpt-6-luna", "openai", id="openai-cheap"),
        pytest.param("anthropic/claude-opus-5-5", "claude-opus-5-5", "anthropic", id="provider-model"),
        pytest.param("OpenAI/gpt-6-luna", "gpt-6-luna", "openai", id="provider-in-capitals"),
        pytest.param("hub/meta/llama-5", "meta/llama-5", "hub", id="further-slashes"),
        pytest.param("claude-3-opus-20240229", "claude-3-opus-20240229", "anthropic", id="retired-id"),
        pytest.param("gpt-4o", "gpt-4o", "openai", id="bare-gpt"),
        pytest.param("o3-mini", "o3-mini", "openai", id="bare-o"),
        pytest.param("chatgpt-4o-latest", "chatgpt-4o-latest", "openai", id="bare-chatgpt"),
    ],
)
def test_what_works_out_of_the_box(reference, model_id, provider):
    """Built-in aliases, ``provider/model`` and bare ids resolve without any registration."""
    makers = Makers()
    assert resolve_model(reference, ModelRegistry(makers)).name == model_id
    assert makers.made == [(model_id, (provider, "key-1"))]


@pytest.mark.parametrize(
    "reference", ["opsu", "opus-5", "", "llama-5", "octopus", "/gpt-6-luna", "openai/", "Haiku"]
)
def test_unknown_is_an_error(reference):
    """A name that means nothing raises an error that lists the known names; it never gives ``None``."""
    registry = ModelRegistry(Makers())
    registry.register("mine", model())
    with pytest.raises(UnknownModelError) as caught:
        resolve_model(reference, registry)
    assert caught.value.known == registry.known()
    assert "haiku, mine, openai-cheap" in str(caught.value)


def test_a_provider_without_an_address():
    """Where nobody knows how to reach a provider, the error names the variable that would say it."""
    with pytest.raises(UnknownProviderError, match="set MY_HUB_BASE_URL") as caught:
        resolve_model("my-hub/llama-5", ModelRegistry(Makers()))
    assert isinstance(caught.value, UnknownModelError)


def test_a_registered_name_shadows_an_alias():
    """``register("opus", …)`` holds before the built-in alias; what else means that model does not move."""
    registry, ours = ModelRegistry(Makers()), model("ours")
    registry.register("opus", ours)
    assert resolve_model("opus", registry) is ours
    assert resolve_model("anthropic-smart", registry).name == "claude-opus-5-5"


def test_known_names():
    """Known are the registered names of every kind and the built-in aliases, sorted."""
    registry = ModelRegistry()
    built_in = registry.known()
    registry.register("zebra", model())
    registry.register_factory("a-factory", model)
    registry.alias("an-alias", "zebra")
    assert registry.known() == tuple(sorted(["zebra", "a-factory", "an-alias", *built_in]))


def test_built_models_are_kept():
    """All spellings of one model under one environment give one instance."""
    makers = Makers()
    registry = ModelRegistry(makers)
    spelled = ["opus", "anthropic-smart", "anthropic/claude-opus-5-5", "claude-opus-5-5", "opus"]
    assert len({id(registry.get(name)) for name in spelled}) == 1
    assert len(makers.made) == 1
    assert ModelRegistry(makers).get("opus") is not registry.get("opus")


def test_a_changed_environment_makes_a_new_model():
    """A new key or address means a new model; when the old one comes back so does the old model."""
    makers = Makers()
    registry = ModelRegistry(makers)
    first = registry.get("opus")
    makers.environment = "key-2"
    second = registry.get("opus")
    makers.environment = "key-1"
    assert second is not first
    assert registry.get("opus") is first


def test_the_environment_decides():
    """The process's variables say what can be reached; a key that is missing is named."""
    with pytest.raises(MissingKeyError, match="ANTHROPIC_API_KEY"):
        ModelRegistry(Environment({})).get("opus")
    with pytest.raises(UnknownProviderError, match="LOCAL_BASE_URL"):
        ModelRegistry(Environment({"LOCAL_API_KEY": "k"})).get("local/llama-5")


@pytest.mark.parametrize(
    ("reference", "provider", "kind"),
    [
        ("opus", "anthropic", "AnthropicModel"),
        ("gpt-6-luna", "openai", "ResponsesModel"),
        ("local/meta/llama-5", "local", "ChatModel"),
    ],
)
def test_each_provider_has_its_adapter(reference, provider, kind):
    """Claude is asked in Anthropic's format, OpenAI in its own newest, all others in the compatible one."""
    variables = {
        "ANTHROPIC_API_KEY": "key",
        "OPENAI_API_KEY": "key",
        "LOCAL_BASE_URL": "http://127.0.0.1:1/v1",
    }
    got: Any = ModelRegistry(Environment(variables)).get(reference)
    assert (type(got).__name__, got.provider) == (kind, provider)
    assert reference in ("opus", got.model_id, f"{provider}/{got.model_id}")


def test_an_environment_gives_equal_connections_while_it_stays():
    """Models are kept by what the environment says: equal variables, equal connections."""
    one = Environment({"ANTHROPIC_API_KEY": "one"}).connection("anthropic")
    same = Environment({"ANTHROPIC_API_KEY": "one", "HOME": "/"}).connection("anthropic")
    other = Environment({"ANTHROPIC_API_KEY": "two"}).connection("anthropic")
    assert one == same
    assert one != other
    assert Environment({"LOCAL_BASE_URL": "http://127.0.0.1:1"}).connection("local") is not None


def test_alias_chains():
    """An alias may stand for an alias, for a built-in one, and for a name that comes later."""
    registry, ours = ModelRegistry(Makers()), model()
    registry.alias("worker", "fast")
    registry.alias("fast", "mine")
    with pytest.raises(UnknownModelError, match="'mine'"):
        registry.get("worker")
    registry.register("mine", ours)
    assert registry.get("worker") is ours
    registry.alias("fast", "haiku")
    assert registry.get("worker").name == "claude-haiku-5-5"
    registry.alias("fast", "openai/gpt-6-luna")
    assert registry.get("worker").name == "gpt-6-luna"


@pytest.mark.parametrize(
    ("made_before", "name", "target"),
    [
        pytest.param([], "a", "a", id="itself"),
        pytest.param([("a", "b")], "b", "a", id="two"),
        pytest.param([("a", "b"), ("b", "c")], "c", "a", id="three"),
    ],
)
def test_alias_cycles_are_refused_when_made(made_before, name, target):
    """A chain that comes back is an error at once, and changes nothing."""
    registry = ModelRegistry()
    for pair in made_before:
        registry.alias(*pair)
    before = registry.known()
    with pytest.raises(ConfigurationError, match=f"'{name}' would point to itself: {name} -> {target}"):
        registry.alias(name, target)
    assert registry.known() == before


def test_a_name_that_is_forgotten_means_what_it_meant_before(registry: ModelRegistry) -> None:
    """A built-in name is the built-in again, any other is unknown; forgetting twice is no error."""
    for name in ("haiku", "ours"):
        registry.register(name, ScriptedModel("ours", []))
        assert registry.get(name).name == "ours"
        registry.unregister(name)
        registry.unregister(name)
    with pytest.raises(UnknownModelError):
        registry.get("ours")
    with pytest.raises(MissingKeyError):
        registry.get("haiku")


@pytest.mark.parametrize("name", ["xai", "grok", "x-ai"])
@pytest.mark.parametrize("variable", ["XAI", "GROK"])
def test_no_name_of_a_provider_bypasses_its_proxy(name, variable):
    """The address and the key of one name hold for all of them: they are one provider."""
    proxy = "http://127.0.0.1:9/v1"
    environment = {f"{variable}_BASE_URL": proxy, "XAI_API_KEY": "of-xai"}
    route = Environment(environment).connection(name)
    assert isinstance(route, Route)
    assert (route.connection.url, route.connection.api_key) == (proxy, "of-xai")


@pytest.mark.parametrize("name", ["xai", "grok", "x-ai"])
@pytest.mark.parametrize("entry", ["xai", "grok"])
def test_an_entry_holds_for_every_name_of_its_provider(name, entry):
    """Also if it has one of the other names."""
    proxy = Provider(entry, base_url="http://127.0.0.1:9/v1", needs_key=False)
    route = Providers({entry: proxy}, variables={"XAI_API_KEY": "of-xai"}).connection(name)
    assert route is not None
    assert (route.connection.url, route.connection.api_key) == (proxy.base_url, None)


@pytest.mark.parametrize("name", ["moonshot", "moonshotai", "kimi"])
def test_every_name_of_a_provider_has_its_prices(name):
    """The price table knows it by one of them."""
    book = PriceBook(on=datetime.date(2026, 11, 21))
    environment = Environment({"MOONSHOT_API_KEY": "key-of-a-test"})
    model = ModelRegistry(environment).get(f"{name}/kimi-k2-0711-preview")
    assert book.price(model) is not None
