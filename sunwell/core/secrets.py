"""Keeps known secrets out of everything that is shown, sent on or written down."""

import base64
from urllib.parse import quote

import attrs

_SHORTEST = 6  # shorter values occur in ordinary text and would tear holes into it


@attrs.define(eq=False)
class Secrets:
    """The values that must not appear in prompts, journals, events, logs or errors.

    Each is also found in base64 and percent-encoding. Values shorter than six characters are
    not kept: replacing them would garble ordinary text.
    """

    _forms: dict[str, str] = attrs.field(factory=dict, init=False, repr=False)

    def add(self, value: str, name: str = "secret") -> None:
        """Remember *value*; in text it becomes ``[name]``."""
        value = value.strip()
        if len(value) < _SHORTEST:
            return
        encoded = base64.b64encode(value.encode()).decode().rstrip("=")
        for form in (value, quote(value, safe=""), encoded):
            self._forms[form] = f"[{name}]"

    def redact(self, text: str) -> str:
        """Return *text* with every known secret replaced by its name."""
        for form, shown in self._forms.items():
            if form in text:
                text = text.replace(form, shown)
        return text
