"""Ignore files hide what they name, nested as git nests them."""

import time

import pytest

from sunwell.tools.workspace_view import Ignores


def rules(*layers: tuple[str, str]) -> Ignores:
    found = Ignores()
    for folder, text in layers:
        found = found.below(folder, [text])
    return found


@pytest.mark.parametrize(
    ("layers", "path", "is_folder", "hidden"),
    [
        pytest.param([("", "*.log")], "a/b.log", False, True, id="anywhere"),
        pytest.param([("", "*.log")], "a/b.txt", False, False, id="other-ending"),
        pytest.param([("", "/build/")], "build", True, True, id="folder-at-the-root"),
        pytest.param([("", "/build/")], "build", False, False, id="file-where-a-folder-is-meant"),
        pytest.param([("", "/build/")], "a/build", True, False, id="anchored"),
        pytest.param([("", "*.log\n!keep.log")], "keep.log", False, False, id="taken-back"),
        pytest.param([("", "*.log"), ("a", "!b.log")], "a/b.log", False, False, id="nearer-file-decides"),
        pytest.param([("", "*.log"), ("a", "!b.log")], "c/b.log", False, True, id="only-below-its-folder"),
        pytest.param([("a", "/x")], "a/x", False, True, id="relative-to-its-folder"),
        pytest.param([("", "[z-a]\n\\\n!\n[[a]\n*.log")], "x.log", False, True, id="malformed-lines"),
        pytest.param([("", "# *.txt\n\n")], "x.txt", False, False, id="comment"),
    ],
)
def test_what_is_ignored(layers, path, is_folder, hidden):
    """The nearest ignore file that says anything decides; lines that cannot be read count for nothing."""
    assert rules(*layers).hides(path, is_folder=is_folder) == hidden


def test_a_hostile_pattern_costs_little():
    """A pattern built to take hours is left out."""
    started = time.process_time()
    assert not rules(("", "*a" * 30 + "b\n" + "**/a/" * 30 + "b")).hides("a" * 250, is_folder=False)
    assert time.process_time() - started < 2
