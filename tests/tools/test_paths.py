"""Names that no tool touches, whatever way they are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.errors import ToolError
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import as_stored, parts_of, why_private


@pytest.mark.parametrize(
    ("name", "is_private"),
    [
        pytest.param(".env", True, id="env"),
        pytest.param(".env.local", True, id="env-of-a-stage"),
        pytest.param(".ENV", True, id="env-in-capitals"),
        pytest.param(".environment", False, id="longer-word"),
        pytest.param("env", False, id="no-dot"),
        pytest.param("x.env", False, id="other-stem"),
        pytest.param(".git", True, id="git"),
        pytest.param(".Git", True, id="git-in-capitals"),
        pytest.param(".g\u200cit", True, id="git-with-a-character-not-seen"),
        pytest.param(".\uff47it", True, id="git-in-full-width"),
        pytest.param(".gitignore", False, id="gitignore"),
        pytest.param(".sunwell", True, id="sunwell"),
        pytest.param(".sunwellignore", False, id="sunwellignore"),
        pytest.param(".sunwell-0a1b.tmp", True, id="half-written-file"),
    ],
)
def test_private_names_are_known_in_every_writing(name, is_private):
    """A name is private as the most forgiving file system would read it."""
    assert (why_private(name) is not None) == is_private


@pytest.mark.parametrize(
    ("wanted", "stored"),
    [
        pytest.param("README.md", "README.md", id="same"),
        pytest.param("readme.MD", "README.md", id="other-case"),
        pytest.param("cafe\u0301", "caf\u00e9", id="other-normal-form"),
        pytest.param("new.txt", "new.txt", id="not-there"),
    ],
)
def test_one_file_has_one_name_where_case_does_not_count(wanted, stored):
    """On a file system without case, a path is the one that is stored."""
    assert as_stored(wanted, ["README.md", "caf\u00e9", "z"]) == stored


@given(st.text())
def test_a_path_becomes_plain_names_or_one_sentence(path):
    """Every text is either names without separators or refused in one line."""
    parts, sentence = (), ""
    try:
        parts = parts_of(path)
    except ToolError as error:
        sentence = str(error)
    assert "\n" not in sentence
    assert len(sentence) < 1_000
    assert all("/" not in part and "\0" not in part and part not in ("", ".") for part in parts)


@given(st.text())
def test_a_quoted_path_stays_on_its_line(path):
    """A name with line ends or terminal codes in it cannot break out of a sentence."""
    assert quoted(path).isprintable()
