"""Shared by all wire formats: a parsed request, an answer, the chunks of a stream, a rejection."""

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
    """The invalid field, if the format reports it."""
    code: str | None = None
    retry_after_seconds: float | None = None
    limit_headers: Mapping[str, str] | None = None
    """The rate limit in the headers; ``None``: the usual one."""

    def __str__(self) -> str:
        return self.message


@attrs.frozen
class Inquiry:
    """A parsed and valid request."""

    asked: Asked
    prompt: Prompt
    stream: bool = False
    include_usage: bool = True
    """Whether a stream reports its usage."""
    thinking: bool = True
    """Whether thinking blocks may be in the answer."""


@attrs.frozen
class WireAnswer:
    """Everything that the body of an answer contains."""

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
    """One event of a stream. ``call-end`` is the last event of a tool call, ``terminal`` ends the stream."""

    data: bytes
    place: ChunkPlace = "content"


@attrs.frozen
class WireFormat:
    """The format of requests and answers of one provider."""

    name: str
    read: Callable[[Mapping[str, Any], Mapping[str, str]], Inquiry]
    """Converts body and headers to a parsed request; raises :exc:`Refusal`."""
    plain: Callable[[WireAnswer], dict[str, Any]]
    stream: Callable[[WireAnswer], list[Chunk]]
    refuse: Callable[[Refusal, str], dict[str, Any]]
    """Converts a rejection and the request's id to an error body."""
    read_count: Callable[[Mapping[str, Any], Mapping[str, str]], Inquiry] | None = None
    """Like ``read``, for a request that only counts its input; ``None``: the format has none."""
    counted: Mapping[str, Any] = {}
    """What the answer to such a request says besides the number."""
    keep_alive: bytes = b": keep-alive\n\n"
    """What a stream sends while the model has nothing to say."""


def encode(value: Any) -> bytes:
    """Return *value* as compact JSON."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")


def pieces_of(text: str) -> list[str]:
    """Return *text* in the pieces that a stream sends; an empty text is one piece."""
    return [text[i : i + CHUNK_CHARACTERS] for i in range(0, len(text), CHUNK_CHARACTERS)] or [""]


def cut_stream(chunks: Sequence[Chunk], cut: Cut | None) -> tuple[Sequence[Chunk], bool]:
    """Return the part of *chunks* that is sent, and whether the connection is dropped after it."""
    if cut in ("dropped", "body"):
        return chunks[: max(1, len(chunks) // 2)], True
    if cut == "after-tool":
        ends = [i for i, chunk in enumerate(chunks) if chunk.place == "call-end"]
        if ends:
            return chunks[: ends[0] + 1], False
    if cut in ("no-end", "after-tool"):
        return [chunk for chunk in chunks if chunk.place != "terminal"], False
    return chunks, False
