"""Turns a smart model's answer into a lens, taking only what is honestly there."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import attrs

from sunwell.agent.lens.lens_request import RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
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


Tell = Callable[[str], None]

_ITEM_BYTES = {"examples": 6_000, "target_files": 1_024}
_RULE_BYTES = 2_000
_MOST_ITEMS = 40
_SCOPE_CHARACTERS = 200
_GIVEN_UP_FIRST = ("examples", "patterns", "heuristics", "anti_patterns", "constraints")
_BYTES_PER_TOKEN = 4


def _say_nothing(sentence: str) -> None:
    """Keep the notes to ourselves."""


def parse_lens(
    text: str,
    *,
    max_tokens: int = 1500,
    cut: bool = False,
    scope: str = "",
    tell: Tell = _say_nothing,
) -> EphemeralLens:
    """Return the lens in *text*, a model's answer.

    Prose and fences around the JSON are passed over. Of JSON that is cut or broken only whole
    strings are taken that stand in the text as such; *cut* says that its end is known to be
    missing. A string in place of a list is one item, an object of strings is one item of several
    lines, numbers and what is nested deeper are left out. Items that repeat or are too long are
    left out, and so is what goes beyond *max_tokens* of :meth:`EphemeralLens.to_context` at four
    bytes to a token, from the ends of the lists: examples first, then patterns, heuristics,
    anti-patterns and constraints. *tell* gets a sentence on what was left out. *scope* is taken
    where the answer names none.

    Raises :exc:`~sunwell.errors.LensError` where no guidance is left: a lens is never empty.
    """
    fields, found = _lens_fields(text, cut)
    reading = _Reading(text if found.mended else None, tell)
    named = fields.get("task_scope")
    lens = EphemeralLens(
        heuristics=reading.items("heuristics", fields.get("heuristics")),
        patterns=reading.items("patterns", fields.get("patterns")),
        anti_patterns=reading.items("anti_patterns", fields.get("anti_patterns")),
        constraints=reading.items("constraints", fields.get("constraints")),
        examples=reading.items("examples", fields.get("examples")),
        target_files=reading.items("target_files", fields.get("target_files")),
        task_scope=_scope(named if isinstance(named, str) else "") or _scope(scope),
    )
    if lens.is_empty:
        raise LensError("the answer holds no guidance: every list in it is empty or unusable")
    return _within(lens, max_tokens, tell)


def _lens_fields(text: str, cut: bool) -> tuple[Mapping[str, Any], Found]:
    """Return the fields of the first JSON object in *text* that looks like a lens."""
    seen = False
    bare: tuple[Mapping[str, Any], Found] | None = None
    for found in candidates(text, cut=cut):
        seen = True
        for value in _openings(found.value):
            fields = {_field_name(key): item for key, item in value.items()}
            if any(fields.get(name) for name in RULE_PARTS):
                return fields, found
            if any(name in fields for name in RULE_PARTS):
                bare = fields, found
    if bare is not None:
        return bare
    if seen:
        raise LensError("the JSON in the answer has none of the parts of a lens")
    start = one_line(text)[:120]
    raise LensError(
        f"the answer holds no JSON object; it begins {start!r}" if start else "the answer is empty"
    )


def _openings(value: Any) -> Iterable[dict[str, Any]]:
    """Yield the objects that may be the lens: the value, the one in a list, the ones it wraps."""
    if isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, dict):
        yield value
        yield from (inner for inner in value.values() if isinstance(inner, dict))


def _field_name(key: str) -> str:
    """Return *key* as the lens spells it: ``antiPatterns`` and ``Anti-Patterns`` are ``anti_patterns``."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key.strip())
    return re.sub(r"[\s_-]+", "_", spaced).lower()


