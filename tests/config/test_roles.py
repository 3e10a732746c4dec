"""Who is asked where: roles with their own providers and settings, over real HTTP."""

import pytest

from sunwell.config.resolution import resolve
from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import ConfigurationError, MissingKeyError, UnknownModelError
from sunwell.models.connection import close_clients
from sunwell.simulator import Simulator

KEYS = {"ONE_KEY": "key-number-one", "TWO_KEY": "key-number-two", "ANTHROPIC_API_KEY": "key-of-anthropic"}
ASKED = Request(messages=[user("hello")], max_output_tokens=100)


def provider(name, kind, url, key="ONE_KEY", more=""):
    return f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{url}"\napi_key_env = "{key}"\n{more}\n'


@pytest.fixture
async def servers():
    """Two providers, each in every wire format."""
    async with Simulator() as one, Simulator() as two:
        yield one, two
        await close_clients()


async def both(project, text):
    """Ask parent and child once each, and return the models."""
    project.write(text)
    made = resolve(project.load(trust=True).values, KEYS)
    models = [made.registry.get(made.names[role]) for role in ("model", "delegation_model")]
    for model in models:
        await model.complete(ASKED)
    return models


DIRECTIONS = [
    pytest.param("openai", "openai", id="openai-to-compatible"),
    pytest.param("openai", "anthropic", id="openai-to-anthropic"),
    pytest.param("anthropic", "openai", id="anthropic-to-openai"),
    pytest.param("anthropic", "anthropic", id="anthropic-to-anthropic"),
]


@pytest.mark.parametrize(("parent", "child"), DIRECTIONS)
async def test_parent_and_child_on_different_providers(project, servers, parent, child):
    """Each is asked at its own provider, with its own key, in its own format, in all directions."""
    one, two = servers
    models = {"openai": "gpt-6-luna", "anthropic": "claude-haiku-5-5"}
    urls = [
        server.url if kind == "anthropic" else server.openai_url
        for server, kind in ((one, parent), (two, child))
    ]
    await both(
        project,
        f'model = "a/{models[parent]}"\ndelegation_model = "b/{models[child]}"\n'
        + provider("a", parent, urls[0])
        + provider("b", child, urls[1], "TWO_KEY"),
    )
    assert [(r.model, r.key) for r in one.requests] == [(models[parent], "key-number-one")]
    assert [(r.model, r.key) for r in two.requests] == [(models[child], "key-number-two")]


@pytest.mark.parametrize(
    ("child", "connections"),
    [
        pytest.param('[delegation_model]\nmodel = "a/gpt-6.1-sol"\n', 1, id="other-model"),
        pytest.param('[delegation_model]\nmodel = "a/gpt-6-luna"\neffort = "high"\n', 1, id="other-effort"),
        pytest.param('[delegation_model]\nmodel = "b/gpt-6-luna"\n', 2, id="other-key"),
        pytest.param('[delegation_model]\nmodel = "c/gpt-6-luna"\n', 2, id="other-headers"),
        pytest.param('[delegation_model]\nmodel = "d/gpt-6-luna"\n', 2, id="other-time-out"),
    ],
)
async def test_same_connection_same_client(project, servers, child, connections):
    """Models that agree on address, key and options share one client; where one differs, there are two."""
    one, _ = servers
    url = one.openai_url
    text = (
        'model = "a/gpt-6-luna"\n'
        + child
        + provider("a", "openai", url)
        + provider("b", "openai", url, "TWO_KEY")
        + provider("c", "openai", url, more='[providers.c.headers]\nX-Team = "c"\n')
        + provider("d", "openai", url, more="timeout_seconds = 20\n")
    )
    await both(project, text)
    assert one.connections == connections


async def test_settings_of_a_role_are_really_sent(project, servers):
    """Limit and effort of the child are its own; the parent's request has none of them."""
    one, _ = servers
    child = '[delegation_model]\nmodel = "a/gpt-6.1-sol"\neffort = "low"\n'
    await both(project, 'model = "a/gpt-6-luna"\n' + child + provider("a", "openai", one.openai_url))
    parent_body, child_body = (request.body for request in one.requests)
    assert ("reasoning_effort" in parent_body, child_body["reasoning_effort"]) == (False, "low")


