"""Answers of Chat Completions, whole or as a stream of chunks, read into completions."""

from collections.abc import Mapping
from typing import Any

import attrs

from sunwell.core.message import Part, Text, ToolCall
from sunwell.core.model import Completion, Delta
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
from sunwell.models.chat_encoding import ORIGIN

_REASONING = ("reasoning_content", "reasoning")


def read_answer(data: bytes, asked: str) -> Completion:
    """Return the completion in a whole answer.

    Raises :exc:`~sunwell.models.answers.NotAnAnswer` and
    :exc:`~sunwell.models.answers.ErrorInAnswer`.
    """
    answer = decode_object(data)
    choices, usage = answer.get("choices"), answer.get("usage")
    if not choices and answer.get("error"):
        if read_usage(usage) is None and stated_cost_usd(usage) is None:
            raise ErrorInAnswer(answer["error"])
        choices = [{}]  # it is billed, so a model has worked
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        raise NotAnAnswer("sent an answer without choices", arrived=True)
    choice = choices[0]
    message = choice.get("message")
    error = choice.get("error") or answer.get("error") or members(message).get("error")
    if not isinstance(message, dict) and not error:
        raise NotAnAnswer("sent an answer without a message", arrived=True)
    message = members(message)
    found = _Found(words(message.get("refusal")), _text(message.get("content")))
    for field in _REASONING:
        if text := words(message.get(field)):
            found.reasoning, found.reasoning_field = text, field
            break
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else []:
        function = members(members(call).get("function"))
        given = function.get("arguments")
        arguments = whole(given) if isinstance(given, str) else as_json({} if given is None else given)
        found.calls.append(ToolCall(words(members(call).get("id")), words(function.get("name")), arguments))
    return found.completion(answer, choice, usage, asked, error=error, is_body=True)


@attrs.define(eq=False)
class _Found:
    """What a message consists of, before it is put in order."""

    refusal: str = ""
    text: str = ""
    reasoning: str = ""
    reasoning_field: str = _REASONING[0]
    calls: list[ToolCall] = attrs.field(factory=list)

    def completion(
        self,
        answer: Mapping[str, Any],
        choice: Mapping[str, Any],
        usage: Any,
        asked: str,
        *,
        error: Any,
        is_body: bool,
    ) -> Completion:
        """Return the completion. Raises :exc:`ErrorInAnswer` for *error*, and for a word that means one."""
        parts: list[Part] = []
        if self.reasoning:
            raw = as_json({self.reasoning_field: self.reasoning})
            parts.append(thinking(self.reasoning, raw, ORIGIN))
        parts += [Text(whole(self.text)), Text(whole(self.refusal)), *self.calls]
        stop, said = stop_of(choice, "finish_reason", is_body=is_body)
        if self.refusal:
            stop = "refusal"
        found = Completion(
            (),
            stop,
            read_usage(usage),
            words(answer.get("model")) or asked,
            said,
            words(answer.get("id")),
            stated_cost_usd=stated_cost_usd(usage),
        )
        completion = finished(parts, stop, found)
        if error or is_error_word(said):
            raise ErrorInAnswer(error or {"message": f"finish reason {said}"}, completion)
        return completion


def _text(content: Any) -> str:
    if isinstance(content, list):
        return "".join(words(members(part).get("text")) for part in content)
    return words(content)


def read_usage(usage: Any) -> Usage | None:
    """Return the usage; ``None`` where input or output is not told."""
    told = members(usage)
    inward, outward = (
        members(told.get("prompt_tokens_details")),
        members(told.get("completion_tokens_details")),
    )
    return usage_of(
        count(told.get("prompt_tokens")),
        count(told.get("completion_tokens")),
        total_tokens=count(told.get("total_tokens")),
        cache_read_tokens=count(inward.get("cached_tokens")),
        cache_write_tokens=_largest(
            inward.get("cache_write_tokens"),
            inward.get("cache_creation_tokens"),  # LiteLLM, for models of Anthropic
            told.get("cache_creation_input_tokens"),
        ),
        reasoning_tokens=_largest(outward.get("reasoning_tokens"), told.get("reasoning_tokens")),
    )


def _largest(*values: Any) -> int | None:
    return max(filter(None, map(count, values)), default=None)


@attrs.define(eq=False)
class _CallPieces:
    """A tool call while it arrives."""

    id: str = ""
    name: str = ""
    arguments: list[str] = attrs.field(factory=list)


