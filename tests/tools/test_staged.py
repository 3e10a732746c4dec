"""Calls are approved, rehearsed, limited and told of, whatever the tool."""

import asyncio
import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.core.tool import Proposal
from sunwell.testing import run_virtual
from sunwell.tools import Originals, Toolbox, ToolLimits, tool

BUILT_IN = ["list_files", "read_file", "search_files", "write_file", "edit_file"]


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def call(name: str, **arguments: object) -> ToolCall:
    return ToolCall("call-1", name, json.dumps(arguments))


@tool(parallel=True, repeatable=True)
async def look() -> str:
    """Look."""
    return "seen"


@tool(ask=True)
async def act() -> str:
    """Act."""
    return "acted"


@pytest.mark.parametrize("is_async", [False, True])
@pytest.mark.parametrize("answer", [True, False])
async def test_writes_and_commands_are_asked_for(folder, ask, is_async, answer):
    """Whoever approves sees what would be done; no means that nothing is done."""
    asked = []

    def approve(proposal: Proposal) -> bool:
        asked.append(proposal)
        return answer

    async def approve_later(proposal: Proposal) -> bool:
        return approve(proposal)

    (folder / "x").write_text("one\ntwo\n")
    box = Toolbox(
        folder,
        [look, act],
        allow_shell=True,
        approve=approve_later if is_async else approve,
        secrets=Secrets(),
        sandbox="off",
    )
    results = [
        await ask(box, "read_file", path="x"),
        await ask(box, "edit_file", path="x", old="two", new="2"),
        await ask(box, "write_file", path="y", content="y\n"),
        await ask(box, "run_command", command="touch z"),
        await ask(box, "look"),
        await ask(box, "act"),
    ]
    assert asked == [
        Proposal(
            "edit_file",
            "change x (+1 -1)",
            "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n",
            path="x",
        ),
        Proposal("write_file", "make y (+1)", "--- /dev/null\n+++ b/y\n@@ -0,0 +1 @@\n+y\n", path="y"),
        Proposal(
            "run_command",
            "run touch z",
            "touch z",
            conditions=f"in {folder}, without a sandbox: with network, and with all rights of your account; "
            "killed after 120 s",
        ),
        Proposal("act", "run the tool act", "{}"),
    ]
    assert [result.is_error for result in results] == [False, *[not answer] * 3, False, not answer]
    assert sorted(path.name for path in folder.iterdir()) == (["x", "y", "z"] if answer else ["x"])
    assert (folder / "x").read_text() == ("one\n2\n" if answer else "one\ntwo\n")
    if not answer:
        assert (
            results[1].content == "edit_file was not approved, so it was not done; do not try the same again"
        )


async def test_an_approver_that_fails_has_not_approved(folder, ask, caplog):
    """A fault in it is logged, and nothing is done."""

    def approve(proposal: Proposal) -> bool:
        raise RuntimeError("no terminal")

    result = await ask(
        Toolbox(folder, approve=approve, secrets=Secrets()), "write_file", path="x", content=""
    )
    assert result.content == "write_file could not be approved (RuntimeError); not done"
    assert "no terminal" in caplog.text
    assert not (folder / "x").exists()


async def test_one_question_at_a_time(folder, ask):
    """Two calls side by side do not talk into each other at a terminal."""
    open_questions = most = 0

    async def approve(proposal: Proposal) -> bool:
        nonlocal open_questions, most
        open_questions += 1
        most = max(most, open_questions)
        await asyncio.sleep(0)
        open_questions -= 1
        return True

    box = Toolbox(folder, approve=approve, secrets=Secrets())
    await asyncio.gather(*(ask(box, "write_file", path=f"f{n}", content="") for n in range(3)))
    assert most == 1


