"""What a task would be, before anything is asked."""

from decimal import Decimal
from pathlib import Path

import pytest

from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.price import Price, Rates
from sunwell.errors import UnknownModelError
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from sunwell.testing import ScriptedModel

CRUD = "Generate CRUD endpoints for 5 entities"
DEAR, CHEAP = Price(Rates(Decimal(10), Decimal(50))), Price(Rates(Decimal("0.1"), Decimal("0.5")))


def foretold(workspace: Path, registry: ModelRegistry, goal: str = CRUD, **options):
    """Return the forecast for *goal* with the smart model dear and the cheap one cheap."""
    chosen = {
        "smart_model": ScriptedModel("smart", [], price=DEAR),
        "delegation_model": ScriptedModel("cheap", [], price=CHEAP),
        **options,
    }
    return forecast(SessionContext.build(workspace, goal, RunOptions(**chosen)), registry=registry)


def test_the_way_that_is_taken_is_the_decisions(tmp_path: Path, registry: ModelRegistry) -> None:
    """A large task is delegated and quoted so; a small one is not."""
    large = foretold(tmp_path, registry)
    assert large.decision
    assert large.chosen is large.quote.delegated
    assert (large.smart_model, large.own_model, large.delegation_model) == ("smart", "smart", "cheap")
    small = foretold(tmp_path, registry, "Fix a typo in user profiles page")
    assert not small.decision
    assert small.chosen is small.quote.direct


def test_names_need_no_key(tmp_path: Path, registry: ModelRegistry) -> None:
    """Built-in names are priced without a key; a registered name stands for its own model."""
    registry.register("haiku-at-home", ScriptedModel("home", [], price=CHEAP))
    made = foretold(tmp_path, registry, smart_model="opus", delegation_model="haiku-at-home")
    assert (made.smart_model, made.delegation_model) == ("claude-opus-5-5", "home")
    assert made.quote.delegated.expected_usd is not None
    assert not (tmp_path / ".sunwell").exists()


def test_a_registered_name_goes_before_an_alias(tmp_path: Path, registry: ModelRegistry) -> None:
    """``opus`` is whatever the user made of it, here as in a run."""
    registry.register("opus", ScriptedModel("my-opus", [], price=DEAR))
    assert foretold(tmp_path, registry, smart_model="opus").smart_model == "my-opus"


def test_one_model_does_not_delegate_to_itself(tmp_path: Path, registry: ModelRegistry) -> None:
    """Without a delegation model the reason names what is missing."""
    made = foretold(tmp_path, registry, delegation_model=None)
    assert not made.decision
    assert "name a cheaper delegation model" in made.decision.reason


def test_an_unknown_price_leaves_the_sides_unknown(tmp_path: Path, registry: ModelRegistry) -> None:
    """A side with a model without a price has no figures."""
    made = foretold(tmp_path, registry, delegation_model=ScriptedModel("mystery", []))
    assert made.quote.delegated.expected_usd is None
    assert made.quote.direct.expected_usd is not None


def test_the_budget_counts(tmp_path: Path, registry: ModelRegistry) -> None:
    """A budget that does not hold a lens vetoes delegation."""
    made = foretold(tmp_path, registry, budget=Budget(tokens=500))
    assert not made.decision
    assert made.decision.budget_remaining == 500


def test_a_name_that_means_nothing_is_an_error(tmp_path: Path, registry: ModelRegistry) -> None:
    """It lists what is known."""
    with pytest.raises(UnknownModelError, match="haiku"):
        foretold(tmp_path, registry, smart_model="gigamind")


def test_the_estimator_is_replaceable(tmp_path: Path, registry: ModelRegistry) -> None:
    """Any function from a task to a number of tokens decides in its place."""
    made = foretold(tmp_path, registry, estimator=len)
    assert (made.decision.estimated_tokens, bool(made.decision)) == (len(CRUD), False)
