"""The lens of a run: asked for, asked for once more, journalled, with a declared outcome."""

import logging
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Any

import attrs

from sunwell.agent.conversation.final_call import with_words
from sunwell.agent.lens.kept_lens import FoundLens, NewLens, found_for, keep_lens, note_kept
from sunwell.agent.lens.lens_change import CHANGE_SCHEMA, LensBase, changed_lens
from sunwell.agent.lens.lens_file import lens_remarks
from sunwell.agent.lens.lens_parser import (
    is_inside,
    lens_fields,
    lens_tokens,
    parse_lens,
    seen_text,
    without_secrets,
)
from sunwell.agent.lens.lens_request import LENS_SCHEMA, LensOrder, user_prompt
from sunwell.agent.lens.scouting import MOST_CALLS, TURN_BYTES, Scout, turns_of_scouting
from sunwell.agent.prompts import (
    ATTEMPT_PROMPT,
    CHANGE_PROMPT,
    CONTEXT_CUT,
    GENERIC_CONSTRAINTS,
    GENERIC_HEURISTICS,
    LENS_PROMPT,
    SCOUT_NO_MORE,
    SPLIT_PROMPT,
    lens_repair,
    scout_prompt,
)
from sunwell.agent.run.files_seen import CONTEXT
from sunwell.agent.run.run_context import Run
from sunwell.agent.workers.worker import task_fields, task_of
from sunwell.context.excerpts import Shown
from sunwell.context.options import OnLensFailure
from sunwell.core.lens import EphemeralLens, LensSource
from sunwell.core.markdown import one_line
from sunwell.core.message import FileRead, History, user
from sunwell.core.model import Caching, Completion, ModelProtocol, Request, ResponseSchema
from sunwell.core.span import Span
from sunwell.core.task import Task
from sunwell.core.threads import in_thread
from sunwell.errors import (
    BudgetExhausted,
    ConfigurationError,
    JournalError,
    LensError,
    ModelError,
    RequestTooLong,
)
from sunwell.events import (
    EPHEMERAL_LENS_CREATED,
    LENS_FAILED,
    LENS_GIVEN,
    LENS_STARTED,
    LENS_TAKEN,
    EphemeralLensCreated,
    LensFailed,
    LensGiven,
    LensStarted,
    LensTaken,
)
from sunwell.journal.records import LensWritten, Note
from sunwell.models.room import Room

_TEXT = {"type": "string"}
_ITEM = {
    "type": "object",
    "properties": {
        "text": _TEXT,
        "scope": _TEXT,
        "target_files": {"type": "array", "items": _TEXT},
        "done": _TEXT,
    },
    "required": ["text", "scope", "target_files", "done"],
    "additionalProperties": False,
}
_MOST_ITEMS = 200
_MOST_BYTES = 8_000


def split_schema(lens: ResponseSchema) -> ResponseSchema:
    """Return the schema *lens* with a list of items besides."""
    schema = dict(lens.schema)
    schema["properties"] = {**schema["properties"], "items": {"type": "array", "items": _ITEM}}
    schema["required"] = [*schema["required"], "items"]
    return ResponseSchema("split_lens", schema)


def parse_items(text: str, *, cut: bool, tell: Callable[[str], None]) -> tuple[Task, ...]:
    """Return the items in *text*, the answer that the lens was taken from; none where it is one piece.

    An item that is lost is work that is lost. So where the answer was cut or had to be mended, or
    any item is not whole, there is no item at all: the task is then done in one piece, and *tell*
    gets a sentence on it.
    """
    try:
        _, found = lens_fields(text, cut)
    except LensError:
        return ()
    listed = found.value.get("items") if isinstance(found.value, dict) else None
    if not isinstance(listed, list) or len(listed) < 2:
        return ()
    if cut or found.mended:
        tell("the task is not split: the answer was not whole, and an item may be missing")
        return ()
    items = [_item(value) for value in listed]
    kept = [item for item in items if item is not None]
    if len(kept) < len(items) or len({item.text for item in kept}) < len(items) or len(items) > _MOST_ITEMS:
        tell("the task is not split: not all of its items are whole and different")
        return ()
    return tuple(kept)


def _item(value: Any) -> Task | None:
    if not isinstance(value, Mapping):
        return None
    texts = {name: value.get(name, "") for name in ("text", "scope", "done")}
    files = value.get("target_files", [])
    if not all(isinstance(text, str) for text in texts.values()) or not isinstance(files, list):
        return None
    clean = {name: seen_text(text) for name, text in texts.items()}
    if not clean["text"] or sum(len(text.encode()) for text in clean.values()) > _MOST_BYTES:
        return None
    if not all(isinstance(path, str) and is_inside(path) for path in files):
        return None
    return Task(clean["text"], scope=clean["scope"], done=clean["done"], target_files=files)


log = logging.getLogger("sunwell.agent")

Ask = Callable[[Request], Awaitable[Completion]]
"""The door to the smart model, bound to the place of the lens in the run."""

_THINKING_TOKENS = 4_000  # room for reasoning, which counts as output
_CUT = frozenset({"length", "window", "other"})
"""Reasons to stop after which an answer may be half of one."""
_QUOTED_BYTES = 20_000  # a longer answer is not sent back: reading it again would cost more than it helps


@attrs.frozen
class LensAndItems:
    """A lens, and the items into which its task falls: none where it is one piece."""

    lens: EphemeralLens
    items: tuple[Task, ...] = ()
    left_out: tuple[str, ...] = ()
    """A sentence for all that was left out of the answer, cut or removed."""
    is_whole: bool = True
    """Whether the answer had come to its end."""


async def write_lens(
    order: LensOrder, ask: Ask, *, model_name: str, tell: Callable[[str], None] = log.info
) -> EphemeralLens:
    """Return the lens alone that the smart model writes for *order*; see :func:`write_split_lens`."""
    return (await write_split_lens(order, ask, model_name=model_name, tell=tell)).lens


async def write_split_lens(
    order: LensOrder,
    ask: Ask,
    *,
    model_name: str,
    tell: Callable[[str], None] = log.info,
    scout: Scout | None = None,
) -> LensAndItems:
    """Return the lens that the smart model writes for *order*, with items where it may be split.

    With a *scout* it may look into the workspace first. *tell* gets a sentence on everything that was left
    out of the answer. Where the answer is no lens, the model is told why and asked once more.

    Raises :exc:`~sunwell.errors.LensError` where no lens comes of it, at once where the model
    refuses, and what *ask* raises.
    """
    prompt = user_prompt(order)
    request = _request(order, History([user(prompt)]))
    asked, completion = await _first_answer(order, request, ask, scout)
    try:
        if completion.tool_calls and asked.tools:
            raise LensError("it called a tool instead of answering, and no tool can be called any more")
        return _read(order, prompt, completion, tell)
    except LensError as error:
        if completion.stop in ("refusal", "window", "other"):
            raise LensError(f"{model_name} wrote no lens: {error}") from error
        repair = lens_repair(str(error), order.max_lens_tokens)
    # With the schema now, which costs what is cached of the conversation: form matters most here.
    repaired = attrs.evolve(asked, tool_choice="none" if asked.tools else "auto")
    repaired = attrs.evolve(repaired, response_schema=request.response_schema, caching=request.caching)
    answered = await ask(attrs.evolve(repaired, messages=_asked_again(asked.messages, completion, repair)))
    try:
        return _read(order, prompt, answered, tell)
    except LensError as error:
        raise LensError(f"{model_name} wrote no lens, asked twice: {error}") from error


async def write_changed_lens(
    order: LensOrder, base: LensBase, ask: Ask, *, model_name: str, tell: Callable[[str], None] = log.info
) -> LensAndItems:
    """Return the kept lens *base* with what the smart model changes of it for *order*, asked once.

    Raises :exc:`~sunwell.errors.LensError` if the answer cannot be applied, and what *ask* raises.
    """
    told: list[str] = []

    def note(sentence: str) -> None:
        told.append(sentence)
        tell(sentence)

    prompt = user_prompt(order)
    completion = await ask(_request(order, History([user(prompt)])))
    if completion.stop == "refusal":
        raise LensError(f"{model_name} refused")
    lens = changed_lens(
        completion.text,
        base.lens,
        max_tokens=order.max_lens_tokens,
        cut=completion.stop in _CUT,
        scope=order.task,
        tell=note,
    )
    lens = attrs.evolve(lens, generated_by=completion.model, generation_prompt=prompt)
    return LensAndItems(lens, (), counted(told))


