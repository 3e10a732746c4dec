"""What a task would be: whether it is delegated, and what each way would cost. Nothing is asked or spent."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from sunwell.agent.policy.cost_model import Prices, Shape, quote
from sunwell.agent.policy.delegation import should_use_delegation
from sunwell.agent.policy.estimator import Estimator, estimate_output_tokens
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.context.options import ModelReference, RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.price import DelegationDecision, Price, Quote, Side
from sunwell.errors import MissingKeyError
from sunwell.gateway.booking import DEFAULT_OUTPUT_TOKENS
from sunwell.models.catalog import ALIASES, DEFAULT_SMART_MODEL, parse_reference
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry, get_registry, resolve_model
from sunwell.models.tokens import estimate_tokens
from sunwell.report.figures import exact


@attrs.frozen
class Forecast:
    """A decision and a quote, made as the run itself would make them, besides the models by role."""

    task: str
    decision: DelegationDecision
    quote: Quote
    smart_model: str
    own_model: str
    delegation_model: str

    @property
    def chosen(self) -> Side:
        """The side of the quote that the decision takes."""
        return self.quote.delegated if self.decision else self.quote.direct


@attrs.frozen
class _Named:
    name: str
    price: Price | None


def forecast(
    session: SessionContext,
    *,
    prices: PriceBook | None = None,
    registry: ModelRegistry | None = None,
    estimator: Estimator = estimate_output_tokens,
) -> Forecast:
    """Return what the policy would decide for *session*, and both ways priced.

    Nothing is sent and no key is needed. The decision is the one with delegation on, whatever the
    options say of it. Raises :exc:`~sunwell.errors.UnknownModelError` for a name that means nothing.
    """
    prices, registry = prices or PriceBook(), registry or get_registry()
    options = session.options
    smart_reference = options.smart_model or options.model
    own = _named(options.model or smart_reference or DEFAULT_SMART_MODEL, prices, registry)
    smart = _named(smart_reference, prices, registry) if smart_reference else own
    worker = _named(options.delegation_model, prices, registry) if options.delegation_model else own
    estimated = estimator(session.goal)
    made = quote(estimated, Prices(smart.price, own.price, worker.price), _shape(session))
    decision = _decide(session, estimated, (smart, worker), made)
    return Forecast(session.goal, decision, made, smart.name, own.name, worker.name)


def forecast_object(made: Forecast) -> dict[str, object]:
    """Return the whole forecast as JSON values."""
    return {
        "task": made.task,
        "decision": attrs.asdict(made.decision),
        "models": {
            "smart_model": made.smart_model,
            "model": made.own_model,
            "delegation_model": made.delegation_model,
        },
        "quote": quote_object(made),
    }


def quote_object(made: Forecast, actual_usd: Decimal | None = None) -> dict[str, object]:
    """Return the quote as JSON values, with what it became where that is known."""
    sides: Sequence[Side] = (made.quote.delegated, made.quote.direct, *made.quote.alternatives)
    return {
        "chosen": made.chosen.name,
        "sides": {
            side.name: {
                "low_usd": exact(side.low_usd),
                "expected_usd": exact(side.expected_usd),
                "worst_usd": exact(side.worst_usd),
            }
            for side in sides
        },
        "became_usd": exact(actual_usd),
        "assumptions": list(made.quote.assumptions),
        "price_date": made.quote.price_date,
    }


def _decide(
    session: SessionContext, estimated: int, models: tuple[_Named, _Named], made: Quote
) -> DelegationDecision:
    smart, worker = models
    options = session.options
    threshold, left = options.delegation_threshold_tokens, options.budget.tokens
    if smart.name == worker.name:
        reason = f"{worker.name} would both write the lens and do the work: name a cheaper delegation model"
        return DelegationDecision(False, reason, estimated, threshold, left)
    return should_use_delegation(session.goal, estimated, left, threshold_tokens=threshold, quote=made)


def _shape(session: SessionContext) -> Shape:
    options = session.options
    prompt = [session.goal, options.system_prompt or "", *_tool_texts(session, options)]
    return Shape(
        prompt_tokens=estimate_tokens("\n".join(prompt)),
        max_lens_tokens=LoopConfig().max_lens_tokens,
        max_turns=options.budget.turns or DEFAULT_TURNS,
        max_output_tokens=options.max_output_tokens or DEFAULT_OUTPUT_TOKENS,
    )


def _tool_texts(session: SessionContext, options: RunOptions) -> list[str]:
    """Return what the prompt says of the tools that the run would have."""
    from sunwell.tools.toolbox import Toolbox
    from sunwell.tools.workspace import Workspace

    box = Toolbox(
        Workspace(session.workspace), allow_shell=options.allow_shell, allow_python=options.allow_python
    )
    box = box.adding(options.own_tools)
    names = options.tool_names
    wanted = [spec for spec in box.specs() if names is None or spec.name in names]
    return [text for spec in wanted for text in (spec.description, spec.schema_text)]


def _named(reference: ModelReference, prices: PriceBook, registry: ModelRegistry) -> _Named:
    """Return the name and price of what *reference* stands for; a missing key does not matter."""
    try:
        model = resolve_model(reference, registry)
    except MissingKeyError:
        written = parse_reference(ALIASES.get(str(reference), str(reference)))
        if written is None:
            raise
        return _Named(written.model_id, prices.price_of(written.model_id, written.provider))
    return _Named(model.name, prices.price(model))
