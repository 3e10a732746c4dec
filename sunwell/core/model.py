"""The interface of a model: a request in, one completion out."""

import functools
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Literal, Protocol, Self, get_args, runtime_checkable

import attrs

from sunwell.core.kept import kept_by_identity
from sunwell.core.message import History, Message, Part, Text, ToolCall, digest_of, digest_of_framed, framed


@attrs.frozen
class Usage:
    """Tokens of one call, or the sum of several.

    ``input_tokens`` includes tokens read from and written to a cache (as in OpenTelemetry),
    ``output_tokens`` includes reasoning. Unknown usage is ``None`` instead of a ``Usage``, never a
    ``Usage`` of zeros.
    """

    input_tokens: int = 0
    """All input, cached or not."""
    output_tokens: int = 0
    """All output, including reasoning."""
    cache_read_tokens: int = 0
    """Part of the input that was read from the provider's cache."""
    cache_write_tokens: int = 0
    """Part of the input that was written to the cache for the short lifetime."""
    cache_write_1h_tokens: int = 0
    """Part of the input that was written to the cache for 1 hour."""
    reasoning_tokens: int = 0
    """Part of the output that the provider reports as reasoning."""

    def __attrs_post_init__(self) -> None:
        # One look at all: a validator for each would take longer than all else that a sum of two does.
        if (
            self.input_tokens < 0
            or self.output_tokens < 0
            or self.cache_read_tokens < 0
            or self.cache_write_tokens < 0
            or self.cache_write_1h_tokens < 0
            or self.reasoning_tokens < 0
        ):
            wrong = next(field.name for field in attrs.fields(Usage) if getattr(self, field.name) < 0)
            raise ValueError(f"{wrong} must be 0 or more, got {getattr(self, wrong)}")

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def uncached_input_tokens(self) -> int:
        """Input that was neither read from nor written to a cache, at least 0."""
        cached = self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        return max(0, self.input_tokens - cached)

    @classmethod
    def of(cls, usages: "Sequence[Usage]") -> Self:
        """Return the sum of *usages*."""
        return cls(
            sum(one.input_tokens for one in usages),
            sum(one.output_tokens for one in usages),
            sum(one.cache_read_tokens for one in usages),
            sum(one.cache_write_tokens for one in usages),
            sum(one.cache_write_1h_tokens for one in usages),
            sum(one.reasoning_tokens for one in usages),
        )

    def __add__(self, other: "Usage") -> "Usage":
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cache_read_tokens + other.cache_read_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.cache_write_1h_tokens + other.cache_write_1h_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]
EFFORTS: tuple[Effort, ...] = get_args(Effort)
CacheLife = Literal["5m", "1h"]
Purpose = Literal["lens", "work", "check", "closing", "classify", "orchestrate", "probe", "read"]
"""Purpose of a call; every bill is split by purpose. ``read``: a question about a part of a long context."""

Stop = Literal["end", "tool_calls", "length", "refusal", "window", "pause", "other"]
"""Why a completion ended. ``length``: its own token limit; ``window``: the context is full;
``pause``: the provider asks for the same conversation again; ``other``: the provider's stop reason is
not known as a normal end, so the answer may be incomplete."""


@attrs.frozen(cache_hash=True)  # looked up with each request
class ToolSpec:
    """A tool as a model sees it. ``parameters`` is the JSON schema of an object."""

    name: str
    description: str
    parameters: Mapping[str, Any] = attrs.field(eq=False)
    schema_text: str = attrs.field(init=False, repr=False)
    """``parameters`` as JSON text, keys in the given order."""

    @schema_text.default
    def _encode(self) -> str:
        import json

        return json.dumps(self.parameters, ensure_ascii=False, separators=(",", ":"))

    @functools.cached_property
    def digest(self) -> str:
        """A digest of all that a model is told of the tool, in hex."""
        return digest_of(self.name, self.description, self.schema_text).hex()


