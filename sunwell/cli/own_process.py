"""The process of the command line: closed to others, told to its SDK, and no secret in its last words."""

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from sunwell.errors import ConfigurationError

_PR_SET_DUMPABLE = 4
_OTEL = "SUNWELL_OTEL"
_OTEL_WORDS = ("on", "off", "content", "headers")


def protect_process() -> None:
    """Close this process to all others of the same user, since keys are in its memory and environment.

    On Linux, they can then neither trace it nor read its memory or environment in ``/proc``; root can. It
    writes no core dump, which would hold the keys, and what it starts inherits no descriptor that it got
    itself. Only the command line does this: a library must not change the process of its caller.
    """
    with suppress(OSError):
        for entry in tuple(Path("/dev/fd").iterdir()):
            if entry.name.isdigit() and int(entry.name) > 2:
                with suppress(OSError):  # the folder's own descriptor, closed by now
                    os.set_inheritable(int(entry.name), False)
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))
    if sys.platform == "linux":
        with suppress(ImportError, OSError, AttributeError):
            import ctypes

            # What it starts can be traced again: a program that is executed begins anew.
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)


def told_safely(message: str) -> str:
    """Return *message*, of an error, without known secrets and what looks like a credential."""
    from sunwell.core.secrets import without_credentials
    from sunwell.tools.environment import secrets_from_environment  # many modules, and only after an error

    return without_credentials(secrets_from_environment().redact(message))


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
