"""Which error responses prove that no model has worked on the request: only those are certainly free."""

import json
import re
from collections.abc import Mapping
from typing import Any, Literal

OwnShape = Literal["anthropic", "openai"]
"""The provider whose error objects are expected."""

BEFORE_WORK = frozenset(
    {
        400,  # the request is checked before a model gets it
        401,  # the key is checked first
        402,  # the account's credit is checked before any work
        403,  # the key's rights are checked first
        404,  # there is no such model or path, so nothing could run
        413,  # the body is rejected while it is read
        422,  # the fields are checked before a model gets them
        429,  # requests and tokens are counted on arrival
        503,  # the server accepts no work at the moment
        529,  # Anthropic's overload: the request is not accepted
    }
)
"""Statuses that mean a refusal before any work, if the provider itself sent them. Others are uncertain:

- 3xx: a proxy answered, and may have passed the request on (303 says so);
- 408, 409, 499, 504, 524, 598, 599: a timeout, and the model may have worked until then;
- 500: the provider failed, and does not say if it was before, during or after the work;
- 502, 520 to 527, 530 and other nonstandard ones: a gateway could not use the answer that it got.
"""

_ANTHROPIC_TYPES = frozenset(
    {
        "invalid_request_error",
        "authentication_error",
        "billing_error",
        "permission_error",
        "not_found_error",
        "request_too_large",
        "rate_limit_error",
        "overloaded_error",
    }
)
"""Anthropic's types of refusals; ``api_error`` and ``timeout_error`` are failures, so they are not here."""
_HTTP_STATUS = re.compile(r"[3-9]\d\d")
MODEL_SLIPS = frozenset(
    {
        "tool_use_failed",  # Groq, 400: the model did not write a valid tool call
        "json_validate_failed",  # Groq, 400: the model's JSON does not match the schema
        "output_parse_failed",  # Groq, 400: the model's output cannot be parsed
        "malformed_function_call",  # Gemini, as a finish reason: the same as the first
        "malformed_tool_call",  # OpenRouter and others for the same
    }
)
"""Types, codes and finish reasons that mean that the model wrote something invalid: it can be asked again."""
_AFTER_WORK = MODEL_SLIPS | frozenset(
    {
        "content_filter",  # Azure, 400: bills the filtering of a prompt
        "data_inspection_failed",  # Alibaba, 400: the filter may have stopped an answer
        "datainspectionfailed",  # Alibaba, 400: the same in another spelling
    }
)
"""Types and codes of OpenAI-compatible servers for a 4xx that may come after the model has worked."""
_SERVER_FAILED = frozenset(
    {
        "api_error",
        "bad_gateway",
        "internal_error",
        "internal_server_error",
        "internalservererror",
        "provider_error",
        "server_error",
        "upstream_error",
    }
)
"""Types and codes that mean a failure although the status means a refusal."""


def is_refusal_before_work(status: int, body: bytes, shape: OwnShape) -> bool:
    """Whether an error response proves that no model has worked on the request, so that nothing is billed.

    This requires a status in :data:`BEFORE_WORK` and the provider's own error object. A proxy's page, an
    object of another shape, or an empty body does not show who sent it: then the result is false.
    """
    if status not in BEFORE_WORK:
        return False
    found = parsed(body)
    if shape == "anthropic":
        return _is_anthropics(found)
    error = _openai_error(status, found)
    return error is not None and _speaks_of_refusal(status, error)


def parsed(body: bytes) -> Any:
    """Return the JSON value in *body*; ``None`` if it is not JSON."""
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def is_slip(error: Mapping[str, Any]) -> bool:
    """Whether an error object says that the model wrote something invalid."""
    named = (str(error.get(key)).lower() for key in ("type", "code"))
    return "failed_generation" in error or any(name in MODEL_SLIPS for name in named)


def _is_anthropics(found: Any) -> bool:
    """Whether *found* is ``{"type": "error", "error": {"type", "message"}}`` with a type of a refusal."""
    if not isinstance(found, dict) or found.get("type") != "error":
        return False
    error = found.get("error")
    if not isinstance(error, dict) or not isinstance(error.get("message"), str):
        return False
    kind = error.get("type")
    return isinstance(kind, str) and kind in _ANTHROPIC_TYPES


def _openai_error(status: int, found: Any) -> Mapping[str, Any] | None:
    """Return the error object if it has a shape that OpenAI or compatible servers use, else ``None``."""
    if isinstance(found, list) and len(found) == 1:  # Gemini puts it into a list
        found = found[0]
    if not isinstance(found, dict):
        return None
    error = found.get("error")
    if isinstance(error, dict):
        is_named = any(_is_name(error.get(key)) for key in ("type", "code", "status"))
        return error if is_named and isinstance(error.get("message"), str) else None
    if isinstance(error, str):  # xAI: {"code": "…", "error": "…"}
        return found if _is_name(found.get("code")) else None
    if isinstance(found.get("message"), str):  # vLLM, Mistral, Cerebras: the object itself
        return found if _is_name(found.get("type")) and "code" in found else None
    detail = found.get("detail")
    if status == 422 and isinstance(detail, list):  # FastAPI's check of fields
        checked = bool(detail) and all(isinstance(entry, dict) and "loc" in entry for entry in detail)
        return found if checked else None
    return None


def _is_name(value: Any) -> bool:
    return isinstance(value, str | int) and not isinstance(value, bool) and value != ""


def _speaks_of_refusal(status: int, error: Mapping[str, Any]) -> bool:
    if "failed_generation" in error:  # Groq shows what the model wrote
        return False
    for name in (error.get("type"), error.get("code")):
        word = str(name).lower()
        if _HTTP_STATUS.fullmatch(word) and int(word) not in BEFORE_WORK:
            return False  # a gateway passes on the status of a server behind it
        if word in _AFTER_WORK or "timeout" in word:
            return False
        if status < 500 and word in _SERVER_FAILED:
            return False
    return True
