"""Colours in a terminal: they add to the words, and are left out where they are not wanted."""

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.cli.colours import ESTIMATE, REPORT, RUNS, Palette
from sunwell.simulator import Simulator, running_simulator
from tests.cli.terminals import Terminal, calling, running

TASK = "Run a command"
STYLE = re.compile(r"\x1b\[\d+m")
SHELL = ("--allow-shell", "--sandbox", "off")
Screen = Callable[..., str]


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """Run a model that runs a command, which fails."""
    with running_simulator(Simulator({"claude-haiku-5-5": calling(running("exit 3"))})) as simulated:
        yield simulated


@pytest.fixture
def screen(keys: dict[str, str]) -> Screen:
    """Return a function that gives what a terminal gets of a command, styles included."""

    def seen(*arguments: str | Path, **env: str) -> str:
        with closing(Terminal([*map(str, arguments)], keys | env, one_stream=True)) as terminal:
            terminal.result()
            return terminal.all.decode().replace("\r\n", "\n")

    return seen


@pytest.mark.parametrize("command", ["show", "runs", "resume", "estimate", "doctor"])
def test_the_words_are_the_same_with_colours(sunwell, screen: Screen, tmp_path: Path, command: str) -> None:
    """In a terminal there are colours, with ``NO_COLOR`` there are none, and no word differs."""
    sunwell("run", TASK, "-w", tmp_path, "-m", "haiku", *SHELL)
    names = {"show": ("last",), "resume": ("last",), "estimate": (TASK,), "doctor": ("-m", "haiku")}
    arguments = (command, *names.get(command, ()), "-w", tmp_path)
    coloured, none = screen(*arguments), screen(*arguments, NO_COLOR="1")
    assert STYLE.search(coloured)
    assert "\x1b" not in none
    assert re.sub(r"[\d.]+", "N", STYLE.sub("", coloured)) == re.sub(r"[\d.]+", "N", none)


def test_a_pipe_gets_no_colours(sunwell, tmp_path: Path) -> None:
    """Nor does anything that is not a terminal."""
    done = sunwell("run", TASK, "-w", tmp_path, "-m", "haiku", *SHELL)
    assert "\x1b" not in done.output + sunwell("show", "last", "-w", tmp_path).output


def styled(palette: Palette, text: str) -> list[str]:
    """Return the parts of *text* that have a look."""
    return [part for part, look in palette.parts(text) if look]


@pytest.mark.parametrize(
    ("palette", "line", "parts"),
    [
        (REPORT, "done     3 turns, 2.6 s", ["done"]),
        (REPORT, "commands exit 0, 0.1 s  done", ["commands", "exit 0"]),
        (REPORT, "         exit 3, 0.1 s  exit 0", ["exit 3"]),
        (REPORT, "├─ ✗ ✓ work", ["✗"]),
        (REPORT, "verdict  not verified: there was no check", ["verdict", "not verified"]),
        (RUNS, "01a229d9-d  2026-11-30 00:27  ok  $0.01  say ok", ["ok"]),
        (RUNS, "01a229d9-d  11-30  error  $0.01  say ok", ["error"]),
        (ESTIMATE, "→ cheap  $0.01", ["→ cheap  $0.01"]),
    ],
)
def test_what_is_coloured(palette: Palette, line: str, parts: list[str]) -> None:
    """Sunwell's own words, where they stand; not the same words in a task or a command."""
    assert styled(palette, line) == parts


@given(st.text(alphabet="│├└─ ✓✗…·exit0123done$():verdict\n→"))
def test_colours_change_no_text(text: str) -> None:
    """Whatever the text is, its parts are the text."""
    for palette in (REPORT, RUNS, ESTIMATE):
        assert "".join(part for part, _ in palette.parts(text)) == text
