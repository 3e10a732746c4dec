"""Shared code to read the answer of any provider: lenient JSON, stop reasons, usage, ids of tool calls.

Every wire format uses it, so that a rule found for one provider applies to all.
"""

import codecs
import functools
import json
import math
from collections.abc import Callable, Iterable, Mapping
from types import MappingProxyType
from typing import Any

import attrs

from sunwell.core.message import Part, Text, Thinking, ToolCall
from sunwell.core.model import Completion, Delta, Stop, Usage
from sunwell.models.refusals import MODEL_SLIPS

STOPS: Mapping[str, Stop] = MappingProxyType(
    {
        "stop": "end",
        "end_turn": "end",
        "eos": "end",
        "eos_token": "end",
        "stop_sequence": "end",
        "tool_use": "tool_calls",
        "tool_calls": "tool_calls",
        "function_call": "tool_calls",
        "length": "length",
        "max_tokens": "length",
        "max_output_tokens": "length",
        "model_length": "window",
        "model_context_window_exceeded": "window",
        "content_filter": "refusal",
        "refusal": "refusal",
        "pause_turn": "pause",
    }
)
"""The stop reasons of all wire formats in lower case: gateways pass on those of other providers.

Only a reason that means ``end`` or ``tool_calls`` here ends an answer properly."""

_ERROR_WORDS = frozenset({"error", "failed"}) | MODEL_SLIPS


class NotAnAnswer(ValueError):
    """The answer cannot be read. The text continues a sentence that begins with the provider."""

    def __init__(self, sentence: str, *, arrived: bool = False) -> None:
        """*arrived*: the answer is complete but unusable, so the same request must not be sent again."""
        super().__init__(sentence)
        self.arrived = arrived


class ErrorInAnswer(Exception):
    """The provider reported an error instead of an answer.

    ``answer`` is what came with the error; its usage is billed. ``None`` if only the error came.
    """

    def __init__(self, error: Any, answer: Completion | None = None) -> None:
        super().__init__(error)
        self.error = error
        self.answer = answer


@functools.cache
def strict_json() -> tuple[Callable[[bytes | str], Any], type[Exception]]:
    """Return what reads valid JSON, and what it raises for any other: loaded when it is first needed."""
    import msgspec

    return msgspec.json.Decoder().decode, msgspec.DecodeError


def decode(data: bytes) -> Any:
    """Return the value that *data* holds, after a byte order mark if it has one. Raises :exc:`NotAnAnswer`.

    Falls back to a slower parser for invalid JSON that some servers write: raw control characters in
    strings, lone surrogates, NaN.
    """
    data = data.removeprefix(codecs.BOM_UTF8)
    strict, invalid = strict_json()
    try:
        return strict(data)
    except (invalid, UnicodeDecodeError, RecursionError):
        pass
    try:
        text = data.decode("utf-8", "replace")
        return json.loads(text, strict=False, parse_constant=lambda _: None, parse_float=_finite)
    except (ValueError, RecursionError):
        # Perhaps a proxy's page, or a truncated answer: this does not prove that a model has answered.
        raise NotAnAnswer(f"sent text that is not JSON: {_excerpt(data)}") from None


def decode_object(data: bytes) -> dict[str, Any]:
    """Return the JSON object that *data* holds. Raises :exc:`NotAnAnswer`."""
    value = decode(data)
    if not isinstance(value, dict):
        raise NotAnAnswer(f"sent JSON that is not an object: {_excerpt(data)}", arrived=True)
    return value


def whole(text: str) -> str:
    """Return *text* as valid UTF-8 text: surrogate pairs are joined, lone surrogates replaced."""
    if text.isascii():
        return text
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def words(value: Any) -> str:
    """Return *value* if it is a string, else an empty string."""
    if type(value) is str and value.isascii():  # nearly always
        return value
    return whole(value) if isinstance(value, str) else ""


def members(value: Any) -> dict[str, Any]:
    """Return *value* if it is a dict, else an empty dict."""
    return value if isinstance(value, dict) else {}


_COMPACT = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))


def as_json(value: Any) -> str:
    """Return *value* as compact JSON text."""
    return whole(_COMPACT.encode(value))


def stop_of(told: Mapping[str, Any], key: str, *, is_body: bool) -> tuple[Stop, str]:
    """Return why an answer ended, and the provider's own word for it: the value of *key* in *told*.

    A body without the key counts as a normal end (*is_body*), because some servers leave it out. A
    stream must state its end; servers send ``null`` while an answer is not finished.
    """
    if key not in told:
        return ("end" if is_body else "other"), ""
    said = told[key]
    word = words(said) if isinstance(said, str) else ("" if said is None else as_json(said))
    known = STOPS.get(word.strip().lower())
    if known is None:  # "content_filter: SAFETY": the first word may name a failure, but never success
        known = STOPS.get(_head(word))
        known = None if known in ("end", "tool_calls") else known
    return known or "other", word


def is_error_word(word: str) -> bool:
    """Whether a stop reason says that provider or model failed before the answer was complete."""
    return _head(word) in _ERROR_WORDS


