"""A run that goes on from a place in another one, with something changed."""

import pytest

from sunwell.agent.lifecycle.fork_run import Cut, divide
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.errors import JournalError
from sunwell.journal import read_records
from sunwell.journal.records import Answer, Forked, Note, RunOpened
from sunwell.journal.tree import tree
from sunwell.testing import completion


def three_turns(story, call):
    """Leave a run that wrote one file, then another, and answered."""
    lines = [completion(call.writing(f"{name}.txt", "1\n")) for name in "ab"]
    return story.run(*lines, "Done.")


def put_back(story, *names):
    """Undo by hand what the run wrote."""
    for name in names:
        (story.workspace / name).unlink()


def test_a_fork_keeps_what_came_before_and_asks_the_rest_anew(story, call):
    """The kept call is not asked; the other run is not changed; the new one is a run like any other."""
    first = three_turns(story, call)
    before = story.journals[0].read_bytes()
    put_back(story, "b.txt")
    forked = story.fork("run/direct:1", completion(call.writing("c.txt", "1\n")), "Forked.")
    assert (forked.status, forked.answer, story.asked) == ("ok", "Forked.", 2)
    assert sorted(change.path for change in forked.files) == ["a.txt", "c.txt"]
    assert story.journals[0].read_bytes() == before
    assert forked.run_id not in ("", first.run_id)
    assert story.resume(run_id=forked.run_id).answer == "Forked."
    assert story.replay(run_id=forked.run_id).answer == "Forked."


def test_a_fork_pays_for_what_it_asked_alone(story, call):
    """The bill, the ceilings and the tree leave out what the other run has paid for."""
    three_turns(story, call)
    put_back(story, "b.txt")
    forked = story.fork("run/direct:1", "Forked.", budget=Budget(calls=2))
    assert (forked.status, forked.bill.calls) == ("ok", 1)
    root = tree(read_records(story.journals[1]))
    assert root.total_usage.total_tokens == forked.bill.usage.total_tokens
    assert [node.status for node in root.walk() if node.type == "call"] == ["kept", "answered"]


def test_a_fork_may_go_on_with_another_model(story, call, scripted):
    """Kept answers stay valid although another model is asked from there on, also when taken up again."""
    three_turns(story, call)
    put_back(story, "b.txt")
    other = scripted("sonnet-x", completion(call.reading("a.txt")), "By another.")
    forked = story.fork("run/direct:1", model=other, budget=Budget(turns=2))
    assert forked.status == "incomplete"
    more = story.resume(model=scripted("sonnet-x", "Done."), run_id=forked.run_id, budget=Budget(turns=9))
    assert (more.status, more.answer) == ("ok", "Done.")


@pytest.mark.parametrize(
    ("at", "gone", "named"),
    [
        pytest.param("run/direct:1", (), "b.txt", id="made-after-the-place"),
        pytest.param("run/direct:1", ("a.txt", "b.txt"), "a.txt", id="kept-and-gone"),
        pytest.param("run/direct", ("b.txt",), "a.txt", id="made-after-the-beginning"),
    ],
)
def test_files_that_are_not_as_they_were_there_are_named_and_refused(story, call, at, gone, named):
    """Nothing is begun, unless the files are taken as they are."""
    three_turns(story, call)
    put_back(story, *gone)
    with pytest.raises(JournalError, match=f": {named} changed since the run saw it; put that back"):
        story.fork(at, "Forked.")
    assert len(story.journals) == 1
    forked = story.fork(at, "Forked.", accept_changes=True)
    assert (forked.answer, len(story.journals)) == ("Forked.", 2)


@pytest.mark.parametrize("at", ["run/work", "run/direct:7", "nowhere", "run/direct:x"])
def test_a_place_that_the_run_does_not_have_is_refused_with_those_it_has(story, call, at):
    """One sentence."""
    three_turns(story, call)
    with pytest.raises(JournalError, match=r"it has run/direct:0 to 2$"):
        story.fork(at, "Forked.")


def test_a_fork_that_was_cut_off_while_it_was_made_is_not_taken_up(story, call):
    """What it copied is not its own to pay for or to go on with."""
    three_turns(story, call)
    put_back(story, "b.txt")
    forked = story.fork("run/direct:1", "Forked.")
    path = story.journals[1]
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:3]))
    with pytest.raises(JournalError, match="was cut off while it was made: fork again"):
        story.resume(run_id=forked.run_id)


def test_a_fork_says_where_it_comes_from(story, call):
    """In its first record, and after the copied ones."""
    first = three_turns(story, call)
    put_back(story, "b.txt")
    story.fork("run/direct:1", "Forked.")
    opened, *others = read_records(story.journals[1])
    assert isinstance(opened, RunOpened)
    assert opened.settings["forked"] == {"run_id": first.run_id, "at": "run/direct:1"}
    [mark] = [record for record in others if isinstance(record, Forked)]
    assert (mark.run_id, mark.span, mark.number, mark.accepted) == (first.run_id, "run/direct", 1, False)


def test_work_beside_the_place_that_had_begun_is_kept_whole(answer):
    """It did not wait for what is made anew; what began later may have."""
    records = [
        answer("run/lens"), answer("run/w1"), answer("run/w2"), answer("run/w2", 1), answer("run/w2/in"),
        answer("run/w1", 1), Note("run", "after", 1), answer("run/w3"), answer("run"),
    ]  # fmt: skip
    kept, left = divide(records, Cut("run/w2", 1))
    assert [(r.span, r.number) for r in kept if isinstance(r, Answer)] == [
        ("run/lens", 0), ("run/w1", 0), ("run/w2", 0), ("run/w1", 1),
    ]  # fmt: skip
    assert len(left) == 5


def test_a_run_that_met_its_limit_forks_past_it(story, call):
    """Refusals of the other run's ledger are not kept."""
    story.options = RunOptions(budget=Budget(calls=2))
    story.run(completion(call.writing("a.txt", "1\n")), "Not finished.")
    assert story.fork("run/direct:1", "Forked.", budget=Budget(calls=5)).answer == "Forked."


def test_one_worker_of_a_batch_is_done_anew(story):
    """The other, which had ended by then, is kept."""
    story.options = RunOptions(max_concurrent=1)
    first = story.batch(["one", "two"], "Done one.", "Done two.")
    spans = [record.span for record in story.records() if isinstance(record, Answer)]
    forked = story.fork(spans[1], "Done two again.")
    assert [worker.answer for worker in forked.workers] == ["Done one.", "Done two again."]
    assert (story.asked, forked.bill.calls, first.bill.calls) == (1, 1, 2)
