"""Reads every budget in a text and checks that its parts add up: a parser of the tests' own."""

import re
from decimal import Decimal

import attrs

_AMOUNT = r"\$?\d[\d,]*(?:\.\d+)?"
_UNIT = r"(?: (?:new token|token|call|turn)s?)?"
_NAMES = "spent|unconfirmed|reserved for calls in flight|kept for closing calls|left|over"
_PARTS = rf"{_AMOUNT}{_UNIT} (?:{_NAMES})(?:, {_AMOUNT}{_UNIT} (?:{_NAMES}))+"
_STATES = rf": | is used up: | is exceeded by {_AMOUNT}{_UNIT}: "
_TOLD = re.compile(
    rf"of (?P<cap>{_AMOUNT}){_UNIT}(?: of run[\w/-]*)?"
    rf"(?:{_STATES}|: it may need (?P<need>{_AMOUNT}){_UNIT} \()(?P<parts>{_PARTS})"
)
_WARNING = re.compile(
    rf"({_AMOUNT}){_UNIT} of ({_AMOUNT}){_UNIT} is spent or unconfirmed, ({_AMOUNT}){_UNIT} is not"
)
_PART = re.compile(rf"({_AMOUNT}){_UNIT} ({_NAMES})")


@attrs.frozen
class ToldBudget:
    """A budget as a sentence tells it."""

    cap: Decimal
    parts: dict[str, Decimal]
    needed: Decimal | None = None


def told_budgets(text: str) -> list[ToldBudget]:
    """Return the budgets in *text*, each checked; all that names parts must be one of them."""
    found = []
    for match in _TOLD.finditer(text):
        parts = {name: _number(amount) for amount, name in _PART.findall(match["parts"])}
        told = ToldBudget(_number(match["cap"]), parts, _number(match["need"]) if match["need"] else None)
        over = parts.pop("over", Decimal(0))
        assert sum(parts.values()) == told.cap + over, match.group()
        assert "is used up" not in match.group() or parts["spent"] + parts.get("unconfirmed", 0) == told.cap
        if told.needed is not None:
            assert told.needed > parts["left"], match.group()
        found.append(told)
    for used, cap, rest in _WARNING.findall(text):
        found.append(ToldBudget(_number(cap), {"spent": _number(used), "left": _number(rest)}))
        assert _number(used) + _number(rest) == _number(cap), text
    rest = _TOLD.sub("", text)  # whatever else names a part belongs to no budget
    assert not re.search(rf"\$[\d.,]+ (?:{_NAMES})\b", rest), rest
    return found


def _number(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))
