"""The page that leads through the code names the functions that a run calls, in their order."""

import re
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import sunwell as package

ROOT = Path(__file__).parents[2]
STEP = re.compile(r"^(\d+)\. \[`([^`]+)`\]\(\.\./sunwell/([^)]+)\): `([^`]+)`", re.MULTILINE)
HOME = str(Path(package.__file__).parent) + "/"


def steps() -> list[tuple[str, str]]:
    """Return the file and the function of each step of ``docs/internals.md``."""
    found = STEP.findall((ROOT / "docs" / "internals.md").read_text())
    assert [int(number) for number, *_ in found] == list(range(1, len(found) + 1))
    assert all(shown == linked for _, shown, linked, _ in found)
    return [(file, function) for _, file, _, function in found]


def test_a_delegated_run_goes_the_way_that_the_page_describes(sunwell, shop: Path) -> None:
    """At most twelve functions, each called, and first called after the one before it."""
    called: dict[tuple[str, str], None] = {}

    def see(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(HOME):
            called.setdefault((code.co_filename.removeprefix(HOME), code.co_qualname))

    pair = ("--smart-model", "opus", "--delegation-model", "haiku")
    before = sys.getprofile()
    sys.setprofile(see)
    try:
        done = sunwell("run", "Generate CRUD endpoints for 5 entities", "-w", shop, *pair)
    finally:
        sys.setprofile(before)
    assert done.exit_code == 0, done.output
    described = steps()
    assert 0 < len(described) <= 12
    assert [step for step in called if step in described] == described
