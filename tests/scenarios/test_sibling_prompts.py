"""The prefix of siblings is the same bytes: for all of them, in any process, on any Python."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.other_pythons import borrow, other_pythons

PROGRAM = Path(__file__).parent / "sibling_prompts.py"
ROOT = PROGRAM.parents[2]
PYTHONS = other_pythons()


def prefixes(
    python: str | Path, seed: int, folder: Path, libraries: Path | None = None
) -> list[tuple[str, str, int]]:
    """Return what the program prints under *python* and a hash seed."""
    env = os.environ | {"PYTHONHASHSEED": str(seed), "PYTHONDONTWRITEBYTECODE": "1"}
    if libraries is not None:
        env["PYTHONPATH"] = f"{ROOT}{os.pathsep}{libraries}"
    words = [python, PROGRAM, folder, *(["--without-files"] if libraries else [])]
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the workspace is made, each time anew."""
    return tmp_path_factory.mktemp("siblings") / "workspace"


@pytest.fixture(scope="module")
def first(folder: Path) -> list[tuple[str, str, int]]:
    """Return what this Python makes of them."""
    return prefixes(sys.executable, 0, folder)


def test_a_hundred_siblings_begin_with_the_same_bytes(
    first: list[tuple[str, str, int]], folder: Path
) -> None:
    """On both wires, across a resume on another day, and under another hash seed."""
    assert [wire for wire, _, _ in first] == ["caching", "chat", "messages", "tool"]
    asked = first[1][2]
    assert 100 <= asked <= 105  # what was in flight when it was stopped is asked again
    assert [count for _, _, count in first] == [asked] * 4
    assert first[0][1].startswith("5m sunwell-")
    again = prefixes(sys.executable, 1, folder)
    assert [one[:2] for one in again] == [one[:2] for one in first]


@pytest.mark.parametrize("version", ["3.11", "3.12", "3.13", "3.14"])
def test_another_python_begins_them_with_the_same_bytes(
    first: list[tuple[str, str, int]], version: str, folder: Path, tmp_path: Path
) -> None:
    """The same program, with the libraries of this environment that every Python can load."""
    if version == f"3.{sys.version_info.minor}":
        pytest.skip(f"Python {version} is the one that runs the tests")
    if version not in PYTHONS:
        pytest.skip(f"Python {version} with msgspec is not installed on this machine")
    other = prefixes(PYTHONS[version], 2, folder, borrow(tmp_path))
    assert [one[:2] for one in other] == [one[:2] for one in first]
