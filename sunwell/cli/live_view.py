"""The live view: a table of who does what and what it has cost, redrawn as events arrive."""

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from decimal import Decimal
from typing import TYPE_CHECKING

import attrs

from sunwell.cli.output import above, cell, holding, when_free
from sunwell.cli.plain_view import Refusals
from sunwell.cli.progress import Progress, Row
from sunwell.cli.terminal import broken
from sunwell.events import Event, ModelTextArrived
from sunwell.report.event_lines import line_of, notice
from sunwell.report.figures import columns_of, dollars, fitted, fitted_name, rounded, seconds_text
from sunwell.tools.wording import shown

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

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
        for part in broken(shown(line, kept=""), max(20, self.console.width - 2)).split("\n"):
            self.console.print(cell(f"  {part}", "dim", no_wrap=True), soft_wrap=True)

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
        cap = "" if self.max_usd is None else f" of {rounded(self.max_usd)}"
        return f"{rounded(self.progress.cost_usd)}{cap} · {seconds_text(time.monotonic() - self._began)}"


def draw(progress: Progress, footer: str, width: int, frame: str = " ") -> "RenderableType":
    """Return *progress* as a table for a terminal of *width* columns, with *footer* as its last line."""
    from rich.console import Group

    shown, hidden = _most_telling(tuple(progress.rows.values()))
    lines = [_line(f"  {line}", "bold") for line in _head(progress.task, width)]
    tables = [[_cells(row, row.who, width, frame) for row in shown]]
    if _wanted(tables[0], width) > width:  # what distinguishes the tasks is what has to be seen
        tables.append([_cells(row, progress.name(row), width, frame) for row in shown])
    lines += _table(tables[-1], width)
    if hidden:
        lines.append(_line(f"  … and {hidden:,} more", "dim"))
    if counts := progress.crowd.counts():
        lines += [_line(f"  {part}") for part in broken(counts, max(20, width - 2)).split("\n")]
    return Group(*lines, _line(f"  {fitted(footer, width - 2)}", "bold"))


def _line(text: str, style: str = "") -> "Text":
    return cell(text, style, no_wrap=True)


def _head(task: str, width: int) -> list[str]:
    """Return the task in at most two lines."""
    room = max(20, width - 4)
    return broken(fitted(task, 2 * room - _LOST_AT_LINE_END), room).split("\n")[:2] if task else []


_LOST_AT_LINE_END = 12
"""Columns that a word may leave free at the end of a line."""
_WHO, _MODEL, _CALLS, _TOKENS, _COST, _DOING = range(6)
_RIGHT = (_CALLS, _TOKENS, _COST)
_LEAST_DOING = 10
_LEAST_WHO = 16


def _table(rows: list[list[tuple[str, str]]], width: int) -> list["Text"]:
    """Return the lines of *rows*, cells with their styles; each column is as wide as what is in it.

    If there is less room, the figures stay whole, and the first and the last column share the rest.
    """
    from rich.text import Text

    if not rows:
        return []
    gap = _gap(width)
    wanted = _natural(rows)
    least_who = max(columns_of(_first_word(row[_WHO][0])) for row in rows)
    widths = _widths(wanted, width - gap * (sum(map(bool, wanted)) - 1), least_who)
    fit = {_WHO: _fitted_who, _MODEL: fitted_name}
    cut = [[fit.get(at, fitted)(row[at][0], most) for at, most in enumerate(widths)] for row in rows]
    used = [max(columns_of(texts[at]) for texts in cut) if most else 0 for at, most in enumerate(widths)]
    lines = []
    for row, texts in zip(rows, cut, strict=True):
        parts: list[Text] = []
        for at, text in enumerate(texts):
            if not used[at]:
                continue
            space = " " * (used[at] - columns_of(text))
            part = cell(space + text if at in _RIGHT else text + space, no_wrap=True)
            mark = len(text) - len(text.lstrip(" ")) if at == _WHO else None
            part.stylize(row[at][1], *(() if mark is None else (mark, mark + 1)))
            parts.append(part)
        lines.append(cell(" " * gap, no_wrap=True).join(parts))
        lines[-1].rstrip()
    return lines


def _gap(width: int) -> int:
    return 2 if width >= 80 else 1


def _natural(rows: list[list[tuple[str, str]]]) -> list[int]:
    """Return how wide the longest text of each column is."""
    return [max(columns_of(row[at][0]) for row in rows) for at in range(len(rows[0]))]


def _wanted(rows: list[list[tuple[str, str]]], width: int) -> int:
    """Return how many columns *rows* take if nothing is cut."""
    wanted = [size for size in _natural(rows) if size] if rows else []
    return sum(wanted) + _gap(width) * max(0, len(wanted) - 1)


def _first_word(who: str) -> str:
    """Return the indent, the mark and the first word of a name."""
    start = len(who) - len(who.lstrip(" ")) + 2
    return who[:start] + who[start:].partition(" ")[0][:_LEAST_WHO] + "…"


def _fitted_who(text: str, columns: int) -> str:
    """Return a name with the mark before it, which is not cut off."""
    start = len(text) - len(text.lstrip(" ")) + 2
    return text[:start] + fitted(text[start:], columns - start)


def _widths(wanted: list[int], room: int, least_who: int) -> list[int]:
    """Return the widths of the columns, which together take at most *room*."""
    widths = list(wanted)
    widths[_MODEL] = min(wanted[_MODEL], max(12, room // 3))
    left = room - sum(widths[at] for at in (_MODEL, *_RIGHT))
    if wanted[_WHO] + wanted[_DOING] > left:
        most = max(left - wanted[_WHO], min(left * 2 // 5, left - least_who))
        widths[_DOING] = min(wanted[_DOING], most)
        if widths[_DOING] < min(wanted[_DOING], _LEAST_DOING):  # no room for a word
            widths[_DOING] = 0
        widths[_WHO] = max(8, min(wanted[_WHO], left - widths[_DOING]))
    return widths


def _cells(row: Row, name: str, width: int, frame: str) -> list[tuple[str, str]]:
    """Return the cells of *row* with their styles; one is empty if such a terminal has no room for it."""
    mark, style = (frame, "cyan") if row.state == "busy" else _MARKS[row.state]
    calls = f"{row.calls} {'call' if row.calls == 1 else 'calls'}"
    tokens = f"{row.usage.input_tokens:,} in {row.usage.output_tokens:,} out"
    return [
        (f"  {'  ' * row.level}{mark} {name}", style),
        (row.model if width >= _NARROW_COLUMNS else "", "dim" if row.level else ""),
        (calls, ""),
        (tokens if width >= _WIDE_COLUMNS else "", "dim"),
        (dollars(row.cost_usd), ""),
        (_doing(row), "dim" if row.state == "busy" else style),
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
