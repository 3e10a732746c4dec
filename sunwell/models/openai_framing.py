"""What OpenAI's models are sent for a request: the tokens around messages, tools and schemas.

The figures are derived from recorded answers, see ``benchmarks/tokenizer.py``. What those do not show is not
bounded: an unknown model, field, kind of item or keyword of a schema gives no figure at all.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from sunwell.models.catalog import Api, undated
from sunwell.models.vocabulary import VocabularyName, count_text

FRAMING_DATE = "2026-11-29"
"""ISO day on which the table of this module was last derived from recorded answers."""


@attrs.frozen
class Framing:
    """Tokens that the models of one family are sent around the texts of a request.

    A figure that is ``None`` is not known: what needs it is not bounded.
    """

    vocabulary: VocabularyName = "o200k_base"
    priming: int = 3
    """Once for each request: the beginning of the answer."""
    message: int = 4
    answer: int = 0
    """More for a text of the assistant: the channel that it is on."""
    unanswered: int = 0
    """More for a message of the user that directly follows a tool's result."""
    tools_chat: int | None = None
    tools_responses: int | None = None
    """Once if there are tools: headings, and the brackets around all of them."""
    own_message: int = 0
    """More for tools or a schema if a chat has no system message that they could be added to."""
    call_chat: int | None = None
    call_responses: int | None = None
    """For each tool call and its result, beside the name, which is written twice."""
    schema_chat: int | None = None
    schema_responses: int | None = None
    """For the schema of the answer, beside its name and text."""
    is_responses_known: bool = True
    are_other_calls_known: bool = True
    """Whether a call of a tool that is not offered in the request costs as much as any other."""

    def tools(self, api: Api) -> int | None:
        return self.tools_chat if api == "chat" else self.tools_responses

    def call(self, api: Api) -> int | None:
        return self.call_chat if api == "chat" else self.call_responses

    def schema(self, api: Api) -> int | None:
        return self.schema_chat if api == "chat" else self.schema_responses


_PLAIN = Framing(
    tools_chat=12,
    tools_responses=10,
    own_message=4,
    call_chat=13,
    call_responses=11,
    schema_chat=7,
    schema_responses=7,
)
_CHANNELS = Framing(
    priming=2,
    answer=2,
    unanswered=4,
    tools_chat=97,
    tools_responses=15,
    call_chat=19,
    call_responses=19,
    schema_responses=7,
    are_other_calls_known=False,
)
_CHANNELS_WITHOUT_TOOLS = Framing(priming=2, answer=2)
_O3_MINI = Framing(priming=2)
_DOCUMENTED = Framing("cl100k_base", is_responses_known=False)
"""As OpenAI itself describes it for chats without tools."""

FRAMINGS: Mapping[str, Framing] = {
    "gpt-3.5-turbo": _DOCUMENTED,
    "gpt-4": _DOCUMENTED,
    "gpt-4-turbo": _DOCUMENTED,
    "gpt-4o": _PLAIN,
    "gpt-4o-mini": _PLAIN,
    "gpt-4.1": _PLAIN,
    "gpt-4.1-mini": _PLAIN,
    "gpt-5": _CHANNELS,
    "gpt-5-mini": _CHANNELS,
    "gpt-5-pro": _CHANNELS_WITHOUT_TOOLS,
    "gpt-5.2": _CHANNELS,
    "gpt-5.4": _CHANNELS,
    "gpt-5.4-mini": _CHANNELS,
    "gpt-5.5": _CHANNELS,
    "gpt-5.6-sol": _CHANNELS_WITHOUT_TOOLS,
    "o3": _CHANNELS_WITHOUT_TOOLS,
    "o3-mini": _O3_MINI,
}
"""By a model's id without a date: the models whose recorded answers show it."""


def framing_of(model_id: str) -> Framing | None:
    """Return the framing of *model_id*; a date at its end is ignored. ``None``: it is not known."""
    return FRAMINGS.get(undated(model_id))


class _Unknown(Exception):
    """A part of a request whose tokens are not known."""


@attrs.frozen
class Counted:
    """The tokens of the first messages of a conversation, and what decides about those that follow."""

    tokens: int = 0
    last: str = ""
    """What the last message is: ``text``, ``call`` or ``result``; empty at the beginning."""
    called: frozenset[str] = frozenset()
    """Names of all tools that were called."""
    waiting: str | None = None
    """The id of a call without a result."""


