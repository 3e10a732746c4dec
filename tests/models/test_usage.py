"""Each preset's own report of usage, recorded or from its documentation, is read for what it means."""

import json

import pytest

from sunwell.core.model import Usage
from sunwell.models import anthropic_messages, openai_chat, openai_responses
from sunwell.models.catalog import PRESETS, preset_names, usage_dialect_of, vendor_of
from sunwell.models.connection import Connection
from sunwell.models.prices import price_table
from sunwell.models.usage import ANY_CHAT, UsageDialect, usage_of

ANSWER = {"choices": [{"message": {"content": "hello"}, "finish_reason": "stop"}], "model": "m"}

REPORTS = {
    "anthropic": (
        {
            "input_tokens": 21,
            "cache_creation_input_tokens": 1_886,
            "cache_read_input_tokens": 4_000,
            "cache_creation": {"ephemeral_5m_input_tokens": 1_386, "ephemeral_1h_input_tokens": 500},
            "output_tokens": 393,
            "service_tier": "standard",
        },
        Usage(5_907, 393, 4_000, 1_386, 500),
    ),
    "openai": (
        {
            "input_tokens": 3_075,
            "input_tokens_details": {"cached_tokens": 2_048, "cache_write_tokens": 512},
            "output_tokens": 181,
            "output_tokens_details": {"reasoning_tokens": 128},
            "total_tokens": 3_256,
        },
        Usage(3_075, 181, 2_048, 512, reasoning_tokens=128),
    ),
    "azure": (
        {
            "completion_tokens": 33,
            "completion_tokens_details": {"accepted_prediction_tokens": 0, "reasoning_tokens": 0},
            "prompt_tokens": 1_449,
            "prompt_tokens_details": {"audio_tokens": 0, "cached_tokens": 1_280},
            "total_tokens": 1_482,
        },
        Usage(1_449, 33, 1_280),
    ),
    "xai": (
        {
            "prompt_tokens": 307,
            "completion_tokens": 26,
            "total_tokens": 560,
            "prompt_tokens_details": {"cached_tokens": 306},
            "completion_tokens_details": {"reasoning_tokens": 227},
            "cost_in_usd_ticks": 1_497_500,
        },
        Usage(307, 253, 306, reasoning_tokens=227),
    ),
    "gemini": (
        {"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109},
        Usage(35, 74),
    ),
    "openrouter": (
        {
            "prompt_tokens": 194,
            "completion_tokens": 22,
            "total_tokens": 216,
            "cost": 0.95,
            "is_byok": False,
            "prompt_tokens_details": {"cached_tokens": 100, "cache_write_tokens": 40, "audio_tokens": 0},
            "cost_details": {"upstream_inference_cost": None},
            "completion_tokens_details": {"reasoning_tokens": 10},
        },
        Usage(194, 22, 100, 40, reasoning_tokens=10),
    ),
    "together": (
        {
            "completion_tokens": 34,
            "prompt_tokens": 49,
            "total_tokens": 83,
            "completion_tokens_details": None,
            "prompt_tokens_details": None,
            "cached_tokens": 32,
        },
        Usage(49, 34, 32),
    ),
    "groq": (
        {
            "queue_time": 0.0373,
            "prompt_tokens": 4_641,
            "prompt_time": 0.0009,
            "completion_tokens": 556,
            "completion_time": 0.46,
            "total_tokens": 5_197,
            "total_time": 0.46,
            "prompt_tokens_details": {"cached_tokens": 4_608},
        },
        Usage(4_641, 556, 4_608),
    ),
    "deepseek": (
        {
            "prompt_tokens": 1_200,
            "completion_tokens": 300,
            "total_tokens": 1_500,
            "prompt_cache_hit_tokens": 1_152,
            "prompt_cache_miss_tokens": 48,
            "completion_tokens_details": {"reasoning_tokens": 200},
        },
        Usage(1_200, 300, 1_152, reasoning_tokens=200),
    ),
    "mistral": (
        {
            "prompt_tokens": 1_013,
            "total_tokens": 1_043,
            "completion_tokens": 30,
            "prompt_tokens_details": {"cached_tokens": 1_008},
        },
        Usage(1_013, 30, 1_008),
    ),
    "moonshot": (
        {"prompt_tokens": 8_019, "completion_tokens": 21, "total_tokens": 8_040, "cached_tokens": 7_936},
        Usage(8_019, 21, 7_936),
    ),
    "ollama": ({"prompt_tokens": 26, "completion_tokens": 298, "total_tokens": 324}, Usage(26, 298)),
    "vllm": (
        {
            "prompt_tokens": 40,
            "total_tokens": 57,
            "completion_tokens": 17,
            "prompt_tokens_details": None,
        },
        Usage(40, 17),
    ),
    "lmstudio": ({"prompt_tokens": 20, "completion_tokens": 60, "total_tokens": 80}, Usage(20, 60)),
    "llamacpp": (
        {
            "completion_tokens": 9,
            "prompt_tokens": 44,
            "total_tokens": 53,
            "prompt_tokens_details": {"cached_tokens": 31},
        },
        Usage(44, 9, 31),
    ),
}


def read(name: str, usage: dict[str, object]):
    """Return the answer that reports *usage* in the format and the dialect of the preset *name*."""
    provider = PRESETS[name]
    if provider.kind == "anthropic":
        body = {"content": [{"type": "text", "text": "hello"}], "usage": usage, "stop_reason": "end_turn"}
        return anthropic_messages.read_answer(json.dumps(body).encode(), "m")
    if provider.api == "responses":
        content = [{"type": "output_text", "text": "hello"}]
        body = {"output": [{"type": "message", "content": content}], "usage": usage, "status": "completed"}
        return openai_responses.read_answer(json.dumps(body).encode(), "m")
    return openai_chat.read_answer(json.dumps({**ANSWER, "usage": usage}).encode(), "m", provider.usage)


def test_every_preset_has_a_recorded_report():
    """A preset without one would be a guess."""
    assert REPORTS.keys() == PRESETS.keys()


@pytest.mark.parametrize("name", PRESETS)
def test_a_report_is_read_for_what_the_provider_bills(name):
    """And nothing about it is doubtful."""
    usage, expected = REPORTS[name]
    got = read(name, usage)
    assert (got.usage, got.usage_doubt) == (expected, "")


@pytest.mark.parametrize("name", [name for name in PRESETS if PRESETS[name].kind == "openai"])
def test_an_unknown_server_that_reports_like_a_known_one_is_read_like_it(name):
    """A proxy has a name and an address of its own; only what the total alone tells is told as doubtful."""
    if PRESETS[name].api == "responses":
        return
    usage, expected = REPORTS[name]
    got = ANY_CHAT.read(usage)
    assert got.usage == expected
    assert bool(got.doubt) == (name == "gemini")


@pytest.mark.parametrize("place", ["choice", "x_groq", "usage", "choice-and-usage"])
def test_the_usage_of_a_stream_is_found_where_the_server_puts_it(place):
    """Moonshot: in the choice of the last chunk; Groq: in ``x_groq``; both may report it twice."""
    usage = REPORTS["moonshot"][0]
    last: dict[str, object] = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    chunks = [{"choices": [{"index": 0, "delta": {"content": "hello"}}], "usage": None}, last]
    if "choice" in place:
        last["choices"] = [{"index": 0, "delta": {}, "finish_reason": "stop", "usage": usage}]
    if place == "x_groq":
        last["x_groq"] = {"id": "req_1", "usage": usage}
    if "usage" in place:
        chunks.append({"choices": [], "usage": usage})
    reader = openai_chat.ChunkReader("m")
    for chunk in chunks:
        reader.take(json.dumps(chunk).encode())
    reader.take(b"[DONE]")
    assert reader.completion().usage == REPORTS["moonshot"][1]


@pytest.mark.parametrize(
    ("figures", "expected", "is_doubtful"),
    [
        pytest.param({"output_tokens": 50, "reasoning_tokens": 20}, 50, False, id="within-the-output"),
        pytest.param(
            {"output_tokens": 50, "reasoning_tokens": 20, "is_reasoning_beside": True}, 70, False, id="beside"
        ),
        pytest.param(
            {"output_tokens": 50, "reasoning_tokens": 20, "total_tokens": 170}, 70, False, id="total-proves"
        ),
        pytest.param(
            {
                "output_tokens": 50,
                "reasoning_tokens": 20,
                "total_tokens": 150,
                "is_reasoning_beside": True,
            },
            50,
            False,
            id="total-disproves",
        ),
        pytest.param({"output_tokens": 50, "reasoning_tokens": 80}, 130, True, id="more-than-the-output"),
        pytest.param({"output_tokens": 50, "total_tokens": 190}, 90, True, id="more-in-the-total"),
        pytest.param(
            {"output_tokens": 50, "total_tokens": 190, "is_reasoning_in_total": True}, 90, False, id="gemini"
        ),
        pytest.param({"output_tokens": 50, "total_tokens": 120}, 50, True, id="less-in-the-total"),
        pytest.param(
            {"output_tokens": 50, "reasoning_tokens": 80, "total_tokens": 150}, 130, True, id="impossible"
        ),
    ],
)
def test_figures_that_do_not_fit_together_are_booked_at_the_dearest_and_told(figures, expected, is_doubtful):
    """Input is 100 tokens; what the total proves is not doubtful."""
    got = usage_of(100, **figures)
    assert got.usage is not None
    assert (got.usage.output_tokens, bool(got.doubt)) == (expected, is_doubtful)


def test_two_places_that_disagree_count_as_the_dearer():
    """Fewer cached tokens cost more."""
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 90, "prompt_cache_hit_tokens": 10}
    got = ANY_CHAT.read(usage)
    assert got.usage == Usage(100, 5, cache_read_tokens=10)
    assert "10 and 90" in got.doubt


