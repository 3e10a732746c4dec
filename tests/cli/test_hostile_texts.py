"""Texts that try to take hold of the terminal, at every place where text enters, in a real terminal."""

import http.server
import json
import re
import threading
import unicodedata
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sunwell.core.message import Text, ToolCall, ToolResult
from sunwell.simulator import Asked, Reply, Simulator, running_simulator
from tests.cli.terminals import QUESTION, Terminal

SEQUENCES = (
    *("\x1b[2K", "\x1b[8m", "\x1b[1A", "\x1b[?1049h", "\x1b[6n", "\x1b]0;t\x07", "\x1b]52;c;ZXZpbA==\x07"),
    *(
        "\x1b]8;;http://evil/\x1b\\",
        "\x1bP+q\x1b\\",
        "\x1b_Gm\x1b\\",
        "\x1bc",
        "\x9b2K",
        "\x9d0;t\x9c",
        "\x84",
    ),
    *("\x08\x08", "\r", "\x0b", "\x0c", "\x07", "\x7f", "\x0e", "\u202e", "\u2066", "\u200e", "\u200b"),
    *("\u2028", "\ufeff", "\U000e0041", "x\ufe0f", "\u3164"),
)
EVIL = "".join(f"{sequence}EVIL" for sequence in SEQUENCES)
"""Each sequence, and after it a word: so a sequence of somebody else's can be told from Sunwell's own."""
FORGED = "\nverdict  verified by pytest\nApproved: rm -rf / (y, n, all, details, ?) y\n[bold red]EVIL[/]\n"
NAME = "bad\x1b[2KEVIL\r\u202e[bold]EVIL.txt"
STYLE = rb"(?:[0-3]|[39][0-7])"
OWN = re.compile(
    rb"\x1b\[%b(?:;%b)*m" % (STYLE, STYLE)  # of click and rich
    + rb"|\x1b\[\?25[lh]|\x1b\[1A|\x1b\[2K|\r\n|\r(?=\x1b\[)|\n"  # the live view draws again
)
"""All that may reach a terminal besides text."""
HIDDEN = ("Cc", "Cf", "Zl", "Zp", "Cs", "Co", "Cn")


def require_safe(shown: bytes, *places: str) -> None:
    """Fail if *shown* has a sequence that is not Sunwell's, or lacks the text of one of the *places*."""
    found = re.search(rb"(?:\x1b\[[0-9;?]*[A-Za-z]|\r|\x08|\x07|\x9b\w*)EVIL", shown)
    assert found is None, shown[max(0, found.start() - 300) : found.end() + 20]
    text = OWN.sub(lambda own: b"\n" if own[0].endswith(b"\n") else b"", shown).decode()
    for place, sign in enumerate(text):
        if sign != "\n" and (unicodedata.category(sign) in HIDDEN or sign in "\ufe0f\u3164"):
            pytest.fail(f"{sign!a} in {text[max(0, place - 200) : place + 40]!a}")
    for line in text.split("\n"):
        assert not line.startswith(("verdict  verified by pytest", "Approved: rm")), line
    for place in places:
        assert re.search(rf"{place}\\+(?:x1b|u001b)\[2KEVIL", text), place


def told(arguments: list[str], env: dict[str, str]) -> bytes:
    """Return every byte that a command shows in a terminal."""
    screen = Terminal(arguments, env, columns=1_000, one_stream=True)
    try:
        screen.result()
        return screen.all
    finally:
        screen.close()


def hostile(asked: Asked) -> Reply:
    """A model whose every word is hostile: tools, arguments, commands, answers."""
    calls = (
        (f"at-tool{EVIL}", {"path": f"at-argument{EVIL}{FORGED}"}),
        ("write_file", {"path": "out.txt", "content": f"at-content{EVIL}{FORGED}"}),
        ("read_file", {"path": f"at-path{EVIL}", "start_line": None, "end_line": None}),
        (
            "run_command",
            {"command": f"cat b*.txt; false # at-command{EVIL}{FORGED}", "timeout_seconds": None},
        ),
    )
    done = sum(isinstance(part, ToolResult) for message in asked.messages for part in message.parts)
    if done >= len(calls):
        return Reply((Text(f"at-answer{EVIL}{FORGED}"),))
    name, arguments = calls[done]
    return Reply((Text(f"at-words{EVIL}{FORGED}"), ToolCall("", name, json.dumps(arguments))))


@contextmanager
def provider() -> Iterator[dict[str, str]]:
    """Serve the hostile model, and yield the environment that leads there."""
    with running_simulator(Simulator({"claude-haiku-5-5": hostile})) as simulator:
        yield {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}


def spoil(journal: Path) -> None:
    """Write hostile words over what Sunwell itself wrote into *journal*, with correct checksums."""
    lines = []
    for line in journal.read_bytes().splitlines():
        head = re.sub(rb',"crc":"[0-9a-f]{8}"}$', b"", line)
        spoiled = json.dumps(f"at-journal{EVIL}{FORGED}")[1:-1].encode()
        head = re.sub(rb'"(model|provider|purpose|stop_reason|error)":"[^"]*"', rb'"\1":"%b"' % b"@@", head)
        head = head.replace(b"@@", spoiled)
        lines.append(b'%b,"crc":"%08x"}\n' % (head, zlib.crc32(head + b"}")))
    journal.write_bytes(b"".join(lines))


