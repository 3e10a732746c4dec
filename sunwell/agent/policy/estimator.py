"""How much output a task will take, guessed from its words."""

import math
import re
from collections.abc import Sequence
from itertools import pairwise, takewhile

import attrs

from sunwell.agent.policy.task_words import (
    ACTIONS,
    BREAKS_A_GROUP,
    EVERYTHING,
    EVERYTHING_PLACES,
    PROSE,
    SINGULARS,
    SIZES_TOKENS,
    Count,
    counts,
    is_english,
    known_noun,
    languages,
    looks_plural,
    main_verb,
    plain_words,
    said,
    split_material,
    takes_up_context,
    task_clauses,
)
from sunwell.core.price import OutputEstimate

UNKNOWN_TOKENS = 800
"""What a task is taken for that says nothing the estimator knows."""
MOST_TOKENS = 10_000_000
_NOTHING_KNOWN = f"the task says nothing that is known: {UNKNOWN_TOKENS:,} tokens assumed"

_OVERHEAD_TOKENS = 150  # tool calls that look around, and the closing answer
_PROSE_OVERHEAD_TOKENS = 40  # nothing to look at
_READ_TOKENS = 600
_TOUCH_TOKENS = 250  # one changed place: the call that changes it, and the text around it
_REWORK_SHARE = 0.8  # of a thing's size is written again
_UNKNOWN_REWORK_TOKENS = 1_500  # what is worked over exists already, and seldom is small
_PRONOUN_TOKENS = 300  # "and document it": something that belongs to what was made
_SEVERAL_ASSUMED = 10  # "the messages in en.json"
_SMALL_TOKENS = 150
_SMALL_IN_LARGE = 3
_LONG_TASK_WORDS = 40  # beyond this each word is one more thing asked for,
_MOST_EXTRA_WORDS = 400  # up to a point: what is longer holds logs or code that somebody pasted
_TOKENS_PER_EXTRA_WORD = 8
_MOST_CLAUSES = 30
_TOKENS_PER = {"word": 1.35, "line": 10.0, "token": 1.0, "page": 500.0, "character": 0.3}
# With more of them each is smaller: 100 things that nobody knows are seldom 100 files.
_UNKNOWN_EXPONENT = 0.6

# How far the truth may be from the expected output, as a factor in either direction.
_SPREAD_ASKED = 1.8
_SPREAD_COUNTED = 2.6
_SPREAD_KNOWN = 3.0
_SPREAD_UNKNOWN = 4.0
_SPREAD_ALL = 4.5
_SPREAD_FOREIGN = 5.2

_ASKED_SIZE = re.compile(
    r"(?<![^ ])([0-9]{1,6})[- ](words?|lines?|tokens?|characters?|page)(?: (?:of code|each|long))?(?![^ ])"
)
_SENTENCES = re.compile(r"\bin (?:a|one|two|three|four|five|[1-9]) (sentence|paragraph|line)s?(?: each)?\b")
_FACTORS = (
    (re.compile(r"\b(?:small|simple|quick|minimal|short|tiny|brief|trivial|one-line)\b"), 0.6),
    (re.compile(r"\b(?:complete|comprehensive|detailed|full|large|extensive|thorough|production)\b"), 1.6),
)
_EXTRAS = ("including", "with", "plus")
_VARIANTS = frozenset({"variants", "variations", "versions", "alternatives", "drafts", "translations"})
_OF_EACH = frozenset({"tests", "documentation", "docs", "authentication"})
_LINE_OF_CONTENT_TOKENS = 60
# What is made for each of several things: as share of their size, and at least so many tokens.
_SHARES = {
    "tests": (1.2, 300),
    "test": (1.2, 300),
    "suite": (1.2, 300),
    "documentation": (0.5, 150),
    "docs": (0.5, 150),
}
_PRONOUNS = frozenset({"it", "them", "this", "that", "these", "those", "everything"})


@attrs.define(eq=False)
class _Guess:
    """The output of one clause, and what it rests on."""

    tokens: float
    spread: float
    counted: list[str] = attrs.field(factory=list)
    unknown: list[str] = attrs.field(factory=list)


def estimate_output_tokens(task: str) -> int:
    """Return the expected output of the whole *task* in tokens, all its turns together.

    It is the expected figure of :func:`estimate_output`, which also gives the range.
    """
    return estimate_output(task).expected_tokens