@attrs.frozen
class ResponseSchema:
    """The JSON schema of an answer. Every object in it must be closed, every property required."""

    name: str
    schema: Mapping[str, Any] = attrs.field(hash=False)


@attrs.frozen(cache_hash=True)  # looked up with each request
class Caching:
    """Which parts of a prompt the provider should cache.

    ``prefix`` is the lifetime of the entry at the end of tools and system prompt (``None``: no entry),
    ``conversation`` requests an entry at the end of the messages, ``key`` routes sibling requests to
    the same cache if the provider supports it.
    """

    prefix: CacheLife | None = "5m"
    conversation: bool = True
    key: str | None = None


_MOST_NEAR_PARTS = 15


def _utf8_bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))


def _told_texts(system: tuple[str, ...], tools: "tuple[ToolSpec, ...]") -> list[str]:
    return [*system, *(text for tool in tools for text in (tool.name, tool.description, tool.schema_text))]


# The same in all requests of a conversation, and each call asks for both several times.
@kept_by_identity
@functools.lru_cache(maxsize=64)  # of equal ones, as in another run of the process
def _told_bytes(system: tuple[str, ...], tools: "tuple[ToolSpec, ...]") -> int:
    return sum(map(_utf8_bytes, _told_texts(system, tools)))


@kept_by_identity
@functools.lru_cache(maxsize=64)
def _told(
    system: tuple[str, ...],
    tools: "tuple[ToolSpec, ...]",
    *,
    model: str,
    choice: str,
    effort: str,
    schema: str,
) -> bytes:
    return framed(model, choice, effort, schema, *_told_texts(system, tools))


def _history(value: Iterable[Message]) -> History:
    return value if isinstance(value, History) else History(value)


def _sections(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"system expects several sections, got the single string {value!r}")
    return tuple(value)


def _specs(value: Iterable[ToolSpec]) -> tuple[ToolSpec, ...]:
    return tuple(value)


@attrs.frozen
class Request:
    """One request to a model."""

    messages: History = attrs.field(converter=_history)
    system: tuple[str, ...] = attrs.field(default=(), converter=_sections)
    """Sections of the system prompt in order: the caller's, then the lens."""
    tools: tuple[ToolSpec, ...] = attrs.field(default=(), converter=_specs)
    max_output_tokens: int | None = None
    """Token limit of this answer; ``None``: the adapter's default."""
    tool_choice: Literal["auto", "none"] = "auto"
    response_schema: ResponseSchema | None = None
    effort: Effort | None = None
    """``None``: the provider's default."""
    caching: Caching = Caching()
    timeout_seconds: float | None = None
    """Time limit for the complete answer; ``None``: the adapter's default."""

    def digest(self, model: str) -> str:
        """Return a hex digest of the stable parts of the request to *model*.

        Limits, timeouts and caching are left out: they may differ when a run is resumed.
        """
        schema = self.response_schema
        texts = _told(
            self.system,
            self.tools,
            model=model,
            choice=self.tool_choice,
            effort=self.effort or "",
            schema=schema.name if schema else "",
        )
        return digest_of_framed(texts, self.messages.digest).hex()

    def far_end_of_last(self) -> int | None:
        """Return the index of the message that ended the request before this one, if it is far from the end.

        Far: more than 15 parts follow it, as after a message with eight calls. A cache that looks back for
        an earlier entry, 20 parts at most, would not find the one that ends there. ``None`` if it is near, or
        if no answer is among the messages.
        """
        messages, parts = self.messages[:], 0
        for index in range(len(messages) - 1, 0, -1):
            parts += len(messages[index].parts)
            if messages[index].role == "assistant":
                is_far = parts > _MOST_NEAR_PARTS and messages[index - 1].role != "assistant"
                return index - 1 if is_far else None
        return None

    def limited(self, max_output_tokens: int) -> Self:
        """Return the request with this limit of output: what :func:`attrs.evolve` does, in less time."""
        return type(self)(
            self.messages,
            self.system,
            self.tools,
            max_output_tokens,
            self.tool_choice,
            self.response_schema,
            self.effort,
            self.caching,
            self.timeout_seconds,
        )

    @property
    def size_bytes(self) -> int:
        """UTF-8 bytes of everything in the request that a model may see."""
        schema = 0 if self.response_schema is None else _utf8_bytes(str(self.response_schema.schema))
        return _told_bytes(self.system, self.tools) + schema + self.messages.size_bytes


