"""A lens writer that looks into the workspace for itself: what it may read, how long, and at what cost."""

from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import attrs

from sunwell.agent.conversation.tool_calls import CallRunner, with_sound_ids
from sunwell.agent.prompts import SCOUTED_ENOUGH, SCOUTING_CUT
from sunwell.agent.run.files_seen import SCOUTING
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.toolset import Toolset
from sunwell.context.excerpts import Shown
from sunwell.context.options import RunOptions
from sunwell.core.message import History, Message, ToolCall, ToolResult, user
from sunwell.core.model import Completion, ModelProtocol, Request, ToolSpec
from sunwell.core.span import Span
from sunwell.gateway.booking import first_claim
from sunwell.journal.records import Note
from sunwell.models.dialects import written_life
from sunwell.models.room import own_output_tokens
from sunwell.tools.toolbox import Toolbox

SCOUT_TOOLS = ("list_files", "read_file", "search_files")
"""Tools that only read; no other is offered to a lens writer."""
TURN_BYTES = 12_000
"""Most that the results of one turn show of the workspace."""
_RESULT_BYTES = 8_000
MOST_CALLS = 8
"""Most calls that are carried out for one message."""
_LEAST_ANSWER_TOKENS = 2_000
_LEAST_FIT = 0.5
_MOST_SHARE = Decimal("0.5")
"""Part of what is left that looking and the lens after it may take at most, so that work has the rest."""
_COUNTED_TOKENS_PER_BYTE = Decimal("0.5")  # if the provider counts, bytes are no bound that matters
_JSON = Decimal("1.25")  # escapes lengthen what is sent
_PER_MILLION = Decimal(1_000_000)


def needs_scouting(shown: Shown) -> bool:
    """Whether the lens writer should look for itself: what fits is left out, or nothing fits well."""
    if not shown.text:
        return False
    if shown.not_shown or shown.unlisted:
        return True
    return bool(shown.partly) and shown.fit < _LEAST_FIT


def turns_of_scouting(shown: Shown, options: RunOptions, tools: Iterable[ToolSpec]) -> int:
    """Return how many turns the lens writer may look if it is shown *shown*; 0: it does not look."""
    can_look = any(tool.name in SCOUT_TOOLS for tool in tools)
    return options.scout_turns if options.scout and can_look and needs_scouting(shown) else 0


