"""Runs commands in a bubblewrap sandbox, and explains if that is impossible."""

import os
import stat
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import attrs

from sunwell.errors import ConfigurationError
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.guarded_files import GuardedFile, guarded_in, mounts_for
from sunwell.tools.own_code import own_folders_in
from sunwell.tools.sandbox_view import SystemView
from sunwell.tools.system_calls import opened_filter
from sunwell.tools.unix_sockets import is_socket, listening_sockets, sockets_in

PROGRAMS = (
    "/usr/bin/bwrap",
    "/bin/bwrap",
    "/usr/local/bin/bwrap",
    "/run/current-system/sw/bin/bwrap",
)
"""Where bubblewrap is searched. ``PATH`` is not used: it may contain a workspace."""
OFF_WARNING = (
    "the sandbox is off: commands run with all rights of your account "
    "(they can read and delete other files and use the network)"
)
_PROBE_SECONDS = 30.0  # on a busy machine; with a thousand protected files there is much to mount
_LONGEST_NAME = 60
_PROBE_SCRIPT = """
while read -r name value; do
  case $name in
    CapInh:|CapPrm:|CapEff:|CapBnd:|CapAmb:) [ "$value" = 0000000000000000 ] || exit 81 ;;
    NoNewPrivs:) [ "$value" = 1 ] || exit 82 ;;
    Seccomp:) [ "$value" = 2 ] || exit 83 ;;
  esac
done < /proc/self/status
"""
_OFF = "or use --sandbox off to let commands run with all rights of your account"


