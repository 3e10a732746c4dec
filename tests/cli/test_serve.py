"""``sunwell serve`` on the command line: what it refuses before anything is served."""

import socket
import sys
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("-w", "nowhere"), "nowhere"),
        (("--max-cost", "0"), "--max-cost and --max-usd must be more than 0 dollars"),
        (("--max-usd", "0"), "--max-cost and --max-usd must be more than 0 dollars"),
        (("--token", "short"), "--token is no token: it must have 16 or more printable characters"),
        (("--token", "a token with spaces"), "--token is no token"),
        (("--budget-usd", "3"), "No such option '--budget-usd'"),
        (("--offer", "opus+"), "--offer 'opus+' names no model"),
        (("--offer", "a+b+c"), "--offer 'a+b+c' names no model"),
        (("--offer", "hiaku"), "haiku"),
        (("--check", " "), "check"),
    ],
)
def test_what_could_not_hold_is_refused(sunwell, tmp_path: Path, keys, options, sentence: str) -> None:
    """With the command's own exit code for bad input."""
    where = () if options[0] == "-w" else ("-w", tmp_path)
    done = sunwell("serve", *where, *options, env=keys)
    assert done.exit_code == 2, done.output
    assert sentence in " ".join(done.output.split())
    assert not done.stdout


def test_a_token_that_is_none_is_refused(sunwell, tmp_path: Path, keys) -> None:
    """It would protect nothing."""
    done = sunwell("serve", "-w", tmp_path, env={**keys, "SUNWELL_SERVE_TOKEN": "short"})
    assert done.exit_code == 2
    assert "SUNWELL_SERVE_TOKEN is no token" in done.output


def test_without_the_packages_it_says_what_to_install(sunwell, tmp_path: Path, keys, monkeypatch) -> None:
    """The extra is loaded on first use."""
    for name in [name for name in sys.modules if name.startswith(("sunwell.serve.endpoint.endpoint_app",))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "starlette.applications", None)
    done = sunwell("serve", "-w", tmp_path, env=keys)
    assert done.exit_code == 2
    assert "pip install 'sunwell[serve]'" in " ".join(done.output.split())


def test_a_folder_in_which_no_run_could_be_recorded_is_refused(sunwell, tmp_path: Path, keys) -> None:
    """At the start, and not with each request."""
    (tmp_path / ".sunwell").write_text("")
    done = sunwell("serve", "-w", tmp_path, env=keys)
    assert done.exit_code == 2
    said = " ".join(done.output.split())
    assert f"no run could be recorded, since {tmp_path}/.sunwell is no folder" in said
    assert not done.stdout


@pytest.mark.parametrize("name", ["OPENAI_BASE_URL", "ANTHROPIC_BASE_URL"])
def test_a_server_that_would_ask_itself_is_refused(sunwell, tmp_path: Path, keys, name: str) -> None:
    """As in a shell in which the address for its clients was exported."""
    done = sunwell(
        "serve", "-w", tmp_path, "--port", "47119", env={**keys, name: "http://127.0.0.1:47119/v1"}
    )
    assert done.exit_code == 2
    assert f"{name} is the address of this server" in " ".join(done.output.split())
    assert not done.stdout


def test_a_token_that_is_typed_is_said_to_be_readable(sunwell, tmp_path: Path, keys) -> None:
    """In the list of processes; a variable is not."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        where = ("-w", tmp_path, "--port", taken.getsockname()[1])
        typed = sunwell("serve", *where, "--token", "x" * 20, env=keys)
        given = sunwell("serve", *where, env={**keys, "SUNWELL_SERVE_TOKEN": "x" * 20})
    said = "other users of this machine can read --token; SUNWELL_SERVE_TOKEN they cannot"
    assert [said in done.stderr for done in (typed, given)] == [True, False]
    assert [done.exit_code for done in (typed, given)] == [2, 2]
    assert "x" * 20 not in typed.output