async def test_thinking_is_really_asked_for(project, servers):
    """In Anthropic's format and in the form that the model takes, if there is room for the answer."""
    one, _ = servers
    text = '[model]\nmodel = "a/claude-haiku-5-5"\nthinking_tokens = 15000\n'
    project.write(text + provider("a", "anthropic", one.url))
    made = resolve(project.load(trust=True).values, KEYS)
    model = made.registry.get(made.names["model"])
    await model.complete(Request(messages=[user("x")], max_output_tokens=20_000))
    await model.complete(Request(messages=[user("x")], max_output_tokens=5_000))
    await model.complete(Request(messages=[user("x")], max_output_tokens=500))
    adaptive = {"type": "adaptive"}
    assert [request.body.get("thinking") for request in one.requests] == [adaptive, adaptive, None]


@pytest.mark.parametrize("api", ["chat", "responses"])
async def test_an_entry_chooses_the_format(project, servers, api):
    """``api`` says which of OpenAI's formats a server is spoken to in."""
    one, _ = servers
    project.write('model = "a/gpt-6-luna"\n' + provider("a", "openai", one.openai_url, more=f'api = "{api}"'))
    made = resolve(project.load(trust=True).values, KEYS)
    await made.registry.get("a/gpt-6-luna").complete(ASKED)
    path = {"chat": "/v1/chat/completions", "responses": "/v1/responses"}[api]
    assert [request.path for request in one.requests] == [path]


@pytest.mark.parametrize(
    ("entry", "asked", "key"),
    [
        pytest.param("[providers.openai]\napi = 'chat'\n", "one", "of-openai", id="no-address"),
        pytest.param("[providers.openai]\ntimeout_seconds = 9\n", "one", "of-openai", id="a-limit-alone"),
        pytest.param(
            "[providers.openai]\napi_key_env = 'ONE_KEY'\n", "one", "key-number-one", id="key-named"
        ),
        pytest.param("[providers.fast]\npreset = 'openai'\n", "two", "of-fast", id="by-preset"),
        pytest.param(provider("openai", "openai", "{two}"), "two", "key-number-one", id="address-named"),
    ],
)
async def test_a_variable_leads_an_entry_without_an_address_elsewhere(project, servers, entry, asked, key):
    """``NAME_BASE_URL`` holds as it does without an entry; an address that the entry names goes before it."""
    one, two = servers
    project.write(entry.replace("{two}", two.openai_url))
    name = "fast" if "fast" in entry else "openai"
    variables = {"OPENAI_BASE_URL": one.openai_url, "OPENAI_API_KEY": "of-openai"}
    variables |= {"FAST_BASE_URL": two.openai_url, "FAST_API_KEY": "of-fast"}
    loaded = project.load(model=f"{name}/gpt-6-luna", trust=True)
    await resolve(loaded.values, KEYS | variables).registry.get(f"{name}/gpt-6-luna").complete(ASKED)
    seen = {"one": [r.key for r in one.requests], "two": [r.key for r in two.requests]}
    assert seen == {"one": [], "two": []} | {asked: [key]}


async def test_a_local_server_needs_no_key(project, servers):
    """No key is looked for, and the request goes out without one: the server may still want it."""
    one, _ = servers
    project.write(f'[providers.ollama]\nbase_url = "{one.openai_url}"\n')
    made = resolve(project.load(trust=True, model="ollama/gpt-6-luna").values, {})
    model = made.registry.get("ollama/gpt-6-luna")
    with pytest.raises(Exception, match="rejects the API key"):
        await model.complete(ASKED)
    assert [request.key for request in one.requests] == [""]


@pytest.mark.parametrize(
    ("reference", "asked"),
    [
        pytest.param("moonshotai/kimi-k2", "moonshotai/kimi-k2", id="makers-id"),
        pytest.param("opus", "anthropic/claude-opus-5-5", id="alias"),
        pytest.param("openrouter/moonshotai/kimi-k2", "moonshotai/kimi-k2", id="named"),
    ],
)
def test_a_gateway_is_asked_by_the_makers_id(project, reference, asked):
    """With a gateway, ids keep their slash, and its own key is the only one that is sent."""
    values = project.load(model=reference, gateway="openrouter").values
    model = resolve(values, {"OPENROUTER_API_KEY": "key-of-router", **KEYS}).registry.get(reference)
    assert (model.model_id, model.connection.url) == (asked, "https://openrouter.ai/api/v1")
    assert model.connection.api_key == "key-of-router"


