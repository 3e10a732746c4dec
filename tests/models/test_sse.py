"""Server-sent events are the same however the network cuts them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.models.http_model import EventParser, EventTooLong


def parsed(*chunks: bytes) -> list[bytes]:
    parser = EventParser()
    return [data for chunk in chunks for data in parser.feed(chunk)] + parser.close()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(b"data: a\n\n", [b"a"], id="lf"),
        pytest.param(b"data: a\r\n\r\n", [b"a"], id="crlf"),
        pytest.param(b"data: a\r\rdata: b\r\r", [b"a", b"b"], id="cr"),
        pytest.param(b"data:a\n\n", [b"a"], id="no-space"),
        pytest.param(b"data:  a\n\n", [b" a"], id="one-space-only-goes"),
        pytest.param(b"data: a\ndata: b\n\n", [b"a\nb"], id="several-lines"),
        pytest.param(b"data: a\r\ndata: b\r\n\r\n", [b"a\nb"], id="several-lines-of-crlf"),
        pytest.param(b"data\ndata: b\n\n", [b"\nb"], id="name-alone"),
        pytest.param(b": ping\n\ndata: a\n\n", [b"a"], id="comment"),
        pytest.param(b"event: x\nid: 1\nretry: 9\ndata: a\n\n", [b"a"], id="other-fields"),
        pytest.param(b"event: x\n\n", [], id="no-data"),
        pytest.param(b"\xef\xbb\xbfdata: a\n\n", [b"a"], id="byte-order-mark"),
        pytest.param(b"data: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"], id="mark-only-at-the-start"),
        pytest.param(b"data: a\n\ndata: b\n", [b"a", b"b"], id="no-blank-line-at-the-end"),
        pytest.param(b"data: a\n\ndata: b", [b"a", b"b"], id="no-line-end-at-the-end"),
        pytest.param(b"database: a\n\n", [], id="longer-name"),
        pytest.param("data: é€😀\n\n".encode(), ["é€😀".encode()], id="utf-8"),
        pytest.param(b"", [], id="nothing"),
    ],
)
def test_lines_become_events(text, expected):
    """Every end of line, field and comment that the format allows is understood."""
    assert parsed(text) == expected
    assert parsed(*(bytes([byte]) for byte in text)) == expected


_LINES = st.lists(
    st.sampled_from(
        [b"data: x", b"data:", b"data: {}", b"", b": c", b"event: e", b"data", b"\xef\xbb\xbf", b"d"]
    )
)
_ENDS = st.sampled_from([b"\n", b"\r\n", b"\r"])


@given(_LINES, _ENDS, st.sets(st.integers(0, 60)))
def test_any_cutting_gives_the_same_events(lines, end, cuts):
    """Wherever a stream is cut into pieces, the events are those of the whole."""
    text = b"".join(line + end for line in lines)
    borders = [0, *sorted(cut for cut in cuts if cut < len(text)), len(text)]
    pieces = [text[a:b] for a, b in pairwise(borders)]
    assert parsed(*pieces) == parsed(text)
    assert parsed(*(bytes([byte]) for byte in text)) == parsed(text)


@given(st.lists(st.binary(max_size=12), max_size=12))
def test_arbitrary_bytes_are_read_the_same_in_pieces(pieces):
    """No bytes at all break the parser or depend on how they arrive."""
    assert parsed(*pieces) == parsed(b"".join(pieces))


@pytest.mark.parametrize(
    ("chunks", "fits"),
    [
        pytest.param([b"data: " + b"x" * 94], True, id="line-at-the-bound"),
        pytest.param([b"data: " + b"x" * 95], False, id="line-past-it"),
        pytest.param([b"data: xx"] + [b"x" * 31] * 3, False, id="line-in-pieces"),
        pytest.param([b"data: " + b"x" * 49 + b"\n"] * 2, True, id="event-at-the-bound"),
        pytest.param([b"data: " + b"x" * 50 + b"\n"] * 2, False, id="event-past-it"),
        pytest.param([b"data: " + b"x" * 60 + b"\n\n"] * 5, True, id="several-events"),
    ],
)
def test_a_line_or_an_event_has_a_bound(chunks, fits):
    """Neither a line without end nor an event without end fills the memory."""
    parser = EventParser(max_bytes=100)

    def feed() -> None:
        for chunk in chunks:
            parser.feed(chunk)

    if fits:
        feed()
    else:
        with pytest.raises(EventTooLong):
            feed()
