"""The events of runs as spans: one for a run and each worker, for each model call, tool call and check."""

import time
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import Token
from typing import Any, TypeVar

import attrs
from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, Tracer

from sunwell.adapters.otel import genai_registry as names
from sunwell.adapters.otel.genai_metrics import GenAiMetrics
from sunwell.core.message import Message
from sunwell.core.task import TaskResult
from sunwell.events import (
    CheckFinished,
    CheckStarted,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    ModelContent,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    ToolContent,
    WorkerFinished,
    WorkerQueued,
    WorkerStarted,
    run_of_event,
)

_NO_OTHER_SPANS = (
    # What instrumentations of SDKs and HTTP clients look for. They would tell of the same call once more, and
    # those of HTTP clients would send the trace's id to the provider.
    otel_context._SUPPRESS_INSTRUMENTATION_KEY,
    otel_context._SUPPRESS_HTTP_INSTRUMENTATION_KEY,
    "suppress_language_model_instrumentation",
)
_ABANDONED = "abandoned"
_Key = TypeVar("_Key")


@attrs.define(eq=False)
class OpenSpan:
    """A span that has begun."""

    span: Span
    attributes: dict[str, Any]
    """What is known of it so far."""
    began: int = attrs.field(factory=time.time_ns)
    """Nanoseconds of the system's clock."""
    token: Token[Context] | None = None
    """How to leave the context in which it is the current one; ``None``: it is not made the current one."""

    def add(self, attributes: Mapping[str, Any]) -> None:
        """Add what has become known."""
        self.attributes.update(attributes)
        self.span.set_attributes(attributes)

    def abandon(self) -> None:
        """End it although its end was not told, perhaps outside of the context in which it is current."""
        self.token = None
        self.end(_ABANDONED)

    def end(self, error_type: str = "", told: str = "") -> float:
        """End it, with an error if there is one, and return the seconds that it took."""
        if self.token is not None:
            otel_context.detach(self.token)
        if error_type:
            self.add({names.ERROR_TYPE: error_type})
            self.span.set_status(Status(StatusCode.ERROR, told or None))
        ended = time.time_ns()
        self.span.end(ended)
        return (ended - self.began) / 1e9


@attrs.define(eq=False)
class RunTrace:
    """The open spans of one run."""

    root: OpenSpan
    base: Context
    """Where the run was started."""
    works: dict[str, OpenSpan] = attrs.field(factory=dict)
    """Workers by the paths of their spans."""
    queued: dict[str, Context] = attrs.field(factory=dict)
    """What each worker that has not begun is below, by path."""
    calls: dict[tuple[str, int], OpenSpan] = attrs.field(factory=dict)
    tools: dict[tuple[str, int, int], OpenSpan] = attrs.field(factory=dict)
    checks: dict[str, OpenSpan] = attrs.field(factory=dict)
    replayed_calls: int = 0
    replayed_workers: int = 0
    remembered_calls: int = 0

    def place(self, path: str) -> Context:
        """Return the context of the work that *path* is part of: a worker, or the run."""
        while path and path not in self.works:
            path = path.rpartition("/")[0]
        return trace.set_span_in_context((self.works[path] if path else self.root).span, self.base)

    def abandon(self) -> None:
        """End what is still open besides the run, the innermost first."""
        for opened in (self.calls, self.tools, self.checks, self.works):
            while opened:
                opened.popitem()[1].abandon()


