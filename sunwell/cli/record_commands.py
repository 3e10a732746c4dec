"""Commands about recorded runs: ``runs``, ``show``, ``adopt``, ``export`` and ``prune``."""

import json
import re
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from sunwell.cli.colours import REPORT, RUNS
from sunwell.cli.output import cell, console, say, say_json
from sunwell.cli.shared_options import Chosen, StrictCommand
from sunwell.context.kinds import Seconds, read_text
from sunwell.errors import ConfigurationError, JournalError
from sunwell.journal.layout import RunFile, find_run
from sunwell.journal.reading import read_records
from sunwell.journal.tree import Node

if TYPE_CHECKING:
    from sunwell.core.message import ToolCall
    from sunwell.journal.layout import RunFile
    from sunwell.journal.tree import Node
    from sunwell.report.page.overview import OverviewRow


def require_folder(workspace: Path) -> Path:
    """Return *workspace*. Raises :exc:`~sunwell.errors.ConfigurationError` if it is not a folder."""
    if not workspace.is_dir():
        raise ConfigurationError(f"the workspace {workspace} is not a folder: name an existing one")
    return workspace


def run_in(workspace: Path, run_id: str) -> RunFile:
    """Return the run in *workspace* whose id begins with *run_id*; raises a Sunwell error if none does."""
    return find_run(require_folder(workspace), run_id)


def own_run_in(workspace: Path, run_id: str) -> RunFile:
    """Return the run as :func:`run_in` does, to go on from; raises a Sunwell error if others prepared it."""
    from sunwell.journal.ownership import find_own_run

    return find_own_run(require_folder(workspace), run_id)


def settings_of_run(workspace: Path, run_id: str) -> Mapping[str, Any]:
    """Return the last settings of a run, to go on from."""
    from sunwell.agent.lifecycle.run_settings import latest_settings

    found = own_run_in(workspace, run_id)
    settings = latest_settings(read_records(found.path))
    if not settings:
        raise JournalError(f"{found.path} does not record how the run was started: start a new run")
    return settings


def has_finished(workspace: Path, run_id: str) -> bool:
    """Return whether a run is finished, so that resuming it calls no model."""
    from sunwell.agent.run.run_context import came_to_its_end

    return came_to_its_end(read_records(run_in(workspace, run_id).path))


_WIDE, _MIDDLE, _NARROW = 140, 90, 70
_UNBOUNDED = 1_100
_LEAST_TASK = 24
"""Columns that are enough for a task beside the other columns."""


@click.command(cls=StrictCommand)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the runs.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def runs(workspace: str, as_json: bool) -> None:
    """List the runs of a workspace, newest first: time, status, cost, number of calls, task.

    Status "open" means that the run was interrupted and can be resumed; "running", that a process is
    working on it. "continues" names the run whose conversation a run goes on with. A run with "foreign"
    before its task was not started by you on this machine: see adopt.
    """
    from sunwell.cli.terminal import print_json, terminal_width
    from sunwell.journal.ownership import foreign_warning, key_or_doubt
    from sunwell.report.page.overview import run_rows

    root, (key, doubt) = require_folder(Path(workspace)), key_or_doubt()
    listed = [_object(row) for row in run_rows(root, key)]
    if doubt and listed:
        say(f"note: {foreign_warning(doubt)}", err=True)
    if as_json:
        print_json({"runs": listed})
        return
    width = terminal_width() if sys.stdout.isatty() else _UNBOUNDED
    for line in _run_lines(listed, width) if listed else ():
        say(line, palette=RUNS)
    if not listed:
        say("no runs in this folder yet")


def _object(row: "OverviewRow") -> dict[str, Any]:
    from sunwell.report.figures import exact

    if row.error:
        return {"run_id": row.run_id, "status": row.status, "error": row.error}
    return {
        "run_id": row.run_id,
        "started_at": row.started_at,
        "status": row.status,
        "foreign": row.foreign,
        "calls": row.calls,
        "tool_calls": row.tool_calls,
        "cost_usd": exact(row.usd),
        "uncertain_usd": exact(row.unconfirmed_usd),
        "task": row.task or None,
        "continues": row.continues,
        "journal": row.journal,
    }


