"""The prefix of siblings is the same bytes: for all of them, in any process, on any Python."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).parent / "sibling_prompts.py"
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")


def prefixes(python: str, seed: int) -> list[tuple[str, str, int]]:
    """Return what the program prints under *python* and a hash seed."""
    env = os.environ | {"PYTHONHASHSEED": str(seed)}
    done = subprocess.run([python, PROGRAM], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stderr
    return [tuple(one) for one in json.loads(done.stdout)]


def can_run(python: str) -> bool:
    """Whether *python* is there with what Sunwell needs."""
    if shutil.which(python) is None:
        return False
    words = [python, "-c", "import sunwell.agent, cattrs, stamina"]
    return subprocess.run(words, capture_output=True, check=False, cwd=PROGRAM.parents[2]).returncode == 0


def test_a_hundred_siblings_begin_with_the_same_bytes() -> None:
    """On both wires, across a resume, under different hash seeds and every Python that is installed."""
    first = prefixes(sys.executable, 0)
    assert [wire for wire, _, _ in first] == ["caching", "chat", "messages"]
    asked = first[1][2]
    assert 100 <= asked <= 105  # what was in flight when it was stopped is asked again
    assert [count for _, _, count in first] == [asked] * 3
    assert first[0][1].startswith("5m sunwell-")
    same = [(wire, digest) for wire, digest, _ in first]
    pythons = [sys.executable, *filter(can_run, OTHERS)]
    for seed, python in enumerate(pythons, 1):
        assert [(wire, digest) for wire, digest, _ in prefixes(python, seed)] == same
