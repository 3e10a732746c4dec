"""The toolbox: calls are staged, approved, carried out, and told of."""

import hashlib
import json

import pytest

from sunwell.core.message import FileChange, ToolCall
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import StagingExecutor
from sunwell.errors import ConfigurationError
from sunwell.tools import Toolbox, ToolLimits, tool

BUILT_IN = ["list_files", "read_file", "search_files", "write_file", "edit_file"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall("call-1", name, json.dumps(arguments))


@tool(parallel=True, repeatable=True)
async def look() -> str:
    """Look."""
    return "seen"


@tool(ask=True)
async def act() -> str:
    """Act."""
    return "acted"


def walk(schema):
    """Yield *schema* and every schema in it."""
    yield schema
    for one in [*schema.get("properties", {}).values(), *schema.get("anyOf", ())]:
        yield from walk(one)
    if "items" in schema:
        yield from walk(schema["items"])


@tool
def everything(a: dict[str, list[int]], b: list[str] | None = None, c: int | str | None = None) -> str:
    """Take all kinds of things."""
    return ""


def test_every_schema_obeys_the_strict_rules_of_both_providers(folder):
    """Objects are closed, all properties are required, and only keywords that both take occur."""
    box = Toolbox(folder, [everything, look], allow_shell=True, secrets=Secrets())
    allowed = {
        "type",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "anyOf",
        "enum",
        "description",
    }
    for spec in box.specs():
        assert spec.parameters["type"] == "object"
        assert spec.description
        for schema in walk(spec.parameters):
            assert schema.keys() <= allowed
            assert ("type" in schema) != ("anyOf" in schema)
            if schema.get("type") == "object":
                assert schema["additionalProperties"] is False
                assert schema["required"] == list(schema["properties"])
            if schema.get("type") == "array":
                assert "items" in schema


def test_specs_come_in_an_order_that_never_changes(folder):
    """Tools of the house first, then the caller's as given; the bytes are the same every time."""
    boxes = [Toolbox(folder, [look, act], allow_shell=True, secrets=Secrets()) for _ in range(2)]
    names = [[spec.name for spec in box.specs()] for box in boxes]
    assert names == [[*BUILT_IN, "run_command", "look", "act"]] * 2
    assert [s.schema_text for s in boxes[0].specs()] == [s.schema_text for s in boxes[1].specs()]
    assert isinstance(boxes[0], StagingExecutor)


def test_reading_tools_run_side_by_side_and_others_do_not(folder):
    """What changes something has its turn alone."""
    box = Toolbox(folder, [look, act], allow_shell=True, secrets=Secrets())
    parallel = [spec.name for spec in box.specs() if box.is_parallel(spec.name)]
    assert parallel == ["list_files", "read_file", "search_files", "look"]
    assert not box.is_parallel("unknown")


class Renamed:
    """A tool with the name of another."""

    parallel = repeatable = False

    def __init__(self, name: str) -> None:
        self.spec = ToolSpec(name, "", {"type": "object", "properties": {}})

    async def run(self, arguments):
        return "ran"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        pytest.param(
            lambda f: Toolbox(f, [Renamed("read_file")]), "two tools are called 'read_file'", id="taken"
        ),
        pytest.param(lambda f: Toolbox(f, [look, look]), "two tools are called 'look'", id="twice"),
        pytest.param(lambda f: Toolbox(f, [Renamed("a b")]), "invalid tool name 'a b'", id="space"),
        pytest.param(
            lambda f: Toolbox(f, [len]), "is not a tool: decorate the function with @tool", id="function"
        ),
        pytest.param(
            lambda f: Toolbox(allow_shell=True), "allow_shell needs a workspace", id="shell-nowhere"
        ),
        pytest.param(lambda f: Toolbox(f / "no"), "no is not a folder", id="no-folder"),
        pytest.param(
            lambda f: Toolbox(f).with_tools(["reed_file"]), "there is no tool 'reed_file'", id="subset"
        ),
        pytest.param(lambda f: ToolLimits(call_seconds=0), "call_seconds must be more than 0", id="limit"),
    ],
)
def test_a_toolbox_that_cannot_be_is_a_configuration_error(folder, make, said):
    """It is told when it is made, in one sentence."""
    with pytest.raises(ConfigurationError, match=said):
        make(folder)


