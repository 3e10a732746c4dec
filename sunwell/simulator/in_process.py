"""A simulated model without HTTP: a script and a bill behind the model interface of ``core``."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence

import attrs

from sunwell.core.message import Text, Thinking, ToolCall
from sunwell.core.model import CacheLife, Completion, Delta, Request, Usage
from sunwell.core.price import Price, Rates, Tier
from sunwell.errors import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    ServerFailed,
    Unauthorized,
)
from sunwell.simulator.billing import Billing, SimulatedCall
from sunwell.simulator.faults import NO_FAULT, Fault, FaultPlan, Occasion, fault_plan
from sunwell.simulator.prompt_tokens import (
    Piece,
    Prompt,
    marked_at_end,
    message_pieces,
    schema_piece,
    system_piece,
    tool_piece,
)
from sunwell.simulator.said import Said, say
from sunwell.simulator.script import Asked, Script
from sunwell.simulator.simulated_models import echo
from sunwell.simulator.simulated_prices import PRICE_DATE, CacheRule, ModelRates
from sunwell.simulator.spoiled import report, spoil


def asked_of(model: str, request: Request) -> Asked:
    """Return *request* as a script sees it."""
    schema = request.response_schema
    return Asked(
        model=model,
        system="\n\n".join(request.system),
        messages=tuple(request.messages),
        tools=tuple(tool.name for tool in request.tools) if request.tool_choice == "auto" else (),
        schema=schema.schema if schema else None,
        max_output_tokens=request.max_output_tokens,
    )


def prompt_of(request: Request, rule: CacheRule) -> Prompt:
    """Return the prompt of *request*, with breakpoints where ``request.caching`` requests entries."""
    head: list[Piece] = []
    if request.response_schema is not None:
        head.append(schema_piece(json.dumps(request.response_schema.schema, ensure_ascii=False)))
    head += (tool_piece(tool.name, tool.description, tool.schema_text) for tool in request.tools)
    head += (system_piece(section) for section in request.system)
    prefix = marked_at_end(head, request.caching.prefix)
    messages = [message_pieces(message) for message in request.messages]
    conversation = request.caching.conversation
    if rule == "blocks" and conversation and messages:
        life: CacheLife = "5m"
        far = request.far_end_of_last()
        for pieces in (messages[-1], *(() if far is None else (messages[far],))):
            pieces[-1] = attrs.evolve(pieces[-1], mark=life)
    body = [piece for pieces in messages for piece in pieces]
    return Prompt((*prefix, *body), (request.effort or "").encode(), implicit=conversation)


_CHUNK_CHARACTERS = 40


def loop_time() -> float:
    """Return the running event loop's time: a clock for a :class:`Billing` on a virtual loop."""
    return asyncio.get_running_loop().time()


def _loop_billing() -> Billing:
    return Billing(clock=loop_time)


@attrs.define(eq=False)
class InProcessModel:
    """A simulated model without HTTP, for budget tests with millions of calls.

    All waiting uses the event loop's clock. It raises :exc:`~sunwell.errors.ModelError` with
    ``may_be_billed`` according to what ``billing`` really charged. ``name`` must have a price in
    ``billing``. Several models may share one ``billing``.
    """

    name: str
    script: Script = echo
    billing: Billing = attrs.field(factory=_loop_billing)
    faults: FaultPlan | Sequence[FaultPlan] | None = None
    key: str = "in-process"
    latency_seconds: float = 0.0
    """Time before the answer begins."""
    chunk_seconds: float = 0.0
    """Time for each piece of the answer."""
    can_count: bool = False
    """Whether the provider counts the input of a request, for nothing."""
    counts: int = attrs.field(default=0, init=False)
    """Number of requests that it has counted, or failed to count."""
    calls: int = attrs.field(default=0, init=False)
    """Number of calls of the model."""
    _plan: FaultPlan = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.billing.price_of(self.name)
        self._plan = fault_plan(self.faults)

    @property
    def price(self) -> Price:
        """The rates that ``billing`` charges, as a ``Price``."""
        row = self.billing.price_of(self.name)
        tiers = tuple(Tier(border, _core_rates(rates)) for border, rates in row.tiers)
        return Price(_core_rates(row.rates), tiers, row.context_window, "simulator", PRICE_DATE)

    async def count_input_tokens(self, request: Request) -> int | None:
        """Return the input tokens that would be billed for *request*; ``None`` if they cannot be counted."""
        if not self.can_count:
            return None
        self.counts += 1
        fault = self._plan(Occasion(self.calls + 1, self.name, self.key, counting=True)) or NO_FAULT
        await asyncio.sleep(self.latency_seconds + fault.stall_before_seconds)
        if fault.refused_with is not None or fault.cut is not None:
            return None
        rule = self.billing.price_of(self.name).cache_rule
        return prompt_of(request, rule).tokens + fault.hidden_input_tokens

    async def complete(self, request: Request) -> Completion:
        """Return the script's answer, or raise :exc:`~sunwell.errors.ModelError`."""
        turn = await self._arrive(request, stream=False)
        try:
            await turn.begin()
            if self.chunk_seconds or turn.fault.cut or turn.fault.stall_midway_seconds:
                for generated, _ in turn.steps():
                    await turn.generate(generated)
            return turn.finish()
        finally:
            turn.call.end("cancelled")

    async def stream(self, request: Request) -> AsyncIterator[Delta]:
        """Yield the answer in pieces; the last delta carries the completion."""
        turn = await self._arrive(request, stream=True)
        try:
            await turn.begin()
            for generated, delta in turn.steps():
                await turn.generate(generated)
                yield delta
            yield Delta(completion=turn.finish())
        finally:
            turn.call.end("cancelled")

    async def _arrive(self, request: Request, *, stream: bool) -> "_Turn":
        self.calls += 1
        fault = self._plan(Occasion(self.calls, self.name, self.key, stream)) or NO_FAULT
        limit = request.timeout_seconds
        deadline = None if limit is None else loop_time() + limit
        if fault.refused_with is not None:
            await _pause(self.name, fault.stall_before_seconds + self.latency_seconds, deadline, billed=False)
            raise _refusal(self.name, fault, self.key)
        rule = self.billing.price_of(self.name).cache_rule
        # A script that raises is a bug in a test, not a billed call: it runs before the call is opened.
        said = say(self.script(asked_of(self.name, request)), request.max_output_tokens)
        prompt, hidden = prompt_of(request, rule), fault.hidden_input_tokens
        call = self.billing.begin(self.key, self.name, prompt, hidden_input_tokens=hidden)
        return _Turn(self, call, said, fault, deadline)


