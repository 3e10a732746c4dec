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
