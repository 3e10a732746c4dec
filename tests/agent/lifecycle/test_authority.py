"""A journal lies in the workspace, where others may edit it: it is data and gives no permission."""

import json
import zlib
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import pytest

from sunwell.agent import Agent
from sunwell.agent.batches.task_batch import Batch
from sunwell.agent.lifecycle.authority import batch_now
from sunwell.budget import Budget
from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext
from sunwell.core import Proposal
from sunwell.errors import ConfigurationError, JournalError, UnknownModelError
from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.journal.records import (
    Answer,
    Failure,
    InputCounted,
    Intent,
    NewTokensCounted,
    RunClosed,
    RunOpened,
)
from sunwell.models.registry import ModelRegistry
from sunwell.testing import ScriptedModel, completion, run_virtual
from tests.agent.conftest import UnthreadedFiles

Change = Callable[[dict[str, Any]], None]


def edit(journal: Path, change: Change) -> None:
    """Change the settings in the first record, with a checksum that is right, as an attacker would."""
    first, *others = journal.read_bytes().splitlines(keepends=True)
    fields = json.loads(first)
    del fields["crc"]
    change(fields)
    body = json.dumps(fields, separators=(",", ":")).encode()[:-1]
    line = body + b',"crc":"%08x"}\n' % zlib.crc32(body + b"}")
    journal.write_bytes(line + b"".join(others))


def options(**changed: Any) -> Change:
    """Return a change of recorded options."""
    return lambda fields: fields["settings"]["options"].update(changed)


def ceiling(**changed: Any) -> Change:
    """Return a change of recorded ceilings."""
    return options(**{f"budget_{kind}": value for kind, value in changed.items()})


@pytest.fixture
def left(story, call):
    """Return a story whose run has written a file and met its limit of two turns."""
    story.options = RunOptions(budget=Budget(turns=2, usd=1))
    story.run(
        completion(call.reading("no.txt")), completion(call.writing("made.txt", "1\n")), "Not finished."
    )
    story.asked = 0
    return story


MORE = Budget(turns=9)


@pytest.mark.parametrize("name", ["allow_shell", "allow_python", "allow_network"])
@pytest.mark.parametrize("what", ["resume", "fork"])
def test_a_permission_that_only_the_record_gives_is_refused(left, name, what) -> None:
    """Nobody is asked; the sentence names the option on the command line and in Python."""
    edit(left.journals[0], options(**{name: True}))
    option = f"--{name.replace('_', '-')}"
    begin = {"resume": left.resume, "fork": lambda **given: left.fork("run/direct", **given)}[what]
    for accept in (False, True):
        with pytest.raises(ConfigurationError) as caught:
            begin(budget=MORE, accept_changes=accept)
        assert f"with {option}, which its record cannot grant: give it again ({option}, or given=" in str(
            caught.value
        )
    assert (left.asked, len(left.journals)) == (0, 1)


@pytest.mark.parametrize("what", ["resume", "fork"])
def test_a_record_cannot_switch_the_sandbox_off(left, what) -> None:
    """Who gives the shell again gives it in a sandbox."""
    edit(left.journals[0], options(allow_shell=True, sandbox="off"))
    begin = {"resume": left.resume, "fork": lambda **given: left.fork("run/direct", **given)}[what]
    with pytest.raises(ConfigurationError, match="with --sandbox off, which its record cannot grant"):
        begin(given={"allow_shell": True}, budget=MORE, accept_changes=True)
    assert left.asked == 0


@pytest.mark.parametrize("what", ["resume", "fork"])
def test_a_record_cannot_open_files_that_others_run(left, what) -> None:
    """The glob is named as it must be given again; given again, it holds."""
    edit(left.journals[0], options(allow_write=[".github/workflows/**"]))
    begin = {"resume": left.resume, "fork": lambda **given: left.fork("run/direct", **given)}[what]
    with pytest.raises(ConfigurationError) as caught:
        begin(budget=MORE, accept_changes=True)
    assert "with --allow-write '.github/workflows/**', which its record cannot grant" in str(caught.value)
    assert left.asked == 0