@attrs.define(eq=False)
class ChunkReader:
    """Builds a completion from the chunks of a stream."""

    asked: str
    done: bool = attrs.field(default=False, init=False)
    """Whether ``[DONE]`` has come."""
    _head: dict[str, Any] = attrs.field(factory=dict, init=False)
    _usage: Any = attrs.field(default=None, init=False)
    _finish: dict[str, Any] = attrs.field(factory=dict, init=False)
    _error: Any = attrs.field(default=None, init=False)
    _text: list[str] = attrs.field(factory=list, init=False)
    _refusal: list[str] = attrs.field(factory=list, init=False)
    _reasoning: list[str] = attrs.field(factory=list, init=False)
    _reasoning_field: str = attrs.field(default=_REASONING[0], init=False)
    _calls: list[_CallPieces] = attrs.field(factory=list, init=False)
    _by_index: dict[int, _CallPieces] = attrs.field(factory=dict, init=False)

    def take(self, data: bytes) -> Delta | None:
        """Take the data of one event; return what of it is worth showing."""
        if data.strip() == b"[DONE]":
            self.done = True
            return None
        chunk = decode(data)
        if not isinstance(chunk, dict):
            return None
        if not self._head:
            self._head = {key: chunk[key] for key in ("id", "model") if chunk.get(key)}
        if chunk.get("usage") is not None:
            self._usage = chunk["usage"]
        choices = chunk.get("choices")
        choice = members(choices[0]) if isinstance(choices, list) and choices else {}
        finish = choice.get("finish_reason")
        if finish is not None and finish != "":
            self._finish = {"finish_reason": finish}
        delta = choice.get("delta")
        # The usage may follow an error, so a stream that has begun is read to its end.
        error = choice.get("error") or members(delta).get("error") or chunk.get("error")
        if error and not (choice or self._usage is not None or self._has_begun):
            raise ErrorInAnswer(error)
        self._error = self._error or error
        return self._grow(delta) if isinstance(delta, dict) else None

    def completion(self) -> Completion:
        """Return the whole answer. Raises :exc:`NotAnAnswer` before the terminal event has come."""
        if not self.done and not self._error:
            raise NotAnAnswer("ended the stream before its end, without [DONE]")
        found = _Found("".join(self._refusal), "".join(self._text), "".join(self._reasoning))
        found.reasoning_field = self._reasoning_field
        found.calls = [
            ToolCall(call.id, call.name, whole("".join(call.arguments)) or "{}") for call in self._calls
        ]
        return found.completion(
            self._head, self._finish, self._usage, self.asked, error=self._error, is_body=False
        )

    @property
    def _has_begun(self) -> bool:
        return bool(self._text or self._refusal or self._reasoning or self._calls or self._finish)

    def _grow(self, delta: Mapping[str, Any]) -> Delta | None:
        shown = thought = name = ""
        content = delta.get("content")
        if content:
            shown = content if isinstance(content, str) else _text(content)
            self._text.append(shown)
        refusal = delta.get("refusal")
        if isinstance(refusal, str) and refusal:
            self._refusal.append(refusal)
            shown += refusal
        for field in _REASONING:
            piece = delta.get(field)
            if isinstance(piece, str) and piece:
                self._reasoning.append(piece)
                self._reasoning_field = field
                thought = piece
                break
        calls = delta.get("tool_calls")
        if isinstance(calls, list):
            name = "".join([self._grow_call(members(call)) for call in calls])
        return Delta(shown, thought, name) if shown or thought or name else None

    def _grow_call(self, piece: Mapping[str, Any]) -> str:
        """Add to the call that *piece* belongs to; return the name of a call that begins."""
        function = members(piece.get("function"))
        call_id, name = words(piece.get("id")), words(function.get("name"))
        call = self._call_of(piece.get("index"), call_id, name)
        begins = not call.name
        call.id, call.name = call.id or call_id, call.name or name
        arguments = function.get("arguments")
        if arguments is not None:
            call.arguments.append(arguments if isinstance(arguments, str) else as_json(arguments))
        return call.name if begins else ""

    def _call_of(self, index: Any, call_id: str, name: str) -> _CallPieces:
        """Find the call by index, or by id and name where the server leaves the index out or repeats it."""
        indexed = isinstance(index, int)
        call = self._by_index.get(index) if indexed else (self._calls[-1] if self._calls else None)
        if call is not None:
            other_id = call_id and call.id and call_id != call.id
            other_name = not indexed and not call_id and name and name != call.name
            if not (other_id and (name or not indexed)) and not other_name:
                return call
        call = _CallPieces()
        self._calls.append(call)
        if indexed:
            self._by_index[index] = call
        return call
