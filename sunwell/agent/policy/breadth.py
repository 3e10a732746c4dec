"""How many things a task is about, read from its words alone."""

import re
from collections.abc import Mapping

import attrs


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
_WORD = re.compile(r"-?[^\W_]+(?:[-./'\u2019_@:#][^\W_]+)*[%+#]?|[,.;:!?()\n]")
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
    for word in _WORD.findall(text.lower()):
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
