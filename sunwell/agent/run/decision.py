"""Whether a task is delegated, and what each way would cost: one computation for runs and forecasts."""

import math
from collections.abc import Sequence
from decimal import Decimal
from functools import lru_cache
from typing import Literal, Self

import attrs

from sunwell.agent.policy.cost_model import ASSUMED_LENS_INPUT_TOKENS, Prices, Shape, quote
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.agent.policy.estimator import estimate_output
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.context.options import RunOptions
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ModelProtocol, ToolSpec
from sunwell.core.price import DelegationDecision, OutputEstimate, Price, Quote
from sunwell.errors import ConfigurationError
from sunwell.memory.outcomes import OutcomeCount
from sunwell.models.prices import PriceBook
from sunwell.models.room import DEFAULT_OUTPUT_TOKENS, own_output_tokens
from sunwell.models.tokens import estimate_tokens

REDONE_SHARE = Shape().redone_share
"""Share of delegated work that is assumed to be done again without any outcome."""
quote_once = lru_cache(maxsize=16)(quote)
"""A quote follows from its inputs alone, so a run takes the one that its forecast has made."""


@attrs.frozen
class PricedModel:
    """What the decision knows of a model; a price of ``None`` is unknown."""

    name: str
    price: Price | None
    output_tokens: int = DEFAULT_OUTPUT_TOKENS
    """Longest answer of a turn."""
    lens_output_tokens: int | None = None
    """Longest answer in which it writes a lens; ``None``: as for a model of which nothing is set."""
    lens_prompt_tokens: int | None = None
    """Longest prompt for a lens; ``None``: no limit is known."""

    @classmethod
    def of(cls, model: ModelProtocol, prices: PriceBook, limits: LoopConfig | RunOptions) -> Self:
        """Return *model* with its price in *prices*, and its room under the *limits* of the run."""
        turn = prices.room(model, own_output_tokens(model, limits.max_output_tokens))
        lens = prices.lens_room(model, limits.max_lens_tokens)
        price = prices.price(model)
        return cls(model.name, price, turn.output_tokens, lens.output_tokens, lens.prompt_tokens)


@attrs.frozen
class Candidates:
    """The models of the three roles; they may be the same."""

    smart: PricedModel
    own: PricedModel
    """The loop's own model: it does the task if no delegation model is named."""
    worker: PricedModel

    @property
    def without_lens(self) -> Literal["model", "delegation_model"]:
        """Who does what is not delegated, as the decision tells it."""
        own, worker = self.own, self.worker
        is_dearer = own.price is not None and worker.price is not None and worker.price.is_above(own.price)
        return "model" if worker.name == own.name or is_dearer else "delegation_model"


@attrs.frozen(kw_only=True)
class LensOutlook:
    """What is known of a lens before there is one."""

    given: EphemeralLens | None = None
    """The lens that the run is given: then the task is done under it, and none is written."""
    kept: EphemeralLens | None = None
    """The lens that the store has for it: if the task is delegated, none is written."""
    change_tokens: int | None = None
    """Size of what the smart model reads to say what must change of a kept lens; ``None``: it does not."""
    least_usd: Decimal | None = None
    """Most that writing it and the first call under it can cost; ``None``: unknown."""
    input_tokens: int | None = None
    """Measured size of what the smart model reads for it; ``None``: it is assumed."""
    scout_turns: int = 0
    """Turns in which the smart model may look for itself before it writes it."""


def expected_output(task: str, options: RunOptions) -> OutputEstimate:
    """Return the output that *task* is expected to take, by the estimator of *options*.

    A number gets the range :meth:`OutputEstimate.around` it. Raises
    :exc:`~sunwell.errors.ConfigurationError` if the estimator returns anything else than a number of at
    least 0 or an :class:`~sunwell.core.price.OutputEstimate`.
    """
    if options.estimator is None:
        return estimate_output(task)
    given = options.estimator(task)
    if isinstance(given, OutputEstimate):
        return given
    is_number = isinstance(given, (int, float)) and not isinstance(given, bool)
    if not is_number or not math.isfinite(given) or given < 0:
        raise ConfigurationError(
            f"the estimator returned {given!r}: it must return a number of tokens, 0 or more, or an "
            "OutputEstimate"
        )
    return OutputEstimate.around(round(given))


def may_delegate(
    task: str, output: OutputEstimate, config: LoopConfig, models: Candidates, tokens_left: int | None
) -> bool:
    """Whether the size of the workspace can matter: the price of a lens may still decide against one."""
    threshold = config.delegation_threshold_tokens
    if models.worker.name == models.smart.name:
        return False
    return bool(should_use_delegation(task, output, tokens_left, threshold_tokens=threshold))


def may_choose(config: LoopConfig, models: Candidates) -> bool:
    """Whether something else than words may decide which way a task is done."""
    return config.decide != "words" and models.worker.name != models.smart.name


