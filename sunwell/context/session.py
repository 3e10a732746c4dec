"""What a run is about: a folder, a goal and the caller's choices."""

import os
from pathlib import Path
from typing import Self

import attrs

from sunwell.context.options import RunOptions
from sunwell.core.real_paths import real_path
from sunwell.errors import ConfigurationError


def _path(value: str | os.PathLike[str]) -> Path:
    return value if isinstance(value, Path) else Path(value)


@attrs.frozen
class SessionContext:
    """The place, the goal and the options of one run. Made by :meth:`build`, which checks them."""

    workspace: Path = attrs.field(converter=_path)
    goal: str
    options: RunOptions = RunOptions()

    @classmethod
    def build(cls, workspace: str | os.PathLike[str], goal: str, options: RunOptions | None = None) -> Self:
        """Return a session for *goal* in the folder *workspace*.

        Raises :exc:`~sunwell.errors.ConfigurationError` where the folder is none or the goal is empty,
        and :exc:`TypeError` for a goal or options of another type.
        """
        if not isinstance(goal, str):
            raise TypeError(f"the goal is a sentence that says what is to be done, got {goal!r}")
        if options is not None and not isinstance(options, RunOptions):
            raise TypeError(f"options are RunOptions(...), got {options!r}")
        folder = real_path(workspace)
        if not folder.is_dir():
            kind = "is a file" if folder.exists() else "does not exist"
            named = Path(os.path.expanduser(workspace))  # noqa: PTH111 - an unknown user is no error
            raise ConfigurationError(f"the workspace {named} {kind}: name an existing folder")
        if not goal.strip():
            raise ConfigurationError("the task is empty: say in a sentence what is to be done")
        return cls(folder, goal, options or RunOptions())
