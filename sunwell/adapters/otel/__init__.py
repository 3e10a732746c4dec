"""OpenTelemetry: spans and metrics of runs, from their events."""

from sunwell.adapters.otel.instrumentation import Instrumentation, instrument

__all__ = ["Instrumentation", "instrument"]
