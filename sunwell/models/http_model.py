"""A model that is asked over HTTP."""

from collections.abc import AsyncIterator
from contextlib import aclosing

import attrs

from sunwell.core.model import Completion, Delta, Request
from sunwell.models.call import Call, Wire
from sunwell.models.connection import Connection
from sunwell.models.failures import Failures
from sunwell.models.tuning import UNTUNED, Tuning


@attrs.define(eq=False)
class HttpModel:
    """A model that is asked over HTTP through the SDK of its wire format."""

    model_id: str
    connection: Connection
    name: str
    """What the model is called in bills, events and journals."""
    wire: Wire = attrs.field(repr=False)
    stream_above_tokens: int | None = None
    """Answers that may be longer than this are asked for as a stream: a silent connection may be cut."""
    tuning: Tuning = UNTUNED
    _failures: Failures = attrs.field(init=False, repr=False)

    @_failures.default
    def _for_this_model(self) -> Failures:
        return Failures(self.name, self.connection, self.wire.sdk)

    @property
    def provider(self) -> str:
        """The provider's name."""
        return self.connection.provider

    @property
    def max_output_tokens(self) -> int | None:
        """Most tokens of one answer where a request names no limit; ``None``: nobody has set it."""
        return self.tuning.max_output_tokens

    @property
    def context_window(self) -> int | None:
        """The context window that was set for the model; ``None``: its price says it, if anything does."""
        return self.tuning.context_window

    def check_key(self) -> None:
        """Raise :exc:`~sunwell.errors.MissingKeyError` where the connection has no key."""
        self.connection.check_key()

    def input_bound_tokens(self, request: Request) -> int:
        """Return an upper bound on the input tokens that the provider can bill for *request*.

        The bytes of the body, since no token is shorter than a byte, plus the dated allowance for
        what the provider adds to a prompt.
        """
        from sunwell.models.tokens import allowance_tokens

        pieces = self.wire.encode(self.model_id, self.tuning.applied(request), streaming=True)
        return sum(map(len, pieces)) + allowance_tokens(self.provider, self.model_id)

    async def complete(self, request: Request) -> Completion:
        """Return one completion, or raise :exc:`~sunwell.errors.ModelError`.

        The request's time limit, else the connection's, holds over the whole call. A cancelled
        call closes its connection.
        """
        call = self._call(request)
        if not self._must_stream(request):
            return await call.whole()
        completion = None
        async with aclosing(call.stream()) as deltas:
            async for delta in deltas:
                completion = delta.completion
        assert completion is not None
        return completion

    def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer as it comes; the last delta carries the completion.

        Raises :exc:`~sunwell.errors.ModelError`, also where the stream ends before its proper end.
        """
        return self._call(request).stream()

    def _call(self, request: Request) -> Call:
        tuned = self.tuning.applied(request)
        return Call(self.model_id, self.wire, self.connection, self._failures, tuned)

    def _must_stream(self, request: Request) -> bool:
        above, asked = self.stream_above_tokens, request.max_output_tokens
        return above is not None and asked is not None and asked > above
