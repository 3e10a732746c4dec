"""What a model call consumed, in tokens."""

import attrs


def _count(_: object, attribute: "attrs.Attribute[int]", value: int) -> None:
    if value < 0:
        raise ValueError(f"{attribute.name} cannot be negative, got {value}")


@attrs.frozen
class Usage:
    """Tokens of one call, or the sum of several.

    ``input_tokens`` includes what was read from and written to a cache (OpenTelemetry's meaning),
    ``output_tokens`` includes reasoning. Unknown usage is ``None`` in place of a ``Usage``, never
    a ``Usage`` of zeros.
    """

    input_tokens: int = attrs.field(default=0, validator=_count)
    """All input, cached or not."""
    output_tokens: int = attrs.field(default=0, validator=_count)
    """All output, reasoning included."""
    cache_read_tokens: int = attrs.field(default=0, validator=_count)
    """Part of the input that was read from the provider's cache."""
    cache_write_tokens: int = attrs.field(default=0, validator=_count)
    """Part of the input that was written to the cache with the short time to live."""
    cache_write_1h_tokens: int = attrs.field(default=0, validator=_count)
    """Part of the input that was written to the cache for an hour."""
    reasoning_tokens: int = attrs.field(default=0, validator=_count)
    """Part of the output that the provider reports as reasoning."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    @property
    def uncached_input_tokens(self) -> int:
        """Input that was neither read from nor written to a cache, at least 0."""
        cached = self.cache_read_tokens + self.cache_write_tokens + self.cache_write_1h_tokens
        return max(0, self.input_tokens - cached)

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
