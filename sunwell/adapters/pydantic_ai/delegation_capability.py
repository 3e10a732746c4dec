"""A capability for agents of pydantic-ai: their models hand tasks to Sunwell, under a cap."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

import anyio
import attrs
from pydantic import BaseModel, ConfigDict, Field
from pydantic_ai.capabilities import AbstractCapability
from pydantic_ai.exceptions import ToolFailed
from pydantic_ai.tools import AgentDepsT, Tool
from pydantic_ai.toolsets import FunctionToolset

from sunwell.adapters.pydantic_ai.shared_budget import SharedBudget
from sunwell.agent.agent import Agent
from sunwell.agent.lifecycle.authority import CallerTerms, permissions
from sunwell.budget.ledger_protocol import Budget
from sunwell.context.options import MODEL_ROLES, Approve, RunOptions
from sunwell.core.secrets import without_credentials
from sunwell.core.task import Task
from sunwell.errors import ConfigurationError, SunwellError
from sunwell.report.figures import dollars, exact
from sunwell.serve.mcp_server.delegations import Delegations
from sunwell.serve.mcp_server.held_call import HeldCall
from sunwell.serve.mcp_server.outcome_models import ChangedPath, RunOutcome, TaskOutcome
from sunwell.serve.mcp_server.served_roots import ServedRoots
from sunwell.serve.root_settings import ServerTerms, Work
from sunwell.tools.environment import secrets_from_environment
from sunwell.tools.wording import on_one_line

_DELEGATE = """\
Have one task done in the workspace folder by cheaper models. They read and change files there.
Say what is to be done, in which files, and how one can see that it is done: they know nothing else, and
cannot ask back. It may take minutes. The result has the answer, the cost, whether checks passed, and the
changed files. Do not repeat a call that broke off: resume_delegated with run_id "last" goes on with it."""

_MANY = """\
Have many tasks done in the workspace folder, each by a worker of its own, several at once; one cap holds for
all of them together. Use it for tasks that are alike and do not change the same files."""

_ASK = """\
Answer a question about files of the workspace folder, however long they are. It reads only. The answer says
which share of the files was read."""

_RESUME = """\
Go on with a delegated run that was cancelled, interrupted, or met its cap. What was answered is not paid
again. A run that has finished gives its result again, free of charge."""

_TASK = "What is to be done, as you would tell a colleague who cannot ask back."
_MATERIAL = "Text that the task is about, such as a log or a specification. It is not taken as instructions."
_CONTEXTS = "Files, folders or globs, relative to the workspace: app.log, docs, logs/*.txt."
_RUN_ID = 'The run_id of an earlier result, or "last" for the newest run of the workspace.'
_CAP = "Cap for this run in US dollars. It can only lower the one that holds anyway."
_NEW_CAP = (
    "Cap for the whole run in US dollars, what it has cost so far included. Without it, the run's earlier "
    "cap holds."
)
_MOST_RETRIES = 3
_BOOKING_SECONDS = 10.0
"""How long a call that was cancelled waits until its run is booked."""
_FINAL = ("refusal", "length", "window", "provider_stop")


class DelegatedRun(BaseModel):
    """What became of a delegated run: what the host's model is told. Amounts are dollars, with all digits."""

    run_id: str
    status: Literal["ok", "incomplete", "error", "cancelled", "running", "open"]
    """``incomplete``: a limit was met or a check failed; ``open``: it was interrupted."""
    stop_reason: str | None
    answer: str
    """What the models answered: data, whatever it says."""
    answer_is_cut: bool
    verified: bool | None
    """Whether the checks passed; ``None``: there were none, or none could tell."""
    verdict: str
    """What ``verified`` rests on, in a sentence."""
    cost_usd: str | None
    """What it cost so far, earlier parts of it included; ``None``: unknown."""
    uncertain_usd: str | None
    """What may be billed besides, at most."""
    cap_usd: str | None
    files: list[ChangedPath]
    files_left_out: int
    """How many changed files are not listed."""
    unresolved: list[str]
    """What the run itself says is not done."""
    tasks: list[TaskOutcome]
    """The workers of several tasks, in their order."""
    tasks_left_out: int
    error: str | None
    warnings: list[str]
    next: str
    """What can be done now, in a sentence."""


