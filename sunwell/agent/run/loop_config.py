"""What an :class:`~sunwell.agent.loop.AgentLoop` is told once. Public in ``sunwell.agent.loop``."""

from collections import deque
from itertools import repeat
from operator import attrgetter
from typing import Self

import attrs

from sunwell.agent.policy.cache_planner import CacheLessons
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import RunOptions
from sunwell.errors import ConfigurationError
from sunwell.gateway.retry import RetryPolicy
from sunwell.memory.scratchpad import ScratchpadEntry
from sunwell.models.prices import PriceBook

DEFAULT_TURNS = 50
"""Maximum turns of one task if the budget sets none: nobody wants a loop without any limit."""

NOT_OF_A_LOOP = (
    "model", "smart_model", "delegation_model", "second_model", "judge_model", "fallback", "tools",
    "system_prompt", "allow_shell", "allow_python", "sandbox", "allow_network", "approve", "dry_run",
    "earlier_runs", "workspace_advice", "allow_write", "ignore", "context_sources",
)  # fmt: skip
"""Options that whoever makes a loop decides: its models, its executor, and what its ``run`` is given."""
_others_of = attrgetter(*NOT_OF_A_LOOP)
_USUAL = {name: attrs.fields_dict(RunOptions)[name].default for name in NOT_OF_A_LOOP}
_OTHERS = tuple(_USUAL.values())
_TAKEN = tuple(name for name in attrs.fields_dict(RunOptions) if name not in _USUAL)
_taken_from = attrgetter(*_TAKEN)
_NAMES = (*_TAKEN, *_USUAL, "retry", "prices", "lessons", "earlier")
_RETRY = RetryPolicy()


@attrs.frozen
class LoopConfig(RunOptions):
    """The options of a run as a loop reads them, with what the runs of a loop share.

    The first two fields are RFC-137's. A loop takes its models, its executor and its prompt as arguments:
    options that say the same (:data:`NOT_OF_A_LOOP`) are refused here with
    :exc:`~sunwell.errors.ConfigurationError`.
    """

    retry: RetryPolicy = attrs.field(default=_RETRY, kw_only=True)
    prices: PriceBook = attrs.field(factory=PriceBook, kw_only=True)
    lessons: CacheLessons = attrs.field(factory=CacheLessons, kw_only=True)
    """What providers' caches have shown so far; shared by the runs of an agent."""
    earlier: tuple[ScratchpadEntry, ...] = attrs.field(default=(), kw_only=True)
    """What the scratchpad holds from earlier runs."""

    def __attrs_post_init__(self) -> None:
        if _others_of(self) == _OTHERS:
            return
        for name, usual in _USUAL.items():
            if getattr(self, name) != usual:
                raise ConfigurationError(
                    f"a LoopConfig does not take {name}: give it to the AgentLoop, to its executor or "
                    "to its run()"
                )

    @classmethod
    def of(
        cls,
        options: RunOptions,
        prices: PriceBook | None = None,
        retry: RetryPolicy = _RETRY,
        lessons: CacheLessons | None = None,
    ) -> Self:
        """Return the loop's part of *options*, with what the runs of a loop share."""
        prices = PriceBook() if prices is None else prices
        lessons = CacheLessons() if lessons is None else lessons
        made = object.__new__(cls)
        # Each value was checked when the options were made: it need not be once more.
        values = (*_taken_from(options), *_OTHERS, retry, prices, lessons, ())
        deque(map(object.__setattr__, repeat(made), _NAMES, values), maxlen=0)
        return made

    @property
    def ceilings(self) -> Budget:
        """The budget, with the default ceilings if it sets none.

        Without a ceiling on turns, :data:`DEFAULT_TURNS` holds for the run; if a model hands work out, or
        a task may be split or climb the ladder, it holds for each piece of work alone. An orchestrated run
        without a time limit gets ``orchestrator_max_seconds``.
        """
        if self.orchestrate and self.budget.seconds is None:
            return attrs.evolve(self.budget, seconds=self.orchestrator_max_seconds)
        if self.orchestrate or self.delegation_tools or self.split or self.escalate:
            return self.budget
        if self.budget.turns is not None:
            return self.budget
        return attrs.evolve(self.budget, turns=DEFAULT_TURNS)
