"""The texts of a page: once each, and never too much of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.report.page.page_data import PageText
from sunwell.report.page.page_texts import PageTexts


def test_the_same_text_has_one_id_and_stands_there_once() -> None:
    """Two adds of one text keep one; the empty text needs no place."""
    pool = PageTexts()
    first, again, other = pool.add("same"), pool.add("same"), pool.add("other")
    assert (first, pool.add("")) == (again, "")
    assert dict(pool.shown) == {first: PageText("same"), other: PageText("other")}
    assert first == hashlib.blake2b(b"same", digest_size=12).hexdigest()


@pytest.mark.parametrize(
    ("length", "head", "tail", "left_out"),
    [
        pytest.param(20_000, 20_000, 0, 0, id="whole"),
        pytest.param(20_001, 14_000, 6_000, 1, id="one-left-out"),
        pytest.param(1_000_000, 14_000, 6_000, 980_000, id="long"),
    ],
)
def test_a_long_text_shows_its_ends(length: int, head: int, tail: int, left_out: int) -> None:
    """Both ends are shown, and what lies between is counted."""
    pool = PageTexts()
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    shown = pool.shown[pool.add(text)]
    assert (shown.head, shown.tail, shown.left_out) == (text[:head], text[length - tail :], left_out)


def test_a_full_pool_shows_the_beginning_of_what_comes_then() -> None:
    """A text beyond the room shows 400 characters; a smaller one that fits is whole."""
    pool = PageTexts(most_bytes=2_000)
    whole, cut, short = pool.add("ä" * 900), pool.add("b" * 500), pool.add("c" * 400)
    assert pool.shown[whole] == PageText("ä" * 900)
    assert pool.shown[cut] == PageText("b" * 400, "", 100)
    assert pool.shown[short] == PageText("c" * 400)


@given(st.lists(st.text(st.characters(), max_size=30), max_size=8))
def test_any_text_can_be_kept(texts: list[str]) -> None:
    """Half surrogate pairs too: what was added is found under its id."""
    pool = PageTexts()
    ids = [pool.add(text) for text in texts]
    assert [pool.shown[found].head if found else "" for found in ids] == texts
