"""What an :class:`~sunwell.agent.loop.AgentLoop` is told once. Public in ``sunwell.agent.loop``."""

import attrs
from attrs.validators import ge, in_, optional

from sunwell.agent.policy.cache_planner import CacheLessons, Choice
from sunwell.agent.policy.estimator import Estimator, estimate_output_tokens
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import LENS_OUTCOMES, DelegationTools, OnLensFailure, Orchestration
from sunwell.core.model import EFFORTS, Effort
from sunwell.gateway.retry import RetryPolicy
from sunwell.memory.scratchpad import ScratchpadEntry
from sunwell.models.prices import PriceBook

DEFAULT_TURNS = 50
"""Turns of one task where the budget names none: a loop without any bound is nobody's wish."""

ORCHESTRATED_SECONDS = 1800.0
"""Most wall time of an orchestrated run whose budget names none."""


@attrs.frozen
class LoopConfig:
    """Settings of a loop; the first two are RFC-137's."""

    enable_delegation: bool = False
    """Let the policy hand the work to a cheaper model under a lens."""
    delegation_threshold_tokens: int = attrs.field(default=2000, validator=ge(0))
    """Largest expected output, in tokens, that is not worth a lens."""
    budget: Budget = Budget()
    """Ceilings of the whole run. Without a ceiling on turns, :data:`DEFAULT_TURNS` holds."""
    max_output_tokens: int | None = attrs.field(default=None, validator=optional(ge(1)))
    """Most tokens of one answer; ``None``: 8,192."""
    effort: Effort | None = attrs.field(default=None, validator=optional(in_(EFFORTS)))
    on_lens_failure: OnLensFailure = attrs.field(default="direct", validator=in_(LENS_OUTCOMES))
    max_lens_tokens: int = attrs.field(default=1500, validator=ge(1))
    """Longest lens; told to the smart model and enforced."""
    stream: bool = False
    max_concurrent: int = attrs.field(default=4, validator=ge(1))
    """Most workers of the whole tree that make progress at once."""
    worker_timeout_seconds: float | None = 300.0
    """Most wall time of a worker whose task names none; ``None``: no limit."""
    max_depth: int = attrs.field(default=1, validator=ge(0))
    """A worker may be started where the depth is lower; the root is 0."""
    orchestrate: bool = False
    """Have the smart model hand all work out, and touch nothing itself."""
    delegation_tools: DelegationTools | None = None
    """Tools with which the model may hand work out; ``None``: none, or ``delegate`` with ``orchestrate``."""
    orchestration: Orchestration = Orchestration()
    earlier: tuple[ScratchpadEntry, ...] = ()
    """What the scratchpad holds from earlier runs."""
    fail_fast: bool = False
    """Whether the first worker that fails ends the others of its batch."""
    split: bool = False
    """Whether the smart model may split a delegated task into items, one worker each."""
    cache_choice: Choice | None = None
    """How siblings are started; ``None``: the cheapest way."""
    pad_prefix: bool = False
    """Whether a prefix may be lengthened, with its own text, to what a cache keeps."""
    lessons: CacheLessons = attrs.field(factory=CacheLessons)
    """What providers' caches have shown so far; shared by the runs of an agent."""
    retry: RetryPolicy = RetryPolicy()
    prices: PriceBook = attrs.field(factory=PriceBook)
    estimator: Estimator = estimate_output_tokens
    """What a task is expected to come out at; replaceable."""

    @property
    def ceilings(self) -> Budget:
        """The budget, with the default ceiling on turns where it names none.

        Where a model hands work out, or a task may be split, that ceiling is one of each piece of
        work alone, and not of the run; an orchestrated run without a time limit gets
        :data:`ORCHESTRATED_SECONDS`.
        """
        if self.orchestrate and self.budget.seconds is None:
            return attrs.evolve(self.budget, seconds=ORCHESTRATED_SECONDS)
        if self.orchestrate or self.delegation_tools or self.split:
            return self.budget
        if self.budget.turns is not None:
            return self.budget
        return attrs.evolve(self.budget, turns=DEFAULT_TURNS)
