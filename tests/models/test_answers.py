"""Stop words, usage and stated costs are read alike in every wire format, and fail closed."""

import json
from decimal import Decimal
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import Text
from sunwell.core.model import Completion, Delta, Usage
from sunwell.models import anthropic_messages, openai_chat, openai_responses
from sunwell.models.answers import ErrorInAnswer, ThoughtSplitter, stop_of
from sunwell.models.usage import stated_cost_usd, usage_of

GOOD = {
    "stop": "end",
    "end_turn": "end",
    "eos": "end",
    "eos_token": "end",
    "stop_sequence": "end",
    "STOP": "end",
    "tool_use": "tool_calls",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
INCOMPLETE = {
    "length": "length",
    "max_tokens": "length",
    "MAX_TOKENS": "length",
    "content_filter": "refusal",
    "content_filter: SAFETY": "refusal",
    "refusal": "refusal",
    "model_context_window_exceeded": "window",
    "abort": "other",
    "insufficient_system_resource": "other",
    "stop: but not really": "other",
    "a word of tomorrow": "other",
    "": "other",
}


def chat(usage=None, *, choice=None, **fields):
    """Return a whole answer of Chat Completions that says "half an answer"."""
    body = {"message": {"role": "assistant", "content": "half an answer"}, "finish_reason": "stop"}
    told = usage or {"prompt_tokens": 10, "completion_tokens": 5}
    return json.dumps({"model": "m", "choices": [body | (choice or {})], "usage": told} | fields).encode()


def messages(usage=None, **fields):
    """Return a whole answer of Messages."""
    told = usage or {"input_tokens": 10, "output_tokens": 5}
    body = {"model": "m", "content": [{"type": "text", "text": "half an answer"}], "usage": told}
    return json.dumps({"stop_reason": "end_turn"} | body | fields).encode()


def responses(usage=None, **fields):
    """Return a whole answer of Responses."""
    content = [{"type": "output_text", "text": "half an answer"}]
    told = usage or {"input_tokens": 10, "output_tokens": 5}
    body = {"model": "m", "output": [{"type": "message", "content": content}], "usage": told}
    return json.dumps({"status": "completed"} | body | fields).encode()


@pytest.mark.parametrize(("word", "stop"), [*GOOD.items(), *INCOMPLETE.items()])
def test_only_known_words_end_an_answer_well(word, stop):
    """Gateways pass on the words of others, so Chat and Messages know the same words."""
    assert openai_chat.read_answer(chat(choice={"finish_reason": word}), "asked").stop == stop
    got = anthropic_messages.read_answer(messages(stop_reason=word), "asked")
    assert (got.stop, got.provider_stop) == (stop, word)


@pytest.mark.parametrize("value", [None, 7, ["stop"], {"reason": "stop"}, True])
def test_what_is_not_a_word_does_not_end_an_answer_well(value):
    """``null`` is what servers say before an answer is finished."""
    assert stop_of({"reason": value}, "reason", is_body=True)[0] == "other"


def test_a_body_without_a_stop_word_has_ended_well():
    """Some servers leave it out; a stream must say that it has ended."""
    assert stop_of({}, "reason", is_body=True) == ("end", "")
    assert stop_of({}, "reason", is_body=False) == ("other", "")


@given(st.text(max_size=40))
def test_no_other_word_ends_an_answer_well(word):
    """Whatever a provider invents, only the list counts."""
    stop, _ = stop_of({"reason": word}, "reason", is_body=True)
    assert (stop in ("end", "tool_calls")) == (word.strip().lower() in GOOD)


@pytest.mark.parametrize(
    ("fields", "stop", "said"),
    [
        pytest.param({"status": "incomplete", "incomplete_details": None}, "other", "incomplete", id="none"),
        pytest.param(
            {"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}},
            "length",
            "max_output_tokens",
            id="length",
        ),
        pytest.param({"status": "cancelled"}, "other", "cancelled", id="cancelled"),
        pytest.param({"status": "in_progress"}, "other", "in_progress", id="in-progress"),
        pytest.param({"status": None}, "other", "", id="null"),
        pytest.param({"status": "something new"}, "other", "something new", id="unknown"),
    ],
)
def test_a_response_that_is_not_completed_did_not_end_well(fields, stop, said):
    """The whole answer has come, so it is read and not asked for again."""
    got = openai_responses.read_answer(responses(**fields), "asked")
    assert (got.stop, got.provider_stop, got.text) == (stop, said, "half an answer")


ERRORS = [
    pytest.param(openai_chat, chat(choice={"finish_reason": "error"}), id="chat-word"),
    pytest.param(openai_chat, chat(choice={"error": {"code": 502, "message": "died"}}), id="chat-choice"),
    pytest.param(openai_chat, chat(error={"message": "died"}), id="chat-beside-choices"),
    pytest.param(anthropic_messages, messages(stop_reason="error"), id="messages-word"),
    pytest.param(anthropic_messages, messages(error={"message": "died"}), id="messages-beside-content"),
    pytest.param(openai_responses, responses(status="failed", error={"message": "died"}), id="responses"),
    pytest.param(openai_responses, responses(status="failed"), id="responses-without-error"),
    pytest.param(openai_responses, responses(error={"message": "died"}), id="responses-completed"),
]


@pytest.mark.parametrize(("reading", "body"), ERRORS)
def test_an_error_with_an_answer_keeps_what_was_billed(reading, body):
    """Half an answer of a provider that failed is no answer, and its usage is booked."""
    with pytest.raises(ErrorInAnswer) as caught:
        reading.read_answer(body, "asked")
    assert caught.value.answer.usage == Usage(10, 5)


def test_an_error_in_a_stream_waits_for_the_usage():
    """OpenRouter reports the error in a choice and the usage in the chunk after it."""
    reader = openai_chat.ChunkReader("asked")
    chunks = [
        {"model": "m", "choices": [{"delta": {"content": "half an ans"}}]},
        {"choices": [{"delta": {}, "finish_reason": "error", "error": {"code": 502, "message": "died"}}]},
        {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}},
    ]
    for chunk in chunks:
        reader.take(json.dumps(chunk).encode())
    with pytest.raises(ErrorInAnswer) as caught:
        reader.completion()
    assert (caught.value.error["message"], caught.value.answer.usage) == ("died", Usage(10, 5))


def test_a_failed_response_in_a_stream_keeps_its_usage():
    """The event carries the whole response, and with it what was billed."""
    reader = openai_responses.ResponseReader("asked")
    failed = {"error": {"message": "died"}, "output": [], "usage": {"input_tokens": 10, "output_tokens": 5}}
    reader.take(json.dumps({"type": "response.failed", "response": failed}).encode())
    with pytest.raises(ErrorInAnswer) as caught:
        reader.completion()
    assert caught.value.answer.usage == Usage(10, 5)


def test_the_name_of_the_last_event_goes_before_a_status_that_says_better():
    """An incomplete response does not become a complete one by its status."""
    reader = openai_responses.ResponseReader("asked")
    response = json.loads(responses())
    reader.take(json.dumps({"type": "response.incomplete", "response": response}).encode())
    assert reader.completion().stop == "other"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        pytest.param((10, 5), Usage(10, 5), id="plain"),
        pytest.param((10, 5, 15), Usage(10, 5), id="total-agrees"),
        pytest.param((307, 26, 560, 227), Usage(307, 253, reasoning_tokens=227), id="xai"),
        pytest.param((307, 26, None, 227), Usage(307, 253, reasoning_tokens=227), id="reasoning-no-total"),
        pytest.param((35, 12, 109), Usage(35, 74), id="gemini"),
        pytest.param((35, None, 109), Usage(35, 74), id="output-in-the-total-alone"),
        pytest.param((10, 5, 12), Usage(10, 5), id="total-too-small"),
        pytest.param((None, 5, 12), None, id="no-input"),
        pytest.param((10, None), None, id="no-output"),
    ],
)
def test_output_is_at_least_the_total_less_the_input(told, expected):
    """The dearer reading counts where the figures contradict each other."""
    input_tokens, output_tokens, *more = told
    total, reasoning = [*more, None, None][:2]
    got = usage_of(input_tokens, output_tokens, total_tokens=total, reasoning_tokens=reasoning)
    assert got.usage == expected


