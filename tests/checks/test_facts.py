"""What does not fit a finished task is seen, and sound work is left alone."""

import time

import attrs
import pytest

from sunwell.checks.facts import SeenCall, SeenWork, facts_of, told_of
from sunwell.checks.final_words import announcement_in, passing_claim_in
from sunwell.checks.shell_verdicts import kind_of


def kinds(work: SeenWork) -> list[str]:
    return [fact.kind for fact in facts_of(work)]


def ran(command: str, exit_code: int | None) -> SeenCall:
    return SeenCall("run_command", command=command, exit_code=exit_code, is_error=exit_code is None)


def wrote(path: str) -> SeenCall:
    return SeenCall("write_file", (path,), (path,))


def refused(path: str, said: str = "write_file was not approved, so it was not done") -> SeenCall:
    return SeenCall("write_file", (path,), is_error=True, said=said)


def changing(answer: str, *calls: SeenCall, targets: tuple[str, ...] = ()) -> SeenWork:
    return SeenWork(answer, calls, "change", targets, may_write=True)


@pytest.mark.parametrize(
    ("answer", "calls", "found"),
    [
        pytest.param("Done.", [("pytest", 1)], ["failed_command"], id="failed"),
        pytest.param("Done.", [("pytest", None)], ["failed_command"], id="killed"),
        pytest.param("Done.", [("pytest", 1), ("pytest", 0)], [], id="made-up-for"),
        pytest.param("Done.", [("pytest", 1), ("mypy .", 0)], ["failed_command"], id="by-another-check"),
        pytest.param("Done.", [("mypy .", 1), ("pytest", 0)], [], id="a-test-makes-up-for-all"),
        pytest.param(
            "Done.", [("pytest", 1), ("ls", 0)], ["failed_command"], id="a-look-makes-up-for-nothing"
        ),
        pytest.param("Done.", [("pytest", 0), ("grep x y", 1)], [], id="an-answer-is-no-failure"),
        pytest.param("All tests pass.", [("pytest", 1)], ["unsupported_claim"], id="false-claim"),
        pytest.param("All tests pass.", [("pytest", None)], ["unsupported_claim"], id="claim-after-hanging"),
        pytest.param("All tests pass.", [], ["unsupported_claim"], id="claim-of-nothing"),
        pytest.param("All tests should pass.", [], [], id="a-hope-is-no-claim"),
        pytest.param("All tests pass.", [("pytest -q | tail -3", 0)], [], id="claim-after-a-pipe"),
        pytest.param("All tests pass.", [("exit 1", 1)], ["unsupported_claim"], id="claim-after-any-failure"),
        pytest.param("Done.", [("false", 1)], ["failed_command"], id="plain-failure"),
        pytest.param("Done.", [("npm run dev", None)], [], id="a-server-is-ended"),
        pytest.param("Done.", [("npm test", 127)], ["failed_command"], id="not-found-and-silent"),
        pytest.param("npm is not installed here.", [("npm test", 127)], [], id="not-found-and-said"),
    ],
)
def test_commands_and_claims(answer: str, calls: list[tuple[str, int | None]], found: list[str]) -> None:
    """A failure stands until something of its kind ends well; an exit code that answers is none."""
    assert kinds(changing(answer, wrote("a.py"), *(ran(*call) for call in calls))) == found


def test_a_failure_that_is_reported_openly_is_shown_and_not_told() -> None:
    """The model has said it, so to tell it would buy nothing; the task is still not finished."""
    (fact,) = facts_of(changing("a.py is changed. 2 tests still fail.", wrote("a.py"), ran("pytest", 1)))
    assert (fact.kind, fact.told) == ("failed_command", "")
    assert fact.sentence == "The last command failed: `pytest` ended with exit code 1."
    assert told_of((fact,)) == ""


def test_a_failure_that_was_there_before_needs_its_proof() -> None:
    """The same command failed before the first change, and the answer says so."""
    said = "a.py is changed. One unrelated test fails, as it did before."
    before = (ran("pytest", 1), wrote("a.py"), ran("pytest", 1))
    assert kinds(changing(said, *before)) == []
    assert kinds(changing(said, *before[1:])) == ["failed_command"]


@pytest.mark.parametrize("wish", ["answer", "run"])
def test_a_failure_may_be_the_answer(wish) -> None:
    """Whoever asks which tests fail is told."""
    assert kinds(SeenWork("Two tests fail.", (ran("pytest", 1),), wish)) == []


