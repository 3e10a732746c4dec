"""A task climbs: cheap, repaired with the evidence, under a lens, by a second model, by the smart one."""

import asyncio
from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.context import RunOptions, SessionContext
from sunwell.core.check import Checking, Verdict
from sunwell.core.model import Completion, Request
from sunwell.core.task import Budget
from sunwell.errors import ConfigurationError, ModelError
from sunwell.events import CHECK_FINISHED, RUNG_STARTED
from sunwell.testing import ScriptedModel, completion
from tests.agent.ladder.ladder_parts import LENS, TASK, climb, holds_42, priced, writes

ALL = ("cheap", "cheap_again", "second", "smart", "lens")


def rungs(result: object) -> list[str]:
    """Return the names of the rungs that were climbed."""
    return [attempt.rung for attempt in result.verification.attempts]  # type: ignore[attr-defined]


def test_work_that_passes_costs_nothing_but_itself(workspace: Path) -> None:
    """No lens is written and no other model is asked: the first check decides."""
    cheap, smart = priced("cheap", [writes("42"), "Done."], 1), priced("smart", [], 10)
    result = asyncio.run(climb(workspace, cheap, smart))
    assert (result.status, result.answer, rungs(result)) == ("ok", "Done.", ["cheap"])
    assert result.verification is not None
    assert result.verification.passed
    assert result.bill.cost_usd == Decimal("0.00007")
    assert smart.calls == []


def test_a_repair_goes_on_in_the_same_conversation_with_the_evidence(workspace: Path) -> None:
    """The cheap model sees its own steps and what the check found, and passes on the second rung."""
    cheap = priced("cheap", [writes("41"), "Done.", writes("42"), "Corrected."], 1)
    result = asyncio.run(climb(workspace, cheap, priced("smart", [], 10)))
    assert (result.status, result.answer, rungs(result)) == ("ok", "Corrected.", ["cheap", "cheap_again"])
    before, told = list(cheap.calls[1].messages), list(cheap.calls[2].messages)
    assert told[: len(before)] == before
    assert told[len(before)].text == "Done."
    assert "answer.txt holds 41" in told[-1].text
    assert "only your last message is read" in told[-1].text


def test_each_rung_is_told_why_the_one_before_failed_and_stands_in_the_bill(workspace: Path) -> None:
    """All five, none of which passes: evidence, reason, price and cost of each are in the result."""
    cheap = priced("cheap", [writes("1"), "1", writes("2"), "2", writes("5"), "5"], 1)
    second = priced("second", [writes("3"), "3"], 3)
    smart = priced("smart", [writes("4"), "4", LENS], 20)
    result = asyncio.run(climb(workspace, cheap, smart, second))
    assert rungs(result) == [*ALL[:4], "lens"]
    assert (result.status, result.stop_reason, result.answer) == ("incomplete", "check_failed", "5")
    found = result.verification
    assert found is not None
    assert found.passed is False
    assert "every rung was tried" in found.gave_up
    assert [attempt.evidence.split()[-1] for attempt in found.attempts] == ["1", "2", "3", "4", "5"]
    for attempt in found.attempts:
        assert attempt.reason
        assert attempt.quoted_usd
        assert attempt.cost_usd
    lines = {(line.rung, line.model, line.depth, line.purpose) for line in result.bill.lines}
    assert lines == {
        ("cheap", "cheap", 1, "work"),
        ("cheap_again", "cheap", 1, "work"),
        ("second", "second", 0, "work"),
        ("smart", "smart", 0, "work"),
        ("lens", "smart", 0, "lens"),
        ("lens", "cheap", 1, "work"),
    }
    assert sum(attempt.cost_usd or 0 for attempt in found.attempts) == result.bill.cost_usd
    assert "answer.txt holds 2" in second.calls[0].messages[0].text
    assert "Its changes are still in the files: answer.txt" in second.calls[0].messages[0].text
    assert "answer.txt holds 3" in smart.calls[0].messages[0].text
    lens_prompt = smart.calls[2].messages[0].text
    assert "-0\n+4" in lens_prompt
    assert "answer.txt holds 4" in lens_prompt
    assert "This task has been tried" in smart.calls[2].system[0]
    assert "4 attempts so far, by cheap, cheap, second, smart" in lens_prompt
    assert smart.calls[0].effort == "low"


