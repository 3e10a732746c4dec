"""A model of pydantic-ai whose requests are booked in a shared budget."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any, ClassVar

import attrs
from pydantic_ai.messages import ModelMessage, ModelResponse
from pydantic_ai.models import (
    KnownModelName,
    Model,
    ModelRequestContext,
    ModelRequestParameters,
    StreamedResponse,
)
from pydantic_ai.models.batch import Batch, EncodedBatchRequest
from pydantic_ai.models.fallback import FallbackModel
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings, merge_model_settings
from pydantic_ai.tools import RunContext

from sunwell.adapters.pydantic_ai.foreign_model import PydanticAIModel
from sunwell.adapters.pydantic_ai.message_mapping import has_sound, usage_of
from sunwell.adapters.pydantic_ai.request_bounds import bound_of
from sunwell.adapters.pydantic_ai.shared_budget import SharedBooking, SharedBudget
from sunwell.budget.ledger_protocol import Claim
from sunwell.core.message import History
from sunwell.core.model import Caching, Completion, Request
from sunwell.errors import ConfigurationError
from sunwell.gateway.booking import claim_for
from sunwell.models.room import DEFAULT_OUTPUT_TOKENS


@attrs.frozen
class _BoundedRequest:
    """A request that is about to be sent: its settings, and what it costs at most."""

    settings: ModelSettings
    claim: Claim
    what: str


class BudgetedModel(WrapperModel):
    """Any model of pydantic-ai, with each request booked in a :class:`SharedBudget`.

    Before a request is sent, its worst case is held: its input by bytes, and the longest answer that
    ``max_tokens`` allows; where neither the request nor the model sets it, it is sent with
    *max_output_tokens*. Afterwards its cost is booked by the usage that the provider reports. A request that
    failed, was cancelled, or whose stream was left early stays booked at its worst case, as uncertain, unless
    the provider certainly billed nothing or its usage came. The client's own repetitions are switched off:
    each request that is sent is booked.

    A request that does not fit raises :exc:`SharedBudgetExhausted` before anything is sent, and one whose
    cost has no bound :exc:`~sunwell.errors.ConfigurationError`: the price is unknown, it has files and no
    *media_tokens* is given, or it asks for what is not billed by tokens. Batches and
    summaries by the provider are refused.
    """

    books_requests: ClassVar[bool] = True

    def __init__(
        self,
        wrapped: Model | KnownModelName | str,
        budget: SharedBudget,
        *,
        max_output_tokens: int = DEFAULT_OUTPUT_TOKENS,
        media_tokens: int | None = None,
    ) -> None:
        super().__init__(wrapped)
        self.budget = budget
        """Where its requests are booked."""
        self.max_output_tokens = max_output_tokens
        """Token limit of an answer for which nobody set one."""
        self.media_tokens = media_tokens
        """Most tokens that one image or other file can take; ``None``: such requests are refused."""
        self._priced = PydanticAIModel(self.wrapped)  # also refuses a model that is booked already
        if isinstance(self.wrapped, FallbackModel):
            raise ConfigurationError(
                "a FallbackModel sends several requests for one: wrap each of its models by itself, "
                "FallbackModel(BudgetedModel(first, budget), BudgetedModel(second, budget))"
            )

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Send a request within the budget; see the class for what it raises."""
        order = self._order(messages, model_settings, model_request_parameters)
        booking = await self.budget.hold(order.claim, order.what)
        try:
            response = await self.wrapped.request(messages, order.settings, model_request_parameters)
        except BaseException as error:
            self._book_failure(booking, error)
            raise
        self._book(booking, response)
        return response

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: RunContext[Any] | None = None,
    ) -> AsyncGenerator[StreamedResponse]:
        """Stream a request within the budget; see the class for what it raises."""
        order = self._order(messages, model_settings, model_request_parameters)
        booking = await self.budget.hold(order.claim, order.what)
        arriving: StreamedResponse | None = None
        try:
            async with self.wrapped.request_stream(
                messages, order.settings, model_request_parameters, run_context
            ) as arriving:
                # Tools may be called before whoever reads the stream leaves it, and need room themselves.
                booking.look = lambda stream=arriving: self._book_if_whole(booking, stream)
                yield arriving
        except BaseException as error:
            if arriving is None:
                self._book_failure(booking, error)
            raise
        finally:
            if arriving is not None:
                self._book(booking, arriving.get())

    async def compact_messages(
        self, request_context: ModelRequestContext, *, instructions: str | None = None
    ) -> ModelResponse:
        """Refuse: the provider's summary has no limit that is the same everywhere."""
        raise ConfigurationError(
            "not sent: nobody can say what it costs at most when the provider shortens a conversation; "
            "shorten it in the program"
        )

    async def batch_create(self, requests: Sequence[EncodedBatchRequest]) -> Batch:
        """Refuse: a batch may cost something for a day after the process has ended."""
        raise ConfigurationError(
            "not sent: a batch is answered when this budget may be gone; send it with the model itself, "
            "without BudgetedModel"
        )

    def _order(
        self,
        messages: Sequence[ModelMessage],
        settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> _BoundedRequest:
        priced, prices = self._priced, self.budget.prices
        bound = bound_of(self.wrapped, messages, settings, parameters, self.media_tokens)
        chosen = merge_model_settings(self.wrapped.settings, settings) or {}
        price, room = prices.price_and_room(priced, chosen.get("max_tokens") or self.max_output_tokens)
        if price is None:
            raise ConfigurationError(
                f"not sent: the price of {priced.name} is unknown, so no budget in dollars can hold for it; "
                f"give SharedBudget its price: prices=PriceBook({{{priced.name!r}: Price(...)}})"
            )
        if "max_tokens" in self.wrapped.unsupported_settings:
            raise ConfigurationError(
                f"not sent: {priced.name} takes no limit of its answer (max_tokens), so nobody can say what "
                "it costs at most"
            )
        caching = Caching("1h") if bound.is_cached else Caching(None, conversation=False)
        asked = Request(History(), max_output_tokens=room.output_tokens, caching=caching)
        claim = claim_for(
            priced,
            asked,
            price,
            room=room,
            input_tokens=bound.input_tokens,
            least_output_tokens=room.output_tokens,
        )
        sent: ModelSettings = {**(settings or {}), "max_tokens": room.output_tokens}
        if "max_retries" not in self.wrapped.unsupported_settings:
            sent["max_retries"] = 0
        return _BoundedRequest(sent, claim, f"this request to {priced.name}")

    def _book(self, booking: SharedBooking, response: ModelResponse) -> None:
        """Book an answer, or what there is of it."""
        usage = usage_of(response.usage)
        is_final = response.state == "complete" or (
            # A stream that was left after the provider had said how it ended and what it used.
            response.state in ("incomplete", "interrupted")
            and response.finish_reason is not None
            and response.usage.output_tokens > 0
        )
        if usage is None or not is_final:
            booking.keep()
            return
        booking.settle(usage.total_tokens, self._cost_usd(response))

    def _book_if_whole(self, booking: SharedBooking, stream: StreamedResponse) -> None:
        if (response := stream.get()).state == "complete":
            self._book(booking, response)

    def _cost_usd(self, response: ModelResponse) -> Decimal | None:
        if has_sound(response.usage):
            return None
        model = response.model_name or self._priced.model_id
        answer = Completion((), "end", usage_of(response.usage), model)
        return self.budget.prices.priced(self._priced, answer).cost_usd

    def _book_failure(self, booking: SharedBooking, error: BaseException) -> None:
        try:
            failure = self._priced.failure_of(error) if isinstance(error, Exception) else None
            if failure is not None and not failure.may_be_billed:
                booking.release()
        finally:
            booking.keep()  # unless it was released: whatever else happens, nothing is held for ever
