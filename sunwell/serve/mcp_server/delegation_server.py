"""The server of the Model Context Protocol: calls become runs, questions become elicitations.

It stands on ``MCPServer`` of the package ``mcp``, which only modules that are loaded on first use import.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import anyio
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.mcpserver.exceptions import ResourceNotFoundError, ToolError
from mcp.shared.exceptions import MCPError
from mcp_types import (
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    InputRequiredResult,
    Resource,
    ResourceTemplate,
    TextContent,
    Tool,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import AnyUrl, BaseModel, ValidationError

import sunwell
from sunwell.errors import SunwellError
from sunwell.serve.mcp_server.held_call import ANSWER_SECONDS, HeldCall, OpenQuestion

if TYPE_CHECKING:
    from sunwell.serve.http_door import DoorLimits, HttpDoor
    from sunwell.serve.mcp_server.delegations import Delegations

_INSTRUCTIONS = """\
Sunwell does tasks in a folder with cheaper models, under a cap in dollars, and gives a bill.
Use delegate for one task, batch for many that are alike, ask for a question about long files.
estimate says what a task would cost; it is free. Each run has a run_id: report shows it, resume goes on
with it after a cancel, a crash or a cap, and undo puts back the files that it changed.
Models, permissions and caps are set by the person who started this server. You can only lower a cap."""

Answered = CallToolResult | InputRequiredResult
HTTP_PATH = "/mcp"
_GO_ON = "go_on"
_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {_GO_ON: {"type": "boolean", "title": "Go on", "description": "Yes: do it. No: leave it."}},
    "required": [_GO_ON],
}
_BOOKING_SECONDS = 10.0
"""How long the end of a call waits until its run is booked."""


class DelegationServer(MCPServer[Any]):
    """Serves :class:`~sunwell.serve.mcp_server.delegations.Delegations`, made by *begin* on the first use.

    A question to a person waits *answer_seconds* for its answer.
    """

    def __init__(self, begin: "Callable[[], Delegations]", answer_seconds: float = ANSWER_SECONDS) -> None:
        super().__init__(
            "sunwell",
            title="Sunwell",
            description="Tasks for cheaper models, under a cap, with a bill.",
            instructions=_INSTRUCTIONS,
            version=sunwell.__version__,
            log_level="ERROR",
        )
        self._begin = begin
        self._answer_seconds = answer_seconds
        self._made: Delegations | None = None
        self._calls: set[HeldCall[Any]] = set()
        self._waiting: dict[str, HeldCall[Any]] = {}
        """Calls whose question a client is answering, by the state that it was given."""

    @property
    def delegations(self) -> "Delegations":
        """What the tools do; the engine is loaded when it is first asked for."""
        if self._made is None:
            self._made = self._begin()
        return self._made

    @property
    def open_calls(self) -> int:
        """How many calls go on or wait for an answer."""
        return len(self._calls.union(self._waiting.values()))

    def door(self, token: str, limits: "DoorLimits | None" = None) -> "HttpDoor":
        """Return the door to this server on 127.0.0.1 under ``/mcp``, for clients that have *token*."""
        from mcp.server.transport_security import TransportSecuritySettings

        from sunwell.serve.http_door import DoorLimits, HttpDoor

        held = limits or DoorLimits()

        def app(names: list[str]) -> Any:
            return self.streamable_http_app(
                streamable_http_path=HTTP_PATH,
                max_request_body_size=held.body_bytes,
                transport_security=TransportSecuritySettings(
                    allowed_hosts=names, allowed_origins=[f"http://{name}" for name in names]
                ),
            )

        return HttpDoor(app, {token: None}, held)

    async def __aenter__(self) -> "DelegationServer":
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop what still goes on, and wait until it is booked."""
        await self._end(list(self._calls))

    async def list_tools(self) -> list[Tool]:
        """List the tools."""
        await self._ready()
        return await super().list_tools()

    async def call_tool(
        self, name: str, arguments: dict[str, Any], context: Context[Any, Any] | None = None
    ) -> Answered:
        """Call a tool; what is wrong with *arguments* is said in a sentence."""
        await self._ready()
        tool = self._tool_manager.get_tool(name)
        if tool is not None:
            known = tool.parameters.get("properties", {})
            for argument in arguments:
                if argument not in known:
                    raise ToolError(
                        f"{name} has no argument {argument[:100]!r}; it has: {', '.join(known)}. Models, "
                        "permissions and options are set where the server is started"
                    )
        try:
            return await super().call_tool(name, arguments, context)
        except ToolError as error:
            if isinstance(error.__cause__, ValidationError):
                raise ToolError(_invalid(name, error.__cause__)) from None
            raise

    async def list_resources(self) -> list[Resource]:
        """List the latest runs of each root, and their lenses as skills."""
        from sunwell.serve.mcp_server.run_resources import resources

        return await resources(self.delegations.roots)

    async def list_resource_templates(self) -> list[ResourceTemplate]:
        """List the forms of the addresses of resources."""
        from sunwell.serve.mcp_server.run_resources import templates

        return templates()

    async def read_resource(
        self, uri: AnyUrl | str, context: Context[Any, Any] | None = None
    ) -> Iterable[ReadResourceContents]:
        """Return the resource at *uri*. Raises ``ResourceNotFoundError`` if there is none."""
        from sunwell.serve.mcp_server.run_resources import read_resource

        try:
            return [await read_resource(self.delegations.roots, str(uri))]
        except SunwellError as error:
            raise ResourceNotFoundError(_safe(error)) from None

    async def served(
        self,
        context: Context[Any, Any],
        work: Callable[[HeldCall[Any]], Awaitable[BaseModel]],
    ) -> Answered:
        """Return the result of *work*, or a question that the client answers by making the call again."""
        call = self._taken_up(context)
        if call is None:
            call = HeldCall(can_ask=_can_ask(context), answer_seconds=self._answer_seconds)
            self._calls.add(call)
            call.begin(work, partial(self._forget, call))
        try:
            return await self._attended(context, call)
        except asyncio.CancelledError:
            with anyio.CancelScope(shield=True):
                await self._end([call])
            raise

    def _forget(self, call: HeldCall[Any]) -> None:
        """Drop *call*, which has ended, and with it a question that its client did not answer in time."""
        self._calls.discard(call)
        self._waiting = {state: held for state, held in self._waiting.items() if held is not call}

    async def _ready(self) -> None:
        if not self._tool_manager.list_tools():
            from sunwell.serve.mcp_server.served_tools import add_tools

            add_tools(self)

    def _taken_up(self, context: Context[Any, Any]) -> HeldCall[Any] | None:
        state = context.request_state
        if state is None:
            return None
        call = self._waiting.get(state)
        if call is None or call.question is None:
            raise ToolError(
                "this question is not open any more: see with report whether a run had begun; if not, make "
                "the call again"
            )
        del self._waiting[state]
        said = (context.input_responses or {}).get(_GO_ON)
        call.question.answer(isinstance(said, ElicitResult) and _is_yes(said))
        return call

    async def _attended(self, context: Context[Any, Any], call: HeldCall[Any]) -> Answered:
        told = 0
        while True:
            for line in call.lines():
                told += 1
                await context.report_progress(told, None, line)
            question = call.question
            if question is not None and not question.said.done():
                if context.protocol_version in MODERN_PROTOCOL_VERSIONS:
                    return self._asked_back(call, question)
                await _elicited(context, question)
            elif call.has_ended:
                return _result(call)
            else:
                await call.news()

    def _asked_back(self, call: HeldCall[Any], question: OpenQuestion) -> InputRequiredResult:
        state = secrets.token_urlsafe()
        self._waiting[state] = call
        params = ElicitRequestFormParams(message=question.text, requested_schema=_SCHEMA)
        return InputRequiredResult(input_requests={_GO_ON: ElicitRequest(params=params)}, request_state=state)

    async def _end(self, calls: list[HeldCall[Any]]) -> None:
        for call in calls:
            call.stop()
        with anyio.move_on_after(_BOOKING_SECONDS):
            for call in calls:
                await call.ended()


