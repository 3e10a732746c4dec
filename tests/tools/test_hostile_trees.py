"""Folders that a workspace should not have, and often has: deep, huge, or full of what is no file."""

import os
import time
from pathlib import Path

import pytest

from sunwell.context.workspace_files import list_files
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, ToolLimits, Workspace

DEEP = 300


@pytest.fixture
def deep(folder):
    """A workspace with hundreds of folders within each other."""
    here = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        for _ in range(DEEP):
            Path("d").mkdir()
            os.chdir("d")
        yield folder
        for _ in range(DEEP):
            os.chdir("..")
            Path("d").rmdir()
    finally:
        os.fchdir(here)
        os.close(here)


async def test_what_is_too_deep_is_told(deep, box, ask):
    """A search ends above it and says so; a list shows what it can, and gathering looks at the rest."""
    (deep / "a.py").write_text("needle\n")
    found = await ask(box, "search_files", pattern="needle")
    assert found.content == "a.py:1: needle\n(1 folder below 50 levels not searched)"
    nothing = await ask(box, "search_files", pattern="needle", path="d")
    assert nothing.content.endswith("(1 folder below 50 levels not searched)")
    listed = await ask(box, "list_files", path=".", depth=10_000)
    assert len(listed.content.splitlines()) == 51
    assert [entry.path for entry in list_files(Workspace(deep))[0]] == ["a.py"]


async def test_what_is_no_file_is_left_out(folder, box, ask):
    """A pipe, a ring of links, a link to a device without end, a file of a terabyte, names of 255 bytes."""
    os.mkfifo(folder / "pipe")
    (folder / "ring").symlink_to(".")
    (folder / "a").symlink_to("b")
    (folder / "b").symlink_to("a")
    (folder / "zero.txt").symlink_to("/dev/zero")
    with (folder / "huge").open("wb") as file:
        file.truncate(1 << 40)
    (folder / ("n" * 255)).write_text("needle\n")
    begun = time.monotonic()
    found = await ask(box, "search_files", pattern="needle")
    assert found.content == f"{'n' * 255}:1: needle\n(1 file of more than 500,000,000 bytes not searched)"
    for name in ("pipe", "ring", "a", "zero.txt"):
        assert (await ask(box, "read_file", path=name)).is_error
    assert time.monotonic() - begun < 5


async def test_a_list_that_takes_long_says_where_it_stopped(folder, ask):
    """It counts what it does not show for as long as a search may take, and no longer."""
    for number in range(120):
        (folder / f"file{number:03d}").touch()
    limits = ToolLimits(list_entries=10, search_seconds=0.000_001)
    listed = await ask(Toolbox(folder, secrets=Secrets(), limits=limits), "list_files", path=".")
    assert listed.content.endswith(
        "(40 more; stopped after 1e-06 seconds; list a deeper folder or use a smaller depth)"
    )
