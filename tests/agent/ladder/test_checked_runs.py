"""Checks in a whole run: a judge on the bill, a schema for the answer, files that must not change."""

import json
import os
import sys
from pathlib import Path

import pytest

from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.testing import ScriptedModel, completion
from tests.agent.conftest import PRICE
from tests.bubblewrap import needs_bubblewrap

VERDICT = json.dumps({"passed": False, "evidence": "Nothing says why."})


def test_a_judge_is_another_model_and_stands_in_the_bill(story):
    """Its calls have a purpose of their own, and its evidence is in the result."""
    story.options = RunOptions(judge="The answer says why.")
    smart = ScriptedModel("smart-x", [completion(VERDICT)], PRICE)
    result = story.run("Because.", smart_model=smart)
    assert result.verification is not None
    assert result.verification.passed is False
    assert result.verification.evidence.endswith("smart-x: Nothing says why.")
    assert dict(result.bill.by_purpose)["check"] > 0
    assert "Because." in smart.calls[0].messages[0].text


def test_a_judge_that_no_cap_has_room_for_could_not_tell(story):
    """The work is paid and stands; the verdict says that nobody judged."""
    story.options = RunOptions(judge="The answer says why.", budget=Budget(calls=1))
    smart = ScriptedModel("smart-x", [], PRICE)
    result = story.run("Because.", smart_model=smart)
    assert result.answer == "Because."
    assert result.verification is not None
    assert result.verification.passed is None
    assert "could not be asked" in result.verification.evidence


def test_a_schema_looks_at_the_answer(story):
    """It decides on the last message of the work."""
    pytest.importorskip("jsonschema")
    story.options = RunOptions(answer_schema={"type": "array"})
    assert story.run("[1]").verification.passed is True
    story.options = RunOptions(answer_schema={"type": "array"})
    assert story.run("Done.").verification.passed is False


def test_the_options_of_checks_go_on_as_they_were_recorded(story, call):
    """Globs, schema and rubric run nothing: they need not be given again."""
    pytest.importorskip("jsonschema")
    story.options = RunOptions(answer_schema={"type": "array"}, protect=["a.txt"], budget=Budget(turns=1))
    story.run(completion(call.writing("a.txt", "1\n")), "Not finished.")
    result = story.resume("[1]", budget=Budget(turns=9))
    assert result.verification is not None
    assert result.verification.by == ("protect a.txt", "answer schema")
    assert result.verification.passed is False
    assert "a.txt (created)" in result.verification.evidence


@needs_bubblewrap
def test_a_written_conftest_gets_no_key_and_is_named_in_the_result(story, call, monkeypatch):
    """From the option to the verdict: the command runs in the sandbox, without what the run itself needs."""
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-attack-0123456789")
    conftest = "import os\n\nprint('SEEN', dict(os.environ))\n"
    story.options = RunOptions(checks=[f"{sys.executable} -m pytest -q -s -p no:cacheprovider ."])
    result = story.in_real_time(
        "run",
        completion(call.writing("conftest.py", conftest)),
        completion(call.writing("test_a.py", "def test_a(): pass\n")),
        "Done.",
    )
    verification = result.verification
    assert verification is not None
    assert verification.passed is True
    assert "files that can decide how this check runs: conftest.py (created)" in verification.evidence
    assert "SEEN" in verification.evidence
    assert "sk-ant" not in verification.evidence
    assert "ANTHROPIC" not in verification.evidence
