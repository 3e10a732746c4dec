"""Figures and texts as people see them."""

import json
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.report.figures import dollars, exact, json_text, one_line, printable, seconds_text


@pytest.mark.parametrize(
    ("amount", "shown"),
    [
        pytest.param(None, "unknown", id="unknown"),
        pytest.param(Decimal(0), "$0", id="zero"),
        pytest.param(Decimal("0.0000012"), "$0.000001", id="tiny"),
        pytest.param(Decimal("0.009999"), "$0.009999", id="below-a-cent"),
        pytest.param(Decimal("0.01"), "$0.01", id="a-cent"),
        pytest.param(Decimal("0.0123456"), "$0.0123", id="above-a-cent"),
        pytest.param(Decimal("0.5"), "$0.50", id="whole-cents"),
        pytest.param(Decimal("1234.567"), "$1,234.57", id="dollars"),
        pytest.param(Decimal("-0.25"), "-$0.25", id="negative"),
    ],
)
def test_amounts_are_rounded_for_people(amount: Decimal | None, shown: str) -> None:
    """Cents from a dollar up, more digits below; unknown is a word."""
    assert dollars(amount) == shown


@given(st.decimals(allow_nan=False, allow_infinity=False, min_value=-1000, max_value=1000, places=12))
def test_amounts_for_programs_keep_every_digit(amount: Decimal) -> None:
    """The text is the same number, without an exponent."""
    text = exact(amount)
    assert text is not None
    assert Decimal(text) == amount
    assert "E" not in text


@pytest.mark.parametrize(
    ("amount", "text"),
    [(None, None), (Decimal("1E+2"), "100"), (Decimal("0E-9"), "0"), (Decimal("0.10"), "0.1")],
    ids=["unknown", "exponent", "zero", "trailing-zero"],
)
def test_amounts_for_programs_have_one_spelling(amount: Decimal | None, text: str | None) -> None:
    """No exponent, no trailing zeros, ``None`` for unknown."""
    assert exact(amount) == text


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (125, "2 min 05 s"),
    ],
)
def test_times_are_short(seconds: float, shown: str) -> None:
    """Tenths below ten seconds, minutes from sixty on."""
    assert seconds_text(seconds) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("\x1b[2Ja", r"\x1b[2Ja", id="csi"),
        pytest.param("\x1b]0;t\x07a", r"\x1b]0;t\x07a", id="title"),
        pytest.param("\x9b31ma", r"\x9b31ma", id="c1"),
        pytest.param("10%\ra\b\x0c\r\nb", "10%\\x0da\\x08\\x0c\nb", id="overwriting"),
        pytest.param("\u202ea\u2066", r"\u202ea\u2066", id="directions"),
        pytest.param("a\u200bb\U000e0041\ud800", r"a\u200bb\U000e0041\ud800", id="unseen"),
        pytest.param(
            "\U0001f469\u200d\U0001f4bb \u2764\ufe0f", "\U0001f469\u200d\U0001f4bb \u2764\ufe0f", id="emoji"
        ),
        pytest.param(
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
            id="persian",
        ),
    ],
)
def test_text_cannot_take_hold_of_a_terminal(text: str, shown: str) -> None:
    """What a terminal acts on or does not show is written out; text of all scripts stays readable."""
    assert printable(text) == shown


@pytest.mark.parametrize(
    "line",
    [
        "verdict  verified by pytest, $0.01",
        "Verified by pytest",
        "approved",
        "done     3 turns, 1.2 s",
        "incomplete budget_usd, after 3 turns, 2 s",
        "sunwell: everything is fine",
        "resume   sunwell resume 1234 --approve",
        'next     sunwell continue last "TEXT"',
        "exit 0, 0.4 s  make test",
        "killed, 3 min 05 s  make test",
        "unresolved: nothing",
        "Run make test? (y, n, all, details, ?) y",
        "  verdict  verified by pytest",
    ],
)
def test_an_answer_cannot_look_like_the_report(line: str) -> None:
    """A line that looks like one of Sunwell's own gets a backslash; one that has a backslash gets another."""
    assert printable(f"Hello\n{line}\nbye") == f"Hello\n\\{line}\nbye"
    assert printable(f"\\{line}") == f"\\\\{line}"


PARTS = (
    *"a\\ \n\r\t\x1b\u202e\u200b?(",
    "verdict",
    "approved",
    "done  ",
    "sunwell: ",
    "? (y, n, all, details, ?)",
)


@given(st.lists(st.sampled_from(PARTS), max_size=12).map("".join))
def test_no_text_acts_or_looks_like_the_report(text: str) -> None:
    """Whatever it is made of; and with its backslashes, two texts never become the same."""
    said = printable(text)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e\u200b]", said)
    for line in said.split("\n"):
        assert not re.match(
            r"\s*(?i:verdict|approved)\b|\s*(?:done {2}|sunwell: )|.*\? \(y, n, all", line
        ) or (line.startswith("\\"))


@pytest.mark.parametrize(
    "line", ["Note: see below", "Done.", "error: expected ;", "lens cap", "The verdict: ok", "Files changed:"]
)
def test_ordinary_lines_of_an_answer_stay(line: str) -> None:
    """No backslash before what people write."""
    assert printable(line) == line


def test_a_line_is_one_line() -> None:
    """White space folds, and what is long is cut."""
    assert one_line("a\n b\tc", 100) == "a b c"
    assert one_line("abcdef", 5) == "abcd…"
    assert one_line("abcde", 5) == "abcde"


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_json_says_the_same_and_does_nothing_to_a_terminal(text: str) -> None:
    """It is the same value for a program, and no sign that a terminal acts on is left in it."""
    said = json_text({"a": text})
    assert json.loads(said) == {"a": text}
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2066]", said)


def test_a_line_shows_what_is_not_seen() -> None:
    """A control sequence is written out; a line of progress cannot take hold of a terminal."""
    assert one_line("a\x1b[31m\r\u202eb", 100) == r"a\x1b[31m\x0d\u202eb"
    assert one_line("\u2764\ufe0f\xa0x", 100) == "\u2764\ufe0f x"


@pytest.mark.parametrize(
    "line", ["\u0301verdict  verified by pytest", "commands exit 0   pytest -q", "sandbox  off"]
)
def test_no_line_of_an_answer_is_drawn_as_one_of_the_report(line) -> None:
    """A combining mark at its beginning would be drawn on the line above it."""
    assert printable(f"hello\n{line}").split("\n")[1].startswith("\\")
