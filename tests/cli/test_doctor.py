"""``sunwell doctor``: what each configured model can do, and what finding that out cost."""

import json
from decimal import Decimal

import pytest

from sunwell.core.message import Text, ToolCall
from sunwell.simulator import Asked, Reply, Simulator, minimal, running_simulator


def obedient(asked: Asked) -> Reply:
    """A model that does what it is asked."""
    if asked.schema is not None:
        return Reply((Text(json.dumps(minimal(asked.schema))),))
    last = asked.messages[-1]
    if asked.tools and "Call the tool" in last.text:
        return Reply((ToolCall("", "look_up", '{"key": "alpha"}'),))
    return Reply((Text(last.text or "seventeen"),))


@pytest.fixture
def simulator():
    """A provider whose cheap model is obedient, and whose smart one says nothing of use."""
    scripts = {"claude-haiku-5-5": obedient, "claude-opus-5-5": lambda asked: Reply((Text("…"),))}
    with running_simulator(Simulator(scripts)) as running:
        yield running


def test_a_sound_model_passes(sunwell, tmp_path, simulator):
    """A line for each thing, and the cost to the last digit."""
    done = sunwell("doctor", "-w", tmp_path, "--model", "haiku", "--suite", "--json")
    assert done.exit_code == 0, done.output
    (told,) = json.loads(done.stdout)["models"]
    assert told["passes"] is True
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()
    assert {check["verdict"] for check in told["checks"]} == {"yes"}


def test_a_model_that_cannot_is_named(sunwell, tmp_path):
    """Exit code 1, and the reason for people to read."""
    done = sunwell("doctor", "-w", tmp_path, "--model", "opus", "--delegation-model", "xai/grok-3")
    assert done.exit_code == 1
    assert "– calls tools: no tool was called" in done.stdout
    assert "✗ xai needs a key: set the environment variable XAI_API_KEY" in done.stdout
