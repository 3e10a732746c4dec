"""The texts of a page: each stands there once, and long ones are cut in the middle."""

import hashlib
from collections.abc import Mapping
from types import MappingProxyType

import attrs

from sunwell.report.page.page_data import PageText, TextId

LONGEST_CHARACTERS = 20_000
"""A longer text shows its first and its last part."""

HEAD_CHARACTERS = 14_000
TAIL_CHARACTERS = 6_000

MAX_POOL_BYTES = 24_000_000
"""What the shown parts of all texts may take together, as UTF-8."""

SHORT_CHARACTERS = 400
"""How much of a text shows if the pool has no room for more."""


@attrs.define(eq=False)
class TextPool:
    """Keeps each text once, under an id that is made of its hash."""

    max_bytes: int = MAX_POOL_BYTES
    _texts: dict[TextId, PageText] = attrs.field(factory=dict, init=False)
    _used_bytes: int = attrs.field(default=0, init=False)

    @property
    def texts(self) -> Mapping[TextId, PageText]:
        """The texts by their ids, in the order in which they came: a view that grows with the pool."""
        return MappingProxyType(self._texts)

    def add(self, text: str) -> TextId:
        """Keep *text*, cut if it is long, and return its id; the empty text has the empty id.

        A text that has no room any more shows its first 400 characters, so a pool that is full still grows
        by a little with each text.
        """
        if not text:
            return ""
        # A name of a file may hold half of a surrogate pair, which plain UTF-8 refuses.
        found = hashlib.blake2b(text.encode("utf-8", "surrogatepass")).hexdigest()[:12]
        if found not in self._texts:
            self._texts[found] = self._cut(text)
        return found

    def _cut(self, text: str) -> PageText:
        shown = PageText(text)
        if len(text) > LONGEST_CHARACTERS:
            left_out = len(text) - HEAD_CHARACTERS - TAIL_CHARACTERS
            shown = PageText(text[:HEAD_CHARACTERS], text[-TAIL_CHARACTERS:], left_out)
        if self._used_bytes + _bytes(shown) > self.max_bytes and len(text) > SHORT_CHARACTERS:
            shown = PageText(text[:SHORT_CHARACTERS], "", len(text) - SHORT_CHARACTERS)
        self._used_bytes += _bytes(shown)
        return shown


def _bytes(shown: PageText) -> int:
    return sum(len(part.encode("utf-8", "surrogatepass")) for part in (shown.head, shown.tail))


PageTexts = TextPool
DIFFS_BYTES = 4_000_000
"""What the diffs of files may take together, beside all other texts."""
