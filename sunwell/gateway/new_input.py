"""What of a call counts under a ceiling of new tokens: its output, and input that was not counted before."""

from collections import Counter
from collections.abc import Hashable, Iterable

import attrs

from sunwell.core.message import Message, Part, Thinking, digest_of
from sunwell.core.model import Completion, Request
from sunwell.gateway.bounds import Bounds, allowance, begins, unchanged
from sunwell.gateway.model_call import ModelCall

_TOKENS_PER_NEW_PART = 16
"""What a provider may add for each part of a message."""


@attrs.frozen
class _Counted:
    """What was billed for the last answer to one conversation."""

    setting: Hashable
    count: int
    """Messages of the request."""
    digest: bytes
    input_tokens: int
    digest_with_answer: bytes
    """Of these messages with the answer after them."""
    answer_tokens: int
    """What the answer takes at least when it is sent back: it was counted as output."""


@attrs.define(eq=False)
class NewInput:
    """Bounds and counts the new input of each call, by what was counted before.

    A system prompt with its tools counts once for a run, whoever sends it; each part of a conversation
    once for its span. What is new is at most the bytes of the parts that were not sent before, and at
    most what is billed less what is known to be old; the smaller of the two counts. So a count never
    exceeds the bound that was reserved, unless the whole bill exceeds its bound.

    Without usage, all that was reserved stays counted. What it knows is from answers, recorded ones too.
    """

    bounds: Bounds
    _parts: dict[str, Counter[bytes]] = attrs.field(factory=dict, init=False)
    """Parts that were sent in each span, and how often in one request."""
    _shared: dict[Hashable, int] = attrs.field(factory=dict, init=False)
    """Tokens that a system prompt with its tools takes at least, of those that were sent."""
    _last: dict[str, _Counted] = attrs.field(factory=dict, init=False)

    def bound_tokens(self, call: ModelCall, input_tokens: int) -> int:
        """Return a bound on the new input of *call*, of which *input_tokens* bounds all input."""
        return max(0, min(input_tokens - self._old_tokens(call), self._new_bytes(call, input_tokens)))

    def counted_tokens(self, call: ModelCall, completion: Completion) -> int | None:
        """Return the output and the new input of an answer to *call*; ``None`` without usage."""
        usage, billed = completion.usage, completion.billed_tokens
        if usage is None or billed is None:
            return None
        return billed - usage.input_tokens + self.bound_tokens(call, usage.input_tokens)

    def learn(self, call: ModelCall, completion: Completion) -> None:
        """Take note that *call* was counted, and what its answer says of its input."""
        path, request = call.span.path, call.request
        answer = completion.as_message()
        sent = self._parts.setdefault(path, Counter())
        sent |= Counter(digest for _, digest in _parts_of((*request.messages, answer)))
        self._parts[path] = sent
        before = self._shared.get(_prefix(call), 0)
        usage = completion.usage
        if usage is None or completion.usage_doubt or completion.consulted:
            self._shared[_prefix(call)] = before
            return
        own = self._bytes_of(call, request.messages)
        self._shared[_prefix(call)] = max(before, usage.input_tokens - own)
        messages = request.messages
        self._last[path] = _Counted(
            unchanged(call.model, request),
            len(messages),
            messages.digest,
            usage.input_tokens,
            digest_of(*answer.fields(), start=messages.digest),
            _least_answer_tokens(completion),
        )

    def _old_tokens(self, call: ModelCall) -> int:
        """Return how many tokens of the input are known to have been counted."""
        messages, last = call.request.messages, self._last.get(call.span.path)
        if last is not None and last.setting == unchanged(call.model, call.request):
            if begins(messages, last.count + 1, last.digest_with_answer):
                return last.input_tokens + last.answer_tokens
            if begins(messages, last.count, last.digest):
                return last.input_tokens
        return self._shared.get(_prefix(call), 0)

    def _new_bytes(self, call: ModelCall, input_tokens: int) -> int:
        """Return a bound from the bytes of the new parts; *input_tokens* if the system prompt is new, too."""
        if _prefix(call) not in self._shared:
            return input_tokens
        left = Counter(self._parts.get(call.span.path, ()))
        new: list[Message] = []
        for message in call.request.messages:
            parts: list[Part] = []
            for part, digest in _parts_of((message,)):
                if left[digest] > 0:
                    left[digest] -= 1
                else:
                    parts.append(part)
            if parts:
                new.append(Message(message.role, tuple(parts)))
        return self._bytes_of(call, new) + allowance(call.model)

    def _bytes_of(self, call: ModelCall, messages: Iterable[Message]) -> int:
        """Return the most tokens that *messages* take."""
        taken = tuple(messages)
        parts = sum(1 + len(message.parts) for message in taken)
        return self.bounds.bytes_of(call.model, call.request, taken) + _TOKENS_PER_NEW_PART * parts


def _parts_of(messages: Iterable[Message]) -> Iterable[tuple[Part, bytes]]:
    for message in messages:
        for part in message.parts:
            yield part, digest_of(*Message(message.role, (part,)).fields())


def _prefix(call: ModelCall) -> Hashable:
    """Return what stands before the messages, for one model."""
    request: Request = call.request
    return (call.model.name, request.system, request.tools)


def _least_answer_tokens(completion: Completion) -> int:
    """Return how many tokens of the answer come back as input at least, by its usage.

    Reasoning may not come back. If the provider does not say how much of the output it was, then no more
    than the bytes of what can be seen is taken off, and nothing from an answer that shows reasoning.
    """
    usage = completion.usage
    assert usage is not None
    if not usage.reasoning_tokens and any(isinstance(part, Thinking) for part in completion.parts):
        return 0
    calls = completion.tool_calls
    texts = [completion.text, *(text for call in calls for text in (call.id, call.name, call.arguments))]
    seen = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return max(0, min(usage.output_tokens - usage.reasoning_tokens, seen))
