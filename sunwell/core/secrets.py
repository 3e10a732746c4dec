"""Keeps known secrets out of everything that is shown, sent on or written down."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import attrs

_SHORTEST = 6  # shorter values occur in ordinary text and would tear holes into it


@attrs.define(eq=False)
class Secrets:
    """The values that must not appear in prompts, journals, events, logs or errors.

    Each is also found in base64, alone or inside of something longer, in percent-encoding, in hex
    and as JSON writes it. Values shorter than six characters are not kept: replacing them would garble
    ordinary text.
    """

    _forms: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)
    """What to look for and what to show instead, longest first: a short one may begin a longer one."""
    _joined: tuple["Secrets", ...] = attrs.field(default=(), init=False, repr=False)
    """Others whose values are replaced too, those included that they are told later."""

    def joined(self, other: "Secrets") -> "Secrets":
        """Return one that replaces what this one and *other* know, now and later."""
        if other is self:
            return self
        both = Secrets()
        both._joined = (self, other)
        return both

    def add(self, value: str, name: str = "secret") -> None:
        """Remember *value*; in text it becomes ``[name]``."""
        value = value.strip()
        if len(value) < _SHORTEST:
            return
        forms = self._forms | dict.fromkeys(_forms_of(value), f"[{name}]")
        self._forms = dict(sorted(forms.items(), key=lambda item: -len(item[0])))

    @property
    def longest_chars(self) -> int:
        """Length of the longest text that is replaced; 0 where nothing is known."""
        return max(map(len, self._known()), default=0)

    def redact(self, text: str) -> str:
        """Return *text* with every known secret replaced by its name."""
        for form, shown in self._known().items():
            if form in text:
                text = text.replace(form, shown)
        return text

    def _known(self) -> dict[str, str]:
        if not self._joined:
            return self._forms
        # Sorted together: a short value of one may be part of a longer one of the other, whose rest
        # would be shown if the short one were replaced first.
        forms = dict(self._forms)
        for other in self._joined:
            forms |= other._known()
        return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


def _forms_of(value: str) -> Iterator[str]:
    data = value.encode("utf-8", "surrogatepass")
    yield value
    yield quote(data, safe="")
    yield quote(data)
    yield quote_plus(data)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield data.hex()
    yield data.hex().upper()
    for before in range(3):
        # Where the value begins inside a group of three bytes decides how it is written; of the
        # first and last group only the characters that are the value's own can be looked for.
        written = base64.b64encode(bytes(before) + data).decode()
        own = written[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        yield own
        yield own.replace("+", "-").replace("/", "_")
