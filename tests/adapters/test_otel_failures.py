"""Telemetry that fails costs nobody a run, and telemetry that cannot be begun says so in a sentence."""

import contextvars
import logging
import subprocess
import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExporter, SpanExportResult

from sunwell.adapters.otel import instrument
from sunwell.agent.loop import AgentLoop
from sunwell.agent.run.run_context import Run
from sunwell.core import Price, Rates
from sunwell.core.task import TaskResult
from sunwell.errors import ConfigurationError, JournalError
from sunwell.events import (
    CHECK_STARTED,
    MODEL_CALL_FINISHED,
    MODEL_CALL_STARTED,
    RUN_FAILED,
    RUN_FINISHED,
    RUN_STARTED,
    TOOL_CALL_FINISHED,
    TOOL_CALL_STARTED,
    WORKER_FINISHED,
    WORKER_QUEUED,
    WORKER_STARTED,
    CheckStarted,
    Event,
    ModelCallFinished,
    ModelCallStarted,
    RunFailed,
    RunFinished,
    RunStarted,
    ToolCallFinished,
    ToolCallStarted,
    WorkerFinished,
    WorkerQueued,
    WorkerStarted,
    emit,
)
from sunwell.journal.memory import MemoryJournal
from sunwell.journal.records import RunOpened
from sunwell.testing import ScriptedModel, run_virtual
from tests.adapters.telemetry_sdk import Telemetry

PRICE = Price(Rates(Decimal(1), Decimal(10)), source="test", date="2026-11-01")


class BrokenExporter(SpanExporter):
    """Cannot reach anybody."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise ConnectionError("nobody there")


class BrokenProcessor(SpanProcessor):
    """Fails at one end of each span."""

    def __init__(self, at: str) -> None:
        self.at = at

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        if self.at == "start":
            raise RuntimeError("a processor's own bug")

    def on_end(self, span: ReadableSpan) -> None:
        if self.at == "end":
            raise RuntimeError("a processor's own bug")


def run_once() -> TaskResult:
    """Return the result of a small run on a virtual clock."""

    async def main() -> TaskResult:
        told = [
            event async for event in AgentLoop(ScriptedModel("haiku", ["Done."], PRICE)).run("Say it", ())
        ]
        assert isinstance(told[-1], RunFinished)
        return told[-1].result

    return run_virtual(main())


def test_an_exporter_that_fails_changes_no_run() -> None:
    """What the SDK says of it is the SDK's."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(BrokenExporter()))
    with instrument(tracer_provider=provider):
        assert run_once().status == "ok"


@pytest.mark.parametrize("at", ["start", "end"])
def test_a_processor_that_raises_is_told_of_once(at: str, caplog: pytest.LogCaptureFixture) -> None:
    """The run is the same, and one warning says why spans are missing, however many runs follow."""
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(BrokenProcessor(at))
    with caplog.at_level(logging.WARNING), instrument(tracer_provider=provider):
        results = [run_once() for _ in range(3)]
    assert [(one.status, one.answer) for one in results] == [("ok", "Done.")] * 3
    [warned] = [one for one in caplog.records if one.name.startswith("sunwell")]
    assert "runs go on: RuntimeError: a processor's own bug" in warned.getMessage()


def test_without_opentelemetry_one_sentence_says_what_to_install() -> None:
    """The module is imported all the same: it loads nothing before it is used."""
    code = (
        "import sys\n"
        "from sunwell.adapters.otel import instrument\n"
        "assert 'opentelemetry' not in sys.modules\n"
        "sys.modules['opentelemetry'] = None\n"
        "try: instrument()\n"
        "except Exception as error: print(type(error).__name__, error, sep=': ')\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == (
        "ConfigurationError: OpenTelemetry is not installed: pip install 'sunwell[otel]'"
    )


def test_without_an_sdk_nothing_happens() -> None:
    """The API alone makes no spans, and runs are as ever."""
    with instrument():
        assert run_once().status == "ok"


def test_to_begin_twice_is_refused(traced: Telemetry) -> None:
    """Each call would be told, and its cost be counted, twice; after the first has ended it is fine."""
    with pytest.raises(ConfigurationError, match="told of runs already"):
        instrument()
    run_once()
    assert len(traced.spans("chat")) == 1


def test_it_can_only_be_ended(telemetry: Telemetry) -> None:
    """To make it is to begin: nothing begins it a second time, and another one can follow."""
    for _ in range(2):
        with telemetry.instrument() as made:
            assert [name for name in dir(made) if name[0] != "_"] == ["headers", "stop", "variables"]
            run_once()
    assert len(telemetry.spans("chat")) == 2


