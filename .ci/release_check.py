"""Build what is published, look into it, and try it in environments that have nothing else.

``python .ci/release_check.py`` asks no package index: what the wheel requires is linked from the environment
that runs this, and nothing else is. With ``--from-index`` pip installs the wheel with all that it requires,
as a user does. ``--tests`` also runs the whole suite from the unpacked source archive. ``--publish`` demands
what only a real release has, and ``--tag`` that the tag names the version. The files stay in ``dist/``. Exit
status 1: something is wrong, and the last line says what.
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
    "mcp": ("mcp", "sunwell mcp needs the package mcp: install it with pip install 'sunwell[mcp]'"),
    "serve": ("starlette", "pip install 'sunwell[serve]'"),
}
"""Commands that need an extra: a package of that extra, and the end of the sentence that says what to do."""
DOCTOR = """
import os, subprocess, sys
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
with running_simulator(Simulator(DEMO_MODELS)) as simulator:
    environ = os.environ | {"ANTHROPIC_API_KEY": "a-key", "ANTHROPIC_BASE_URL": simulator.url}
    sys.exit(subprocess.run(["sunwell", "doctor"], env=environ).returncode)
"""
"""Has ``sunwell doctor`` examine a model of a simulated provider."""


class NotReadyError(Exception):
    """What was built cannot be published; the text says why."""


def require(holds: object, otherwise: str) -> None:
    """Raise :exc:`NotReadyError` with the sentence *otherwise* unless *holds*."""
    if not holds:
        raise NotReadyError(otherwise)


def ran(
    *command: str | Path, cwd: Path, environ: dict[str, str] | None = None, seconds: float = 900
) -> "subprocess.CompletedProcess[str]":
    """Run *command* to its end, without input. Raises :exc:`NotReadyError` if the time is up."""
    try:
        return _run(command, cwd, environ, seconds)
    except subprocess.TimeoutExpired:
        raise NotReadyError(
            f"{' '.join(map(str, command))[:200]} did not end within {seconds:.0f} s"
        ) from None


def _run(
    command: tuple[str | Path, ...], cwd: Path, environ: dict[str, str] | None, seconds: float
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=cwd,
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def build_archive(project: Path, folder: Path) -> tuple[Path, Path]:
    """Build the source archive of *project* in *folder*; return it and the folder with its files."""
    _backend("sdist", project, folder / "built")
    (archive,) = (folder / "built").glob("*.tar.gz")
    filtered = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}  # Python 3.11.4 and later
    with tarfile.open(archive) as opened:
        opened.extractall(folder / "unpacked", **filtered)
    (top,) = (folder / "unpacked").iterdir()
    return archive, top


def build_wheel(unpacked: Path, folder: Path) -> Path:
    """Build the wheel in *folder* from the unpacked source archive alone, and leave that as it is."""
    copy = shutil.copytree(unpacked, folder / "for_the_wheel")
    _backend("wheel", copy, folder / "built")
    shutil.rmtree(copy)
    (wheel,) = (folder / "built").glob("*.whl")
    return wheel


def _backend(kind: str, project: Path, target: Path) -> None:
    code = f"import sys; from setuptools.build_meta import build_{kind} as build; build(sys.argv[1])"
    done = ran(sys.executable, "-c", code, target, cwd=project)
    require(done.returncode == 0, f"the {kind} cannot be built: {done.stderr[-2000:]}")


def files_of(folder: Path) -> set[str]:
    """Return the paths of all files in *folder*, without the builder's own notes."""
    paths = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    return {str(path) for path in paths if not path.parts[0].endswith(".egg-info")}


def few(names: set[str]) -> str:
    """Return the first of *names*, and how many there are."""
    listed = ", ".join(sorted(names)[:5])
    return listed if len(names) <= 5 else f"{listed} and {len(names) - 5} more"


def check_archive(project: Path, unpacked: Path) -> None:
    """The source archive has each file of the project, and nothing but the builder's own notes besides."""
    had, has = files_of(project), files_of(unpacked)
    require(not had - has, f"the source archive lacks {few(had - has)}: see MANIFEST.in")
    added = has - had - {"PKG-INFO", "setup.cfg"}
    require(not added, f"the source archive has {few(added)}, which the project has not")


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
    require(not expected - has, f"the wheel lacks {few(expected - has)}")
    require(not has - expected, f"the wheel has {few(has - expected)}, which no user needs")
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


