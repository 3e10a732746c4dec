"""The table of requirements stays true: every row is there, and every test that it names."""

import ast
import re
from functools import cache
from pathlib import Path

import attrs
import pytest

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "rfcs" / "requirements.md"
MOST_OPEN = 0
"""Rows that nothing holds yet. This number only ever goes down."""

RANGES = {"A": 55, "B": 71, "C": 54, "D": 47, "E": 47}
NEVER_GIVEN = {"B-048"}
BESIDES = {"B-075"}
DECISIONS = 40
NAMED_TEST = re.compile(r"`(tests/[\w/]+\.py)::(\w+)`")


@attrs.frozen
class Row:
    """One requirement: its id, its four cells in all."""

    id: str
    requirement: str
    value: str
    held_by: str

    @property
    def is_open(self) -> bool:
        return self.held_by == "open" or self.held_by.startswith("open: ")

    @property
    def decisions(self) -> list[int]:
        return [int(number) for number in re.findall(r"\bdecision (\d+)", self.held_by)]


def table(first_cell: str) -> list[list[str]]:
    """Return the cells of every line whose first cell matches."""
    lines = PAGE.read_text().splitlines()
    cells = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]
    return [line for line in cells if line and re.fullmatch(first_cell, line[0])]


ROWS = [Row(*cells) for cells in table(r"[A-Z]-\d+")]


@cache
def names_in(file: str) -> frozenset[str]:
    """Return the names of the tests in a file."""
    path = ROOT / file
    if not path.is_file():
        return frozenset()
    found = ast.walk(ast.parse(path.read_text()))
    return frozenset(
        node.name
        for node in found
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def named_tests(page: Path) -> list[tuple[str, str]]:
    """Return each test that a page names."""
    return NAMED_TEST.findall(page.read_text())


def test_every_id_is_there_once() -> None:
    """No row is lost, doubled or made up."""
    wanted = {f"{letter}-{n:03}" for letter, last in RANGES.items() for n in range(1, last + 1)}
    assert sorted(row.id for row in ROWS) == sorted(wanted - NEVER_GIVEN | BESIDES)


def test_every_decision_is_there_once() -> None:
    """Decisions are numbered without a gap, and each has a topic and a text."""
    decisions = table(r"\d+")
    assert [int(cells[0]) for cells in decisions] == list(range(1, DECISIONS + 1))
    assert all(len(cells) == 3 and all(cells) for cells in decisions)


@pytest.mark.parametrize("row", ROWS, ids=[row.id for row in ROWS])
def test_a_row_is_held_decided_or_open(row: Row) -> None:
    """It says what is wanted, and which tests or decision hold it; nothing else stands in its last cell."""
    assert row.requirement
    rest = NAMED_TEST.sub("", row.held_by)
    rest = re.sub(r"\bdecision \d+", "", rest).strip(", ")
    assert row.is_open or (row.held_by and not rest), row.held_by
    assert all(1 <= number <= DECISIONS for number in row.decisions)


def test_every_named_test_exists() -> None:
    """Whoever renames a test renames it here, too."""
    missing = [f"{file}::{name}" for file, name in named_tests(PAGE) if name not in names_in(file)]
    assert missing == []


def test_open_rows_only_shrink() -> None:
    """A row that is held now lowers the number in this file; no row becomes open again."""
    opened = [row.id for row in ROWS if row.is_open]
    assert len(opened) == MOST_OPEN, opened
