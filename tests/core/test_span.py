"""Spans are named from their parents, the same each time."""

from sunwell.core import Span


def test_a_name_cannot_reach_into_another_span() -> None:
    """A slash in a tool-call id does not make a deeper span."""
    assert Span().child("a/b").path == "run/a%2Fb"
    assert Span().child("a%2Fb").path != Span().child("a/b").path


def test_only_workers_are_deeper() -> None:
    """Depth counts nesting of workers, not parts of the same work."""
    assert Span().child("lens").depth == 0
    assert Span().worker("work").child("closing-1").depth == 1
