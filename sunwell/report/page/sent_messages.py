"""The requests of a run as they were sent, as a page shows them: each message of a conversation once."""

import asyncio
import json
from collections.abc import Iterable, Iterator
from typing import Any

import attrs

from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.sent_requests import SentCall, SentCalls, sent_call, sent_calls
from sunwell.core.message import Part, Text, Thinking, ToolCall, ToolResult
from sunwell.core.model import Request, ToolSpec
from sunwell.journal.records import Record
from sunwell.report.page.page_data import Requests, SentMessage, SentRequest, TextId
from sunwell.report.page.page_texts import PageTexts


def sent_requests(records: Iterable[Record], equipment: Equipment | None = None) -> Requests:
    """Return the requests of the run of *records*, made again from the record alone.

    No model is asked, no tool is run and no file of the workspace is needed. *equipment* has the tools that
    the models were told of, such as ``Agent(...).equipment``; ``None``: those of Sunwell alone, so that no
    journal has a plugin imported. What could not be made again is missing, and what the installed version
    asks otherwise does not agree; a sentence says why. This takes its time for a long run. Raises
    :exc:`RuntimeError` inside a running event loop: there, call it in a thread.
    """
    return as_requests(asyncio.run(sent_calls(records, equipment)))


def request_of(records: Iterable[Record], key: str, equipment: Equipment | None = None) -> Requests:
    """Return the request of the call *key*, ``SPAN:NUMBER``, alone; all else is as in :func:`sent_requests`.

    It is told whole, without the messages of other calls. A key of no call that was sent gives none.
    """
    span, _, number = key.rpartition(":")
    if not (number.isascii() and number.isdigit()):
        return Requests({}, {})
    return as_requests(asyncio.run(sent_call(records, (span, int(number)), equipment)))


def as_requests(sent: SentCalls) -> Requests:
    """Return *sent* as a page shows it."""
    told = _Telling()
    requests = {f"{span}:{number}": told.told(call) for (span, number), call in sent.calls.items()}
    return Requests(requests, told.pool.shown, sent.missing)


@attrs.define(eq=False)
class _Telling:
    """Tells requests one after the other, and remembers which messages have been told."""

    pool: PageTexts = attrs.field(factory=PageTexts)
    _told: dict[bytes, tuple[str, int]] = attrs.field(factory=dict, init=False)
    """By the digest of messages that a request begins with: whose they are, and how many."""
    _tools: dict[tuple[ToolSpec, ...], TextId] = attrs.field(factory=dict, init=False)

    def told(self, call: SentCall) -> SentRequest:
        key, request, history = f"{call.span}:{call.number}", call.request, call.request.messages
        goes_on, kept = "", 0
        # From the end: a conversation that goes on has a message or two more than before, so this is short.
        for count in range(len(history), 0, -1):
            if (found := self._told.get(history.digest_at(count))) is not None:
                goes_on, kept = found
                break
        for count in range(kept + 1, len(history) + 1):
            self._told[history.digest_at(count)] = (key, count)
        return SentRequest(
            system=tuple(map(self.pool.add, request.system)),
            tools=self._tools_text(request.tools),
            goes_on=goes_on,
            kept=kept,
            messages=tuple(self._messages(request, kept)),
            settings=tuple(_settings(call)),
            agrees=call.agrees,
            schema=self._schema_text(request),
        )

    def _tools_text(self, tools: tuple[ToolSpec, ...]) -> TextId:
        if tools not in self._tools:
            told = [
                {"name": one.name, "description": one.description, "parameters": one.parameters}
                for one in tools
            ]
            self._tools[tools] = self.pool.add(_json(told) if told else "")
        return self._tools[tools]

    def _schema_text(self, request: Request) -> TextId:
        schema = request.response_schema
        return self.pool.add("" if schema is None else _json(schema.schema))

    def _messages(self, request: Request, kept: int) -> Iterator[SentMessage]:
        names: dict[str, str] = {}
        for message in request.messages[max(0, kept - 1) :]:  # results follow the message with their calls
            names.update({call.id: call.name for call in message.tool_calls})
        for message in request.messages[kept:]:
            yield SentMessage(message.role, tuple(self._part(part, names) for part in message.parts))

    def _part(self, part: Part, names: dict[str, str]) -> tuple[str, TextId]:
        match part:
            case Text(text):
                return "text", self.pool.add(text)
            case Thinking(text, raw):
                return "thinking", self.pool.add(text or raw)
            case ToolCall(_, name, arguments):
                return f"call {name}", self.pool.add(arguments)
            case ToolResult(call_id, content, is_error):
                kind = "error" if is_error else "result"
                return f"{kind} {names.get(call_id, '')}".rstrip(), self.pool.add(content)
        raise AssertionError(part)


def _settings(call: SentCall) -> Iterator[tuple[str, str]]:
    request = call.request
    yield "model", call.model
    yield "most output tokens", f"{request.max_output_tokens:,}"
    if request.effort is not None:
        yield "effort", request.effort
    if request.tool_choice != "auto":
        yield "tool choice", request.tool_choice
    if request.response_schema is not None:
        yield "answer follows the schema", request.response_schema.name


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2, default=dict)
