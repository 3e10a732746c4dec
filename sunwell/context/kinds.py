"""Kinds of setting values: what each allows, and how a value or a text is read. Nothing is guessed.

The constraints are :mod:`msgspec`'s, so a kind is an ordinary type to a type checker.
"""

import re
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

_LARGEST = 2**53
_NOT_BLANK = r"\A[^\x00]*[^\s\x00][^\x00]*\Z"

Count = Annotated[int, Meta(ge=1, le=_LARGEST)]
"""A whole number of at least 1."""
Natural = Annotated[int, Meta(ge=0, le=_LARGEST)]
"""A whole number of at least 0."""
Share = Annotated[float, Meta(ge=0, le=1)]
"""A number from 0 to 1."""
Seconds = Annotated[float, Meta(gt=0, lt=1e9)]
"""A time above zero: a number of seconds, or text with a unit such as ``90s``, ``30m``, ``1h30m``."""
Text = Annotated[str, Meta(pattern=_NOT_BLANK)]
"""Text that is not blank."""
Lines = Annotated[tuple[Text, ...], Meta(title="lines")]
"""Several texts that may have commas in them: in a variable, each is a line."""
Address = Annotated[str, Meta(pattern=_NOT_BLANK, title="address")]
"""An HTTP address without a login in it."""
Secret = Annotated[str, Meta(pattern=_NOT_BLANK, title="secret")]
"""Text that is shown masked."""

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_LONGEST_TIME = 100
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")

_ALLOWED: dict[Any, str] = {
    str: "text",
    Text: "text",
    Secret: "text",
    Address: "an address such as https://host/path, without a login (api_key_env names the key's variable)",
    bool: "true or false",
    Count: "a whole number of at least 1",
    Natural: "a whole number of at least 0",
    Share: "a number from 0 to 1",
    Seconds: 'a time above zero: seconds, or text such as "90s", "30m", "1h30m"',
    Decimal: "an amount of zero or more",
    tuple[Text, ...]: "a list of texts",
    Lines: "a list of texts",
    Mapping[str, Secret]: "a table of texts, names and values as an HTTP header takes them",
    Mapping[str, Text]: "a table of texts: names of headers, and of the variables with their values",
}


def allowed(kind: Any) -> str:
    """Return in words what a setting of *kind* takes."""
    kind = without_none(kind)
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return _ALLOWED[kind]


def read_value(value: Any, kind: Any) -> Any:
    """Return *value* as *kind*. Raises :exc:`ValueError` if it is not one; no type is converted silently."""
    kind = without_none(kind)
    prepare, check = _PREPARED.get(kind), _CHECKED.get(kind)
    try:
        made = msgspec.convert(value if prepare is None else prepare(value), kind)
    except (msgspec.ValidationError, InvalidOperation) as error:
        raise ValueError(value) from error
    if check is not None and not check(made):
        raise ValueError(value)
    return made


def read_text(text: str, kind: Any) -> Any:
    """Return what *text*, typed or in an environment variable, means as *kind*. Raises :exc:`ValueError`."""
    kind = without_none(kind)
    stripped = text.strip()
    if kind is bool:
        if stripped.lower() not in (*_TRUE, *_FALSE):
            raise ValueError(text)
        return stripped.lower() in _TRUE
    if kind in (Count, Natural):
        return read_value(int(stripped), kind)
    if kind is Share or (kind is Seconds and not _TIME.match(stripped)):
        return read_value(float(stripped), kind)
    if kind == Lines:
        return tuple(line.strip() for line in text.splitlines() if line.strip())
    if kind == tuple[Text, ...]:
        return tuple(item.strip() for item in stripped.split(",") if item.strip())
    return read_value(text if kind in (str, Text) else stripped, kind)


def without_none(kind: Any) -> Any:
    """Return *kind* without ``None``: in a file, a setting that is not set is not there."""
    kinds = [member for member in typing.get_args(kind) if member is not type(None)]
    return kinds[0] if type(None) in typing.get_args(kind) else kind


def _number_of_seconds(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    text = value.replace(" ", "")
    if len(text) > _LONGEST_TIME:
        raise ValueError(value[:_LONGEST_TIME])
    pieces = _TIME.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise ValueError(value)
    return sum(float(number) * _UNITS[unit] for number, unit in pieces)


def _amount(value: Any) -> Any:
    """Return *value* as an exact amount: of a float its digits as written, not its binary value."""
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(value)
    return Decimal(str(value).strip().removeprefix("$"))


def _is_amount(value: Decimal) -> bool:
    return value.is_finite() and 0 <= value < Decimal(10**12)


def _is_address(value: str) -> bool:
    parts = urlsplit(value)
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and parts.port != 0
        and "@" not in parts.netloc
    )


def _are_headers(value: Mapping[str, str]) -> bool:
    return all(_HEADER_NAME.fullmatch(name) and text.isprintable() for name, text in value.items())


_PREPARED: dict[Any, Callable[[Any], Any]] = {Seconds: _number_of_seconds, Decimal: _amount}
_CHECKED: dict[Any, Callable[[Any], bool]] = {
    Decimal: _is_amount,
    Address: _is_address,
    Mapping[str, Secret]: _are_headers,
    Mapping[str, Text]: _are_headers,
}
