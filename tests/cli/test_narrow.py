"""On a narrow terminal, text is wrapped between words."""

import os
import pty
from pathlib import Path

import pytest

from tests.cli.beginner import beginner

COLUMNS = 40


def shown(arguments: tuple[str, ...], env: dict[str, str], folder: Path, columns: int = COLUMNS) -> list[str]:
    """Return the lines that a terminal of so many columns gets, from both streams."""
    master, slave = pty.openpty()
    environ = {**os.environ, **env, "TERM": "dumb", "COLUMNS": str(columns)}
    with Path("/dev/null").open("rb") as nothing:
        process = beginner().begin(arguments, environ, [nothing.fileno(), slave, slave], folder)
    os.close(slave)
    data = b""
    try:
        while part := os.read(master, 65536):
            data += part
    except OSError:
        pass  # the command has closed its terminal
    os.close(master)
    process.wait()
    return data.decode().split("\r\n")


@pytest.mark.parametrize(
    "arguments",
    [("models",), ("doctor", "-m", "haiku"), ("config", "check"), ("run", "Say hello", "-m", "hiaku")],
    ids=["models", "doctor", "config-check", "error"],
)
def test_no_line_is_longer_than_the_terminal(
    keys: dict[str, str], tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    """Only a word of its own, such as a path, may be."""
    lines = shown(arguments, keys, tmp_path)
    assert len(lines) > 1
    assert [line for line in lines if len(line) > COLUMNS and len(line.split()) > 1] == []
