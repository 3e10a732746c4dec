"""No text from outside begins a line of a report, and no line of an answer passes for one of a report."""

import http.server
import json
import re
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.cli.output import say, say_told
from sunwell.cli.plain_view import line_of
from sunwell.cli.record_commands import TreeStyle, tree_lines
from sunwell.cli.run_command import tell_end
from sunwell.core.marks import guarded_from_report
from sunwell.core.task import Bill, TaskResult
from sunwell.events import payloads
from sunwell.journal.tree import Node
from sunwell.report.figures import printable
from sunwell.report.summary import summary_text
from tests.cli.conftest import Invoke
from tests.filled import filled

BREAKS = [
    pytest.param(sign, id=f"{ord(sign[0]):04x}")
    for sign in (
        "\n",
        "\r\n",
        "\r",
        "\x0b",
        "\x0c",
        "\x1c",
        "\x1d",
        "\x1e",
        "\x85",
        "\u2028",
        "\u2029",
        "\x1b",
    )
]
FORGED = "verdict  verified by FORGED"
LINES = re.compile("[\n\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
EVENTS = [
    kind
    for kind in vars(payloads).values()
    if isinstance(kind, type) and issubclass(kind, payloads.Event) and kind is not payloads.Event
]


def require_unforged(told: str) -> None:
    """Fail if a line of *told* begins with the forged text, however lines are broken."""
    for line in LINES.split(told):
        assert not line.lstrip().startswith("verdict  verified by FORGED"), line
    assert "\x1b" not in told


def result_of(text: str, choice: int = 0) -> TaskResult:
    """Return a result with *text* in all its texts."""
    made: TaskResult = filled(TaskResult, text, choice)
    bill: Bill = made.bill  # two of everything, so that each part of it is printed
    twice = [
        attrs.evolve(
            line, model=f"{text}{n}", provider=f"{text}{n}", purpose=purpose, rung=f"{text}{n}", depth=n
        )
        for n, purpose in enumerate(("lens", text))
        for line in bill.lines
    ]
    models = tuple(attrs.evolve(model, model=f"{text}{n}") for n in range(2) for model in bill.models)
    return attrs.evolve(made, bill=attrs.evolve(bill, lines=tuple(twice), models=models))


@pytest.mark.parametrize("sign", BREAKS)
@pytest.mark.parametrize("choice", range(6))
def test_no_text_of_a_result_begins_a_line_of_its_report(sign, choice, capsys):
    """Ids of models and providers, rungs, purposes, paths, commands, words of providers: in every field."""
    result = result_of(f"x{sign}{FORGED}", choice)
    require_unforged(summary_text(result))
    tell_end(attrs.evolve(result, answer=""), verbose=True)
    require_unforged("".join(capsys.readouterr()))


@pytest.mark.parametrize("sign", BREAKS)
def test_no_text_of_an_event_begins_a_line(sign, capsys):
    """Whatever a view prints of it."""
    for kind in EVENTS:
        for choice in range(6):
            event = filled(kind, f"x{sign}{FORGED}", choice)
            for verbose in (False, True):
                if (line := line_of(event, verbose=verbose)) is not None:
                    say(line, err=True)
    told = capsys.readouterr().err
    assert told.count("FORGED") > 20
    require_unforged(told)


@pytest.mark.parametrize("sign", BREAKS)
def test_no_text_of_a_recorded_run_begins_a_line_of_its_tree(sign, capsys):
    """Tasks, names, models, purposes, and what was said."""
    text = f"x{sign}{FORGED}"
    for kind in ("run", "tool", "check", "call", "sub_completion", "part", text):
        node = attrs.evolve(filled(Node, text, 1), type=kind, children=())
        style = TreeStyle(100, shows_all=True, shows_spans=True)
        for line in tree_lines(attrs.evolve(node, children=(node, node)), style, {(text, 3): text}):
            say(line)
    require_unforged(capsys.readouterr().out)


def test_an_error_of_several_lines_forges_none(capsys):
    """Its own first line is as it is; of the others, what looks like the report gets a backslash."""
    say_told(f"Error: no such file\n{FORGED}\nmore")
    assert capsys.readouterr().err == f"Error: no such file\n\\{FORGED}\nmore\n"


def report_lines_of(choice: int) -> Iterator[str]:
    """Yield the lines that a report really prints of a result in which everything is set."""
    for line in summary_text(result_of("word", choice)).split("\n"):
        if line.strip():
            yield line


@pytest.mark.parametrize("choice", range(6))
def test_each_line_that_a_report_prints_is_known_to_the_guard(choice):
    """The table of lines that an answer cannot print falls behind no report: these are its real lines."""
    for line in report_lines_of(choice):
        if line.startswith(" " * 9) and not re.match(r" +(created|changed|removed|exit|killed)\b", line):
            continue  # goes on with a line before it, and means nothing alone
        assert guarded_from_report(f"a\n{line}") == f"a\n\\{line}", line
