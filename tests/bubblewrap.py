"""Whether this machine has a working sandbox, and commands that are run in it as different users."""

import os
import pickle
import subprocess
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sunwell.errors import ConfigurationError
from sunwell.tools.sandbox import require_sandbox
from sunwell.tools.system_calls import opened_filter

ENVIRON = {"PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME": "/nonexistent"}
NOBODY = 65534


def why_there_is_none() -> str:
    """Return why this machine has no sandbox; empty if it has one."""
    try:
        require_sandbox(Path(__file__).parent, ENVIRON)
    except ConfigurationError as error:
        return error.sentence
    return ""


WHY = why_there_is_none()
needs_bubblewrap = pytest.mark.skipif(bool(WHY), reason=f"requires bubblewrap: {WHY}")
needs_root = pytest.mark.skipif(os.getuid() != 0, reason="requires root, which can become an ordinary user")


def as_nobody(work: Callable[[], Any]) -> Any:
    """Return what *work* returns in a child process that has become an ordinary user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:  # the interpreter that runs the tests may lie where nobody else can start it
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(writing, pickle.dumps(work()))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    return pickle.loads(told)


_WAS_GONE = "Can't mkdir parents for /usr/local/tmp"
"""Another test had a socket there when the line was made, and has removed it since."""


class Users:
    """Runs a command in the sandbox as this process's user, or as one without any rights."""

    def __init__(self, folder: Path, is_nobody: bool) -> None:
        self.folder, self.is_nobody = folder, is_nobody
        self.environ = dict(ENVIRON)
        self.network = False
        self.uid = NOBODY if is_nobody else os.getuid()
        if is_nobody:
            for path in (folder, *folder.rglob("*")):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def runs(self, script: str) -> "subprocess.CompletedProcess[str]":
        """Run *script* with ``sh`` in the sandbox; once more if another test was in the way of its start."""
        done = self._started(script)
        if not done.stdout and _WAS_GONE in done.stderr:
            done = self._started(script)
        begun, _, said = done.stdout.partition("\n")
        assert begun == "begun", done.stderr
        return subprocess.CompletedProcess(done.args, done.returncode, said, done.stderr)

    def _started(self, script: str) -> "subprocess.CompletedProcess[str]":
        def line_of() -> tuple[str, ...]:
            found = require_sandbox(self.folder, self.environ, network=self.network)
            told = ("/bin/sh", "-c", f"echo begun; {script}")
            return found.made_ready(self.folder).wrapped(told, self.folder, self.environ, file)

        them = {"user": NOBODY, "group": NOBODY, "extra_groups": []} if self.is_nobody else {}
        with opened_filter() as file:
            line = as_nobody(line_of) if self.is_nobody else line_of()
            return subprocess.run(
                line,
                capture_output=True,
                text=True,
                env=self.environ,
                timeout=60,
                check=False,
                pass_fds=[file],
                **them,
            )
