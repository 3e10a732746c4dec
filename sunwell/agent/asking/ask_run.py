"""A run that answers a question about long contexts: in one call, or by looking into them."""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any, Self

import attrs

from sunwell.agent.asking.ask_tools import SPECS, AskTools
from sunwell.agent.asking.exploration import Exploration, SharedReading, spent_text
from sunwell.agent.asking.part_reader import Coverage, PartReader, coverage_sentence
from sunwell.agent.asking.part_sizes import MOST_ANSWER_TOKENS, PartSizes
from sunwell.agent.conversation.conversation import Assignment, Conversation
from sunwell.agent.prompts import ASK_PROMPT, DIRECT_PROMPT, ask_text, money_text, question_closing_text
from sunwell.agent.run.asked_contexts import AskedContexts
from sunwell.agent.run.run_context import Ending, Run
from sunwell.agent.run.toolset import Toolset
from sunwell.context.long_context import Handle
from sunwell.core.coverage import AnswerCoverage, ContextCoverage, CoveredRange
from sunwell.core.markdown import fenced, one_line
from sunwell.core.marks import guarded
from sunwell.core.model import Caching, ModelProtocol
from sunwell.core.price import DelegationDecision, Price, Quote, Side
from sunwell.core.span import Span
from sunwell.core.task import StopReason
from sunwell.core.threads import in_thread
from sunwell.errors import ConfigurationError, ToolError
from sunwell.events import (
    DELEGATION_SKIPPED,
    DELEGATION_STARTED,
    WARNED,
    DelegationSkipped,
    DelegationStarted,
    Warned,
)
from sunwell.journal.records import Decided, Note
from sunwell.models.prices import PriceBook
from sunwell.models.room import own_output_tokens
from sunwell.models.tokens import estimate_tokens
from sunwell.tools.python_session import has_interpreter
from sunwell.tools.wording import counted

_BYTES_PER_TOKEN = 4
_ANSWER_TOKENS = 500
_LEAST_TURNS, _TURNS, _MANY_TURNS = 1, 4, 8
_LOW_INPUT, _HIGH_INPUT = 0.7, 1.25
"""How far the tokens of a text may be from the estimate by its bytes."""
_SHORT_ANSWER_TOKENS, _LONG_ANSWER_TOKENS = 50, 2_000
_FAR_BELOW = 2
"""A budget warns if it is less than the expected price divided by this."""
_TURN_TOKENS, _TURN_OUTPUT_TOKENS = 900, 250
_CHUNK_TOKENS, _CHUNK_OUTPUT_TOKENS, _CHUNK_PROMPT_TOKENS = 5_000, 150, 300
_ASSUMED_WINDOW_TOKENS = 100_000
_UNPRICED_TOKENS = 30_000
"""Longest context that goes into the prompt if a price is unknown."""
_MARGIN = 1.25
"""A context must be so much shorter than the window as an estimate of its tokens may be too low."""
_MORE_TURNS = 5
"""Turns besides the steps: mistakes that are told, and the answer."""
_SHOWN_FILES = 10
_OPENED, _DIRECT, _SIZES = "ask-contexts", "ask-direct", "ask-part-sizes"
_COVERED, _MONEY = "ask-coverage", "ask-money"


@attrs.frozen
class _OpenedContext:
    """What is known of a context before it is looked into."""

    size: int
    files: str
    """How many files it is, in words, and the largest of them; empty for one file."""

    @classmethod
    def noted(cls, value: Sequence[Any]) -> Self:
        """Return what a record says: name, size, digest and, in newer ones, files."""
        return cls(int(value[1]), str(value[3]) if len(value) > 3 else "")


def _files_of(part: Handle) -> str:
    files = part.files()
    if len(files) < 2 and part.context.kind in ("file", "stream"):
        return ""
    largest = sorted(files.items(), key=lambda item: len(item[1]), reverse=True)[:_SHOWN_FILES]
    shown = ", ".join(f"{one_line(path)} ({len(one):,})" for path, one in largest)
    more = "the largest: " if len(files) > len(largest) else ""
    return f" in {counted(len(files), 'file')}: {more}{shown}"


@attrs.frozen
class AskHooks:
    """The :class:`ConversationHooks` of a model that looks into contexts."""

    exploration: Exploration

    async def remark(self, turn: int) -> str:
        """Say nothing: what is left is asked for, or told at the end of a step."""
        return ""

    def declared(self) -> Ending | None:
        """Return the end with the answer that was set."""
        answer = self.exploration.answer
        return None if answer is None else Ending("ok", "end", answer)

    async def wind_up(self, reason: StopReason, turn: int, most_bytes: int) -> str:
        """End the session; nothing was handed out that could still be at work."""
        await self.exploration.close()
        return ""

    def partial(self) -> str:
        """Return nothing: answers to scripts are no answer to the user."""
        return ""

    def draft(self) -> str:
        """Return nothing: an answer that is set ends the work."""
        return ""


