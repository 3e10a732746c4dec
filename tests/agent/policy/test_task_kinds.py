"""The kind of a task, told from its words."""

import tomllib
from pathlib import Path

import pytest

from sunwell.agent.policy.task_kinds import KINDS, kind_of

HERE = Path(__file__).parent


def told(name: str) -> tuple[int, list[tuple[str, str, str]]]:
    """Return how many tasks a table has, and those that are filed otherwise than it says."""
    table = tomllib.loads((HERE / name).read_text())
    tasks = [(task, kind) for kind, section in table.items() for task in section["tasks"]]
    return len(tasks), [(task, kind, kind_of(task)) for task, kind in tasks if kind_of(task) != kind]


def test_tasks_in_ordinary_english_have_the_kind_that_a_reader_gives_them() -> None:
    """The table was written before the rules, of which the first version told 56 of its 60 tasks."""
    assert told("tasks_kinds.toml") == (60, [])


def test_tasks_that_were_written_afterwards_mostly_have_it() -> None:
    """20 of 33 were told before words were added that the table showed to be missing, 28 after."""
    count, missed = told("tasks_kinds_unseen.toml")
    assert count == 33
    assert len(missed) <= 5, missed


def test_both_tables_have_all_ten_kinds() -> None:
    """No kind exists only in the code."""
    for name in ("tasks_kinds.toml", "tasks_kinds_unseen.toml"):
        assert set(tomllib.loads((HERE / name).read_text())) == set(KINDS)
    assert len(KINDS) == 10


@pytest.mark.parametrize("task", ["", "   ", "…", "```\nfix the bug\n```", "日本語のタスク"])
def test_a_task_that_says_nothing_known_is_other(task: str) -> None:
    """Material in a fence asks for nothing."""
    assert kind_of(task) == "other"


def test_capitals_courtesy_and_length_change_nothing() -> None:
    """The first words decide."""
    assert kind_of("Could you please RENAME the class OrderManager?") == "edit"
    assert kind_of("Rename the class OrderManager. " + "It is used in many places. " * 5_000) == "edit"
