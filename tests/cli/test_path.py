"""Nothing that Sunwell starts itself is looked up by name: a workspace may be on ``PATH``."""

import os
import subprocess
import sys
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


def test_no_module_of_the_current_folder_is_loaded(simulator, tmp_path: Path) -> None:
    """Not even if Sunwell is started as a module there, and whatever the file is called."""
    for name in ("openai", "anthropic", "json_repair", "rich", "aiohttp", "secrets", "difflib", "tomllib"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'loaded')!r}, 'a').write({name!r})\n")
    env = {**os.environ, "ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
    done = subprocess.run(
        [sys.executable, "-m", "sunwell", "run", "Say hello", "--model", "haiku", "--json"],
        env={**env, "PYTHONPATH": str(Path(__file__).parents[2])},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert (done.returncode, (tmp_path / "loaded").exists()) == (0, False), done.stderr