async def _first_answer(
    order: LensOrder, plain: Request, ask: Ask, scout: Scout | None
) -> tuple[Request, Completion]:
    """Return the answer that should be the lens, and the request that it answers: *plain*, or after looking.

    While the model looks, its tools and instructions stay the same bytes, and the form of the lens is told in
    words: a schema in the last request alone would cost all that is cached of the conversation.
    """
    if scout is None:
        return plain, await ask(plain)
    asked = scouting_request(order, plain, scout)
    turn = 0
    while (limit := await scout.may_look(turn, asked)) is not None:
        try:
            completion = await ask(attrs.evolve(asked, max_output_tokens=limit))
        except BudgetExhausted:
            await scout.stop(turn)
            break
        except RequestTooLong:
            await scout.stop(turn, afresh=turn > 0)
            if not turn:
                raise  # what is shown must be shorter first
            break
        if completion.stop in _CUT:  # cut off: calls may be incomplete, and a lens would be
            await scout.stop(turn + 1)
            break
        if not completion.tool_calls:
            return asked, completion
        seen = await scout.look(completion, turn)
        asked, turn = attrs.evolve(asked, messages=asked.messages.plus(seen[0]).plus(seen[1])), turn + 1
    if scout.is_afresh or not scout.turns:
        return plain, await ask(plain)
    # It asks for an entry, too, although nobody reads that again: without one, nothing is read from a cache.
    asked = attrs.evolve(asked, messages=with_words(asked.messages, SCOUT_NO_MORE))
    try:
        return asked, await ask(asked)
    except (BudgetExhausted, RequestTooLong):
        await scout.stop(scout.turns, afresh=True)
        return plain, await ask(plain)


def scouting_request(order: LensOrder, plain: Request, scout: Scout) -> Request:
    """Return the request by which the lens writer begins to look; *plain* is the one without looking."""
    most = f"{scout.most_turns} {'message' if scout.most_turns == 1 else 'messages'}"
    return attrs.evolve(
        plain,
        system=tuple(text + scout_prompt(most, MOST_CALLS, TURN_BYTES) for text in plain.system),
        tools=scout.tools.specs,
        response_schema=None,
        caching=Caching(prefix=None, conversation=True),  # the next turn reads all of it
    )


def generic_lens(task: str) -> EphemeralLens:
    """Return a lens that fits any task and costs nothing; ``generated_by`` is empty."""
    line = one_line(task)
    scope = line if len(line) <= 120 else line[:119].rstrip() + "…"
    return EphemeralLens(heuristics=GENERIC_HEURISTICS, constraints=GENERIC_CONSTRAINTS, task_scope=scope)


def _request(order: LensOrder, history: History) -> Request:
    return Request(
        history,
        system=(_instructions(order),),
        max_output_tokens=order.max_output_tokens or 2 * order.max_lens_tokens + _THINKING_TOKENS,
        response_schema=_schema(order),
        effort=order.effort,
        caching=Caching(
            prefix=None, conversation=False
        ),  # asked once: a cache write would be paid for nothing
    )


def _schema(order: LensOrder) -> ResponseSchema:
    if order.kept:
        return CHANGE_SCHEMA
    return split_schema(LENS_SCHEMA) if order.split else LENS_SCHEMA


def _instructions(order: LensOrder) -> str:
    more = [SPLIT_PROMPT] if order.split else []
    more += [CHANGE_PROMPT] if order.kept else []
    more += [ATTEMPT_PROMPT] if order.attempt else []
    return "".join([LENS_PROMPT, *more])


def _asked_again(messages: History, completion: Completion, repair: str) -> History:
    text = completion.text
    if text.strip() and not completion.tool_calls and len(text.encode("utf-8", "replace")) <= _QUOTED_BYTES:
        return History([*messages, completion.as_message(), user(repair)])
    if len(messages) == 1:
        return History([user(f"{messages[0].text}\n\n{repair}")])
    return with_words(messages, repair)


