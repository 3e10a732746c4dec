"""What both services refuse, each in its own shape of error, and nothing of it is billed."""

import copy

import aiohttp
import pytest

from sunwell.simulator import ModelPrice, ModelRates, Simulator, echo

CLAUDE = {"model": "claude-haiku-5-5", "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]}
CHAT = {"model": "gpt-6-luna", "messages": [{"role": "user", "content": "hi"}]}
VERSION = {"anthropic-version": "2026-10-21", "x-api-key": "k"}
BEARER = {"authorization": "Bearer k"}
TOOL = {"name": "t", "input_schema": {"type": "object"}}
FUNCTION = {"type": "function", "function": {"name": "t"}}
USE = {"type": "tool_use", "id": "c1", "name": "t", "input": {}}
RESULT = {"type": "tool_result", "tool_use_id": "c1", "content": "x"}
OTHER_RESULT = RESULT | {"tool_use_id": "c2"}
TEXT = {"type": "text", "text": "and?"}
CALL = {"id": "c1", "type": "function", "function": {"name": "t", "arguments": "{}"}}
MARK = {"cache_control": {"type": "ephemeral"}}
HOUR = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
OPEN = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
CLOSED = OPEN | {"additionalProperties": False}
BOUNDED = CLOSED | {"properties": {"a": {"type": "integer", "minimum": 1}}}


@pytest.fixture
async def ask():
    """Post a body and return status and parsed answer; in the end only what was answered is billed."""
    async with Simulator() as sim, aiohttp.ClientSession(sim.url) as session:

        async def post(path, body, headers):
            async with session.post(path, json=body, headers=headers) as response:
                return response.status, await response.json()

        yield post
        assert sim.bill.total_usd() == sum(
            entry.usd for entry in sim.bill.entries() if entry.why == "answered"
        )


def talk(*contents, **more) -> dict:
    roles = ("user", "assistant")
    messages = [{"role": roles[i % 2], "content": content} for i, content in enumerate(contents)]
    return {"messages": messages, "tools": [TOOL], **more}


def system(*blocks) -> dict:
    return {"system": [{"type": "text", "text": "s", **block} for block in blocks]}


def shaped(schema) -> dict:
    return {"output_config": {"format": {"type": "json_schema", "schema": schema}}}


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param({"max_tokens": None}, "max_tokens: Field required", id="no-limit"),
        pytest.param({"max_tokens": -1}, "max_tokens", id="negative-limit"),
        pytest.param({"temperature": 1}, "temperature", id="temperature"),
        pytest.param({"top_p": 1}, "top_p", id="top-p"),
        pytest.param({"made_up": 1}, "made_up: Extra inputs", id="unknown-field"),
        pytest.param({"messages": []}, "at least one message", id="no-messages"),
        pytest.param(talk(""), "non-whitespace", id="empty-text"),
        pytest.param(talk([]), "non-empty content", id="no-blocks"),
        pytest.param(talk("a", "b"), "prefill", id="prefill"),
        pytest.param({"messages": [{"role": "user", "content": "a"}] * 3}, "alternate", id="not-alternating"),
        pytest.param(talk("a", [USE], "b"), "without `tool_result`", id="no-result"),
        pytest.param(talk("a", [USE], [OTHER_RESULT]), "unexpected `tool_use_id`", id="unknown-id"),
        pytest.param(talk("a", [USE], [TEXT, RESULT]), "before any text", id="late-result"),
        pytest.param(talk("a", [USE], [RESULT, RESULT]), "single result", id="two-results"),
        pytest.param(talk("a", [USE, USE], [RESULT]), "unique", id="same-ids"),
        pytest.param(talk("a", [USE | {"id": ""}], [RESULT]), "pattern", id="empty-id"),
        pytest.param(talk("a", [USE | {"input": "x"}], [RESULT]), "object", id="input-no-object"),
        pytest.param(talk("a", [USE], [RESULT], tools=[]), "must define tools", id="no-tools"),
        pytest.param({"tools": [TOOL, TOOL]}, "unique", id="same-tools"),
        pytest.param({"tools": [TOOL | {"name": "a b"}]}, "pattern", id="tool-name"),
        pytest.param({"tools": [{"name": "t"}]}, "input_schema", id="tool-schema"),
        pytest.param({"tool_choice": {"type": "auto"}}, "tool_choice", id="choice-without-tools"),
        pytest.param(system(MARK, MARK, MARK, MARK) | MARK, "maximum of 4", id="five-breakpoints"),
        pytest.param(system(MARK, HOUR), "must not come after", id="hour-after-five-minutes"),
        pytest.param({"output_config": {"effort": "huge"}}, "effort", id="effort"),
        pytest.param(shaped(OPEN), "additionalProperties", id="open-object"),
        pytest.param(shaped(BOUNDED), "minimum", id="minimum"),
        pytest.param({"thinking": {"type": "enabled", "budget_tokens": 9}}, "1024", id="thinking-budget"),
        pytest.param(talk("a", [{"type": "thinking", "thinking": "x", "signature": "y"}], "b"), "signature",
                     id="forged-thinking"),
    ],
)  # fmt: skip
async def test_anthropic_refuses(ask, change, part):
    """What the service does not take is a 400 of type invalid_request_error that names it."""
    body = {name: value for name, value in {**CLAUDE, **change}.items() if value is not None}
    status, answer = await ask("/v1/messages", body, VERSION)
    assert (status, answer["type"], answer["error"]["type"]) == (400, "error", "invalid_request_error")
    assert part in answer["error"]["message"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(system(MARK, MARK, MARK) | MARK, id="four-breakpoints"),
        pytest.param(system(HOUR, MARK), id="hour-before-five-minutes"),
        pytest.param(talk("a", [USE], [RESULT, TEXT]), id="text-after-result"),
        pytest.param(shaped(CLOSED), id="closed-object"),
        pytest.param({"model": "claude-haiku-5-5-20261001"}, id="dated-model"),
    ],
)
async def test_anthropic_takes(ask, change):
    """What stands just inside the rules is answered."""
    status, _ = await ask("/v1/messages", {**CLAUDE, **change}, VERSION)
    assert status == 200