@attrs.define(eq=False)
class _Turn:
    """One billed call in progress."""

    model: InProcessModel
    call: SimulatedCall
    said: Said
    fault: Fault
    deadline: float | None

    async def begin(self) -> None:
        await self._wait(self.model.latency_seconds + self.fault.stall_before_seconds)
        if self.fault.cut == "before":
            raise self._broken("the connection dropped before the answer began")
        self.call.begin_answer()

    def steps(self) -> list[tuple[int, Delta]]:
        """Return the pieces of the answer, each with all output generated by its end."""
        deltas = _deltas(self.said)
        return [(self.said.output_tokens * i // len(deltas), delta) for i, delta in enumerate(deltas, 1)]

    async def generate(self, output_tokens: int) -> None:
        await self._wait(self.model.chunk_seconds)
        half = output_tokens * 2 >= self.said.output_tokens
        if half and self.fault.stall_midway_seconds and self.call.output_tokens * 2 < self.said.output_tokens:
            await self._wait(self.fault.stall_midway_seconds)
        self.call.generate(output_tokens)
        if half and self.fault.cut in ("dropped", "body", "after-tool"):
            raise self._broken("the answer was truncated")

    def finish(self) -> Completion:
        self.call.generate(self.said.output_tokens)
        status = self.fault.gateway_status
        if status is not None:
            self.call.end("cut")
            raise ServerFailed(self.model.name, f"HTTP {status}", may_be_billed=True, retry=True)
        if self.fault.slip:
            self.call.end("cut")
            raise BadAnswer(
                self.model.name, "tool_use_failed", may_be_billed=True, retry=True, most_repeats=1
            )
        if self.fault.cut == "no-end":
            raise self._broken("the answer came without its proper end")
        self.call.end()
        shown = spoil(self.said, self.fault)
        told = report(self.call.split, self.said, self.fault)
        usage = None
        if told is not None:
            cached = (told.read_tokens, told.write_tokens, told.write_1h_tokens)
            usage = Usage(told.input_tokens, told.output_tokens, *cached, told.reasoning_tokens)
        answering = self.fault.answering_model or self.model.name
        return Completion(shown.parts, shown.stop, usage, answering, shown.stop, self.call.request_id)

    async def _wait(self, seconds: float) -> None:
        if seconds:
            await _pause(self.model.name, seconds, self.deadline, billed=True)

    def _broken(self, detail: str) -> ModelError:
        self.call.end("cut")
        kind = BadAnswer if self.fault.cut in ("no-end", "after-tool") else ConnectionFailed
        return kind(self.model.name, detail, may_be_billed=True, retry=True)


async def _pause(model: str, seconds: float, deadline: float | None, *, billed: bool) -> None:
    left = seconds if deadline is None else deadline - loop_time()
    if left < seconds:
        await asyncio.sleep(max(0.0, left))
        raise ConnectionFailed(model, "no answer within the time limit", may_be_billed=billed, retry=True)
    await asyncio.sleep(seconds)


def _deltas(said: Said) -> list[Delta]:
    deltas: list[Delta] = []
    for part in said.parts:
        match part:
            case Text(text):
                deltas += (Delta(text=piece) for piece in _chunks(text))
            case Thinking(text):
                deltas += (Delta(thinking=piece) for piece in _chunks(text))
            case ToolCall(_, name):
                deltas.append(Delta(tool_name=name))
    return deltas or [Delta()]


def _chunks(text: str) -> list[str]:
    return [text[i : i + _CHUNK_CHARACTERS] for i in range(0, len(text), _CHUNK_CHARACTERS)]


def _refusal(model: str, fault: Fault, key: str) -> ModelError:
    status = fault.refused_with or 500
    after = fault.retry_after_seconds
    if status == 401:
        return Unauthorized(model, f"invalid key: {key}" if fault.echo_key else "invalid key")
    if status == 429 and fault.quota:
        return QuotaExhausted(model, "the account has no credit left")
    if status in (429, 503, 529):
        return RateLimited(model, f"HTTP {status}", retry=True, retry_after_seconds=after)
    if status >= 500:
        return ServerFailed(model, f"HTTP {status}", retry=True, retry_after_seconds=after)
    return BadRequest(model, f"HTTP {status}")


def _core_rates(rates: ModelRates) -> Rates:
    return Rates(rates.input_usd, rates.output_usd, rates.read_usd, rates.write_usd, rates.write_1h_usd)
