"""Turns failures of a call into our errors: one sentence each, without any key in it."""

import re
import ssl
import time
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import attrs

from sunwell.core.secrets import Secrets, without_credentials
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
from sunwell.models.length_refusals import length_refusal
from sunwell.models.refusals import OwnShape, is_refusal_before_work, is_slip, parsed

_LONGEST_MESSAGE = 400
_OVERLOADED = frozenset({429, 503, 529})

_STATUS_OF_TYPE = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "invalid_request_error": 400,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "billing_error": 402,
    "insufficient_quota": 402,
    "overloaded_error": 529,
    "timeout_error": 504,
    "api_error": 500,
    "server_error": 500,
}
_NO_CREDIT = re.compile(r"insufficient_quota|billing_error|billing_hard_limit|credit balance is too low")
_ADVICE = {
    400: "change the request or the model",
    404: "check the model's id and the base URL",
    413: "the request is too large: send less",
    422: "change the request or the model",
}


_PROXY_ADVICE = "check the proxy and its login in HTTPS_PROXY, HTTP_PROXY or ALL_PROXY"


@attrs.define(eq=False)
class Failures:
    """Creates the errors for one model on one connection, and decides which of them may be billed."""

    model: str
    connection: Connection
    shape: OwnShape
    _secrets: Secrets = attrs.field(init=False)

    @_secrets.default
    def _all(self) -> Secrets:
        return self.connection.secrets()

    def bad_answer(self, what: str, *, retry: bool = True) -> BadAnswer:
        """Return the error for an answer that cannot be read. The provider may bill it."""
        return BadAnswer(self.model, self._clean(f"{self._who()} {what}"), True, retry)

    def timed_out(self, what: str, *, is_sent: bool = True) -> ConnectionFailed:
        """Return the error for an answer that did not arrive in time."""
        if not is_sent:
            detail = f"cannot reach {self._who()} in time; check the base URL and the network"
            return ConnectionFailed(self.model, self._clean(detail), False, True)
        detail = f"{self._who()} {what}; allow more time or ask for less"
        return ConnectionFailed(self.model, self._clean(detail), True, True, silent=True)

    def from_exception(self, error: Exception, *, is_sent: bool = True) -> ModelError | None:
        """Return the error for an exception of SDK or transport; ``None`` if it is a bug in our code.

        *is_sent*: whether a part of the request may have been sent. If not, nothing is billed.
        """
        kind = _kind(error)
        if kind is None:
            return None
        if kind in ("garbled", "broken") and not is_sent:
            kind = "unsent"
        root = _root(error)
        cause = self._clean(f"{type(root).__name__}: {root}".rstrip(": "))
        match kind:
            case "address":
                detail = f"cannot use the base URL {self.connection.shown_url} ({cause}); correct it"
                return ConnectionFailed(self.model, detail)
            case "certificate":
                detail = (
                    f"cannot trust the certificate of {self._who()} ({cause}); correct the base URL, or add "
                    "the certificate's authority to the trusted ones (SSL_CERT_FILE)"
                )
                return ConnectionFailed(self.model, detail)
            case "proxy":
                detail = f"the proxy refuses to connect to {self._who()} ({cause}); {_PROXY_ADVICE}"
                return ConnectionFailed(self.model, detail, False, _status_of(error) >= 500)
            case "unsent":
                detail = f"cannot reach {self._who()} ({cause}); check the base URL and the network"
                return ConnectionFailed(self.model, detail, False, True)
            case "garbled":
                return self.bad_answer(f"sent an invalid HTTP response ({cause})")
        detail = f"the connection to {self._who()} broke before the answer was complete ({cause}); try again"
        return ConnectionFailed(self.model, detail, True, True)

    def from_status(self, status: int, headers: Mapping[str, str], body: bytes) -> ModelError:
        """Return the error for an HTTP error response.

        It may be billed unless the provider itself rejected the request before any work: a proxy between
        us and the provider may send the same response after the model has answered.
        """
        if status == 407:  # only a proxy on the way says this, before it passes anything on
            detail = f"the proxy refuses to connect to {self._who()} (407); {_PROXY_ADVICE}"
            return ConnectionFailed(self.model, detail)
        error = _error_object(body)
        found = self._sorted(status, _message(error, body), error or {})
        is_counted = isinstance(found, RequestTooLong) and not found.may_be_billed
        found.may_be_billed = not (is_counted or is_refusal_before_work(status, body, self.shape))
        found.retry_after_seconds = retry_after_seconds(headers)
        if headers.get("x-should-retry") == "false":
            found.retry = False
        return found

    def from_error_object(self, error: Any) -> ModelError:
        """Return the error for an error object inside an answer; it may be billed."""
        known = error if isinstance(error, dict) else {"message": str(error)}
        status = known.get("code")
        if not isinstance(status, int):
            named = (_STATUS_OF_TYPE.get(str(known.get(key))) for key in ("type", "code"))
            status = next(filter(None, named), 500)
        found = self._sorted(status, _message(known, b""), known)
        found.may_be_billed = found.may_be_billed or not isinstance(found, RequestTooLong)
        return found

    def _sorted(self, status: int, message: str, error: Mapping[str, Any]) -> ModelError:
        who = self._who()
        said = self._clean(f"{status}: {message}" if message else str(status))
        words = f"{error.get('type')} {error.get('code')} {message}"
        if is_slip(error):
            detail = f"the model wrote an invalid tool call or JSON, and {who} rejects it ({said}); ask again"
            return BadAnswer(self.model, detail, True, True, most_repeats=1)
        if status == 402 or (status in (400, 403, 429) and _NO_CREDIT.search(words)):
            detail = f"the account at {who} has no credit left ({said}); add credit or use another key"
            return QuotaExhausted(self.model, detail)
        if (too_long := self._too_long(status, error, message, said)) is not None:
            return too_long
        if status in (401, 403):
            detail = f"{who} rejects the API key ({said}); set a valid key in {self.connection.variable}"
            return Unauthorized(self.model, detail)
        if status in _OVERLOADED:
            detail = f"{who} limits the request rate or is overloaded ({said}); try again later"
            return RateLimited(self.model, detail, False, True)
        if status >= 500 or status in (408, 409, 499):
            return ServerFailed(self.model, f"{who} failed ({said}); try again later", False, True)
        if status < 400:
            detail = f"{who} redirects the request ({said}); set the base URL to the new address"
            return BadRequest(self.model, detail)
        advice = _ADVICE.get(status, _ADVICE[400])
        return BadRequest(self.model, f"{who} rejects the request ({said}); {advice}")

    def _too_long(
        self, status: int, error: Mapping[str, Any], message: str, said: str
    ) -> RequestTooLong | None:
        """Return the error for a request that is too long; ``None`` if it is about another matter."""
        if status in (401, 403) or (refusal := length_refusal(status, error, message)) is None:
            return None
        advice = "send less, or use a model with a longer context window"
        if refusal.output_limit_tokens is not None:
            advice = f"set max_output_tokens to at most {refusal.output_limit_tokens}"
        detail = f"the request is too long for {self._who()} ({said}); {advice}"
        return RequestTooLong(
            self.model,
            detail,
            not refusal.is_certain,
            window_tokens=refusal.window_tokens,
            input_tokens=refusal.input_tokens,
            output_limit_tokens=refusal.output_limit_tokens,
        )

    def _who(self) -> str:
        return f"{self.connection.provider} at {self.connection.shown_url}"

    def _clean(self, text: str) -> str:
        shown = " ".join(without_credentials(self._secrets.redact(text)).split())
        return shown if len(shown) <= _LONGEST_MESSAGE else shown[:_LONGEST_MESSAGE] + "…"


