"""Servers of the Model Context Protocol: how one is described, and the connection of a run to it.

All that a server says is foreign text: its answers, the descriptions of its tools, and what it prints. It is
bounded here. Who shows it to a model puts it into a fence.
"""

import asyncio
import ipaddress
import json
import logging
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import urlsplit

import attrs

from sunwell.core.secrets import Secrets
from sunwell.core.tool import SANDBOXES, Sandbox
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.secret_values import is_telling, names_secret
from sunwell.tools.wording import counted, cut, on_one_line, without_escapes

if TYPE_CHECKING:
    from sunwell.tools.mcp_session import McpSession

log = logging.getLogger("sunwell.tools")
McpAsks = Literal["always", "writes"]
"""``always``: a person approves each call; ``writes``: not those of tools that say that they only read."""
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,32}")
_LOADER = re.compile(r"(?:LD|DYLD)_", re.IGNORECASE)
_MOST_STARTS = 2
_MOST_PAGES = 20
_MOST_TOOLS = 500
_LONGEST_ERROR = 600
_MOST_CHARACTERS = 25_000
"""Longest text of one answer; below the limit of a tool's result, which would cut the fence, too."""


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise TypeError(f"expected several texts, got the single string {value!r}")
    return tuple(value)


def _pairs(value: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple(value.items()) if isinstance(value, Mapping) else tuple(value)


@attrs.frozen(kw_only=True)
class McpServer:
    """How a server is reached, and what a run may do with it. Nothing is started by making one.

    Raises :exc:`~sunwell.errors.ConfigurationError` for a description that cannot hold.
    """

    name: str
    """What the tools of the server begin with: 1 to 32 letters, digits, ``_`` and ``-``."""
    command: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Program and arguments of a server that speaks over its standard input and output."""
    url: str = ""
    """Address of a server that speaks over HTTP: https, or http on this machine."""
    variables: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Names of the environment variables that the program is given besides those that every command gets."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs, repr=False)
    """Headers of each request; their values are secrets."""
    header_variables: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_pairs)
    """Headers whose values are in environment variables: the header's name, and the variable's."""
    tools: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """The tools of the server that models may call, by the server's names for them."""
    ask: McpAsks = attrs.field(default="always", validator=attrs.validators.in_(("always", "writes")))
    sandbox: Sandbox = attrs.field(default="required", validator=attrs.validators.in_(SANDBOXES))
    """Whether the program runs in the sandbox of commands, with the workspace read-only."""
    allow_network: bool = False
    """Whether the program in the sandbox may use the network."""
    allow_http: bool = False
    """Whether ``url`` may be plain http to another machine."""
    start_seconds: float = 30.0
    """Longest time from the start of the program to the list of its tools."""
    call_seconds: float = 60.0
    """Longest time of one call."""
    most_bytes: int = 64 << 20
    """Longest single message of the server. A longer one ends the connection."""

    def __attrs_post_init__(self) -> None:
        where = f"mcp.{self.name}"
        if not _NAME.fullmatch(self.name):
            raise ConfigurationError(f"{where}: name a server with 1 to 32 letters, digits, _ and -")
        if bool(self.command) == bool(self.url):
            raise ConfigurationError(f"{where} needs either a command or a url")
        for name in self.variables:
            if _LOADER.match(name):
                raise ConfigurationError(f"{where}: {name} changes which code programs load: leave it out")
        if self.url:
            _require_safe(where, self.url, allow_http=self.allow_http)
        if len(set(self.tools)) < len(self.tools):
            raise ConfigurationError(f"{where} names a tool twice")

    def header_values(self, environ: Mapping[str, str]) -> dict[str, str]:
        """Return the headers with their values. Raises :exc:`~sunwell.errors.ToolError` for one without."""
        found = dict(self.headers)
        for header, variable in self.header_variables:
            value = environ.get(variable, "").strip()
            if not value or not value.isprintable() or not value.isascii():
                raise ToolError(f"the MCP server {self.name} was not asked: set the variable {variable}")
            found[header] = value
        return found

    def secret_values(self, environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
        """Yield each value that only the server may see, with a name for it.

        Of the variables of a program those whose names say so are among them: others may be ordinary words.
        """
        found = [(value, header) for header, value in self.headers if is_telling(value)]
        found += [(environ.get(variable, ""), variable) for _, variable in self.header_variables]
        found += [(environ.get(name, ""), name) for name in self.variables if names_secret(name)]
        for value, name in found:
            yield value, name
            if " " in value.strip():  # as in "Bearer KEY"
                yield value.split()[-1], name


def _require_safe(where: str, url: str, *, allow_http: bool) -> None:
    """Raise :exc:`~sunwell.errors.ConfigurationError` for an address to which keys would go in the open."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    if parts.scheme not in ("http", "https") or not host or "@" in parts.netloc:
        raise ConfigurationError(f"{where}.url must be an address such as https://host/mcp, without a login")
    if parts.scheme == "http" and not allow_http and not _is_loopback(host):
        raise ConfigurationError(
            f"{where}.url is plain http to another machine, where everybody on the way reads it: use https, "
            "or set allow_http"
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


@attrs.frozen
class OfferedTool:
    """A tool of a server, in the server's own words."""

    name: str
    description: str = ""
    parameters: Mapping[str, Any] = attrs.field(factory=dict, eq=False)
    says_read_only: bool = False
    """Whether the server says that the tool changes nothing. It may be wrong."""


@attrs.frozen
class McpAnswer:
    """What a call came to, as text without control characters, in which known secrets are replaced."""

    text: str
    is_error: bool = False


@attrs.define(eq=False)
class McpConnection:
    """The connection of one run to one server, which is started on first use.

    A server that ends is started once more, at the next use; after that a use is an error with a sentence.
    """

    server: McpServer
    root: Path
    """The workspace: the program's folder."""
    environ: Mapping[str, str] = attrs.field(factory=lambda: os.environ, repr=False)
    secrets: Secrets = attrs.field(factory=Secrets, repr=False)
    """Replaced in all that it says, with the secrets of ``environ`` and what only the server may see."""
    _session: "McpSession | None" = attrs.field(default=None, init=False)
    _offered: tuple[OfferedTool, ...] | None = attrs.field(default=None, init=False)
    _starts: int = attrs.field(default=0, init=False)
    _is_older: bool = attrs.field(default=False, init=False)
    _starting: asyncio.Lock = attrs.field(factory=asyncio.Lock, init=False)

    def __attrs_post_init__(self) -> None:
        self.secrets = secrets_from_environment(self.environ).joined(self.secrets)
        for value, name in self.server.secret_values(self.environ):
            self.secrets.add(value, name)

    async def offered(self) -> tuple[OfferedTool, ...]:
        """Return the tools that the server offers now. Raises :exc:`~sunwell.errors.ToolError`."""
        if self._offered is None:
            await self._open()
        return self._offered or ()

    async def call(
        self, tool: str, arguments: Mapping[str, Any], *, is_repeatable: bool = False, whole: bool = False
    ) -> McpAnswer:
        """Call *tool* and return its answer: at most 25,000 characters, unless *whole*.

        With *is_repeatable* the call is made again if the server ends in the middle of it.
        Raises :exc:`~sunwell.errors.ToolError` if there is no answer; the sentence says what is known.
        """
        for last in (False, True):
            session = await self._open()
            try:
                return self._read(await self._timed(session, session.call(tool, dict(arguments))), whole)
            except ConnectionError:
                if is_repeatable and not last:
                    continue
                was = "" if is_repeatable else "; it is not known whether it did what was asked"
                raise ToolError(f"{self._who} ended during the call{was}{session.last_words()}") from None
        raise AssertionError("unreachable")

    async def read(self, uri: str) -> str:
        """Return the text of the resource *uri*. Raises :exc:`~sunwell.errors.ToolError` as :meth:`call`."""
        session = await self._open()
        try:
            found = await self._timed(session, session.read(uri))
        except ConnectionError:
            raise ToolError(f"{self._who} ended before it answered{session.last_words()}") from None
        return self._clean("\n".join(_resource_lines(found)))

    async def aclose(self) -> None:
        """End the server, with all that it started. A later use starts it anew."""
        async with self._starting:
            session, self._session, self._starts = self._session, None, 0
            self._offered = None
            if session is not None:
                await session.close()

    @property
    def protocol_version(self) -> str:
        """The version of the protocol that is spoken; empty before the first use."""
        return "" if self._session is None else self._session.protocol_version

    @property
    def _who(self) -> str:
        return f"the MCP server {self.server.name}"

    async def _open(self) -> "McpSession":
        async with self._starting:
            while self._session is None or self._session.is_over:
                ended, self._session = self._session, None
                said = "" if ended is None else ended.last_words()
                if ended is not None:
                    await ended.close()
                if self._starts >= _MOST_STARTS:
                    raise ToolError(f"{self._who} ended twice and is not started again{said}")
                self._starts += 1
                await self._start()
            return self._session

    async def _start(self) -> None:
        try:
            from sunwell.tools.mcp_session import McpSession
        except ImportError:
            raise ToolError(
                "MCP servers need the package mcp: install it with pip install 'sunwell[mcp]'"
            ) from None
        session = McpSession(self.server, self.root, self.environ, self.secrets, is_older=self._is_older)
        seconds = self.server.start_seconds
        try:
            async with asyncio.timeout(seconds):
                await session.begin()
                found = await session.offered(_MOST_PAGES, _MOST_TOOLS)
        except TimeoutError:
            await session.close()
            raise ToolError(
                f"{self._who} did not answer within {seconds:g} seconds of its start{session.last_words()}"
            ) from None
        except ConnectionError:
            await session.close()
            if self._starts < _MOST_STARTS:
                self._is_older = True  # perhaps the newer greeting ended it
                return
            raise ToolError(f"{self._who} ended before it answered{session.last_words()}") from None
        except ToolError as error:
            await session.close()
            raise ToolError(f"{self._who} cannot be used: {error.sentence}{session.last_words()}") from None
        except BaseException:
            self._starts -= 1  # whoever asked has given up: the server may be all right
            await session.close()
            raise
        self._session = session
        self._offered = tuple(
            OfferedTool(one.name, one.description or "", one.input_schema, _says_read_only(one))
            for one in found
        )

    async def _timed(self, session: "McpSession", answer: Any) -> Any:
        seconds = self.server.call_seconds
        try:
            async with asyncio.timeout(seconds):
                return await answer
        except TimeoutError:
            raise ToolError(
                f"{self._who} did not answer within {seconds:g} seconds; the call was cancelled, and it is "
                "not known whether it did what was asked"
            ) from None
        except ToolError as error:
            said = self._clean(error.sentence)[:_LONGEST_ERROR]
            raise ToolError(f"{self._who} refused the call: {on_one_line(said)}") from None

    def _read(self, result: Any, whole: bool) -> McpAnswer:
        text = "\n".join(_answer_lines(result.content))
        if not text.strip() and result.structured_content is not None:
            text = json.dumps(result.structured_content, ensure_ascii=False)
        clean = self._clean(text)
        return McpAnswer(clean if whole else cut(clean, _MOST_CHARACTERS), bool(result.is_error))

    def _clean(self, text: str) -> str:
        """Return *text* without secrets, also if control characters stood between their letters."""
        plain = text.encode("utf-8", "replace").decode()
        return self.secrets.redact(without_escapes(self.secrets.redact(plain)))


def _says_read_only(tool: Any) -> bool:
    return tool.annotations is not None and tool.annotations.read_only_hint is True


def _answer_lines(blocks: Sequence[Any]) -> Iterator[str]:
    """Yield the texts of an answer, and a sentence for each part that is none."""
    for block in blocks:
        match block.type:
            case "text":
                yield block.text
            case "image" | "audio":
                yield _not_shown(f"{block.type}, {block.mime_type}", block.data)
            case "resource":
                yield from _resource_lines([block.resource])
            case "resource_link":
                yield f"(a link to the resource {on_one_line(str(block.uri))[:500]})"
            case other:
                yield f"(a part of the kind {on_one_line(str(other))[:50]} is not shown)"


def _resource_lines(contents: Iterable[Any]) -> Iterator[str]:
    for one in contents:
        text = getattr(one, "text", None)
        if isinstance(text, str):
            yield text
        else:
            yield _not_shown(f"resource, {one.mime_type or 'of unknown kind'}", one.blob)


def _not_shown(kind: str, data: str) -> str:
    """Return the sentence for a part in base64."""
    size = counted(len(data) * 3 // 4, "byte")
    return f"(a part that is no text is not shown: {on_one_line(kind)[:100]}, about {size})"
