"""A request that is too long: each provider's words are known, and the figures in them are learned."""

import json
from typing import Any

import pytest

from sunwell.errors import BadRequest, RateLimited, RequestTooLong
from sunwell.models.connection import Connection
from sunwell.models.failures import Failures

CHAT = {"type": "invalid_request_error", "code": None, "param": None}


def refused(status: int, body: Any) -> Any:
    """Return the error for a response with *status* and *body*, as JSON unless it is bytes."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    shape: Any = "anthropic" if isinstance(body, dict) and body.get("type") == "error" else "openai"
    return Failures("m-1", Connection("lab", "http://lab.test", "key"), shape).from_status(status, {}, data)


def openai(message: str, **fields: Any) -> dict[str, Any]:
    """Return an error object in the shape of OpenAI and compatible servers."""
    return {"error": CHAT | {"message": message} | fields}


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    """Return an error object in Anthropic's shape."""
    return {"type": "error", "error": {"type": kind, "message": message}}


WORDINGS = [
    pytest.param(
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, you "
            "requested 8230 tokens (38 in the "
            "messages, 8192 in the completion). Please reduce the length of the messages or completion.",
            code="context_length_exceeded",
        ),
        (8192, 38, None),
        id="openai-chat",
    ),
    pytest.param(
        400,
        openai(
            "This model's maximum context length is 8192 tokens. However, you "
            "requested 9392 tokens (900 in the "
            "messages, 300 in the functions, and 8192 in the completion).",
            code="context_length_exceeded",
        ),
        (8192, 1200, None),
        id="openai-chat-with-functions",
    ),
    pytest.param(
        400,
        openai(
            "This model's maximum context length is 128000 tokens. However, your messages resulted in 130001 "
            "tokens. Please reduce the length of the messages.",
            code="context_length_exceeded",
        ),
        (128000, 130001, None),
        id="openai-chat-messages",
    ),
    pytest.param(
        400,
        openai(
            "Your input exceeds the context window of this model. Please adjust your input and try again.",
            code="context_length_exceeded",
        ),
        (None, None, None),
        id="openai-responses",
    ),
    pytest.param(
        400,
        openai(
            "Invalid 'messages[1].content': string too long. Expected a string with maximum length 10485760.",
            code="string_above_max_length",
        ),
        (None, None, None),
        id="openai-characters",
    ),
    pytest.param(
        429,
        openai(
            "Request too large for gpt-6-luna in organization org-1 on tokens per min (TPM): Limit 30000, "
            "Requested 40000. The input or output tokens must be reduced in order to run successfully.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
        (30000, None, None),
        id="openai-tokens-a-minute",
    ),
    pytest.param(
        400,
        openai(
            "max_tokens is too large: 100000. This model supports at most "
            "16384 completion tokens, whereas you "
            "provided 100000.",
        ),
        (None, None, 16384),
        id="openai-output",
    ),
    pytest.param(
        400,
        anthropic("prompt is too long: 208310 tokens > 200000 maximum"),
        (200000, 208310, None),
        id="anthropic",
    ),
    pytest.param(
        400,
        anthropic(
            "input length and `max_tokens` exceed context limit: 188240 + "
            "21333 > 200000, decrease input length "
            "or `max_tokens` and try again"
        ),
        (200000, 188240, None),
        id="anthropic-with-answer",
    ),
    pytest.param(
        400,
        anthropic(
            "max_tokens: 100000 > 64000, which is the maximum allowed number of "
            "output tokens for claude-opus-5-5"
        ),
        (None, None, 64000),
        id="anthropic-output",
    ),
    pytest.param(
        413,
        anthropic("Request exceeds the maximum size", "request_too_large"),
        (None, None, None),
        id="anthropic-bytes",
    ),
    pytest.param(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "The input token count (1200000) exceeds the maximum "
                    "number of tokens allowed (1048576).",
                }
            }
        ],
        (1048576, 1200000, None),
        id="gemini",
    ),
    pytest.param(
        400,
        [
            {
                "error": {
                    "code": 400,
                    "status": "INVALID_ARGUMENT",
                    "message": "The input token count exceeds the maximum number of tokens allowed 1048576.",
                }
            }
        ],
        (1048576, None, None),
        id="gemini-without-count",
    ),
    pytest.param(
        400,
        {
            "object": "error",
            "type": "BadRequestError",
            "code": 400,
            "message": "'max_tokens' or 'max_completion_tokens' is too large: 8192. This "
            "model's maximum context length is "
            "4096 tokens and your request has 100 input tokens (8192 > 4096 - 100).",
        },
        (4096, 100, None),
        id="vllm",
    ),
    pytest.param(
        400,
        {
            "object": "error",
            "type": "BadRequestError",
            "code": 400,
            "message": "This model's maximum context length is 4096 tokens. However, "
            "you requested 5000 tokens in the "
            "messages, Please reduce the length of the messages.",
        },
        (4096, None, None),
        id="vllm-messages",
    ),
    pytest.param(
        400,
        openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", code=400),
        (4096, 5000, None),
        id="vllm-decoder",
    ),
    pytest.param(
        400,
        openai("The input (5000 tokens) is longer than the model's context length (4096 tokens).", code=400),
        (4096, 5000, None),
        id="sglang",
    ),
    pytest.param(
        400,
        openai(
            "Requested token count exceeds the model's maximum context length "
            "of 4096 tokens. You requested a "
            "total of 5000 tokens: 1000 tokens from the input messages and 4000 tokens for the completion.",
            code=400,
        ),
        (4096, 1000, None),
        id="sglang-with-answer",
    ),
    pytest.param(
        400,
        {
            "error": {
                "code": 400,
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 4096,
                "message": "request (9000 tokens) exceeds the available context size "
                "(4096 tokens), try increasing it",
            }
        },
        (4096, 9000, None),
        id="llama.cpp",
    ),
    pytest.param(
        400,
        {
            "error": {
                "code": 400,
                "type": "exceed_context_size_error",
                "n_prompt_tokens": 9000,
                "n_ctx": 4096,
                "message": "no",
            }
        },
        (4096, 9000, None),
        id="llama.cpp-fields",
    ),
    pytest.param(
        500,
        openai("the request exceeds the available context size. try increasing the context size", code=500),
        (None, None, None),
        id="llama.cpp-older",
    ),
    pytest.param(
        400, {"error": "input length exceeds maximum context length"}, (None, None, None), id="ollama"
    ),
    pytest.param(
        400,
        openai("prompt too long; exceeded max context length by 123 tokens"),
        (None, None, None),
        id="ollama-chat",
    ),
    pytest.param(
        400,
        {
            "error": "Trying to keep the first 5000 tokens when context overflows. "
            "However, the model is loaded with "
            "context length of only 4096 tokens, which is not enough."
        },
        (4096, None, None),
        id="lmstudio",
    ),
    pytest.param(
        413,
        openai(
            "Request too large for model `llama-5` in organization `org` "
            "service tier `on_demand` on tokens per "
            "minute (TPM): Limit 6000, Requested 7300, please reduce your message size and try again.",
            type="tokens",
            code="rate_limit_exceeded",
        ),
        (6000, None, None),
        id="groq",
    ),
    pytest.param(
        400,
        openai("Please reduce the length of the messages or completion.", code="context_length_exceeded"),
        (None, None, None),
        id="groq-context",
    ),
    pytest.param(
        400,
        openai("`max_tokens` must be less than or equal to `8192`, the maximum value for `max_tokens`"),
        (None, None, 8192),
        id="groq-output",
    ),
    pytest.param(
        400,
        {
            "object": "error",
            "type": "invalid_request_error",
            "code": "3051",
            "message": "Prompt contains 40000 tokens and 0 draft tokens, too large for "
            "model with 32768 maximum context length",
        },
        (32768, 40000, None),
        id="mistral",
    ),
    pytest.param(
        400,
        openai(
            "This model's maximum context length is 65536 tokens. However, you "
            "requested 70000 tokens (62000 in "
            "the messages, 8000 in the completion). Please reduce the length of the messages or completion.",
        ),
        (65536, 62000, None),
        id="deepseek",
    ),
    pytest.param(
        400,
        openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"),
        (None, None, 8192),
        id="deepseek-output",
    ),
    pytest.param(
        400,
        {
            "code": "invalid-argument",
            "error": "This model's maximum prompt length is 131072 but the request contains 140000 tokens.",
        },
        (131072, 140000, None),
        id="xai",
    ),
    pytest.param(
        400,
        openai(
            "This endpoint's maximum context length is 65536 tokens. However, "
            "you requested about 70000 tokens "
            "(62000 of text input, 8000 in the output). Please reduce the length of either one.",
            code=400,
        ),
        (65536, 62000, None),
        id="openrouter",
    ),
    pytest.param(400, openai("Input is too long for requested model."), (None, None, None), id="bedrock"),
    pytest.param(
        400,
        openai("Too many input tokens. Max input tokens: 200000, request input token count: 250000"),
        (200000, 250000, None),
        id="bedrock-tokens",
    ),
    pytest.param(
        422,
        openai(
            "Input validation error: `inputs` tokens + `max_new_tokens` must "
            "be <= 8193. Given: 9000 `inputs` "
            "tokens and 512 `max_new_tokens`",
        ),
        (8193, 9000, None),
        id="together",
    ),
    pytest.param(
        400,
        openai("Invalid request: Your request exceeded model token limit: 8192 (requested: 9000)"),
        (8192, None, None),
        id="moonshot",
    ),
    pytest.param(
        400,
        openai("The prompt is too long: 5000, model maximum context length: 4096"),
        (4096, 5000, None),
        id="fireworks",
    ),
    pytest.param(
        400,
        {
            "type": "invalid_request_error",
            "code": "context_length_exceeded",
            "message": "Please reduce the length of the messages or completion. Current "
            "length is 9000 while limit is 8192",
        },
        (8192, 9000, None),
        id="cerebras",
    ),
    pytest.param(
        400,
        openai("Range of input length should be [1, 30720]"),
        (30720, None, None),
        id="alibaba",
    ),
    pytest.param(
        400, openai("Input length 9000 exceeds maximum length 4096"), (4096, 9000, None), id="input-length"
    ),
    pytest.param(400, openai("prompt too long: 9000 > 4096"), (4096, 9000, None), id="prompt-too-long"),
    pytest.param(
        400, openai("The input is too long. Max 4096 tokens"), (None, None, None), id="input-too-long"
    ),
    pytest.param(
        400, openai("input length and max_tokens exceed context limit"), (None, None, None), id="no-figures"
    ),
    pytest.param(
        400,
        openai("too many tokens: size limit exceeded by 5000 tokens."),
        (None, None, None),
        id="cohere-size",
    ),
    pytest.param(
        400,
        openai("Total tokens of image and text exceed max message tokens"),
        (None, None, None),
        id="volcengine",
    ),
    pytest.param(
        400,
        openai("Input Tokens Exceeded: Number of input tokens exceeds maximum length"),
        (None, None, None),
        id="bedrock-gateway",
    ),
]