def _read(
    order: LensOrder, prompt: str, completion: Completion, listener: Callable[[str], None]
) -> LensAndItems:
    """Return the lens in *completion*, taking its stop reason for what it is."""
    told: list[str] = []

    def tell(sentence: str) -> None:
        told.append(sentence)
        listener(sentence)

    if completion.stop == "refusal":
        said = one_line(completion.text)[:200]
        raise LensError(f"it refused{f', saying {said!r}' if said else ''}")
    try:
        lens = parse_lens(
            completion.text,
            max_tokens=order.max_lens_tokens,
            cut=completion.stop in _CUT,
            scope=order.task,
            tell=tell,
            also=("items",) if order.split else (),
        )
    except LensError as error:
        if completion.stop == "length":
            raise LensError(f"the answer was cut off at its limit of tokens, and {error}") from error
        if completion.stop == "window":
            raise LensError(f"the question fills the model's context window, and {error}") from error
        if completion.stop == "other":
            raise LensError(f"the answer ended with {completion.provider_stop!r}, and {error}") from error
        raise
    if completion.stop in _CUT:
        tell("the answer was cut off; the lens holds the items that were whole")
    lens = attrs.evolve(lens, generated_by=completion.model, generation_prompt=prompt)
    items = parse_items(completion.text, cut=completion.stop in _CUT, tell=tell) if order.split else ()
    return LensAndItems(lens, items, counted(told), completion.stop not in _CUT)


def counted(sentences: Iterable[str]) -> tuple[str, ...]:
    """Return each of *sentences* once, with how often it occurs if it occurs again."""
    counts = Counter(sentences)
    return tuple(f"{said} ({count:,} times)" if count > 1 else said for said, count in counts.items())


_OUTCOME = "lens-outcome"
_ITEMS = "items"


@attrs.frozen
class Written:
    """What came of asking for a lens. Without a lens, ``outcome`` says how the run goes on."""

    lens: EphemeralLens | None
    outcome: OnLensFailure = "direct"
    reason: str = ""
    items: tuple[Task, ...] = ()
    """The items into which the task falls; none where it is one piece."""
    left_out: tuple[str, ...] = ()
    """What the lens has lost of what was written, a sentence each."""
    source: LensSource | None = None
    """Where the lens comes from; ``None`` if there is none, or it is no model's."""


def take_given_lens(run: Run) -> bool:
    """Make the lens that *run* was given its lens, and tell of it; false if it was given none."""
    lens = run.given_lens
    if lens is None:
        return False
    run.lens = lens
    given = LensGiven(
        task_scope=lens.task_scope,
        **lens.part_counts,
        tokens=lens_tokens(lens),
        target_files=lens.target_files,
        generated_by=lens.generated_by,
        left_out=run.lens_left_out,
        remarks=lens_remarks(lens, run.config.max_lens_tokens),
    )
    run.tell(LENS_GIVEN, given)
    return True


@attrs.frozen
class LensPlace:
    """Where in a run a lens is written, and for what."""

    span: Span
    task: str
    attempt: str = ""
    """What an earlier attempt changed, and what its check said; empty: there was none."""

    @classmethod
    def of(cls, run: Run) -> "LensPlace":
        """Return the place of the lens for the task of *run*, before any work on it."""
        return cls(run.root.child("lens"), run.task)


async def write_run_lens(
    run: Run,
    smart: ModelProtocol,
    *,
    reader: ModelProtocol,
    worker: ModelProtocol | None = None,
    may_split: bool = False,
) -> Written:
    """Return the journalled lens of the run, one that the store has for it, or have *smart* write one.

    *reader* is who it is for, and *worker* the same if work under it follows in this run. A written one may
    have items. The lens becomes that of *run*. What its calls cost counts against the run whatever comes of
    them.
    """
    written = await _written(run, smart, LensPlace.of(run), worker, may_split, reader)
    run.lens, run.lens_left_out, run.lens_source = written.lens, written.left_out, written.source
    return written


