"""The live view: a table of who does what and what it has cost, redrawn as events arrive."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from sunwell.cli.output import above, cell, holding, when_free
from sunwell.cli.plain_view import Refusals, line_of, notice
from sunwell.cli.progress import Progress, Row
from sunwell.events import Event, ModelTextArrived
from sunwell.report.figures import dollars, one_line, seconds_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.table import Table

_WIDE_COLUMNS = 100
_NARROW_COLUMNS = 50
_MOST_ROWS = 12
_MARKS = {"done": ("✓", "green"), "failed": ("✗", "red"), "stopped": ("…", "yellow")}
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"


@attrs.define(eq=False)
class LiveView:
    """Draws on *console*; warnings and other important lines are printed above the table."""

    console: "Console"
    max_usd: Decimal | None = None
    verbose: bool = False
    progress: Progress = attrs.field(factory=Progress, init=False)
    _live: "Live | None" = attrs.field(default=None, init=False)
    _lines: AbstractContextManager[None] = attrs.field(factory=nullcontext, init=False)
    _began: float = attrs.field(factory=time.monotonic, init=False)
    _is_over: bool = attrs.field(default=False, init=False)
    _refusals: Refusals = attrs.field(factory=Refusals, init=False)

    def see(self, event: Event) -> None:
        """Show *event*."""
        self.progress.see(event)
        if isinstance(event, ModelTextArrived) or self._refusals.repeats(event):
            return
        if more := self._refusals.ended(event):
            self.say(more)
        line = line_of(event, verbose=True) if self.verbose else notice(event)
        if line is not None:
            self.say(line)

    def say(self, line: str) -> None:
        """Print a line above the table, or after the question that is open."""
        when_free(lambda: self._print(line))

    def _print(self, line: str) -> None:
        from rich.padding import Padding

        self.console.print(Padding(cell(line, "dim"), (0, 0, 0, 2), expand=False))

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Hide the table while the user is asked a question; what comes meanwhile is printed after it."""
        live = self._live
        with holding():
            if live is not None:
                live.transient = True
                live.stop()
            try:
                yield
            finally:
                if live is not None and self._live is not None:  # not left meanwhile
                    live.transient = False
                    live.start(refresh=True)

    def render(self) -> "RenderableType":
        """Return the table in its current state."""
        return draw(self.progress, self._footer(), self.console.width, self._frame())

    def __enter__(self) -> "LiveView":
        from rich.live import Live

        self._began = time.monotonic()
        self._live = Live(
            console=self.console,
            get_renderable=self.render,
            refresh_per_second=10,
            redirect_stdout=False,  # it would take escapes in what others print for styles
            redirect_stderr=False,
        )
        self._live.start()
        self._lines = above(self.say)
        self._lines.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        if self._live is not None:
            self._live.stop()
            self._live = None
            self._lines.__exit__(None, None, None)

    def _frame(self) -> str:
        return _FRAMES[int(time.monotonic() * 10) % len(_FRAMES)]

    def _footer(self) -> str:
        cap = "" if self.max_usd is None else f" of {dollars(self.max_usd)}"
        return f"{dollars(self.progress.cost_usd)}{cap} · {seconds_text(time.monotonic() - self._began)}"


def draw(progress: Progress, footer: str, width: int, frame: str = " ") -> "Table":
    """Return *progress* as a table for a terminal of *width* columns, with *footer* as its last line."""
    from rich.table import Table
    from rich.text import Text

    is_wide = width >= _WIDE_COLUMNS
    table = Table.grid(padding=(0, 2 if width >= 80 else 1), expand=False)
    # In a narrow terminal the first and the last column are cut; half a number would be misleading.
    table.add_column(overflow="ellipsis")
    if width >= _NARROW_COLUMNS:
        table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    if is_wide:
        table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="ellipsis", max_width=max(16, width - (85 if is_wide else 58)))
    shown, hidden = _most_telling(tuple(progress.rows.values()))
    for row in shown:
        table.add_row(*_cells(row, progress.name(row), width, frame))
    counts = progress.crowd.counts()
    tail = Text("\n").join(
        [
            *([cell(f"  … and {hidden:,} more", "dim")] if hidden else ()),
            *([cell(f"  {counts}")] if counts else ()),
            cell(f"  {footer}", "bold"),
        ]
    )
    grid = Table.grid()
    grid.add_column(no_wrap=True, overflow="ellipsis")
    if progress.task:
        grid.add_row(cell(f"  {one_line(progress.task, max(20, width - 4))}", "bold"))
    grid.add_row(table)
    grid.add_row(tail)
    return grid


def _cells(row: Row, name: str, width: int, frame: str) -> list["RenderableType"]:
    from rich.text import Text

    mark, style = (frame, "cyan") if row.state == "busy" else _MARKS[row.state]
    calls = f"{row.calls} {'call' if row.calls == 1 else 'calls'}"
    who = one_line(name, max(24, width - _WIDE_COLUMNS))
    cells: list[RenderableType] = [
        Text.assemble("  " + "  " * row.level, cell(mark, style), " ", cell(who), no_wrap=True)
    ]
    if width >= _NARROW_COLUMNS:
        cells.append(cell(one_line(row.model, 40), "dim" if row.level else ""))
    cells.append(cell(calls))
    if width >= _WIDE_COLUMNS:
        cells.append(cell(f"{row.usage.input_tokens:,} in {row.usage.output_tokens:,} out", "dim"))
    return [
        *cells,
        cell(dollars(row.cost_usd)),
        cell(_doing(row), "dim" if row.state == "busy" else style, no_wrap=True),
    ]


def _doing(row: Row) -> str:
    count = len(row.files)
    files = "" if not count else "1 file" if count == 1 else f"{count} files"
    return " · ".join(part for part in (files, row.doing) if part)


def _most_telling(rows: tuple[Row, ...]) -> tuple[list[Row], int]:
    """Return the rows that fit a page, in their order, and how many are left out.

    Busy rows are kept first, then failed ones; within each group, the latest.
    """
    if len(rows) <= _MOST_ROWS:
        return list(rows), 0
    states = ("busy", "failed", "stopped", "done")
    places = sorted(range(len(rows)), key=lambda place: (states.index(rows[place].state), -place))
    return [rows[place] for place in sorted(places[:_MOST_ROWS])], len(rows) - _MOST_ROWS
