"""The order of the floors: imports point down, type hints too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "sunwell"
GROUND_TO_TOP = (
    "errors", "core", "events", "plugins", "models", "journal", "budget", "gateway", "tools", "context",
    "memory", "checks", "agent", "config", "report", "serve", "adapters",
    "testing", "cli",
)  # fmt: skip
AGENT_GROUND_TO_TOP = (
    "prompts", "policy", "run", "conversation", "workers", "lens", "ladder", "batches", "orchestration",
    "asking", "ephemeral_lens", "loop", "request", "lifecycle", "lazy_imports", "agent", "orchestrator",
)  # fmt: skip
APART = {"simulator": {"core", "errors", "simulator"}}
FREE = {"__init__", "__main__"}
FILES = sorted(ROOT.rglob("*.py"))
# The command line is the one place that brings product and simulator together.
MAY_USE_SIMULATOR = {"cli"}


def room_of(path: Path) -> str:
    """Return the room that *path* lies in."""
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[tuple[tuple[str, ...], int]]:
    """Yield what *path* imports of Sunwell, as the names behind ``sunwell``, with the line."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("sunwell"):
            inside = tuple(node.module.split(".")[1:])
            for alias in node.names:
                yield (*inside, alias.name), node.lineno
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = tuple(alias.name.split("."))
                if parts[0] == "sunwell" and len(parts) > 1:
                    yield parts[1:], node.lineno


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_imports_point_down(path: Path) -> None:
    """A file imports from its own room and from rooms below it, also inside functions and for types."""
    room = room_of(path)
    if room in FREE:
        return
    for (name, *_), line in imports(path):
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


ROOMS = sorted(path.parent for path in ROOT.glob("*/__init__.py"))


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: room.name)
def test_every_room_says_what_it_is_for_and_may_import(room: Path) -> None:
    """Its readme has the order of this file, and names files that are there."""
    text = (room / "README.md").read_text()
    (said,) = re.findall(r"^May import: (.*)\.$", text, re.MULTILINE)
    if room.name in APART:
        allowed = APART[room.name] - {room.name}
    else:
        allowed = {*GROUND_TO_TOP[: GROUND_TO_TOP.index(room.name)]}
        allowed |= {"simulator"} if room.name in MAY_USE_SIMULATOR else set()
    assert set(re.findall(r"`(\w+)`", said)) == allowed
    start = re.findall(r"^- `(.+?)`", text, re.MULTILINE)
    assert start
    assert [name for name in start if not (room / name).exists()] == []


IN_AGENT = [path for path in FILES if room_of(path) == "agent" and path.stem not in FREE]


@pytest.mark.parametrize("path", IN_AGENT, ids=[str(path.relative_to(ROOT)) for path in IN_AGENT])
def test_imports_point_down_inside_the_agent(path: Path) -> None:
    """The largest room has rooms of its own, and an order among them."""
    own = path.relative_to(ROOT / "agent").parts[0].removesuffix(".py")
    for names, line in imports(path):
        if names[0] == "agent" and len(names) > 2:
            where = f"{path.relative_to(ROOT)}:{line} imports sunwell.{'.'.join(names)}"
            assert AGENT_GROUND_TO_TOP.index(names[1]) <= AGENT_GROUND_TO_TOP.index(own), where


def test_every_room_of_the_agent_has_its_floor() -> None:
    """Nothing in it stands outside the plan."""
    found = {path.relative_to(ROOT / "agent").parts[0].removesuffix(".py") for path in IN_AGENT}
    assert found == set(AGENT_GROUND_TO_TOP)
