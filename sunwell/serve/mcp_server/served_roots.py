"""The folders that a server works in: a client names one of them, and paths inside it."""

import glob
from collections.abc import Iterable, Sequence
from pathlib import Path

import attrs

from sunwell.errors import ConfigurationError, ToolError
from sunwell.tools.wording import quoted
from sunwell.tools.workspace import Workspace

_MOST_FILES = 10_000


@attrs.frozen
class ServedRoot:
    """A folder in which runs may be started."""

    name: str
    """How clients call it: the folder's own name, with a number if two have the same."""
    path: Path
    called: str = "root"
    """What it is in sentences."""

    def require(self) -> Path:
        """Return the folder. Raises :exc:`~sunwell.errors.ConfigurationError` if it is another one by now."""
        if not self.path.is_dir() or self.path.resolve() != self.path:
            raise ConfigurationError(
                f"the {self.called} {quoted(self.name)} is not the folder any more that it was at the start"
            )
        return self.path

    def places(self, names: Sequence[str]) -> dict[str, str]:
        """Return the absolute paths of files, folders and globs that a client names, by these names.

        Raises :exc:`~sunwell.errors.ConfigurationError` for one that leads out of the root, through a link
        too, that does not exist, or that is closed to tools; nothing is opened.
        """
        root = self.require()
        workspace, found = Workspace(root), dict[str, str]()
        for name in names:
            if name in found:
                raise ConfigurationError(f"{quoted(name)} is named twice: keep one")
            found[name] = self._place(workspace, root, name)
        return found

    def _place(self, workspace: Workspace, root: Path, name: str) -> str:
        if not name.strip() or "\0" in name:
            raise ConfigurationError(f"a path is empty: name a file, a folder or a glob in the {self.called}")
        given = Path(name)
        if given.is_absolute() or name.startswith("~") or ".." in given.parts:
            raise ConfigurationError(
                f"{quoted(name)} is not a path inside the {self.called}: give one relative to it, without .."
            )
        if not glob.has_magic(name) or (root / given).exists():
            return str(root / self._located(workspace, name))
        self._require_inside(root, name)
        return f"{glob.escape(str(root))}/{name}"

    def _require_inside(self, root: Path, pattern: str) -> None:
        """Raise :exc:`~sunwell.errors.ConfigurationError` unless all that *pattern* fits is in the root.

        Files that are closed to tools are left out by whoever opens them.
        """
        if pattern.count("**") > 1:
            raise ConfigurationError(f"{quoted(pattern)} has ** more than once: once is enough")
        count = 0
        for path in glob.iglob(pattern, root_dir=root, recursive=True):  # noqa: PTH207 - as it is opened later
            count += 1
            if count > _MOST_FILES:
                raise ConfigurationError(f"{quoted(pattern)} fits more than {_MOST_FILES:,} files")
            if not (root / path).resolve().is_relative_to(root):
                raise ConfigurationError(
                    f"{quoted(pattern)} fits {quoted(path)}, outside of the {self.called}"
                )
        if not count:
            raise ConfigurationError(f"no file of the {self.called} fits {quoted(pattern)}")

    def _located(self, workspace: Workspace, path: str) -> str:
        try:
            located = workspace.locate(path)
            if not workspace.exists(path):
                raise ConfigurationError(f"there is no {quoted(path)} in the {self.called}")
        except ToolError as error:
            raise ConfigurationError(f"{quoted(path)} cannot be used: {error.sentence}") from None
        return located


@attrs.frozen
class ServedRoots:
    """All folders of a server, the first being the one that is meant if none is named."""

    roots: tuple[ServedRoot, ...]

    @classmethod
    def of(
        cls, folders: Iterable[str | Path], place: Path | None = None, *, called: str = "root"
    ) -> "ServedRoots":
        """Return the roots for *folders*, of which relative ones are in *place*, with their links resolved.

        *called* is what each is in sentences.

        Raises :exc:`~sunwell.errors.ConfigurationError` for one that is no folder, or is named twice.
        """
        found: list[ServedRoot] = []
        for folder in folders:
            try:
                path = (place or Path()).joinpath(Path(folder).expanduser()).resolve()
                is_folder = path.is_dir()
            except (OSError, RuntimeError, ValueError):  # a loop of links, ~ of nobody, a zero character
                is_folder = False
            if not is_folder:
                raise ConfigurationError(f"the {called} {folder} is not a folder: name an existing one")
            if any(one.path == path for one in found):
                raise ConfigurationError(f"the {called} {folder} is named twice: keep one")
            found.append(
                ServedRoot(_free_name(path.name or "root", [one.name for one in found]), path, called)
            )
        return cls(tuple(found))

    def named(self, name: str) -> ServedRoot:
        """Return the root called *name*, or at this path; the first if *name* is empty.

        Raises :exc:`~sunwell.errors.ConfigurationError` for any other.
        """
        if not name:
            return self.roots[0]
        for root in self.roots:
            if name in (root.name, str(root.path)):
                return root
        known = ", ".join(quoted(root.name) for root in self.roots)
        raise ConfigurationError(f"this server has no root {quoted(name)}; it has: {known}")


def _free_name(name: str, taken: Sequence[str]) -> str:
    number, free = 2, name
    while free in taken:
        free, number = f"{name}-{number}", number + 1
    return free
