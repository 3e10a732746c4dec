"""Forecast of a task: whether it is delegated, and what each way would cost. It spends nothing."""

from collections.abc import Callable, Sequence
from decimal import Decimal
from functools import partial
from typing import Any

import attrs

from sunwell.agent.asking.ask_price import budget_warning, way_of
from sunwell.agent.ladder.climb_outcomes import ClimbOutcomes, ExpectedClimb
from sunwell.agent.ladder.rungs import LadderModels, plan_rungs
from sunwell.agent.lens.kept_lens import WantedLens, look_up
from sunwell.agent.lens.lens_request import LensOrder
from sunwell.agent.lens.lens_writer import (
    change_order,
    fitted_order,
    input_tokens,
    lens_sizes,
    whole_request,
)
from sunwell.agent.lens.scouting import turns_of_scouting
from sunwell.agent.lifecycle.equipment import Equipment
from sunwell.agent.lifecycle.open_run import chosen_checks, shelf_of, shown_for_lens
from sunwell.agent.orchestration.handed_out_quote import (
    PromptParts,
    hands_out,
    orchestrator_tools,
    with_handed_out,
)
from sunwell.agent.orchestration.orchestrator_place import orchestrator_place
from sunwell.agent.policy.delegation import lens_misfit
from sunwell.agent.policy.handed_out_cost import ASSUMED, HandedOutShape
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.context_lookup import with_context_query
from sunwell.agent.run.decision import (
    Candidates,
    LensOutlook,
    PricedModel,
    decide,
)
from sunwell.agent.run.guidance import Guidance, surroundings_of
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.agent.run.toolset import Toolset
from sunwell.agent.run.way_decision import Grounds, decided_way
from sunwell.budget.ledger_protocol import Claim
from sunwell.context.options import ModelReference, RunOptions
from sunwell.context.session import SessionContext
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import History, user
from sunwell.core.model import ModelProtocol, Request, ToolSpec
from sunwell.core.price import DelegationDecision, OutputEstimate, Quote, Side
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError, MissingKeyError, UnknownModelError
from sunwell.gateway.booking import first_claim
from sunwell.memory.lens_store import LensStore, lenses_file
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import KnownOutcomes
from sunwell.models.catalog import DEFAULT_SMART_MODEL, parse_reference
from sunwell.models.http_model import Tuning
from sunwell.models.prices import PriceBook
from sunwell.models.registry import ModelRegistry, get_registry, resolve_model
from sunwell.models.room import own_output_tokens
from sunwell.report.figures import exact
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.workspace import Workspace


@attrs.frozen
class Forecast:
    """The decision and the quote, as the run itself would make them, and the models by role."""

    task: str
    decision: DelegationDecision
    quote: Quote
    smart_model: str
    own_model: str
    delegation_model: str
    least_usd: Decimal | None = None
    """Smallest cap that holds the first call of the work without a lens; ``None``: its price is unknown.

    It is computed from bytes or by a tokenizer. If the provider counts, a run may begin with less."""
    least_tokens: int = 0
    """The same for a cap in tokens."""
    lens: EphemeralLens | None = None
    """The lens that is given: then the first call is that of the work under it."""
    ladder: ExpectedClimb | None = None
    """What the task would come to with a check and ``escalate``; ``None``: the options allow no ladder."""
    warnings: tuple[str, ...] = ()
    """What could not be used for it, in sentences."""

    @property
    def without_lens(self) -> str:
        """Name of the model that makes the first call if no lens is written."""
        if self.is_orchestrated:
            return self.smart_model
        if self.lens is not None:
            return self.delegation_model
        return self.delegation_model if self.decision.without_lens == "delegation_model" else self.own_model

    @property
    def worker_with_tools(self) -> str:
        """Name of the model that has delegation tools, if one has."""
        return self.delegation_model if self.decision else self.without_lens

    @property
    def is_orchestrated(self) -> bool:
        """Whether an orchestrator hands all work out, so that nobody decides on a lens."""
        return self.quote.handed_out is not None and self.quote.handed_out.name == "orchestrated"

    @property
    def chosen(self) -> Side:
        """The side of the quote that is taken: that of the decision, unless a model hands the work out."""
        return self.quote.chosen(self.decision)

    def taken(self, options: RunOptions) -> Side:
        """Return the side that a run with *options* takes, which decides on nothing if delegation is off."""
        return self.chosen if self._decides(options) else self.quote.direct

    def reason(self, options: RunOptions) -> str:
        """Return why a run with *options* takes that side, in a sentence."""
        if self.is_orchestrated:
            return f"{self.smart_model} hands all work out"
        off = f"delegation is off: {self.own_model} does the task"
        return self.decision.reason if self._decides(options) else off

    def _decides(self, options: RunOptions) -> bool:
        return options.enable_delegation or options.lens is not None or self.quote.handed_out is not None


