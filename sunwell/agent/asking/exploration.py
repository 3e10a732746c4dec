"""A model that looks into contexts with scripts: its session, what a step costs, how it is repeated."""

import ast
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import attrs

from sunwell.agent.asking.part_reader import FanOut, PartQuestion, PartReader, ReadAnswer
from sunwell.agent.asking.part_sizes import MOST_ANSWER_TOKENS, MOST_PARTS, PartSizes
from sunwell.agent.asking.passages import (
    NO_SUCH_ATTRIBUTE,
    PARTS_HAVE,
    Extent,
    LookingTime,
    Passages,
    as_parts,
    bound,
)
from sunwell.agent.asking.script_step import AskedFanOut, RunningStep, Spent, require_free_names
from sunwell.agent.asking.seen_parts import Coverage, extents_in, merged
from sunwell.agent.prompts import (
    ALL_ENDED,
    ALL_ENDS,
    COMMITS_ENDED,
    EXPLORING_ENDED,
    EXPLORING_ENDS,
    FAILED_MARK,
    NOTHING_READ,
    PATTERNS_IN_LOOPS,
    SEARCHES_STOPPED,
    SESSION_LOST,
)
from sunwell.agent.run.asked_contexts import Confirm
from sunwell.agent.run.run_context import Ending, Run
from sunwell.context.long_context import Handle
from sunwell.core.marks import guarded
from sunwell.core.message import digest_of
from sunwell.core.model import ModelProtocol
from sunwell.core.span import Span
from sunwell.core.task import Bill
from sunwell.core.tool import Place
from sunwell.errors import ToolError
from sunwell.journal.records import Intent, Note, RunOpened
from sunwell.tools.limits import Outcome, ToolLimits
from sunwell.tools.python import checked_code
from sunwell.tools.python_session import Printed, PythonSession, SessionLost
from sunwell.tools.wording import counted, nearest, without_escapes

_BEGINNING_CHARS, _END_CHARS = 6_000, 2_000
_MORE_SHOWN_BYTES = 1_500
"""What a step is taken to show besides, once it has its answers. Who prints more may only have the call that
closes a run."""
_MOST_ANSWER_BYTES = 2_000_000
_ANSWER_NAME = "answer_is"
_ASKS = re.compile(r"\b(?:llm_query|llm_map|rlm_query)\b")
_COMPILES = re.compile(r"\bre\.(?:match|search|fullmatch|findall|finditer|sub|split)\(")
_WHOLE_PART = "[rlm_query: 1 call read the whole part]"
_FUNCTIONS: Mapping[str, tuple[str, ...]] = {
    "llm_query": ("prompt", "part", "most_tokens"),
    "llm_map": ("prompt", "parts", "most_tokens"),
    "rlm_query": ("question", "part"),
    "texts": ("parts",),
    "budget": (),
    _ANSWER_NAME: ("value",),
}
_NEEDED = frozenset({"context", "contexts", "print", *_FUNCTIONS})
_LIMITS = ToolLimits(python_bytes=256_000_000)
_RECURSIVE_TOKENS = 2_000
_MOST_SEARCHED = 1_000
"""Ranges of a step that are recorded as looked into."""


Recurse = Callable[["Exploration", str, Handle, str], Awaitable[tuple[Ending, Coverage]]]
"""Carries a question of a script out in a session of its own, at the place that the last argument names."""


@attrs.frozen
class SharedReading:
    """What all sessions of one run have in common."""

    run: Run
    reader: PartReader
    recurse: Recurse
    fits_one_call: Callable[[int], bool]
    """Whether so many bytes fit into one question about a part."""
    sizes: PartSizes
    confirm: Confirm | None = None
    questions: dict[str, str] = attrs.field(factory=dict)
    """Answers to questions that had a session of their own, by name: each is paid once."""


