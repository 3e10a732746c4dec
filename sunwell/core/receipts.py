"""What the harness itself saw a piece of work do, beside which its own words can be held."""

import attrs

from sunwell.core.message import FileChange


@attrs.frozen
class CommandRun:
    """A command that a tool ran. ``exit_code`` is ``None`` where it did not run to its end."""

    command: str
    exit_code: int | None


@attrs.frozen
class Conflict:
    """Two workers of one run wanted the same file to be different things.

    ``first`` had changed or read the file, ``second`` came later; both are task ids. Both were told.
    """

    path: str
    first: str
    second: str
    what: str
    """One sentence: what the second wanted, and what came of it."""


@attrs.frozen
class Receipts:
    """What the harness recorded. A claim without its receipt here is only a claim."""

    files: tuple[FileChange, ...] = ()
    """Files that differ from before, each once, with the hashes before and after."""
    commands: tuple[CommandRun, ...] = ()
    """Commands in the order in which they ran."""
    tools_called: tuple[tuple[str, int], ...] = ()
    """Names of tools and how often each was called."""
