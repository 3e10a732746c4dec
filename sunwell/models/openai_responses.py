"""Models that speak OpenAI's Responses API: OpenAI's own, unless told otherwise."""

import attrs

from sunwell.core.model import Completion, Request
from sunwell.models.clients import Sdk
from sunwell.models.connection import Connection
from sunwell.models.http_model import HttpModel
from sunwell.models.responses_encoding import encode_request
from sunwell.models.responses_reading import ResponseReader, read_answer
from sunwell.models.tuning import UNTUNED, Tuning


@attrs.frozen
class _Responses:
    sdk: Sdk = "openai"
    path: str = "/responses"

    def encode(self, model_id: str, request: Request, *, streaming: bool) -> tuple[bytes, ...]:
        return encode_request(model_id, request, streaming=streaming)

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked)

    def reader(self, asked: str) -> ResponseReader:
        return ResponseReader(asked)


class ResponsesModel(HttpModel):
    """A model of the Responses API, reached through the SDK ``openai``.

    Nothing is stored at the provider's: reasoning comes back encrypted and is sent again.
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
        super().__init__(model_id, connection, name or model_id, _Responses(), tuning=tuning)
