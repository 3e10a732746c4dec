"""Build what is published, look into it, and try it in environments that have nothing else.

``python .ci/release_check.py`` asks no package index: what the wheel requires is linked from the environment
that runs this, and nothing else is. With ``--from-index`` pip installs the wheel with all that it requires,
as a user does. ``--tests`` also runs the whole suite from the unpacked source archive. The files stay in
``dist/``. Exit status 1: something is wrong, and the last line says what.
"""

import argparse
import importlib.metadata
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
import zipfile
from collections.abc import Iterator
from email.parser import HeaderParser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
DATA = "share/sunwell/examples/shop"
CONTRIBUTORS = {"dev", "docs"}
"""Extras that users have no use for."""
NOT_PUBLISHED = shutil.ignore_patterns(
    ".git", ".venv", "__pycache__", ".*_cache", ".hypothesis", ".sunwell", "*.egg-info", "build", "dist"
)  # what .gitignore leaves out
ABSENT = {
    "mcp": (("mcp",), "sunwell mcp needs the package mcp: install it with pip install 'sunwell[mcp]'"),
    "serve": (("serve",), "pip install 'sunwell[serve]'"),
}
"""Commands that need an extra, and how the sentence ends that says so."""


class NotReadyError(Exception):
    """What was built cannot be published; the text says why."""


def require(holds: object, otherwise: str) -> None:
    """Raise :exc:`NotReadyError` with the sentence *otherwise* unless *holds*."""
    if not holds:
        raise NotReadyError(otherwise)


def ran(
    *command: str | Path, cwd: Path, environ: dict[str, str] | None = None
) -> "subprocess.CompletedProcess[str]":
    """Run *command* to its end, without input."""
    return subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )


def build(project: Path, folder: Path) -> tuple[Path, Path, Path]:
    """Build the source archive of *project*, and the wheel from that archive alone.

    Return the archive, the folder in which it is unpacked, and the wheel.
    """
    unpacked = folder / "unpacked"
    _backend("sdist", project, folder / "built")
    (archive,) = (folder / "built").glob("*.tar.gz")
    filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later
    with tarfile.open(archive) as opened:
        opened.extractall(unpacked, **filtered)
    (top,) = unpacked.iterdir()
    _backend("wheel", top, folder / "built")
    (wheel,) = (folder / "built").glob("*.whl")
    return archive, top, wheel


def _backend(kind: str, project: Path, target: Path) -> None:
    code = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    done = ran(sys.executable, "-c", code, target, cwd=project)
    require(done.returncode == 0, f"the {kind} cannot be built: {done.stderr[-2000:]}")


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files in *folder*, without the builder's own notes."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if not path.parts[0].endswith(".egg-info")}


def check_archive(project: Path, unpacked: Path) -> None:
    """The source archive has each file of the project, and nothing but the builder's own notes besides."""
    had, has = files_of(project), files_of(unpacked)
    require(not had - has, f"the source archive lacks {sorted(had - has)}: see MANIFEST.in")
    added = has - had - {"PKG-INFO", "setup.cfg"}
    require(not added, f"the source archive has {sorted(added)}, which the project has not")


def expected_files(project: Path, version: str) -> set[str]:
    """Return what a wheel of *project* has, without what the builder writes."""
    package = {
        str(path.relative_to(project))
        for path in (project / "sunwell").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts and path.suffix != ".pyc"
    }
    shop = project / "examples" / "shop"
    example = {path.relative_to(shop) for kind in ("*.py", "*.md") for path in shop.rglob(kind)}
    return package | {f"sunwell-{version}.data/data/{DATA}/{path}" for path in example}


def check_wheel(project: Path, wheel: Path) -> None:
    """The wheel has the package with its data and the example, and no tests, benchmarks or documents."""
    with zipfile.ZipFile(wheel) as opened:
        names = set(opened.namelist())
        (notes,) = {name.partition("/")[0] for name in names if ".dist-info/" in name}
        described = HeaderParser().parsestr(opened.read(f"{notes}/METADATA").decode())
    expected = expected_files(project, described["Version"])
    has = {name for name in names if not name.startswith(f"{notes}/")}
    require(not expected - has, f"the wheel lacks {sorted(expected - has)}")
    require(not has - expected, f"the wheel has {sorted(has - expected)}, which no user needs")
    settings = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    extras = set(described.get_all("Provides-Extra") or ())
    require(extras == set(settings["optional-dependencies"]), f"the wheel offers the extras {sorted(extras)}")
    require(described["Requires-Python"] == settings["requires-python"], "the wheel is for other Pythons")


