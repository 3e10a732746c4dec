"""Models that speak OpenAI's Chat Completions: OpenAI's own, and those of every compatible server."""

import attrs

from sunwell.core.model import Completion, Request
from sunwell.models.chat_encoding import ChatQuirks, encode_request, quirks_for
from sunwell.models.chat_reading import ChunkReader, read_answer
from sunwell.models.clients import Sdk
from sunwell.models.connection import Connection
from sunwell.models.http_model import HttpModel
from sunwell.models.tuning import UNTUNED, Tuning


@attrs.frozen
class _Chat:
    quirks: ChatQuirks
    sdk: Sdk = "openai"
    path: str = "/chat/completions"

    def encode(self, model_id: str, request: Request, *, streaming: bool) -> tuple[bytes, ...]:
        return encode_request(model_id, request, self.quirks, streaming=streaming)

    def read(self, data: bytes, asked: str) -> Completion:
        return read_answer(data, asked)

    def reader(self, asked: str) -> ChunkReader:
        return ChunkReader(asked)


class ChatModel(HttpModel):
    """A model of Chat Completions, reached through the SDK ``openai``.

    ``model_id`` is the server's id, ``name`` what the model is called here: the id unless given.
    ``quirks`` says what the server understands; unless given it is told by provider and id.
    The key is looked for when something is asked; :meth:`check_key` looks at once.
    """

    __slots__ = ()

    def __init__(
        self,
        model_id: str,
        connection: Connection,
        *,
        name: str | None = None,
        quirks: ChatQuirks | None = None,
        tuning: Tuning = UNTUNED,
    ) -> None:
        known = quirks or quirks_for(connection.provider, model_id)
        super().__init__(model_id, connection, name or model_id, _Chat(known), tuning=tuning)
