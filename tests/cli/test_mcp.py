"""MCP servers on the command line: trusted settings, a run, its record, and its end."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply, Simulator, running_simulator

SERVER = Path(__file__).parents[1] / "tools" / "servers" / "everything.py"


def adding(asked: Asked) -> Reply:
    """A model that calls the tool of the server once, and repeats what came back."""
    last = asked.messages[-1].parts[-1]
    if isinstance(last, ToolResult):
        return Reply((Text(last.content.splitlines()[2] if "answered" in last.content else last.content),))
    return Reply((ToolCall("", "some__add", '{"first": 40, "second": 2}'),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running_simulator(Simulator({"claude-haiku-5-5": adding})) as running:
        yield running


def configured(folder: Path, ask: str) -> None:
    """Write the settings of the project."""
    (folder / "sunwell.toml").write_text(
        f'[mcp.some]\ncommand = "{sys.executable}"\nargs = ["{SERVER}", "{folder}"]\n'
        f'sandbox = "off"\ntools = ["add"]\nask = "{ask}"\n'
    )


def test_a_run_has_the_tools_that_trusted_settings_grant(sunwell, trust, tmp_path):
    """The call is counted and recorded like any other; the server's tool is shown under its name."""
    configured(tmp_path, "writes")
    assert sunwell("run", "Add.", "-w", tmp_path, "-m", "haiku").exit_code == 2
    assert trust("-w", tmp_path).exit_code == 0
    done = sunwell("run", "Add.", "-w", tmp_path, "-m", "haiku", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["answer"] == "42"
    shown = sunwell("show", "-w", tmp_path)
    assert shown.exit_code == 0
    assert sunwell("resume", "last", "-w", tmp_path).exit_code == 0


def test_a_run_without_approval_reads_how_to_get_it(sunwell, tmp_path):
    """Nobody is asked, so nothing is done."""
    configured(tmp_path, "always")
    done = sunwell("run", "Add.", "-w", tmp_path, "-m", "haiku", "--trust-config", "--json")
    answer = json.loads(done.stdout)["answer"]
    assert "each call needs approval, and nobody is asked in this run" in answer
    assert "--approve" in answer


def test_what_a_file_would_do_is_told_before_it_is_trusted(sunwell, tmp_path):
    """The program that it runs is among the most dangerous lines."""
    configured(tmp_path, "writes")
    words = " ".join(sunwell("config", "trust", "-w", tmp_path).stdout.split())
    assert f'runs the program "{sys.executable}" as the MCP server some' in words
    assert 'lets models call the tools ["add"] of the MCP server some' in words
