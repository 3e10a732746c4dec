"""The smart and the cheap model of the demonstration, as scripts."""

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs

from sunwell.core.message import Text, ToolCall
from sunwell.simulator.script import Asked, Reply, Script
from sunwell.simulator.scripts.conversation_state import ScriptedConversation, Wanted, all_text
from sunwell.simulator.scripts.scripted_asker import looked_into, read_part
from sunwell.simulator.scripts.scripted_orchestrator import handed_out
from sunwell.simulator.scripts.scripted_worker import work_on
from sunwell.simulator.scripts.shop_entities import Entity, entities_in, is_about_endpoints, wanted_entities


@attrs.frozen
class Convention:
    """One rule of ``examples/shop/CONVENTIONS.md``.

    A scripted model has read the rule where ``key`` occurs in what it was sent, whatever the case
    and the line breaks. ``key`` stands in the rule itself and in ``item``, and in no other file of
    the example.
    """

    slug: str
    """Short name; the example's tests of the rule begin with ``test_`` and this."""
    key: str
    part: str
    """The part of a lens in which a smart model writes the rule."""
    item: str
    """The rule as a smart model writes it into a lens."""


CONVENTIONS = (
    Convention(
        "not_found",
        "an unknown id raises NotFound",
        "constraints",
        "An unknown id raises NotFound in read, change and delete; a deleted record counts as unknown. "
        "Never answer with an empty body instead.",
    ),
    Convention(
        "paging",
        "capped at 100",
        "patterns",
        "Page every list: limit is 20 unless given and capped at 100, offset is 0 unless given; the body "
        "holds items, total, limit and offset.",
    ),
    Convention(
        "unknown_fields",
        "unknown fields is refused with 422",
        "constraints",
        "A body with unknown fields is refused with 422, on creation and on change.",
    ),
    Convention(
        "soft_delete",
        "deletes are soft",
        "anti_patterns",
        "Removing a record from its table. Deletes are soft: set deleted_at, and leave the record out "
        "of lists.",
    ),
    Convention(
        "ids",
        "strings with the prefix of their entity",
        "patterns",
        "Ids are strings with the prefix of their entity: shop.store.new_id(Entity.PREFIX).",
    ),
    Convention(
        "clock",
        "timestamps come from the injected clock",
        "anti_patterns",
        "Calling the datetime module. Timestamps come from the injected clock: shop.clock.now().",
    ),
    Convention(
        "money",
        "money is an integer number of cents",
        "constraints",
        "Money is an integer number of cents; a fraction is refused with 422.",
    ),
)


def known_in(text: str) -> frozenset[str]:
    """Return the slugs of the conventions whose key occurs in *text*."""
    read = " ".join(text.casefold().split())
    return frozenset(rule.slug for rule in CONVENTIONS if rule.key.casefold() in read)


_TASK = re.compile(r"^.*\b(?:CRUD|endpoints? for|endpoints? of)\b.*$", re.MULTILINE)
_MARKED = re.compile(r"^\W*task(?: mark=\w+)?\W*[:\n]\s*(\S.*)$", re.IGNORECASE | re.MULTILINE)
_REGISTER = re.compile(r"def register\(router.*\n(?:[ \t]+\S.*\n?)+")

_GENERAL = (
    "Read the definitions before writing, and take names and types from them.",
    "Change nothing that the task does not ask for.",
)
_ENDPOINTS = (
    "Write one module for each entity, with a register(router) as in shop/endpoints/category.py.",
    "Add each module to shop/routes.py: its import, and its entry in ENDPOINTS.",
)


