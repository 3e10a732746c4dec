"""The items into which a task falls, as the smart model writes them beside the lens."""

from collections.abc import Callable, Mapping
from typing import Any

from sunwell.agent.lens.answer_json import candidates
from sunwell.agent.lens.parsing import is_inside, seen_text
from sunwell.core.model import ResponseSchema
from sunwell.core.task import Task

SPLIT_PROMPT = """

One more part, besides the lens:
- items: where the task falls into parts that can be done side by side, by workers who do not see each \
other's work, one item for each part; together they are the whole task, and no two of them change the \
same lines. text says what is to be done, complete without the other items; scope says in one line where \
it ends; target_files are the paths that it writes or changes; done says how one can tell that it is \
done. An empty list where the task is one piece, or where a part needs the result of another."""
"""Put at the end of the lens writer's instructions where the task may be split."""

_TEXT = {"type": "string"}
_ITEM = {
    "type": "object",
    "properties": {
        "text": _TEXT,
        "scope": _TEXT,
        "target_files": {"type": "array", "items": _TEXT},
        "done": _TEXT,
    },
    "required": ["text", "scope", "target_files", "done"],
    "additionalProperties": False,
}
_MOST_ITEMS = 200
_MOST_BYTES = 8_000


def split_schema(lens: ResponseSchema) -> ResponseSchema:
    """Return the schema *lens* with a list of items besides."""
    schema = dict(lens.schema)
    schema["properties"] = {**schema["properties"], "items": {"type": "array", "items": _ITEM}}
    schema["required"] = [*schema["required"], "items"]
    return ResponseSchema("split_lens", schema)


def parse_items(text: str, *, cut: bool, tell: Callable[[str], None]) -> tuple[Task, ...]:
    """Return the items in *text*, the answer that the lens was taken from; none where it is one piece.

    An item that is lost is work that is lost. So where the answer was cut or had to be mended, or
    any item is not whole, there is no item at all: the task is then done in one piece, and *tell*
    gets a sentence on it.
    """
    found = next(iter(candidates(text, cut=cut)), None)
    listed = found.value.get("items") if found is not None and isinstance(found.value, dict) else None
    if not isinstance(listed, list) or len(listed) < 2:
        return ()
    assert found is not None
    if cut or found.mended:
        tell("the task is not split: the answer was not whole, and an item may be missing")
        return ()
    items = [_item(value) for value in listed]
    kept = [item for item in items if item is not None]
    if len(kept) < len(items) or len({item.text for item in kept}) < len(items) or len(items) > _MOST_ITEMS:
        tell("the task is not split: not all of its items are whole and different")
        return ()
    return tuple(kept)


def _item(value: Any) -> Task | None:
    if not isinstance(value, Mapping):
        return None
    texts = {name: value.get(name, "") for name in ("text", "scope", "done")}
    files = value.get("target_files", [])
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(files, list):
        return None
    clean = {name: seen_text(text) for name, text in texts.items()}
    if not clean["text"] or sum(len(text.encode()) for text in clean.values()) > _MOST_BYTES:
        return None
    if not all(isinstance(path, str) and is_inside(path) for path in files):
        return None
    return Task(clean["text"], scope=clean["scope"], done=clean["done"], target_files=files)
