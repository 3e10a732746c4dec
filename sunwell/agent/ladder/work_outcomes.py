"""What is kept of checked work that did not climb: a run's own, and that of each worker."""

import time
from decimal import Decimal

import attrs

from sunwell.agent.ladder.rungs import LadderModels
from sunwell.agent.policy.cost_model import Prices, quote
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.decision import Candidates, LensOutlook, PricedModel, expected_output, shape_of
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.run_outcomes import Spent, known_as
from sunwell.agent.workers.worker import Worker
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ModelProtocol
from sunwell.memory.outcomes import Way, WorkOutcome

_CONTINUED = "continued"
"""Stands for what failed before, where work goes on with an earlier conversation: it is no first try."""


@attrs.frozen
class _Work:
    """A piece of checked work, and who did it."""

    task: str
    path: str
    """Of the span that all its calls are at or below."""
    rung: str
    model: ModelProtocol
    has_lens: bool
    lens_unpaid: EphemeralLens | None
    """The lens that was there before the work began, so that it is not in its cost; ``None``: none was."""
    after: str = ""


def way_of(model: ModelProtocol, own: ModelProtocol | None, *, has_lens: bool) -> Way:
    """Return in which way *model* works; *own* is the run's own model, if it is known."""
    if has_lens:
        return "delegated"
    return "cheap" if own is not None and model.name != own.name else "direct"


async def keep_outcome_of_run(run: Run, models: LadderModels, passed: bool | None) -> None:
    """Keep what the checks found of the work of *run* as a whole."""
    work = _work_of_run(run, models)
    await run.outcomes.record(_outcome(run, models, work, run.kind, passed))


async def keep_outcome_of_worker(run: Run, worker: Worker, models: LadderModels, passed: bool | None) -> None:
    """Keep what the checks found of the work of *worker*. The lens that siblings share is not in its cost."""
    model, has_lens = worker.terms.model, worker.terms.has_lens
    way = way_of(model, models.own, has_lens=has_lens)
    lens = run.lens if has_lens else None
    work = _Work(worker.task.text, worker.span.path, way, model, has_lens, lens)
    await run.outcomes.record(_outcome(run, models, work, kind_of(work.task), passed))


def _work_of_run(run: Run, models: LadderModels) -> _Work:
    config, has_lens, decision = run.config, run.lens is not None, run.decision
    own = models.own or models.smart
    is_cheap = decision is not None and not decision and decision.without_lens == "delegation_model"
    model = models.worker if has_lens or is_cheap else own
    rung: str = way_of(model, own, has_lens=has_lens)
    if config.orchestrate:
        rung, model = "orchestrated", models.smart
    elif config.delegation_tools is not None:
        rung = "with-workers"
    elif run.asked is not None:
        rung, model = "asked", models.smart
    after = "" if run.begun is None else _CONTINUED
    return _Work(run.task, run.root.path, rung, model, has_lens, run.given_lens, after)


def _outcome(run: Run, models: LadderModels, work: _Work, kind: str, passed: bool | None) -> WorkOutcome:
    spent = Spent.of(run.tally.bill(work.path))
    return WorkOutcome(
        kind,
        work.rung,
        known_as(work.model),
        work.after,
        passed,
        spent.cost_usd,
        time.time(),
        work.has_lens,
        spent.output_tokens,
        expected_output(work.task, run.config).expected_tokens,
        _quoted_usd(run, models, work, spent.output_tokens),
    )


def _quoted_usd(run: Run, models: LadderModels, work: _Work, output_tokens: int | None) -> Decimal | None:
    """Return what the cost model says of *work* for the output that it took; ``None``: it says nothing."""
    if output_tokens is None or work.rung not in ("direct", "cheap", "delegated"):
        return None
    config = run.config
    own = models.own or models.smart
    several = (models.smart, own, models.worker)
    candidates = Candidates(*[PricedModel.of(one, config.prices, config) for one in several])
    outlook = LensOutlook(given=work.lens_unpaid)
    system, tools = run.guidance.sections(), run.tools.specs
    shape = shape_of(work.task, config, candidates, system=system, tools=tools, lens=outlook)
    shape = attrs.evolve(shape, redone_share=Decimal(0))
    prices = Prices(candidates.smart.price, candidates.own.price, candidates.worker.price)
    made = quote(output_tokens, prices, shape)
    side = {"direct": made.direct, "cheap": made.cheap, "delegated": made.delegated}[work.rung]
    return None if side is None else side.expected_usd