async def test_a_dry_run_shows_the_difference_and_changes_nothing(folder, ask):
    """Later reads, edits, listings and searches see what was planned; the disk does not."""
    (folder / "x").write_text("one\ntwo\n")
    asked: list[Proposal] = []
    box = Toolbox(
        folder,
        [act],
        allow_shell=True,
        dry_run=True,
        approve=lambda p: bool(asked.append(p)),
        secrets=Secrets(),
    )
    staged = await box.stage(call("edit_file", path="x", old="two", new="2"))
    assert (staged.changes, staged.foretold, staged.repeatable) == ((), None, True)
    result = await staged.finish()
    assert result.content == (
        "dry run, nothing was changed on disk; planned: edited x: 1 line from line 2 replaced by 1 line\n"
        "--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n one\n-two\n+2\n"
    )
    assert result.changes == ()
    await ask(box, "write_file", path="new/deep/y", content="needle\n")
    worker = box.with_tools([*BUILT_IN])
    assert (await ask(worker, "read_file", path="x")).content.endswith("\n\none\n2\n")
    assert not (await ask(worker, "edit_file", path="new/deep/y", old="needle", new="needles")).is_error
    listed = (await ask(box, "list_files", path=".")).content.split("\n")
    assert listed == ["new/", "new/deep/", "new/deep/y (8 bytes)", "x (6 bytes)"]
    assert (await ask(box, "search_files", pattern="needle")).content == "new/deep/y:1: needles"
    assert (await ask(box, "run_command", command="touch z")).content == "dry run, not done: run touch z"
    assert (await ask(box, "act")).content == "dry run, not done: run the tool act\n{}"
    assert [path.name for path in folder.rglob("*")] == ["x"]
    assert (folder / "x").read_text() == "one\ntwo\n"
    assert asked == []


