"""The order of the floors: imports point down, type hints too."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sunwell"
GROUND_TO_TOP = (
    "errors", "core", "events", "plugins", "models", "journal", "budget", "gateway", "tools", "context",
    "memory", "agent", "config", "report", "testing", "cli",
)  # fmt: skip
APART = {"simulator": {"core", "errors", "simulator"}}
FREE = {"__init__", "__main__"}
FILES = sorted(ROOT.rglob("*.py"))
# The command line is the one place that brings product and simulator together.
MAY_USE_SIMULATOR = {"cli"}


def room_of(path: Path) -> str:
    """Return the room that *path* lies in."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imported_rooms(path: Path) -> Iterator[tuple[str, int]]:
    """Yield each room that *path* imports from, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sunwell"):
            parts = node.module.split(".")
            names = [parts[1]] if len(parts) > 1 else [alias.name for alias in node.names]
            yield from ((name, node.lineno) for name in names)
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "sunwell" and len(parts) > 1:
                    yield parts[1], node.lineno


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports_point_down(path: Path) -> None:
    """A file imports from its own room and from rooms below it, also inside functions and for types."""
    room = room_of(path)
    if room in FREE:
        return
    for name, line in imported_rooms(path):
        where = f"{path.relative_to(ROOT)}:{line} imports sunwell.{name}"
        if room in APART:
            assert name in APART[room], where
        elif name == "simulator":
            assert room in MAY_USE_SIMULATOR, where
        else:
            assert GROUND_TO_TOP.index(name) <= GROUND_TO_TOP.index(room), where


def test_every_room_has_its_floor() -> None:
    """No room stands outside the plan."""
    rooms = {room_of(path) for path in FILES} - FREE
    assert rooms <= set(GROUND_TO_TOP) | set(APART)
