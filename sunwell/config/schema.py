"""All settings: the options of a run, and what only a configuration has: models, providers, prices."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Literal

import attrs

from sunwell.context.kinds import Address, Count, Lines, Seconds, Secret, Text
from sunwell.context.options import RunOptions
from sunwell.core.model import Effort


@attrs.frozen
class Role:
    """A model that plays a part, and its own settings; ``None`` is not set."""

    model: Text | None = None
    provider: Text | None = None
    """Where ``model`` is asked; without it the reference tells."""
    max_output_tokens: Count | None = None
    effort: Effort | None = None
    thinking_tokens: Count | None = None
    """Budget of thinking, if the provider's format has one."""
    timeout_seconds: Seconds | None = None
    """Longest time of one model call."""


@attrs.frozen
class ContextEntry:
    """A source that workers may query for context: ``[context.NAME]``."""

    kind: Literal["folder", "mcp"] | None = None
    """``None``: ``folder`` if there is a path, else ``mcp``."""
    path: Text | None = None
    """The folder, relative to the workspace."""
    auto_context: bool | None = None
    """Whether a sub-call that names no query is given what its own question finds."""
    timeout_seconds: Seconds | None = None
    """Longest time of one query; ``None``: 20 seconds."""
    server: Text | None = None
    """The server of ``[mcp.NAME]`` that is asked; ``None``: one with the name of the source."""
    tool: Text | None = None
    """The server's tool that searches; ``None``: ``context_query``."""
    query_argument: Text | None = None
    """What that tool calls the question; ``None``: ``query``."""
    tokens_argument: Text | None = None
    """What it calls the longest answer in tokens; ``None``: ``max_tokens`` if the tool has it."""
    document_tool: Text | None = None
    """The server's tool that returns a whole document; ``None``: ``load_document`` if there is one."""
    document_argument: Text | None = None
    """What that tool calls the document's name; ``None``: its only argument that must be given."""
    api_key: Secret | None = None
    """The key of ``[rlm.snipara]``, which goes to its server alone."""
    api_key_env: Text | None = None
    """The variable that holds the key."""
    project_slug: Text | None = None
    """The project of ``[rlm.snipara]``."""


@attrs.frozen
class McpEntry:
    """A server of the Model Context Protocol: ``[mcp.NAME]``. ``None`` is the default of the server."""

    command: Text | None = None
    """The program of a server that speaks over its standard input and output."""
    args: Lines | None = None
    url: Address | None = None
    """The address of a server that speaks over HTTP."""
    variables: tuple[Text, ...] | None = None
    """Environment variables that the program is given besides those that every command gets."""
    headers: Mapping[str, Secret] = attrs.field(factory=dict, hash=False)
    headers_env: Mapping[str, Text] = attrs.field(factory=dict, hash=False)
    """Headers whose values are in environment variables: the name of the header, and of the variable."""
    tools: tuple[Text, ...] | None = None
    """The tools of the server that models may call; ``None``: none."""
    ask: Literal["always", "writes"] | None = None
    sandbox: Literal["required", "off"] | None = None
    allow_network: bool | None = None
    allow_http: bool | None = None
    start_seconds: Seconds | None = None
    call_seconds: Seconds | None = None


@attrs.frozen
class Quirks:
    """What a server understands; ``None`` is what its preset says."""

    token_limit: Literal["max_tokens", "max_completion_tokens"] | None = None
    schema: Literal["json_schema", "json_object", "none"] | None = None
    tools: bool | None = None
    strict_tools: bool | None = None
    stream_usage: bool | None = None
    effort: bool | None = None
    system_parts: bool | None = None
    cache_key: bool | None = None
    breakpoints: bool | None = None
    returns_reasoning: bool | None = None
    call_ids: Literal["any", "short", "nine"] | None = None
    marks_unsigned_calls: bool | None = None


@attrs.frozen
class ProviderSettings:
    """A named connection."""

    preset: Text | None = None
    kind: Literal["anthropic", "openai"] | None = None
    api: Literal["chat", "responses"] | None = None
    base_url: Address | None = None
    api_key_env: Text | None = None
    needs_key: bool | None = None
    headers: Mapping[str, Secret] = attrs.field(factory=dict, hash=False)
    headers_env: Mapping[str, Text] = attrs.field(factory=dict, hash=False)
    """Headers whose values are in environment variables: the name of the header, and of the variable."""
    timeout_seconds: Seconds | None = None
    first_byte_seconds: Seconds | None = None
    stall_seconds: Seconds | None = None
    connect_seconds: Seconds | None = None
    requests_per_minute: Count | None = None
    tokens_per_minute: Count | None = None
    reasoning_models: tuple[Text, ...] | None = None
    non_reasoning_models: tuple[Text, ...] | None = None
    quirks: Quirks = Quirks()


@attrs.frozen
class ModelEntry:
    """A name of the user's own for a model, with its limits and prices."""

    model: Text | None = None
    provider: Text | None = None
    max_output_tokens: Count | None = None
    effort: Effort | None = None
    thinking_tokens: Count | None = None
    timeout_seconds: Seconds | None = None
    context_window: Count | None = None
    input_usd_per_million: Decimal | None = None
    output_usd_per_million: Decimal | None = None
    cached_input_usd_per_million: Decimal | None = None
    cache_write_usd_per_million: Decimal | None = None


@attrs.frozen
class Configuration:
    """All settings of a run, after files, environment and command line are put together."""

    run: RunOptions = RunOptions()
    """The options of a run, except its models: those are the roles below."""
    chosen: frozenset[str] = frozenset()
    """The names of the options that were set, whatever their value, and of the switches of older files."""
    model: Role = Role()
    smart_model: Role = Role()
    delegation_model: Role = Role()
    second_model: Role = Role()
    judge_model: Role = Role()
    orchestrator: Role = Role()
    """The model that only hands work out."""
    gateway: Text | None = None
    """The provider that serves every model whose own provider is not configured here."""
    verbose: bool = False
    use_nix: bool = False
    plugins: tuple[Text, ...] | None = None
    """Plugins that may be loaded; ``None``: all that are installed."""
    safe: tuple[Text, ...] = ()
    """Files, and folders with all in them, that are used although somebody else can change them: full paths.
    Only the user's own file may set it."""
    context: Mapping[str, ContextEntry] = attrs.field(factory=dict, hash=False)
    """Sources of context by their names."""
    mcp: Mapping[str, McpEntry] = attrs.field(factory=dict, hash=False)
    """MCP servers by their names."""
    providers: Mapping[str, ProviderSettings] = attrs.field(factory=dict, hash=False)
    models: Mapping[str, ModelEntry] = attrs.field(factory=dict, hash=False)


ROLES = ("model", "smart_model", "delegation_model", "second_model", "judge_model", "orchestrator")
"""The tables that describe a model's part."""