async def _elicited(context: Context[Any, Any], question: OpenQuestion) -> None:
    """Have the client ask its user, in the middle of the call; no answer in time is no."""

    async def send() -> None:
        said = None
        with suppress(MCPError, ValidationError):
            said = await context.session.elicit_form(question.text, _SCHEMA, context.request_id)
        question.answer(said is not None and _is_yes(said))

    async with anyio.create_task_group() as group:
        group.start_soon(send)
        await asyncio.wait((question.said,))
        group.cancel_scope.cancel()


def _is_yes(said: ElicitResult) -> bool:
    return said.action == "accept" and (said.content or {}).get(_GO_ON) is True


def _can_ask(context: Context[Any, Any]) -> bool:
    capabilities = context.client_capabilities
    able = None if capabilities is None else capabilities.elicitation
    if able is None or (able.form is None and able.url is not None):
        return False
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS or context.session.can_send_request


def _result(call: HeldCall[Any]) -> CallToolResult:
    from sunwell.serve.mcp_server.result_bounds import text_of

    try:
        outcome = call.result()
    except SunwellError as error:
        raise ToolError(_safe(error)) from None
    except asyncio.CancelledError:
        raise ToolError("cancelled before a run had begun; nothing was spent") from None
    text = TextContent(type="text", text=text_of(outcome))
    return CallToolResult(content=[text], structured_content=outcome.model_dump(mode="json"))


def _safe(error: SunwellError) -> str:
    """Return the sentence of *error* without known secrets and what looks like a credential, on one line."""
    from sunwell.tools.environment import told_safely
    from sunwell.tools.wording import on_one_line

    return on_one_line(told_safely(str(error)))


def _invalid(name: str, error: ValidationError) -> str:
    found = [(".".join(map(str, one["loc"])), one["msg"]) for one in error.errors(include_input=False)]
    return f"the arguments of {name} are not right: " + "; ".join(
        f"{where}: {said}" for where, said in found[:5]
    )