def lens_for(prompt: str, question: str) -> dict[str, Any]:
    """Return the values of a lens.

    ``prompt`` is all text of the request; a convention becomes an item only where the prompt holds
    it, and files are named only for entities whose definitions it holds. ``question`` is the
    message that asks for the lens; its task becomes the scope. ``items`` names the parts into
    which the task falls, one for each entity.
    """
    task = _task_in(question)
    entities = wanted_entities(task, entities_in(prompt)) if is_about_endpoints(task) else ()
    known = known_in(prompt)
    lens: dict[str, Any] = {part: [] for part in ("patterns", "anti_patterns", "constraints")}
    lens["heuristics"] = [*(_ENDPOINTS if entities else ()), *_GENERAL]
    for rule in CONVENTIONS:
        if rule.slug in known:
            lens[rule.part].append(rule.item)
    lens["examples"] = [found[0].rstrip() for found in [_REGISTER.search(prompt)] if found]
    lens["task_scope"] = task[:120]
    lens["target_files"] = [entity.path for entity in entities] + (["shop/routes.py"] if entities else [])
    lens["items"] = [_item(entity) for entity in entities]
    return lens


def _task_in(question: str) -> str:
    for pattern in (_MARKED, _TASK):
        found = pattern.search(question)
        if found:
            return found[found.lastindex or 0].strip(" \t#>*-`\"'")
    lines = [line.strip() for line in question.splitlines() if line.strip()]
    return lines[-1] if lines else ""


def _item(entity: Entity) -> Mapping[str, Any]:
    sentence = (
        f"Write the CRUD endpoints of {entity.noun} in {entity.path} and register them in shop/routes.py."
    )
    texts = ("text", "task", "description", "prompt", "instruction", "instructions", "goal")
    names = ("title", "name", "id", "scope", "task_scope")
    paths = ("path", "file", "target_file")
    listed = ("files", "paths", "target_files")
    return {
        **dict.fromkeys(texts, sentence),
        **dict.fromkeys(names, entity.noun),
        **dict.fromkeys(paths, entity.path),
        **{name: [entity.path] for name in listed},
    }


Schema = Mapping[str, Any]

_EMPTY = {"string": "", "integer": 0, "number": 0, "boolean": False, "null": None}
_PYTHON_TYPES: dict[str, tuple[type, ...]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
    "null": (type(None),),
}


def filled(schema: Schema, known: Mapping[str, Any]) -> Any:
    """Return a value that obeys *schema*.

    A property takes its value from *known* where the name is there and the type fits. For an array
    of objects, *known* may hold a list of mappings, each of which fills one object. All else is
    empty: null where that is allowed by name, ``""``, ``0``, ``False``, ``[]``, the first of an enumeration
    or of alternatives.
    """
    return _fill(schema, known, schema)


def _fill(schema: Schema, known: Any, root: Schema) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return known if known in schema["enum"] else schema["enum"][0]
    kind = _kind(schema, known)
    if kind == "object":
        given = known if isinstance(known, Mapping) else {}
        return {
            name: _fill(inner, given.get(name), root) for name, inner in schema.get("properties", {}).items()
        }
    if kind == "array":
        items = known if isinstance(known, list) else []
        return [_fill(schema.get("items", {}), item, root) for item in items]
    if isinstance(known, Mapping):
        known = known.get("text")  # where a plain string is wanted, an item is its sentence
    return known if isinstance(known, _PYTHON_TYPES.get(kind, (object,))) else _EMPTY.get(kind)


def _resolved(schema: Schema, root: Schema) -> Schema:
    while True:
        if "$ref" in schema:
            target: Any = root
            for step in schema["$ref"].removeprefix("#/").split("/"):
                target = target[step]
            schema = target
        elif alternatives := schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf"):
            schema = alternatives[0]
        else:
            return schema


def _kind(schema: Schema, known: Any) -> str:
    kinds = schema.get("type", "object" if "properties" in schema else "")
    if isinstance(kinds, str):
        return kinds
    fitting = [kind for kind in kinds if isinstance(known, _PYTHON_TYPES.get(kind, ()))]
    return str((fitting or kinds)[0])


_PARTS = 4
_STATUS = "\n\n[Status, "
_TOLD = "\n\n[From the harness: "
_READS = ("shop/models.py", "shop/endpoints/category.py", "shop/routes.py")