def estimate_output(task: str) -> OutputEstimate:
    """Return the expected output of a task in tokens, all turns together, as a range with reasons.

    It is read from English words: what is to be done, to what kind of thing, and to how many of them. A
    number with any plural counts. Punctuation, line breaks and capitals change nothing. The expected
    figure is right within a factor of three on common tasks. The range is wider if the task does not
    say how many, names things that are not known, or is not in English. It is no bound. A task that
    says nothing known counts as 800 tokens.
    """
    text, material = split_material(task)
    words = plain_words(text)
    english = is_english(words)
    guesses = [_clause(clause, english) for clause in task_clauses(words)[:_MOST_CLAUSES]]
    known = [guess for guess in guesses if guess is not None]
    if not known:
        known = [_Guess(UNKNOWN_TOKENS, _SPREAD_UNKNOWN, [], [_NOTHING_KNOWN])]
    extra_words = min(max(0, len(words) + len(plain_words(material)) - _LONG_TASK_WORDS), _MOST_EXTRA_WORDS)
    extra = _Guess(extra_words * _TOKENS_PER_EXTRA_WORD, _SPREAD_KNOWN)
    overhead = _Guess(_PROSE_OVERHEAD_TOKENS if _is_prose(words) else _OVERHEAD_TOKENS, _SPREAD_KNOWN)
    parts = [*known, extra, overhead]
    least = 1.0 if english else _SPREAD_FOREIGN
    expected = sum(part.tokens for part in parts)
    low = sum(part.tokens / max(part.spread, least) for part in parts)
    high = sum(part.tokens * max(part.spread, least) for part in parts)
    unknown = [] if english else ["the task is not in English: the estimate is a guess"]
    unknown += [sentence for guess in known for sentence in guess.unknown]
    return OutputEstimate(
        _rounded(expected),
        _rounded(low),
        _rounded(high),
        tuple(dict.fromkeys(sentence for guess in known for sentence in guess.counted)),
        tuple(dict.fromkeys(unknown)),
    )


def _rounded(tokens: float) -> int:
    """Return *tokens* with two digits that say something: more would look like knowledge."""
    digits = len(str(round(tokens)))
    return min(MOST_TOKENS, max(1, round(round(tokens), min(0, 2 - digits))))


def _is_prose(words: Sequence[str]) -> bool:
    """Whether the first thing that *words* name is text for which nothing must be looked at."""
    first = next((noun for noun in map(known_noun, words) if noun is not None), None)
    return first in PROSE and not any("." in word or "/" in word for word in words)


def _clause(words: Sequence[str], english: bool) -> _Guess | None:
    """Return the output that one clause asks for; ``None`` if it asks for nothing known."""
    verb = main_verb(words) if english else None
    action = ACTIONS[words[verb]] if verb is not None else None
    several = counts(words, english)
    if verb and not takes_up_context(words, verb):
        several = [one for one in several if one.at >= verb]
    text = " ".join(words)
    if action is None and not several and not EVERYTHING.search(text):
        return None
    start = verb + 1 if verb is not None else 0
    guess = _WORK[action or "make"](words, start, several, text)
    if action is None:
        guess.spread = max(guess.spread, _SPREAD_UNKNOWN)
    for pattern, factor in _FACTORS:
        if pattern.search(text) and _asked_tokens(text) is None:
            guess.tokens *= factor
    return guess


def _make(words: Sequence[str], start: int, several: list[Count], text: str) -> _Guess:
    split = next((at for at in range(start, len(words)) if words[at] in _EXTRAS), len(words))
    own = [one for one in several if one.at < split]
    beside = _beside(words, _head(words[:split], start, own), own)
    own = [one for one in own if one not in beside]
    guess = _made(words[:split], start, own, text)
    made = max(1, _number_of(own))
    for one in beside:
        _add(guess, one, made if one.is_for_each else 1)
    for one in (one for one in several if one.at >= split):
        _add(guess, one, made if one.is_for_each or _each_has(words, split) else 1)
    if split < len(words) and len(own) == len(several):
        largest = guess.tokens / made if made > 1 else math.inf  # "15 components with tests"
        guess.tokens += (
            0.5 * made * sum(min(largest, SIZES_TOKENS[noun]) for _, noun in _things(words[split:]))
        )
    return guess


def _beside(words: Sequence[str], head: "_FirstThing | None", several: list[Count]) -> list[Count]:
    """Return what is made beside the head: "10 haiku and 5 limericks".

    It is nothing if the head has no number: in "tests for 14 handlers and 3 services" both are for tests.
    """
    if head is None or not any(one.at <= head.at < one.end for one in several):
        return []
    return [one for one in several if one.at > head.at and _is_joined(words, one)]


