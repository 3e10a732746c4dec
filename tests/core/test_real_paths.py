"""Where a path leads is found as the standard library finds it, and a path that leads to itself is kept."""

import os
from pathlib import Path

import pytest

from sunwell.core.real_paths import real_path, resolved


@pytest.fixture
def place(tmp_path: Path) -> Path:
    real = Path(os.path.realpath(tmp_path))
    (real / "a" / "b").mkdir(parents=True)
    (real / "a" / "file").touch()
    (real / "link").symlink_to("a")
    (real / "a" / "up").symlink_to("..")
    (real / "round").symlink_to("round")
    return real


@pytest.mark.parametrize(
    "path",
    [
        "a", "a/b", "a/file", "a/file/x", "a/none/x", "none", "link", "link/b", "link/none", "a/up/link/b",
        "round/x", "a/../link", "a/./b", "./a", "a//b", "a/", "a/..", ".hidden/.x", "..a/b",
    ],
)  # fmt: skip
def test_a_path_leads_where_the_standard_library_says(place: Path, path: str) -> None:
    """Also one that is not plain, or of which a part is not there."""
    assert resolved(f"{place}/{path}") == os.path.realpath(f"{place}/{path}")


@pytest.mark.parametrize("path", ["/", "//", "", ".", "..", "a", "link/b", "~"])
def test_a_path_that_does_not_begin_at_the_root_folder_does_so_too(
    place: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is taken from where the process is."""
    monkeypatch.chdir(place)
    assert resolved(path) == os.path.realpath(path)


def test_a_path_that_leads_to_itself_is_kept(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one is what it leads to, from the user's home if it begins there."""
    monkeypatch.setenv("HOME", str(place))
    own = place / "a"
    assert real_path(own) is own
    assert real_path(str(own)) == own
    assert real_path(place / "link") == real_path("~/link") == real_path(Path("~/link")) == own


def test_a_name_that_cannot_be_one_stays() -> None:
    """Whoever opens it gets the error."""
    assert real_path("/a\0b") == Path("/a\0b")