def test_a_name_of_ones_own(project):
    """``[models.NAME]`` stands for a model with limits, prices and a window."""
    project.write(
        '[models.fast]\nmodel = "anthropic/claude-haiku-5-5"\nmax_output_tokens = 900\neffort = "low"\n'
        "input_usd_per_million = 1\noutput_usd_per_million = 2\ncontext_window = 9000\n"
        '[delegation_model]\nmodel = "fast"\neffort = "high"\n'
    )
    made = resolve(project.load(trust=True).values, KEYS)
    plain, tuned = made.registry.get("fast"), made.registry.get(made.names["delegation_model"])
    assert (plain.max_output_tokens, plain.tuning.effort, plain.context_window) == (900, "low", 9000)
    assert (tuned.max_output_tokens, tuned.tuning.effort) == (900, "high")
    assert made.prices.price(plain).rates.output_usd == 2
    assert made.prices.limits.windows == {"anthropic/claude-haiku-5-5": 9000}


@pytest.mark.parametrize(
    ("options", "error", "sentence"),
    [
        pytest.param(
            {"model": "x", "provider": "gorq"}, ConfigurationError, "did you mean groq", id="provider"
        ),
        pytest.param({"model": "lab/x"}, UnknownModelError, "LAB_BASE_URL", id="no-address"),
        pytest.param({"model": "xai/grok-3"}, MissingKeyError, "XAI_API_KEY", id="no-key"),
        pytest.param({"model": "azure/gpt"}, ConfigurationError, "base_url", id="azure"),
        pytest.param(
            {"gateway": "nowhere"}, ConfigurationError, "unsupported provider: nowhere", id="gateway"
        ),
    ],
)
def test_what_cannot_be_reached_is_said(project, options, error, sentence):
    """Before anything is sent."""
    with pytest.raises(error, match=sentence):
        resolve(project.load(**options).values, {}).registry.get(options.get("model", "opus"))


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        pytest.param(
            "https://me:secret-login@lab.example/v1",
            "a login, which is not shown: it must be an address",
            id="login",
        ),
        pytest.param("lab.example/v1", "it must be an address such as", id="no-scheme"),
        pytest.param("file:///etc/passwd", "it must be an address such as", id="file"),
        pytest.param("http://[::1", "it must be an address such as", id="broken"),
    ],
)
def test_an_address_must_be_one(project, url, sentence):
    """Said before anything is sent, without what is secret in it."""
    project.write(f'[providers.lab]\nbase_url = "{url}"\n')
    with pytest.raises(ConfigurationError, match=sentence) as caught:
        resolve(project.load(trust=True).values, {})
    assert "secret-login" not in str(caught.value)


CHAIN = """
[models.a]
model = "b"
effort = "low"
[models.b]
model = "c"
effort = "high"
max_output_tokens = 9
[models.c]
model = "haiku"
context_window = 1000
"""


def test_names_of_the_users_own_may_stand_for_each_other(project):
    """However many: what is nearest to the name holds. A circle is refused with all of it."""
    project.write_user(CHAIN)
    made = resolve(project.load(model="a").values, KEYS)
    found = made.registry.get("a")
    tuning = found.tuning
    assert (found.model_id, tuning.effort, tuning.max_output_tokens) == ("claude-haiku-5-5", "low", 9)
    assert tuning.context_window == 1000
    project.write_user(CHAIN.replace('"haiku"', '"a"'))
    with pytest.raises(ConfigurationError, match=r"models\.\w would stand for itself: \w -> \w -> \w -> \w"):
        resolve(project.load(model="a").values, KEYS)


def test_a_name_of_ones_own_may_be_that_of_a_role(project):
    """What stands under ``[models]`` is never a role, whatever it is called."""
    project.write_user('[models.smart_model]\nmodel = "haiku"\n')
    values = project.load(model="smart_model").values
    assert values.smart_model.model is None
    assert resolve(values, KEYS).registry.get("smart_model").model_id == "claude-haiku-5-5"


def test_a_name_may_add_settings_to_the_built_in_one_of_that_name(project):
    """``[models.opus]`` with its own effort is still opus."""
    project.write_user('[models.opus]\nmodel = "opus"\neffort = "low"\n')
    found = resolve(project.load(model="opus").values, KEYS).registry.get("opus")
    assert (found.model_id, found.tuning.effort) == ("claude-opus-5-5", "low")
