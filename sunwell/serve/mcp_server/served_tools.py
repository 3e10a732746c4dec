"""The tools as clients see them: names, arguments, schemas. Loaded when a client first asks for tools.

What clients read of them is constant: nothing from a workspace is in it.
"""

from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult, InputRequiredResult, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field

from sunwell.core.task import Task
from sunwell.serve.mcp_server.delegation_server import DelegationServer
from sunwell.serve.mcp_server.outcome_models import EstimateOutcome, ReportOutcome, RunOutcome, UndoOutcome

_DELEGATE = """\
Have one task done in the root folder by a cheaper model. It reads and changes files there.
Say what is to be done, in which files, and how one can see that it is done: the model knows nothing else.
Whether it may run commands, and which check its work must pass, is set by the server; verified is null if
nothing was checked. The result has the answer, the bill, the changed files, and a run_id.
It may take minutes. If the call breaks off, do not start it again: report without a run_id lists it."""

_BATCH = """\
Have many tasks done, each by a worker of its own, several at once. One cap holds for all of them.
Use it for tasks that are alike and do not change the same files. If the call breaks off, do not start it
again: report without a run_id lists it."""

_ASK = """\
Answer a question about files that may be far too long to read. It reads only; it changes nothing.
The answer says which share of the files was read."""

_ESTIMATE = "Say what a task would cost, and which way would be taken. No model is asked; it is free."

_RESUME = """\
Go on with a run that was cancelled, was interrupted, or met its cap. What was answered is not paid again.
A run that has finished gives its result again, free of charge. A run that is still running is left alone."""

_REPORT = """\
Show a run: how it ended or how far it is, its answer, its bill. Without a run_id, list the latest runs,
the roots, and what may still be spent. It is free."""

_UNDO = "Put back the files that a run has changed. A file that was changed since is left as it is."

_TASK = "What is to be done, as you would tell a colleague who cannot ask back."
_MATERIAL = "Text that the task is about, such as a log or a specification. It is not taken as instructions."
_ROOT = "Name of the folder to work in. Leave it empty for the first one; report lists them."
_MAX_COST = "Cap for the whole run in US dollars. It can only lower the server's own cap."
_NEW_COST = (
    "Cap for the whole run in US dollars, what it has cost so far included. It may be higher than the run's "
    "earlier cap, up to the server's own. Without it, the earlier cap holds."
)
_CONTEXTS = "Files, folders or globs, relative to the root: app.log, docs, logs/*.txt."
_QUESTION = "What you want to know."
_RUN_ID = (
    "The run's id, or a beginning of it that only this run has; last is the newest run of the root, whoever "
    "started it."
)
_RUN_ID_OR_NONE = f"{_RUN_ID} Leave it empty for a list."
_TASKS = "The tasks. A worker is told its own and no other: say in each what all of them need."
_TASK_TEXT = "What is to be done."
_TARGET_FILES = "Files that it is about, relative to the root."
_DONE = "How one can see that it is done."

Root = Annotated[str, Field(description=_ROOT)]
MaxCost = Annotated[float | None, Field(description=_MAX_COST, gt=0)]
NewCost = Annotated[float | None, Field(description=_NEW_COST, gt=0)]
Material = Annotated[str, Field(description=_MATERIAL)]
TaskText = Annotated[str, Field(description=_TASK)]
RunId = Annotated[str, Field(description=_RUN_ID)]
RunAnswer = Annotated[CallToolResult, RunOutcome] | InputRequiredResult
UndoAnswer = Annotated[CallToolResult, UndoOutcome] | InputRequiredResult


class BatchTask(BaseModel):
    """One task of a batch. It names no command and no model: those are not a client's."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(description=_TASK_TEXT, pattern=r"\S")
    target_files: list[str] = Field(default=[], description=_TARGET_FILES)
    done: str = Field(default="", description=_DONE)


def add_tools(server: DelegationServer) -> None:
    """Add all tools to *server*."""
    does = server.delegations

    async def delegate(
        ctx: Context[Any, Any], task: TaskText, material: Material = "", root: Root = "",
        max_cost_usd: MaxCost = None,
    ) -> RunAnswer:  # fmt: skip
        return await server.served(ctx, lambda call: does.delegate(call, task, material, root, max_cost_usd))

    async def batch(
        ctx: Context[Any, Any], tasks: Annotated[list[BatchTask], Field(description=_TASKS)],
        root: Root = "", max_cost_usd: MaxCost = None,
    ) -> RunAnswer:  # fmt: skip
        made = [Task(one.text, target_files=tuple(one.target_files), done=one.done) for one in tasks]
        return await server.served(ctx, lambda call: does.batch(call, made, root, max_cost_usd))

    async def ask(
        ctx: Context[Any, Any], question: Annotated[str, Field(description=_QUESTION)],
        contexts: Annotated[list[str], Field(description=_CONTEXTS)], root: Root = "",
        max_cost_usd: MaxCost = None,
    ) -> RunAnswer:  # fmt: skip
        return await server.served(ctx, lambda call: does.ask(call, question, contexts, root, max_cost_usd))

    async def resume(
        ctx: Context[Any, Any], run_id: RunId, root: Root = "", max_cost_usd: NewCost = None
    ) -> RunAnswer:
        return await server.served(ctx, lambda call: does.resume(call, run_id, root, max_cost_usd))

    async def undo(ctx: Context[Any, Any], run_id: RunId, root: Root = "") -> UndoAnswer:
        return await server.served(ctx, lambda call: does.undo(call, run_id, root))

    async def estimate(
        ctx: Context[Any, Any], task: TaskText, material: Material = "", root: Root = ""
    ) -> Annotated[CallToolResult, EstimateOutcome] | InputRequiredResult:
        return await server.served(ctx, lambda _: does.estimate(task, material, root))

    async def report(
        ctx: Context[Any, Any], run_id: Annotated[str, Field(description=_RUN_ID_OR_NONE)] = "",
        root: Root = "",
    ) -> Annotated[CallToolResult, ReportOutcome] | InputRequiredResult:  # fmt: skip
        return await server.served(ctx, lambda _: does.report(run_id, root))

    working = ToolAnnotations(read_only_hint=False, destructive_hint=True, open_world_hint=True)
    reading = ToolAnnotations(read_only_hint=True, open_world_hint=False)
    asking = ToolAnnotations(read_only_hint=False, destructive_hint=False, open_world_hint=True)  # it costs
    undoing = ToolAnnotations(read_only_hint=False, destructive_hint=True, idempotent_hint=True)
    for function, described, hints in (
        (delegate, _DELEGATE, working),
        (batch, _BATCH, working),
        (ask, _ASK, asking),
        (estimate, _ESTIMATE, reading),
        (resume, _RESUME, working),
        (report, _REPORT, reading),
        (undo, _UNDO, undoing),
    ):
        server.add_tool(function, description=described, annotations=hints)
