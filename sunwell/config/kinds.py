"""Values as they are written, checked and turned into what the schema says; nothing is guessed."""

import math
import re
import typing
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any
from urllib.parse import urlsplit

from sunwell.config.schema import Address, Count, Natural, Seconds, Secret, Share

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_TIME = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_TRUE, _FALSE = ("true", "yes", "on", "1"), ("false", "no", "off", "0")
_LARGEST = 2**53

_ALLOWED: dict[Any, str] = {
    str: "text",
    Secret: "text",
    Address: "an address such as https://host/path, without a login (api_key_env names the key's variable)",
    bool: "true or false",
    Count: "a whole number of at least 1",
    Natural: "a whole number of at least 0",
    Share: "a number from 0 to 1",
    Seconds: 'a time above zero: seconds, or text such as "90s", "30m", "1h30m"',
    Decimal: "an amount of zero or more",
    tuple[str, ...]: "a list of texts",
    Mapping[str, Secret]: "a table of texts, names and values as an HTTP header takes them",
}


def allowed(kind: Any) -> str:
    """Return in words what a setting of *kind* takes."""
    kind = _present(kind)
    if typing.get_origin(kind) is typing.Literal:
        return "one of " + ", ".join(map(str, typing.get_args(kind)))
    return _ALLOWED[kind]


def read_value(value: Any, kind: Any) -> Any:
    """Return *value* as *kind*. Raises :exc:`ValueError` where it is none."""
    kind = _present(kind)
    if typing.get_origin(kind) is typing.Literal:
        if not isinstance(value, str) or value not in typing.get_args(kind):
            raise ValueError(value)
        return value
    try:
        return _converter().structure(value, kind)
    except (TypeError, OverflowError, InvalidOperation) as error:
        raise ValueError(value) from error


def read_text(text: str, kind: Any) -> Any:
    """Return what *text* of an environment variable means as *kind*. Raises :exc:`ValueError`."""
    kind = _present(kind)
    stripped = text.strip()
    if kind is bool:
        if stripped.lower() not in (*_TRUE, *_FALSE):
            raise ValueError(text)
        return stripped.lower() in _TRUE
    if kind in (Count, Natural):
        return read_value(int(stripped), kind)
    if kind is Share:
        return read_value(float(stripped), kind)
    if kind is Seconds and not _TIME.match(stripped):
        return read_value(float(stripped), kind)
    if kind == tuple[str, ...]:
        return tuple(item.strip() for item in stripped.split(",") if item.strip())
    return read_value(text if kind is str else stripped, kind)


def _present(kind: Any) -> Any:
    """Return *kind* without ``None``: in a file, a setting that is not set is not there."""
    kinds = [member for member in typing.get_args(kind) if member is not type(None)]
    return kinds[0] if type(None) in typing.get_args(kind) else kind


@cache
def _converter() -> Any:
    from cattrs import Converter

    converter = Converter(forbid_extra_keys=True, detailed_validation=False)
    for kind, read in _READERS.items():
        if isinstance(kind, type):
            converter.register_structure_hook(kind, _hook(read))
        else:  # a NewType is no class, and cattrs would look through it
            converter.register_structure_hook_func(_is(kind), _hook(read))
    return converter


def _is(kind: Any) -> Callable[[Any], bool]:
    return lambda found: found is kind or found == kind


def _hook(read: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, _: read(value)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip() or "\x00" in value:
        raise ValueError(value)
    return value


def _switch(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError(value)
    return value


def _whole(value: Any, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _LARGEST:
        raise ValueError(value)
    return value


def _count(value: Any) -> int:
    return _whole(value, 1)


def _natural(value: Any) -> int:
    return _whole(value, 0)


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(value)
    return float(value)


def _share(value: Any) -> float:
    share = _number(value)
    if not 0 <= share <= 1:
        raise ValueError(value)
    return share


def _seconds(value: Any) -> float:
    if isinstance(value, str):
        text = value.replace(" ", "")
        pieces = _TIME.findall(text)
        if not pieces or "".join(number + unit for number, unit in pieces) != text:
            raise ValueError(value)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in pieces)
    else:
        seconds = _number(value)
    if not 0 < seconds < 1e9:
        raise ValueError(value)
    return seconds


def _amount(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | float | str | Decimal):
        raise ValueError(value)
    amount = Decimal(str(value).strip().removeprefix("$"))
    if not amount.is_finite() or not 0 <= amount < Decimal(10**12):
        raise ValueError(value)
    return amount


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list | tuple):
        raise ValueError(value)
    return tuple(_text(item) for item in value)


def _headers(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise ValueError(value)
    for name, text in value.items():
        if not _HEADER_NAME.fullmatch(_text(name)) or not _text(text).isprintable():
            raise ValueError(name)
    return dict(value)


def _address(value: Any) -> str:
    parts = urlsplit(_text(value))
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0 or "@" in parts.netloc:
        raise ValueError(value)
    return str(value)


_READERS: dict[Any, Callable[[Any], Any]] = {
    str: _text,
    Secret: _text,
    Address: _address,
    bool: _switch,
    Decimal: _amount,
    Count: _count,
    Natural: _natural,
    Share: _share,
    Seconds: _seconds,
    tuple[str, ...]: _texts,
    Mapping[str, Secret]: _headers,
}
