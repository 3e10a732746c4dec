"""Turns a smart model's answer into a lens, taking only what is honestly there."""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import attrs

from sunwell.agent.lens.lens_request import RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.secrets import Secrets
from sunwell.errors import LensError

MOST_BYTES = 256_000
"""An answer longer than this is no lens, whatever is in it."""
_MOST_FAILURES = 64  # braces that begin no JSON object and are passed over
_MARK = re.compile(r"\{\s*[\"']|</?think(?:ing)?>", re.IGNORECASE)
_STRUCTURE = re.compile(r'"(?:[^"\\]|\\.)*("?)|[\[\]{}]', re.DOTALL)


@attrs.frozen
class Found:
    """A JSON value and how it was come by."""

    value: Any
    mended: bool = False
    """Whether the text was no JSON as it stood."""


@attrs.define
class _Scan:
    """The JSON values of an answer in their order, without those that stand in a draft."""

    values: list[tuple[int, Any]] = attrs.field(factory=list)
    """Each with the place where it ends."""
    broken: list[int] = attrs.field(factory=list)
    """Where something begins that looks like an object and is none."""

    def clear(self) -> None:
        """Forget what was found: it stood in a draft."""
        self.values.clear()
        self.broken.clear()


def candidates(text: str, *, cut: bool = False) -> Iterator[Found]:
    """Yield what may be the lens in *text*, the likeliest first. *cut*: its end is known to be missing.

    The last object is the answer; those before it are drafts, examples or an echo of the schema. What stands
    between ``<think>`` and ``</think>`` does not count, wherever it is. An object that is cut or broken and
    stands after all others comes first, for it is the answer that the drafts led to.

    Raises :exc:`~sunwell.errors.LensError` where the text is too long to be looked at.
    """
    size = len(text.encode("utf-8", "surrogatepass"))
    if size > MOST_BYTES:
        raise LensError(f"the answer is {size:,} bytes long, far more than any lens")
    scan = _scanned(text)
    last = max((end for end, value in scan.values if _has_guidance(value)), default=0)
    late = next((start for start in scan.broken if start >= last), None)
    if late is not None and last:
        yield from _mended_from(text, late, cut=cut)
    for _, value in reversed(scan.values):
        yield Found(value)
    if scan.broken:
        yield from _mended_from(text, scan.broken[0], cut=cut)


def _scanned(text: str) -> _Scan:
    """Return the JSON values in *text*. Marks of thinking inside of a value are its own text."""
    decoder = json.JSONDecoder(strict=False, object_pairs_hook=_joined)
    scan, failures = _Scan(), 0
    at = _first_character(text)
    if not text.startswith("{", at):  # a list, or a value that is no lens at all
        at = _decoded(decoder, text, at, scan) or at
    while failures < _MOST_FAILURES and (match := _MARK.search(text, at)):
        at = match.end()
        if match.group().startswith("</"):  # some servers cut off the mark that opens
            scan.clear()
        elif match.group().startswith("<"):
            closing = re.compile(r"</think(?:ing)?>", re.IGNORECASE).search(text, at)
            at = at if closing is None else closing.end()
        else:
            end = _decoded(decoder, text, match.start(), scan)
            if end is None:
                scan.broken.append(match.start())
                failures += 1
            else:
                at = end
    return scan


def _decoded(decoder: json.JSONDecoder, text: str, start: int, scan: _Scan) -> int | None:
    """Add the value that begins at *start* to *scan* and return where it ends; ``None`` if there is none."""
    try:
        value, end = decoder.raw_decode(text, start)
    except (ValueError, RecursionError):
        return None
    scan.values.append((end, value))
    return end


