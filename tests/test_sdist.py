"""The source distribution holds the whole project: code, tests, documents, changelog."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from sunwell.report.page.html_page import SCRIPTS

ROOT = Path(__file__).parents[1]
_MADE = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", ".sunwell", "*.egg-info", "build", "dist"
)  # what .gitignore leaves out


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a copy of the project, and the folder of the distribution that was built from it."""
    pytest.importorskip("setuptools", reason="building a distribution needs setuptools")
    folder = tmp_path_factory.mktemp("sdist")
    copy = shutil.copytree(ROOT, folder / "project", ignore=_MADE)
    code = "import sys; from setuptools.build_meta import build_sdist; build_sdist(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, folder / "dist"], cwd=copy, capture_output=True, check=True, timeout=100
    )
    (archive,) = (folder / "dist").glob("*.tar.gz")
    filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "unpacked", **filtered)
    (top,) = (folder / "unpacked").iterdir()
    return copy, top


def _files(folder: Path) -> set[str]:
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if not path.parts[0].endswith(".egg-info")}


def test_nothing_is_missing(unpacked: tuple[Path, Path]) -> None:
    """Each file of the project is there, and nothing but the builder's own notes is added."""
    copy, top = unpacked
    there = _files(top)
    assert {"CHANGELOG.md", "docs/api.md", "tests/test_sdist.py", "examples/README.md"} <= there
    assert _files(copy) - there == set()
    assert there - _files(copy) <= {"PKG-INFO", "setup.cfg"}


def test_its_tests_run_in_place(unpacked: tuple[Path, Path]) -> None:
    """From the unpacked folder alone, on the code that is in it."""
    _, top = unpacked
    # Of the public names, what compares them with the documents: the rest loads the package for each name.
    names = "tests/test_public_api.py::test_the_reference_is_the_codes_own"
    chosen = [names, "tests/test_rfcs.py", "tests/cli/test_documented.py"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *chosen],
        cwd=top,
        env={**os.environ, "PYTHONPATH": str(top)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]


def test_an_installation_has_the_vocabularies_and_the_page(
    unpacked: tuple[Path, Path], tmp_path: Path
) -> None:
    """The wheel that is built from it holds each vocabulary, its licence, and what a page is made of."""
    _, top = unpacked
    code = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
    subprocess.run(
        [sys.executable, "-c", code, tmp_path], cwd=top, capture_output=True, check=True, timeout=100
    )
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    for name in ("o200k_base.xz", "cl100k_base.xz", "LICENSE"):
        assert f"sunwell/models/vocabularies/{name}" in names
    for name in ("page.html", "page.css", *SCRIPTS):
        assert f"sunwell/report/page/templates/{name}" in names