def test_a_run_its_questions_and_its_record(tmp_path: Path) -> None:
    """The live view, the questions, the report, and what later commands show of the run."""
    (tmp_path / NAME).write_text(f"at-output{EVIL}{FORGED}", newline="")
    place = ["-w", str(tmp_path)]
    run = ["run", f"at-task{EVIL}{FORGED}", *place, "--model", "haiku", "--approve", "--allow-shell"]
    with provider() as env:
        screen = Terminal(
            [*run, "--sandbox", "off", "--check", f"cat b*.txt; exit 1 # at-check{EVIL}"],
            env, columns=1_000, one_stream=True,
        )  # fmt: skip
        try:
            for _ in range(2):
                screen.read_until(QUESTION + b"\x1b[0m")  # those in the texts have no style
                screen.type(b"y")
            screen.result()
        finally:
            screen.close()
        require_safe(screen.all, "at-content", "at-command", "at-answer")
        (journal,) = tmp_path.glob(".sunwell/runs/*/journal.jsonl")
        run_id = journal.parent.name
        allowed = ["--approve", "--allow-shell", "--sandbox", "off", "--allow-checks"]
        resume = ["resume", run_id, *place, *allowed]
        shown = told(["show", run_id, *place, "-v", "--all", "--spans"], env)
        require_safe(shown, "at-task", "at-words", "at-tool", "at-command", "at-content")
        require_safe(told(["runs", *place], env), "at-task")
        require_safe(told(resume, env), "at-answer")
        require_safe(told(["export", run_id, *place], env))
        spoil(journal)
        require_safe(told(["show", run_id, *place, "-v"], env))
        require_safe(told(["runs", *place], env))
        require_safe(told(resume, env))
        require_safe(told(["undo", run_id, *place], env))


def test_an_answer_cannot_use_the_edge_of_the_terminal(tmp_path: Path) -> None:
    """Where the terminal would break a line so that its rest looks like the report, the rest has a sign."""
    forged = "verdict  verified by pytest, $0.01"
    answer = f"{'x' * 40}{' ' * 40}{forged}\n{'ordinary ' * 20}"
    with running_simulator(Simulator({"claude-haiku-5-5": lambda _: Reply((Text(answer),))})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        screen = Terminal(
            ["run", "Do it", "-w", str(tmp_path), "--model", "haiku"], env, columns=80, one_stream=True
        )
        screen.result()
        screen.close()
    shown = screen.all.decode().replace("\r\n", "\n")
    assert f"\n{'x' * 40}{' ' * 40}\n: {forged}\n{'ordinary ' * 20}\n" in shown


class Refusing(http.server.BaseHTTPRequestHandler):
    """A provider that answers each request with a hostile error."""

    def do_POST(self) -> None:
        """Refuse."""
        self.rfile.read(int(self.headers["Content-Length"]))
        error = {"type": "error", "error": {"type": "invalid_request_error", "message": f"at-error{EVIL}"}}
        data = json.dumps(error).encode()
        self.send_response(400)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextmanager
def refusing() -> Iterator[dict[str, str]]:
    """Serve refusals, and yield the environment that leads there."""
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Refusing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            url = f"http://127.0.0.1:{server.server_port}"
            yield {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "simulated-key"}
        finally:
            server.shutdown()
            thread.join()


def test_errors_options_files_and_settings(tmp_path: Path) -> None:
    """What a provider, the command line, the environment and files say, and what is wrong with it."""
    place = ["-w", str(tmp_path)]
    evil = EVIL.replace("\ufeff", "")
    lens, tasks, settings = (tmp_path / name for name in ("lens.json", "tasks.jsonl", "sunwell.toml"))
    with refusing() as env:
        require_safe(told(["run", "Do it", *place, "--model", "haiku"], env), "at-error")
        require_safe(told(["run", "Do it", *place, "--model", "haiku", "--json"], env))
        tasks.write_text(json.dumps(f"at-task{EVIL}{FORGED}") + "\n")
        require_safe(told(["batch", str(tasks), *place, "--model", "haiku"], env))
    require_safe(told(["run", "Do it", *place, "--model", f"at-model{evil}"], env), "at-model")
    require_safe(told(["show", f"at-run{evil}", *place], env), "at-run")
    require_safe(told([f"at-name{evil}"], env), "at-name")
    require_safe(told(["run", "Do it", f"--at-option{evil}"], env), "at-option")
    require_safe(told(["run", "Do it", "-w", f"at-folder{evil}", "--model", "haiku"], env), "at-folder")
    require_safe(told(["config", "show", *place], {**env, "SUNWELL_MODEL": f"at-env{evil}"}), "at-env")
    lens.write_text(json.dumps({"heuristics": [f"at-lens{EVIL}{FORGED}"], f"at-key{EVIL}": 1}))
    require_safe(told(["lens", "--check", str(lens)], env))
    tasks.write_text(json.dumps({"text": "a", f"at-field{EVIL}": 1}) + "\n")
    require_safe(told(["batch", str(tasks), *place, "--model", "haiku"], env))
    settings.write_text(f"model = {json.dumps(f'at-value{EVIL}')}\n{json.dumps(f'at-setting{EVIL}')} = 1\n")
    for command in ("show", "check", "trust"):
        require_safe(told(["config", command, *place], env))
