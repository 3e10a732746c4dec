"""The commands on a page: they hold for the state of the run, and a shell takes them as they are."""

import shlex
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sunwell.cli.main import cli
from sunwell.context.option_use import Use, unused
from sunwell.context.options import RunOptions
from sunwell.report.page.page_data import PageData
from sunwell.report.page.shell_steps import RunState, shell_steps
from tests.report.page.conftest import ServedRecord
from tests.report.page.sample_runs import SAMPLES

CHOOSING = ("enable_delegation", "orchestrate", "escalate", "smart_model", "delegation_model", "model")
"""Options that say who does the work."""


def commands(page: PageData) -> dict[str, list[str]]:
    """Return the words of each command behind its name."""
    words = [shlex.split(step.command) for step in page.reproduce]
    assert all(one[0] == "sunwell" for one in words)
    return {one[1]: one[2:] for one in words}


@pytest.mark.parametrize("name", SAMPLES)
def test_the_command_line_takes_every_command(name: str, pages: Mapping[str, PageData]) -> None:
    """With all its options, none of which is without effect."""
    for command, words in commands(pages[name]).items():
        with click.Context(cli, **cli.context_settings) as parent:
            found = cli.get_command(parent, command)
            assert found is not None
            made = found.make_context(command, list(words), parent=parent)
        if command == "run":
            taken = {key: value for key, value in made.params.items() if value is not None}
            options = RunOptions(
                **{
                    key: taken[key]
                    for key in (
                        "enable_delegation",
                        "smart_model",
                        "delegation_model",
                        "model",
                        "orchestrate",
                    )
                    if key in taken
                }
            )
            assert list(unused({key: taken.get(key) for key in ("model", "smart_model")}, Use(options))) == []


@pytest.mark.parametrize("name", ["small", "batch", "forked"])
def test_what_only_looks_at_a_run_does(name: str, pages: Mapping[str, PageData]) -> None:
    """Without a key."""
    for command in ("show", "export", "replay"):
        done = CliRunner(env={}).invoke(cli, [command, *commands(pages[name])[command]])
        assert done.exit_code == 0, done.output


def test_commands_hold_for_the_state_of_the_run(
    pages: Mapping[str, PageData], runs: Mapping[str, ServedRecord]
) -> None:
    """What has ended well is not resumed, a batch has no conversation, and only what changed is put back."""
    assert "resume" not in commands(pages["small"])
    assert "resume" in commands(pages["dead"])
    assert "continue" not in commands(pages["dead"])
    assert "continue" not in commands(pages["batch"])
    assert "undo" not in commands(pages["failed"])
    assert "undo" in commands(pages["small"])
    assert "run" not in commands(pages["forked"])
    place = commands(pages["capped"])["fork"]
    assert place[place.index("--at") + 1].startswith("run/direct:")


def test_the_command_that_starts_a_run_again_has_its_cap_and_models(
    pages: Mapping[str, PageData],
) -> None:
    """And the folder; the task is one word, whatever is in it."""
    words = commands(pages["delegated"])["run"]
    assert words[-1] == "Generate CRUD endpoints for 5 entities"
    given = dict(pairwise(words))
    assert (given["--budget-usd"], given["--delegation-model"]) == ("2", "claude-haiku-5-5")


def state(task: str) -> RunState:
    """Return a run of *task*."""
    return RunState("r1", str(Path("/a folder")), task, "ok", {}, RunOptions(), False, True)


@pytest.mark.parametrize(
    "task", ['it\'s; rm -rf $HOME `x` "y" && z', "-rf", "two\nlines", "*", "~", "Größe ändern"]
)
def test_a_task_is_quoted_for_a_shell(task: str) -> None:
    """It comes back as it was."""
    (again,) = [step.command for step in shell_steps(state(task)) if step.command.startswith("sunwell run")]
    assert shlex.split(again)[-1] == task
    assert shlex.split(again)[-2] in ("/a folder", "--")


@pytest.mark.parametrize("task", ["a\x1b[2Jb", "a\x00b", "a\u202eb", "x" * 200_000])
def test_what_no_terminal_takes_as_it_is_gives_no_command(task: str) -> None:
    """Pasted, it would do something else."""
    assert not any(step.command.startswith("sunwell run") for step in shell_steps(state(task)))
