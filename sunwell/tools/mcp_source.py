"""A server of the Model Context Protocol as a source of context."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from sunwell.errors import ToolError
from sunwell.tools.mcp_client import McpConnection, McpServer, OfferedTool

SNIPARA_URL = "https://api.snipara.com/mcp/{project}"
"""Address of the hosted server of Snipara, with the name of a project in it."""
SNIPARA_HEADER = "X-API-Key"
"""The header in which it takes a key."""
_QUERY_TOOLS = ("context_query", "rlm_context_query", "snipara_context_query")
_DOCUMENT_TOOLS = ("load_document", "rlm_load_document", "snipara_load_document")
_MOST_DOCUMENT_CHARACTERS = 400_000


@attrs.define(eq=False)
class McpContextSource:
    """A :class:`~sunwell.core.context_source.ContextSource` that asks a tool of a server.

    Without names of tools it takes the server's ``context_query`` and ``load_document``, also with ``rlm_``
    or ``snipara_`` before them; without a tool for documents, a document is the resource of that address.
    """

    name: str
    connection: McpConnection
    tool: str | None = None
    query_argument: str | None = None
    """What the tool calls the question; ``None``: ``query``."""
    tokens_argument: str | None = None
    """What it calls the longest answer in tokens; ``None``: ``max_tokens`` if it has that."""
    document_tool: str | None = None
    document_argument: str | None = None
    """What that tool calls the document; ``None``: its only argument that must be given."""
    timeout_seconds: float | None = None
    """Longest time of one query, the start of the server included; ``None``: the caller's."""

    async def context_query(self, query: str, most_tokens: int) -> str:
        """Return what the server finds for *query*; empty for nothing.

        Raises :exc:`~sunwell.errors.ToolError` if the server is down, or has no such tool.
        """
        tool = await self._chosen(self.tool, _QUERY_TOOLS)
        if tool is None:
            raise ToolError(f"the source {self.name} has no tool that searches; name it with tool =")
        given: dict[str, Any] = {self.query_argument or "query": query}
        known = _properties(tool)
        tokens = self.tokens_argument or ("max_tokens" if "max_tokens" in known else None)
        if tokens is not None:
            given[tokens] = most_tokens
        return await self._asked(tool, given)

    async def load_document(self, name: str) -> str:
        """Return the document *name*, at most 400,000 characters. Raises :exc:`~sunwell.errors.ToolError`."""
        tool = await self._chosen(self.document_tool, _DOCUMENT_TOOLS)
        if tool is not None:
            text = await self._asked(tool, {self.document_argument or _only_required(tool): name})
        elif "://" in name:
            text = await self.connection.read(name)
        else:
            raise ToolError(
                f"the source {self.name} has no tool for documents; give the address of a resource"
            )
        if len(text) <= _MOST_DOCUMENT_CHARACTERS:
            return text
        more = len(text) - _MOST_DOCUMENT_CHARACTERS
        return f"{text[:_MOST_DOCUMENT_CHARACTERS]}\n[{more:,} characters were cut off here]"

    async def aclose(self) -> None:
        """End the connection; a later query opens it again."""
        await self.connection.aclose()

    async def _chosen(self, named: str | None, usual: tuple[str, ...]) -> OfferedTool | None:
        offered = {one.name: one for one in await self.connection.offered()}
        if named is not None and named not in offered:
            raise ToolError(f"the MCP server {self.connection.server.name} has no tool {named!r}")
        names = usual if named is None else (named,)
        return next((offered[name] for name in names if name in offered), None)

    async def _asked(self, tool: OfferedTool, given: dict[str, Any]) -> str:
        # To search changes nothing, so it may be asked again.
        answer = await self.connection.call(tool.name, given, is_repeatable=True, whole=True)
        if answer.is_error:
            raise ToolError(f"the source {self.name} reports an error: {answer.text[:500]}")
        return answer.text


@attrs.frozen(kw_only=True)
class McpSourceMaker:
    """Makes such a source for each run: a :class:`~sunwell.core.context_source.ContextSourceMaker`."""

    name: str = attrs.field(kw_only=False)
    server: McpServer = attrs.field(kw_only=False)
    tool: str | None = None
    query_argument: str | None = None
    tokens_argument: str | None = None
    document_tool: str | None = None
    document_argument: str | None = None
    timeout_seconds: float | None = None
    """As in :class:`McpContextSource`, all of them."""
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, eq=False, repr=False)

    def for_run(self, root: Path) -> McpContextSource:
        """Return the source of one run in the workspace *root*; the server is started by the first query."""
        return McpContextSource(
            self.name,
            McpConnection(self.server, root, self.environ),
            self.tool,
            self.query_argument,
            self.tokens_argument,
            self.document_tool,
            self.document_argument,
            self.timeout_seconds,
        )


def _properties(tool: OfferedTool) -> tuple[str, ...]:
    found = tool.parameters.get("properties")
    return tuple(found) if isinstance(found, dict) else ()


def _only_required(tool: OfferedTool) -> str:
    required = tool.parameters.get("required")
    if isinstance(required, list) and len(required) == 1 and isinstance(required[0], str):
        return required[0]
    raise ToolError(
        f"{tool.name} takes more than a document's name; name the argument with document_argument ="
    )
