"""Uses the program ripgrep, if there is one, to leave out files that cannot match."""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import attrs

from sunwell.tools.environment import bare_environment
from sunwell.tools.sandbox import trusted_program

_LINE = ("--no-config", "--fixed-strings", "--files-with-matches", "--null", "--text", "--no-messages")
_WAIT_SECONDS = 0.05


def find_ripgrep(root: Path) -> Path | None:
    """Return the trusted ``rg`` on ``PATH``; ``None`` if there is none.

    A relative folder of ``PATH`` does not count, nor a program that is in the workspace *root* or that
    others than root and the user can replace.
    """
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        found = shutil.which("rg", path=folder) if folder.startswith("/") else None
        if found is not None and (program := trusted_program(Path(found), root)) is not None:
            return program
    return None


@attrs.define(eq=False)
class Sieve:
    """Files that are being searched for one text by ripgrep."""

    paths: tuple[str, ...]
    _process: "subprocess.Popen[bytes]"

    @classmethod
    def start(cls, program: Path, root: Path, text: bytes, paths: Iterable[str]) -> "Sieve":
        """Start to search the files *paths*, relative to *root*, for *text*; raises :exc:`OSError`.

        The text, which is ASCII, is also found in UTF-16.
        """
        wide = b"\0".join(text[at : at + 1] for at in range(len(text)))
        kept = tuple(paths)
        # With ./ before it, no name is taken for an option or for the standard input.
        line = [str(program), *_LINE, "--file=-", "--", *(f"./{path}" for path in kept)]
        process = subprocess.Popen(
            line,
            cwd=root,
            env=bare_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )
        assert process.stdin is not None
        with suppress(BrokenPipeError), process.stdin as given:  # if it has ended, its exit code says so
            given.write(b"%b\n%b\n" % (text, wide))
        process.stdin = None
        return cls(kept, process)

    def left(self, check: Callable[[], None]) -> frozenset[str]:
        """Return the files that may match: all of them if ripgrep failed.

        *check* is called again and again, and may raise.
        """
        while True:
            check()
            try:
                said, _ = self._process.communicate(timeout=_WAIT_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        if self._process.returncode not in (0, 1):  # 1: nothing was found
            return frozenset(self.paths)
        return frozenset(os.fsdecode(name)[2:] for name in said.split(b"\0") if name)

    def stop(self) -> None:
        """End the program, if it still runs."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
