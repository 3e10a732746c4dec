"""The quote of a run whose model hands the work out itself: one computation for runs and forecasts."""

from collections.abc import Sequence
from decimal import Decimal

import attrs

from sunwell.agent.orchestration.answer_tool import AnswerTool
from sunwell.agent.orchestration.orchestration import tools_called
from sunwell.agent.policy.handed_out_cost import (
    ASSUMED,
    HandedOutShape,
    Lead,
    handed_out_assumptions,
    orchestrated_side,
    smart_alone_usd,
    with_workers_side,
)
from sunwell.agent.run.decision import Candidates, LensOutlook, decide, shape_of
from sunwell.agent.run.guidance import Guidance
from sunwell.agent.run.loop_config import DEFAULT_TURNS, LoopConfig
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ToolSpec
from sunwell.core.price import DelegationDecision, OutputEstimate, Quote
from sunwell.core.span import Span
from sunwell.models.tokens import estimate_tokens


def hands_out(config: LoopConfig) -> bool:
    """Whether a model of the run hands out work itself."""
    depth = config.max_depth
    if config.delegation_tools == "rlm":
        depth = min(depth, config.sub_call_limits.max_depth)
    return config.orchestrate or (config.delegation_tools is not None and depth > 0)


def writes_lens_first(config: LoopConfig, given: EphemeralLens | None) -> bool:
    """Whether a lens is written for an orchestrated run before its orchestrator begins (RFC-14)."""
    return config.orchestrate and config.enable_delegation and given is None


def orchestrator_tools(config: LoopConfig) -> tuple[ToolSpec, ...]:
    """Return what an orchestrator is told of its tools."""
    answers = AnswerTool(Span(), config.orchestrator_confidence_threshold)
    tools = tools_called("delegate", can_query=False)
    return tuple(tool.shown or tool.spec for tool in (*tools, answers.tool()))


@attrs.frozen
class PromptParts:
    """What the prompts of a run are made of, as far as it is known before anything is asked."""

    task: str
    guidance: Guidance
    tools: tuple[ToolSpec, ...]
    """What the workers are told of tools."""
    lens: EphemeralLens | None = None
    """The lens that is given."""


def quote_handed_out(
    parts: PromptParts,
    output: OutputEstimate,
    config: LoopConfig,
    models: Candidates,
    *,
    assumed: HandedOutShape = ASSUMED,
) -> Quote:
    """Return the quote of a run that takes no decision of its own: orchestrated, or with delegation tools.

    The workspace is not read: the size of what a lens is written from is assumed. *output* is what the task
    is expected to take.
    """
    system, outlook = parts.guidance.sections(), LensOutlook(given=parts.lens)
    _, made = decide(parts.task, output, config, models, system=system, tools=parts.tools, lens=outlook)
    return with_handed_out(made, None, parts, config, models, assumed=assumed)


def with_handed_out(
    made: Quote,
    decision: DelegationDecision | None,
    parts: PromptParts,
    config: LoopConfig,
    models: Candidates,
    *,
    assumed: HandedOutShape = ASSUMED,
) -> Quote:
    """Return *made* with the way on which a model hands out the work; *decision* says which model works.

    If no model hands out anything, *made* is returned as it is.
    """
    output = made.output
    if not hands_out(config) or output is None:
        return made
    system = parts.guidance.sections()
    lens = LensOutlook(given=parts.lens)
    shape = shape_of(parts.task, config, models, system=system, tools=parts.tools, lens=lens)
    smart, worker = models.smart.price, models.worker.price
    if config.orchestrate:
        texts = parts.guidance.orchestrator_sections()
        prompt = _tokens(parts.task, texts, orchestrator_tools(config))
        turns = min(config.orchestrator_max_turns, config.budget.turns or config.orchestrator_max_turns)
        writes = writes_lens_first(config, parts.lens)
        lead = Lead(price=smart, prompt_tokens=prompt, max_turns=turns, writes_lens=writes)
        side = orchestrated_side(output, lead, smart, worker, shape, assumed)
    else:
        base = made.chosen(decision)
        price = models.own.price if base.name == "direct" else worker
        offered = tools_called(config.delegation_tools or "delegate", can_query=False)
        more = tuple(tool.shown or tool.spec for tool in offered)
        prompt = _tokens(parts.task, system, (*parts.tools, *more))
        lead = Lead(price=price, prompt_tokens=prompt, max_turns=config.budget.turns or DEFAULT_TURNS)
        side = with_workers_side(output, base, lead, worker, shape, assumed)
    return attrs.evolve(
        made,
        handed_out=side,
        smart_alone_usd=smart_alone_usd(output, smart, shape),
        assumptions=(*handed_out_assumptions(output, side, lead, assumed), *made.assumptions),
    )


def handed_out_sentence(quote: Quote) -> str:
    """Return one sentence on what work that a model hands out costs beside the smart model alone.

    It is empty if no model hands work out, or if a price is unknown.
    """
    side, times = quote.handed_out, quote.times_smart_alone
    if side is None or times is None:
        return ""
    run = "An orchestrated run" if side.name == "orchestrated" else "This run with delegation tools"
    figures = f"{_dollars(side.expected_usd)} against {_dollars(quote.smart_alone_usd)}"
    spread = f"its range is {_dollars(side.low_usd)} to {_dollars(side.high_usd)}"
    word = "dearer" if times > 1 else "cheaper" if times < 1 else "neither dearer nor cheaper"
    return (
        f"{run} costs about {_multiple(times)} times the smart model alone here ({figures}), so it is "
        f"expected to be {word}; {spread}."
    )


def _multiple(times: Decimal) -> str:
    """Return *times* with one digit after the point, or two where one would hide which side of 1 it is on."""
    return f"{times:.1f}" if times >= 10 or abs(times - 1) >= Decimal("0.05") else f"{times:.3f}"


def _dollars(amount: Decimal | None) -> str:
    if amount is None:
        return "unknown"
    return f"${amount:,.2f}" if amount >= 1 else f"${amount:.4f}"


def _tokens(task: str, system: Sequence[str], tools: Sequence[ToolSpec]) -> int:
    texts = [task, *system]
    for spec in tools:
        texts += (spec.description, spec.schema_text)
    return estimate_tokens("\n".join(texts))
