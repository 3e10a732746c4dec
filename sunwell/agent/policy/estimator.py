"""How much output a task will take, guessed from its words."""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Literal

import attrs

Action = Literal["make", "rework", "touch", "read"]
"""``make`` writes something new, ``rework`` writes most of it anew, ``touch`` changes places in it,
``read`` only reports."""

_VERBS: Mapping[Action, str] = {
    "make": """add append author bootstrap build code compose construct create define design develop document
        draft draw expose generate implement introduce invent lay make mock model produce program prototype
        provide scaffold set sketch specify start support write""",
    "rework": """adapt clean convert decouple extract improve merge migrate modernise modernize modularise
        modularize optimise optimize overhaul port redesign redo refactor reimplement reorganise reorganize
        restructure rewrite simplify split transform translate transpile upgrade annotate type localise
        localize parallelise parallelize unify""",
    "touch": """adjust align amend bump change comment correct debug delete deprecate disable drop edit enable
        fix format hide increase decrease limit lint lower move patch pin raise reformat remove rename repair
        replace resolve restore revert show sort strip substitute swap tidy toggle turn tweak uncomment
        undo unpin update uninstall install""",
    "read": """analyse analyze answer assess audit calculate check compare compute count describe detect
        determine diagnose discuss estimate evaluate examine explain explore find identify inspect
        investigate list locate look measure name outline profile read recommend report review run
        search say see summarise summarize suggest tell trace understand verify what where which who why
        how when whether is are does do can could should""",
}
ACTIONS: Mapping[str, Action] = {verb: action for action, verbs in _VERBS.items() for verb in verbs.split()}

_THINGS: Mapping[int, str] = {
    100: """typo comment import label constant parameter argument line message string variable year word
        flag setting value name title link color colour attribute annotation""",
    150: "docstring sentence option field column log statement key enum hint row header-line event commit",
    400: """function method query regex button toggle validator fixture decorator callback helper check
        route rule icon handler-function snippet test case dependency migration""",
    700: """endpoint hook form table header footer sidebar modal command script dockerfile changelog issue
        email summary section filter chart bar card menu widget""",
    1_000: """class component file module handler middleware schema model serializer controller repository
        template view page screen interface language workflow pipeline config algorithm entity resource
        report""",
    1_500: "readme tests guide article tutorial post essay plugin parser story",
    2_500: """feature package library crud documentation docs cli authentication manual specification
        game compiler auth""",
    4_000: "service api server bot client sdk database microservice backend frontend suite framework",
    6_000: "app application dashboard website site project codebase repository-wide system platform shop",
}
SIZES_TOKENS: Mapping[str, int] = {name: size for size, names in _THINGS.items() for name in names.split()}

_IRREGULAR = {"tests": "tests", "docs": "docs", "documentation": "documentation", "auth": "auth"}


def plural_of(singular: str) -> str:
    """Return the plural of a noun in :data:`SIZES_TOKENS`."""
    if singular in _IRREGULAR:
        return _IRREGULAR[singular]
    if singular.endswith("y") and singular[-2] not in "aeiou":
        return singular[:-1] + "ies"
    return singular + ("es" if singular.endswith(("s", "x", "ch", "sh")) else "s")


PLURALS: Mapping[str, str] = {noun: plural_of(noun) for noun in SIZES_TOKENS}
SINGULARS: Mapping[str, str] = {plural: noun for noun, plural in PLURALS.items()}


def _list(words: str) -> list[str]:
    return words.split()


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_UNITS = _list(
    """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
    seventeen eighteen nineteen"""
)
_TENS = _list("twenty thirty forty fifty sixty seventy eighty ninety")
_NUMBERS: Mapping[str, int] = {
    **{word: value for value, word in enumerate(_UNITS)},
    **{word: 10 * value for value, word in enumerate(_TENS, 2)},
    **{f"{ten}-{_UNITS[unit]}": 10 * i + unit for i, ten in enumerate(_TENS, 2) for unit in range(1, 10)},
    "both": 2,
    "couple": 2,
}
_MULTIPLES: Mapping[str, int] = {"dozen": 12, "hundred": 100, "thousand": 1000}
_PLURAL_QUANTIFIERS = _set("""all multiple several many various numerous few dozens hundreds thousands""")
_SINGULAR_QUANTIFIERS = frozenset({"every", "each"})
_MOST = 10_000  # what is above this is no count of things to write
_LONGEST_SAID = 60
_REACH_WORDS = 4  # how far a number may stand before its noun: "12 old request handler files"

_BREAKS_A_GROUP = _set(
    """a an and or but if when then than that which who in on at by to from for with without into onto over
    under before after as is are was were be per via not no its it this mb kb gb tb kib mib gib bytes
    byte ms s second seconds minute minutes hour hours day days week weeks px percent line lines times
    time column columns chars characters words letters"""
)
_NUMBERED = _set(
    """python version v java es php node rfc pep http step phase level chapter section page line port issue
    ticket bug part number no figure option error code ruby go angular vue django bootstrap"""
)
_COMPARED = frozenset({"than", "most", "up", "max", "maximum", "limit", "first", "last"})
_HEADS = _set(
    """dialog dialogue tab page panel menu button view list window pane picker browser screen widget
    section folder directory table column counter count limit icon label heading filter option command
    field header name names extension extensions size sizes path paths type types format formats system
    permission permissions picker descriptor descriptors handle"""
)
_TURNS_AWAY = _set(
    """without except excluding never don't dont doesn't not nor leave ignoring ignore skip avoid"""
)

