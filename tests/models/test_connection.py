"""Connections hold keys, show none, and read the environment in one place."""

import base64
import copy
import pickle
from urllib.parse import quote

import pytest

from sunwell.errors import ConfigurationError, MissingKeyError
from sunwell.models.connection import Connection

KEY = "sk-a/secret+key=="


@pytest.mark.parametrize("provider", ["anthropic", "openai"])
def test_the_environment_gives_key_and_address(provider):
    """The variables of the provider are read, those of others are not."""
    name = provider.upper()
    environ = {f"{name}_API_KEY": KEY, f"{name}_BASE_URL": "http://127.0.0.1:9", "XAI_API_KEY": "other"}
    got = Connection.from_environment(provider, environ=environ)
    assert got == Connection(provider, "http://127.0.0.1:9", KEY, f"{name}_API_KEY")


def test_a_named_variable_takes_the_place_of_the_usual_one():
    """A preset of a compatible server uses its own key."""
    environ = {"OPENAI_API_KEY": "theirs", "XAI_API_KEY": KEY}
    got = Connection.from_environment(
        "grok", base_url="https://api.x.ai/v1", key_variable="XAI_API_KEY", environ=environ
    )
    assert (got.api_key, got.url) == (KEY, "https://api.x.ai/v1")


def test_a_key_goes_to_no_other_address_by_accident():
    """Another address for a known provider needs the name of the variable that holds its key."""
    environ = {"OPENAI_API_KEY": KEY}
    with pytest.raises(ConfigurationError, match="key_variable"):
        Connection.from_environment("openai", base_url="https://elsewhere.test/v1", environ=environ)
    named = Connection.from_environment(
        "openai", base_url="https://elsewhere.test/v1", key_variable="OPENAI_API_KEY", environ=environ
    )
    assert named.api_key == KEY


@pytest.mark.parametrize(
    ("connection", "variable"),
    [
        pytest.param(Connection("anthropic"), "ANTHROPIC_API_KEY", id="anthropic"),
        pytest.param(Connection("openai", api_key="  "), "OPENAI_API_KEY", id="blank"),
        pytest.param(Connection("my-lab", "http://127.0.0.1:1"), "MY_LAB_API_KEY", id="loopback"),
        pytest.param(Connection("x", key_variable="XAI_API_KEY"), "XAI_API_KEY", id="named"),
        pytest.param(Connection("x", headers={"X-Trace": "1"}), "X_API_KEY", id="harmless-header"),
    ],
)
def test_a_missing_key_names_its_variable(connection, variable):
    """The error says which variable to set."""
    with pytest.raises(MissingKeyError, match=variable):
        connection.check_key()


@pytest.mark.parametrize(
    "connection",
    [
        pytest.param(Connection("anthropic", api_key=KEY), id="key"),
        pytest.param(Connection("anthropic", headers={"X-Api-Key": KEY}), id="header"),
    ],
)
def test_a_key_is_found(connection):
    """A key may stand by itself or in a header that carries credentials."""
    connection.check_key()


def test_a_provider_that_nobody_knows_needs_an_address():
    """Without a base URL there is nowhere to send anything."""
    with pytest.raises(ConfigurationError, match="base_url"):
        _ = Connection("my-lab", api_key=KEY).url


def test_nothing_secret_is_shown():
    """Neither key, header nor what an address hides is in the repr or in the shown address."""
    connection = Connection(
        "lab",
        "https://me:passw0rd@lab.test/v1?sig=tok3n1",
        KEY,
        headers=[("X-Api-Key", "head3r-secret")],
    )
    for hidden in (KEY, "passw0rd", "tok3n1", "head3r-secret"):
        assert hidden not in repr(connection) + connection.shown_url
    assert connection.shown_url == "https://lab.test/v1"


@pytest.mark.parametrize(
    "form",
    [
        pytest.param(KEY, id="raw"),
        pytest.param(quote(KEY, safe=""), id="percent"),
        pytest.param(base64.b64encode(KEY.encode()).decode(), id="base64"),
        pytest.param(base64.urlsafe_b64encode(KEY.encode()).decode(), id="base64-for-urls"),
        pytest.param("b3arer-value", id="header"),
        pytest.param("passw0rd", id="address"),
    ],
)
def test_every_form_of_a_secret_is_known(form):
    """Redaction finds the key in each form in which it may come back."""
    headers = {"Authorization": "Bearer b3arer-value", "X-Trace": "visible"}
    secrets = Connection("lab", "https://me:passw0rd@lab.test", KEY, headers=headers).secrets()
    assert form not in secrets.redact(f"you sent {form}, visible")
    assert "visible" in secrets.redact(f"you sent {form}, visible")


@pytest.mark.parametrize("limit", ["requests_per_minute", "tokens_per_minute"])
def test_a_limit_of_nothing_is_refused(limit):
    """Nothing could ever be sent."""
    with pytest.raises(ConfigurationError, match=f"{limit} cannot be 0"):
        Connection("lab", "http://lab.test", **{limit: 0})


@pytest.mark.parametrize(
    "given",
    [
        pytest.param({"api_key": "Zq8vLm2XwT5nRk7J"}, id="key"),
        pytest.param({"headers": {"x-api-key": "Zq8vLm2XwT5nRk7J"}}, id="header"),
        pytest.param({"base_url": "https://me:Zq8vLm2XwT5nRk7J@host.example/v1"}, id="login"),
    ],
)
def test_a_pickle_never_holds_a_key(given):
    """Whoever queues or caches a pickle would store the key with it; in the process, a copy is the same."""
    connection = Connection("openai", **given)
    with pytest.raises(TypeError, match="is not pickled"):
        pickle.dumps(connection)
    assert copy.deepcopy([connection])[0] is copy.copy(connection) is connection
    without = Connection("openai", base_url="http://localhost:1/v1", needs_key=False)
    assert pickle.loads(pickle.dumps(without)) == without
