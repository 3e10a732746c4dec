"""Ten kinds of tasks, told from the words of a task: outcomes of one kind say something about the next."""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Literal, get_args

import attrs

from sunwell.agent.policy.task_words import (
    ACTIONS,
    PROSE,
    SINGULARS,
    SIZES_TOKENS,
    main_verb,
    plain_words,
    split_material,
    task_clauses,
)
from sunwell.context.json_text import json_in, strict_json
from sunwell.core.model import ResponseSchema
from sunwell.core.price import OutputEstimate
from sunwell.memory.outcomes import Way

Kind = Literal["fix", "feature", "refactor", "tests", "docs", "explain", "edit", "setup", "data", "other"]
"""``fix`` repairs what is wrong, ``feature`` makes something new, ``refactor`` changes the form alone,
``tests`` and ``docs`` write these, ``explain`` only reports, ``edit`` changes places mechanically, ``setup``
is build, dependencies and deployment, ``data`` works on rows and queries, ``other`` is the rest."""
KINDS: tuple[Kind, ...] = get_args(Kind)


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_MOST_WORDS = 80  # what a task is comes first; what follows is detail
_VERBS: dict[Kind, frozenset[str]] = {
    "fix": _set("fix correct debug repair resolve patch"),
    "edit": _set(
        """rename replace remove delete reformat format move change reword lint strip substitute swap bump
        hide uncomment comment tidy capitalise capitalize"""
    ),
    "setup": _set("configure upgrade downgrade pin unpin install uninstall deploy"),
    "docs": _set("document"),
    "tests": _set("test cover mock stub"),
    "data": _set("sort classify deduplicate normalise normalize"),
    "feature": _set("let allow"),
    "other": _set("translate"),
}
_THINGS: dict[Kind, frozenset[str]] = {
    "setup": _set(
        """dockerfile docker ci cd pipeline pipelines actions dependency dependencies requirements.txt
        makefile pyproject.toml package.json eslint webpack kubernetes terraform helm lockfile compose
        environment container pre-commit build npm pip packages"""
    ),
    "docs": _set(
        """docstring docstrings readme readme.md changelog changelog.md docs documentation comment comments
        tutorial guide manual usage"""
    ),
    "tests": _set("test tests coverage fixture fixtures pytest unittest benchmark benchmarks"),
    "data": _set(
        """sql query queries csv json yaml xml migration migrations row rows data dataset dataframe
        spreadsheet record records messages tickets reviews duplicates index schema"""
    ),
}
_FILES: dict[Kind, tuple[str, ...]] = {"data": (".csv", ".sql", ".jsonl"), "docs": (".md", ".rst")}
_PARTS = re.compile(r"[-/]")
_TROUBLE = _set(
    """crash crashes crashed crashing bug bugs fails fail failed failing broken breaks hang hangs hanging
    wrong wrongly exception traceback race deadlock leak leaks leaking off-by-one regression incorrect
    incorrectly error errors"""
)
_REWORK = _set("speed cache break")
_FORM = _set("hints annotations")
_VAGUE = _set("it them this that these those everything something nicer better good pass work again all")
_ENDS_AN_OBJECT = _set("that which who for in on from with to so and by if when as into using across at")


def kind_of(task: str) -> Kind:
    """Return the kind of *task*, from its first words alone; the same task is always of the same kind."""
    words = plain_words(split_material(task)[0])[:_MOST_WORDS]
    kinds = [_kind(clause) for clause in task_clauses(words)] if words else []
    if not kinds:
        return "other"
    if "fix" in kinds and kinds[0] in ("explain", "other"):
        return "fix"
    if kinds[0] == "explain":
        return "explain"
    return next((kind for kind in kinds if kind not in ("explain", "other")), kinds[0])


def _kind(clause: Sequence[str]) -> Kind:
    if "typo" in clause or "typos" in clause:
        return "edit"
    at = 0 if any(clause[0] in verbs for verbs in _VERBS.values()) else main_verb(clause)
    verb = "" if at is None else clause[at]
    thing = [] if at is None else list(takewhile(lambda word: word not in _ENDS_AN_OBJECT, clause[at + 1 :]))
    action = ACTIONS.get(verb)
    given = next((kind for kind, verbs in _VERBS.items() if verb in verbs), None)
    if action == "read" and at == 0 and given is None:
        return "explain"
    is_new = action == "make" and not _VAGUE.issuperset(thing)
    if given == "fix" or (given is None and not is_new and not _TROUBLE.isdisjoint(clause)):
        return "setup" if _THINGS["setup"].intersection(thing) else "fix"
    if given is not None:
        return given
    if action == "rework" and any(_names(word, "data") for word in clause):
        return "data"
    return _by_thing(thing) or _by_action(verb, thing, clause)