async def write_lens_at(run: Run, smart: ModelProtocol, place: LensPlace) -> Written:
    """Return the journalled lens of *place*, or have *smart* write it; it does not become that of *run*."""
    return await _written(run, smart, place, None, False)


async def _written(
    run: Run,
    smart: ModelProtocol,
    place: LensPlace,
    worker: ModelProtocol | None,
    may_split: bool,
    reader: ModelProtocol | None = None,
) -> Written:
    span = place.span
    recorded = run.journal.find(LensWritten, (span.path,))
    # Where the questions of a recorded run are compared, those for the lens are, too.
    if recorded is not None and (run.gateway.compare is None or _is_taken(recorded.source)):
        noted = run.journal.find(Note, (span.path, _ITEMS))
        known = () if noted is None else tuple(map(item_of, noted.value))
        lens, left_out = _recalled(run, recorded), recorded.left_out
        return Written(lens, items=known, left_out=left_out, source=recorded.source)
    failed = run.journal.find(Note, (span.path, _OUTCOME))
    stands: Written | None = None
    if failed is not None and failed.value["outcome"] != "fail":  # taken up again, it is tried again
        stands = Written(None, failed.value["outcome"], failed.value["reason"])
        if run.gateway.compare is None:
            return stands
    order = await _order(run, smart, place, may_split, reader)
    found = found_for(run, span)
    if found.taken is not None:
        return await _take(run, place, found)
    run.tell(LENS_STARTED, LensStarted(place.task, smart.name))
    asking = _Asking(run, smart, place, worker, found)
    try:
        written, order, source = await asking.written(order)
    except (LensError, ModelError, BudgetExhausted) as error:
        return stands or await _failed(run, place, str(error))
    if written.items:  # before the lens: where that is found, they are known to be all
        items = [task_fields(item) for item in written.items]
        await run.journal.append(Note(span.path, _ITEMS, items), durable=False)
    lens, replaced = without_secrets(written.lens, run.gateway.secrets, is_answer=True)
    if found.may_keep and written.is_whole and recorded is None and reader is not None:
        made = NewLens(lens, tuple(map(task_fields, written.items)), run.tally.bill(span.path).cost_usd)
        base_files = found.files if source.how == "changed" else {}
        shown = _shown_as_noted(run, span.path, order.context)
        kept_id = await keep_lens(run, span, order, made, (smart, reader), shown, base_files)
        source = attrs.evolve(source, kept_id=kept_id)
    elif recorded is not None and recorded.source is not None:
        source = recorded.source
    left_out = (*_left_out_before(order, smart), *written.left_out, *replaced)
    await run.journal.append(_record_of(run, span.path, lens, left_out, source))
    run.tell(EPHEMERAL_LENS_CREATED, _created(run, span.path, lens, left_out, source))
    return Written(lens, items=written.items, left_out=left_out, source=source)


def _is_taken(source: LensSource | None) -> bool:
    return source is not None and source.how == "taken"


async def _take(run: Run, place: LensPlace, found: FoundLens) -> Written:
    """Record the lens that the store has for *place*, and tell of it."""
    kept, path = found.taken, place.span.path
    assert kept is not None
    lens, replaced = without_secrets(kept.lens, run.gateway.secrets)
    source = found.source("taken", kept.id)
    items = tuple(map(item_of, kept.items))
    if items:
        await run.journal.append(Note(path, _ITEMS, [dict(item) for item in kept.items]), durable=False)
    await run.journal.append(LensWritten(path, lens, replaced, None, source))
    taken = LensTaken(
        task_scope=lens.task_scope,
        **lens.part_counts,
        tokens=lens_tokens(lens),
        generated_by=lens.generated_by,
        source=source,
        target_files=lens.target_files,
        left_out=replaced,
    )
    run.tell(LENS_TAKEN, taken)
    return Written(lens, items=items, left_out=replaced, source=source)


