"""A conversation that would outgrow the model's window: old results and long arguments give way to stubs."""

import json
import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

import attrs

from sunwell.agent.prompts import (
    ARGUMENT_LEFT_OUT,
    BUDGET_LOW,
    HANDED_OVER_BEGINS,
    LIST_LEFT_OUT,
    STATUS_BEGINS,
    argument_left_out,
    list_left_out,
    result_cut_short,
    result_left_out,
    text_left_out,
)
from sunwell.agent.run.run_context import Run
from sunwell.budget.ledger_protocol import Ledger
from sunwell.budget.standing import Standing
from sunwell.core.message import History, Message, Part, Text, ToolCall, ToolResult
from sunwell.core.model import ModelProtocol
from sunwell.core.span import Span
from sunwell.errors import RequestTooLong
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
    running: int
    queued: int
    ready: int
    """Workers that have finished and whose results were not given yet."""


def status_line(ledger: Ledger, path: str, progress: WorkProgress) -> str:
    """Return one line with what is used and left at *path*; it says so if little is left.

    The parts of each budget add up to it. How many more turns fit follows from the turns so far.
    """
    used = ledger.used(path)
    tokens = used.settled_tokens + used.uncertain_tokens
    parts = [f"turn {progress.turn + 1} of {progress.turns}"]
    standings = [ledger.standing(path, limit) for limit in ("usd", "tokens")]
    known = [standing for standing in standings if standing is not None]
    parts += [f"of {standing.amount(standing.ceiling)}: {standing.parts()}" for standing in known]
    if not any(standing.limit == "tokens" for standing in known):
        parts.append(f"{tokens:,} tokens used")
    counted = [
        one for one in (ledger.standing(path, limit) for limit in ("turns", "calls")) if one is not None
    ]
    parts += [f"{one.left:f} of {one.ceiling:f} {one.limit} left for you and all workers" for one in counted]
    if (more := _turns_that_fit(known, progress)) is not None:
        parts.append(f"enough for about {more:,} more {'turn' if more == 1 else 'turns'}")
    seconds = ledger.seconds_left(path)
    if seconds is not None:
        parts.append(f"{_time(seconds)} left")
    parts.append(
        f"workers: {progress.running} running, {progress.queued} queued, {progress.ready} not given yet"
    )
    line = f"{STATUS_BEGINS} {'; '.join(parts)}.]"
    is_low = (
        (progress.turns - progress.turn) * _LOW <= progress.turns
        or any(_is_low(one.left, one.spent + one.unconfirmed) for one in (*known, *counted))
        or (seconds is not None and seconds * _LOW <= seconds + used.seconds)
    )
    return f"{line}\n{BUDGET_LOW}" if is_low else line


def _turns_that_fit(standings: Sequence[Standing], progress: WorkProgress) -> int | None:
    """Return how many more turns fit if they cost as much as those so far; ``None`` if nobody can say."""
    if not progress.turn:
        return None
    fits = [progress.turns - progress.turn]
    for one in standings:
        each = (one.spent + one.unconfirmed) / progress.turn
        if each:
            fits.append(int(one.left / each))
    return min(fits) if len(fits) > 1 else None


def _is_low(left: Decimal, used: Decimal) -> bool:
    return left * _LOW <= left + used


