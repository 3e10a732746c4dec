"""How the smart script writes a lens: out of its prompt, and out of nothing else."""

import re
from collections.abc import Mapping
from typing import Any

from sunwell.simulator.scripts.conventions import CONVENTIONS, known_in
from sunwell.simulator.scripts.entities import Entity, entities_in, is_about_endpoints, wanted_entities

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
