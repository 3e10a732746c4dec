"""The live view on terminals of any width."""

import io
from decimal import Decimal

import pytest
from rich.console import Console

from sunwell.cli.live_view import LiveView
from sunwell.core.model import Usage
from sunwell.core.task import TaskResult
from sunwell.events import (
    DelegationStarted,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    RunFinished,
    RunStarted,
    ToolCallStarted,
    WorkerFinished,
    WorkerQueued,
    WorkerStarted,
)

EVENTS = (
    RunStarted("01", "Write the endpoints [bold]of[/bold] five entities", "claude-opus-5-5"),
    DelegationStarted("Write", "claude-opus-5-5", "claude-haiku-5-5", "it is long"),
    ModelCallStarted("run/lens", 0, "claude-opus-5-5", "lens"),
    ModelCallFinished(
        "run/lens", 0, "claude-opus-5-5", "lens", usage=Usage(3000, 200), cost_usd=Decimal("0.02")
    ),
    ModelCallStarted("run/work", 0, "claude-haiku-5-5", "work", 1),
    ToolCallStarted("run/work", "write_file", "path='shop/endpoints/order.py' content='…'"),
)


def shown(width: int, *events, entered: bool = False) -> str:
    """Return what a terminal of *width* columns shows after *events*."""
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=entered, color_system=None, legacy_windows=False)
    view = LiveView(console, Decimal("0.50"))
    if entered:
        with view:
            for event in events:
                view.see(event)
        return out.getvalue()
    for event in events:
        view.see(event)
    out.truncate(out.seek(0))
    console.print(view.render())
    return out.getvalue()


@pytest.mark.parametrize("width", [60, 80, 99, 100, 140, 200])
def test_the_table_fits_the_terminal(width: int) -> None:
    """No line is wider than the terminal, and the essentials are there at any width."""
    text = shown(width, *EVENTS)
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    for essential in ("lens", "work", "claude-haiku-5-5", "$0.02", "of $0.50", "write_file"):
        assert essential in text, essential
    assert ("3,000 in 200 out" in text) == (width >= 100)


@pytest.mark.parametrize("width", [40, 60, 80, 100, 160])
def test_who_asked_for_whom_is_seen_and_figures_are_whole(width: int) -> None:
    """Workers stand below whoever asked for them, by their tasks; no figure is cut at any width."""
    events: list[Event] = [ModelCallStarted("run/boss", 0, "claude-opus-5-5", "orchestrate")]
    for number in range(3):
        span = f"run/boss/task-{number}"
        task = f"Part {number} of 3: write it down and say what it is"
        bill = {"usage": Usage(3000, 200), "cost_usd": Decimal("0.000134")}
        events += [
            WorkerQueued(span, str(number), task, 1, "run/boss"),
            ModelCallFinished(span, 0, "claude-haiku-5-5", "work", 1, **bill),
            ModelCallStarted(span, 1, "claude-haiku-5-5", "work", 1),
        ]
    boss, *workers = shown(width, *events).splitlines()[:4]
    assert boss.index("orch") + 2 == workers[0].index("Part")
    for number, line in enumerate(workers):
        assert f"Part {number}" in line
        assert "1 call " in line
        assert "$0.000134" in line
        assert ("claude-haiku-5-5" in line) == (width >= 50)
        assert (f"Part {number} of 3: write it down and say what it is" in line) == (width >= 160)


def test_markup_in_a_task_is_only_text() -> None:
    """Brackets in what a user or a model wrote are shown as they are."""
    assert "[bold]of[/bold]" in shown(120, *EVENTS)


def test_notices_scroll_by_above_the_table() -> None:
    """What must not be missed is printed once, and the last state of the table stays."""
    over = RunFinished("01", TaskResult("Write", "ok", "end"))
    text = shown(100, *EVENTS, over, entered=True)
    assert "delegating to claude-haiku-5-5: it is long" in text
    assert "work" in text.rpartition("delegating")[2]


def test_somebody_can_be_asked_in_between() -> None:
    """While the view is paused nothing is drawn, and afterwards it goes on."""
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system=None)
    with LiveView(console) as view:
        view.see(EVENTS[2])
        with view.paused():
            before = len(out.getvalue())
            view.see(EVENTS[3])
            assert len(out.getvalue()) == before
        assert "$0.02" in out.getvalue()[before:]


def test_a_crowd_fits_the_page() -> None:
    """Of many workers, those that are busy are shown, and how many there are besides."""
    done = [
        ModelCallFinished(
            f"run/worker-{i:03d}", 0, "haiku", "work", 1, usage=Usage(1, 1), cost_usd=Decimal(1)
        )
        for i in range(100)
    ]
    busy = [ModelCallStarted("run/worker-007", 1, "haiku", "work", 1)]
    text = shown(100, *done, *busy)
    assert "worker-007" in text
    assert "… and 88 more" in text
    assert "$100.00 of $0.50" in text
    assert len(text.splitlines()) <= 16


def batch_of(count: int) -> list[Event]:
    """Return the events of *count* workers: two thirds over, one of them failed, four at work."""
    spans = [f"run/task-{i}" for i in range(count)]
    events: list[Event] = [RunStarted("01", f"{count:,} tasks, each for a worker", "haiku")]
    events += [WorkerQueued(span, span, f"Describe the module {i}", 1) for i, span in enumerate(spans)]
    over = count * 2 // 3
    for i, span in enumerate(spans[: over + 4]):
        events += [WorkerStarted(span, span, "haiku", 1), ModelCallStarted(span, 0, "haiku", "work", 1)]
        if i < over:
            failed = "HTTP 500" if i == 7 else ""
            events.append(ModelCallFinished(span, 0, "haiku", "work", 1, cost_usd=Decimal(0), error=failed))
            result = TaskResult("Describe", "error" if failed else "ok", "model_error" if failed else "end")
            events.append(WorkerFinished(span, span, i, result))
    return events


@pytest.mark.parametrize("width", [60, 100, 160])
@pytest.mark.parametrize("count", [20, 1_000])
def test_a_batch_says_how_many_are_where(width: int, count: int) -> None:
    """Workers are named by what tells them apart, and counted: done, failed, running, waiting."""
    text = shown(width, *batch_of(count))
    over = count * 2 // 3
    counts = f"{over - 1} done · 1 failed · 4 running · {count - over - 4} waiting"
    assert counts in text
    assert len(text.splitlines()) <= 17
    assert max(len(line.rstrip()) for line in text.splitlines()) <= width
    assert all(f" Describe the module {i} " in text for i in range(over, over + 4))
    assert "✗ Describe the module 7 " in text


def test_without_room_workers_are_named_by_what_tells_them_apart() -> None:
    """What all tasks begin with is left out."""
    text = shown(40, *batch_of(20))
    assert all(f"…{i} " in text for i in range(13, 17))
    assert "✗ …7 " in text
