"""Prices come by exact id, as the installed table has them, and unknown is ``None``."""

import copy
import datetime
import pickle
import time
from decimal import Decimal

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.core import Price, Rates, Usage
from sunwell.errors import RequestTooLong
from sunwell.models.anthropic_messages import AnthropicModel
from sunwell.models.catalog import ALIASES
from sunwell.models.connection import Connection
from sunwell.models.http_model import Tuning
from sunwell.models.prices import PriceBook, price_per_token, price_table
from sunwell.models.room import ModelLimits
from sunwell.testing import ScriptedModel, completion

DAY = datetime.date(2026, 11, 21)
BOOK = PriceBook(on=DAY)
OURS = Price(Rates(Decimal(1), Decimal(2)), source="ours", date="2026-11-01")


@attrs.define(eq=False)
class Adapter(ScriptedModel):
    """A model that says its provider and id, as adapters do."""

    model_id: str = attrs.field(kw_only=True)
    provider: str | None = attrs.field(default=None, kw_only=True)


def figures(rates: Rates) -> tuple[str, ...]:
    return tuple("" if usd is None else f"{usd.normalize():f}" for usd in attrs.astuple(rates))


@pytest.mark.parametrize(
    ("model_id", "at_base", "tier"),
    [
        ("claude-fable-5-2", ("8", "40", "0.2", "10", "16"), None),
        ("claude-opus-5-5", ("4", "20", "0.2", "5", "8"), None),
        ("claude-sonnet-5-5", ("2", "10", "0.1", "2.5", "4"), None),
        (
            "claude-haiku-5-5",
            ("0.1", "0.5", "0.01", "0.125", "0.2"),
            (100_000, ("0.5", "2.5", "0.05", "0.625", "1")),
        ),
        ("gpt-6.1-sol", ("2", "10", "0.1", "2.5", ""), (272_000, ("4", "15", "0.2", "5", ""))),
        ("gpt-6-luna", ("0.1", "0.5", "0.01", "0.125", ""), (272_000, ("0.2", "0.75", "0.02", "0.25", ""))),
        ("claude-opus-4-6", ("5", "25", "0.5", "6.25", "10"), None),
        ("gpt-4o-mini", ("0.15", "0.6", "0.075", "", ""), None),
    ],
)
def test_current_models_cost_what_their_providers_list(model_id, at_base, tier):
    """The installed table agrees with the providers' lists: input, output, cache read and writes, tier."""
    price = BOOK.price_of(model_id)
    assert price is not None
    assert figures(price.rates) == at_base
    assert [(step.above_input_tokens, figures(step.rates)) for step in price.tiers] == (
        [tier] if tier else []
    )
    assert price.source.startswith("genai-prices ")
    assert price.date == BOOK.date


@pytest.mark.parametrize("target", sorted(set(ALIASES.values())))
def test_every_alias_has_a_price(target):
    """A built-in alias stands for a model whose price and window are known."""
    price = BOOK.price_of(target)
    assert price is not None
    assert (price.context_window or 0) > 100_000


def test_the_table_has_a_date():
    """The date that stands beside every figure is a day in ISO form, not after the table's release."""
    assert datetime.date(2026, 1, 1) <= datetime.date.fromisoformat(BOOK.date)


@pytest.mark.parametrize(
    ("written", "same_as"),
    [
        ("claude-haiku-5-5-20260901", "claude-haiku-5-5"),
        ("claude-haiku-5-5@20260901", "claude-haiku-5-5"),
        ("claude-haiku-5-5-2026-09-01", "claude-haiku-5-5"),
        ("claude-haiku-5.5", "claude-haiku-5-5"),
        ("anthropic/Claude-Haiku-5.5", "claude-haiku-5-5"),
        ("anthropic/claude-haiku-5-5", "claude-haiku-5-5"),
        ("claude-opus-4.6", "claude-opus-4-6"),
        ("claude-opus-4-6", "claude-opus-4.6"),
        ("gpt-6-1-sol", "gpt-6.1-sol"),
        ("gpt-6-luna-2026-10-01", "gpt-6-luna"),
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
    ],
)
def test_an_id_with_a_date_is_that_model(written, same_as):
    """A date at the end, a dot or a hyphen, capitals and the provider's name change no price."""
    assert BOOK.price_of(written) == BOOK.price_of(same_as)
    assert BOOK.price_of(written) is not None


