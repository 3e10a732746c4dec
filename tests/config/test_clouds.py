"""The entries for clouds in the documentation lead to the addresses that the clouds document."""

import datetime
import re
from pathlib import Path

import attrs
import httpx2
import pytest

from sunwell.config.resolution import resolve
from sunwell.core.message import user
from sunwell.core.model import Request
from sunwell.errors import ConfigurationError, MissingKeyError, ModelError
from sunwell.models.connection import Connection, close_clients
from sunwell.models.openai_chat import ChatModel
from sunwell.models.prices import PriceBook

DOCUMENT = Path(__file__).parents[2] / "docs" / "providers.md"
KEYS = {
    name: f"key-in-{name}"
    for name in (
        "AZURE_OPENAI_API_KEY",
        "FOUNDRY_API_KEY",
        "AWS_BEARER_TOKEN_BEDROCK",
        "VERTEX_ACCESS_TOKEN",
        "GEMINI_API_KEY",
    )
}
VERTEX = "us-central1-aiplatform.googleapis.com/v1/projects/PROJECT/locations/us-central1/endpoints/openapi"
CLOUDS = [
    pytest.param(
        "azure/my-deployment",
        "my-resource.openai.azure.com/openai/v1/responses",
        {"authorization": "Bearer key-in-AZURE_OPENAI_API_KEY"},
        id="azure",
    ),
    pytest.param(
        "azure-2024/my-deployment",
        "my-resource.openai.azure.com/openai/deployments/DEPLOYMENT/chat/completions?api-version=2024-10-21",
        {"api-key": "key-in-AZURE_OPENAI_API_KEY", "authorization": None},
        id="azure-with-a-version",
    ),
    pytest.param(
        "foundry/claude-opus-5-5",
        "my-resource.services.ai.azure.com/anthropic/v1/messages",
        {"authorization": "Bearer key-in-FOUNDRY_API_KEY"},
        id="foundry",
    ),
    pytest.param(
        "bedrock/claude-opus-5-5",
        "bedrock-runtime.us-east-1.amazonaws.com/anthropic/v1/messages",
        {"authorization": "Bearer key-in-AWS_BEARER_TOKEN_BEDROCK"},
        id="bedrock",
    ),
    pytest.param(
        "vertex/google/gemini-2.5-flash",
        f"{VERTEX}/chat/completions",
        {"authorization": "Bearer key-in-VERTEX_ACCESS_TOKEN"},
        id="vertex",
    ),
    pytest.param(
        "gemini/gemini-2.5-flash",
        "generativelanguage.googleapis.com/v1beta/openai/chat/completions",
        {"authorization": "Bearer key-in-GEMINI_API_KEY"},
        id="gemini",
    ),
]


def documented() -> str:
    """Return the settings in the section about clouds."""
    section = DOCUMENT.read_text().partition("\n## Clouds\n")[2]
    found = re.search(r"```toml\n(.*?)```", section, re.DOTALL)
    assert found is not None
    return found[1]


async def sent(model) -> httpx2.Request:
    """Return the request that *model* would send."""
    requests: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        return httpx2.Response(400)

    model.connection = attrs.evolve(model.connection, transport=lambda: httpx2.MockTransport(answer))
    with pytest.raises(ModelError):
        await model.complete(Request(messages=[user("hello")]))
    await close_clients()
    return requests[0]


@pytest.mark.parametrize(("name", "address", "headers"), CLOUDS)
async def test_each_cloud_is_reached_as_documented(project, name, address, headers):
    """With its own key, in its own header."""
    project.write(documented())
    made = resolve(project.load(trust=True, model=name).values, KEYS)
    request = await sent(made.registry.get(name))
    assert str(request.url) == f"https://{address}"
    assert {header: request.headers.get(header) for header in headers} == headers


@pytest.mark.parametrize("name", ["foundry/claude-opus-5-5", "vertex/google/gemini-2.5-flash"])
def test_an_entry_that_is_based_on_a_preset_has_its_prices(project, name):
    """The entry has a name of its own, and no prices."""
    project.write(documented())
    made = resolve(project.load(trust=True, model=name).values, KEYS)
    book = PriceBook(on=datetime.date(2026, 11, 21))
    assert book.price(made.registry.get(name)) is not None


def test_a_header_whose_variable_is_not_set_is_a_missing_key(project):
    """Before anything is sent, with the variable's name."""
    project.write(documented())
    made = resolve(project.load(trust=True, model="azure-2024/x").values, {})
    with pytest.raises(MissingKeyError, match="AZURE_OPENAI_API_KEY"):
        made.registry.get("azure-2024/x")


async def test_a_login_in_the_address_is_sent_as_such():
    """A key beside it would need the same header, so both are refused."""
    url = "https://me:pass%40word@lab.test/v1"
    model = ChatModel("m", Connection("lab", url, needs_key=False))
    request = await sent(model)
    assert str(request.url) == "https://lab.test/v1/chat/completions"
    assert request.headers["authorization"] == "Basic bWU6cGFzc0B3b3Jk"
    with pytest.raises(ConfigurationError, match="remove one"):
        await ChatModel("m", Connection("lab", url, "key-of-lab")).complete(Request(messages=[user("x")]))
    assert {"pass@word", "bWU6cGFzc0B3b3Jk"} <= set(model.connection.secret_values())