class Keeping:
    """Keeps nothing but what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def keep(self, path, before_hash, content):
        self.told.append((path, before_hash, content))

    def expect(self, path, after_hash):
        self.told.append((path, after_hash))


@pytest.fixture
def kept() -> Keeping:
    return Keeping()


async def test_originals_are_told_of_every_change_and_of_no_other_call(folder, kept, ask):
    """What a file was comes first, then what it will be; calls that were refused are not told."""
    (folder / "x").write_text("old")
    box = Toolbox(folder, secrets=Secrets(), originals=kept)
    await ask(box, "write_file", path="x", content="new")
    await ask(box, "write_file", path="y", content="new")
    await ask(box, "edit_file", path="x", old="nothing", new="")
    assert kept.told == [
        ("x", sha(b"old"), b"old"),
        ("x", sha(b"new")),
        ("y", None, None),
        ("y", sha(b"new")),
    ]


async def test_a_file_whose_original_cannot_be_kept_is_not_changed(folder, tmp_path, ask):
    """Without a way back nothing is done."""
    (folder / "x").write_text("old")
    (tmp_path / "file").write_text("")
    box = Toolbox(folder, secrets=Secrets(), originals=Originals(tmp_path / "file" / "originals"))
    result = await ask(box, "write_file", path="x", content="new")
    assert result.is_error
    assert result.content.startswith("the original of x cannot be kept")
    assert (folder / "x").read_text() == "old"


async def test_secrets_never_come_out(folder, ask):
    """Planted in files, names, commands, tools and errors, they are replaced in every text."""
    key = "sk-planted-5f1d"
    secrets = Secrets()
    secrets.add(key, "KEY")

    @tool
    async def tell(value: str) -> str:
        if value:
            raise ValueError(key)
        return key

    (folder / "conf").write_text(f"a\nkey = {key}\n" + "x" * 290 + key + "\n")
    (folder / key).write_text("")
    seen = []
    box = Toolbox(
        folder,
        [tell],
        allow_shell=True,
        secrets=secrets,
        approve=lambda proposal: bool(seen.append(proposal)) or True,
        sandbox="off",
    )
    results = [
        await ask(box, "list_files", path="."),
        await ask(box, "read_file", path="conf"),
        await ask(box, "read_file", path=f"{key}/no"),
        await ask(box, "search_files", pattern="key"),
        await ask(box, "search_files", pattern="x{100}|planted"),
        await ask(box, "edit_file", path="conf", old="key  =  sk", new=""),
        await ask(box, "edit_file", path="conf", old="\na\n", new=""),
        await ask(box, "edit_file", path="conf", old="key = ", new="token = "),
        await ask(box, "write_file", path=f"{key}/x", content=key),
        await ask(box, "write_file", path="new", content=key),
        await ask(box, "run_command", command=f"echo {key}; cat conf; exit 1"),
        await ask(box, "tell", value=""),
        await ask(box, "tell", value="x"),
        await ask(box, key),
    ]
    told = repr([result.content for result in results]) + repr(seen)
    assert "planted" not in told
    assert told.count("[KEY]") >= 10


async def test_a_secret_of_several_lines_is_never_shown_in_part(folder, ask):
    """A key in many lines is replaced before lines are counted, compared, searched or shown."""
    body = ["-----BEGIN KEY-----", *[f"planted{number:04}" for number in range(9)], "-----END KEY-----"]
    secrets = Secrets()
    secrets.add("\n".join(body), "KEY")
    (folder / "conf").write_text("a\n" + "\n".join(body) + "\nz\n")
    box = Toolbox(folder, dry_run=True, secrets=secrets)
    results = [
        await ask(box, "read_file", path="conf", start_line=2, end_line=3),
        await ask(box, "search_files", pattern="plant"),
        await ask(box, "edit_file", path="conf", old="planted0003x", new=""),
        await ask(box, "edit_file", path="conf", old="z\n", new="y\n"),
    ]
    told = "".join(result.content for result in results)
    assert "planted0" not in told.replace("'planted0003x'", "")
    assert results[0].content == "conf: lines 2-3 of 3\n\n[KEY]\nz\n"
    assert results[3].content.endswith("@@ -1,3 +1,3 @@\n a\n [KEY]\n-z\n+y\n")


async def test_no_original_is_kept_for_a_write_that_is_refused(folder, kept, ask):
    """A file changed after staging was not changed by the run, so an undo has no business with it."""
    box = Toolbox(folder, secrets=Secrets(), originals=kept)
    staged = await box.stage(call("write_file", path="x", content="new"))
    (folder / "x").write_text("somebody's")
    assert (await staged.finish()).is_error
    assert kept.told == []


class Endless:
    """A tool that never ends."""

    spec = ToolSpec("endless", "", {"type": "object", "properties": {}})
    parallel = repeatable = True

    def __init__(self, timeout_seconds: float | None = None) -> None:
        self.timeout_seconds = timeout_seconds

    async def run(self, arguments):
        await asyncio.sleep(100)
        return "done"


@pytest.mark.parametrize(
    ("own_seconds", "said", "is_error"),
    [
        pytest.param(
            None, "endless took more than 30 seconds and was stopped", True, id="limit-of-the-toolbox"
        ),
        pytest.param(99.0, "endless took more than 99 seconds and was stopped", True, id="own-limit"),
        pytest.param(101.0, "done", False, id="longer-limit"),
        pytest.param(math.inf, "done", False, id="no-limit"),
    ],
)
def test_a_call_has_its_time_and_no_more(own_seconds, said, is_error):
    """A tool's own limit goes before the toolbox's."""
    box = Toolbox(tools=[Endless(own_seconds)], secrets=Secrets())
    result = run_virtual(box.execute(ToolCall("1", "endless", "{}")))
    assert (result.content, result.is_error) == (said, is_error)


def test_a_cancelled_call_is_cancelled():
    """Stopping a run is not taken for a fault of the tool."""

    async def main() -> bool:
        task = asyncio.create_task(Toolbox(tools=[Endless()], secrets=Secrets()).execute(call("endless")))
        await asyncio.sleep(1)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            return True
        return False

    assert run_virtual(main())


async def test_a_tool_that_cancels_itself_has_failed(ask):
    """A stray cancellation inside a tool does not end the run."""

    @tool
    async def stray() -> str:
        raise asyncio.CancelledError

    result = await ask(Toolbox(tools=[stray], secrets=Secrets()), "stray")
    assert result.content == "stray failed: CancelledError: "


async def test_long_results_are_cut_with_the_count(ask):
    """The cap on output holds for the caller's tools too, and half a character is replaced."""

    @tool
    async def tell() -> str:
        return "\ud800" + "x" * 999

    box = Toolbox(tools=[tell], secrets=Secrets(), limits=ToolLimits(output_chars=300))
    content = (await ask(box, "tell")).content
    assert content == "?" + "x" * 199 + "\n[700 of 1,000 characters were cut out here]\n" + "x" * 100


def test_files_are_worked_on_under_a_virtual_clock(folder):
    """Reading and writing take no threads, so tests of whole runs need no waiting."""

    async def main() -> str:
        box = Toolbox(folder, secrets=Secrets())
        await box.execute(call("write_file", path="x", content="needle\n"))
        return (await box.execute(call("search_files", pattern="needle"))).content

    assert run_virtual(main()) == "x:1: needle"


