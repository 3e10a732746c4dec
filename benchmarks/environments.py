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
}
"""Names of the environments, and what the programs for each are called, after a prefix for the job."""

_PROGRAMS = Path(__file__).parent / "peers"


def add_option(parser: argparse.ArgumentParser) -> None:
    """Add ``--peers FOLDER``."""
    parser.add_argument("--peers", type=Path, help="folder with a virtual environment for each peer")


def found(folder: Path | None) -> list[str]:
    """Return the peers that *folder* has an environment for; say which are left out."""
    there = [name for name in PEERS if folder is not None and _python(folder, name).exists()]
    for name in PEERS:
        if name not in there:
            print(f"{name} is left out: there is no environment for it", file=sys.stderr)
    return there


def ask(folder: Path, name: str, *words: str, job: str = "", given: str = "") -> dict[str, Any]:
    """Run the program of a peer for *job* in its environment; return the JSON that it prints last.

    *words* are its arguments, *given* its standard input. Raises :exc:`RuntimeError` where it fails.
    """
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    program = _PROGRAMS / f"{job}{PEERS[name]}"
    asked = [str(_python(folder, name)), str(program), *words]
    done = subprocess.run(asked, capture_output=True, text=True, check=False, env=clean, input=given)
    if done.returncode:
        raise RuntimeError(f"{program.name}: {done.stderr[-2000:]}")
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def _python(folder: Path, name: str) -> Path:
    return folder / name / "bin" / "python"
