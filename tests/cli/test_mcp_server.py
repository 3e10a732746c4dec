"""``sunwell mcp`` on the command line: what it refuses, and its entry in a host's configuration."""

import json
import sys
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from sunwell.serve.mcp_server.host_entries import HOSTS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--root", "nowhere"), "the root nowhere is not a folder: name an existing one"),
        (("--max-cost", "0"), "--max-cost and --total must be more than 0 dollars"),
        (("--total", "0"), "--max-cost and --total must be more than 0 dollars"),
        (("--port", "80"), "--port has no effect without --http"),
        (("--budget-usd", "3"), "No such option '--budget-usd'"),
        (("--max-cost", "1", "uninstall", "--client", "zed"), "leave the command after them out"),
    ],
)
def test_what_could_not_hold_is_refused(sunwell, tmp_path: Path, options, sentence: str) -> None:
    """Before anything is served."""
    done = sunwell("mcp", *options)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())


def test_a_token_that_is_none_is_refused(sunwell, tmp_path: Path, keys) -> None:
    """It would protect nothing."""
    done = sunwell("mcp", "--http", "--root", tmp_path, env={**keys, "SUNWELL_MCP_TOKEN": "short"})
    assert done.exit_code == 2
    assert "SUNWELL_MCP_TOKEN is no token" in done.output


def test_without_the_package_it_says_what_to_install(sunwell, tmp_path: Path, monkeypatch) -> None:
    """The extra is loaded on first use."""
    for name in [name for name in sys.modules if name.partition(".")[0] in ("mcp", "mcp_types")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "sunwell.serve.mcp_server.delegation_server", raising=False)
    monkeypatch.setitem(sys.modules, "mcp", None)
    done = sunwell("mcp", "--root", tmp_path)
    assert done.exit_code == 2
    assert "pip install 'sunwell[mcp]'" in done.output


@pytest.mark.parametrize("client", HOSTS)
def test_an_entry_is_shown_written_and_taken_out(sunwell, tmp_path: Path, client: str) -> None:
    """Nothing is written without ``--write``; a second time there is nothing to do."""
    place = tmp_path / HOSTS[client].project  # type: ignore[index]
    where = ("--client", client, "-w", tmp_path)
    shown = sunwell("mcp", "install", *where, "--", "--max-cost", "0.5")
    assert shown.exit_code == 0, shown.output
    assert '"--max-cost"' in shown.stdout
    assert "nothing was written" in shown.stderr
    assert not place.exists()
    assert sunwell("mcp", "install", *where, "--write").exit_code == 0
    first = place.read_text()
    assert "has this entry already" in sunwell("mcp", "install", *where, "--write").stderr
    other = sunwell("mcp", "install", *where, "--write", "--", "--max-cost", "2")
    assert other.exit_code == 2
    assert "another entry called sunwell" in other.output
    assert place.read_text() == first
    gone = sunwell("mcp", "uninstall", *where)
    assert gone.exit_code == 0
    assert "sunwell" not in place.read_text()
    assert place.with_name(f"{place.name}.before-sunwell").read_text() == first
    again = sunwell("mcp", "uninstall", *where)
    assert (again.exit_code, again.stdout.startswith("there is no entry of Sunwell in ")) == (0, True)


def test_options_of_the_server_are_checked_before_they_are_written(sunwell, tmp_path: Path) -> None:
    """A host would only say that the server does not start."""
    done = sunwell("mcp", "install", "--client", "cursor", "-w", tmp_path, "--", "--max-costs", "1")
    assert done.exit_code == 2
    assert "--max-costs" in done.output


def test_the_users_own_file_gets_the_path_of_the_program(sunwell, tmp_path: Path, keys) -> None:
    """A host is not started by the user's shell, so it may not find the program by its name."""
    home = tmp_path / "home"
    home.mkdir()
    (home / ".claude.json").write_text('{"numStartups": 3}')
    where = ("--client", "claude-code", "--scope", "user", "-w", tmp_path)
    assert sunwell("mcp", "install", *where, "--write", env={**keys, "HOME": str(home)}).exit_code == 0
    made = json.loads((home / ".claude.json").read_text())
    assert made["numStartups"] == 3
    assert Path(made["mcpServers"]["sunwell"]["command"]).is_absolute()
