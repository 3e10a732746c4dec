"""A lens of an earlier run is used again only where the smart model would be asked the same again."""

import json
import time
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent.lens.kept_lens import KEPT, MOST_SECONDS, WantedLens, idle_files
from sunwell.agent.lens.lens_request import LensOrder
from sunwell.agent.policy.task_kinds import kind_of
from sunwell.agent.run.lens_shelf import LensShelf
from sunwell.context import RunOptions
from sunwell.context.excerpts import Shown
from sunwell.core.check import Checking, Verdict
from sunwell.core.lens import EphemeralLens
from sunwell.core.task import Task
from sunwell.events import EphemeralLensCreated, LensStarted, LensTaken, Warned
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import LensWritten, Note
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import WorkOutcome
from sunwell.models.registry import ModelRegistry
from sunwell.report import forecast
from tests.agent.lens.lens_desk import CHEAP, LENS, NO_CHANGES, TASK, LensDesk, lens_desk


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LensDesk]:
    """Give a workspace with two models and an empty store."""
    with lens_desk(tmp_path, monkeypatch) as made:
        yield made


async def test_the_second_run_takes_the_lens_of_the_first_and_pays_nothing_for_it(desk: LensDesk) -> None:
    """Workers read the same bytes. Result, events and bill say where it comes from and what that saves."""
    first = await desk.run()
    events, second = await desk.events(f"{TASK}.\n")
    assert len(desk.asked) == 1
    assert first.lens is not None
    assert second.lens is not None
    assert second.lens.to_context() == first.lens.to_context()
    assert all(second.lens.to_context() in asked.system for asked in desk.worked)
    written, taken = first.lens_source, second.lens_source
    assert written is not None
    assert taken is not None
    assert (written.how, written.kept_id != "", written.reasons) == ("written", True, ())
    cost = dict(first.bill.by_purpose)["lens"]
    assert (taken.how, taken.from_id, taken.saved_usd) == ("taken", written.kept_id, cost)
    assert taken.written_for == TASK
    assert [purpose for purpose, _ in second.bill.by_purpose] == ["work"]
    (told,) = [event for event in events if isinstance(event, LensTaken)]
    assert (told.source, told.heuristics_count, told.generated_by) == (taken, 2, first.lens.generated_by)
    assert not [event for event in events if isinstance(event, LensStarted | EphemeralLensCreated)]


async def test_the_decision_knows_that_a_kept_lens_costs_nothing(desk: LensDesk) -> None:
    """The quote has no tokens for it, and the side with it is cheaper by what it would cost."""
    first, second = await desk.run(), await desk.run()
    assert first.quote is not None
    assert second.quote is not None
    assert first.quote.lens_tokens > 0
    assert second.quote.lens_tokens == 0
    assert second.quote.delegated.expected_usd < first.quote.delegated.expected_usd
    assert any("is kept from an earlier run and costs nothing" in said for said in second.quote.assumptions)


@pytest.mark.parametrize(("passes", "is_delegated"), [(40, False), (0, True)])
async def test_a_kept_lens_is_left_where_the_cheap_model_alone_is_the_cheaper_way(
    desk: LensDesk, monkeypatch: pytest.MonkeyPatch, passes: int, is_delegated: bool
) -> None:
    """It costs nothing to write, but each turn reads it: outcomes speak against it as against any other."""
    monkeypatch.setenv("SUNWELL_OUTCOMES", "on")
    await desk.run()
    store = OutcomeStore(outcomes_file(), warn=pytest.fail, longest_seconds=30.0)
    reader = f"{CHEAP}@{desk.simulator.url.partition('//')[2]}"
    one = WorkOutcome(kind_of(TASK), "cheap", reader, "", True, Decimal("0.01"), time.time())
    store.record([attrs.evolve(one, passed=number < passes) for number in range(40)])
    decision = (await desk.run()).decision
    assert decision is not None
    assert (bool(decision), len(desk.asked)) == (is_delegated, 1)
    if not is_delegated:
        assert "passed its check on 40 of 40 tasks of this kind" in decision.reason
        assert decision.without_lens == "delegation_model"