def test_with_fresh_a_new_conversation_begins_on_the_original_files(workspace: Path) -> None:
    """A repair goes on with its own files; every other rung finds those of before the run."""
    seen: list[str] = []

    def look(request: object) -> str:
        seen.append((workspace / "answer.txt").read_text().strip())
        return "I wrote nothing."

    cheap = priced("cheap", [writes("1"), "1", look], 1)
    smart = priced("smart", [look], 10)
    result = asyncio.run(climb(workspace, cheap, smart, fresh=True, ladder=("cheap", "cheap_again", "smart")))
    assert seen == ["1", "0"]
    assert "taken back" in smart.calls[0].messages[0].text
    assert result.files == ()
    assert (workspace / "answer.txt").read_text() == "0\n"


def test_a_check_that_cannot_tell_leaves_the_result_unverified(workspace: Path) -> None:
    """The work is neither wrong nor verified. A second model is asked, but no third."""

    async def unsure(checking: Checking) -> Verdict:
        return Verdict(None, "the service does not answer")

    cheap = priced("cheap", [writes("42"), "Done."], 1)
    smart = priced("smart", ["Done, too."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, checks=(unsure,), ladder=("cheap", "smart")))
    assert result.status == "ok"
    assert result.verification is not None
    assert result.verification.passed is None
    assert "could not tell" in result.verification.gave_up


def test_a_check_that_raises_could_not_tell(workspace: Path) -> None:
    """The caller's own code may fail; the run goes on, and its evidence names the error."""

    async def broken(checking: Checking) -> Verdict:
        raise RuntimeError("no such table")

    cheap = priced("cheap", [writes("42"), "Done."], 1)
    options = {"checks": (broken,), "ladder": ("cheap",)}
    result = asyncio.run(climb(workspace, cheap, priced("smart", [], 10), **options))
    assert result.verification is not None
    assert result.verification.passed is None
    assert "RuntimeError: no such table" in result.verification.evidence


def test_a_model_that_fails_is_no_result_to_check(workspace: Path) -> None:
    """The next rung is climbed without asking the check."""
    checked: list[str] = []

    async def counted(checking: Checking) -> Verdict:
        checked.append(checking.answer)
        return await holds_42(checking)

    cheap = priced("cheap", [ModelError("it is down", "503")], 1)
    smart = priced("smart", [writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, checks=(counted,)))
    assert rungs(result)[0] == "cheap"
    assert checked == ["Done."]
    assert result.verification is not None
    assert result.verification.passed


def test_no_rung_is_begun_that_does_not_fit_the_money_left(workspace: Path) -> None:
    """The evidence of the last attempt and the reason are kept; the cap holds."""
    cheap = priced("cheap", [writes("1"), "1", writes("2"), "2"], 1)
    smart = priced("smart", [], 1_000)
    result = asyncio.run(climb(workspace, cheap, smart, budget=Budget(usd="0.30")))
    assert rungs(result) == ["cheap", "cheap_again"]
    assert result.verification is not None
    assert "no room" in result.verification.gave_up
    assert "answer.txt holds 2" in result.verification.evidence


def test_a_given_lens_is_used_from_the_first_rung_on(workspace: Path) -> None:
    """None is written besides it."""
    from sunwell import EphemeralLens

    lens = EphemeralLens(("Look twice.",), task_scope="answers")
    cheap = priced("cheap", [writes("1"), "1", writes("2"), "2"], 1)
    smart = priced("smart", [writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, lens=lens))
    assert rungs(result) == ["cheap", "cheap_again", "smart"]
    assert any("Look twice." in section for section in cheap.calls[0].system)


def test_what_happens_is_told_as_it_happens(workspace: Path) -> None:
    """Each rung with its expected cost, and each finding of the checks."""
    told: list[object] = []

    def take(sender: object, event: object) -> None:
        told.append(event)

    RUNG_STARTED.connect(take)
    CHECK_FINISHED.connect(take)
    cheap = priced("cheap", [writes("1"), "1", writes("42"), "2"], 1)
    asyncio.run(climb(workspace, cheap, priced("smart", [], 10)))
    kinds = [(type(one).__name__, getattr(one, "rung", None) or one.passed) for one in told]  # type: ignore[attr-defined]
    assert kinds == [
        ("RungStarted", "cheap"),
        ("CheckFinished", False),
        ("RungStarted", "cheap_again"),
        ("CheckFinished", True),
    ]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"checks": ()}, "there is no check"),
        ({"orchestrate": True}, "--allow-shell"),
        ({"split": True}, "split"),
        ({"delegation_tools": "delegate"}, "--allow-shell"),
        ({"delegation_tools": "rlm"}, "sub-calls have no checks"),
        ({"delegation_tools": "subagent"}, "sub-calls have no checks"),
        ({"orchestrate": True, "fresh": True}, "what other workers did"),
        ({"ladder": ("cheap", "second")}, "--second-model"),
        ({"ladder": ("cheap", "third")}, "no rung 'third'"),
        ({"ladder": ("cheap_again",)}, "no rung to begin with"),
    ],
)
def test_a_ladder_that_cannot_be_climbed_is_refused_before_anything_is_spent(
    workspace: Path, options: dict[str, object], said: str
) -> None:
    """In one sentence that names what is missing or what does not go together."""
    with pytest.raises(ConfigurationError, match=said):
        asyncio.run(climb(workspace, priced("cheap", [], 1), priced("smart", [], 10), **options))