def check_versions(project: Path) -> str:
    """Return the version, which stands in several files and must be the same in each."""
    version = tomllib.loads((project / "pyproject.toml").read_text())["project"]["version"]
    plugin = project / "integrations" / "claude-code" / ".claude-plugin" / "plugin.json"
    server = json.loads((project / "server.json").read_text())
    code = re.search(
        r'^__version__ = "(.*)"', (project / "sunwell" / "__init__.py").read_text(), re.MULTILINE
    )
    log = re.search(r"^## (\S+)", (project / "CHANGELOG.md").read_text(), re.MULTILINE)
    found = {
        "sunwell/__init__.py": code and code[1],
        "CHANGELOG.md": log and log[1],
        str(plugin.relative_to(project)): json.loads(plugin.read_text())["version"],
        "server.json": server["version"],
        "server.json, packages": server["packages"][0]["version"],
    }
    wrong = {name: said for name, said in found.items() if said != version}
    require(not wrong, f"pyproject.toml says {version}, but {wrong}")
    return version


def closure(wheel: Path, extras: set[str]) -> list[importlib.metadata.Distribution]:
    """Return the installed distributions that *wheel* with *extras* requires, and those that they require.

    Raises :exc:`importlib.metadata.PackageNotFoundError` if one is not installed here.
    """
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (name for name in opened.namelist() if name.endswith(".dist-info/METADATA"))
        described = HeaderParser().parsestr(opened.read(name).decode())
    waiting = list(_required(described.get_all("Requires-Dist") or [], extras))
    found: dict[tuple[str, str], importlib.metadata.Distribution] = {}
    while waiting:
        wanted = waiting.pop()
        for extra in ("", *wanted.extras):
            if (key := (canonicalize_name(wanted.name), extra)) not in found:
                found[key] = importlib.metadata.distribution(wanted.name)
                waiting += _required(found[key].requires or [], {extra})
    return list({name: one for (name, _), one in found.items()}.values())


def _required(lines: list[str], extras: set[str]) -> Iterator[Requirement]:
    for requirement in map(Requirement, lines):
        marker = requirement.marker
        if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
            yield requirement


