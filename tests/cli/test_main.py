"""The command line as a whole."""

import subprocess
import sys

import pytest

COMMANDS = ("demo", "run", "resume", "estimate", "models", "runs", "show", "undo", "export", "simulate")


def test_the_module_is_the_command() -> None:
    """``python -m sunwell`` is ``sunwell``."""
    done = subprocess.run(
        [sys.executable, "-m", "sunwell", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("sunwell, version ")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_listed_and_has_help(sunwell, command: str) -> None:
    """The list of commands names it, and its help says what it does."""
    assert f"  {command} " in sunwell("--help").stdout
    done = sunwell(command, "--help")
    assert done.exit_code == 0
    assert len(done.stdout.splitlines()) > 4


def test_an_unknown_command_is_wrong_usage(sunwell) -> None:
    """Exit code 2, and the name."""
    done = sunwell("dance")
    assert done.exit_code == 2
    assert "dance" in done.stderr


def test_the_list_of_commands_says_whole_sentences(sunwell) -> None:
    """What a command does is broken into lines where the page is narrow, and never cut."""
    listed = sunwell("--help").stdout.partition("Commands:")[2]
    assert "..." not in listed
    assert "no answered call is made or paid again." in " ".join(listed.split())
