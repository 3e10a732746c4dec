"""Runs commands under bubblewrap where the system has it."""

import asyncio
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

Sandbox = Literal["auto", "off"]
_PROBE_SECONDS = 5.0


def wrapped(
    program: str, command: tuple[str, ...], root: Path, environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Return *command* as ``bwrap`` at *program* would run it.

    The system is read-only; the home folder is empty but for the folders of ``PATH`` in it; the
    workspace is writable, except that its ``.git`` is read-only and its ``.sunwell`` and ``.env``
    are empty. There is no network, and other processes are not seen.
    """
    home = environ.get("HOME", "")
    line = [program, "--unshare-all", "--die-with-parent", "--new-session"]
    line += ["--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp"]
    if home.startswith("/") and home != "/":
        line += ["--tmpfs", home]
        for folder in environ.get("PATH", "").split(os.pathsep):
            if folder.startswith(home + "/"):
                line += ["--ro-bind-try", folder, folder]
    line += ["--bind", str(root), str(root)]
    if (root / ".git").exists():
        line += ["--ro-bind", str(root / ".git"), str(root / ".git")]
    if (root / ".sunwell").is_dir():
        line += ["--tmpfs", str(root / ".sunwell")]
    for name in sorted(path.name for path in root.glob(".env*") if path.is_file()):
        if name == ".env" or name.startswith(".env."):
            line += ["--ro-bind", "/dev/null", str(root / name)]
    return (*line, "--setenv", "TMPDIR", "/tmp", "--chdir", str(root), "--", *command)


async def find_sandbox(environ: Mapping[str, str], root: Path) -> str | None:
    """Return where a ``bwrap`` is that works here, or ``None``."""
    program = shutil.which("bwrap", path=environ.get("PATH", os.defpath))
    if program is None:
        return None
    process = await asyncio.create_subprocess_exec(
        *wrapped(program, ("true",), root, environ),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
        env=dict(environ),
    )
    try:
        async with asyncio.timeout(_PROBE_SECONDS):
            return program if await process.wait() == 0 else None
    except TimeoutError:
        return None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
