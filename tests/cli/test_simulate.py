"""``sunwell simulate``: a provider of one's own."""

import json
import signal
import socket
from pathlib import Path


def test_the_printed_variables_are_all_that_is_needed(start, sunwell, shop: Path) -> None:
    """A run with the printed variables works, and Ctrl-C prints the same bill that the run booked."""
    server = start("simulate")
    lines = [server.stdout.readline() for _ in range(4)]
    env = dict(word.split("=", 1) for word in lines[1].split()[1:])
    told = json.loads(sunwell("run", "Say hello", "-w", shop, "--model", "haiku", "--json", env=env).stdout)
    server.send_signal(signal.SIGINT)
    out, err = server.communicate(timeout=60)
    assert told["status"] == "ok"
    assert f"total billed: ${told['cost_usd']}" in out
    assert err == ""
    assert server.returncode == 0


def test_a_port_that_is_taken_gets_a_sentence(sunwell) -> None:
    """Exit code 2, the port, and what to do."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = sunwell("simulate", "--port", str(port))
    assert done.exit_code == 2
    assert f"port {port} cannot be used (Address already in use): choose another" in done.stderr


def test_somebody_else_can_be_the_model(start, sunwell, shop: Path, tmp_path: Path) -> None:
    """A run is answered from files, the lines name every request, and the same run can be replayed."""
    play = tmp_path / "play"

    def run() -> tuple[dict[str, object], list[str]]:
        server = start("simulate", "--answers", play, "--play", "haiku")
        lines = [server.stdout.readline() for _ in range(5)]
        env = dict(word.split("=", 1) for word in lines[1].split()[1:])
        client = start("run", "Say hello", "-w", shop, "--model", "haiku", "--json", env=env)
        lines.append(server.stdout.readline())
        if not (play / "001.answer.txt").exists():
            assert "Say hello" in (play / "001.request.txt").read_text()
            (play / "draft").write_text("Hello from a person.\n")
            (play / "draft").rename(play / "001.answer.txt")
        told = json.loads(client.communicate(timeout=60)[0])
        server.send_signal(signal.SIGINT)
        out, err = server.communicate(timeout=60)
        assert (f"total billed: ${told['cost_usd']}" in out, err) == (True, "")
        return told, lines + out.splitlines()

    told, lines = run()
    assert (told["status"], told["answer"]) == ("ok", "Hello from a person.")
    assert any(line.startswith("001 asked: claude-haiku-5-5, conversation 001; 1 pending") for line in lines)
    assert any(line.startswith("001 answered") for line in lines)
    told, lines = run()
    assert told["answer"] == "Hello from a person."
    assert any(line.startswith("001 replayed") for line in lines)


def test_options_of_played_models_are_checked(sunwell, tmp_path: Path) -> None:
    """An option without a folder, a name of no model or of two, and a broken pattern get a sentence."""
    cases = (
        (["--play", "haiku"], "--play needs --answers DIR"),
        (["--no-wait"], "--no-wait needs --answers DIR"),
        (["--ignoring", "x"], "--ignoring needs --answers DIR"),
        (["--answers", tmp_path / "a", "--play", "gpt-6"], "must name one of these models: gpt-6.1-sol"),
        (["--answers", tmp_path / "a", "--play", "nobody"], "must name one of these models: claude-fable"),
        (["--answers", tmp_path / "a", "--ignoring", "("], "not a regular expression"),
    )
    for arguments, sentence in cases:
        done = sunwell("simulate", *arguments)
        assert (done.exit_code, sentence in " ".join(done.stderr.split())) == (2, True), done.stderr