@attrs.define(eq=False)
class Exploration:
    """The work of one model on its contexts: steps in a session whose names persist.

    A step is a function of the steps before and of what is in the journal: answers, and notes on what else a
    script was told. So a run that is taken up runs the steps again, once a new one needs their names.
    """

    shared: SharedReading
    span: Span
    """That of the conversation whose steps these are."""
    model: ModelProtocol
    """It writes the scripts."""
    contexts: Callable[[], Mapping[str, Handle]]
    """Opens the contexts; called when a script looks at one for the first time."""
    coverage: Coverage
    steps: int = attrs.field(default=0, init=False)
    """Steps that asked nothing."""
    commits: int = attrs.field(default=0, init=False)
    """Steps that asked."""
    answer: str | None = attrs.field(default=None, init=False)
    """The declared answer."""
    _done: list[tuple[Place, str]] = attrs.field(factory=list, init=False)
    """Steps since the session began, which a new process runs again."""
    _session: PythonSession | None = attrs.field(default=None, init=False)
    _stack: AsyncExitStack = attrs.field(factory=AsyncExitStack, init=False)
    _clock: LookingTime = attrs.field(factory=LookingTime, init=False)
    _passages: Passages = attrs.field(init=False)
    _whole: dict[str, Any] = attrs.field(factory=dict, init=False)
    """The contexts as the session sees them."""
    _step: RunningStep | None = attrs.field(default=None, init=False)
    _value: str | None = attrs.field(default=None, init=False)
    _is_warned: bool = attrs.field(default=False, init=False)
    """Whether the model was told that it has looked at nothing."""

    def __attrs_post_init__(self) -> None:
        self._passages = Passages(self.shared.sizes, self._clock)

    @property
    def run(self) -> Run:
        """The run that this is part of."""
        return self.shared.run

    async def explore(self, place: Place, code: str) -> Outcome:
        """Run *code* as the step at *place*, and return what it printed and what it asked."""
        checked_code(code)
        require_free_names(code, _NEEDED)
        config = self.run.config
        may_commit = self.commits < config.max_commit_cycles
        if self.steps >= config.max_explore and not (may_commit and _ASKS.search(code)):
            raise ToolError(EXPLORING_ENDED.format(most=config.max_explore) if may_commit else ALL_ENDED)
        await self._open()
        self._passages.stopped.clear()
        printed = Printed(_BEGINNING_CHARS, _END_CHARS)
        step = self._step = RunningStep(place, code, printed)
        try:
            failed = await self._fed(code, printed)
        except SessionLost as lost:
            step.lost = SESSION_LOST.format(reason=lost)
            if _COMPILES.search(code):
                step.lost += f" {PATTERNS_IN_LOOPS}"
            failed = step.lost
        self._count(place, code, asks=step.asks, is_lost=bool(step.lost))
        shown = len(printed.text) + len(printed.end)
        value = {"asks": step.asks, "lost": bool(step.lost), "shown": shown, "searched": self._searched()}
        await self._note(place, "step", value)
        self._see_step(value)
        if step.lost:
            await self.close()
        return self._told(step, printed, failed)

    def recall(self, place: Place, code: str) -> None:
        """Take note of a step that an earlier process ran: its cost, and that its names may be needed."""
        done = self._noted(place, "step")
        if done is None:
            return
        number = 0
        while (noted := self._noted(place, f"asked-{number}")) is not None:
            self._account(noted)
            number += 1
        self._count(place, code, asks=done["asks"], is_lost=done["lost"])
        self._see_step(done)

    async def declare(self, place: Place, content: str | None, variable: str | None) -> str:
        """Set the answer: *content*, or the value of the name *variable* of the session."""
        content, variable = content or "", (variable or "").strip()
        if bool(content.strip()) == bool(variable):
            raise ToolError("give either content, the answer itself, or variable, the name that holds it")
        if variable:
            content = await self._value_of(place, variable)
        if not content.strip():
            raise ToolError("the answer is empty: write its content, or name what holds it")
        if looked := self._searched():
            await self._note(place, "looked", {"searched": looked})
            self._see_step({"searched": looked})
        await self._note(place, "answer", content)
        self.answer = content
        return "The run ends with this answer."

    async def before_words(self, turn: int) -> str:
        """Return what the model is told, once, if it answers without a call and has looked at nothing yet."""
        if self.steps or self.commits or self._is_warned:
            return ""
        self._is_warned = True
        return NOTHING_READ

    def recall_answer(self, place: Place) -> None:
        """Take note of an answer that an earlier process set."""
        noted = self._noted(place, "answer")
        self.answer = self.answer if noted is None else str(noted)
        self._see_step(self._noted(place, "looked") or {})

    async def close(self) -> None:
        """End the session's process; a later step opens another one."""
        stack, self._stack, self._session = self._stack, AsyncExitStack(), None
        self._passages, self._whole = Passages(self.shared.sizes, self._clock), {}
        await stack.aclose()

    # What a script reaches: it is a ScriptHost.

    def value_of(self, name: str) -> tuple[Any, bool]:
        """Return a context or a function by its *name*, and whether there is one."""
        if name in _FUNCTIONS:

            def named() -> None:
                """Never called: the interpreter knows a function by its name."""

            named.__name__ = name
            return named, True
        if name == "context":
            return next(iter(self._whole.values())), True
        if name == "contexts":
            return dict(self._whole), True
        return self._whole.get(name), name in self._whole

    def attribute_of(self, owner: Any, name: str) -> tuple[Any, bool]:
        """Return an attribute of a part, and whether there is one."""
        return self._passages.attribute_of(owner, name)

    async def call(self, function: str, owner: Any, args: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Carry out a function or a method of a part for the script."""
        if owner is not None:
            return await self._passages.call(function, owner, args, named)
        given = bound(function, _FUNCTIONS[function], {"most_tokens": MOST_ANSWER_TOKENS}, args, named)
        if function == "budget":
            return await self._budget()
        if function == _ANSWER_NAME:
            self._value = await self._passages.answer(given["value"], _MOST_ANSWER_BYTES)
            return None
        if function == "texts":
            return await self._passages.texts(as_parts(given["parts"]))
        if function == "rlm_query":
            return await self._recursive(given["question"], as_parts(given["part"]))
        if function == "llm_query":
            return (await self._asked(given["prompt"], [as_parts(given["part"])], given["most_tokens"]))[0]
        parts = as_parts(given["parts"])
        if not isinstance(parts, list):
            raise ToolError("llm_map takes a list of parts; for one part use llm_query")
        if len(parts) > MOST_PARTS:
            raise ToolError(
                f"llm_map takes at most {MOST_PARTS:,} parts, not {len(parts):,}: take longer ones"
            )
        return await self._asked(given["prompt"], parts, given["most_tokens"])

    async def _asked(self, prompt: Any, parts: Sequence[Any], most_tokens: Any) -> list[str]:
        reader, step = self.shared.reader, self._now()
        questions = []
        for part in parts:
            with self._clock.counted():
                questions.append(await reader.asked(prompt, part, most_tokens))
        name = step.next_name()
        noted = self._noted(step.place, name)
        if noted is not None:
            self._take(step, noted)
            failed: Mapping[str, str] = noted["failed"]
            return [(await reader.recorded(one, failed.get(one.name, ""))).value for one in questions]
        fan_out = reader.counted(questions)
        if fan_out.calls:
            await self._allow(step, name, fan_out)
        before = self._bill()
        answers = await reader.read(questions)
        spent = Spent.between(before, self._bill())
        value = _outcome(questions, answers, self.coverage)
        value["asks"] = spent.calls > 0 or len(value["failed"]) > 0
        await self._note(step.place, name, value)
        step.asks |= value["asks"]
        self._see(value)
        step.asked.append(AskedFanOut(fan_out, len(value["failed"]), spent.usd, len(value["cut"])))
        return [answer.value for answer in answers]

    def _take(self, step: RunningStep, noted: Mapping[str, Any]) -> None:
        """Take what is on record about a call of *step*. Raises ToolError if it was refused."""
        if "refused" in noted:
            raise ToolError(noted["refused"])
        if not step.is_again:  # the process ended in the middle of the step
            step.asks |= noted.get("asks", True)
            self._account(noted)

    async def _recursive(self, question: Any, part: Any) -> str:
        """Return the answer to *question* from a session of its own.

        It is from one call if no session may begin, or if the part fits into one.
        """
        if not isinstance(question, str) or not question.strip():
            raise ToolError("the question is a text")
        step, shared = self._now(), self.shared
        if not isinstance(part, Handle):
            return (await self._asked(question, [part], _RECURSIVE_TOKENS))[0]
        noted = self._noted(step.place, step.name_of_next)
        if noted is not None and "refused" not in noted:  # prices may have changed since
            is_whole = "key" not in noted
        else:
            is_whole = self.span.depth >= self.run.config.max_depth or shared.fits_one_call(len(part))
        if is_whole:
            answer = (await self._asked(question, [part], _RECURSIVE_TOKENS))[0]
            return answer if answer.startswith("[no answer") else f"{answer}\n{_WHOLE_PART}"
        key = digest_of(question, part.digest(), str(part.start)).hex()[:24]
        name = step.next_name()
        noted = self._noted(step.place, name)
        if noted is not None:
            self._take(step, noted)
            return str(noted["answer"])
        if key in shared.questions:
            told = "rlm_query: this question is answered already"
            value: dict[str, Any] = {"answer": shared.questions[key], "read": [], "failed": {}, "asks": False}
        else:
            await self._allow(step, name, None)
            value, told = await self._answer_of(question, part, key)
        value["key"] = key
        await self._note(step.place, name, value)
        step.asks |= value["asks"]
        step.others.append(told)
        self._account(value)
        return str(value["answer"])

    async def _answer_of(self, question: str, part: Handle, key: str) -> tuple[dict[str, Any], str]:
        """Return what a note holds of the question, and what it read and cost in words."""
        before = self._bill()
        ended, coverage = await self.shared.recurse(self, question, part, key)
        spent = Spent.between(before, self._bill())
        share = coverage.share(next(iter(coverage.sizes)))
        cut = f", {counted(len(coverage.cut), 'answer')} cut off" if coverage.cut else ""
        read = f"read {share} % of the part{cut}"
        told = f"rlm_query: {counted(spent.calls, 'call')}{spent.cost}; {read}"
        is_of_use = bool(ended.answer.strip()) and ended.status != "error"
        failed = f"[no answer: {ended.error or 'it ended without one'}]"
        # Without the cost, of which a run that was taken up knows only its part: scripts ask about answers.
        answer = f"{ended.answer}\n[rlm_query: {read}]" if is_of_use else failed
        found = {"answer": answer, "failed": {}, "asks": True, "cut": sorted(coverage.cut)}
        found["read"] = sorted(list(attrs.astuple(extent)) for extent in coverage.read)
        found["unread"] = [[*attrs.astuple(one), why, name] for (name, one), why in coverage.failed.items()]
        found["searched"] = {
            name: [list(each) for each in ranges] for name, ranges in coverage.searched.items()
        }
        return found, told

    async def _allow(self, step: RunningStep, name: str, fan_out: FanOut | None) -> None:
        """Raise ToolError if the step may not ask, and note that."""
        try:
            self._require_commit()
            if fan_out is not None:
                self.shared.reader.require_room(fan_out, *self._kept(step))
                confirm = self.shared.confirm
                if (
                    confirm is not None
                    and fan_out.calls
                    and not await confirm(f"{fan_out}; {spent_text(self.run)}", fan_out.most_usd)
                ):
                    raise ToolError(f"the user refused {fan_out}")
        except ToolError as error:
            await self._note(step.place, name, {"refused": error.sentence})
            raise

    def _kept(self, step: RunningStep) -> tuple[Decimal, int]:
        """Return about the dollars and tokens that the next turn of this model must have left.

        It reads what the turn of *step* did, and what has come since: the script, what is shown of it so far,
        and a little more. New text counts by its bytes, as the ledger does before it is billed for once.
        Answers that nobody can read any more are of no use.
        """
        intent = self.run.journal.find(Intent, (self.span.path, step.place.turn, 0))
        if intent is None:
            return Decimal(0), 0
        gateway = self.run.gateway
        read = intent.reserved_tokens - intent.max_output_tokens + step.grown_bytes() + _MORE_SHOWN_BYTES
        written = gateway.enough_output_tokens(self.model, intent.purpose)
        price = gateway.prices.price(self.model)
        usd = Decimal(0) if price is None else price.worst_usd([(read, written)])
        return usd, read + written

    def _require_commit(self) -> None:
        config = self.run.config
        if not self._now().asks and self.commits >= config.max_commit_cycles:
            left = max(0, config.max_explore - self.steps - 1)  # this script is one of them
            raise ToolError(COMMITS_ENDED.format(most=config.max_commit_cycles, left=left))

    def _account(self, noted: Mapping[str, Any]) -> None:
        """Take a note on a call of a script into account, in a process that has not made the call."""
        for name, failed in noted.get("failed", {}).items():
            self.shared.reader.recall(name, failed)
        if "key" in noted and not str(noted["answer"]).startswith("[no answer"):
            self.shared.questions[noted["key"]] = noted["answer"]
        self._see(noted)

    def _see(self, noted: Mapping[str, Any]) -> None:
        self.coverage.cut.update(noted.get("cut", ()))
        self.coverage.cut.difference_update(noted.get("uncut", ()))
        self.coverage.see(list(extents_in(noted.get("read", ()))), "")
        for name in noted.get("mended", ()):
            self.coverage.see_answered(name)
        for *extent, why, name in noted.get("unread", ()):
            self.coverage.see(list(extents_in([extent])), str(why), name)
        self._see_step(noted)

    def _see_step(self, noted: Mapping[str, Any]) -> None:
        self.coverage.shown_characters += noted.get("shown", 0)
        for name, ranges in noted.get("searched", {}).items():
            self.coverage.see_searched(name, [(start, end) for start, end in ranges])

    def _searched(self) -> dict[str, list[list[int]]]:
        """Return what the step looked into, for its note: the longest ranges, and none that is known."""
        found = {}
        for name, ranges in self._passages.touched.items():
            known = self.coverage.searched.get(name, [])
            new = [one for one in merged(ranges) if not any(a <= one[0] and one[1] <= b for a, b in known)]
            longest = sorted(new, key=lambda each: each[0] - each[1])[:_MOST_SEARCHED]
            if longest:
                found[name] = [list(each) for each in sorted(longest)]
        self._passages.touched.clear()
        return found

    async def _budget(self) -> dict[str, Any]:
        step = self._now()
        name = step.next_name()
        noted = self._noted(step.place, name)
        if noted is None:
            ledger, path, config = self.run.ledger, self.span.path, self.run.config
            usd, tokens = ledger.usd_left(path), ledger.tokens_left(path)
            kept_usd, kept_tokens = self._kept(step)
            noted = {
                "usd_left": None if usd is None else float(usd),
                "usd_for_questions": None if usd is None else float(max(Decimal(0), usd - kept_usd)),
                "tokens_left": tokens,
                "tokens_for_questions": None if tokens is None else max(0, tokens - kept_tokens),
                "seconds_left": ledger.seconds_left(path),
                "steps_left": max(0, config.max_explore - self.steps),
                "commits_left": max(0, config.max_commit_cycles - self.commits),
            }
            await self._note(step.place, name, noted)
        return dict(noted)

    async def _open(self) -> None:
        """Open the session if there is none, and run the steps that gave it its names."""
        if self._session is not None:
            return
        opened = self.run.journal.find(RunOpened, ())
        at = datetime.fromtimestamp(0.0 if opened is None else opened.at, UTC)
        try:
            self._session = await self._stack.enter_async_context(
                PythonSession.opened(_LIMITS, at=at, seed=len(self.span.path))
            )
            self._whole = {name: self._passages.whole(part) for name, part in self.contexts().items()}
            for place, code in self._done:
                self._step = RunningStep(place, code, is_again=True)
                try:
                    await self._fed(code, Printed(0))
                except SessionLost as lost:
                    raise ToolError(SESSION_LOST.format(reason=lost)) from None
        except BaseException:
            await self.close()
            raise

    async def _fed(self, code: str, printed: Printed) -> str:
        assert self._session is not None
        self._clock.begin()
        try:
            return await self._session.feed(code, self, printed)
        except SessionLost:
            raise
        except BaseException:  # the script waits for an answer that never comes: its process ends
            await self.close()
            raise

    async def _value_of(self, place: Place, variable: str) -> str:
        if not variable.isidentifier():
            raise ToolError(f"{variable[:60]!r} is not a name: give the name alone, or the answer in content")
        await self._open()
        self._step, self._value = RunningStep(place, "", is_again=True), None
        try:
            failed = await self._fed(f"{_ANSWER_NAME}({variable})", Printed(0))
        except SessionLost as lost:
            await self.close()
            raise ToolError(str(lost)) from None
        if self._value is None:
            known = [name for name in self._names() if name != variable]
            near = nearest(variable, known)
            hint = (
                f", did you mean {near}?" if near else f"; there are: {', '.join(known[-20:]) or 'none yet'}"
            )
            last = failed.strip().splitlines()[-1][:200] if failed.strip() else "it has no value"
            raise ToolError(f"{last}{hint}" if "NameError" in last else last)
        return self._value

    def _names(self) -> list[str]:
        """Return the names that the steps have set, oldest first."""
        found: dict[str, None] = {}
        for _, code in self._done:
            try:
                tree = ast.parse(code)
            except (SyntaxError, ValueError, RecursionError):
                continue
            for node in ast.walk(tree):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    found[node.id] = None
        return list(found)

    def _count(self, place: Place, code: str, *, asks: bool, is_lost: bool) -> None:
        self.commits += asks
        self.steps += not asks
        self._done = [] if is_lost else [*self._done, (place, code)]

    def _told(self, step: RunningStep, printed: Printed, failed: str) -> Outcome:
        redact = self.run.gateway.redact
        parts = [guarded(without_escapes(redact(printed.text)))]
        if printed.left_out_chars:
            parts.append(f"[{counted(printed.left_out_chars, 'character')} it printed were left out here]")
        if printed.end:
            parts.append(guarded(without_escapes(redact(printed.end))))
        if not "".join(parts).strip():
            parts = [] if failed else ["(it printed nothing; only what is printed is shown)"]
        if failed:
            parts.append(f"{FAILED_MARK}{guarded(redact(failed[-1_500:]))}")
            if NO_SUCH_ATTRIBUTE.search(failed):
                parts.append(f"[From the harness: {PARTS_HAVE}]")
        told = step.told()
        if stopped := self._passages.stopped:
            limits = ", ".join(f"{limit:,}" for limit in sorted(set(stopped)))
            told.append(SEARCHES_STOPPED.format(searches=counted(len(stopped), "search call"), limits=limits))
        config = self.run.config
        if not step.asks and self.steps == config.max_explore - 1:
            told.append(EXPLORING_ENDS if self.commits < config.max_commit_cycles else ALL_ENDS)
        parts += [f"[From the harness: {one}]" for one in told]
        return Outcome("\n".join(parts), is_error=bool(failed))

    def _bill(self) -> Bill:
        return self.run.tally.bill(self.run.root.path)

    def _now(self) -> RunningStep:
        assert self._step is not None
        return self._step

    def _noted(self, place: Place, name: str) -> Any:
        noted = self.run.journal.find(Note, (_path(place), name))
        return None if noted is None else noted.value

    async def _note(self, place: Place, name: str, value: Any) -> None:
        if self._noted(place, name) is None:
            await self.run.journal.append(Note(_path(place), name, value), durable=False)


def spent_text(run: Run) -> str:
    """Return what *run* has spent of its budget, in words: ``$0.0024 of $0.30 is spent``."""
    path = run.root.path
    spent, standing = run.tally.bill(path).cost_usd, run.ledger.standing(path, "usd")
    of = "" if standing is None else f" of {standing.amount(standing.ceiling)}"
    return f"an unknown amount{of} is spent" if spent is None else f"${spent:.4f}{of} is spent"


def _path(place: Place) -> str:
    return f"{place.span.path}/turn-{place.turn}-{place.index}"


def _outcome(
    questions: Sequence[PartQuestion], answers: Sequence[ReadAnswer], coverage: Coverage
) -> dict[str, Any]:
    """Return what a note holds of *questions*: what was read, what was cut off, what was not read and why."""
    read: dict[Extent, None] = {}
    unread: dict[tuple[Any, ...], None] = {}
    failed: dict[str, str] = {}
    for one, answer in zip(questions, answers, strict=True):
        if answer.failed:
            failed[one.name] = answer.failed
            unread |= {(*attrs.astuple(extent), answer.failed, one.about): None for extent in one.extents}
        else:
            read |= dict.fromkeys(one.extents)
    pairs = list(zip(questions, answers, strict=True))
    answered = {one.about for one, answer in pairs if not answer.failed}
    return {
        "cut": sorted({one.about for one, answer in pairs if answer.cut}),
        "uncut": sorted(
            {one.about for one, answer in pairs if not (answer.cut or answer.failed)} & coverage.cut
        ),
        "mended": sorted(answered & {about for about, _ in coverage.failed}),
        "failed": failed,
        "read": [list(attrs.astuple(extent)) for extent in read],
        "unread": [list(row) for row in unread],
    }
