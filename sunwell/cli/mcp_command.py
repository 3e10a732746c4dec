"""``sunwell mcp``: Sunwell as a server of the Model Context Protocol, for other programs."""

import gc
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sunwell.cli.served_settings import money_options, total_usd
from sunwell.cli.shared_options import (
    DOLLARS,
    Chosen,
    SettingsCommand,
    StrictCommand,
    config_options,
    plugins_option,
    settings_options,
)
from sunwell.context.options import SECTIONS
from sunwell.errors import ConfigurationError

if TYPE_CHECKING:
    from sunwell.serve.mcp_server.delegation_server import DelegationServer
    from sunwell.serve.mcp_server.delegations import Delegations
    from sunwell.serve.mcp_server.host_entries import HostName
    from sunwell.serve.mcp_server.served_roots import ServedRoots

_TOKEN = "SUNWELL_MCP_TOKEN"


class ServingGroup(SettingsCommand, click.Group):
    """A command with settings of its own and with commands below it."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options by section, then the commands."""
        super().format_options(ctx, formatter)
        self.format_commands(ctx, formatter)


@click.group("mcp", cls=ServingGroup, invoke_without_command=True)
@click.option(
    "--root",
    "roots",
    multiple=True,
    metavar="DIR",
    help="A folder to work in; several times for several. Default: the current folder.",
)
@money_options("total", one="one run", all_of="all runs of this server")
@click.option(
    "--confirm-above",
    type=DOLLARS,
    metavar="X",
    help="Have the client ask a person first if the expected cost is higher than X US dollars, or unknown.",
)
@click.option("--approve", is_flag=True, help="Have the client ask a person before each write and command.")
@click.option("--http", is_flag=True, help="Serve over HTTP on 127.0.0.1, for clients that have the token.")
@click.option(
    "--port",
    type=click.IntRange(1, 65535),
    metavar="N",
    help="Port for --http. Default: any free one.",
)
@plugins_option
@settings_options(*SECTIONS, without=("budget_usd",))
@config_options
@click.pass_context
def mcp(ctx: click.Context, /, **chosen: Any) -> None:
    """Let other programs delegate tasks: an MCP server over standard input and output, or over HTTP.

    A host such as an editor or a coding agent starts it; "sunwell mcp install" tells it to. Its tools are
    delegate, batch, ask, estimate, resume, report and undo. They work only in the roots. Models, permissions,
    checks and caps are those given here and in trusted settings: a client can only lower a cap.

    With --http, the address is printed, and a token that clients send as "Authorization: Bearer TOKEN": that
    in SUNWELL_MCP_TOKEN, or a new one. It needs the extra sunwell[mcp].
    """
    if ctx.invoked_subcommand is not None:
        given = [name for name in chosen if ctx.get_parameter_source(name) not in (None, _DEFAULT)]
        if given:
            raise click.UsageError("options of the server stand alone: leave the command after them out")
        return
    from sunwell.cli.ending import run_async

    server = _server(chosen)
    run_async(_over_http(server, chosen["port"] or 0) if chosen["http"] else _over_stdio(server))


_DEFAULT = click.core.ParameterSource.DEFAULT


async def _over_stdio(server: "DelegationServer") -> None:
    async with server:
        await server.run_stdio_async()


async def _over_http(server: "DelegationServer", port: int) -> None:
    from sunwell.cli.served_settings import opened, token_of
    from sunwell.serve.mcp_server.delegation_server import HTTP_PATH

    token, is_made = token_of(_TOKEN)
    door = server.door(token)
    opened(door, port, HTTP_PATH, [token] if is_made else [])
    async with server:
        await door.serve()


def options_of_entry(words: Sequence[str], host: "HostName", place: Path) -> Chosen:
    """Return the options *words* in an entry for *host*, which starts the server in *place*, as parsed.

    Raises :exc:`click.UsageError` or :exc:`~sunwell.errors.ConfigurationError` for what could not work there.
    """
    from sunwell.serve.mcp_server.host_entries import HOSTS

    alone = SettingsCommand("sunwell mcp", params=mcp.params)  # no command can follow in an entry
    chosen = alone.make_context("sunwell mcp", list(words)).params
    if chosen["http"]:
        raise click.UsageError(
            "--http cannot stand in an entry, whose server speaks over its pipes: leave it out"
        )
    variable = HOSTS[host].root
    roots = [root.replace(variable, str(place)) if variable else root for root in chosen["roots"]]
    _checked_roots({**chosen, "roots": roots}, place)
    return chosen


def _checked_roots(chosen: Chosen, place: Path) -> "ServedRoots":
    """Return the roots of a server with the parsed options *chosen* that is started in *place*.

    Raises :exc:`click.UsageError` or :exc:`~sunwell.errors.ConfigurationError` if it could not do anything,
    or an option had no effect.
    """
    if chosen["port"] is not None and not chosen["http"]:
        raise click.UsageError("--port has no effect without --http: leave it out")
    total_usd(chosen, "total")
    from sunwell.serve.mcp_server.served_roots import ServedRoots

    return ServedRoots.of(chosen["roots"] or (".",), place)