def _telling(ids: list[str]) -> int:
    """Return how many characters of the ids are enough to tell them apart."""
    pairs = pairwise(sorted(ids))
    alike = [next((i for i, (a, b) in enumerate(zip(*pair, strict=False)) if a != b), 36) for pair in pairs]
    return max(8, *(count + 1 for count in alike)) if alike else 8


def _run_lines(listed: list[dict[str, Any]], width: int) -> Iterator[str]:
    """Yield the lines of the runs. Each is one line, and two if the terminal has little room for the task."""
    from sunwell.report.figures import columns_of, fitted

    shown = 36 if width >= _WIDE else _telling([run["run_id"] for run in listed])
    rows = [_run_cells(run, width, shown) for run in listed]
    wide = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for run, cells in zip(listed, rows, strict=True):
        known = [pair for pair in zip(cells, wide, strict=True) if pair[1]]
        parts = [cell.rjust(size) if cell.startswith("$") else cell.ljust(size) for cell, size in known]
        line, text = "  ".join(parts), _run_text(run, shown)
        room = width - len(line) - 2
        if room < _LEAST_TASK and columns_of(text) > room:
            yield line.rstrip()
            yield f"  {fitted(text, width - 2)}"
        else:
            yield f"{line}  {fitted(text, room)}".rstrip()


def _run_cells(run: dict[str, Any], width: int, shown: int) -> tuple[str, ...]:
    """Return the cells before the task: id, time, status, cost, calls and tools; empty without room."""
    from sunwell.report.figures import dollars

    name = run["run_id"][:shown]
    if "started_at" not in run:
        return (name, "", run["status"], "", "", "")
    at = run["started_at"]
    when = datetime.fromtimestamp(at).astimezone().strftime("%Y-%m-%d %H:%M") if at else "?"
    cost = dollars(None if run["cost_usd"] is None else Decimal(run["cost_usd"]))
    is_middle = width >= _MIDDLE
    calls = _many(run["calls"], "call") if is_middle else ""
    tools = _many(run["tool_calls"], "tool") if is_middle else ""
    return (name, when if width >= _NARROW else when[5:10], run["status"], cost, calls, tools)


def _run_text(run: dict[str, Any], shown: int) -> str:
    if "started_at" not in run:
        return str(run["error"])
    before = f"(continues: {run['continues'][:shown]}) " if run["continues"] else ""
    return f"{'foreign: ' if run['foreign'] else ''}{before}{run['task'] or ''}"


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun if count == 1 else noun + 's'}"


_MARKS = {
    **dict.fromkeys(("failed", "error", "refused"), "✗"),
    **dict.fromkeys(("open", "incomplete", "cancelled"), "…"),
    **dict.fromkeys(("kept", "remembered"), "="),
}
_KINDS = {
    "sub_completion": "workers",
    "call": "calls",
    "tool": "tool calls",
    "part": "parts",
    "check": "checks",
}
_MOST_ALIKE = 12
_FIRST_SHOWN, _LAST_SHOWN = 6, 3
_WIDE_TREE, _MIDDLE_TREE = 96, 64
_WIDEST_TREE = 160
"""Width where there is no terminal: a long task must not push the figures far to the right."""
_DEEPEST = 12

Texts = Mapping[tuple[str, int], str]
"""Text of messages and results, by span and number of the call."""


@attrs.frozen
class TreeStyle:
    """How a tree is written."""

    width: int
    """Columns; lines are cut to this width, texts are wrapped."""
    shows_all: bool = False
    """Whether long rows of siblings of one kind are shown in full."""
    shows_spans: bool = False
    """Whether the place of each call is shown as ``SPAN:CALL``."""


@attrs.frozen
class _TreeRow:
    """A line of the tree before its name is fitted into the width that is left beside the figures."""

    head: str
    """The guide and the mark."""
    name: str
    figures: str = ""

    def line(self, width: int) -> str:
        from sunwell.report.figures import columns_of, fitted

        room = max(8, width - len(self.head) - (len(self.figures) + 2 if self.figures else 0))
        name = fitted(self.name, room)
        space = " " * (room - columns_of(name))
        return f"{self.head}{name}{space}  {self.figures}" if self.figures else f"{self.head}{name}"


