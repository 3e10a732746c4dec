"""What a server's refusal says about it: the next attempt does without what it does not know."""

import re
from collections.abc import Callable

import attrs

from sunwell.models.chat_encoding import ChatQuirks

_LIMITS = re.compile(r"max_completion_tokens|max_tokens")


def without_refused(quirks: ChatQuirks, refusal: str) -> ChatQuirks | None:
    """Return *quirks* without what *refusal* objects to; ``None`` where it names nothing that could go.

    The same refusal changes each thing once, so a chain of refusals comes to an end.
    """
    for pattern, change in _CHANGES:
        if pattern.search(refusal):
            changed = change(quirks, refusal)
            if changed != quirks:
                return changed
    return None


def _weaker_schema(quirks: ChatQuirks, refusal: str) -> ChatQuirks:
    if quirks.schema == "json_schema" and ("json_object" in refusal or "json_schema" in refusal):
        return attrs.evolve(quirks, schema="json_object")
    return attrs.evolve(quirks, schema="none")


def _other_limit(quirks: ChatQuirks, refusal: str) -> ChatQuirks:
    """The first name that is mentioned is the refused one; the other may be the advice."""
    refused = _LIMITS.search(refusal)
    if refused is None or refused[0] != quirks.token_limit:
        return quirks
    is_new = quirks.token_limit == "max_completion_tokens"
    return attrs.evolve(quirks, token_limit="max_tokens" if is_new else "max_completion_tokens")


_CHANGES: tuple[tuple[re.Pattern[str], Callable[[ChatQuirks, str], ChatQuirks]], ...] = (
    (re.compile(r"response_format|json_schema|structured output", re.IGNORECASE), _weaker_schema),
    (re.compile(r"stream_options|include_usage"), lambda quirks, _: attrs.evolve(quirks, stream_usage=False)),
    (re.compile(r"reasoning.effort", re.IGNORECASE), lambda quirks, _: attrs.evolve(quirks, effort=False)),
    (re.compile(r"\bstrict\b"), lambda quirks, _: attrs.evolve(quirks, strict_tools=False)),
    (
        re.compile(r"prompt_cache"),
        lambda quirks, _: attrs.evolve(quirks, breakpoints=False, cache_key=False),
    ),
    (
        re.compile(r"content.{0,40}string", re.IGNORECASE),
        lambda quirks, _: attrs.evolve(quirks, system_parts=False, breakpoints=False),
    ),
    (_LIMITS, _other_limit),
)
