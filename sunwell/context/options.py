"""What a caller may choose for a run. Public in ``sunwell.agent.request``, where RFC-137 puts it."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from decimal import Decimal
from typing import Any, Literal, Self, get_args

import attrs

from sunwell.budget.ledger_protocol import Budget
from sunwell.core.model import EFFORTS, Effort, ModelProtocol
from sunwell.core.tool import SANDBOXES, Proposal, Sandbox, Tool
from sunwell.tools.function_tool import as_tool, require_distinct

DelegationTools = Literal["delegate", "rlm", "subagent"]
"""Which tools a model hands work out with. ``delegate``: start, stream, await, inspect; ``rlm``: ask and
wait for the answer, one question or several; ``subagent``: one question."""

_share = attrs.validators.and_(attrs.validators.ge(0.0), attrs.validators.le(1.0))


def _texts(value: Iterable[str]) -> tuple[str, ...]:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"expected several runs, got the single string {value!r}")
    return tuple(value)


def _decimal(value: Decimal | float | str | None) -> Decimal | None:
    return value if value is None or isinstance(value, Decimal) else Decimal(str(value))


@attrs.frozen
class SubCallLimits:
    """Ceilings of all sub-calls that ``rlm`` tools make in a run; ``None`` is no ceiling."""

    max_depth: int = attrs.field(default=3, validator=attrs.validators.ge(0))
    """Hard bound of the nesting, whatever ``RunOptions.max_depth`` allows."""
    max_sub_calls_per_turn: int = attrs.field(default=5, validator=attrs.validators.ge(1))
    max_total_tokens: int | None = 50_000
    """Input and output of all of them together."""
    max_cost_per_session: Decimal | None = attrs.field(default=Decimal("1.0"), converter=_decimal)
    """US dollars of all of them together."""
    budget_inheritance: float = attrs.field(default=0.5, validator=_share)
    """Most of what is left to the parent that one of them may take."""


@attrs.frozen
class Orchestration:
    """Settings of a run whose model hands work out itself."""

    max_iterations: int = attrs.field(default=20, validator=attrs.validators.ge(1))
    """Most turns of the orchestrator's own; those of its workers do not count."""
    confidence_threshold: float = attrs.field(default=0.9, validator=_share)
    """An answer that is at least so sure ends the run, once no worker is at work."""
    share: float = attrs.field(default=0.5, validator=_share)
    """Most of the tokens and dollars left that a single worker may take; a batch shares all of them."""
    max_entries: int = attrs.field(default=1000, validator=attrs.validators.ge(1))
    """Most entries of the scratchpad."""
    persist_decisions: bool = True
    """Whether what the model decided is kept in the scratchpad, too."""
    sub_calls: SubCallLimits = SubCallLimits()
    earlier_runs: tuple[str, ...] = attrs.field(default=(), converter=_texts)
    """Runs of the same workspace whose scratchpads this run may read."""

    def as_json(self) -> dict[str, Any]:
        """Return JSON values from which :meth:`from_json` makes it again."""
        fields = attrs.asdict(self)
        cost = self.sub_calls.max_cost_per_session
        fields["sub_calls"]["max_cost_per_session"] = None if cost is None else str(cost)
        return fields | {"earlier_runs": list(self.earlier_runs)}

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Self:
        """Return what :meth:`as_json` described."""
        return cls(**{**value, "sub_calls": SubCallLimits(**value["sub_calls"])})


ModelReference = ModelProtocol | str
_WORKER_SECONDS: float | None = 300.0
OnLensFailure = Literal["direct", "generic", "fail"]
LENS_OUTCOMES: tuple[OnLensFailure, ...] = get_args(OnLensFailure)
Fallback = Literal["fail", "parent"]
Approve = Callable[[Proposal], bool | Awaitable[bool]]


def _at_least_one(_: object, attribute: "attrs.Attribute[int | None]", value: int | None) -> None:
    if value is not None and value < 1:
        raise ValueError(f"{attribute.name} must be at least 1, got {value}")


def _more_than_zero(_: object, attribute: "attrs.Attribute[Any]", value: float | None) -> None:
    if value is not None and not value > 0:
        raise ValueError(f"{attribute.name} must be more than 0 seconds, got {value}")


def _budget(_: object, __: "attrs.Attribute[Budget]", value: Any) -> None:
    if not isinstance(value, Budget):
        raise TypeError(f'budget wants a Budget, such as Budget(usd="0.50"), got {value!r}')


def _asks(_: object, __: "attrs.Attribute[Any]", value: Any) -> None:
    if value is not None and not callable(value):
        raise TypeError(f"approve wants a function that is given a proposal, got {value!r}")


ToolChoice = str | Tool | Callable[..., Any]
"""The name of a tool that there is, or a function or tool of the caller's to be added."""