def _time(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 120 else f"{seconds:.0f} s"


FULL_AT = 0.8
"""Part of the room for the prompt at which the conversation is made shorter."""
KEPT_SHARES = (0.3, 0.15, 0.05, 0.0)
"""Part of that room whose newest messages stay as they are: rarely and much, since every change
costs the cached prefix. The later ones are tried where the first does not do."""
_LEAST_SHARE = 0.05
_AFFORDED_SHARE = 0.5
"""Part of what the budget has room for that a shortened conversation takes. Each cut costs the cached prefix:
with 0.8, a conversation is cut again soon, and half as many runs finish (``benchmarks/real_work.py``)."""
_WORTH_ASKING = 0.9
"""A conversation that is cut to this part of a refused one may fit if nobody says how long it may be."""
_LONGEST_KEPT = 200
"""A result as short as this stays as it is."""
_KEPT_OF_TEXT = 200
"""Characters that stay of an old text of the model itself, if nothing else makes enough room."""
_LONGEST_ARGUMENT, _SHOWN_OF_ARGUMENT = 400, 80
"""An argument that is longer keeps its beginning."""
_LONGEST_CALL, _SHOWN_ITEMS = 2_000, 2
"""Of a call that is still longer after that, lists keep their first items."""
_FIRST_GUESS = 0.5
"""Tokens of a byte until a provider has said how many there were; rather too many than too few."""
_COMPACTED = "compacted"
_DELEGATING = (
    "await_results",
    "stream_results",
    "inspect",
    "rlm_sub_complete",
    "rlm_batch_complete",
    "subagent",
)
_WRITERS = frozenset({"write_file", "edit_file"})
_CUT_ARGUMENT = re.compile(ARGUMENT_LEFT_OUT)
_CUT_RESULT = re.compile(r"\[[\d,]+ characters were left out here to save room;")
_LIST_NOTE = re.compile(f"^{LIST_LEFT_OUT}", re.MULTILINE)


class WindowFull(Exception):
    """The conversation does not fit into the window, however much is left out."""


@attrs.frozen
class HistoryCut:
    """How a conversation is made shorter. The same cut of the same conversation gives the same one."""

    kept: int
    """How many of the newest messages stay as they are."""
    unread_characters: int | None = None
    """How much stays of a result that the model has not read yet; ``None``: it gives way like an old one,
    and long arguments of the model's calls stay, as in older records."""
    text_characters: int | None = None
    """How much stays of an old text of the model itself; ``None``: all of it."""
    short_of: str | None = None
    """What there is too little of: ``usd`` or ``tokens`` of the budget; ``None``: room in the window."""

    @classmethod
    def recorded(cls, value: Any) -> Self:
        """Return the cut in a record: an older one is the number of messages alone."""
        if isinstance(value, Mapping):
            texts = value.get("text_characters")
            unread = int(value["unread_characters"])
            short_of = value.get("short_of")
            return cls(int(value["kept"]), unread, None if texts is None else int(texts), short_of)
        return cls(int(value))


def compacted(history: History, cut: HistoryCut, *, can_read: bool = False) -> History:
    """Return *history* with stubs for results and long arguments that stand before its newest messages.

    A stub says how much was left out and where it is found; *can_read* says that files can be read.
    The first message, the model's thinking, errors and short results stay, and so does its own text if the
    cut does not say otherwise; old status lines are dropped. Calls keep their ids, names and the shape of
    their arguments, which are JSON before and after.
    """
    border = max(1, len(history) - cut.kept)
    read = max((n for n, message in enumerate(history) if message.role == "assistant"), default=0)
    names: dict[str, str] = {}
    left_out: dict[str, int] = {}
    shorter: list[Message] = []
    for number, message in enumerate(history):
        if number >= border or number == 0:
            shorter.append(message)
            continue
        names |= {call.id: call.name for call in message.tool_calls}
        parts: list[Part] = []
        for part in message.parts:
            if isinstance(part, ToolCall) and cut.unread_characters is not None:
                part, left_out[part.id] = _short_call(part, can_read=can_read)
            elif isinstance(part, ToolResult):
                if number > read and cut.unread_characters is not None:
                    part = _beginning(part, cut.unread_characters, cut.short_of)
                else:
                    part = _stub(part, names)
                part = _with_note(part, left_out.get(part.call_id, 0))
            elif isinstance(part, Text) and message.role == "assistant" and cut.text_characters is not None:
                part = _beginning_of_text(part, cut.text_characters)
            elif isinstance(part, Text) and _is_handed_over(message, part) and number < read:
                part = Text(result_left_out(len(part.text), "await_results", can_inspect=True))
            if not _is_status(message, part):
                parts.append(part)
        shorter.append(Message(message.role, tuple(parts)))
    return History(shorter)


def _is_status(message: Message, part: Part) -> bool:
    if not isinstance(part, Text) or not part.text.startswith(STATUS_BEGINS):
        return False
    return message.role == "tool" or _is_handed_over(message, message.parts[0])


def _is_handed_over(message: Message, part: Part) -> bool:
    """Whether *part* of *message* gives workers' reports to a model that did not call for them."""
    return message.role == "user" and isinstance(part, Text) and part.text.startswith(HANDED_OVER_BEGINS)


def _stub(part: ToolResult, names: dict[str, str]) -> ToolResult:
    if part.is_error or len(part.content) <= _LONGEST_KEPT or _LIST_NOTE.search(part.content):
        return part
    name = names.get(part.call_id, "the tool")
    text = result_left_out(len(part.content), name, can_inspect=name in _DELEGATING)
    return attrs.evolve(part, content=text)


def _beginning(part: ToolResult, characters: int, short_of: str | None) -> ToolResult:
    """Return *part* cut after *characters*: what the model has not read must not be lost whole."""
    left_out = len(part.content) - characters
    if left_out <= _LONGEST_KEPT:
        return part
    return attrs.evolve(part, content=part.content[:characters] + result_cut_short(left_out, short_of))


def _beginning_of_text(part: Text, characters: int) -> Text:
    left_out = len(part.text) - characters
    if left_out <= _LONGEST_KEPT:
        return part
    return attrs.evolve(part, text=part.text[:characters] + text_left_out(left_out))


def _with_note(part: ToolResult, left_out: int) -> ToolResult:
    return attrs.evolve(part, content=part.content + list_left_out(left_out)) if left_out else part


def _short_call(call: ToolCall, *, can_read: bool) -> tuple[ToolCall, int]:
    """Return *call* with its long arguments cut, and how many items of lists were left out.

    The signature of a thinking block before the call covers the thinking alone, which stays as it is.
    """
    if len(call.arguments) <= _LONGEST_ARGUMENT:
        return call, 0
    readable = can_read and call.name in _WRITERS
    try:
        value = json.loads(call.arguments)
        if not isinstance(value, dict):
            raise ValueError("the arguments of a call are an object")
        value = _short_value(value, readable)
        written, left_out = _as_json(value), 0
        if len(written) > _LONGEST_CALL:
            value, left_out = _short_lists(value)
            written = _as_json(value)
    except (ValueError, RecursionError):  # it was malformed: then its result says so
        written, left_out = _as_json({"malformed_arguments": _short_text(call.arguments, False)}), 0
    if len(written) >= len(call.arguments):
        return call, 0
    return attrs.evolve(call, arguments=written), left_out


def _as_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _short_value(value: Any, readable: bool) -> Any:
    """Return *value* with its long strings cut; names of fields and all else stay."""
    if isinstance(value, str):
        return _short_text(value, readable)
    if isinstance(value, list):
        return [_short_value(item, readable) for item in value]
    if isinstance(value, dict):
        return {key: _short_value(item, readable) for key, item in value.items()}
    return value


def _short_text(text: str, readable: bool) -> str:
    if len(text) <= _LONGEST_ARGUMENT:
        return text
    left_out = len(text) - _SHOWN_OF_ARGUMENT
    return text[:_SHOWN_OF_ARGUMENT] + argument_left_out(left_out, can_read=readable)


def _short_lists(value: Any) -> tuple[Any, int]:
    """Return *value* with the first items of its lists alone, and how many were left out."""
    if isinstance(value, list):
        made = [_short_lists(item) for item in value[:_SHOWN_ITEMS]]
        items = max(0, len(value) - _SHOWN_ITEMS)
        return [one for one, _ in made], items + sum(count for _, count in made)
    if isinstance(value, dict):
        fields = {key: _short_lists(item) for key, item in value.items()}
        return {key: one for key, (one, _) in fields.items()}, sum(count for _, count in fields.values())
    return value, 0


@attrs.define(eq=False)
class Compactor:
    """Keeps the conversation of one span within a window, and writes down when it made it shorter."""

    run: Run
    span: Span
    model: ModelProtocol
    max_output_tokens: int | None = None
    """Most tokens of an answer; ``None``: as :meth:`PriceBook.room <sunwell.models.prices.PriceBook.room>`
    has it."""
    can_read: bool = False
    """Whether the model can read files."""
    _tokens_per_byte: float | None = attrs.field(default=None, init=False)

    @property
    def room_tokens(self) -> int | None:
        """Most tokens of the prompt; ``None``: unknown. It changes as soon as a provider names its window."""
        return self.run.gateway.prices.room(self.model, self.max_output_tokens).prompt_tokens

    def learn(self, request_bytes: int, input_tokens: int | None) -> None:
        """Take note of how many tokens a request of so many bytes came to."""
        if input_tokens and request_bytes:
            self._tokens_per_byte = input_tokens / request_bytes

    def start_with(self, tokens_per_byte: float | None) -> None:
        """Take *tokens_per_byte* as known: a conversation that goes on need not be guessed at."""
        self._tokens_per_byte = tokens_per_byte

    def fitting_bytes(self, other_bytes: int, output_tokens: int) -> int | None:
        """Return how long a conversation may be beside *other_bytes*, with an answer of *output_tokens*."""
        window = self.run.gateway.prices.window_tokens(self.model)
        if window is None:
            return None
        return max(0, round((window - output_tokens) * FULL_AT / self._rate) - other_bytes)

    async def fit(self, history: History, other_bytes: int, turn: int) -> History:
        """Return *history* as it is sent at *turn*, beside *other_bytes* of system prompt and tools.

        Raises :exc:`WindowFull` where it does not fit.
        """
        noted = self.run.journal.find(Note, self._key(turn)) if self.run.resumed else None
        if noted is not None:
            return self._cut(history, HistoryCut.recorded(noted.value))
        room = self.room_tokens
        is_full = room is not None and self._tokens(history.size_bytes + other_bytes) > room * FULL_AT
        # What was answered was sent as it is.
        if room is None or not is_full or self.run.gateway.has_answer(self.span):
            return history
        cut, shorter = self._shortest(history, room, room * FULL_AT, other_bytes)
        left_tokens = self._tokens(shorter.size_bytes + other_bytes)
        # Before the first answer the length is a guess: then the provider may say whether it fits.
        if left_tokens > room * FULL_AT and self._tokens_per_byte is not None:
            raise WindowFull
        return await self._note(history, shorter, cut, turn)

    async def shorten(
        self, history: History, other_bytes: int, turn: int, refused_bytes: int, refusal: RequestTooLong
    ) -> History:
        """Return *history* made shorter, since the provider refused *refused_bytes* of it as too long.

        Raises :exc:`WindowFull` where nothing that helps can be left out.
        """
        self.learn(refused_bytes + other_bytes, refusal.input_tokens)
        room = self.room_tokens
        refused_tokens = self._tokens(refused_bytes + other_bytes)
        if room is None or room > refused_tokens:  # nobody says how long it may be, or our count is too low
            room = round(refused_tokens)
        cut, shorter = self._shortest(history, room, room * FULL_AT, other_bytes)
        if shorter.size_bytes + other_bytes > (refused_bytes + other_bytes) * _WORTH_ASKING:
            raise WindowFull
        return await self._note(history, shorter, cut, turn)

    async def shorten_to(
        self, history: History, other_bytes: int, turn: int, room_tokens: float, short_of: str
    ) -> History | None:
        """Return *history* made shorter, so that a request has about *room_tokens* at most.

        ``None`` if nothing can be left out that helps. *short_of*: ``usd`` or ``tokens``, see
        :class:`HistoryCut`.
        """
        if room_tokens <= 0:
            return None
        cut, shorter = self._shortest(
            history, room_tokens, room_tokens * _AFFORDED_SHARE, other_bytes, short_of
        )
        if (
            shorter.size_bytes > history.size_bytes * _WORTH_ASKING
            or self._tokens(shorter.size_bytes + other_bytes) > room_tokens
        ):
            return None
        return await self._note(history, shorter, cut, turn)

    def _shortest(
        self, history: History, room: float, wanted: float, other_bytes: int, short_of: str | None = None
    ) -> tuple[HistoryCut, History]:
        """Return the first cut after which *history* has at most *wanted* tokens, else the last."""
        for share in KEPT_SHARES:
            kept = self._newest(history, room * share)
            unread = max(_LEAST_SHARE, share) * room / self._rate / max(1, len(history[-1].parts))
            cut = HistoryCut(kept, max(_LONGEST_KEPT, round(unread)), short_of=short_of)
            shorter = self._cut(history, cut)
            if self._tokens(shorter.size_bytes + other_bytes) <= wanted:
                return cut, shorter
        cut = attrs.evolve(cut, text_characters=_KEPT_OF_TEXT)
        return cut, self._cut(history, cut)

    def _cut(self, history: History, cut: HistoryCut) -> History:
        return compacted(history, cut, can_read=self.can_read)

    def _key(self, turn: int) -> tuple[str, str]:
        return (f"{self.span.path}/turn-{turn}", _COMPACTED)

    async def _note(self, history: History, shorter: History, cut: HistoryCut, turn: int) -> History:
        if shorter == history:
            return history
        await self.run.journal.append(Note(*self._key(turn), attrs.asdict(cut)), durable=False)
        self._tell(history, shorter, turn)
        return shorter

    def _newest(self, history: History, room: float) -> int:
        """Return how many of the newest messages have *room* tokens; whole turns alone."""
        kept = 0
        for message in reversed(history[1:]):
            room -= self._tokens(History([message]).size_bytes)
            if room < 0:
                break
            kept += 1
        while kept and history[len(history) - kept].role != "assistant":
            kept -= 1
        return kept

    @property
    def tokens_per_byte(self) -> float | None:
        """Tokens of a byte of the latest request, as the provider counted them; ``None``: unknown."""
        return self._tokens_per_byte

    @property
    def _rate(self) -> float:
        return _FIRST_GUESS if self._tokens_per_byte is None else self._tokens_per_byte

    def _tokens(self, size_bytes: int) -> float:
        return size_bytes * self._rate

    def _tell(self, before: History, after: History, turn: int) -> None:
        stubs = sum(_is_cut(part) for message in after for part in message.parts)
        saved = round(self._tokens(before.size_bytes - after.size_bytes))
        self.run.tell(HISTORY_COMPACTED, HistoryCompacted(self.span.path, turn, stubs, saved))


def _is_cut(part: Part) -> bool:
    if isinstance(part, ToolCall):
        return _CUT_ARGUMENT.search(part.arguments) is not None
    return isinstance(part, ToolResult) and _CUT_RESULT.match(part.content) is not None


def repeats_a_cut(call: ToolCall) -> bool:
    """Whether *call* holds the note of a cut argument: a model may copy what its old calls look like."""
    return _CUT_ARGUMENT.search(call.arguments) is not None
