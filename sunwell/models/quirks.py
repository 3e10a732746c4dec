"""Which features of Chat Completions a server supports."""

from typing import Literal

import attrs


@attrs.frozen(cache_hash=True)  # looked up with each request
class ChatQuirks:
    """Which features of the format a server supports. The defaults fit a compatible server."""

    token_limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    system_parts: bool = False
    """Send the system prompt as one text part for each section; otherwise joined by blank lines."""
    breakpoints: bool = False
    """Mark the end of the system prompt with ``prompt_cache_breakpoint``."""
    cache_key: bool = False
    """Send ``prompt_cache_key``."""
    strict_tools: bool = False
    """Request arguments that follow the schema; every object in it must then be closed."""
    stream_usage: bool = True
    """Request usage in streams."""
    schema: Literal["json_schema", "json_object", "none"] = "json_schema"
    """How a JSON answer is requested."""
    returns_reasoning: bool = True
    """Send reasoning and signatures back unchanged to the model that wrote them."""
    call_ids: Literal["any", "short", "nine"] = "any"
    """Which ids of tool calls are accepted: ``short`` has at most 40 characters, ``nine`` is nine letters or
    digits."""
    marks_unsigned_calls: bool = False
    """Mark tool calls of other models as unsigned: Gemini requires a signature or this mark."""
    effort: bool = True
    """Send ``reasoning_effort`` if the request sets one."""
    tools: bool = True
    """Whether the server supports tools; without tools the model can answer, but not work."""

    def message_format(self, origin: str) -> str:
        """Return a name for the way messages are written with these quirks for the model of *origin*."""
        returned = origin if self.returns_reasoning else ""
        return f"openai-chat|{returned}|{self.call_ids}|{self.marks_unsigned_calls}"


COMPATIBLE = ChatQuirks()
"""What any compatible server counts as supporting."""

OPENAI_QUIRKS = ChatQuirks(
    token_limit="max_completion_tokens",
    system_parts=True,
    breakpoints=True,
    cache_key=True,
    returns_reasoning=False,
    call_ids="short",
)
"""What OpenAI itself supports."""
