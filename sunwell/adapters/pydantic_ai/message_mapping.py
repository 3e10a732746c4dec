"""Requests of ours as messages of pydantic-ai, and its responses as our answers."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic_ai.messages import (
    InstructionPart,
    ModelMessage,
    ModelRequest,
    ModelRequestPart,
    ModelResponse,
    ModelResponsePart,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    ToolReturnPart,
    UserPromptPart,
)
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.output import OutputObjectDefinition
from pydantic_ai.settings import ModelSettings
from pydantic_ai.tools import ToolDefinition
from pydantic_ai.usage import RequestUsage
from pydantic_core import to_json

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Completion, Request, Stop, Usage
from sunwell.errors import BadAnswer

_STOPS: dict[str | None, Stop] = {
    "stop": "end",
    "length": "length",
    "content_filter": "refusal",
    "tool_call": "tool_calls",
    "error": "other",
}
_OWN_FIELDS = ("id", "signature", "provider_name", "provider_details")
"""What a part has besides its text for the provider that made it."""


def usage_of(usage: RequestUsage) -> Usage | None:
    """Return *usage* in our terms; ``None`` if the provider reported none.

    There, writes for an hour are among all cache writes; here, they are apart.
    """
    if usage.unmeasured_requests or not (usage.input_tokens or usage.output_tokens):
        return None
    hour = max(0, usage.cache_write_1h_tokens)
    return Usage(
        max(0, usage.input_tokens),
        max(0, usage.output_tokens),
        max(0, usage.cache_read_tokens),
        max(0, usage.cache_write_tokens - hour),
        hour,
        max(0, usage.output_reasoning_tokens),
    )


def has_sound(usage: RequestUsage) -> bool:
    """Whether *usage* has audio in it, whose price is not that of its tokens."""
    return bool(
        usage.input_audio_tokens
        or usage.output_audio_tokens
        or usage.cache_audio_read_tokens
        or usage.audio_seconds
    )


def completion_of(response: ModelResponse, model: str, origin: str) -> Completion:
    """Return *response* of *model* as an answer of ours; *origin* is noted on what must go back to it.

    Raises :exc:`~sunwell.errors.BadAnswer`, which may be billed, if it is incomplete or has a part that is
    neither text nor thinking nor a call of a tool.
    """
    parts = tuple(_part_from(part, origin, place) for place, part in enumerate(response.parts))
    known = tuple(part for part in parts if part is not None)
    calls = any(isinstance(part, ToolCall) for part in known)
    stop = _STOPS.get(response.finish_reason, "tool_calls" if calls else "end")
    answer = Completion(
        known,
        "tool_calls" if calls and stop == "end" else stop,
        usage_of(response.usage),
        response.model_name or "",
        provider_stop=str((response.provider_details or {}).get("finish_reason") or ""),
        id=response.provider_response_id or "",
    )
    if response.state != "complete":
        raise BadAnswer(model, f"its answer is not whole (it is {response.state})", True, answer=answer)
    if None in parts:
        odd = next(one.part_kind for one, part in zip(response.parts, parts, strict=True) if part is None)
        raise BadAnswer(model, f"its answer has a part that no run can use ({odd})", True, answer=answer)
    return answer


def _part_from(part: ModelResponsePart, origin: str, place: int) -> Part | None:
    match part:
        case TextPart():
            extra = _extra(part)
            return Text(part.content, extra, origin if extra else "")
        case ThinkingPart():
            kept = {name: getattr(part, name) for name in _OWN_FIELDS if getattr(part, name) is not None}
            return Thinking(part.content, to_json({"content": part.content, **kept}).decode(), origin)
        case ToolCallPart():
            extra = _extra(part)
            arguments = part.args if isinstance(part.args, str) else to_json(part.args or {}).decode()
            call_id = part.tool_call_id or f"call-{place}"  # some servers give none
            return ToolCall(call_id, part.tool_name, arguments or "{}", extra, origin if extra else "")
    return None


def _extra(part: TextPart | ToolCallPart) -> str:
    if part.id is None and part.provider_details is None:
        return ""
    kept = {"id": part.id, "provider_name": part.provider_name, "provider_details": part.provider_details}
    return to_json({name: value for name, value in kept.items() if value is not None}).decode()


def messages_of(request: Request, model: Model, origin: str) -> list[ModelMessage]:
    """Return the messages of *request*; what another model than *origin* wrote for itself is left out."""
    names: dict[str, str] = {}
    made: list[ModelMessage] = []
    for message in request.messages:
        if message.role == "assistant":
            names.update((call.id, call.name) for call in message.tool_calls)
            parts = list(_response_parts(message, origin))
            if parts:
                made.append(
                    ModelResponse(
                        parts,
                        model_name=model.model_name,
                        provider_name=model.system,
                        provider_url=model.base_url,
                    )
                )
        else:
            made.append(ModelRequest(list(_request_parts(message, names))))
    return made


def _request_parts(message: Message, names: dict[str, str]) -> Iterator[ModelRequestPart]:
    for part in message.parts:
        match part:
            case Text(text):
                yield UserPromptPart(text)
            case ToolResult(call_id, content, is_error):
                outcome = "failed" if is_error else "success"
                yield ToolReturnPart(names.get(call_id, "tool"), content, call_id, outcome=outcome)  # type: ignore[arg-type]


def _response_parts(message: Message, origin: str) -> Iterator[ModelResponsePart]:
    for part in message.parts:
        match part:
            case Text(text, extra, written_by):
                yield TextPart(text, **_given_back(extra, written_by == origin))
            case Thinking(_, raw, written_by) if raw and written_by == origin:
                yield ThinkingPart(**json.loads(raw))
            case ToolCall(call_id, name, arguments, extra, written_by):
                yield ToolCallPart(name, arguments, call_id, **_given_back(extra, written_by == origin))


def _given_back(extra: str, is_own: bool) -> dict[str, Any]:
    return json.loads(extra) if extra and is_own else {}


def settings_of(request: Request, model: Model) -> ModelSettings:
    """Return the settings with which *model* is sent *request*; its client repeats nothing."""
    made: ModelSettings = {}
    if "max_retries" not in model.unsupported_settings:
        made["max_retries"] = 0
    if request.max_output_tokens is not None:
        made["max_tokens"] = request.max_output_tokens
    if request.timeout_seconds is not None and "timeout" not in model.unsupported_settings:
        made["timeout"] = request.timeout_seconds
    if request.tool_choice == "none" and request.tools:
        made["tool_choice"] = "none"
    if request.effort is not None:
        made["thinking"] = False if request.effort == "none" else request.effort
    caching = request.caching
    if (caching.prefix or caching.conversation) and model.profile.get("supports_cache", False):
        made["cache"] = {"retention": caching.prefix or "5m", "messages": caching.conversation}
    return made


def parameters_of(request: Request, model: Model) -> ModelRequestParameters:
    """Return tools, system prompt and schema of *request* for *model*.

    A model that cannot be held to a schema is told of it in the system prompt.
    """
    made = ModelRequestParameters(
        function_tools=[
            ToolDefinition(
                name=tool.name,
                parameters_json_schema=dict(tool.parameters),
                description=tool.description,
                strict=False,
            )
            for tool in request.tools
        ],
        instruction_parts=[InstructionPart(section) for section in request.system] or None,
    )
    schema = request.response_schema
    if schema is not None:
        is_held = model.profile.get("supports_json_schema_output", False)
        made.output_mode = "native" if is_held else "prompted"
        made.output_object = OutputObjectDefinition(dict(schema.schema), schema.name, strict=True)
    return made
