"""How requests are written, the same in every wire format: compact JSON, and equal bytes for equal values."""

import json
from collections.abc import Callable
from typing import Any, Literal

import attrs

from sunwell.core.kept import kept_by_identity
from sunwell.core.message import History, Message
from sunwell.core.model import Caching, Effort, Request, ToolSpec

write_json = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
"""Returns a value as JSON text; raises :exc:`ValueError` for a number that JSON does not have."""
write_text = json.encoder.encode_basestring
"""What :func:`write_json` does for text, at once."""


def utf8(text: str) -> bytes:
    """Return *text* as bytes; a lone surrogate, which cannot be sent, becomes a question mark."""
    return text.encode("utf-8", "replace")


@attrs.frozen(eq=False)
class RequestFrame:
    """What stands around the messages of a request: the same for a whole conversation, so it is kept."""

    before: tuple[bytes, ...]
    """The body up to the first message, in pieces that sibling requests share."""
    after: bytes
    """The body after the last message."""
    message_format: str
    """A name for the way in which the messages are written."""
    encode: Callable[[Message], bytes]


def kept_frames(write: Callable[..., RequestFrame]) -> Callable[..., RequestFrame]:
    """Return *write*, of which the frames are kept for requests that differ in nothing but their messages.

    *write* gets a request, of which it must not look at the messages, the features of the server, and by name
    what else it needs. A schema is the caller's dict and may have changed since, so with one nothing is kept.
    """

    @kept_by_identity
    def kept(
        system: tuple[str, ...],
        tools: tuple[ToolSpec, ...],
        features: object,
        *,
        caching: Caching,
        max_output_tokens: int | None,
        effort: Effort | None,
        tool_choice: Literal["auto", "none"],
        **more: Any,
    ) -> RequestFrame:
        bare = Request(
            History(),
            system,
            tools,
            max_output_tokens=max_output_tokens,
            tool_choice=tool_choice,
            effort=effort,
            caching=caching,
        )
        return write(bare, features, **more)

    def frame(request: Request, features: object, **more: Any) -> RequestFrame:
        if request.response_schema is not None:
            return write(request, features, **more)
        return kept(
            request.system,
            request.tools,
            features,
            caching=request.caching,  # by value: some conversations make one for each request
            max_output_tokens=request.max_output_tokens,
            effort=request.effort,
            tool_choice=request.tool_choice,
            **more,
        )

    return frame