@attrs.frozen
class Asking:
    """Answers the task of *run*, a question about its contexts."""

    run: Run
    asked: AskedContexts
    model: ModelProtocol
    """It looks into the contexts, or reads them whole."""
    reader: ModelProtocol
    """It is asked about parts."""

    async def to_the_end(self) -> Ending:
        """Return how the work ended. The answer says which share of the contexts was read."""
        try:
            ended = await self._answered()
            return attrs.evolve(ended, unresolved=(*ended.unresolved, *self.asked.changed()))
        finally:
            self.asked.close()

    async def _answered(self) -> Ending:
        run = self.run
        run.decision, run.quote = await self._decide()
        if not run.decision:
            run.tell(DELEGATION_SKIPPED, DelegationSkipped(run.task, run.decision.reason, self.model.name))
            await self._confirm_direct()
            return await self._direct()
        started = DelegationStarted(run.task, "", self.reader.name, run.decision.reason, self.model.name)
        run.tell(DELEGATION_STARTED, started)
        opened = await self._opened()
        sizes = {name: one.size for name, one in opened.items()}
        span = run.root.child("ask")
        reader = PartReader(run, self.reader, run.root.worker("calls"))
        part_sizes = await self._part_sizes(sum(sizes.values()) // _BYTES_PER_TOKEN)
        shared = SharedReading(
            run, reader, self._recurse, self._fits_one_call, part_sizes, self.asked.confirm
        )
        exploration = Exploration(shared, span, self.model, self.asked.handles, Coverage(sizes))
        told = [f"{one_line(name)}: {one.size:,} bytes{one.files}" for name, one in opened.items()]
        return await self._explored(exploration, run.task, told)

    def _fits_one_call(self, size: int) -> bool:
        """Whether so many bytes fit into one question about a part; a very long window is not filled."""
        tokens = size // _BYTES_PER_TOKEN + _CHUNK_PROMPT_TOKENS
        window = self.run.gateway.prices.room(self.reader, self.run.config.max_output_tokens).prompt_tokens
        return tokens * _MARGIN <= min(window or _ASSUMED_WINDOW_TOKENS, _ASSUMED_WINDOW_TOKENS)

    async def _confirm_direct(self) -> None:
        """Ask whether the one call may be made, unless it is on record. Raises ConfigurationError if not."""
        run, confirm = self.run, self.asked.confirm
        if confirm is None or run.gateway.has_answer(run.root.child("direct")):
            return
        side = None if run.quote is None else run.quote.direct
        most = None if side is None else side.high_usd
        known = "" if side is None or most is None else f", {_usd(side)} expected, up to ${most:.4f}"
        try:
            is_allowed = await confirm(f"1 call to {self.model.name}{known}; {spent_text(run)}", most)
        except ToolError as error:
            raise ConfigurationError(f"not begun: {error.sentence}; nothing was spent") from None
        if not is_allowed:
            raise ConfigurationError("not begun: nothing was spent")

    async def _recurse(
        self, above: Exploration, question: str, part: Handle, key: str
    ) -> tuple[Ending, Coverage]:
        """Answer a question of a script in a session of its own, by the model that is asked about parts."""
        shared = above.shared
        place = str(await in_thread(lambda: part.place))
        span = Span(shared.reader.span.child(f"ask-{key}").path, above.span.depth + 1)
        sizes = {part.place.name: part.end - part.start}
        exploration = Exploration(shared, span, self.reader, lambda: {"context": part}, Coverage(sizes))
        told = [f"context: {part.end - part.start:,} bytes of {place}"]
        ended = await self._explored(exploration, question, told, states_coverage=False)
        return ended, exploration.coverage

    async def _explored(
        self,
        exploration: Exploration,
        question: str,
        told: list[str],
        *,
        states_coverage: bool = True,
    ) -> Ending:
        run, config, model = self.run, self.run.config, exploration.model
        given = Assignment(
            exploration.span,
            model,
            run.gateway.redact(
                ask_text(
                    question,
                    told,
                    config.max_explore,
                    config.max_commit_cycles,
                    parts=exploration.shared.sizes.sentence(),
                    money=await self._money(exploration.span, exploration.shared.sizes),
                )
            ),
            tuple(filter(None, (run.guidance.caller, ASK_PROMPT))),
            own_output_tokens(model, config.max_output_tokens),
            config.effort if exploration.span.depth == 0 else None,
            stream=config.stream,
            purpose="work" if exploration.span.depth == 0 else "read",
            most_turns=config.max_explore + config.max_commit_cycles + _MORE_TURNS,
            closing=question_closing_text,
        )
        tools = Toolset((), frozenset(), {}).joined(AskTools(exploration))
        work = Conversation(run, given, tools, AskHooks(exploration))
        work.hand_over = exploration.before_words
        if states_coverage:
            run.works.append(work)
        try:
            ended = await work.to_the_end()
        finally:
            await exploration.close()
        if not states_coverage:
            return ended
        name = f"{_COVERED}-{work.turns}-{ended.stop_reason}"
        return await self._covered(ended, name, exploration.coverage)

    async def _money(self, span: Span, sizes: PartSizes) -> str:
        """Return what is left, and what a question costs; a run that goes on says what it said."""
        run = self.run
        noted = run.journal.find(Note, (span.path, _MONEY))
        if noted is not None:
            return str(noted.value)
        left, price = run.ledger.usd_left(span.path), run.gateway.prices.price(self.reader)
        characters = sizes.characters()
        part_usd = "" if price is None else f"${_part_usd(price, characters // _BYTES_PER_TOKEN):.4f}"
        said = money_text("" if left is None else f"${left:.4f}", characters, part_usd, _CHUNK_OUTPUT_TOKENS)
        if not run.gateway.recorded_only:
            await run.journal.append(Note(span.path, _MONEY, said), durable=False)
        return said

    async def _covered(self, ended: Ending, name: str, coverage: Coverage) -> Ending:
        """Return the end with what its answer rests on. A run that is played again has no files to name."""
        run = self.run
        noted = run.journal.find(Note, (run.root.path, name))
        if noted is not None:
            run.coverage = AnswerCoverage.from_object(noted.value)
        else:
            run.coverage = await in_thread(coverage.result, self.asked.handles())
            if not run.gateway.recorded_only:
                value = run.coverage.as_object()
                await run.journal.append(Note(run.root.path, name, value), durable=False)
        return _with_coverage(ended, run.coverage)

    async def _direct(self) -> Ending:
        run = self.run
        given = Assignment.of(run, run.root.child("direct"), self.model, effort=run.config.effort)
        text = await self._recorded_text()
        given = attrs.evolve(
            given,
            prompt=f"{text}\n\n{run.task}",  # another question begins with the same bytes
            system=tuple(filter(None, (run.guidance.caller, DIRECT_PROMPT))),
            caching=Caching(None, conversation=False),  # nobody reads it a second time
        )
        work = Conversation(run, given, Toolset((), frozenset(), {}))
        run.works.append(work)
        ended = await work.to_the_end()
        run.coverage = AnswerCoverage(
            True,
            tuple(
                ContextCoverage(name, one.size, 0, one.size, 1, (CoveredRange("", 0, one.size),))
                for name, one in (await self._opened()).items()
            ),
        )
        return _with_coverage(ended, run.coverage) if ended.status == "ok" else ended

    async def _recorded_text(self) -> str:
        """Return the contexts as the prompt has them. A run that goes on sends what is on record."""
        run = self.run
        key = (run.root.path, _DIRECT)
        noted = run.journal.find(Note, key)
        if noted is not None:
            return str(noted.value)
        texts = []
        for name, part in (await self.asked.open(run.gateway.secrets)).items():
            try:
                texts.append(f"{one_line(name)}:\n{fenced(await in_thread(part.text))}")
            except ToolError as error:
                raise ConfigurationError(f"{name} cannot be read: {error.sentence}") from None
        text = run.gateway.redact("\n\n".join(texts))
        await run.journal.append(Note(*key, text), durable=False)
        return text

    async def _opened(self) -> Mapping[str, "_OpenedContext"]:
        """Return the contexts by name; a run that goes on takes them from its record.

        Raises :exc:`~sunwell.errors.ConfigurationError` if a context is another one than it was.
        """
        run = self.run
        key = (run.root.path, _OPENED)
        noted = run.journal.find(Note, key)
        if noted is not None and run.gateway.recorded_only:
            return {one[0]: _OpenedContext.noted(one) for one in noted.value}
        now: list[list[Any]] = []
        for name, part in (await self.asked.open(run.gateway.secrets)).items():
            try:
                digest = await in_thread(part.digest)
            except ToolError as error:  # it was cut since it was opened
                raise ConfigurationError(f"the context {name} cannot be read: {error.sentence}") from None
            now.append([name, part.end - part.start, digest, await in_thread(_files_of, part)])
        if noted is None:
            await run.journal.append(Note(*key, now), durable=False)
        elif [one[:3] for one in noted.value] != [one[:3] for one in now] and not run.gateway.accept_changes:
            changed = next(old[0] for old, new in zip(noted.value, now, strict=False) if old[:3] != new[:3])
            raise ConfigurationError(
                f"the context {changed} has changed since the run saw it: undo that, or keep the answers "
                "with --accept-changes"
            )
        return {one[0]: _OpenedContext.noted(one) for one in (now if noted is None else noted.value)}

    async def _part_sizes(self, tokens: int) -> PartSizes:
        """Return the proposed sizes of parts; a run that goes on takes them from its record."""
        run = self.run
        key = (run.root.path, _SIZES)
        noted = run.journal.find(Note, key)
        if noted is not None:
            return PartSizes(*noted.value)
        prices = run.gateway.prices
        room = prices.room(self.reader, MOST_ANSWER_TOKENS).prompt_tokens
        price = prices.price(self.model)
        turns = Decimal(0) if price is None else _turns_usd(price, _TURNS)
        sizes = PartSizes.of(prices.price(self.reader), tokens, room_tokens=room, other_usd=turns)
        if not run.gateway.recorded_only:
            await run.journal.append(Note(*key, list(attrs.astuple(sizes))), durable=False)
        return sizes

    async def _decide(self) -> tuple[DelegationDecision, Quote | None]:
        """Return the recorded decision and its quote, or make them and record them."""
        run = self.run
        recorded = run.journal.find(Decided, (run.root.path,))
        if recorded is not None:
            await self._opened()
            return recorded.decision, recorded.quote
        decision, quote = way_of(
            run.task,
            sum(one.size for one in (await self._opened()).values()),
            (self.model, self.reader),
            run.gateway.prices,
            max_output_tokens=run.config.max_output_tokens,
            tokens_left=run.ledger.tokens_left(run.root.path),
            usd_left=run.ledger.usd_left(run.root.path),
        )
        await run.journal.append(Decided(run.root.path, decision, quote))
        if warning := budget_warning(decision, quote, run.ledger.usd_left(run.root.path)):
            run.tell(WARNED, Warned(warning))
        return decision, quote


def _with_coverage(ended: Ending, coverage: AnswerCoverage) -> Ending:
    """Return *ended* with the coverage behind its answer, in which no other line looks like it."""
    if not ended.answer.strip():
        return ended
    covered = f"[Coverage, from the harness: {coverage_sentence(coverage)}.]"
    return attrs.evolve(ended, answer=f"{guarded(ended.answer)}\n\n{covered}")


def way_of(
    question: str,
    size_bytes: int,
    models: tuple[ModelProtocol, ModelProtocol],
    prices: PriceBook,
    *,
    max_output_tokens: int | None = None,
    tokens_left: int | None = None,
    usd_left: Decimal | None = None,
) -> tuple[DelegationDecision, Quote]:
    """Decide how *question* about contexts of *size_bytes* is answered, as :func:`decide_way`.

    *models* are the one that looks into the contexts, or reads them whole, and the one that is asked about
    parts. Nothing is asked.
    """
    model, reader = models
    window = prices.room(model, max_output_tokens).prompt_tokens
    tokens = size_bytes // _BYTES_PER_TOKEN + estimate_tokens(question)
    return decide_way(
        tokens,
        prices.price(model),
        prices.price(reader),
        fits=tokens * _MARGIN <= (_ASSUMED_WINDOW_TOKENS if window is None else window),
        can_explore=has_interpreter(),
        tokens_left=tokens_left,
        usd_left=usd_left,
    )


def budget_warning(decision: DelegationDecision, quote: Quote, usd_left: Decimal | None) -> str:
    """Return a sentence if the dollars that are left are far below the expected price; else nothing."""
    expected = quote.chosen(decision).expected_usd
    if usd_left is None or expected is None or usd_left * _FAR_BELOW >= expected:
        return ""
    way = "exploring" if decision else "one direct call"
    return (
        f"the budget of ${usd_left:.4f} is far below the ${expected:.4f} that {way} is expected to cost: the "
        "answer may rest on little, or not come"
    )


def decide_way(
    tokens: int,
    price: Price | None,
    reader_price: Price | None,
    *,
    fits: bool,
    can_explore: bool = True,
    tokens_left: int | None = None,
    usd_left: Decimal | None = None,
) -> tuple[DelegationDecision, Quote]:
    """Decide by price whether a question is answered in one call, or by looking into its contexts.

    Args:
        tokens: Estimate for contexts and question.
        price: Of the model that looks into the contexts, or reads them; ``None``: unknown.
        reader_price: Of the model that is asked about parts.
        fits: Whether the contexts fit into the window of the first.
        can_explore: Whether scripts can run here.
        tokens_left: Tokens that the budget leaves; ``None``: it has no such limit.
        usd_left: Its dollars.

    Raises :exc:`~sunwell.errors.ConfigurationError` if neither is possible.
    """
    direct, explored = _direct_side(tokens, price), _explored_side(tokens, price, reader_price)
    quote = Quote(explored, direct, assumptions=_ASSUMPTIONS, price_date="" if price is None else price.date)
    is_affordable = (tokens_left is None or tokens + _ANSWER_TOKENS <= tokens_left) and (
        usd_left is None or direct.expected_usd is None or direct.expected_usd <= usd_left
    )
    if not can_explore and not fits:
        raise ConfigurationError(
            f"the context has about {tokens:,} tokens, more than the model's window holds, and looking into "
            "it needs an extra package: run pip install 'sunwell[python]'"
        )
    said = f"direct {_usd(direct)}, exploring {_usd(explored)} expected"
    if not can_explore:
        explores, why = False, "scripts cannot run here"
    elif not fits:
        explores, why = True, f"about {tokens:,} tokens do not fit into one prompt"
    elif not is_affordable:
        explores, why = True, f"about {tokens:,} tokens in one prompt do not fit the budget"
    elif direct.expected_usd is None or explored.expected_usd is None:
        explores = tokens > _UNPRICED_TOKENS
        why = f"a price is unknown, and about {tokens:,} tokens are {'many' if explores else 'few'}"
    else:
        explores = direct.expected_usd > explored.expected_usd
        why = f"{'exploring' if explores else 'one call'} is expected to cost less"
    reason = f"{'exploring' if explores else 'one direct call'}: {why} ({said})"
    return DelegationDecision(explores, reason, _ANSWER_TOKENS, 0, tokens_left), quote


_ASSUMPTIONS = (
    (
        f"exploring: {_TURNS} turns, and all of the context is asked about once, in parts of "
        f"{_CHUNK_TOKENS:,} tokens; at the low end {_LEAST_TURNS} turn that asks nothing, at the high end "
        f"{_MANY_TURNS} turns, and all is asked about twice"
    ),
    f"direct: an answer of {_ANSWER_TOKENS:,} tokens, {_SHORT_ANSWER_TOKENS:,} to {_LONG_ANSWER_TOKENS:,}",
    (
        f"tokens are estimated from bytes, {_BYTES_PER_TOKEN} to a token; of a direct prompt, "
        f"{1 - _LOW_INPUT:.0%} fewer at the low end and {_HIGH_INPUT - 1:.0%} more at the high end"
    ),
    "nothing is cached, and no answer is remembered",
)


def _usd(side: Side) -> str:
    return "at an unknown price" if side.expected_usd is None else f"${side.expected_usd:.4f}"


def _direct_side(tokens: int, price: Price | None) -> Side:
    if price is None:
        return Side("direct", None, None, None)
    low, expected, high = (
        price.conversation_usd([(round(tokens * share), answer, 0, 0)])
        for share, answer in (
            (_LOW_INPUT, _SHORT_ANSWER_TOKENS),
            (1, _ANSWER_TOKENS),
            (_HIGH_INPUT, _LONG_ANSWER_TOKENS),
        )
    )
    return Side("direct", low, expected, None, high)


def _part_usd(reader_price: Price, tokens: int) -> Decimal:
    """Return what a question about a part of so many *tokens* costs."""
    return reader_price.conversation_usd([(tokens + _CHUNK_PROMPT_TOKENS, _CHUNK_OUTPUT_TOKENS, 0, 0)])


def _turns_usd(price: Price, count: int) -> Decimal:
    """Return what so many turns of the model that looks into contexts cost."""
    tools = sum(estimate_tokens(spec.description + spec.schema_text) for spec in SPECS)
    begins = estimate_tokens(ASK_PROMPT) + tools
    return price.conversation_usd(
        (begins + turn * _TURN_TOKENS, _TURN_OUTPUT_TOKENS, 0, 0) for turn in range(count)
    )


def _explored_side(tokens: int, price: Price | None, reader_price: Price | None) -> Side:
    if price is None or reader_price is None:
        return Side("explored", None, None, None)
    low, turns, many = (_turns_usd(price, count) for count in (_LEAST_TURNS, _TURNS, _MANY_TURNS))
    once = _part_usd(reader_price, _CHUNK_TOKENS) * -(-tokens // _CHUNK_TOKENS)
    return Side("explored", low, turns + once, None, many + 2 * once)
