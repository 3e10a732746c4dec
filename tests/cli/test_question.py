"""``sunwell run -q``: a question about a context, with the output that the seed describes."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sunwell.simulator import Simulator, echo, running_simulator


@pytest.fixture
def simulator():
    """A provider whose models repeat what they are asked."""
    with running_simulator(Simulator({"claude-opus-5-5": echo, "claude-haiku-5-5": echo})) as running:
        yield running


def test_a_question_about_a_file(sunwell, tmp_path: Path, simulator) -> None:
    """The context is given whole, and cannot close the fence that it stands in."""
    (tmp_path / "c.txt").write_text("one\n```\ntwo")
    done = sunwell("run", "-q", "What is it?", "-c", tmp_path / "c.txt", "-m", "opus", "-w", tmp_path)
    assert done.exit_code == 0, done.output
    assert "````\none\n```\ntwo\n````" in done.stdout
    (request,) = simulator.requests
    assert (request.model, "tools" in request.body) == ("claude-opus-5-5", False)


def test_what_is_piped_in_is_the_context(sunwell, tmp_path: Path) -> None:
    """Without ``-c`` standard input is read, unless it is a terminal."""
    done = sunwell("run", "-q", "What is it?", "-m", "opus", "-w", tmp_path, said="piped text")
    assert (done.exit_code, "piped text" in done.stdout) == (0, True)


@pytest.mark.parametrize("child", [(), ("--child-model", "haiku")], ids=["alone", "with-child"])
def test_the_verbose_output_is_the_seeds(sunwell, tmp_path: Path, child) -> None:
    """Model, child model only where one is set, length of the context, time, tokens, cost."""
    (tmp_path / "c.txt").write_text("x" * 12345)
    arguments = ("run", "-q", "Q", "-c", tmp_path / "c.txt", "-m", "opus", *child, "-v", "-w", tmp_path)
    lines = sunwell(*arguments).stderr.splitlines()
    assert "Model: claude-opus-5-5" in lines
    assert ("Child model: claude-haiku-5-5" in lines) == bool(child)
    assert "Context: 12,345 chars" in lines
    assert any(re.fullmatch(r"Completed in \d+\.\ds", line) for line in lines)
    assert any(re.fullmatch(r"Tokens: [\d,]+ in \+ [\d,]+ out = [\d,]+ total", line) for line in lines)
    assert any(re.fullmatch(r"Estimated cost: \$\d+\.\d{4}", line) for line in lines)


def test_nothing_of_it_is_said_without_verbose(sunwell, tmp_path: Path) -> None:
    """The answer alone."""
    done = sunwell("run", "-q", "Q", "-m", "opus", "-w", tmp_path)
    assert (done.stdout, done.stderr) == ("Q\n", "")


def test_the_trace_is_one_tree(sunwell, tmp_path: Path) -> None:
    """``--trace`` writes the nested JSON of the run."""
    trace = tmp_path / "trace.json"
    sunwell("run", "-q", "Q", "-m", "opus", "--trace", trace, "-w", tmp_path)
    tree = json.loads(trace.read_text())
    assert "claude-opus-5-5" in json.dumps(tree)
    assert tree


def test_a_context_that_does_not_fit_is_refused(sunwell, tmp_path: Path, simulator) -> None:
    """Before anything is sent, with both numbers."""
    (tmp_path / "c.txt").write_text("word " * 1_000_000)
    done = sunwell("run", "-q", "Q", "-c", tmp_path / "c.txt", "-m", "opus", "-w", tmp_path)
    assert done.exit_code == 2
    assert "does not fit into the 1,000,000 tokens" in done.stderr
    assert simulator.requests == ()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("-q", "Q", "a task"), "give one of them", id="both"),
        pytest.param((), "no task is given", id="neither"),
        pytest.param(("-q", "Q", "-c", "nowhere.txt"), "cannot be read", id="no-file"),
        pytest.param(("-q", "Q", "-c", "."), "cannot be read: Is a directory", id="folder"),
        pytest.param(("-q", " "), "the question is empty", id="empty"),
    ],
)
def test_a_wrong_question_is_refused(sunwell, tmp_path: Path, arguments, sentence) -> None:
    """One sentence, and nothing is asked."""
    done = sunwell("run", *arguments, "-m", "opus", "-w", tmp_path)
    assert (done.exit_code, sentence in done.stderr) == (2, True)


@pytest.mark.parametrize("kind", ["terminal", "closed"])
def test_nobody_is_waited_for(tmp_path: Path, keys: dict[str, str], kind: str) -> None:
    """A terminal may type nothing for ever, and a closed input has nothing: the question stands alone."""
    command = [sys.executable, "-m", "sunwell", "run", "-q", "Who?", "-m", "opus", "-w", str(tmp_path)]
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        if kind == "closed":
            command = ["sh", "-c", 'exec "$@" <&-', "sh", *command]
        done = subprocess.run(
            command, stdin=terminal, env={**os.environ, **keys}, capture_output=True, text=True, timeout=60
        )
    assert (done.returncode, done.stdout) == (0, "Who?\n"), done.stderr


def test_a_bound_that_bounds_nothing_is_said_to(sunwell, tmp_path: Path) -> None:
    """``--max-explore`` is understood; who gives it reads what happens in its place."""
    done = sunwell("run", "-q", "Q", "-m", "opus", "--max-explore", "3", "-w", tmp_path)
    assert done.exit_code == 0
    assert "sunwell: explore.max_steps has no effect: nothing explores a context yet" in done.stderr
    assert "one that does not is refused" in done.stderr


@pytest.mark.parametrize("place", ["nowhere/trace.json", "."])
def test_a_trace_that_cannot_be_written_is_refused_first(sunwell, tmp_path: Path, simulator, place) -> None:
    """Nothing is asked, and so nothing paid, for a run that would end in an error."""
    done = sunwell("run", "Do it", "-m", "haiku", "-w", tmp_path, "--trace", tmp_path / place)
    assert done.exit_code == 2
    assert "cannot be written: name a file in a folder that exists" in done.stderr
    assert not simulator.requests