BEGINNING = Counted()


@attrs.frozen
class Head:
    """The tokens of everything but the conversation, and the tools that are offered."""

    tokens: int
    offered: frozenset[str]

    def total(self, framing: Framing, counted: Counted | None) -> int | None:
        """Return the tokens of the whole request; ``None`` if its conversation is not known."""
        if counted is None or counted.waiting is not None:
            return None
        if not framing.are_other_calls_known and not counted.called <= self.offered:
            return None
        return self.tokens + counted.tokens


def body_tokens(api: Api, body: Mapping[str, Any]) -> int | None:
    """Return the input tokens that OpenAI bills for *body*, at most; ``None`` if they are not known."""
    framing = framing_of(str(body.get("model")))
    items = body.get("messages" if api == "chat" else "input")
    if isinstance(items, str):
        items = [{"role": "user", "content": items}]
    if framing is None or not isinstance(items, list):
        return None
    counted: Counted | None = BEGINNING
    for item in items:
        counted = step_over(framing, api, counted, item)
    head = head_of(framing, api, body)
    return None if head is None else head.total(framing, counted)


def head_of(framing: Framing, api: Api, body: Mapping[str, Any]) -> Head | None:
    """Return the tokens of *body* without its messages; ``None`` if they are not known."""
    try:
        return _Head(framing, api, body).counted()
    except (_Unknown, RecursionError):  # a schema may be nested as deeply as its author likes
        return None


def step_over(framing: Framing, api: Api, before: Counted | None, item: Mapping[str, Any]) -> Counted | None:
    """Return *before* with one more message, as it is sent; ``None`` if its tokens are not known."""
    if before is None:
        return None
    try:
        return _Step(framing, api, before).counted(item)
    except _Unknown:
        return None


_WITHOUT_TOKENS = {
    "model", "messages", "input", "stream", "stream_options", "store", "include", "metadata", "user",
    "safety_identifier", "service_tier", "temperature", "top_p", "seed", "stop", "n", "presence_penalty",
    "frequency_penalty", "logit_bias", "logprobs", "top_logprobs", "max_tokens", "max_completion_tokens",
    "max_output_tokens", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "reasoning_effort", "reasoning",
}  # fmt: skip
_COUNTED_FIELDS = {"instructions", "tools", "tool_choice", "response_format", "text"}
_CHOICES = ("auto", "none", "required")


@attrs.frozen
class _Head:
    framing: Framing
    api: Api
    body: Mapping[str, Any]

    def counted(self) -> Head:
        if self.api == "responses" and not self.framing.is_responses_known:
            raise _Unknown
        given = {name for name, value in self.body.items() if value is not None}
        _only(given, _WITHOUT_TOKENS | _COUNTED_FIELDS)
        tokens, instructions = self.framing.priming, self.body.get("instructions")
        if instructions is not None:
            tokens += self.framing.message + self._count(_text(instructions))
        offered = self._offered()
        tokens += self._schema(bool(offered)) + (self._tools(offered) if offered else 0)
        if (offered or self._has_schema) and not self._has_system:
            tokens += self.framing.own_message if self.api == "chat" or not offered else 0
        return Head(tokens, frozenset(tool["name"] for tool in offered))

    def _count(self, text: str) -> int:
        return count_text(text, self.framing.vocabulary)

    @property
    def _has_system(self) -> bool:
        items = self.body.get("messages") or ()
        return any(item.get("role") in ("system", "developer") for item in map(_members, _list(items)))

    @property
    def _format(self) -> Mapping[str, Any] | None:
        """The schema of the answer with its name; ``None``: none is asked for, or any JSON object."""
        if self.api == "chat":
            shape = _members(self.body.get("response_format") or {})
            described = shape.get("json_schema")
        else:
            text = _members(self.body.get("text") or {})
            _only(text, {"format"})
            shape = described = _members(text.get("format") or {})
        kind = shape.get("type", "json_object")
        if kind not in ("json_object", "json_schema"):
            raise _Unknown
        return _members(described) if kind == "json_schema" else None

    @property
    def _has_schema(self) -> bool:
        return self._format is not None

    def _schema(self, has_tools: bool) -> int:
        described = self._format
        if described is None:
            return 0
        around = self.framing.schema(self.api)
        if around is None:
            raise _Unknown
        _only(described, {"type", "name", "description", "schema", "strict"})
        comment = _comment(described.get("description"))
        written = json.dumps(_shown(described.get("schema")), ensure_ascii=False, separators=(",", ":"))
        is_alone = not has_tools and not self._has_system and self.body.get("instructions") is None
        # Alone it needs no blank line before its heading.
        tokens = around - 1 if is_alone else around
        return tokens + sum(map(self._count, (_text(described.get("name")), comment, written)))

    def _offered(self) -> list[Mapping[str, Any]]:
        choice = self.body.get("tool_choice")
        is_word = choice is None or (isinstance(choice, str) and choice in _CHOICES)
        if not is_word and _members(choice).get("type") != "function":
            raise _Unknown
        offered = []
        for tool in _list(self.body.get("tools") or ()):
            given = _members(tool)
            if given.get("type") != "function":
                raise _Unknown
            spec = _members(given.get("function") if self.api == "chat" else given)
            _only(spec, {"type", "name", "description", "parameters", "strict"})
            _text(spec.get("name"))
            offered.append(spec)
        return offered

    def _tools(self, offered: Sequence[Mapping[str, Any]]) -> int:
        around = self.framing.tools(self.api)
        if around is None:
            raise _Unknown
        written = Typescript()
        return around + self._count("".join(written.function(tool) for tool in offered)) + written.doubtful


