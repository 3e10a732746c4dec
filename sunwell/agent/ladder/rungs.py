"""The rungs of a ladder: who works on each, and what it is expected to cost."""

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Literal, Self

import attrs

from sunwell.agent.policy.cost_model import Shape, rung_sides
from sunwell.agent.run.decision import Candidates, LensOutlook, PricedModel, shape_of
from sunwell.agent.run.loop_config import LoopConfig
from sunwell.context.options import RunOptions
from sunwell.core.model import Effort, ModelProtocol, ToolSpec
from sunwell.core.price import OutputEstimate, Side
from sunwell.errors import ConfigurationError
from sunwell.models.prices import PriceBook

RungName = Literal["cheap", "cheap_again", "lens", "second", "smart"]
RUNGS: tuple[RungName, ...] = ("cheap", "cheap_again", "lens", "second", "smart")
"""All rungs, in the order in which they are climbed unless prices and outcomes say otherwise."""
_AFTER_A_CHECK = frozenset({"cheap_again", "lens"})
"""Rungs that need what a check has found."""


@attrs.frozen
class LadderModels:
    """The models of a ladder. Several roles may have the same."""

    worker: ModelProtocol
    smart: ModelProtocol
    second: ModelProtocol | None = None
    own: ModelProtocol | None = None
    """The run's own model, which is on no rung; ``None``: the smart one."""

    def rungs(self, options: RunOptions) -> tuple[RungName, ...]:
        """Return the rungs that these models and *options* allow.

        Raises :exc:`~sunwell.errors.ConfigurationError` for a rung that does not exist, or that has no model.
        """
        there = {"cheap", "cheap_again"}
        if self.smart.name != self.worker.name:
            there |= {"smart"} if options.lens is not None else {"lens", "smart"}
        if self.second is not None:
            there.add("second")
        if options.ladder is None:
            return tuple(name for name in RUNGS if name in there)
        for name in options.ladder:
            if name not in RUNGS:
                raise ConfigurationError(f"ladder has no rung {name!r}; there are: {', '.join(RUNGS)}")
            if name not in there:
                raise ConfigurationError(f"the rung {name} cannot be climbed: {_MISSING[name]}")
        chosen = tuple(name for name in RUNGS if name in options.ladder)
        if not set(chosen) - _AFTER_A_CHECK:
            raise ConfigurationError("the ladder has no rung to begin with: add cheap, second or smart to it")
        return chosen

    def of(self, name: RungName) -> ModelProtocol:
        """Return who works on the rung *name*; on the rung ``lens``, the smart model writes the lens."""
        if name == "second":
            assert self.second is not None
            return self.second
        return self.smart if name == "smart" else self.worker


_MISSING: Mapping[str, str] = {
    "lens": "it needs a smart model other than the one that works, and no lens that is given",
    "second": "name a second model (--second-model)",
    "smart": "it needs a smart model other than the one that works",
}


@attrs.frozen
class PlannedRung:
    """A rung that may be climbed."""

    name: RungName
    model: ModelProtocol
    effort: Effort | None
    side: Side
    """What it is expected to cost."""

    @property
    def cost_usd(self) -> Decimal | None:
        """The expected cost; ``None``: a price is unknown."""
        return self.side.expected_usd

    @classmethod
    def all_of(
        cls,
        models: LadderModels,
        options: RunOptions,
        prices: PriceBook,
        output: OutputEstimate,
        shape: Shape,
    ) -> tuple[Self, ...]:
        """Return the rungs of *models* with what each is expected to cost for a task of *output*."""
        names = models.rungs(options)
        worker, smart = prices.price(models.worker), prices.price(models.smart)
        second = None if models.second is None else prices.price(models.second)
        sides = {side.name: side for side in rung_sides(output, worker, smart, second, shape)}
        efforts = {"smart": options.effort or "low", "second": options.effort}
        return tuple(cls(name, models.of(name), efforts.get(name), sides[name]) for name in names)


def plan_rungs(
    models: LadderModels,
    config: LoopConfig,
    task: str,
    output: OutputEstimate,
    *,
    system: Sequence[str],
    tools: Sequence[ToolSpec],
) -> tuple[PlannedRung, ...]:
    """Return the rungs that may be climbed for *task*, with what each is expected to cost.

    *system* and *tools* are what every turn reads.
    """
    priced = [PricedModel.of(one, config.prices, config) for one in (models.smart, models.worker)]
    candidates = Candidates(priced[0], priced[1], priced[1])
    outlook = LensOutlook(given=config.lens)
    shape = shape_of(task, config, candidates, system=system, tools=tools, lens=outlook)
    return PlannedRung.all_of(models, config, config.prices, output, shape)


def open_to(
    rungs: Sequence[PlannedRung], tried: Iterable[str], *, may_repair: bool
) -> tuple[PlannedRung, ...]:
    """Return those of *rungs* that may be climbed after *tried*, those among them included.

    No lens is written and nothing is repaired before a check has failed; *may_repair*: whether the cheap
    model's conversation can go on.
    """
    done = set(tried)
    return tuple(
        rung
        for rung in rungs
        if rung.name in done
        or rung.name not in _AFTER_A_CHECK
        or (done and (rung.name != "cheap_again" or may_repair))
    )