@pytest.mark.parametrize(("window", "status"), [(7, 200), (6, 400)], ids=["just-fits", "one-too-few"])
async def test_a_prompt_must_fit_the_window(window, status):
    """A prompt longer than the model's window is refused."""
    prices = {"m": ModelPrice(ModelRates(1, 1), context_window=window)}
    async with (
        Simulator({"m": echo}, prices) as sim,
        aiohttp.ClientSession(sim.url) as session,
        session.post("/v1/messages", json=CLAUDE | {"model": "m"}, headers=VERSION) as response,
    ):
        assert response.status == status


async def test_an_older_version_takes_a_temperature(ask):
    """Sampling parameters are refused only from the version on that dropped them."""
    headers = VERSION | {"anthropic-version": "2023-06-01"}
    assert (await ask("/v1/messages", CLAUDE | {"temperature": 1}, headers))[0] == 200


def chat(*messages) -> dict:
    return {"messages": list(messages), "tools": [FUNCTION]}


USER, ASSISTANT = (
    {"role": "user", "content": "a"},
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
)
ANSWER = {"role": "tool", "tool_call_id": "c1", "content": "x"}


def called(call_id="c1", **function) -> dict:
    """An assistant message with a call that is not as it should be."""
    return ASSISTANT | {"tool_calls": [CALL | {"id": call_id, "function": CALL["function"] | function}]}


def strict(schema) -> dict:
    return {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "n", "strict": True, "schema": schema},
        }
    }