def _each_has(words: Sequence[str], split: int) -> bool:
    return split > 0 and words[split - 1] == "each"


def _made(words: Sequence[str], start: int, several: list[Count], text: str) -> _Guess:
    """Return what the thing that is made takes, so often as the task counts it."""
    asked = _asked_tokens(text)
    head = _head(words, start, several)
    own = next((one for one in several if one.at <= head.at < one.end), None) if head else None
    others = [one for one in several if one is not own and not _is_a_measure(one, text)]
    target = others[0] if others else None
    noun = own.noun if own else (head.noun if head else None)
    if own is not None and own.noun is None and words[own.end - 1] in _VARIANTS:
        noun = target.noun if target else next((n for _, n in _things(words[own.end :])), None)
        own = attrs.evolve(own, is_for_each=True)
    if "crud" in words:
        noun = "crud"
    one = _one_about(words, head, own, target)
    if one is not None and asked is None:
        return one
    size = asked if asked is not None else _size(noun, own, target)
    number, guess = _multiplied(own, others, words, start)
    if number == 1 and head is not None and words[head.at] in SINGULARS:
        number = _enumerated(words[head.at + 2 :])  # "endpoints for users, orders and products"
    exact = all(one.is_exact for one in several)
    if size is None and number == 1:
        return _single_unknown(words[start:], guess)
    if size is None:
        each = UNKNOWN_TOKENS * number ** (_UNKNOWN_EXPONENT - 1)
        named = f'"{_named(own, others, number)}"' if own or others else "what is made"
        guess.unknown.append(f"{named} is no known kind of thing: {_times(number, each)}")
        guess.tokens, guess.spread = each * number, max(guess.spread, _SPREAD_UNKNOWN)
        return guess
    guess.tokens = size * number
    if number > 1:
        shown = _named(own, others, number) or said([words[head.at]] if head else [])
        guess.counted.append(f"{shown}: {_times(number, size)}")
    if asked is not None and exact:
        guess.spread = min(guess.spread, _SPREAD_ASKED)
    return guess


def _named(own: Count | None, others: Sequence[Count], number: int) -> str:
    """Return the words that made *number*."""
    several = [one for one in (own, *others) if one is not None]
    alone = next((one for one in several if one.count == number), None)
    return alone.words if alone else ", ".join(one.words for one in several)


def _one_about(
    words: Sequence[str], head: "_FirstThing | None", own: Count | None, target: Count | None
) -> _Guess | None:
    """Return what one thing about several others takes, such as "a table of 50 countries".

    ``None`` if the task does not ask for one thing alone.
    """
    if head is None or head.noun is None or own is not None or target is None:
        return None
    between = words[head.at + 1 : target.at]
    is_one = words[head.at] == head.noun and head.noun not in _OF_EACH and "crud" not in words
    if not is_one or not between or between[0] not in {"of", "for", "about", "from"}:
        return None
    if "each" in between or "every" in between or words[target.at] in {"each", "every"}:
        return None
    size = SIZES_TOKENS[head.noun]
    each = min(_LINE_OF_CONTENT_TOKENS, SIZES_TOKENS.get(target.noun or "", _LINE_OF_CONTENT_TOKENS))
    spread = _SPREAD_KNOWN if target.is_exact else _SPREAD_ALL
    line = f"{target.words}: {size:,} and {_times(target.count, each)}"
    unknown = [] if target.is_exact else [_assumed(target)]
    return _Guess(size + target.count * each, spread, [line], unknown)


@attrs.frozen
class _FirstThing:
    at: int
    noun: str | None


def _head(words: Sequence[str], start: int, several: list[Count]) -> _FirstThing | None:
    """Return the first thing that *words* name: a known noun, or anything with a number."""
    things = [_FirstThing(start + at, noun) for at, noun in _things(words[start:])]
    counted = [_FirstThing(one.end - 1, one.noun) for one in several if one.at >= start]
    return min((*things, *counted), key=lambda one: one.at, default=None)


