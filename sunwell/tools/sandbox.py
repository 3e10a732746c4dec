"""Runs commands in a bubblewrap sandbox, and explains if that is impossible."""

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
from sunwell.tools.file_glob import GlobSet
from sunwell.tools.guarded_files import guarded_in, mounts_for
from sunwell.tools.own_code import own_folders_in

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
_INTERPRETERS = ("python3", "python", "node", "ruby", "perl", "java", "go")
"""Programs that need the installation they are part of."""
_MOST_LINKS = 10
_PROBE_SECONDS = 5.0
_PROBE_SCRIPT = """
while read -r name value; do
  case $name in
    CapInh:|CapPrm:|CapEff:|CapBnd:|CapAmb:) [ "$value" = 0000000000000000 ] || exit 81 ;;
    NoNewPrivs:) [ "$value" = 1 ] || exit 82 ;;
  esac
done < /proc/self/status
"""
_OFF = "or use --sandbox off to let commands run with all rights of your account"


@attrs.frozen
class Bubblewrap:
    """A trusted ``bwrap`` program."""

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

    def wrapped(self, command: tuple[str, ...], root: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
        """Return the full command that runs *command* in the sandbox.

        The system is read-only; ``/tmp``, ``/run`` and the home folder are empty except for the folders of
        ``PATH`` in them and the installations that programs there belong to. The workspace is writable, but
        its ``.git``, the code of this process and what other programs run by themselves are read-only, and
        its ``.sunwell`` and secret files are empty, see :mod:`~sunwell.tools.protected`.
        There is no network, other processes are
        invisible, and all capabilities are dropped, also for root.
        """
        line = [self.program, "--unshare-all", "--unshare-user"]
        if self.disables_namespaces:
            line.append("--disable-userns")
        line += ["--cap-drop", "ALL", "--die-with-parent", "--new-session"]
        # Root is mapped to root, so that it keeps owning its files. Without capabilities it still owns
        # the files in /proc/sys, where core_pattern names a program that the host runs.
        line += ["--ro-bind", "/", "/", "--proc", "/proc", "--remount-ro", "/proc", "--dev", "/dev"]
        hidden = _hidden(environ)
        for folder in hidden:
            # A read-only mount does not prevent connections to sockets in it, and those in /run belong to
            # services that would start a program outside.
            line += ["--tmpfs", folder]
        for shown in _shown_again(environ, hidden, root):
            line += ["--ro-bind-try", shown, shown]
        line += ["--bind", str(root), str(root)]
        for path in self.closed:
            for parent in reversed(path.relative_to(root).parents[:-1]):
                # A folder that contains a mount can be renamed, a mounted folder cannot.
                line += ["--bind", str(root / parent), str(root / parent)]
            line += ["--ro-bind", str(path), str(path)]
        allowed = GlobSet(self.allow_write)
        found = guarded_in(root).values()
        for form, path in mounts_for(found, root, allowed.takes, any_allowed=bool(self.allow_write)):
            if form == "empty folder":
                line += ["--tmpfs", str(path)]
            elif form == "empty file":
                line += ["--ro-bind", "/dev/null", str(path)]
            elif path not in self.closed:
                line += ["--ro-bind-try", str(path), str(path)]
        return (*line, "--setenv", "TMPDIR", "/tmp", "--chdir", str(root), "--", *command)

    def why_broken(self, root: Path, environ: Mapping[str, str]) -> str:
        """Return why commands cannot run in this sandbox in the workspace *root*; empty if they can.

        A test command is run. It also checks that all capabilities are dropped.
        """
        line = self.wrapped(("/bin/sh", "-c", _PROBE_SCRIPT), root, environ)
        try:
            done = _quietly(line, environ)
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


def require_sandbox(root: Path, environ: Mapping[str, str], programs: Iterable[str] = PROGRAMS) -> Bubblewrap:
    """Return a sandbox that works in the workspace *root*.

    Raises :exc:`~sunwell.errors.ConfigurationError` if there is none; it says why, and what to do.
    """
    if root == Path(root.anchor):
        raise ConfigurationError(
            "the workspace is the root of the file system, which no sandbox can protect: use another folder"
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
            f"commands need a sandbox, but {program} does not work here ({why}); containers and some systems "
            f"forbid namespaces: allow unprivileged user namespaces, {_OFF}"
        )
    return sandbox


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


def _hidden(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the folders that are empty in the sandbox; none of them is inside another."""
    folders = ["/tmp", "/run", "/var/run", environ.get("HOME", "")]
    with suppress(KeyError):  # this user has no passwd entry
        folders.append(pwd.getpwuid(os.getuid()).pw_dir)  # sudo may have left another HOME
    real = {os.path.realpath(folder) for folder in folders if folder.startswith("/")} - {"/"}
    return tuple(sorted(folder for folder in real if Path(folder).is_dir()))


def unseen_paths(paths: Iterable[str], root: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of *paths*, absolute ones that exist, that a command in the folder *root* cannot see."""
    hidden = _hidden(environ)
    shown = tuple(Path(one) for one in _shown_again(environ, hidden, root))
    found = []
    for path in paths:
        real = Path(os.path.realpath(path))
        is_hidden = any(real.is_relative_to(folder) for folder in hidden) and str(real) not in hidden
        if is_hidden and real.exists() and not any(real.is_relative_to(one) for one in (root, *shown)):
            found.append(path)
    return tuple(found)


def _shown_again(environ: Mapping[str, str], hidden: tuple[str, ...], root: Path) -> Iterator[str]:
    """Yield the folders in *hidden* that programs on ``PATH`` need, except those reached through *root*.

    An interpreter in the home folder (pyenv, uv, conda, nvm) does not start without its installation, and a
    virtual environment elsewhere is a link to one.
    """
    yield from _program_folders(environ, hidden, root)
    entries = [Path(entry) for entry in environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    for place in dict.fromkeys(_installations(entries)):
        is_hidden = any(str(place).startswith(f"{one}/") for one in hidden)
        ways = (place, Path(os.path.realpath(place)))
        if is_hidden and not any(way.is_relative_to(root) or root.is_relative_to(way) for way in ways):
            yield str(place)


def _installations(folders: Iterable[Path]) -> Iterator[Path]:
    """Yield the installations that the programs in *folders* belong to, under each name that leads there."""
    waiting = [way for folder in folders for way in (folder, Path(os.path.realpath(folder)))]
    seen: set[Path] = set()
    while waiting:
        folder = waiting.pop(0)
        if folder in seen:
            continue
        seen.add(folder)
        if folder.name in ("bin", "shims") and _is_installation(folder.parent):
            yield folder.parent
        for program in _INTERPRETERS:
            waiting += _folders_of_links(folder / program)


def _folders_of_links(program: Path) -> Iterator[Path]:
    """Yield the folders that *program* is linked to, each as it is named and as it really is."""
    for _ in range(_MOST_LINKS):
        try:
            program = Path(os.path.normpath(program.parent / program.readlink()))
        except OSError:  # it is no link, is not there, or may not be looked at
            return
        yield program.parent
        yield Path(os.path.realpath(program.parent))


def _is_installation(place: Path) -> bool:
    """Whether *place* holds programs and their libraries, and nothing of the user's own."""
    is_own = place.name == ".local"  # it looks like an installation, and holds keyrings and histories, too
    with suppress(OSError):  # what this user may not look at is not shown
        is_manager = (place / "shims").is_dir() and (place / "libexec").is_dir()
        has_interpreter = any((place / "bin" / program).exists() for program in _INTERPRETERS)
        is_complete = (place / "lib").is_dir() and has_interpreter
        return (place / "pyvenv.cfg").is_file() or is_manager or (is_complete and not is_own)
    return False


def _program_folders(environ: Mapping[str, str], hidden: tuple[str, ...], root: Path) -> Iterator[str]:
    for entry in (*environ.get("PATH", "").split(os.pathsep), "/run/current-system"):
        ways = (Path(entry), *Path(entry).parents)
        if entry.startswith("/") and not any(
            Path(os.path.realpath(way)).is_relative_to(root) for way in ways
        ):
            for folder in dict.fromkeys((os.path.normpath(entry), os.path.realpath(entry))):
                is_hidden = any(folder.startswith(f"{place}/") for place in hidden)
                with suppress(OSError):  # what this user may not look at is not shown
                    if is_hidden and Path(folder).is_dir():
                        yield folder


def _can_disable_namespaces(program: Path, environ: Mapping[str, str]) -> bool:
    if program.stat().st_mode & stat.S_ISUID:
        return False
    try:
        return b"--disable-userns" in _quietly((str(program), "--help"), environ).stdout
    except (OSError, subprocess.TimeoutExpired):
        return True  # then it does not work either, and running it shows why


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