def _names(word: str, kind: Kind) -> bool:
    if word.endswith(_FILES.get(kind, ())):
        return True
    return not _THINGS[kind].isdisjoint([word, *_PARTS.split(word)])


def _by_thing(thing: Sequence[str]) -> Kind | None:
    for kind in _THINGS:
        if any(_names(word, kind) for word in thing):
            return kind
    if any(SINGULARS.get(word, word) in PROSE for word in thing):
        return "other"
    return None


def _by_action(verb: str, thing: Sequence[str], clause: Sequence[str]) -> Kind:
    action = ACTIONS.get(verb)
    if action is None:
        if not _REWORK.isdisjoint(clause[:2]):
            return "refactor"
        return "feature" if any(SINGULARS.get(word, word) in SIZES_TOKENS for word in clause) else "other"
    if not _FORM.isdisjoint(thing):
        return "refactor"
    if _VAGUE.issuperset(thing):
        return "other"
    kinds: dict[str, Kind] = {"make": "feature", "rework": "refactor", "touch": "edit", "read": "explain"}
    return kinds[action]


_MOST_PARTS = 1_000
_MOST_TOKENS = 1_000_000
_SURE = 0.95
_LOST_TO_JUDGEMENT = {"direct": 0.05, "cheap": 0.65, "delegated": 0.3}
"""How much less often each way passes if the task surely needs judgement. Assumed: it was not measured."""

CLASS_SCHEMA = ResponseSchema(
    "task_class",
    {
        "type": "object",
        "properties": {
            "kind": {"type": "string", "enum": list(KINDS)},
            "parts": {"type": "integer"},
            "output_tokens": {"type": "integer"},
            "needs_judgement": {"type": "boolean"},
            "probability": {"type": "number"},
        },
        "required": ["kind", "parts", "output_tokens", "needs_judgement", "probability"],
        "additionalProperties": False,
    },
)
"""What is to be said of a task, in the part of JSON Schema that providers accept in strict mode."""


@attrs.frozen
class TaskClass:
    """What a model said of a task."""

    kind: str
    parts: int
    """So many pieces of work of the same sort."""
    output_tokens: int
    needs_judgement: bool
    probability: float
    """How sure it is of ``needs_judgement``."""

    @property
    def output(self) -> OutputEstimate:
        """The expected output, with the range of a bare number."""
        made = OutputEstimate.around(self.output_tokens)
        return attrs.evolve(made, counted=(f"the delegation model said {self.output_tokens:,} tokens",))

    @property
    def judgement(self) -> float:
        """Chance that the task needs judgement."""
        return self.probability if self.needs_judgement else 1 - self.probability

    @property
    def chances(self) -> Mapping[Way, float]:
        """Chance that each way passes."""
        ways: tuple[Way, ...] = ("direct", "cheap", "delegated")
        return {way: _SURE - _LOST_TO_JUDGEMENT[way] * self.judgement for way in ways}

    @property
    def sentence(self) -> str:
        """What it said, in words."""
        parts = "1 part" if self.parts == 1 else f"{self.parts:,} parts"
        needs = "needs" if self.needs_judgement else "needs no"
        return (
            f"{self.kind}, {parts}, about {self.output_tokens:,} tokens, {needs} judgement "
            f"({self.probability:.0%} sure)"
        )


def read_class(text: str) -> TaskClass:
    """Return what *text*, an answer, says of the task.

    Raises :exc:`ValueError`, with a clause, if it is not one JSON object of the form that was asked for.
    """
    try:
        found = strict_json(json_in(text))
    except ValueError:
        raise ValueError("it is no JSON") from None
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    kind, probability = found.get("kind"), found.get("probability")
    if kind not in KINDS:
        raise ValueError("kind is none of those that were named")
    parts = _count(found, "parts", 1, _MOST_PARTS)
    tokens = _count(found, "output_tokens", 0, _MOST_TOKENS)
    if not isinstance(found.get("needs_judgement"), bool):
        raise ValueError("needs_judgement is neither true nor false")
    if isinstance(probability, bool) or not isinstance(probability, int | float) or not 0 <= probability <= 1:
        raise ValueError("probability is no number from 0 to 1")
    return TaskClass(str(kind), parts, tokens, found["needs_judgement"], float(probability))


def _count(found: Mapping[str, object], name: str, least: int, most: int) -> int:
    value = found.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ValueError(f"{name} is no whole number from {least} to {most:,}")
    return value
