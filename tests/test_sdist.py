"""The source distribution holds the whole project, and what is installed from it has what users need."""

import importlib.util
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import sunwell
from sunwell.report.page.html_page import SCRIPTS

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def checks() -> ModuleType:
    """Return the module that checks a release: the same code builds and looks, here and there."""
    pytest.importorskip("setuptools", reason="building a distribution needs setuptools")
    spec = importlib.util.spec_from_file_location("release_check", ROOT / ".ci" / "release_check.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def unpacked(checks: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a copy of the project, and the folder of the distribution that was built from it."""
    folder = tmp_path_factory.mktemp("sdist")
    copy = shutil.copytree(ROOT, folder / "project", ignore=checks.NOT_PUBLISHED)
    return copy, checks.build_archive(copy, folder)[1]


@pytest.fixture(scope="module")
def wheel(checks: ModuleType, unpacked: tuple[Path, Path]) -> Path:
    """Return the wheel that is built from the source distribution alone."""
    return Path(checks.build_wheel(unpacked[1], unpacked[1].parents[1]))


def test_nothing_is_missing(checks: ModuleType, unpacked: tuple[Path, Path]) -> None:
    """Each file of the project is there, and nothing but the builder's own notes is added."""
    copy, top = unpacked
    there = checks.files_of(top)
    assert {"CHANGELOG.md", "docs/api.md", "tests/test_sdist.py", "examples/README.md"} <= there
    assert {"server.json", ".claude-plugin/marketplace.json", ".ci/release_check.py"} <= there
    checks.check_archive(copy, top)


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


def test_an_installation_has_the_data_and_no_tests(
    checks: ModuleType, unpacked: tuple[Path, Path], wheel: Path
) -> None:
    """Each vocabulary, its licence, what a page is made of, the example; no test, benchmark or document."""
    checks.check_wheel(unpacked[1], wheel)
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
    for name in ("o200k_base.xz", "cl100k_base.xz", "LICENSE"):
        assert f"sunwell/models/vocabularies/{name}" in names
    for name in ("page.html", "page.css", *SCRIPTS):
        assert f"sunwell/report/page/templates/{name}" in names
    example = f"sunwell-{sunwell.__version__}.data/data/share/sunwell/examples/shop"
    assert {"sunwell/py.typed", f"{example}/shop/app.py", f"{example}/CONVENTIONS.md"} <= names
    tops = {name.partition("/")[0].removeprefix(f"sunwell-{sunwell.__version__}") for name in names}
    assert tops == {"sunwell", ".data", ".dist-info"}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("drop", "sunwell/py.typed"), "the wheel lacks sunwell/py.typed"),
        (("add", "tests/test_sdist.py"), "the wheel has tests/test_sdist.py, which no user needs"),
    ],
)
def test_a_wheel_with_too_little_or_too_much_is_seen(
    checks: ModuleType,
    unpacked: tuple[Path, Path],
    wheel: Path,
    tmp_path: Path,
    change: tuple[str, str],
    said: str,
) -> None:
    """The file is named."""
    what, name = change
    changed = tmp_path / wheel.name
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(changed, "w") as new:
        for one in old.namelist():
            if (what, one) != ("drop", name):
                new.writestr(one, old.read(one))
        if what == "add":
            new.writestr(name, "")
    with pytest.raises(checks.NotReadyError) as caught:
        checks.check_wheel(unpacked[1], changed)
    assert str(caught.value) == said


@pytest.mark.timeout(300)  # some starts of Python, beside others on a busy machine
def test_it_works_with_what_it_requires_and_nothing_else(
    checks: ModuleType, wheel: Path, tmp_path: Path
) -> None:
    """In an environment of its own, with ``PATH`` and ``HOME`` alone; an absent extra is one sentence."""
    programs = checks.install_here(wheel, set(), tmp_path / "environment")
    assert not any((tmp_path / "environment").glob("lib/python*/site-packages/starlette"))
    checks.try_out(programs, set(), sunwell.__version__, thorough=False)


def test_an_extra_brings_what_its_command_needs(checks: ModuleType, wheel: Path) -> None:
    """What is not installed here is named, so that nobody takes it for tried."""
    names = {one.metadata["Name"] for one in checks.closure(wheel, {"serve", "mcp"})}
    assert {"starlette", "uvicorn", "mcp", "openai", "aiohttp"} <= names
    assert not {"starlette", "mcp", "pytest"} & {one.metadata["Name"] for one in checks.closure(wheel, set())}


def test_a_version_that_differs_is_named(checks: ModuleType, tmp_path: Path) -> None:
    """The version is the same in each file that states it, and a file that was forgotten is named."""
    assert checks.check_versions(ROOT) == sunwell.__version__
    copy = tmp_path / "project"
    stating = ("pyproject.toml", "server.json", "CHANGELOG.md", "sunwell/__init__.py", "README.md")
    for name in (*stating, "integrations/claude-code/.claude-plugin/plugin.json"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    settings = copy / "pyproject.toml"
    settings.write_text(settings.read_text().replace(f'"{sunwell.__version__}"', '"9.9.9"', 1))
    with pytest.raises(
        checks.NotReadyError, match=r"pyproject.toml says 9.9.9, but .*plugin.json.*server.json"
    ):
        checks.check_versions(copy)


def test_what_is_left_to_fill_in_stops_a_publication() -> None:
    """And a tag that names another version does; nothing is built before."""
    program = [sys.executable, ROOT / ".ci" / "release_check.py"]
    for options, said in ((["--publish"], "OWNER"), (["--tag", "v9.9.9"], "the tag v9.9.9 is not v")):
        done = subprocess.run([*program, *options], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
