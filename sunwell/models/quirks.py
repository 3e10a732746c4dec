"""Which features of Chat Completions a server supports."""

import re
from typing import Literal

import attrs

_OWN_MODEL = re.compile(r"gpt-|chatgpt-|o\d")
_VERSION = re.compile(r"gpt-(\d+)(?:\.(\d+))?")
_FIRST_WITH_BREAKPOINTS = (5, 6)


@attrs.frozen
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
    """Send reasoning back to the server unchanged."""
    effort: bool = True
    """Send ``reasoning_effort`` if the request sets one."""
    tools: bool = True
    """Whether the server supports tools; without tools the model can answer, but not work."""

    @property
    def message_format(self) -> str:
        """A name for the way messages are written with these quirks."""
        return "openai-chat+reasoning" if self.returns_reasoning else "openai-chat"


def quirks_for(provider: str, model_id: str) -> ChatQuirks:
    """Return the quirks of OpenAI's own models if *provider* is ``openai``, else the defaults."""
    if provider != "openai" or not _OWN_MODEL.match(model_id):
        return ChatQuirks()
    version = _VERSION.match(model_id)
    known = (int(version[1]), int(version[2] or 0)) if version else (0, 0)
    return ChatQuirks(
        token_limit="max_completion_tokens",
        system_parts=True,
        breakpoints=known >= _FIRST_WITH_BREAKPOINTS,
        cache_key=True,
        returns_reasoning=False,
    )
