"""A server on loopback that takes its time: a tool call to each question but the last, which is answered.

Run as a program by other benchmarks, so that its time is not the client's. It counts the messages of
a question to know which turn it is in, so it keeps nothing of anybody.
"""

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

DELAY_SECONDS = 0.05
_CALL = {"id": "call_0", "type": "function", "function": {"name": "note", "arguments": '{"text": "x"}'}}
_TEXT = "Noted. " * 20


def _chat(is_last: bool) -> bytes:
    message = {"role": "assistant", "content": _TEXT} | ({} if is_last else {"tool_calls": [_CALL]})
    choice = {"index": 0, "message": message, "finish_reason": "stop" if is_last else "tool_calls"}
    usage = {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110}
    made = {"id": "c1", "object": "chat.completion", "created": 1, "model": "gpt-6-luna"}
    return json.dumps(made | {"choices": [choice], "usage": usage}).encode()


def _messages(is_last: bool) -> bytes:
    call = {"type": "tool_use", "id": "call_0", "name": "note", "input": {"text": "x"}}
    content = [{"type": "text", "text": _TEXT}, *([] if is_last else [call])]
    made = {
        "id": "m1",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": content,
        "stop_reason": "end_turn" if is_last else "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }
    return json.dumps(made).encode()


_ANSWERS = {
    (wire, last): make(last)
    for wire, make in (("chat", _chat), ("messages", _messages))
    for last in (True, False)
}


async def _serve(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, calls: int, delay_seconds: float
) -> None:
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            wire = "messages" if b"/messages" in head.split(b"\r\n")[0] else "chat"
            is_last = body.count(b'"assistant"') >= calls - 1
            data = _ANSWERS[wire, is_last]
            await asyncio.sleep(delay_seconds)
            start = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
            writer.write(start % len(data) + data)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main(calls: int, delay_seconds: float) -> None:
    """Serve until the parent goes; the port is printed first."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _serve(reader, writer, calls, delay_seconds)

    listening = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 24, backlog=2_048)
    print(listening.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


@contextmanager
def server(calls: int, delay_seconds: float = DELAY_SECONDS) -> Iterator[int]:
    """Run the server as a process of its own and give its port."""
    words = [sys.executable, __file__, str(calls), str(delay_seconds)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield int(process.stdout.readline())
        process.kill()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), float(sys.argv[2])))