def test_a_dialect_reads_its_own_places_only():
    """A field of the same name may mean something else with another provider."""
    dialect = UsageDialect(cache_read=("cached_tokens",))
    usage = {"prompt_tokens": 100, "completion_tokens": 5, "cached_tokens": 90, "prompt_cache_hit_tokens": 10}
    assert dialect.read(usage).usage == Usage(100, 5, cache_read_tokens=90)


@pytest.mark.parametrize("name", preset_names())
def test_every_name_of_a_preset_leads_to_its_prices(name):
    """Unless the price table has no provider like it: servers on this machine cost nothing."""
    table = price_table()
    provider = vendor_of(Connection(name))
    assert provider is not None
    ids = provider.price_ids or (provider.name,)
    has_prices = any(one in table._providers for one in ids)
    assert has_prices == provider.needs_key


@pytest.mark.parametrize(
    ("connection", "vendor"),
    [
        pytest.param(Connection("grok"), "xai", id="alias"),
        pytest.param(Connection("lab", "https://api.x.ai/v1"), "xai", id="host"),
        pytest.param(Connection("openai", "https://api.deepseek.com/v1"), "deepseek", id="host-before-name"),
        pytest.param(Connection("lab", "http://127.0.0.1:9/v1", vendor="deepseek"), "deepseek", id="named"),
        pytest.param(Connection("lab", "http://127.0.0.1:9/v1"), None, id="unknown"),
        pytest.param(Connection("lab", "http://[broken/v1"), None, id="no-address"),
    ],
)
def test_the_vendor_of_a_connection(connection, vendor):
    """By the preset that it names, its host, or its name."""
    found = vendor_of(connection)
    assert (found and found.name) == vendor


@pytest.mark.parametrize("url", ["https://api.deepseek.com/v1", "http://127.0.0.1:9/v1"])
@pytest.mark.parametrize("name", ["openai", "deepseek", "lab", "groq"])
def test_a_server_in_the_place_of_a_preset_is_read_by_what_it_reports(name, url):
    """``OPENAI_BASE_URL`` leads to servers of any make: the name says nothing about their usage."""
    report, expected = REPORTS["deepseek"]
    assert usage_dialect_of(Connection(name, url)).read(report).usage == expected


def test_a_proxy_of_a_preset_keeps_what_is_known_about_reasoning():
    """xAI counts reasoning separately from the output, also behind a proxy that leaves out the total."""
    report = {key: value for key, value in REPORTS["xai"][0].items() if key != "total_tokens"}
    proxied = usage_dialect_of(Connection("xai", "http://127.0.0.1:9/v1"))
    assert proxied.read(report).usage == REPORTS["xai"][1]
