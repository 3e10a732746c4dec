"""``python -m sunwell`` is the command ``sunwell``."""

import os
import signal
import sys


def main() -> None:
    """Run the command line and exit."""
    # Until the command line is loaded nothing has begun, and a signal needs no traceback.
    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _ended)

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