def retry_after_seconds(headers: Mapping[str, str], now: float | None = None) -> float | None:
    """Return how long the provider asks to wait, from ``retry-after-ms`` or ``retry-after``.

    *now* is seconds since 1970, used for a date in the header; ``None``: the current time.
    """
    milliseconds = _seconds(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    seconds = _seconds(value)
    if seconds is not None or not value:
        return seconds
    try:
        at = parsedate_to_datetime(value).timestamp()
    except (ValueError, OverflowError):
        return None
    return max(0.0, at - (time.time() if now is None else now))


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if 0 <= seconds < 1e9 else None


def _error_object(body: bytes) -> dict[str, Any] | None:
    found = parsed(body)
    if isinstance(found, list) and found:
        found = found[0]
    if not isinstance(found, dict):
        return None
    error = found.get("error", found)
    return error if isinstance(error, dict) else {"message": error}


def _message(error: Mapping[str, Any] | None, body: bytes) -> str:
    if error is None:
        text = body[:4096].decode("utf-8", "replace")
        return "" if "<html" in text.lower() else text.strip()
    found = error.get("message") or error.get("detail") or error.get("type") or ""
    said, field = found if isinstance(found, str) else str(found), error.get("param")
    return f"{said} (field {field!r})" if isinstance(field, str) and field and field not in said else said


def _chain(error: BaseException) -> list[BaseException]:
    chain: list[BaseException] = [error]
    while (cause := chain[-1].__cause__) is not None and len(chain) < 8:
        chain.append(cause)
    return chain


def _root(error: BaseException) -> BaseException:
    return _chain(error)[-1]


def _status_of(error: BaseException) -> int:
    """Return the HTTP status that *error* carries; 0 if there is none."""
    return next(
        (status for link in _chain(error) if isinstance(status := getattr(link, "status", None), int)), 0
    )


def _kind(error: Exception) -> str | None:
    """Return the kind of transport failure; ``None`` if it is none.

    ``address``, ``certificate``, ``proxy`` and ``unsent``: nothing was sent; ``garbled`` and ``broken``: it
    may have been.
    """
    import aiohttp
    import httpx2

    chain = _chain(error)

    def within(*kinds: type[BaseException]) -> bool:
        return any(isinstance(link, kinds) for link in chain)

    if within(httpx2.InvalidURL, httpx2.UnsupportedProtocol, aiohttp.InvalidURL):
        return "address"
    if within(aiohttp.ClientConnectorCertificateError, ssl.SSLCertVerificationError):
        return "certificate"
    if within(aiohttp.ClientHttpProxyError):
        return "proxy"
    if within(aiohttp.ClientConnectionResetError) and any("closing transport" in str(link) for link in chain):
        return "unsent"  # the connection had closed before the body was written
    if within(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return "unsent"
    # The SDKs' aiohttp transport calls a connection that broke after the request a ConnectError too.
    over_aiohttp = within(aiohttp.ClientError)
    if not over_aiohttp and within(
        httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.ProxyError
    ):
        return "unsent"
    if within(aiohttp.ClientResponseError, httpx2.DecodingError, httpx2.RemoteProtocolError):
        return "broken" if within(httpx2.RemoteProtocolError) else "garbled"
    if within(httpx2.HTTPError, httpx2.StreamError, aiohttp.ClientError, OSError):
        return "broken"
    return None
