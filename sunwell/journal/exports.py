"""The tree of a run as files that other programs open: nested JSON, Chrome trace, OpenTelemetry."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

import msgspec

from sunwell.journal.records import Record
from sunwell.journal.tree import Node, tree


def export_json(root: Node, more: Mapping[str, Any] = MappingProxyType({})) -> str:
    """Return ``{"timestamp": …, "root": …}``, the whole tree nested in ``children``; *more* stands between.

    Each node carries all its fields, and besides the totals over itself and all below: ``tokens_used``
    and ``cost``, in US dollars as a number, ``null`` where a price is unknown.
    """
    at = root.started_at
    stamp = None if at is None else datetime.fromtimestamp(at, UTC).isoformat()
    nested = _with_totals(root, msgspec.to_builtins(root))
    return json.dumps({"timestamp": stamp, **more, "root": nested}, indent=2)


def export_chrome_trace(records: Iterable[Record]) -> str:
    """Return the run for Perfetto, speedscope or ``chrome://tracing``: one lane for each span."""
    root = tree(records)
    lanes: dict[str, int] = {}
    events: list[dict[str, Any]] = []
    for node in root.walk():
        if node.span not in lanes:
            lanes[node.span] = len(lanes) + 1
            lane = {"name": "thread_name", "ph": "M", "pid": 1, "tid": lanes[node.span]}
            events.append({**lane, "args": {"name": node.span}})
        if node.started_at is not None:
            events.append(_chrome_event(node, lanes[node.span]))
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def export_otlp_json(records: Iterable[Record]) -> str:
    """Return the run as OTLP/JSON, one ``ExportTraceServiceRequest``, with ``gen_ai.*`` attributes.

    Ids are made of the run's id and the place in it, so a second export gives the same ones.
    """
    root = tree(records)
    trace = _digest(root.name, "", 32)
    spans = [_otlp_span(node, parent, place, trace) for node, parent, place in _places(root)]
    service = {"attributes": [_attribute("service.name", "sunwell")]}
    scope = {"scope": {"name": "sunwell"}, "spans": spans}
    return json.dumps({"resourceSpans": [{"resource": service, "scopeSpans": [scope]}]})


def _with_totals(node: Node, fields: dict[str, Any]) -> dict[str, Any]:
    cost = node.total_cost_usd
    fields["tokens_used"] = node.tokens_used
    fields["cost"] = None if cost is None else float(cost)
    fields["children"] = [
        _with_totals(child, made) for child, made in zip(node.children, fields["children"], strict=True)
    ]
    return fields


def _title(node: Node) -> str:
    match node.type:
        case "run":
            return f"run {node.name}"
        case "call":
            return f"{node.purpose or 'call'} {node.model or ''}".rstrip()
        case "tool":
            return f"tool {node.name}"
    return node.span.rpartition("/")[2]


def _chrome_event(node: Node, lane: int) -> dict[str, Any]:
    usage, cost = node.total_usage, node.total_cost_usd
    shown = {
        "status": node.status,
        "model": node.model,
        "query": node.query,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "cost_usd": None if cost is None else str(cost),
    }
    return {
        "name": _title(node),
        "cat": node.type,
        "ph": "X",
        "pid": 1,
        "tid": lane,
        "ts": round((node.started_at or 0) * 1e6),
        "dur": (node.duration_ms or 0) * 1000,
        "args": {name: value for name, value in shown.items() if value is not None},
    }


def _places(root: Node) -> Iterator[tuple[Node, str, str]]:
    """Yield each node with its parent's place and its own: numbers of children from the root down."""
    waiting = [(root, "", "0")]
    while waiting:
        node, parent, place = waiting.pop()
        yield node, parent, place
        waiting.extend((child, place, f"{place}.{i}") for i, child in enumerate(node.children))


def _otlp_span(node: Node, parent: str, place: str, trace: str) -> dict[str, Any]:
    start = round((node.started_at or 0) * 1e9)
    failed = node.status in ("failed", "error", "refused")
    span = {
        "traceId": trace,
        "spanId": _digest(trace, place, 16),
        "name": _otlp_name(node),
        "kind": 3 if node.type == "call" else 1,  # CLIENT, INTERNAL
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + (node.duration_ms or 0) * 1_000_000),
        "attributes": [_attribute(name, value) for name, value in _gen_ai(node) if value is not None],
        "status": {"code": 2} if failed else {},
    }
    return span | ({"parentSpanId": _digest(trace, parent, 16)} if parent else {})


def _otlp_name(node: Node) -> str:
    match node.type:
        case "call":
            return f"chat {node.model or ''}".rstrip()
        case "tool":
            return f"execute_tool {node.name}"
    return f"invoke_agent {node.span}"


def _gen_ai(node: Node) -> Iterator[tuple[str, str | int | float | None]]:
    yield "gen_ai.operation.name", _otlp_name(node).partition(" ")[0]
    yield "sunwell.span", node.span
    yield "sunwell.depth", node.depth
    if node.type == "tool":
        yield "gen_ai.tool.name", node.name
    if node.type != "call":
        return
    yield "gen_ai.response.model", node.model
    yield "sunwell.purpose", node.purpose
    if node.cost_usd is not None:
        yield "sunwell.cost_usd", float(node.cost_usd)
    if node.usage is not None:
        yield "gen_ai.usage.input_tokens", node.usage.input_tokens
        yield "gen_ai.usage.output_tokens", node.usage.output_tokens
        yield "gen_ai.usage.cache_read.input_tokens", node.usage.cache_read_tokens
        yield (
            "gen_ai.usage.cache_creation.input_tokens",
            (node.usage.cache_write_tokens + node.usage.cache_write_1h_tokens),
        )


def _attribute(name: str, value: str | int | float) -> dict[str, Any]:
    if isinstance(value, str):
        return {"key": name, "value": {"stringValue": value}}
    if isinstance(value, int):
        return {"key": name, "value": {"intValue": str(value)}}  # 64-bit integers are text in proto JSON
    return {"key": name, "value": {"doubleValue": value}}


def _digest(one: str, other: str, digits: int) -> str:
    data = f"{one}\n{other}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(data, digest_size=digits // 2).hexdigest()