@pytest.mark.parametrize(
    "path", [".git/hooks/out.jsonl", ".github/workflows/out.yml", ".envrc", "a/.husky/x"]
)
def test_a_record_cannot_have_results_written_to_a_protected_file(tmp_path: Path, path: str) -> None:
    """The results file of a batch is named again, or it is an ordinary file of the workspace."""
    batch = Batch(["Do it."], results=tmp_path / path)
    with pytest.raises(ConfigurationError, match="name it again with --results"):
        batch_now(batch, tmp_path, None, is_finished=False)


def test_a_permission_that_is_given_again_holds(story, call) -> None:
    """By itself, or with all other options; without it the run goes on where changes are accepted."""
    story.options = RunOptions(budget=Budget(turns=2), allow_shell=True)
    command = call("run_command", command="echo 1 > a.txt", timeout_seconds=None)
    story.in_real_time("run", completion(command), completion(command), "Not finished.")
    with pytest.raises(ConfigurationError, match="--allow-shell"):
        story.resume(options=RunOptions(), budget=MORE)
    with pytest.raises(JournalError, match="the tools run_command are gone"):
        story.resume(given={"allow_shell": False}, budget=MORE)
    for terms in (
        {"given": {"allow_shell": True}},
        {"options": RunOptions(allow_shell=True)},
        {"given": {"allow_shell": False}, "accept_changes": True},
        {"options": RunOptions(), "accept_changes": True},
    ):
        before = story.journals[0].read_bytes()
        assert story.in_real_time("resume", "Done.", budget=MORE, **terms).status == "ok"
        story.journals[0].write_bytes(before)


def test_an_unknown_permission_is_refused(left) -> None:
    """A misspelled name is not taken for a permission."""
    with pytest.raises(ConfigurationError, match="'alow_shell', which is not an option of a run"):
        left.resume(given={"alow_shell": True})


def test_a_finished_run_needs_no_permission(story, call) -> None:
    """Its result is given again, and nothing is run for it."""
    story.options = RunOptions(allow_shell=True)
    first = story.run("Done.")
    assert (story.resume().answer, story.replay().answer) == (first.answer, first.answer)


def test_a_dry_run_stays_one(story, call) -> None:
    """Whatever options are given; and a record that does not say so does not turn it off."""
    story.options = RunOptions(dry_run=True, budget=Budget(turns=1))
    story.run(completion(call.writing("a.txt", "1\n")), "Not finished.")
    journal, before = story.journals[0], story.journals[0].read_bytes()
    lines = (completion(call.writing("b.txt", "1\n")), "Done.")
    story.resume(*lines, options=RunOptions(), budget=MORE)
    assert not (story.workspace / "b.txt").exists()
    journal.write_bytes(before)
    edit(journal, options(dry_run=False))
    story.resume(*lines, given={"dry_run": True}, budget=MORE)
    assert not (story.workspace / "b.txt").exists()


def test_a_fork_of_a_run_that_asked_asks(story, call) -> None:
    """Nothing is written unasked because the run is another one now."""
    asked: list[str] = []

    def approve(proposal: Proposal) -> bool:
        asked.append(proposal.summary)
        return False

    story.options = RunOptions(approve=approve)
    story.run(completion(call.writing("a.txt", "1\n")), "Not done: a.txt was not approved.")
    with pytest.raises(ConfigurationError, match="--approve"):
        story.fork("run/direct")
    asked.clear()
    lines = (completion(call.writing("a.txt", "1\n")), "Not done: a.txt was not approved.")
    story.fork("run/direct", *lines, given={"approve": approve})
    assert asked == ["make a.txt (+1)"]