def install_here(wheel: Path, extras: set[str], folder: Path) -> Path:
    """Make an environment with *wheel* and links to what it requires, no more; return its ``bin``."""
    wanted = closure(wheel, extras)
    made = ran(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    require(made.returncode == 0, f"no environment can be made: {made.stderr}")
    (packages,) = folder.glob("lib/python*/site-packages")
    for distribution in wanted:
        for top in {path.parts[0] for path in distribution.files or () if path.parts[0] != ".."}:
            if top != "__pycache__" and not (packages / top).exists():
                (packages / top).symlink_to(Path(distribution.locate_file(top)).resolve())
            elif top != "__pycache__" and (packages / top).is_symlink():
                _merge(packages / top, Path(distribution.locate_file(top)))
    options = ("--quiet", "--disable-pip-version-check", "--no-index", "--no-deps", "--no-compile")
    done = ran(
        sys.executable,
        "-m",
        "pip",
        "--python",
        folder / "bin" / "python",
        "install",
        *options,
        wheel,
        cwd=folder.parent,
    )
    require(done.returncode == 0, f"the wheel cannot be installed: {done.stderr[-2000:]}")
    return folder / "bin"


def _merge(link: Path, other: Path) -> None:
    """Two distributions share a package: both are linked to the same folder already."""
    require(link.resolve() == other.resolve(), f"{link.name} is in two places")


def install_from_index(wheel: Path, extras: set[str], folder: Path) -> Path:
    """Make an environment, and have pip install *wheel* with *extras* from the package index."""
    wanted = f"{wheel}[{','.join(sorted(extras))}]" if extras else str(wheel)
    made = ran(sys.executable, "-m", "venv", folder, cwd=folder.parent)
    require(made.returncode == 0, f"no environment can be made: {made.stderr}")
    done = ran(folder / "bin" / "python", "-m", "pip", "install", "--quiet", wanted, cwd=folder.parent)
    require(done.returncode == 0, f"{wanted} cannot be installed: {done.stderr[-2000:]}")
    return folder / "bin"


def try_out(programs: Path, extras: set[str], version: str, *, demo: bool) -> None:
    """Run commands as a new user does, with nothing but ``PATH`` and an empty ``HOME`` in the environment."""
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": f"{programs}{os.pathsep}{os.defpath}", "HOME": home}

        def said(*command: str, status: int = 0, **more: str) -> str:
            done = ran(programs / command[0], *command[1:], cwd=Path(home), environ=environ | more)
            told = f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}"
            require(done.returncode == status and "Traceback" not in done.stderr, told)
            return done.stdout if status == 0 else done.stderr

        where = said("python", "-c", "import sunwell; print(sunwell.__version__, sunwell.__file__)").split()
        require(where[0] == version, f"the package says {where[0]}")
        require(where[1].startswith(str(programs.parent)), f"it was imported from {where[1]}")
        require(said("sunwell", "--version").strip() == f"sunwell, version {version}", "another version")
        said("python", "-c", "import sunwell; [getattr(sunwell, name) for name in sunwell.__all__]")
        require("sunwell demo needs neither" in said("sunwell", "doctor", status=2), "doctor names no way on")
        require("claude" in said("sunwell", "doctor", ANTHROPIC_API_KEY="a-key"), "doctor names no model")
        for command in (("mcp",), ("serve",), ("run",)):
            require("Usage:" in said("sunwell", *command, "--help"), f"{command} has no help")
        for extra, (command, sentence) in ABSENT.items():
            if extra not in extras:
                told = " ".join(said("sunwell", *command, status=2, ANTHROPIC_API_KEY="a-key").split())
                require(told.endswith(sentence), f"without {extra} it says: {told}")
        if demo:
            require("the same to the last digit" in said("sunwell", "demo"), "the demonstration differs")


def main(arguments: list[str]) -> int:
    """Do what the module says; return the exit status."""
    parser = argparse.ArgumentParser(description="Build what is published, and try it.")
    parser.add_argument("--from-index", action="store_true", help="install with pip, from the package index")
    parser.add_argument("--tests", action="store_true", help="run the suite from the source archive")
    chosen = parser.parse_args(arguments)
    try:
        with tempfile.TemporaryDirectory(prefix="sunwell-release-") as name:
            check_release(Path(name), from_index=chosen.from_index, tests=chosen.tests)
    except NotReadyError as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    return 0


def check_release(folder: Path, *, from_index: bool, tests: bool) -> None:
    """Print a line for each thing that was looked at. Raises :exc:`NotReadyError` at the first fault."""
    version = check_versions(ROOT)
    print(f"✓ {version} in every file that names it")
    copy = shutil.copytree(ROOT, folder / "project", ignore=NOT_PUBLISHED)
    archive, unpacked, wheel = build(copy, folder)
    check_archive(copy, unpacked)
    check_wheel(unpacked, wheel)
    print("✓ source archive and wheel have what they should, and nothing else")
    offered = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    extras = sorted(set(offered) - CONTRIBUTORS)
    for number, chosen in enumerate([set[str](), *({extra} for extra in extras), set(extras)]):
        label = f"sunwell[{','.join(sorted(chosen))}]" if chosen else "sunwell, no extra"
        try:
            programs = (install_from_index if from_index else install_here)(
                wheel, chosen, folder / f"env{number}"
            )
        except importlib.metadata.PackageNotFoundError as error:
            print(f"- {label}: not tried, since {error.name} is not installed here (--from-index)")
            continue
        try_out(programs, chosen, version, demo=not chosen)
        print(f"✓ {label}: installed, commands run with nothing but PATH and HOME", flush=True)
    if tests:
        done = ran(
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-n",
            "auto",
            cwd=unpacked,
            environ={**os.environ, "PYTHONPATH": str(unpacked)},
        )
        require(done.returncode == 0, f"the suite fails in the source archive:\n{done.stdout[-3000:]}")
        print(f"✓ the suite of the source archive: {done.stdout.strip().splitlines()[-1]}")
    target = ROOT / "dist"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for built in (archive, wheel):
        shutil.copy(built, target)
        print(target / built.name)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