@pytest.mark.parametrize(
    ("change", "part"),
    [
        pytest.param({"messages": []}, "empty array", id="no-messages"),
        pytest.param(chat(USER, ASSISTANT), "must be followed by tool messages", id="no-answer"),
        pytest.param(chat(USER, ASSISTANT, USER), "must be followed by tool messages", id="user-in-between"),
        pytest.param(chat(USER, ANSWER), "must be a response to a preceding", id="stray-answer"),
        pytest.param(chat(USER, ASSISTANT, ANSWER, ANSWER), "must be a response", id="answered-twice"),
        pytest.param(chat(USER | {"content": None}), "expected a string", id="null-content"),
        pytest.param(
            chat(USER, ASSISTANT | {"tool_calls": [CALL | {"id": ""}]}), "need an id", id="empty-id"
        ),
        pytest.param(
            chat(USER, called(arguments='{"path": "src'), ANSWER), "JSON object", id="cut-arguments"
        ),
        pytest.param(chat(USER, called(arguments="[]"), ANSWER), "JSON object", id="arguments-no-object"),
        pytest.param(chat(USER, called(name="a.b"), ANSWER), "function.name", id="called-name"),
        pytest.param(chat(USER, called(call_id="c" * 41), ANSWER), "maximum length 40", id="long-id"),
        pytest.param(chat({"role": "robot", "content": "a"}), "robot", id="role"),
        pytest.param({"tools": []}, "too short", id="empty-tools"),
        pytest.param({"tool_choice": "auto"}, "tool_choice", id="choice-without-tools"),
        pytest.param({"max_tokens": 1, "max_completion_tokens": 1}, "same time", id="two-limits"),
        pytest.param({"max_tokens": 0}, "max_tokens", id="no-output"),
        pytest.param({"reasoning_effort": "huge"}, "huge", id="effort"),
        pytest.param({"n": 2}, "one choice", id="choices"),
        pytest.param({"stream_options": {}}, "stream", id="options-without-stream"),
        pytest.param(strict(OPEN), "additionalProperties", id="open-object"),
        pytest.param(strict(CLOSED | {"required": []}), "every property", id="optional-property"),
        pytest.param(strict({"type": "array", "items": CLOSED}), "root", id="array-at-the-root"),
    ],
)
async def test_openai_refuses(ask, change, part):
    """What the service does not take is a 400 of type invalid_request_error that names it."""
    status, answer = await ask("/v1/chat/completions", {**CHAT, **change}, BEARER)
    assert (status, answer["error"]["type"]) == (400, "invalid_request_error")
    assert part in answer["error"]["message"]


@pytest.mark.parametrize(
    "change", [chat(USER, ASSISTANT, ANSWER), strict(CLOSED)], ids=["answered-call", "closed"]
)
async def test_openai_takes(ask, change):
    """What stands just inside the rules is answered."""
    assert (await ask("/v1/chat/completions", {**CHAT, **change}, BEARER))[0] == 200


SAID = {"type": "message", "role": "assistant", "content": "a"}
LISTED = SAID | {"content": [{"type": "output_text", "text": "a", "annotations": []}]}
FUNCTION_CALL = {"type": "function_call", "call_id": "c1", "name": "t", "arguments": "{}"}
OUTPUT = {"type": "function_call_output", "call_id": "c1", "output": "x"}


@pytest.mark.parametrize(
    ("item", "part"),
    [
        pytest.param(
            {"type": "reasoning", "id": "rs_1", "summary": []}, "'rs_1' not found", id="by-id-alone"
        ),
        pytest.param(LISTED, "input[1].id", id="list-without-id"),
        pytest.param(LISTED | {"id": "msg_1"}, "input[1].status", id="list-without-status"),
        pytest.param(SAID | {"phase": "early"}, "phase", id="unknown-phase"),
        pytest.param(FUNCTION_CALL | {"arguments": '{"a'}, "JSON object", id="cut-arguments"),
        pytest.param(FUNCTION_CALL | {"name": "a b"}, "input[1].name", id="called-name"),
        pytest.param(FUNCTION_CALL | {"call_id": "c" * 65}, "maximum length 64", id="long-id"),
        pytest.param(SAID, None, id="plain-text"),
        pytest.param(SAID | {"phase": "commentary"}, None, id="phase"),
        pytest.param(LISTED | {"id": "msg_1", "status": "completed"}, None, id="whole-message"),
        pytest.param(FUNCTION_CALL, None, id="call"),
    ],
)
async def test_responses_take_back_what_they_sent_alone(ask, item, part):
    """Items that are not whole, or were never sent, are a 400 that names them."""
    after = [OUTPUT | {"call_id": item["call_id"]}] if "call_id" in item else []
    body = {"model": "gpt-6-luna", "input": [USER, item, *after], "store": False}
    status, answer = await ask("/v1/responses", body, BEARER)
    assert status == (200 if part is None else 400)
    assert part is None or part in answer["error"]["message"]


