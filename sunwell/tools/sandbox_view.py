"""What a command in the sandbox sees of the file system: an allow-list, made once for a run."""

import os
import pwd
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

import attrs

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/libx32",
    "/nix/store",
    "/gnu/store",
)
"""Folders that only programs, their libraries and their data are in."""
_EMPTY = ("/tmp", "/var/tmp")
_SETTINGS = (
    *("passwd", "group", "nsswitch.conf", "hosts", "hostname", "protocols", "services", "mime.types"),
    *("localtime", "timezone", "locale.conf", "os-release", "alternatives"),
    *("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "crypto-policies", "ssl/certs", "ssl/cert.pem"),
    *("ssl/openssl.cnf", "pki/tls/certs", "pki/tls/cert.pem", "pki/tls/openssl.cnf"),
    *("pki/ca-trust/extracted", "ca-certificates/extracted", "static", "fonts", "texmf", "perl", "python3.*"),
    *("java-*", "ImageMagick-*", "dictionaries-common", "openmpi", "OpenCL"),
)
"""What programs read in ``/etc``. No keys, no password hashes, nothing that may hold a token.
``static`` leads to the world-readable store that NixOS has its settings in."""
_NETWORK_SETTINGS = ("resolv.conf", "host.conf", "gai.conf")
_NEVER_SHOWN = ("/etc", "/dev", "/proc", "/sys", "/run", "/home", "/root", "/var", *_EMPTY)
"""Folders that are never shown as a whole, nor is a folder around them, even if they are on ``PATH``."""
_MADE = ("/dev", "/proc")
"""What the sandbox has of its own. Only the basic devices are in it, and only its own processes."""
_INTERPRETERS = ("python3", "python", "node", "ruby", "perl", "java", "go")
"""Programs that need the installation they are part of."""
_OF_AN_ENVIRONMENT = {
    *("bin", "etc", "include", "lib", "lib64", "man", "share", "src"),
    *("pyvenv.cfg", ".gitignore", "CACHEDIR.TAG", ".lock", ".project"),
}
"""What is at the top of a virtual environment; with anything else it may be somebody's folder of work."""
_OF_ALL_USERS = ("/proc/keys", "/proc/key-users")
"""What no process namespace covers in ``/proc``: names and owners of keys in the kernel."""
_MOST_LINKS = 10
_MOST_BYTES = 1 << 30
"""Size of each empty folder: what is written there takes the machine's memory."""


@attrs.frozen
class SystemView:
    """The part of the file system that a command sees besides its workspace. All of it is read-only.

    It is computed before the first command, and only of places outside the workspace: a command cannot
    change what the next one sees.
    """

    folders: tuple[str, ...] = ()
    """Folders that are shown, and files of ``/etc``; absolute, links resolved, outside the workspace."""
    empty: tuple[str, ...] = ()
    """Folders that are empty and writable, and forgotten with the command."""
    links: tuple[tuple[str, str], ...] = ()
    """Other names, each after the place that it leads to."""

    @classmethod
    def of(cls, root: Path, environ: Mapping[str, str], *, network: bool = False) -> "SystemView":
        """Return what a command in the workspace *root* needs that is run with *environ*."""
        homes = _homes(environ)
        base = tuple(path for path in _SYSTEM if Path(path).is_dir() and not Path(path).is_symlink())
        empty = [os.path.realpath(path) for path in _EMPTY]
        empty += [home for home in homes if _can_be_emptied(home, base)]
        view = cls(base, tuple(dict.fromkeys(empty)), tuple(_links_at_the_top()))
        never = {*_NEVER_SHOWN, *homes, str(root)}
        named = []
        for name in (*_needed(root, environ, homes), *_EMPTY, environ.get("HOME", "")):
            real = os.path.realpath(name)
            if not name.startswith("/") or _is_in(name, str(root)) or _is_in(real, str(root)):
                continue
            if real not in view.empty:
                is_closed = any(_is_in(one, real) for one in never) or any(_is_in(real, one) for one in _MADE)
                if is_closed or not _is_folder(real):
                    continue
                if not view.shows(real):
                    view = attrs.evolve(view, folders=(*view.folders, real))
            named.append((real, os.path.normpath(name)))
        view = view._with_settings((*_SETTINGS, *(_NETWORK_SETTINGS if network else ())))
        for real, name in sorted(named, key=lambda one: len(one[1])):
            view = view._with_link(real, name)
        return view

    def arguments(self, *, sized: bool) -> list[str]:
        """Return the options of ``bwrap`` that make this view; *sized* if it can limit the empty folders."""
        line = []
        outer = [path for path in self.folders if not self._is_within_another(path)]
        inner = [path for path in outer if any(_is_in(path, one) for one in self.empty)]
        for path in outer:
            line += [] if path in inner else ["--ro-bind-try", path, path]
        line += ["--proc", "/proc"]
        for path in _OF_ALL_USERS:
            line += ["--ro-bind", "/dev/null", path] if Path(path).exists() else []
        line += ["--remount-ro", "/proc", "--dev", "/dev"]
        for path in self.empty:
            line += [*(("--size", str(_MOST_BYTES)) if sized else ()), "--tmpfs", path]
        for path in inner:
            line += ["--ro-bind-try", path, path]
        for target, name in self.links:
            line += ["--symlink", target, name]
        return line

    def shows(self, path: str) -> bool:
        """Whether *path*, absolute and without links, is there for a command as it is for others."""
        mounts = (*self.folders, *self.empty, *_MADE)
        around = max((one for one in mounts if _is_in(path, one)), key=len, default="")
        return path == around if around in self.empty else bool(around)

    def holds(self, path: str) -> bool:
        """Whether *path* is shown, or is a folder on the way to something that is."""
        return self.shows(path) or any(_is_in(one, path) for one in (*self.folders, *self.empty, *_MADE))

    def _is_within_another(self, path: str) -> bool:
        """Whether another of the folders shows *path*, too, with no empty one between them."""
        around = max((one for one in self.empty if _is_in(path, one)), key=len, default="")
        return any(_is_in(path, one) and one != path and _is_in(one, around) for one in self.folders)

    def _with_settings(self, names: Iterable[str]) -> "SystemView":
        folders, links = list(self.folders), list(self.links)
        for path in _found_settings(names):
            real = os.path.realpath(path)
            if real != path and self.shows(real):
                links.append((real, path))
            else:
                folders.append(path)
        return attrs.evolve(self, folders=tuple(folders), links=tuple(links))

    def _with_link(self, real: str, name: str) -> "SystemView":
        """Return the view in which *name* leads to *real*, too, if it does not yet."""
        known = [link for _, link in self.links]
        if real == name or self.shows(name) or any(_is_in(name, one) for one in known):
            return self
        if any(_is_in(one, name) for one in (*self.folders, *self.empty, *known)):
            return self  # a folder that holds something else of the view
        return attrs.evolve(self, links=(*self.links, (real, name)))


def unseen_paths(paths: Iterable[str], root: Path, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return those of *paths*, absolute ones that exist, that a command in the folder *root* cannot see."""
    view = SystemView.of(root, environ)
    found = []
    for path in paths:
        real = os.path.realpath(path)
        if Path(real).exists() and not _is_in(real, str(root)) and not view.holds(real):
            found.append(path)
    return tuple(found)


def _is_in(path: str, folder: str) -> bool:
    """Whether *path* is *folder* or below it."""
    return path == folder or path.startswith(f"{folder.rstrip('/')}/")


def _is_folder(path: str) -> bool:
    try:
        return Path(path).is_dir() and os.access(path, os.X_OK)
    except OSError:  # it is in a folder that this user may not look at
        return False


def _homes(environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return the home folders of this user, which need not exist."""
    folders = [environ.get("HOME", "")]
    with suppress(KeyError):  # this user has no passwd entry
        folders.append(pwd.getpwuid(os.getuid()).pw_dir)  # sudo may have left another HOME
    real = (os.path.realpath(folder) for folder in folders if folder.startswith("/"))
    return tuple(path for path in dict.fromkeys(real) if path != "/")


def _can_be_emptied(home: str, system: Iterable[str]) -> bool:
    """Whether *home* is a person's: accounts of services have folders such as ``/usr/sbin`` and ``/dev``."""
    if any(_is_in(one, home) for one in (*system, *_MADE)) or any(_is_in(home, one) for one in _MADE):
        return False
    with suppress(OSError):
        return not any(_is_in(home, one) for one in system) or Path(home).stat().st_uid == os.getuid() != 0
    return True


def _links_at_the_top() -> Iterator[tuple[str, str]]:
    """Yield the links in ``/``, such as ``/bin`` where it is one: names alone give nothing away."""
    with suppress(OSError), os.scandir("/") as items:
        for item in sorted(items, key=lambda one: one.name):
            if item.is_symlink():
                yield str(Path(item.path).readlink()), item.path


def _found_settings(names: Iterable[str]) -> Iterator[str]:
    try:
        there = [path.name for path in Path("/etc").iterdir()]
    except OSError:
        return
    for name in names:
        found = [one for one in there if fnmatchcase(one, name)] if "*" in name else [name]
        for one in sorted(found):
            path = Path("/etc") / one
            if path.exists():
                yield str(path)


def _needed(root: Path, environ: Mapping[str, str], homes: tuple[str, ...]) -> Iterator[str]:
    """Yield the folders that programs need, as they are named.

    These are the folders of ``PATH``, and the installations that they, the virtual environment in use, this
    interpreter and the virtual environments of the workspace belong to. An interpreter does not start
    without its installation, and a virtual environment is a link to one.
    """
    path = [entry for entry in environ.get("PATH", "").split(os.pathsep) if entry.startswith("/")]
    yield from path
    yield "/run/current-system"  # where the system's own programs are on NixOS
    used = [environ.get("VIRTUAL_ENV", "") + "/bin", str(Path(sys.executable).parent)]
    folders = [*path, *(folder for folder in used if folder.startswith("/") and folder != "/bin")]
    yield from _installations([*folders, *_environments_in(root)], root, homes)
    yield from _packages(folders, root)
    yield from _work_tree_folders(root)


def _environments_in(root: Path) -> Iterator[str]:
    """Yield the folders of programs of the virtual environments at the top of the workspace."""
    with suppress(OSError), os.scandir(root) as items:
        for item in items:
            if Path(item.path, "pyvenv.cfg").is_file():
                yield f"{item.path}/bin"


def _installations(folders: Iterable[str], root: Path, homes: tuple[str, ...]) -> Iterator[str]:
    """Yield the installations that the programs in *folders* belong to, under each name that leads there.

    A link in the workspace may be anybody's work: it opens only what certainly is an installation of Python,
    or a virtual environment.
    """
    waiting = [
        (way, _is_in(folder, str(root))) for folder in folders for way in (folder, os.path.realpath(folder))
    ]
    seen: set[tuple[str, bool]] = set()
    while waiting:
        folder, is_foreign = waiting.pop(0)
        is_foreign = is_foreign or _is_in(folder, str(root)) or _is_in(os.path.realpath(folder), str(root))
        if (folder, is_foreign) in seen:
            continue
        seen.add((folder, is_foreign))
        place = Path(folder).parent
        if Path(folder).name in ("bin", "shims"):
            is_one = _is_python(place) if is_foreign else _is_installation(place, homes)
            if is_one:
                yield str(place)
        for program in _INTERPRETERS:
            waiting += [(one, is_foreign) for one in _folders_of_links(Path(folder) / program)]


def _folders_of_links(program: Path) -> Iterator[str]:
    """Yield the folders that *program* is linked to, each as it is named and as it really is."""
    for _ in range(_MOST_LINKS):
        try:
            program = Path(os.path.normpath(program.parent / program.readlink()))
        except OSError:  # it is no link, is not there, or may not be looked at
            return
        yield str(program.parent)
        yield os.path.realpath(program.parent)


def _is_installation(place: Path, homes: tuple[str, ...]) -> bool:
    """Whether *place* holds programs and their libraries, and nothing of the user's own."""
    is_own = place.name == ".local"  # it looks like an installation, and holds keyrings and histories, too
    with suppress(OSError):  # what this user may not look at is not shown
        is_manager = (place / "shims").is_dir() and (place / "libexec").is_dir()
        is_manager = is_manager or (place / "Cellar").is_dir()
        has_interpreter = any((place / "bin" / program).exists() for program in _INTERPRETERS)
        is_complete = (place / "lib").is_dir() and has_interpreter
        return (place / "pyvenv.cfg").is_file() or is_manager or (is_complete and not is_own)
    return False


def _is_python(place: Path) -> bool:
    """Whether *place* is an installation of Python with its standard library, or an environment of one."""
    with suppress(OSError):
        if any(path.is_file() for path in place.glob("lib*/python3*/os.py")):
            return True
        is_environment = (place / "pyvenv.cfg").is_file() and any(place.glob("lib*/python3*/site-packages"))
        return is_environment and {path.name for path in place.iterdir()} <= _OF_AN_ENVIRONMENT
    return False


def _packages(folders: Iterable[str], root: Path) -> Iterator[str]:
    """Yield the packages in ``/opt`` that *folders* belong to, or that programs in them are linked to."""
    for folder in dict.fromkeys(folders):
        ways = [folder, os.path.realpath(folder)]
        if any(_is_in(way, str(root)) for way in ways):
            continue  # a link there may be anybody's work
        with suppress(OSError), os.scandir(folder) as items:
            links = [Path(item.path) for item in items if item.is_symlink()]
            ways += [os.path.normpath(link.parent / link.readlink()) for link in links]
        for way in ways:
            if way.startswith("/opt/") and way.count("/") > 2:
                yield "/opt/" + way.split("/")[2]


def _work_tree_folders(root: Path) -> Iterator[str]:
    """Yield the repository of a git work tree: ``.git`` is a file there that names it.

    The file may be anybody's work, so the repository must name the work tree, too.
    """
    pointer = root / ".git"
    with suppress(OSError, ValueError):
        if pointer.is_symlink() or not pointer.is_file():
            return
        named = pointer.read_text("utf-8").removeprefix("gitdir:").strip()
        own = Path(os.path.realpath(root / named))
        common = own.parent.parent
        names_it = own.parent.name == "worktrees" and (own / "gitdir").read_text("utf-8").strip()
        if names_it == str(pointer) and all((common / one).exists() for one in ("HEAD", "objects", "refs")):
            yield str(common)
