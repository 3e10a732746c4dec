"""OpenAI's vocabularies, shipped with the package, and the number of tokens of a text in them.

``tiktoken`` itself would download a vocabulary when it is first used. Here its tokenizer is built from the
package's own files instead: without network, without a cache folder, and without a variable that names one.
"""

import functools
import importlib.util
import re
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

import attrs

from sunwell.core.threads import in_thread

if TYPE_CHECKING:
    import tiktoken

VocabularyName = Literal["o200k_base", "cl100k_base"]


@attrs.frozen
class Vocabulary:
    """A vocabulary as ``tiktoken`` defines it."""

    name: VocabularyName
    tokens: int
    sha256: str
    """Of the file in OpenAI's format, from which the stored one was made."""
    pattern: str
    """How a text is split before its pieces are encoded."""


_WORD_START = r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"""
_ENDING = r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)?"""

VOCABULARIES: Mapping[VocabularyName, Vocabulary] = {
    one.name: one
    for one in (
        Vocabulary(
            "o200k_base",
            199_998,
            "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
            rf"""{_WORD_START}*[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]+{_ENDING}"""
            rf"""|{_WORD_START}+[\p{{Ll}}\p{{Lm}}\p{{Lo}}\p{{M}}]*{_ENDING}"""
            r"""|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
        ),
        Vocabulary(
            "cl100k_base",
            100_256,
            "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
            r"""'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}++|\p{N}{1,3}+| ?[^\s\p{L}\p{N}]++[\r\n]*+"""
            r"""|\s++$|\s*[\r\n]|\s+(?!\S)|\s""",
        ),
    )
}
"""By name."""

_LONGEST_SPACE = 10_000
_LONG_SPACE = re.compile(rf"\s{{{_LONGEST_SPACE + 1},}}")
_loaded: dict[VocabularyName, "tiktoken.Encoding"] = {}
_loading = threading.Lock()  # two threads that load one vocabulary would both take the time and the memory


def count_text(text: str, name: VocabularyName = "o200k_base") -> int:
    """Return the number of tokens of *text*; names of special tokens count as the text that they are.

    The first count in a vocabulary loads it, which takes a quarter of a second: see :func:`load_in_thread`.
    A run of more than 10,000 whitespace characters counts as its bytes, which is more than it has.
    """
    encoding = _loaded.get(name) or load(name)
    if not _LONG_SPACE.search(text):
        return _encoded(encoding, text)
    # The tokenizer gives up, with an error that is no Exception, after a million steps in one run.
    counted = 0
    for piece in re.split(rf"({_LONG_SPACE.pattern})", text):
        counted += len(piece.encode()) if _LONG_SPACE.fullmatch(piece) else _encoded(encoding, piece)
    return counted


def _encoded(encoding: "tiktoken.Encoding", text: str) -> int:
    return len(encoding.encode_ordinary(text))


@functools.cache
def can_load() -> bool:
    """Whether a vocabulary can be loaded: a Python that was built without ``lzma`` cannot unpack one."""
    return importlib.util.find_spec("_lzma") is not None


def is_loaded(name: VocabularyName) -> bool:
    """Whether a count in the vocabulary *name* begins at once."""
    return name in _loaded


def load(name: VocabularyName) -> "tiktoken.Encoding":
    """Load the vocabulary *name* unless that was done already, and return its tokenizer."""
    with _loading:
        if name not in _loaded:
            _loaded[name] = _built(VOCABULARIES[name])
        return _loaded[name]


async def load_in_thread(name: VocabularyName) -> None:
    """Load the vocabulary *name* while the event loop goes on."""
    if name not in _loaded:
        await in_thread(load, name)


def _built(vocabulary: Vocabulary) -> "tiktoken.Encoding":
    import lzma
    from importlib.resources import files
    from itertools import accumulate, pairwise

    import tiktoken

    stored = files("sunwell.models") / "vocabularies" / f"{vocabulary.name}.xz"
    data = lzma.decompress(stored.read_bytes())
    lengths = data[: vocabulary.tokens]
    places = pairwise(accumulate(lengths, initial=vocabulary.tokens))
    ranks = {data[start:end]: number for number, (start, end) in enumerate(places)}
    # Special tokens are left out: no text is encoded to one here.
    return tiktoken.Encoding(
        vocabulary.name, pat_str=vocabulary.pattern, mergeable_ranks=ranks, special_tokens={}
    )
