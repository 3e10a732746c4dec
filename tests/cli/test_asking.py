"""``--approve`` and ``--confirm-above`` at a real terminal."""

import json
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply, Simulator, running_simulator

HIDING = "echo good # \x1b[8m\u202e; touch evil \x9b2K\r literally \\x1b\necho two"
SHOWN = r"echo good # \x1b[8m\u202e; touch evil \x9b2K\x0d literally \\x1b"
TASK = "Generate CRUD endpoints for 5 entities"
QUESTION = b"[a]ll: "


class Terminal:
    """A terminal with a command in it; standard output is read apart, at the end."""

    def __init__(self, arguments: list[str], env: dict[str, str]) -> None:
        self.master, slave = pty.openpty()
        self.seen = b""
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sunwell", *arguments],
            env={**os.environ, **env, "TERM": "xterm", "COLUMNS": "100"},
            stdin=slave,
            stdout=subprocess.PIPE,
            stderr=slave,
            start_new_session=True,
        )
        os.close(slave)

    def read_until(self, text: bytes) -> bytes:
        """Return what was shown until *text* has come."""
        while text not in self.seen:
            self.seen += os.read(self.master, 65536)
        shown, _, self.seen = self.seen.partition(text)
        return shown

    def type(self, line: bytes) -> None:
        """Type a line."""
        os.write(self.master, line + b"\n")

    def result(self) -> str:
        """Return standard output once the command has ended; what is shown meanwhile is read away."""
        assert self.process.stdout is not None
        try:
            while os.read(self.master, 65536):
                pass
        except OSError:
            pass  # the command has closed its terminal
        text = self.process.stdout.read().decode()
        self.process.wait(timeout=60)
        return text

    def close(self) -> None:
        """End the command and close everything."""
        self.process.kill()
        self.process.communicate()
        os.close(self.master)


@pytest.fixture
def terminal(keys: dict[str, str], shop: Path) -> Iterator[object]:
    """Return a function that starts a run in a terminal."""
    opened: list[Terminal] = []

    def begin(*arguments: str) -> Terminal:
        opened.append(Terminal(["run", TASK, "-w", str(shop), "--json", *arguments], keys))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


def test_yes_no_and_all(terminal, shop: Path) -> None:
    """The difference is shown; a no leaves the file away, *all* asks no more."""
    screen = terminal("--model", "haiku", "--approve")
    assert b"shop/endpoints/customer.py" in screen.read_until(QUESTION)
    screen.type(b"n")
    assert b"shop/endpoints/product.py" in screen.read_until(QUESTION)
    screen.type(b"y")
    screen.read_until(QUESTION)
    screen.type(b"a")
    told = json.loads(screen.result())
    paths = {file["path"] for file in told["files"]}
    assert "shop/endpoints/product.py" in paths
    assert "shop/endpoints/invoice.py" in paths


def test_nothing_but_a_yes_is_a_yes(terminal, sunwell, shop: Path) -> None:
    """An empty line writes nothing; Ctrl-C at the question ends the run, and a resume must ask again."""
    screen = terminal("--model", "haiku", "--approve")
    screen.read_until(QUESTION)
    screen.type(b"")
    screen.read_until(QUESTION)
    screen.process.send_signal(signal.SIGINT)
    told = json.loads(screen.result())
    assert (screen.process.returncode, told["status"], told["files"]) == (130, "cancelled", [])
    assert not (shop / "shop/endpoints/customer.py").exists()
    done = sunwell("resume", told["run_id"], "-w", shop)
    assert done.exit_code == 2
    assert "--approve" in done.stderr


@pytest.mark.parametrize(
    ("answer", "code"), [pytest.param(b"y", 0, id="yes"), pytest.param(b"n", 2, id="no")]
)
def test_a_dear_run_is_confirmed(terminal, simulator, answer: bytes, code: int) -> None:
    """``--confirm-above`` shows what is expected; a no spends nothing."""
    screen = terminal("--delegate", "--confirm-above", "0.001")
    assert b"is expected to cost $" in screen.read_until(b"[y/N]: ")
    screen.type(answer)
    screen.result()
    assert screen.process.returncode == code
    assert bool(simulator.requests) == (code == 0)


def hiding(asked: Asked) -> Reply:
    """Ask for a command that a terminal would show in part."""
    if any(isinstance(part, ToolResult) for part in asked.messages[-1].parts):
        return Reply((Text("Not done: the command was not approved."),))
    return Reply((ToolCall("", "run_command", json.dumps({"command": HIDING, "timeout_seconds": None})),))


def test_a_command_is_shown_exactly_as_it_would_run(tmp_path: Path) -> None:
    """What a terminal would act on is written out, in every line of it, and nothing is left away."""
    with running_simulator(Simulator({"claude-haiku-5-5": hiding})) as running:
        env = {"ANTHROPIC_BASE_URL": running.url, "ANTHROPIC_API_KEY": "simulated-key"}
        options = ["--model", "haiku", "--approve", "--allow-shell", "--sandbox", "off", "--json"]
        screen = Terminal(["run", TASK, "-w", str(tmp_path), *options], env)
        try:
            shown = screen.read_until(QUESTION)
            assert f"  {SHOWN}\r\n  echo two\r\n".encode() in shown.replace(b"\x1b[0m", b"")
            assert b"\x1b[8m" not in shown
            assert "\u202e".encode() not in shown
            assert "\x9b".encode() not in shown
            screen.type(b"n")
            assert json.loads(screen.result())["status"] == "ok"
        finally:
            screen.close()
    assert not (tmp_path / "evil").exists()