def tree_lines(root: Node, style: TreeStyle, said: Texts | None = None) -> Iterator[str]:
    """Yield the lines of *root* and all below it; *said* adds texts under their calls.

    The figures stand as far to the left as the longest name lets them.
    """
    from sunwell.report.figures import columns_of

    lines = [_row(root, "", "", style), *_below(root, "", style, said or {})]
    rows = [line for line in lines if isinstance(line, _TreeRow)]
    wanted = max(len(row.head) + columns_of(row.name) + 2 + len(row.figures) for row in rows)
    for line in lines:
        yield line if isinstance(line, str) else line.line(min(style.width, wanted)).rstrip()


def _below(node: Node, guide: str, style: TreeStyle, said: Texts) -> Iterator[str | _TreeRow]:
    shown = list(node.children) if style.shows_all else list(_folded(node.children))
    for number, child in enumerate(shown):
        last = number == len(shown) - 1
        branch, more = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if isinstance(child, str):
            yield _TreeRow(f"{guide}{branch}", child)
            continue
        yield _row(child, guide, branch, style)
        inner = guide + more if len(guide) < 3 * _DEEPEST else guide
        if child.number is not None and (text := said.get((child.span, child.number))):
            yield from _wrapped(text, inner + "  ", style.width)
        yield from _below(child, inner, style, said)


def _folded(children: tuple[Node, ...]) -> Iterator[Node | str]:
    """Yield the children; one line replaces the middle of a long row that succeeded."""
    for (kind, is_plain), group in groupby(children, lambda node: (node.type, _is_plain(node))):
        row = list(group)
        if not is_plain or len(row) <= _MOST_ALIKE:
            yield from row
            continue
        hidden = row[_FIRST_SHOWN : len(row) - _LAST_SHOWN]
        yield from row[:_FIRST_SHOWN]
        tokens = sum(node.tokens_used for node in hidden)
        yield f"… {len(hidden):,} more {_KINDS.get(kind, kind)} ({tokens:,} tokens; --all shows them)"
        yield from row[len(row) - _LAST_SHOWN :]


def _is_plain(node: Node) -> bool:
    return all(below.status in (None, "answered", "kept", "remembered") for below in node.walk())


def _row(node: Node, guide: str, branch: str, style: TreeStyle) -> _TreeRow:
    from sunwell.report.figures import one_line

    mark = _MARKS.get(node.status or "", "✓" if node.status else "·")
    figures = "  ".join(_figures(node, style.width))
    return _TreeRow(f"{guide}{branch}{mark} ", one_line(_name(node, style)), figures)


def _name(node: Node, style: TreeStyle) -> str:
    place = f" [{node.span}:{node.number}]" if style.shows_spans and node.number is not None else ""
    match node.type:
        case "run":
            return f"{node.query or node.name}"
        case "tool":
            ended = "" if node.exit_code is None else f" (exit {node.exit_code})"
            return f"{node.name}{ended} {node.query or ''}".rstrip()
        case "check":
            return f"check {node.name}"
        case "call":
            return f"{node.purpose or 'call'} {(node.number or 0) + 1}{place} {_model(node)}".rstrip()
        case "sub_completion":
            why = "" if node.stop_reason in (None, "end") else f" ({node.stop_reason})"
            asked = f": {node.query}" if node.query else ""
            return f"{_last(node.span)}{why}{asked} {_model(node)}".rstrip()
    return f"{_last(node.span)} {_model(node)}".rstrip()


def _model(node: Node) -> str:
    return f"· {node.model}" if node.model else ""


def _last(span: str) -> str:
    return span.rpartition("/")[2].replace("%2F", "/").replace("%25", "%")


