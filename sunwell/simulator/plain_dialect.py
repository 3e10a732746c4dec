"""A plain compatible server: Chat Completions without schemas, strict tools, effort or usage in streams."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.simulator.chat_answer import CHAT
from sunwell.simulator.chat_checks import refuse_if
from sunwell.simulator.chat_format import read_chat
from sunwell.simulator.wire import Inquiry

_UNKNOWN = (
    "max_completion_tokens", "reasoning_effort", "prompt_cache_key", "prompt_cache_options", "stream_options",
    "parallel_tool_calls", "service_tier", "store",
)  # fmt: skip


def read_plain(body: Mapping[str, Any], headers: Mapping[str, str]) -> Inquiry:
    """Read a request as such a server does, or raise :exc:`~sunwell.simulator.wire.Refusal`."""
    for name in _UNKNOWN:
        refuse_if(name in body, f"unknown field: '{name}'", name)
    shape = body.get("response_format")
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    wanted = "response_format: only 'text' is supported by this server"
    refuse_if(shape is not None and kind != "text", wanted, "response_format")
    for tool in body.get("tools") or ():
        function = tool.get("function") if isinstance(tool, Mapping) else None
        strict = isinstance(function, Mapping) and "strict" in function
        refuse_if(strict, "tools[].function: unknown field 'strict'", "tools")
    for message in body.get("messages") or ():
        content = message.get("content") if isinstance(message, Mapping) else None
        refuse_if(isinstance(content, list), "messages[].content must be a string", "messages")
    return attrs.evolve(read_chat(body, headers), include_usage=False)


PLAIN = attrs.evolve(CHAT, read=read_plain)
"""Chat Completions as a plain compatible server speaks it."""
