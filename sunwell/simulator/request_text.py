"""Writes a request as a text for people: all that the model sees, or what is new since the last request."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import attrs

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall, ToolResult
from sunwell.simulator.script import Asked, Posed


@attrs.frozen
class Earlier:
    """The last request of the same conversation, and the file in which its text is."""

    file: str
    asked: Asked
    tools: Sequence[Mapping[str, Any]]
    system_file: str
    """The file that has the whole system prompt."""
    tools_file: str
    """The file that has all tool definitions."""


def tools_in(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the tool definitions of a request in any wire format, as name, description and parameters."""
    return [_tool(tool) for tool in body.get("tools") or ()]


def _tool(tool: Mapping[str, Any]) -> Mapping[str, Any]:
    function = tool.get("function", tool)
    return {
        "name": function.get("name", ""),
        "description": function.get("description") or "",
        "parameters": function.get("input_schema", function.get("parameters")) or {},
    }


def request_text(posed: Posed, name: str, conversation: str, earlier: Earlier | None) -> str:
    """Return *posed* as a text; with *earlier*, what is new since then, and where to read the rest."""
    sections = [_head(posed, name, conversation, earlier), _system(posed, earlier), _tools(posed, earlier)]
    if posed.asked.schema is not None:
        schema = json.dumps(posed.asked.schema, ensure_ascii=False, indent=2)
        sections.append(_section("the answer must be JSON of this schema", schema))
    messages = posed.asked.messages
    known = len(earlier.asked.messages) if earlier else 0
    if earlier:
        sections.append(_section(f"{_count(known)}: in {earlier.file} and the files named there"))
    names = {call.id: call.name for message in messages for call in message.tool_calls}
    for number, message in enumerate(messages[known:], known + 1):
        sections.append(_section(f"message {number}: {_ROLES[message.role]}", _message(message, names)))
    return "\n".join(sections)


_FORMATS = {
    "messages": "Anthropic Messages",
    "chat": "OpenAI Chat Completions",
    "responses": "OpenAI Responses",
}
_ROLES = {"user": "user", "assistant": "assistant (your earlier answer)", "tool": "tool results"}


def _count(known: int) -> str:
    return "message 1" if known == 1 else f"messages 1 to {known}"


def _section(title: str, content: str | None = None) -> str:
    return f"===== {title} =====\n" if content is None else f"===== {title} =====\n{content}\n"


def _head(posed: Posed, name: str, conversation: str, earlier: Earlier | None) -> str:
    asked, body = posed.asked, posed.body
    lines = [
        f"request:            {name}",
        f"conversation:       {conversation}" + (f", continues {earlier.file}" if earlier else " (new)"),
        f"model:              {asked.model}",
        f"format:             {_FORMATS[posed.wire]}" + (", streamed" if body.get("stream") is True else ""),
        f"input:              {posed.input_tokens:,} tokens as billed here, {len(asked.messages)} messages",
    ]
    limit = asked.max_output_tokens
    lines.append(f"output limit:       {'none' if limit is None else f'{limit:,} tokens'}")
    lines += [f"{f'{title}:':<20}{value}" for title, value in _settings(body)]
    if body.get("tools") and not asked.tools:
        lines.append("tool calls:         not allowed in this answer")
    calls = " and tool calls" if asked.tools else ""
    form = "" if asked.schema is None else ', or {"json": …} for the schema'
    lines.append(f"answer with:        {name}.answer.txt (text), or {name}.answer.json (text{calls}{form})")
    return "\n".join(lines) + "\n"


def _settings(body: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    config, reasoning = body.get("output_config") or {}, body.get("reasoning") or {}
    effort = config.get("effort") or body.get("reasoning_effort") or reasoning.get("effort")
    if effort:
        yield "effort", str(effort)
    for key in ("thinking", "tool_choice", "parallel_tool_calls", "temperature"):
        if body.get(key) is not None:
            yield key.replace("_", " "), json.dumps(body[key], ensure_ascii=False)


def _system(posed: Posed, earlier: Earlier | None) -> str:
    text = posed.asked.system
    if not text:
        return _section("no system prompt")
    if earlier and earlier.asked.system == text:
        return _section(f"system prompt: in {earlier.system_file}")
    return _section("system prompt" + (" (changed)" if earlier else ""), text)


def _tools(posed: Posed, earlier: Earlier | None) -> str:
    tools = tools_in(posed.body)
    if not tools:
        return _section("no tools")
    if earlier and earlier.tools == tools:
        return _section(f"{len(tools)} tools: in {earlier.tools_file}")
    shown = "\n".join(_definition(tool) for tool in tools)
    return _section(f"{len(tools)} tools" + (" (changed)" if earlier else ""), shown)


def _definition(tool: Mapping[str, Any]) -> str:
    schema = tool["parameters"]
    required = schema.get("required") or ()
    lines = [f"--- {tool['name']} ---", tool["description"]]
    for name, kind in (schema.get("properties") or {}).items():
        needed = "required" if name in required else "optional"
        lines.append(f"  {name} ({needed}): {json.dumps(kind, ensure_ascii=False)}")
    rest = {k: v for k, v in schema.items() if k not in ("type", "properties", "required")}
    rest.pop("additionalProperties", None) if rest.get("additionalProperties") is False else None
    if rest:
        lines.append(f"  further rules: {json.dumps(rest, ensure_ascii=False)}")
    return "\n".join(lines)


def _message(message: Message, names: Mapping[str, str]) -> str:
    return "\n".join(_part(part, names) for part in message.parts)


def _part(part: Part, names: Mapping[str, str]) -> str:
    match part:
        case Text(text):
            return text
        case Thinking(text):
            return f"[thinking]\n{text}"
        case ToolCall(call_id, name, arguments):
            return f"[tool call {call_id}: {name}]\n{arguments}"
        case ToolResult(call_id, content, is_error):
            failed = ", an error" if is_error else ""
            return f"[result of {call_id}: {names.get(call_id, 'unknown tool')}{failed}]\n{content}"
