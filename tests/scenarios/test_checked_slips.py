"""Slips that only a check sees, over real HTTP: a test that was edited, and an answer in the wrong form.

The models are scripts: they show what is sent and recorded, and nothing of what a model would do with it.
"""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.task import TaskResult
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.connection import Connection
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import Simulator, running_simulator
from tests.scenarios.test_slips import MODEL, Script, Turn, call, wrote

pytest.importorskip("jsonschema", reason="sunwell[schema] is not installed")

SCHEMA = {"type": "object", "properties": {"files": {"type": "integer"}}, "required": ["files"]}


@attrs.frozen
class CheckedSlip:
    """Work that ends in a slip, the checks, what the model is told, and two ways in which it goes on."""

    id: str
    task: str
    options: dict[str, Any]
    first: tuple[Turn, ...]
    told: str
    stays: tuple[Turn, ...]
    mends: tuple[Turn, ...]


def restored(path: str, content: str) -> Turn:
    """Return the call that writes *content* into *path*."""
    return (call("write_file", path=path, content=content),)


SLIPS = (
    CheckedSlip(
        "edited-test",
        "Fix the total in cart.txt",
        {"protect": ("tests/**",)},
        (wrote("cart.txt", "tests/test_cart.py"), "Fixed the total in cart.txt."),
        "Protected files were changed; undo that: tests/test_cart.py (changed).",
        ("Fixed the total in cart.txt.",),
        (
            restored("tests/test_cart.py", "assert False\n"),
            "Fixed the total in cart.txt; the test is as it was.",
        ),
    ),
    CheckedSlip(
        "wrong-json",
        "How many files are there? Answer in JSON.",
        {"answer_schema": "schema.json"},
        ('{"files": "three"}',),
        "'three' is not of type 'integer'",
        ('{"files": "3"}',),
        ('{"files": 3}',),
    ),
)


def result_of(folder: Path, slip: CheckedSlip, turns: Sequence[Turn]) -> tuple[TaskResult, list[str]]:
    """Return the result in *folder* if the model says *turns*, and the last message of each request."""
    (folder / "tests").mkdir()
    (folder / "tests" / "test_cart.py").write_text("assert False\n")
    (folder / "cart.txt").write_text("0\n")
    (folder / "schema.json").write_text(json.dumps(SCHEMA))
    given = {**slip.options}
    if "answer_schema" in given:
        given["answer_schema"] = str(folder / given["answer_schema"])
    options = RunOptions(escalate=True, ladder=("cheap", "cheap_again"), **given)
    with running_simulator(Simulator({MODEL: Script(turns)})) as simulator:
        model = AnthropicModel(MODEL, Connection("anthropic", simulator.url, "any-key"))
        agent = Agent(model=model, registry=ModelRegistry())
        session = SessionContext.build(folder, slip.task, options=options)
        result = asyncio.run(agent.run(session).result())
        last = [request.body["messages"][-1]["content"] for request in simulator.requests]
        said = [
            one if isinstance(one, str) else "\n".join(part.get("text", "") for part in one) for one in last
        ]
    return result, said


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.id for slip in SLIPS])
def test_a_slip_that_stays_is_told_in_the_next_message_and_is_evidence(
    tmp_path: Path, slip: CheckedSlip
) -> None:
    """The result is not verified: the evidence is in it, and the run is not done."""
    result, said = result_of(tmp_path, slip, (*slip.first, *slip.stays))
    assert slip.told in said[len(slip.first)]
    assert (result.status, result.stop_reason) == ("incomplete", "check_failed")
    found = result.verification
    assert found is not None
    assert [attempt.rung for attempt in found.attempts] == ["cheap", "cheap_again"]
    assert found.missed == found.by
    assert found.evidence


@pytest.mark.parametrize("slip", SLIPS, ids=[slip.id for slip in SLIPS])
def test_a_slip_that_is_mended_is_verified(tmp_path: Path, slip: CheckedSlip) -> None:
    """On the second rung, in the same conversation."""
    result, said = result_of(tmp_path, slip, (*slip.first, *slip.mends))
    assert slip.told in said[len(slip.first)]
    assert result.status == "ok"
    assert result.verification is not None
    assert result.verification.passed
    assert [attempt.rung for attempt in result.verification.attempts] == ["cheap", "cheap_again"]