def test_without_escalate_a_check_looks_once_at_the_end(workspace: Path) -> None:
    """Work that fails is not done; nobody is asked again."""
    cheap = priced("cheap", [writes("41"), "Done."], 1)
    result = asyncio.run(climb(workspace, priced("smart", [], 10), cheap, escalate=False, worth_usd=None))
    assert (result.status, result.stop_reason, result.answer) == ("incomplete", "check_failed", "Done.")
    assert result.verification is not None
    assert result.verification.attempts == ()
    assert "answer.txt holds 41" in result.verification.evidence


def test_a_check_that_passes_much_wrong_work_is_not_asked_about_cheap_work(workspace: Path) -> None:
    """If a third of wrong results pass, cheap wrong work would stand too often: the smart model does it."""
    cheap, smart = priced("cheap", [], 1), priced("smart", [writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, worth_usd=None, passes_wrong=0.33))
    assert (rungs(result), result.status) == (["smart"], "ok")


def test_one_model_alone_has_its_two_rungs(workspace: Path) -> None:
    """Without a second and a smart model it is tried, and repaired once."""
    model = priced("only", [writes("1"), "1", writes("2"), "2"], 1)
    options = RunOptions(checks=(holds_42,), escalate=True, worth_usd=100)
    session = SessionContext.build(workspace, TASK, options=options)
    result = asyncio.run(Agent(model=model).run(session).result())
    assert rungs(result) == ["cheap", "cheap_again"]


def test_a_finished_run_gives_the_same_verdict_again(workspace: Path) -> None:
    """Without a check, a model or a word in the journal; an unfinished one must be given its check again."""
    cheap = priced("cheap", [writes("1"), "1", writes("42"), "2"], 1)
    result = asyncio.run(climb(workspace, cheap, priced("smart", [], 10)))
    (workspace / "answer.txt").write_text("7\n")
    again = asyncio.run(Agent().resume(result.run_id, workspace=workspace).result())
    assert again.verification == result.verification
    assert again.bill == result.bill
    assert (again.status, again.answer) == ("ok", "2")


def test_a_run_that_gave_up_for_money_goes_on_with_more(workspace: Path) -> None:
    """What was found and paid before is not asked again; only the next rung is."""
    cheap = priced("cheap", [writes("1"), "1", writes("2"), "2"], 1)
    first = asyncio.run(climb(workspace, cheap, priced("smart", [], 1_000), budget=Budget(usd="0.30")))
    assert "no room" in first.verification.gave_up  # type: ignore[union-attr]
    smart = priced("smart", [writes("42"), "Done."], 1_000)
    nobody = ScriptedModel("cheap", [], price=cheap.price)
    agent = Agent(smart_model=smart, delegation_model=nobody)
    given = {"checks": (holds_42,), "ladder": ("cheap", "cheap_again", "smart")}
    result = asyncio.run(
        agent.resume(
            first.run_id, workspace=workspace, given=given, budget=Budget(usd="100"), accept_changes=True
        ).result()
    )
    assert rungs(result) == ["cheap", "cheap_again", "smart"]
    assert result.verification is not None
    assert result.verification.passed


def test_each_rung_has_the_turns_of_a_piece_of_work(workspace: Path) -> None:
    """A model that goes round in circles on the first one leaves the next one all of its own."""

    def circling(request: Request) -> Completion:
        may_act = request.tool_choice != "none" and bool(request.tools)
        return writes("1") if may_act else completion("Out of turns.")

    cheap = priced("cheap", [circling] * 80, 1)
    smart = priced("smart", [*([writes("3")] * 40), writes("42"), "Done."], 10)
    result = asyncio.run(climb(workspace, cheap, smart, ladder=("cheap", "smart")))
    assert (result.status, result.answer, rungs(result)) == ("ok", "Done.", ["cheap", "smart"])
    assert (len(cheap.calls), len(smart.calls)) == (51, 42)
