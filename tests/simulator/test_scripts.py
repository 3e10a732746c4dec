"""The scripted models at work on the example code base, each with the tools of a model and nothing else."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import attrs
import pytest

from sunwell.core.lens import EphemeralLens
from sunwell.core.message import Message, ToolCall, ToolResult, user
from sunwell.simulator.script import Asked, Script
from sunwell.simulator.scripts import CONVENTIONS, cheap, smart

EXAMPLE = Path(__file__).parents[2] / "examples" / "shop"
TASK = "Generate CRUD endpoints for 5 entities"
ENTITIES = ("customer", "product", "order", "supplier", "invoice")
TOOLS = ("list_files", "read_file", "search_files", "write_file", "edit_file")
CONTRACT = re.findall(r"def (test_\w+)", (EXAMPLE / "tests" / "contract.py").read_text())
EVERY_ITEM = tuple(rule.item for rule in CONVENTIONS)


@attrs.define(eq=False)
class Workspace:
    """Carries out tool calls in a folder, as plainly as it can be done."""

    root: Path
    number_lines: bool = False
    """Whether each line of a file is read with its number before it."""
    name_lines: bool = False
    """Whether the text of a file comes under a line that says which lines follow."""
    fails: Callable[[ToolCall], bool] = lambda call: False
    calls: list[ToolCall] = attrs.field(factory=list)

    def execute(self, call: ToolCall) -> ToolResult:
        arguments = json.loads(call.arguments)
        self.calls.append(call)
        if self.fails(call):
            return ToolResult(call.id, "Error: the disk is busy", is_error=True)
        try:
            return ToolResult(call.id, getattr(self, call.name)(**arguments))
        except (OSError, ValueError) as error:
            return ToolResult(call.id, f"Error: {error}", is_error=True)

    def list_files(self, path: str, depth: int) -> str:
        found = [p.relative_to(self.root) for p in (self.root / path).rglob("*.*") if p.is_file()]
        return "\n".join(sorted(str(p) for p in found if len(p.parts) <= depth))

    def read_file(self, path: str, start_line: int | None, end_line: int | None) -> str:
        text = (self.root / path).read_text()
        lines = text.splitlines(keepends=True)[(start_line or 1) - 1 : end_line]
        head = f"{path}: lines 1-{len(lines)} of {len(lines)}\n\n" if self.name_lines else ""
        numbered = (f"{i:6}\t{line}" if self.number_lines else line for i, line in enumerate(lines, 1))
        return head + "".join(numbered)

    def write_file(self, path: str, content: str) -> str:
        (self.root / path).write_text(content)
        return f"wrote {path}"

    def edit_file(self, path: str, old: str, new: str) -> str:
        text = (self.root / path).read_text()
        if text.count(old) != 1:
            raise ValueError("the old text must occur once")
        return self.write_file(path, text.replace(old, new))

    def run_command(self, command: str, timeout_seconds: int | None) -> str:
        assert command == "python3 -B -m unittest"
        return unittest_output(self.root)


def converse(script: Script, workspace: Workspace, system: str = "", task: str = TASK, tools=TOOLS) -> str:
    """Run a loop of model and tools to its end and return the answer."""
    messages: tuple[Message, ...] = (user(task),)
    for _ in range(30):
        reply = script(Asked("a-model", system, messages, tools))
        message = Message("assistant", reply.parts)
        if not message.tool_calls:
            return message.text
        results = tuple(workspace.execute(call) for call in message.tool_calls)
        messages += (message, Message("tool", results))
    raise AssertionError("the model does not come to an end")


def unittest_output(root: Path) -> str:
    command = [sys.executable, "-B", "-I", "-c", _RUN]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=60, check=False).stderr


_RUN = (
    "import sys, unittest; sys.path.insert(0, '.'); unittest.main(module=None, argv=['unittest', 'discover'])"
)


def red_tests(root: Path) -> list[str]:
    """Run the example's own tests and return the names of those that fail, sorted."""
    output = unittest_output(root)
    assert re.search(r"^Ran 8\d tests", output, re.MULTILINE), output
    return sorted(re.findall(r"^(?:FAIL|ERROR): (\w+) \(", output, re.MULTILINE))


def lens_with(*items: str) -> str:
    return EphemeralLens(constraints=items).to_context()


@pytest.fixture
def shop(tmp_path: Path) -> Workspace:
    root = tmp_path / "shop"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__"))
    return Workspace(root)


def test_example_is_red_before_anything_is_done(shop):
    """As it ships, every test of the five entities fails, and only these."""
    assert red_tests(shop.root) == sorted(CONTRACT * 5)


