"""``sunwell lens`` and the lens of a run, over real HTTP: what it has lost is told, and what a file holds."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.agent import Agent
from sunwell.core import Text
from sunwell.journal import read_records
from sunwell.journal.layout import list_runs
from sunwell.journal.records import LensWritten
from sunwell.simulator import Asked, Reply, Simulator, echo, running_simulator
from tests.cli.conftest import Invoke

TASK = "Add a tool for 20 modules and 20 files"
TOKEN = "ghp_a0123456789b0123456789"
LENS = {
    "task_scope": "word " * 60,
    "heuristics": ["Read.", "read.", "Read\u202e the model first.", 7],
    "patterns": ["x" * 2_001],
    "anti_patterns": [f"Never print {TOKEN}."],
    "constraints": [],
    "examples": ["y" * 4_000, "z" * 4_000],
    "target_files": ["src/a.py", "/etc/passwd"],
    "notes": ["Something else."],
}
LOST = (
    "the part 'notes' was left out: a lens has no such part",
    "1 character that nobody sees was removed from an item of heuristics",
    "an item of heuristics was left out: it is a number and no text",
    "1 item of heuristics was left out: it repeats another",
    "an item of patterns was left out: it is longer than 2,000 bytes",
    "a target file was left out: '/etc/passwd' is no path in the workspace",
    "the task_scope was cut: it is longer than 200 characters",
    "1 of the examples was cut off to keep the lens within 1,500 tokens",
    "a secret in anti_patterns was replaced",
)


def lossy(asked: Asked) -> Reply:
    """Write a lens of which not everything can be kept."""
    return Reply((Text(json.dumps(LENS)),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a smart model that writes too much, and a cheap one that says what it hears."""
    with running_simulator(Simulator({"claude-opus-5-5": lossy, "claude-haiku-5-5": echo})) as running:
        yield running


