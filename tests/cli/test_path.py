"""Nothing that Sunwell starts itself is looked up by name: a workspace may be on ``PATH``."""

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

NAMES = (
    "uname",
    "lsb_release",
    "sw_vers",
    "git",
    "monty",
    "bwrap",
    "sh",
    "python",
    "python3",
    "less",
    "stty",
)


@pytest.mark.parametrize("model", ["haiku", "openai-cheap", "openai/gpt-6-sol"])
def test_no_program_of_the_workspace_is_started(start, simulator, tmp_path: Path, model: str) -> None:
    """A run asks a provider and begins with all programs of its own hidden behind others of their names."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in NAMES:
        program = programs / name
        program.write_text(f"#!/bin/sh\necho {name} >> {tmp_path}/started\n")
        program.chmod(0o755)
    env = {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "ANTHROPIC_BASE_URL": simulator.url,
        "ANTHROPIC_API_KEY": "simulated-key",
        "OPENAI_BASE_URL": simulator.openai_url,
        "OPENAI_API_KEY": "simulated-key",
    }
    run = start("run", "Say hello", "-w", tmp_path, "--model", model, "--allow-python", "--json", env=env)
    said, told = run.communicate(timeout=100)
    assert simulator.requests, (said, told)
    assert not (tmp_path / "started").exists(), (tmp_path / "started").read_text()


LATE = ("openai", "anthropic", "json_repair", "rich", "aiohttp", "secrets", "difflib", "tomllib", "click")
EARLY = ("attr", "attrs", "typing", "importlib", "runpy", "contextlib", "warnings", "types", "sunwell")
"""What Python itself loads before the first line of ``python -m sunwell``, among them the package's name."""
AT_START = ("sitecustomize", "usercustomize")
SCRIPT = Path(sysconfig.get_path("scripts")) / "sunwell"
requires_script = pytest.mark.skipif(not SCRIPT.exists(), reason="requires the installed command")


@pytest.mark.parametrize(
    ("command", "names", "python_path"),
    [
        pytest.param(("-m", "sunwell"), LATE, "", id="module"),
        pytest.param(("-m", "sunwell"), LATE, ".", id="path-dot"),
        pytest.param(("-m", "sunwell"), LATE, os.pathsep, id="path-empty"),
        pytest.param(("-P", "-m", "sunwell"), (*LATE, *EARLY, *AT_START), "", id="safe-module"),
        pytest.param((str(SCRIPT),), (*LATE, *EARLY, *AT_START), "", id="script", marks=requires_script),
    ],
)
def test_no_module_of_the_current_folder_is_loaded(
    simulator, tmp_path: Path, command: tuple[str, ...], names: tuple[str, ...], python_path: str
) -> None:
    """Not even if Sunwell is started as a module there, and whatever the file is called; no plugin either."""
    for name in names:
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'a').write({name!r})\n")
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[sunwell.models]\nevil = openai\n[sunwell.tools]\nevil = openai\n"
    )
    env = {**os.environ, "ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    repository = str(Path(__file__).parents[2])
    # A run loads the most; what is at stake with the others is loaded at once.
    is_run = not python_path and command[0] == "-m"
    words = ("run", "Say hello", "--model", "haiku", "--json") if is_run else ("models",)
    done = subprocess.run(
        [sys.executable, *command, *words],
        env={**env, "PYTHONPATH": f"{repository}{os.pathsep}{python_path}" if python_path else repository},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, (tmp_path / "loaded").exists()) == (0, False), done.stderr
    assert "evil" not in done.stdout
    assert bool(simulator.requests) is is_run


def test_a_package_in_the_current_folder_offers_no_plugin(tmp_path: Path) -> None:
    """In an interpreter with the current folder on its path, which is how it starts without a script."""
    info = tmp_path / "evil-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: evil\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sunwell.tools]\nevil = evil\n")
    code = (
        "import sys; from importlib.metadata import entry_points; from sunwell.plugins import Plugins\n"
        "print('' in sys.path, [point.name for point in entry_points(group='sunwell.tools')], "
        "Plugins('sunwell.tools').names())"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert done.stdout == "True ['evil'] ()\n"
