"""Standard output that cannot be written: a code, at most one sentence, and never a traceback."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import click
import pytest

from sunwell.cli.exit_codes import READER_GONE
from sunwell.cli.main import cli
from sunwell.memory.lens_store import LensStore
from sunwell.memory.outcome_store import OutcomeStore
from sunwell.memory.outcomes import WorkOutcome
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.beginner import done, done_anew
from tests.memory.test_lens_store import KEPT

TASK = "Generate CRUD endpoints for 5 entities"
SHOP = Path(__file__).parents[2] / "examples" / "shop"
FULL = "sunwell: cannot write to standard output (No space left on device): check that its disk has space"
LINES = {
    "demo": "demo",
    "run": "run Hello -m gpt-6-luna -w .",
    "ask": "ask Hello -c tasks -m gpt-6-luna -w .",
    "batch": "batch tasks -m gpt-6-luna -w .",
    "resume": "resume RUN -w .",
    "replay": "replay RUN -w .",
    "continue": "continue RUN Again -w .",
    "fork": "fork RUN --at run/work:0 --accept-changes -w .",
    "lens write": "lens --check lens.json",
    "lens export": "lens export lens.json --skill made --force",
    "lens import": "lens import skill",
    "lens list": "lens list",
    "lens show": "lens show LENS",
    "lens drop": "lens drop --all",
    "estimate": "estimate Hello -w .",
    "outcomes show": "outcomes",
    "outcomes export": "outcomes export -",
    "outcomes forget": "outcomes forget --kind none",
    "models": "models",
    "runs": "runs -w .",
    "show": "show RUN -w .",
    "adopt": "adopt RUN -w .",
    "undo": "undo RUN -w .",
    "prune": "prune --keep 99 -w .",
    "record": "record JOURNAL",
    "export": "export RUN -w .",
    "report": "report RUN -w .",
    "all reports": "report -w .",
    "init": "init -w . --force",
    "config show": "config show -w .",
    "config check": "config check -w .",
    "config trust": "config trust --list",
    "config untrust": "config untrust other.toml",
    "doctor": "doctor -w . -m gpt-6-luna",
    "mcp install": "mcp install --client zed -w .",
    "mcp uninstall": "mcp uninstall --client zed -w .",
    "serve": "serve -w . -m gpt-6-luna",
    "simulate": "simulate",
    "completion install": "completion install --shell fish",
    "completion show": "completion show --shell fish",
    "completion uninstall": "completion uninstall --shell fish",
    "": "--help",
    "version": "--version",
    "help of a command": "run --help",
}
"""A line that prints something, for each command."""


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], dict[str, str]]]:
    """Return a folder with a finished run, the environment for commands, and what words stand for."""
    folder = Path(shutil.copytree(SHOP, tmp_path_factory.mktemp("desk") / "shop"))
    (folder / "tasks").write_text('"Hello"\n')
    (folder / "skill").mkdir()
    (folder / "skill" / "SKILL.md").write_text(
        "---\nname: skill\ndescription: Files.\n---\nWrite one at a time.\n"
    )
    (folder / "lens.json").write_text('{"heuristics": ["Write one file at a time."]}')
    (folder / "sunwell.toml").write_text("[budget]\nusd = 5\n")
    with running_simulator(Simulator(DEMO_MODELS)) as simulator:
        keys = {"OPENAI_BASE_URL": simulator.openai_url, "OPENAI_API_KEY": "simulated-key"}
        kept_here = {"SUNWELL_HOME": str(folder / "home"), "SUNWELL_LENSES": "", "SUNWELL_OUTCOMES": ""}
        environ = {**os.environ, **keys, **kept_here}
        told = json.loads(done("run", TASK, "--delegate", "--json", folder=folder, env=environ).stdout)
        kept = LensStore(folder / "home" / "lenses.sqlite3", warn=pytest.fail).keep(KEPT)
        assert kept is not None
        made = WorkOutcome("tests", "cheap", "haiku", "", True, Decimal("0.01"), 1.0, False, 400, 300)
        OutcomeStore(folder / "home" / "outcomes.sqlite3", warn=pytest.fail).record([made])
        yield folder, environ, {"RUN": told["run_id"], "JOURNAL": told["journal"], "LENS": kept.id}


def leaves(group: click.Group, above: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaves(command, f"{above}{name} ")
        else:
            yield above + name


def test_every_command_has_a_line() -> None:
    """No command is left out of the tests of this file."""
    assert set(leaves(cli)) <= set(LINES)


@pytest.mark.parametrize("line", LINES.values())
def test_what_cannot_be_printed_is_said_once(desk, line: str) -> None:
    """A full disk: code 1 and one sentence. A reader that is gone: code 141, silent if nothing was paid.

    One of them with a buffer before standard output, the other without. One command is loaded by a new
    interpreter, with all four pairs; the others begin in a copy of a loaded one.
    """
    folder, environ, known = desk
    words, is_new = [known.get(word, word) for word in line.split()], line == "models"
    reading, gone = os.pipe()
    os.close(reading)
    full = os.open("/dev/full", os.O_WRONLY)
    order = [(full, ""), (gone, "1"), (full, "1"), (gone, "")]
    # One after the other: two commands at once would meet in the journal of the run.
    for target, unbuffered in order if is_new else order[:2]:
        ended = (done_anew if is_new else done)(
            *words, folder=folder, env={**environ, "PYTHONUNBUFFERED": unbuffered}, stdout=target
        )
        said = ended.stderr.decode()
        expected = (1, 1) if target == full else (READER_GONE, 0)
        assert (ended.returncode, said.count("cannot write")) == expected, said
        assert (FULL in said) == (target == full)
        assert "Traceback" not in said
        assert "Exception" not in said
    os.close(full)
    os.close(gone)


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize(
    ("words", "output", "errors", "code"),
    [
        pytest.param("run Hello -m gpt-6-luna", "read", "full", 0, id="run-errors-full"),
        pytest.param("run Hello -m gpt-6-luna", "read", "closed", 0, id="run-errors-closed"),
        pytest.param("run Hello -m gpt-6-luna", "full", "full", 1, id="run-both-full"),
        pytest.param("run Hello -m gpt-6-luna", "closed", "closed", 1, id="run-both-closed"),
        pytest.param("nonsense", "read", "full", 2, id="usage-errors-full"),
        pytest.param("nonsense", "read", "closed", 2, id="usage-errors-closed"),
        pytest.param("run Hello -m nonsense", "read", "full", 2, id="bad-input-errors-full"),
        pytest.param("run Hello -m nonsense --json", "full", "read", 2, id="bad-input-output-full"),
    ],
)
def test_lost_messages_do_not_change_how_a_command_ends(
    desk, tmp_path: Path, words: str, output: str, errors: str, code: int, unbuffered: str
) -> None:
    """If standard error is full or closed, the command does its work and keeps its exit code.

    Each begins in a copy of a loaded interpreter; that a new one does the same with closed streams is the
    claim of the last test of this file.
    """
    _, environ, _ = desk  # not its folder: other commands change the settings there
    with Path("/dev/full").open("wb") as full:
        streams = {"read": -1, "full": full.fileno(), "closed": None}
        ended = done(
            *words.split(),
            folder=tmp_path,
            env={**environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=streams[output],
            stderr=streams[errors],
        )
    assert ended.returncode == code, ended.stderr
    for said in (ended.stdout, ended.stderr):
        assert b"Traceback" not in said
        assert b"Exception" not in said


def test_a_settings_file_is_trusted_although_its_message_is_lost(desk, tmp_path: Path) -> None:
    """If ``init`` cannot print, the next command still accepts the file that it wrote."""
    _, environ, _ = desk
    environ = {**environ, "SUNWELL_HOME": str(tmp_path / "home")}
    with Path("/dev/full").open("wb") as full:
        lost = done("init", folder=tmp_path, env=environ, stdout=full.fileno())
    assert lost.returncode == 1
    ended = done("config", "check", folder=tmp_path, env=environ)
    assert (ended.returncode, b"warning" in ended.stdout) == (0, False), ended


def test_closed_streams_do_not_end_up_in_a_journal(desk, tmp_path: Path) -> None:
    """With all standard streams closed, the record of the run is whole: no file took their numbers."""
    _, environ, _ = desk
    line = f"exec '{sys.executable}' -m sunwell run Hello -m gpt-6-luna 0<&- 1>&- 2>&-"
    ended = subprocess.run(["sh", "-c", line], cwd=tmp_path, env=environ, timeout=60, check=False)
    assert ended.returncode == 1  # the answer could not be printed
    told = done("runs", "--json", folder=tmp_path, env=environ).stdout
    assert [run["status"] for run in json.loads(told)["runs"]] == ["ok"]
