"""A conversation that would outgrow the model's window: old results of tools give way to stubs."""

from decimal import Decimal

import attrs

from sunwell.agent.prompts import BUDGET_LOW, STATUS_BEGINS, result_left_out
from sunwell.agent.run.run_context import Run
from sunwell.budget.ledger_protocol import Ledger
from sunwell.core.message import History, Message, Part, Text, ToolResult
from sunwell.core.model import Usage
from sunwell.core.span import Span
from sunwell.events import HISTORY_COMPACTED, HistoryCompacted
from sunwell.journal.records import Note

_LOW = 5
"""Little is left once less than the fifth part is."""


@attrs.frozen
class WorkProgress:
    """Where a piece of work stands that hands out others."""

    turn: int
    """From 0."""
    turns: int
    working: int
    unread: int


def status_line(ledger: Ledger, path: str, progress: WorkProgress) -> str:
    """Return one line with what is used and left at *path*; it says so where little is left."""
    used = ledger.used(path)
    tokens = used.settled_tokens + used.uncertain_tokens
    tokens_left, usd_left, seconds = (
        ledger.tokens_left(path),
        ledger.usd_left(path),
        ledger.seconds_left(path),
    )
    spent_usd = used.settled_usd + used.uncertain_usd
    parts = [f"turn {progress.turn + 1} of {progress.turns}", f"{tokens:,} tokens used"]
    if tokens_left is not None:
        parts.append(f"{tokens_left:,} tokens left")
    if usd_left is not None:
        parts.append(f"${spent_usd:.4f} spent, ${usd_left:.4f} left")
    if seconds is not None:
        parts.append(f"{_time(seconds)} left")
    parts.append(f"workers: {progress.working} at work, {progress.unread} finished and not yet read")
    line = f"{STATUS_BEGINS} {'; '.join(parts)}.]"
    is_low = (
        (progress.turns - progress.turn) * _LOW <= progress.turns
        or _is_low(tokens_left, tokens)
        or _is_low(usd_left, spent_usd)
        or (seconds is not None and seconds * _LOW <= seconds + used.seconds)
    )
    return f"{line}\n{BUDGET_LOW}" if is_low else line


def _is_low(left: int | Decimal | None, used: int | Decimal) -> bool:
    return left is not None and left * _LOW <= left + used


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


FULL_AT = 0.8
"""Part of the window at which the conversation is made shorter."""
KEPT_SHARES = (0.3, 0.15, 0.05)
"""Part of the window whose newest messages stay as they are: rarely and much, since every change
costs the cached prefix. The later ones are tried where the first does not do."""
_LONGEST_KEPT = 200
"""A result as short as this stays as it is."""
_FIRST_GUESS = 0.5
"""Tokens of a byte until a provider has said how many there were; rather too many than too few."""
_COMPACTED = "compacted"
_DELEGATING = ("await_results", "stream_results", "inspect")


class WindowFull(Exception):
    """The conversation does not fit into the window, however much is left out."""


def compacted(history: History, kept: int) -> History:
    """Return *history* with stubs for the tool results that stand before its newest *kept* messages.

    A stub says how much was left out and where it is found. The first message, all that the model
    said, errors and short results stay; old status lines are dropped.
    """
    border = max(1, len(history) - kept)
    names: dict[str, str] = {}
    shorter: list[Message] = []
    for number, message in enumerate(history):
        if number >= border or number == 0:
            shorter.append(message)
            continue
        names |= {call.id: call.name for call in message.tool_calls}
        parts = [_stub(part, names) for part in message.parts if not _is_status(message, part)]
        shorter.append(Message(message.role, tuple(parts)))
    return History(shorter)


def _is_status(message: Message, part: Part) -> bool:
    return message.role == "tool" and isinstance(part, Text) and part.text.startswith(STATUS_BEGINS)


def _stub(part: Part, names: dict[str, str]) -> Part:
    if not isinstance(part, ToolResult) or part.is_error or len(part.content) <= _LONGEST_KEPT:
        return part
    name = names.get(part.call_id, "the tool")
    text = result_left_out(len(part.content), name, can_inspect=name in _DELEGATING)
    return attrs.evolve(part, content=text)


@attrs.define(eq=False)
class Compactor:
    """Keeps the conversation of one span within a window, and writes down when it made it shorter."""

    run: Run
    span: Span
    window_tokens: int
    """Most tokens of the prompt."""
    _tokens_per_byte: float = attrs.field(default=_FIRST_GUESS, init=False)

    def learn(self, request_bytes: int, usage: Usage | None) -> None:
        """Take note of how many tokens a request of so many bytes came to."""
        if usage is not None and usage.input_tokens and request_bytes:
            self._tokens_per_byte = usage.input_tokens / request_bytes

    async def fit(self, history: History, other_bytes: int, turn: int) -> History:
        """Return *history* as it is sent at *turn*, beside *other_bytes* of system prompt and tools.

        Raises :exc:`WindowFull` where it does not fit.
        """
        key = (f"{self.span.path}/turn-{turn}", _COMPACTED)
        noted = self.run.journal.find(Note, key) if self.run.resumed else None
        if noted is not None:
            return compacted(history, int(noted.value))
        is_full = self._tokens(history.size_bytes + other_bytes) > self.window_tokens * FULL_AT
        if not is_full or self.run.gateway.has_answer(self.span):  # what was answered was sent as it is
            return history
        for share in KEPT_SHARES:
            kept = self._newest(history, share)
            shorter = compacted(history, kept)
            if self._tokens(shorter.size_bytes + other_bytes) <= self.window_tokens * FULL_AT:
                await self.run.journal.append(Note(*key, kept), durable=False)
                self._tell(history, shorter, turn)
                return shorter
        raise WindowFull

    def _newest(self, history: History, share: float) -> int:
        """Return how many of the newest messages come to *share* of the window; whole turns alone."""
        room, kept = self.window_tokens * share, 0
        for message in reversed(history[1:]):
            room -= self._tokens(History([message]).size_bytes)
            if room < 0:
                break
            kept += 1
        while kept and history[len(history) - kept].role != "assistant":
            kept -= 1
        return kept

    def _tokens(self, size_bytes: int) -> float:
        return size_bytes * self._tokens_per_byte

    def _tell(self, before: History, after: History, turn: int) -> None:
        stubs = sum(_is_stub(part) for message in after for part in message.parts)
        saved = round(self._tokens(before.size_bytes - after.size_bytes))
        self.run.tell(HISTORY_COMPACTED, HistoryCompacted(self.span.path, turn, stubs, saved))


def _is_stub(part: Part) -> bool:
    return isinstance(part, ToolResult) and "characters were left out here to save room;" in part.content
