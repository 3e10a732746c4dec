"""The libraries that Sunwell is measured beside, each in a virtual environment of its own.

A folder outside the tree holds one environment for each peer, named as in :data:`PEERS`; what is not
there is left out, and said. ``benchmarks/README.md`` tells what to install.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

PEERS = {
    "pydantic-ai": "with_pydantic_ai.py",
    "openai-agents": "with_openai_agents.py",
    "langchain": "with_langchain.py",
    "rlms": "with_rlms.py",
}
"""Names of the environments, and what the programs for each are called, after a prefix for the job."""

_PROGRAMS = Path(__file__).parent / "peers"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers FOLDER``."""
    parser.add_argument("--peers", type=Path, help="folder with a virtual environment for each peer")


def found(folder: Path | None, job: str = "") -> list[str]:
    """Return the peers with a program for *job* and an environment in *folder*; say which are left out."""
    able = [name for name in PEERS if (_PROGRAMS / f"{job}{PEERS[name]}").exists()]
    there = [name for name in able if folder is not None and _python(folder, name).exists()]
    for name in able:
        if name not in there:
            print(f"{name} is left out: there is no environment for it", file=sys.stderr)
    return there


def begin(folder: Path, name: str, *words: str, job: str = "") -> subprocess.Popen[str]:
    """Start the program of a peer for *job* in its environment, with pipes; *words* are its arguments."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    asked = [str(_python(folder, name)), str(_PROGRAMS / f"{job}{PEERS[name]}"), *words]
    pipe = subprocess.PIPE
    return subprocess.Popen(asked, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=clean)


def ask(folder: Path, name: str, *words: str, job: str = "", given: str = "") -> dict[str, Any]:
    """Run the program of a peer for *job* in its environment; return the JSON that it prints last.

    *words* are its arguments, *given* its standard input. Raises :exc:`RuntimeError` where it fails.
    """
    with begin(folder, name, *words, job=job) as program:
        said, complaint = program.communicate(given)
    if program.returncode:
        raise RuntimeError(f"{job}{PEERS[name]}: {complaint[-2000:]}")
    told: dict[str, Any] = json.loads(said.splitlines()[-1])
    return told


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"
