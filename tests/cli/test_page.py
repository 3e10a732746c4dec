"""Lines on a page of any width."""

from sunwell.cli.terminal import broken, fitted

ROW = "  delegated    $0.06   claude-opus-5-5 writes the lens, claude-haiku-5-5 works"


def test_a_line_is_broken_between_words() -> None:
    """What follows stands under the column that it belongs to; spaces between columns stay."""
    assert broken(ROW, 50, 23).splitlines() == [
        "  delegated    $0.06   claude-opus-5-5 writes the",
        "                       lens, claude-haiku-5-5",
        "                       works",
    ]
    assert broken(ROW, 120) == ROW


def test_a_word_is_never_broken() -> None:
    """Paths and ids can be copied from any terminal."""
    path = "/tmp/" + "long/" * 20
    assert path in broken(f"journal  {path}", 40)


def test_elsewhere_a_sentence_is_one_line() -> None:
    """Where nobody watches, programs read: the tests' own output is no terminal."""
    assert fitted(ROW * 3) == ROW * 3
