"""What a model and its server can do, found out by asking: each question is small, budgeted and billed."""

import json
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Literal

import attrs

from sunwell.budget.ledger import TreeLedger
from sunwell.budget.ledger_protocol import Budget
from sunwell.budget.tally import Tally
from sunwell.core.message import Message, Text, ToolCall, ToolResult, user
from sunwell.core.model import Caching, Completion, ModelProtocol, Request, ResponseSchema, ToolSpec
from sunwell.core.span import Span
from sunwell.errors import SunwellError
from sunwell.gateway.gateway import Gateway
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal.memory import MemoryJournal
from sunwell.models.prices import PriceBook

Verdict = Literal["yes", "no", "failed"]
MOST_TOKENS = 200_000
"""Ceiling of one examination, in tokens."""
_ANSWER_TOKENS = 2_000
_PATIENCE = RetryPolicy(attempts=6, longest_wait_seconds=2.0)  # each thing not understood costs an attempt
_NOT_TRIED = "not tried, since no answer comes"
_LOOK_UP = ToolSpec(
    "look_up",
    "Return the value that is stored under a key.",
    {
        "type": "object",
        "properties": {"key": {"type": "string", "description": "The key."}},
        "required": ["key"],
        "additionalProperties": False,
    },
)
_SCHEMA = ResponseSchema(
    "verdict",
    {
        "type": "object",
        "properties": {"word": {"type": "string"}, "is_noun": {"type": "boolean"}},
        "required": ["word", "is_noun"],
        "additionalProperties": False,
    },
)
_LONG_PREFIX = "This sentence makes a prefix long enough for any provider's cache to keep it. " * 300
_ODD = 'Zürich — 東京 🌻 "quoted" \\ back'


@attrs.frozen
class Trial:
    """One thing that was tried."""

    name: str
    verdict: Verdict
    detail: str = ""
    is_required: bool = True
    """Whether Sunwell cannot work without it."""


@attrs.frozen
class ConformanceReport:
    """What came of examining one model."""

    model: str
    checks: tuple[Trial, ...]
    cost_usd: Decimal | None
    """``None`` where the model's price is not known."""
    uncertain_usd: Decimal | None
    calls: int
    tokens: int = 0
    """Input and output, as far as they were reported."""

    @property
    def passes(self) -> bool:
        """Whether everything that Sunwell needs is there."""
        return all(check.verdict == "yes" for check in self.checks if check.is_required)


async def examine(
    model: ModelProtocol,
    prices: PriceBook,
    *,
    suite: bool = False,
    budget: Budget | None = None,
    tell: Callable[[Trial], None] = lambda _: None,
) -> ConformanceReport:
    """Return what *model* can do; with *suite* also how it bears what is seldom.

    Every question goes through the one door to a model and is booked; failures are findings, each
    told as soon as it is there. Where the first question comes to nothing, no other is asked.
    """
    tally, ledger = Tally(prices.date), TreeLedger()
    ledger.open("run", budget or Budget(tokens=MOST_TOKENS))
    gateway = Gateway(MemoryJournal("examination"), ledger, tally, prices, lambda _, __: None, _PATIENCE)
    asking = _Examination(gateway, model)
    checks: list[Trial] = []
    for name, attempt, required in (*_BASIC, *(_SELDOM if suite else ())):
        if checks and checks[0].verdict == "failed":
            checks.append(Trial(name, "failed", _NOT_TRIED, required))
        else:
            checks.append(await asking.tried(name, attempt, required))
        tell(checks[-1])
    bill = tally.bill()
    tokens = bill.usage.total_tokens
    return ConformanceReport(
        model.name, tuple(checks), bill.cost_usd, bill.uncertain_usd, asking.calls, tokens
    )


@attrs.define(eq=False)
class _Examination:
    gateway: Gateway
    model: ModelProtocol
    calls: int = attrs.field(default=0, init=False)
    _usage: dict[str, bool] = attrs.field(factory=dict, init=False)
    """Whether usage came, for whole answers and for streams."""

    async def tried(self, name: str, attempt: "Attempt", required: bool) -> Trial:
        try:
            found = await attempt(self)
        except SunwellError as error:
            return Trial(name, "failed", str(error), required)
        return Trial(name, "yes" if found == "" else "no", found, required)

    async def ask(self, request: Request, *, stream: bool = False) -> Completion:
        self.calls += 1
        span = Span().child(f"probe-{self.calls}")
        limited = attrs.evolve(request, max_output_tokens=request.max_output_tokens or _ANSWER_TOKENS)
        completion = await self.gateway.ask(span, self.model, limited, purpose="probe", stream=stream)
        self._usage["stream" if stream else "whole"] = completion.usage is not None
        return completion

    async def answers(self) -> str:
        completion = await self.ask(_said("Answer with the single word: ready"))
        return "" if completion.text.strip() else "the answer is empty"

    async def streams(self) -> str:
        completion = await self.ask(_said("Answer with the single word: ready"), stream=True)
        return "" if completion.text.strip() else "the stream is empty"

    async def calls_tools(self) -> str:
        question = _said(
            "Call the tool look_up with the key alpha. Then answer with the value that it gives."
        )
        request = attrs.evolve(question, tools=(_LOOK_UP,))
        first = await self.ask(request)
        if not first.tool_calls:
            return "no tool was called"
        problem = _arguments_problem(first.tool_calls[0])
        if problem:
            return problem
        results = tuple(ToolResult(call.id, "seventeen") for call in first.tool_calls)
        history = request.messages.plus(first.as_message(), Message("tool", results))
        second = await self.ask(attrs.evolve(request, messages=history))
        return "" if second.text.strip() or second.tool_calls else "no answer follows the tool's result"

    async def streams_tools(self) -> str:
        question = _said("Call the tool look_up with the key alpha.")
        completion = await self.ask(attrs.evolve(question, tools=(_LOOK_UP,)), stream=True)
        return _arguments_problem(completion.tool_calls[0]) if completion.tool_calls else "no tool was called"

    async def obeys_schema(self) -> str:
        question = _said("Is the word sunflower a noun? Answer in JSON with word and is_noun.")
        completion = await self.ask(attrs.evolve(question, response_schema=_SCHEMA))
        return _schema_problem(completion.text)

    async def reports_usage(self) -> str:
        if not self._usage:
            return "no answer came"
        missing = [way for way in ("whole", "stream") if self._usage.get(way) is False]
        told = {"whole": "whole answers", "stream": "streams"}
        return "" if not missing else f"not in {' and '.join(told[way] for way in missing)}"

    async def caches(self) -> str:
        caching = Caching("5m", conversation=False, key="examination")
        question = attrs.evolve(
            _said("Answer with the single word: ready"), system=(_LONG_PREFIX,), caching=caching
        )
        for _ in range(2):
            completion = await self.ask(question)
        if completion.usage is None:
            return "nobody can tell: no usage is reported"
        read = completion.usage.cache_read_tokens
        return "" if read else "a long prefix that was sent twice was not read from a cache"

    async def keeps_text(self) -> str:
        completion = await self.ask(_said(f"Repeat exactly, without anything else: {_ODD}"))
        return "" if "東京" in completion.text and "🌻" in completion.text else "text came back changed"

    async def bears_sections(self) -> str:
        request = attrs.evolve(_said("Answer with the single word: ready"), system=("Be brief.", "Be exact."))
        return "" if (await self.ask(request)).text.strip() else "the answer is empty"

    async def bears_failed_tools(self) -> str:
        call = ToolCall("call_1", "look_up", '{"key": "alpha"}')
        history = (
            user("Look up alpha, then say what happened."),
            Message("assistant", (Text("I look it up."), call)),
            Message("tool", (ToolResult("call_1", "", is_error=True),)),
        )
        completion = await self.ask(Request(messages=history, tools=(_LOOK_UP,)))
        return "" if completion.text.strip() or completion.tool_calls else "the answer is empty"

    async def withholds_tools(self) -> str:
        request = attrs.evolve(
            _said("Answer with the single word: ready"), tools=(_LOOK_UP,), tool_choice="none"
        )
        return "" if not (await self.ask(request)).tool_calls else "a tool was called that was withheld"

    async def stops_at_the_limit(self) -> str:
        request = attrs.evolve(_said(f"Repeat ten times: {_LONG_PREFIX[:400]}"), max_output_tokens=64)
        completion = await self.ask(request)
        tokens = completion.usage.output_tokens if completion.usage else 0
        return "" if tokens <= 64 else f"{tokens} tokens came where 64 were allowed"


Attempt = Callable[[_Examination], Awaitable[str]]
"""Returns what is amiss, an empty text where nothing is."""
_BASIC: tuple[tuple[str, Attempt, bool], ...] = (
    ("answers", _Examination.answers, True),
    ("streams", _Examination.streams, True),
    ("calls tools", _Examination.calls_tools, True),
    ("obeys a schema", _Examination.obeys_schema, True),
    ("reports usage", _Examination.reports_usage, False),
    ("caches", _Examination.caches, False),
)
_SELDOM: tuple[tuple[str, Attempt, bool], ...] = (
    ("streams tool calls", _Examination.streams_tools, True),
    ("keeps text as it is", _Examination.keeps_text, True),
    ("takes several system sections", _Examination.bears_sections, True),
    ("takes a failed tool's result", _Examination.bears_failed_tools, True),
    ("withholds tools when asked", _Examination.withholds_tools, True),
    ("stops at the token limit", _Examination.stops_at_the_limit, True),
)


def _said(text: str) -> Request:
    return Request(messages=[user(text)])


def _arguments_problem(call: ToolCall) -> str:
    arguments: Any = None
    try:
        arguments = json.loads(call.arguments)
    except ValueError:
        return f"the arguments of the call are no JSON: {call.arguments[:80]!r}"
    fits = isinstance(arguments, dict) and isinstance(arguments.get("key"), str)
    return "" if fits and call.name == "look_up" else f"the call is not the one asked for: {call.name}"


def _schema_problem(text: str) -> str:
    try:
        value = json.loads(text)
    except ValueError:
        return f"the answer is no JSON: {text[:80]!r}"
    fits = (
        isinstance(value, dict)
        and isinstance(value.get("word"), str)
        and isinstance(value.get("is_noun"), bool)
    )
    return "" if fits and len(value) == 2 else f"the answer is JSON of another shape: {text[:80]!r}"
