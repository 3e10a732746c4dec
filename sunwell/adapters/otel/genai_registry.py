"""Names of OpenTelemetry's conventions for generative AI, version 0.1.0, and values in their form.

What the conventions have no name for, such as money, is in names that begin with ``sunwell.``.
"""

import json
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from sunwell.core.message import Message, Part, Text, Thinking, ToolCall
from sunwell.core.model import ToolSpec, Usage
from sunwell.core.task import Bill

VERSION = "0.1.0"
"""The version of the conventions that the names are from."""

OPERATION = "gen_ai.operation.name"
PROVIDER = "gen_ai.provider.name"
AGENT = "gen_ai.agent.name"
REQUEST_MODEL = "gen_ai.request.model"
REQUEST_STREAM = "gen_ai.request.stream"
MAX_TOKENS = "gen_ai.request.max_tokens"
RESPONSE_MODEL = "gen_ai.response.model"
RESPONSE_ID = "gen_ai.response.id"
FINISH_REASONS = "gen_ai.response.finish_reasons"
FIRST_CHUNK = "gen_ai.response.time_to_first_chunk"
INPUT_TOKENS = "gen_ai.usage.input_tokens"
OUTPUT_TOKENS = "gen_ai.usage.output_tokens"
CACHE_READ_TOKENS = "gen_ai.usage.cache_read.input_tokens"
CACHE_WRITE_TOKENS = "gen_ai.usage.cache_write.input_tokens"
REASONING_TOKENS = "gen_ai.usage.reasoning.output_tokens"
TOKEN_MODALITY = "gen_ai.token.modality"
TOOL_NAME = "gen_ai.tool.name"
TOOL_TYPE = "gen_ai.tool.type"
TOOL_CALL_ID = "gen_ai.tool.call.id"
TOOL_ARGUMENTS = "gen_ai.tool.call.arguments"
TOOL_RESULT = "gen_ai.tool.call.result"
SYSTEM = "gen_ai.system_instructions"
INPUT_MESSAGES = "gen_ai.input.messages"
OUTPUT_MESSAGES = "gen_ai.output.messages"
TOOL_DEFINITIONS = "gen_ai.tool.definitions"
ERROR_TYPE = "error.type"
SERVER_ADDRESS = "server.address"
SERVER_PORT = "server.port"

RUN_ID = "sunwell.run_id"
SPAN_PATH = "sunwell.span"
PURPOSE = "sunwell.purpose"
CALL_NUMBER = "sunwell.call_number"
ATTEMPTS = "sunwell.attempts"
COST_USD = "sunwell.cost_usd"
UNCERTAIN_USD = "sunwell.uncertain_usd"
RESERVED_USD = "sunwell.reserved_usd"
PRICE_UNKNOWN = "sunwell.price_unknown"
BILL_COST_USD = "sunwell.bill.cost_usd"
BILL_UNCERTAIN_USD = "sunwell.bill.uncertain_usd"
EARLIER_USD = "sunwell.earlier.cost_usd"
EARLIER_UNCERTAIN_USD = "sunwell.earlier.uncertain_usd"
RESUMED = "sunwell.resumed"
REPLAYED_CALLS = "sunwell.replayed_calls"
REPLAYED_WORKERS = "sunwell.replayed_workers"
REMEMBERED_CALLS = "sunwell.remembered_calls"
TASK_ID = "sunwell.task_id"
STATUS = "sunwell.status"
STOP_REASON = "sunwell.stop_reason"
CHECK_BY = "sunwell.check.by"
CHECK_PASSED = "sunwell.check.passed"

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "google": "gcp.gemini",
    "mistral": "mistral_ai",
    "moonshot": "moonshot_ai",
    "vertex": "gcp.vertex_ai",
    "watsonx": "ibm.watsonx.ai",
    "xai": "x_ai",
}


def provider_name(provider: str) -> str:
    """Return the name that the conventions have for *provider*, or its own; ``custom`` if it has none."""
    return _PROVIDERS.get(provider, provider) or "custom"


def usage_attributes(usage: Usage) -> dict[str, int]:
    """Return the tokens by name; parts that are 0 are left out."""
    parts = {
        CACHE_READ_TOKENS: usage.cache_read_tokens,
        CACHE_WRITE_TOKENS: usage.cache_write_tokens + usage.cache_write_1h_tokens,
        REASONING_TOKENS: usage.reasoning_tokens,
    }
    whole = {INPUT_TOKENS: usage.input_tokens, OUTPUT_TOKENS: usage.output_tokens}
    return whole | {name: tokens for name, tokens in parts.items() if tokens}


def dollars(amounts: Mapping[str, Decimal | None]) -> dict[str, float]:
    """Return the known *amounts* as the numbers that attributes hold."""
    return {name: float(usd) for name, usd in amounts.items() if usd is not None}


def bill_attributes(bill: Bill) -> dict[str, float]:
    """Return the totals of *bill*, under other names than the costs of calls: a sum must not count twice."""
    return dollars({BILL_COST_USD: bill.cost_usd, BILL_UNCERTAIN_USD: bill.uncertain_usd})


def system_json(sections: Iterable[str]) -> str:
    """Return system instructions as JSON text."""
    return _json([{"type": "text", "content": section} for section in sections])


def messages_json(messages: Iterable[Message]) -> str:
    """Return messages as JSON text."""
    return _json([{"role": one.role, "parts": [_part(part) for part in one.parts]} for one in messages])


def definitions_json(tools: Iterable[ToolSpec]) -> str:
    """Return tool definitions as JSON text, without what the conventions advise against: parameters."""
    return _json([{"type": "function", "name": tool.name} for tool in tools])


def _part(part: Part) -> dict[str, Any]:
    match part:
        case Text(text):
            return {"type": "text", "content": text}
        case Thinking(text):
            return {"type": "reasoning", "content": text}
        case ToolCall(call_id, name, arguments):
            return {"type": "tool_call", "id": call_id, "name": name, "arguments": _value(arguments)}
        case _:
            return {"type": "tool_call_response", "id": part.call_id, "response": part.content}


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
