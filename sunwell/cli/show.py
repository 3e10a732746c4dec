"""``sunwell show``: the tree of a run in the terminal."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from rich.tree import Tree

    from sunwell.journal.node import Node

_MARKS = {"failed": "✗", "error": "✗", "refused": "✗", "open": "…", "incomplete": "…", "cancelled": "…"}


@click.command()
@click.argument("run_id", metavar="RUN")
@click.option(
    "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The folder of the run."
)
@click.option("-v", "--verbose", is_flag=True, help="Show what was said, too.")
def show(run_id: str, workspace: str, verbose: bool) -> None:
    """Show the tree of RUN: model, tokens, cost and time of each piece of work."""
    from rich.console import Console
    from rich.text import Text

    from sunwell.cli.finding import run_in
    from sunwell.journal.reading import read_records
    from sunwell.journal.tree import tree

    path = run_in(Path(workspace), run_id).path
    root = tree(read_records(path))
    said = _said(path) if verbose else {}
    console = Console(highlight=False, soft_wrap=True)
    console.print(_grown(root, said))
    console.print(Text(f"journal  {path}", style="dim"))


def _grown(node: "Node", said: dict[tuple[str, int], str]) -> "Tree":
    from rich.text import Text
    from rich.tree import Tree

    grown = Tree(Text(_title(node)), guide_style="dim")
    text = said.get((node.span, node.number)) if node.type == "call" and node.number is not None else None
    if text:
        grown.add(Text(text, style="dim"))
    for child in node.children:
        grown.children.append(_grown(child, said))
    return grown


def _title(node: "Node") -> str:
    from sunwell.report.figures import dollars, one_line, seconds_text

    mark = _MARKS.get(node.status or "", "✓" if node.status else "")
    match node.type:
        case "run":
            name = one_line(node.query or node.name, 80)
        case "tool":
            return f"{mark} {one_line(node.name, 60)}"
        case "call":
            name = f"{node.purpose or 'call'} {(node.number or 0) + 1}"
        case _:
            name = one_line(node.span.rpartition("/")[2], 60)
    usage = node.total_usage
    parts = [name, node.model or "", f"{usage.input_tokens:,} in {usage.output_tokens:,} out"]
    parts += [dollars(node.total_cost_usd), seconds_text((node.duration_ms or 0) / 1000)]
    if node.total_uncertain_usd != 0:
        parts.append(f"perhaps {dollars(node.total_uncertain_usd)} more")
    return f"{mark} {' · '.join(part for part in parts if part)}".strip()


def _said(path: Path) -> dict[tuple[str, int], str]:
    """Return the text of each answer by span and place."""
    return dict(_texts(path))


def _texts(path: Path) -> Iterator[tuple[tuple[str, int], str]]:
    from sunwell.journal.reading import read_records
    from sunwell.journal.records import Answer
    from sunwell.report.figures import printable

    for record in read_records(path):
        if isinstance(record, Answer) and record.completion.text:
            yield (record.span, record.number), printable(record.completion.text)
