"""``sunwell mcp`` on the command line: what it refuses, and its entry in a host's configuration."""

import json
import sys
import tomllib
from decimal import Decimal
from pathlib import Path

import click
import pytest

pytest.importorskip("mcp")

from sunwell.cli.mcp_command import options_of_entry
from sunwell.serve.mcp_server.host_entries import HOSTS


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--root", "nowhere"), "the root nowhere is not a folder: name an existing one"),
        (("--root", "~nobody-here/x"), "the root ~nobody-here/x is not a folder: name an existing one"),
        (("--root", "/", "--root", "//"), "the root // is named twice: keep one"),
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


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--max-costs", "1"), "--max-costs"),
        (("--max-cost", "0"), "--max-cost and --total must be more than 0 dollars"),
        (("--port", "80"), "--port has no effect without --http"),
        (("--http",), "--http cannot stand in an entry"),
        (("--root", "nowhere"), "the root nowhere is not a folder"),
        (("--root", "a", "--root", "./a"), "the root ./a is named twice"),
        (("a", "word"), "Got unexpected extra argument"),
        (("uninstall", "--client", "zed"), "No such option '--client'"),
        (("--", "--root=/etc"), "Got unexpected extra argument"),
    ],
)
def test_options_of_the_server_are_checked_before_they_are_written(
    sunwell, tmp_path: Path, options, sentence: str
) -> None:
    """A host would only say that the server does not start, or would start another one than was meant."""
    (tmp_path / "a").mkdir()
    done = sunwell("mcp", "install", "--client", "cursor", "-w", tmp_path, "--write", "--", *options)
    assert done.exit_code == 2
    assert sentence in " ".join(done.output.split())
    assert not (tmp_path / ".cursor").exists()


@pytest.mark.parametrize(
    ("options", "args"),
    [
        ((), ["mcp", "--root", "${workspaceFolder}"]),
        (("--root=a",), ["mcp", "--root=a"]),
        (("--root", "${workspaceFolder}/a"), ["mcp", "--root", "${workspaceFolder}/a"]),
    ],
)
def test_an_entry_has_the_projects_folder_or_the_roots_that_are_named(
    sunwell, tmp_path: Path, options, args: list[str]
) -> None:
    """However these are written; none is added to them."""
    (tmp_path / "a").mkdir()
    done = sunwell("mcp", "install", "--client", "cursor", "-w", tmp_path, "--write", "--", *options)
    assert done.exit_code == 0, done.output
    made = json.loads((tmp_path / ".cursor" / "mcp.json").read_text())
    assert made["mcpServers"]["sunwell"]["args"][-len(args) :] == args


def test_the_plugin_starts_a_server_that_can_work(tmp_path: Path) -> None:
    """What stands in its entry is an entry's command, with options that such a server takes."""
    plugin = Path(__file__).parents[2] / "integrations" / "claude-code"
    described = json.loads((plugin / ".claude-plugin" / "plugin.json").read_text())
    assert described["name"] == "sunwell"
    servers = json.loads((plugin / ".mcp.json").read_text())[HOSTS["claude-code"].group]
    assert list(servers) == ["sunwell"]
    program, first, *options = [servers["sunwell"]["command"], *servers["sunwell"]["args"]]
    assert (program, first) == ("sunwell", "mcp")
    chosen = options_of_entry(options, "claude-code", tmp_path)
    assert Decimal(0) < chosen["max_cost"] < chosen["total"]
    with pytest.raises(click.UsageError, match="--http cannot stand in an entry"):
        options_of_entry([*options, "--http"], "claude-code", tmp_path)


def test_the_entry_of_the_registry_starts_a_server_that_can_work(tmp_path: Path) -> None:
    """The package of this project with what its extra requires, and options that such a server takes."""
    project = Path(__file__).parents[2]
    described = json.loads((project / "server.json").read_text())
    (package,) = described["packages"]
    settings = tomllib.loads((project / "pyproject.toml").read_text())["project"]
    assert (package["registryType"], package["identifier"]) == ("pypi", settings["name"])
    assert (package["runtimeHint"], package["transport"]) == ("uvx", {"type": "stdio"})
    brought = [one["value"] for one in package["runtimeArguments"] if one["name"] == "--with"]
    assert brought == settings["optional-dependencies"]["mcp"]
    first, *named = package["packageArguments"]
    assert first == {"type": "positional", "value": "mcp"}
    chosen = options_of_entry(
        [word for one in named for word in (one["name"], one["default"])], "zed", tmp_path
    )
    assert Decimal(0) < chosen["max_cost"] < chosen["total"]
    assert len(described["description"]) <= 100
    assert all(one["isSecret"] for one in package["environmentVariables"])


def test_the_marketplace_leads_to_the_plugin() -> None:
    """Its entry has the plugin's name, and its path is one of this project."""
    project = Path(__file__).parents[2]
    described = json.loads((project / ".claude-plugin" / "marketplace.json").read_text())
    (entry,) = described["plugins"]
    plugin = project / entry["source"] / ".claude-plugin" / "plugin.json"
    assert entry["name"] == json.loads(plugin.read_text())["name"]
    assert described["owner"]["name"]
    assert plugin.resolve().is_relative_to(project)


def test_a_root_in_the_home_folder_is_found(sunwell, tmp_path: Path, keys) -> None:
    """A host hands ``~`` on as it is written, and it is the same folder as by its path."""
    folder = tmp_path / "home" / "x"
    folder.mkdir(parents=True)
    environ = {**keys, "HOME": str(tmp_path / "home")}
    twice = sunwell("mcp", "--root", "~/x", "--root", folder, env=environ)
    assert f"the root {folder} is named twice: keep one" in " ".join(twice.output.split())
    entry = ("mcp", "install", "--client", "zed", "-w", tmp_path, "--", "--root", "~/x")
    assert sunwell(*entry, env=environ).exit_code == 0


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
