"""Last messages as models write them: early stops are caught, and sound answers are left alone.

``final_answers`` was written before the rules, ``held_back_answers`` after they had read the first table, and
``third_answers`` after they had been corrected by both. On their first run, the rules took 15 of 15, 13 of 18
and 9 of 12 early stops for announcements (all 45 had some fact), and flagged none of 30, none of 32, one of
22 sound answers. The tables and the rules have one author.
"""

import attrs
import pytest

from sunwell.agent.conversation.facts_seen import FactsAsked, seen_call
from sunwell.agent.run.toolset import Toolset
from sunwell.checks.facts import Fact
from tests.checks import final_answers, held_back_answers, third_answers
from tests.checks.final_answers import Case

AMBIGUOUS = {"then-verify", "bare-gerund"}
"""Early stops that could as well be advice or a report: "Next step: run `npm ci`." They are left alone."""
STOPS = (*final_answers.EARLY_STOPS, *held_back_answers.EARLY_STOPS, *third_answers.EARLY_STOPS)
SOUND = (*final_answers.SOUND_ANSWERS, *held_back_answers.SOUND_ANSWERS, *third_answers.SOUND_ANSWERS)


def facts_about(case: Case) -> tuple[Fact, ...]:
    calls = [seen_call(done.call, done.result, None) for done in case.done]
    tools = attrs.evolve(Toolset((), frozenset(), {}), granted=frozenset(case.tools))
    return FactsAsked("all", case.task, case.targets).found(case.answer, calls, tools)


def test_the_tables_are_as_large_as_they_say() -> None:
    """Fifteen early stops and thirty sound answers at least, twice."""
    for table in (final_answers, held_back_answers):
        assert len(table.EARLY_STOPS) >= 15
        assert len(table.SOUND_ANSWERS) >= 30


@pytest.mark.parametrize("case", STOPS, ids=[case.id for case in STOPS])
def test_an_early_stop_is_caught(case: Case) -> None:
    """The model is told that it announced an action, and did not report."""
    found = [fact.kind for fact in facts_about(case) if fact.told]
    assert ("announced_action" in found) is (case.id not in AMBIGUOUS)


@pytest.mark.parametrize("case", SOUND, ids=[case.id for case in SOUND])
def test_a_sound_answer_is_left_alone(case: Case) -> None:
    """Nothing is told, and nothing is unresolved."""
    assert facts_about(case) == ()
