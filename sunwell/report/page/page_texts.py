"""The texts of a page: each stands once, long ones are cut, and all together have a limit."""

import hashlib
import json

import attrs

from sunwell.report.page.page_data import PageText, TextId

_HEAD_CHARACTERS, _TAIL_CHARACTERS = 12_000, 8_000
TEXTS_BYTES, DIFFS_BYTES = 20_000_000, 4_000_000
"""Most that the texts of records take in a page, and what is shown of changed files."""
_HEAD_WHEN_FULL, _TAIL_WHEN_FULL = 300, 100
_ESCAPED = ("<", ">", "&", "\u2028", "\u2029")
_ESCAPE_BYTES = 6


@attrs.define(eq=False)
class PageTexts:
    """Texts by ids that are made of their content.

    A text of more than 20,000 characters keeps its first and last parts. Once all that is kept takes
    ``most_bytes`` in a page, each further text keeps 400 characters.
    """

    most_bytes: int = TEXTS_BYTES
    shown: dict[TextId, PageText] = attrs.field(factory=dict, init=False)
    _bytes: int = attrs.field(default=0, init=False)

    def add(self, text: str) -> TextId:
        """Return the id of *text*, which is kept if it is new; an empty text has an empty id."""
        if not text:
            return ""
        name = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        if name not in self.shown:
            found = _cut(text, _HEAD_CHARACTERS, _TAIL_CHARACTERS)
            size = _size(found)
            if self._bytes + size > self.most_bytes:
                found = _cut(text, _HEAD_WHEN_FULL, _TAIL_WHEN_FULL)
            else:
                self._bytes += size
            self.shown[name] = found
        return name


def _cut(text: str, head: int, tail: int) -> PageText:
    left_out = len(text) - head - tail
    if left_out <= 0:
        return PageText(text)
    return PageText(text[:head], text[-tail:], left_out)


def _size(text: PageText) -> int:
    """Return the bytes that *text* takes in a page, where it is JSON without signs of HTML."""
    size = 0
    for part in (text.head, text.tail):
        size += len(json.dumps(part, ensure_ascii=False).encode("utf-8", "surrogatepass"))
        size += sum(part.count(sign) for sign in _ESCAPED) * _ESCAPE_BYTES
    return size