@attrs.define(eq=False)
class _Asking:
    """Has the smart model write one lens of a run."""

    run: Run
    smart: ModelProtocol
    place: LensPlace
    worker: ModelProtocol | None
    found: FoundLens
    """What the store has for it, which may be a start."""
    _answered: int = attrs.field(default=0, init=False)

    async def written(self, order: LensOrder) -> tuple[LensAndItems, LensOrder, LensSource]:
        """Return the lens for *order*, the order as it was asked, and where the lens comes from."""
        source = self.found.source("written")
        if self.found.base is not None:
            change = change_order(order, self.found.base, _lens_room(self.run, self.smart).prompt_tokens)
            try:
                changed = await write_changed_lens(
                    change, self.found.base, self._ask, model_name=self.smart.name
                )
                return changed, order, self.found.source("changed")
            except (LensError, RequestTooLong) as error:
                said = f"what must change of the kept lens could not be applied ({one_line(str(error))})"
                source = attrs.evolve(source, reasons=(*source.reasons, said))
                self._answered = 0
        return (*await self._whole(order), source)

    async def _whole(self, order: LensOrder) -> tuple[LensAndItems, LensOrder]:
        run, smart, span = self.run, self.smart, self.place.span
        is_worth_it = not self.place.attempt and (run.decision is None or run.decision.scout_turns > 0)
        looks = may_scout(run) and is_worth_it and self.found.base is None
        scout = await Scout.of(run, span, smart, self.worker) if looks else None
        try:
            return await write_split_lens(order, self._ask, model_name=smart.name, scout=scout), order
        except RequestTooLong as refusal:
            # Only the first question is made shorter: a resume finds its answer by what it was then asked.
            if self._answered or not (shorter := _shorter(run, smart, order, refusal)):
                raise
            order = attrs.evolve(
                order, context=shorter, max_output_tokens=_lens_room(run, smart).output_tokens
            )
            shown = attrs.evolve(_shown_as_noted(run, span.path, ""), text=shorter)
            await _note_context(run, span.path, shown, needs_scouting=may_scout(run))
            return await write_split_lens(order, self._ask, model_name=smart.name, scout=scout), order

    async def _ask(self, request: Request) -> Completion:
        completion = await self.run.gateway.ask(self.place.span, self.smart, request, purpose="lens")
        self._answered += 1
        return completion


def change_order(order: LensOrder, base: LensBase, room_tokens: int | None) -> LensOrder:
    """Return *order* as it is if only what must change of *base* is asked for, in *room_tokens*."""
    changed = attrs.evolve(order, context="", kept=base.text, split=False)
    return attrs.evolve(changed, context=_fitted(changed, base.unseen, room_tokens))


def item_of(fields: Mapping[str, Any]) -> Task:
    """Return the recorded item: a model wrote it, so that it has no check."""
    try:
        return attrs.evolve(task_of(fields), check=())
    except (TypeError, ValueError, LookupError, ArithmeticError, AttributeError, ConfigurationError) as error:
        raise JournalError(f"the journal is damaged: an item of its lens cannot be read ({error})") from None


def _left_out_before(order: LensOrder, smart: ModelProtocol) -> tuple[str, ...]:
    """Return a sentence if *smart* was shown less of the workspace than was gathered for it."""
    if not order.context.endswith(CONTEXT_CUT):
        return ()
    return (f"what {smart.name} was shown of the workspace was cut to fit its context window",)


def _record_of(
    run: Run, path: str, lens: EphemeralLens, left_out: tuple[str, ...], source: LensSource
) -> LensWritten:
    """Return the record of *lens*, without the text of the workspace in its prompt: that is noted already."""
    noted = run.journal.find(Note, (path, CONTEXT))
    text = "" if noted is None else str(noted.value["text"])
    before, found, after = lens.generation_prompt.partition(text) if text else ("", "", "")
    if not found:
        return LensWritten(path, lens, left_out, None, source)
    return LensWritten(path, attrs.evolve(lens, generation_prompt=""), left_out, (before, after), source)


def _recalled(run: Run, recorded: LensWritten) -> EphemeralLens:
    """Return the lens of *recorded* with its whole prompt."""
    noted = run.journal.find(Note, (recorded.span, CONTEXT))
    if recorded.prompt_around is None or noted is None:
        return recorded.lens
    before, after = recorded.prompt_around
    return attrs.evolve(recorded.lens, generation_prompt=f"{before}{noted.value['text']}{after}")


