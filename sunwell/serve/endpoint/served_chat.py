"""OpenAI's Chat Completions, as a server speaks it."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from sunwell.core.model import Usage
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
    turns_of,
    unfit,
)
from sunwell.serve.endpoint.event_stream import COMMENT, data_event

_REFUSED = {
    "tools": NO_TOOLS,
    "functions": NO_TOOLS,
    "tool_choice": NO_TOOLS,
    "function_call": NO_TOOLS,
    "audio": "answers are text",
    "logprobs": "an answer is that of a run, not of one model",
    "top_logprobs": "an answer is that of a run, not of one model",
    "web_search_options": "a run does not search the web",
}
_USED = ("model", "messages", "stream", "stream_options", "n", "response_format", "modalities", *_REFUSED)
_ENDS = {"end": "stop", "length": "length", "refusal": "content_filter"}


@attrs.frozen
class ChatWire:
    """``POST /v1/chat/completions``."""

    def read(self, body: Mapping[str, Any]) -> ClientRequest:
        """Return the request in *body*. Raises :exc:`Declined`."""
        require_plain(body, _REFUSED)
        if body.get("n") not in (None, 1):
            raise unfit("n must be 1: a request is one run, with one answer")
        if body.get("modalities") not in (None, ["text"]):
            raise unfit("modalities must be ['text']: answers are text")
        require_text(body.get("response_format"), "response_format")
        system, turns = turns_of(body.get("messages"), "messages", ("system", "developer"))
        options = body.get("stream_options")
        return ClientRequest(
            model=text_field(body, "model"),
            turns=tuple(turns),
            system="\n\n".join(system),
            streams=flag(body, "stream"),
            with_usage=isinstance(options, dict) and options.get("include_usage") is True,
            not_used=not_used(body, _USED),
        )

    def whole(self, answer: ClientAnswer) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        message = {"role": "assistant", "content": answer.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": _ENDS[answer.stop]}
        return {
            **_head(answer, "chat.completion"),
            "choices": [choice],
            "usage": usage_of(answer, "prompt_tokens", "completion_tokens"),
            "sunwell": answer.about,
        }

    def begin(self, answer: ClientAnswer) -> Iterator[bytes]:
        """Yield the first events of a stream."""
        yield _chunk(answer, {"role": "assistant", "content": ""}, None)

    def beat(self) -> bytes:
        """Return a comment, which clients skip."""
        return COMMENT

    def end(self, answer: ClientAnswer, *, with_usage: bool) -> Iterator[bytes]:
        """Yield the answer and the end of its stream."""
        if answer.text:
            yield _chunk(answer, {"content": answer.text}, None)
        yield _chunk(answer, {}, _ENDS[answer.stop], sunwell=answer.about)
        if with_usage:
            usage = usage_of(answer, "prompt_tokens", "completion_tokens")
            yield data_event({**_head(answer, "chat.completion.chunk"), "choices": [], "usage": usage})
        yield b"data: [DONE]\n\n"

    def failed(self, declined: Declined) -> Iterator[bytes]:
        """Yield the end of a stream without an answer."""
        yield data_event(self.error(declined))

    def error(self, declined: Declined) -> dict[str, Any]:
        """Return the body of an error."""
        return openai_error(declined)


def require_text(form: Any, name: str) -> None:
    """Raise :exc:`Declined` if *form* asks for something else than plain text."""
    if form is not None and not (isinstance(form, dict) and form.get("type") == "text"):
        raise unfit(f"{name} must be text: {NO_FORMS}")


def openai_error(declined: Declined) -> dict[str, Any]:
    """Return the body of an error as OpenAI's wire formats have it."""
    about = {"sunwell": declined.about} if declined.about else {}
    error = {"message": declined.sentence, "type": declined.kind, "param": None, "code": declined.kind}
    return {"error": {**error, **about}}


def usage_of(answer: ClientAnswer, input_name: str, output_name: str) -> dict[str, Any]:
    """Return the tokens of all models of the run, and its cost, under OpenAI's names."""
    usage: Usage = answer.usage
    return {
        input_name: usage.input_tokens,
        output_name: usage.output_tokens,
        "total_tokens": usage.total_tokens,
        f"{input_name}_details": {"cached_tokens": usage.cache_read_tokens},
        f"{output_name}_details": {"reasoning_tokens": usage.reasoning_tokens},
        "cost": answer.cost_usd,
    }


def _head(answer: ClientAnswer, kind: str) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": kind,
        "created": answer.created,
        "model": answer.model,
    }


def _chunk(answer: ClientAnswer, delta: dict[str, Any], finish: str | None, **more: Any) -> bytes:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
    return data_event({**_head(answer, "chat.completion.chunk"), "choices": [choice], **more})
