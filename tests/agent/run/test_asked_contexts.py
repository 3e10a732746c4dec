"""What contexts are called where models and records have their names."""

from pathlib import Path

import pytest

from sunwell.agent.run.asked_contexts import context_names


@pytest.mark.parametrize(
    ("paths", "names"),
    [
        (("/home/ann/work/logs/app.log", "/home/ann/notes.txt"), ["logs/app.log", "notes.txt"]),
        (("logs/app.log", "../other.log"), ["logs/app.log", "../other.log"]),
        (("/var/a/app.log", "/var/b/app.log"), ["/var/a/app.log", "/var/b/app.log"]),
        (("app.log", "/home/ann/work/app.log"), ["app.log", "/home/ann/work/app.log"]),
        (("/home/ann/work", "/"), ["work", "/"]),
        (("/var/log/*.log",), ["*.log"]),
        ((), []),
    ],
)
def test_names_say_no_more_of_the_machine_than_they_must(paths: tuple[str, ...], names: list[str]) -> None:
    """Two that would be called the same keep their paths."""
    assert context_names(paths, Path("/home/ann/work")) == names


def test_a_path_from_home_is_called_by_its_last_part() -> None:
    """Where the home is, is not told."""
    assert context_names(["~/things/a.log"], Path("/nowhere/at/all")) == ["a.log"]
