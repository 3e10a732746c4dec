"""A run that answers a question about long contexts: in one call, or by looking into them."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import attrs

from sunwell.agent.asking.ask_price import (
    budget_warning,
    fits_one_call,
    part_sizes,
    shown_usd,
    way_of,
)
from sunwell.agent.asking.ask_tools import AskTools
from sunwell.agent.asking.exploration import Exploration, SharedReading, spent_text
from sunwell.agent.asking.part_reader import PartReader
from sunwell.agent.asking.part_sizes import BYTES_PER_TOKEN, PartSizes
from sunwell.agent.asking.seen_parts import Coverage, coverage_sentence
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
from sunwell.core.price import DelegationDecision, Quote
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
from sunwell.models.room import own_output_tokens
from sunwell.tools.wording import counted

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
        proposed = await self._part_sizes(sum(sizes.values()) // BYTES_PER_TOKEN)
        shared = SharedReading(run, reader, self._recurse, self._fits_one_call, proposed, self.asked.confirm)
        exploration = Exploration(shared, span, self.model, self.asked.handles, Coverage(sizes))
        told = [f"{one_line(name)}: {one.size:,} bytes{one.files}" for name, one in opened.items()]
        return await self._explored(exploration, run.task, told)

    def _fits_one_call(self, size: int) -> bool:
        """Whether so many bytes fit into one question about a part."""
        room = self.run.gateway.prices.room(self.reader, self.run.config.max_output_tokens)
        return fits_one_call(size, room.prompt_tokens)

    async def _confirm_direct(self) -> None:
        """Ask whether the one call may be made, unless it is on record. Raises ConfigurationError if not."""
        run, confirm = self.run, self.asked.confirm
        if confirm is None or run.gateway.has_answer(run.root.child("direct")):
            return
        side = None if run.quote is None else run.quote.direct
        most = None if side is None else side.high_usd
        known = "" if side is None or most is None else f", {shown_usd(side)} expected, up to ${most:.4f}"
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
        shown = "" if price is None else f"${sizes.part_usd(price):.4f}"
        answer = sizes.answer_tokens()
        said = money_text("" if left is None else f"${left:.4f}", sizes.characters(), shown, answer)
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
        sizes = part_sizes(tokens, (self.model, self.reader), run.gateway.prices)
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
