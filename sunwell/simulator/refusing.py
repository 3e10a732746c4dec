"""Keys, planned refusals and the headers that go with answers and errors."""

from collections.abc import Mapping

import attrs

from sunwell.simulator.allowance import Allowance
from sunwell.simulator.faults import Fault
from sunwell.simulator.wire import Refusal

_USUAL = Allowance()
_MESSAGES = {
    401: "invalid x-api-key",
    429: "This request would exceed your rate limit. Please try again later.",
    500: "Internal server error",
    503: "Service unavailable",
    529: "Overloaded",
}


def key_of(headers: Mapping[str, str]) -> str:
    """Return the API key of a request, from either header; empty where there is none."""
    scheme, _, token = headers.get("Authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token.strip():
        return token.strip()
    return headers.get("x-api-key", "").strip()


def planned_refusal(fault: Fault, key: str) -> Refusal:
    """Return the refusal that *fault* asks for."""
    status = fault.refused_with or 500
    message, code = _MESSAGES.get(status, "Something went wrong"), None
    if status == 401:
        code = "invalid_api_key"
        message = f"Incorrect API key provided: {key}." if fault.echo_key else message
    elif status == 429:
        code = "insufficient_quota" if fault.quota else "rate_limit_exceeded"
        message = "You exceeded your current quota, please check your plan." if fault.quota else message
    return Refusal(status, message, None, code, fault.retry_after_seconds)


def answer_headers(wire: str, request_id: str, allowance: Allowance = _USUAL) -> dict[str, str]:
    """Return the headers of a response: the request's id, and how many more may be sent."""
    limit, remaining = str(allowance.per_minute), allowance.remaining
    if wire == "messages":
        return {
            "request-id": request_id,
            "anthropic-ratelimit-requests-limit": limit,
            "anthropic-ratelimit-requests-remaining": str(remaining),
        }
    return {
        "x-request-id": request_id,
        "x-ratelimit-limit-requests": limit,
        "x-ratelimit-remaining-requests": str(remaining),
    }


def refusal_headers(
    wire: str, refusal: Refusal, request_id: str, allowance: Allowance = _USUAL
) -> dict[str, str]:
    """Return the headers of an error response, ``Retry-After`` among them where it is known."""
    if refusal.status == 429:
        allowance = attrs.evolve(allowance, remaining=0)
    headers = answer_headers(wire, request_id, allowance)
    if refusal.retry_after_seconds is not None:
        headers["retry-after"] = f"{refusal.retry_after_seconds:g}"
    return headers
