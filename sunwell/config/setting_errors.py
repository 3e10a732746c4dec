"""What is wrong with a setting, in one sentence: where, which key, what value, what would be right."""

from collections.abc import Iterable
from typing import Any

from sunwell.config.setting import Origin, dotted
from sunwell.config.shape import nearest
from sunwell.context.spellings import meant_setting
from sunwell.errors import ConfigurationError

_LONGEST = 60
_MOST_LISTED = 20
_SECRET_WORDS = ("key", "token", "secret", "password", "auth", "cookie", "header")


def wrong_value(origin: Origin, value: Any, allowed: str) -> ConfigurationError:
    """A value that a known key does not take."""
    return ConfigurationError(f"{_where(origin)} is {_shown(origin, value)}: it must be {allowed}")


def unknown_key(origin: Origin, name: str, known: Iterable[str]) -> ConfigurationError:
    """A key that nothing knows."""
    names = sorted(known)
    written = name.removeprefix("sunwell_") if origin.source == "environment" else name
    setting = meant_setting(written)
    meant = nearest(name, names)
    if setting is not None and (meant is None or meant.removeprefix("SUNWELL_").lower() != setting[-1]):
        meant = f"SUNWELL_{'_'.join(setting).upper()}" if origin.source == "environment" else dotted(setting)
    listed = ", ".join(names[:_MOST_LISTED]) + (", …" if len(names) > _MOST_LISTED else "")
    advice = f"did you mean {meant}?" if meant else f"known here: {listed}"
    return ConfigurationError(f"{_where(origin)} is not a setting; {advice}")


def set_twice(origin: Origin, first: Origin) -> ConfigurationError:
    """A setting that stands under two spellings."""
    return ConfigurationError(f"{_where(origin)} is set already, as {first.key}: keep one of the two")


def not_a_table(origin: Origin, value: Any) -> ConfigurationError:
    """A value where a table of settings belongs."""
    return ConfigurationError(f"{_where(origin)} is {_shown(origin, value)}: it must be a table of settings")


def _written(value: Any) -> str:
    try:
        return repr(value)
    except ValueError:  # Python does not write numbers of more than some thousand digits
        return "a number of very many digits"


def _where(origin: Origin) -> str:
    key = origin.key if len(origin.key) <= 200 else origin.key[:200] + "…"
    return f"{origin}" if origin.source in ("environment", "option") else f"{origin}: {key}"


def _shown(origin: Origin, value: Any) -> str:
    if isinstance(value, dict):
        return "a table"
    if isinstance(value, list | tuple):
        return "a list"
    if any(word in origin.key.lower() for word in _SECRET_WORDS) and isinstance(value, str):
        return "a text that is not shown"
    if isinstance(value, str) and "@" in value and origin.key.endswith("url"):
        return "an address with a login, which is not shown"
    text = "true" if value is True else "false" if value is False else _written(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
