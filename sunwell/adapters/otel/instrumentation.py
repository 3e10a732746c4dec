"""What users call: OpenTelemetry is told of all runs of this process, until that is stopped."""

import logging
import os
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import attrs

import sunwell
from sunwell.core.passed_on import pass_on
from sunwell.errors import ConfigurationError
from sunwell.events import (
    CHECK_FINISHED,
    CHECK_STARTED,
    MODEL_CALL_FINISHED,
    MODEL_CALL_STARTED,
    MODEL_CONTENT,
    RUN_FAILED,
    RUN_FINISHED,
    RUN_STARTED,
    TOOL_CALL_FINISHED,
    TOOL_CALL_STARTED,
    TOOL_CONTENT,
    WORKER_FINISHED,
    WORKER_QUEUED,
    WORKER_STARTED,
    Event,
)

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

    from sunwell.adapters.otel.recorder import Recorder

log = logging.getLogger("sunwell.adapters.otel")

_SIGNALS = (
    RUN_STARTED,
    RUN_FINISHED,
    RUN_FAILED,
    WORKER_QUEUED,
    WORKER_STARTED,
    WORKER_FINISHED,
    MODEL_CALL_STARTED,
    MODEL_CALL_FINISHED,
    TOOL_CALL_STARTED,
    TOOL_CALL_FINISHED,
    CHECK_STARTED,
    CHECK_FINISHED,
)
_WITH_CONTENT = (MODEL_CONTENT, TOOL_CONTENT)
_TRACE_HEADERS = ("traceparent", "tracestate")


@attrs.define(eq=False)
class Instrumentation:
    """Tells OpenTelemetry of runs, from :func:`instrument` on until :meth:`stop`, or the end of ``with``."""

    _recorder: "Recorder"
    _content: bool
    _sends_headers: bool
    _has_warned: bool = attrs.field(default=False, init=False)
    _end: Callable[[], None] | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        global _active
        for signal in self._signals:
            signal.connect(self._see, weak=False)
        self._end = pass_on(self)
        _active = self

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """Tell nothing from now on. Spans of runs that still go on end here, as abandoned."""
        global _active
        if self._end is None:
            return
        self._end()
        self._end = None
        for signal in self._signals:
            signal.disconnect(self._see)
        self._guarded(self._recorder.close)
        if _active is self:
            _active = None

    def headers(self) -> Mapping[str, str]:
        """Return the headers that name the current span, if they are to be sent to providers."""
        return self._guarded(_current_headers) or {} if self._sends_headers else {}

    def variables(self) -> Mapping[str, str]:
        """Return the environment variables that name the current span to a command."""
        found = self._guarded(_current_headers) or {}
        return {name.upper(): value for name, value in found.items()}

    @property
    def _signals(self) -> tuple[Any, ...]:
        return (*_SIGNALS, *_WITH_CONTENT) if self._content else _SIGNALS

    def _see(self, _: object, event: Event) -> None:
        self._guarded(self._recorder.see, event)

    def _guarded(self, act: Callable[..., Any], *given: Any) -> Any:
        """Return what *act* returns; if it raises, only the first time is told: it must not hurt a run."""
        try:
            return act(*given)
        except Exception as error:
            if not self._has_warned:
                self._has_warned = True
                log.warning(
                    "OpenTelemetry failed, and spans or metrics may be missing; runs go on: %s: %s",
                    type(error).__name__,
                    error,
                )


_active: Instrumentation | None = None


def instrument(
    *,
    tracer_provider: "TracerProvider | None" = None,
    meter_provider: "MeterProvider | None" = None,
    content: bool = False,
    headers: bool = False,
    agent_name: str = "sunwell",
) -> Instrumentation:
    """Tell OpenTelemetry of every run that begins in this process, until ``with`` or :meth:`stop` ends it.

    Args:
        tracer_provider: Who makes spans; ``None``: OpenTelemetry's global one.
        meter_provider: Who makes metrics; ``None``: OpenTelemetry's global one.
        content: Whether messages, arguments and results of tools, and the words of errors are recorded, too.
            Known secrets are replaced in them.
        headers: Whether requests to providers of models carry ``traceparent``, and so the trace's id.
        agent_name: What runs are called; workers have ``.worker`` behind it.

    Raises :exc:`~sunwell.errors.ConfigurationError` if OpenTelemetry is not installed, or if runs are being
    told of already. Later nothing is raised: what fails is logged once, and changes no run.
    """
    if _active is not None:
        raise ConfigurationError("OpenTelemetry is told of runs already: stop that first, or leave this out")
    try:
        from opentelemetry import metrics, trace
    except ImportError:
        raise ConfigurationError("OpenTelemetry is not installed: pip install 'sunwell[otel]'") from None
    from sunwell.adapters.otel.genai_metrics import GenAiMetrics
    from sunwell.adapters.otel.recorder import Recorder

    version = sunwell.__version__
    tracer = trace.get_tracer("sunwell", version, tracer_provider)
    meter = metrics.get_meter("sunwell", version, meter_provider)
    recorder = Recorder(tracer, GenAiMetrics(meter), agent_name, content)
    return Instrumentation(recorder, content, headers)


def is_instrumented() -> bool:
    """Whether OpenTelemetry is being told of runs."""
    return _active is not None


def continue_trace(environ: Mapping[str, str] | None = None) -> None:
    """Have runs that begin in this context belong to the trace that ``TRACEPARENT`` in *environ* names.

    *environ* is by default that of the process. Nothing changes without the variable, if it is invalid, or
    if there is a current span already.
    """
    from opentelemetry import context, trace
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    if trace.get_current_span().get_span_context().is_valid:
        return
    found = os.environ if environ is None else environ
    carrier = {name: found[name.upper()] for name in _TRACE_HEADERS if name.upper() in found}
    context.attach(TraceContextTextMapPropagator().extract(carrier))


def _current_headers() -> dict[str, str]:
    # Not the global propagator: that may add baggage, which is the application's own.
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier
