"""Nothing that Sunwell starts itself is looked up by name: a workspace may be on ``PATH``."""

import os
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