def _figures(node: Node, width: int) -> list[str]:
    """Return the columns that fit; the cost is the last to be dropped."""
    from sunwell.report.figures import dollars, seconds_text

    took = f"{seconds_text(node.duration_ms / 1000):>8}" if node.duration_ms is not None else f"{'':>8}"
    if node.type in ("tool", "check"):
        return [took] if width >= _MIDDLE_TREE else []
    if node.status == "kept":
        return ["copied, already paid"] if width >= _MIDDLE_TREE else []
    if node.status == "remembered":
        return ["remembered, for nothing"] if width >= _MIDDLE_TREE else []
    usage = node.total_usage
    cost = dollars(node.total_cost_usd)
    perhaps = f"(up to {dollars(node.total_uncertain_usd)} more)" if node.total_uncertain_usd != 0 else ""
    columns = [perhaps] if perhaps and width >= _MIDDLE_TREE else []
    if width >= _WIDE_TREE:
        columns.append(f"{usage.input_tokens:>9,} in {usage.output_tokens:>7,} out")
    elif width >= _MIDDLE_TREE:
        columns.append(f"{usage.total_tokens:>9,} tok")
    columns.append(f"{cost:>9}")
    return [*columns, took] if width >= _MIDDLE_TREE else columns


def _wrapped(text: str, indent: str, width: int) -> Iterator[str]:
    from sunwell.cli.change_text import change_lines, is_diff

    for row in change_lines(text, max(20, width - len(indent)), is_diff=is_diff(text)):
        yield f"{indent}{row.text}"


_LOOK_SECONDS = 0.5


