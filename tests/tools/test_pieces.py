"""An edit finds its piece though line ends, spaces or letters are spelled otherwise."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

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
        pytest.param("a\u200bb = 1\n".encode(), "ab = 1", "x", "line 1: a\\u200bb = 1", id="invisible"),
        pytest.param(
            b"\tif x:\n\t\ty()\n",
            "        if x:\n                y()",
            "x",
            "the file has U+0009 TAB, old has U+0020 SPACE",
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