def test_runs_have_the_name_that_the_caller_gives(telemetry: Telemetry) -> None:
    """In the name of the span, and in its attribute."""
    with telemetry.instrument(agent_name="writer"):
        run_once()
    [root] = telemetry.spans("invoke_agent")
    assert (root.name, root.attributes["gen_ai.agent.name"]) == ("invoke_agent writer", "writer")


def test_after_its_end_nothing_is_told(telemetry: Telemetry) -> None:
    """Not even if it is ended twice."""
    made = telemetry.instrument()
    made.stop()
    made.stop()
    run_once()
    assert telemetry.spans() == []
    with telemetry.instrument():
        run_once()
    assert len(telemetry.spans("chat")) == 1


def test_events_without_a_beginning_or_an_end_leave_no_span_open(telemetry: Telemetry) -> None:
    """A run that was begun before, events in a wrong order, and a run that is still going on at the end."""
    tool = ToolCallFinished("run/work", "look", False, 1.0)
    strays = [
        (MODEL_CALL_FINISHED, ModelCallFinished("run/work", 0, "haiku", "work")),
        (TOOL_CALL_FINISHED, tool),
        (WORKER_FINISHED, WorkerFinished("run/task-0", "task-0", 0, run_once())),
    ]
    with telemetry.instrument():
        for signal, event in strays:
            emit(signal, None, event, "begun-before")
        assert telemetry.spans() == []
        emit(RUN_STARTED, None, RunStarted("r", "Say it", "haiku"), "r")
        for signal, event in strays:
            emit(signal, None, event, "r")
        emit(RUN_STARTED, None, RunStarted("r", "Say it", "haiku"), "r")
        assert telemetry.counting.open == 1
    assert telemetry.counting.open == 0
    assert telemetry.values("error.type") == ["abandoned", "abandoned"]


async def read(loop: AgentLoop, run: Run) -> None:
    """Carry *run* out."""
    async with loop.events_of(run) as events:
        async for _ in events:
            pass


def test_what_begins_twice_or_is_left_behind_is_ended(telemetry: Telemetry) -> None:
    """Each kind of work, begun twice in one place in contexts that are gone, and never ended."""
    begun = [
        (WORKER_QUEUED, WorkerQueued("run/task-0", "task-0", "Look", 1, "run")),
        (WORKER_STARTED, WorkerStarted("run/task-0", "task-0", "haiku", 1)),
        (CHECK_STARTED, CheckStarted("run/task-0", ("true",))),
        (TOOL_CALL_STARTED, ToolCallStarted("run/task-0", "look", "")),
        (MODEL_CALL_STARTED, ModelCallStarted("run/task-0", 0, "haiku", "work")),
    ]
    with telemetry.instrument():
        emit(RUN_STARTED, None, RunStarted("r", "Say it", "haiku"), "r")
        for _ in range(2):
            for signal, event in begun:
                contextvars.copy_context().run(emit, signal, None, event, "r")
        assert telemetry.counting.open == 5
        emit(RUN_FINISHED, None, RunFinished("r", run_once()), "r")
        assert telemetry.counting.open == 0
    assert telemetry.values("error.type") == ["abandoned"] * 8
    assert trace.get_current_span() is trace.INVALID_SPAN


class FullDisk(MemoryJournal):
    """A journal that cannot be written after some records."""

    async def append(self, record: Any, *, durable: Any = True) -> None:
        if record.kind == "answer":
            raise JournalError("the disk is full")
        await super().append(record, durable=durable)


def test_a_run_that_fails_has_its_end(telemetry: Telemetry) -> None:
    """Its journal cannot be written, so that its caller gets an error: that is told, and on its span."""
    told: list[Event] = []

    def hear(_: object, event: Event) -> None:
        told.append(event)

    async def main() -> None:
        loop = AgentLoop(ScriptedModel("haiku", ["Done."], PRICE))
        run = Run(loop, FullDisk("r"), task="Say it", config=loop.config)
        await run.journal.append(RunOpened("r", "Say it", 0.0))
        with pytest.raises(JournalError):
            await read(loop, run)

    RUN_FAILED.connect(hear)
    with telemetry.instrument():
        run_virtual(main())
    [event] = told
    assert isinstance(event, RunFailed)
    assert (event.run_id, event.kind) == ("r", "JournalError")
    assert event.result is not None
    [root], [call] = telemetry.spans("invoke_agent"), telemetry.spans("chat")
    assert root.attributes["error.type"] == call.attributes["error.type"] == "JournalError"
    assert root.attributes["sunwell.bill.uncertain_usd"] == call.attributes["sunwell.uncertain_usd"] > 0
    assert telemetry.counting.open == 0
