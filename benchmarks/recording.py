"""Writes what a benchmark found, with what it was found on."""

import json
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip()


def record(name: str, found: dict[str, Any]) -> Path:
    """Write ``results/<name>.json``: *found*, the commit, whether the tree was dirty, and the platform."""
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    context = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "dirty": bool(_git("status", "--porcelain", "--untracked-files=no")),
        "python": platform.python_version(),
        "platform": platform.system(),
    }
    path.write_text(json.dumps(context | found, indent=2, default=str) + "\n")
    return path