@attrs.frozen
class _Reading:
    """Reads the lists of one answer."""

    source: str | None
    """The text, where it had to be mended: an item must stand in it."""
    tell: Tell

    def items(self, name: str, value: Any) -> tuple[str, ...]:
        listed = value if isinstance(value, list) else [] if value is None else [value]
        kept: dict[str, str] = {}
        for at, item in enumerate(listed):
            if len(kept) == _MOST_ITEMS:
                self.tell(f"{len(listed) - at} items of {name} after the first {_MOST_ITEMS} were left out")
                break
            text = self._text(name, item)
            if text:
                kept.setdefault(" ".join(text.split()).casefold(), text)
        return tuple(kept.values())

    def _text(self, name: str, item: Any) -> str | None:
        """Return *item* as clean text, or ``None`` and say why it is left out."""
        if isinstance(item, dict) and item and all(isinstance(part, str) for part in item.values()):
            parts = [part for part in item.values() if part.strip()]
        elif isinstance(item, str):
            parts = [item]
        else:
            self.tell(f"an item of {name} was left out: it is {_kind(item)} and no text")
            return None
        if not all(self._stands_in_source(part) for part in parts):
            self.tell(f"an item of {name} was left out: it does not stand in the answer")
            return None
        text = seen_text("\n".join(parts), keep_indent=name == "examples")
        if name == "target_files" and text and not is_inside(text):
            self.tell(f"a target file was left out: {one_line(text)[:80]!r} is no path in the workspace")
            return None
        limit = _ITEM_BYTES.get(name, _RULE_BYTES)
        if len(text.encode()) > limit:
            self.tell(f"an item of {name} was left out: it is longer than {limit:,} bytes")
            return None
        return text

    def _stands_in_source(self, text: str) -> bool:
        """Whether *text* is a whole string of the answer: mending may guess where one ends."""
        if self.source is None:
            return True
        forms = {text, *(json.dumps(text, ensure_ascii=flag)[1:-1] for flag in (True, False))}
        whole = "|".join(re.escape(form) for form in sorted(forms))
        pattern = rf"""[\[,:"']\s*(?P<quote>["'])(?:{whole})(?P=quote)\s*(?:[,\]}}"']|$)"""
        return re.search(pattern, self.source) is not None


def seen_text(text: str, *, keep_indent: bool = False) -> str:
    """Return *text* without what is not seen: control and direction marks, tags, half characters."""
    lines = text.splitlines()
    shown = "\n".join("".join(c for c in line if c == "\t" or _is_seen(c)).rstrip() for line in lines)
    return shown.strip("\n") if keep_indent and shown.strip() else shown.strip()


def _is_seen(character: str) -> bool:
    if character in "\u200c\u200d":  # join emoji and letters of some scripts
        return True
    return unicodedata.category(character) not in ("Cc", "Cf", "Cs", "Co")


def is_inside(path: str) -> bool:
    """Whether *path* names something in the workspace, as far as its words tell."""
    parts = path.replace("\\", "/").split("/")
    return "\n" not in path and ".." not in parts and parts[0] != "" and ":" not in parts[0]


def _scope(text: str) -> str:
    line = one_line(seen_text(text))
    return line if len(line) <= _SCOPE_CHARACTERS else line[: _SCOPE_CHARACTERS - 1].rstrip() + "…"


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "true or false"
    kinds = {dict: "an object", list: "a list", int: "a number", float: "a number", type(None): "null"}
    return kinds.get(type(value), "something else")


def _within(lens: EphemeralLens, max_tokens: int, tell: Tell) -> EphemeralLens:
    """Return *lens* without the ends of its least important parts, so that it fits *max_tokens*."""
    dropped: dict[str, int] = {}
    while lens_tokens(lens) > max_tokens:
        name = next(part for part in _GIVEN_UP_FIRST if getattr(lens, part))
        lens = attrs.evolve(lens, **{name: getattr(lens, name)[:-1]})
        dropped[name] = dropped.get(name, 0) + 1
        if lens.is_empty:
            raise LensError(f"not even the most important item of the lens fits {max_tokens:,} tokens")
    for name, count in dropped.items():
        tell(f"{count} of the {name} were cut off to keep the lens within {max_tokens:,} tokens")
    return lens


def lens_tokens(lens: EphemeralLens) -> int:
    """Return the length of *lens* as workers read it, in tokens of four bytes, rounded up."""
    return -(-len(lens.to_context().encode()) // _BYTES_PER_TOKEN)
