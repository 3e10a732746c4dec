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
    "text",
    ["\x1b[2Ja", "\x1b]0;t\x07a", "\x9b31ma", "a\x07\x00", "\u202ea\u2066"],
    ids=["csi", "title", "c1", "controls", "directions"],
)
def test_text_cannot_take_hold_of_a_terminal(text: str) -> None:
    """Control sequences and marks of direction are gone, the rest stays."""
    assert printable(text) == "a"


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
