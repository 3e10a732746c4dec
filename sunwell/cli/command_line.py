"""How a command line runs in a process of its own, from its protection to its exit code."""

import logging

import click

from sunwell.cli.ending import interruptible, leave
from sunwell.cli.exit_codes import CANCELLED, Commands
from sunwell.cli.output import say, take_over
from sunwell.cli.own_process import protect_process, start_telemetry
from sunwell.cli.terminal import exit_after

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""How each command shows its help."""
_NOISY = ("aiohttp", "anthropic", "asyncio", "httpx2", "openai")


def run_line(cli: click.Group) -> None:
    """Run the command of *cli* that was typed, and exit."""
    protect_process()
    for name in _NOISY:  # our events report the same, in our own words
        logging.getLogger(name).setLevel(logging.CRITICAL)
    take_over()
    code: str | int | None = None
    with interruptible():
        try:
            exit_after(lambda: cli(prog_name="sunwell"))
        except SystemExit as ended:
            code = ended.code
        except KeyboardInterrupt:
            say("sunwell: cancelled", err=True)
            code = CANCELLED
        leave(code)


def run_server_line() -> None:
    """Run ``sunwell mcp`` and exit, without loading the other commands."""
    from sunwell.cli.mcp_command import mcp

    run_line(Commands("sunwell", commands={"mcp": mcp}, callback=start_telemetry, context_settings=HELP))
