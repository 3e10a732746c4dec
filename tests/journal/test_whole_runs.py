"""A whole run on a disk that loses power, fills up or fails: nothing is lost and nothing paid twice."""

import errno
from contextlib import aclosing
from pathlib import Path

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.agent import Agent
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.errors import JournalError
from sunwell.events import RunFinished, Warned
from sunwell.journal import FileJournal, journal_path
from sunwell.journal.records import Answer, Intent, Leeway, RunClosed, RunOpened
from sunwell.journal.tree import tree
from sunwell.models.registry import ModelRegistry
from sunwell.simulator import InProcessModel
from sunwell.simulator.scripts import smart, steps
from sunwell.testing import ScriptedModel, run_virtual

TASK = "Generate CRUD endpoints for 5 entities"
TURNS = 6
ROOM_BYTES = 4096 + 12 * 8192 + 64 * 1024  # of the longest answer, and of what a run says of its end


@attrs.define(eq=False)
class OneDisk:
    """The one journal of a test, on a disk that the test holds."""

    disk: object
    run_id: str = "r1"

    def create(self, workspace, run_id):
        self.run_id = run_id
        return FileJournal.create(workspace, run_id, disk=self.disk)

    def open(self, workspace, run_id):
        return FileJournal.open(journal_path(workspace, self.run_id), disk=self.disk)


@attrs.define(eq=False)
class World:
    """A workspace and two models that keep count of what they were asked."""

    workspace: Path
    latency_seconds: float = 0.0
    warnings: list = attrs.field(factory=list)
    smart: InProcessModel = attrs.field(init=False)
    cheap: InProcessModel = attrs.field(init=False)

    def __attrs_post_init__(self):
        self.smart = self.model("claude-opus-5-5", smart)
        self.cheap = self.model("claude-haiku-5-5", steps(TURNS))

    def model(self, name, script):
        return InProcessModel(name, script, latency_seconds=self.latency_seconds)

    @property
    def asked(self):
        return self.smart.calls + self.cheap.calls

    @property
    def billed_usd(self):
        return self.smart.billing.total_usd() + self.cheap.billing.total_usd()

    async def result(self, disk, resume=False, **given):
        agent = Agent(
            smart_model=self.smart,
            delegation_model=self.cheap,
            registry=ModelRegistry(),
            journals=OneDisk(disk),
        )
        if resume:
            told = agent.resume("", workspace=self.workspace)
        else:
            options = RunOptions(enable_delegation=True, **given)
            told = agent.run(SessionContext.build(self.workspace, TASK, options=options))
        async with aclosing(told) as events:
            async for event in events:
                if isinstance(event, Warned):
                    self.warnings.append(event.message)
                if isinstance(event, RunFinished):
                    return event.result
        raise AssertionError("no result")

    def files(self):
        return {p.name: p.read_text() for p in sorted(self.workspace.rglob("*.txt"))}


@pytest.fixture(scope="module")
def whole(tmp_path_factory, fake_disk):
    """An unbroken run: its answer, its files, its calls, and how often it used the disk."""
    world, disk = World(tmp_path_factory.mktemp("whole")), fake_disk(operations_left=10_000)
    result = run_virtual(world.result(disk))
    return result.answer, world.files(), world.asked, 10_000 - disk.operations_left


def answers(disk):
    """Return the answers that can be read from *disk*."""
    journal = FileJournal.open(Path("r1"), disk=disk)
    return [record for record in journal.records() if isinstance(record, Answer)]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 60), st.floats(0, 1), st.sets(st.integers(0, 40), max_size=3), st.sampled_from((0, 0.05))
)
def test_a_run_that_lost_power_anywhere_goes_on_and_ends_the_same(
    whole, fake_disk, tmp_path_factory, operations_left, share_of_tail, lost_blocks, latency_seconds
):
    """Of what was written since the last sync any blocks may be lost. Calls of the last 20 ms may be asked
    again: if a model takes longer, at most the one in flight. The bill covers all of them."""
    answer, files, asked, operations = whole
    world = World(tmp_path_factory.mktemp("power"), latency_seconds)
    disk = fake_disk(operations_left=min(operations_left, operations - 1))
    with pytest.raises(JournalError, match=r"cannot be (written|made durable)"):
        run_virtual(world.result(disk))
    survivor = disk.survivor(round((disk.size() - disk.durable_size) * share_of_tail), lost_blocks)
    if not disk.durable_size:  # there may be no run to go on with: nothing was durable, so nothing was asked
        assert world.asked == 0
        return
    result = run_virtual(world.result(survivor, resume=True))
    assert (result.status, result.answer, world.files()) == ("ok", answer, files)
    assert asked <= world.asked <= asked + (1 if latency_seconds else TURNS)
    assert result.bill.calls == asked
    assert result.bill.cost_usd <= world.billed_usd <= result.bill.cost_usd + result.bill.uncertain_usd


