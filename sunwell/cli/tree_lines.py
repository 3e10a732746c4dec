"""The tree of a run as lines for a terminal of any width."""

from collections.abc import Iterator, Mapping
from itertools import groupby

import attrs

from sunwell.journal.tree import Node
from sunwell.report.figures import columns_of, dollars, fitted, pieces, seconds_text
from sunwell.tools.wording import visible

_MARKS = {
    **dict.fromkeys(("failed", "error", "refused"), "✗"),
    **dict.fromkeys(("open", "incomplete", "cancelled"), "…"),
    "kept": "=",
}
_KINDS = {"sub_completion": "workers", "call": "calls", "tool": "tool calls", "part": "parts"}
_MOST_ALIKE = 12
_FIRST_SHOWN, _LAST_SHOWN = 6, 3
_WIDE, _MIDDLE = 96, 64
_DEEPEST = 12

Texts = Mapping[tuple[str, int], str]
"""What was said, by span and place of the call."""


@attrs.frozen
class TreeStyle:
    """How a tree is written."""

    width: int
    """Columns; lines are fitted to it, texts are wrapped."""
    shows_all: bool = False
    """Whether long rows of siblings of one kind are shown in full."""
    shows_spans: bool = False
    """Whether the place of each call is shown as ``SPAN:CALL``."""


def tree_lines(root: Node, style: TreeStyle, said: Texts | None = None) -> Iterator[str]:
    """Yield the lines of *root* and all below it; *said* adds texts under their calls."""
    yield _row(root, "", "", style)
    yield from _below(root, "", style, said or {})


def _below(node: Node, guide: str, style: TreeStyle, said: Texts) -> Iterator[str]:
    shown = list(node.children) if style.shows_all else list(_folded(node.children))
    for number, child in enumerate(shown):
        last = number == len(shown) - 1
        branch, more = ("└─ ", "   ") if last else ("├─ ", "│  ")
        if isinstance(child, str):
            yield f"{guide}{branch}{child}"[: style.width]
            continue
        yield _row(child, guide, branch, style)
        inner = guide + more if len(guide) < 3 * _DEEPEST else guide
        if child.number is not None and (text := said.get((child.span, child.number))):
            yield from _wrapped(text, inner + "  ", style.width)
        yield from _below(child, inner, style, said)


def _folded(children: tuple[Node, ...]) -> Iterator[Node | str]:
    """Yield the children, and one line in place of the middle of each long row that all went well."""
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
    return all(below.status in (None, "answered", "kept") for below in node.walk())


def _row(node: Node, guide: str, branch: str, style: TreeStyle) -> str:
    mark = _MARKS.get(node.status or "", "✓" if node.status else "·")
    figures = "  ".join(_figures(node, style.width))
    head = f"{guide}{branch}{mark} "
    room = max(8, style.width - len(head) - (len(figures) + 2 if figures else 0))
    name = fitted(_name(node, style), room)
    space = " " * (room - columns_of(name))
    return f"{head}{name}{space}  {figures}".rstrip() if figures else f"{head}{name}"


def _name(node: Node, style: TreeStyle) -> str:
    place = f" [{node.span}:{node.number}]" if style.shows_spans and node.number is not None else ""
    match node.type:
        case "run":
            return f"{node.query or node.name}"
        case "tool":
            return f"{node.name} {node.query or ''}".rstrip()
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
    """Return the columns that there is room for: the cost stays longest."""
    took = f"{seconds_text(node.duration_ms / 1000):>8}" if node.duration_ms is not None else f"{'':>8}"
    if node.type == "tool":
        return [took] if width >= _MIDDLE else []
    if node.status == "kept":
        return ["copied, paid before"] if width >= _MIDDLE else []
    usage = node.total_usage
    cost = dollars(node.total_cost_usd)
    perhaps = f"(perhaps {dollars(node.total_uncertain_usd)} more)" if node.total_uncertain_usd != 0 else ""
    columns = [perhaps] if perhaps and width >= _MIDDLE else []
    if width >= _WIDE:
        columns.append(f"{usage.input_tokens:>9,} in {usage.output_tokens:>7,} out")
    elif width >= _MIDDLE:
        columns.append(f"{usage.total_tokens:>9,} tok")
    columns.append(f"{cost:>9}")
    return [*columns, took] if width >= _MIDDLE else columns


def _wrapped(text: str, indent: str, width: int) -> Iterator[str]:
    room = max(20, width - len(indent))
    for line in visible(text).splitlines():
        yield from (f"{indent}{piece}" for piece in pieces(line, room))
