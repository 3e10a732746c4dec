"""Connections to MCP servers: real processes and real HTTP, with all that can go wrong."""

import asyncio
import os
import select
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.mcp_client import McpConnection, McpServer
from tests.bubblewrap import needs_bubblewrap
from tests.tools.loaded_servers import loaded_command

SERVERS = Path(__file__).parent / "servers"
Connect = Callable[..., McpConnection]


@pytest.fixture
async def connect(tmp_path: Path) -> AsyncIterator[Connect]:
    """Return a connection to one of the servers; each ends with the test."""
    made: list[McpConnection] = []

    def make(
        file: str = "everything", *arguments: str, is_loaded: bool = True, **given: object
    ) -> McpConnection:
        environ = {"PATH": os.environ["PATH"], **given.pop("environ", {})}  # type: ignore[dict-item]
        given.setdefault("sandbox", "off")
        words = arguments or (str(tmp_path),)
        if file == "everything" and is_loaded:
            command = loaded_command(f"{file}.py", *words)
        else:
            command = (sys.executable, str(SERVERS / f"{file}.py"), *words)
        server = McpServer(name="some", command=command, **given)  # type: ignore[arg-type]
        made.append(McpConnection(server, tmp_path, environ))
        return made[-1]

    yield make
    for one in made:
        await one.aclose()


async def test_a_server_says_what_it_offers_and_answers(connect: Connect) -> None:
    """It is started by the first use alone, and speaks the newest version of the protocol."""
    connection = connect()
    assert connection.protocol_version == ""
    offered = {one.name: one for one in await connection.offered()}
    assert connection.protocol_version == "2026-07-28"
    assert offered["add"].says_read_only
    assert not offered["write_note"].says_read_only
    assert (await connection.call("add", {"first": 2})).text == "3"


async def test_a_server_of_the_version_before_is_spoken_to(connect: Connect) -> None:
    """It answers the newer greeting with an error."""
    connection = connect("plain", "plain")
    assert (await connection.call("tool0", {})).text == "called"
    assert connection.protocol_version == "2025-11-25"


async def test_a_server_that_the_newer_greeting_ends_is_started_again(connect: Connect) -> None:
    """The second time it is greeted as it expects."""
    assert (await connect("plain", "old").call("tool0", {})).text == "called"


async def test_lines_that_are_no_messages_are_passed_over(connect: Connect) -> None:
    """Some programs print to their standard output what is for people."""
    assert (await connect("plain", "garbage").call("tool0", {})).text == "called"


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        pytest.param("silent", "did not answer within 1 seconds of its start", id="never-answers"),
        pytest.param("silent", "it printed: waiting for a licence", id="its-last-words"),
        pytest.param("flood", "ended before it answered; it printed: xxxx", id="only-garbage"),
        pytest.param("line", "a message of more than 1,000,000 bytes", id="a-line-without-end"),
    ],
)
async def test_a_server_that_cannot_begin_is_a_sentence(connect: Connect, kind: str, said: str) -> None:
    """The sentence says which server, and what it printed last."""
    seconds = 1.0 if kind == "silent" else 20.0
    connection = connect("plain", kind, start_seconds=seconds, most_bytes=1_000_000)
    with pytest.raises(ToolError, match="the MCP server some") as raised:
        await connection.offered()
    assert said in raised.value.sentence


async def test_a_program_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    """Nothing is started."""
    server = McpServer(name="some", command=("no-such-program",), sandbox="off")
    with pytest.raises(ToolError, match="the program no-such-program is not found on PATH"):
        await McpConnection(server, tmp_path).offered()