def _server(chosen: Chosen) -> "DelegationServer":
    """Return the server. Raises :exc:`~sunwell.errors.ConfigurationError` if it could not do anything."""
    gc.disable()  # nothing of what is loaded now is garbage; to look takes a tenth of the start
    try:
        roots = _checked_roots(chosen, Path())
        from sunwell.serve.mcp_server.delegation_server import DelegationServer
    except ImportError as error:
        if (error.name or "").partition(".")[0] not in ("mcp", "mcp_types"):
            raise
        raise ConfigurationError(
            "sunwell mcp needs the package mcp: install it with pip install 'sunwell[mcp]'"
        ) from None
    finally:
        gc.freeze()
        gc.enable()
    return DelegationServer(lambda: _delegations(chosen, roots))


def _delegations(chosen: Chosen, roots: "ServedRoots") -> "Delegations":
    from sunwell.cli.served_settings import CommandSettings
    from sunwell.serve.mcp_server.delegations import Delegations
    from sunwell.serve.process_purse import ProcessPurse
    from sunwell.serve.root_settings import ServerTerms

    terms = ServerTerms(chosen["max_cost"], chosen["confirm_above"], chosen["approve"])
    return Delegations(
        roots,
        lambda root, work: CommandSettings.of(chosen, root, work),
        terms,
        ProcessPurse(total_usd(chosen, "total")),
    )


_host_options = (
    click.option(
        "--client",
        required=True,
        type=click.Choice(["claude-code", "codex", "cursor", "vscode", "zed"]),
        help="The program that starts the server.",
    ),
    click.option(
        "--scope",
        type=click.Choice(["project", "user"]),
        default="project",
        show_default=True,
        help="Its file in the project, or that of your account.",
    ),
    click.option(
        "-w", "--workspace", default=".", show_default=True, metavar="DIR", help="The project's folder."
    ),
)


def _with_host_options(function: Any) -> Any:
    for option in reversed(_host_options):
        function = option(function)
    return function


@mcp.command(cls=StrictCommand)
@_with_host_options
@click.option("--write", is_flag=True, help="Write it; without this, it is only shown.")
@click.argument("options", nargs=-1, type=click.UNPROCESSED)
def install(client: str, scope: str, workspace: str, write: bool, options: tuple[str, ...]) -> None:
    """Show the entry for a host, and with --write put it into the host's configuration.

    OPTIONS, after "--", are those of "sunwell mcp", such as --max-cost 0.50. All else in the file stays as it
    is, comments too; a copy of the former file is kept beside it. An entry for an editor's project is read by
    the editor when the folder is opened, so look at what you commit.
    """
    from sunwell.cli.output import say, say_text
    from sunwell.serve.mcp_server.host_entries import (
        entry_of,
        entry_text,
        installed,
        read_host_file,
        write_host_file,
    )

    host, path = _host_file(client, scope, workspace)
    chosen = options_of_entry(options, host, Path(workspace))  # what is wrong with them is said now
    entry = entry_of(host, _own_command(scope), options, has_root=bool(chosen["roots"]))
    say_text(entry_text(host, entry).rstrip("\n"))
    try:
        before = read_host_file(path)
        after = installed(host, before, entry)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} is left as it is: {error}") from None
    if after == before:
        say(f"sunwell: {path} has this entry already", err=True)
    elif not write:
        say(f"sunwell: nothing was written; --write puts this into {path}", err=True)
    else:
        _tell_kept(write_host_file(path, after))
        say(f"sunwell: wrote {path}; start the program again that reads it", err=True)


@mcp.command(cls=StrictCommand)
@_with_host_options
def uninstall(client: str, scope: str, workspace: str) -> None:
    """Take the entry out of the configuration of a host, and nothing else.

    A copy of the former file is kept beside it. Without an entry there is nothing to do.
    """
    from sunwell.cli.output import say
    from sunwell.serve.mcp_server.host_entries import has_entry, read_host_file, uninstalled, write_host_file

    host, path = _host_file(client, scope, workspace)
    try:
        before = read_host_file(path)
        if not has_entry(host, before):
            say(f"there is no entry of Sunwell in {path}")
            return
        after = uninstalled(host, before)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path} is left as it is: {error}") from None
    _tell_kept(write_host_file(path, after))
    say(f"took the entry out of {path}")


def _host_file(client: str, scope: str, workspace: str) -> "tuple[HostName, Path]":
    from sunwell.cli.record_commands import require_folder
    from sunwell.serve.mcp_server.host_entries import place_of

    host: Any = client
    where: Any = scope
    return host, place_of(host, where, require_folder(Path(workspace)), Path.home())


def _own_command(scope: str) -> list[str]:
    """Return how a host starts this command: by its name in a file that others may read, else by its path."""
    import shutil
    import sys

    found = shutil.which("sunwell")
    if found is None:
        return [sys.executable, "-m", "sunwell"]
    return ["sunwell" if scope == "project" else found]


def _tell_kept(kept: Path | None) -> None:
    from sunwell.cli.output import say

    if kept is not None:
        say(f"sunwell: the former file is {kept}", err=True)
