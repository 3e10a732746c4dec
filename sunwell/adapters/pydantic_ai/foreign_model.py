"""A model of pydantic-ai as a model of ours."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, contextmanager
from types import TracebackType
from typing import Any, Self

import attrs
from pydantic_ai.messages import (
    ModelMessage,
    PartStartEvent,
    TextPart,
    TextPartDelta,
    ThinkingPart,
    ThinkingPartDelta,
    ToolCallPart,
)
from pydantic_ai.models import Model, ModelRequestParameters, infer_model
from pydantic_ai.models.wrapper import WrapperModel
from pydantic_ai.settings import ModelSettings

from sunwell.adapters.pydantic_ai.api_failures import failure_of
from sunwell.adapters.pydantic_ai.message_mapping import (
    completion_of,
    messages_of,
    parameters_of,
    settings_of,
)
from sunwell.adapters.pydantic_ai.request_bounds import bound_of
from sunwell.core.model import Completion, Delta, Request
from sunwell.core.price import Price
from sunwell.errors import ConfigurationError, ConnectionFailed, ModelError

_PRESETS = {"google-cloud": "vertex", "google-gla": "google", "google-vertex": "vertex"}
"""Providers that pydantic-ai calls otherwise than our tables."""
_Sent = tuple[list[ModelMessage], ModelSettings, ModelRequestParameters]


def _unbudgeted(_: object, __: object, value: Model) -> None:
    inner: Any = value
    while isinstance(inner, WrapperModel):
        if getattr(inner, "books_requests", False):
            raise ConfigurationError(
                "a run books the calls of its models itself: give it the model without BudgetedModel, and "
                "the run a cap or the shared budget"
            )
        inner = inner.wrapped


@attrs.define(eq=False)
class PydanticAIModel:
    """A :class:`~sunwell.core.model.ModelProtocol` that asks a model of pydantic-ai, for any role.

    It takes a model or its name there, such as ``openai:gpt-6-luna``. Its calls are booked, journalled, kept
    to the run's limits and repeated as those of any model; the client of pydantic-ai repeats nothing. It is
    priced by the name of its provider and its id; ``price`` is for what is in no table. ``async with`` closes
    its connections in the end. Raises :exc:`~sunwell.errors.ConfigurationError` for a model that books into a
    shared budget.
    """

    framework_model: Model = attrs.field(converter=infer_model, validator=_unbudgeted)
    price: Price | None = attrs.field(default=None, kw_only=True)
    max_output_tokens: int | None = attrs.field(default=None, kw_only=True)
    """Token limit of an answer if a request sets none; ``None``: the house's default."""
    name: str = attrs.field(kw_only=True)
    """Its name in bills and journals; ``provider/id`` unless given."""

    @name.default
    def _own_name(self) -> str:
        return f"{self.provider}/{self.model_id}"

    async def __aenter__(self) -> Self:
        await self.framework_model.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.framework_model.__aexit__(kind, error, trace)

    @property
    def provider(self) -> str:
        """The provider, as the tables of prices call it."""
        system = self.framework_model.system
        return _PRESETS.get(system, system)

    @property
    def model_id(self) -> str:
        """The provider's id of the model."""
        return self.framework_model.model_name

    @property
    def context_window(self) -> int | None:
        """The context window that pydantic-ai knows, in tokens; ``None``: unknown."""
        try:
            return self.framework_model.context_window
        except NotImplementedError:  # several models behind one, none of which speaks for all
            return None

    @property
    def origin(self) -> str:
        """What is noted on reasoning that only this model gets back."""
        return f"pydantic-ai@{self.provider}/{self.model_id}"

    def input_bound_tokens(self, request: Request) -> int:
        """Return the most input tokens that *request* can be billed for."""
        messages, settings, parameters = self._sent(request)
        return bound_of(self.framework_model, messages, settings, parameters).input_tokens

    async def complete(self, request: Request) -> Completion:
        """Return one answer, or raise :exc:`~sunwell.errors.ModelError`."""
        sent = self._sent(request)
        with self._failing():
            async with asyncio.timeout(request.timeout_seconds):
                response = await self.framework_model.request(*sent)
        return completion_of(response, self.name, self.origin)

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer as it arrives; see :class:`~sunwell.core.model.ModelProtocol`."""
        sent, loop = self._sent(request), asyncio.get_running_loop()
        limit = request.timeout_seconds
        deadline = None if limit is None else loop.time() + limit
        async with AsyncExitStack() as stack:
            with self._failing():
                async with asyncio.timeout_at(deadline):
                    arriving = await stack.enter_async_context(self.framework_model.request_stream(*sent))
            events = aiter(arriving)
            while True:
                with self._failing():
                    # Around each piece alone: a time limit around a ``yield`` would stop whoever reads.
                    async with asyncio.timeout_at(deadline):
                        event = await anext(events, None)
                if event is None:
                    break
                if (delta := _delta_of(event)) is not None:
                    yield delta
            response = arriving.get()
        yield Delta(completion=completion_of(response, self.name, self.origin))

    def failure_of(self, error: Exception) -> ModelError | None:
        """Return *error*, raised by the model of pydantic-ai, as ours; ``None`` if it is a bug."""
        return failure_of(error, self.name, self.provider, self.framework_model.base_url)

    def _sent(self, request: Request) -> _Sent:
        model = self.framework_model
        return (
            messages_of(request, model, self.origin),
            settings_of(request, model),
            parameters_of(request, model),
        )

    @contextmanager
    def _failing(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError as error:
            raise ConnectionFailed(
                self.name,
                "the answer did not arrive in time; allow more time or ask for less",
                True,
                True,
                silent=True,
            ) from error
        except Exception as error:
            found = self.failure_of(error)
            if found is None or found is error:
                raise
            raise found from error


def _delta_of(event: Any) -> Delta | None:
    arrived = event.part if isinstance(event, PartStartEvent) else getattr(event, "delta", None)
    match arrived:
        case TextPart(content=text) | TextPartDelta(content_delta=text) if text:
            return Delta(text=text)
        case ThinkingPart(content=text) | ThinkingPartDelta(content_delta=text) if text:
            return Delta(thinking=text)
        case ToolCallPart(tool_name=name):
            return Delta(tool_name=name)
    return None