@attrs.frozen
class _Models:
    """The models by role; several roles may have the same."""

    own: ModelProtocol
    smart: ModelProtocol
    worker: ModelProtocol
    second: ModelProtocol | None = None


def forecast(
    session: SessionContext,
    *,
    prices: PriceBook | None = None,
    registry: ModelRegistry | None = None,
    equipment: Equipment | None = None,
    assumed: HandedOutShape = ASSUMED,
) -> Forecast:
    """Return the policy's decision for *session* and the price of both ways, as in a run.

    Nothing is sent and no key is needed. The workspace is read as for the lens, to measure what the smart
    model would read. The decision assumes that delegation is on, whatever the options say. Raises
    :exc:`~sunwell.errors.UnknownModelError` for an unknown model name, and
    :exc:`~sunwell.errors.ConfigurationError` for an unknown tool.

    Args:
        equipment: What the agent has to make tools from (:attr:`Agent.equipment
            <sunwell.agent.Agent.equipment>`); ``None``: the toolbox of the workspace.
        assumed: Workers, turns and tokens of a run whose model hands out work itself.
    """
    prices, registry, equipment = prices or PriceBook(), registry or get_registry(), equipment or Equipment()
    options, secrets = session.options, secrets_from_environment()
    models, found = _candidates(options, prices, registry)
    lens, config = options.lens, LoopConfig.of(options, prices=prices)
    known = with_context_query(Toolset.of(equipment.names(options), equipment.preview(session)), options)
    guidance = _guidance(session, known, secrets)
    text, said = secrets.redact(session.goal), list[str]()
    parts = PromptParts(text, guidance, known.specs, lens)
    first = _first_claim(found, models, parts, config, _place(session, text, config, known, secrets))
    outlook, decides = LensOutlook(given=lens), _takes_decision(config)
    if lens is None and decides:
        outlook = _lens_outlook(session, secrets, (models.smart, found), known.specs, config, said.append)
    grounds, warnings = _grounds(text, config, found)
    output = grounds.output(text, config)  # once: the estimator may be the caller's own
    words, made = decide(
        *(text, output, config, models),
        system=guidance.sections(),
        tools=known.specs,
        tokens_left=options.budget.tokens,
        lens=outlook,
        redone=grounds.redone,
    )
    decision = _off(words, models)
    if lens is not None or decides:
        misfit = lens_misfit(options.budget.tokens, made, None, None)
        decision = decided_way(words, made, grounds, models, misfit=misfit, is_given=lens is not None)
    made = with_handed_out(made, decision, parts, config, models, assumed=assumed)
    return Forecast(
        session.goal,
        decision,
        made,
        models.smart.name,
        models.own.name,
        models.worker.name,
        first.most_usd(first.least_output_tokens),
        first.input_tokens + first.least_output_tokens,
        lens,
        _ladder(text, output, config, found, (guidance.sections(), known.specs), grounds.known),
        (*warnings, *said),
    )


