"""The test of a batch's lens on the command line, over real HTTP: what is told, and what a lens keeps."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.agent.lens.skill_file import read_skill
from sunwell.core import Text
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from tests.cli.conftest import Invoke

MODEL = "claude-haiku-5-5"
COUNT = 41
TOLD = (
    "tested on 4 items: better in 0, worse in 4; it harms, so it is withheld from 37 items; 4 extra runs, $"
)
SCHEMA = {"type": "object", "properties": {"answer": {"const": "right"}}, "required": ["answer"]}


def misled(asked: Asked) -> Reply:
    """Answer rightly, but not under the lens."""
    said = "wrong" if "Answer otherwise." in asked.system else "right"
    return Reply((Text(json.dumps({"answer": said})),))


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a model that a lens misleads."""
    with running_simulator(Simulator({MODEL: misled})) as running:
        yield running


@pytest.fixture
def batch(tmp_path: Path) -> tuple[str, ...]:
    """Return the words of a batch under a lens."""
    (tmp_path / "tasks.jsonl").write_text("".join(f"{json.dumps(f'Question {i}')}\n" for i in range(COUNT)))
    (tmp_path / "lens.json").write_text(
        json.dumps({"heuristics": ["Answer otherwise."], "task_scope": "quiz"})
    )
    (tmp_path / "schema.json").write_text(json.dumps(SCHEMA))
    (tmp_path / "work").mkdir()
    names = ("tasks.jsonl", "-w", "work", "--lens", "lens.json", "--answer-schema", "schema.json")
    places = [str(tmp_path / name) if "." in name or name == "work" else name for name in names]
    return ("batch", *places, "-m", MODEL, "--tools", "read_file")


def test_what_was_found_is_told_wherever_the_run_is(
    sunwell: Invoke, simulator: Simulator, batch: tuple[str, ...], tmp_path: Path
) -> None:
    """In the lines while it runs, the summary, the results, the record that is shown, and the page."""
    done = sunwell(*batch)
    assert done.exit_code == 0, done.output
    assert f"lens {TOLD}" in done.stderr
    assert f"         {TOLD}" in done.stderr
    assert len(simulator.bill.entries()) == COUNT + 4
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["answer"] for one in results] == ['{"answer": "right"}'] * COUNT
    assert sum(one["task_id"].startswith("no-lens/") for one in results) == 4
    where = ("-w", tmp_path / "work")
    assert f"         {TOLD}" in sunwell("show", "last", *where).output
    told = json.loads(sunwell("show", "last", "--json", *where).output)["lens_test"]
    counts = ("finding", "withheld", "pairs", "better", "worse", "unknown", "without_lens", "reason")
    assert tuple(told[name] for name in counts) == ("harms", True, 4, 0, 4, 0, COUNT - 4, None)
    page = tmp_path / "page.html"
    assert sunwell("report", "last", *where, "-o", page).exit_code == 0
    assert TOLD in page.read_text()


def test_json_has_what_was_found_and_a_switch_turns_it_off(sunwell: Invoke, batch: tuple[str, ...]) -> None:
    """Then nothing runs twice, the items fail under the lens, and the report says why it was not tested."""
    told = json.loads(sunwell(*batch, "--json").stdout)
    assert told["delegation"]["lens_test"]["finding"] == "harms"
    assert told["status"] == "ok"
    off = sunwell(*batch, "--no-lens-gate")
    assert off.exit_code != 0
    assert "         not tested: it was switched off" in off.stderr


def test_a_lens_keeps_what_a_test_of_it_has_shown(
    sunwell: Invoke, batch: tuple[str, ...], tmp_path: Path
) -> None:
    """As a file, as a skill and back, with the model that worked with it; an edited skill has no test."""
    assert sunwell(*batch).exit_code == 0
    said = "harms: better in 0, worse in 4 of 4 pairs"
    saved, skill = tmp_path / "saved.json", tmp_path / "quiz"
    where = ("--run", "last", "-w", tmp_path / "work")
    assert sunwell("lens", "export", *where, "-o", saved).exit_code == 0
    assert json.loads(saved.read_text())["origin"]["gate"] == said
    assert f"a test of it said: {said}" in sunwell("lens", "--check", saved).stderr
    assert sunwell("lens", "export", *where, "--skill", skill).exit_code == 0
    assert (read_skill(skill).gate, read_skill(skill).metadata["sunwell-readers"]) == (said, f'["{MODEL}"]')
    assert sunwell("lens", "export", saved, "--skill", skill, "--force").exit_code == 0
    assert read_skill(skill).metadata["sunwell-gate"] == said
    again = tmp_path / "again.json"
    assert sunwell("lens", "import", skill, "-o", again).exit_code == 0
    assert json.loads(again.read_text())["origin"]["gate"] == said
    file = skill / "SKILL.md"
    file.write_text(file.read_text().replace("Answer otherwise.", "Answer as asked."))
    assert read_skill(skill).gate == ""


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "name a lens file, a kept lens by its id, or a run by --run"),
        (("lens.json", "--run", "last"), "name a lens file, a kept lens by its id, or a run by --run"),
        (("lens.json",), "say where to write it: --skill DIR, or -o LENS.json"),
        (("lens.json", "--skill", "quiz", "-o", "x.json"), "say where to write it"),
    ],
)
def test_an_export_names_one_lens_and_one_place(sunwell: Invoke, words: tuple[str, ...], said: str) -> None:
    """Nothing is read before that."""
    refused = sunwell("lens", "export", *words)
    assert refused.exit_code == 2
    assert said in refused.stderr


def test_a_run_without_a_lens_has_none_to_export(
    sunwell: Invoke, batch: tuple[str, ...], tmp_path: Path
) -> None:
    """It says so."""
    plain = [word for word in batch if word != "--lens" and not word.endswith("lens.json")]
    assert sunwell(*plain).exit_code == 0
    refused = sunwell("lens", "export", "--run", "last", "-w", tmp_path / "work", "-o", tmp_path / "x.json")
    assert refused.exit_code == 2
    assert "has no lens" in refused.stderr