async def test_an_unknown_tool_names_the_known_ones_nearest_first(box, ask):
    """A misspelt name gets what was meant first."""
    result = await ask(box, "readfile", path="x")
    assert result.content.startswith(
        "there is no tool 'readfile'; did you mean read_file? There are: read_file, "
    )
    assert result.is_error
    assert (
        await ask(Toolbox(secrets=Secrets()), "x")
    ).content == "there is no tool 'x', and no other tool either"


async def test_a_subset_is_enforced_when_a_tool_is_carried_out(folder, ask):
    """The specs stay the same bytes; what is not granted is refused, and never granted again further down."""
    box = Toolbox(folder, [look], secrets=Secrets())
    some = box.with_tools(["read_file", "look"])
    assert some.specs() == box.specs()
    refused = await ask(some, "write_file", path="x", content="")
    assert refused.content == "the tool write_file is not open to you; yours are: read_file, look"
    assert not (folder / "x").exists()
    assert (await ask(some, "look")).content == "seen"
    assert (await ask(some.with_tools(["write_file", "look"]), "write_file", path="x", content="")).is_error
    assert (await ask(box.with_tools([]), "look")).content.endswith("yours are: none")
    assert not (await ask(box, "write_file", path="x", content="")).is_error


async def test_a_write_is_known_before_it_is_done(folder, box):
    """Staging changes nothing, and what it foretells is what happens."""
    (folder / "x").write_bytes(b"old")
    staged = await box.stage(call("write_file", path="x", content="new"))
    assert staged.changes == (FileChange("x", sha(b"old"), sha(b"new")),)
    assert not staged.repeatable
    assert await box.hashes(("x", "none", "../canary.txt")) == (sha(b"old"), None, None)
    result = await staged.finish()
    assert result == staged.foretold
    assert await box.hashes(("x",)) == (sha(b"new"),)


@pytest.mark.parametrize("name", ["read_file", "list_files", "search_files"])
async def test_looking_changes_nothing_and_may_be_done_again(box, name):
    """What reads has no changes and is repeatable."""
    arguments = {"path": "."} if name != "search_files" else {"pattern": "x"}
    staged = await box.stage(call(name, **arguments))
    assert (staged.changes, staged.repeatable, staged.foretold) == ((), True, None)


async def test_a_command_may_not_be_done_again(folder):
    """Nobody knows what half a command did."""
    box = Toolbox(folder, allow_shell=True, secrets=Secrets())
    staged = await box.stage(call("run_command", command="true"))
    assert (staged.changes, staged.repeatable) == ((), False)


@pytest.mark.parametrize("swap", ["content", "gone", "link", "folder-link"])
async def test_a_file_changed_after_staging_is_not_written(folder, box, swap):
    """Between looking and writing somebody else was there: nothing is written, inside or outside."""
    (folder / "d").mkdir()
    (folder / "d" / "canary.txt").write_bytes(b"old")
    staged = await box.stage(call("write_file", path="d/canary.txt", content="pwned"))
    outside = folder.parent / "outside"
    if swap == "content":
        (folder / "d/canary.txt").write_bytes(b"other")
    elif swap == "folder-link":
        (folder / "d").rename(folder / "e")
        (folder / "d").symlink_to(outside)
    else:
        (folder / "d/canary.txt").unlink()
    if swap == "link":
        (folder / "d/canary.txt").symlink_to(outside / "canary.txt")
    result = await staged.finish()
    assert result.is_error
    assert result.changes == ()
    assert "pwned" not in "".join(p.read_text() for p in folder.parent.rglob("*") if p.is_file())
