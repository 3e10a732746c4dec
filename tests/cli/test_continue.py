"""``sunwell continue``: the next question in the conversation of a run."""

import json
import re
import shlex
import shutil
from contextlib import closing
from pathlib import Path

import pytest

from sunwell.journal import list_runs
from tests.cli.terminals import Terminal

TASK = "Generate CRUD endpoints for 5 entities"


@pytest.fixture
def finished(sunwell, shop: Path) -> str:
    """Return the id of a finished run under a lens."""
    return str(json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)["run_id"])


def test_the_next_question_is_answered_from_the_cached_conversation(sunwell, shop: Path, finished) -> None:
    """The worker goes on under its lens; nearly all input is cached, and the bill is that of one call."""
    done = sunwell("continue", "last", "Which files are they?", "-w", shop, "--json")
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"]) == (0, "ok")
    [row] = told["by_model"]
    assert (row["model"], row["calls"]) == ("claude-haiku-5-5", 1)
    assert told["usage"]["cache_read_tokens"] > told["usage"]["input_tokens"] * 9 // 10
    assert told["files"] == []


def test_show_and_runs_say_what_it_continues(sunwell, shop: Path, finished) -> None:
    """In the tree, in the list, and in the list as JSON; the first run continues nothing."""
    done = sunwell("continue", finished[:20], "Which files are they?", "-w", shop)
    assert done.exit_code == 0, done.output
    assert f"continues: {finished}" in done.stderr
    assert f"continues: {finished}" in sunwell("show", "last", "-w", shop).stdout
    assert "continues: " not in sunwell("show", finished, "-w", shop).stdout
    newest, oldest = sunwell("runs", "-w", shop).stdout.splitlines()
    assert f"(continues: {finished[:8]}" in newest
    assert "continues" not in oldest
    listed = json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]
    assert [run["continues"] for run in listed] == [finished, ""]


def test_a_question_goes_on_without_tools(sunwell, shop: Path) -> None:
    """Its words may come from a pipe."""
    sunwell("run", "-q", "What is it?", "-w", shop, said="A text.\n")
    done = sunwell("continue", "last", "-", "-w", shop, "--json", said="And why?\n")
    told = json.loads(done.stdout)
    assert (told["status"], told["task"], told["tools_called"]) == ("ok", "And why?", {})
    assert "A text." in told["answer"]


def test_orchestrated_work_goes_on(sunwell, shop: Path) -> None:
    """Its orchestrator answers from what its workers had found."""
    pair = ("--smart-model", "opus", "--delegation-model", "haiku")
    first = sunwell("run", "Write all parts down", "--orchestrate", *pair, "-w", shop, "--json")
    done = sunwell("continue", "last", "What did they find?", "-w", shop, "--json")
    told = json.loads(done.stdout)
    assert (told["status"], [row["purpose"] for row in told["by_purpose"]]) == ("ok", ["orchestrate"])
    assert told["answer"] == json.loads(first.stdout)["answer"]


def test_the_conversation_of_a_ladder_goes_on_and_climbs_no_further(sunwell, shop: Path) -> None:
    """A line says so; its check must be given again, like anywhere else."""
    check = ("--check", "python3 -c 'pass'")
    first = sunwell("run", TASK, "-w", shop, "--escalate", *check)
    assert first.exit_code == 0, first.output
    without = sunwell("continue", "last", "And now?", "-w", shop)
    assert (without.exit_code, "--allow-checks" in without.stderr) == (2, True)
    done = sunwell("continue", "last", "And now?", "-w", shop, *check)
    assert done.exit_code == 0, done.output
    assert "its last conversation goes on, and climbs no further" in done.stderr
    assert "verified by" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("nope", "And now?"), "no run under", id="no-such-run"),
        pytest.param(("last", " "), "is empty", id="no-words"),
        pytest.param(
            ("last", "And now?", "--model", "opus"),
            "the model that goes on is the one that --delegation-model names",
            id="model-without-use",
        ),
        pytest.param(("last", "And now?", "--results", "x"), "No such option", id="results-file"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_no_run(
    sunwell, shop: Path, finished, arguments, sentence
) -> None:
    """One sentence, exit code 2."""
    done = sunwell("continue", *arguments, "-w", shop)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.stderr
    assert len(list_runs(shop)) == 1


def test_a_batch_is_refused_with_another_way(sunwell, shop: Path) -> None:
    """Each of its tasks had a conversation of its own."""
    (shop / "tasks.jsonl").write_text('"Say a"\n"Say b"\n')
    assert sunwell("batch", shop / "tasks.jsonl", "-w", shop).exit_code == 0
    done = sunwell("continue", "last", "And now?", "-w", shop)
    assert done.exit_code == 2
    assert "it is a batch, and each of its tasks had one of its own" in done.stderr
    assert "sunwell run TASK --orchestrate --after " in done.stderr


def test_a_run_of_somebody_else_is_not_continued(sunwell, shop: Path, finished, tmp_path: Path) -> None:
    """It must be adopted first, as for a resume."""
    other = Path(shutil.copytree(shop, tmp_path / "other"))
    done = sunwell("continue", "last", "And now?", "-w", other)
    assert (done.exit_code, "sunwell adopt" in done.stderr) == (2, True)
    sunwell("adopt", "last", "-w", other)
    assert sunwell("continue", "last", "And now?", "-w", other).exit_code == 0


def test_files_that_somebody_changed_are_named(sunwell, shop: Path, finished) -> None:
    """Then they are accepted, and the run goes on."""
    (shop / "shop" / "routes.py").write_text("# mine\n")
    done = sunwell("continue", "last", "And now?", "-w", shop)
    assert (done.exit_code, "shop/routes.py changed since the run saw it" in done.stderr) == (2, True)
    assert sunwell("continue", "last", "And now?", "-w", shop, "--accept-changes").exit_code == 0


def test_after_an_answer_in_a_terminal_a_line_says_how_to_go_on(sunwell, keys, tmp_path: Path) -> None:
    """The command can be copied; in a pipe, and after a run without a conversation, there is no such line."""
    given = ["run", "Say hello", "-w", str(tmp_path), "-m", "haiku"]
    with closing(Terminal(given, keys, one_stream=True)) as screen:
        screen.result()
        [line] = [line for line in screen.all.decode().splitlines() if "sunwell continue" in line]
    words = shlex.split(re.sub(r"\x1b\[\d+m", "", line).removeprefix("next     sunwell "))
    assert words == ["continue", "last", "TEXT", "--workspace", str(tmp_path)]
    assert sunwell(*words).exit_code == 0
    assert "sunwell continue" not in sunwell(*given).output