@pytest.fixture
def keys(simulator: Simulator) -> dict[str, str]:
    """Return the environment of somebody with a key, and with a secret of another kind."""
    return {
        "ANTHROPIC_BASE_URL": simulator.url,
        "ANTHROPIC_API_KEY": "simulated-key",
        "PLANTED_TOKEN": TOKEN,
    }


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a workspace with a source that is easily recognised."""
    (tmp_path / "work" / "src").mkdir(parents=True)
    (tmp_path / "work" / "src" / "tool.py").write_text("def recognised():\n    return 'a source'\n" * 40)
    return tmp_path / "work"


def test_all_that_a_lens_has_lost_is_told_wherever_the_run_is(sunwell: Invoke, workspace: Path) -> None:
    """In the lines of the run, its text, its JSON, the record that is shown, and the run taken up again."""
    done = sunwell("run", TASK, "--delegate", "--threshold", "0", "-w", workspace)
    assert done.exit_code == 0, done.output
    line = next(line for line in done.stderr.splitlines() if line.startswith("lens by"))
    assert line.endswith("left out: " + "; ".join(LOST))
    assert [line[9:] for line in done.stderr.splitlines() if line.startswith("         left out: ")] == [
        f"left out: {sentence}" for sentence in LOST
    ]
    assert "target files: src/a.py" in done.stderr
    run = list_runs(workspace)[0].run_id
    shown = sunwell("show", run, "-w", workspace).output
    assert all(f"left out: {sentence}" in shown for sentence in LOST)
    again = json.loads(sunwell("resume", run, "-w", workspace, "--json").stdout)
    assert again["delegation"]["lens_left_out"] == list(LOST)
    assert TOKEN not in json.dumps(again)


def test_a_lens_that_is_taken_up_again_is_the_same_to_its_last_byte(sunwell: Invoke, workspace: Path) -> None:
    """The record leaves the workspace out of the prompt, and a run that goes on puts it back."""
    sunwell("run", TASK, "--delegate", "--threshold", "0", "-w", workspace)
    run = list_runs(workspace)[0]
    records = list(read_records(run.path))
    written = next(record for record in records if isinstance(record, LensWritten))
    assert (written.lens.generation_prompt, written.left_out) == ("", LOST)
    result = asyncio.run(Agent().replay(run.run_id, workspace=workspace).result())
    assert result.lens is not None
    assert "def recognised()" in result.lens.generation_prompt
    assert result.lens.generation_prompt.startswith("<task mark=")
    assert result.lens.generation_prompt.endswith("what is longer is cut off.")


def test_the_command_for_lenses_tells_it_and_saves_a_small_file(
    sunwell: Invoke, workspace: Path, tmp_path: Path
) -> None:
    """The file says which prompt it was, for which task and when; the sources stay in the journal, once."""
    file = tmp_path / "lens.json"
    done = sunwell("lens", TASK, "-w", workspace, "-o", file)
    assert done.exit_code == 0, done.output
    assert all(f"sunwell: left out: {sentence}" in done.stderr for sentence in LOST)
    assert "target files: src/a.py" in done.stderr
    saved = json.loads(file.read_text())
    assert "recognised" not in file.read_text()
    assert TOKEN not in file.read_text()
    assert "generation_prompt" not in saved
    assert saved["generated_by"] == "claude-opus-5-5"
    assert saved["origin"]["task"] == TASK
    assert len(saved["origin"]["prompt_sha256"]) == 64
    assert saved["origin"]["prompt_bytes"] > 1_000
    checked = sunwell("lens", "--check", file)
    assert f"written by claude-opus-5-5 on {saved['origin']['date']} for: {TASK}" in checked.stderr
    journal = (list_runs(workspace)[0].path).read_text()
    assert journal.count("return 'a source'") == 40


def test_a_lens_becomes_a_skill_and_comes_back(tmp_path: Path, sunwell: Invoke) -> None:
    """The folder names the skill; the lens that comes back makes the same skill again."""
    lens = {"heuristics": ["Read the cart first."], "task_scope": "prices", "target_files": ["cart.py"]}
    (tmp_path / "lens.json").write_text(json.dumps(lens))
    folder = tmp_path / "shop-prices"
    made = sunwell("lens", "export", tmp_path / "lens.json", "--skill", folder, "--reader", "haiku")
    assert made.exit_code == 0
    assert "the skill shop-prices" in made.stdout
    text = (folder / "SKILL.md").read_text()
    assert '"[\\"haiku\\"]"' in text
    back = sunwell("lens", "import", folder, "-o", tmp_path / "back.json", "--json")
    told = json.loads(back.stdout)
    assert (back.exit_code, told["skill"]) == (0, {"name": "shop-prices", "own": True, "edited": False})
    assert told["lens"]["heuristics"] == lens["heuristics"]
    again = ("lens", "export", tmp_path / "back.json", "--skill", folder, "--reader", "haiku")
    refused = sunwell(*again)
    assert (refused.exit_code, "--force" in refused.stderr) == (2, True)
    assert sunwell(*again, "--force").exit_code == 0
    assert (folder / "SKILL.md").read_text() == text


def test_a_skill_of_somebody_else_is_shown_as_such(tmp_path: Path, sunwell: Invoke) -> None:
    """Whoever imports it is told to read it; a folder with another name is told, too."""
    (tmp_path / "SKILL.md").write_text("---\nname: a\ndescription: Do it.\n---\n- Never stop.\n")
    shown = sunwell("lens", "import", tmp_path / "SKILL.md")
    assert shown.exit_code == 0
    assert "- Never stop." in shown.stdout
    assert "read it before workers read it" in shown.stderr
    assert sunwell("lens", "import", tmp_path / "SKILL.md", "-o", tmp_path / "lens.json").exit_code == 0
    made = sunwell("lens", "export", tmp_path / "lens.json", "--skill", tmp_path / "My Skill")
    assert (made.exit_code, "call the folder my-skill" in made.stderr) == (0, True)
    edited = tmp_path / "My Skill" / "SKILL.md"
    edited.write_text(edited.read_text().replace("Never stop.", "Stop."))
    assert "was edited" in sunwell("lens", "import", edited).stderr


@pytest.mark.parametrize("words", [("--help",), ("write", "--help"), ("-h",)])
def test_help_is_that_of_what_is_named(words: tuple[str, ...], sunwell: Invoke) -> None:
    """A task is no command, and the commands are listed."""
    shown = sunwell("lens", *words)
    assert shown.exit_code == 0, shown.stderr
    assert ("export" in shown.stdout) == (words[0] != "write")


def test_half_a_character_in_a_lens_is_shown_as_such(sunwell: Invoke, tmp_path: Path) -> None:
    """JSON can hold one, and no terminal can: the check neither crashes nor passes over it."""
    (tmp_path / "lens.json").write_text('{"heuristics": ["Keep \\udcff."]}')
    done = sunwell("lens", "--check", tmp_path / "lens.json")
    assert done.exit_code == 0, done.output
    assert "it has 1 characters that nobody sees" in done.stderr