@pytest.mark.parametrize(
    ("boot", "is_lost"),
    [pytest.param("first", False, id="killed"), pytest.param("second", True, id="started-anew")],
)
def test_what_may_be_missing_counts_if_the_machine_was_started_anew(fake_disk, tmp_path, boot, is_lost):
    """Once, however often the run is taken up, and it is told when it is found. A killed process costs
    nothing: the system has its records."""
    world, disk = World(tmp_path), fake_disk(operations_left=25)
    with pytest.raises(JournalError):
        run_virtual(world.result(disk, budget=Budget(usd=1)))
    left = fake_disk(disk.content[: disk.content.rindex(b"\n") + 1], boot=boot)
    records = list(FileJournal.open(Path("r1"), disk=left).records())
    leeway = [record for record in records if isinstance(record, Leeway)][-1]
    again = fake_disk(left.content, boot=boot, operations_left=12)
    with pytest.raises(JournalError):
        run_virtual(world.result(again, resume=True))
    third = fake_disk(again.content[: again.content.rindex(b"\n") + 1], boot=boot)
    result = run_virtual(world.result(third, resume=True))
    assert (result.status, result.bill.uncertain_usd) == ("ok", leeway.usd * is_lost)
    assert (
        tree(FileJournal.open(Path("r1"), disk=third).records()).total_uncertain_usd == leeway.usd * is_lost
    )
    sentence = (
        "since the run was left, the machine was started anew or is another one, or its disk failed: the "
        f"record may lack the latest calls, so up to 16 calls and ${leeway.usd:.4f} count as unconfirmed"
    )
    assert [said for said in world.warnings if "started anew" in said] == [sentence] * is_lost


@pytest.mark.parametrize("written_bytes", [4_000, 8_000, 12_000, 15_000])
def test_a_full_disk_stops_the_run_before_it_pays(whole, fake_disk, tmp_path, written_bytes):
    """The room for one answer is there before it is asked for: every answer that was paid is on record,
    and with more room the run goes on."""
    answer, files, asked, _ = whole
    world, disk = World(tmp_path), fake_disk(capacity=ROOM_BYTES + written_bytes)
    with pytest.raises(JournalError, match=r"cannot be given room for an answer .* free some space$"):
        run_virtual(world.result(disk))
    assert 0 < world.asked < asked
    assert len(answers(fake_disk(disk.content))) == world.asked
    result = run_virtual(world.result(fake_disk(disk.content), resume=True))
    assert (result.status, result.answer, world.files(), world.asked) == ("ok", answer, files, asked)
    assert result.bill.uncertain_usd == 0


def test_a_sync_that_fails_stops_the_run_with_one_sentence(whole, fake_disk, tmp_path):
    """Nothing more is asked: what is durable is not known any more."""
    answer, files, asked, _ = whole
    disk, work = fake_disk(), steps(TURNS)

    def answering(asked):
        if len(asked.messages) > 3:
            disk.sync_error = OSError(errno.EIO, "Input/output error")
        return work(asked)

    world = World(tmp_path)
    world.cheap.script = answering
    with pytest.raises(JournalError, match=r"cannot be made durable \(Input/output error\): check the disk"):
        run_virtual(world.result(disk))
    assert world.asked == 4
    world.cheap.script = work
    result = run_virtual(world.result(disk.survivor(disk.size()), resume=True))
    assert (result.answer, world.files()) == (answer, files)
    assert asked <= world.asked <= asked + 1


def test_a_finished_run_is_closed_on_record(whole, fake_disk, tmp_path):
    """Every intent has its answer, and the end stands last."""
    disk = fake_disk()
    run_virtual(World(tmp_path).result(disk))
    journal = FileJournal.open(Path("r1"), disk=disk)
    records = list(journal.records())
    assert isinstance(records[-1], RunClosed)
    count = {kind: sum(isinstance(r, kind) for r in records) for kind in (Intent, Answer)}
    assert count[Intent] == count[Answer] == whole[2]


def test_a_run_is_opened_without_a_sync_of_its_own(tmp_path, fake_disk):
    """One sync makes the first record and the first intent durable, before anybody is asked."""
    disk = fake_disk()
    seen = []

    def say(request):
        seen.append((disk.syncs, disk.durable_size == disk.size(), [type(r) for r in records()]))
        return "Done."

    def records():
        return list(FileJournal.open(Path("anywhere"), disk=disk.survivor(0, set())).records())

    agent = Agent(model=ScriptedModel("haiku", [say]), registry=ModelRegistry(), journals=OneDisk(disk))
    result = run_virtual(agent.result(SessionContext.build(tmp_path, "Do it.", RunOptions(tools=()))))
    assert result.success
    assert seen == [(1, True, [RunOpened, Intent])]