def test_cached_tokens_beside_the_input_are_added_to_it():
    """A gateway that counts like Anthropic in a Chat answer: more is cached than was put in."""
    got = usage_of(10, 5, cache_read_tokens=100, cache_write_tokens=20).usage
    assert got == Usage(130, 5, cache_read_tokens=100, cache_write_tokens=20)
    assert got.uncached_input_tokens == 10


counts = st.integers(0, 10**6)
perhaps = st.none() | counts


@given(counts, counts, perhaps, perhaps, perhaps, perhaps)
def test_no_reading_is_cheaper_than_any_figure_says(prompt, output, total, read, written, reasoning):
    """Reasoning is within the output, the cache within the input, and the total within both."""
    got = usage_of(
        prompt,
        output,
        total_tokens=total,
        cache_read_tokens=read,
        cache_write_tokens=written,
        reasoning_tokens=reasoning,
    ).usage
    assert got.output_tokens >= max(output, (total or 0) - prompt)
    assert got.reasoning_tokens <= got.output_tokens
    assert got.input_tokens >= max(prompt, (read or 0) + (written or 0))
    assert got.total_tokens >= (total or 0)


ZEROS = [
    pytest.param(openai_chat, chat({"prompt_tokens": 0, "completion_tokens": 0}), id="chat-all"),
    pytest.param(openai_chat, chat({"prompt_tokens": 9, "completion_tokens": 0}), id="chat-output"),
    pytest.param(openai_chat, chat({"prompt_tokens": 0, "completion_tokens": 9}), id="chat-input"),
    pytest.param(anthropic_messages, messages({"input_tokens": 0, "output_tokens": 0}), id="messages-all"),
    pytest.param(openai_responses, responses({"input_tokens": 0, "output_tokens": 0}), id="responses-all"),
]


