"""An edit finds its piece though line ends, spaces or letters are spelled otherwise."""

import time
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.tools.edit_hints import why_not_found
from sunwell.tools.piece import folded, replacement, spans


def nfd(text: str) -> bytes:
    return unicodedata.normalize("NFD", text).encode()


@pytest.mark.parametrize(
    ("data", "old", "new", "after"),
    [
        pytest.param(b"one\r\ntwo\r\nthree\n", "one\ntwo", "1\n2", b"1\r\n2\r\nthree\n", id="mixed"),
        pytest.param(
            b"a\nb\r\nc\n", "a\nb\nc\n", "a\nx\ny\nc\n", b"a\nx\r\ny\r\nc\n", id="more-lines-than-before"
        ),
        pytest.param(b"a\r\nb\n", "a", "a\nx", b"a\r\nx\r\nb\n", id="new-line-ends-as-its-neighbour"),
        pytest.param(b"a\nb\r\n", "a\nb\r\n", "a\r\nb\n", b"a\r\nb\n", id="exact-line-ends-are-meant"),
        pytest.param(b"a\rb\rc\n", "a\nb\n", "x\ny\n", b"x\ry\rc\n", id="carriage-returns"),
        pytest.param(nfd("größe = 1\n"), "größe = 1", "größe = 2", nfd("größe = 2\n"), id="decomposed"),
        pytest.param(nfd("a größe\n"), "größe", "höhe", nfd("a höhe\n"), id="new-letters-as-in-the-file"),
        pytest.param(
            "größe = 1\n".encode(), unicodedata.normalize("NFD", "größe"), "x", b"x = 1\n", id="composed"
        ),
        pytest.param(nfd("한국 = 1\n"), "한국 = 1", "한국 = 2", nfd("한국 = 2\n"), id="hangul"),
        pytest.param(
            "10\u00a0km: 5\u202f€\n".encode(),
            "10 km: 5 €",
            "10 km: 6 €",
            "10\u00a0km: 6\u202f€\n".encode(),
            id="no-break-spaces",
        ),
        pytest.param(
            "x\u00a0y\r\nz\n".encode(), "x y\nz", "x y\nw", "x\u00a0y\r\nw\n".encode(), id="all-at-once"
        ),
    ],
)
async def test_an_edit_works_and_keeps_the_spelling_of_the_file(folder, box, ask, data, old, new, after):
    """What stays is byte for byte as it was, and what is new is written like it."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "edit_file", path="x", old=old, new=new)
    assert (folder / "x").read_bytes() == after, result.content
    assert not result.is_error


@pytest.mark.parametrize(
    ("data", "old", "new", "said"),
    [
        pytest.param(
            "a\u00a0b\na b\u00a0\na\u202fb\n".encode(), "a\u2007b", "x", "and more than once with", id="twice"
        ),
        pytest.param(
            "say “hello”\n".encode(),
            'say "hello"',
            "x",
            "at character 5 the file has U+201C LEFT DOUBLE QUOTATION MARK, old has U+0022 QUOTATION MARK",
            id="quotes",
        ),
        pytest.param(
            "10\u00a0€ “x”\n".encode(),
            '10 € "x"',
            "x",
            "at character 6 the file has U+201C",
            id="not-the-space",
        ),
        pytest.param(
            "tot\u0430l = 1\n".encode(),
            "total = 1",
            "x",
            "the file has U+0430 CYRILLIC SMALL LETTER A, old has U+0061 LATIN SMALL LETTER A",
            id="other-alphabet",
        ),
        pytest.param("a\u200bb = 1\n".encode(), "ab = 1", "x", r'file: "a\u200bb = 1"', id="invisible"),
        pytest.param(
            b"\tif x:\n\t\ty()\n",
            "        if x:\n                y()",
            "x",
            "Line 2 differs: the file's line begins with 2 tabs, old's with 16 spaces",
            id="tabs",
        ),
        pytest.param(
            "x\u00a0y\n".encode(), "x y", "x\u202fy", "differ only in line ends, spaces", id="no-change"
        ),
    ],
)
async def test_a_hint_shows_the_real_difference(folder, box, ask, data, old, new, said):
    """Texts that look alike are told apart by name."""
    (folder / "x").write_bytes(data)
    result = await ask(box, "edit_file", path="x", old=old, new=new)
    assert result.is_error
    assert said in result.content
    assert (folder / "x").read_bytes() == data


TEXTS = st.text(st.sampled_from("ab \u00a0\u202f\r\nöo\u0308e\u0301é"), max_size=14)


@given(before=TEXTS, piece=TEXTS.filter(bool), after=TEXTS, new=TEXTS)
def test_what_is_written_means_what_was_asked(before, piece, after, new):
    """Every place that is found means the same as what was sought; what is written means the same as new."""
    content = before + piece + after
    for start, end in spans(content, piece):
        assert folded(content[start:end]) == folded(piece)
        assert folded(replacement(content, start, end, new)) == folded(new)
        assert replacement(content, start, end, folded(piece)) == content[start:end]


SHOP = """import os


