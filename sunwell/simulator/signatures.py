"""Signs thinking blocks, and checks that they come back unchanged."""

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from typing import Any

_KEY = b"a simulator has no secrets"


def signature_of(text: str) -> str:
    """Return the signature of *text*."""
    digest = hmac.new(_KEY, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()
    return base64.b64encode(digest).decode()


def thinking_block(text: str) -> dict[str, Any]:
    """Return a signed block of thinking."""
    return {"type": "thinking", "thinking": text, "signature": signature_of(text)}


def redacted_block(text: str) -> dict[str, Any]:
    """Return a redacted block of thinking."""
    hidden = base64.b64encode(text.encode()).decode()
    return {"type": "redacted_thinking", "data": f"{hidden}.{signature_of(hidden)}"}


def is_genuine(block: Mapping[str, Any]) -> bool:
    """Whether *block* is exactly one that was sent before."""
    if block.get("type") == "redacted_thinking":
        data = block.get("data")
        if not isinstance(data, str) or set(block) != {"type", "data"}:
            return False
        hidden, _, signature = data.rpartition(".")
        return hmac.compare_digest(signature_of(hidden), signature)
    text, given = block.get("thinking"), block.get("signature")
    if not isinstance(text, str) or not isinstance(given, str):
        return False
    return set(block) == {"type", "thinking", "signature"} and hmac.compare_digest(signature_of(text), given)


def as_raw(block: Mapping[str, Any]) -> str:
    """Return *block* as the text that a message stores."""
    return json.dumps(block, ensure_ascii=False, separators=(",", ":"))