@attrs.frozen
class AskForecast:
    """How a question about contexts would be answered, as the run itself would decide."""

    decision: DelegationDecision
    quote: Quote
    smart_model: str
    delegation_model: str
    warning: str = ""
    """What is to be said of the budget; empty: nothing."""


def ask_forecast(
    question: str,
    size_bytes: int,
    options: RunOptions,
    prices: PriceBook | None = None,
    registry: ModelRegistry | None = None,
) -> AskForecast:
    """Return the way and both prices of *question* about contexts of *size_bytes*; nothing is asked.

    No key is needed. Raises :exc:`~sunwell.errors.UnknownModelError` for an unknown model name, and
    :exc:`~sunwell.errors.ConfigurationError` if the contexts fit into no window and nothing can explore here.
    """
    prices = prices or PriceBook()
    _, found = _candidates(options, prices, registry or get_registry())
    smart, reader, budget = found.smart, found.worker, options.budget
    decision, quote = way_of(
        secrets_from_environment().redact(question),
        size_bytes,
        (smart, reader),
        prices,
        max_output_tokens=options.max_output_tokens,
        tokens_left=budget.tokens,
        usd_left=budget.usd,
    )
    return AskForecast(decision, quote, smart.name, reader.name, budget_warning(decision, quote, budget.usd))


def _place(session: SessionContext, task: str, config: LoopConfig, known: Toolset, secrets: Secrets) -> str:
    """Return what an orchestrator would be told of its run; empty if there is none."""
    if not config.orchestrate:
        return ""
    return orchestrator_place(
        task, config, known, Workspace(session.workspace, ignore=session.options.ignore), secrets
    )


def _takes_decision(config: LoopConfig) -> bool:
    """Whether the run decides on a lens itself. One that does not reads no workspace for its quote."""
    return not config.orchestrate and (config.enable_delegation or not hands_out(config))


def _off(decision: DelegationDecision, models: Candidates) -> DelegationDecision:
    """Return *decision* as it is in a run that has a model hand work out and no lens written."""
    reason = f"delegation is off: {models.own.name} does the task"
    return attrs.evolve(decision, delegate=False, reason=reason, without_lens="model")


def _first_claim(
    found: _Models, models: Candidates, parts: PromptParts, config: LoopConfig, place: str
) -> Claim:
    """Return the claim of the first call of the work; *place* is what an orchestrator is told of its run."""
    is_cheap = parts.lens is not None or models.without_lens == "delegation_model"
    model = found.smart if config.orchestrate else found.worker if is_cheap else found.own
    limit = own_output_tokens(model, config.max_output_tokens)
    system, tools = parts.guidance.sections(parts.lens), parts.tools
    if config.orchestrate:
        system, tools = parts.guidance.orchestrator_sections(place, parts.lens), orchestrator_tools(config)
    asked = Request(History([user(parts.task)]), system, tools, limit)
    return first_claim(model, asked, config.prices, "work")


def _grounds(task: str, config: LoopConfig, found: _Models) -> tuple[Grounds, tuple[str, ...]]:
    """Return what is known for tasks of this kind, and what is wrong with the file of it, in sentences."""
    warnings: list[str] = []
    kind = kind_of(task)
    known = OutcomeStore(outcomes_file(), warn=warnings.append).read(kind)
    return Grounds.of(config, kind, known, found.own, found.worker), tuple(warnings)


def _guidance(session: SessionContext, known: Toolset, secrets: Secrets) -> Guidance:
    options, seen = session.options, surroundings_of(session, known.granted, secrets)
    checks = chosen_checks(session, None, secrets)
    return Guidance.of(
        options.system_prompt,
        options,
        known.granted,
        secrets=secrets,
        surroundings=seen,
        checks=() if checks is None else checks.told(),
    )


