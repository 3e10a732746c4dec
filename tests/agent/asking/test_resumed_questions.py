"""A question whose process was killed: taken up again at every record, with nothing paid twice."""

import pytest

from sunwell.agent.asking.seen_parts import merged
from sunwell.core.model import Request
from sunwell.errors import ConfigurationError, ServerFailed
from sunwell.journal.records import Answer
from tests.agent.asking.conftest import explore, final

STEPS = (
    explore("hits = context.search('line 7\\\\d:')\nparts = context.chunks(120000)\nprint(len(hits))"),
    explore(
        "answers = llm_map('Is it odd?', parts + parts[:1])\nleft = budget()['steps_left']\nprint(answers)"
    ),
    explore("more = rlm_query('What is odd?', context.part(0, 400000))\nprint(more, left, len(hits))"),
    explore("answers.append(llm_query('Sum up.', more))\nprint(answers[-1])"),
    final(variable="answers"),
)
CHILD = (
    explore("first = llm_query('Q?', context.part(0, 500))\nprint(first, context.size)"),
    final(variable="first"),
)


def says(request: Request):
    """Return the next message of the smart model: its turns are counted by what it has said."""
    return STEPS[sum(message.role == "assistant" for message in request.messages)]


def reads(request: Request):
    """Return an answer of the cheap model, or the next step of a question with a session of its own."""
    if request.tools:
        return CHILD[sum(message.role == "assistant" for message in request.messages)]
    return f"{request.system[-1][-12:]} {len(request.messages[0].text)}"


@pytest.mark.timeout(300)
def test_killed_at_any_record_and_resumed_it_pays_nothing_twice(asked):
    """Every answer of the journal is used, and the answer is the same."""
    whole = asked.ask(says, reads)
    lines = asked.journal.read_bytes().splitlines(keepends=True)
    answers = [isinstance(record, Answer) for record in asked.records()]
    assert len(answers) == len(lines)
    assert sum(answers) == 5 + 4 + 2 + 1 + 1
    for kept in range(1, len(lines)):
        asked.journal.write_bytes(b"".join(lines[:kept]))
        result = asked.resume(says, reads)
        assert result.answer == whole.answer, kept
        new = len(asked.smart.calls) + len(asked.cheap.calls)
        assert new == sum(answers) - sum(answers[:kept]), kept
        assert result.bill.calls == whole.bill.calls, kept


def test_who_confirms_is_needed_again_and_not_for_what_is_paid(asked):
    """The record does not say yes for the user; what is on record is not asked about a second time."""
    said = []

    async def confirm(what, usd):
        said.append(what)
        return True

    asked.text = "The key is under the mat.\n"
    whole = asked.ask(["Under the mat."], confirm=confirm)
    lines = asked.journal.read_bytes().splitlines(keepends=True)
    asked.journal.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(ConfigurationError, match=r"add --confirm-above X \(in Python give confirm="):
        asked.resume()
    assert asked.resume(confirm=confirm).answer == whole.answer
    assert said == ["1 call to opus-x, $0.0050 expected, up to $0.0200; $0.0000 is spent"]


def test_contexts_that_the_run_does_not_have_are_refused(asked):
    """A name that is mistyped would leave the recorded one in its place."""
    asked.ask([explore("print(1)"), explore("print(2)")], stop_at=9)
    with pytest.raises(ConfigurationError, match=r"the run has no context 'other'; it has: log\.txt"):
        asked.resume(contexts={"other": asked.workspace / "log.txt"})


def test_a_context_that_has_changed_since_is_found(asked):
    """The answers were about another text."""
    asked.ask([explore("print(1)"), explore("print(2)")], stop_at=9)
    asked.text = asked.text.replace("line 9:", "line 0:")
    (asked.workspace / "log.txt").write_text(asked.text)
    with pytest.raises(ConfigurationError, match=r"the context log\.txt has changed"):
        asked.resume()


def test_a_context_outside_of_the_workspace_must_be_given_again(asked, tmp_path):
    """A record may be edited by others: it names no file that the user did not."""
    asked.workspace = tmp_path / "work"
    asked.workspace.mkdir()
    (tmp_path / "log.txt").write_text(asked.text)
    asked.contexts = {"log": tmp_path / "log.txt"}
    asked.ask([explore("x = 5\nprint(1)"), explore("print(2)")], stop_at=9)
    with pytest.raises(ConfigurationError, match="give it again"):
        asked.resume()
    result = asked.resume([explore("print(x)"), final("Done.")], contexts=asked.contexts)
    assert result.status == "ok"


def test_a_session_that_was_lost_is_not_run_again(asked):
    """What came before it is gone, in the resumed run as in the first."""
    again = "for i in range(20_000):\n    try:\n        texts([])\n    except RuntimeError:\n        pass"
    lost = explore(again)
    steps = [explore("x = 1"), lost, explore("y = 2"), explore("print(y)")]
    asked.ask([*steps, ServerFailed("opus-x", "it is down")])
    shown = explore("try:\n    print(x)\nexcept NameError:\n    print('gone', y)")
    result = asked.resume([shown, final("Done.")])
    assert asked.shown(1).startswith("gone 2\n")
    assert result.status == "ok"


def test_ranges_that_meet_are_one():
    """Coverage counts no byte twice."""
    assert merged([(5, 9), (0, 5), (20, 30), (22, 25)]) == [(0, 9), (20, 30)]


def test_a_fork_goes_on_with_the_names_of_the_steps_that_it_keeps(asked):
    """What it keeps is paid; the steps run again for their names."""
    first = asked.ask(
        [explore("x = llm_query('Q?', context.part(0, 9))"), explore("y = 2"), final("Done.")], ["one"]
    )
    result = asked.fork(
        first.run_id, "run/ask:1", [explore("try:\n    y\nexcept NameError:\n    print(x)"), final("New.")]
    )
    assert asked.shown(1).startswith("one\n")
    assert result.answer.startswith(
        "New.\n\n[Coverage, from the harness: scripts searched 0.0 % and calls read 0.1 % of log.txt (1 part"
    )


def test_a_question_is_not_continued_as_a_conversation(asked):
    """Its session is gone; the next question is asked by itself."""
    first = asked.ask([final("Done.")])
    with pytest.raises(
        ConfigurationError, match=r'ask the next question with sunwell ask "QUESTION" -c log.txt'
    ):
        asked.go_on(first.run_id, "And then?")
