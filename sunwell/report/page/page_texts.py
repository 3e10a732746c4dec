"""The texts of a page: each stands there once, long ones are cut, and all together have a limit."""

import hashlib
import json
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from sunwell.report.page.page_data import PageText, TextId

TEXTS_BYTES, DIFFS_BYTES = 24_000_000, 4_000_000
"""Most that the texts of records take in a page, and besides what is shown of changed files."""
_HEAD_CHARACTERS, _TAIL_CHARACTERS = 14_000, 6_000
_SHORT_CHARACTERS = 400
_DIGEST_BYTES = 12
_ESCAPED = ("<", ">", "&", "\u2028", "\u2029")
_ESCAPE_BYTES = 6


@attrs.define(eq=False)
class PageTexts:
    """Texts by ids that are made of their content.

    A text of more than 20,000 characters keeps its first 14,000 and its last 6,000. Once all that is kept
    takes ``most_bytes`` in a page, each further text keeps its first 400 characters.
    """

    most_bytes: int = TEXTS_BYTES
    _shown: dict[TextId, PageText] = attrs.field(factory=dict, init=False)
    _bytes: int = attrs.field(default=0, init=False)

    @property
    def shown(self) -> Mapping[TextId, PageText]:
        """The texts by their ids, in the order in which they came: a view that grows."""
        return MappingProxyType(self._shown)

    def add(self, text: str) -> TextId:
        """Return the id of *text*, which is kept if it is new; an empty text has an empty id."""
        if not text:
            return ""
        # A name of a file may hold half of a surrogate pair, which plain UTF-8 refuses.
        data = text.encode("utf-8", "surrogatepass")
        name = hashlib.blake2b(data, digest_size=_DIGEST_BYTES).hexdigest()
        if name not in self._shown:
            self._shown[name] = self._fitted(text)
        return name

    def _fitted(self, text: str) -> PageText:
        found = _cut(text, _HEAD_CHARACTERS, _TAIL_CHARACTERS)
        size = _size(found)
        if self._bytes + size > self.most_bytes:
            return _cut(text, _SHORT_CHARACTERS, 0)
        self._bytes += size
        return found


def _cut(text: str, head: int, tail: int) -> PageText:
    left_out = len(text) - head - tail
    if left_out <= 0:
        return PageText(text)
    return PageText(text[:head], text[len(text) - tail :], left_out)


def _size(text: PageText) -> int:
    """Return the bytes that *text* takes in a page, where it is JSON without signs of HTML."""
    size = 0
    for part in (text.head, text.tail):
        size += len(json.dumps(part, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        size += sum(part.count(sign) for sign in _ESCAPED) * _ESCAPE_BYTES
    return size
