"""What OpenTelemetry costs a run: CPU of a model call with its tool call, told of in four ways.

Run with ``python benchmarks/telemetry.py``. One process measures all ways in turns: nobody is told; the API
alone, without an SDK; the SDK with a batch processor and an exporter that drops what it gets; and the same
with messages and results on the spans. The runs are those of ``short_runs.py``: eleven model calls to a
server that is a process of its own, and a tool call in each answer but the last.
"""

import asyncio
import statistics
import tempfile
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

from opentelemetry.metrics import NoOpMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import NoOpTracerProvider
from recording import record
from short_runs import CALLS, cpu_us, run_of
from slow_server import server
from tables import telemetry as table

from sunwell.adapters.otel import instrument
from sunwell.models.connection import close_clients

ROUNDS = 60
MOST_TO_PLAIN = 1.25
"""The most CPU that a call should take with the SDK, without its content, to one that nobody is told of."""

Way = Callable[[], AbstractContextManager[object]]


class Dropping(SpanExporter):
    """Takes spans and does nothing with them: what a real one costs is its own."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Drop *spans*."""
        return SpanExportResult.SUCCESS


def ways() -> dict[str, Way]:
    """Return how runs are told of, by name."""
    tracers, meters = TracerProvider(), MeterProvider([InMemoryMetricReader()])
    tracers.add_span_processor(BatchSpanProcessor(Dropping()))
    sdk = partial(instrument, tracer_provider=tracers, meter_provider=meters)
    return {
        "plain": nullcontext,
        "api": partial(instrument, tracer_provider=NoOpTracerProvider(), meter_provider=NoOpMeterProvider()),
        "sdk": sdk,
        "sdk_with_content": partial(sdk, content=True),
    }


async def turns_of(wire: str, port: int, folder: Path) -> list[dict[str, float]]:
    """Return the CPU of a call in each way, in microseconds, for each turn."""
    run, known = run_of(wire, port, folder, "own", CALLS), ways()
    turns = []
    for _ in range(ROUNDS + 1):
        turn = {}
        for name, way in known.items():
            with way():
                turn[name] = await cpu_us(run, CALLS)
        turns.append(turn)
    await close_clients()
    return turns[1:]  # the first loads what is loaded on first use


async def measured(wire: str, port: int) -> dict[str, Any]:
    """Return medians of one wire format, and the medians of the ratios of each turn."""
    with tempfile.TemporaryDirectory() as folder:
        turns = await turns_of(wire, port, Path(folder))
    names = list(turns[0])
    return {
        "median_us": {name: round(statistics.median(turn[name] for turn in turns), 1) for name in names},
        "to_plain": {
            name: round(statistics.median(turn[name] / turn["plain"] for turn in turns), 3)
            for name in names[1:]
        },
    }


async def main() -> None:
    """Measure both wire formats, record what was found, and fail where it is above the aim."""
    found: dict[str, Any] = {"calls": CALLS, "rounds": ROUNDS, "most_to_plain": MOST_TO_PLAIN}
    with server(CALLS, 0) as port:
        for wire in ("chat", "messages"):
            found[wire] = await measured(wire, port)
    record("telemetry", found)
    print("\n".join(table(found)))
    above = [wire for wire in ("chat", "messages") if found[wire]["to_plain"]["sdk"] > MOST_TO_PLAIN]
    if above:
        raise SystemExit(f"with the SDK, a call takes more than {MOST_TO_PLAIN} times as much: {above}")


if __name__ == "__main__":
    asyncio.run(main())