def test_lens_by_smart_makes_cheap_green(shop):
    """What the smart script writes from the files is enough for the cheap one to pass every test."""
    files = "\n\n".join(p.read_text() for p in [*shop.root.glob("*.md"), *shop.root.glob("shop/**/*.py")])
    fields = {name: {"type": "array", "items": {"type": "string"}} for name in LENS_LISTS}
    schema = {"type": "object", "properties": {**fields, "task_scope": {"type": "string"}}}
    asked = Asked("smart", "", (user(f"{files}\n\nTask: {TASK}"),), schema=schema)
    lens = EphemeralLens(**json.loads(Message("assistant", smart(asked).parts).text))
    answer = converse(cheap, shop, system=f"You work in a folder.\n\n{lens.to_context()}")
    assert red_tests(shop.root) == []
    assert answer.endswith(
        "Done: shop/endpoints/customer.py, shop/endpoints/product.py, shop/endpoints/order.py, "
        "shop/endpoints/supplier.py, shop/endpoints/invoice.py, shop/routes.py."
    )


LENS_LISTS = ("heuristics", "patterns", "anti_patterns", "constraints", "examples", "target_files")


@pytest.mark.parametrize("withheld", [pytest.param(rule, id=rule.slug) for rule in CONVENTIONS])
def test_withheld_item_breaks_its_convention_and_no_other(shop, withheld):
    """Without one item of the lens, exactly the tests of that convention fail, for all five entities."""
    converse(cheap, shop, lens_with(*(item for item in EVERY_ITEM if item != withheld.item)))
    broken = [name for name in CONTRACT if name.startswith(f"test_{withheld.slug}_")]
    assert broken
    assert red_tests(shop.root) == sorted(broken * 5)


def test_cheap_without_lens_breaks_every_convention(shop):
    """Without a lens the endpoints are there, and every convention is broken in every one of them."""
    converse(cheap, shop, "You work in a folder.")
    assert red_tests(shop.root) == sorted([n for n in CONTRACT if not n.startswith("test_crud_")] * 5)


def test_cheap_keeps_to_nothing_but_its_system_prompt(shop):
    """Conventions in the task or in files that it reads do not help a cheap model: only a lens does."""
    converse(cheap, shop)
    untold = contents(shop.root / "shop/endpoints")
    rules = (shop.root / "CONVENTIONS.md").read_text()
    models = shop.root / "shop/models.py"
    models.write_text(f'{models.read_text()}\n"""\n{rules}"""\n')
    converse(cheap, shop, task=f"{TASK}\n\n{rules}")
    assert contents(shop.root / "shop/endpoints") == untold


def test_smart_alone_reads_the_conventions_and_is_green(shop):
    """Without a lens the smart script reads the rules by tool before it writes."""
    converse(smart, shop)
    assert "CONVENTIONS.md" in shop.calls[1].arguments
    assert red_tests(shop.root) == []


def test_smart_repairs_what_cheap_left(shop):
    """Work that goes up ends green, in the same folder and in the same conversation's manner."""
    converse(cheap, shop)
    converse(smart, shop)
    assert red_tests(shop.root) == []


def test_tests_are_run_where_commands_are_allowed(shop):
    """With a shell on offer the model runs the tests once and reports how they went."""
    without = converse(cheap, shop, tools=(*TOOLS, "run_command"))
    with_lens = converse(cheap, shop, lens_with(*EVERY_ITEM), tools=(*TOOLS, "run_command"))
    assert (without.endswith("The tests do not all pass."), with_lens.endswith("The tests pass.")) == (
        True,
        True,
    )
    assert [call.name for call in shop.calls].count("run_command") == 2


def test_code_follows_the_definitions_that_are_read(shop):
    """A field that is renamed and one that is added in the models appear in the endpoints."""
    models = shop.root / "shop" / "models.py"
    models.write_text(
        models.read_text().replace('    phone: str = ""', "    fax: str\n    points: float = 0.0")
    )
    converse(cheap, shop)
    written = (shop.root / "shop/endpoints/customer.py").read_text()
    assert '    "fax": str,\n    "points": float,\n}\n' in written
    assert 'REQUIRED = ("name", "email", "credit_limit_cents", "fax",)' in written


@pytest.mark.parametrize(
    "shown",
    [
        pytest.param({"number_lines": True}, id="numbered"),
        pytest.param({"name_lines": True}, id="headed"),
        pytest.param({"name_lines": True, "number_lines": True}, id="both"),
    ],
)
def test_what_a_tool_adds_to_a_text_does_not_get_into_files(shop, shown):
    """Numbers before lines and a line on top lead to the same files, also where a whole file is rewritten."""
    plain = Workspace(shop.root.with_name("plain"))
    shutil.copytree(shop.root, plain.root)
    converse(cheap, plain)
    converse(cheap, attrs.evolve(shop, **shown), tools=("read_file", "write_file"))
    assert contents(shop.root) == contents(plain.root)


def contents(root: Path) -> dict[str, str]:
    return {str(p.relative_to(root)): p.read_text() for p in root.rglob("*.py")}


@pytest.mark.parametrize("name", ["read_file", "write_file", "edit_file"])
def test_call_that_fails_is_made_once_more(shop, name):
    """A tool that fails at its first call does not change the end."""
    failed: list[str] = []

    def fails(call: ToolCall) -> bool:
        if call.name == name and not failed:
            failed.append(call.arguments)
            return True
        return False

    converse(cheap, attrs.evolve(shop, fails=fails), lens_with(*EVERY_ITEM))
    assert (len(failed), red_tests(shop.root)) == (1, [])