def _ladder(
    task: str,
    output: OutputEstimate,
    config: LoopConfig,
    found: _Models,
    read: tuple[Sequence[str], Sequence[ToolSpec]],
    known: KnownOutcomes,
) -> ExpectedClimb | None:
    """Return what climbing is expected to come to; ``None`` if a model hands the work out itself.

    *read* is what every turn reads: the system prompt and the tools.
    """
    if config.orchestrate or config.split or config.delegation_tools is not None:
        return None
    models = LadderModels(found.worker, found.smart, found.second)
    rungs = plan_rungs(models, config, task, output, system=read[0], tools=read[1])
    outcomes = ClimbOutcomes(kind_of(task), known)
    return ExpectedClimb.of(
        rungs,
        outcomes,
        left_usd=config.budget.usd,
        worth_usd=config.worth_usd,
        passes_wrong=config.passes_wrong,
    )


def _lens_outlook(
    session: SessionContext,
    secrets: Secrets,
    models: tuple[PricedModel, _Models],
    tools: Sequence[ToolSpec],
    config: LoopConfig,
    warn: Callable[[str], None],
) -> LensOutlook:
    """Return what is known of the lens before it is written; *warn* gets what is wrong with the store.

    The workspace is read for it, and so are the files that kept lenses rest on.
    """
    (smart, found), goal = models, secrets.redact(session.goal)
    order = LensOrder(
        goal, "", tuple(tools), config.max_lens_tokens, config.effort, smart.lens_output_tokens, config.split
    )
    shown = shown_for_lens(session, secrets)
    order = fitted_order(order, shown.text, smart.lens_prompt_tokens)
    tokens = input_tokens(whole_request(order))
    file = lenses_file() if session.options.lens_store else None
    shelf = None if file is None else shelf_of(session, LensStore(file, warn=warn))
    both = (found.smart, found.worker)
    wanted = None if shelf is None else WantedLens.of(shelf, order, shown, config, both)
    if shelf is not None and wanted is not None:
        sizes = partial(lens_sizes, order, smart.lens_prompt_tokens)
        kept = look_up(shelf, wanted, smart.price, sizes, shelf.store.clock())
        if kept.taken is not None:
            return LensOutlook(kept=kept.taken.lens, input_tokens=tokens)
        if kept.base is not None:
            change = whole_request(change_order(order, kept.base, smart.lens_prompt_tokens))
            return LensOutlook(input_tokens=tokens, change_tokens=input_tokens(change))
    turns = turns_of_scouting(shown, config, tools)
    return LensOutlook(input_tokens=tokens, scout_turns=turns)


def forecast_object(made: Forecast) -> dict[str, object]:
    """Return the whole forecast as JSON values."""
    return {
        "task": made.task,
        "decision": None if made.is_orchestrated else attrs.asdict(made.decision),
        "models": {
            "smart_model": made.smart_model,
            "model": made.own_model,
            "delegation_model": made.delegation_model,
        },
        "lens": None if made.lens is None else lens_object(made.lens),
        "quote": quote_object(made.quote, made.decision),
        "least_cap": {"usd": exact(made.least_usd), "tokens": made.least_tokens},
        "ladder": None if made.ladder is None else _ladder_object(made.ladder),
        "warnings": list(made.warnings),
    }


def _ladder_object(ladder: ExpectedClimb) -> dict[str, object]:
    """Return *ladder* as JSON values."""
    return {
        "expected_usd": exact(ladder.expected_usd),
        "worst_usd": exact(ladder.worst_usd),
        "passes": round(ladder.passes, 3),
        "rungs": [
            {
                "rung": rung.name,
                "model": rung.model,
                "low_usd": exact(rung.side.low_usd),
                "expected_usd": exact(rung.side.expected_usd),
                "high_usd": exact(rung.side.high_usd),
                "worst_usd": exact(rung.side.worst_usd),
                "climbed": round(rung.reached, 3),
                "passes": round(rung.chance, 3),
                "outcomes": rung.tries,
            }
            for rung in ladder.rungs
        ],
    }


