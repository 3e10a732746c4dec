"""Bad input: one sentence, an exit code, nothing half-written and nothing spent."""

import http.server
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from sunwell.cli.exit_codes import Commands, exit_code
from tests.cli.beginner import done as completed

NO_KEYS: dict[str, str] = {}
DEAD = {"ANTHROPIC_BASE_URL": "http://127.0.0.1:9", "ANTHROPIC_API_KEY": "simulated-key"}
BAD = [
    pytest.param(("Do it", "--model", "gigamind"), None, "gigamind", id="unknown-model"),
    pytest.param(("Do it", "--model", "nowhere/m"), None, "NOWHERE_BASE_URL", id="unknown-provider"),
    pytest.param(("  ",), None, "the task is empty", id="empty-task"),
    pytest.param(("Do it", "-w", "/nowhere/at/all"), None, "does not exist", id="no-workspace"),
    pytest.param(("Do it",), NO_KEYS, "ANTHROPIC_API_KEY or OPENAI_API_KEY", id="no-key-at-all"),
    pytest.param(("Do it", "--model", "opus"), NO_KEYS, "ANTHROPIC_API_KEY", id="missing-key"),
    pytest.param(("Do it", "--model", "gpt-6-luna"), NO_KEYS, "OPENAI_API_KEY", id="missing-other-key"),
    pytest.param(("Do it", "--approve"), None, "--approve needs a terminal", id="nobody-approves"),
    pytest.param(
        ("Do it", "--max-usd", "much"), None, "'much' is not valid: it must be an amount", id="no-amount"
    ),
    pytest.param(
        ("Do it", "--max-usd", "-1"), None, "must be an amount of zero or more", id="negative-amount"
    ),
    pytest.param(("Do it", "--max-usd", "nan"), None, "must be an amount of zero or more", id="no-number"),
    pytest.param(("Do it", "--max-turns", "-1"), None, "whole number of at least 0", id="no-turns"),
    pytest.param(("Do it", "--model", "haiku", "--max-seconds", "inf"), None, "seconds", id="no-end"),
    pytest.param(("Do it", "--model", "haiku", "--max-seconds", "nan"), None, "seconds", id="no-time"),
    pytest.param(("Do it", "--effort", "heroic"), None, "heroic", id="unknown-effort"),
    pytest.param(("Do it", "--delegat"), None, "--delegat", id="unknown-option"),
]


@pytest.mark.parametrize(("arguments", "env", "says"), BAD)
def test_bad_input_gets_a_sentence(sunwell, shop: Path, simulator, arguments, env, says: str) -> None:
    """Exit code 2, what is wrong on standard error, and neither a file nor a request."""
    where = () if "-w" in arguments else ("-w", shop)
    done = sunwell("run", *arguments, *where, env=env)
    assert done.exit_code == 2
    assert says in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.output
    assert not (shop / ".sunwell").exists()
    assert simulator.requests == ()


@pytest.mark.parametrize(("arguments", "env", "says"), BAD)
def test_bad_input_is_an_object_too(sunwell, shop: Path, arguments, env, says: str) -> None:
    """With ``--json``, standard output holds one object that says the same."""
    where = () if "-w" in arguments else ("-w", shop)
    done = sunwell("run", *arguments, *where, "--json", env=env)
    told = json.loads(done.stdout)
    assert (done.exit_code, told["status"]) == (2, "error")
    assert says in told["error"]


@pytest.fixture
def babbler() -> Iterator[str]:
    """Return the address of a server that answers with a web page."""

    class Page(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            page = b"<html>Welcome</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(page)))
            self.end_headers()
            self.wfile.write(page)

        def log_message(self, *_: object) -> None:
            return

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_an_address_that_does_not_answer_ends_the_run(start, shop: Path, babbler: str) -> None:
    """A dead address, or one that sends a web page: exit code 1 and a sentence with the address."""
    page = {"ANTHROPIC_BASE_URL": babbler, "ANTHROPIC_API_KEY": "simulated-key"}
    waiting = [
        start("run", "Do it", "-w", shop, "--model", "haiku", "--json", env=env) for env in (DEAD, page)
    ]
    for process, says in zip(waiting, ("http://127.0.0.1:9", "not JSON"), strict=True):
        out, err = process.communicate(timeout=60)
        told = json.loads(out)
        assert (process.returncode, told["status"], told["stop_reason"]) == (1, "error", "model_error")
        assert says in told["error"]
        assert err == ""


@pytest.mark.parametrize("command", ["show", "undo", "export", "resume"])
def test_an_unknown_run_gets_a_sentence(sunwell, shop: Path, command: str) -> None:
    """Commands about a run say that there is none, and what they looked for."""
    done = sunwell(command, "0123", "-w", shop)
    assert done.exit_code == 2
    assert "begins with '0123'" in done.stderr


@pytest.mark.parametrize("command", ["show", "undo", "export", "resume"])
def test_a_folder_that_is_none_gets_a_sentence(sunwell, tmp_path: Path, command: str) -> None:
    """Commands about a run say so where the workspace does not exist."""
    done = sunwell(command, "0123", "-w", tmp_path / "nowhere")
    assert done.exit_code == 2
    assert "not a folder" in done.stderr


@pytest.mark.parametrize(
    ("status", "code"),
    [
        pytest.param("ok", 0, id="ok"),
        pytest.param("error", 1, id="error"),
        pytest.param("incomplete", 3, id="incomplete"),
        pytest.param("cancelled", 130, id="cancelled"),
    ],
)
def test_each_end_has_its_exit_code(sunwell, status: str, code: int) -> None:
    """The codes are those that ``sunwell run --help`` lists."""
    assert exit_code(status) == code
    assert f"  {code} " in sunwell("run", "--help").stdout


def test_standard_input_that_is_no_text_gets_a_sentence(sunwell, shop: Path) -> None:
    """A task must be UTF-8."""
    done = sunwell("run", "-", "-w", shop, "--model", "haiku", "--json", said=b"\xff\xfe\x00")
    assert done.exit_code == 2
    assert "UTF-8" in json.loads(done.stdout)["error"]


def test_a_bug_is_not_swallowed() -> None:
    """What nobody expected is said in the object and raised on, for its traceback."""

    @click.command()
    @click.option("--json", is_flag=True)
    def broken(json: bool) -> None:
        raise ZeroDivisionError("a bug")

    done = CliRunner().invoke(Commands(commands={"broken": broken}), ["broken", "--json"])
    assert isinstance(done.exception, ZeroDivisionError)
    assert json.loads(done.stdout) == {"status": "error", "error": "ZeroDivisionError: a bug"}


@pytest.mark.parametrize(
    ("stream", "is_full", "code"),
    [
        pytest.param("stdin", False, 2, id="input"),
        pytest.param("stdout", False, 1, id="output"),
        pytest.param("stderr", False, 0, id="errors"),
        pytest.param("stdout", True, 1, id="full"),
    ],
)
def test_closed_and_full_streams_leave_no_traceback(
    keys, shop: Path, stream: str, is_full: bool, code: int
) -> None:
    """Messages that cannot be printed are done without; a task that cannot be read or an answer that cannot
    be printed is a sentence."""
    task = "-" if stream == "stdin" else "Say hello"
    with Path("/dev/full").open("wb") as full:
        ended = completed(
            *("run", task, "-w", shop, "--model", "haiku"),
            folder=shop,
            env={**os.environ, **keys},
            **{stream: full.fileno() if is_full else None},
        )
    assert ended.returncode == code, ended.stderr
    assert b"Traceback" not in ended.stderr
