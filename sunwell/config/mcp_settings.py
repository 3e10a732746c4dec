"""From ``[mcp.NAME]`` and ``[context.NAME]`` to servers, and to sources that ask them. Nothing is started."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.config.schema import Configuration, ContextEntry, McpEntry
from sunwell.errors import ConfigurationError
from sunwell.tools.mcp_client import McpConnection, McpServer
from sunwell.tools.mcp_source import SNIPARA_HEADER, McpContextSource, snipara_server
from sunwell.tools.mcp_tools import McpServers

_SLUG = re.compile(r"[A-Za-z0-9_-]{1,100}")


def mcp_servers_of(values: Configuration, environ: Mapping[str, str] | None = None) -> McpServers:
    """Return the servers that *values* name. Raises :exc:`~sunwell.errors.ConfigurationError`."""
    servers = tuple(_server_from(name, entry) for name, entry in values.mcp.items())
    return McpServers(servers, os.environ if environ is None else environ)


def _server_from(name: str, entry: McpEntry) -> McpServer:
    given: dict[str, Any] = {
        key: value
        for key, value in attrs.asdict(entry, recurse=False).items()
        if value is not None and key not in ("command", "args", "headers", "headers_env")
    }
    if entry.args and entry.command is None:
        raise ConfigurationError(f"mcp.{name} has args without a command")
    command = () if entry.command is None else (entry.command, *(entry.args or ()))
    return McpServer(
        name=name, command=command, headers=entry.headers, header_variables=entry.headers_env, **given
    )


def mcp_source_of(
    name: str, values: Configuration, root: Path, environ: Mapping[str, str] | None = None
) -> McpContextSource:
    """Return the source ``[context.NAME]`` of a run in the folder *root*: a server is asked.

    With a project and no ``[mcp.NAME]`` that is Snipara's server. A key goes to the server alone.
    Raises :exc:`~sunwell.errors.ConfigurationError` for a source without a server.
    """
    entry = values.context[name]
    environ = os.environ if environ is None else environ
    server = _server_of(name, entry, values, environ)
    if entry.timeout_seconds is not None:
        server = attrs.evolve(server, call_seconds=entry.timeout_seconds)
    return McpContextSource(
        name,
        McpConnection(server, root, environ),
        entry.tool,
        entry.query_argument,
        entry.tokens_argument,
        entry.document_tool,
        entry.document_argument,
    )


def _server_of(
    name: str, entry: ContextEntry, values: Configuration, environ: Mapping[str, str]
) -> McpServer:
    key = _key_of(name, entry, environ)
    wanted = entry.server or name
    if wanted in values.mcp:
        server = _server_from(wanted, values.mcp[wanted])
        if key is not None and not server.url:
            raise ConfigurationError(
                f"context.{name} has a key, but {wanted} is a program: name the key's variable in "
                f"mcp.{wanted}.variables"
            )
        added = () if key is None else ((SNIPARA_HEADER, key),)
        return attrs.evolve(server, headers=(*server.headers, *added))
    if entry.server is not None or entry.project_slug is None:
        raise ConfigurationError(f"context.{name} asks the server {wanted}, and there is no [mcp.{wanted}]")
    if not _SLUG.fullmatch(entry.project_slug):
        raise ConfigurationError(f"context.{name}.project_slug must be letters, digits, _ and -")
    if key is None:
        raise ConfigurationError(f"context.{name} needs api_key_env, the variable with its key, or api_key")
    return snipara_server(name, entry.project_slug, key)


def _key_of(name: str, entry: ContextEntry, environ: Mapping[str, str]) -> str | None:
    if entry.api_key_env is None:
        return entry.api_key
    key = environ.get(entry.api_key_env, "").strip()
    if not key:
        raise ConfigurationError(f"context.{name}: set the variable {entry.api_key_env}, which has its key")
    return key