async def first_lens_request(
    run: Run, smart: ModelProtocol, *, reader: ModelProtocol, may_split: bool = False
) -> Request:
    """Return the request by which *smart* would be asked for a whole lens of the run; nothing is sent."""
    return whole_request(await _order(run, smart, LensPlace.of(run), may_split, reader))


async def change_request(run: Run, smart: ModelProtocol, *, reader: ModelProtocol) -> Request | None:
    """Return the request by which *smart* would be asked what must change of a kept lens.

    ``None`` if there is none that is worth it. Nothing is sent.
    """
    place = LensPlace.of(run)
    base = found_for(run, place.span).base
    if base is None:
        return None
    order = await _order(run, smart, place, False, reader)
    return whole_request(change_order(order, base, _lens_room(run, smart).prompt_tokens))


def whole_request(order: LensOrder) -> Request:
    """Return the request for *order*."""
    return _request(order, History([user(user_prompt(order))]))


def input_tokens(request: Request) -> int:
    """Return an estimate of what a model reads for *request*, at 4 bytes per token."""
    return -(-request.size_bytes // _BYTES_PER_TOKEN)


def fitted_order(order: LensOrder, context: str, room_tokens: int | None) -> LensOrder:
    """Return *order* with *context*, cut to a prompt of *room_tokens*."""
    return attrs.evolve(order, context=_fitted(order, context, room_tokens))


def _fitted(order: LensOrder, context: str, room_tokens: int | None) -> str:
    """Return *context* cut so that it fits into *room_tokens* beside the rest of *order*."""
    if room_tokens is None:
        return context
    others = _request(order, History([user(user_prompt(order))])).size_bytes
    return cut_context(context, max(0, room_tokens * _CONTEXT_BYTES_PER_TOKEN - others))


async def _order(
    run: Run, smart: ModelProtocol, place: LensPlace, may_split: bool, reader: ModelProtocol | None
) -> LensOrder:
    order = LensOrder(
        place.task,
        "",
        run.tools.specs,
        run.config.max_lens_tokens,
        run.config.effort,
        _lens_room(run, smart).output_tokens,
        may_split,
        attempt=place.attempt,
    )
    return attrs.evolve(order, context=await _shown(run, smart, place.span, order, reader))


_BYTES_PER_TOKEN = 4
_CONTEXT_BYTES_PER_TOKEN = 3  # fewer than usual: a question that is refused costs a round trip
_SAFE_SHARE = 0.8


def _lens_room(run: Run, smart: ModelProtocol) -> Room:
    return run.gateway.prices.lens_room(smart, run.config.max_lens_tokens)


async def _shown(
    run: Run, smart: ModelProtocol, span: Span, order: LensOrder, reader: ModelProtocol | None
) -> str:
    """Return what the smart model is shown of the workspace, as it was when it was first asked.

    It is cut so that it fits into the model's window beside the rest of *order*. When that is new, the store
    is asked for a lens that *reader* may use; ``None``: it is not asked.
    """
    noted = run.journal.find(Note, (span.path, CONTEXT))
    if noted is not None:
        return str(noted.value["text"])
    # In a thread: a large workspace takes seconds to read, in which other work must go on.
    if order.task != run.task and run.gather is not None:
        made: str | Shown = await in_thread(run.gather, order.task)
    else:
        made = await in_thread(run.context) if callable(run.context) else run.context
    shown = Shown(made) if isinstance(made, str) else made
    shown = attrs.evolve(shown, text=_fitted(order, shown.text, _lens_room(run, smart).prompt_tokens))
    needs = turns_of_scouting(shown, run.config, run.tools.specs) > 0
    await _note_context(run, span.path, shown, needs_scouting=needs)
    if reader is not None:
        order = attrs.evolve(order, context=shown.text)
        room = _lens_room(run, smart).prompt_tokens
        await note_kept(run, span, order, shown, (smart, reader), partial(lens_sizes, order, room))
    return shown.text


def lens_sizes(order: LensOrder, room_tokens: int | None, base: LensBase) -> tuple[int, int]:
    """Return what is read to change *base*, and to write a whole lens, in tokens."""
    change = change_order(order, base, room_tokens)
    return input_tokens(whole_request(change)), input_tokens(whole_request(order))


def may_scout(run: Run) -> bool:
    """Whether the smart model may look for itself, since what it is shown for the lens is not enough."""
    noted = run.journal.find(Note, (run.root.child("lens").path, CONTEXT))
    return noted is not None and bool(noted.value.get("needs_scouting"))


async def _note_context(run: Run, path: str, shown: Shown, *, needs_scouting: bool) -> None:
    reads = [[read.path, read.sha256] for read in shown.reads]
    value: dict[str, Any] = {"text": shown.text, "reads": reads}
    value |= {"needs_scouting": True} if needs_scouting else {}
    value |= {"fitting": list(shown.fitting), "places": _places_in(shown)} if shown.fitting else {}
    note = Note(path, CONTEXT, value)
    run.files.see(note)
    await run.journal.append(note, durable=False)  # durable with the intent of the call, which comes after it


def _shown_as_noted(run: Run, path: str, text: str) -> Shown:
    """Return *text*, which was shown, with what is noted of the files in it."""
    noted = run.journal.find(Note, (path, CONTEXT))
    if noted is None:
        return Shown(text)
    value, whole = noted.value, str(noted.value["text"])
    reads = tuple(FileRead(*read) for read in value["reads"])
    places = value.get("places")
    if places is None or places["length"] != len(whole):  # a secret was replaced, and all is elsewhere
        return Shown(text, reads)
    parts = tuple((path, whole[start:end]) for path, start, end in places["files"])
    return Shown(text, reads, fitting=tuple(value["fitting"]), parts=parts)


def _places_in(shown: Shown) -> dict[str, Any]:
    """Return how long the text is, and where each file is in it: path, first character, and end.

    Files that were cut off are left out.
    """
    places: list[list[Any]] = []
    end = 0
    for path, part in shown.parts:
        start = shown.text.find(part, end)
        if start >= 0 and part:
            end = start + len(part)
            places.append([path, start, end])
    return {"length": len(shown.text), "files": places}


def _shorter(run: Run, smart: ModelProtocol, order: LensOrder, refusal: RequestTooLong) -> str:
    """Return the context of *order* cut so that it may fit after *refusal*; empty if that cannot be."""
    asked = _request(order, History([user(user_prompt(order))])).size_bytes
    room = _lens_room(run, smart).prompt_tokens
    share = 0.5
    if room is not None and refusal.input_tokens and refusal.input_tokens > room:
        share = room / refusal.input_tokens * _SAFE_SHARE
    context_bytes = len(order.context.encode())
    cut = cut_context(order.context, context_bytes - round(asked * (1 - share)))
    return cut if len(cut) < len(order.context) else ""


def cut_context(text: str, most_bytes: int) -> str:
    """Return *text* in at most *most_bytes*: cut at the end of a line, with a note, or empty."""
    data = text.encode("utf-8", "surrogatepass")
    if len(data) <= most_bytes:
        return text
    room = most_bytes - len(CONTEXT_CUT.encode())
    if room <= 0:
        return ""
    return data[:room].decode("utf-8", "ignore").rpartition("\n")[0] + CONTEXT_CUT


async def _failed(run: Run, place: LensPlace, reason: str) -> Written:
    path = place.span.path
    outcome = run.config.on_lens_failure
    run.tell(LENS_FAILED, LensFailed(reason, outcome))
    if outcome == "generic":
        lens = generic_lens(place.task)
        await run.journal.append(LensWritten(path, lens))
        return Written(lens, outcome, reason)
    value: dict[str, Any] = {"outcome": outcome, "reason": reason}
    await run.journal.append(Note(path, _OUTCOME, value))
    return Written(None, outcome, reason)


def _created(
    run: Run, path: str, lens: EphemeralLens, left_out: tuple[str, ...], source: LensSource
) -> EphemeralLensCreated:
    return EphemeralLensCreated(
        task_scope=lens.task_scope,
        **lens.part_counts,
        generated_by=lens.generated_by,
        cost_usd=run.tally.bill(path).cost_usd,
        target_files=lens.target_files,
        left_out=left_out,
        source=source,
    )
