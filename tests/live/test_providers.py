"""Real providers with real keys: ``pytest -m live -s``. Deselected by default; prints its price first."""

import os

import pytest

from sunwell.core import Request, user
from sunwell.models.connection import close_clients
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry

pytestmark = pytest.mark.live

MODELS = {"ANTHROPIC_API_KEY": "haiku", "OPENAI_API_KEY": "openai-cheap"}


@pytest.mark.parametrize(("variable", "name"), MODELS.items(), ids=MODELS)
async def test_a_real_model_answers_and_says_what_it_used(variable: str, name: str) -> None:
    """One short question: an answer, its usage, a known price, and a bound that was not passed."""
    assert variable in os.environ, f"set {variable}: without a key nothing is shown"
    model = ModelRegistry().get(name)
    price = PriceBook().price(model)
    assert price is not None
    print(f"{model.name}: about {price.rates.output_usd * 40 / 1_000_000} USD, prices of {price.date}")
    request = Request([user("Say the word lens and nothing else.")], max_output_tokens=1_000)
    completion = await model.complete(request)
    await close_clients()
    assert "lens" in completion.text.lower()
    assert completion.usage is not None
    bound = getattr(model, "input_bound_tokens")(request)  # noqa: B009
    assert completion.usage.input_tokens <= bound