@pytest.mark.parametrize(
    "model_id",
    [
        "claude-haiku-5.5-giga",
        "claude-haiku-5-5-giga",
        "claude-haiku-5-5-20261301",
        "claude-haiku-5-5-2026",
        "claude-haiku-5-55",
        "claude-haiku-5",
        "claude-haiku",
        "claude-",
        "gpt-4o-mini-turbo",
        "gpt-6-luna-giga",
        "gpt-6",
        "gpt-6-luna-2026-10-01-2026-10-01",
        "xgpt-6-luna",
        "opus",
        "scripted",
        "",
    ],
)
def test_nearly_the_same_is_unknown(model_id):
    """An id that only begins like a known one has no price, and neither has a bare alias."""
    assert BOOK.price_of(model_id) is None
    assert BOOK.price_of(model_id, "anthropic") is None


def test_a_model_is_not_priced_as_its_neighbour():
    """``gpt-4o-mini-2024-07-18`` costs what the mini costs; a dated id of its own keeps its own price."""
    dated, mini, full = map(BOOK.price_of, ("gpt-4o-mini-2024-07-18", "gpt-4o-mini", "gpt-4o"))
    first = BOOK.price_of("gpt-4o-2024-05-13")
    assert dated == mini != full
    assert first is not None
    assert first != full


@pytest.mark.parametrize(
    ("provider", "model_id", "known"),
    [
        pytest.param("openai", "gpt-6-luna", True, id="its-own"),
        pytest.param("anthropic", "gpt-6-luna", False, id="another-maker"),
        pytest.param("azure", "gpt-6-luna", True, id="cloud-at-the-makers-price"),
        pytest.param("xai", "grok-4", True, id="another-name-of-the-provider"),
        pytest.param("vllm", "gpt-6-luna", False, id="own-server"),
        pytest.param("my-openai-proxy", "gpt-6-luna", False, id="provider-nearly-the-same"),
        pytest.param("fireworks", "gpt-oss-120b", False, id="heading-that-no-request-can-name"),
    ],
)
def test_the_provider_decides(provider, model_id, known):
    """A price holds for the provider that it is listed for, not for everyone who serves the model."""
    assert (BOOK.price_of(model_id, provider) is not None) == known


def test_prices_change_on_their_day():
    """A price that starts on a day does not hold on the day before."""
    before = PriceBook(on=datetime.date(2026, 8, 20)).price_of("gpt-5.6-sol")
    after = PriceBook(on=datetime.date(2026, 8, 21)).price_of("gpt-5.6-sol")
    assert before is not None
    assert after is not None
    assert (before.rates.input_usd, after.rates.input_usd) == (Decimal(5), Decimal(4))


def test_a_price_by_the_hour_is_the_dearest():
    """Where a price depends on the hour, the dearest is taken and the source says so."""
    price = BOOK.price_of("deepseek/deepseek-chat")
    assert price is not None
    assert price.rates.input_usd == Decimal("0.27")
    assert "most expensive hour" in price.source


def test_writes_for_an_hour_are_filled_in_for_claude():
    """Where the table lacks a Claude's rate of cache writes for an hour, it is twice the input's."""
    price = BOOK.price_of("claude-3-opus", "google")
    assert price is not None
    assert price.rates.cache_write_1h_usd == 2 * price.rates.input_usd
    assert "twice the input price" in price.source


@pytest.mark.parametrize("model_id", ["perplexity/sonar", "openai/text-embedding-3-small"])
def test_what_tokens_do_not_decide_is_unknown(model_id):
    """A price with a fee per request, or without a rate for output, cannot be had from tokens."""
    assert BOOK.price_of(model_id) is None


