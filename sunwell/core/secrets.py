"""Keeps known secrets out of everything that is shown, sent or written."""

import base64
import json
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

import attrs

_SHORTEST = 6  # shorter values occur in ordinary text, which would be damaged


@attrs.define(eq=False)
class Secrets:
    """The values that must not appear in prompts, journals, events, logs or errors.

    Each is also found in base64 (alone or inside longer data), in percent-encoding, in hex and in JSON
    escapes. Values shorter than 6 characters are ignored: replacing them would damage ordinary text.
    """

    _forms: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)
    """Texts to find and their replacements, longest first: a short one may be the start of a longer one."""
    _joined: tuple["Secrets", ...] = attrs.field(default=(), init=False, repr=False)
    """Other ``Secrets`` whose values are replaced, too, including values added to them later."""

    def joined(self, other: "Secrets") -> "Secrets":
        """Return one that replaces all values that this one and *other* know, now or later."""
        if other is self:
            return self
        both = Secrets()
        both._joined = (self, other)
        return both

    def add(self, value: str, name: str = "secret") -> None:
        """Remember *value*; in text it is replaced by ``[name]``."""
        value = value.strip()
        if len(value) < _SHORTEST:
            return
        forms = self._forms | dict.fromkeys(_forms_of(value), f"[{name}]")
        self._forms = dict(sorted(forms.items(), key=lambda item: -len(item[0])))

    @property
    def longest_chars(self) -> int:
        """Length of the longest text that is replaced; 0 if no secret is known."""
        return max(map(len, self._known()), default=0)

    def redact(self, text: str) -> str:
        """Return *text* with every known secret replaced by its name."""
        for form, shown in self._known().items():
            if form in text:
                text = text.replace(form, shown)
        return text

    def may_show(self, text: str) -> bool:
        """Whether :meth:`redact` may put *text*, or a part of it, where it was not before."""
        return any(_overlap(text, shown) for shown in set(self._known().values()))

    def _known(self) -> dict[str, str]:
        if not self._joined:
            return self._forms
        # Sorted together: a short value of one may be part of a longer value of the other, whose rest
        # would stay visible if the short one were replaced first.
        forms = dict(self._forms)
        for other in self._joined:
            forms |= other._known()
        return dict(sorted(forms.items(), key=lambda item: -len(item[0])))


def _overlap(text: str, shown: str) -> bool:
    if text in shown or shown in text:
        return True
    most = min(len(text), len(shown))
    return any(text.endswith(shown[:n]) or shown.endswith(text[:n]) for n in range(1, most))


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
        # The encoding depends on the offset of the value within a group of three bytes. Of the first and
        # last group, only the characters that depend on the value alone can be searched for.
        written = base64.b64encode(bytes(before) + data).decode()
        own = written[(0, 2, 3)[before] : (before + len(data)) * 8 // 6]
        yield own
        yield own.replace("+", "-").replace("/", "_")
