"""What a scripted model can tell from the conversation that it is sent; it remembers nothing else."""

import json
import re
from collections.abc import Mapping
from typing import Any, Self

import attrs

from sunwell.core.message import Message, Text, ToolCall, ToolResult
from sunwell.simulator.script import Asked

# Chat formats have no flag for an error, so the text has to say it.
_ERROR = re.compile(r"\s*(?:\W?\s*)?error\b", re.IGNORECASE)


@attrs.frozen
class Wanted:
    """A tool call that a script means to make."""

    name: str
    arguments: Mapping[str, Any]

    def as_call(self, call_id: str) -> ToolCall:
        """Return it as a part of an answer."""
        return ToolCall(call_id, self.name, json.dumps(self.arguments, ensure_ascii=False))


@attrs.frozen
class FinishedCall:
    """A tool call that was made, and what came of it; ``result`` is ``None`` where nothing came."""

    wanted: Wanted
    result: ToolResult | None

    @property
    def succeeded(self) -> bool:
        """Whether a result came that is no error."""
        return self.result is not None and not self.result.is_error and not _ERROR.match(self.result.content)


@attrs.frozen
class ScriptedConversation:
    """The task, and the tool calls so far with their results."""

    task: str
    """Text of the first message of the user."""
    turns: int
    """Answers of the model so far."""
    attempts: tuple[FinishedCall, ...]

    @classmethod
    def of(cls, asked: Asked) -> Self:
        """Read the conversation in a request."""
        tasks = [m.text for m in asked.messages if m.role == "user" and m.text]
        turns = sum(message.role == "assistant" for message in asked.messages)
        return cls(tasks[0] if tasks else "", turns, tuple(_attempts(asked.messages)))

    def succeeded(self, wanted: Wanted) -> bool:
        """Whether exactly this call has been made with success."""
        return any(attempt.wanted == wanted and attempt.succeeded for attempt in self.attempts)

    def is_open(self, wanted: Wanted, tries: int) -> bool:
        """Whether the call has neither succeeded nor been tried *tries* times."""
        made = [attempt for attempt in self.attempts if attempt.wanted == wanted]
        return len(made) < tries and not any(attempt.succeeded for attempt in made)

    def result_of(self, wanted: Wanted) -> str:
        """Return what the first success of the call gave; empty where there was none."""
        texts = [a.result.content for a in self.attempts if a.wanted == wanted and a.succeeded and a.result]
        return texts[0] if texts else ""

    def results(self) -> str:
        """Return the text of all results."""
        return "\n".join(attempt.result.content for attempt in self.attempts if attempt.result)


def _attempts(messages: tuple[Message, ...]) -> list[FinishedCall]:
    results = {p.call_id: p for m in messages for p in m.parts if isinstance(p, ToolResult)}
    calls = [call for message in messages for call in message.tool_calls]
    return [FinishedCall(Wanted(call.name, _arguments(call)), results.get(call.id)) for call in calls]


def _arguments(call: ToolCall) -> dict[str, Any]:
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return {}
    return arguments if isinstance(arguments, dict) else {}


def all_text(asked: Asked) -> str:
    """Return everything in the request that is text: system prompt, messages, results of tools."""
    texts = [asked.system]
    for message in asked.messages:
        for part in message.parts:
            match part:
                case Text(text):
                    texts.append(text)
                case ToolResult(_, content):
                    texts.append(content)
    return "\n".join(texts)