@pytest.mark.parametrize("is_there", [False, True])
async def test_a_cap_that_holds_no_lens_holds_the_work_under_a_kept_one(
    desk: LensDesk, is_there: bool
) -> None:
    """Without one, the delegation model works without a lens."""
    if is_there:
        await desk.run()
    result = await desk.run(budget=_cap("0.02"), max_output_tokens=1_000)
    assert (result.decision is not None and bool(result.decision), result.lens is not None) == (
        is_there,
        is_there,
    )
    assert result.status == "ok"


def _cap(usd: str) -> Any:
    from sunwell.core.task import Budget

    return Budget(usd=Decimal(usd))


def _edit(desk: LensDesk) -> None:
    desk.write("src/model.py", "class Price:\n    euros: int\n")


def _delete(desk: LensDesk) -> None:
    (desk.workspace / "src/model.py").unlink()


def _add(desk: LensDesk) -> None:
    desk.write("src/endpoints.py", "def endpoints(modules):\n    return [endpoint for endpoint in modules]\n")


def _make_the_target(desk: LensDesk) -> None:
    desk.write("src/shop.py", "DONE = 1\n")


def _harm(desk: LensDesk) -> None:
    assert desk.store().note_trial(desk.kept()[0].id, {"verdict": "harms"})


CHANGES = {
    "a file changed": (_edit, {}, "src/model.py changed since"),
    "a file is gone": (_delete, {}, "src/model.py cannot be read any more"),
    "a file is hidden by an option": ((), {"ignore": ("model.py",)}, "src/model.py cannot be read any more"),
    "a file is new": (_add, {}, "src/endpoints.py had not been looked at"),
    "the target is there": (_make_the_target, {}, "src/shop.py had not been looked at"),
    "another reader": (
        (),
        {"host": "localhost"},
        "it was written for another reader, anthropic/claude-haiku-5-5@127.0.0.1:",
    ),
    "other tools": ((), {"tools": ("read_file",)}, "its readers had other tools"),
    "another limit": ((), {"max_lens_tokens": 900}, "max_lens_tokens is another one"),
    "another effort": ((), {"effort": "high"}, "effort is another one"),
    "no scouting": ((), {"scout": False}, "scout_turns is another one"),
    "it harms": (_harm, {}, "a trial found that work is worse under it"),
}


@pytest.mark.parametrize(("change", "options", "reason"), CHANGES.values(), ids=CHANGES)
async def test_a_lens_that_does_not_fit_any_more_is_not_taken_and_the_run_says_why(
    desk: LensDesk, change: Any, options: dict[str, Any], reason: str
) -> None:
    """Whatever it was written from or for: one difference is enough."""
    await desk.run()
    if change:
        change(desk)
    events, result = await desk.events(**options)
    assert len(desk.asked) == 2
    source = result.lens_source
    assert source is not None
    assert source.how != "taken"
    (told,) = [event for event in events if isinstance(event, EphemeralLensCreated)]
    assert told.source == source
    assert len(source.reasons) == 1
    assert source.reasons[0].startswith(reason)


async def test_a_change_of_a_file_that_it_does_not_rest_on_is_none(desk: LensDesk) -> None:
    """A file that fits no word of the task and was not shown says nothing to the lens."""
    desk.write("big/filler.py", "x = 1\n" * 12_000)
    await desk.run()
    desk.write("zoo/readme.bin", "\0")
    result = await desk.run()
    assert result.lens_source is not None
    assert result.lens_source.how == "taken"


@pytest.mark.parametrize(
    ("rule", "is_taken"),
    [
        ("Return what is there, unrelated to the rest.", True),
        ("Do as unrelated() does.", False),
        ("Do as `unrelated` does.", False),
        ("Look at src/other.py, too.", False),
        ("The other one is better.", False),
    ],
)
async def test_a_file_that_only_filled_the_room_counts_if_the_lens_names_it(
    desk: LensDesk, rule: str, is_taken: bool
) -> None:
    """It was shown, so the smart model may have taken an example from it; then its words are in the lens."""
    desk.lens["heuristics"] = [rule]
    await desk.run()
    (kept,) = desk.kept()
    assert (list(kept.idle), "src/other.py" in kept.files) == (["src/other.py"] * is_taken, not is_taken)
    desk.write("src/other.py", "def unrelated():\n    return 2\n")
    result = await desk.run()
    assert result.lens_source is not None
    assert (result.lens_source.how == "taken", len(desk.asked)) == (is_taken, 2 - is_taken)
    if not is_taken:
        assert result.lens_source.reasons == ("src/other.py changed since",)


