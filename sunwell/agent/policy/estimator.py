"""How much output a task will take, guessed from its words."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Protocol

from sunwell.agent.policy.breadth import groups
from sunwell.agent.policy.sizes import ACTIONS, PLURALS, SINGULARS, SIZES_TOKENS

UNKNOWN_TOKENS = 800
"""What a task is taken for that says nothing the estimator knows."""
MOST_TOKENS = 10_000_000

_MOST_CHARACTERS = 20_000  # what follows is material, and says little about the size of the work
_OVERHEAD_TOKENS = 150  # tool calls that look around, and the closing answer
_READ_TOKENS = 600
_TOUCH_TOKENS = 250  # one changed place: the call that changes it, and the text around it
_REWORK_SHARE = 0.8  # of a thing's size is written again
_EVERYWHERE_PLACES = 8
_LONG_TASK_WORDS = 40  # beyond this each word is one more thing asked for,
_MOST_EXTRA_WORDS = 400  # up to a point: what is longer holds logs or code that somebody pasted
_TOKENS_PER_EXTRA_WORD = 8
_TOKENS_PER: Mapping[str, float] = {"word": 1.35, "line": 10.0, "token": 1.0, "page": 500.0}

_EVERYWHERE = re.compile(
    r"\b(?:everywhere|throughout|across the|(?:whole|entire) (?:project|code ?base|repo(?:sitory)?|app))\b"
)
_ASKED_SIZE = re.compile(r"\b([0-9]{1,6})[- ](word|line|token|page)s?\b")
_FACTORS = (
    (re.compile(r"\b(?:small|simple|quick|minimal|short|tiny|brief|trivial|one-line)\b"), 0.6),
    (re.compile(r"\b(?:complete|comprehensive|detailed|full|large|extensive|thorough|production)\b"), 1.6),
)
_CLAUSE = re.compile(r"[.;!?](?:\s|$)|\n+|,? (?:and )?then ")
_WORD = re.compile(r"[^\W_]+(?:[-./'_][^\W_]+)*")
_ITEM = r"[^,.;:]{2,40}?"
_ENUMERATION = re.compile(rf"(?:{_ITEM}, ){{1,30}}?{_ITEM},? and {_ITEM}(?=[,.;:]|$)")
_EXTRAS = re.compile(r"\b(?:including|with|plus|as well as)\b")


class Estimator(Protocol):
    """Guesses the expected output of a whole task in tokens; the policy takes any."""

    def __call__(self, task: str) -> int:
        """Return the expected output of *task* in tokens, at least 1."""
        ...


def estimate_output_tokens(task: str) -> int:
    """Return the expected output of the whole *task* in tokens, all its turns together.

    Read from English words: what is to be done, to what kind of thing, and to how many of them. It
    is right within a factor of two or three on common tasks, and no bound. A task that says nothing
    known counts as 800 tokens.
    """
    text = task[:_MOST_CHARACTERS].lower()
    clauses = [_clause_tokens(clause) for clause in _CLAUSE.split(text)]
    known = [tokens for tokens in clauses if tokens is not None]
    tokens = sum(known) if known else UNKNOWN_TOKENS
    extra_words = max(0, len(_WORD.findall(text)) - _LONG_TASK_WORDS)
    tokens += min(extra_words, _MOST_EXTRA_WORDS) * _TOKENS_PER_EXTRA_WORD
    return min(MOST_TOKENS, max(1, round(tokens) + _OVERHEAD_TOKENS))


def _clause_tokens(clause: str) -> float | None:
    """Return the output that one clause asks for; ``None`` where it asks for nothing known."""
    words = _WORD.findall(clause)
    at = next((i for i, word in enumerate(words) if word in ACTIONS), None)
    if at is None:
        return None
    asked = _ASKED_SIZE.search(clause)
    if asked:
        return int(asked.group(1)) * _TOKENS_PER[asked.group(2)]
    action = ACTIONS[words[at]]
    tokens = _WORK[action](clause, words[at + 1 :])
    for pattern, factor in _FACTORS:
        if pattern.search(clause):
            tokens *= factor
    return tokens


def _make(clause: str, words: Sequence[str]) -> float:
    split = _EXTRAS.search(clause)
    head, extras = (clause[: split.start()], clause[split.end() :]) if split else (clause, "")
    size = SIZES_TOKENS["crud"] if "crud" in words else _first_size(_WORD.findall(head))
    return size * _count(head) + _extras_tokens(extras)


def _rework(clause: str, words: Sequence[str]) -> float:
    several = groups(clause, PLURALS)
    size = max((SIZES_TOKENS[group.noun] for group in several), default=_first_size(words))
    return _REWORK_SHARE * size * _count(clause)


def _touch(clause: str, words: Sequence[str]) -> float:
    return _TOUCH_TOKENS * _count(clause)


def _read(clause: str, words: Sequence[str]) -> float:
    return _READ_TOKENS * math.sqrt(_count(clause))


_WORK = {"make": _make, "rework": _rework, "touch": _touch, "read": _read}


def _things(words: Sequence[str]) -> list[str]:
    """Return the known nouns among *words* in the singular, compounds by their last word, in order."""
    found: list[tuple[int, str]] = []
    for at, word in enumerate(words):
        noun = word if word in SIZES_TOKENS else SINGULARS.get(word)
        if noun is None:
            continue
        if found and found[-1][0] == at - 1:  # "database migration", "test suite": the last word says what
            found.pop()
        found.append((at, noun))
    return [noun for _, noun in found]


def _first_size(words: Sequence[str]) -> int:
    things = _things(words)
    return SIZES_TOKENS[things[0]] if things else UNKNOWN_TOKENS


def _count(text: str) -> float:
    """Return for how many things the work is done."""
    several = groups(text, PLURALS)
    counted = [group.count for group in several if group.count is not None]
    if counted:
        return float(max(counted))
    named = _enumerated(text)
    if several:
        return float(max(_unknown_count(several[0].noun), named))
    if named > 1:
        return float(named)
    return float(_EVERYWHERE_PLACES) if _EVERYWHERE.search(text) else 1.0


def _unknown_count(noun: str) -> int:
    """Return what "all" means: there are more small things in a project than large ones."""
    size = SIZES_TOKENS.get(noun, 400)
    return 20 if size <= 400 else 10 if size <= 1_000 else 5


def _enumerated(text: str) -> int:
    """Return how many things the longest enumeration in *text* names; 1 where there is none."""
    lists = [match.group() for match in _ENUMERATION.finditer(text)]
    return max((len(re.split(r", and |, | and ", listed)) for listed in lists), default=1)


def _extras_tokens(extras: str) -> float:
    """Return the output of what comes with the thing made: what is counted in full, the rest by half."""
    several = [group for group in groups(extras, PLURALS) if group.count is not None]
    if several:
        return float(sum(SIZES_TOKENS[group.noun] * (group.count or 1) for group in several))
    return 0.5 * sum(SIZES_TOKENS[noun] for noun in _things(_WORD.findall(extras)))