def test_own_prices_go_first():
    """The caller's price holds by name, by id and by provider/id, before all others."""
    known = Adapter("fast", [], BOOK.price_of("gpt-4o"), model_id="gpt-6-luna", provider="openai")
    for name in ("fast", "gpt-6-luna", "openai/gpt-6-luna", "OpenAI/GPT-6-luna"):
        assert PriceBook({name: OURS}).price(known) is OURS
    for name in ("faster", "gpt-6-luna-giga", "azure/gpt-6-luna"):
        assert PriceBook({name: OURS}).price(known) is known.price
    assert PriceBook({"gpt-6-luna": OURS}).price_of("gpt-6-luna-2026-10-01") is OURS
    assert PriceBook({"openai/gpt-6-luna": OURS}).price_of("gpt-6-luna") is OURS
    assert PriceBook({"gpt-6-luna": OURS}).price_of("openai/gpt-6-luna") is OURS
    assert PriceBook({"azure/gpt-6-luna": OURS}).price_of("gpt-6-luna") == BOOK.price_of("gpt-6-luna")


def test_an_own_price_must_be_a_price():
    """A number where a price belongs is refused at once, with the model's name."""
    with pytest.raises(TypeError, match="the price of 'gpt-6-luna' must be a Price"):
        PriceBook({"gpt-6-luna": Decimal(1)})  # type: ignore[dict-item]


def test_the_order_of_sources():
    """A model's own price goes before the table; without either it is looked up by provider and id."""
    stated = Adapter("fast", [], OURS, model_id="gpt-6-luna", provider="openai")
    silent = Adapter("fast", [], model_id="gpt-6-luna", provider="openai")
    elsewhere = Adapter("gpt-6-luna", [], model_id="gpt-6-luna", provider="vllm")
    assert BOOK.price(stated) is OURS
    assert BOOK.price(silent) == BOOK.price_of("gpt-6-luna")
    assert BOOK.price(elsewhere) is None
    assert BOOK.price(ScriptedModel("gpt-6-luna", [])) == BOOK.price_of("gpt-6-luna")
    assert BOOK.price(ScriptedModel("scripted", [])) is None


@pytest.mark.parametrize(
    ("answered", "expected"),
    [
        pytest.param("fast", OURS, id="by-name"),
        pytest.param("gpt-6-luna", OURS, id="by-id"),
        pytest.param("gpt-6-luna-2026-10-01", OURS, id="id-with-a-date"),
        pytest.param("gpt-6-sol", BOOK.price_of("gpt-6-sol"), id="a-dearer-model"),
        pytest.param("gpt-4o-mini", OURS, id="a-cheaper-model"),
        pytest.param("gpt-6-luna-giga", None, id="an-unknown-one"),
    ],
)
def test_the_dearer_of_the_called_and_the_answering_model_is_booked(answered, expected):
    """A date is no difference; what is unknown stays unknown; any other model is told."""
    asked = Adapter("fast", [], OURS, model_id="gpt-6-luna", provider="openai")
    usage = Usage(1_000_000, 1_000_000)
    got = BOOK.priced(asked, completion("x", usage=usage, model=answered))
    assert got.cost_usd == (None if expected is None else expected.cost_usd(usage))
    assert (answered in got.note) == (answered in ("gpt-6-sol", "gpt-4o-mini", "gpt-6-luna-giga"))


def test_a_look_up_is_cheap_after_the_first():
    """A price that was looked up once is the same object again, in well under a millisecond."""
    book = PriceBook(on=DAY)
    first = book.price_of("claude-opus-5-5")
    began = time.perf_counter()
    for _ in range(1_000):
        assert book.price_of("claude-opus-5-5") is first
    assert time.perf_counter() - began < 0.5


@pytest.mark.parametrize("input_tokens", [1_000, 100_001, 2_000_000])
def test_every_price_costs_what_the_table_says(input_tokens):
    """For each model of the table, usage costs what the package itself makes of it, or nothing is said."""
    from genai_prices import Usage as TheirUsage
    from genai_prices.data_snapshot import get_snapshot

    table, noon = price_table(), datetime.datetime.combine(DAY, datetime.time(12), datetime.UTC)
    usage = Usage(input_tokens, 700, input_tokens // 2, input_tokens // 4)
    theirs = TheirUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cache_read_tokens,
        cache_write_tokens=usage.cache_write_tokens,
    )
    compared = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            price = table.price(provider.id, model.id, DAY)
            if price is not None and "most expensive hour" not in price.source:
                expected = model.calc_price(theirs, provider, genai_request_timestamp=noon).total_price
                assert (provider.id, model.id, price.cost_usd(usage)) == (provider.id, model.id, expected)
                compared += 1
    assert compared > 1_000