@attrs.frozen
class Bubblewrap:
    """A trusted ``bwrap`` program, and what commands see in it."""

    program: str
    """Absolute path, links resolved."""
    disables_namespaces: bool = True
    """Whether commands are prevented from creating user namespaces; an old or set-uid ``bwrap`` cannot do
    that. Its own namespace gives a command no rights on anything that it did not mount itself."""
    closed: tuple[Path, ...] = ()
    """Real folders of the workspace that are read-only. They are determined once, before the first command:
    later, a command could replace one by a link, whose target would then be mounted."""
    missing: tuple[Path, ...] = ()
    """Folders of the workspace that would be read-only if they existed. See :meth:`with_missing_made`."""
    view: SystemView | None = None
    """What commands see besides the workspace; ``None``: it is computed for each command."""
    sockets: tuple[Path, ...] = ()
    """Unix sockets that were in the workspace before the first command: they cannot be connected to."""
    network: bool = False
    """Whether commands have the network of this machine, its loopback and its abstract sockets."""
    limits_sizes: bool = False
    """Whether the size of the empty folders can be limited; an old ``bwrap`` cannot do that."""
    allow_write: tuple[str, ...] = ()
    """Globs of files that commands may write although other programs run them by themselves."""

    def with_missing_made(self) -> "Bubblewrap":
        """Return a copy whose missing folders have been created, empty, as read-only folders.

        Only existing folders can be mounted read-only, and a command could create a missing one.
        Raises :exc:`~sunwell.errors.ConfigurationError` if a folder cannot be created.
        """
        for path in self.missing:
            try:
                path.mkdir(parents=True, exist_ok=True)
                is_plain = path.resolve(strict=True) == path
            except OSError as error:
                raise ConfigurationError(_unmade(path, error.strerror or str(error))) from None
            if not is_plain:
                raise ConfigurationError(_unmade(path, "a parent folder is a link"))
        return attrs.evolve(self, closed=tuple(sorted({*self.closed, *self.missing})), missing=())

    def made_ready(self, root: Path) -> "Bubblewrap":
        """Return a copy for the first command: missing folders are made, and the sockets of *root* are known.

        Raises as :meth:`with_missing_made`.
        """
        return attrs.evolve(self.with_missing_made(), sockets=sockets_in(root))

    def wrapped(
        self,
        command: tuple[str, ...],
        root: Path,
        environ: Mapping[str, str],
        call_filter: int | None = None,
        *,
        guarded: Iterable[GuardedFile] | None = None,
    ) -> tuple[str, ...]:
        """Return the full command that runs *command* in the sandbox.

        *call_filter* is the open file of :func:`~sunwell.tools.system_calls.opened_filter`, which the command
        must inherit. *guarded* are the protected files of the workspace, if they were looked for already.

        Of the system, it sees what :class:`~sunwell.tools.sandbox_view.SystemView` lists, read-only; home,
        ``/tmp`` and ``/var/tmp`` are empty. The workspace is writable, but its ``.git``, the code of this
        process and what other programs run by themselves are read-only, and its ``.sunwell`` and secret files
        are empty, see :mod:`~sunwell.tools.protected`. There is no network unless it is allowed, no Unix
        socket of another program can be reached, other processes are invisible, and all capabilities are
        dropped, also for root. With *call_filter*, the kernel's key rings are closed.
        """
        line = [self.program, "--unshare-all", "--unshare-user"]
        if self.network:
            line.append("--share-net")
        if self.disables_namespaces:
            line.append("--disable-userns")
        line += ["--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        if call_filter is not None:
            line += ["--seccomp", str(call_filter)]
        view = self.view or SystemView.of(root, environ, network=self.network)
        # Root is mapped to root, so that it keeps owning its files. Without capabilities it still owns
        # the files in /proc/sys, where core_pattern names a program that the host runs.
        line += view.arguments(sized=self.limits_sizes)
        line += ["--bind", str(root), str(root), "--remount-ro", "/"]
        # Outer folders come first. A writable mount in a read-only one would open it again.
        closed = [path for path in self.closed if not any(one in self.closed for one in path.parents)]
        there = [path for path in self.sockets if path.parent.is_dir() and _is_real(str(path.parent))]
        inside = [path for path in there if not any(map(path.is_relative_to, closed))]
        for parent in _folders_between(root, (*closed, *inside)):
            # A folder that contains a mount can be renamed, a mounted folder cannot.
            line += ["--bind", str(parent), str(parent)]
        for path in closed:
            line += ["--ro-bind", str(path), str(path)]
        allowed = GlobSet(self.allow_write)
        found = guarded_in(root).values() if guarded is None else guarded
        for form, path in mounts_for(found, root, allowed.takes, any_allowed=bool(self.allow_write)):
            if form == "empty folder":
                line += ["--tmpfs", str(path)]
            elif form == "empty file":
                line += ["--ro-bind", "/dev/null", str(path)]
            elif path not in self.closed:
                line += ["--ro-bind-try", str(path), str(path)]
        for socket in self._open_sockets(root, view):
            line += ["--ro-bind", "/dev/null", socket]
        return (*line, "--setenv", "TMPDIR", "/tmp", "--chdir", str(root), "--", *command)

    def _open_sockets(self, root: Path, view: SystemView) -> Iterator[str]:
        """Yield the sockets that the command could connect to: a read-only mount does not prevent it."""
        found = {os.fspath(path) for path in self.sockets}
        own = os.fspath(root / ".sunwell")  # it is empty already
        for path in sorted(found.union(map(os.path.realpath, listening_sockets()))):
            is_there = view.shows(path) or Path(path).is_relative_to(root)
            # bwrap would create what is gone, also behind a link that a command left.
            if is_there and not path.startswith(f"{own}/") and is_socket(path) and _is_real(path):
                yield path

    def why_broken(self, root: Path, environ: Mapping[str, str]) -> str:
        """Return why commands cannot run in this sandbox in the workspace *root*; empty if they can.

        A test command is run. It also checks that all capabilities are dropped.
        """
        probe = ("/bin/sh", "-c", _PROBE_SCRIPT)
        try:
            with opened_filter() as file:
                done = _quietly(self.wrapped(probe, root, environ, file), environ, (file,))
        except subprocess.TimeoutExpired:
            return f"a test command did not end within {_PROBE_SECONDS:g} seconds"
        except OSError as error:
            return f"it cannot be started: {error.strerror or error}"
        if done.returncode == 0:
            return ""
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        if not said:
            return f"a test command ended with exit code {done.returncode}"
        return said[-1].removeprefix("bwrap: ")


def require_sandbox(
    root: Path, environ: Mapping[str, str], programs: Iterable[str] = PROGRAMS, *, network: bool = False
) -> Bubblewrap:
    """Return a sandbox that works in the workspace *root*, for commands that are run with *environ*.

    *network*: whether they may use the network.
    Raises :exc:`~sunwell.errors.ConfigurationError` if there is none; it says why, and what to do.
    """
    if root == Path(root.anchor):
        raise ConfigurationError(
            "the workspace is the root of the file system, which no sandbox can protect: use another folder"
        )
    found = [path for path in map(Path, programs) if path.exists()]
    program = next((path for one in found if (path := trusted_program(one, root))), None)
    if program is None:
        raise ConfigurationError(_missing(found, root))
    git = [path for path in (root / ".git",) if path.exists() and not path.is_symlink()]
    there, missing = own_folders_in(root, environ)
    # Running a program that says nothing shows what is wrong with it.
    options = _said_by(program, "--help", environ) or "--disable-userns"
    sandbox = Bubblewrap(
        str(program),
        disables_namespaces="--disable-userns" in options and not program.stat().st_mode & stat.S_ISUID,
        closed=(*git, *there),
        missing=missing,
        view=SystemView.of(root, environ, network=network),
        network=network,
        limits_sizes="--size" in options,
    )
    why = sandbox.why_broken(root, environ)
    if why:
        raise ConfigurationError(
            f"commands need a sandbox, but {program} does not work here ({why}); containers and some systems "
            f"forbid namespaces: allow unprivileged user namespaces, {_OFF}"
        )
    return sandbox


def sandbox_name(root: Path, environ: Mapping[str, str]) -> str:
    """Return the program of the sandbox for the workspace *root* and its version, as it says itself."""
    program = next((path for one in PROGRAMS if (path := trusted_program(Path(one), root))), None)
    said = "" if program is None else _said_by(program, "--version", environ)
    return "".join(said.splitlines()[:1])[:_LONGEST_NAME] or "bubblewrap"


def trusted_program(path: Path, root: Path) -> Path | None:
    """Return *path* with links resolved if only root and this user can replace it.

    ``None`` if it is not a program, is in the workspace *root*, or if another user can write to it or to
    one of its parent folders.
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
    if stat.S_ISLNK(status.st_mode):  # its mode is meaningless, and its folder is checked, too
        return True
    # In a sticky folder (/nix/store) others can add files, but neither remove nor replace ours.
    is_sticky = stat.S_ISDIR(status.st_mode) and bool(status.st_mode & stat.S_ISVTX)
    return is_sticky or not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _said_by(program: Path, option: str, environ: Mapping[str, str]) -> str:
    try:
        return _quietly((str(program), option), environ).stdout.decode("utf-8", "replace")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _folders_between(root: Path, paths: Iterable[Path]) -> list[Path]:
    """Return the folders between *root* and each of *paths*, outer ones first."""
    between = {root / parent for path in paths for parent in path.relative_to(root).parents[:-1]}
    return sorted(between, key=lambda path: len(path.parts))


def _is_real(path: str) -> bool:
    return os.path.realpath(path) == path


def _quietly(
    line: tuple[str, ...], environ: Mapping[str, str], files: tuple[int, ...] = ()
) -> "subprocess.CompletedProcess[bytes]":
    return subprocess.run(
        line,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        env=dict(environ),
        cwd="/",
        pass_fds=files,
        timeout=_PROBE_SECONDS,
        check=False,
    )


def _unmade(path: Path, reason: str) -> str:
    return (
        f"{path} is on PATH or sys.path and must be read-only for commands, but it cannot be created "
        f"({reason}): create the folder, remove it from PATH or PYTHONPATH, {_OFF}"
    )


def _missing(found: list[Path], root: Path) -> str:
    if sys.platform != "linux":
        return f"commands need a sandbox, but there is none for this system: leave --allow-shell out, {_OFF}"
    if found:
        return (
            f"commands need a sandbox, but {found[0]} is not trusted: it is in the workspace, not a "
            "program, or users other than root and you can write to it or to a parent folder: "
            f"reinstall bubblewrap, {_OFF}"
        )
    return (
        f"commands need a sandbox, but bubblewrap is not installed: install it (the program is bwrap), {_OFF}"
    )