@pytest.mark.parametrize(
    "said",
    [pytest.param("no", id="text"), pytest.param(1, id="number"), pytest.param(None, id="nothing")],
)
async def test_only_true_is_a_yes(folder, ask, said):
    """What merely counts as true in a condition, as the word no does, approves nothing."""
    box = Toolbox(folder, approve=lambda _: said, secrets=Secrets())
    result = await ask(box, "write_file", path="x", content="")
    assert "was not approved" in result.content
    assert not (folder / "x").exists()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(b"\0\1", "one\ntwo\n", "+one\n+two\n", id="binary"),
        pytest.param(
            b"same\n" + b"a\n" * 1_600,
            "same\n" + "b\n" * 1_600,
            "f: from line 2\n" + "-a\n" * 1_600 + "+b\n" * 1_600,
            id="long",
        ),
        pytest.param(
            b"a\n", "a\r\n", "f: UTF-8, line ends LF, becomes UTF-8, line ends CR LF\n", id="line-ends"
        ),
        pytest.param(
            b"a\n",
            "\ufeffa\n",
            "UTF-8, line ends LF, becomes UTF-8 with a byte order mark, line ends LF\n",
            id="mark",
        ),
        pytest.param(None, "a\x1b[2K\r\u202eb\n", "+a\x1b[2K\r\u202eb\n", id="escapes"),
    ],
)
async def test_an_approver_gets_all_that_will_be_written(folder, ask, old, new, said):
    """However long it is, and what lines do not show too."""
    asked = []
    if old is not None:
        (folder / "f").write_bytes(old)
    box = Toolbox(folder, approve=lambda proposal: bool(asked.append(proposal)), secrets=Secrets())
    await ask(box, "write_file", path="f", content=new)
    assert said in asked[0].details


@given(
    command=st.text(
        st.sampled_from("ab \x1b\x9b\r\n\t\\\u202e\u200bxé") | st.characters(exclude_categories=["Cs"])
    )
)
def test_an_approver_gets_the_exact_command(tmp_path_factory, command):
    """Every character of it, and a summary on one line that no terminal acts on."""
    asked = []
    box = Toolbox(
        tmp_path_factory.mktemp("work"),
        allow_shell=True,
        approve=lambda proposal: bool(asked.append(proposal)),
        secrets=Secrets(),
        sandbox="off",
    )
    call = ToolCall("c1", "run_command", json.dumps({"command": command, "timeout_seconds": None}))
    asyncio.run(box.execute(call))
    assert [proposal.details for proposal in asked] == [command]
    assert asked[0].summary.isprintable()
    assert len(asked[0].summary) <= 200


async def test_an_approver_gets_arguments_as_they_were_understood(folder):
    """Where what the model wrote could be taken in more than one way, the way that will be taken."""
    asked, sent = [], []

    @tool(ask=True)
    async def send(to: str) -> str:
        sent.append(to)
        return "sent"

    box = Toolbox(
        folder, [send], approve=lambda proposal: bool(asked.append(proposal)) or True, secrets=Secrets()
    )
    await box.execute(ToolCall("c1", "send", '{"to": "a", "to": "b\\u001b"}'))
    assert [json.loads(proposal.details) for proposal in asked] == [{"to": one} for one in sent]
    assert '"a"' not in asked[0].details


@pytest.mark.parametrize(
    ("options", "acts"),
    [
        pytest.param({}, True, id="nothing-said"),
        pytest.param({"parallel": True}, False, id="parallel"),
        pytest.param({"repeatable": True}, False, id="repeatable"),
        pytest.param({"ask": False}, False, id="said-to-do-nothing"),
        pytest.param({"parallel": True, "repeatable": True, "ask": True}, True, id="said-to-act"),
    ],
)
async def test_a_tool_acts_unless_its_author_says_that_it_does_not(options, acts):
    """A dry run leaves it out, and an approver is asked for it: what nobody has said is no permission."""
    made, asked = [], []

    @tool(**options)
    async def deed() -> str:
        """Do something."""
        made.append("deed")
        return "done"

    await Toolbox(None, [deed], dry_run=True).execute(call("deed"))
    assert made == ([] if acts else ["deed"])
    await Toolbox(None, [deed], approve=lambda proposal: asked.append(proposal.tool)).execute(call("deed"))
    assert (asked, made) == ((["deed"], []) if acts else ([], ["deed", "deed"]))


@pytest.mark.parametrize(("network", "words"), [(False, "without network"), (True, "with network")])
async def test_who_approves_a_command_is_told_whether_it_has_the_network(folder, ask, network, words) -> None:
    """The sandbox keeps it away unless the caller has opened it."""
    asked: list[Proposal] = []
    box = Toolbox(
        folder,
        secrets=Secrets(),
        allow_shell=True,
        allow_network=network,
        approve=lambda one: asked.append(one),
    )
    await ask(box, "run_command", command="true")
    assert f"in a sandbox: {words}, and only" in asked[0].conditions
