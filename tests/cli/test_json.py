"""``--json`` of ``show``, ``undo``, ``lens`` and ``config check``, and the last run where none is named."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from sunwell.core import Text
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from tests.cli.conftest import Invoke
from tests.cli.terminals import calling, running, writing

SHELL = ("--allow-shell", "--sandbox", "off")
LENS = {"task_scope": "files", "heuristics": ["Read first."], "notes": ["x"]}


def smart(_: Asked) -> Reply:
    """Write a lens with a part that no lens has."""
    return Reply((Text(json.dumps(LENS)),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a worker that writes a file and runs a command, and a smart model that writes a lens."""
    works = calling(writing("a.txt", "a\n"), running("exit 3"))
    with running_simulator(Simulator({"claude-haiku-5-5": works, "claude-opus-5-5": smart})) as simulated:
        yield simulated


@pytest.fixture
def made(sunwell: Invoke, tmp_path: Path) -> dict[str, Any]:
    """Return what a finished run printed; it is the second one of its folder."""
    given = ("run", "Do it", "-w", tmp_path, "-m", "haiku", *SHELL, "--json")
    sunwell(*given)
    (tmp_path / "a.txt").unlink()
    return told(sunwell(*given))


def told(done: Result) -> dict[str, Any]:
    """Return the one object on standard output."""
    value = json.loads(done.stdout)
    assert isinstance(value, dict)
    return value


def test_show_gives_what_the_result_gave(sunwell: Invoke, tmp_path: Path, made: dict[str, Any]) -> None:
    """Figures with all digits, commands with their times, workers as elsewhere, and the tree."""
    shown = told(sunwell("show", made["run_id"], "-w", tmp_path, "--json"))
    same = (
        "run_id",
        "status",
        "cost_usd",
        "uncertain_usd",
        "usage",
        "commands",
        "unresolved",
        "verification",
    )
    assert {name: shown[name] for name in same} == {name: made[name] for name in same}
    assert (shown["task"], shown["calls"], shown["tool_calls"]) == ("Do it", 3, 2)
    assert (shown["journal"], shown["lens"], shown["continues"]) == (made["journal"], None, None)
    (part,) = shown["tree"]["children"]
    assert [node["type"] for node in part["children"]] == ["call", "tool", "call", "tool", "call"]
    assert [node["exit_code"] for node in part["children"] if node["type"] == "tool"] == [None, 3]
    assert {node["text"] for node in part["children"]} == {None}
    assert shown["tree"]["cost_usd"] == made["cost_usd"]


def test_show_gives_texts_if_they_are_wanted(sunwell: Invoke, tmp_path: Path, made: dict[str, Any]) -> None:
    """With ``-v``, as without ``--json``."""
    shown = told(sunwell("show", made["run_id"], "-w", tmp_path, "--json", "-v"))
    texts = [node["text"] for node in shown["tree"]["children"][0]["children"] if node["type"] == "call"]
    assert "write_file" in texts[0]
    assert texts[2] == "Done."


@pytest.mark.parametrize("option", ["--all", "--spans", "--follow"])
def test_what_only_changes_the_lines_is_refused(sunwell: Invoke, tmp_path: Path, option: str) -> None:
    """The error is an object, too."""
    done = sunwell("show", "last", "-w", tmp_path, "--json", option)
    assert (done.exit_code, told(done)["status"]) == (2, "error")
    assert option in told(done)["error"]


def test_without_a_run_the_last_one_is_taken(sunwell: Invoke, tmp_path: Path, made: dict[str, Any]) -> None:
    """Which one that is, is said on standard error; undo has to be told."""
    shown = sunwell("show", "-w", tmp_path)
    assert shown.stderr == f"the last run: {made['run_id']}\n"
    assert made["run_id"] in shown.stdout
    assert told(sunwell("show", "-w", tmp_path, "--json"))["run_id"] == made["run_id"]
    exported = sunwell("export", "-w", tmp_path)
    assert exported.stdout == sunwell("export", made["run_id"], "-w", tmp_path).stdout
    assert sunwell("undo", "-w", tmp_path).exit_code == 2


def test_without_any_run_that_is_said(sunwell: Invoke, tmp_path: Path) -> None:
    """It is an error: there is nothing to show."""
    done = sunwell("show", "-w", tmp_path)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no run under" in done.stderr


def test_undo_tells_what_it_did(sunwell: Invoke, tmp_path: Path, made: dict[str, Any]) -> None:
    """Each path under what became of it, and what no originals were kept of."""
    done = sunwell("undo", made["run_id"], "-w", tmp_path, "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert told(done) == {
        "run_id": made["run_id"],
        "restored": [],
        "removed": ["a.txt"],
        "unchanged": [],
        "skipped": [],
        "not_saved": [{"tool": "run_command", "calls": 1, "paths": []}],
        "unknown_calls": None,
    }


def test_undo_tells_what_it_left(sunwell: Invoke, tmp_path: Path, made: dict[str, Any]) -> None:
    """With the reason, and with the exit code of the words."""
    (tmp_path / "a.txt").write_text("mine\n")
    done = sunwell("undo", made["run_id"], "-w", tmp_path, "--json")
    (left,) = told(done)["skipped"]
    assert (done.exit_code, left["path"], bool(left["reason"])) == (3, "a.txt", True)


def test_lens_gives_the_lens_and_its_cost(sunwell: Invoke, tmp_path: Path) -> None:
    """What is left out of it, and the same of a file, which costs nothing."""
    done = told(sunwell("lens", "Read all", "-w", tmp_path, "--json", "-o", tmp_path / "lens.json"))
    assert (done["lens"]["heuristics"], done["tokens"] > 0) == (["Read first."], True)
    assert done["left_out"] == ["the part 'notes' was left out: a lens has no such part"]
    assert float(done["run"]["cost_usd"]) > 0
    read = told(sunwell("lens", "--check", tmp_path / "lens.json", "--json"))
    assert {name: read[name] for name in ("lens", "tokens", "origin")} == {
        name: done[name] for name in ("lens", "tokens", "origin")
    }
    assert (read["run"], read["left_out"]) == (None, [])


def test_config_check_says_what_is_wrong(sunwell: Invoke, tmp_path: Path, trust: Invoke) -> None:
    """Sentences, and whether each is an error; the exit code is that of the words."""
    (tmp_path / "sunwell.toml").write_text('model = "hiaku"\n')
    trust("-w", tmp_path)
    done = sunwell("config", "check", "-w", tmp_path, "--json")
    found = told(done)
    assert (done.exit_code, found["valid"]) == (2, False)
    assert [each["is_error"] for each in found["settings"]] == [True]
    assert [file["trust"] for file in found["files"]] == ["trusted"]
    (tmp_path / "sunwell.toml").write_text("")
    assert told(sunwell("config", "check", "-w", tmp_path, "--json"))["valid"] is True
