"""What OpenAI's Chat Completions refuses."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.wire import Refusal

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_ROLES = ("system", "developer", "user", "assistant", "tool")


def refuse_if(wrong: bool, message: str, param: str | None = None, code: str | None = None) -> None:
    """Raise a :exc:`Refusal` with status 400 where *wrong*."""
    if wrong:
        raise Refusal(400, message, param, code)


def check_fields(body: Mapping[str, Any]) -> None:
    """Check everything but the messages."""
    refuse_if(not isinstance(body.get("model"), str), "you must provide a model parameter", "model")
    both = body.get("max_tokens") is not None and body.get("max_completion_tokens") is not None
    refuse_if(both, "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.")
    for name in ("max_tokens", "max_completion_tokens"):
        limit = body.get(name)
        whole = limit is None or (isinstance(limit, int) and not isinstance(limit, bool) and limit >= 1)
        refuse_if(not whole, f"Invalid '{name}': expected a whole number of at least 1.", name)
    effort = body.get("reasoning_effort")
    refuse_if(
        effort is not None and effort not in _EFFORTS, f"Invalid value: {effort!r}.", "reasoning_effort"
    )
    refuse_if(body.get("n") not in (None, 1), "The simulator gives one choice: leave 'n' out.", "n")
    stray = body.get("stream_options") is not None and body.get("stream") is not True
    refuse_if(
        stray, "The 'stream_options' parameter is only allowed when 'stream' is enabled.", "stream_options"
    )
    _check_tools(body)
    _check_response_format(body.get("response_format"))


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    refuse_if(tools is not None and not tools, "[] is too short - 'tools'", "tools")
    for i, tool in enumerate(tools or ()):
        is_function = isinstance(tool, Mapping) and tool.get("type") == "function"
        function = tool.get("function") if is_function else None
        refuse_if(
            not isinstance(function, Mapping), f"Missing required parameter: 'tools[{i}].function'.", "tools"
        )
        name = (function or {}).get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, f"Invalid 'tools[{i}].function.name': '^[a-zA-Z0-9_-]{{1,64}}$'.", "tools")
    if body.get("tool_choice") is not None and not tools:
        raise Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")


def _check_response_format(shape: Any) -> None:
    if shape is None:
        return
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    refuse_if(
        kind not in ("text", "json_object", "json_schema"),
        "Invalid 'response_format.type'.",
        "response_format",
    )
    if kind == "json_schema":
        named = shape.get("json_schema")
        fits = (
            isinstance(named, Mapping)
            and isinstance(named.get("name"), str)
            and _NAME.fullmatch(named["name"])
        )
        refuse_if(not fits, "Missing or invalid 'response_format.json_schema.name'.", "response_format")
        if named.get("strict"):
            check_schema(named.get("schema"), "openai", "response_format.json_schema.schema")


def check_messages(messages: Any) -> Sequence[Mapping[str, Any]]:
    """Return *messages*, or raise :exc:`Refusal` where their order or contents are not taken."""
    refuse_if(not isinstance(messages, list), "Missing required parameter: 'messages'.", "messages")
    refuse_if(not messages, "Invalid 'messages': empty array.", "messages")
    waiting: list[str] = []
    for i, message in enumerate(messages):
        where = f"messages[{i}]"
        role = message.get("role") if isinstance(message, Mapping) else None
        refuse_if(role not in _ROLES, f"Invalid value: {role!r} for '{where}.role'.", where)
        if role == "tool":
            call_id = message.get("tool_call_id")
            stray = "messages with role 'tool' must be a response to a preceding message with 'tool_calls'."
            refuse_if(call_id not in waiting, f"Invalid parameter: {stray}", where)
            waiting.remove(call_id)
        else:
            _all_answered(waiting, where)
            waiting = _calls_of(message, where) if role == "assistant" else []
        _check_content(message, where)
    _all_answered(waiting, "messages")
    return messages  # type: ignore[no-any-return]


def _all_answered(waiting: Sequence[str], where: str) -> None:
    text = "An assistant message with 'tool_calls' must be followed by tool messages responding to each "
    text += "'tool_call_id'. The following tool_call_ids did not have response messages: "
    refuse_if(bool(waiting), text + ", ".join(waiting), where)


def _calls_of(message: Mapping[str, Any], where: str) -> list[str]:
    calls = message.get("tool_calls")
    refuse_if(calls is not None and not calls, f"[] is too short - '{where}.tool_calls'", where)
    ids = []
    for call in calls or ():
        function = call.get("function") if isinstance(call, Mapping) else None
        if not isinstance(function, Mapping):
            raise Refusal(400, f"Missing '{where}.tool_calls[].function'.", where)
        texts = (call.get("id"), function.get("name"), function.get("arguments"))
        whole = all(isinstance(text, str) for text in texts) and texts[0]
        refuse_if(not whole, f"'{where}.tool_calls' need an id, a name and arguments, all strings.", where)
        ids.append(call["id"])
    refuse_if(len(set(ids)) != len(ids), f"Duplicate ids in '{where}.tool_calls'.", where)
    return ids


def _check_content(message: Mapping[str, Any], where: str) -> None:
    content = message.get("content")
    if content is None:
        empty = f"Invalid value for 'content': expected a string, got null ({where})."
        refuse_if(message["role"] != "assistant" or not message.get("tool_calls"), empty, where)
        return
    if isinstance(content, str):
        return
    refuse_if(not isinstance(content, list) or not content, f"Invalid type for '{where}.content'.", where)
    for part in content:
        is_text = (
            isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part.get("text"), str)
        )
        refuse_if(not is_text, f"'{where}.content': the simulator reads parts of type 'text' only.", where)
        mark = part.get("prompt_cache_breakpoint")
        explicit = mark is None or (isinstance(mark, Mapping) and mark.get("mode") == "explicit")
        refuse_if(not explicit, f"'{where}.content': prompt_cache_breakpoint.mode must be 'explicit'.", where)
