"""What the views know of a run."""

from decimal import Decimal

import attrs
import pytest

from sunwell.cli.progress import Progress
from sunwell.core.model import Usage
from sunwell.core.task import TaskResult
from sunwell.events import (
    ModelCallFinished,
    ModelCallStarted,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
)
from sunwell.report.figures import told_arguments

STARTED = ModelCallStarted("run/work", 0, "haiku", "work", 1)
FINISHED = ModelCallFinished(
    "run/work", 0, "haiku", "work", 1, usage=Usage(10, 5), cost_usd=Decimal("0.25"), stop="end"
)


def seen(*events) -> Progress:
    """Return what is known after *events*."""
    progress = Progress()
    for event in events:
        progress.see(event)
    return progress


def test_calls_of_one_span_add_up() -> None:
    """A row has the calls, the tokens and the cost of its span and purpose."""
    progress = seen(RunStarted("01", "Do it", "opus"), STARTED, FINISHED, STARTED, FINISHED)
    (row,) = progress.rows.values()
    assert (row.who, row.model, row.calls, row.usage) == ("work", "haiku", 2, Usage(20, 10))
    assert (row.cost_usd, progress.cost_usd, row.state) == (Decimal("0.50"), Decimal("0.50"), "done")
    assert progress.task == "Do it"


def test_a_tool_is_what_its_span_does() -> None:
    """While a tool runs, the row names it and its file."""
    tool = ToolCallStarted("run/work", "write_file", "path='a/b.py' content='x'")
    (row,) = seen(STARTED, FINISHED, tool).rows.values()
    assert (row.doing, row.state) == ("write_file a/b.py", "busy")


def test_a_failed_tool_is_told() -> None:
    """A tool that fails is what the row shows, until the next call."""
    failed = ToolCallFinished("run/work", "edit_file", True, 0.1)
    (row,) = seen(STARTED, FINISHED, failed).rows.values()
    assert row.doing == "edit_file failed"


def test_the_closing_call_has_a_row_of_its_own() -> None:
    """The same span for another purpose is another row."""
    closing = ModelCallStarted("run/work", 3, "haiku", "closing", 1)
    assert [row.who for row in seen(STARTED, FINISHED, closing).rows.values()] == ["work", "closing"]


@pytest.mark.parametrize(
    ("event", "cost"),
    [
        pytest.param(
            ModelCallFinished("run/work", 0, "haiku", "work", usage=Usage(1, 1)), None, id="no-price"
        ),
        pytest.param(ModelCallFinished("run/work", 0, "haiku", "work"), None, id="no-usage"),
        pytest.param(
            ModelCallFinished("run/work", 0, "haiku", "work", error="down"), Decimal(0), id="failed"
        ),
    ],
)
def test_an_unknown_cost_is_unknown_in_the_sum(event: ModelCallFinished, cost: Decimal | None) -> None:
    """An answer without a price makes the sum unknown; a failed call without usage adds nothing."""
    progress = seen(STARTED, event)
    assert progress.cost_usd == cost
    assert seen(STARTED, FINISHED, STARTED, event).cost_usd == (None if cost is None else Decimal("0.25"))


def test_what_was_going_on_at_the_end_was_stopped() -> None:
    """A row that was busy when the run ended is neither done nor failed."""
    over = RunFinished("01", TaskResult("Do it", "cancelled", "cancelled"))
    (row,) = seen(STARTED, over).rows.values()
    assert row.state == "stopped"


@pytest.mark.parametrize(
    ("summary", "told"),
    [
        pytest.param("path='a.py' content='path=1'", "a.py", id="path"),
        pytest.param("command=\"make 'it'\"", "make 'it'", id="command"),
        pytest.param("depth=3", "depth=3", id="nothing-known"),
        pytest.param("path='a\x1b[31mb'", "a\\x1b[31mb", id="escapes"),
        pytest.param("path='" + "x" * 1099 + "'", "x" * 999 + "…", id="long"),
    ],
)
def test_of_the_arguments_the_main_one_is_shown(summary: str, told: str) -> None:
    """The path or the command, on one line, printable."""
    assert told_arguments(summary) == told


def test_changed_files_are_counted_once() -> None:
    """A file that is written and then edited is one file."""
    wrote = ToolCallFinished("run/work", "write_file", False, 0.1, ("a.py",))
    edited = ToolCallFinished("run/work", "edit_file", False, 0.1, ("a.py", "b.py"))
    (row,) = seen(STARTED, FINISHED, wrote, edited).rows.values()
    assert row.files == {"a.py", "b.py"}


def test_a_run_that_is_taken_up_shows_all_that_it_has_cost() -> None:
    """What earlier processes spent counts once: an answer from the journal adds nothing to the sum."""
    again = RunStarted("01", "Do it", "opus", resumed=True, spent_usd=Decimal("0.75"))
    replayed = attrs.evolve(FINISHED, replayed=True)
    progress = seen(again, STARTED, replayed, STARTED, FINISHED)
    assert progress.cost_usd == Decimal("1.00")
    (row,) = progress.rows.values()
    assert (row.calls, row.cost_usd) == (2, Decimal("0.50"))
    assert seen(attrs.evolve(again, spent_usd=None), STARTED, FINISHED).cost_usd is None