@pytest.mark.parametrize(
    ("recorded", "terms", "held"),
    [
        pytest.param({"usd": "1"}, {}, {"usd": "1"}, id="recorded"),
        pytest.param({"usd": "1000"}, {"ceilings": Budget(usd=2)}, {"usd": "2"}, id="the-usual-one-is-lower"),
        pytest.param({"usd": "1"}, {"ceilings": Budget(usd=2)}, {"usd": "1"}, id="the-recorded-one-is-lower"),
        pytest.param({"usd": None}, {"ceilings": Budget(usd=2)}, {"usd": "2"}, id="removed-from-the-record"),
        pytest.param({"usd": "1"}, {"budget": Budget(usd=5)}, {"usd": "5"}, id="named"),
        pytest.param(
            {"usd": "1"},
            {"budget": Budget(usd=5), "ceilings": Budget(usd=2)},
            {"usd": "5"},
            id="named-above-the-usual-one",
        ),
        pytest.param(
            {"usd": "1", "tokens": 10**9, "calls": 7, "seconds": 1000.0},
            {"budget": Budget(calls=8), "ceilings": Budget(tokens=10**6, seconds=2000, calls=3)},
            {"usd": "1", "tokens": 10**6, "calls": 8, "seconds": 1000.0},
            id="each-kind-by-itself",
        ),
        pytest.param(
            {"usd": "3"},
            {"options": RunOptions(budget=Budget(usd=9))},
            {"usd": "3"},
            id="options-only-narrow",
        ),
        pytest.param(
            {"usd": "3"}, {"options": RunOptions(budget=Budget(usd=2))}, {"usd": "2"}, id="options-narrow"
        ),
    ],
)
def test_recorded_ceilings_only_narrow(left, recorded, terms, held) -> None:
    """The named one, else the lower of the usual one and the recorded one, for each kind."""
    edit(left.journals[0], ceiling(turns=9, **recorded))
    left.resume("Done.", **terms)
    settings = [one.settings for one in left.records() if getattr(one, "settings", None)][-1]
    chosen = {name: value for name, value in settings["options"].items() if value is not None}
    budget = {name.removeprefix("budget_"): chosen[name] for name in chosen if name.startswith("budget_")}
    assert budget == {"turns": 9, **held}


DAMAGE: Mapping[str, Change] = {
    "usd-nan": ceiling(usd="NaN"),
    "usd-infinity": ceiling(usd="Infinity"),
    "usd-1e400": ceiling(usd="1e400"),
    "usd-text": ceiling(usd="abc"),
    "usd-negative": ceiling(usd="-1"),
    "usd-true": ceiling(usd=True),
    "usd-number": ceiling(usd=5),
    "usd-list": ceiling(usd=[1]),
    "tokens-true": ceiling(tokens=True),
    "tokens-negative": ceiling(tokens=-1),
    "tokens-huge": ceiling(tokens=10**30),
    "tokens-very-huge": ceiling(tokens=10**4000),
    "tokens-text": ceiling(tokens="5"),
    "tokens-half": ceiling(tokens=1.5),
    "calls-negative": ceiling(calls=-1),
    "turns-text": ceiling(turns="many"),
    "seconds-negative": ceiling(seconds=-1.0),
    "seconds-huge": ceiling(seconds=1e300),
    "unknown-ceiling": ceiling(euros=1),
    "a-budget-that-is-a-list": options(budget=[1]),
    "max-concurrent": options(max_concurrent=0),
    "max-concurrent-huge": options(max_concurrent=10**20),
    "worker-timeout": options(worker_timeout_seconds=-1.0),
    "worker-timeout-text": options(worker_timeout_seconds="1"),
    "max-depth": options(max_depth=-1),
    "max-depth-true": options(max_depth=True),
    "max-output-tokens": options(max_output_tokens=0),
    "threshold": options(delegation_threshold_tokens="2000"),
    "effort": options(effort="hugest"),
    "shell-as-text": options(allow_shell="no"),
    "shell-as-number": options(allow_shell=1),
    "python-as-list": options(allow_python=[]),
    "dry-run-as-text": options(dry_run="false"),
    "tools-as-text": options(tools="read_file"),
    "a-tool-that-is-a-number": options(tools=[1]),
    "a-model-that-is-a-number": options(model=7),
    "system-prompt": options(system_prompt=["x"]),
    "orchestration": options(orchestration=None),
    "an-older-share": options(orchestration={"share": 9.0}),
    "an-older-budget": options(budget={"usd": "NaN"}),
    "older-sub-calls": options(orchestration={"sub_calls": {"max_cost_per_session": "Infinity"}}),
    "sub-calls": options(sub_calls_max_cost_per_session="Infinity"),
    "worker-share": options(worker_share=9.0),
    "seconds-as-text": options(worker_timeout_seconds="90s"),
    "an-unknown-option": options(base_url="https://thief.example"),
    "approve": options(approve=True),
    "no-options": lambda fields: fields["settings"].update(options=None),
    "asks": lambda fields: fields["settings"].update(asks="no"),
    "models": lambda fields: fields["settings"].update(models=["a"]),
    "models-incomplete": lambda fields: fields["settings"].update(models={"model": "x"}),
    "code": lambda fields: fields["settings"].update(code={"tools": "all", "prompts": {}}),
    "code-prompts": lambda fields: fields["settings"]["code"].update(prompts=[1]),
    "recalled": lambda fields: fields["settings"].update(recalled=1),
    "batch": lambda fields: fields["settings"].update(batch={"tasks": "all"}),
    "batch-budget": lambda fields: fields["settings"].update(
        batch={"tasks": [{"text": "x", "budget": {"usd": "NaN"}}], "lens": None, "results": None}
    ),
    "surroundings": lambda fields: fields["settings"].update(surroundings=["x"]),
    "lens": lambda fields: fields["settings"].update(lens={"evil": 1}),
    "lens-left-out": lambda fields: fields["settings"].update(lens_left_out="x"),
    "batch-scope": lambda fields: fields["settings"].update(
        batch={"tasks": [{"text": "x", "scope": 1}], "lens": None, "results": None}
    ),
    "batch-target-files": lambda fields: fields["settings"].update(
        batch={"tasks": [{"text": "x", "target_files": [1]}], "lens": None, "results": None}
    ),
    "batch-lens": lambda fields: fields["settings"].update(
        batch={"tasks": [{"text": "x"}], "lens": {"evil": 1}, "results": None}
    ),
    "batch-results": lambda fields: fields["settings"].update(
        batch={"tasks": [{"text": "x"}], "lens": None, "results": 7}
    ),
    "run-id": lambda fields: fields.update(run_id="../../etc"),
    "run-id-with-a-command": lambda fields: fields.update(run_id="x; rm -rf ~"),
}


