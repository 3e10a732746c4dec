"""What to say of a tool's name that is none."""

import difflib

from sunwell.tools.wording import on_one_line

BUILT_IN = frozenset(
    {"list_files", "read_file", "search_files", "write_file", "edit_file", "execute_python", "run_command"}
)
"""The tools that every workspace has, the last two where they are allowed."""


def unknown_tool(name: str, known: tuple[str, ...]) -> str:
    """Return a sentence with the tools that there are, the nearest first."""
    shown = on_one_line(name)[:100]
    if not known:
        return f"there is no tool {shown!r}, and no other tool either"
    nearest = sorted(known, key=lambda one: -difflib.SequenceMatcher(None, name[:100], one).ratio())
    return f"there is no tool {shown!r}; there are: {', '.join(nearest)}"
