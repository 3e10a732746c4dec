"""How much the files of a workspace, and the definitions in them, have to do with a task.

Words and identifiers of the task are looked for in paths, names and text, rare ones counting most (BM25).
What a relevant file imports, and what imports it, gains a part of its relevance.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

import attrs

_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|[^\W\d_]{2,}|\d{3,}")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+")
_MARKED = re.compile(r"`+([^`\n]+)`+|\"([\w.]+)\"")
_IDENTIFIER = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+|\w*_\w+|[A-Za-z]+[a-z0-9]+[A-Z]\w*|[A-Z]{2,}[a-z]\w*")
_EVERYDAY = frozenset(
    """add added adding adds all also and are based be been but by can change changed changes code correct
    correctly could create created default does done each every fail fails file files fix fixed fixes for from
    generate get gets give given handle handled handles handling has have having if implement improve improved in
    instance instead into is issue it its let make makes may more must new no not now of on one only or other
    otherwise page problem project properly raise raises remove removed removes rename should some such support
    supported supports than that the their them then there these they this to update updated use used uses using
    value values was way were what when where which while who will with without work works write wrong you your
    python class function method module package test tests""".split()  # noqa: SIM905 - a list would be a page long
)
_K1, _B = 1.2, 0.6
_IDENTIFIER_WEIGHT, _MARKED_WEIGHT = 3.0, 2.0
_NAME_TIMES, _PATH_TIMES = 4, 3
"""A word in the name of a definition, or in the path of a file, counts as often as if it stood there so often."""
_NEIGHBOUR_SHARE = 0.15


def stem(word: str) -> str:
    """Return *word* without the usual English endings (approximate)."""
    for ending, least in (("ations", 4), ("ation", 4), ("ings", 4), ("ing", 4), ("ies", 3), ("ied", 3)):
        if word.endswith(ending) and len(word) - len(ending) >= least:
            return word[: -len(ending)] + ("y" if ending in ("ies", "ied") else "")
    for ending in ("ers", "er", "ed", "es", "s", "e"):
        if word.endswith(ending) and len(word) - len(ending) >= 3 and not word.endswith("ss"):
            return word[: -len(ending)]
    return word


def words_of(text: str) -> list[str]:
    """Return the stems of the words in *text*; an identifier gives its parts, and itself if it has several."""
    found: list[str] = []
    for word in _WORD.findall(text):
        parts = [part.lower() for part in _CAMEL.split(word) if part]
        found += [stem(part) for part in parts if len(part) > 1]
        if len(parts) > 1:
            found.append(word.lower())
    return found


def wanted_words(task: str) -> dict[str, float]:
    """Return the words that *task* is about, with their weights; identifiers weigh most."""
    weights: dict[str, float] = {}
    for word in _WORD.findall(task):
        for part in _CAMEL.split(word):
            if len(part) > 1 and part.lower() not in _EVERYDAY:
                weights.setdefault(stem(part.lower()), 1.0)
    marked = [one or other for one, other in _MARKED.findall(task)]
    for name in [*_IDENTIFIER.findall(task), *(part for text in marked for part in _WORD.findall(text))]:
        weight = _MARKED_WEIGHT if name in marked else _IDENTIFIER_WEIGHT
        for piece in name.split("."):
            parts = [part.lower() for part in _CAMEL.split(piece) if part]
            if len(parts) > 1:
                weights[piece.lower()] = max(weights.get(piece.lower(), 0.0), _IDENTIFIER_WEIGHT)
            for part in parts:
                if len(part) > 1 and part not in _EVERYDAY:
                    known = weights.get(stem(part), 0.0)
                    weights[stem(part)] = max(known, weight if len(parts) == 1 else 1.0)
    return weights


@attrs.frozen
class Passage:
    """A part of a file that is ranked by itself."""

    path: str
    name: str
    """Name of what it defines, with that of its class; empty for a whole file."""
    text: str


def scores(wanted: Mapping[str, float], passages: Sequence[Passage]) -> list[float]:
    """Return how well each of *passages* fits the *wanted* words, 0 for not at all."""
    counted = [_counts(passage, wanted) for passage in passages]
    lengths = [length for _, length in counted]
    mean = sum(lengths) / len(lengths) if lengths else 1.0
    holding = Counter(word for counts, _ in counted for word in counts)
    total = len(passages)
    rarity = {word: math.log(1 + (total - n + 0.5) / (n + 0.5)) for word, n in holding.items()}
    out = []
    for counts, length in counted:
        norm = _K1 * (1 - _B + _B * length / (mean or 1.0))
        out.append(
            sum(
                wanted[word] * rarity[word] * count * (_K1 + 1) / (count + norm)
                for word, count in counts.items()
            )
        )
    return out


def _counts(passage: Passage, wanted: Mapping[str, float]) -> tuple[dict[str, int], int]:
    words = words_of(passage.text)
    counts = Counter(word for word in words if word in wanted)
    for word in words_of(passage.name):
        if word in wanted:
            counts[word] += _NAME_TIMES
    for word in words_of(passage.path):
        if word in wanted:
            counts[word] += _PATH_TIMES
    return dict(counts), len(words) + 1


def with_neighbours(own: Mapping[str, float], edges: Iterable[tuple[str, str]]) -> dict[str, float]:
    """Return the scores *own* by path, each with a share of the best of those that it is tied to by imports."""
    gained = dict.fromkeys(own, 0.0)
    for one, other in edges:
        if one in own and other in own:
            gained[one] = max(gained[one], own[other])
            gained[other] = max(gained[other], own[one])
    return {path: score + _NEIGHBOUR_SHARE * gained[path] for path, score in own.items()}
