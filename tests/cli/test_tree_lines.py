"""The tree of a run on a terminal: every line fits, the cost stays, long rows are folded."""

from decimal import Decimal

import pytest
from rich.cells import cell_len

from sunwell.cli.record_commands import TreeStyle, tree_lines
from sunwell.core import Usage
from sunwell.journal.tree import Node


def call(span: str, number: int, status="answered") -> Node:
    return Node(
        "call", span, 1, status=status, model="claude-haiku-5-5", purpose="work", number=number,
        usage=Usage(21_000, 812), cost_usd=Decimal("0.0014"), duration_ms=3200,
    )  # fmt: skip


def big_run() -> Node:
    """Return a run of 1,001 nodes, of which one call failed."""
    workers = tuple(
        Node(
            "sub_completion",
            f"run/task-{w}",
            1,
            query="Describe a module \u202eof 日本語の漢字 the project\x1b[2J, in a 段落",
            children=tuple(
                call(f"run/task-{w}", n, "failed" if (w, n) == (77, 3) else "answered") for n in range(4)
            ),
        )
        for w in range(200)
    )
    return Node(
        "run",
        "run",
        0,
        "r1",
        "ok",
        query="Describe it 全部 e\u0301 " * 20,
        duration_ms=812_000,
        children=workers,
    )


@pytest.mark.parametrize("width", [40, 60, 63, 64, 80, 95, 96, 120, 200])
@pytest.mark.parametrize("shows_all", [False, True], ids=["folded", "all"])
def test_every_line_fits_and_has_the_cost(width, shows_all):
    """Whatever the terminal's width is, down to forty columns; nothing takes hold of the terminal."""
    lines = list(tree_lines(big_run(), TreeStyle(width, shows_all)))
    assert max(map(cell_len, lines)) <= width
    assert not any(mark in line for line in lines for mark in "\x1b\u202e")
    assert all("$" in line for line in lines if "more workers" not in line)
    assert (len(lines) == 1001) == shows_all


def test_what_did_not_go_well_is_never_folded_away():
    """Of two hundred workers the one with a failed call is shown."""
    lines = list(tree_lines(big_run(), TreeStyle(100)))
    assert len(lines) < 120
    assert [line for line in lines if "task-77" in line]
    assert [line for line in lines if "✗" in line]
    folded = [line for line in lines if "more workers" in line]
    assert len(folded) == 2


def test_a_worker_that_came_to_nothing_says_why():
    """Its reason stands beside its name; who did its task needs none."""
    workers = tuple(
        Node("sub_completion", f"run/task-{n}", 1, status=status, stop_reason=why, query="Count the files")
        for n, (status, why) in enumerate(
            (("ok", "end"), ("incomplete", "refusal"), ("error", "model_error"))
        )
    )
    _, *lines = tree_lines(Node("run", "run", 0, status="ok", children=workers), TreeStyle(100))
    said = [line.partition("   ")[0] for line in lines]
    assert said == [
        "├─ ✓ task-0: Count the files",
        "├─ … task-1 (refusal): Count the files",
        "└─ ✗ task-2 (model_error): Count the files",
    ]


def test_a_tool_stands_with_what_it_was_called_with():
    """Also where that is many lines."""
    tools = tuple(
        Node("tool", "run", 0, "read_file", "answered", query=query) for query in ("a.py", "b\nc", None)
    )
    _, *lines = tree_lines(Node("run", "run", 0, status="ok", children=tools), TreeStyle(60))
    assert [line.rstrip() for line in lines] == [
        "├─ ✓ read_file a.py",
        "├─ ✓ read_file b c",
        "└─ ✓ read_file",
    ]


def test_texts_stand_under_their_calls_and_are_wrapped():
    """Indented as the call is, and without control characters."""
    node = Node("run", "run", 0, "r1", "ok", children=(call("run", 0),))
    lines = list(tree_lines(node, TreeStyle(40), {("run", 0): "word\x1b[2J " * 20}))
    assert max(map(len, lines)) <= 40
    assert sum("word" in line for line in lines) > 2


def test_the_place_of_each_call_can_be_shown():
    """As ``--at`` takes it."""
    lines = list(tree_lines(big_run(), TreeStyle(200, shows_spans=True)))
    assert any("[run/task-0:3]" in line for line in lines)
