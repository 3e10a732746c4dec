import json
from decimal import Decimal

import msgspec
import pytest

from sunwell.core import ToolCall, ToolResult, Usage
from sunwell.journal.exports import export_chrome_trace, export_json, export_otlp_json
from sunwell.journal.records import Note, RunClosed, ToolFinished, ToolStarted
from sunwell.journal.tree import Node, tree


@pytest.fixture
def story(opened, intent, answer):
    """A run with one worker, one tool, one call in flight and one call without a price."""
    return [
        opened,
        intent(model="opus"),
        answer(model="opus", usd="0.10"),
        intent("run/w", depth=1),
        answer("run/w", depth=1, usd="0.0142", usage=Usage(2000, 847, 1000, 300, 200)),
        ToolStarted("run/w", 0, 0, ToolCall("x", "search", "{}"), True),
        ToolFinished("run/w", 0, 0, "search", ToolResult("x", "no", is_error=True), 0.25),
        Note("run/w", "query", "\ud800 <é>"),
        intent("run/v", depth=1),
        intent("run/u", depth=1),
        answer("run/u", depth=1, usd=None),
        RunClosed("incomplete", "budget_usd", "", "", 5, 9.5, 1009.5),
    ]


def test_a_tree_comes_back_from_its_json(story):
    """Nothing of the tree is lost in JSON, amounts included."""
    root = tree(story)
    assert msgspec.convert(json.loads(export_json(root))["root"], Node) == root


def test_the_json_has_the_fields_of_a_trajectory(story):
    """Each worker carries the names and units that a trajectory record is asked to have."""
    trace = json.loads(export_json(tree(story)))
    worker = trace["root"]["children"][1]
    wanted = {
        "type": "sub_completion",
        "depth": 1,
        "parent_turn": None,
        "query": "\ud800 <é>",
        "context_query": None,
        "tokens_used": 2847,
        "cost": 0.0142,
        "duration_ms": 1750,
        "tools_called": ["search"],
        "result_tokens": 847,
    }
    assert {name: worker[name] for name in wanted} == wanted
    assert trace["timestamp"] == "1970-01-01T00:16:40+00:00"
    assert (trace["root"]["cost"], trace["root"]["tokens_used"]) == (None, 2847 + 15 + 15)


def test_a_chrome_trace_has_a_lane_for_each_span(story):
    """Every span is a named lane; calls and tools lie on the time line in microseconds."""
    events = json.loads(export_chrome_trace(story))["traceEvents"]
    lanes = {event["args"]["name"]: event["tid"] for event in events if event["ph"] == "M"}
    assert list(lanes) == ["run", "run/w", "run/v", "run/u"]
    shown = [event for event in events if event["ph"] == "X" and event["tid"] == lanes["run/w"]]
    assert [(event["name"], event["cat"], event["ts"], event["dur"]) for event in shown] == [
        ("w", "sub_completion", 1_000_000_000, 1_750_000),
        ("work haiku", "call", 1_000_000_000, 1_500_000),
        ("tool search", "tool", 1_001_500_000, 250_000),
    ]
    assert shown[1]["args"]["cost_usd"] == "0.0142"
    assert Decimal(shown[1]["args"]["output_tokens"]) == 847


def spans_of(story):
    (resource,) = json.loads(export_otlp_json(story))["resourceSpans"]
    (scope,) = resource["scopeSpans"]
    return scope["spans"]


def test_otlp_spans_form_one_trace(story):
    """One trace id, a parent for every span but the root, and ids of the lengths that OTLP asks for."""
    spans = spans_of(story)
    ids = {span["spanId"] for span in spans}
    assert len(ids) == len(spans) == 1 + 1 + 3 + 3 + 1
    assert {len(span["spanId"]) for span in spans} == {16}
    assert {len(span["traceId"]) for span in spans} == {32}
    assert len({span["traceId"] for span in spans}) == 1
    assert [span["name"] for span in spans if "parentSpanId" not in span] == ["invoke_agent run"]
    assert {span["parentSpanId"] for span in spans if "parentSpanId" in span} <= ids
    assert spans_of(story) == spans


def test_otlp_spans_carry_the_attributes_of_gen_ai(story):
    """Calls say model and tokens, cache apart; tools their names; failures a status."""
    by_name = {
        (span["name"], attributes(span)["sunwell.span"]["stringValue"]): span for span in spans_of(story)
    }
    opus = attributes(by_name["chat opus", "run"])
    assert opus["gen_ai.operation.name"] == {"stringValue": "chat"}
    assert opus["gen_ai.response.model"] == {"stringValue": "opus"}
    assert opus["gen_ai.usage.input_tokens"] == {"intValue": "10"}
    assert opus["sunwell.cost_usd"] == {"doubleValue": 0.1}
    haiku = attributes(by_name["chat haiku", "run/w"])
    assert haiku["gen_ai.usage.cache_read.input_tokens"] == {"intValue": "1000"}
    assert haiku["gen_ai.usage.cache_creation.input_tokens"] == {"intValue": "500"}
    tool = by_name["execute_tool search", "run/w"]
    assert attributes(tool)["gen_ai.tool.name"] == {"stringValue": "search"}
    assert tool["status"] == {"code": 2}
    call = by_name["chat opus", "run"]
    assert (call["kind"], tool["kind"]) == (3, 1)
    assert (call["startTimeUnixNano"], call["endTimeUnixNano"]) == ("1000000000000", "1001500000000")


def attributes(span):
    return {item["key"]: item["value"] for item in span["attributes"]}
