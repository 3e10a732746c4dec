"""What can go wrong with a provider, as values, and plans of when it does."""

from collections.abc import Callable, Collection, Sequence
from typing import Literal

import attrs

Cut = Literal["before", "dropped", "no-end", "after-tool", "body"]
"""Where an answer breaks off. ``before``: the connection drops before any byte. ``dropped``: it
drops in mid-answer. ``no-end``: the stream closes properly, all is there but its terminal event.
``after-tool``: the same right after the first tool call. ``body``: a plain answer stops half-way.
In a plain answer all kinds but ``before`` are ``body``; in a stream ``body`` is ``dropped``."""


@attrs.frozen
class Fault:
    """What is wrong with one answer. Fields can be combined; by default nothing is wrong.

    A fault with ``status`` refuses the request before anything is generated: nothing is billed.
    Everything else happens to an answer that is billed.
    """

    status: int | None = None
    """HTTP status to refuse with: 401, 429, 500, 503, 529."""
    retry_after_seconds: float | None = None
    """``Retry-After`` of a refusal."""
    gateway_status: int | None = None
    """A gateway answers with this HTTP status and an error object although the model answered: 502, 524."""
    quota: bool = False
    """With status 429: the account has no credit left (``insufficient_quota``)."""
    echo_key: bool = False
    """The key stands in the message of a 401, as some providers do; implies status 401."""
    stall_before_seconds: float = 0.0
    """Silence before the first byte."""
    stall_midway_seconds: float = 0.0
    """Silence in the middle of a stream."""
    cut: Cut | None = None
    arguments: Literal["truncated", "newlines"] | None = None
    """Tool arguments that are no JSON: cut off, or with raw newlines in a string."""
    hidden_input_tokens: int = 0
    """Input that the provider adds: billed and reported, and in no request."""
    usage: Literal["wrong", "missing", "zero"] | None = None
    """``wrong``: double the numbers that are billed. ``missing``: none. ``zero``: zeros."""
    reasoning: Literal["beside", "total"] | None = None
    """Where reasoning is counted (OpenAI's formats only). ``beside``: next to the output tokens, as xAI
    does. ``total``: in the total alone, as Gemini's compatible endpoint does."""
    stated_usd: float | None = None
    """A cost that the usage states besides the tokens, as OpenRouter's does; what is billed stays."""
    stop_word: str | None = None
    """The provider's stop word in place of its usual one."""
    stream_anyway: bool = False
    """Server-sent events answer a plain request."""
    redacted_thinking: bool = False
    """A ``redacted_thinking`` block comes first (Messages only)."""
    repeated_names: bool = False
    """A tool's name stands in every delta of its call (chat only)."""
    tool_ids: Literal["doubled", "missing"] | None = None
    json: Literal["fenced", "prose", "cut"] | None = None
    """What is around or missing from a text that should be JSON."""
    refusal: bool = False
    """The model declines: no content, and the provider's own stop reason."""
    answering_model: str | None = None
    """Id in the answer in place of the one asked for; billed as the one asked for."""

    @property
    def refused_with(self) -> int | None:
        """The HTTP status of the refusal, or ``None``."""
        return 401 if self.echo_key else self.status


NO_FAULT = Fault()


@attrs.frozen
class Occasion:
    """A request, as a plan of faults sees it."""

    number: int
    """Counts the requests of one simulator, from 1."""
    model: str
    key: str
    stream: bool = False


FaultPlan = Callable[[Occasion], Fault | None]


@attrs.frozen
class FaultRule:
    """A fault for the requests that match; ``None`` matches every request."""

    fault: Fault
    numbers: Collection[int] | None = None
    model: str | None = None
    key: str | None = None

    def __call__(self, occasion: Occasion) -> Fault | None:
        """Return the fault where *occasion* matches."""
        matches = (
            (self.numbers is None or occasion.number in self.numbers)
            and self.model in (None, occasion.model)
            and self.key in (None, occasion.key)
        )
        return self.fault if matches else None


def fault_plan(plan: FaultPlan | Sequence[FaultPlan] | None) -> FaultPlan:
    """Return one plan; of several the first with a fault decides."""
    if plan is None:
        return lambda _: None
    if callable(plan):
        return plan
    plans = tuple(plan)
    return lambda occasion: next((fault for rule in plans if (fault := rule(occasion)) is not None), None)


def parse_fault(text: str) -> Fault:
    """Read a fault as it stands in the header ``x-simulator-fault``.

    ``529`` is a status; otherwise fields with ``=``, apart by semicolons: ``cut=dropped;
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
            raise ValueError(f"no fault is called {name!r}; known: {', '.join(_FIELDS)}")
        values[name] = _FIELDS[name](value)
    return Fault(**values)  # type: ignore[arg-type]


def _switch(value: str) -> bool:
    return value.lower() not in ("0", "false", "no")


def _word(*known: str) -> Callable[[str], str]:
    def read(value: str) -> str:
        if value not in known:
            raise ValueError(f"{value!r} is none of {', '.join(known)}")
        return value

    return read


_FIELDS: dict[str, Callable[[str], object]] = {
    "status": int,
    "retry_after_seconds": float,
    "gateway_status": int,
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