class Shop:
    \"\"\"A shop.\"\"\"

    def price(self, item, count):
        total = self.prices[item] * count
        if count > 10:
            total *= 0.9
        return total

    def name(self):
        return "<" + self.title + ">"
"""


@pytest.mark.parametrize(
    ("old", "said"),
    [
        pytest.param(
            "".join(SHOP.splitlines(keepends=True)[6:8]) + "        return total\n",
            'Closest: lines 7-11 of the file.\nLine 9 of the file is missing in old: "        if count',
            id="lines-left-out",
        ),
        pytest.param(
            "        if count > 10:\n            # discount\n            total *= 0.9\n",
            'Line 2 of old is not in the file there: "            # discount"',
            id="a-line-too-many",
        ),
        pytest.param(
            "        if count > 10:  \n            total *= 0.9\n",
            "the file's line ends with no space, old's with 2 spaces",
            id="space-at-the-end",
        ),
        pytest.param("self.prices[thing] * count", "Closest: line 8 of the file.", id="part-of-a-line"),
        pytest.param(
            "9:         if count > 10:\n10:             total *= 0.9\n",
            "old has line numbers before its lines, which are not in the file: leave them out",
            id="line-numbers",
        ),
        pytest.param(
            "shop.py: lines 1-1 of 14; 13 lines left, read on with start_line=2\n\nimport os\n",
            "old begins with the first line of a result of read_file, which is not in the file: leave it out",
            id="first-line-of-a-result",
        ),
        pytest.param(
            'class Shop:\\n    """A shop."""',
            "old is escaped twice",
            id="escaped-twice",
        ),
        pytest.param('return "&lt;" + self.title', "escapes such as &lt;", id="escaped-for-a-page"),
        pytest.param("class Shop:\n    ...\n        return total\n", 'line 2 of old is "..."', id="dots"),
        pytest.param("zzz qqq", "Nothing in the file is similar", id="nothing"),
    ],
)
async def test_a_hint_says_what_to_write_instead(folder, box, ask, old, said):
    """A model that reads only this sentence knows what was wrong."""
    (folder / "shop.py").write_text(SHOP)
    result = await ask(box, "edit_file", path="shop.py", old=old, new="x")
    assert result.is_error
    assert said in result.content


LINES = SHOP.splitlines(keepends=True)


@given(
    st.integers(0, len(LINES) - 2),
    st.integers(2, 6),
    st.sampled_from(["  ", "\t", "x", "self", "\u00a0"]),
    st.integers(0, 200),
)
def test_what_a_hint_shows_is_in_the_file_once_copied(start, count, inserted, at):
    """Copying the passage that is shown makes the next edit work."""
    piece = "".join(LINES[start : start + count])
    at = min(at, len(piece))
    told = why_not_found(SHOP, piece[:at] + inserted + piece[at:])
    assert len(told) < 4_000
    _, marked, shown = told.partition("The file has there:\n")
    assert not marked or shown in SHOP


@given(st.text(), st.text(min_size=1))
def test_any_two_texts_give_a_hint_of_limited_size(content, old):
    """Whatever the characters."""
    assert len(why_not_found(content * 50, old * 50)) < 4_000


def test_a_hint_about_a_long_file_takes_little_time():
    """A long line, many lines, and a piece that is like none of them."""
    begun = time.monotonic()
    why_not_found(
        "".join(f"line {n} of it = {n * 7}\n" for n in range(300_000)), "line 77x of itt == 3\nfoo\n" * 50
    )
    why_not_found("a" * 3_000_000, "b" * 5_000 + "\n" + "a" * 100_000)
    assert time.monotonic() - begun < 10