def lens_object(lens: EphemeralLens) -> dict[str, object]:
    """Return *lens* as JSON values, without the prompt that its model answered."""
    fields = attrs.asdict(lens)
    del fields["generation_prompt"]  # it is in the journal; here it would hide the rest
    return {name: list(value) if isinstance(value, tuple) else value for name, value in fields.items()}


def _output_object(output: OutputEstimate | None) -> dict[str, object] | None:
    """Return the expected output as JSON values."""
    if output is None:
        return None
    return {
        "low_tokens": output.low_tokens,
        "expected_tokens": output.expected_tokens,
        "high_tokens": output.high_tokens,
        "counted": list(output.counted),
        "unknown": list(output.unknown),
    }


def quote_object(
    quote: Quote, decision: DelegationDecision | None, actual_usd: Decimal | None = None
) -> dict[str, object]:
    """Return *quote* as JSON values, with the way that is taken, and the actual cost, if known."""
    times = quote.times_smart_alone
    return {
        "chosen": quote.chosen(decision).name,
        "output": _output_object(quote.output),
        "sides": {
            side.name: {
                "low_usd": exact(side.low_usd),
                "expected_usd": exact(side.expected_usd),
                "high_usd": exact(side.high_usd),
                "worst_usd": exact(side.worst_usd),
            }
            for side in quote.sides
        },
        "became_usd": exact(actual_usd),
        "smart_alone_usd": exact(quote.smart_alone_usd),
        "times_smart_alone": None if times is None else round(float(times), 3),
        "assumptions": list(quote.assumptions),
        "price_date": quote.price_date,
    }


def _candidates(
    options: RunOptions, prices: PriceBook, registry: ModelRegistry
) -> tuple[Candidates, _Models]:
    """Return the models by role with their prices; the loop's own may take the delegation model's place."""
    own, has_key, model = _priced(
        options, options.model or options.smart_model or DEFAULT_SMART_MODEL, prices, registry
    )
    smart, smart_model = own, model
    if options.smart_model is not None and options.model is not None:
        smart, _, smart_model = _priced(options, options.smart_model, prices, registry)
    second = None
    if options.second_model is not None:
        second = _priced(options, options.second_model, prices, registry)[2]
    alone = Candidates(smart, own, own), _Models(model, smart_model, model, second)
    if options.orchestrate:  # without a delegation model, the smart one works, too
        alone = Candidates(smart, own, smart), _Models(model, smart_model, smart_model, second)
    if options.delegation_model is None:
        return alone
    falls_back = options.fallback == "parent"
    try:
        worker, worker_has_key, cheap = _priced(options, options.delegation_model, prices, registry)
    except (UnknownModelError, ConfigurationError):
        if not falls_back:
            raise
        return alone
    # Without any key the forecast is for a machine that has them all.
    if falls_back and has_key and not worker_has_key:
        return alone
    return Candidates(smart, own, worker), _Models(model, smart_model, cheap, second)


def _priced(
    options: RunOptions, reference: ModelReference, prices: PriceBook, registry: ModelRegistry
) -> tuple[PricedModel, bool, ModelProtocol]:
    """Return name, price and limits of the model *reference*, whether its key is set, and the model."""
    try:
        found = resolve_model(reference, registry)
        return PricedModel.of(found, prices, options), True, found
    except MissingKeyError:
        target, tuning = registry.described(str(reference))
        written = parse_reference(target)
        if written is None:
            raise
        model: Any = _WithoutKey(written.model_id, written.provider, tuning)
        return PricedModel.of(model, prices, options), False, model


@attrs.frozen
class _WithoutKey:
    """What is known of a model whose key is missing."""

    name: str
    provider: str
    tuning: Tuning

    @property
    def max_output_tokens(self) -> int | None:
        return self.tuning.max_output_tokens

    @property
    def context_window(self) -> int | None:
        return self.tuning.context_window

    @property
    def thinking_tokens(self) -> int | None:
        return self.tuning.thinking_tokens if self.provider == "anthropic" else None