async def test_a_file_that_only_filled_the_room_counts_once_it_fits_the_task(desk: LensDesk) -> None:
    """What it says by now, the lens does not know."""
    await desk.run()
    assert list(desk.kept()[0].idle) == ["src/other.py"]
    desk.write("src/other.py", "def endpoints(modules):\n    return [endpoint for endpoint in modules]\n")
    result = await desk.run()
    assert result.lens_source is not None
    assert (result.lens_source.how, result.lens_source.reasons) == (
        "changed",
        ("src/other.py changed since",),
    )
    assert "def endpoints(modules)" in desk.asked[1].messages[0].text
    assert "class Price" not in desk.asked[1].messages[0].text


async def test_a_file_that_was_read_or_will_be_changed_counts_whatever_the_lens_says(desk: LensDesk) -> None:
    """Its writer had a reason to look."""
    desk.lens["target_files"] = ["src/shop.py", "src/other.py"]
    desk.lens["heuristics"] = ["Be brief."]
    await desk.run()
    (kept,) = desk.kept()
    assert not kept.idle
    assert {"src/model.py", "src/other.py", "src/shop.py"} == set(kept.files)


SHOWN = Shown(
    "",
    fitting=("src/model.py",),
    parts=(
        ("src/model.py", "class Price: cents, make_price(self)"),
        ("src/rare.py", "def make_price(x): odd2"),
    ),
)


@pytest.mark.parametrize(
    ("lens", "idle"),
    [
        (EphemeralLens(("Use make_price.",)), True),
        (EphemeralLens(("Use odd2.",)), False),
        (EphemeralLens(("Rarely round.",)), True),
        (EphemeralLens(("Be rare.",)), False),
        (EphemeralLens(examples=("odd2 = 1",)), False),
        (EphemeralLens(examples=("def is fine",)), False),
        (EphemeralLens(target_files=("src/rare.py",)), False),
        (EphemeralLens(("Be brief.",), task_scope="the rare case"), False),
    ],
)
def test_words_of_a_file_that_no_file_of_the_task_has_are_its_own(lens: EphemeralLens, idle: bool) -> None:
    """In doubt, a lens rests on a file."""
    assert idle_files(lens, SHOWN, "Price them") == (frozenset({"src/rare.py"}) if idle else frozenset())


def test_if_nothing_fits_a_lens_rests_on_all_that_was_shown() -> None:
    """Then nobody can say what only filled the room."""
    unknown = attrs.evolve(SHOWN, fitting=())
    assert idle_files(EphemeralLens(("Be brief.",)), unknown, "Price them") == frozenset()


@pytest.mark.parametrize(
    "task",
    [
        "Write the endpoints of 6 modules in src/shop.py, as in src/model.py",
        "write the endpoints of 5 modules in src/shop.py, as in src/model.py",
        f"{TASK}!",
        f"Please: {TASK}",
    ],
)
async def test_other_words_are_another_task(desk: LensDesk, task: str) -> None:
    """However alike they are: one number can be the whole difference."""
    await desk.run()
    result = await desk.run(task)
    assert result.lens_source is not None
    assert (len(desk.asked), result.lens_source.how != "taken") == (2, True)
    assert result.lens_source.reasons == ()


async def test_a_lens_belongs_to_its_workspace(desk: LensDesk, tmp_path: Path) -> None:
    """The same files elsewhere have another history."""
    await desk.run()
    other = tmp_path / "copy"
    other.mkdir()
    (other / "src").symlink_to(desk.workspace / "src")
    here, desk.workspace = desk.workspace, other
    result = await desk.run()
    assert result.lens_source is not None
    assert result.lens_source.how == "written"
    desk.workspace = here


async def test_a_lens_is_taken_however_many_of_its_kind_are_newer(desk: LensDesk) -> None:
    """Only so many are looked at, and that for the very task is one of them."""
    await desk.run()
    (own,) = desk.kept()
    store = desk.store()
    for number in range(101):
        assert store.keep(attrs.evolve(own, task=f"Task {number}", task_sha256=str(number))) is not None
    result = await desk.run()
    assert result.lens_source is not None
    assert (result.lens_source.how, result.lens_source.from_id) == ("taken", own.id)