@attrs.frozen
class Consulted:
    """Another model that the provider itself called for an answer, for example as an advisor."""

    model: str
    """Its id; it is billed at its own price."""
    usage: Usage
    cost_usd: Decimal | None = None
    """Set when the answer is booked; ``None`` if its price is unknown."""


@attrs.frozen
class Completion:
    """A model's complete answer."""

    parts: tuple[Part, ...]
    stop: Stop
    usage: Usage | None
    """``None`` if the provider did not report it."""
    model: str
    """Id of the model that answered; its price applies."""
    provider_stop: str = ""
    """The provider's own word for the stop reason."""
    id: str = ""
    """The provider's id of the answer."""
    consulted: tuple[Consulted, ...] = ()
    """Other models that took part. Their tokens are billed, too, and are not in ``usage``."""
    is_batch: bool = False
    """Whether the provider says that it answered as part of a batch, at half the price."""
    stated_cost_usd: Decimal | None = None
    """The cost that the provider itself states, including all fees; ``None`` if it states none."""
    usage_doubt: str = attrs.field(default="", eq=False)
    """What is contradictory in the reported usage, of which the most expensive meaning was taken; empty if
    nothing is. Such usage is no base for the bounds of later calls."""

    @property
    def billed_tokens(self) -> int | None:
        """Input and output of all models that took part; ``None`` if the provider did not report it."""
        if self.usage is None:
            return None
        total = self.usage.total_tokens
        return total + sum(one.usage.total_tokens for one in self.consulted) if self.consulted else total

    @property
    def text(self) -> str:
        """The plain text of the answer."""
        return "".join([part.text for part in self.parts if isinstance(part, Text)])

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the answer, in order."""
        return tuple([part for part in self.parts if isinstance(part, ToolCall)])

    def cleaned(self, parts: tuple[Part, ...], stop: Stop, usage: Usage | None) -> "Completion":
        """Return the answer with these values: what :func:`attrs.evolve` does, in less time."""
        return Completion(
            parts,
            stop,
            usage,
            self.model,
            self.provider_stop,
            self.id,
            self.consulted,
            self.is_batch,
            self.stated_cost_usd,
            self.usage_doubt,
        )

    def as_message(self) -> Message:
        """Return the answer as an assistant message."""
        return Message("assistant", self.parts)


@attrs.frozen
class Delta:
    """A piece of an answer while it arrives, only to be shown.

    The last delta of a stream, and only that one, has ``completion`` set.
    """

    text: str = ""
    thinking: str = ""
    tool_name: str = ""
    completion: Completion | None = None


@runtime_checkable
class ModelProtocol(Protocol):
    """What Sunwell asks of a chat model: a name and two methods. There is nothing to inherit from.

    A model may also have ``input_bound_tokens(request) -> int``, an upper bound on the input
    tokens that its provider can bill for a request, and ``price``, a
    :class:`~sunwell.core.price.Price` or ``None``. Without them, the bound is computed from the
    request's bytes, and the price is looked up by ``name``. With ``async count_input_tokens(request)
    -> int | None``, the provider's own count, free of charge, can be asked for; ``None``: it cannot.
    """

    @property
    def name(self) -> str:
        """The model's name in bills, events and journals."""
        ...

    async def complete(self, request: Request) -> Completion:
        """Return one completion, or raise :exc:`~sunwell.errors.ModelError`."""
        ...

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer as it arrives; the last delta carries the completion.

        Raises :exc:`~sunwell.errors.ModelError`, also if the stream ends too early.
        """
        ...
