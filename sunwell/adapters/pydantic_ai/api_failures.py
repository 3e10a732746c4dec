"""Errors of pydantic-ai's models as ours: what failed, whether it may be billed, whether a retry may help."""

from pydantic_ai.exceptions import (
    ContentFilterError,
    ModelAPIError,
    ModelAuthenticationError,
    ModelConnectionError,
    ModelContextWindowExceededError,
    ModelHTTPError,
    ModelQuotaExceededError,
    ModelRateLimitError,
    ModelRequestRejectedError,
    ModelRequestTimeout,
    ModelServerError,
    ModelTimeoutError,
    ModelUnavailableError,
    UnexpectedModelBehavior,
    UserError,
)
from pydantic_core import to_json

from sunwell.errors import (
    BadAnswer,
    BadRequest,
    ConnectionFailed,
    ModelError,
    QuotaExhausted,
    RateLimited,
    RequestTooLong,
    ServerFailed,
    Unauthorized,
)
from sunwell.models.connection import Connection
from sunwell.models.failures import Failures

_KINDS: tuple[tuple[type[ModelAPIError], type[ModelError], bool], ...] = (
    (ModelQuotaExceededError, QuotaExhausted, False),
    (ModelRateLimitError, RateLimited, True),
    (ModelUnavailableError, RateLimited, True),
    (ModelServerError, ServerFailed, True),
    (ModelContextWindowExceededError, RequestTooLong, False),
    (ModelAuthenticationError, Unauthorized, False),
    (ModelRequestRejectedError, BadRequest, False),
)
"""Categories of errors without a status, with our classes and whether the same request may succeed later."""
_NEVER_SENT = ("pool", "connect")
_LONGEST = 400


def failure_of(error: Exception, name: str, provider: str, url: str | None) -> ModelError | None:
    """Return *error* of the model called *name* as ours; ``None`` if it is none that a model raises.

    It may be billed unless the provider rejected the request before any work, or it was never sent.
    """
    if isinstance(error, ModelError):
        return error
    failures = Failures(
        name,
        Connection(provider or "the provider", url or "its own address", needs_key=False),
        "anthropic" if provider == "anthropic" else "openai",
    )
    said = _shortened(error)
    match error:
        case ModelHTTPError():
            return _from_status(error, failures)
        case ModelRequestTimeout():
            return failures.timed_out("did not answer in time")
        case ModelConnectionError():
            is_sent = error.phase not in _NEVER_SENT
            if isinstance(error, ModelTimeoutError):
                return failures.timed_out("did not answer in time", is_sent=is_sent)
            how = "broke before the answer was complete" if is_sent else "could not be opened"
            return ConnectionFailed(
                name, f"the connection to {provider} {how} ({said}); try again", is_sent, True
            )
        case ModelAPIError():
            return _by_category(error, name, said)
        case ContentFilterError():
            return BadRequest(name, f"{provider} filtered the request or its answer ({said})", True)
        case UnexpectedModelBehavior():
            return BadAnswer(name, f"its answer cannot be used ({said})", True, True, most_repeats=1)
        case UserError():
            return BadRequest(name, f"pydantic-ai cannot send the request ({said}); change it or the model")
    return None


def _from_status(error: ModelHTTPError, failures: Failures) -> ModelError:
    found = failures.from_status(error.status_code, error.headers or {}, _raw(error.body))
    if error.in_stream:  # an answer had begun
        found.may_be_billed = True
    if found.retry_after_seconds is None:
        found.retry_after_seconds = error.retry_after
    return found


def _by_category(error: ModelAPIError, name: str, said: str) -> ModelError:
    for category, kind, retry in _KINDS:
        if isinstance(error, category):
            made = kind(name, f"the provider says: {said}", True, retry)
            made.retry_after_seconds = error.retry_after
            return made
    return ConnectionFailed(name, f"the request failed ({said}); try again", True, True)


def _raw(body: object) -> bytes:
    """Return the body of an error response as it was sent; OpenAI's client leaves the error object alone."""
    if body is None:
        return b""
    if isinstance(body, str):
        return body.encode()
    if isinstance(body, dict) and "message" in body and "error" not in body:
        body = {"error": body}
    return to_json(body, fallback=str)


def _shortened(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
