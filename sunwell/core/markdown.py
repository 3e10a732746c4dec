"""Markdown whose parts cannot be closed, opened or forged by the text inside them."""

import re
from collections.abc import Iterable

_BLOCK_START = re.compile(r"#{1,6}(?:\s|$)|`{3}|~{3}")
_CONTINUATION = " " * 6
# Four columns past the text of "- ": from there on nothing starts a heading, a fence or a list.


def fenced(text: str) -> str:
    """Return *text* in a fence longer than any run of backticks inside it."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}\n{text}\n{fence}"


def block_quote(text: str) -> str:
    """Return *text* as a quotation: no line of it stands outside."""
    return "\n".join(f"> {line}".rstrip() for line in text.splitlines())


def bullet_list(items: Iterable[str]) -> str:
    """Return *items* as a list, each as :func:`list_item`."""
    return "\n".join([list_item(item) for item in items])


def list_item(text: str) -> str:
    """Return *text* as one list item: none of its lines is a heading, a fence or another item."""
    first, *rest = text.strip().splitlines() or [""]
    first = first.strip()
    if _BLOCK_START.match(first):
        first = "\\" + first
    return "\n".join([f"- {first}", *(f"{_CONTINUATION}{line}".rstrip() for line in rest)])


def one_line(text: str) -> str:
    """Return *text* with every run of white space, line breaks included, as one space."""
    return " ".join(text.split())