@pytest.mark.parametrize(("reading", "body"), ZEROS)
def test_usage_of_zero_tokens_is_usage_that_did_not_come(reading, body):
    """No prompt is without tokens, and no answer with text in it."""
    assert reading.read_answer(body, "asked").usage is None


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        pytest.param({"cost": 0.0123}, "0.0123", id="openrouter"),
        pytest.param({"cost": "0.0123"}, "0.0123", id="as-text"),
        pytest.param({"cost": 0}, "0", id="nothing"),
        pytest.param({"cost_in_usd_ticks": 1497500}, "0.00014975", id="xai"),
        pytest.param({"cost": {"input_tokens_cost": 1, "total_cost": 1.5}}, "1.5", id="perplexity"),
        pytest.param(
            {"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.2}},
            "0.21",
            id="own-key",
        ),
        pytest.param(
            {"cost": 0.2, "is_byok": False, "cost_details": {"upstream_inference_cost": 0.2}},
            "0.2",
            id="their-key",
        ),
        pytest.param({"cost": -1}, None, id="negative"),
        pytest.param({"cost": "NaN"}, None, id="nan"),
        pytest.param({"cost": "Infinity"}, None, id="infinite"),
        pytest.param({"cost": True}, None, id="bool"),
        pytest.param({"cost": "free"}, None, id="word"),
        pytest.param({}, None, id="none"),
        pytest.param(None, None, id="no-usage"),
    ],
)
def test_a_stated_cost_is_read_exactly_or_not_at_all(usage, expected):
    """Dollars come out whatever unit the provider states them in."""
    assert stated_cost_usd(usage) == (None if expected is None else Decimal(expected))


