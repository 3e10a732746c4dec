"""What a simulated model is: a pure function of what it was asked."""

from collections.abc import Mapping
from typing import Any, Protocol

import attrs

from sunwell.core.message import Message, Part
from sunwell.core.model import Stop


@attrs.frozen
class Asked:
    """A request as a scripted model sees it, whatever wire format it came in.

    Messages of role ``tool`` hold the results in the order in which they were sent.
    """

    model: str
    system: str
    """All sections of the system prompt, joined by blank lines."""
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    """Names of the tools on offer."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema that the answer must obey, where one was sent."""
    max_output_tokens: int | None = None


@attrs.frozen
class Reply:
    """What a scripted model says."""

    parts: tuple[Part, ...]
    stop: Stop | None = None
    """``None``: ``tool_calls`` where a part is a tool call, else ``end``."""
    output_tokens: int | None = None
    """``None``: counted from the parts."""
    reasoning_tokens: int = 0


class Script(Protocol):
    """A simulated model. The same question must always get the same answer: runs are resumed."""

    def __call__(self, asked: Asked) -> Reply:
        """Answer one request."""
        ...
