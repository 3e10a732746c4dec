"""The process of the command line: closed to other processes, and no secret in its last words."""

import os
import sys
from contextlib import suppress
from pathlib import Path

_PR_SET_DUMPABLE = 4


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

            # What it starts can be traced again: a program that is executed begins anew.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def told_safely(message: str) -> str:
    """Return *message*, of an error, without known secrets and what looks like a credential."""
    from sunwell.core.secrets import without_credentials
    from sunwell.tools.environment import secrets_from_environment  # many modules, and only after an error

    return without_credentials(secrets_from_environment().redact(message))