@pytest.mark.parametrize(
    ("reading", "body"),
    [
        (openai_chat, chat({"prompt_tokens": 10, "completion_tokens": 5, "cost": 0.5})),
        (anthropic_messages, messages({"input_tokens": 10, "output_tokens": 5, "cost": 0.5})),
        (openai_responses, responses({"input_tokens": 10, "output_tokens": 5, "cost": 0.5})),
    ],
)
def test_every_wire_format_keeps_a_stated_cost(reading, body):
    """Gateways state it in whatever format they speak."""
    got = reading.read_answer(body, "asked")
    assert got == Completion(
        (Text("half an answer"),),
        "end",
        Usage(10, 5),
        "m",
        got.provider_stop,
        "",
        stated_cost_usd=Decimal("0.5"),
    )


@pytest.mark.parametrize(
    "failing",
    [
        pytest.param({"error": {"message": "died"}}, id="beside-no-choices"),
        pytest.param({"choices": [], "error": {"message": "died"}}, id="beside-empty-choices"),
        pytest.param({"choices": [{"delta": {"error": {"message": "died"}}}]}, id="in-the-delta"),
    ],
)
def test_an_error_after_text_in_a_stream_is_booked_with_the_usage_that_follows(failing):
    """Half an answer is paid, wherever the chunk has the error."""
    reader = openai_chat.ChunkReader("asked")
    usage = {"choices": [], "usage": {"prompt_tokens": 10, "completion_tokens": 5}}
    for chunk in ({"choices": [{"delta": {"content": "half"}}]}, failing, usage):
        reader.take(json.dumps(chunk).encode())
    with pytest.raises(ErrorInAnswer) as caught:
        reader.completion()
    assert (caught.value.error, caught.value.answer.usage) == ({"message": "died"}, Usage(10, 5))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(
            chat(choice={"message": {"content": "half", "error": {"message": "died"}}}), id="message"
        ),
        pytest.param(chat(choices=None, error={"message": "died"}), id="without-choices"),
    ],
)
def test_an_error_in_any_place_of_an_answer_keeps_what_was_billed(body):
    """The answer is no answer, and its usage is booked."""
    with pytest.raises(ErrorInAnswer) as caught:
        openai_chat.read_answer(body, "asked")
    assert caught.value.answer.usage == Usage(10, 5)


def test_an_error_after_the_stop_reason_of_a_message_keeps_what_was_billed():
    """The usage has come by then; before it, all that was reserved stays booked."""
    reader = anthropic_messages.MessageReader("asked")
    start = {"model": "m", "stop_reason": None, "usage": {"input_tokens": 10, "output_tokens": 1}}
    failed = json.dumps({"type": "error", "error": {"message": "died"}}).encode()
    reader.take(json.dumps({"type": "message_start", "message": start}).encode())
    with pytest.raises(ErrorInAnswer) as caught:
        reader.take(failed)
    assert caught.value.answer is None
    end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 5}}
    reader.take(json.dumps(end).encode())
    with pytest.raises(ErrorInAnswer) as caught:
        reader.take(failed)
    assert caught.value.answer.usage == Usage(10, 5)


@pytest.mark.parametrize("kind", ["message", "function_call"])
def test_a_response_with_an_incomplete_item_did_not_end_well(kind):
    """Half a call is not carried out, whatever the response as a whole says."""
    item = {"type": kind, "status": "incomplete", "call_id": "1", "name": "write_file", "arguments": "{}"}
    body = responses(status="completed", output=[item])
    assert openai_responses.read_answer(body, "asked").stop == "other"


def test_a_response_that_was_cancelled_in_a_stream_is_not_asked_for_again():
    """The event ends the stream, with the whole answer in it."""
    reader = openai_responses.ResponseReader("asked")
    event = {"type": "response.cancelled", "response": json.loads(responses(status="completed"))}
    reader.take(json.dumps(event).encode())
    assert (reader.done, reader.completion().stop) == (True, "other")