async def test_an_old_lens_is_not_taken(desk: LensDesk) -> None:
    """After 30 days, models and what a workspace lives on may have changed."""
    await desk.run()
    (kept,) = desk.kept()
    store = desk.store()
    store.drop([kept.id])
    store.clock = lambda: kept.kept_at - MOST_SECONDS - 60
    assert store.keep(kept) is not None
    result = await desk.run()
    assert result.lens_source is not None
    assert result.lens_source.reasons == ("it is older than 30 days",)


async def test_the_store_can_be_left_alone(desk: LensDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """By an option, or by a variable for all runs."""
    await desk.run(lens_store=False)
    assert desk.kept() == ()
    await desk.run()
    unkept = (await desk.run(lens_store=False)).lens_source
    assert unkept is not None
    assert (unkept.how, unkept.kept_id) == ("written", "")
    monkeypatch.setenv("SUNWELL_LENSES", "off")
    await desk.run()
    assert len(desk.asked) == 4


async def test_batches_and_orchestrated_runs_and_lens_runs_use_it(desk: LensDesk) -> None:
    """There is one place where a run gets its lens."""
    tasks = [Task("Write module one"), Task("Write module two")]
    options = desk.session().options
    for _ in range(2):
        done = await desk.agent().batch(tasks, workspace=desk.workspace, options=options)
        assert done.run.lens is not None
    assert done.run.lens_source is not None
    assert (done.run.lens_source.how, len(desk.asked)) == ("taken", 1)

    desk.asked.clear()
    lens = await desk.agent().lens(desk.session())
    result = await desk.run()
    assert result.lens == attrs.evolve(lens, generation_prompt="")
    assert len(desk.asked) == 1


async def test_a_resume_uses_the_lens_that_the_run_had_found(desk: LensDesk) -> None:
    """Killed after any record: also if the store is empty by then, or has another lens for it."""
    await desk.run()
    result = await desk.run()
    path = Path(result.journal or "")
    lines = path.read_bytes().splitlines(keepends=True)
    taken = next(at for at, one in enumerate(read_records(path)) if isinstance(one, LensWritten))
    desk.store().drop_all()
    for count in range(taken, len(lines)):
        path.write_bytes(b"".join(lines[:count]))
        desk.asked.clear()
        again = await desk.agent().resume(result.run_id, workspace=desk.workspace)
        assert (again.lens, again.lens_source, desk.asked) == (result.lens, result.lens_source, [])


async def test_a_run_that_took_a_lens_is_played_again(desk: LensDesk) -> None:
    """Its record is enough; the store is not asked."""
    await desk.run()
    result = await desk.run()
    desk.store().drop_all()
    again = await desk.agent().replay(result.run_id, workspace=desk.workspace)
    assert (again.lens, again.lens_source, again.answer) == (result.lens, result.lens_source, result.answer)


async def test_a_fork_at_the_lens_has_one_written(desk: LensDesk) -> None:
    """Who begins it anew wants another one."""
    result = await desk.run()
    await desk.agent().fork(result.run_id, "run/lens", workspace=desk.workspace)
    assert len(desk.asked) == 2


async def test_a_task_with_items_has_them_again(desk: LensDesk) -> None:
    """A split task is split in the same way."""
    item = {"scope": "", "target_files": [], "done": ""}
    desk.lens |= {"items": [item | {"text": "Part one"}, item | {"text": "Part two"}]}
    first, second = await desk.run(split=True), await desk.run(split=True)
    assert (
        [one.task for one in second.workers]
        == [one.task for one in first.workers]
        == ["Part one", "Part two"]
    )
    assert len(desk.asked) == 1


async def test_what_is_cut_off_is_not_kept(desk: LensDesk) -> None:
    """Half a lens is used once, since it is paid, and not again."""
    whole = json.dumps(LENS | {"examples": ["x" * 30_000]})
    desk.lens = whole
    await desk.run(max_lens_tokens=300)
    assert desk.kept() == ()


@pytest.mark.parametrize("passes", [True, False])
async def test_a_lens_under_which_a_check_failed_is_not_taken_again(desk: LensDesk, passes: bool) -> None:
    """Nobody knows whether the lens is to blame; but who tries again wants another try."""

    async def check(_: object) -> Verdict:
        return Verdict(passes, "looked at")

    for _ in range(2):
        result = await desk.run(checks=(check,))
        assert result.verification is not None
        assert result.verification.passed is passes
    assert len(desk.asked) == (1 if passes else 2)
    assert len(desk.kept()) == (1 if passes else 0)


async def test_a_changed_lens_that_failed_leaves_the_one_that_it_was_made_of(desk: LensDesk) -> None:
    """That one was written for another task, which it may serve well."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    await desk.run()
    (base,) = desk.kept()

    async def fails(_: object) -> Verdict:
        return Verdict(False, "looked at")

    result = await desk.run(TASK.replace("5 modules", "7 modules"), checks=(fails,))
    assert result.lens_source is not None
    assert (result.lens_source.how, result.lens_source.from_id) == ("changed", base.id)
    assert result.lens_source.kept_id not in ("", base.id)
    assert [kept.id for kept in desk.kept()] == [base.id]


@pytest.mark.parametrize(("verdicts", "is_kept"), [((False, False), False), ((False, True), True)])
@pytest.mark.parametrize("is_taken", [False, True])
async def test_a_batch_whose_items_all_failed_leaves_no_lens(
    desk: LensDesk, verdicts: tuple[bool, ...], is_kept: bool, is_taken: bool
) -> None:
    """If one passed, the lens stays: the others may be the harder ones."""

    async def check(checking: Checking) -> Verdict:
        return Verdict(verdicts["two" in checking.task], "looked at")

    async def batch(**options: Any) -> None:
        chosen = attrs.evolve(desk.session().options, **options)
        tasks = ["Write module one", "Write module two"]
        await desk.agent().batch(tasks, workspace=desk.workspace, options=chosen)

    if is_taken:
        await batch()
    await batch(checks=(check,))
    assert (len(desk.asked), len(desk.kept())) == (1, int(is_kept))


async def test_an_estimate_promises_no_lens_that_the_run_will_not_take(
    desk: LensDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name of a file that is shown besides has a secret, so nobody notes what was shown."""
    agent = desk.agent()
    models = {"smart_model": agent.smart_model, "delegation_model": agent.delegation_model}

    async def both() -> tuple[int, int]:
        made, result = forecast(desk.session(**models), registry=ModelRegistry()), await desk.run()
        assert result.quote is not None
        return made.quote.lens_tokens, result.quote.lens_tokens

    await desk.run()
    assert await both() == (0, 0)
    monkeypatch.setenv("SHOP_API_KEY", "sk-very-secret-0123456789")
    desk.write("zoo/sk-very-secret-0123456789.py", "x = 1\n")
    foretold, real = await both()
    assert foretold == real > 0


@pytest.mark.parametrize(("context", "scope"), [("a file", "w1"), ("", "")])
async def test_a_lens_from_nothing_of_the_workspace_is_wanted_from_any(
    desk: LensDesk, context: str, scope: str
) -> None:
    """What counts is what is sent: nothing if the prompt has no room for it."""
    shelf = LensShelf(desk.store(), "w1", lambda paths: [None for _ in paths])
    agent = desk.agent()
    assert agent.smart_model is not None
    models = (agent.smart_model, agent.smart_model)
    wanted = WantedLens.of(shelf, LensOrder(TASK, context), Shown("a file"), RunOptions(), models)
    assert wanted is not None
    assert wanted.scope == scope


async def test_no_secret_is_in_the_store(desk: LensDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither of a task nor of a lens."""
    monkeypatch.setenv("SHOP_API_KEY", "sk-very-secret-0123456789")
    desk.lens |= {"heuristics": ["Use sk-very-secret-0123456789."]}
    await desk.run(f"{TASK} with sk-very-secret-0123456789")
    assert len(desk.kept()) == 1
    file = desk.store().file
    assert file is not None
    assert b"very-secret" not in file.read_bytes()


async def test_models_of_the_callers_own_are_not_kept(desk: LensDesk) -> None:
    """Nobody can tell whether a later object of the same name is the same model."""
    from sunwell.agent import Agent
    from sunwell.testing import ScriptedModel

    smart, cheap = ScriptedModel("s", [json.dumps(LENS)]), ScriptedModel("c", ["Done.", "Done."])
    result = await Agent(smart, smart, cheap).run(desk.session())
    assert result.lens is not None
    assert desk.kept() == ()


async def test_a_store_that_cannot_be_used_is_one_sentence_and_the_run_goes_on(desk: LensDesk) -> None:
    """As if there were none."""
    desk.workspace.parent.joinpath("home").mkdir(mode=0o700)
    (desk.workspace.parent / "home" / "lenses.sqlite3").write_text("nothing")
    events, result = await desk.events()
    said = [event.message for event in events if isinstance(event, Warned)]
    assert result.status == "ok"
    assert [one for one in said if "lenses cannot be" in one] == said
    assert len(said) == 1


CHANGED = NO_CHANGES | {
    "drop": ["h2"],
    "change": [{"item": "p1", "text": "Prices are in euros."}],
    "add": [{"part": "constraints", "text": "Keep the cents."}],
    "task_scope": "the new shop",
}


async def test_if_files_changed_the_kept_lens_is_changed_for_less(desk: LensDesk) -> None:
    """The smart model sees the kept lens and the changed file alone, and says what must differ."""
    desk.write("src/big.py", "def endpoints():\n" + "    modules = 'src/shop.py'\n" * 700)
    first = await desk.run()
    _edit(desk)
    desk.changes = CHANGED
    second = await desk.run()
    assert second.lens is not None
    assert second.lens_source is not None
    assert second.lens_source.how == "changed"
    assert second.lens_source.reasons == ("src/model.py changed since",)
    assert second.lens == EphemeralLens(
        ("Read src/model.py first.",),
        ("Prices are in euros.",),
        constraints=("Keep the cents.",),
        task_scope="the new shop",
        target_files=("src/shop.py",),
        generated_by=second.lens.generated_by,
        generation_prompt=second.lens.generation_prompt,
    )
    prompt = desk.asked[1].messages[0].text
    assert "euros: int" in prompt
    assert "def endpoints" not in prompt
    assert 'h2 "Then write src/shop.py."' in prompt
    costs = [dict(one.bill.by_purpose)["lens"] for one in (first, second)]
    assert costs[1] < costs[0] / 2
    quotes = [one.quote.delegated.expected_usd for one in (first, second) if one.quote]
    assert quotes[1] < quotes[0]
    third = await desk.run()
    assert third.lens_source is not None
    assert (third.lens_source.how, third.lens_source.from_id) == ("taken", second.lens_source.kept_id)


async def test_a_similar_task_starts_from_the_lens_of_another(desk: LensDesk) -> None:
    """Half of the words are the same. The smart model is shown what fits this task, and no more."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    await desk.run()
    assert "nothing at all" in desk.asked[0].messages[0].text
    result = await desk.run(TASK.replace("5 modules", "7 modules"))
    assert result.lens_source is not None
    assert (result.lens_source.how, result.lens_source.written_for) == ("changed", TASK)
    assert "class Price" in desk.asked[1].messages[0].text
    assert "nothing at all" not in desk.asked[1].messages[0].text
    assert TASK.replace("5", "7") in desk.asked[1].messages[0].text


async def test_a_changed_lens_rests_on_the_files_of_the_one_that_it_was_made_of(desk: LensDesk) -> None:
    """Also on those that are not shown again: its rules may come from them. Nor is it a start then."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    desk.write("zoo/prices.bin", "\0 one")
    desk.lens |= {"target_files": ["src/shop.py", "zoo/prices.bin"]}
    await desk.run()
    similar = TASK.replace("5 modules", "7 modules")
    second, third = await desk.run(similar), await desk.run(similar)
    desk.write("zoo/prices.bin", "\0 two")
    last = await desk.run(similar)
    sources = [one.lens_source for one in (second, third, last) if one.lens_source is not None]
    assert [source.how for source in sources] == ["changed", "taken", "written"]
    assert sources[-1].reasons == ("zoo/prices.bin changed since",)
    assert len(desk.asked) == 3


@pytest.mark.parametrize("drops", [True, False])
async def test_a_changed_lens_leaves_files_of_its_base_that_it_says_nothing_of_any_more(
    desk: LensDesk, drops: bool
) -> None:
    """They are shown again, and only fill the room; the rule that named one of them is gone, or is not."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    desk.lens["heuristics"] = ["Do as in src/other.py.", "Then write src/shop.py."]
    await desk.run()
    assert "src/other.py" in desk.kept()[0].files
    desk.changes = NO_CHANGES | {"drop": ["h1"] * drops}
    similar = TASK.replace("5 modules", "7 modules")
    second = await desk.run(similar)
    desk.write("src/other.py", "def unrelated():\n    return 2\n")
    third = await desk.run(similar)
    sources = [one.lens_source for one in (second, third) if one.lens_source is not None]
    assert [source.how for source in sources] == ["changed", "taken" if drops else "changed"]


async def test_a_start_that_was_noted_without_its_files_makes_no_lens_that_is_kept(desk: LensDesk) -> None:
    """Records of older versions have none. Nobody could tell when such a lens is out of date."""
    desk.write("src/big.py", "def unrelated():\n" + "    return 'nothing at all'\n" * 700)
    await desk.run()
    (base,) = desk.kept()
    result = await desk.run(TASK.replace("5 modules", "7 modules"))
    desk.store().drop([kept.id for kept in desk.kept() if kept.id != base.id])
    path = Path(result.journal or "")
    records = list(read_records(path))
    del records[next(at for at, one in enumerate(records) if isinstance(one, LensWritten)) :]
    (noted,) = [one for one in records if isinstance(one, Note) and one.name == KEPT]
    lines = path.read_bytes().splitlines(keepends=True)[: len(records)]
    at = records.index(noted)
    older = attrs.evolve(noted, value={key: one for key, one in noted.value.items() if key != "files"})
    lines[at] = encode(older, at) + b"\n"
    path.write_bytes(b"".join(lines))
    again = await desk.agent().resume(result.run_id, workspace=desk.workspace)
    assert again.lens == result.lens
    assert again.lens_source is not None
    assert (again.lens_source.how, again.lens_source.kept_id) == ("changed", "")
    assert desk.kept() == (base,)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (NO_CHANGES | {"drop": ["h9"]}, "the kept lens has no item 'h9'"),
        (NO_CHANGES | {"drop": ["h1", "h2", "p1"]}, "nothing of the kept lens can stay"),
        ("I would rather not.", "the answer does not say what must change"),
    ],
)
async def test_changes_that_cannot_be_applied_are_paid_and_a_whole_lens_is_written(
    desk: LensDesk, answer: Any, said: str
) -> None:
    """The run says so."""
    desk.write("src/big.py", "def endpoints():\n" + "    modules = 'src/shop.py'\n" * 700)
    await desk.run()
    _edit(desk)
    desk.changes = answer
    result = await desk.run()
    assert result.lens_source is not None
    assert (result.lens_source.how, len(desk.asked)) == ("written", 3)
    assert said in result.lens_source.reasons[1]
    assert result.bill.split("purpose")[0][1].calls == 2


