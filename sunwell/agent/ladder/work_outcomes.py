"""The outcome that work leaves which was checked once: who did it in which way, for what, and as quoted."""

import time
from decimal import Decimal

import attrs

from sunwell.agent.ladder.rungs import LadderModels
from sunwell.agent.policy.cost_model import Prices, quote
from sunwell.agent.policy.estimator import estimate_output
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.decision import Candidates, LensOutlook, PricedModel, shape_of
from sunwell.agent.run.run_context import Run
from sunwell.agent.run.run_outcomes import SpentOnWork
from sunwell.agent.workers.worker import Worker
from sunwell.core.lens import EphemeralLens
from sunwell.core.model import ModelProtocol
from sunwell.core.task import Bill, Total
from sunwell.memory.outcomes import Way, WorkOutcome
from sunwell.models.prices import known_as

_WORK, _LENS = frozenset({"work", "closing"}), frozenset({"lens"})
"""Purposes of the calls that a quote covers: no classifier, no check, no lens that nobody worked under."""
_DIGITS = 12
_CONTINUED = "continued"
"""Stands for what failed before, where work goes on with an earlier conversation: it is no first try."""


@attrs.frozen
class _CheckedWork:
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
    work = _CheckedWork(worker.task.text, worker.span.path, way, model, has_lens, lens)
    await run.outcomes.record(_outcome(run, models, work, kind_of(work.task), passed))


def _work_of_run(run: Run, models: LadderModels) -> _CheckedWork:
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
    is_paid = any(line.purpose == "lens" for line in run.tally.bill(run.root.path).lines)
    return _CheckedWork(run.task, run.root.path, rung, model, has_lens, None if is_paid else run.lens, after)


def _outcome(
    run: Run, models: LadderModels, work: _CheckedWork, kind: str, passed: bool | None
) -> WorkOutcome:
    bill = run.tally.bill(work.path)
    spent = SpentOnWork.of(bill)
    quoted_usd = _quoted_usd(run, models, work, spent.output_tokens)
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
        estimate_output(work.task).expected_tokens,
        _in_proportion(quoted_usd, spent.cost_usd, _foreseen_usd(work, bill)),
    )


def _quoted_usd(
    run: Run, models: LadderModels, work: _CheckedWork, output_tokens: int | None
) -> Decimal | None:
    """Return what the cost model says of *work* for the output that it took; ``None``: it says nothing.

    Of its lens it says what it had said when the way was decided.
    """
    if output_tokens is None or work.rung not in ("direct", "cheap", "delegated"):
        return None
    config = run.config
    own = models.own or models.smart
    several = (models.smart, own, models.worker)
    candidates = Candidates(*[PricedModel.of(one, config.prices, config) for one in several])
    outlook = LensOutlook(given=work.lens_unpaid)
    if run.decision is not None:
        outlook = attrs.evolve(
            outlook,
            input_tokens=run.decision.lens_input_tokens,
            scout_turns=run.decision.scout_turns,
            change_tokens=run.decision.change_input_tokens,
        )
    system, tools = run.guidance.sections(), run.tools.specs
    shape = shape_of(work.task, config, candidates, system=system, tools=tools, lens=outlook)
    shape = attrs.evolve(shape, redone_share=Decimal(0))
    prices = Prices(candidates.smart.price, candidates.own.price, candidates.worker.price)
    made = quote(output_tokens, prices, shape)
    side = {"direct": made.direct, "cheap": made.cheap, "delegated": made.delegated}[work.rung]
    return None if side is None else side.expected_usd


def _foreseen_usd(work: _CheckedWork, bill: Bill) -> Decimal | None:
    """Return what those calls of *work* cost that its quote covers; ``None``: a price is unknown."""
    covered = _WORK | _LENS if work.has_lens and work.lens_unpaid is None else _WORK
    return Total.of([line.total for line in bill.lines if line.purpose in covered]).cost_usd


def _in_proportion(
    quoted_usd: Decimal | None, cost_usd: Decimal | None, foreseen_usd: Decimal | None
) -> Decimal | None:
    """Return the quote of *foreseen_usd* as one of *cost_usd*: as many times what it was as that is."""
    if quoted_usd is None or cost_usd == foreseen_usd or not cost_usd or not foreseen_usd:
        return quoted_usd
    return round(quoted_usd * cost_usd / foreseen_usd, _DIGITS)
