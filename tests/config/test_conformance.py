"""Four wire formats pass one conformance suite; what a server lacks is said."""

import json

import attrs
import pytest

from sunwell.config.conformance import examine
from sunwell.core.message import Text, ToolCall
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.learning import SCHEMA_IN_WORDS
from sunwell.models.openai_chat import ChatModel
from sunwell.models.openai_responses import ResponsesModel
from sunwell.models.prices import PriceBook
from sunwell.simulator import Asked, Fault, Reply, Simulator, minimal
from sunwell.testing import ScriptedModel, completion

MODELS = {
    "messages": "claude-haiku-5-5",
    "responses": "gpt-6-luna",
    "chat": "gpt-6-luna",
    "plain": "gpt-6-luna",
}


def obedient(asked: Asked) -> Reply:
    """A model that does what it is asked."""
    schema = asked.schema
    if schema is None and SCHEMA_IN_WORDS in asked.system:
        schema = json.loads(asked.system.partition(SCHEMA_IN_WORDS)[2])
    if schema is not None:
        return Reply((Text(json.dumps(minimal(schema))),))
    last = asked.messages[-1]
    if asked.tools and last.role == "user" and "Call the tool" in last.text:
        return Reply((ToolCall("", "look_up", '{"key": "alpha"}'),))
    return Reply((Text(last.text or "seventeen"),))


def model_of(wire, simulator):
    connection = Connection("openai" if wire != "messages" else "anthropic", simulator.openai_url, "key-of-x")
    if wire == "messages":
        return AnthropicModel(MODELS[wire], Connection("anthropic", simulator.url, "key-of-x"))
    if wire == "responses":
        return ResponsesModel(MODELS[wire], connection)
    return ChatModel(MODELS[wire], connection)


def simulator(wire, **fields):
    return Simulator({MODELS[wire]: obedient}, dialect="plain" if wire == "plain" else "openai", **fields)


@pytest.mark.parametrize("wire", MODELS)
async def test_each_wire_format_passes_the_suite(wire):
    """Answers, streams, tools, schemas, limits; every call is booked as the provider bills it."""
    async with simulator(wire) as provider:
        report = await examine(model_of(wire, provider), PriceBook(), suite=True)
        billed = provider.bill.total_usd()
    assert [check for check in report.checks if check.is_required and check.verdict != "yes"] == []
    assert report.passes
    lacking = {check.name for check in report.checks if check.verdict != "yes"}
    if wire == "plain":
        assert lacking == {"reports usage"}
        assert (report.cost_usd or 0) + (report.uncertain_usd or 0) >= billed
    else:
        assert lacking == set()
        assert report.cost_usd == billed


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        pytest.param(Fault(arguments="truncated"), "calls tools", id="broken-arguments"),
        pytest.param(Fault(json="prose"), "obeys a schema", id="prose-around-json"),
        pytest.param(Fault(status=401), "answers", id="wrong-key"),
    ],
)
async def test_what_a_server_cannot_do_is_said(fault, failed):
    """A finding, with the reason; never an exception."""
    async with simulator("chat", faults=lambda _: fault) as provider:
        report = await examine(model_of("chat", provider), PriceBook())
    (check,) = [check for check in report.checks if check.name == failed]
    assert check.verdict != "yes"
    assert check.detail
    assert not report.passes


async def test_a_server_that_does_not_answer_is_asked_once():
    """Nothing is said to be there that was never seen; the rest is not tried, and told as it comes."""
    told = []
    async with simulator("chat", faults=lambda _: Fault(status=404)) as provider:
        report = await examine(model_of("chat", provider), PriceBook(), suite=True, tell=told.append)
        asked = len(provider.requests)
    assert (report.calls, asked) == (1, 1)
    assert {check.verdict for check in report.checks} == {"failed"}
    assert {check.detail for check in report.checks[1:]} == {"not tried, since no answer comes"}
    assert tuple(told) == report.checks


async def test_without_usage_nobody_can_tell_whether_it_caches():
    """No finding is made up from figures that were not there."""
    model = ScriptedModel("silent", [completion("ready", model="silent")] * 40)
    model.lines = [attrs.evolve(line, usage=None) for line in model.lines]
    report = await examine(model, PriceBook())
    details = {check.name: check.detail for check in report.checks}
    assert details["reports usage"] == "not in whole answers and streams"
    assert details["caches"] == "nobody can tell: no usage is reported"
    assert report.tokens == 0
