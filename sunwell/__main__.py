"""The command ``sunwell``, which is also ``python -m sunwell``: it loads no module of the current folder."""

import os
import signal
import sys
from pathlib import Path


def main() -> None:
    """Run the command line and exit.

    The current folder is often a workspace, and modules are loaded when they are needed: a file there could
    stand for one of them. So entries of ``PYTHONPATH`` that mean another folder in each folder do not hold.
    """
    # Until the command line is loaded nothing has begun, and a signal needs no traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ended)
    written = "" if sys.flags.ignore_environment else os.environ.get("PYTHONPATH", "")
    entries = map(Path, written.split(os.pathsep) if written else ())
    moving = {entry.resolve() for entry in entries if not entry.is_absolute()}
    if moving:
        sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() not in moving]

    if os.environ.get("_SUNWELL_COMPLETE", "").endswith("_complete"):  # before anything else is loaded
        from sunwell.cli.completion import complete

        complete()
    if sys.argv[1:2] == ["mcp"]:  # a host waits for it, so no other command is loaded
        from sunwell.cli.command_line import run_server_line

        run_server_line()
    from sunwell.cli.main import main as run

    run()


def _ended(*_: object) -> None:
    os.write(2, b"sunwell: cancelled\n")
    os._exit(130)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python put the current folder there, often the workspace, and modules are loaded when they are
        # needed: a command could leave one there under the name of another. The command has no such entry.
        del sys.path[0]
    main()