@pytest.mark.parametrize(
    ("answer", "calls", "found"),
    [
        pytest.param("Changed a.py.", [refused("a.py")], ["refused_write"], id="claimed"),
        pytest.param("Done.", [refused("a.py")], ["refused_write"], id="silent"),
        pytest.param("Changed a.py.", [refused("a.py"), wrote("a.py")], [], id="repeated"),
        pytest.param("Changed a.py.", [refused("./a.py"), wrote("a.py")], [], id="other-spelling"),
        pytest.param("a.py was not changed: it was not approved.", [refused("a.py")], [], id="reported"),
        pytest.param("The change was not approved.", [refused("a.py")], [], id="reported-without-its-name"),
        pytest.param("Done.", [refused("a.py"), ran("sed -i s/a/b/ a.py", 0)], [], id="done-by-a-command"),
        pytest.param("Done.", [refused("x/a.py", "there is no file"), wrote("y/a.py")], [], id="wrong-path"),
        pytest.param("Done.", [refused("b.py", "there is no file"), wrote("a.py")], [], id="wrong-guess"),
        pytest.param(
            "Changed b.py.",
            [refused("b.py", "not there"), wrote("a.py")],
            ["refused_write"],
            id="claimed-guess",
        ),
    ],
)
def test_writes_that_were_not_made(answer: str, calls: list[SeenCall], found: list[str]) -> None:
    """They are facts until they are made, or reported as not done."""
    assert kinds(changing(answer, *calls)) == found


@pytest.mark.parametrize(
    ("answer", "changed", "targets", "found"),
    [
        pytest.param("Done.", ["a.py"], ["a.py", "b.py"], ["untouched_target"], id="one-left"),
        pytest.param("Done.", ["src/a.py"], ["a.py"], [], id="by-its-name"),
        pytest.param("Done.", ["pkg/a.py"], ["pkg/"], [], id="folder"),
        pytest.param("Done.", ["pkg/a.py"], ["pkg/*.py"], [], id="pattern"),
        pytest.param("b.py needed no change.", ["a.py"], ["a.py", "b.py"], [], id="said"),
        pytest.param("Not done:\n- b.py", ["a.py"], ["a.py", "b.py"], [], id="listed"),
        pytest.param("Done.", [], ["a.py"], ["no_change"], id="nothing-at-all"),
        pytest.param("It is there already.", [], ["a.py"], [], id="nothing-needed"),
    ],
)
def test_files_that_the_task_names(
    answer: str, changed: list[str], targets: list[str], found: list[str]
) -> None:
    """A target that was not changed is a fact, unless the answer says why."""
    assert kinds(changing(answer, *map(wrote, changed), targets=tuple(targets))) == found


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(ran("python generate.py", 0), id="a-command-that-may-write"),
        pytest.param(SeenCall("my_tool", is_opaque=True), id="a-tool-of-the-user"),
    ],
)
def test_what_cannot_be_seen_is_not_claimed(call: SeenCall) -> None:
    """If something may have changed files unseen, nothing is said of files that were not changed."""
    assert kinds(changing("Done.", call, targets=("a.py",))) == []


def test_work_without_tools_has_no_facts() -> None:
    """Its answer is the work: a story may end with "Let me go and look for her now."."""
    assert kinds(SeenWork("Let me look for her now.", has_tools=False)) == []


@pytest.mark.parametrize(
    "text",
    ["I'll now run the tests.", "Next, I will edit a.py.", "**Next:** let's fix it", "Now updating b.py…"],
)
def test_an_announcement_is_no_report(text: str) -> None:
    """In other words, with ornaments, and after a report of what was done."""
    assert announcement_in(text)
    assert announcement_in(f"The cart is fixed.\n\n{text}")
    assert not announcement_in(f"{text}\n\nAll is done: both files are changed.")


@pytest.mark.parametrize(
    "text",
    [
        "If you like, I'll also update the docs.",
        "Let me know what you think.",
        "You can now run `make`.",
        "I'll leave the release to you.",
        "I won't change the API.",
        "Shall I update the docs, too?",
        "> Let me check the number.",
        "Next steps: update your `.env` file and restart the server.",
        "Next steps:\n1. Run the migration.\n2. Restart.",
        "Testing shows that it is fixed now.",
        "Working now.",
        "Updating the lock file is left for now.",
        "I should add that the API is unstable.",
        "You should now be able to log in.",
        "Now the endpoint returns 404.",
        "We now use a dictionary. Everything is in place.",
        "To try it, run:\n\n```\nmake\n```",
        "Let's Encrypt issues the certificates.",
    ],
)
def test_an_offer_is_no_announcement(text: str) -> None:
    """What depends on the user, or is quoted, announces nothing."""
    assert not announcement_in(f"Done.\n\n{text}")


