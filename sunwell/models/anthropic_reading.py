"""Answers of Anthropic's Messages API, whole or as a stream of events, read into completions."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.message import Part, Text, ToolCall
from sunwell.core.model import Completion, Consulted, Delta
from sunwell.core.usage import Usage
from sunwell.models.answers import (
    ErrorInAnswer,
    NotAnAnswer,
    as_json,
    count,
    decode,
    decode_object,
    finished,
    is_error_word,
    members,
    stated_cost_usd,
    stop_of,
    thinking,
    usage_of,
    whole,
    words,
)
from sunwell.models.anthropic_encoding import ORIGIN

_GROWING = {"text_delta": "text", "thinking_delta": "thinking", "signature_delta": "signature"}


def read_answer(data: bytes, asked: str) -> Completion:
    """Return the completion in a whole answer.

    Raises :exc:`~sunwell.models.answers.NotAnAnswer` and
    :exc:`~sunwell.models.answers.ErrorInAnswer`.
    """
    answer = decode_object(data)
    content = answer.get("content")
    if answer.get("type") == "error" or (content is None and "error" in answer):
        raise ErrorInAnswer(answer.get("error"))
    if isinstance(content, str):
        content = [{"type": "text", "text": content}]
    if not isinstance(content, list):
        raise NotAnAnswer("sent an answer without content", arrived=True)
    blocks = [members(block) for block in content]
    plain = all(block.get("type") in ("text", "tool_use") for block in blocks)
    raws = [""] * len(blocks) if plain else _raw_blocks(data, blocks)
    parts = [_part(block, raw) for block, raw in zip(blocks, raws, strict=True)]
    return _completion(answer, parts, members(answer.get("usage")), asked, is_body=True)


def _raw_blocks(data: bytes, blocks: list[dict[str, Any]]) -> list[str]:
    """The JSON of each block as the provider wrote it, to be sent back byte for byte."""
    import msgspec

    try:
        fields = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
        raws = msgspec.json.decode(fields["content"], type=list[msgspec.Raw])
        return [bytes(raw).decode() for raw in raws]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return [as_json(block) for block in blocks]


def _part(block: Mapping[str, Any], raw: str) -> Part:
    kind = block.get("type")
    if kind == "text":
        return Text(words(block.get("text")))
    if kind == "tool_use":
        given = block.get("input")
        arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
        return ToolCall(words(block.get("id")), words(block.get("name")), arguments)
    # Thinking, and any block of a kind that is not known here: kept, and sent back as it came.
    return thinking(words(block.get("thinking")), raw, ORIGIN)


def _completion(
    answer: Mapping[str, Any], parts: list[Part], usage: Mapping[str, Any], asked: str, *, is_body: bool
) -> Completion:
    stop, said = stop_of(answer, "stop_reason", is_body=is_body)
    model, answer_id = words(answer.get("model")) or asked, words(answer.get("id"))
    consulted = _consulted(usage.get("iterations"), model)
    found = Completion(
        (),
        stop,
        None if consulted is None else read_usage(usage),  # whoever took part unseen was billed
        model,
        said,
        answer_id,
        consulted or (),
        is_batch=usage.get("service_tier") == "batch",
        stated_cost_usd=stated_cost_usd(usage),
    )
    completion = finished(parts, stop, found)
    error = answer.get("error")
    if error or is_error_word(said):
        raise ErrorInAnswer(error or {"message": f"stop reason {said}"}, completion)
    return completion


def _consulted(iterations: Any, answered: str) -> tuple[Consulted, ...] | None:
    """Return who took part besides the model that answered; ``None`` where what it used is not told.

    The tokens of an advisor stand in the list of iterations alone; those of messages are counted in the
    usage itself.
    """
    found = []
    for one in iterations if isinstance(iterations, list) else ():
        part = members(one)
        if part.get("type") in ("message", None):
            continue
        usage = read_usage(part)
        if usage is None:
            return None
        found.append(Consulted(words(part.get("model")) or answered, usage))
    return tuple(found)


def read_usage(usage: Mapping[str, Any]) -> Usage | None:
    """Return the usage; ``None`` where input or output is not told."""
    uncached, output = count(usage.get("input_tokens")), count(usage.get("output_tokens"))
    if uncached is None:
        return None
    by_life = members(usage.get("cache_creation"))
    hour = count(by_life.get("ephemeral_1h_input_tokens")) or 0
    short = count(by_life.get("ephemeral_5m_input_tokens")) or 0
    written = max(count(usage.get("cache_creation_input_tokens")) or 0, short + hour)
    read = count(usage.get("cache_read_input_tokens")) or 0
    details = members(usage.get("output_tokens_details"))
    return usage_of(
        uncached + written + read,
        output,
        total_tokens=count(usage.get("total_tokens")),
        cache_read_tokens=read,
        cache_write_tokens=written - hour,
        cache_write_1h_tokens=hour,
        reasoning_tokens=count(details.get("thinking_tokens")),
    )


@attrs.define(eq=False)
class _Block:
    """A content block while it arrives: what it began with, and the pieces of fields that grow."""

    start: dict[str, Any]
    pieces: dict[str, list[str]] = attrs.field(factory=dict)

    def add(self, field: str, piece: str) -> None:
        self.pieces.setdefault(field, []).append(piece)

    def part(self) -> Part:
        block = dict(self.start)
        for field, pieces in self.pieces.items():
            begun = block.get(field)
            block[field] = (begun if isinstance(begun, str) else "") + "".join(pieces)
        return _part(block, "" if block.get("type") in ("text", "tool_use") else as_json(block))


@attrs.define(eq=False)
class MessageReader:
    """Builds a completion from the events of a stream."""

    asked: str
    done: bool = attrs.field(default=False, init=False)
    """Whether the terminal event, ``message_stop``, has come."""
    _message: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: dict[str, Any] = attrs.field(factory=dict, init=False)
    _blocks: dict[int, _Block] = attrs.field(factory=dict, init=False)
    _last: int = attrs.field(default=-1, init=False)

    def take(self, data: bytes) -> Delta | None:
        """Take the data of one event; return what of it is worth showing."""
        event = decode(data)
        if not isinstance(event, dict):
            return None
        match event.get("type"):
            case "content_block_delta":
                return self._grow(event)
            case "content_block_start":
                return self._begin(event)
            case "message_start":
                self._message.update(members(event.get("message")))
                self._learn(self._message.get("usage"))
            case "message_delta":
                self._message.update(
                    {key: value for key, value in members(event.get("delta")).items() if value is not None}
                )
                self._learn(event.get("usage"))
            case "message_stop":
                self.done = True
            case "error":
                self._fail(event.get("error"))
            case None if "error" in event:
                self._fail(event["error"])
        return None

    def _fail(self, error: Any) -> None:
        """Raise *error*; if the answer had ended by then, with the usage that is billed."""
        if self._message.get("stop_reason") is None:
            raise ErrorInAnswer(error)
        self._message["error"] = error or {"message": "an error without a message"}
        self._completion()

    def completion(self) -> Completion:
        """Return the whole answer. Raises :exc:`NotAnAnswer` before the terminal event has come."""
        if not self.done or not self._message:
            raise NotAnAnswer("ended the stream before its end, without message_stop")
        return self._completion()

    def _completion(self) -> Completion:
        parts = [self._blocks[index].part() for index in sorted(self._blocks)]
        return _completion(self._message, parts, self._usage, self.asked, is_body=False)

    def _learn(self, usage: Any) -> None:
        self._usage.update({key: value for key, value in members(usage).items() if value is not None})

    def _begin(self, event: Mapping[str, Any]) -> Delta | None:
        block = members(event.get("content_block"))
        index = event.get("index")
        self._last = index if isinstance(index, int) else self._last + 1
        self._blocks[self._last] = _Block(block)
        if block.get("type") == "tool_use":
            return Delta(tool_name=words(block.get("name")))
        text = words(block.get("text"))
        return Delta(text=text) if text else None

    def _grow(self, event: Mapping[str, Any]) -> Delta | None:
        delta = members(event.get("delta"))
        kind = delta.get("type")
        index = event.get("index")
        block = self._blocks.get(index) if isinstance(index, int) else None
        if block is None:  # no index, or one that never began: some gateways leave either out
            block = self._blocks.setdefault(self._last, _Block({"type": "text"}))
        if kind == "input_json_delta":
            piece = delta.get("partial_json")
            if isinstance(piece, str) and piece:
                block.add("input", piece)
            return None
        field = _GROWING.get(kind) if isinstance(kind, str) else None
        piece = delta.get(field) if field else None
        if field is None or not isinstance(piece, str):
            return None
        block.add(field, piece)
        if field == "text":
            return Delta(text=piece)
        return Delta(thinking=piece) if field == "thinking" else None
