"""The options of a run hold for its tool calls, whoever carries them out and however the run is begun."""

import asyncio
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.loop import AgentLoop
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Completion, Proposal, TaskResult, ToolCall, ToolResult
from sunwell.core.message import FileChange
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Sandbox, SharedExecutor, StagingExecutor, Tool, ToolExecutor
from sunwell.errors import ConfigurationError, ServerFailed
from sunwell.events import RunFinished
from sunwell.gateway.retry import RetryPolicy
from sunwell.journal import list_runs, read_records
from sunwell.journal.records import ToolFinished, ToolStarted
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion
from sunwell.tools import Rules, Toolbox, Uncovered, UndoReport, Workspace, tool, under_rules, undo
from sunwell.tools.originals import Originals
from sunwell.tools.policy import GovernedExecutor

WAYS = ("run", "batch", "worker", "resume")
PUT = ToolSpec(
    "put",
    "Put content into a file.",
    {
        "type": "object",
        "properties": {"path": {"type": "string"}, "content": {"type": "string"}},
        "required": ["path", "content"],
        "additionalProperties": False,
    },
)


def call_of(name: str, number: int = 0, **arguments: Any) -> ToolCall:
    """Return a call of the tool *name*."""
    return ToolCall(f"c{number}", name, json.dumps(arguments))


def sha(path: Path) -> str | None:
    """Return the hash of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


@attrs.define(eq=False)
class Plain:
    """Somebody's own executor, with the one method that it needs and a list of its tools."""

    root: Path
    calls: list[str] = attrs.field(factory=list)

    def specs(self) -> tuple[ToolSpec, ...]:
        return (PUT,)

    async def execute(self, call: ToolCall) -> ToolResult:
        given = json.loads(call.arguments)
        self.calls.append(call.name)
        (self.root / given["path"]).write_text(given["content"])
        return ToolResult(call.id, "put")


@attrs.define(eq=False)
class Staging(Plain):
    """Somebody's own executor, which says beforehand what a call will change."""

    async def stage(self, call: ToolCall) -> "StagedPut":
        given = json.loads(call.arguments)
        after = hashlib.sha256(given["content"].encode()).hexdigest()
        change = FileChange(given["path"], sha(self.root / given["path"]), after)
        return StagedPut(self, call, (change,))

    async def hashes(self, paths: tuple[str, ...]) -> tuple[str | None, ...]:
        return tuple(sha(self.root / path) for path in paths)

    def is_parallel(self, name: str) -> bool:
        return False


@attrs.frozen
class StagedPut:
    """A file about to be put."""

    executor: Staging
    call: ToolCall
    changes: tuple[FileChange, ...]
    repeatable: bool = False
    foretold: ToolResult | None = None

    async def finish(self) -> ToolResult:
        return attrs.evolve(await self.executor.execute(self.call), changes=self.changes)


