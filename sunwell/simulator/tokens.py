"""The simulator's own tokenizer: the same count every time, and always below the bytes of the request.

A text costs a quarter of its UTF-8 bytes, rounded up; on top come four tokens for a message, two
for a block in it and two for a tool. The JSON around each of these is longer than that, so the
bytes of a request's body bound its tokens; only the fault ``hidden_input_tokens`` goes beyond.
"""

from collections.abc import Iterable

from sunwell.core.message import Part, Text, Thinking, ToolCall, ToolResult

BYTES_PER_TOKEN = 4
MESSAGE_TOKENS = 4
BLOCK_TOKENS = 2
TOOL_TOKENS = 2


def text_tokens(*texts: str) -> int:
    """Return the tokens of *texts* as one piece, without any fixed count."""
    size = 0
    for text in texts:
        size += len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
    return -(-size // BYTES_PER_TOKEN)


def part_tokens(part: Part) -> int:
    """Return the tokens of one part of a message, its fixed count included."""
    match part:
        case Text(text):
            return BLOCK_TOKENS + text_tokens(text)
        case Thinking(text):
            return BLOCK_TOKENS + text_tokens(text)
        case ToolCall(_, name, arguments):
            return BLOCK_TOKENS + text_tokens(name, arguments)
        case ToolResult(_, content):
            return BLOCK_TOKENS + text_tokens(content)


def answer_tokens(parts: Iterable[Part]) -> int:
    """Return the tokens of an answer made of *parts*."""
    return sum(part_tokens(part) for part in parts)