def test_without_the_package_a_use_says_what_to_install(tmp_path: Path) -> None:
    """Everything else works without it."""
    code = """
import asyncio, sys
from pathlib import Path
sys.modules["mcp"] = None
from sunwell.tools.mcp_client import McpConnection, McpServer
try:
    asyncio.run(McpConnection(McpServer(name="some", command=["true"]), Path(".")).offered())
except Exception as error:
    print(error.sentence)
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "pip install 'sunwell[mcp]'" in done.stdout


async def test_more_tools_than_a_list_holds_are_left_out(connect: Connect) -> None:
    """Five hundred are listed."""
    assert len(await connect("plain", "many").offered()) == 500


async def test_a_call_that_takes_too_long_is_cancelled(connect: Connect, tmp_path: Path) -> None:
    """The server hears of it, and goes on with the next call."""
    connection = connect(call_seconds=0.5)
    await connection.offered()
    with pytest.raises(ToolError, match=r"did not answer within 0\.5 seconds; the call was cancelled"):
        await connection.call("wait", {})
    assert (await connection.call("add", {"first": 1})).text == "2"
    assert (tmp_path / "cancelled").exists()


async def test_a_caller_that_gives_up_cancels_the_call(connect: Connect, tmp_path: Path) -> None:
    """The connection stays open."""
    connection = connect()
    await connection.offered()
    task = asyncio.create_task(connection.call("wait", {}))
    assert (await connection.call("add", {"first": 1})).text == "2"
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await connection.call("add", {"first": 1})).text == "2"
    assert (tmp_path / "cancelled").exists()


async def test_a_long_answer_is_cut_with_a_count(connect: Connect) -> None:
    """Two megabytes come as their beginning and end."""
    answer = await connect().call("huge", {"letters": 2_000_000})
    assert len(answer.text) < 26_000
    assert "[1,975,000 of 2,000,000 characters were cut out here]" in answer.text


async def test_an_answer_beyond_all_bounds_ends_the_connection(connect: Connect) -> None:
    """It is not kept in memory."""
    connection = connect(most_bytes=100_000)
    with pytest.raises(ToolError, match=r"ended during the call.*a message of more than 100,000 bytes"):
        await connection.call("huge", {"letters": 1_000_000})
    assert (await connection.call("add", {"first": 1})).text == "2"


async def test_a_server_that_crashes_is_started_again_once(connect: Connect) -> None:
    """A call that only reads is made again; the second crash is a sentence with its last words."""
    connection = connect()
    assert (await connection.call("crash", {"often": 1}, is_repeatable=True)).text == "here again"
    with pytest.raises(ToolError, match=r"ended during the call; it is not known"):
        await connection.call("crash_writing", {})
    with pytest.raises(ToolError, match=r"ended twice and is not started again"):
        await connection.call("add", {"first": 1})


async def test_a_call_that_may_write_is_not_made_again(connect: Connect) -> None:
    """Whether it was carried out is not known; the next call has a server again."""
    connection = connect()
    with pytest.raises(ToolError, match=r"it is not known whether it did.*it printed: out of memory"):
        await connection.call("crash", {"often": 1})
    assert (await connection.call("add", {"first": 1})).text == "2"


@pytest.mark.parametrize("tool", ["ask_user", "ask_model"])
async def test_a_server_that_asks_for_something_is_refused(connect: Connect, tool: str) -> None:
    """Neither the user nor a model is asked: the call fails."""
    with pytest.raises(ToolError, match="refused the call"):
        await connect().call(tool, {})


async def test_what_is_no_text_is_told_in_a_sentence(connect: Connect) -> None:
    """A picture is not shown."""
    answer = await connect().call("picture", {})
    assert answer.text == (
        "(a part that is no text is not shown: image, image/png, about 300 bytes)\na caption"
    )


async def test_a_failed_call_says_so(connect: Connect) -> None:
    """It is an answer, in the server's words."""
    answer = await connect().call("fail", {})
    assert answer.is_error
    assert "the disk is full" in answer.text


async def test_an_error_of_the_protocol_is_in_the_sentence(connect: Connect) -> None:
    """Its number is that of a closed connection, which this one is not."""
    connection = connect("plain", "number")
    for _ in range(3):
        with pytest.raises(ToolError, match="the MCP server some refused the call: the disk is full"):
            await connection.call("tool0", {})


async def test_a_resource_is_read_by_its_address(connect: Connect) -> None:
    """It is text."""
    assert await connect().read("notes://one") == "the first note"


async def test_secrets_stay_here(connect: Connect) -> None:
    """The program gets neither keys nor what changes its loader; of what it is given, nothing comes back."""
    environ = {
        "ANTHROPIC_API_KEY": "sk-ant-very-secret-1",
        "LD_PRELOAD": "/tmp/evil.so",
        "NOTES_TOKEN": "tok-8271-abcdef-99",
        "HOME": "/home/somebody",
    }
    connection = connect(environ=environ, variables=["NOTES_TOKEN"])
    answer = await connection.call("variables", {})
    assert "NOTES_TOKEN=[NOTES_TOKEN]" in answer.text
    assert "HOME=/home/somebody" in answer.text
    for hidden in ("sk-ant", "LD_PRELOAD", "tok-8271"):
        assert hidden not in answer.text


