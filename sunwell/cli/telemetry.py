"""The command line tells OpenTelemetry of its runs where its process has an SDK."""

import os
import sys
from collections.abc import Mapping

from sunwell.errors import ConfigurationError

_OTEL = "SUNWELL_OTEL"
_OTEL_WORDS = ("on", "off", "content", "headers")


def start_telemetry(environ: Mapping[str, str] | None = None) -> None:
    """Tell OpenTelemetry of the runs of this process if an SDK is set up in it, as ``SUNWELL_OTEL`` says.

    The variable holds words: ``off``; ``on``, with which a missing SDK is an error; ``content`` and
    ``headers`` as in :func:`~sunwell.adapters.otel.instrument`. Raises
    :exc:`~sunwell.errors.ConfigurationError` for any other word, and if there is no SDK where one is wanted.
    """
    found = os.environ if environ is None else environ
    words = frozenset(found.get(_OTEL, "").lower().replace(",", " ").split())
    if strange := sorted(words.difference(_OTEL_WORDS)):
        raise ConfigurationError(
            f"{_OTEL} cannot be {strange[0]!r}: it takes the words {', '.join(_OTEL_WORDS)}"
        )
    # Looked for among what is loaded: to import it takes a tenth of a second, also where nobody wants it.
    if "off" in words or (not words and "opentelemetry.sdk.trace" not in sys.modules):
        return
    if not _has_sdk():
        if words:
            raise ConfigurationError(
                f"{_OTEL} is set, and no OpenTelemetry SDK is set up in this process: start the command "
                f"with opentelemetry-instrument, from opentelemetry-distro, or unset {_OTEL}"
            )
        return
    from sunwell.adapters.otel import instrument
    from sunwell.adapters.otel.instrumentation import continue_trace, is_instrumented

    if is_instrumented():  # by who has loaded the command line into a program of their own
        return
    instrument(content="content" in words, headers="headers" in words)
    continue_trace(found)


def _has_sdk() -> bool:
    try:
        from opentelemetry import trace
    except ImportError:
        return False
    return not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider | trace.NoOpTracerProvider)