@attrs.define(eq=False)
class Recorder:
    """Makes spans and metrics of events. It keeps what is open of each run, until that ends."""

    tracer: Tracer
    metrics: GenAiMetrics
    agent_name: str
    content: bool
    """Whether messages, arguments, results and the words of errors are recorded."""
    _runs: dict[str, RunTrace] = attrs.field(factory=dict, init=False)
    _handlers: dict[type[Event], Callable[[Any, str], None]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._handlers = {
            RunStarted: self._run_started,
            RunFinished: self._run_finished,
            RunFailed: self._run_failed,
            WorkerQueued: self._worker_queued,
            WorkerStarted: self._worker_started,
            WorkerFinished: self._worker_finished,
            ModelCallStarted: self._call_started,
            ModelContent: self._call_content,
            ModelCallFinished: self._call_finished,
            ToolCallStarted: self._tool_started,
            ToolContent: self._tool_content,
            ToolCallFinished: self._tool_finished,
            CheckStarted: self._check_started,
            CheckFinished: self._check_finished,
        }

    def see(self, event: Event) -> None:
        """Record *event*. What belongs to a run whose start was not seen is left out."""
        run_id = run_of_event()
        if isinstance(event, RunStarted) or run_id in self._runs:
            self._handlers[type(event)](event, run_id)

    def close(self) -> None:
        """End all spans that are open, as abandoned."""
        for run_id in tuple(self._runs):
            self._abandon(run_id)

    def _abandon(self, run_id: str) -> None:
        run = self._runs.pop(run_id)
        run.abandon()
        run.root.abandon()

    def _open(self, name: str, above: Context, attributes: dict[str, Any], kind: SpanKind) -> OpenSpan:
        began = time.time_ns()
        span = self.tracer.start_span(name, above, kind, attributes, start_time=began)
        return OpenSpan(span, attributes, began)

    def _run_started(self, event: RunStarted, run_id: str) -> None:
        if run_id in self._runs:
            self._abandon(run_id)
        attributes: dict[str, Any] = {
            names.OPERATION: "invoke_agent",
            names.AGENT: self.agent_name,
            names.RUN_ID: event.run_id,
        }
        if event.resumed:
            attributes[names.RESUMED] = True
            earlier = {names.EARLIER_USD: event.spent_usd, names.EARLIER_UNCERTAIN_USD: event.uncertain_usd}
            attributes |= names.dollars(earlier)
        base = otel_context.get_current()
        root = self._open(f"invoke_agent {self.agent_name}", base, attributes, SpanKind.INTERNAL)
        self._runs[run_id] = RunTrace(root, base)

    def _run_finished(self, event: RunFinished, run_id: str) -> None:
        result = event.result
        self._end_run(run_id, result, "" if result.success else result.stop_reason, result.error)

    def _run_failed(self, event: RunFailed, run_id: str) -> None:
        self._end_run(run_id, event.result, event.kind, event.error)

    def _end_run(self, run_id: str, result: TaskResult | None, error_type: str, told: str) -> None:
        run = self._runs.pop(run_id)
        run.abandon()
        counts = {
            names.REPLAYED_CALLS: run.replayed_calls,
            names.REPLAYED_WORKERS: run.replayed_workers,
            names.REMEMBERED_CALLS: run.remembered_calls,
        }
        run.root.add({name: count for name, count in counts.items() if count})
        if result is not None:
            run.root.add(_result_attributes(result))
        self.metrics.add_agent(run.root.end(error_type, self._told(told)), run.root.attributes)

    def _worker_queued(self, event: WorkerQueued, run_id: str) -> None:
        run, now = self._runs[run_id], trace.get_current_span()
        # A tool of that work may have asked for it. A worker's task inherits the context of the tool that
        # started it, so that the current span may be one of other work.
        by_tool = any(one.span is now for key, one in run.tools.items() if key[0] == event.parent)
        run.queued[event.span] = otel_context.get_current() if by_tool else run.place(event.parent)

    def _worker_started(self, event: WorkerStarted, run_id: str) -> None:
        run = self._runs[run_id]
        above = run.queued.pop(event.span, None) or run.place(event.span.rpartition("/")[0])
        name = f"{self.agent_name}.worker"
        attributes = {
            names.OPERATION: "invoke_agent",
            names.AGENT: name,
            names.RUN_ID: run_id,
            names.SPAN_PATH: event.span,
            names.TASK_ID: event.task_id,
        }
        opened = self._open(f"invoke_agent {name}", above, attributes, SpanKind.INTERNAL)
        _keep(run.works, event.span, opened)

    def _worker_finished(self, event: WorkerFinished, run_id: str) -> None:
        run, result = self._runs[run_id], event.result
        run.queued.pop(event.span, None)
        run.replayed_workers += event.replayed
        work = run.works.pop(event.span, None)
        if work is None:  # it never began, or is from the record
            return
        work.add(_result_attributes(result))
        seconds = work.end("" if result.success else result.stop_reason, self._told(result.error))
        self.metrics.add_agent(seconds, work.attributes)

    def _call_started(self, event: ModelCallStarted, run_id: str) -> None:
        run, asked = self._runs[run_id], event.model_id or event.model
        attributes: dict[str, Any] = {
            names.OPERATION: "chat",
            names.PROVIDER: names.provider_name(event.provider),
            names.REQUEST_MODEL: asked,
            names.RUN_ID: run_id,
            names.SPAN_PATH: event.span,
            names.PURPOSE: event.purpose,
            names.CALL_NUMBER: event.number,
        }
        if event.address:
            attributes[names.SERVER_ADDRESS] = event.address
            if event.port is not None:
                attributes[names.SERVER_PORT] = event.port
        if event.streamed:
            attributes[names.REQUEST_STREAM] = True
        opened = self._open(f"chat {asked}", run.place(event.span), attributes, SpanKind.CLIENT)
        now = trace.set_span_in_context(opened.span)
        for key in _NO_OTHER_SPANS:
            now = otel_context.set_value(key, True, now)
        opened.token = otel_context.attach(now)
        _keep(run.calls, (event.span, event.number), opened)

    def _call_content(self, event: ModelContent, run_id: str) -> None:
        opened = self._runs[run_id].calls.get((event.span, event.number))
        if opened is None:
            return
        opened.add({names.INPUT_MESSAGES: names.messages_json(event.messages)})
        if event.system:
            opened.add({names.SYSTEM: names.system_json(event.system)})
        if event.tools:
            opened.add({names.TOOL_DEFINITIONS: names.definitions_json(event.tools)})
        if event.answer:
            answer = names.messages_json([Message("assistant", event.answer)])
            opened.add({names.OUTPUT_MESSAGES: answer})

    def _call_finished(self, event: ModelCallFinished, run_id: str) -> None:
        run = self._runs[run_id]
        run.replayed_calls += event.replayed
        run.remembered_calls += event.remembered
        opened = run.calls.pop((event.span, event.number), None)
        if opened is None:
            return
        opened.add(_call_attributes(event))
        error_type = event.error_kind or ("error" if event.error else "")
        seconds = opened.end(error_type, self._told(event.error))
        self.metrics.add_call(seconds, opened.attributes, event)

    def _tool_started(self, event: ToolCallStarted, run_id: str) -> None:
        run = self._runs[run_id]
        attributes = {
            names.OPERATION: "execute_tool",
            names.TOOL_NAME: event.tool,
            names.TOOL_TYPE: "function",
            names.TOOL_CALL_ID: event.call_id,
            names.RUN_ID: run_id,
            names.SPAN_PATH: event.span,
        }
        opened = self._open(
            f"execute_tool {event.tool}", run.place(event.span), attributes, SpanKind.INTERNAL
        )
        # Current while the tool works: what it does itself, and the workers that it starts, are below it.
        opened.token = otel_context.attach(trace.set_span_in_context(opened.span))
        _keep(run.tools, (event.span, event.turn, event.index), opened)

    def _tool_content(self, event: ToolContent, run_id: str) -> None:
        opened = self._runs[run_id].tools.get((event.span, event.turn, event.index))
        if opened is not None:
            opened.add({names.TOOL_ARGUMENTS: event.arguments, names.TOOL_RESULT: event.result})

    def _tool_finished(self, event: ToolCallFinished, run_id: str) -> None:
        opened = self._runs[run_id].tools.pop((event.span, event.turn, event.index), None)
        if opened is None:  # it is from the record: nothing was done
            return
        error_type = event.error_kind or ("tool_error" if event.is_error else "")
        seconds = opened.end(error_type, self._told(event.error))
        self.metrics.add_tool(seconds, opened.attributes)

    def _check_started(self, event: CheckStarted, run_id: str) -> None:
        run = self._runs[run_id]
        attributes = {names.RUN_ID: run_id, names.SPAN_PATH: event.span}
        if self.content:  # a check is called as its command is written
            attributes[names.CHECK_BY] = ", ".join(event.by)
        opened = self._open("sunwell.check", run.place(event.span), attributes, SpanKind.INTERNAL)
        opened.token = otel_context.attach(trace.set_span_in_context(opened.span))
        _keep(run.checks, event.span, opened)

    def _check_finished(self, event: CheckFinished, run_id: str) -> None:
        opened = self._runs[run_id].checks.pop(event.span, None)
        if opened is None:
            return
        if event.passed is not None:
            opened.add({names.CHECK_PASSED: event.passed})
        opened.end()

    def _told(self, words: str) -> str:
        """Return what a status says: the words of an error may be those of a model or a tool."""
        return words if self.content else ""


def _keep(table: MutableMapping[_Key, OpenSpan], key: _Key, opened: OpenSpan) -> None:
    """Keep *opened* until its end; one that was begun in its place before, and has no end, is ended now."""
    before = table.pop(key, None)
    if before is not None:
        before.abandon()
    table[key] = opened


def _result_attributes(result: TaskResult) -> dict[str, Any]:
    told = {names.STATUS: result.status, names.STOP_REASON: result.stop_reason}
    return told | names.bill_attributes(result.bill)


def _call_attributes(event: ModelCallFinished) -> dict[str, Any]:
    """Return what the end of a call adds to its span."""
    known: dict[str, Any] = {
        names.ATTEMPTS: event.attempts,
        names.FINISH_REASONS: ["error"] if event.error else [event.provider_stop or event.stop],
    }
    optional = {
        names.RESPONSE_MODEL: event.answered_by or None,
        names.RESPONSE_ID: event.answer_id or None,
        names.MAX_TOKENS: event.max_output_tokens,
        names.FIRST_CHUNK: event.first_piece_seconds,
        names.PRICE_UNKNOWN: True if event.booked_usd is None else None,
    }
    known |= {name: value for name, value in optional.items() if value is not None}
    if event.booked_usage.total_tokens:
        known |= names.usage_attributes(event.booked_usage)
    amounts = {
        names.COST_USD: event.booked_usd,
        names.UNCERTAIN_USD: event.uncertain_usd or None,
        names.RESERVED_USD: event.reserved_usd,
    }
    return known | names.dollars(amounts)