@pytest.mark.parametrize(
    ("dialect", "change", "part"),
    [
        pytest.param("gemini", {}, "missing a thought_signature", id="gemini-unsigned"),
        pytest.param(
            "gemini",
            {"extra_content": {"google": {"thought_signature": "x"}}},
            "not valid",
            id="gemini-forged",
        ),
        pytest.param("openrouter", {}, "reasoning_details: Required", id="openrouter"),
        pytest.param("deepseek", {}, "Missing `reasoning_content`", id="deepseek"),
        pytest.param("mistral", {}, "length of 9", id="mistral-id"),
        pytest.param("mistral", {"id": "abcDEF123"}, None, id="mistral-nine"),
    ],
)
async def test_dialects_want_back_what_they_sent(dialect, change, part):
    """A call without signature, reasoning or an id of the server's kind is a 400."""
    call = CALL | change
    answer = ANSWER | {"tool_call_id": call["id"]}
    body = {**CHAT, **chat(USER, ASSISTANT | {"tool_calls": [call]}, answer)}
    async with (
        Simulator(dialect=dialect) as sim,
        aiohttp.ClientSession(sim.url) as session,
        session.post("/v1/chat/completions", json=body, headers=BEARER) as response,
    ):
        assert response.status == (200 if part is None else 400)
        assert part is None or part in (await response.json())["error"]["message"]


@pytest.mark.parametrize("path", ["/v1/messages", "/v1/messages/count_tokens", "/v1/chat/completions"])
async def test_unknown_models_and_missing_keys(ask, path):
    """No key is a 401, a model that is not offered a 404, a body that is no object a 400."""
    body = copy.deepcopy(CLAUDE if "messages" in path else CHAT)
    headers = VERSION if "messages" in path else BEARER
    seen = [
        (await ask(path, body, {"anthropic-version": "2026-10-21"}))[0],
        (await ask(path, body | {"model": "nameless"}, headers))[0],
        (await ask(path, [body], headers))[0],
    ]
    assert seen == [401, 404, 400]


@pytest.mark.parametrize(
    "headers", [{"x-api-key": "k"}, {"Authorization": "Bearer k"}], ids=["x-api-key", "bearer"]
)
async def test_both_headers_carry_a_key(ask, headers):
    """Either way of sending a key is accepted."""
    assert (await ask("/v1/messages", CLAUDE, headers | {"anthropic-version": "2026-10-21"}))[0] == 200


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"thinking": "Both files are needed!"}, id="other-text"),
        pytest.param({"signature": "A" * 44}, id="other-signature"),
        pytest.param({"note": "x"}, id="more-fields"),
    ],
)
async def test_an_altered_thinking_block_is_refused(claude, change):
    """Thinking that comes back otherwise than it went out is a 400."""
    import anthropic

    asked = {**CLAUDE, "max_tokens": 99, "tools": [TOOL]}
    first = (await claude.messages.create(**asked)).model_dump(exclude_none=True)["content"]
    results = [
        {"type": "tool_result", "tool_use_id": b["id"], "content": "x"}
        for b in first
        if b["type"] == "tool_use"
    ]
    turns = [
        *CLAUDE["messages"],
        {"role": "assistant", "content": first},
        {"role": "user", "content": results},
    ]
    await claude.messages.create(**{**asked, "messages": turns})
    first[0] |= change
    with pytest.raises(anthropic.BadRequestError, match="signature"):
        await claude.messages.create(**{**asked, "messages": turns})