@pytest.mark.parametrize(("status", "body", "figures"), WORDINGS)
def test_a_request_that_is_too_long_is_known_by_its_words(status, body, figures):
    """The figures are those in the words; nothing was billed, and the same request is not sent again."""
    error = refused(status, body)
    assert isinstance(error, RequestTooLong)
    assert (error.window_tokens, error.input_tokens, error.output_limit_tokens) == figures
    assert not error.may_be_billed
    assert not error.retry


@pytest.mark.parametrize(
    ("status", "body"),
    [
        pytest.param(413, b"<html>413 Request Entity Too Large</html>", id="proxy"),
        pytest.param(413, b"", id="no-body"),
        pytest.param(400, b"payload too large", id="words-of-a-proxy"),
    ],
)
def test_a_body_that_a_proxy_refuses_is_too_long_as_well(status, body):
    """A shorter one may pass. Who refused it is not known, so it counts as uncertain."""
    error = refused(status, body)
    assert isinstance(error, RequestTooLong)
    assert error.window_tokens is None
    assert error.may_be_billed


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        pytest.param(400, openai("tools: too many tools, at most 128"), BadRequest, id="tools"),
        pytest.param(
            400, openai("max_tokens is not supported, use max_completion_tokens"), BadRequest, id="field"
        ),
        pytest.param(
            400, openai("tools.0.name: String should have at most 64 characters"), BadRequest, id="name"
        ),
        pytest.param(429, openai("Rate limit reached: tokens per min: Limit 30000"), RateLimited, id="rate"),
    ],
)
def test_other_refusals_are_not_about_the_window(status, body, kind):
    """Making the conversation shorter would not help."""
    assert type(refused(status, body)) is kind


def test_a_figure_that_cannot_be_a_window_is_dropped():
    """A wrong figure would make every conversation too long."""
    error = refused(400, openai("This model's maximum context length is 7 tokens."))
    assert isinstance(error, RequestTooLong)
    assert error.window_tokens is None