def _tools(value: Iterable[ToolChoice] | None) -> tuple[str | Tool, ...] | None:
    if isinstance(value, str):  # tuple("abc") would silently become ("a", "b", "c")
        raise TypeError(f"tools expects several names, got the single string {value!r}")
    if value is None:
        return None
    tools = tuple(one if isinstance(one, str) else as_tool(one) for one in value)
    require_distinct(one.spec.name for one in tools if not isinstance(one, str))
    return tools


@attrs.frozen
class RunOptions:
    """Choices for one run; the first four are RFC-137's."""

    enable_delegation: bool = False
    """Let the policy hand the work to a cheaper model under a lens."""
    delegation_threshold_tokens: int = attrs.field(
        default=2000, validator=[attrs.validators.instance_of(int), attrs.validators.ge(0)]
    )
    """Largest expected output, in tokens, that is not worth a lens."""
    smart_model: ModelReference | None = None
    """Who writes the lens; ``None``: the loop's own model."""
    delegation_model: ModelReference | None = None
    """Who works under the lens; ``None``: the loop's own model."""
    model: ModelReference | None = None
    """The loop's own model; ``None``: ``smart_model``, else the default smart model."""
    budget: Budget = attrs.field(default=Budget(), validator=_budget)
    """Ceilings of the whole run."""
    system_prompt: str | None = None
    """The caller's instructions; they stand before the lens."""
    tools: tuple[str | Tool, ...] | None = attrs.field(default=None, converter=_tools)
    """Names choose among the tools that there are; ``None``: all, ``()``: none. Functions and tools of the
    caller's are added to what is chosen; if there is no name among them, all others stay."""
    max_output_tokens: int | None = attrs.field(default=None, validator=_at_least_one)
    """Most tokens of one answer; ``None``: the loop's default."""
    effort: Effort | None = attrs.field(
        default=None, validator=attrs.validators.optional(attrs.validators.in_(EFFORTS))
    )
    """Effort of the loop's own model and of the smart model; ``None``: the provider's default."""
    on_lens_failure: OnLensFailure = attrs.field(
        default="direct", validator=attrs.validators.in_(LENS_OUTCOMES)
    )
    """What happens where no lens comes of it: go on undelegated, with a generic lens, or end."""
    allow_shell: bool = False
    """Whether the model may run commands."""
    sandbox: Sandbox = attrs.field(default="required", validator=attrs.validators.in_(SANDBOXES))
    """``required``: commands run in a sandbox, and a run that has none for them does not begin.
    ``off``: commands can do what your account can."""
    allow_python: bool = False
    """Whether the model may run Python in a sandbox; needs ``sunwell[python]``."""
    approve: Approve | None = attrs.field(default=None, validator=_asks)
    """Asked before each write and command; ``None``: nobody is asked."""
    dry_run: bool = False
    """Show what would change and change nothing."""
    max_concurrent: int = attrs.field(default=4, validator=attrs.validators.ge(1))
    """Most workers of the whole tree that make progress at once; the excess queues."""
    worker_timeout_seconds: float | None = attrs.field(default=_WORKER_SECONDS, validator=_more_than_zero)
    """Most wall time of a worker whose task names none; ``None``: no limit."""
    max_depth: int = attrs.field(default=1, validator=attrs.validators.ge(0))
    """A worker may be started where the depth is lower; the root is 0."""
    orchestrate: bool = False
    """Have the smart model hand all work out, and touch nothing itself."""
    delegation_tools: DelegationTools | None = attrs.field(
        default=None,
        validator=attrs.validators.optional(attrs.validators.in_(("delegate", "rlm", "subagent"))),
    )
    """Tools with which the model may hand work out; ``None``: none, or ``delegate`` with ``orchestrate``."""
    orchestration: Orchestration = Orchestration()
    """How work is handed out by a model, where one of the two above is set."""
    fail_fast: bool = False
    """Whether the first worker of a batch that fails ends the others."""
    split: bool = False
    """Whether a delegated task may be split into items, with one worker each."""
    fallback: Fallback = attrs.field(default="fail", validator=attrs.validators.in_(("fail", "parent")))
    """Where the delegation model cannot be used: end before anything is spent, or the parent's works."""
    pad_prefix: bool = False
    """Whether the prefix of siblings may be lengthened, with its own text, to what a cache keeps."""
    stream: bool = False
    """Stream the answers, with :class:`~sunwell.events.ModelTextArrived` events."""

    @property
    def own_tools(self) -> tuple[Tool, ...]:
        """The caller's own tools among ``tools``."""
        return tuple(one for one in self.tools or () if not isinstance(one, str))

    @property
    def tool_names(self) -> tuple[str, ...] | None:
        """The names of the tools that may be used, the caller's own among them; ``None``: all."""
        if self.tools is None or (self.tools and not any(isinstance(one, str) for one in self.tools)):
            return None
        names = (one if isinstance(one, str) else one.spec.name for one in self.tools)
        return tuple(dict.fromkeys(names))
