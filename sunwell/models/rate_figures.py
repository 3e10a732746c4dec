"""Reads the rate limits in the headers of an answer, in the forms of all known vendors."""

import math
import re
import time
from collections.abc import Mapping
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Literal

import attrs

Lane = Literal["requests", "tokens", "output"]
"""What is limited. ``tokens``: all tokens, or only the input if ``output`` has a limit of its own."""

_LARGEST = 1e12
_LONGEST_RESET_SECONDS = 26 * 3600.0  # limits of a day are the longest that headers state
_ROUNDED_TOKENS = 500  # Anthropic rounds the remaining tokens to the nearest thousand
_FORMS: tuple[tuple[Lane, str, str, str], ...] = (
    (
        "requests",
        "x-ratelimit-limit-requests",
        "x-ratelimit-remaining-requests",
        "x-ratelimit-reset-requests",
    ),
    (
        "requests",
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ),
    ("requests", "x-ratelimit-limit", "x-ratelimit-remaining", "x-ratelimit-reset"),  # OpenRouter
    ("tokens", "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"),
    (
        "tokens",
        "anthropic-ratelimit-input-tokens-limit",
        "anthropic-ratelimit-input-tokens-remaining",
        "anthropic-ratelimit-input-tokens-reset",
    ),
    (
        "output",
        "anthropic-ratelimit-output-tokens-limit",
        "anthropic-ratelimit-output-tokens-remaining",
        "anthropic-ratelimit-output-tokens-reset",
    ),
    # The most restrictive of Anthropic's limits: only of use if the separate ones are missing.
    (
        "tokens",
        "anthropic-ratelimit-tokens-limit",
        "anthropic-ratelimit-tokens-remaining",
        "anthropic-ratelimit-tokens-reset",
    ),
)
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|s|m|h|d)")
_UNIT_SECONDS = {
    "ns": 1e-9,
    "us": 1e-6,
    "µs": 1e-6,
    "ms": 1e-3,
    "s": 1.0,
    "m": 60.0,
    "h": 3600.0,
    "d": 86400.0,
}


@attrs.frozen
class Figure:
    """One limit as the server states it."""

    limit: float
    """Amount of a full bucket."""
    remaining: float
    """Amount that may be used at once; at most the limit."""
    reset_seconds: float | None = None
    """Time until the bucket is full again; ``None``: not stated, or not usable."""


@attrs.frozen
class Figures:
    """All limits in the headers of one answer."""

    by_lane: Mapping[Lane, Figure]
    refused: tuple[str, ...] = ()
    """A sentence for each figure that makes no sense and is not used."""


_LIMITS = frozenset(limit_name for _, limit_name, _, _ in _FORMS)
_NO_FIGURES = Figures({})


def read_figures(headers: Mapping[str, str], now: float | None = None) -> Figures:
    """Return the limits in *headers*, whose names are in lower case.

    A limit below one, a negative amount, what is not a number and a reset that is more than a day away are
    not used. *now* is seconds since 1970, for resets that are dates; ``None``: the server's date, or else
    the current time.
    """
    found: dict[Lane, Figure] = {}
    refused: list[str] = []
    names = set(headers)  # a look-up in an HTTP client's headers reads all of them
    if names.isdisjoint(_LIMITS):
        return _NO_FIGURES
    for lane, limit_name, left_name, reset_name in _FORMS:
        if lane in found or limit_name not in names or left_name not in names:
            continue
        limit_text, left_text = headers[limit_name], headers[left_name]
        limit, left = _number(limit_text), _number(left_text)
        if limit is None or not 1 <= limit <= _LARGEST:
            refused.append(_refusal(limit_name, limit_text))
            continue
        if left is None or not 0 <= left <= _LARGEST:
            refused.append(_refusal(left_name, left_text))
            continue
        reset_text = headers.get(reset_name)
        reset = None if reset_text is None else _reset_seconds(reset_text, _now(headers, now))
        if reset_text is not None and reset is None:
            refused.append(_refusal(reset_name, reset_text))
        if left_name.startswith("anthropic-") and lane != "requests" and left < limit:
            left = max(0.0, left - _ROUNDED_TOKENS)
        found[lane] = Figure(limit, min(left, limit), reset)
    return Figures(found, tuple(refused))


def _refusal(name: str, text: str) -> str:
    return f"the server states the rate limit {name}: {text[:40]!r}, which makes no sense; it is not used"


def _now(headers: Mapping[str, str], now: float | None) -> float:
    if now is not None:
        return now
    try:  # the server's own clock: ours may be wrong
        return parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, ValueError, OverflowError):
        return time.time()


def _number(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _reset_seconds(text: str, now: float) -> float | None:
    """Return the seconds until *text*: ``6m0s``, ``120ms``, seconds, seconds or ms since 1970, a date."""
    seconds = _number(text)
    if seconds is not None:
        if seconds > 1e11:
            seconds = seconds / 1000 - now
        elif seconds > 1e9:
            seconds -= now
        elif seconds < 0:
            return None
    elif _DURATION.sub("", text.strip()) == "" and text.strip():
        seconds = sum(float(amount) * _UNIT_SECONDS[unit] for amount, unit in _DURATION.findall(text))
    else:
        try:
            seconds = datetime.fromisoformat(text.strip()).timestamp() - now
        except (ValueError, OverflowError, OSError):
            return None
    return max(0.0, seconds) if seconds <= _LONGEST_RESET_SECONDS else None
