"""What must change of a kept lens: how the smart model is asked for it, and how the answer is applied."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from sunwell.agent.lens.lens_parser import Tell, candidates, parse_lens
from sunwell.agent.lens.lens_request import RULE_PARTS
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import one_line
from sunwell.core.model import ResponseSchema
from sunwell.errors import LensError

_LETTERS = {"heuristics": "h", "patterns": "p", "anti_patterns": "a", "constraints": "c", "examples": "e"}
_TEXT = {"type": "string"}
_TEXTS = {"type": "array", "items": _TEXT}
_FIELDS = ("drop", "change", "add", "task_scope", "target_files")


def _objects_of(names: Mapping[str, Any]) -> dict[str, Any]:
    one = {"type": "object", "properties": names, "required": list(names), "additionalProperties": False}
    return {"type": "array", "items": one}


CHANGE_SCHEMA = ResponseSchema(
    name="lens_changes",
    schema={
        "type": "object",
        "properties": {
            "drop": _TEXTS,
            "change": _objects_of({"item": _TEXT, "text": _TEXT}),
            "add": _objects_of({"part": {"type": "string", "enum": list(RULE_PARTS)}, "text": _TEXT}),
            "task_scope": _TEXT,
            "target_files": _TEXTS,
        },
        "required": list(_FIELDS),
        "additionalProperties": False,
    },
)
"""The shape of the changes, in the part of JSON Schema that both providers accept in strict mode."""


def kept_text(lens: EphemeralLens, task: str, changed: Sequence[str]) -> str:
    """Return what the smart model is shown of a kept *lens*, which was written for *task*.

    *changed* are the files that have changed since, or are gone.
    """
    lines = [f"Written for: {one_line(task)}", f"task_scope: {one_line(lens.task_scope)}"]
    lines += [f"target_files: {', '.join(map(one_line, lens.target_files)) or 'none'}"]
    lines += [f"Files that have changed since: {', '.join(map(one_line, changed))}"] if changed else []
    for part in RULE_PARTS:
        items = getattr(lens, part)
        lines += [f"{part}:"] if items else []
        lines += [f"{name} {json.dumps(text, ensure_ascii=False)}" for name, text in _named(part, items)]
    return "\n".join(lines)


def _named(part: str, items: Sequence[str]) -> list[tuple[str, str]]:
    return [(f"{_LETTERS[part]}{number}", text) for number, text in enumerate(items, 1)]


def changed_lens(
    answer: str, base: EphemeralLens, *, max_tokens: int, cut: bool, scope: str, tell: Tell
) -> EphemeralLens:
    """Return *base* with the changes in *answer*, checked as any lens that a model writes.

    An answer that is not whole, or names an item that is not there, is of no use: what it leaves out may be
    what matters. The other arguments are those of :func:`~sunwell.agent.lens.lens_parser.parse_lens`.

    Raises :exc:`~sunwell.errors.LensError` for such an answer, and if nothing is left of the lens.
    """
    fields = _changes_in(answer, cut)
    items = {name: (part, text) for part in RULE_PARTS for name, text in _named(part, getattr(base, part))}
    gone = {_known(name, items) for name in _texts(fields, "drop")}
    said = {_known(one["item"], items): one["text"] for one in _objects(fields, "change", ("item", "text"))}
    if twice := sorted(gone.intersection(said)):
        raise LensError(f"the item {twice[0]} is dropped and changed")
    made: dict[str, Any] = {part: [] for part in RULE_PARTS}
    for name, (part, text) in items.items():
        if name not in gone:
            made[part].append(said.get(name, text))
    for one in _objects(fields, "add", ("part", "text")):
        if one["part"] not in made:
            raise LensError(f"a lens has no part {one_line(one['part'])[:40]!r}")
        made[one["part"]].append(one["text"])
    if not any(made.values()):
        raise LensError("nothing of the kept lens can stay")
    made["target_files"] = _texts(fields, "target_files")
    made["task_scope"] = fields.get("task_scope", "")
    return parse_lens(json.dumps(made), max_tokens=max_tokens, scope=scope, tell=tell)


def _changes_in(answer: str, cut: bool) -> Mapping[str, Any]:
    for found in candidates(answer, cut=cut):
        if isinstance(found.value, dict) and not {"drop", "change", "add"}.isdisjoint(found.value):
            if cut or found.mended:
                raise LensError("the answer is not whole, and a change may be missing")
            return found.value
    raise LensError("the answer does not say what must change")


def _texts(fields: Mapping[str, Any], name: str) -> list[str]:
    value = fields.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise LensError(f"{name} is not a list of texts")
    return value


def _objects(fields: Mapping[str, Any], name: str, keys: Sequence[str]) -> list[Mapping[str, str]]:
    value = fields.get(name, [])
    sound = isinstance(value, list) and all(
        isinstance(one, dict) and all(isinstance(one.get(key), str) for key in keys) for one in value
    )
    if not sound:
        raise LensError(f"{name} is not a list of objects with {' and '.join(keys)}")
    return list(value)


def _known(name: str, items: Mapping[str, Any]) -> str:
    clean = name.strip().lower()
    if clean not in items:
        raise LensError(f"the kept lens has no item {one_line(name)[:40]!r}")
    return clean


@attrs.frozen
class LensBase:
    """A kept lens that is changed for a task."""

    lens: EphemeralLens
    text: str
    """What the smart model is shown of it."""
    unseen: str
    """What of the workspace it is shown besides: files that the kept lens does not rest on as they are."""