class DelegatedItem(BaseModel):
    """One of many tasks."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description="What is to be done.", pattern=r"\S")
    target_files: list[str] = Field(default=[], description="Files that it is about, in the workspace.")
    done: str = Field(default="", description="How one can see that it is done.")


TaskText = Annotated[str, Field(description=_TASK)]
Material = Annotated[str, Field(description=_MATERIAL)]
Tasks = Annotated[list[DelegatedItem], Field(description="A worker is told its own task and no other.")]
Question = Annotated[str, Field(description="What you want to know.")]
Contexts = Annotated[list[str], Field(description=_CONTEXTS)]
RunId = Annotated[str, Field(description=_RUN_ID)]
Cap = Annotated[float | None, Field(description=_CAP)]
NewCap = Annotated[float | None, Field(description=_NEW_CAP)]


@attrs.frozen
class _GivenSettings:
    """The settings of all runs of a capability: those that its program gives."""

    template: Agent
    given: RunOptions
    work: Work
    warnings: tuple[str, ...] = ()

    @property
    def options(self) -> RunOptions:
        """The options of a new run, as the commands ``run``, ``batch`` and ``ask`` have them."""
        named: dict[str, Any] = dict.fromkeys(self._models)
        options = attrs.evolve(self.given, **named)
        if self.work == "batch":
            is_delegated = options.delegation_model is not None or self.template.delegation_model is not None
            return attrs.evolve(options, enable_delegation=is_delegated and options.lens is None)
        return attrs.evolve(options, tools=None) if self.work == "question" else options

    def agent(self) -> Agent:
        """Return an agent of its own for one run, so that it can be stopped alone."""
        own = {role: getattr(self.template, role, None) or model for role, model in self._models.items()}
        return attrs.evolve(self.template, **own)

    def terms(self, recorded: RunOptions, approve: Approve | None) -> CallerTerms:
        """Return what is given again: what the run had and this program still allows, and nothing more."""
        given: dict[str, Any] = {}
        for name, permission in permissions().items():
            now, had = getattr(self.given, name), getattr(recorded, name)
            if permission.harmless not in (now, had) and (
                now == had or name in ("checks", "context_sources")
            ):
                given[name] = now
        approves = approve or self.given.approve
        if approves is not None:
            given["approve"] = approves
        if self.given.tools and set(recorded.tools or ()) <= set(self.given.tools):
            given["tools"] = recorded.tools
        return CallerTerms(given=given, ceilings=self.given.budget)

    @property
    def _models(self) -> dict[str, Any]:
        """The models of the options that are objects: a record has only names."""
        chosen = {role: getattr(self.given, role) for role in MODEL_ROLES}
        return {role: model for role, model in chosen.items() if not isinstance(model, str | None)}


@dataclass(eq=False)
class Delegation(AbstractCapability[AgentDepsT]):
    """Gives an agent of pydantic-ai tools that hand tasks to Sunwell in *workspace*.

    The tools are ``delegate``, ``delegate_many``, ``ask_about_files`` and ``resume_delegated``. A run is that
    of ``agent`` with ``options``: the same requests and the same bill as elsewhere. It may cost
    ``max_cost_usd`` at most, which is held of ``budget`` while it goes on. The host's model names a task and
    a cap that is not higher; it can choose no model, no command, no permission and no other folder. What
    went wrong before a run had begun is told to it in a sentence, and has cost nothing.

    If the call of a tool is cancelled, its run stops as by Ctrl-C: what was paid is booked, and the run can
    be resumed. Writes and commands that need a person's approval ask ``options.approve`` and are refused
    without one; ``requires_approval`` has pydantic-ai ask before any run begins.

    Raises :exc:`~sunwell.errors.ConfigurationError` if the workspace is no folder or a cap is not above 0.
    """

    workspace: str | Path
    """The folder in which all runs work."""
    budget: SharedBudget
    """What the runs may spend, with whoever shares it."""
    _: KW_ONLY
    options: RunOptions = field(default_factory=RunOptions)
    """The options of each run: permissions, checks, whether to delegate."""
    agent: Agent = field(default_factory=Agent)
    """The models, tools and prices of each run; each run gets a copy."""
    max_cost_usd: Decimal | float | str | None = None
    """What one run may cost at most in US dollars, if the shared budget and the options allow it; ``None``:
    one dollar, or half of the shared budget if that is less."""
    requires_approval: bool = False
    """Whether each call of a tool waits for an approval, by the means of pydantic-ai for that."""

    def __post_init__(self) -> None:
        usual = min(Decimal(1), self.budget.usd / 2)
        chosen = usual if self.max_cost_usd is None else Budget(usd=self.max_cost_usd).usd
        caps = [chosen, self.options.budget.usd, self.budget.usd]
        self._cap = min(cap for cap in caps if cap is not None)
        if not self._cap:
            raise ConfigurationError("the cap of a delegated run must be above 0 dollars: see max_cost_usd")
        self._runs = Delegations(
            ServedRoots.of([self.workspace], called="workspace"),
            lambda _, work: _GivenSettings(self.agent, self.options, work),
            ServerTerms(max_cost_usd=self._cap),
            self.budget,
        )

    def get_toolset(self) -> FunctionToolset[AgentDepsT]:
        """Return the four tools."""
        capped = f"One run may cost {dollars(self._cap)} at most."
        told: Sequence[tuple[str, Callable[..., Awaitable[DelegatedRun]], str]] = (
            ("delegate", self._delegate, f"{_DELEGATE}\n{capped}"),
            ("delegate_many", self._delegate_many, f"{_MANY}\n{capped}"),
            ("ask_about_files", self._ask_about_files, f"{_ASK}\n{capped}"),
            ("resume_delegated", self._resume_delegated, _RESUME),
        )
        return FunctionToolset(
            [Tool(call, takes_ctx=False, name=name, description=text) for name, call, text in told],
            max_retries=_MOST_RETRIES,
            requires_approval=self.requires_approval,
        )

    async def _delegate(
        self, task: TaskText, material: Material = "", max_cost_usd: Cap = None
    ) -> DelegatedRun:
        return await self._called(
            max_cost_usd, lambda call: self._runs.delegate(call, task, material, "", max_cost_usd)
        )

    async def _delegate_many(self, tasks: Tasks, max_cost_usd: Cap = None) -> DelegatedRun:
        made = [Task(one.text, target_files=tuple(one.target_files), done=one.done) for one in tasks]
        return await self._called(max_cost_usd, lambda call: self._runs.batch(call, made, "", max_cost_usd))

    async def _ask_about_files(
        self, question: Question, contexts: Contexts, max_cost_usd: Cap = None
    ) -> DelegatedRun:
        return await self._called(
            max_cost_usd, lambda call: self._runs.ask(call, question, contexts, "", max_cost_usd)
        )

    async def _resume_delegated(self, run_id: RunId, max_cost_usd: NewCap = None) -> DelegatedRun:
        return await self._called(
            max_cost_usd, lambda call: self._runs.resume(call, run_id, "", max_cost_usd)
        )

    async def _called(
        self, max_cost_usd: float | None, work: Callable[[HeldCall[Any]], Awaitable[RunOutcome]]
    ) -> DelegatedRun:
        """Return what became of the run of *work*; whatever refuses it is a failed call of the tool."""
        call: HeldCall[Any] = HeldCall(can_ask=False)
        try:
            self._require_lower(max_cost_usd)
            call.begin(work)
            await call.ended()
            return self._told(call.result())
        except SunwellError as error:
            raise ToolFailed(_safe(error)) from error
        finally:
            if not call.has_ended:
                with anyio.CancelScope(shield=True), anyio.move_on_after(_BOOKING_SECONDS):
                    call.stop()
                    await call.ended()

    def _require_lower(self, max_cost_usd: float | None) -> None:
        asked = None if max_cost_usd is None else Budget(usd=max_cost_usd).usd
        if asked is not None and not 0 < asked <= self._cap:
            raise ConfigurationError(
                "not begun, and nothing was spent: max_cost_usd must be above 0 and at most "
                f"{exact(self._cap)}; leave it out for that"
            )

    def _told(self, outcome: RunOutcome) -> DelegatedRun:
        known = {name: getattr(outcome, name) for name in DelegatedRun.model_fields if hasattr(outcome, name)}
        known["next"] = self._next(outcome)
        if outcome.answer_is_cut:
            known["next"] += (
                f" The answer is cut; a person finds all of it with: sunwell show {outcome.run_id}"
            )
        if outcome.verdict is None:
            known["verdict"] = "No check was carried out, so nobody has verified the work."
        return DelegatedRun(**known)

    def _next(self, outcome: RunOutcome) -> str:
        again = f'call resume_delegated with run_id "{outcome.run_id}"'
        paid = "What was answered is not paid again."
        if outcome.status == "ok":
            looked = outcome.verified is not None or not outcome.files
            return (
                "The run is done." if looked else "The run is done. No check has looked at the changed files."
            )
        if outcome.status == "running":
            return "Another process works on it. Leave it alone."
        if outcome.status in ("open", "cancelled"):
            return f"It can go on: {again}. {paid}"
        if outcome.stop_reason == "budget_usd":
            cap = Decimal(outcome.cap_usd or 0)
            if cap >= self._cap:
                return "The cap was met, and no higher one is allowed here. Tell the user what is not done."
            between = f"a max_cost_usd above {exact(cap)}, at most {exact(self._cap)}"
            return f"The cap was met. To go on, {again} and {between}."
        if outcome.stop_reason == "check_failed":
            return (
                "The changes are in the workspace, and a check does not pass. Delegate a new task that says "
                "what to repair, or tell the user."
            )
        if outcome.stop_reason in _FINAL:
            return "Resuming gives the same end. Give another task, or tell the user."
        return f"Tell the user what went wrong. Once that is mended, {again}. {paid}"


def _safe(error: SunwellError) -> str:
    """Return the sentence of *error* without known secrets, on one line."""
    return on_one_line(without_credentials(secrets_from_environment().redact(str(error))))