@click.command(cls=StrictCommand)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the run.")
@click.option("-v", "--verbose", is_flag=True, help="Also show messages and tool results.")
@click.option("--all", "shows_all", is_flag=True, help="Show long rows of similar entries in full.")
@click.option("--spans", "shows_spans", is_flag=True, help="Show the place of each call, for --at.")
@click.option("-f", "--follow", is_flag=True, help="Keep showing until the run ends.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def show(**chosen: Any) -> None:
    """Show the tree of RUN, or of the last run: model, tokens, cost and time of each step.

    The figures of each line include all lines below it. This works for any run, even if it is still
    running or was killed. Marks: ✓ done, ✗ failed, … open or not finished, · a part, = copied from the
    forked run.
    """
    if chosen["as_json"]:
        for name, option in (("shows_all", "--all"), ("shows_spans", "--spans"), ("follow", "--follow")):
            if chosen[name]:
                raise ConfigurationError(f"{option} has no effect with --json: leave one of the two out")
    run = run_or_last(Path(chosen["workspace"]), chosen["run_id"])
    if chosen["as_json"]:
        _print_object(run, chosen)
        return
    if chosen["follow"]:
        _follow(run, chosen)
        return
    for line in _lines(run, chosen):
        say(line, palette=REPORT)


def run_or_last(workspace: Path, run_id: str | None) -> RunFile:
    """Return the run as :func:`run_in` does; without an id the newest, and say on standard error which."""
    found = run_in(workspace, run_id or "last")
    if run_id is None:
        say(f"the last run: {found.run_id}", err=True)
    return found


def _print_object(run: "RunFile", chosen: Chosen) -> None:
    from sunwell.cli.terminal import print_json
    from sunwell.journal.retention import is_running
    from sunwell.report.recorded_run import run_object

    told = run_object(list(read_records(run.path)), dict(_texts(run.path)) if chosen["verbose"] else None)
    if told["status"] == "open" and is_running(run):
        told["status"] = "running"
    print_json(told | {"journal": str(run.path)})


def _lines(run: "RunFile", chosen: Chosen, most: int | None = None) -> list[str]:
    from sunwell.cli.terminal import fitted_lines
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree

    said = dict(_texts(run.path)) if chosen["verbose"] else {}
    root = tree(read_records(run.path))
    lines = list(tree_lines(root, _style(chosen), said))
    for line in (
        *_continues_lines(run.path),
        *_lens_lines(run.path),
        *_end_lines(run.path, root.total_cost_usd),
    ):
        lines += fitted_lines(line, 9)
    lines.append(f"journal  {run.path}")
    if most is not None and len(lines) > most:  # the latest events are at the end
        lines = [lines[0], f"… {len(lines) - most + 1:,} lines above", *lines[len(lines) - most + 2 :]]
    return lines


def _continues_lines(path: Path) -> list[str]:
    """Return the run whose conversation a run goes on with, if it does."""
    from sunwell.journal.records import RunOpened

    opened = next(iter(read_records(path)), None)
    before = opened.continues if isinstance(opened, RunOpened) else ""
    return [f"continues: {before}"] if before else []


def _lens_lines(path: Path) -> list[str]:
    """Return what the lens of a run is about and all that it has lost of what was written."""
    from sunwell.report.lens_test_text import lens_test_lines
    from sunwell.report.recorded_run import lens_in, lens_source_in, lens_test_in
    from sunwell.report.summary import lens_about, lens_lines

    records = list(read_records(path))
    lens, left_out = lens_in(records)
    if lens is None:
        return []
    tested = lens_test_lines(lens_test_in(records))
    return [*lens_about(lens, lens_source_in(records)), *lens_lines(left_out), *tested]


def _end_lines(path: Path, cost_usd: Decimal | None) -> list[str]:
    """Return the commands of a run with their exit codes, what is unresolved, and what checks found."""
    from sunwell.agent.run.run_context import commands_in, left_behind_in
    from sunwell.journal.records import RunClosed
    from sunwell.report.summary import command_lines, left_behind_lines, unresolved_lines
    from sunwell.report.verdict_text import recorded_verdict_lines

    records = list(read_records(path))
    ends = [record for record in records if isinstance(record, RunClosed)]
    unresolved = ends[-1].unresolved if ends else ()
    found = ends[-1].verification if ends else None
    verdict = () if found is None else recorded_verdict_lines(found, cost_usd)
    left = left_behind_lines(left_behind_in(records))
    return [*command_lines(commands_in(records)), *left, *unresolved_lines(unresolved), *verdict]


def _style(chosen: Chosen) -> "TreeStyle":
    from sunwell.cli.terminal import is_terminal, terminal_width

    width = terminal_width() if is_terminal() else _WIDEST_TREE
    return TreeStyle(width, chosen["shows_all"], chosen["shows_spans"])


def _follow(run: "RunFile", chosen: Chosen) -> None:
    """Show the tree again whenever the journal has grown, until no process is working on the run."""
    from rich.console import Group
    from rich.live import Live

    from sunwell.journal.retention import is_running

    page = console()
    if page.is_terminal:
        with Live(
            console=page, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as live:
            size = -1
            while is_running(run):
                if (now := run.path.stat().st_size) != size:
                    size = now
                    lines = _lines(run, chosen, page.height - 1)
                    live.update(Group(*[cell(line, no_wrap=True) for line in lines]), refresh=True)
                time.sleep(_LOOK_SECONDS)
    else:
        while is_running(run):
            time.sleep(_LOOK_SECONDS)
    for line in _lines(run, chosen):
        say(line, palette=REPORT)


def _call_text(call: "ToolCall") -> str:
    """Return a tool call as it is read: a script has its own lines, all else is JSON in one."""
    if call.name in ("explore", "execute_python"):
        try:
            code = json.loads(call.arguments)["code"]
        except (ValueError, KeyError, TypeError, RecursionError):
            code = None
        if isinstance(code, str):
            return "\n".join([f"→ {call.name}", *(f"    {line}" for line in code.splitlines())])
    return f"→ {call.name} {call.arguments}"


def _texts(path: Path) -> Iterator[tuple[tuple[str, int], str]]:
    """Yield the text of each call, then its tool calls and their results."""
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import Answer, ToolFinished

    said: dict[tuple[str, int], list[str]] = {}
    for record in read_records(path):
        if isinstance(record, Answer):
            completion = record.completion
            calls = [_call_text(call) for call in completion.tool_calls]
            said[record.span, record.number] = [*([completion.text] if completion.text else []), *calls]
        elif isinstance(record, ToolFinished):
            said.setdefault((record.span, record.turn), []).append(
                f"← {record.tool}: {record.result.content}"
            )
    for place, texts in said.items():
        if texts:
            yield place, "\n".join(texts)


@click.command(cls=StrictCommand)
@click.argument("run_id", metavar="RUN")
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the run.")
def adopt(run_id: str, workspace: str) -> None:
    """Make RUN yours if it was not started by you on this machine.

    A workspace from elsewhere may bring runs that somebody prepared. They can be shown; resume, continue,
    fork, replay, undo and --after use them only after this command. Read such a run first: its recorded
    answers count as those of a model, and undo writes what it kept.
    """
    from sunwell.journal.ownership import adopt as make_own

    found = make_own(require_folder(Path(workspace)), run_id)
    say(f"adopted {found.run_id}")


@click.command(cls=StrictCommand)
@click.argument("run_id", metavar="[RUN]", required=False)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the run.")
@click.option(
    "--format",
    "form",
    type=click.Choice(("json", "chrome-trace", "otlp-json")),
    default="json",
    show_default=True,
    help="Nested JSON, a trace for Perfetto and speedscope, or OpenTelemetry.",
)
@click.option("--with-texts", is_flag=True, help="Give the tasks and reports of workers in full, with json.")
def export(run_id: str | None, workspace: str, form: str, with_texts: bool) -> None:
    """Write RUN, or the last run, to standard output in another format."""
    from sunwell.journal.exports import export_chrome_trace, export_otlp_json
    from sunwell.journal.reading import read_records
    from sunwell.report.worker_entries import exported

    if with_texts and form != "json":
        raise ConfigurationError(f"--with-texts has no effect here: {form} has no texts; leave it out")
    records = read_records(run_or_last(Path(workspace), run_id).path)
    if form == "json":
        say_json(exported(records, with_texts=with_texts))
    elif form == "chrome-trace":
        say_json(export_chrome_trace(records))
    else:
        say_json(export_otlp_json(records))


class _Age(click.ParamType[float]):
    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        text = str(value).strip()
        weeks = re.fullmatch(r"(\d+(?:\.\d+)?)\s*w", text)
        try:  # a number alone would be seconds elsewhere: too easily meant as days here
            if weeks is None and not text.endswith(("s", "m", "h", "d")):
                raise ValueError(text)
            read: float = read_text(f"{float(weeks[1]) * 7}d" if weeks else text, Seconds)
        except ValueError:
            self.fail(f"{value!r} is not a length of time: write for example 30d, 12h or 1h30m", param, ctx)
        return read


@click.command(cls=StrictCommand)
@click.option("-w", "--workspace", default=".", show_default=True, metavar="DIR", help="Folder of the runs.")
@click.option(
    "--older-than", type=_Age(), metavar="AGE", help="Remove runs that are older than this, for example 30d."
)
@click.option("--keep", type=click.IntRange(min=0), metavar="N", help="Always keep the newest N runs.")
@click.option("--dry-run", is_flag=True, help="List what would be removed; remove nothing.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def prune(
    ctx: click.Context,
    workspace: str,
    older_than: float | None,
    keep: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Remove runs with all their records; their changes can then no longer be undone.

    A running run is never removed. With both options, a run must be old and not among the newest. The exit
    code is 3 if a run could not be removed, for example since it is a link.
    """
    from sunwell.cli.exit_codes import INCOMPLETE
    from sunwell.cli.terminal import print_json
    from sunwell.journal.retention import prune as remove
    from sunwell.tools.wording import counted

    root = require_folder(Path(workspace))
    done = remove(root, older_than_seconds=older_than, keep=keep, dry_run=dry_run)
    if as_json:
        told = {
            "removed": [run.run_id for run in done.removed],
            "running": [run.run_id for run in done.running],
            "left": [{"run_id": one.run.run_id, "reason": one.reason} for one in done.left],
            "freed_bytes": done.freed_bytes,
            "dry_run": dry_run,
        }
        print_json(told)
        ctx.exit(INCOMPLETE if done.left else 0)
    word = "would be removed" if dry_run else "removed"
    wide = len(word) + 2
    for run in done.removed:
        say(f"{word:<{wide}} {run.run_id}")
    for run in done.running:
        say(f"{'kept':<{wide}} {run.run_id} (it is running in another process)")
    for one in done.left:
        say(f"{'left':<{wide}} {one.run.run_id}: {one.reason}", err=True)
    say(f"{counted(len(done.removed), 'run')}, {counted(done.freed_bytes, 'byte')}")
    ctx.exit(INCOMPLETE if done.left else 0)
