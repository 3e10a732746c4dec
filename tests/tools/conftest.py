"""A workspace with a secret beside it, and a way to call tools as a model does."""

import json
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from sunwell.core.message import ToolCall, ToolResult
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, Workspace
from tests.bubblewrap import Users, needs_root

CANARY = "canary-5f1d"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty workspace; the folder around it holds a canary that no tool may reach."""
    return furnished(tmp_path)


def furnished(place: Path) -> Path:
    (place / "outside").mkdir()
    (place / "outside" / "canary.txt").write_text(CANARY)
    (place / "canary.txt").write_text(CANARY)
    root = place / "work"
    root.mkdir()
    return root


@pytest.fixture
def public() -> Iterator[Path]:
    """Such a workspace in a folder of its own: nobody closes the way to it, as pytest does to its folders."""
    with TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield furnished(Path(made).resolve())


@pytest.fixture
def workspace(folder: Path) -> Workspace:
    return Workspace(folder)


@pytest.fixture
def box(folder: Path) -> Toolbox:
    """A toolbox that knows no secrets of the machine that runs the tests."""
    return Toolbox(folder, secrets=Secrets())


@pytest.fixture
def ask() -> Callable[..., Awaitable[ToolResult]]:
    """Call a tool by name with keyword arguments; what is not given is left out."""

    async def call(toolbox: Toolbox, name: str, **arguments: object) -> ToolResult:
        return await toolbox.execute(ToolCall("call-1", name, json.dumps(arguments)))

    return call


@pytest.fixture(params=[False, pytest.param(True, marks=needs_root)], ids=["this-user", "ordinary-user"])
def user(request: pytest.FixtureRequest, public: Path) -> Users:
    return Users(public, request.param)
