"""Each program in ``examples/`` shows one idea in at most 40 lines, and does it on the simulator."""

import ast
import os
import shutil
from pathlib import Path

import pytest

from sunwell.core import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import done as completed
from tests.cli.beginner import python_anew

EXAMPLES = Path(__file__).parent.parent / "examples"
PROGRAMS = sorted(EXAMPLES.glob("*.py"))
PRINTED = {
    "approve_writes.py": ("yes ", "no ", "- customer.py"),
    "batch_to_a_file.py": ("task-2 ok ", "in all: "),
    "delegate_from_pydantic_ai.py": ("It was handed on", "spent: $0."),
    "delegate_over_http.py": ("ok: $0.", "shop/endpoints/", "and then: $0."),
    "delegate_over_mcp.py": ("ok: $0.", "shop/endpoints/", "all runs: $0."),
    "delegate_under_a_budget.py": ("delegated: ", "ok - 6 files", "lens: 1 calls, $", "work: "),
    "estimate_first.py": ("expected: $0.", "ok: $0."),
    "orchestrate.py": ("4 of 4 parts are done", "ok, confidence 0.95", "  ok $"),
    "own_model.py": (" words $0",),
    "own_tool.py": ("There are 4.", "tools called: {'stock_of': 1}"),
    "resume_with_a_higher_limit.py": ("incomplete turns $", "ok end $"),
    "run_a_task.py": ("ok end", "on claude-haiku-5-5"),
    "watch_events.py": ("delegated: ", "a lens with ", "  write_file shop/endpoints/", "ok $"),
}
"""What each must print, in this order."""
AS_A_SCRIPT = """
import gc, runpy, sys, warnings
warnings.simplefilter("error", ResourceWarning)
sys.argv[:], sys.path[0] = [{0!r}], ""
runpy.run_path({0!r}, run_name="__main__")
gc.collect()  # what is still open then is told
"""


def asks_the_stock(asked: Asked) -> Reply:
    """Call the tool of the example, and say what it answered."""
    part = asked.messages[-1].parts[0]
    if not isinstance(part, ToolResult):
        return Reply((ToolCall("call-1", "stock_of", '{"article": "mug"}'),))
    return Reply((Text(f"There are {part.content}."),))


OWN_SCRIPTS = {"own_tool.py": {"claude-haiku-5-5": asks_the_stock}}


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_the_program_does_what_it_says(
    program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a copy of the shop, as a user starts it; no connection and no file may be left open.

    One has a new interpreter, the others begin in copies of a loaded one.
    """
    shop = Path(shutil.copytree(EXAMPLES / "shop", tmp_path / "shop"))
    shutil.copy(program, shop)
    with running_simulator(Simulator(OWN_SCRIPTS.get(program.name, DEMO_MODELS))) as simulator:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-for-examples")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
        line = ("-W", "error::ResourceWarning", program.name)
        if program.name == "run_a_task.py":
            done = python_anew(*line, folder=shop, env=os.environ)
        else:
            done = completed("-c", AS_A_SCRIPT.format(program.name), folder=shop, env=os.environ)
    assert (done.returncode, done.stderr) == (0, b"")
    rest = done.stdout.decode()
    for expected in PRINTED[program.name]:
        assert expected in rest, done.stdout
        rest = rest.partition(expected)[2]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.name)
def test_the_program_is_short_and_says_how_to_run_it(program: Path) -> None:
    """At most 40 lines, with a docstring that names its command; the index lists it."""
    text = program.read_text()
    assert len(text.splitlines()) <= 40
    assert f"python {program.name}" in (ast.get_docstring(ast.parse(text)) or "")
    assert f"]({program.name})" in (EXAMPLES / "README.md").read_text()


def test_every_program_is_checked() -> None:
    """A new one says here what it must print."""
    assert [path.name for path in PROGRAMS] == sorted(PRINTED)
