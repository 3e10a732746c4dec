"""Plugins of other packages: found by entry point without an import, loaded on first use."""

import re
import sys
from collections.abc import Callable, Iterable
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Literal, NoReturn

import attrs

from sunwell.errors import PluginError

Group = Literal["sunwell.models", "sunwell.tools"]
Find = Callable[[Group], Iterable[EntryPoint]]


def installed(group: Group) -> tuple[EntryPoint, ...]:
    """Return the entry points of *group*; a package with an unreadable list counts as having none.

    A package counts only if it lies in a folder that is on the import path under its full name. What is
    found in the current folder, often a workspace, was installed by nobody.
    """
    folders = [folder for folder in sys.path if Path(folder).is_absolute()]
    points, seen = list[EntryPoint](), set[str]()
    for distribution in distributions(path=folders):
        found = _listed(distribution).select(group=group)
        if found and (name := _name(distribution)) not in seen:  # of two versions the first is imported
            seen.add(name)
            points += found
    return tuple(points)


def _name(distribution: Any) -> str:
    try:
        return re.sub(r"[-_.]+", "-", distribution.name).lower()
    except Exception:  # its own description cannot be read, so it is nobody's other version
        return f" {id(distribution)}"


def _listed(distribution: Any) -> Any:
    try:
        return distribution.entry_points
    except Exception:
        from importlib.metadata import EntryPoints

        return EntryPoints()


@attrs.define(eq=False)
class Plugins:
    """The plugins of one group that may be loaded. Nothing is imported before :meth:`load`."""

    group: Group
    allowed: tuple[str, ...] | None = None
    """Names of the plugins that may be loaded; ``None``: all installed ones."""
    _find: Find = installed
    _points: dict[str, list[EntryPoint]] | None = attrs.field(default=None, init=False)
    _values: dict[str, Any] = attrs.field(factory=dict, init=False)

    def names(self) -> tuple[str, ...]:
        """Return the names of the plugins that may be loaded, sorted."""
        return tuple(sorted(self._found()))

    def package(self, name: str) -> str:
        """Return name and version of the package that offers the plugin *name*; empty if unknown."""
        points = self._found().get(name, ())
        return " and ".join(filter(None, map(_package, points)))

    def load(self, name: str) -> Any:
        """Return what the entry point *name* leads to.

        Raises :exc:`~sunwell.errors.PluginError`, which names the plugin, if loading it raises anything,
        or if two packages offer a plugin of that name.
        """
        points = self._found()[name]
        if len({point.value for point in points}) > 1:
            self.leave_out(name, f"two packages offer it: {self.package(name) or 'their names are unknown'}")
        if name not in self._values:
            try:
                self._values[name] = points[0].load()
            except (Exception, SystemExit) as error:  # foreign code may raise anything
                self.fail(name, error)
        return self._values[name]

    def fail(self, name: str, error: BaseException) -> NoReturn:
        """Raise the error that says what the code of the plugin *name* raised."""
        self.leave_out(name, " ".join(f"{type(error).__name__}: {error}".split())[:300])

    def leave_out(self, name: str, why: str) -> NoReturn:
        """Raise the error that says why the plugin *name* is left out."""
        raise PluginError(f"the plugin {name} ({self.group}) is left out: {why}")

    def _found(self) -> dict[str, list[EntryPoint]]:
        if self._points is None:
            points: dict[str, list[EntryPoint]] = {}
            if self.allowed != ():
                for point in self._find(self.group):
                    if self.allowed is None or point.name in self.allowed:
                        points.setdefault(point.name, []).append(point)
            self._points = points
        return self._points


def _package(point: EntryPoint) -> str:
    try:
        return f"{point.dist.name} {point.dist.version}" if point.dist is not None else ""
    except Exception:  # a package whose own description cannot be read
        return ""
