"""Writes what a benchmark found, with what it was found on."""

import json
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tables import write as write_tables

ROOT = Path(__file__).parent.parent
# What a user has kept must not change what is measured, and what is measured is not kept.
os.environ |= {"SUNWELL_LENSES": "off", "SUNWELL_OUTCOMES": "off"}


def _git(*words: str) -> str:
    done = subprocess.run(["git", *words], capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip()


def record(name: str, found: dict[str, Any]) -> Path:
    """Write ``results/<name>.json``: *found*, the commit, whether code was changed since, and the platform.

    The table in the readme is brought up to date, too.
    """
    path = ROOT / "benchmarks" / "results" / f"{name}.json"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", "sunwell", "benchmarks/*.py")
    context = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": _git("rev-parse", "--short", "HEAD"),
        "dirty": bool(changed),
        "python": platform.python_version(),
        "platform": platform.system(),
    }
    path.write_text(json.dumps(context | found, indent=2, default=str) + "\n")
    write_tables()
    return path