def error_of(word: str) -> dict[str, str]:
    """Return the error object that a stop reason stands for; see :func:`is_error_word`."""
    return {"code": _head(word), "message": f"the finish reason is {word}"}


def _head(word: str) -> str:
    return word.partition(":")[0].strip().lower()


def finished(
    parts: Iterable[Part], stop: Stop, usage: Usage | None, answer_id: str
) -> tuple[tuple[Part, ...], Stop, Usage | None]:
    """Return an answer's parts, cleaned, with its stop and its usage as far as they fit these.

    Empty text is dropped, and each tool call has a unique id. Thinking that a server left in the text,
    between ``<think>`` and ``</think>`` at its beginning, becomes a part of its own; it is never sent back.

    Impossible usage counts as not reported: 0 input tokens, or 0 output tokens for an answer that is
    not empty.
    """
    kept: list[Part] = []
    seen: set[str] = set()
    has_begun = False
    for part in parts:
        if isinstance(part, Text):
            if not part.text:
                continue
            if not has_begun and _OPENS in part.text:
                kept += _without_thought(part, stop)
            else:
                kept.append(part)
            has_begun = True
            continue
        if isinstance(part, ToolCall):
            if not part.id or part.id in seen:
                part = attrs.evolve(part, id=_own_id(part.id, seen, answer_id))
            seen.add(part.id)
        kept.append(part)
    if seen and stop == "end":  # several gateways say "stop" after tool calls
        stop = "tool_calls"
    if usage is not None and (usage.input_tokens == 0 or (kept and usage.output_tokens == 0)):
        usage = None
    return tuple(kept), stop, usage


_OPENS, _CLOSES = "<think>", "</think>"


def _without_thought(part: Text, stop: Stop) -> list[Part]:
    """Return the first text of an answer, and before it the thinking with which it begins."""
    text = part.text.lstrip()
    thought, closes, answer = text.removeprefix(_OPENS).partition(_CLOSES)
    # Cut off at its length limit, the thinking has no end; any other text without one is an answer.
    if not text.startswith(_OPENS) or not (closes or stop == "length"):
        return [part]
    rest = answer.lstrip()
    return [Thinking(thought.strip(), "", "text"), *([attrs.evolve(part, text=rest)] if rest else ())]


@attrs.define(eq=False)
class ThoughtSplitter:
    """Moves ``<think>…</think>`` at the beginning of a streamed answer from its text to its thinking."""

    _held: str = attrs.field(default="", init=False)
    """Text that may be a part of a mark."""
    _mark: str = attrs.field(default=_OPENS, init=False)
    """The mark that may come next; empty once the answer itself has begun."""

    @property
    def is_over(self) -> bool:
        """Whether the answer itself has begun: nothing is split any more."""
        return not self._mark

    def split(self, delta: Delta) -> Delta:
        """Return what is known to be text or thinking by the end of *delta*."""
        if not delta.text or not self._mark:
            return delta
        self._held += delta.text
        thought = ""
        if self._mark == _OPENS:
            begun = self._held.lstrip()
            if begun != _OPENS and _OPENS.startswith(begun):  # perhaps the beginning of the mark
                return attrs.evolve(delta, text="")
            if not begun.startswith(_OPENS):
                return self._rest(delta)
            self._held, self._mark = begun.removeprefix(_OPENS), _CLOSES
        thought, closes, self._held = self._held.partition(_CLOSES)
        if closes:
            return self._rest(attrs.evolve(delta, thinking=delta.thinking + thought))
        kept = next((n for n in range(len(_CLOSES) - 1, 0, -1) if thought.endswith(_CLOSES[:n])), 0)
        thought, self._held = thought[: len(thought) - kept], thought[len(thought) - kept :]
        return attrs.evolve(delta, text="", thinking=delta.thinking + thought)

    def end(self) -> Delta:
        """Return what was held back."""
        is_thought = self._mark == _CLOSES
        rest = self._rest(Delta())
        return Delta(thinking=rest.text) if is_thought else rest

    def _rest(self, delta: Delta) -> Delta:
        rest, self._held, self._mark = self._held, "", ""
        return attrs.evolve(delta, text=rest.lstrip() if delta.thinking else rest)


def thinking(text: str, raw: str, origin: str) -> Thinking:
    """Return a reasoning block; *raw* can be sent back to *origin*."""
    return Thinking(whole(text), whole(raw), origin)


def _finite(digits: str) -> float | None:
    """Return the number; ``None`` if it is infinite, which JSON cannot express."""
    value = float(digits)
    return value if math.isfinite(value) else None


def _own_id(given: str, seen: set[str], answer_id: str) -> str:
    """Return an id for a call that has none, or that of another one."""
    stem, number = given or f"call_{answer_id}", len(seen) + 1
    while f"{stem}_{number}" in seen:
        number += 1
    return f"{stem}_{number}"


def _excerpt(data: bytes) -> str:
    return repr(data[:120].decode("utf-8", "replace")) if data else "nothing at all"
