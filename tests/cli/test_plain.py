"""One plain line for each thing."""

from decimal import Decimal

import pytest

from sunwell.cli.plain_view import PlainView
from sunwell.core.model import Usage
from sunwell.events import (
    BudgetRefused,
    BudgetWarning,
    DelegationSkipped,
    DelegationStarted,
    EphemeralLensCreated,
    LensFailed,
    ModelCallFinished,
    ModelFellBack,
    ModelRetried,
    ToolCallFinished,
    ToolCallStarted,
    Warned,
)
from sunwell.report.event_lines import line_of

WROTE = ToolCallFinished("run/work", "write_file", False, 0.1, ("a.py",))


@pytest.mark.parametrize(
    ("event", "line"),
    [
        pytest.param(
            ModelCallFinished(
                "run/work",
                1,
                "haiku",
                "work",
                usage=Usage(1500, 20),
                cost_usd=Decimal("0.02"),
                duration_seconds=2,
            ),
            "work 2: haiku, 1,500 in, 20 out, $0.02, 2.0 s",
            id="call",
        ),
        pytest.param(
            ModelCallFinished("run/work", 1, "haiku", "work", usage=Usage(1, 2), replayed=True),
            "work 2: haiku, 1 in, 2 out, unknown, from the journal",
            id="replayed-and-unpriced",
        ),
        pytest.param(
            ModelCallFinished("run/work", 0, "haiku", "work", error="haiku: down"),
            "work 1: haiku failed: down",
            id="failed-call",
        ),
        pytest.param(
            ModelRetried("run/work", 0, "haiku", 1, "haiku: busy", 0.5),
            "haiku: retry in 0.5 s, busy",
            id="retry",
        ),
        pytest.param(WROTE, "work: write_file a.py", id="changed-file"),
        pytest.param(
            ToolCallFinished("run/work", "run_command", False, 3.2, command="make\ntest", exit_code=2),
            "work: run_command make test: exit 2, 3.2 s",
            id="command",
        ),
        pytest.param(
            ToolCallFinished("run/work", "run_command", True, 9, command="sleep 99"),
            "work: run_command sleep 99: killed, 9.0 s",
            id="killed-command",
        ),
        pytest.param(
            ToolCallFinished("run/work", "run_checks", False, 1, command="run_checks", exit_code=0),
            "work: run_checks: exit 0, 1.0 s",
            id="checks",
        ),
        pytest.param(ToolCallFinished("run/work", "read_file", False, 0.1), None, id="read-is-silent"),
        pytest.param(ToolCallStarted("run/work", "read_file", "path='a'"), None, id="start-is-silent"),
        pytest.param(
            DelegationStarted("t", "", "haiku", "exploring: it is long", "opus"),
            "opus explores, and may ask haiku about parts: it is long",
            id="explores",
        ),
        pytest.param(DelegationSkipped("t", "it is small"), "not delegating: it is small", id="skipped"),
        pytest.param(
            EphemeralLensCreated("t", 1, 2, "opus", anti_patterns_count=1, cost_usd=Decimal("0.5")),
            "lens by opus: 1 guideline, 2 patterns, 1 thing to avoid; $0.50",
            id="lens",
        ),
        pytest.param(
            LensFailed("no\nsense", "direct"), "no lens: no sense; continuing without a lens", id="no-lens"
        ),
        pytest.param(
            ModelFellBack("delegation_model", "haiku", "opus", "no lens"),
            "using opus instead of haiku: no lens",
            id="fell-back",
        ),
        pytest.param(
            BudgetWarning("usd", Decimal("0.8"), Decimal(1)),
            "budget: $0.80 of $1 is spent or unconfirmed, $0.20 is not",
            id="budget",
        ),
        pytest.param(Warned("old \x1b[31mmodel"), "note: old \\x1b[31mmodel", id="warning"),
    ],
)
def test_each_thing_has_its_line(event, line: str | None) -> None:
    """A reader of a log sees who did what and what it cost, on one printable line."""
    assert line_of(event) == line


def test_verbose_tells_of_tools_when_they_start_and_once() -> None:
    """With ``-v`` each tool has one line, with what it works on."""
    assert line_of(ToolCallStarted("run/work", "read_file", "path='a'"), verbose=True) == "work: read_file a"
    assert line_of(WROTE, verbose=True) is None


@pytest.mark.parametrize("verbose", [pytest.param(False, id="short"), pytest.param(True, id="verbose")])
@pytest.mark.parametrize("kind", [pytest.param(True, id="failed"), pytest.param(False, id="wrote")])
def test_a_name_that_a_model_made_up_cannot_take_hold_of_a_terminal(verbose: bool, kind: bool) -> None:
    """Of a tool's name only what is printable is shown, on one line of bearable length."""
    name = "\x1b]0;gotcha\x07\x9b31m" + "n" * 5_000 + "\ntwo"
    started = line_of(ToolCallStarted("run/work", name, "path='a.py'"), verbose=verbose)
    finished = line_of(ToolCallFinished("run/work", name, kind, 0.1, ("a.py",)), verbose=verbose)
    for line in filter(None, (started, finished)):
        assert line.isprintable()
        assert len(line) < 200


def test_no_line_takes_hold_of_a_terminal(capsys) -> None:
    """What a server calls a model is not trusted either; what is shown as an escape is not shown twice."""
    view = PlainView(verbose=True)
    view.see(ToolCallStarted("run/work", "read_file", "path='a\x1b[31m'"))
    view.say("the model is called x\x1b]0;t\x07\x9b2J")
    told = capsys.readouterr().err
    assert r"read_file a\x1b[31m" in told
    assert r"x\x1b]0;t\x07\x9b2J" in told
    assert not any(sign in told for sign in "\x1b\x07\x9b")


def test_a_call_that_was_refused_is_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    """Its failure has the same sentence; of the next one under the same ceiling only the count is told."""
    view = PlainView()
    for number in range(3):
        sentence = f"the next call does not fit into the budget of $1: it may need $0.{number + 5}"
        numbers = (Decimal(number), Decimal(1), Decimal(1))
        view.see(BudgetRefused("usd", *numbers, "run", sentence))
        view.see(ModelCallFinished("run/direct", number, "haiku", "work", error=sentence))
    said = capsys.readouterr().err
    assert (said.count("does not fit"), said.count("failed")) == (1, 0)
