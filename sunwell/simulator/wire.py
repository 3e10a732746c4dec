"""What both wire formats share: a request as read, an answer to write, a stream in chunks, a refusal."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

import attrs

from sunwell.simulator.faults import Cut, Fault
from sunwell.simulator.prompt_tokens import Prompt
from sunwell.simulator.said import Said
from sunwell.simulator.script import Asked
from sunwell.simulator.spoiled import Reported

CHUNK_CHARACTERS = 40


@attrs.define(eq=False)
class Refusal(Exception):
    """A request that is answered with an HTTP error."""

    status: int
    message: str
    param: str | None = None
    """The field that is to blame, where the format has a place for it."""
    code: str | None = None
    retry_after_seconds: float | None = None

    def __str__(self) -> str:
        return self.message


@attrs.frozen
class Inquiry:
    """A request, read and found valid."""

    asked: Asked
    prompt: Prompt
    stream: bool = False
    include_usage: bool = True
    """Whether a stream carries its usage."""
    thinking: bool = True
    """Whether thinking blocks may be in the answer."""


@attrs.frozen
class WireAnswer:
    """All that an answer's body is made of."""

    request_id: str
    model: str
    said: Said
    usage: Reported | None
    fault: Fault
    created: int
    include_usage: bool = True


ChunkPlace = Literal["opening", "content", "call-end", "finish", "terminal"]


@attrs.frozen
class Chunk:
    """One event of a stream. ``call-end`` is the last of a tool call, ``terminal`` ends the stream."""

    data: bytes
    place: ChunkPlace = "content"


@attrs.frozen
class WireFormat:
    """One provider's way to write requests and answers."""

    name: str
    read: Callable[[Mapping[str, Any], Mapping[str, str]], Inquiry]
    """Body and headers to an inquiry; raises :exc:`Refusal`."""
    plain: Callable[[WireAnswer], dict[str, Any]]
    stream: Callable[[WireAnswer], list[Chunk]]
    refuse: Callable[[Refusal, str], dict[str, Any]]
    """A refusal and the request's id to an error body."""


def encode(value: Any) -> bytes:
    """Return *value* as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def pieces_of(text: str) -> list[str]:
    """Return *text* in the portions in which a stream carries it; an empty text is one portion."""
    return [text[i : i + CHUNK_CHARACTERS] for i in range(0, len(text), CHUNK_CHARACTERS)] or [""]


def cut_stream(chunks: Sequence[Chunk], cut: Cut | None) -> tuple[Sequence[Chunk], bool]:
    """Return what of *chunks* goes out, and whether the connection is dropped after it."""
    if cut in ("dropped", "body"):
        return chunks[: max(1, len(chunks) // 2)], True
    if cut == "after-tool":
        ends = [i for i, chunk in enumerate(chunks) if chunk.place == "call-end"]
        if ends:
            return chunks[: ends[0] + 1], False
    if cut in ("no-end", "after-tool"):
        return [chunk for chunk in chunks if chunk.place != "terminal"], False
    return chunks, False