def _multiplied(
    own: Count | None, others: list[Count], words: Sequence[str], start: int
) -> tuple[int, _Guess]:
    """Return how often the thing is made, and a guess with the spread that follows from it."""
    spread = _SPREAD_KNOWN
    unknown: list[str] = []
    number = own.count if own else 1
    exact = [one for one in others if one.is_exact]
    for_each = own is not None and own.is_for_each
    decisive = exact or others
    things = [one for one in decisive if one.noun != "language"]
    if things:
        joined = [one.count for one in things[1:] if _is_joined(words, one)]
        counted = max(max(one.count for one in things), things[0].count + sum(joined))
        multiplies = own is None or for_each or any(one.is_for_each for one in others)
        number = number * counted if multiplies else max(number, counted)
    number *= max((one.count for one in decisive if one.noun == "language"), default=1)
    if own is not None or others:
        counts_taken = [one for one in (own, *decisive) if one is not None]
        if all(one.is_exact for one in counts_taken):
            spread = _SPREAD_COUNTED
        else:
            spread = _SPREAD_ALL
            unknown += [_assumed(one) for one in counts_taken if not one.is_exact]
    elif EVERYTHING.search(" ".join(words)):
        number, spread = EVERYTHING_PLACES, _SPREAD_ALL
        unknown.append(_places())
    return number, _Guess(0, spread, [], unknown)


def _is_joined(words: Sequence[str], one: Count) -> bool:
    """Whether *one* goes beside what stands before it: "14 handlers and 3 services"."""
    return one.at > 0 and (words[one.at - 1] in {"and", "plus", "or"} or looks_plural(words[one.at - 1]))


def _assumed(one: Count) -> str:
    return f'the number of "{one.words}" is not given: {one.count:,} assumed'


def _places() -> str:
    return f"the number of places is not given: {EVERYTHING_PLACES} assumed"


def _times(number: int, size: float) -> str:
    return f"{number:,} x {round(size):,} tokens"


def _single_unknown(words: Sequence[str], guess: _Guess) -> _Guess:
    if any(word in _PRONOUNS for word in words[:2]):
        guess.tokens = _PRONOUN_TOKENS
        return guess
    guess.tokens, guess.spread = UNKNOWN_TOKENS, max(guess.spread, _SPREAD_UNKNOWN)
    content = [word for word in words if word not in {"a", "an", "the", "our", "my"} and word[0].isalpha()]
    thing = said(list(takewhile(lambda word: word not in BREAKS_A_GROUP, content))[:3])
    named = f'"{thing}" is no known kind of thing' if thing else "the task does not say what is made"
    guess.unknown.append(f"{named}: {UNKNOWN_TOKENS:,} tokens assumed")
    return guess


def _size(noun: str | None, own: Count | None, target: Count | None) -> float | None:
    """Return what one *noun* takes; ``None`` if it is not known. It may depend on what it is made for."""
    if noun is None:
        return None
    size = SIZES_TOKENS[noun]
    if own is not None or target is None or target.noun is None:
        return size
    whole = SIZES_TOKENS[target.noun]
    if noun in _SHARES:
        share, least = _SHARES[noun]
        return max(least, min(size, share * whole))
    # "type hints to all files": a file takes several
    return _SMALL_IN_LARGE * size if size <= _SMALL_TOKENS and whole >= SIZES_TOKENS["file"] else size


def _add(guess: _Guess, one: Count, times: int) -> None:
    """Add what comes with the thing made, *times* over."""
    number = one.count * times
    size = SIZES_TOKENS[one.noun] if one.noun else UNKNOWN_TOKENS * number ** (_UNKNOWN_EXPONENT - 1)
    guess.tokens += number * size
    line = f"{one.words}{' for each' if times > 1 else ''}: {_times(number, size)}"
    (guess.counted if one.is_exact and one.noun else guess.unknown).append(line)
    if not one.is_exact:
        guess.spread = max(guess.spread, _SPREAD_ALL)
    elif one.noun is None:
        guess.spread = max(guess.spread, _SPREAD_UNKNOWN)


def _number_of(several: Sequence[Count]) -> int:
    return max((one.count for one in several), default=1)