def test_figures_per_token():
    """Figures for one token mean the numbers as written, without what floats add to them."""
    price = price_per_token(0.00005, "0.00015", cached_input_usd=0.000005, context_window=64_000)
    assert figures(price.rates) == ("50", "150", "5", "", "")
    assert price.context_window == 64_000


def test_each_node_of_a_tree_at_its_own_rate():
    """A parent's 1,000 + 500 tokens cost 35, a child's 2,000 + 1,000 on a cheaper model cost 7."""
    book = PriceBook({"parent": price_per_token(0.01, 0.05), "child": price_per_token("0.001", "0.005")})
    parent, child = book.price_of("parent"), book.price_of("child")
    assert parent is not None
    assert child is not None
    assert parent.cost_usd(Usage(1_000, 500)) == Decimal("35.0")
    assert child.cost_usd(Usage(2_000, 1_000)) == Decimal("7.0")


PRICED = ["claude-opus-5-5", "claude-haiku-5-5", "gpt-6.1-sol", "gpt-6-luna", "gpt-4o", "claude-sonnet-4-5"]


@st.composite
def usages(draw: st.DrawFn, most: int = 1_000_000) -> Usage:
    parts = [draw(st.integers(0, most // 4)) for _ in range(4)]
    return Usage(sum(parts), draw(st.integers(0, most)), *parts[1:])


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PRICED), usages())
def test_real_prices_behave(model_id, usage):
    """A cost is never negative, reading from a cache never costs more, and the worst rates bound it."""
    price = BOOK.price_of(model_id)
    assert price is not None
    cost = price.cost_usd(usage)
    read = usage.cache_read_tokens
    uncached = attrs.evolve(usage, cache_read_tokens=0)
    input_usd, output_usd = price.worst_rates(usage.input_tokens)
    worst = (usage.input_tokens * input_usd + usage.output_tokens * output_usd) / 1_000_000
    assert 0 <= cost <= price.cost_usd(uncached)
    assert cost <= worst
    assert (cost < price.cost_usd(uncached)) == (read > 0)


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(PRICED), usages(50_000), usages(50_000))
def test_cost_adds_up_below_a_tier(model_id, one, other):
    """Below the first tier two requests cost what one with the tokens of both would cost."""
    price = BOOK.price_of(model_id)
    assert price is not None
    assert price.cost_usd(one + other) == price.cost_usd(one) + price.cost_usd(other)


def test_terms_follow_what_they_rest_on():
    """Price and room are worked out once for a model; whatever changes them later counts at once."""
    book, model = PriceBook(on=DAY), AnthropicModel("claude-haiku-5-5", Connection("anthropic"))
    before = book.room(model)
    assert book.room(model) is before
    assert before.window_tokens == book.price(model).context_window != 9_000
    refusal = RequestTooLong(model.name, "too long", window_tokens=9_000, output_limit_tokens=500)
    book.limits.learn(model, refusal)
    assert (book.room(model).window_tokens, book.room(model).output_tokens) == (9_000, 500)
    assert book.price(model).context_window == 9_000
    model.tuning = Tuning(max_output_tokens=100)
    assert book.room(model).output_tokens == 100
    assert book.room(model, 50).output_tokens == 50
    book.limits = ModelLimits(windows={model.name: 7_000})
    assert book.price_and_room(model)[1].window_tokens == 7_000


def test_a_model_that_says_another_price_is_asked_again():
    """A model of the caller's own may change its price between calls."""
    model, book = Adapter("m", [], model_id="x"), PriceBook()
    model.price = OURS
    assert book.price(model) == OURS
    model.price = Price(Rates(Decimal(3), Decimal(4)))
    assert book.price(model).rates.input_usd == 3


def test_a_book_is_copied_and_pickled_without_the_models_that_it_was_asked_about():
    """A model may have a key, which no pickle may hold."""
    model = AnthropicModel("claude-haiku-5-5", Connection("anthropic", api_key="a-key-of-mine"))
    book = PriceBook({"x": OURS}, on=DAY)
    price = book.price(model)
    for other in (pickle.loads(pickle.dumps(book)), copy.deepcopy(book)):
        assert other.price(model) == price
        assert other.price_of("x") == OURS
        assert other.room(model) == book.room(model)
