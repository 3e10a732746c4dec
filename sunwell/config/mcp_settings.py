"""From ``[mcp.NAME]`` and ``[context.NAME]`` to servers, and to sources that ask them. Nothing is started."""

import os
import re
from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.config.schema import Configuration, ContextEntry, McpEntry
from sunwell.errors import ConfigurationError
from sunwell.tools.mcp_client import McpServer
from sunwell.tools.mcp_source import SNIPARA_HEADER, SNIPARA_URL, McpSourceMaker
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
    name: str, values: Configuration, environ: Mapping[str, str] | None = None
) -> McpSourceMaker:
    """Return what makes the source ``[context.NAME]`` of each run: a server is asked.

    With a project and no ``[mcp.NAME]`` that is Snipara's server. A key goes to the server alone.
    Raises :exc:`~sunwell.errors.ConfigurationError` for a source without a server.
    """
    entry = values.context[name]
    return McpSourceMaker(
        name,
        _server_of(name, entry, values),
        tool=entry.tool,
        query_argument=entry.query_argument,
        tokens_argument=entry.tokens_argument,
        document_tool=entry.document_tool,
        document_argument=entry.document_argument,
        timeout_seconds=entry.timeout_seconds,
        environ=os.environ if environ is None else environ,
    )


def _server_of(name: str, entry: ContextEntry, values: Configuration) -> McpServer:
    wanted = entry.server or name
    has_key = entry.api_key is not None or entry.api_key_env is not None
    if wanted in values.mcp:
        server = _server_from(wanted, values.mcp[wanted])
        if has_key and not server.url:
            raise ConfigurationError(
                f"context.{name} has a key, but {wanted} is a program: name the key's variable in "
                f"mcp.{wanted}.variables"
            )
    elif entry.server is not None or entry.project_slug is None:
        raise ConfigurationError(
            f"context.{name} asks the MCP server {wanted}, and there is no [mcp.{wanted}]: add it, with a "
            "command or a url"
        )
    elif not _SLUG.fullmatch(entry.project_slug):
        raise ConfigurationError(f"context.{name}.project_slug must be letters, digits, _ and -")
    elif not has_key:
        raise ConfigurationError(f"context.{name} needs api_key_env, the variable with its key, or api_key")
    else:
        server = McpServer(name=name, url=SNIPARA_URL.format(project=entry.project_slug))
    if entry.api_key_env is not None:
        added = ((SNIPARA_HEADER, entry.api_key_env),)
        return attrs.evolve(server, header_variables=(*server.header_variables, *added))
    if entry.api_key is not None:
        return attrs.evolve(server, headers=(*server.headers, (SNIPARA_HEADER, entry.api_key)))
    return server