@attrs.define(eq=False)
class Scout:
    """Carries out what the lens writer looks at. Gone once the lens is written.

    How many turns there were, and whether they ended early, is in the journal before the next call is made:
    a resume asks the same again.
    """

    run: Run
    span: Span
    model: ModelProtocol
    worker: ModelProtocol | None
    """Who works under the lens: its first call must still fit. ``None``: nobody."""
    tools: Toolset
    most_turns: int
    """Most turns of looking, as the model is told."""
    turns: int
    """Turns of looking after which the lens is written: fewer, if no more fit."""
    is_afresh: bool = False
    """Whether what was seen is given up: it does not fit into the model's window."""
    _calls: CallRunner = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._calls = CallRunner(self.run, self.span, self.tools)

    @classmethod
    async def of(
        cls, run: Run, span: Span, model: ModelProtocol, worker: ModelProtocol | None
    ) -> "Scout | None":
        """Return the scout of *run* as it is recorded, or a new one; ``None`` if nobody looks."""
        noted = run.journal.find(Note, (span.path, SCOUTING))
        if noted is not None:
            made = noted.value
            tools = run.tools.only(made["tools"])
            return cls(run, span, model, worker, tools, made["most_turns"], made["turns"], made["is_afresh"])
        if run.gateway.recorded_only or run.gateway.has_answer(span):  # a record of before, or of no scouting
            return None
        names = [name for name in SCOUT_TOOLS if _is_ours(run.tools, name)]
        if not names:
            return None
        most = run.config.scout_turns
        scout = cls(run, span, model, worker, run.tools.only(names), most, most)
        await scout._note()
        return scout

    async def may_look(self, turn: int, request: Request) -> int | None:
        """Return the limit of the answer with which a turn of looking may begin; ``None``: it may not.

        It may if its worst case, that of the lens after it and that of the first call of the work fit into
        what is left. A turn that is on record was begun, so it is begun again.
        """
        if turn >= self.turns:
            return None
        limit = request.max_output_tokens or _LEAST_ANSWER_TOKENS
        if self.run.gateway.has_answer(self.span) or self.run.gateway.recorded_only:
            return limit
        for tokens in (limit, min(limit, _LEAST_ANSWER_TOKENS)):
            if await self._fits(attrs.evolve(request, max_output_tokens=tokens), tokens):
                return tokens
        await self.stop(turn)
        return None

    async def look(self, completion: Completion, turn: int) -> tuple[Message, Message]:
        """Return *completion* as a message, and the results of its calls."""
        message = with_sound_ids(completion.as_message(), turn)
        calls = message.tool_calls
        done = await self._calls.carry_out(calls[:MOST_CALLS], turn)
        refused = tuple(
            ToolResult(call.id, SCOUTED_ENOUGH.format(most=MOST_CALLS), is_error=True)
            for call in calls[MOST_CALLS:]
        )
        return message, Message("tool", _cut((*done.parts, *refused)))

    async def stop(self, turn: int, *, afresh: bool = False) -> None:
        """End the looking before the turn *turn*; with *afresh*, what was seen is given up."""
        if (self.turns, self.is_afresh) != (turn, afresh):
            self.turns, self.is_afresh = turn, afresh
            await self._note()

    async def _note(self) -> None:
        value = {
            "most_turns": self.most_turns,
            "turns": self.turns,
            "tools": [spec.name for spec in self.tools.specs],
            "is_afresh": self.is_afresh,
        }
        # The intent of the call comes after it, and makes it durable, too.
        await self.run.journal.append(Note(self.span.path, SCOUTING, value), durable=False)

    async def _fits(self, request: Request, answer_tokens: int) -> bool:
        run, path = self.run, self.run.root.path
        most_calls = run.config.budget.calls
        if most_calls is not None and run.ledger.used(path).calls + 3 > most_calls:
            return False
        usd_left, tokens_left = run.ledger.usd_left(path), run.ledger.tokens_left(path)
        look = await run.gateway.least_claim(
            self.span, self.model, request, purpose="lens", usd_left=usd_left or Decimal(0)
        )
        results = Decimal(TURN_BYTES) * _JSON
        if run.gateway.can_count(self.model):
            results *= _COUNTED_TOKENS_PER_BYTE
        lens_input = look.input_tokens + answer_tokens + int(results)
        room = run.gateway.prices.room(self.model, request.max_output_tokens).prompt_tokens
        if room is not None and lens_input > room:
            return False
        work_usd, work_tokens = self._work()
        tokens = look.input_tokens + answer_tokens + lens_input + look.least_output_tokens
        if tokens_left is not None and (
            tokens + work_tokens > tokens_left or tokens > tokens_left * _MOST_SHARE
        ):
            return False
        if usd_left is None:
            return True
        price, look_usd = run.gateway.prices.price(self.model), look.most_usd(answer_tokens)
        if price is None or look_usd is None or work_usd is None:
            return False
        input_rate, output_rate = price.worst_rates(
            lens_input, written=written_life(self.model, request.caching)
        )
        lens_usd = (lens_input * input_rate + look.least_output_tokens * output_rate) / _PER_MILLION
        usd = look_usd + lens_usd
        return usd + work_usd <= usd_left and usd <= usd_left * _MOST_SHARE

    def _work(self) -> tuple[Decimal | None, int]:
        """Return the dollars and tokens of the first call of the work under the lens, at most."""
        if self.worker is None:
            return Decimal(0), 0
        run, worker = self.run, self.worker
        # A lens of the longest kind stands in for the one that is not written yet.
        lens = "x" * (4 * run.config.max_lens_tokens)
        system = (*run.guidance.sections(), lens)
        limit = own_output_tokens(worker, run.config.max_output_tokens)
        asked = Request(History([user(run.task)]), system, run.tools.specs, limit)
        claim = first_claim(worker, asked, run.gateway.prices, "work")
        least = claim.least_output_tokens
        return claim.most_usd(least), claim.input_tokens + least


def _is_ours(tools: Toolset, name: str) -> bool:
    """Whether the tool *name* may be called in the run and is that of our own toolbox, which only reads."""
    executor, _ = tools.executors_of(ToolCall("", name, "{}"))
    return isinstance(executor, Toolbox)


def _cut(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return the results *parts* so that together they show at most what one turn may.

    Each may have an even share; what short ones leave of theirs goes to the longer ones.
    """
    sizes = sorted(len(_bytes(part)) for part in parts)
    left, share = TURN_BYTES, TURN_BYTES
    for place, size in enumerate(sizes):
        share = left // (len(sizes) - place)
        if size > share:
            break
        left -= size
    return tuple(_shortened(part, min(_RESULT_BYTES, share)) for part in parts)


def _bytes(part: Any) -> bytes:
    data: bytes = part.content.encode("utf-8", "surrogatepass")
    return data


def _shortened(part: Any, room: int) -> Any:
    data = _bytes(part)
    if len(data) <= room:
        return part
    kept = data[:room].decode("utf-8", "ignore").rpartition("\n")[0]
    note = SCOUTING_CUT.format(left=len(data) - len(kept.encode("utf-8", "surrogatepass")))
    return attrs.evolve(part, content=f"{kept}{note}")
