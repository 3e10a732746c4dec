"""Terminals of every width: columns take the room that is there, and no word is cut that has room."""

import io
import json
from decimal import Decimal
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.console import Console

from sunwell.cli.live_view import draw
from sunwell.cli.progress import Progress
from sunwell.cli.record_commands import TreeStyle, tree_lines
from sunwell.core.model import Usage
from sunwell.core.task import Bill, BillLine, ModelBill, Total
from sunwell.events import ModelCallFinished, ModelCallStarted, RunStarted, ToolCallStarted, WorkerQueued
from sunwell.journal.tree import Node
from sunwell.report.figures import columns_of, fitted, fitted_name, one_line, rounded
from sunwell.report.summary import bill_lines
from tests.cli.test_narrow import shown

WIDTHS = (40, 60, 80, 120, 200)
TASK = "Describe the module that reads the settings of a project, and say who calls it"
PLACE = "sunwell/config/sources.py"


def words_are_whole(line: str, *texts: str) -> bool:
    """Whether each word before an ellipsis is a word of *texts*, or a path up to a slash."""
    known = {word.rstrip(",") for text in texts for word in text.split()}
    cut = [part.split()[-1] for part in line.split("…")[:-1] if part.split() and not part.endswith(" ")]
    return all(word in known or word.endswith("/") for word in cut)


def progress() -> Progress:
    """Return a run with a worker that writes a file."""
    made, span = Progress(), "run/orchestrator/task-0-0-0"
    for event in (
        RunStarted("01", TASK, "claude-opus-5-5"),
        ModelCallStarted("run/orchestrator", 0, "claude-opus-5-5", "orchestrate"),
        WorkerQueued(span, "01A", TASK, 1, "run/orchestrator"),
        ModelCallStarted(span, 0, "lab/people/claude-haiku-5-5", "work", 1),
        ModelCallFinished(span, 0, "lab/people/claude-haiku-5-5", "work", 1, cost_usd=Decimal("0.000219")),
        ModelCallStarted(span, 1, "lab/people/claude-haiku-5-5", "work", 1),
        ToolCallStarted(span, "write_file", f"path='{PLACE}'"),
    ):
        made.see(event)
    return made


@pytest.mark.parametrize("width", WIDTHS)
def test_the_live_view_cuts_no_word_and_nothing_that_has_room(width: int) -> None:
    """Purposes are whole at any width; tasks, models and paths where there is room for them."""
    out = io.StringIO()
    Console(file=out, width=width).print(draw(progress(), "$0.02", width))
    lines = out.getvalue().splitlines()
    assert max(map(cell_len, lines)) <= width
    assert "orchestrate" in out.getvalue()
    assert all(words_are_whole(line, TASK, "write_file", "orchestrate") for line in lines), lines
    if width == 200:
        assert [part in out.getvalue() for part in ("…", TASK, PLACE)] == [False, True, True]
    assert ("haiku-5-5" in out.getvalue()) == (width >= 50)


@pytest.mark.parametrize("width", [20, 60, 200])
def test_a_short_name_is_whole_whatever_else_is_there(width: int) -> None:
    """A column is as wide as its longest text, not a share of the terminal."""
    made = Progress()
    made.see(ModelCallStarted("run/direct", 0, "m", "work"))
    out = io.StringIO()
    Console(file=out, width=width).print(draw(made, "$0", width))
    assert " work " in out.getvalue()


@pytest.mark.parametrize("width", WIDTHS)
def test_the_tree_cuts_between_words(width: int) -> None:
    """And puts its figures no further to the right than its names are long."""
    tools = tuple(Node("tool", "run", 0, "read_file", "answered", query=place) for place in (PLACE, "a.py"))
    root = Node("run", "run", 0, "r", "ok", query=TASK, duration_ms=1, children=tools)
    lines = list(tree_lines(root, TreeStyle(width)))
    assert max(map(cell_len, lines)) <= min(width, 150)
    assert all(words_are_whole(line, TASK, "read_file") for line in lines), lines
    assert (TASK in lines[0], PLACE in lines[1]) == (width >= 200, True)


