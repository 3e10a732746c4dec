"""Claude, and whatever else speaks Anthropic's Messages API."""

import attrs

from sunwell.core.model import Completion, Request
from sunwell.models.anthropic_encoding import encode_request
from sunwell.models.anthropic_reading import MessageReader, read_answer
from sunwell.models.clients import Sdk
from sunwell.models.connection import Connection
from sunwell.models.http_model import HttpModel
from sunwell.models.tuning import UNTUNED, Tuning

STREAM_ABOVE_TOKENS = 21_333
"""Answers that may take longer than ten minutes are streamed: Anthropic cuts a silent connection."""


@attrs.frozen
class _Messages:
    thinking_tokens: int | None = None
    sdk: Sdk = "anthropic"
    path: str = "/v1/messages"

    def encode(self, model_id: str, request: Request, *, streaming: bool) -> tuple[bytes, ...]:
        return encode_request(model_id, request, streaming=streaming, thinking_tokens=self.thinking_tokens)

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked)

    def reader(self, asked: str) -> MessageReader:
        return MessageReader(asked)


class AnthropicModel(HttpModel):
    """A model of the Messages API, reached through the SDK ``anthropic``.

    ``model_id`` is the provider's id, ``name`` what the model is called here: the id unless given.
    The key is looked for when something is asked; :meth:`check_key` looks at once.
    """

    __slots__ = ()

    def __init__(
        self,
        model_id: str,
        connection: Connection,
        *,
        name: str | None = None,
        tuning: Tuning = UNTUNED,
    ) -> None:
        wire = _Messages(tuning.thinking_tokens)
        super().__init__(model_id, connection, name or model_id, wire, STREAM_ABOVE_TOKENS, tuning)
