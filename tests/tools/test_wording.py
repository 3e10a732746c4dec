"""Texts are cut and cleaned without surprises."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sunwell.tools.wording import TAB, counted, cut, exact_lines, on_one_line, shown, visible, without_escapes


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


_ESCAPE = re.compile(r"(\\+)(x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8})")


def read_back(shown: str) -> str:
    """Return the text that somebody who knows the rules takes *shown* for."""

    def meant(match: re.Match[str]) -> str:
        run, code = len(match[1]), match[2]
        return "\\" * (run // 2) + (chr(int(code[1:], 16)) if run % 2 else code)

    # In capitals it only looks like an escape, but its backslashes are doubled too.
    parts = re.split(r"(\\+(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}))", shown)
    for place in range(1, len(parts), 2):
        if _ESCAPE.fullmatch(parts[place]):
            parts[place] = _ESCAPE.sub(meant, parts[place])
        else:
            run = len(parts[place]) - len(parts[place].lstrip("\\"))
            parts[place] = parts[place][run // 2 :]
    return "".join(parts)


TRICKY = st.text(
    st.one_of(st.sampled_from("\\\\\\xuU01bBeE\x1b\x9b\r\n\t\u202e\u200b\u2028\xad\ufe0f "), st.characters()),
    max_size=40,
)


@given(TRICKY | st.text())
@example("\\x1b\x1b")
@example("\\\\x1b\\\x1b\\\\\x1b")
@example("\\\r\n\\x0D\\X0d")
def test_what_is_shown_says_exactly_what_is_there(text):
    """No two texts look the same; nothing is hidden, and nothing that acts on a terminal is left."""
    for seen, kept in ((visible(text), "\n\t"), (on_one_line(text), "")):
        assert read_back(seen) == text
        assert all(sign in kept or sign.isprintable() for sign in seen)
        assert all(
            unicodedata.category(sign) not in ("Cc", "Cf", "Zl", "Zp", "Cs")
            for sign in seen
            if sign not in kept
        )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param("rm -rf x\x1b[2K\x1b[1Gls", r"rm -rf x\x1b[2K\x1b[1Gls", id="line-hidden"),
        pytest.param("echo safe \x1b]0;; rm -rf ~ \x07", r"echo safe \x1b]0;; rm -rf ~ \x07", id="title"),
        pytest.param("evil\rgood", r"evil\x0dgood", id="carriage-return"),
        pytest.param("a\x9b8mb", r"a\x9b8mb", id="c1"),
        pytest.param("\u202eabc\u2066\u061c", r"\u202eabc\u2066\u061c", id="directions"),
        pytest.param("l\u200bs\ufeff\xad\u2060", r"l\u200bs\ufeff\xad\u2060", id="no-width"),
        pytest.param("a\u2028b\u2029\x85", r"a\u2028b\u2029\x85", id="other-line-ends"),
        pytest.param("\U000e0041\u3164\u2800\xa0", r"\U000e0041\u3164\u2800\xa0", id="no-ink"),
        pytest.param("if x:\n\tpass\n", "if x:\n\tpass\n", id="line-ends-and-tabs-stay"),
        pytest.param(r"sed 's/\./\n/' C:\new", r"sed 's/\./\n/' C:\new", id="plain-backslashes-stay"),
        pytest.param(r"printf '\x1b'", r"printf '\\x1b'", id="an-escape-in-words"),
        pytest.param("Ünïcödé 漢字 e\u0301", "Ünïcödé 漢字 e\u0301", id="languages-stay"),
    ],
)
def test_what_is_not_seen_is_shown(text, shown):
    """Control sequences, directions, and characters without width or ink; all else as it is."""
    assert visible(text) == shown


def test_a_long_run_of_backslashes_is_no_work():
    """Whatever a model sends is shown at once."""
    assert visible("\\" * 1_000_000) == "\\" * 1_000_000
    assert len(visible("\\" * 1_000_000 + "\x1b")) == 2_000_004


UNSEEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn")
ALIKE = st.text(
    st.sampled_from("ab \t\n\\x1\u21e5\u00e9e\u0301\u0323\u0327\u212aK\u1100\u1161\uac00\ufe0f\u200d\x1b\r"),
    max_size=12,
)


@given(ALIKE | TRICKY, ALIKE | TRICKY)
@example("a\tb", "a\u21e5   b")
@example("a ", "a")
@example("a\\ ", r"a\x20")
@example("\u00e9", "e\u0301")
@example("e\u0316\u0301", "e\u0301\u0316")
@example("K", "\u212a")
def test_two_commands_never_look_the_same(one, other):
    """Also if they differ in a tab, in spaces at an end, or in how a letter and its accent are written."""
    shown_one, shown_other = exact_lines(one), exact_lines(other)
    looks = [[unicodedata.normalize("NFC", line) for line in lines] for lines in (shown_one, shown_other)]
    assert (looks[0] == looks[1]) == (one == other)
    assert not any(line.endswith((" ", "\t")) for line in shown_one if not line.endswith(TAB))
    for sign in "".join(shown_one):
        assert sign.isprintable()
        assert unicodedata.category(sign) not in UNSEEN


@given(TRICKY | st.text())
def test_what_any_text_looks_like_is_safe_and_stays(text):
    """No sign is left that a terminal acts on, and what is safe already is not escaped again."""
    safe = shown(text)
    assert shown(safe) == safe
    assert not re.search(
        r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff]", safe
    )
    assert not any(unicodedata.category(sign) in UNSEEN for sign in safe if sign not in "\n\t\u200c\u200d")


@pytest.mark.parametrize(
    "text",
    [
        "Z\u00fcrich \u2014 \u6771\u4eac \ud55c\uad6d\uc5b4 \u0939\u093f\u0928\u094d\u0926\u0940",
        "\u05e9\u05dc\u05d5\u05dd \u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u0915\u094d\u200d\u0937 \u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22 vie\u0323\u0302t",
        "\U0001f468\u200d\U0001f469\u200d\U0001f467 \u2764\ufe0f\u200d\U0001f525 1\ufe0f\u20e3",
    ],
    ids=["europe-and-asia", "right-to-left", "india-and-further", "emoji"],
)
def test_ordinary_text_stays_readable(text):
    """Of all scripts, with the joiners that they are written with."""
    assert shown(text) == text


@pytest.mark.parametrize(
    "text", ["a\u200db", "rm\u200c -rf", "x\ufe0f", "\U0001f468\u200da", "\u200d\U0001f469"]
)
def test_a_joiner_anywhere_else_is_shown(text):
    """Where no script and no emoji needs it, it only hides."""
    assert "\\u" in shown(text)


def test_a_flood_of_sequences_takes_linear_time():
    """2 MB of the beginning of a control sequence; quadratic time would be hours."""
    flood = "\x1b[" * 1_000_000
    assert len(shown(flood)) == len(flood) // 2 * 5
