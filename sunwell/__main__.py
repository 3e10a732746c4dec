"""``python -m sunwell`` is the command ``sunwell``."""

import sys

if __name__ == "__main__":
    if not sys.flags.safe_path:
        # Python put the current folder there, often the workspace, and modules are loaded when they are
        # needed: a command could leave one there under the name of another. The command has no such entry.
        del sys.path[0]

    from sunwell.cli.main import main

    main()
