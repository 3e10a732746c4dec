"""The texts of a page: once each, and never too much of them."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.report.page.page_data import PageText
from sunwell.report.page.page_texts import TextPool


def test_the_same_text_has_one_id_and_stands_there_once() -> None:
    """Two adds of one text keep one; the empty text needs no place."""
    pool = TextPool()
    first, again, other = pool.add("same"), pool.add("same"), pool.add("other")
    assert (first, pool.add("")) == (again, "")
    assert dict(pool.texts) == {first: PageText("same"), other: PageText("other")}
    assert first == hashlib.blake2b(b"same").hexdigest()[:12]


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
    pool = TextPool()
    text = "".join(chr(ord("a") + i % 26) for i in range(length))
    shown = pool.texts[pool.add(text)]
    assert (shown.head, shown.tail, shown.left_out) == (text[:head], text[length - tail :], left_out)


def test_a_full_pool_shows_the_beginning_of_what_comes_then() -> None:
    """A text beyond the room shows 400 characters; a smaller one that fits is whole."""
    pool = TextPool(max_bytes=2_000)
    whole, cut, short = pool.add("ä" * 900), pool.add("b" * 500), pool.add("c" * 400)
    assert pool.texts[whole] == PageText("ä" * 900)
    assert pool.texts[cut] == PageText("b" * 400, "", 100)
    assert pool.texts[short] == PageText("c" * 400)


@given(st.lists(st.text(st.characters(), max_size=30), max_size=8))
def test_any_text_can_be_kept(texts: list[str]) -> None:
    """Half surrogate pairs too: what was added is found under its id."""
    pool = TextPool()
    ids = [pool.add(text) for text in texts]
    assert [pool.texts[found].head if found else "" for found in ids] == texts