@pytest.mark.parametrize(
    ("given", "said"),
    [
        pytest.param({}, "needs either a command or a url", id="neither"),
        pytest.param({"command": ["a"], "url": "https://x"}, "needs either", id="both"),
        pytest.param({"url": "http://example.com/mcp"}, "plain http to another machine", id="in-the-open"),
        pytest.param({"url": "https://me:key@example.com"}, "without a login", id="a-login"),
        pytest.param({"url": "file:///etc/passwd"}, "must be an address", id="a-file"),
        pytest.param({"command": ["a"], "variables": ["LD_PRELOAD"]}, "LD_PRELOAD changes", id="the-loader"),
        pytest.param({"command": ["a"], "tools": ["x", "x"]}, "names a tool twice", id="twice"),
    ],
)
def test_a_description_that_cannot_hold_is_refused(given: dict[str, object], said: str) -> None:
    """The sentence says what to do."""
    with pytest.raises(ConfigurationError, match=said):
        McpServer(name="some", **given)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["", "a b", "a.b", "x" * 33])
def test_a_name_is_part_of_the_names_of_tools(name: str) -> None:
    """So it has only what they may have."""
    with pytest.raises(ConfigurationError, match="1 to 32 letters"):
        McpServer(name=name, command=["a"])


@needs_bubblewrap
async def test_in_the_sandbox_the_workspace_is_read_only(tmp_path: Path) -> None:
    """Neither the workspace nor the home folder can be written."""
    (tmp_path / ".env").write_text("PASSWORD=x")
    shutil.copy(SERVERS / "everything.py", tmp_path)
    command = (sys.executable, "everything.py", str(tmp_path))
    connection = McpConnection(McpServer(name="some", command=command), tmp_path, os.environ)
    answer = await connection.call("touch", {"path": str(tmp_path / "new.txt")})
    assert answer.text == "not written: Read-only file system"
    assert not (tmp_path / "new.txt").exists()
    await connection.aclose()


async def test_it_ends_with_all_that_it_started(connect: Connect, tmp_path: Path) -> None:
    """Also what has a session of its own, and a program that does not heed the end of its input."""
    os.mkfifo(tmp_path / "held")
    (tmp_path / "child").write_text("#!/bin/sh\nexec 9>held; echo x >&9; exec sleep 777\n")
    (tmp_path / "child").chmod(0o755)
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    connection = connect(is_loaded=False)
    await connection.call("child", {})
    stubborn = connect("plain", "stubborn")
    await stubborn.offered()
    await connection.aclose()
    await stubborn.aclose()
    os.set_blocking(held, True)
    assert os.read(held, 3) == b"x\n"
    assert os.read(held, 3) == b""
    os.close(held)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent was killed")
@pytest.mark.parametrize("sandbox", ["off", pytest.param("required", marks=needs_bubblewrap)])
async def test_it_ends_when_sunwell_is_killed(tmp_path: Path, sandbox: str) -> None:
    """Also what it has started in a session of its own."""
    os.mkfifo(tmp_path / "held")
    (tmp_path / "child").write_text("#!/bin/sh\nexec 9>held; echo x >&9; exec sleep 777\n")
    (tmp_path / "child").chmod(0o755)
    shutil.copy(SERVERS / "everything.py", tmp_path)
    held = os.open(tmp_path / "held", os.O_RDONLY | os.O_NONBLOCK)
    code = f"""
import asyncio, sys
from pathlib import Path
from sunwell.tools.mcp_client import McpConnection, McpServer

async def main():
    command = (sys.executable, "everything.py", {str(tmp_path)!r})
    server = McpServer(name="some", command=command, sandbox={sandbox!r})
    print((await McpConnection(server, Path({str(tmp_path)!r})).call("child", {{}})).text, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    assert await process.stdout.readline() == b"started\n"
    assert await asyncio.to_thread(select.select, [held], [], [], 20) == ([held], [], [])
    assert os.read(held, 3) == b"x\n"
    process.kill()
    await process.wait()
    assert await asyncio.to_thread(select.select, [held], [], [], 20) == ([held], [], [])
    assert os.read(held, 3) == b""
    os.close(held)


async def test_known_secrets_are_replaced_in_answers(tmp_path: Path) -> None:
    """Those of the run, too."""
    secrets = Secrets()
    secrets.add("hunter2-and-more", "PASSWORD")
    command = (sys.executable, str(SERVERS / "everything.py"), str(tmp_path))
    server = McpServer(name="some", command=command, sandbox="off")
    connection = McpConnection(server, tmp_path, {"PATH": os.environ["PATH"]}, secrets)
    answer = await connection.call("write_note", {"text": "hunter2-and-more"})
    assert answer.text == "noted [PASSWORD]"
    await connection.aclose()