@attrs.frozen
class _Step:
    framing: Framing
    api: Api
    before: Counted

    def counted(self, item: Mapping[str, Any]) -> Counted:
        kind = _members(item).get("type", "message")
        if kind == "function_call" and self.api == "responses":
            _only(item, {"type", "id", "status", "call_id", "name", "arguments"})
            return self._call(self.before, item.get("call_id"), item)
        if kind == "function_call_output" and self.api == "responses":
            _only(item, {"type", "id", "status", "call_id", "output"})
            return self._result(item.get("call_id"), item.get("output"))
        if kind != "message":
            raise _Unknown
        if item.get("role") == "tool":
            _only(item, {"role", "tool_call_id", "content"})
            return self._result(item.get("tool_call_id"), item.get("content"))
        return self._message(item)

    def _count(self, text: str) -> int:
        return count_text(text, self.framing.vocabulary)

    def _message(self, item: Mapping[str, Any]) -> Counted:
        _only(item, {"type", "id", "status", "phase", "role", "content", "tool_calls"})
        role, content, calls = str(item.get("role")), item.get("content"), item.get("tool_calls")
        if role not in ("user", "assistant", "system", "developer") or self.before.waiting is not None:
            raise _Unknown
        after = self.before
        if content is not None or not calls:
            tokens = self.framing.message + sum(map(self._count, _texts(content)))
            tokens += self.framing.answer if role == "assistant" else 0
            tokens += self.framing.unanswered if role == "user" and self.before.last == "result" else 0
            after = attrs.evolve(after, tokens=after.tokens + tokens, last="text")
        if not calls:
            return after
        if self.api != "chat" or not isinstance(calls, list) or len(calls) != 1:
            raise _Unknown  # calls in parallel are written in a way that the recorded answers do not show
        call = _members(calls[0])
        _only(call, {"type", "id", "function"})
        return self._call(after, call.get("id"), _members(call.get("function")))

    def _call(self, before: Counted, call_id: Any, function: Mapping[str, Any]) -> Counted:
        around = self.framing.call(self.api)
        if around is None or before.waiting is not None:
            raise _Unknown
        name, arguments = _text(function.get("name")), _text(function.get("arguments"))
        tokens = around + 2 * self._count(name) + self._count(arguments)
        return Counted(before.tokens + tokens, "call", before.called | {name}, _text(call_id))

    def _result(self, call_id: Any, content: Any) -> Counted:
        if self.before.waiting is None or call_id != self.before.waiting:
            raise _Unknown
        tokens = sum(map(self._count, _texts(content)))
        return attrs.evolve(self.before, tokens=self.before.tokens + tokens, last="result", waiting=None)


