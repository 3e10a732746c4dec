"""What Anthropic's Messages refuses, field by field."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sunwell.simulator.cache import MOST_BREAKPOINTS
from sunwell.simulator.schema_checks import check_schema
from sunwell.simulator.wire import Refusal

NO_SAMPLING_VERSION = "2026-10-21"
_SAMPLING = ("temperature", "top_p", "top_k")
_KNOWN = {
    "model", "messages", "max_tokens", "system", "tools", "tool_choice", "stream", "cache_control",
    "output_config", "thinking", "metadata", "service_tier", "stop_sequences", "container", "diagnostics",
    "inference_geo", "speed", "temperature", "top_p", "top_k",
}  # fmt: skip
_EFFORTS = ("low", "medium", "high", "xhigh", "max")
_TOOL_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def refuse_if(wrong: bool, message: str, param: str | None = None) -> None:
    """Raise a :exc:`Refusal` with status 400 where *wrong*."""
    if wrong:
        raise Refusal(400, message, param)


def check_fields(body: Mapping[str, Any], headers: Mapping[str, str], *, counting: bool) -> None:
    """Check everything but the messages."""
    version = headers.get("anthropic-version", "")
    refuse_if(not version, "anthropic-version: header is required")
    for name in body:
        refuse_if(name not in _KNOWN, f"{name}: Extra inputs are not permitted", name)
    if version >= NO_SAMPLING_VERSION:
        for name in _SAMPLING:
            refuse_if(name in body, f"{name}: not supported with anthropic-version {version}", name)
    refuse_if(not isinstance(body.get("model"), str), "model: Field required", "model")
    limit = body.get("max_tokens")
    if not counting:
        refuse_if(limit is None, "max_tokens: Field required", "max_tokens")
        whole = isinstance(limit, int) and not isinstance(limit, bool) and limit >= 0
        refuse_if(not whole, "max_tokens: Input should be a whole number of at least 0", "max_tokens")
    _check_tools(body)
    _check_output_config(body.get("output_config") or {})
    _check_thinking(body.get("thinking"), limit)
    _check_breakpoints(body)


def blocks_of(content: Any, where: str) -> Sequence[Mapping[str, Any]]:
    """Return *content* as blocks; a string is one block of text."""
    if isinstance(content, str):
        return ({"type": "text", "text": content},)
    refuse_if(not isinstance(content, list), f"{where}: Input should be a string or a list", where)
    for i, block in enumerate(content):
        typed = isinstance(block, Mapping) and isinstance(block.get("type"), str)
        refuse_if(not typed, f"{where}.{i}.type: Field required", where)
    return content  # type: ignore[no-any-return]


def _check_tools(body: Mapping[str, Any]) -> None:
    tools = body.get("tools") or ()
    refuse_if(not isinstance(tools, list | tuple), "tools: Input should be a valid list", "tools")
    names = set()
    for i, tool in enumerate(tools):
        name = tool.get("name") if isinstance(tool, Mapping) else None
        fits = isinstance(name, str) and _TOOL_NAME.fullmatch(name)
        refuse_if(
            not fits, f"tools.{i}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'", "tools"
        )
        schema = tool.get("input_schema")
        is_object = isinstance(schema, Mapping) and schema.get("type") == "object"
        refuse_if(not is_object, f"tools.{i}.input_schema.type: Input should be 'object'", "tools")
        refuse_if(name in names, "tools: Tool names must be unique.", "tools")
        names.add(name)
    choice = body.get("tool_choice")
    if choice is not None:
        known = isinstance(choice, Mapping) and choice.get("type") in ("auto", "any", "tool", "none")
        refuse_if(
            not known, "tool_choice.type: Input should be 'auto', 'any', 'tool' or 'none'", "tool_choice"
        )
        refuse_if(not tools, "tool_choice may only be specified while providing tools.", "tool_choice")


def _check_output_config(config: Mapping[str, Any]) -> None:
    effort, shape = config.get("effort"), config.get("format")
    known = effort is None or effort in _EFFORTS
    refuse_if(
        not known, f"output_config.effort: Input should be one of {', '.join(_EFFORTS)}", "output_config"
    )
    if shape is not None:
        is_schema = isinstance(shape, Mapping) and shape.get("type") == "json_schema"
        refuse_if(not is_schema, "output_config.format.type: Input should be 'json_schema'", "output_config")
        check_schema(shape.get("schema"), "anthropic", "output_config.format.schema")


def _check_thinking(thinking: Any, limit: Any) -> None:
    if thinking is None:
        return
    kind = thinking.get("type") if isinstance(thinking, Mapping) else None
    known = kind in ("adaptive", "disabled", "enabled", "between_tools")
    refuse_if(not known, "thinking.type: Input should be 'adaptive', 'disabled' or 'enabled'", "thinking")
    if kind == "enabled":
        budget = thinking.get("budget_tokens")
        refuse_if(
            not isinstance(budget, int) or budget < 1024, "thinking.budget_tokens: at least 1024", "thinking"
        )
        too_long = isinstance(limit, int) and limit <= budget
        refuse_if(too_long, "`max_tokens` must be greater than `thinking.budget_tokens`", "thinking")


def _check_breakpoints(body: Mapping[str, Any]) -> None:
    marks = [mark for mark in _marks(body) if mark is not None]
    if body.get("cache_control") is not None:
        marks.append(body["cache_control"])
    shortest_seen = False
    for mark in marks:
        is_mark = isinstance(mark, Mapping) and mark.get("type") == "ephemeral"
        refuse_if(not is_mark, "cache_control.type: Input should be 'ephemeral'", "cache_control")
        life = mark.get("ttl", "5m")
        refuse_if(
            life not in ("5m", "1h"), "cache_control.ttl: Input should be '5m' or '1h'", "cache_control"
        )
        late = life == "1h" and shortest_seen
        refuse_if(late, "a ttl='1h' cache_control block must not come after a ttl='5m' cache_control block")
        shortest_seen = shortest_seen or life == "5m"
    many = f"A maximum of {MOST_BREAKPOINTS} blocks with cache_control may be provided. Found {len(marks)}."
    refuse_if(len(marks) > MOST_BREAKPOINTS, many, "cache_control")


def _marks(body: Mapping[str, Any]) -> Iterator[Any]:
    """Yield every ``cache_control`` in the order of the prompt: tools, system, messages."""
    holders = [body.get("tools"), body.get("system")]
    messages = body.get("messages")
    holders += (m.get("content") for m in messages or () if isinstance(m, Mapping))
    for holder in holders:
        if isinstance(holder, list):
            for block in holder:
                if isinstance(block, Mapping):
                    yield block.get("cache_control")