@pytest.mark.parametrize("change", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("what", ["resume", "replay"])
def test_a_recorded_value_that_no_run_can_have_had_is_damage(left, change, what) -> None:
    """One sentence that says so, whatever reads it, and nobody is asked."""
    edit(left.journals[0], change)
    with pytest.raises(JournalError, match="damaged"):
        getattr(left, what)()
    assert left.asked == 0


@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity", "1e400"])
def test_a_number_that_json_does_not_have_is_damage(left, text) -> None:
    """Written bare, where a number belongs."""
    first, *others = left.journals[0].read_bytes().splitlines(keepends=True)
    body = first.rpartition(b',"crc"')[0].replace(
        b'"budget_seconds":null', b'"budget_seconds":' + text.encode()
    )
    line = body + b',"crc":"%08x"}\n' % zlib.crc32(body + b"}")
    left.journals[0].write_bytes(line + b"".join(others))
    with pytest.raises(JournalError, match=r"damaged|does not begin with the record of a run"):
        left.resume()


def test_a_negative_amount_gives_no_room(left) -> None:
    """What was spent can only use a ceiling up: a record that would give some back is damage."""
    [path] = left.journals
    records = list(read_records(path))
    kinds: dict[type, dict[str, Any]] = {
        Answer: {"cost_usd": Decimal(-5)},
        Intent: {"reserved_usd": Decimal("-Infinity")},
    }
    for kind, changed in kinds.items():
        edited = [attrs.evolve(one, **changed) if isinstance(one, kind) else one for one in records]
        path.write_bytes(b"".join(encode(one, i) + b"\n" for i, one in enumerate(edited)))
        with pytest.raises(JournalError, match=f"is no '{kind.kind}' .* an amount below zero"):
            left.resume(budget=MORE)


@pytest.mark.parametrize("span", ["", "other", "runner/work", "../run", "/etc", "a\x1b[2J"])
def test_work_that_is_not_the_runs_is_damage(left, span: str) -> None:
    """What it cost could be booked nowhere."""
    [path] = left.journals
    records = [attrs.evolve(one, span=span) if isinstance(one, Intent) else one for one in read_records(path)]
    path.write_bytes(b"".join(encode(one, i) + b"\n" for i, one in enumerate(records)))
    with pytest.raises(JournalError, match="is of work that is not the run's"):
        left.resume(budget=MORE)
    assert left.asked == 0


def test_a_count_below_zero_bounds_nothing(left) -> None:
    """A count is recorded before a call is made: one that would lower a bound below nothing is damage."""
    [path] = left.journals
    records = list(read_records(path))
    first = next(one for one in records if isinstance(one, Intent))
    counts: list[Any] = [
        InputCounted(first.span, 99, first.digest, 7_654_321, first.at),
        NewTokensCounted(first.span, 99, 0, 7_654_321, first.at),
    ]
    for count in counts:
        lines = [encode(one, i) for i, one in enumerate([*records, count])]
        body = lines[-1].rpartition(b',"crc"')[0].replace(b"7654321", b"-7654321")
        lines[-1] = body + b',"crc":"%08x"}' % zlib.crc32(body + b"}")
        path.write_bytes(b"\n".join(lines) + b"\n")
        with pytest.raises(JournalError, match=f"is no '{count.kind}' .* >= 0"):
            left.resume(budget=MORE)


def test_a_failure_gives_no_room_either(left) -> None:
    """What came with an error is booked like an answer, so its amount is checked alike."""
    [path] = left.journals
    answers = [one for one in read_records(path) if isinstance(one, Answer)]
    last = answers[-1]
    failed = Failure(
        last.span,
        last.number,
        last.attempt,
        "ServerFailed",
        "died",
        True,
        True,
        last.at,
        last.completion,
        Decimal(-5),
    )
    edited = [failed if one is last or one == last else one for one in read_records(path)]
    path.write_bytes(b"".join(encode(one, i) + b"\n" for i, one in enumerate(edited)))
    with pytest.raises(JournalError, match=r"is no 'failure' .* an amount below zero"):
        left.resume(budget=MORE)


def _batch(story, results: Any, *, is_over: bool = False) -> Path:
    """Leave a batch with one task of two done, whose record names *results*."""
    story.batch(["One.", "Two."], "1", "2")
    [path] = story.journals
    if not is_over:
        kept = [one for one in read_records(path) if not isinstance(one, RunClosed)]
        path.write_bytes(b"".join(encode(one, i) + b"\n" for i, one in enumerate(kept)))
    edit(path, lambda fields: fields["settings"]["batch"].update(results=str(results)))
    return path


@pytest.mark.parametrize(
    "place", ["{outside}/out.jsonl", "{inside}/../out.jsonl", "out.jsonl", "{inside}/link/out.jsonl",
              "{inside}/linked.jsonl", "{inside}/hard.jsonl", "{inside}/.git/config",
              "{inside}/.sunwell/x", "{inside}/..", "/"],
)  # fmt: skip
def test_the_record_makes_nobody_write_outside_of_the_workspace(tmp_path, story, place) -> None:
    """A results file elsewhere, behind a link or in a private folder must be named again."""
    story.workspace = inside = tmp_path / "inside"
    outside = tmp_path / "outside"
    for folder in (inside / ".git", outside):
        folder.mkdir(parents=True)
    (inside / "link").symlink_to(outside)
    (inside / "linked.jsonl").symlink_to(outside / "out.jsonl")
    (tmp_path / "precious").write_text("precious")
    (inside / "hard.jsonl").hardlink_to(tmp_path / "precious")
    _batch(story, place.format(inside=inside, outside=outside))
    with pytest.raises(ConfigurationError, match="is not a place in the workspace: name it again"):
        story.resume()
    assert list(outside.iterdir()) == []
    assert (tmp_path / "precious").read_text() == "precious"
    assert story.resume(results=outside / "out.jsonl").status == "ok"
    assert len((outside / "out.jsonl").read_text().splitlines()) == 2


def test_a_results_file_in_the_workspace_is_written_as_recorded(story) -> None:
    """Nothing is to be named for it."""
    out = story.workspace / "sub" / "out.jsonl"
    _batch(story, out)
    assert story.resume().status == "ok"
    assert len(out.read_text().splitlines()) == 2


def test_a_finished_batch_leaves_a_file_elsewhere_as_it_is(tmp_path, story) -> None:
    """Its result is given again, and a warning says why nothing was written."""
    story.workspace = tmp_path / "inside"
    story.workspace.mkdir()
    _batch(story, tmp_path / "out.jsonl", is_over=True)
    assert story.resume().status == "ok"
    assert not (tmp_path / "out.jsonl").exists()
    assert any(
        "is left as it is: name it with --results" in getattr(one, "message", "") for one in story.events
    )


@pytest.mark.parametrize("is_named", [True, False])
def test_a_fork_does_not_write_to_the_other_runs_file(story, is_named) -> None:
    """It has a results file of its own if one is named, and none otherwise."""
    out, own = story.workspace / "out.jsonl", story.workspace / "own.jsonl"
    _batch(story, out)
    story.fork("run/task-1", "2", results=own if is_named else None)
    assert not out.exists()
    assert not is_named or len(own.read_text().splitlines()) == 2


@pytest.mark.parametrize("what", ["resume", "fork"])
async def test_a_cap_in_dollars_needs_a_price_when_a_run_goes_on(tmp_path, what) -> None:
    """As for a new run: nobody could say when the cap is reached."""
    agent = Agent(model=ScriptedModel("m", ["Never asked for."]))
    session = SessionContext.build(tmp_path, "Do it", RunOptions(budget=Budget(tokens=5)))
    with pytest.raises(ConfigurationError, match="does not hold the first call") as refused:
        await agent.run(session)
    run_id = refused.value.result.run_id
    capped = Budget(usd=1, tokens=100_000)
    begin = agent.resume if what == "resume" else partial(agent.fork, at="run/direct")
    with pytest.raises(ConfigurationError, match="the price of m is unknown, so a cap in dollars cannot"):
        await begin(run_id, workspace=tmp_path, budget=capped)


@pytest.mark.parametrize(
    "place", [".sunwell", ".sunwell/runs", ".sunwell/runs/RUN", ".sunwell/runs/RUN/journal.jsonl"]
)
def test_a_journal_behind_a_link_is_not_followed(tmp_path, story, call, place) -> None:
    """It would take the run, its originals and what is written out of the workspace."""
    story.workspace = tmp_path / "inside"
    story.workspace.mkdir()
    run_id = story.run("Done.").run_id
    named = story.workspace / place.replace("RUN", run_id)
    named.rename(tmp_path / "elsewhere")
    named.symlink_to(tmp_path / "elsewhere")
    for begin in (story.resume, story.replay, lambda: story.fork("run/direct")):
        with pytest.raises(JournalError, match="is a link, which journals do not follow"):
            begin()


def test_the_first_record_decides_no_place(story, call, tmp_path) -> None:
    """The workspace in it is shown to people; the run works where its journal was found."""
    story.workspace = tmp_path / "inside"
    story.workspace.mkdir()
    story.options = RunOptions(budget=Budget(turns=1))
    story.run(completion(call.writing("a.txt", "1\n")), "Not finished.")
    edit(story.journals[0], lambda fields: fields.update(workspace=str(tmp_path)))
    story.resume(completion(call.writing("b.txt", "1\n")), "Done.", budget=MORE)
    assert (story.workspace / "b.txt").exists()
    assert not (tmp_path / "b.txt").exists()
    opened = next(iter(story.records()))
    assert isinstance(opened, RunOpened)


@pytest.mark.parametrize(
    "name", ["https://thief.example/v1", "thief/x", "thief.example/v1", "openai@thief/x"]
)
def test_a_recorded_models_name_leads_to_no_other_address(left, name) -> None:
    """It means what the caller's registry says: an address in it is a name that means nothing."""
    edit(left.journals[0], options(model=name))
    agent = Agent(registry=ModelRegistry(), journals=UnthreadedFiles())

    async def taken_up() -> None:
        async for event in agent.resume("", workspace=left.workspace, budget=MORE, accept_changes=True):
            raise AssertionError(event)

    with pytest.raises(UnknownModelError):
        run_virtual(taken_up())


def test_the_originals_of_a_run_are_kept_in_the_workspace(tmp_path, story, call) -> None:
    """A link in place of their folder is not written through: the file stays as it is."""
    story.workspace = tmp_path / "inside"
    story.workspace.mkdir()
    (tmp_path / "outside").mkdir()
    story.options = RunOptions(budget=Budget(turns=1))
    story.run(completion(call.reading("no.txt")), "Not finished.")
    (story.journals[0].parent / "originals").symlink_to(tmp_path / "outside")
    story.resume(completion(call.writing("a.txt", "1\n")), "Done.", budget=MORE)
    assert list((tmp_path / "outside").iterdir()) == []
    assert not (story.workspace / "a.txt").exists()