@attrs.define(eq=False)
class Typescript:
    """Writes tools as the declarations that OpenAI's models see."""

    doubtful: int = attrs.field(default=0, init=False)
    """Tokens that were added for what the recorded answers do not show."""

    def function(self, tool: Mapping[str, Any]) -> str:
        """Return the declaration of *tool*. Raises if its schema has a keyword that is not known."""
        schema = _members(tool.get("parameters") or {})
        _only(schema, {"type", "properties", "required", "additionalProperties", "description"})
        if schema.get("additionalProperties") not in (None, False):
            raise _Unknown
        properties = self._properties(schema)
        about = _comment(schema.get("description"))
        given = f"(_: {about and chr(10)}{about}{{\n{properties}}})" if properties else "()"
        return f"{_comment(tool.get('description'))}type {tool['name']} = {given} => any;\n\n"

    def _properties(self, schema: Mapping[str, Any]) -> str:
        required = _list(schema.get("required") or ())
        written = []
        for name, value in _members(schema.get("properties") or {}).items():
            mark = "" if name in required else "?"
            about = _comment(_members(value).get("description"))
            written.append(f"{about}{name}{mark}: {self._type(value)}")
        return ",\n".join(written)  # the last one has no comma

    def _type(self, value: Any) -> str:
        schema = _members(value)
        _only(schema, _KEYWORDS)
        if schema.get("additionalProperties") not in (None, False, True):
            raise _Unknown
        if "enum" in schema:
            return " | ".join(json.dumps(one, ensure_ascii=False) for one in _list(schema["enum"]))
        if "anyOf" in schema:
            self.doubtful += 2
            return " | ".join(self._type(one) for one in _list(schema["anyOf"]))
        kind = schema.get("type")
        if isinstance(kind, list):
            self.doubtful += 2
            return " | ".join(self._type({**schema, "type": one}) for one in kind)
        return self._simple(kind, schema)

    def _simple(self, kind: Any, schema: Mapping[str, Any]) -> str:
        match kind if isinstance(kind, str) else "":
            case "string" | "boolean" | "null":
                return str(kind)
            case "integer" | "number":
                return "number"
            case "array":
                items = schema.get("items")
                return "any[]" if items is None else f"{self._type(items)}[]"
            case "object":
                self.doubtful += 2 + len(_members(schema.get("properties") or {}))
                properties = self._properties(schema)
                return f"{{\n{properties},\n}}" if properties else "object"
        raise _Unknown


_KEYWORDS = {
    "type", "description", "enum", "anyOf", "items", "properties", "required", "additionalProperties",
}  # fmt: skip


def _shown(schema: Any) -> Any:
    """Return what is shown of the schema of an answer: what strict schemas have anyway is left out."""
    given = _members(schema)
    _only(given, _KEYWORDS | {"const"})
    shown = dict(given)
    if "items" in given:
        shown["items"] = _shown(given["items"])
    if "anyOf" in given:
        shown["anyOf"] = [_shown(one) for one in _list(given["anyOf"])]
    properties = _members(given.get("properties", {}))
    if "properties" in given:
        shown["properties"] = {name: _shown(value) for name, value in properties.items()}
    if given.get("additionalProperties") is False:
        del shown["additionalProperties"]
    required = given.get("required")
    if isinstance(required, list) and sorted(map(_text, required)) == sorted(properties):
        del shown["required"]
    return shown


def _comment(description: Any) -> str:
    """Return *description* as the comment before a declaration; empty if there is none."""
    if description is None or description == "":
        return ""
    lines = _text(description).split("\n")
    return "".join(f"// {line}\n" for line in lines)


def _texts(content: Any) -> list[str]:
    """Return the texts of a message. Raises if a part is not a text."""
    if isinstance(content, str):
        return [content]
    if not isinstance(content, list):
        raise _Unknown
    texts = []
    for one in content:
        part = _members(one)
        _only(part, {"type", "text", "annotations", "logprobs", "prompt_cache_breakpoint"})
        if part.get("type") not in ("text", "input_text", "output_text") or part.get("annotations"):
            raise _Unknown
        texts.append(_text(part.get("text")))
    return texts


def _only(given: Mapping[str, Any] | set[str], known: set[str]) -> None:
    if not known.issuperset(given):
        raise _Unknown


def _members(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Unknown
    return value


def _list(value: Any) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _Unknown
    return value


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise _Unknown
    return value
