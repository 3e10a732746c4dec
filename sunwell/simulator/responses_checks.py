"""What OpenAI's Responses API refuses."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from sunwell.simulator.chat_checks import refuse_if
from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.signatures import is_genuine
from sunwell.simulator.wire import Refusal

_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KNOWN = frozenset(
    (
        "model", "input", "instructions", "tools", "tool_choice", "text", "reasoning", "store", "include",
        "stream", "max_output_tokens", "metadata", "prompt_cache_key", "prompt_cache_options", "service_tier",
        "parallel_tool_calls", "truncation", "user", "safety_identifier",
    )
)  # fmt: skip
_TEXTS = {"assistant": ("output_text",), "user": ("input_text",), "system": ("input_text",)}
LEAST_OUTPUT_TOKENS = 16


def check_fields(body: Mapping[str, Any]) -> None:
    """Check everything but the input."""
    refuse_if(not isinstance(body.get("model"), str), "you must provide a model parameter", "model")
    for name in body:
        refuse_if(name not in _KNOWN, f"Unsupported parameter: '{name}'.", name, "unsupported_parameter")
    limit = body.get("max_output_tokens")
    whole = limit is None or (isinstance(limit, int) and not isinstance(limit, bool))
    least = f"Invalid 'max_output_tokens': expected a value >= {LEAST_OUTPUT_TOKENS}."
    refuse_if(not whole or (limit is not None and limit < LEAST_OUTPUT_TOKENS), least, "max_output_tokens")
    effort = (body.get("reasoning") or {}).get("effort")
    wrong = effort is not None and effort not in _EFFORTS
    refuse_if(wrong, f"Invalid value: {effort!r}.", "reasoning.effort")
    _check_tools(body)
    _check_format((body.get("text") or {}).get("format"))


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools")
    for i, tool in enumerate(tools or ()):
        is_function = isinstance(tool, Mapping) and tool.get("type") == "function"
        refuse_if(not is_function, f"Invalid value for 'tools[{i}].type'.", "tools")
        name = tool.get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, f"Invalid 'tools[{i}].name': '^[a-zA-Z0-9_-]{{1,64}}$'.", "tools")
        if tool.get("strict", True):
            check_schema(tool.get("parameters"), "openai", f"tools[{i}].parameters")
    if body.get("tool_choice") is not None and not tools:
        raise Refusal(400, "'tool_choice' is only allowed when 'tools' are specified.", "tool_choice")


def _check_format(shape: Any) -> None:
    if shape is None:
        return
    kind = shape.get("type") if isinstance(shape, Mapping) else None
    refuse_if(
        kind not in ("text", "json_object", "json_schema"), "Invalid 'text.format.type'.", "text.format"
    )
    if kind == "json_schema":
        name = shape.get("name")
        fits = isinstance(name, str) and _NAME.fullmatch(name)
        refuse_if(not fits, "Missing required parameter: 'text.format.name'.", "text.format.name")
        if shape.get("strict"):
            check_schema(shape.get("schema"), "openai", "text.format.schema")


def check_input(items: Any) -> Sequence[Mapping[str, Any]]:
    """Return the items of the input, or raise :exc:`Refusal` where their order or contents are not taken."""
    if isinstance(items, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": items}]}]
    refuse_if(not isinstance(items, list) or not items, "Missing required parameter: 'input'.", "input")
    waiting: list[str] = []
    for i, item in enumerate(items):
        where = f"input[{i}]"
        kind = item.get("type", "message") if isinstance(item, Mapping) else None
        if kind == "message":
            _check_message(item, where)
        elif kind == "function_call":
            waiting.append(_call_id(item, where, "name", "arguments"))
        elif kind == "function_call_output":
            call_id = _call_id(item, where, "output")
            lost = f"No tool call found for function call output with call_id {call_id}."
            refuse_if(call_id not in waiting, lost, where)
            waiting.remove(call_id)
        elif kind == "reasoning":
            _check_reasoning(item, where)
        else:
            raise Refusal(400, f"Invalid value: {kind!r} for '{where}.type'.", where)
    missing = f"No tool output found for function call {', '.join(waiting)}."
    refuse_if(bool(waiting), missing, "input")
    return items  # type: ignore[no-any-return]


def _call_id(item: Mapping[str, Any], where: str, *texts: str) -> str:
    for name in ("call_id", *texts):
        refuse_if(
            not isinstance(item.get(name), str), f"Missing required parameter: '{where}.{name}'.", where
        )
    refuse_if(not item["call_id"], f"Invalid '{where}.call_id': empty string.", where)
    return str(item["call_id"])


def _check_message(item: Mapping[str, Any], where: str) -> None:
    role = item.get("role")
    known = _TEXTS.get("system" if role == "developer" else str(role))
    if known is None:
        raise Refusal(400, f"Invalid value: {role!r} for '{where}.role'.", where)
    content = item.get("content")
    if isinstance(content, str):
        return
    refuse_if(not isinstance(content, list) or not content, f"Invalid type for '{where}.content'.", where)
    for part in content or ():
        kind = part.get("type") if isinstance(part, Mapping) else None
        fits = kind in known and isinstance(part.get("text"), str)
        refuse_if(not fits, f"Invalid value: {kind!r} in '{where}.content'.", where)


def _check_reasoning(item: Mapping[str, Any], where: str) -> None:
    texts = [one.get("text") for one in item.get("summary") or () if isinstance(one, Mapping)]
    block = {
        "type": "thinking",
        "thinking": "".join(map(str, texts)),
        "signature": item.get("encrypted_content"),
    }
    wrong = "The encrypted content could not be verified: send reasoning items back as they came."
    refuse_if(not is_genuine(block), f"{wrong} ({where})", where, "invalid_encrypted_content")
