"""Faults of a provider as values, and plans for when they occur."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import attrs

Cut = Literal["before", "dropped", "no-end", "after-tool", "body"]
"""Where an answer breaks off. ``before``: the connection drops before any byte. ``dropped``: it drops
within the answer. ``no-end``: the stream closes normally, but its terminal event is missing.
``after-tool``: the same right after the first tool call. ``body``: a plain answer is truncated.
In a plain answer all kinds except ``before`` mean ``body``; in a stream ``body`` means ``dropped``."""


@attrs.frozen
class Fault:
    """The faults of one answer. Fields can be combined; by default there is no fault.

    A fault with ``status`` or ``unknown_fields`` rejects the request before anything is generated, so
    nothing is billed. All other faults affect an answer that is billed.
    """

    status: int | None = None
    """HTTP status of the rejection: 401, 429, 500, 503, 529."""
    retry_after_seconds: float | None = None
    """``Retry-After`` of a rejection."""
    gateway_status: int | None = None
    """A gateway answers with this HTTP status and an error object although the model answered: 502, 524."""
    unknown_fields: tuple[str, ...] = ()
    """Fields that the server does not know, as paths with dots: a request with one of them is rejected."""
    slip: bool = False
    """The server rejects what the model wrote as an invalid tool call, as Groq does (chat only)."""
    quota: bool = False
    """With status 429: the account has no credit left (``insufficient_quota``)."""
    echo_key: bool = False
    """The message of a 401 contains the key, as with some providers; implies status 401."""
    stall_before_seconds: float = 0.0
    """Delay before the first byte."""
    stall_midway_seconds: float = 0.0
    """Delay in the middle of a stream."""
    cut: Cut | None = None
    arguments: Literal["truncated", "newlines"] | None = None
    """Tool arguments that are not valid JSON: cut off, or with raw newlines in a string."""
    hidden_input_tokens: int = 0
    """Input tokens that the provider adds: billed and reported, but not in the request."""
    usage: Literal["wrong", "missing", "zero"] | None = None
    """``wrong``: twice the billed numbers. ``missing``: none. ``zero``: zeros."""
    reasoning: Literal["beside", "total"] | None = None
    """Where reasoning is counted (OpenAI's formats only). ``beside``: separately from the output tokens, as
    by xAI. ``total``: only in the total, as by Gemini's compatible endpoint."""
    stated_usd: float | None = None
    """A cost that the usage states in addition to tokens, as by OpenRouter; the bill stays the same."""
    stop_word: str | None = None
    """Replaces the provider's usual stop reason."""
    stream_anyway: bool = False
    """A plain request is answered with server-sent events."""
    redacted_thinking: bool = False
    """The answer begins with a ``redacted_thinking`` block (Messages only)."""
    repeated_names: bool = False
    """Every delta of a tool call repeats the tool's name (chat only)."""
    tool_ids: Literal["doubled", "missing"] | None = None
    json: Literal["fenced", "prose", "cut"] | None = None
    """How a text that should be JSON is wrapped or truncated."""
    refusal: bool = False
    """The model declines: no content, and the provider's own stop reason."""
    answering_model: str | None = None
    """Model id in the answer instead of the requested one; billed as the requested model."""

    @property
    def refused_with(self) -> int | None:
        """The HTTP status of the rejection, or ``None``."""
        return 401 if self.echo_key else self.status


NO_FAULT = Fault()


@attrs.frozen
class Occasion:
    """A request, as a plan of faults sees it."""

    number: int
    """Number of the request on this simulator, from 1."""
    model: str
    key: str
    stream: bool = False
    counting: bool = False
    """Whether it only asks for the number of its input tokens; its number is that of the next request."""


FaultPlan = Callable[[Occasion], Fault | None]


@attrs.frozen
class FaultRule:
    """A fault for the requests that match; ``None`` matches every request.

    A rule for answers also tells a request that only counts which tokens the provider would add, so that it
    gets the figure that would be billed.
    """

    fault: Fault
    numbers: Collection[int] | None = None
    model: str | None = None
    key: str | None = None
    counting: bool = False
    """Whether it is a fault of the requests that only count, instead of those for an answer."""

    def __call__(self, occasion: Occasion) -> Fault | None:
        """Return the fault if *occasion* matches."""
        matches = (
            (self.numbers is None or occasion.number in self.numbers)
            and self.model in (None, occasion.model)
            and self.key in (None, occasion.key)
        )
        if not matches or (self.counting and not occasion.counting):
            return None
        if occasion.counting and not self.counting:
            hidden = self.fault.hidden_input_tokens
            return Fault(hidden_input_tokens=hidden) if hidden else None
        return self.fault


def fault_plan(plan: FaultPlan | Sequence[FaultPlan] | None) -> FaultPlan:
    """Return one plan; the first of several that gives a fault decides."""
    if plan is None:
        return lambda _: None
    if callable(plan):
        return plan
    plans = tuple(plan)
    return lambda occasion: next((fault for rule in plans if (fault := rule(occasion)) is not None), None)


def parse_fault(text: str) -> Fault:
    """Parse a fault from the header ``x-simulator-fault``.

    ``529`` is a status; otherwise fields with ``=``, separated by semicolons: ``cut=dropped;
    usage=missing``. A field without a value is switched on. Raises :exc:`ValueError`.
    """
    values: dict[str, object] = {}
    for item in filter(None, (item.strip() for item in text.split(";"))):
        if item.isdigit():
            values["status"] = int(item)
            continue
        name, _, value = item.partition("=")
        name, value = name.strip().replace("-", "_"), value.strip()
        if name not in _FIELDS:
            raise ValueError(f"unknown fault {name!r}; known faults: {', '.join(_FIELDS)}")
        values[name] = _FIELDS[name](value)
    return Fault(**values)  # type: ignore[arg-type]


def _switch(value: str) -> bool:
    return value.lower() not in ("0", "false", "no")


def _word(*known: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} must be one of {', '.join(known)}")
        return value

    return read


_FIELDS: dict[str, Callable[[str], object]] = {
    "status": int,
    "retry_after_seconds": float,
    "gateway_status": int,
    "unknown_fields": lambda value: tuple(value.split(",")),
    "slip": _switch,
    "quota": _switch,
    "echo_key": _switch,
    "stall_before_seconds": float,
    "stall_midway_seconds": float,
    "cut": _word("before", "dropped", "no-end", "after-tool", "body"),
    "arguments": _word("truncated", "newlines"),
    "hidden_input_tokens": int,
    "usage": _word("wrong", "missing", "zero"),
    "reasoning": _word("beside", "total"),
    "stated_usd": float,
    "stop_word": str,
    "stream_anyway": _switch,
    "redacted_thinking": _switch,
    "repeated_names": _switch,
    "tool_ids": _word("doubled", "missing"),
    "json": _word("fenced", "prose", "cut"),
    "refusal": _switch,
    "answering_model": str,
}