@attrs.define(eq=False)
class Place:
    """A workspace with a file, an executor, and what became of a run."""

    root: Path
    kind: str
    given: ToolExecutor | None = None
    """The executor of a place that has one of its own kind."""
    launched: list[str] = attrs.field(factory=list)
    asked: list[Proposal] = attrs.field(factory=list)
    """What somebody was asked to approve."""
    requests: int = 0
    """How often a model was asked."""

    def executor(self) -> ToolExecutor | None:
        """Return the executor that the agent is given."""

        @tool(ask=True)
        async def launch(target: str) -> str:
            """Launch it."""
            self.launched.append(target)
            return "launched"

        made: dict[str, Callable[[], ToolExecutor | None]] = {
            "none": lambda: None,
            "toolbox": lambda: Toolbox(self.root, [launch]),
            "staging": lambda: Staging(self.root),
            "plain": lambda: Plain(self.root),
            "broken": lambda: self.given,
        }
        return made[self.kind]()

    def calls(self) -> tuple[ToolCall, ...]:
        """Return calls that change something: each tool of the executor that can."""
        writing = call_of("write_file", path="a.txt", content="new")
        if self.kind == "none":
            return (writing,)
        if self.kind == "toolbox":
            return (writing, call_of("launch", 1, target="moon"))
        return (call_of("put", path="a.txt", content="new"),)

    def answers(self, said: bool) -> Callable[[Proposal], bool]:
        """Return an approver that always says *said*."""

        def approve(proposal: Proposal) -> bool:
            self.asked.append(proposal)
            return said

        return approve

    def go(self, way: str, options: RunOptions, *calls: ToolCall) -> TaskResult:
        """Have a model make *calls* in a run that is begun in *way*."""
        return asyncio.run(self._go(way, options, calls or self.calls()))

    async def _go(self, way: str, options: RunOptions, calls: tuple[ToolCall, ...]) -> TaskResult:
        lines: tuple[Completion | str, ...] = (completion(*calls), "What was not approved is not done.")
        if way == "worker":
            options = attrs.evolve(options, orchestrate=True)
            start = call_of("delegate", task="Do it.", tools=None)
            wait = call_of("await_results", task_ids=None, timeout_seconds=None)
            end = call_of("set_answer", content="Done.", ready=True, confidence=1.0)
            boss = ScriptedModel("boss", [completion(start), completion(wait), completion(end)])
            return await self._result(self._agent(boss, ScriptedModel("worker", list(lines))), way, options)
        if way == "resume":
            failing = ScriptedModel("own", [ServerFailed("own", "down", retry=False)])
            agent = self._agent(failing)
            failed = await self._result(agent, "run", attrs.evolve(options))
            assert failed.status == "error"
        return await self._result(self._agent(ScriptedModel("own", list(lines))), way, options)

    def _agent(self, model: ScriptedModel, worker: ScriptedModel | None = None) -> Agent:
        return Agent(
            model=model,
            delegation_model=worker,
            tool_executor=self.executor(),
            registry=ModelRegistry(),
            retry=RetryPolicy(attempts=1),
        )

    async def _result(self, agent: Agent, way: str, options: RunOptions) -> TaskResult:
        models = [m for m in (agent.model, agent.delegation_model) if isinstance(m, ScriptedModel)]
        try:
            if way == "batch":
                return (await agent.batch(["Do it."], workspace=self.root, options=options)).run
            if way == "resume":
                # What a record may say it says: approvals and permissions must be given again.
                again = options if options.approve or options.allow_shell or options.allow_write else None
                events = agent.resume("", workspace=self.root, options=again)
                async for event in events:
                    if isinstance(event, RunFinished):
                        return event.result
            return await agent.result(SessionContext.build(self.root, "Do it.", options=options))
        finally:
            self.requests += sum(len(model.calls) for model in models)

    def told(self) -> list[str]:
        """Return what the tools told the model that called them."""
        return [
            record.result.content
            for record in read_records(self.journal)
            if isinstance(record, ToolFinished)
            and record.tool in ("put", "write_file", "launch", "run_command")
        ]

    @property
    def journal(self) -> Path:
        return list_runs(self.root)[-1].path

    def undo(self) -> UndoReport:
        """Undo the run."""
        return undo(self.journal.parent / "originals", Workspace(self.root))

    @property
    def text(self) -> str:
        """What the file holds."""
        return (self.root / "a.txt").read_text()


