"""The estimate of a task's output, held against common sense written down before it."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.policy.estimator import MOST_TOKENS, UNKNOWN_TOKENS, estimate_output_tokens

TABLE = tomllib.loads(Path(__file__).with_name("tasks.toml").read_text("utf-8"))["task"]
UNSEEN = tomllib.loads(Path(__file__).with_name("tasks_unseen.toml").read_text("utf-8"))["task"]


def misses(table: list[dict]) -> list[str]:
    """Return the tasks whose estimate is outside their bounds."""
    return [
        row["text"]
        for row in table
        if not row["low_tokens"] <= estimate_output_tokens(row["text"]) <= row["high_tokens"]
    ]


def test_the_rfcs_own_example_comes_out_near_15000():
    """ "Generate CRUD endpoints for 5 entities" is within a factor of two of the RFC's figure."""
    assert 7_500 <= estimate_output_tokens("Generate CRUD endpoints for 5 entities") <= 30_000


def test_a_typo_is_far_below_the_threshold():
    """The small task of the requirements comes out at less than half of the threshold."""
    assert estimate_output_tokens("Fix a typo in user profiles page") < 1_000


def test_most_of_the_thirty_tasks_fall_within_their_bounds():
    """Of the tasks set down before the estimator, more than 25 come out as expected."""
    assert len(TABLE) == 30
    assert len(misses(TABLE)) < 5, misses(TABLE)


def test_most_tasks_that_it_was_not_written_on_fall_within_their_bounds():
    """Of tasks written down after the estimator was finished, at least three in four come out as expected."""
    assert len(misses(UNSEEN)) <= len(UNSEEN) // 4, misses(UNSEEN)


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("Write tests for the parser module", "Write tests for 4 modules"),
        ("Write tests for 4 modules", "Write tests for 40 modules"),
        ("Rename a function", "Rename a function in all files"),
        ("Fix a bug", "Write a function"),
        ("Write a function", "Write a class"),
        ("Write a class", "Write a service"),
        ("Write a simple service", "Write a comprehensive service"),
        ("Explain the module", "Explain all modules"),
        ("Explain the service", "Rewrite the service"),
        ("Write a 200 word summary", "Write a 2000 word summary"),
        ("Fix a bug", "Fix a bug. Then write a class."),
    ],
)
def test_more_work_is_more_output(smaller: str, larger: str):
    """The estimate grows with number, size and kind of what is to be written."""
    assert estimate_output_tokens(smaller) < estimate_output_tokens(larger)


@pytest.mark.parametrize("task", ["", "   ", "Lorem ipsum dolor sit amet", "Почини парсер", "\x00\x01"])
def test_unknown_text_gets_a_sane_default(task: str):
    """What says nothing known is taken for a middling task, well below the threshold."""
    assert UNKNOWN_TOKENS <= estimate_output_tokens(task) < 2_000


def test_a_pasted_log_does_not_make_a_task_endless():
    """Material that comes with the task adds a bounded amount."""
    log = "\n".join(f"2026-11-21 12:00:{i % 60:02} ERROR worker {i} failed in handler" for i in range(20_000))
    assert estimate_output_tokens(f"Fix the crash in the log below.\n{log}") < 10_000


@given(task=st.text(max_size=200))
def test_any_text_gets_a_bounded_whole_number(task: str):
    """The estimate is a positive whole number whatever the task says."""
    assert 1 <= estimate_output_tokens(task) <= MOST_TOKENS


@pytest.mark.parametrize(
    ("compound", "its_last_word"),
    [
        ("Write a database migration", "Write a migration"),
        ("Write a database table migration", "Write a migration"),
        ("Write a test suite", "Write a suite"),
        ("Write a database for the migration", "Write a database"),
        ("Write a migration of the database", "Write a migration"),
    ],
)
def test_the_last_word_of_a_compound_says_what_is_written(compound, its_last_word):
    """Of nouns that stand apart, the first one does."""
    assert estimate_output_tokens(compound) == estimate_output_tokens(its_last_word)
