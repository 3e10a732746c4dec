"""The instruments: time, tokens and money of calls, agents and tools."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import attrs
from opentelemetry.metrics import Counter, Histogram, Meter

from sunwell.adapters.otel import genai_registry as names
from sunwell.events import ModelCallFinished

SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
"""Bounds of the buckets for durations, as the conventions advise for calls."""
_TOKENS = (
    ("input_tokens", names.INPUT_TOKENS, "Input tokens, cached ones included"),
    ("output_tokens", names.OUTPUT_TOKENS, "Output tokens, reasoning included"),
    ("cache_read.input_tokens", names.CACHE_READ_TOKENS, "Input tokens that a cache provided"),
    ("cache_write.input_tokens", names.CACHE_WRITE_TOKENS, "Input tokens that were written to a cache"),
    ("reasoning.output_tokens", names.REASONING_TOKENS, "Output tokens of reasoning"),
)
_OF_CALLS = frozenset(
    (
        names.OPERATION,
        names.PROVIDER,
        names.REQUEST_MODEL,
        names.RESPONSE_MODEL,
        names.SERVER_ADDRESS,
        names.SERVER_PORT,
    )
)


def _seconds(meter: Meter, name: str, told: str) -> Histogram:
    return meter.create_histogram(name, "s", told, explicit_bucket_boundaries_advisory=SECONDS)


@attrs.define(eq=False)
class GenAiMetrics:
    """What is counted and measured. No attribute names a run: their number must stay small."""

    meter: Meter
    _calls: Histogram = attrs.field(init=False)
    _first_chunks: Histogram = attrs.field(init=False)
    _agents: Histogram = attrs.field(init=False)
    _tools: Histogram = attrs.field(init=False)
    _tokens: dict[str, Counter] = attrs.field(init=False)
    _cost: Counter = attrs.field(init=False)
    _uncertain: Counter = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        meter = self.meter
        self._calls = _seconds(meter, "gen_ai.client.inference.duration", "Duration of model calls")
        self._first_chunks = _seconds(
            meter, "gen_ai.client.inference.time_to_first_chunk", "Time to the first piece of an answer"
        )
        self._agents = _seconds(meter, "gen_ai.invoke_agent.duration", "Duration of runs and workers")
        self._tools = _seconds(meter, "gen_ai.execute_tool.duration", "Duration of tool calls")
        self._tokens = {
            of: meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}", told)
            for name, of, told in _TOKENS
        }
        self._cost = meter.create_counter(names.COST_USD, "{USD}", "Known cost of model calls")
        self._uncertain = meter.create_counter(
            names.UNCERTAIN_USD, "{USD}", "Upper bound of the cost of calls that reported no usage"
        )

    def add_call(self, seconds: float, attributes: Mapping[str, Any], call: ModelCallFinished) -> None:
        """Add a model call that took *seconds*; of its span's *attributes*, those with few values name it."""
        known = {name: value for name, value in attributes.items() if name in _OF_CALLS}
        failed = {names.ERROR_TYPE: attributes[names.ERROR_TYPE]} if names.ERROR_TYPE in attributes else {}
        self._calls.record(seconds, known | failed)
        if call.first_piece_seconds is not None:
            self._first_chunks.record(call.first_piece_seconds, known)
        used = names.usage_attributes(call.booked_usage)
        came = any(used.values())
        modality = {names.TOKEN_MODALITY: "text" if came else "unknown"}
        for of, tokens in used.items():
            self._tokens[of].add(tokens, known | modality)
        spent = known | failed | {names.PURPOSE: call.purpose}
        _add(self._cost, call.booked_usd, spent)
        _add(self._uncertain, call.uncertain_usd, spent)

    def add_agent(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Add a run or a worker that took *seconds*."""
        self._agents.record(seconds, _only(attributes, names.OPERATION, names.AGENT, names.ERROR_TYPE))

    def add_tool(self, seconds: float, attributes: Mapping[str, Any]) -> None:
        """Add a tool call that took *seconds*."""
        known = _only(attributes, names.OPERATION, names.TOOL_NAME, names.TOOL_TYPE, names.ERROR_TYPE)
        self._tools.record(seconds, known)


def _add(counter: Counter, usd: Decimal | None, attributes: Mapping[str, Any]) -> None:
    if usd:
        counter.add(float(usd), attributes)


def _only(attributes: Mapping[str, Any], *wanted: str) -> dict[str, Any]:
    return {name: attributes[name] for name in wanted if name in attributes}
