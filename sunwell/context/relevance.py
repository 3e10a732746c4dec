"""How much the files of a workspace, and the definitions in them, have to do with a task.

Words and identifiers of the task are looked for in paths, names and text, rare ones counting most (BM25).
What relevant definitions call, and what calls them, gains a part of their relevance, and so does what a
relevant file imports, and what imports it.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Self

import attrs

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[^\W\d_]{2,}|\d{3,}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_MARKED = re.compile(r"(?<!`)`++([^`\n]++)`+|(?<![\w.])\"([\w.]++)\"|(?<!\*)\*([\w.]++)\*")
_RUN = re.compile(r"[\w.]++(?:\(\))?")
_LONGEST_NAME = 200  # what is longer is data, and searching it for names takes time by its square
_IDENTIFIER = re.compile(
    r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|\w*_\w+|[A-Za-z]+[a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*|[A-Za-z]\w*(?=\(\))"
)
_EVERYDAY = frozenset(
    """add added adding adds all also and any are based be been but by can change changed changes code
    correct correctly could create created default does done each every fail fails file files fix fixed
    fixes for from generate get gets give given handle handled handles handling has have having if
    implement improve improved in instance instead into is issue it its let make makes may more must new
    no not now of on one only or other otherwise page problem project properly raise raises remove
    removed removes rename should some such support supported supports than that the their them then
    there these they this to update updated use used uses using value values was way were what when
    where which while who will with without work works write wrong you your python class function method
    module package test tests""".split()  # noqa: SIM905 - a list is a page long
)
_K1, _B = 1.2, 0.6
_IDENTIFIER_WEIGHT, _MARKED_WEIGHT = 3.0, 2.0
_NAME_TIMES, _PATH_TIMES = 4, 3
"""So often counts a word in the name of a definition, and in the path of a file."""
_NEIGHBOUR_SHARE = 0.15
_EXACT_SHARE = 0.5
"""What the task names exactly gains so much of the best score."""
_CALLED_SHARE = 0.25
_MOST_CALLING = 12  # the best passages whose calls are followed
_MOST_NAMESAKES = 3  # a name that more definitions share says little


@lru_cache(maxsize=50_000)
def stem(word: str) -> str:
    """Return *word* without the usual English endings (approximate)."""
    for ending, least in (("ations", 4), ("ation", 4), ("ings", 4), ("ing", 4), ("ies", 3), ("ied", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return word[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
    for ending in ("ers", "er", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


@lru_cache(maxsize=50_000)
def _forms(word: str) -> tuple[str, ...]:
    parts = [part.lower() for part in _CAMEL.split(word) if part]
    own = (word.lower(),) if len(parts) > 1 else ()
    return (*(stem(part) for part in parts if len(part) > 1), *own)


def words_of(text: str) -> list[str]:
    """Return the stems of the words in *text*; an identifier of several words gives itself, too."""
    return [form for word in _WORD.findall(text) for form in _forms(word)]


@attrs.frozen
class Sought:
    """The words and names that a task is about."""

    weights: Mapping[str, float]
    """Stems of words, and identifiers in lower case; identifiers weigh most."""
    names: frozenset[str]
    """Identifiers as they are written, without what is before a dot."""

    @classmethod
    def of(cls, task: str) -> Self:
        """Return what *task* is about; everyday words are left out."""
        weights: dict[str, float] = {}
        for word in _WORD.findall(task):
            for part in _CAMEL.split(word):
                if len(part) > 1 and part.lower() not in _EVERYDAY:
                    weights.setdefault(stem(part.lower()), 1.0)
        marked = [word for found in _MARKED.findall(task) for word in _WORD.findall(" ".join(found))]
        names: set[str] = set()
        runs = [run for run in _RUN.findall(task) if len(run) <= _LONGEST_NAME]
        for name in [*(name for run in runs for name in _IDENTIFIER.findall(run)), *marked]:
            weight = _MARKED_WEIGHT if name in marked else _IDENTIFIER_WEIGHT
            names.update(name.split("."))
            for piece in name.split("."):
                parts = [part.lower() for part in _CAMEL.split(piece) if part]
                if len(parts) > 1:
                    weights[piece.lower()] = max(weights.get(piece.lower(), 0.0), _IDENTIFIER_WEIGHT)
                for part in parts:
                    if len(part) > 1 and part not in _EVERYDAY:
                        known = weights.get(stem(part), 0.0)
                        weights[stem(part)] = max(known, weight if len(parts) == 1 else 1.0)
        return cls(weights, frozenset(names))

    def hits(self, text: str) -> float:
        """Return the weights of the sought words in *text*."""
        found = set(words_of(text))
        # In the order of the task: a set is walked in another order by each process, and sums would differ.
        return sum(weight for word, weight in self.weights.items() if word in found)

    def in_text(self, text: str) -> float:
        """Return about the same as :meth:`hits`, much faster: words are found inside of others, too."""
        folded = text.lower()
        return sum(weight for word, weight in self.weights.items() if word in folded)


@attrs.frozen
class Passage:
    """A part of a file that is ranked by itself."""

    path: str
    name: str
    """Name of what it defines, after that of its class; empty if it defines nothing."""
    text: str
    worth: float = 1.0
    """By how much its score is multiplied."""


def ranked_passages(sought: Sought, passages: Sequence[Passage]) -> tuple[list[float], float]:
    """Return how well each of *passages* fits what is *sought*, 0 for not at all, and the fit of the best.

    The fit is the share of the sought words, weighted by their rarity, that the passage holds: 0 to 1.
    """
    weights = sought.weights
    counted = [_counts(passage, weights) for passage in passages]
    mean = sum(length for _, length in counted) / len(counted) if counted else 1.0
    holding = Counter(word for counts, _ in counted for word in counts)
    total = len(passages)
    rarity = {word: math.log(1 + (total - holding[word] + 0.5) / (holding[word] + 0.5)) for word in weights}
    scores = []
    for (counts, length), passage in zip(counted, passages, strict=True):
        norm = _K1 * (1 - _B + _B * length / mean)
        score = sum(
            weights[word] * rarity[word] * count * (_K1 + 1) / (count + norm)
            for word, count in counts.items()
        )
        scores.append(score * passage.worth)
    every = sum(weights[word] * rarity[word] for word in weights)
    held = (sum(weights[word] * rarity[word] for word in counts) for counts, _ in counted)
    fit = max(held, default=0.0) / every if every else 0.0
    best = max(scores, default=0.0)
    for at, passage in enumerate(passages):
        named = passage.name.rpartition(" ")[2]
        if named and named in sought.names:
            scores[at] += _EXACT_SHARE * best * passage.worth
    return _with_called(scores, passages), min(1.0, fit)


def _counts(passage: Passage, sought: Mapping[str, float]) -> tuple[dict[str, int], int]:
    words = words_of(passage.text)
    counts = Counter(word for word in words if word in sought)
    for word in words_of(passage.name):
        if word in sought:
            counts[word] += _NAME_TIMES
    for word in words_of(passage.path.rpartition(".")[0] or passage.path):  # an ending tells little
        if word in sought:
            counts[word] += _PATH_TIMES
    return dict(counts), len(words) + 1


def _with_called(scores: Sequence[float], passages: Sequence[Passage]) -> list[float]:
    """Return *scores*, raised for definitions that the best passages mention by name."""
    defined: dict[str, list[int]] = defaultdict(list)
    for at, passage in enumerate(passages):
        name = passage.name.rpartition(" ")[2]
        if len(name) > 3:
            defined[name].append(at)
    out = list(scores)
    order = sorted(range(len(passages)), key=lambda at: (-scores[at], at))
    for at in order[:_MOST_CALLING]:
        for name in sorted(set(_WORD.findall(passages[at].text))):
            others = defined.get(name, ())
            if len(others) <= _MOST_NAMESAKES:
                for other in others:
                    gained = scores[other] + _CALLED_SHARE * scores[at] * passages[other].worth
                    out[other] = max(out[other], gained) if other != at else out[other]
    return out


def with_neighbours(own: Mapping[str, float], edges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return the scores *own* by path, each with a share of the best one that imports ties it to."""
    gained = dict.fromkeys(own, 0.0)
    for one, other in edges:
        if one in own and other in own:
            gained[one] = max(gained[one], own[other])
            gained[other] = max(gained[other], own[one])
    return {path: score + _NEIGHBOUR_SHARE * gained[path] for path, score in own.items()}
