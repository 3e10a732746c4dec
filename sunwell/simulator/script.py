"""Scripts: a simulated model is a pure function of the request."""

from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import attrs

from sunwell.core.message import Message, Part
from sunwell.core.model import Stop


@attrs.frozen
class Asked:
    """A request as a scripted model sees it, in any wire format.

    Messages of role ``tool`` contain the results in the order in which they were sent.
    """

    model: str
    system: str
    """All sections of the system prompt, joined by blank lines."""
    messages: tuple[Message, ...]
    tools: tuple[str, ...] = ()
    """Names of the offered tools."""
    schema: Mapping[str, Any] | None = None
    """The JSON schema of the answer, if one was sent."""
    max_output_tokens: int | None = None


@attrs.frozen
class Reply:
    """The answer of a scripted model."""

    parts: tuple[Part, ...]
    stop: Stop | None = None
    """``None``: ``tool_calls`` if a part is a tool call, else ``end``."""
    output_tokens: int | None = None
    """``None``: counted from the parts."""
    reasoning_tokens: int = 0


class Script(Protocol):
    """A simulated model. The same request must always get the same answer, since runs are resumed."""

    def __call__(self, asked: Asked) -> Reply:
        """Answer one request."""
        ...


@attrs.frozen
class Posed:
    """A request to a :class:`Player`: what the model sees, and the request as it was sent."""

    asked: Asked
    body: Mapping[str, Any]
    """The JSON body of the request."""
    wire: str
    """``messages``, ``chat`` or ``responses``."""
    input_tokens: int
    """Input tokens that are billed for the request if nothing is read from the cache."""


class PosedRequest(Protocol):
    """A request that a :class:`Player` has accepted and not yet answered."""

    async def reply(self) -> Reply:
        """Wait for the answer."""
        ...

    def close(self) -> None:
        """End the request; called once, also if the caller has gone away before the answer."""
        ...


@runtime_checkable
class Player(Protocol):
    """A simulated model whose answers come from outside, for example from a person."""

    def pose(self, posed: Posed) -> PosedRequest:
        """Accept one request, or raise an exception whose text is the error that the caller gets."""
        ...
