"""How providers say that a request is too long, and the figures that they name: one table of wordings."""

import re
from collections.abc import Mapping
from typing import Any

import attrs

WORDINGS_DATE = "2026-11-29"
"""ISO day on which the table was last updated."""


@attrs.frozen
class LengthRefusal:
    """What a refusal for length says; ``None``: it does not name the figure."""

    window_tokens: int | None = None
    """The model's context window: input and output together, or the longest prompt."""
    input_tokens: int | None = None
    """Input tokens of the refused request, as the provider counts them."""
    output_limit_tokens: int | None = None
    """Longest answer that the model can give."""
    is_certain: bool = True
    """Whether the words show that the provider counted the request. A proxy may also say "too large"."""


_N = r"[\d,_]+"

_WINDOW_WORDINGS = (
    # Anthropic; Claude on Bedrock and Vertex
    rf"prompt is too long: (?P<input>{_N}) tokens > (?P<window>{_N}) maximum",
    rf"input length and `?max_tokens`? exceed context limit: (?P<input>{_N}) \+ {_N} > (?P<window>{_N})",
    # Bedrock
    r"input is too long for (?:the )?requested model",
    (
        rf"too many input tokens\. max input tokens: (?P<window>{_N}), "
        rf"request input token count: (?P<input>{_N})"
    ),
    # OpenAI, Azure, DeepSeek, OpenRouter, Groq, older vLLM
    (
        rf"maximum context length is (?P<window>{_N}) tokens?.*?requested (?:about )?(?P<total>{_N}) "
        rf"tokens.*?(?P<asked>{_N}) (?:in|for) the (?:completion|output)"
    ),
    rf"maximum context length is (?P<window>{_N}) tokens?.*?your messages resulted in (?P<input>{_N}) tokens",
    # vLLM
    rf"maximum context length is (?P<window>{_N}) tokens? and your request has (?P<input>{_N}) input tokens",
    (
        rf"maximum context length is (?P<window>{_N}) tokens?\. however, you "
        rf"requested {_N} output tokens and your "
        rf"prompt contains (?:at least )?(?P<input>{_N}) input tokens"
    ),
    rf"prompt \(length (?P<input>{_N})\) is longer than the maximum model length of (?P<window>{_N})",
    rf"input length \((?P<input>{_N})\) exceeds (?:the )?model's maximum context length \((?P<window>{_N})\)",
    rf"maximum context length is (?P<window>{_N})",
    r"exceeds the context window of this model",
    # SGLang
    (
        rf"the input \((?P<input>{_N}) tokens\) is longer than the model's "
        rf"context length \((?P<window>{_N}) tokens\)"
    ),
    rf"maximum context length of (?P<window>{_N}) tokens.*?(?P<input>{_N}) tokens from the input",
    # Mistral
    (
        rf"prompt contains (?P<input>{_N}) tokens.*?too large for model with "
        rf"(?P<window>{_N}) maximum context length"
    ),
    rf"exceeds (?:the )?model'?s? (?:maximum )?context (?:length|window)(?: of (?P<window>{_N}))?",
    # Gemini
    (
        rf"input token count (?:\((?P<input>{_N})\) )?exceeds the maximum number of tokens allowed "
        rf"\(?(?P<window>{_N})\)?"
    ),
    r"exceeds the maximum number of tokens",
    # llama.cpp
    rf"request \((?P<input>{_N}) tokens\) exceeds the available context size \((?P<window>{_N}) tokens\)",
    r"exceeds the available context size",
    # Ollama, LM Studio
    r"exceeds? (?:the |maximum |max )*context (?:length|size)",
    r"prompt too long; exceeded (?:max )?context",
    rf"the model is loaded with context length of only (?P<window>{_N}) tokens",
    r"initial prompt is greater than the context length",
    # xAI
    rf"maximum prompt length is (?P<window>{_N}) but the request contains (?P<input>{_N}) tokens",
    # Groq and OpenAI: one request above the tokens of a minute can never pass
    rf"request too large for .*?tokens per min.*?limit:? (?P<window>{_N}), requested:? {_N}",
    # Together and other servers on TGI
    rf"`inputs` tokens \+ `max_new_tokens` must be <= (?P<window>{_N})\. given: (?P<input>{_N})",
    rf"`inputs` must have less than (?P<window>{_N}) tokens\. given: (?P<input>{_N})",
    # Cohere, Moonshot, Fireworks, Cerebras, Zhipu, Alibaba, MiniMax
    rf"tokens in the prompt cannot exceed (?P<window>{_N}) - received (?P<input>{_N})",
    rf"exceeded model token limit: (?P<window>{_N})(?: \(requested: {_N}\))?",
    rf"prompt is too long: (?P<input>{_N}), model maximum context length: (?P<window>{_N})",
    rf"current length is (?P<input>{_N}) while limit is (?P<window>{_N})",
    r"prompt exceeds max length",
    rf"range of input length should be \[{_N}, (?P<window>{_N})\]",
    r"context window exceeds limit",
    # Cohere, Volcengine, Bedrock through gateways, and servers with wordings of their own
    r"too many tokens: size limit exceeded",
    r"tokens[^.]{0,40} exceeds? max (?:message|input) tokens(?! per)",
    r"input tokens exceeds? (?:the )?max(?:imum)? length",
    rf"input length (?P<input>{_N}) exceeds (?:the )?maximum (?:input )?length (?:of )?(?P<window>{_N})",
    rf"prompt (?:is )?too long: (?P<input>{_N}) > (?P<window>{_N})",
    r"(?:input|prompt) is too long\b",
    r"input length and `?max_tokens`? exceed context limit",
    # OpenAI and Groq, without figures
    r"reduce the length of the messages",
    r"prompt is too long|string too long",
)
_VAGUE = re.compile(r"request (?:entity |body |is )?too large|payload too large", re.IGNORECASE)
"""Also the words of servers that only count bytes."""
_OUTPUT_WORDINGS = (
    # Anthropic
    rf"max_tokens: {_N} > (?P<output>{_N}), which is the maximum allowed number of output tokens",
    # OpenAI, Azure
    (
        rf"max_(?:completion_)?tokens is too large: {_N}\. this model supports "
        rf"at most (?P<output>{_N}) completion"
    ),
    # Gemini, Groq, DeepSeek, Bedrock
    rf"`?max_(?:completion_|output_)?tokens`? must be less than or equal to `?(?P<output>{_N})`?",
    rf"range of max_tokens (?:is|should be) \[{_N}, (?P<output>{_N})\]",
    rf"maximum tokens you requested exceeds the model limit of (?P<output>{_N})",
)
_CODES = frozenset(
    {
        "context_length_exceeded",  # OpenAI, Groq, Cerebras, Azure
        "exceed_context_size_error",  # llama.cpp
        "request_too_large",  # Anthropic: a body of too many bytes
        "string_above_max_length",  # OpenAI: a message of too many characters
        "model_context_window_exceeded",
    }
)
"""Types and codes of error objects that mean a request that is too long."""
_WINDOW = tuple(re.compile(wording, re.IGNORECASE | re.DOTALL) for wording in _WINDOW_WORDINGS)
_OUTPUT = tuple(re.compile(wording, re.IGNORECASE) for wording in _OUTPUT_WORDINGS)
_LEAST_WINDOW_TOKENS, _LARGEST_TOKENS = 256, 10**9
_TOO_LARGE = 413
_READ_CHARACTERS = 2_000
"""Of an error message, whose figures stand at its beginning: a server may send any text."""


