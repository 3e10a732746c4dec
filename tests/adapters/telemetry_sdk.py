"""What OpenTelemetry's own SDK gets to see, kept in memory."""

from typing import Any

import attrs
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from sunwell.adapters.otel import Instrumentation, instrument


class Counting(SpanProcessor):
    """Counts the spans that have begun and not ended."""

    def __init__(self) -> None:
        self.open = 0

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        self.open += 1

    def on_end(self, span: ReadableSpan) -> None:
        self.open -= 1


@attrs.define(eq=False)
class Telemetry:
    """An SDK whose spans and metrics stay in memory."""

    exporter: InMemorySpanExporter = attrs.field(factory=InMemorySpanExporter)
    reader: InMemoryMetricReader = attrs.field(factory=InMemoryMetricReader)
    counting: Counting = attrs.field(factory=Counting)
    tracer_provider: TracerProvider = attrs.field(init=False)
    meter_provider: MeterProvider = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer_provider.add_span_processor(self.counting)
        self.meter_provider = MeterProvider([self.reader], shutdown_on_exit=False)

    def instrument(self, **given: Any) -> Instrumentation:
        """Begin to tell this SDK of runs."""
        return instrument(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider, **given)

    def spans(self, operation: str = "") -> list[ReadableSpan]:
        """Return the spans that have ended in the order of their beginning, of one operation or all."""
        found = sorted(self.exporter.get_finished_spans(), key=lambda one: one.start_time or 0)
        return [
            one for one in found if operation in ("", (one.attributes or {}).get("gen_ai.operation.name"))
        ]

    def values(self, name: str, operation: str = "") -> list[Any]:
        """Return the values of an attribute, without the spans that lack it."""
        return [one.attributes[name] for one in self.spans(operation) if name in (one.attributes or {})]

    def above(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the parent of *span*, if it is here."""
        number = span.parent.span_id if span.parent else 0
        return next((one for one in self.spans() if one.context.span_id == number), None)

    def metrics(self) -> dict[str, Any]:
        """Return the metrics by name, with all that was recorded so far."""
        data = self.reader.get_metrics_data()
        scopes = [scope for one in (data.resource_metrics if data else ()) for scope in one.scope_metrics]
        return {metric.name: metric for scope in scopes for metric in scope.metrics}

    def total(self, name: str) -> float:
        """Return the sum of a counter over all attributes; 0 if nothing was counted."""
        metric = self.metrics().get(name)
        return sum(point.value for point in metric.data.data_points) if metric else 0
