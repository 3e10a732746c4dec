"""Texts are cut and cleaned without surprises."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.tools.wording import counted, cut, on_one_line, without_escapes


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        pytest.param("\x1b[1;31mred\x1b[0m", "red", id="colours"),
        pytest.param("\x1b]0;title\x07text", "text", id="title"),
        pytest.param("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link", id="link"),
        pytest.param("\x1bP1$r\x1b\\x", "x", id="device-string"),
        pytest.param("a\x1b(Bb\x1b7c", "abc", id="short-sequences"),
        pytest.param("10%\r20%\r\n", "10%\n20%\n", id="carriage-returns"),
        pytest.param("a\x08b\x00\x9b31mc\td", "abc\td", id="controls"),
        pytest.param("\x1b", "", id="cut-off"),
    ],
)
def test_terminal_sequences_are_taken_out(raw, clean):
    """Text stays, codes go."""
    assert without_escapes(raw) == clean


@given(st.text(st.sampled_from("\x1b[]0;m(\x07\\\r\n\t\x9bAz~ ")))
def test_nothing_that_moves_a_terminal_is_left(raw):
    """Whatever came, only printable text, tabs and line ends remain."""
    assert all(c in "\n\t" or c.isprintable() for c in without_escapes(raw))


@given(st.text(), st.integers(1, 50))
def test_a_cut_keeps_the_limit_and_both_ends(text, limit):
    """What is within the limit is untouched; else head and tail remain, and the count is right."""
    shown = cut(text, limit)
    if len(text) <= limit:
        assert shown == text
    else:
        assert f"[{len(text) - limit:,} of {len(text):,} characters were cut out here]" in shown
        assert shown.startswith(text[: limit * 2 // 3])


@given(st.text())
def test_a_name_stays_on_its_line(name):
    """A file's name cannot look like two lines of a listing."""
    assert on_one_line(name).isprintable()


def test_counting_in_words():
    """One is singular; thousands are grouped."""
    assert [counted(n, "line") for n in (0, 1, 2, 1000)] == ["0 lines", "1 line", "2 lines", "1,000 lines"]
