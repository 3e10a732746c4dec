"""How wide the page is that standard output goes to, and lines fitted to it."""

import shutil
import sys
import textwrap

PLAIN_WIDTH = 100


def is_terminal() -> bool:
    """Return whether somebody watches standard output at a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()  # a closed one is None


def terminal_width() -> int:
    """Return the columns of the terminal that standard output is, or those of a page."""
    return shutil.get_terminal_size().columns if is_terminal() else PLAIN_WIDTH


def fitted(line: str, indent: int = 0) -> str:
    """Return *line* broken at a terminal's width; elsewhere a sentence stays one line, for programs."""
    return broken(line, terminal_width(), indent) if is_terminal() else line


def broken(line: str, width: int, indent: int = 0) -> str:
    """Return *line* broken between words at *width*, *indent* columns in from the second line on."""
    lines = textwrap.wrap(
        line,
        width,
        subsequent_indent=" " * min(indent, width // 2),
        break_long_words=False,
        break_on_hyphens=False,
        replace_whitespace=False,
    )
    return "\n".join(lines)