async def test_where_changing_costs_as_much_a_whole_lens_is_written(desk: LensDesk) -> None:
    """If most of what is shown has changed, the kept lens only makes the question longer."""
    await desk.run()
    _edit(desk)
    desk.write("src/other.py", "def unrelated():\n" + "    modules = 'endpoints'\n" * 800)
    result = await desk.run()
    assert result.lens_source is not None
    assert (result.lens_source.how, len(result.lens_source.reasons)) == ("written", 1)


async def test_a_run_that_changed_a_lens_is_played_again_and_resumed(desk: LensDesk) -> None:
    """The question for the changes is the same, whatever the store has by then."""
    desk.write("src/big.py", "def endpoints():\n" + "    modules = 'src/shop.py'\n" * 700)
    await desk.run()
    _edit(desk)
    desk.changes = CHANGED
    result = await desk.run()
    assert result.lens_source is not None
    assert result.lens_source.how == "changed"
    desk.store().drop_all()
    replayed = await desk.agent().replay(result.run_id, workspace=desk.workspace)
    assert (replayed.lens, replayed.lens_source) == (result.lens, result.lens_source)
    path = Path(result.journal or "")
    lines = path.read_bytes().splitlines(keepends=True)
    at = next(at for at, one in enumerate(read_records(path)) if isinstance(one, LensWritten))
    path.write_bytes(b"".join(lines[:at]))
    desk.asked.clear()
    again = await desk.agent().resume(result.run_id, workspace=desk.workspace)
    assert (again.lens, desk.asked) == (result.lens, [])
