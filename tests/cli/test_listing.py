"""``sunwell runs``, ``show``, ``undo`` and ``export``: what a workspace remembers."""

import asyncio
import json
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from sunwell.agent import Agent
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import ToolCall
from sunwell.journal.tree import Node
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion

TASK = "Generate CRUD endpoints for 5 entities"


@pytest.fixture
def finished(sunwell, shop: Path) -> dict[str, object]:
    """Return what a finished delegated run printed."""
    return json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)


def test_runs_are_listed_with_their_cost(sunwell, shop: Path, finished) -> None:
    """What, when, how it ended and what it cost."""
    (row,) = json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]
    assert (row["run_id"], row["status"], row["task"]) == (finished["run_id"], "ok", TASK)
    assert row["cost_usd"] == finished["cost_usd"]
    assert finished["run_id"] in sunwell("runs", "-w", shop).stdout


def test_a_damaged_run_does_not_hide_the_others(sunwell, shop: Path, finished) -> None:
    """A journal that cannot be read is listed as damaged."""
    broken = shop / ".sunwell/runs/0000/journal.jsonl"
    broken.parent.mkdir()
    lines = Path(str(finished["journal"])).read_text().splitlines(keepends=True)
    broken.write_text(lines[0] + "damage\n" + "".join(lines[2:]))
    listed = json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]
    assert [row["status"] for row in listed] == ["ok", "damaged"]
    assert "damaged" in sunwell("runs", "-w", shop).stdout


def test_no_runs_are_no_error(sunwell, shop: Path) -> None:
    """An empty list is said."""
    assert sunwell("runs", "-w", shop).stdout == "no runs in this folder yet\n"


def test_the_tree_shows_who_did_what(sunwell, shop: Path, finished) -> None:
    """Model, tokens, cost and time at each node; texts with ``-v``."""
    short = sunwell("show", "01", "-w", shop).stdout
    assert TASK in short
    assert "lens · claude-opus-5-5" in short
    assert "write_file" in short
    assert "I look at what is there." not in short
    assert "I look at what is there." in sunwell("show", "01", "-w", shop, "-v").stdout


def test_undo_restores_the_workspace(sunwell, shop: Path, finished) -> None:
    """Files that the run made are gone, files that it changed are as before."""
    done = sunwell("undo", finished["run_id"], "-w", shop)
    assert done.exit_code == 0
    assert "removed   shop/endpoints/order.py" in done.stdout
    assert not (shop / "shop/endpoints/order.py").exists()
    assert "order" not in (shop / "shop/routes.py").read_text()


def test_undo_leaves_what_somebody_changed_since(sunwell, shop: Path, finished) -> None:
    """A file with later changes is left and named; the exit code says that not all is undone."""
    (shop / "shop/endpoints/order.py").write_text("mine now\n")
    done = sunwell("undo", finished["run_id"], "-w", shop)
    assert done.exit_code == 3
    assert "shop/endpoints/order.py" in done.stderr
    assert (shop / "shop/endpoints/order.py").read_text() == "mine now\n"


def with_command(shop: Path, options: RunOptions) -> str:
    """Return the id of a run that wrote a file and ran a command."""
    calls = [
        ToolCall("c0", "write_file", json.dumps({"path": "made.txt", "content": "made"})),
        ToolCall("c1", "run_command", json.dumps({"command": "true", "timeout_seconds": None})),
    ]
    model = ScriptedModel("own", [completion(*calls), "Done."])
    session = SessionContext.build(shop, "Do it.", options=options)
    return asyncio.run(Agent(model=model, registry=ModelRegistry()).result(session)).run_id


def test_undo_names_the_commands_that_it_does_not_cover(sunwell, shop: Path) -> None:
    """Their number is said, and what was kept is put back all the same."""
    done = sunwell("undo", with_command(shop, RunOptions(allow_shell=True)), "-w", shop)
    assert (done.exit_code, done.stdout) == (0, "removed   made.txt\n")
    assert done.stderr == "not saved 1 call of run_command: check yourself what they changed\n"


def test_a_run_that_asked_is_forked_only_with_approval(sunwell, shop: Path) -> None:
    """The sentence names the option, which needs a terminal like that of run."""
    run_id = with_command(shop, RunOptions(allow_shell=True, approve=lambda _: True))
    given = ("fork", run_id, "--at", "run/direct:1", "-w", shop, "--model", "haiku", "--allow-shell")
    refused = sunwell(*given)
    assert (refused.exit_code, "add --approve" in refused.stderr) == (2, True)
    asked = sunwell(*given, "--approve")
    assert (asked.exit_code, "--approve needs a terminal" in asked.stderr) == (2, True)


def test_exports_are_what_other_programs_read(sunwell, shop: Path, finished) -> None:
    """Nested JSON that reads back, a Chrome trace, and OpenTelemetry, each with the run's cost or spans."""
    root = msgspec.convert(json.loads(sunwell("export", "01", "-w", shop).stdout)["root"], Node)
    assert root.total_cost_usd == Decimal(str(finished["cost_usd"]))
    trace = json.loads(sunwell("export", "01", "-w", shop, "--format", "chrome-trace").stdout)
    assert trace["traceEvents"]
    spans = json.loads(sunwell("export", "01", "-w", shop, "--format", "otlp-json").stdout)
    assert spans["resourceSpans"]