def _rework(words: Sequence[str], start: int, several: list[Count], text: str) -> _Guess:
    spoken = [one for one in several if one.noun == "language"]  # "into 3 languages"
    others = [one for one in several if one.noun != "language"]
    into = max(languages(words), _number_of(spoken), 1)
    source = _before_result(words[start:])
    things = [(at, noun) for at, noun in _things(source) if noun != "language"]
    decisive = _decisive(others)
    number, guess = _multiplied(None, decisive, words, start)
    if not decisive and number == 1:
        number = _enumerated(words)
    known = [SIZES_TOKENS[one.noun] for one in others if one.noun is not None]
    size: float | None = max(known, default=None)
    if size is None and not others and things:
        at, noun = things[0]
        size = SIZES_TOKENS[noun]
        if number == 1 and source[at] in SINGULARS and size <= _SMALL_TOKENS:
            number, guess.spread = _SEVERAL_ASSUMED, _SPREAD_ALL
            guess.unknown.append(f'the number of "{said([source[at]])}" is not given: {number} assumed')
    asked = _asked_tokens(text)
    if asked is not None:
        size, guess.spread = asked / _REWORK_SHARE, _SPREAD_ASKED
    if size is None and not decisive and any(word in _PRONOUNS for word in source[:2]):
        size, number = _UNKNOWN_REWORK_TOKENS, 1  # what the task spoke of before
    if size is None:
        return _unknown_rework(number * into, guess)
    each = _REWORK_SHARE * size
    guess.tokens = each * number * into
    if number * into > 1:
        named = [one.words for one in (*decisive, *spoken)]
        named += [f"{languages(words)} languages"] if languages(words) > 1 else []
        guess.counted.append(f"{', '.join(named) or f'{number} things'}: {_times(number * into, each)}")
    return guess


def _unknown_rework(number: int, guess: _Guess) -> _Guess:
    total = UNKNOWN_TOKENS * float(number) ** _UNKNOWN_EXPONENT
    guess.tokens = _REWORK_SHARE * max(total, _UNKNOWN_REWORK_TOKENS)
    guess.spread = max(guess.spread, _SPREAD_UNKNOWN)
    guess.unknown.append(f"what is changed is no known kind of thing: {round(guess.tokens):,} tokens assumed")
    return guess


def _before_result(words: Sequence[str]) -> Sequence[str]:
    """Return the part of *words* that says what is worked over, not what it becomes."""
    at = next((at for at, word in enumerate(words) if word in {"into", "to"}), len(words))
    return words[:at] if at else words


def _touch(words: Sequence[str], start: int, several: list[Count], text: str) -> _Guess:
    number, guess = _multiplied(None, _decisive(several), words, start)
    guess.tokens = _TOUCH_TOKENS * number
    if several:
        guess.counted.append(f"{_decisive(several)[0].words}: {_times(number, _TOUCH_TOKENS)}")
    elif not _things(words[start:]) and not any(sign in word for word in words[start:] for sign in "._/"):
        guess.spread = max(guess.spread, _SPREAD_UNKNOWN)
    return guess


def _read(words: Sequence[str], start: int, several: list[Count], text: str) -> _Guess:
    measured = _SENTENCES.search(text)
    things = [one for one in _decisive(several) if not _is_a_measure(one, text)]
    number, guess = _multiplied(None, things, words, start)
    guess.tokens = _READ_TOKENS * math.sqrt(number)
    if things:
        guess.counted.append(f"{things[0].words}: {_times(number, guess.tokens / number)}")
    if measured and number > 1 and "each" in words:
        each = 2 * SIZES_TOKENS["sentence" if measured.group(1) == "line" else measured.group(1)]
        guess.tokens += number * each
        guess.counted.append(f"{measured.group()}: {_times(number, each)}")
    return guess


def _decisive(several: list[Count]) -> list[Count]:
    return [one for one in several if one.is_exact] or several


_WORK = {"make": _make, "rework": _rework, "touch": _touch, "read": _read}


def _is_a_measure(one: Count, text: str) -> bool:
    """Whether a count says how long something is to be: "in two sentences each"."""
    measured = _SENTENCES.search(text)
    return measured is not None and one.words in measured.group()


def _asked_tokens(text: str) -> float | None:
    asked = _ASKED_SIZE.search(text)
    return int(asked.group(1)) * _TOKENS_PER[asked.group(2).removesuffix("s")] if asked else None


def _things(words: Sequence[str]) -> list[tuple[int, str]]:
    """Return the known nouns among *words* with their places, compounds by their last word, in order."""
    found: list[tuple[int, str]] = []
    for at, word in enumerate(words):
        noun = known_noun(word)
        if noun is None:
            continue
        if found and found[-1][0] == at - 1:  # "database migration", "test suite": the last word says what
            found.pop()
        found.append((at, noun))
    return found


def _enumerated(words: Sequence[str]) -> int:
    """Return how many plurals *words* name side by side, as in "invoices payments and refunds"; or 1."""
    most = run = 1
    for before, word in pairwise(words):
        if looks_plural(word) and (looks_plural(before) or (before == "and" and run > 1)):
            run += 1
        elif word != "and" or run == 1:
            run = 1
        most = max(most, run)
    return most
