"""Models that speak OpenAI's Chat Completions: OpenAI's own, and those of every compatible server."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import attrs

from sunwell.core.model import Completion, Delta, Request
from sunwell.errors import BadRequest
from sunwell.models.call import Call
from sunwell.models.chat_encoding import ChatQuirks, encode_request, quirks_for
from sunwell.models.chat_reading import ChunkReader, read_answer
from sunwell.models.clients import Sdk
from sunwell.models.connection import Connection
from sunwell.models.http_model import HttpModel
from sunwell.models.learning import without_refused
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

    @property
    def quirks(self) -> ChatQuirks:
        """What the server is taken to understand, as far as it has been found out."""
        wire = self.wire
        assert isinstance(wire, _Chat)
        return wire.quirks

    async def complete(self, request: Request) -> Completion:
        """Return one completion, or raise :exc:`~sunwell.errors.ModelError`.

        Where the server refuses a field that is not needed, the error allows another attempt, which
        does without it.
        """
        try:
            return await super().complete(request)
        except BadRequest as error:
            self._learn(error)
            raise

    async def stream(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Yield the answer as it comes; the last delta carries the completion.

        Raises what :meth:`complete` raises, also where the stream ends before its proper end.
        """
        try:
            async with aclosing(self._call(request).stream()) as deltas:
                async for delta in deltas:
                    yield delta
        except BadRequest as error:
            self._learn(error)
            raise

    def _call(self, request: Request) -> Call:
        if request.tools and not self.quirks.tools:
            reason = "the server takes no tools: name another model for work, or ask without tools"
            raise BadRequest(self.name, reason)
        return super()._call(request)

    def _learn(self, error: BadRequest) -> None:
        if error.answer is not None:  # it was taken and paid: another attempt would be paid, too
            return
        changed = without_refused(self.quirks, error.detail)
        if changed is None:
            return
        self.wire = _Chat(changed)
        error.retry, error.retry_after_seconds = True, 0.0
