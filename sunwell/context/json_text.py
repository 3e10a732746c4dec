"""JSON that people and models wrote: read strictly, found in an answer."""

import json
import re
from bisect import bisect_right
from collections.abc import Mapping
from os import PathLike
from typing import Any

from sunwell.errors import ConfigurationError
from sunwell.tools.given_files import read_given

_MOST_BYTES = 1_000_000
_FENCE = re.compile(r"(`{3,}|~{3,})[^`]*\Z")


def read_schema(given: str) -> Mapping[str, Any]:
    """Return the JSON schema that the option ``answer_schema`` gives: JSON text, or the path of a file.

    Raises :exc:`~sunwell.errors.ConfigurationError`.
    """
    is_text = given.lstrip().startswith("{")
    return json_object(given, "answer_schema") if is_text else json_object_in(given, "answer_schema")


def json_object_in(file: str | PathLike[str], what: str) -> Mapping[str, Any]:
    """Return the JSON object in *file*; *what* it is for is said in errors.

    Raises :exc:`~sunwell.errors.ConfigurationError`.
    """
    try:
        data = read_given(file, what, _MOST_BYTES)
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{what}: {file} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{what}: {file} is not UTF-8 text") from None
    if len(data) > _MOST_BYTES:
        raise ConfigurationError(f"{what}: {file} has more than {_MOST_BYTES:,} bytes")
    return json_object(text, f"{what}: {file}")


def json_object(text: str, where: str) -> Mapping[str, Any]:
    """Return the JSON object that *text* is. Raises :exc:`~sunwell.errors.ConfigurationError`."""
    try:
        found = strict_json(text)
    except ValueError as error:
        raise ConfigurationError(f"{where} is not JSON: {error}") from None
    if not isinstance(found, Mapping):
        raise ConfigurationError(f"{where} must be a JSON object")
    return found


def json_in(answer: str) -> str:
    """Return *answer*, or what its one fenced block contains if it is not JSON itself."""
    text = answer.strip()
    if text[:1] in ("{", "["):
        return text
    blocks = _fenced_blocks(text)
    return blocks[0] if len(blocks) == 1 else text


def _fenced_blocks(text: str) -> list[str]:
    """Return what stands between each fence and the next line that is the same fence alone."""
    lines = text.split("\n")
    bare = [line.rstrip(" \t") for line in lines]
    closing: dict[str, list[int]] = {}  # looked up, since a fence that is never closed must not cost a search
    for number, line in enumerate(bare):
        closing.setdefault(line, []).append(number)
    blocks, number = [], 0
    while number < len(lines):
        opened = _FENCE.match(lines[number])
        ends = closing.get(opened[1], []) if opened else []
        at = bisect_right(ends, number)
        if at < len(ends):
            blocks.append("".join(f"{line}\n" for line in lines[number + 1 : ends[at]]))
            number = ends[at]
        number += 1
    return blocks


def strict_json(text: str) -> Any:
    """Return what *text* means in JSON. Raises :exc:`ValueError`, also for ``NaN`` and for a key twice."""
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_distinct)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object has a key twice")
    return made