@pytest.fixture(params=["none", "toolbox", "staging", "plain"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Return a workspace in which the file ``a.txt`` holds ``old``."""
    (tmp_path / "a.txt").write_text("old")
    return Place(tmp_path, request.param)


@pytest.mark.parametrize("way", WAYS)
def test_a_dry_run_changes_nothing(place: Place, way: str) -> None:
    """The model is told so. An executor that can only execute is refused before a model is asked."""
    options = RunOptions(dry_run=True)
    if place.kind == "plain":
        with pytest.raises(ConfigurationError, match=r"a dry run needs an executor that stages"):
            place.go("run" if way == "resume" else way, options)
        assert (place.requests, list_runs(place.root)) == (0, ())
        return
    place.go(way, options)
    assert (place.text, place.launched) == ("old", [])
    assert [text.startswith("dry run") for text in place.told()] == [True] * len(place.calls())
    assert not any(isinstance(r, ToolStarted) and r.changes for r in read_records(place.journal))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("said", [False, True], ids=["no", "yes"])
def test_an_approver_is_asked_once_for_each_call(place: Place, way: str, said: bool) -> None:
    """A no leaves everything as it is."""
    place.go(way, RunOptions(approve=place.answers(said)))
    assert [proposal.tool for proposal in place.asked] == [call.name for call in place.calls()]
    assert place.text == ("new" if said else "old")
    assert place.launched == (["moon"] if said and place.kind == "toolbox" else [])
    assert all("was not approved" in text for text in place.told()) is not said


@pytest.mark.parametrize("way", WAYS)
def test_the_shell_is_there_if_it_is_allowed(place: Place, way: str) -> None:
    """A toolbox gets the tool; an executor that cannot have it is refused before a model is asked."""
    options = RunOptions(allow_shell=True, sandbox="off")
    command = call_of("run_command", command="printf new > a.txt", timeout_seconds=None)
    if place.kind in ("staging", "plain"):
        with pytest.raises(ConfigurationError, match="allow_shell adds a tool to a Toolbox"):
            place.go("run" if way == "resume" else way, options, command)
        assert (place.requests, list_runs(place.root)) == (0, ())
        return
    place.go(way, options, command)
    assert place.text == "new"
    with pytest.raises(ConfigurationError, match="not covered: 1 call of run_command"):
        place.undo()


@pytest.mark.parametrize("way", WAYS)
def test_undo_puts_back_what_it_can_and_names_the_rest(place: Place, way: str) -> None:
    """Files are as before; calls of which nothing could be kept are counted by tool."""
    place.go(way, RunOptions())
    assert place.text == "new"
    if place.kind == "plain":
        with pytest.raises(ConfigurationError, match=r"no originals in .* not covered: 1 call of put"):
            place.undo()
        return
    uncovered = (Uncovered("launch", 1),) if place.kind == "toolbox" else ()
    assert place.undo() == UndoReport(restored=("a.txt",), uncovered=uncovered)
    assert place.text == "old"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("who", ["nobody", "approver", "glob"])
@pytest.mark.parametrize("path", [".envrc", "sub/AGENTS.md"])
def test_a_file_that_others_run_is_asked_for_in_every_way(
    place: Place, way: str, who: str, path: str
) -> None:
    """Nobody who can be asked: refused. Somebody: asked, with the reason. A glob: written."""
    if place.kind == "plain":
        pytest.skip("an executor that only executes does not say which file it changes")
    (place.root / "sub").mkdir()
    given: dict[str, Any] = {"approver": {"approve": place.answers(True)}, "glob": {"allow_write": (path,)}}
    name = "put" if place.kind == "staging" else "write_file"
    place.go(way, RunOptions(**given.get(who, {})), call_of(name, path=path, content="new"))
    assert (place.root / path).exists() == (who != "nobody")
    is_refused = "only a person can allow it (--approve, or --allow-write" in place.told()[0]
    assert is_refused == (who == "nobody")
    assert [(one.always, bool(one.reason)) for one in place.asked] == [(True, True)] * (who == "approver")


@pytest.mark.parametrize("path", [".git/config", ".env", "sunwell.toml", "a/.ssh/x", "repo/config"])
def test_a_closed_file_is_written_by_no_executor_that_says_what_it_changes(place: Place, path: str) -> None:
    """Not even approved, nor with a glob."""
    if place.kind == "plain":
        pytest.skip("an executor that only executes does not say which file it changes")
    for folder in (".git", "a/.ssh", "repo/refs", "repo/objects"):
        (place.root / folder).mkdir(parents=True)
    (place.root / "repo/HEAD").write_text("ref: refs/heads/a")
    name = "put" if place.kind == "staging" else "write_file"
    place.go(
        "run",
        RunOptions(approve=place.answers(True), allow_write=("**",)),
        call_of(name, path=path, content="new"),
    )
    assert not (place.root / path).exists()


@pytest.mark.parametrize("form", ["{home}/{path}", "../{name}/{path}"])
@pytest.mark.parametrize("path", [".local/state/sunwell/journal.key", ".config/sunwell/trusted.json"])
def test_no_executor_that_says_what_it_changes_writes_sunwells_own_files(
    place: Place, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, form, path
) -> None:
    """They are outside of the workspace, where all else is the executor's own matter."""
    if place.kind != "staging":
        pytest.skip("only an executor that says which file it changes can name one outside")
    home = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("HOME", str(home))
    (home / path).parent.mkdir(parents=True)
    (home / path).write_text("old")
    (home / path).chmod(0o644)  # no key that a run could be marked with, so it stays
    named = form.format(home=home, name=os.path.relpath(home, place.root.parent), path=path)
    allowed = RunOptions(approve=place.answers(True), allow_write=("**",))
    place.go("run", allowed, call_of("put", path=named, content="new"))
    assert (home / path).read_text() == "old"


def test_calls_that_were_not_made_need_no_undo(place: Place) -> None:
    """What was refused is not counted among the calls whose effects nobody kept."""
    place.go("run", RunOptions(approve=place.answers(False)))
    with pytest.raises(ConfigurationError, match="nothing to undo: the run changed no file"):
        place.undo()


@pytest.mark.parametrize(
    ("own", "options", "asked", "done"),
    [
        pytest.param(True, True, ["own", "options"], True, id="both-agree"),
        pytest.param(False, True, ["own"], False, id="the-toolbox-refuses"),
        pytest.param(True, False, ["own", "options"], False, id="the-options-refuse"),
    ],
)
def test_a_toolbox_and_the_options_must_both_approve(
    tmp_path: Path, own: bool, options: bool, asked: list[str], done: bool
) -> None:
    """Any refusal refuses."""
    seen: list[str] = []

    def saying(who: str, said: bool) -> Callable[[Proposal], bool]:
        def approve(_: Proposal) -> bool:
            seen.append(who)
            return said

        return approve

    box = Toolbox(tmp_path, approve=saying("own", own))
    rules = Rules(Workspace(tmp_path), approve=saying("options", options))
    asyncio.run(under_rules(box, rules).execute(call_of("write_file", path="a.txt", content="new")))
    assert (seen, (tmp_path / "a.txt").exists()) == (asked, done)


@attrs.define(eq=False)
class Approver:
    """Somebody who approves, by a method."""

    asked: int = 0

    def approve(self, _: Proposal) -> bool:
        self.asked += 1
        return True


def test_one_approver_on_both_sides_is_asked_once(tmp_path: Path) -> None:
    """Even by a method, which is another object each time that it is named."""
    who = Approver()
    box = Toolbox(tmp_path, approve=who.approve)
    ruled = under_rules(box, Rules(Workspace(tmp_path), approve=who.approve))
    asyncio.run(ruled.execute(call_of("write_file", path="a.txt", content="new")))
    assert who.asked == 1


def test_what_a_toolbox_says_itself_holds_when_the_run_is_resumed_without_it(tmp_path: Path) -> None:
    """A dry run stays one, and a run that asked is not gone on with by somebody who does not ask."""
    (tmp_path / "a.txt").write_text("old")
    down = ServerFailed("own", "down", retry=False)
    writing = completion(call_of("write_file", path="a.txt", content="new"))

    def agent(*lines: Any, box: Toolbox | None = None) -> Agent:
        model = ScriptedModel("own", list(lines))
        return Agent(model=model, tool_executor=box, registry=ModelRegistry(), retry=RetryPolicy(attempts=1))

    async def resumed(agent: Agent) -> TaskResult:
        async for event in agent.resume(list_runs(tmp_path)[-1].run_id, workspace=tmp_path):
            if isinstance(event, RunFinished):
                return event.result
        raise AssertionError

    session = SessionContext.build(tmp_path, "Do it.")
    asyncio.run(agent(down, box=Toolbox(tmp_path, dry_run=True)).result(session))
    assert asyncio.run(resumed(agent(writing, "Done."))).status == "ok"
    assert (tmp_path / "a.txt").read_text() == "old"
    asyncio.run(agent(down, box=Toolbox(tmp_path, approve=lambda _: True)).result(session))
    with pytest.raises(ConfigurationError, match="the run asked before each write"):
        asyncio.run(resumed(agent(writing, "Done.")))


def test_a_run_that_asked_is_not_forked_by_somebody_who_does_not_ask(place: Place) -> None:
    """The fork would otherwise do without a word what the run had to ask for."""
    place.go("run", RunOptions(approve=place.answers(True)))
    run_id = list_runs(place.root)[-1].run_id

    async def forked(**given: Any) -> list[Any]:
        agent = Agent(
            model=ScriptedModel("own", ["Done."]), tool_executor=place.executor(), registry=ModelRegistry()
        )
        events = agent.fork(run_id, "run/direct:1", workspace=place.root, **given)
        return [event async for event in events]

    with pytest.raises(ConfigurationError, match="the run asked before each write"):
        asyncio.run(forked())
    assert len(list_runs(place.root)) == 1
    told = asyncio.run(forked(options=RunOptions(approve=place.answers(True))))
    assert told[-1].result.status == "ok"


@pytest.mark.parametrize(
    ("make", "options", "sentence"),
    [
        pytest.param(lambda _: Toolbox(), {"allow_shell": True}, "allow_shell needs a workspace", id="shell"),
        pytest.param(
            lambda _: Toolbox(), {"allow_python": True}, "allow_python needs a workspace", id="python"
        ),
        pytest.param(
            lambda root: Toolbox(root).with_tools(["read_file"]),
            {"allow_shell": True},
            r"with_tools\(\) restricted the toolbox",
            id="narrowed",
        ),
        pytest.param(Plain, {"allow_python": True}, "allow_python adds a tool to a Toolbox", id="no-toolbox"),
    ],
)
def test_a_tool_that_the_executor_cannot_have_is_refused_first(
    tmp_path: Path, make: Callable[[Path], ToolExecutor], options: dict[str, Any], sentence: str
) -> None:
    """One sentence, no journal, and no model is asked."""
    agent = Agent(model=ScriptedModel("own", []), tool_executor=make(tmp_path), registry=ModelRegistry())
    session = SessionContext.build(tmp_path, "Do it.", options=RunOptions(**options))
    with pytest.raises(ConfigurationError, match=sentence):
        asyncio.run(agent.result(session))
    assert list_runs(tmp_path) == ()


def test_a_toolbox_keeps_its_own_rules_and_its_own_workspace(tmp_path: Path) -> None:
    """What it plans in one dry run is not seen in the next, and undo says that it kept nothing."""
    (tmp_path / "work").mkdir()
    (tmp_path / "other").mkdir()
    for folder in ("work", "other"):
        (tmp_path / folder / "a.txt").write_text("old")
    box = Toolbox(tmp_path / "other")
    place = Place(tmp_path / "work", "none")

    def ran(options: RunOptions, *calls: ToolCall) -> TaskResult:
        model = ScriptedModel("own", [completion(*calls), "Done."])
        agent = Agent(model=model, tool_executor=box, registry=ModelRegistry())
        return asyncio.run(agent.result(SessionContext.build(place.root, "Do it.", options=options)))

    writing = call_of("write_file", path="a.txt", content="new")
    ran(RunOptions(dry_run=True), writing)
    assert (tmp_path / "other" / "a.txt").read_text() == "old"
    ran(RunOptions(), writing)
    assert (tmp_path / "other" / "a.txt").read_text() == "new"
    with pytest.raises(ConfigurationError, match=r"1 call of write_file, which changed 'a.txt'"):
        place.undo()
    assert place.text == "old"


def test_secrets_of_the_run_and_of_the_toolbox_are_replaced(tmp_path: Path) -> None:
    """Also one that holds another's, and one that is learnt later."""
    (tmp_path / "a.txt").write_text("short-secret short-secret-and-longer learnt-later")
    own, runs = Secrets(), Secrets()
    own.add("short-secret", "SHORT")
    runs.add("short-secret-and-longer", "LONG")
    box = under_rules(Toolbox(tmp_path, secrets=own), Rules(Workspace(tmp_path), secrets=runs))
    runs.add("learnt-later", "LATER")
    reading = call_of("read_file", path="a.txt", start_line=None, end_line=None)
    said = asyncio.run(box.execute(reading)).content
    assert "[SHORT] [LONG] [LATER]" in said


@pytest.mark.parametrize("make", [Staging, Plain, Toolbox], ids=["staging", "plain", "toolbox"])
@pytest.mark.parametrize("said", [False, True], ids=["no", "yes"])
def test_tools_given_beside_an_executor_under_rules_obey_them(
    tmp_path: Path, make: Callable[[Path], ToolExecutor], said: bool
) -> None:
    """A loop that is given tools and an executor has one set of rules."""
    place = Place(tmp_path, "none")

    @tool(ask=True)
    async def act() -> str:
        """Act."""
        place.launched.append("act")
        return "acted"

    executor = under_rules(make(tmp_path), Rules(Workspace(tmp_path), approve=place.answers(said)))
    given: list[Tool | str] = [act]
    loop = AgentLoop(ScriptedModel("own", [completion(call_of("act")), "Done."]), executor=executor)

    async def run() -> None:
        async for _ in loop.run("Do it.", given):
            pass

    asyncio.run(run())
    assert (len(place.asked), place.launched) == (1, ["act"] if said else [])


@attrs.define(eq=False)
class Shared(Staging):
    """An executor that tells workers and places apart, and notes what it is told."""

    log: list[tuple[str, ...]] = attrs.field(factory=list)

    def for_worker(self, worker_id: str) -> "Shared":
        self.log.append(("worker", worker_id))
        return Shared(self.root, self.calls, self.log)

    def conflicts_of(self, worker_id: str) -> tuple[Any, ...]:
        self.log.append(("conflicts", worker_id))
        return ()

    def note(self, worker_id: str, result: ToolResult) -> None:
        self.log.append(("note", worker_id))

    def release(self, worker_id: str) -> None:
        self.log.append(("release", worker_id))

    def at(self, place: Any) -> "Shared":
        self.log.append(("at", place.span.path))
        return self

    def recall(self, call: ToolCall, place: Any) -> None:
        self.log.append(("recall", call.name))


@pytest.mark.parametrize("dry", [False, True], ids=["done", "dry"])
def test_an_executor_that_tells_workers_and_places_apart_still_does(tmp_path: Path, dry: bool) -> None:
    """Also when a batch is resumed; what a dry run left out is not recalled as done."""
    (tmp_path / "a.txt").write_text("old")
    shared = Shared(tmp_path)
    options = RunOptions(dry_run=dry)
    putting = completion(call_of("put", path="a.txt", content="new"))

    async def first() -> None:
        model = ScriptedModel("own", [putting, ServerFailed("own", "down", retry=False)])
        agent = Agent(
            model=model, tool_executor=shared, registry=ModelRegistry(), retry=RetryPolicy(attempts=1)
        )
        await agent.batch(["Do it."], workspace=tmp_path, options=options)

    async def again() -> None:
        agent = Agent(model=ScriptedModel("own", ["Done."]), tool_executor=shared, registry=ModelRegistry())
        async for _ in agent.resume("", workspace=tmp_path):
            pass

    asyncio.run(first())
    assert [entry[0] for entry in shared.log if entry[0] != "at"] == ["worker", "release", "conflicts"]
    assert ("at", "run/task-0") in shared.log
    assert (tmp_path / "a.txt").read_text() == ("old" if dry else "new")
    shared.log.clear()
    asyncio.run(again())
    assert ("note", "task-0") in shared.log
    assert (("recall", "put") in shared.log) is not dry


@pytest.mark.parametrize("what", ["made", "deleted", "elsewhere"])
def test_undo_of_an_executors_own_files(tmp_path: Path, what: str) -> None:
    """A file that was made goes, one that was deleted comes back, and one elsewhere is named."""
    root = tmp_path / "work"
    root.mkdir()
    (tmp_path / "else").mkdir()
    (root / "old.txt").write_text("old")

    @attrs.define(eq=False)
    class Deleting(Staging):
        async def stage(self, call: ToolCall) -> StagedPut:
            path = json.loads(call.arguments)["path"]
            return StagedPut(self, call, (FileChange(path, sha(self.root / path), None),))

        async def execute(self, call: ToolCall) -> ToolResult:
            (self.root / json.loads(call.arguments)["path"]).unlink()
            return ToolResult(call.id, "gone")

    made: dict[str, tuple[ToolExecutor, str]] = {
        "made": (Staging(root), "new.txt"),
        "deleted": (Deleting(root), "old.txt"),
        "elsewhere": (Staging(tmp_path / "else"), "new.txt"),
    }
    executor, path = made[what]
    place = Place(root, "none")
    model = ScriptedModel("own", [completion(call_of("put", path=path, content="new")), "Done."])
    agent = Agent(model=model, tool_executor=executor, registry=ModelRegistry())
    asyncio.run(agent.result(SessionContext.build(root, "Do it.")))
    report = place.undo()
    assert (root / "old.txt").read_text() == "old"
    assert not (root / "new.txt").exists()
    assert report.uncovered == ((Uncovered("put", 1, ("new.txt",)),) if what == "elsewhere" else ())
    assert (tmp_path / "else" / "new.txt").exists() is (what == "elsewhere")


@pytest.mark.parametrize("make", [Staging, Plain], ids=["staging", "plain"])
def test_rules_over_rules_are_one_set(tmp_path: Path, make: Callable[[Path], ToolExecutor]) -> None:
    """One approver on both sides is asked once; a dry run on one side is one, or is refused."""
    (tmp_path / "a.txt").write_text("old")
    place, workspace = Place(tmp_path, "none"), Workspace(tmp_path)
    asks = Rules(workspace, approve=place.answers(True))
    putting = call_of("put", path="a.txt", content="new")
    inner = under_rules(make(tmp_path), asks)
    asyncio.run(under_rules(inner, asks).execute(putting))
    assert (len(place.asked), place.text) == (1, "new")
    dry = Rules(workspace, dry_run=True)
    if make is Plain:
        with pytest.raises(ConfigurationError, match="stages its calls, but Plain only executes them"):
            under_rules(inner, dry)
        return
    (tmp_path / "a.txt").write_text("old")
    said = asyncio.run(under_rules(under_rules(make(tmp_path), dry), asks).execute(putting))
    assert (said.content, place.text) == ("dry run, not done: change a.txt", "old")


def test_a_worker_of_an_executor_that_can_only_execute_does_nothing_in_a_dry_run(tmp_path: Path) -> None:
    """Who stages may hand its workers an executor that does not."""
    (tmp_path / "a.txt").write_text("old")
    part = Plain(tmp_path)

    @attrs.define(eq=False)
    class Handing(Shared):
        def for_worker(self, worker_id: str) -> Any:
            return part

    dry = under_rules(Handing(tmp_path), Rules(Workspace(tmp_path), dry_run=True))
    assert isinstance(dry, SharedExecutor)
    worker = dry.for_worker("task-0")
    said = asyncio.run(worker.execute(call_of("put", path="a.txt", content="new")))
    assert said.is_error
    assert part.calls == []


@attrs.define(eq=False)
class Broken(Staging):
    """An executor with a bug, in one of its methods or in what they return."""

    bug: str = ""

    async def stage(self, call: ToolCall) -> Any:
        if self.bug == "raises-in-stage":
            raise ValueError("no such drawer")
        return None if self.bug == "nothing-is-staged" else await super().stage(call)

    async def execute(self, call: ToolCall) -> Any:
        if self.bug == "raises-in-finish":
            raise ValueError("no such drawer")
        done = await super().execute(call)
        return done if self.bug != "wrong-content" else attrs.evolve(done, content=None)


@attrs.define(eq=False)
class ReturningText(Staging):
    """An executor whose calls return text in place of a result."""

    async def stage(self, call: ToolCall) -> Any:
        @attrs.frozen
        class Text:
            changes: tuple[FileChange, ...] = ()
            repeatable: bool = False
            foretold: ToolResult | None = None

            async def finish(self) -> Any:
                return "put"

        return Text()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    "bug", ["raises-in-stage", "nothing-is-staged", "raises-in-finish", "wrong-content", "returns-text"]
)
def test_a_bug_in_an_executor_that_stages_fails_the_call_and_not_the_run(
    tmp_path: Path, way: str, bug: str
) -> None:
    """The model is told, as it is of an executor that only executes, and the paid run goes on.

    A call that has acted did not fail: what it returned is told as text.
    """
    (tmp_path / "a.txt").write_text("old")
    place = Place(tmp_path, "broken")
    broken = ReturningText(tmp_path) if bug == "returns-text" else Broken(tmp_path, bug=bug)
    place.given = broken
    result = place.go(way, RunOptions(approve=place.answers(True)), call_of("put", path="a.txt", content="n"))
    assert result.status == "ok"
    (said,) = place.told()
    acted = {"wrong-content": "null", "returns-text": "put"}
    assert said == acted[bug] if bug in acted else said.startswith("The tool failed: ")


@attrs.define(eq=False)
class Saying(Staging):
    """An executor that says of its calls what it was told to say."""

    changes: tuple[FileChange, ...] = ()
    repeatable: bool = False
    content: str = "put"

    async def stage(self, call: ToolCall) -> StagedPut:
        foretold = ToolResult(call.id, self.content, changes=self.changes)
        return StagedPut(self, call, self.changes, self.repeatable, foretold)

    async def execute(self, call: ToolCall) -> ToolResult:
        self.calls.append(call.name)
        return ToolResult(call.id, self.content)


CHANGE = FileChange("a.txt", None, hashlib.sha256(b"new").hexdigest())
PUTTING = call_of("put", path="a.txt", content="new")


@pytest.mark.parametrize(
    ("changes", "repeatable", "acts"),
    [
        pytest.param((CHANGE,), True, True, id="changes-a-file"),
        pytest.param((), False, True, id="not-repeatable"),
        pytest.param((CHANGE,), False, True, id="both"),
        pytest.param((), True, False, id="only-reads"),
    ],
)
def test_a_staged_call_that_may_act_needs_approval_and_is_left_out_of_a_dry_run(
    tmp_path: Path, changes: tuple[FileChange, ...], repeatable: bool, acts: bool
) -> None:
    """One sign is enough. What is left out has no changes, foretells nothing, and may be made again."""
    workspace, place = Workspace(tmp_path), Place(tmp_path, "none")
    one = Saying(tmp_path, changes=changes, repeatable=repeatable)
    asyncio.run(under_rules(one, Rules(workspace, approve=place.answers(False))).execute(PUTTING))
    assert (len(place.asked), one.calls) == ((1, []) if acts else (0, ["put"]))
    one.calls.clear()
    dry = under_rules(one, Rules(workspace, dry_run=True))
    assert isinstance(dry, StagingExecutor)
    staged = asyncio.run(dry.stage(PUTTING))
    assert (staged.changes, staged.repeatable, staged.foretold is None) == ((), True, acts)
    asyncio.run(staged.finish())
    assert one.calls == ([] if acts else ["put"])


def test_secrets_in_what_an_executor_says_are_replaced(tmp_path: Path) -> None:
    """Those of each set of rules over it, in results that are given and that are foretold."""
    inner, outer = Secrets(), Secrets()
    inner.add("inner-secret-value", "INNER")
    outer.add("outer-secret-value", "OUTER")
    one = Saying(tmp_path, changes=(CHANGE,), content="inner-secret-value outer-secret-value")
    workspace = Workspace(tmp_path)
    both = under_rules(under_rules(one, Rules(workspace, secrets=inner)), Rules(workspace, secrets=outer))
    assert isinstance(both, StagingExecutor)
    staged = asyncio.run(both.stage(PUTTING))
    assert staged.foretold is not None
    assert {staged.foretold.content, asyncio.run(staged.finish()).content} == {"[INNER] [OUTER]"}


def test_no_original_is_kept_of_a_file_that_the_executor_does_not_mean(tmp_path: Path) -> None:
    """An undo would put one place's content into another's file."""
    (tmp_path / "a.txt").write_text("of the workspace")
    kept = Originals(tmp_path / "originals")
    one = Saying(tmp_path, changes=(attrs.evolve(CHANGE, before="0" * 64),))
    asyncio.run(under_rules(one, Rules(Workspace(tmp_path), originals=kept)).execute(PUTTING))
    assert one.calls == ["put"]
    assert not kept.folder.exists()


def test_the_originals_of_inner_rules_stay_theirs(tmp_path: Path) -> None:
    """Other rules over them keep nothing a second time."""
    first, second = Originals(tmp_path / "first"), Originals(tmp_path / "second")
    workspace = Workspace(tmp_path)
    inner = under_rules(Staging(tmp_path), Rules(workspace, originals=first))
    asyncio.run(under_rules(inner, Rules(workspace, originals=second)).execute(PUTTING))
    assert (first.folder.exists(), second.folder.exists()) == (True, False)


def test_questions_of_tools_beside_an_executor_wait_for_their_turn(tmp_path: Path) -> None:
    """Who approves is asked one thing at a time, whoever asks."""
    at_once: list[int] = []
    open_questions: list[str] = []

    async def approve(proposal: Proposal) -> bool:
        open_questions.append(proposal.tool)
        at_once.append(len(open_questions))
        for _ in range(5):
            await asyncio.sleep(0)
        open_questions.pop()
        return True

    @tool
    async def act() -> str:
        """Act."""
        return "acted"

    async def both() -> None:
        ruled = under_rules(Plain(tmp_path), Rules(Workspace(tmp_path), approve=approve))
        assert isinstance(ruled, GovernedExecutor)
        await asyncio.gather(ruled.execute(PUTTING), ruled.beside([act]).execute(call_of("act")))

    asyncio.run(both())
    assert at_once == [1, 1]


@pytest.mark.parametrize("own", ["off", "required"])
@pytest.mark.parametrize("options", ["off", "required"])
def test_commands_do_without_a_sandbox_if_either_side_says_so(
    tmp_path: Path, own: Sandbox, options: Sandbox
) -> None:
    """Neither side says it by default."""
    box = Toolbox(tmp_path, allow_shell=True, sandbox=own)
    ruled = under_rules(box, Rules(Workspace(tmp_path), sandbox=options))
    assert isinstance(ruled, Toolbox)
    assert bool(ruled.warning()) is ("off" in (own, options))


def test_a_long_command_is_shown_whole(tmp_path: Path) -> None:
    """What stands at its end would run, too."""
    place = Place(tmp_path, "none")
    command = f"true {'x' * 50_000}; touch made\x1b[2K"
    place.go(
        "run",
        RunOptions(allow_shell=True, sandbox="off", approve=place.answers(False)),
        call_of("run_command", command=command, timeout_seconds=None),
    )
    (proposal,) = place.asked
    assert proposal.details == command
    assert not (tmp_path / "made").exists()
