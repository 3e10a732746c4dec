"""Anthropic's Messages, as a server speaks it."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from sunwell.serve.endpoint.client_request import (
    NO_FORMS,
    NO_TOOLS,
    ClientAnswer,
    ClientRequest,
    Declined,
    flag,
    not_used,
    require_plain,
    text_field,
    text_of,
    turns_of,
    unfit,
)
from sunwell.serve.endpoint.event_stream import data_event

_REFUSED = {
    "tools": NO_TOOLS,
    "tool_choice": NO_TOOLS,
    "mcp_servers": NO_TOOLS,
    "container": "a run has the folder of the server",
}
_USED = ("model", "messages", "system", "stream", "output_format", "output_config", *_REFUSED)
_ENDS = {"end": "end_turn", "length": "max_tokens", "refusal": "refusal"}


@attrs.frozen
class MessagesWire:
    """``POST /v1/messages``."""

    def read(self, body: Mapping[str, Any]) -> ClientRequest:
        """Return the request in *body*. Raises :exc:`Declined`."""
        require_plain(body, _REFUSED)
        output = body.get("output_config")
        form = body.get("output_format") or (output.get("format") if isinstance(output, dict) else None)
        if form is not None:
            raise unfit(f"an answer has no other form than text: {NO_FORMS}")
        _, turns = turns_of(body.get("messages"), "messages", ())
        return ClientRequest(
            model=text_field(body, "model"),
            turns=tuple(turns),
            system=text_of(body.get("system"), "system"),
            streams=flag(body, "stream"),
            not_used=not_used(body, _USED),
        )

    def whole(self, answer: ClientAnswer) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        return {
            **_head(answer),
            "content": [{"type": "text", "text": answer.text}],
            "stop_reason": _ENDS[answer.stop],
            "usage": _usage(answer),
            "sunwell": answer.about,
        }

    def begin(self, answer: ClientAnswer) -> Iterator[bytes]:
        """Yield the first events of a stream."""
        message = {**_head(answer), "content": [], "stop_reason": None, "usage": _usage(answer)}
        yield _event("message_start", message=message)

    def beat(self) -> bytes:
        """Return a ping."""
        return _event("ping")

    def end(self, answer: ClientAnswer, *, with_usage: bool) -> Iterator[bytes]:
        """Yield the answer and the end of its stream."""
        yield _event("content_block_start", index=0, content_block={"type": "text", "text": ""})
        yield _event("content_block_delta", index=0, delta={"type": "text_delta", "text": answer.text})
        yield _event("content_block_stop", index=0)
        delta = {"stop_reason": _ENDS[answer.stop], "stop_sequence": None}
        usage = _usage(answer) if with_usage else {}
        yield _event("message_delta", delta=delta, usage=usage, sunwell=answer.about)
        yield _event("message_stop")

    def failed(self, declined: Declined) -> Iterator[bytes]:
        """Yield the end of a stream without an answer."""
        yield data_event(self.error(declined), "error")

    def error(self, declined: Declined) -> dict[str, Any]:
        """Return the body of an error."""
        about = {"sunwell": declined.about} if declined.about else {}
        return {"type": "error", "error": {"type": declined.kind, "message": declined.sentence, **about}}


def _event(name: str, **fields: Any) -> bytes:
    return data_event({"type": name, **fields}, name)


def _head(answer: ClientAnswer) -> dict[str, Any]:
    return {
        "id": f"msg_{answer.id}",
        "type": "message",
        "role": "assistant",
        "model": answer.model,
        "stop_sequence": None,
    }


def _usage(answer: ClientAnswer) -> dict[str, Any]:
    """Return the tokens of all models of the run, and its cost; input is what was neither read nor cached."""
    usage = answer.usage
    return {
        "input_tokens": usage.uncached_input_tokens,
        "cache_creation_input_tokens": usage.cache_write_tokens + usage.cache_write_1h_tokens,
        "cache_read_input_tokens": usage.cache_read_tokens,
        "output_tokens": usage.output_tokens,
        "cost": answer.cost_usd,
    }