_QUOTED = re.compile(r"\"[^\"\n]*\"|“[^”\n]*”|`[^`\n]*`|(?<!\w)'[^'\n]*'(?!\w)")
_BREADTH_WORD = re.compile(r"-?[^\W_]+(?:[-./'\u2019_@:#][^\W_]+)*[%+#]?|[,.;:!?()\n]")
_LINE_BREAK = re.compile(r"\n(?!\s*(?:\n|[-*+]\s|[0-9]+[.)]\s))")  # inside a paragraph
_INTEGER = re.compile(r"(?:[0-9]{1,9}[-\u2013])?([0-9]{1,9})")


@attrs.frozen
class Group:
    """Several things of one kind that a task speaks of."""

    noun: str
    """What they are, in the singular, as the caller named it."""
    count: int | None
    """At least 2; ``None`` where the task says "all" or "several" and no number."""
    words: str
    """The words of the task that say so."""


def groups(task: str, nouns: Mapping[str, str]) -> tuple[Group, ...]:
    """Return the groups of several things in *task*, in order.

    *nouns* maps the singular of each noun to its plural. A noun counts as a whole word, with a
    number of at least 2 before its plural, with a quantifier ("all modules", "each of the
    components"), or as a plural that is wanted for several others ("endpoints for 5 entities").
    Quoted text, what is turned away ("without touching all other files") and limits ("up to 5
    files") do not count.
    """
    words = _words(task)
    plurals = {plural: singular for singular, plural in nouns.items()}
    found = []
    for at, word in enumerate(words):
        singular = plurals.get(word) or (word if word in nouns else None)
        if singular is None or (at + 1 < len(words) and words[at + 1] in _HEADS):
            continue
        group = _before(words, at, singular, word in plurals)
        if group is None and word in plurals:
            group = _wanted_for(words, at, singular)
        if group is not None:
            found.append(group)
    return tuple(found)


def number(word: str) -> int | None:
    """Return the whole number that *word* stands for, in digits or letters, or ``None``.

    A range such as "2-3" stands for its end.
    """
    digits = _INTEGER.fullmatch(word)
    if digits:
        return min(int(digits.group(1)), _MOST)
    return _NUMBERS.get(word, _MULTIPLES.get(word))


def _said(words: list[str]) -> str:
    """Return *words* as they are shown to people: a task may hold words of any length."""
    text = " ".join(words)
    return text if len(text) <= _LONGEST_SAID else text[: _LONGEST_SAID - 1] + "…"


def _words(task: str) -> list[str]:
    """Return the words of *task* in lower case, punctuation as words, without what does not count."""
    text = _LINE_BREAK.sub(" ", _QUOTED.sub(" ", task.replace("\u2019", "'")))
    text = re.sub(r"(?<=[0-9]),(?=[0-9]{3}\b)", "", text)
    kept: list[str] = []
    away = False
    for word in _BREADTH_WORD.findall(text.lower()):
        if word in _TURNS_AWAY:
            away = True
        elif away and (word in {",", ".", ";", ":", "!", "?", "\n", "but"}):
            away = False
        if not away:
            kept.append(word)
    return kept


def _before(words: list[str], at: int, singular: str, is_plural: bool) -> Group | None:
    """Return the group that the words before the noun at *at* make of it."""
    for start in range(at - 1, max(-1, at - 2 - _REACH_WORDS), -1):
        word = words[start]
        said = _said(words[start : at + 1])
        if word == "one" and words[max(0, start - 1)] in _SINGULAR_QUANTIFIERS:
            continue
        value = number(word)
        if word in _SINGULAR_QUANTIFIERS or (is_plural and word in _PLURAL_QUANTIFIERS):
            return Group(singular, None, said) if _stands_free(words, start) else None
        if value is not None:
            if word in _MULTIPLES and start > 0:
                value = min(value * (number(words[start - 1]) or 1), _MOST)
            several = is_plural and value >= 2 and _stands_free(words, start)
            return Group(singular, value, said) if several else None
        if word in {"of", "the", "our", "your", "their", "these", "those"}:
            continue
        if word in _BREAKS_A_GROUP or not word[0].isalnum():
            return None
    return None


def _wanted_for(words: list[str], at: int, singular: str) -> Group | None:
    """Return the group in "endpoints for 5 entities": as many as what they are wanted for."""
    if words[at + 1 : at + 2] != ["for"] or at + 2 >= len(words):
        return None
    following = [word for word in words[at + 2 : at + 5] if word not in {"the", "all", "these", "our"}]
    value = number(following[0]) if following else None
    if value is None or value < 2:
        return None
    return Group(singular, value, _said(words[at : at + 5]))


def _stands_free(words: list[str], start: int) -> bool:
    """Whether the number or quantifier at *start* counts things: no version, limit or choice of one."""
    before = words[max(0, start - 3) : start]
    if not before:
        return True
    if before[-1] in _NUMBERED or before[-1] in _COMPARED or before[-1] in {"not", "no"}:
        return False
    if before[-2:] == ["up", "to"] or before[-2:] in (["limit", "of"], ["maximum", "of"], ["limit", "to"]):
        return False
    chosen = before[:-1] if before[-1] in {"the", "these", "those", "our"} else before
    return chosen[-2:] not in (["one", "of"], ["any", "of"], ["either", "of"], ["some", "of"], ["none", "of"])


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
