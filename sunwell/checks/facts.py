"""What the harness itself saw of a piece of work that does not fit a finished task.

Pure functions on values: no model is asked, and the same work gives the same facts. They are made to be right
rather than complete: where the work may be sound, there is no fact.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

import attrs

from sunwell.checks.final_words import (
    admits_failure,
    announcement_in,
    passing_claim_in,
    reports_not_done,
    reports_refusal,
    says_it_cannot_run,
    says_it_was_before,
    says_nothing_was_done,
    speaks_of,
)
from sunwell.checks.shell_verdicts import CommandKind, kind_of
from sunwell.core.markdown import one_line

FactKind = Literal[
    "failed_command",
    "unsupported_claim",
    "refused_write",
    "untouched_target",
    "no_change",
    "announced_action",
]
_MOST_CHARACTERS = 160
_MOST_NAMED = 5
_MOST_READ = 100_000
"""Characters of an answer that are read: its beginning and its end."""
_NOT_STARTED = (126, 127)
"""Exit codes of a shell that could not start the program."""


@attrs.frozen
class Fact:
    """Something that does not fit a finished task."""

    kind: FactKind
    sentence: str
    """For people."""
    told: str
    """The same for the model, as a clause; empty if its answer says it already, so that it is not told."""


@attrs.frozen
class SeenCall:
    """A tool call, and what the harness saw of it."""

    tool: str
    writes: tuple[str, ...] = ()
    """Files that it was to change."""
    changed: tuple[str, ...] = ()
    """Files that it changed; in a dry run, files that it would have changed."""
    command: str | None = None
    """The command that it ran; ``None``: it ran none."""
    exit_code: int | None = None
    """Its exit code; ``None`` if it did not finish."""
    is_error: bool = False
    """Whether it failed or was refused."""
    said: str = ""
    """The beginning of what the model was told of an error."""
    is_opaque: bool = False
    """Whether it may have changed files, or run tests, without the harness seeing it."""


@attrs.frozen
class SeenWork:
    """A piece of work at its end, as the harness saw it."""

    answer: str
    calls: tuple[SeenCall, ...] = ()
    wish: Literal["change", "answer", "run", "unknown"] = "unknown"
    """Whether the task asks for changed files, for an answer, for something to be run, or one cannot say."""
    targets: tuple[str, ...] = ()
    """Files that the task names as something to be changed."""
    is_prose: bool = False
    """Whether the answer may be a text for other people, with announcements of its own."""
    expects_failure: bool = False
    """Whether a failing test or command is what the task asks for."""
    may_write: bool = False
    """Whether it had a tool that changes files."""
    has_tools: bool = True
    """Whether it had any tool. Without one, the answer is the work, and there are no facts."""


def facts_of(
    work: SeenWork, with_task: Callable[[SeenWork], SeenWork] = lambda work: work
) -> tuple[Fact, ...]:
    """Return the facts that do not fit a finished task, those of commands first; mostly there are none.

    *with_task* adds what the task asks for to the work. It is called only if that can matter: to find it out
    takes longer than all else here.
    """
    if not work.has_tools or not work.answer.strip():
        return ()
    if len(work.answer) > _MOST_READ:
        half = _MOST_READ // 2
        work = attrs.evolve(work, answer=f"{work.answer[:half]}\n{work.answer[-half:]}")
    claim, announced = passing_claim_in(work.answer), announcement_in(work.answer)
    shows_changes = work.may_write and not any(call.is_opaque for call in work.calls)
    is_doubtful = any(call.command is not None or (call.is_error and call.writes) for call in work.calls)
    if not (claim or announced or shows_changes or is_doubtful):
        return ()
    work = with_task(work)
    commands = [_Run(call, kind_of(call.command)) for call in work.calls if call.command is not None]
    refused = tuple(_refused_writes(work))
    return (
        *_of_commands(work, commands, claim),
        *refused,
        *_of_files(work, commands, {path for path, _ in _open_writes(work)}),
        *_announced("" if work.is_prose else announced),
    )


def announced_facts(answer: str) -> tuple[Fact, ...]:
    """Return the one fact about *answer* alone: whether it announces an action in place of a report."""
    return _announced(announcement_in(answer))


def told_of(facts: Sequence[Fact]) -> str:
    """Return what the model is told of *facts*, in one clause for all; empty if there is nothing to tell."""
    return "; ".join(fact.told for fact in facts if fact.told)


# ---- Commands and what is said of them ----


@attrs.frozen
class _Run:
    call: SeenCall
    kind: CommandKind

    @property
    def ended_well(self) -> bool:
        return self.call.exit_code == 0

    @property
    def failed(self) -> bool:
        """Whether it failed for good: its exit code is a verdict, or it never came to its end."""
        if self.call.exit_code is None:
            return not self.kind.is_server
        return self.call.exit_code != 0 and not self.kind.is_look

    @property
    def shown(self) -> str:
        text = one_line(self.call.command or "")
        return text if len(text) <= _MOST_CHARACTERS else f"{text[: _MOST_CHARACTERS - 1]}…"

    @property
    def end(self) -> str:
        code = self.call.exit_code
        return "was killed at its time limit" if code is None else f"ended with exit code {code}"


def _of_commands(work: SeenWork, commands: Sequence[_Run], claim: str) -> Iterator[Fact]:
    failed = _open_failure(commands)
    is_tested = any(run.kind.is_test and run.ended_well for run in commands)
    if claim and failed is not None and (failed.kind.is_test or not is_tested):
        said = f"{_code(failed.shown)} {failed.end}, and no test command passed later"
        yield Fact(
            "unsupported_claim",
            f"The answer says that tests pass, but {said}.",
            f"it says that tests pass, but {said}",
        )
    elif claim and not any(_may_test(call) for call in work.calls) and work.wish != "answer":
        yield Fact(
            "unsupported_claim",
            "The answer says that tests pass, but no command was run.",
            "it says that tests pass, but you ran nothing that shows it",
        )
    elif failed is not None:
        yield from _failed(work, failed, commands)


def _may_test(call: SeenCall) -> bool:
    return call.is_opaque or (call.command is not None and call.exit_code is not None)


def _open_failure(commands: Sequence[_Run]) -> _Run | None:
    """Return the command that failed and that no later one made up for; ``None`` if there is none.

    A test command is made up for by a test command alone; any other by whatever ended well.
    """
    for run in (commands[at] for at in range(len(commands) - 1, -1, -1)):
        if run.kind.is_test and (run.failed or run.ended_well):
            last_test: _Run | None = run
            break
    else:
        last_test = None
    if last_test is not None and last_test.failed:
        return last_test
    verdicts = [run for run in commands if run.failed or (run.ended_well and not run.kind.is_look)]
    return verdicts[-1] if verdicts and verdicts[-1].failed else None


def _failed(work: SeenWork, failed: _Run, commands: Sequence[_Run]) -> Iterator[Fact]:
    admits = admits_failure(work.answer)
    if admits and (work.wish in ("answer", "run") or work.expects_failure):
        return  # that it fails is the answer
    if work.wish == "answer" and not failed.kind.is_test:
        return
    code = failed.call.exit_code
    if admits and (code in _NOT_STARTED or says_it_cannot_run(work.answer)):
        return  # it could not be run here, and the answer says so
    if admits and says_it_was_before(work.answer) and _failed_before(work, failed):
        return
    yield Fact(
        "failed_command",
        f"The last command failed: {_code(failed.shown)} {failed.end}.",
        "" if admits else f"the last command failed: {_code(failed.shown)} {failed.end}",
    )


def _failed_before(work: SeenWork, failed: _Run) -> bool:
    """Whether the same command had failed before any file was changed."""
    for call in work.calls:
        if call.changed or call.is_opaque:
            return False
        if call is not failed.call and call.command == failed.call.command and call.exit_code != 0:
            return True
    return False


# ---- Files ----


def _open_writes(work: SeenWork) -> Iterator[tuple[str, SeenCall]]:
    """Yield each file of which a write failed, with the call, unless it was changed later."""
    for at, call in enumerate(work.calls):
        if not call.is_error or not call.writes:
            continue
        later = work.calls[at + 1 :]
        for path in call.writes:
            if not any(_mends(one, path) for one in later):
                yield path, call


def _mends(call: SeenCall, path: str) -> bool:
    """Whether *call* may have changed the file *path*, perhaps under its right name."""
    name = path.rsplit("/", 1)[-1]
    if any(_same(one, path) or one.rsplit("/", 1)[-1] == name for one in call.changed):
        return True
    if call.command is not None:
        return call.exit_code == 0 and name in call.command and kind_of(call.command).may_change_files
    return call.is_opaque


def _refused_writes(work: SeenWork) -> Iterator[Fact]:
    seen: set[str] = set()
    for path, call in _open_writes(work):
        if path in seen or reports_not_done(work.answer, path):
            continue
        is_spoken_of = any(True for _ in speaks_of(work.answer, path))
        if not is_spoken_of and reports_refusal(work.answer):
            continue
        if not is_spoken_of and path not in work.targets and not _is_refusal(call):
            continue  # a wrong guess of a path, or of what stands in a file: the work went another way
        seen.add(path)
        why = one_line(call.said)
        why = why if len(why) <= _MOST_CHARACTERS else f"{why[: _MOST_CHARACTERS - 1]}…"
        yield Fact(
            "refused_write",
            f"A change of {path} was not made ({why}), and it was not made later.",
            f"your change of {one_line(path)} was not made, and you did not repeat it",
        )


def _is_refusal(call: SeenCall) -> bool:
    return any(
        word in call.said
        for word in ("not approved", "could not be approved", "outside", "protected", "not allowed")
    )


def _same(one: str, other: str) -> bool:
    """Whether two paths may mean one file: they are equal, or one is the end of the other."""
    first, second = one.removeprefix("./"), other.removeprefix("./")
    return first == second or first.endswith(f"/{second}") or second.endswith(f"/{first}")


def _of_files(work: SeenWork, commands: Sequence[_Run], refused: set[str]) -> Iterator[Fact]:
    """Yield what does not fit a task that changes files; nothing if a call may have changed some unseen."""
    if work.wish != "change" or not work.may_write:
        return
    if any(call.is_opaque for call in work.calls):
        return
    if any(run.call.exit_code == 0 and run.kind.may_change_files for run in commands):
        return
    changed = [path for call in work.calls for path in call.changed]
    if not changed:
        if not refused and not says_nothing_was_done(work.answer):
            yield Fact(
                "no_change",
                "No file was changed, although the task asks for a change.",
                "no file was changed, although the task asks for a change",
            )
        return
    missing = [
        target
        for target in dict.fromkeys(work.targets)
        if not any(_covers(target, path) for path in changed)
        and not any(_same(target, path) for path in refused)
        and not reports_not_done(work.answer, target.rstrip("/"))
    ]
    if missing:
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        named = f"{', '.join(missing[:_MOST_NAMED])}{more}"
        was = "was" if len(missing) == 1 else "were"
        yield Fact(
            "untouched_target",
            f"{named} {was} not changed, although the task names {'it' if len(missing) == 1 else 'them'}.",
            f"the task names {named}, which you did not change",
        )


def _covers(target: str, path: str) -> bool:
    """Whether a change of *path* is one of *target*, a file, a folder or a pattern."""
    folder = target.removeprefix("./").rstrip("/")
    if _same(target, path) or path.startswith(f"{folder}/") or f"/{folder}/" in path:
        return True
    if not set("*?[") & set(target):
        return False
    from fnmatch import fnmatchcase

    return fnmatchcase(path, folder) or fnmatchcase(path.rsplit("/", 1)[-1], folder)


# ---- The end of the answer ----


def _announced(said: str) -> tuple[Fact, ...]:
    if not said:
        return ()
    shown = one_line(said)
    shown = shown if len(shown) <= _MOST_CHARACTERS else f"{shown[: _MOST_CHARACTERS - 1]}…"
    return (
        Fact(
            "announced_action",
            f"The answer ends with an action that was announced and not taken: {shown!r}.",
            # Not in its words: they may come from a file, and a user's message would lend them weight.
            "it ends with an action that you announce, instead of a report",
        ),
    )


def _code(text: str) -> str:
    return f"`{text}`"