@pytest.mark.parametrize(
    ("text", "claims"),
    [
        ("All tests pass.", True),
        ("The test suite passes (12 passed).", True),
        ("Tests are green.", True),
        ("I ran it and verified that all tests pass.", True),
        ("2 of 3 tests pass.", False),
        ("The tests should pass.", False),
        ("Run `pytest` to see whether all tests pass.", False),
        ("Make sure that all tests pass.", False),
        ("The tests pass a fake clock.", False),
        ("According to the log, all tests pass.", False),
    ],
)
def test_what_claims_that_tests_pass(text: str, claims: bool) -> None:
    """A hope, a condition or a quotation is no claim."""
    assert bool(passing_claim_in(text)) is claims


@pytest.mark.parametrize(
    ("command", "is_look", "is_test", "may_change"),
    [
        ("grep -rn x .", True, False, False),
        ("git ls-files | grep x", True, False, False),
        ("! grep x a.py", True, False, False),
        ("diff a b", True, False, False),
        ("[ -f a ]", True, False, False),
        ("cd src && grep x a.py", True, False, False),
        ("git diff --exit-code", True, False, False),
        ("pytest || true", True, True, False),
        ("ls no-such-folder", True, False, False),
        ("pytest -q", False, True, False),
        ("exit 1  # after pytest", False, False, True),
        ("cd a && FOO=1 timeout 60 python -m pytest -x 2>&1", False, True, False),
        ("bash -c 'npm test'", False, True, False),
        ("./run_tests.sh", False, True, False),
        ("python fill.py", False, False, True),
        ("echo x > a.txt", True, False, True),
        ("sed -i s/a/b/ a.py", False, False, True),
        ("sed -n 1,5p a.py", True, False, False),
        ("sort -o a a", False, False, True),
        ("python - <<'E'\nprint('a && b')\nE", False, False, True),
        ("unbalanced 'quote", True, False, True),
        ("for f in *; do rm $f; done", True, False, True),
    ],
)
def test_what_an_exit_code_says(command: str, is_look: bool, is_test: bool, may_change: bool) -> None:
    """Of programs that answer by it, and of lines whose parts cannot be told apart, it says nothing."""
    kind = kind_of(command)
    assert (kind.is_look, kind.is_test, kind.may_change_files) == (is_look, is_test, may_change)


@pytest.mark.parametrize(
    "piece", ["now ", "a.", "since ", "let me ", "`", "the tests ", "(", "- x\n", "a/", "'", "``` ", "all "]
)
def test_no_text_takes_long(piece: str) -> None:
    """A model may write anything, and much of it."""
    from sunwell.agent.policy.wanted_changes import wanted_changes

    text = piece * (200_000 // len(piece))
    began = time.process_time()
    facts_of(changing(text, refused("a.py"), ran(text[:20_000], 1)))
    wanted_changes(text)
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    ("work", "matters"),
    [
        (SeenWork("Done.", (SeenCall("note", is_opaque=True),)), False),
        (SeenWork("Done.", (SeenCall("note", is_opaque=True),), may_write=True), False),
        (SeenWork("Done.", (SeenCall("read_file", is_error=True),)), False),
        (SeenWork("Done.", may_write=True), True),
        (SeenWork("Done.", (ran("make", 0),)), True),
        (SeenWork("Done.", (refused("a.py"),)), True),
        (SeenWork("All tests pass."), True),
        (SeenWork("Now I will fix it:"), True),
    ],
    ids=[
        "opaque",
        "opaque-beside-a-writer",
        "error",
        "no-change",
        "command",
        "refused",
        "claim",
        "announced",
    ],
)
def test_what_the_task_asks_for_is_found_out_where_facts_depend_on_it(work: SeenWork, matters: bool) -> None:
    """Only then: that takes longer than the rest. What is found out counts as if it had been there before."""
    asked: list[SeenWork] = []

    def with_task(seen: SeenWork) -> SeenWork:
        asked.append(seen)
        return attrs.evolve(seen, wish="change", targets=("a.py",))

    found = facts_of(work, with_task)
    assert asked == [work] * matters
    assert found == facts_of(attrs.evolve(work, wish="change", targets=("a.py",)))