@pytest.mark.parametrize(
    ("reading", "body", "usage"),
    [
        pytest.param(
            anthropic_messages,
            messages({"input_tokens": 10, "output_tokens": 5, "total_tokens": 100}),
            Usage(10, 90),
            id="messages-total",
        ),
        pytest.param(
            openai_chat,
            chat({"prompt_tokens": 10, "completion_tokens": 5, "reasoning_tokens": 50}),
            Usage(10, 55, reasoning_tokens=50),
            id="chat-reasoning-at-the-top",
        ),
        pytest.param(
            openai_chat,
            chat({"prompt_tokens": 10, "completion_tokens": 5, "cache_creation_input_tokens": 9}),
            Usage(10, 5, cache_write_tokens=9),
            id="chat-cache-write-at-the-top",
        ),
    ],
)
def test_usage_in_the_shapes_of_gateways_is_read_at_its_dearest(reading, body, usage):
    """Gateways that stand before several providers keep some of the other formats' names."""
    assert reading.read_answer(body, "asked").usage == usage


THOUGHT = "<think>\nTwo and two.\n</think>\n\nFour <think>not a mark here</think>"
WITH_THOUGHTS = [
    pytest.param(openai_chat.read_answer, chat(choice={"message": {"content": THOUGHT}}), id="chat"),
    pytest.param(
        anthropic_messages.read_answer, messages(content=[{"type": "text", "text": THOUGHT}]), id="messages"
    ),
    pytest.param(
        openai_responses.read_answer,
        responses(output=[{"type": "message", "content": [{"type": "output_text", "text": THOUGHT}]}]),
        id="responses",
    ),
]


@pytest.mark.parametrize(("reading", "body"), WITH_THOUGHTS)
def test_thinking_between_marks_is_not_the_answer(reading, body):
    """In every wire format; only at the beginning, and never sent back."""
    thought, answer = reading(body, "asked").parts
    assert (thought.text, thought.raw, thought.origin) == ("Two and two.", "", "text")
    assert answer.text == "Four <think>not a mark here</think>"


@pytest.mark.parametrize(
    ("text", "finish", "expected"),
    [
        pytest.param("<think>Two and", "length", "", id="cut-off"),
        pytest.param("<think> is a tag", "stop", "<think> is a tag", id="never-closed"),
        pytest.param("The mark <think>a</think>", "stop", "The mark <think>a</think>", id="later"),
        pytest.param(" <think>a</think>b", "stop", "b", id="after-a-space"),
    ],
)
def test_other_text_with_marks_is_the_answer(text, finish, expected):
    """Unless the message was cut off while the model was still thinking."""
    body = chat(choice={"message": {"content": text}, "finish_reason": finish})
    assert openai_chat.read_answer(body, "asked").text == expected


@given(st.text("<think>/ab \n", max_size=30), st.lists(st.integers(0, 30), max_size=6))
def test_a_stream_shows_thinking_apart_wherever_it_is_cut(text, cuts):
    """Nothing of the text is lost, and what is shown does not depend on the pieces."""

    def shown(pieces):
        splitter = ThoughtSplitter()
        deltas = [*(splitter.split(Delta(text=piece)) for piece in pieces), splitter.end()]
        return "".join(delta.text for delta in deltas).strip(), "".join(delta.thinking for delta in deltas)

    edges = [0, *sorted(min(cut, len(text)) for cut in cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(edges)]
    whole = shown([text])
    assert shown(pieces) == whole
    begun, expected = text.lstrip(), text
    if begun.startswith("<think>"):
        thought, _, answer = begun.removeprefix("<think>").partition("</think>")
        expected = answer + thought
    assert "".join("".join(whole).split()) == "".join(expected.split())
