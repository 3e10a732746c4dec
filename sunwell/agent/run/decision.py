"""Whether a task is delegated, and what each way would cost: one computation for runs and forecasts."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Self

import attrs

from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.agent.policy.estimator import estimate_output_tokens
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.core.model import ModelProtocol, ToolSpec
from sunwell.core.price import DelegationDecision, Price, Quote
from sunwell.gateway.booking import DEFAULT_OUTPUT_TOKENS
from sunwell.models.prices import PriceBook
from sunwell.models.tokens import estimate_tokens

quote_once = lru_cache(maxsize=16)(quote)
"""A quote follows from its inputs alone, so a run takes the one that its forecast has made."""


@attrs.frozen
class PricedModel:
    """What the decision knows of a model; a price of ``None`` is unknown."""

    name: str
    price: Price | None

    @classmethod
    def of(cls, model: ModelProtocol, prices: PriceBook) -> Self:
        """Return *model* with its price in *prices*."""
        return cls(model.name, prices.price(model))


@attrs.frozen
class Candidates:
    """The models of the three roles; they may be the same."""

    smart: PricedModel
    own: PricedModel
    """The model that does the task if it is not delegated."""
    worker: PricedModel


def decide(
    task: str,
    config: LoopConfig,
    models: Candidates,
    *,
    system_prompt: str | None = None,
    tools: Sequence[ToolSpec] = (),
    tokens_left: int | None = None,
) -> tuple[DelegationDecision, Quote]:
    """Return whether *task* is delegated, and the quote that the decision rests on.

    Args:
        config: Gives the threshold, the estimator and the limits that bound the worst case.
        system_prompt: The caller's instructions; every turn reads them.
        tools: What every turn is told of tools.
        tokens_left: Tokens that the run may still use; ``None`` means no limit.
    """
    estimate, threshold = config.estimator or estimate_output_tokens, config.delegation_threshold_tokens
    estimated = estimate(task)
    texts = [task, system_prompt or ""]
    for spec in tools:
        texts += (spec.description, spec.schema_text)
    shape = Shape(
        prompt_tokens=estimate_tokens("\n".join(texts)),
        max_lens_tokens=config.max_lens_tokens,
        max_turns=config.budget.turns or DEFAULT_TURNS,
        max_output_tokens=config.max_output_tokens or DEFAULT_OUTPUT_TOKENS,
    )
    made = quote_once(estimated, Prices(models.smart.price, models.own.price, models.worker.price), shape)
    if models.worker.name == models.smart.name:
        name = models.worker.name
        reason = f"{name} would both write the lens and do the work: name a cheaper delegation model"
        return DelegationDecision(False, reason, estimated, threshold, tokens_left), made
    decision = should_use_delegation(task, estimated, tokens_left, threshold_tokens=threshold, quote=made)
    return decision, made