def length_refusal(status: int, error: Mapping[str, Any], message: str) -> LengthRefusal | None:
    """Return what an error response says about the request's length; ``None`` if it is about something else.

    *error* is the provider's error object. A refusal with status 413 is one whatever it says. Figures that
    cannot be a window are dropped.
    """
    message = message[:_READ_CHARACTERS]
    for pattern in _OUTPUT:
        if (match := pattern.search(message)) is not None:
            return LengthRefusal(output_limit_tokens=_figure(match, "output"))
    for pattern in _WINDOW:
        if (match := pattern.search(message)) is not None:
            return LengthRefusal(_window(_figure(match, "window")), _input(match))
    if any(str(error.get(key)).lower() in _CODES for key in ("type", "code")):
        window, given = error.get("n_ctx"), error.get("n_prompt_tokens")  # llama.cpp
        has_window, has_input = type(window) is int, type(given) is int
        return LengthRefusal(
            _window(window) if has_window else None, given if has_input else None, is_certain=has_window
        )
    if status == _TOO_LARGE or (400 <= status < 500 and _VAGUE.search(message)):
        return LengthRefusal(is_certain=False)
    return None


def _input(match: re.Match[str]) -> int | None:
    given, total, asked = (_figure(match, name) for name in ("input", "total", "asked"))
    if given is None and total is not None and asked is not None and asked < total:
        return total - asked
    return given


def _figure(match: re.Match[str], name: str) -> int | None:
    found = match.groupdict().get(name)
    digits = re.sub(r"\D", "", found or "")
    return int(digits) if digits and len(digits) < 12 else None


def _window(tokens: int | None) -> int | None:
    return tokens if tokens is not None and _LEAST_WINDOW_TOKENS <= tokens <= _LARGEST_TOKENS else None
