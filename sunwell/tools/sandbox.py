"""Runs commands under bubblewrap, and says why if that cannot be."""

import os
import pwd
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import attrs

from sunwell.errors import ConfigurationError
from sunwell.tools.own_code import own_folders_in

PROGRAMS = (
    "/usr/bin/bwrap",
    "/bin/bwrap",
    "/usr/local/bin/bwrap",
    "/run/current-system/sw/bin/bwrap",
)
"""Where bubblewrap is looked for. ``PATH`` is not asked: a workspace can be on it."""
OFF_WARNING = (
    "sandbox is off: commands run without one, and can do what your account can "
    "(read and delete other files, use the network)"
)
_PROBE_SECONDS = 5.0
_PROBE_SCRIPT = """
while read -r name value; do
  case $name in
    CapInh:|CapPrm:|CapEff:|CapBnd:|CapAmb:) [ "$value" = 0000000000000000 ] || exit 81 ;;
    NoNewPrivs:) [ "$value" = 1 ] || exit 82 ;;
  esac
done < /proc/self/status
"""
_OFF = "or accept with --sandbox off that commands can do what your account can"


@attrs.frozen
class Bubblewrap:
    """A ``bwrap`` that is ours to use."""

    program: str
    """Absolute path, links resolved."""
    disables_namespaces: bool = True
    """Whether commands cannot make user namespaces of their own; an old or a set-uid ``bwrap`` cannot
    forbid that. A namespace of its own gives a command no rights on what it did not mount itself."""
    closed: tuple[Path, ...] = ()
    """Real folders of the workspace that are read-only. They are found once, before the first command: later
    a command could put a link in the place of one, and have what it leads to mounted."""
    missing: tuple[Path, ...] = ()
    """Folders of the workspace that would be closed if they existed. See :meth:`with_missing_made`."""

    def with_missing_made(self) -> "Bubblewrap":
        """Return the same with its missing folders made, empty, and closed.

        Only what exists can be mounted read-only, and a command could make a folder that is missing.
        Raises :exc:`~sunwell.errors.ConfigurationError` if a folder cannot be made.
        """
        for path in self.missing:
            try:
                path.mkdir(parents=True, exist_ok=True)
                is_plain = path.resolve(strict=True) == path
            except OSError as error:
                raise ConfigurationError(_unmade(path, error.strerror or str(error))) from None
            if not is_plain:
                raise ConfigurationError(_unmade(path, "there is a link on the way"))
        return attrs.evolve(self, closed=tuple(sorted({*self.closed, *self.missing})), missing=())

    def wrapped(self, command: tuple[str, ...], root: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return *command* as it runs in the sandbox.

        The system is read-only; ``/tmp``, ``/run`` and the home folder are empty but for the folders of
        ``PATH`` in them; the workspace is writable, except that its ``.git`` and what this process
        runs from are read-only, and its ``.sunwell`` and ``.env`` are empty. There is no network, other
        processes are not seen, and all capabilities are gone, for root too.
        """
        line = [self.program, "--unshare-all", "--unshare-user"]
        if self.disables_namespaces:
            line.append("--disable-userns")
        line += ["--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        # Root is mapped to root, so that its files stay its own. Without capabilities it is still the
        # owner of what is in /proc/sys, where core_pattern names a program for the host to run.
        line += ["--ro-bind", "/", "/", "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
        hidden = _hidden(environ)
        for folder in hidden:
            # A read-only mount does not stop anybody from connecting to a socket in it, and those in
            # /run lead to services that would start a program outside.
            line += ["--tmpfs", folder]
        for shown in _shown_again(environ, hidden, root):
            line += ["--ro-bind-try", shown, shown]
        line += ["--bind", str(root), str(root)]
        for path in self.closed:
            for parent in reversed(path.relative_to(root).parents[:-1]):
                # A folder that something is mounted in can be renamed, one that is mounted cannot.
                line += ["--bind", str(root / parent), str(root / parent)]
            line += ["--ro-bind", str(path), str(path)]
        if (root / ".sunwell").is_dir():
            line += ["--tmpfs", str(root / ".sunwell")]
        for name in sorted(path.name for path in root.glob(".env*") if path.is_file()):
            if name == ".env" or name.startswith(".env."):
                line += ["--ro-bind", "/dev/null", str(root / name)]
        return (*line, "--setenv", "TMPDIR", "/tmp", "--chdir", str(root), "--", *command)

    def why_broken(self, root: Path, environ: Mapping[str, str]) -> str:
        """Return why no command can run in the workspace *root* like this; empty if one can.

        A command is run to find out. It also looks whether all capabilities are gone.
        """
        line = self.wrapped(("/bin/sh", "-c", _PROBE_SCRIPT), root, environ)
        try:
            done = _quietly(line, environ)
        except subprocess.TimeoutExpired:
            return f"it did not end within {_PROBE_SECONDS:g} seconds"
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
        if done.returncode == 0:
            return ""
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return said[-1].removeprefix("bwrap: ") if said else f"it ended with exit code {done.returncode}"


def require_sandbox(root: Path, environ: Mapping[str, str], programs: Iterable[str] = PROGRAMS) -> Bubblewrap:
    """Return a sandbox that works in the workspace *root*.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there is none: its sentence says why, and what
    to choose.
    """
    if root == Path(root.anchor):
        raise ConfigurationError(
            "the workspace is the whole file system, which no sandbox can protect: name a smaller folder"
        )
    candidates = tuple(programs)
    found = [path for path in map(Path, candidates) if path.exists()]
    program = next((path for one in found if (path := trusted_program(one, root))), None)
    if program is None:
        raise ConfigurationError(_missing(found, root))
    git = [path for path in (root / ".git",) if path.exists() and not path.is_symlink()]
    there, missing = own_folders_in(root, environ)
    sandbox = Bubblewrap(str(program), _can_disable_namespaces(program, environ), (*git, *there), missing)
    why = sandbox.why_broken(root, environ)
    if why:
        raise ConfigurationError(
            f"commands need a sandbox, and {program} does not work here ({why}); containers and some systems "
            f"forbid namespaces: allow unprivileged user namespaces, {_OFF}"
        )
    return sandbox


def trusted_program(path: Path, root: Path) -> Path | None:
    """Return *path* with links resolved if nobody but root and this user can put another in its place.

    ``None`` if it is no program, lies in the workspace *root*, or if somebody else can write to it, or
    to a folder on the way to it.
    """
    try:
        program = path.resolve(strict=True)
        status = program.stat()
        ways = (path, *path.parents, program, *program.parents)
        if not all(_is_ours(one.lstat()) for one in ways):
            return None
    except OSError:
        return None
    if program.is_relative_to(root) or path.is_relative_to(root):
        return None
    return program if stat.S_ISREG(status.st_mode) and os.access(program, os.X_OK) else None


def _is_ours(status: os.stat_result) -> bool:
    if status.st_uid not in (0, os.getuid()):
        return False
    if stat.S_ISLNK(status.st_mode):  # its mode means nothing, and its folder is looked at too
        return True
    # In a sticky folder (/nix/store) others can add names, but neither remove nor replace ours.
    is_sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return is_sticky or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _hidden(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the folders that are empty in the sandbox; of two, one is never in the other's way."""
    folders = ["/tmp", "/run", "/var/run", environ.get("HOME", "")]
    with suppress(KeyError):  # this user has no entry
        folders.append(pwd.getpwuid(os.getuid()).pw_dir)  # sudo may have left another HOME
    real = {os.path.realpath(folder) for folder in folders if folder.startswith("/")} - {"/"}
    return tuple(sorted(folder for folder in real if Path(folder).is_dir()))


def _shown_again(environ: Mapping[str, str], hidden: tuple[str, ...], root: Path) -> Iterator[str]:
    """Yield the folders in *hidden* that programs are in, but none that something in *root* leads to."""
    for entry in (*environ.get("PATH", "").split(os.pathsep), "/run/current-system"):
        ways = (Path(entry), *Path(entry).parents)
        if entry.startswith("/") and not any(
            Path(os.path.realpath(way)).is_relative_to(root) for way in ways
        ):
            for folder in dict.fromkeys((os.path.normpath(entry), os.path.realpath(entry))):
                is_hidden = any(folder.startswith(f"{place}/") for place in hidden)
                if is_hidden and Path(folder).is_dir():
                    yield folder


def _can_disable_namespaces(program: Path, environ: Mapping[str, str]) -> bool:
    if program.stat().st_mode & stat.S_ISUID:
        return False
    try:
        return b"--disable-userns" in _quietly((str(program), "--help"), environ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return True  # then it does not work either, and running it says why


def _quietly(line: tuple[str, ...], environ: Mapping[str, str]) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(environ),
        cwd="/",
        timeout=_PROBE_SECONDS,
        check=False,
    )


def _unmade(path: Path, reason: str) -> str:
    return (
        f"{path} is on PATH or sys.path and must be closed to commands, and it cannot be made ({reason}): "
        f"make the folder, take it off PATH or PYTHONPATH, {_OFF}"
    )


def _missing(found: list[Path], root: Path) -> str:
    if sys.platform != "linux":
        return f"commands need a sandbox, and there is none for this system: leave --allow-shell out, {_OFF}"
    if found:
        return (
            f"commands need a sandbox, and {found[0]} is not used: it lies in the workspace, is no program, "
            "or others than root and you can write to it or to a folder above it: install bubblewrap anew, "
            f"{_OFF}"
        )
    return (
        f"commands need a sandbox, and bubblewrap is not installed: install it (the program is bwrap), {_OFF}"
    )