def smart(asked: Asked) -> Reply:
    """Answer as a smart model does.

    With a schema: JSON that obeys it, a lens written from what stands in the prompt. With tools
    and a task about endpoints: it reads ``CONVENTIONS.md`` first and keeps to every rule that it
    has read. With tools to hand work out, it has the task done in parts; with one to look into a context, it
    asks about parts that have the word quoted in the question. With the tools of a host of Sunwell,
    it hands its task on. Otherwise: a sentence.
    """
    talk = ScriptedConversation.of(asked)
    if _is_host(asked):
        return _handed_on(talk)
    if "explore" in asked.tools:
        return looked_into(asked)
    if "set_answer" in asked.tools:
        return handed_out(asked, _PARTS, f"look at {_one_line(talk.task.partition(_STATUS)[0])}")
    if asked.schema is not None or _is_scouting(asked):
        questions = [message.text for message in asked.messages if message.role == "user"]
        lens = lens_for(all_text(asked), "\n".join(questions))
        shaped = lens if asked.schema is None else filled(asked.schema, lens)
        return Reply((Text(json.dumps(shaped, ensure_ascii=False)),))
    if _is_work(asked, talk):
        return work_on(asked, known_in(all_text(asked)), ("CONVENTIONS.md", *_READS))
    return _wanted_call(asked) or _sentence(talk)


def cheap(asked: Asked) -> Reply:
    """Answer as a cheap model does.

    With a schema: JSON that obeys it, as empty as it may be. With tools and a task about
    endpoints: it writes them from the definitions that it reads, and breaks each convention that
    its system prompt does not state. With the tools of a host of Sunwell: it hands its task on.
    Otherwise: a sentence.
    """
    talk = ScriptedConversation.of(asked)
    if asked.schema is not None:
        return Reply((Text(json.dumps(filled(asked.schema, {}))),))
    if _is_host(asked):
        return _handed_on(talk)
    if _is_work(asked, talk):
        return work_on(asked, known_in(asked.system), _READS)
    return _wanted_call(asked) or read_part(asked) or _sentence(talk)


def _is_host(asked: Asked) -> bool:
    """Whether the model is that of another program, which has work done by Sunwell."""
    return {"delegate", "resume_delegated"} <= set(asked.tools)


def _handed_on(talk: ScriptedConversation) -> Reply:
    """Have the task done by another program, and say what it said."""
    if not talk.attempts:
        return Reply((Wanted("delegate", {"task": talk.task}).as_call("call_000_0"),))
    return Reply((Text(f"It was handed on, and the result is: {talk.results()}"),))


_CALL_WANTED = re.compile(r"Call the tool (\w+) with the key (\w+)")


def _wanted_call(asked: Asked) -> Reply | None:
    """Return the call that the last message asks for by name, as ``sunwell doctor`` does."""
    found = _CALL_WANTED.search(asked.messages[-1].text) if asked.messages[-1].role == "user" else None
    if found is None or found[1] not in asked.tools:
        return None
    return Reply((ToolCall("", found[1], json.dumps({"key": found[2]})),))


_READING = frozenset({"list_files", "read_file", "search_files"})


def _is_scouting(asked: Asked) -> bool:
    """Whether a lens is asked for, and the tools are for looking at the workspace first."""
    return bool(asked.tools) and set(asked.tools) <= _READING and "task_scope" in asked.system


def _is_work(asked: Asked, talk: ScriptedConversation) -> bool:
    return is_about_endpoints(talk.task) and bool(asked.tools or talk.attempts)


def _one_line(task: str) -> str:
    return " ".join(task.split())[:200]


def _sentence(talk: ScriptedConversation) -> Reply:
    asked = talk.task.partition(_TOLD)[0]  # what follows is the harness's, and no part of the task
    return Reply((Text(f"I was asked: {_one_line(asked)}. This needs nothing from the workspace."),))


DEMO_MODELS: Mapping[str, Script] = MappingProxyType(
    {
        "claude-opus-5-5": smart,
        "claude-sonnet-5-5": smart,
        "gpt-6.1-sol": smart,
        "claude-haiku-5-5": cheap,
        "gpt-6-luna": cheap,
    }
)
"""The scripts of the demonstration under the ids of real models. None of these models is asked."""
