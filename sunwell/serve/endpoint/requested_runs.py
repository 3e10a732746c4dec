"""Requests as runs: a new one, the next of a conversation, or one that an earlier request had begun."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager, suppress
from decimal import Decimal
from functools import cached_property
from pathlib import Path
from typing import Any

import attrs

from sunwell.agent.agent import Agent
from sunwell.agent.lifecycle.run_settings import latest_settings, options_from
from sunwell.agent.prompts import FOR_CLIENTS, conversation_text
from sunwell.agent.run.run_context import RunEvents, came_to_its_end
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.threads import in_thread
from sunwell.errors import JournalError, SunwellError
from sunwell.events import Event, RunStarted
from sunwell.journal.ownership import find_own_run
from sunwell.journal.retention import is_running
from sunwell.memory.conversation_store import ConversationStore, digest_of_turns
from sunwell.report.figures import exact
from sunwell.report.verdict_text import verdict_sentence
from sunwell.serve.booked_run import booked
from sunwell.serve.endpoint.client_request import ClientAnswer, ClientRequest, Declined, unfit
from sunwell.serve.process_purse import ProcessPurse, PurseEmpty
from sunwell.serve.root_settings import RootSettings
from sunwell.serve.served_record import ServedRecord
from sunwell.tools.environment import told_safely
from sunwell.tools.wording import on_one_line

SettingsFor = Callable[[str], RootSettings]
"""Gives the settings for a model's name. Raises :exc:`KeyError` for one that is not offered, and
:exc:`~sunwell.errors.ConfigurationError` for what is wrong."""
_MOST_TEXT = 1_000_000
_STOPS: Mapping[str, Any] = {"end": "end", "length": "length", "window": "length", "refusal": "refusal"}
_ERRORS: Mapping[str, tuple[int, str]] = {
    "budget_usd": (402, "insufficient_quota"),
    "budget_tokens": (402, "insufficient_quota"),
    "check_failed": (422, "check_failed"),
    "model_error": (502, "api_error"),
    "cancelled": (503, "cancelled"),
    "bug": (500, "api_error"),
}
"""The HTTP status and the kind of error by how a run ended. Clients try again after 500 and more, and the
run then goes on where it stood."""


_AGAIN_SECONDS = 120.0
"""How long after its end a run answers a request that an SDK says to have sent before."""


def _nothing(*_: object) -> None:
    """Do nothing: there is nothing left to be stopped, or nobody to be told."""


@attrs.define(eq=False)
class ClientKey:
    """Who may ask, and the money of all its requests."""

    token: str = attrs.field(repr=False)
    purse: ProcessPurse

    @classmethod
    def of(cls, token: str, total_usd: Decimal) -> "ClientKey":
        """Return a key whose requests may cost *total_usd* together."""
        return cls(token, ProcessPurse(total_usd, "all requests with this key (--max-usd)"))


class ClientGone(Exception):
    """Nobody waits for the answer any more."""


@attrs.define(eq=False)
class RequestedRun:
    """A run for one request, or for several that are the same request sent again."""

    model: str
    run_id: str = ""
    """Empty until it has begun."""
    _begun: "asyncio.Future[None]" = attrs.field(init=False)
    _task: "asyncio.Task[ClientAnswer]" = attrs.field(init=False)
    _stop: Callable[[], object] | None = attrs.field(default=None, init=False)
    is_stopping: bool = attrs.field(default=False, init=False)
    """Whether it was told to end: then it has no answer for anybody who comes now."""
    _listeners: int = attrs.field(default=0, init=False)

    def start(self, work: "Callable[[RequestedRun], Coroutine[Any, Any, ClientAnswer]]") -> None:
        """Begin *work*, which gives the answer."""
        loop = asyncio.get_running_loop()
        self._begun = loop.create_future()
        self._task = loop.create_task(work(self))
        self._task.add_done_callback(self._note_task_ended)

    def note_begun(self, run_id: str, stop: Callable[[], object]) -> None:
        """Note the run, and what ends it in good order."""
        self.run_id, self._stop = run_id, stop
        self._note_begun()

    def note_ended(self) -> None:
        """Note that there is nothing left to be stopped."""
        self._stop = _nothing

    def note_not_begun(self) -> None:
        """Note that what was tried came to nothing, and something else may be."""
        self._stop = None

    def _note_task_ended(self, task: "asyncio.Task[ClientAnswer]") -> None:
        self._note_begun()
        if not task.cancelled():
            task.exception()  # nobody may be there any more to be told of it

    def _note_begun(self) -> None:
        if not self._begun.done():
            self._begun.set_result(None)

    @property
    def is_going(self) -> bool:
        """Whether there is no answer yet."""
        return not self._task.done()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Wait for the answer in the body; the run is stopped if nobody does any more."""
        self._listeners += 1
        try:
            yield
        finally:
            self._listeners -= 1
            if not self._listeners:
                self.stop()

    async def begun(self, gone: "asyncio.Future[None]") -> None:
        """Return once the run has begun, or it is known that there is none.

        Raises :exc:`ClientGone` if *gone* is done before.
        """
        await asyncio.wait((self._begun, gone), return_when=asyncio.FIRST_COMPLETED)
        if not self._begun.done():
            raise ClientGone

    async def answer(self, gone: "asyncio.Future[None]", seconds: float | None = None) -> ClientAnswer:
        """Return the answer.

        Raises :exc:`Declined`, :exc:`ClientGone` if *gone* is done before, and :exc:`TimeoutError` after
        *seconds*.
        """
        await asyncio.wait((self._task, gone), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if not self._task.done():
            raise ClientGone if gone.done() else TimeoutError
        if self._task.cancelled():
            raise Declined(503, "cancelled", "stopped before a run had begun; nothing was spent")
        return self._task.result()

    def stop(self) -> None:
        """End the run as Ctrl-C would: what was paid is kept, and no new call of a model begins."""
        self.is_stopping = True
        if self._stop is not None:
            self._stop()
        else:
            self._task.cancel()

    async def ended(self) -> None:
        """Return when it has ended, however."""
        await asyncio.wait((self._task,))


@attrs.frozen(slots=False)
class _Asked:
    """A request of a client, and under what it is found again."""

    key: ClientKey
    request: ClientRequest
    workspace: Path
    is_again: bool
    """Whether the client says that it has sent it before."""
    idempotency_key: str = ""

    @property
    def about(self) -> tuple[str, ...]:
        """What must be the same for two requests to be of one conversation."""
        return (str(self.workspace), self.request.model, self.request.system, self.request.previous)

    @cached_property
    def digest(self) -> str:
        """The digest of the conversation that ends with the task."""
        about = (*self.about, self.idempotency_key) if self.idempotency_key else self.about
        return digest_of_turns(self.key.token, about, self.request.turns)

    @property
    def digest_before(self) -> str | None:
        """That of the conversation that the user's last words answer; ``None`` if they are the first."""
        if self.request.previous:
            return self.digest_of_answer(self.request.previous)
        before = self.request.turns[:-1]
        return digest_of_turns(self.key.token, self.about, before) if before else None

    def digest_after(self, answer: str) -> str:
        """Return that of the conversation with *answer* at its end."""
        return digest_of_turns(self.key.token, self.about, (*self.request.turns, ("assistant", answer)))

    def digest_of_answer(self, run_id: str) -> str:
        """Return that of a conversation that a client names by the id of its last answer."""
        *about, _ = self.about
        return digest_of_turns(self.key.token, (*about, "answer", run_id), ())


@attrs.frozen
class _Way:
    """A way to answer: a new run, or one that goes on."""

    events: Callable[[Agent, Decimal], RunEvents]
    """Begins the run under a cap in dollars for what it costs from now on."""
    spent_usd: Decimal = Decimal(0)
    """What the run has cost before."""


@attrs.define(eq=False)
class RequestedRuns:
    """The runs of an endpoint, all in one folder."""

    workspace: Path
    settings_for: SettingsFor
    max_cost_usd: Decimal
    """What one request may cost."""
    conversations: ConversationStore
    warn: Callable[[str], object] = attrs.field(default=_nothing, kw_only=True)
    """Told of each defect that a client is told of, in a sentence."""
    clock: Callable[[], float] = attrs.field(default=time.time, kw_only=True)
    """Seconds since 1970."""
    _going: dict[str, RequestedRun] = attrs.field(factory=dict, init=False)
    """Runs that go on, by the digest of their request; of two equal ones the later."""
    _all: set[RequestedRun] = attrs.field(factory=set, init=False)
    _is_closed: bool = attrs.field(default=False, init=False)

    def of(
        self, key: ClientKey, request: ClientRequest, *, sent_before: bool, idempotency_key: str
    ) -> RequestedRun:
        """Return the run for *request*, which goes on or begins now.

        A request that was sent before joins the run that it had begun, or gets its answer again. So does one
        with the same *idempotency_key*. A run that is just being stopped is waited for, so that it goes on
        and nothing is paid twice. Raises :exc:`Declined` once :meth:`close` was called.
        """
        if self._is_closed:
            raise Declined(503, "cancelled", "the server is being stopped; nothing was spent")
        is_again = sent_before or bool(idempotency_key)
        asked = _Asked(key, request, self.workspace, is_again, idempotency_key)
        known = self._going.get(asked.digest)
        if known is not None and not known.is_stopping and is_again:
            return known
        run = RequestedRun(request.model)
        self._going[asked.digest] = run
        self._all.add(run)

        async def work(run: RequestedRun) -> ClientAnswer:
            try:
                if known is not None and known.is_stopping:
                    await known.ended()
                return await self._carry_out(run, asked)
            finally:
                self._all.discard(run)
                if self._going.get(asked.digest) is run:
                    del self._going[asked.digest]

        run.start(work)
        return run

    def close(self) -> None:
        """Begin no more runs, and end those that go on; their clients are told of it."""
        self._is_closed = True
        for run in list(self._all):
            run.stop()

    async def stop(self) -> None:
        """Close this, and return once each run is booked."""
        self.close()
        for run in list(self._all):
            await run.ended()

    async def _carry_out(self, run: RequestedRun, asked: _Asked) -> ClientAnswer:
        if sum(len(text) for _, text in asked.request.turns) > _MOST_TEXT:
            raise Declined(413, "request_too_large", f"the texts have more than {_MOST_TEXT:,} characters")
        try:
            settings = await in_thread(self.settings_for, asked.request.model)
            if asked.is_again and (whole := await self._answered(asked)) is not None:
                run.note_begun(whole.run.run_id, _nothing)
                return _answer(asked.request, whole, settings.warnings)
            ways = await in_thread(lambda: list(self._ways(asked, settings)))
            for number, way in enumerate(ways, 1):
                try:
                    return await self._gone(run, asked, settings, way)
                except SunwellError:  # such as a file that has changed: there is another way as long as
                    if run.run_id or number == len(ways):  # nothing has begun
                        raise
            raise AssertionError("a new run is always a way")
        except PurseEmpty as error:
            raise Declined(402, "insufficient_quota", str(error)) from None
        except SunwellError as error:
            raise Declined(400, "invalid_request_error", _safely(str(error))) from None
        except Declined:
            raise
        except Exception as error:  # a stream, too, must have an end that its client knows
            kind = type(error).__name__
            self.warn(f"a request failed with {kind}: {_safely(str(error))}")
            sentence = f"the server failed ({kind}); the same request goes on with what it had begun"
            raise Declined(500, "api_error", sentence) from None

    async def _answered(self, asked: _Asked) -> ServedRecord | None:
        """Return the run that has answered this request; ``None`` if none has, or not lately.

        An SDK sends a request again within seconds, also where the first was never read: then an answer
        from before is that to an earlier question in the same words.
        """
        read = await in_thread(self._recorded, asked.digest)
        if read is None or read.closed is None or not came_to_its_end(read.records):
            return None
        is_late = self.clock() - read.closed.at > _AGAIN_SECONDS
        return None if is_late and not asked.idempotency_key else read

    def _recorded(self, digest: str | None) -> ServedRecord | None:
        """Return the user's own run that is known under *digest*, as far as it can be read."""
        run_id = None if digest is None else self.conversations.find(digest)
        if run_id is None:
            return None
        with suppress(JournalError):  # it may have been deleted since
            return ServedRecord.read(find_own_run(self.workspace, run_id))
        return None

    def _ways(self, asked: _Asked, settings: RootSettings) -> Iterator[_Way]:
        """Yield how the request may be answered, the best way first."""
        request = asked.request
        broken = self._recorded(asked.digest)
        if broken is not None and not came_to_its_end(broken.records) and not is_running(broken.run):
            yield from self._resuming(broken, settings)
        earlier = self._recorded(asked.digest_before)
        if earlier is not None and _may_go_on(earlier, settings):
            yield self._continuing(earlier, settings, _goal(request) if request.previous else request.task)
        elif request.previous:
            raise unfit(
                "previous_response_id names no answer that this key got for this model with these "
                "instructions and tools: send the messages"
            )
        goal = _goal(request)
        options = attrs.evolve(
            settings.options, system_prompt=_instructions(request, settings.options), stream=False
        )

        def begin(agent: Agent, usd: Decimal) -> RunEvents:
            capped = attrs.evolve(options, budget=attrs.evolve(options.budget, usd=usd))
            return agent.run(SessionContext.build(self.workspace, goal, capped))

        yield _Way(begin)

    def _resuming(self, broken: ServedRecord, settings: RootSettings) -> Iterator[_Way]:
        recorded, spent = latest_settings(broken.records), broken.most_spent_usd
        if spent is None or not recorded or not _may_go_on(broken, settings):
            return
        terms = settings.terms(options_from(recorded), None)

        def begin(agent: Agent, usd: Decimal) -> RunEvents:
            return agent.resume(
                broken.run.run_id,
                workspace=self.workspace,
                given=terms.given,
                budget=Budget(usd=spent + usd),
                ceilings=terms.ceilings,
            )

        yield _Way(begin, spent)

    def _continuing(self, earlier: ServedRecord, settings: RootSettings, words: str) -> _Way:
        terms = settings.terms(options_from(latest_settings(earlier.records)), None)

        def begin(agent: Agent, usd: Decimal) -> RunEvents:
            return agent.continue_run(
                earlier.run.run_id,
                words,
                workspace=self.workspace,
                given=terms.given,
                budget=Budget(usd=usd),
                ceilings=terms.ceilings,
                accept_changes=True,
            )

        return _Way(begin)

    async def _gone(
        self, run: RequestedRun, asked: _Asked, settings: RootSettings, way: _Way
    ) -> ClientAnswer:
        """Go *way*, and return what the run has answered."""
        usual = settings.options.budget.usd
        cap = self.max_cost_usd if usual is None else min(self.max_cost_usd, usual)
        agent = settings.agent()
        async with asked.key.purse.portion(max(Decimal(0), cap - way.spent_usd)) as portion:

            def tell(event: Event) -> None:
                if isinstance(event, RunStarted):
                    # Before the first call of a model: after a crash, the same request finds it.
                    self.conversations.keep(asked.digest, event.run_id)
                    run.note_begun(event.run_id, agent.stop)

            try:
                events = way.events(agent, portion.usd)
                read, error = await booked(agent, events, portion, tell, way.spent_usd)
            except SunwellError:
                run.note_not_begun()
                raise
            run.note_ended()
        answer = _answer(asked.request, read, settings.warnings, error)
        for digest in (asked.digest_after(answer.text), asked.digest_of_answer(answer.id)):
            await in_thread(self.conversations.keep, digest, answer.id)
        return answer


def _answer(
    request: ClientRequest, read: ServedRecord, warnings: tuple[str, ...], error: str = ""
) -> ClientAnswer:
    """Return what the run of *read* has answered. Raises :exc:`Declined` if that is no answer."""
    closed = read.closed
    reason = closed.stop_reason if closed else ""
    about = _about(request, read, warnings)
    if closed is None or error or not (closed.status == "ok" or (closed.answer and reason in _STOPS)):
        said = error or (closed.error if closed else "") or "the run has not ended"
        status, kind = _ERRORS.get(reason, (500, "api_error") if error else (422, "run_failed"))
        if closed is not None and closed.answer:
            about["answer"] = closed.answer
        if reason == "budget_usd":  # which names the option of a single run
            said = said.replace("--budget-usd", "--max-cost")
        again = "; the same request goes on with it" if status >= 500 else ""
        sentence = f"{_safely(said)} (run {read.run.run_id}{again})"
        raise Declined(status, kind, sentence, about, is_lasting=reason == "model_error" and read.is_refused)
    return ClientAnswer(
        id=read.run.run_id,
        model=request.model,
        created=int(time.time()),
        text=closed.answer,
        stop=_STOPS[reason],
        usage=read.tree.total_usage,
        cost_usd=read.tree.total_cost_usd,
        about=about,
    )


def _safely(sentence: str) -> str:
    """Return *sentence*, of an error, as a client may read it."""
    return on_one_line(told_safely(sentence))


def _may_go_on(recorded: ServedRecord, settings: RootSettings) -> bool:
    """Whether a run has no tool that runs no longer have here, such as one that writes."""
    allowed, had = settings.options.tools, latest_settings(recorded.records)
    tools = options_from(had).tools if had else None
    return allowed is None or (tools is not None and set(tools) <= set(allowed))


def _about(request: ClientRequest, read: ServedRecord, warnings: tuple[str, ...]) -> dict[str, Any]:
    """Return what is told of a run besides its answer."""
    closed, root = read.closed, read.tree
    found = None if closed is None else closed.verification
    return {
        "run_id": read.run.run_id,
        "status": read.status,
        "stop_reason": closed.stop_reason if closed else None,
        "cost_usd": exact(root.total_cost_usd),
        "uncertain_usd": exact(root.total_uncertain_usd),
        "cap_usd": exact(read.cap_usd),
        "verified": None if found is None else found.passed,
        "verdict": None if found is None else verdict_sentence(found, root.total_cost_usd),
        "unresolved": list(closed.unresolved) if closed else [],
        "files": [one.path for one in read.changes],
        "not_used": list(request.not_used),
        "warnings": list(warnings),
    }


def _goal(request: ClientRequest) -> str:
    """Return the task of a new run: the user's last words, and what was said before."""
    return conversation_text(request.task, request.turns[:-1])


def _instructions(request: ClientRequest, options: RunOptions) -> str | None:
    """Return what stands before Sunwell's own instructions: the server's, and the client's."""
    parts = [options.system_prompt, *([request.system, FOR_CLIENTS] if request.system else [])]
    return "\n\n".join(filter(None, parts)) or None