def test_tool_that_always_fails_is_given_up(shop):
    """A file that cannot be written is tried twice, and the answer names it."""
    broken = attrs.evolve(shop, fails=lambda call: call.name == "write_file" and "order.py" in call.arguments)
    answer = converse(cheap, broken)
    tried = [call for call in broken.calls if call.name == "write_file" and "order.py" in call.arguments]
    assert (len(tried), answer.endswith("Not done: shop/endpoints/order.py.")) == (2, True)


@pytest.mark.parametrize(
    ("tools", "answer"),
    [
        pytest.param(("list_files", "write_file"), "Nothing was written: no definition", id="cannot-read"),
        pytest.param(("list_files", "read_file"), "Nothing was written. Not done: ", id="cannot-write"),
        pytest.param((), "Nothing was written: no definition|I was asked", id="no-tools"),
    ],
)
def test_missing_tool_leads_to_an_answer_that_says_so(shop, tools, answer):
    """A model that cannot read or write says what was not done, and calls no tool that is not offered."""
    assert re.search(answer, converse(cheap, shop, tools=tools))
    assert {call.name for call in shop.calls} <= set(tools)


@pytest.mark.parametrize("script", [cheap, smart])
def test_a_host_hands_its_task_on_and_says_what_came_back(script: Script) -> None:
    """With the tools that agents of other programs have; an orchestrator's own tool is another one."""
    asked = Asked("m", "", (user(TASK),), ("delegate", "resume_delegated"))
    [call] = script(asked).parts
    assert (call.name, json.loads(call.arguments)) == ("delegate", {"task": TASK})
    result = Message("tool", (ToolResult(call.id, "All done."),))
    [said] = script(attrs.evolve(asked, messages=(user(TASK), Message("assistant", (call,)), result))).parts
    assert said.text == "It was handed on, and the result is: All done."
    assert script(attrs.evolve(asked, tools=("delegate",))).parts != (call,)


def test_closing_request_is_answered_with_what_was_done(shop):
    """Asked without tools in the middle of its work, the model sums up."""
    messages: tuple[Message, ...] = (user(TASK),)
    for _ in range(3):
        message = Message("assistant", cheap(Asked("m", "", messages, TOOLS)).parts)
        messages += (message, Message("tool", tuple(shop.execute(call) for call in message.tool_calls)))
    closing = cheap(Asked("m", "", (*messages, user("Answer now.")), ()))
    assert Message("assistant", closing.parts).text == (
        "The endpoints of customer, product, order, supplier, invoice were asked for. "
        "Done: shop/endpoints/customer.py, shop/endpoints/product.py. "
        "Not done: shop/endpoints/order.py, shop/endpoints/supplier.py, shop/endpoints/invoice.py, "
        "shop/routes.py."
    )


def test_one_worker_for_each_entity_comes_to_the_same_end(shop):
    """Five tasks of one entity each, in any order, end as green as one task of five."""
    for name in reversed(ENTITIES):
        task = f"Write the CRUD endpoints of {name} in shop/endpoints/{name}.py and register them."
        converse(cheap, shop, lens_with(*EVERY_ITEM), task)
    assert red_tests(shop.root) == []


def test_workers_of_one_turn_register_side_by_side(shop):
    """Two workers that read the routes before either changed them both get their entity in."""
    first = {"path": "shop/routes.py", "start_line": None, "end_line": None}
    before = shop.read_file(**first)
    converse(cheap, shop, task="CRUD endpoints of order")

    class Late(Workspace):
        def read_file(self, path: str, start_line: int | None, end_line: int | None) -> str:
            return before if path == first["path"] else super().read_file(path, start_line, end_line)

    converse(cheap, Late(shop.root), task="CRUD endpoints of invoice")
    routes = shop.read_file(**first)
    assert [routes.count(f"import {name}\n") for name in ("order", "invoice")] == [1, 1]
    assert [routes.count(f"    {name},\n") for name in ("order", "invoice")] == [1, 1]


def test_second_run_registers_nothing_twice(shop):
    """On a folder that is finished the same task leaves every file as it is."""
    converse(cheap, shop)
    once = contents(shop.root)
    converse(cheap, shop)
    assert contents(shop.root) == once


@pytest.mark.parametrize("rule", [pytest.param(rule, id=rule.slug) for rule in CONVENTIONS])
def test_convention_is_stated_in_one_file(rule):
    """The key of a convention stands in CONVENTIONS.md and nowhere else, so nobody learns it by the way."""
    files = [p for p in EXAMPLE.rglob("*") if p.suffix in (".py", ".md")]
    stated = [p.name for p in files if rule.key.casefold() in " ".join(p.read_text().casefold().split())]
    assert stated == ["CONVENTIONS.md"]
