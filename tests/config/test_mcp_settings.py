"""``[mcp.NAME]`` and ``[context.NAME]``: servers and sources from settings; keys go to one server alone."""

import pytest

from sunwell.config.resolution import resolve
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.mcp_client import McpServer

SNIPARA = "https://api.snipara.com/mcp/my-project"


def resolved(project, text, **environ):
    """Return what the user's own file with *text* means."""
    project.write_user(text)
    return resolve(project.load().values, environ)


def test_a_server_is_made_from_its_table(project):
    """Every key, as it is written."""
    text = """
[mcp.files]
command = "npx"
args = ["-y", "files-server", "."]
variables = ["FILES_TOKEN"]
tools = ["read", "list"]
ask = "writes"
sandbox = "off"
allow_network = true
start_seconds = "1m"
call_seconds = 5
[mcp.notes]
url = "https://notes.example/mcp"
allow_http = false
headers_env = { Authorization = "NOTES_KEY" }
[mcp.notes.headers]
X-Team = "blue"
"""
    files, notes = resolved(project, text).mcp_servers.servers
    assert files == McpServer(
        name="files",
        command=("npx", "-y", "files-server", "."),
        variables=["FILES_TOKEN"],
        tools=["read", "list"],
        ask="writes",
        sandbox="off",
        allow_network=True,
        start_seconds=60.0,
        call_seconds=5.0,
    )
    assert notes.header_values({"NOTES_KEY": "secret-1"}) == {"X-Team": "blue", "Authorization": "secret-1"}
    assert "blue" not in repr(notes)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("[mcp.x]\ntools = ['a']\n", "mcp.x needs either a command or a url", id="nothing"),
        pytest.param("[mcp.x]\nargs = ['a']\n", "mcp.x has args without a command", id="args-alone"),
        pytest.param('[mcp."a b"]\ncommand = "a"\n', "1 to 32 letters", id="name"),
        pytest.param('[mcp.x]\nurl = "http://far.example"\n', "plain http to another machine", id="http"),
        pytest.param('[context.x]\nkind = "mcp"\n', r"there is no \[mcp.x\]", id="no-server"),
        pytest.param(
            '[context.x]\nserver = "y"\nproject_slug = "p"\n', r"there is no \[mcp.y\]", id="another-server"
        ),
        pytest.param('[context.x]\nproject_slug = "p"\n', "context.x needs api_key_env", id="no-key"),
        pytest.param(
            '[context.x]\nproject_slug = "../evil"\napi_key = "k"\n', "project_slug must be", id="slug"
        ),
        pytest.param(
            '[mcp.x]\ncommand = "a"\n[context.x]\napi_key = "k"\n',
            "name the key's variable",
            id="program-key",
        ),
    ],
)
def test_a_table_that_cannot_hold_is_refused(project, text, said):
    """The sentence names the table."""
    with pytest.raises(ConfigurationError, match=said):
        resolved(project, text)


def test_the_seed_with_a_hosted_source_is_one(project):
    """Its key goes to the server of that name alone, under the project's address; nothing shows it."""
    text = '[rlm.snipara]\napi_key = "rlm_secret_1"\nproject_slug = "my-project"\nauto_context = true\n'
    options = resolved(project, text).options
    (maker,) = options.context_sources
    assert (maker.name, maker.server.url) == ("snipara", SNIPARA)
    assert maker.server.header_values({}) == {"X-API-Key": "rlm_secret_1"}
    assert "rlm_secret_1" not in repr(maker)
    assert options.auto_context is True


async def test_a_key_from_a_variable_is_read_when_it_is_needed(project, tmp_path):
    """Settings can be shown without it."""
    pytest.importorskip("mcp")
    text = '[context.docs]\nproject_slug = "my-project"\napi_key_env = "DOCS_KEY"\n'
    (maker,) = resolved(project, text).options.context_sources
    assert maker.server.header_values({"DOCS_KEY": "k-1"}) == {"X-API-Key": "k-1"}
    with pytest.raises(ToolError, match="set the variable DOCS_KEY"):
        await maker.for_run(tmp_path).context_query("x", 10)


def test_a_source_names_a_server_and_its_tool(project):
    """With the names of the tool's arguments, and a time."""
    text = """
[mcp.search]
command = "search-server"
[context.docs]
server = "search"
tool = "find"
query_argument = "words"
tokens_argument = "limit"
document_tool = "open"
document_argument = "path"
timeout_seconds = 7
"""
    made = resolved(project, text)
    (maker,) = made.options.context_sources
    assert maker.server == made.mcp_servers.servers[0]
    source = maker.for_run(project.folder)
    assert (source.name, source.tool, source.query_argument) == ("docs", "find", "words")
    assert (source.tokens_argument, source.document_tool, source.document_argument) == (
        "limit",
        "open",
        "path",
    )
    assert source.timeout_seconds == 7.0