def _joined(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return *pairs* as an object. Lists under one name become one list: by itself JSON keeps the last."""
    made: dict[str, Any] = {}
    for name, value in pairs:
        before = made.get(name)
        made[name] = [*before, *value] if isinstance(before, list) and isinstance(value, list) else value
    return made


def _has_guidance(value: Any) -> bool:
    return any(_guides(_fields(opening)) for opening in _openings(value))


def _guides(fields: Mapping[str, Any]) -> bool:
    return any(fields.get(name) and not _is_placeholder(fields[name]) for name in RULE_PARTS)


def _is_placeholder(value: Any) -> bool:
    """Whether *value* only says that a text belongs there, as in an example of the format."""
    if isinstance(value, str):
        return value.strip(" <>\"'").casefold() in _PLACEHOLDERS
    return isinstance(value, list) and bool(value) and all(map(_is_placeholder, value))


def _mended_from(text: str, start: int, *, cut: bool) -> Iterator[Found]:
    end = text.rfind("}") + 1
    closed = not cut and end > start and not text[end:].strip(" \r\n`")
    yield from _mended(text[start:end] if closed else whole_part(text[start:]))


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
        yield Found(json.loads(text, strict=False, object_pairs_hook=_joined), mended=True)
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


Tell = Callable[[str], None]

_ITEM_BYTES = {"examples": 6_000, "target_files": 1_024}
_RULE_BYTES = 2_000
_MOST_ITEMS = 40
_SCOPE_CHARACTERS = 200
_KNOWN = frozenset({"task_scope", *RULE_PARTS, "target_files"})
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
    also: Collection[str] = (),
) -> EphemeralLens:
    """Return the lens in *text*, a model's answer.

    Prose and fences around the JSON are passed over, and so are drafts, thinking and an echo of the
    schema: see :func:`candidates`. Of JSON that is cut or broken only whole
    strings are taken that stand in the text as such; *cut* says that its end is known to be
    missing. A string in place of a list is one item, an object of strings is one item of several
    lines, numbers and what is nested deeper are left out. Items that repeat or are too long are
    left out, and so is what goes beyond *max_tokens* of :meth:`EphemeralLens.to_context` at four
    bytes to a token, from the ends of the lists: examples first, then patterns, heuristics,
    anti-patterns and constraints. *tell* gets a sentence on all that was left out, cut or removed: an
    answer with a part that no lens has, an item that repeats another, a character that nobody sees.
    *scope* is taken if the answer names none. *also* are parts that the answer may have besides.

    Raises :exc:`~sunwell.errors.LensError` where no guidance is left: a lens is never empty.
    """
    fields, found = lens_fields(text, cut)
    reading = _Reading(text if found.mended else None, tell)
    for name in fields:
        if name not in _KNOWN and name not in also and fields[name]:
            tell(f"the part {one_line(name)[:40]!r} was left out: a lens has no such part")
    named = fields.get("task_scope")
    if named and not isinstance(named, str):
        tell(f"the task_scope was left out: it is {_kind(named)} and no text")
    lens = EphemeralLens(
        heuristics=reading.items("heuristics", fields.get("heuristics")),
        patterns=reading.items("patterns", fields.get("patterns")),
        anti_patterns=reading.items("anti_patterns", fields.get("anti_patterns")),
        constraints=reading.items("constraints", fields.get("constraints")),
        examples=reading.items("examples", fields.get("examples")),
        target_files=reading.items("target_files", fields.get("target_files")),
        task_scope=_scope(named if isinstance(named, str) else "", tell) or _scope(scope),
    )
    if lens.is_empty:
        raise LensError("the answer holds no guidance: every list in it is empty or unusable")
    return _within(lens, max_tokens, tell)


def lens_fields(text: str, cut: bool) -> tuple[Mapping[str, Any], Found]:
    """Return the fields of the JSON object in *text* that is the lens, and the value that it stands in.

    Raises :exc:`~sunwell.errors.LensError` where there is none, or only the schema again.
    """
    seen, has_schema = False, False
    bare: tuple[Mapping[str, Any], Found] | None = None
    for found in candidates(text, cut=cut):
        seen = True
        for value in _openings(found.value):
            fields = _fields(value)
            if _guides(fields):
                return fields, found
            has_schema = has_schema or len(fields) < len(value)
            if any(name in fields for name in RULE_PARTS):
                bare = bare or (fields, found)
    if bare is not None:
        return bare
    if has_schema:
        raise LensError("the answer repeats the JSON schema; it must hold the values")
    if seen:
        raise LensError("the JSON in the answer has none of the parts of a lens")
    start = one_line(text)[:120]
    raise LensError(
        f"the answer holds no JSON object; it begins {start!r}" if start else "the answer is empty"
    )


def _openings(value: Any) -> Iterable[dict[str, Any]]:
    """Yield the objects that may be the lens: the value, those in a list, the ones it wraps."""
    for one in reversed(value) if isinstance(value, list) else (value,):
        if isinstance(one, dict):
            yield one
            yield from (inner for inner in one.values() if isinstance(inner, dict))


_PLACEHOLDERS = frozenset({"string", "...", "\u2026"})
_TYPES = frozenset({"array", "boolean", "integer", "null", "number", "object", "string"})
_SCHEMA_WORDS = frozenset(
    {"type", "items", "properties", "required", "additionalProperties", "description", "title", "default"}
    | {"enum", "const", "examples", "minItems", "maxItems", "uniqueItems", "minLength", "maxLength", "format"}
    | {"$ref", "anyOf", "oneOf", "pattern"}
)


def _fields(value: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of *value* as the lens spells them, without those that hold a schema, not a value."""
    return _joined([(_field_name(key), item) for key, item in value.items() if not _is_schema(item)])


def _is_schema(value: Any) -> bool:
    if not isinstance(value, dict) or not value or not _SCHEMA_WORDS.issuperset(value):
        return False
    kind = value.get("type", value.get("$ref"))
    kinds = kind if isinstance(kind, list) else [kind]
    return "$ref" in value or all(isinstance(one, str) and one in _TYPES for one in kinds)


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
        repeated = 0
        for at, item in enumerate(listed):
            if len(kept) == _MOST_ITEMS:
                rest = len(listed) - at
                self.tell(f"{_items(rest)} of {name} after the first {_MOST_ITEMS} {_was(rest)} left out")
                break
            text = self._text(name, item)
            if not text:
                continue
            key = " ".join(text.split()).casefold()
            repeated += key in kept
            kept.setdefault(key, text)
        if repeated:
            self.tell(f"{_items(repeated)} of {name} {_was(repeated)} left out: {_they(repeated)} another")
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
        if _is_placeholder(text):
            self.tell(f"an item of {name} was left out: {text!r} is a placeholder")
            return None
        if name == "target_files" and text and not is_inside(text):
            self.tell(f"a target file was left out: {one_line(text)[:80]!r} is no path in the workspace")
            return None
        limit = _ITEM_BYTES.get(name, _RULE_BYTES)
        if len(text.encode()) > limit:
            self.tell(f"an item of {name} was left out: it is longer than {limit:,} bytes")
            return None
        if text and (unseen := sum(map(unseen_characters, parts))):
            signs = "character" if unseen == 1 else "characters"
            self.tell(f"{unseen:,} {signs} that nobody sees {_was(unseen)} removed from an item of {name}")
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


def unseen_characters(text: str) -> int:
    """Return how many characters :func:`seen_text` removes from the lines of *text*."""
    return sum(
        character != "\t" and not _is_seen(character) for line in text.splitlines() for character in line
    )


def _items(count: int) -> str:
    return f"{count:,} {'item' if count == 1 else 'items'}"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


def _they(count: int) -> str:
    return "it repeats" if count == 1 else "each repeats"


def is_inside(path: str) -> bool:
    """Whether *path* names something in the workspace, as far as its words tell."""
    parts = path.replace("\\", "/").split("/")
    return "\n" not in path and ".." not in parts and parts[0] != "" and ":" not in parts[0]


def _scope(text: str, tell: Tell = _say_nothing) -> str:
    line = one_line(seen_text(text))
    if len(line) <= _SCOPE_CHARACTERS:
        return line
    tell(f"the task_scope was cut: it is longer than {_SCOPE_CHARACTERS} characters")
    return line[: _SCOPE_CHARACTERS - 1].rstrip() + "…"


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
        tell(f"{count} of the {name} {_was(count)} cut off to keep the lens within {max_tokens:,} tokens")
    return lens


def lens_tokens(lens: EphemeralLens) -> int:
    """Return the length of *lens* as workers read it, in tokens of four bytes, rounded up."""
    return -(-len(lens.to_context().encode("utf-8", "surrogatepass")) // _BYTES_PER_TOKEN)


def without_secrets(
    lens: EphemeralLens, secrets: Secrets, *, is_answer: bool = False
) -> tuple[EphemeralLens, tuple[str, ...]]:
    """Return *lens* without known *secrets*, and a sentence for each part that had one.

    With *is_answer* the lens comes from a model's answer, in which they have been replaced by their names.
    """
    clean: dict[str, Any] = {}
    replaced = []
    for name in (*RULE_PARTS, "target_files", "task_scope"):
        value = getattr(lens, name)
        texts = (value,) if isinstance(value, str) else value
        seen = tuple(map(secrets.redact, texts))
        if seen != texts:
            clean[name] = seen[0] if isinstance(value, str) else seen
        if seen != texts or (is_answer and any(map(secrets.placeholders_in, texts))):
            replaced.append(f"a secret in {name} was replaced")
    return (attrs.evolve(lens, **clean) if clean else lens), tuple(replaced)
