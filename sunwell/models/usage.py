"""How servers report usage and cost: where each figure is, and what it includes."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import attrs

from sunwell.core.model import Usage

_LARGEST_COUNT = 2**53
_LARGEST_COST_USD = Decimal(10**9)
_USD_PER_TICK = Decimal("1e-10")


@attrs.frozen
class UsageReading:
    """The usage of one answer; ``None`` if input or output is not reported."""

    usage: Usage | None
    doubt: str = ""
    """What is contradictory in the report; the most expensive meaning was taken. Empty if nothing is."""


NO_USAGE = UsageReading(None)


def usage_of(
    input_tokens: int | None,
    output_tokens: int | None,
    *,
    total_tokens: int | None = None,
    cache_read_tokens: int | None = None,
    cache_write_tokens: int | None = None,
    cache_write_1h_tokens: int | None = None,
    reasoning_tokens: int | None = None,
    is_reasoning_beside: bool = False,
    is_reasoning_in_total: bool = False,
) -> UsageReading:
    """Return the usage that reported figures mean; if they contradict each other, the most expensive one.

    Output includes reasoning, input includes cached tokens, and the total is their sum. Some servers count
    reasoning separately from the output (*is_reasoning_beside*), others only in the total
    (*is_reasoning_in_total*). If the total shows that, it is accepted from any server.
    """
    if input_tokens is None:
        return NO_USAGE
    from_total = None if total_tokens is None else max(0, total_tokens - input_tokens)
    if output_tokens is None:
        output_tokens = from_total
    if output_tokens is None:
        return NO_USAGE
    reasoning, told, doubt = reasoning_tokens or 0, output_tokens, ""
    beside = output_tokens + reasoning
    is_too_small = reasoning > output_tokens
    if from_total is None:
        if is_reasoning_beside or is_too_small:
            output_tokens = beside
        is_doubtful = is_too_small and not is_reasoning_beside
    elif from_total == beside:
        output_tokens, is_doubtful = beside, False
    elif from_total == output_tokens and not is_too_small:
        is_doubtful = False
    else:
        output_tokens = max(output_tokens, from_total, beside if is_reasoning_beside or is_too_small else 0)
        is_doubtful = not (is_reasoning_in_total and output_tokens == from_total)
    if is_doubtful:
        doubt = f"{told} output, {reasoning} reasoning and {total_tokens} total tokens do not fit together"
    read, written, written_1h = cache_read_tokens or 0, cache_write_tokens or 0, cache_write_1h_tokens or 0
    cached = read + written + written_1h
    if cached > input_tokens:
        doubt = doubt or f"{cached} cached tokens are more than the {input_tokens} input tokens"
        input_tokens += cached
    return UsageReading(Usage(input_tokens, output_tokens, read, written, written_1h, reasoning), doubt)


Place = tuple[str, ...]


def _places(paths: Iterable[str | Place]) -> tuple[Place, ...]:
    return tuple(tuple(path.split(".")) if isinstance(path, str) else path for path in paths)


@attrs.frozen
class UsageDialect:
    """Where a server of OpenAI's formats reports which tokens: paths with dots within the usage.

    If a figure is at several places, they should agree. If they do not, the most expensive figure counts.
    """

    input: tuple[Place, ...] = attrs.field(default=("prompt_tokens",), converter=_places)
    output: tuple[Place, ...] = attrs.field(default=("completion_tokens",), converter=_places)
    total: tuple[Place, ...] = attrs.field(default=("total_tokens",), converter=_places)
    cache_read: tuple[Place, ...] = attrs.field(
        default=("prompt_tokens_details.cached_tokens",), converter=_places
    )
    cache_write: tuple[Place, ...] = attrs.field(
        default=("prompt_tokens_details.cache_write_tokens",), converter=_places
    )
    reasoning: tuple[Place, ...] = attrs.field(
        default=("completion_tokens_details.reasoning_tokens",), converter=_places
    )
    is_reasoning_beside: bool = False
    """Whether reasoning is counted separately from the output."""
    is_reasoning_in_total: bool = False
    """Whether reasoning is counted only in the total."""

    def read(self, told: Any) -> UsageReading:
        """Return what the usage *told* by the server means."""
        if not isinstance(told, dict):
            return NO_USAGE
        read = _found(told, self.cache_read)
        reading = usage_of(
            max(_found(told, self.input), default=None),
            max(_found(told, self.output), default=None),
            total_tokens=max(_found(told, self.total), default=None),
            cache_read_tokens=min(read, default=None),
            cache_write_tokens=max(_found(told, self.cache_write), default=None),
            reasoning_tokens=max(_found(told, self.reasoning), default=None),
            is_reasoning_beside=self.is_reasoning_beside,
            is_reasoning_in_total=self.is_reasoning_in_total,
        )
        if len(set(read)) > 1 and not reading.doubt:
            figures = " and ".join(str(figure) for figure in sorted(set(read)))
            return attrs.evolve(reading, doubt=f"{figures} are both reported as cached input tokens")
        return reading


def _found(told: dict[str, Any], places: tuple[Place, ...]) -> list[int]:
    """Return each valid count that is at one of *places*."""
    counts = []
    for place in places:
        value = told.get(place[0])
        if value is None:  # nearly always: few servers report at more than one place
            continue
        for name in place[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        if (tokens := count(value)) is not None:
            counts.append(tokens)
    return counts


OPENAI_CHAT = UsageDialect()
OPENAI_RESPONSES = UsageDialect(
    input=("input_tokens",),
    output=("output_tokens",),
    cache_read=("input_tokens_details.cached_tokens",),
    cache_write=("input_tokens_details.cache_write_tokens",),
    reasoning=("output_tokens_details.reasoning_tokens",),
)
ANY_CHAT = UsageDialect(
    cache_read=(
        "prompt_tokens_details.cached_tokens",
        "prompt_cache_hit_tokens",  # DeepSeek, and servers of its models
        "cached_tokens",  # Moonshot, Together
        "cache_read_input_tokens",  # LiteLLM, for models of Anthropic
    ),
    cache_write=(
        "prompt_tokens_details.cache_write_tokens",
        "prompt_tokens_details.cache_creation_tokens",  # LiteLLM, for models of Anthropic
        "cache_creation_input_tokens",
    ),
    reasoning=("completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
)
"""For servers that are not in the table of providers: every known place."""


_COSTS = frozenset({"cost_in_usd_ticks", "cost", "estimated_cost"})


def stated_cost_usd(usage: Any) -> Decimal | None:
    """Return the cost in US dollars that a provider states in its usage; ``None`` if it states none.

    xAI: ``cost_in_usd_ticks``, each 1e-10 dollars. OpenRouter: ``cost``, plus what the maker of the
    model charges if the user brings their own key. Perplexity: ``cost.total_cost``. DeepInfra:
    ``estimated_cost``.
    """
    if not isinstance(usage, dict) or _COSTS.isdisjoint(usage):
        return None
    ticks, cost = _amount(usage.get("cost_in_usd_ticks")), usage.get("cost")
    stated = _amount(cost.get("total_cost") if isinstance(cost, dict) else cost)
    details = usage.get("cost_details")
    if stated is not None and usage.get("is_byok") is True and isinstance(details, dict):
        stated += _amount(details.get("upstream_inference_cost")) or Decimal(0)
    known = (stated, None if ticks is None else ticks * _USD_PER_TICK, _amount(usage.get("estimated_cost")))
    return max((one for one in known if one is not None and one <= _LARGEST_COST_USD), default=None)


def count(value: Any) -> int | None:
    """Return *value* if it is a valid number of tokens, else ``None``."""
    if value is None:
        return None
    if type(value) is int:  # nearly always
        return value if 0 <= value <= _LARGEST_COUNT else None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= _LARGEST_COUNT and value == int(value) else None


def _amount(value: Any) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        amount = Decimal(str(value))
    except ArithmeticError:
        return None
    return amount if amount.is_finite() and amount >= 0 else None
