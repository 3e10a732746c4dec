"""Finds the JSON object in a model's answer, and takes of a broken one only what is whole."""

import json
import re
from collections.abc import Iterator
from typing import Any

import attrs

from sunwell.errors import LensError

MOST_BYTES = 256_000
"""An answer longer than this is no lens, whatever is in it."""
_MOST_STARTS = 32  # braces that are tried as the beginning of the object
_KEY = re.compile(r"\{\s*[\"']")
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*("?)|[\[\]{}]', re.DOTALL)


@attrs.frozen
class Found:
    """A JSON value and how it was come by."""

    value: Any
    mended: bool = False
    """Whether the text was no JSON as it stood."""


def candidates(text: str, *, cut: bool = False) -> Iterator[Found]:
    """Yield what may be the lens in *text*, the soundest first. *cut*: its end is known to be missing.

    Raises :exc:`~sunwell.errors.LensError` where the text is too long to be looked at.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise LensError(f"the answer is {size:,} bytes long, far more than any lens")
    starts = [match.start() for match in _KEY.finditer(text)][:_MOST_STARTS]
    decoder = json.JSONDecoder(strict=False)
    for start in _unique([_first_character(text), *starts]):
        try:
            yield Found(decoder.raw_decode(text, start)[0])
        except (ValueError, RecursionError):
            continue
    if starts:
        broken, end = text[starts[0] :], text.rfind("}") + 1
        closed = not cut and end > starts[0] and not text[end:].strip(" \r\n`")
        yield from _mended(text[starts[0] : end] if closed else whole_part(broken))


def whole_part(text: str) -> str:
    """Return the JSON *text* without what is cut off at its end, and its brackets closed.

    Only strings that are closed stay. Text after the end of the first value is left out, too.
    """
    closers: list[str] = []
    good, tail = 0, ""
    for match in _STRUCTURE.finditer(text):
        token = match.group()
        if token[0] == '"':
            if not match.group(1):
                break
            if closers and closers[-1] == "]":
                good, tail = match.end(), "".join(reversed(closers))
            continue
        if token in "[{":
            closers.append("]" if token == "[" else "}")
        elif closers and closers.pop() == token:
            good, tail = match.end(), "".join(reversed(closers))
            if not closers:
                return text[:good]
        else:
            break
    return text[:good] + tail


def _mended(text: str) -> Iterator[Found]:
    try:
        yield Found(json.loads(text, strict=False), mended=True)
        return
    except (ValueError, RecursionError):
        pass
    from json_repair import loads

    try:
        yield Found(loads(text, skip_json_loads=True), mended=True)
    except (ValueError, RecursionError, IndexError):
        return


def _first_character(text: str) -> int:
    return len(text) - len(text.lstrip())


def _unique(numbers: list[int]) -> list[int]:
    return list(dict.fromkeys(numbers))