def decide(
    task: str,
    output: OutputEstimate,
    config: LoopConfig,
    models: Candidates,
    *,
    system: Sequence[str] = (),
    tools: Sequence[ToolSpec] = (),
    tokens_left: int | None = None,
    usd_left: Decimal | None = None,
    lens: LensOutlook = LensOutlook(),
    redone: tuple[Decimal, int] = (REDONE_SHARE, 0),
) -> tuple[DelegationDecision, Quote]:
    """Return whether *task* is delegated by its words and numbers, and the quote that that rests on.

    Args:
        output: What the task is expected to take, see :func:`expected_output`.
        config: Gives the threshold and the limits that bound the worst case.
        system: Sections of the system prompt before a lens; every turn reads them.
        tools: What every turn is told of tools.
        tokens_left: Tokens that the run may still use; ``None`` means no limit.
        usd_left: US dollars that the run may still use; ``None`` means no limit.
        redone: Share of delegated work that is done again, and on how many outcomes it rests.
    """
    threshold = config.delegation_threshold_tokens
    shape = shape_of(task, config, models, system=system, tools=tools, lens=lens)
    shape = attrs.evolve(shape, redone_share=redone[0], redone_tries=redone[1])
    made, shape = _quoted(output, models, shape)
    if lens.given is not None:
        decision = DelegationDecision(True, _given(models), output.expected_tokens, threshold, tokens_left)
    elif models.worker.name == models.smart.name:
        expected = output.expected_tokens
        decision = DelegationDecision(False, _one_model(models), expected, threshold, tokens_left)
    else:
        decision = should_use_delegation(
            task,
            output,
            tokens_left,
            threshold_tokens=threshold,
            quote=made,
            budget_usd=usd_left,
            lens_usd=lens.least_usd,
        )
    if may_delegate(task, output, config, models, tokens_left) or may_choose(config, models):
        decision = attrs.evolve(
            decision,
            lens_input_tokens=lens.input_tokens,
            scout_turns=shape.scout_turns,
            change_input_tokens=lens.change_tokens,
        )
    return _with_other_way(decision, models), made


def shape_of(
    task: str,
    config: LoopConfig,
    models: Candidates,
    *,
    system: Sequence[str] = (),
    tools: Sequence[ToolSpec] = (),
    lens: LensOutlook = LensOutlook(),
) -> Shape:
    """Return what is known of the work on *task* besides its output; arguments are as in :func:`decide`."""
    there = lens.given or lens.kept
    return Shape(
        lens_input_tokens=ASSUMED_LENS_INPUT_TOKENS if lens.input_tokens is None else lens.input_tokens,
        prompt_tokens=_prompt_tokens(task, system, tools),
        max_lens_tokens=config.max_lens_tokens,
        max_turns=config.budget.turns or DEFAULT_TURNS,
        max_output_tokens=models.own.output_tokens,
        smart_output_tokens=models.smart.output_tokens,
        worker_output_tokens=models.worker.output_tokens,
        lens_call_tokens=models.smart.lens_output_tokens,
        scout_turns=lens.scout_turns,
        given_lens_tokens=None if there is None else estimate_tokens(there.to_context()),
        is_kept=lens.given is None and there is not None,
        change_input_tokens=lens.change_tokens,
    )


LEAST_OUTCOMES = 10
"""Recorded outcomes from which on the cheap model alone can stop a lens."""


def after_outcomes(decision: DelegationDecision, quote: Quote, cheap: OutcomeCount) -> DelegationDecision:
    """Return *decision* as it is once *cheap* is known: outcomes of the cheap model alone on such tasks.

    From :data:`LEAST_OUTCOMES` on they stop a lens if that way costs no more, with what fails done again by
    the loop's own model.
    """
    alone, again = quote.cheap, quote.direct.expected_usd
    ours_usd = quote.delegated.expected_usd
    if not decision or alone is None or decision.without_lens != "delegation_model":
        return decision
    if cheap.tries < LEAST_OUTCOMES or alone.expected_usd is None or again is None or ours_usd is None:
        return decision
    failed = Decimal(cheap.tries - cheap.passes) / cheap.tries
    usd = alone.expected_usd + failed * again
    if usd > ours_usd:
        return decision
    reason = (
        f"the delegation model alone passed its check on {cheap.passes:,} of {cheap.tries:,} tasks of this "
        f"kind: about ${usd:.4f} with the others done again, and delegating would cost about ${ours_usd:.4f}"
    )
    return attrs.evolve(decision, delegate=False, reason=reason)


def _with_other_way(decision: DelegationDecision, models: Candidates) -> DelegationDecision:
    """Return *decision* with who does the task if it is not delegated."""
    decision = attrs.evolve(decision, without_lens=models.without_lens)
    if decision.lens_fits:
        return decision
    name = models.worker.name if decision.without_lens == "delegation_model" else models.own.name
    return attrs.evolve(decision, reason=f"{decision.reason}; {name} does the task without a lens")


def _quoted(output: OutputEstimate, models: Candidates, shape: Shape) -> tuple[Quote, Shape]:
    """Return the quote, and its shape: without looking, if only that makes delegating dearer."""
    prices = Prices(models.smart.price, models.own.price, models.worker.price)
    made = quote_once(output, prices, shape)
    if shape.scout_turns and made.delegation_is_dearer:
        shape = attrs.evolve(shape, scout_turns=0)
        made = quote_once(output, prices, shape)
    if models.worker.name == models.own.name:
        made = attrs.evolve(made, cheap=None)
    return made, shape


def _one_model(models: Candidates) -> str:
    name = models.worker.name
    return f"{name} would both write the lens and do the work: name a cheaper delegation model"


def _given(models: Candidates) -> str:
    return f"a lens is given, so none is written: {models.worker.name} does the task under it"


def _prompt_tokens(task: str, system: Sequence[str], tools: Sequence[ToolSpec]) -> int:
    texts = [task, *system]
    for spec in tools:
        texts += (spec.description, spec.schema_text)
    return estimate_tokens("\n".join(texts))