def bill() -> Bill:
    """Return the bill of two models, with an id that has a long provider."""
    usage = Usage(1_234_567, 89_012, cache_read_tokens=1_000_000)
    total: Total = Total(12, usage, Decimal("0.0123"))
    names = ("claude-haiku-5-5", "lab/llama-5-instruct")
    models = [ModelBill(name, 12, usage, Decimal("0.0123")) for name in names]
    return Bill(tuple(models), lines=tuple(BillLine(name, "lab", 0, "work", total) for name in names))


@pytest.mark.parametrize("width", WIDTHS)
def test_the_bill_has_names_and_costs_at_any_width(width: int) -> None:
    """Columns that have no room are left out; in a narrow terminal the figures stand below the name."""
    lines = bill_lines(bill(), width)
    assert max(map(columns_of, lines)) <= width
    text = "\n".join(lines)
    assert [text.count(part) for part in ("claude-haiku-5-5", "lab/llama-5-instruct", "$0.0123")] == [1, 1, 2]
    assert ("1,000,000 cached" in text, "1,234,567 in" in text) == (width >= 90, width >= 64)


@pytest.mark.parametrize("width", WIDTHS)
def test_estimates_and_runs_fit(keys: dict[str, str], sunwell, tmp_path: Path, width: int) -> None:
    """No line is longer than the terminal, no figure is broken, and no word is cut."""
    sunwell("run", TASK, "-w", tmp_path, "-m", "haiku")
    estimate = shown(("estimate", TASK), keys, tmp_path, width)
    assert any(line.split()[:1] == ["worst"] for line in estimate) == (width < 50)
    runs = shown(("runs",), keys, tmp_path, width)
    assert max(map(columns_of, (*estimate, *runs))) <= width
    assert all(words_are_whole(line, TASK) for line in runs), runs
    assert len([line for line in runs if line]) == (2 if width < 60 else 1)
    assert (TASK in "".join(runs)) == (width >= 200)


def test_where_nobody_watches_tasks_are_whole(sunwell, tmp_path: Path) -> None:
    """A pipe has no width."""
    long = " ".join([TASK] * 10)
    sunwell("run", long, "-w", tmp_path, "-m", "haiku")
    assert long in sunwell("runs", "-w", tmp_path).stdout
    assert json.loads(sunwell("runs", "-w", tmp_path, "--json").stdout)["runs"][0]["task"] == long


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [
        pytest.param("read the file", 10, "read the…", id="between-words"),
        pytest.param("read the file", 9, "read the…", id="at-the-end-of-a-word"),
        pytest.param("read the file", 8, "read…", id="no-room-for-the-word"),
        pytest.param("read shop/endpoints/order.py", 20, "read shop/…", id="at-a-slash"),
        pytest.param("configuration", 8, "configu…", id="one-word"),
        pytest.param("echo " + "x" * 60, 12, "echo xxxxxx…", id="no-word"),
        pytest.param("work 1 · opus", 10, "work 1…", id="no-sign-at-the-end"),
        pytest.param("日本語 の漢字", 9, "日本語…", id="wide"),
        pytest.param("", 8, "", id="empty"),
    ],
)
def test_texts_are_cut_between_words(text: str, columns: int, cut: str) -> None:
    """A path at a slash; only a single word, or what is longer than words are, is cut inside."""
    assert fitted(text, columns) == cut
    assert columns_of(cut) <= columns


@pytest.mark.parametrize(
    ("text", "columns", "cut"),
    [("lab/people/haiku", 20, "lab/people/haiku"), ("lab/people/haiku", 12, "…/haiku"), ("haiku", 3, "ha…")],
)
def test_of_a_long_name_the_end_is_kept(text: str, columns: int, cut: str) -> None:
    """The end tells models of one provider apart, and files of one folder."""
    assert fitted_name(text, columns) == cut


def test_a_text_is_cut_only_against_floods() -> None:
    """A thousand characters are more than any line needs."""
    assert one_line("word " * 199) == ("word " * 199).rstrip()
    assert one_line("word " * 300) == ("word " * 199) + "word…"


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        (None, "unknown"),
        ("0", "$0"),
        ("0.00001", "under $0.0001"),
        ("0.000219", "$0.0002"),
        ("0.0999", "$0.10"),
        ("1.239", "$1.24"),
    ],
)
def test_the_status_line_has_few_digits(amount: str | None, shown: str) -> None:
    """They change all the time, and only their size is of interest."""
    assert rounded(None if amount is None else Decimal(amount)) == shown
