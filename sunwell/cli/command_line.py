"""How a command line runs in a process of its own, from its protection to its exit code."""

import logging
import os
import sys
from contextlib import suppress
from pathlib import Path

import click

from sunwell.cli.ending import interruptible, leave
from sunwell.cli.exit_codes import CANCELLED, Commands
from sunwell.cli.output import say, take_over
from sunwell.cli.telemetry import start_telemetry
from sunwell.cli.terminal import exit_after

HELP = {"help_option_names": ["-h", "--help"], "max_content_width": 100}
"""How each command shows its help."""
_NOISY = ("aiohttp", "anthropic", "asyncio", "httpx2", "openai")


def protect_process() -> None:
    """Close this process to all others of the same user, since keys are in its memory and environment.

    On Linux, they can then neither trace it nor read its memory or environment in ``/proc``; root can. It
    writes no core dump, which would hold the keys, and what it starts inherits no descriptor that it got
    itself. Only the command line does this: a library must not change the process of its caller.
    """
    with suppress(OSError):
        for entry in tuple(Path("/dev/fd").iterdir()):
            if entry.name.isdigit() and int(entry.name) > 2:
                with suppress(OSError):  # the folder's own descriptor, closed by now
                    os.set_inheritable(int(entry.name), False)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            pr_set_dumpable = 4
            # What it starts can be traced again: a program that is executed begins anew.
            ctypes.CDLL(None).prctl(pr_set_dumpable, 0, 0, 0, 0)


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
