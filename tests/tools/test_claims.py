"""Workers in one workspace: both sides of a conflict are told, and nothing is lost silently."""

import asyncio
import json
from pathlib import Path

import pytest

from sunwell.core import ToolCall, ToolResult
from sunwell.tools import Toolbox


def call(name: str, **arguments: object) -> ToolCall:
    """Return a call of the tool *name*."""
    return ToolCall("c1", name, json.dumps(arguments))


def read(path: str) -> ToolCall:
    """Return a call that reads *path*."""
    return call("read_file", path=path, start_line=None, end_line=None)


class Pair:
    """Two workers in one workspace."""

    def __init__(self, folder: Path, allow_shell: bool = False) -> None:
        self.folder = folder
        self.box = Toolbox(folder, allow_shell=allow_shell, sandbox="off")
        self.one, self.two = self.box.for_worker("task-1"), self.box.for_worker("task-2")

    async def told_next(self, who: Toolbox) -> str:
        """Return what *who* is told with its next call, whatever that is."""
        return (await who.execute(call("list_files", path=".", depth=None))).content

    def sides(self) -> set[tuple[str, str, str]]:
        """Return the conflicts on record, which must be the same for both."""
        assert self.box.conflicts_of("task-1") == self.box.conflicts_of("task-2")
        return {(one.path, one.first, one.second) for one in self.box.conflicts_of("task-1")}


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Return two workers in a folder with one file of ten lines."""
    (tmp_path / "a.txt").write_text("".join(f"line {i}\n" for i in range(10)))
    return Pair(tmp_path)


async def test_two_that_write_the_same_file(pair: Pair) -> None:
    """The second is refused until it has read what the first wrote; both are told."""
    first = await pair.one.execute(call("write_file", path="new.txt", content="one\n"))
    second = await pair.two.execute(call("write_file", path="new.txt", content="two\n"))
    assert (first.is_error, second.is_error) == (False, True)
    assert "task-1 has changed 'new.txt' and you have not seen how" in second.content
    assert (pair.folder / "new.txt").read_text() == "one\n"
    assert "task-2 wanted to replace 'new.txt'" in await pair.told_next(pair.one)
    assert "task-2" not in await pair.told_next(pair.one)
    assert pair.sides() == {("new.txt", "task-1", "task-2")}
    await pair.two.execute(read("new.txt"))
    third = await pair.two.execute(call("write_file", path="new.txt", content="one\ntwo\n"))
    assert not third.is_error


async def test_two_that_edit_the_same_lines(pair: Pair) -> None:
    """The second edit finds other lines than it read: it fails, and both are told."""
    await pair.one.execute(read("a.txt"))
    await pair.two.execute(read("a.txt"))
    await pair.one.execute(call("edit_file", path="a.txt", old="line 3\n", new="first\n"))
    second = await pair.two.execute(call("edit_file", path="a.txt", old="line 3\n", new="second\n"))
    assert second.is_error
    assert "task-1 has changed 'a.txt'" in second.content
    assert "first\n" in (pair.folder / "a.txt").read_text()
    assert "task-2 wanted to edit 'a.txt'" in await pair.told_next(pair.one)
    assert pair.sides() == {("a.txt", "task-1", "task-2")}


async def test_two_that_edit_different_lines_both_get_in(pair: Pair) -> None:
    """That is no conflict; the second is told that the file is not as it read it."""
    await pair.two.execute(read("a.txt"))
    await pair.one.execute(call("edit_file", path="a.txt", old="line 3\n", new="first\n"))
    second = await pair.two.execute(call("edit_file", path="a.txt", old="line 7\n", new="second\n"))
    assert not second.is_error
    assert "task-1 changed 'a.txt' since you read it" in second.content
    text = (pair.folder / "a.txt").read_text()
    assert "first\n" in text
    assert "second\n" in text
    assert pair.sides() == set()


async def test_one_that_deletes_what_another_has_read(tmp_path: Path) -> None:
    """A command is no file tool: what it did is found afterwards, and both are told."""
    (tmp_path / "a.txt").write_text("kept\n")
    pair = Pair(tmp_path, allow_shell=True)
    await pair.one.execute(read("a.txt"))
    deleted = await pair.two.execute(call("run_command", command="rm a.txt", timeout_seconds=None))
    assert deleted.exit_code == 0, deleted.content
    assert "your command deleted 'a.txt', which task-1 had seen" in deleted.content
    assert "task-2 deleted 'a.txt' with a command" in await pair.told_next(pair.one)
    assert pair.sides() == {("a.txt", "task-1", "task-2")}


async def test_a_file_is_changed_by_one_at_a_time(pair: Pair) -> None:
    """Between the plan of a change and the change itself nobody else plans one; then both get in."""
    staged = await pair.one.stage(call("edit_file", path="a.txt", old="line 3\n", new="first\n"))
    waiting = asyncio.create_task(
        pair.two.execute(call("edit_file", path="a.txt", old="line 7\n", new="second\n"))
    )
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not waiting.done()
    results: list[ToolResult] = [await staged.finish(), await waiting]
    assert [result.is_error for result in results] == [False, False]


async def test_a_claim_ends_with_its_worker(pair: Pair) -> None:
    """A worker that ends between plan and change leaves nobody waiting."""
    await pair.one.stage(call("edit_file", path="a.txt", old="line 3\n", new="first\n"))
    waiting = asyncio.create_task(
        pair.two.execute(call("edit_file", path="a.txt", old="line 7\n", new="second\n"))
    )
    await asyncio.sleep(0)
    pair.box.release("task-1")
    assert not (await waiting).is_error


async def test_a_run_that_is_taken_up_remembers_who_changed_what(pair: Pair) -> None:
    """What earlier processes recorded counts like what happens now."""
    before = await pair.one.execute(call("write_file", path="new.txt", content="one\n"))
    later = Pair(pair.folder)
    later.box.note("task-1", before)
    second = await later.two.execute(call("write_file", path="new.txt", content="two\n"))
    assert second.is_error
    assert later.sides() == {("new.txt", "task-1", "task-2")}
