"""A server on loopback that says the same thing to everybody, as cheaply as it can.

Run as a program by ``client_cpu.py``, so that its time is not the client's. It speaks just enough
HTTP to answer POST requests: a tool call to a plain request, many small chunks to a streamed one.
"""

import asyncio
import json
import sys

CHUNKS = 2_000
_WORD = "lorem "


def _chat_message(number: int) -> dict[str, object]:
    call = {
        "id": f"call_{number}",
        "type": "function",
        "function": {"name": "note", "arguments": '{"text": "x"}'},
    }
    message = {"role": "assistant", "content": "Noted." * 40, "tool_calls": [call]}
    return {
        "id": f"c{number}",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-6-luna",
        "choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}],
        "usage": {"prompt_tokens": 100, "completion_tokens": 10, "total_tokens": 110},
    }


def _messages_message(number: int) -> dict[str, object]:
    content = [
        {"type": "text", "text": "Noted." * 40},
        {"type": "tool_use", "id": f"call_{number}", "name": "note", "input": {"text": "x"}},
    ]
    return {
        "id": f"m{number}",
        "type": "message",
        "role": "assistant",
        "model": "claude-haiku-5-5",
        "content": content,
        "stop_reason": "tool_use",
        "stop_sequence": None,
        "usage": {"input_tokens": 100, "output_tokens": 10},
    }


def _chat_stream() -> bytes:
    def chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "finish_reason": finish}
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna"}
        return b"data: " + json.dumps({**head, "choices": [choice]}).encode() + b"\n\n"

    usage = {"prompt_tokens": 100, "completion_tokens": CHUNKS, "total_tokens": 100 + CHUNKS}
    head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-6-luna"}
    last = b"data: " + json.dumps({**head, "choices": [], "usage": usage}).encode() + b"\n\n"
    words = [chunk({"content": _WORD}) for _ in range(CHUNKS)]
    return b"".join([chunk({"role": "assistant"}), *words, chunk({}, "stop"), last, b"data: [DONE]\n\n"])


def _messages_stream() -> bytes:
    def event(name: str, **fields: object) -> bytes:
        return f"event: {name}\ndata: {json.dumps({'type': name, **fields})}\n\n".encode()

    message = {**_messages_message(1), "content": [], "stop_reason": None}
    text = {"type": "text_delta", "text": _WORD}
    return b"".join(
        [
            event("message_start", message=message),
            event("content_block_start", index=0, content_block={"type": "text", "text": ""}),
            *[event("content_block_delta", index=0, delta=text) for _ in range(CHUNKS)],
            event("content_block_stop", index=0),
            event(
                "message_delta",
                delta={"stop_reason": "end_turn", "stop_sequence": None},
                usage={"output_tokens": CHUNKS},
            ),
            event("message_stop"),
        ]
    )


_STREAMS = {"chat": _chat_stream(), "messages": _messages_stream()}


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    number = 0
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
            body = await reader.readexactly(length)
            wire = "messages" if b"/messages" in head.split(b"\r\n")[0] else "chat"
            number += 1
            if b'"stream":true' in body.replace(b'": ', b'":'):
                data, kind = _STREAMS[wire], b"text/event-stream"
            else:
                made = _messages_message(number) if wire == "messages" else _chat_message(number)
                data, kind = json.dumps(made).encode(), b"application/json"
            writer.write(
                b"HTTP/1.1 200 OK\r\ncontent-type: %s\r\ncontent-length: %d\r\n\r\n" % (kind, len(data))
                + data
            )
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def main() -> None:
    """Serve until the parent goes; the port is printed first."""
    server = await asyncio.start_server(_serve, "127.0.0.1", 0, limit=1 << 24)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
