"""OpenAI's Responses, as a server speaks it."""

from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from sunwell.serve.endpoint.client_request import (
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
from sunwell.serve.endpoint.event_stream import COMMENT, data_event
from sunwell.serve.endpoint.served_chat import openai_error, require_text, usage_of

_REFUSED = {
    "tools": NO_TOOLS,
    "tool_choice": NO_TOOLS,
    "background": "a request waits for its run; a run whose client went away goes on when it is sent again",
    "conversation": "send the messages, or previous_response_id",
    "prompt": "send the text itself",
    "top_logprobs": "an answer is that of a run, not of one model",
}
_USED = ("model", "input", "instructions", "stream", "previous_response_id", "text", *_REFUSED)
_SKIPPED = ("reasoning", "item_reference")


@attrs.frozen
class ResponsesWire:
    """``POST /v1/responses``."""

    def read(self, body: Mapping[str, Any]) -> ClientRequest:
        """Return the request in *body*. Raises :exc:`Declined`."""
        require_plain(body, _REFUSED)
        form = body.get("text")
        require_text(form.get("format") if isinstance(form, dict) else form, "text.format")
        given = body.get("input")
        messages = [{"role": "user", "content": given}] if isinstance(given, str) else _messages(given)
        system, turns = turns_of(messages, "input", ("system", "developer"))
        previous = body.get("previous_response_id") or ""
        if not isinstance(previous, str):
            raise unfit("previous_response_id must be a text")
        return ClientRequest(
            model=text_field(body, "model"),
            turns=tuple(turns),
            system="\n\n".join(filter(None, [text_of(body.get("instructions"), "instructions"), *system])),
            streams=flag(body, "stream"),
            previous=previous.removeprefix("resp_"),
            not_used=not_used(body, _USED),
        )

    def whole(self, answer: ClientAnswer) -> dict[str, Any]:
        """Return the body of an answer that is not streamed."""
        return _response(answer, "incomplete" if answer.stop == "length" else "completed", [_item(answer)])

    def begin(self, answer: ClientAnswer) -> Iterator[bytes]:
        """Yield the first events of a stream."""
        for number, name in enumerate(("response.created", "response.in_progress")):
            yield _event(name, number, response=_response(answer, "in_progress", []))

    def beat(self) -> bytes:
        """Return a comment, which clients skip."""
        return COMMENT

    def end(self, answer: ClientAnswer, *, with_usage: bool) -> Iterator[bytes]:
        """Yield the answer and the end of its stream; its usage is always told."""
        item, place = _item(answer), {"output_index": 0, "content_index": 0, "item_id": f"msg_{answer.id}"}
        empty = {**item, "status": "in_progress", "content": []}
        part = item["content"][0]
        body = self.whole(answer)
        told: list[tuple[str, dict[str, Any]]] = [
            ("response.output_item.added", {"output_index": 0, "item": empty}),
            ("response.content_part.added", {**place, "part": {**part, "text": ""}}),
            ("response.output_text.delta", {**place, "delta": answer.text, "logprobs": []}),
            ("response.output_text.done", {**place, "text": answer.text, "logprobs": []}),
            ("response.content_part.done", {**place, "part": part}),
            ("response.output_item.done", {"output_index": 0, "item": item}),
            (f"response.{body['status']}", {"response": body}),
        ]
        for number, (name, fields) in enumerate(told, 2):
            yield _event(name, number, **fields)

    def failed(self, declined: Declined) -> Iterator[bytes]:
        """Yield the end of a stream without an answer."""
        body = openai_error(declined)  # clients raise what is under "error", and show the rest as an event
        yield data_event({**body["error"], "type": "error", "sequence_number": 2, **body}, "error")

    def error(self, declined: Declined) -> dict[str, Any]:
        """Return the body of an error."""
        return openai_error(declined)


def _messages(given: Any) -> list[Any]:
    """Return the messages among the items of *given*; what a model thought is left out."""
    if not isinstance(given, list):
        raise unfit("input must be a text or a list of messages")
    kept = []
    for number, item in enumerate(given):
        kind = item.get("type", "message") if isinstance(item, dict) else None
        if kind in _SKIPPED:
            continue
        if kind != "message":
            about = NO_TOOLS if "call" in str(kind) else "only messages can be given"
            raise unfit(f"input[{number}] is of type {str(kind)[:40]!r}: {about}")
        kept.append(item)
    return kept


def _event(name: str, number: int, **fields: Any) -> bytes:
    return data_event({"type": name, "sequence_number": number, **fields}, name)


def _item(answer: ClientAnswer) -> dict[str, Any]:
    part = {"type": "output_text", "text": answer.text, "annotations": [], "logprobs": []}
    return {
        "type": "message",
        "id": f"msg_{answer.id}",
        "role": "assistant",
        "status": "incomplete" if answer.stop == "length" else "completed",
        "content": [part],
    }


def _response(answer: ClientAnswer, status: str, output: list[Any]) -> dict[str, Any]:
    is_cut = status == "incomplete"
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if is_cut else None,
        "instructions": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": False,
        "tool_choice": "none",
        "tools": [],
        "usage": None if status == "in_progress" else usage_of(answer, "input_tokens", "output_tokens"),
        "sunwell": answer.about,
    }
