"""The trace goes on in commands, and in requests to providers only if that is wanted."""

import asyncio
import json
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx2
import pytest
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.trace import format_span_id, format_trace_id

from sunwell import Agent, RunOptions, SessionContext
from sunwell.adapters.otel.instrumentation import continue_trace
from sunwell.agent.loop import AgentLoop
from sunwell.core import Price, Rates, ToolCall
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection, close_clients
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import McpServer
from tests.adapters.telemetry_sdk import Telemetry
from tests.bubblewrap import needs_bubblewrap

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


def named(span: Any) -> str:
    """Return the header that names *span*."""
    return f"00-{format_trace_id(span.context.trace_id)}-{format_span_id(span.context.span_id)}-0"


async def asked_with(**given: Any) -> dict[str, str]:
    """Return the headers of a request that a run sends to a server of its own, which refuses it."""
    heard: list[bytes] = []

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(b"HTTP/1.1 401 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", url, "a-key", **given))
        async for _ in AgentLoop(model).run("Say it", ()):
            pass
        await close_clients()
    lines = heard[-1].decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}


@pytest.mark.parametrize("way", ["aiohttp", "httpx2"])
@pytest.mark.parametrize("headers", [True, False])
async def test_providers_get_the_trace_only_if_that_is_wanted(
    telemetry: Telemetry, headers: bool, way: str
) -> None:
    """By default they learn nothing of it: the id would tie requests of one user together."""
    given = {} if way == "aiohttp" else {"transport": httpx2.AsyncHTTPTransport}
    with telemetry.instrument(headers=headers):
        sent = await asked_with(**given)
    assert sent["authorization"] == "Bearer a-key"
    call = telemetry.spans("chat")[-1]
    assert sent.get("traceparent", "")[:-1] == (named(call) if headers else "")
    assert "baggage" not in sent


def test_a_command_gets_the_span_of_its_call(traced: Telemetry, tmp_path: Path) -> None:
    """Whatever it calls can be below it; a check's command is below the check."""
    write = {"command": "echo $TRACEPARENT > told.txt", "timeout_seconds": None}
    lines = [completion(ToolCall("c", "run_command", json.dumps(write))), "Done."]
    options = RunOptions(allow_shell=True, sandbox="off", checks=("echo $TRACEPARENT > checked.txt",))
    session = SessionContext.build(tmp_path, "Say it", options=options)

    async def main() -> Any:
        return await Agent(model=ScriptedModel("haiku", lines, PRICE)).run(session)

    result = asyncio.run(main())
    assert result.status == "ok", result.error
    [tool] = traced.spans("execute_tool")
    [check] = [one for one in traced.spans() if one.name == "sunwell.check"]
    assert (tmp_path / "told.txt").read_text().strip()[:-1] == named(tool)
    assert (tmp_path / "checked.txt").read_text().strip()[:-1] == named(check)


def test_a_command_gets_nothing_if_nobody_asks_for_spans(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even the variable of the process: it names a span that the command is not below."""
    monkeypatch.setenv("TRACEPARENT", "00-" + "1" * 32 + "-" + "2" * 16 + "-01")
    write = {"command": "echo _$TRACEPARENT > told.txt", "timeout_seconds": None}
    lines = [completion(ToolCall("c", "run_command", json.dumps(write))), "Done."]
    session = SessionContext.build(tmp_path, "Say it", options=RunOptions(allow_shell=True, sandbox="off"))

    async def main() -> Any:
        return await Agent(model=ScriptedModel("haiku", lines, PRICE)).run(session)

    assert asyncio.run(main()).status == "ok"
    assert (tmp_path / "told.txt").read_text() == "_\n"


@pytest.mark.parametrize(
    ("parent", "is_taken"),
    [
        pytest.param("00-" + "1" * 32 + "-" + "2" * 16 + "-01", True, id="valid"),
        pytest.param("nonsense", False, id="invalid"),
        pytest.param(None, False, id="none"),
    ],
)
def test_a_trace_of_the_environment_goes_on(traced: Telemetry, parent: str | None, is_taken: bool) -> None:
    """A run is below the span that the variable names; what is no such name changes nothing."""

    async def main() -> None:
        continue_trace({} if parent is None else {"TRACEPARENT": parent})
        async for _ in AgentLoop(ScriptedModel("haiku", ["Done."], PRICE)).run("Say it", ()):
            pass

    asyncio.run(main())
    [root] = traced.spans("invoke_agent")
    assert (root.parent is not None) is is_taken
    if is_taken:
        assert format_span_id(root.parent.span_id) == "2" * 16
        assert format_trace_id(root.context.trace_id) == "1" * 32


def test_a_span_of_the_process_goes_before_the_environment(traced: Telemetry) -> None:
    """It knows better."""
    tracer = traced.tracer_provider.get_tracer("the user's")
    with tracer.start_as_current_span("own"):
        before = otel_context.get_current()
        continue_trace({"TRACEPARENT": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"})
        assert otel_context.get_current() == before
    assert not trace.get_current_span().get_span_context().is_valid


@needs_bubblewrap
def test_a_command_in_the_sandbox_gets_it_too(traced: Telemetry, tmp_path: Path) -> None:
    """It is no secret."""
    write = {"command": "echo $TRACEPARENT > told.txt", "timeout_seconds": None}
    lines = [completion(ToolCall("c", "run_command", json.dumps(write))), "Done."]
    session = SessionContext.build(tmp_path, "Say it", options=RunOptions(allow_shell=True))

    async def main() -> Any:
        return await Agent(model=ScriptedModel("haiku", lines, PRICE)).run(session)

    assert asyncio.run(main()).status == "ok"
    [tool] = traced.spans("execute_tool")
    assert (tmp_path / "told.txt").read_text().strip()[:-1] == named(tool)


def test_an_mcp_server_gets_the_span_of_the_caller(traced: Telemetry, tmp_path: Path) -> None:
    """It is started before the run, and may serve several."""
    pytest.importorskip("mcp")
    server = Path(__file__).parents[1] / "tools" / "servers" / "everything.py"
    command = (sys.executable, str(server), str(tmp_path))
    some = McpServer(name="some", command=command, tools=("variables",), sandbox="off", ask="writes")
    model = ScriptedModel("haiku", [completion(ToolCall("c", "some__variables", "{}")), "Done."], PRICE)
    session = SessionContext.build(tmp_path, "Use the tool.")
    tracer = traced.tracer_provider.get_tracer("the user's")

    async def main() -> Any:
        with tracer.start_as_current_span("request") as own:
            await Agent(model=model, mcp_servers=(some,)).run(session)
            return own.get_span_context()

    caller = asyncio.run(main())
    [answer] = model.calls[-1].messages[-1].parts
    assert (
        f"TRACEPARENT=00-{format_trace_id(caller.trace_id)}-{format_span_id(caller.span_id)}-0"
        in answer.content
    )
