"""Names that no tool touches, whatever way they are written."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.errors import ToolError
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import Workspace, as_stored, parts_of, why_private


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


@pytest.mark.parametrize(
    ("stored", "asked"),
    [
        pytest.param("gro\u0308\u00dfen.md", "gr\u00f6\u00dfen.md", id="decomposed-on-disk"),
        pytest.param("gr\u00f6\u00dfen.md", "gro\u0308\u00dfen.md", id="composed-on-disk"),
        pytest.param("at 10.00\u202fAM.md", "at 10.00 AM.md", id="no-break-space"),
        pytest.param("e\u0301/a.md", "\u00e9/a.md", id="folder"),
    ],
)
async def test_a_name_is_found_though_its_letters_are_stored_otherwise(folder, box, ask, stored, asked):
    """Reading, writing, searching and listing go to the file that is there; no second one is made."""
    (folder / stored).parent.mkdir(exist_ok=True)
    (folder / stored).write_text("one\n")
    assert (await ask(box, "read_file", path=asked)).content.endswith("\n\none\n")
    assert not (await ask(box, "edit_file", path=asked, old="one", new="two")).is_error
    assert not (await ask(box, "write_file", path=asked, content="needle\n")).is_error
    assert "needle" in (await ask(box, "search_files", pattern="needle", path=asked)).content
    assert "needle" in (await ask(box, "search_files", pattern="needle", glob=asked)).content
    assert [str(path.relative_to(folder)) for path in folder.rglob("*.md")] == [stored]
    assert (folder / stored).read_text() == "needle\n"


async def test_a_name_that_could_be_two_files_is_refused(folder, box, ask):
    """Unless one of them is spelled exactly so."""
    for name in ("a\u00a0b", "a\u202fb"):
        (folder / name).write_text("x\n")
    said = (await ask(box, "read_file", path="a b")).content
    assert said == "'a b' could be any of 'a\\xa0b', 'a\\u202fb'; rename all but one"
    assert not (await ask(box, "read_file", path="a\u00a0b")).is_error


def test_a_workspace_whose_place_another_folder_takes_is_left_alone(tmp_path: Path) -> None:
    """Whoever can write the folder above could put a link to any folder of the user's there meanwhile."""
    (tmp_path / "work").mkdir()
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs/a.txt").write_text("theirs")
    workspace = Workspace(tmp_path / "work")
    (tmp_path / "work").rename(tmp_path / "away")
    (tmp_path / "work").symlink_to("theirs")
    with pytest.raises(ToolError, match="another folder has taken the place"):
        workspace.read("a.txt", 100)
    with pytest.raises(ToolError, match="another folder has taken the place"):
        workspace.locate("b.txt")