def left_to_fill_in(project: Path) -> list[str]:
    """Return what has to be known before a release, one sentence each."""
    left = []
    name = json.loads((project / "server.json").read_text())["name"]
    marker = re.search(r"<!-- mcp-name: (\S+) -->", (project / "README.md").read_text())
    require(marker and marker[1] == name, f"the readme does not have the name {name} of server.json")
    if "OWNER" in name:
        left.append("server.json and the readme have OWNER in place of an account")
    if "urls" not in tomllib.loads((project / "pyproject.toml").read_text())["project"]:
        left.append("pyproject.toml has no [project.urls]")
    if not re.search(r"^## \S+ \(\d{4}-\d\d-\d\d\)$", (project / "CHANGELOG.md").read_text(), re.MULTILINE):
        left.append("the top of CHANGELOG.md has no date")
    return left


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


def try_out(programs: Path, extras: set[str], version: str, *, thorough: bool = True) -> None:
    """Run commands as a new user does, with nothing but ``PATH`` and an empty ``HOME`` in the environment.

    Without *thorough* only those that end at once.
    """
    with tempfile.TemporaryDirectory() as home:
        environ = {"PATH": f"{programs}{os.pathsep}{os.defpath}", "HOME": home}

        def said(*command: str, status: int = 0, **more: str) -> str:
            done = ran(
                programs / command[0], *command[1:], cwd=Path(home), environ=environ | more, seconds=120
            )
            told = f"{' '.join(command)} ended with {done.returncode}: {(done.stderr or done.stdout)[-1500:]}"
            require(done.returncode == status and "Traceback" not in done.stderr, told)
            return done.stdout if status == 0 else done.stderr

        where = said("python", "-c", "import sunwell; print(sunwell.__version__, sunwell.__file__)").split()
        require(where[0] == version, f"the package says {where[0]}")
        require(where[1].startswith(str(programs.parent)), f"it was imported from {where[1]}")
        require(said("sunwell", "--version").strip() == f"sunwell, version {version}", "another version")
        require("sunwell demo needs neither" in said("sunwell", "doctor", status=2), "doctor names no way on")
        for command, (package, sentence) in ABSENT.items():
            look = f"from importlib.util import find_spec; print(find_spec({package!r}) is None)"
            if said("python", "-c", look).strip() == "True":  # the extra mcp brings starlette as well
                told = " ".join(said("sunwell", command, status=2, ANTHROPIC_API_KEY="a-key").split())
                require(told.endswith(sentence), f"without {package} it says: {told}")
                require(command not in extras, f"the extra {command} does not bring {package}")
        if thorough:
            said("python", "-c", "import sunwell; [getattr(sunwell, name) for name in sunwell.__all__]")
            for command in ("mcp", "serve", "run"):
                require("Usage:" in said("sunwell", command, "--help"), f"{command} has no help")
            require("Sunwell needs works" in said("python", "-c", DOCTOR), "doctor finds fault")
            require("the same to the last digit" in said("sunwell", "demo"), "the demonstration differs")


def main(arguments: list[str]) -> int:
    """Do what the module says; return the exit status."""
    parser = argparse.ArgumentParser(description="Build what is published, and try it.")
    parser.add_argument("--from-index", action="store_true", help="install with pip, from the package index")
    parser.add_argument("--publish", action="store_true", help="fail if something is left to fill in")
    parser.add_argument("--tag", metavar="TAG", help="the tag of the release, such as v0.1.0")
    parser.add_argument("--tests", action="store_true", help="run the suite from the source archive")
    chosen = parser.parse_args(arguments)
    try:
        version = check_versions(ROOT)
        require(chosen.tag in (None, f"v{version}"), f"the tag {chosen.tag} is not v{version}")
        left = left_to_fill_in(ROOT)
        require(not (left and chosen.publish), "; ".join(left))
        print(
            "\n".join(
                [f"✓ {version} in every file that names it", *(f"- before a release: {one}" for one in left)]
            )
        )
        with tempfile.TemporaryDirectory(prefix="sunwell-release-") as name:
            check_release(Path(name), version, from_index=chosen.from_index, tests=chosen.tests)
    except NotReadyError as error:
        print(f"not ready: {error}", file=sys.stderr)
        return 1
    return 0


def check_release(folder: Path, version: str, *, from_index: bool, tests: bool) -> None:
    """Print a line for each thing that was looked at. Raises :exc:`NotReadyError` at the first fault."""
    copy = shutil.copytree(ROOT, folder / "project", ignore=NOT_PUBLISHED)
    archive, unpacked = build_archive(copy, folder)
    check_archive(copy, unpacked)
    wheel = build_wheel(unpacked, folder)
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
        try_out(programs, chosen, version)
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
