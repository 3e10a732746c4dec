"""What the user hides with ``ignore``: no tool of a workspace lists, reads, searches or changes it."""

import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.context.excerpts import gather
from sunwell.context.surroundings import look_around
from sunwell.context.workspace_files import list_files
from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from sunwell.tools import Rules, Toolbox, Workspace, under_rules
from sunwell.tools.hidden_files import HiddenFiles
from tests.tools.test_ignores import git, needs_git
from tests.tools.test_protected_tools import arguments_for, every_tool
from tests.tools.test_sandbox import WHY

CANARY = "canary-7c2e"
IGNORE = ("data/", "*.csv", "!kept.csv", "/docs/*.md", "größe *.txt")
HIDDEN = ("data/a.py", "src/data/deep/b.py", "c.csv", "src/c.csv", "docs/d.md", "größe 1.txt")
SHOWN = ("data.py", "kept.csv", "src/docs/d.md", "docs/deep/d.md", "src/main.py")


def make(folder: Path, *paths: str, text: str = CANARY) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(f"{text}\n")


def hiding(folder: Path, *patterns: str, **given: object) -> Toolbox:
    """Return a toolbox whose workspace hides *patterns*."""
    return Toolbox(Workspace(folder, ignore=patterns or IGNORE), secrets=Secrets(), **given)  # type: ignore[arg-type]


@pytest.fixture
def project(folder: Path) -> Path:
    make(folder, *HIDDEN)
    make(folder, *SHOWN, text="shown")
    return folder


@pytest.mark.parametrize("name", sorted({*every_tool()} - {"run_command"}))
async def test_no_tool_opens_a_hidden_file(project, name) -> None:
    """A tool that is added later is tested by itself. Its answer has no content, and nothing is changed."""
    box = hiding(project, allow_python=True)
    spec = next(spec for spec in box.specs() if spec.name == name)
    for path in HIDDEN:
        said = await box.execute(ToolCall("1", name, json.dumps(arguments_for(spec, path))))
        assert CANARY not in said.content
        if name != "list_files":
            assert "is hidden by the user (setting ignore); do the work without it" in said.content
        assert (project / path).read_text() == f"{CANARY}\n"


async def test_what_is_hidden_is_neither_listed_nor_found(project, ask) -> None:
    """Listings, searches, scripts and suggestions of names leave it out; the rest is there."""
    box = hiding(project, allow_python=True)
    listed = (await ask(box, "list_files", path=".", depth=9)).content
    printed = (await ask(box, "execute_python", code="print(list_files())")).content
    for path in SHOWN:
        assert path in listed
        assert repr(path) in printed
    for path in (*HIDDEN, "data/", "src/data"):
        assert f"{path}" not in listed.splitlines() + [
            line.rpartition(" (")[0] for line in listed.split("\n")
        ]
        assert repr(path) not in printed
    found = (await ask(box, "search_files", pattern="canary|shown")).content
    assert sorted(line.partition(":")[0] for line in found.splitlines()) == sorted(SHOWN)
    missing = (await ask(box, "read_file", path="src/c.cvs")).content
    assert "there is no file" in missing
    assert "c.csv" not in missing.replace("c.cvs", "")


async def test_nothing_hidden_is_made(folder, ask) -> None:
    """What a model could not read again it does not write either; a folder on the way counts."""
    box = hiding(folder)
    for path in ("data/new/a.py", "src/new.csv", "src/data/x"):
        assert "is hidden by the user" in (await ask(box, "write_file", path=path, content="x\n")).content
    assert list(folder.iterdir()) == []
    assert not (await ask(box, "write_file", path="data", content="x\n")).is_error


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("{root}/data/a.py", id="absolute"),
        pytest.param("src/../data/a.py", id="dots"),
        pytest.param("data/../data.py", id="through-it"),
        pytest.param("work/data/a.py", id="name-of-the-workspace"),
        pytest.param("data\\a.py", id="backslash"),
        pytest.param("`data/a.py`", id="quotes"),
        pytest.param("gro\u0308\u00dfe 1.txt", id="other-letters"),
        pytest.param("größe\u00a01.txt", id="other-space"),
        pytest.param("plain.txt", id="link"),
        pytest.param("folder/a.py", id="link-to-folder"),
        pytest.param("chain", id="link-to-link"),
        pytest.param("link.csv", id="hidden-link"),
    ],
)
async def test_no_other_name_leads_to_it(project, ask, path) -> None:
    """A link is what it leads to, and a link that is hidden itself is not followed."""
    (project / "plain.txt").symlink_to("data/a.py")
    (project / "folder").symlink_to("data")
    (project / "chain").symlink_to("plain.txt")
    (project / "link.csv").symlink_to("data.py")
    said = await ask(hiding(project), "read_file", path=path.format(root=project))
    assert said.is_error
    assert CANARY not in said.content
    assert "link.csv" not in (await ask(hiding(project), "list_files", path=".", depth=1)).content


async def test_a_folder_that_is_a_link_is_hidden_as_a_folder(project, ask) -> None:
    """For git a link is no folder; whoever hides ``data/`` means what is in it."""
    (project / "elsewhere").mkdir()
    (project / "elsewhere/a.py").write_text(CANARY)
    (project / "old").mkdir()
    (project / "old/data").symlink_to("../elsewhere")
    assert CANARY not in (await ask(hiding(project), "read_file", path="old/data/a.py")).content


@needs_git
async def test_no_file_of_the_workspace_brings_it_back(project, ask) -> None:
    """Ignore files with ``!`` do not, nor does git's index, which ignore files bow to."""
    for place in (".gitignore", ".ignore", ".sunwellignore", "src/.sunwellignore"):
        (project / place).write_text("!*\n!data/\n!c.csv\n")
    git(project, "init", "-q")
    git(project, "add", "--force", ".")
    found = (await ask(hiding(project), "search_files", pattern=CANARY, literal=True)).content
    assert found.startswith("no match")
    assert CANARY not in (await ask(hiding(project), "read_file", path="c.csv")).content


async def test_it_takes_nothing_back_that_an_ignore_file_hides(folder, ask) -> None:
    """Neither by a pattern with ``!``, nor by hiding the ignore file itself."""
    make(folder, "secret.log", "deep/secret.log")
    (folder / ".gitignore").write_text("*.log\n")
    for patterns in (("!*.log",), (".*",), (".gitignore", "!*")):
        found = (await ask(hiding(folder, *patterns), "search_files", pattern=CANARY, literal=True)).content
        assert CANARY not in found, patterns
        entries, _ = list_files(Workspace(folder, ignore=patterns))
        assert [one.path for one in entries if "secret" in one.path] == []


async def test_the_rules_of_a_run_add_to_what_a_toolbox_hides(project, ask) -> None:
    """The patterns of neither take back what those of the other hide."""
    own = hiding(project, "data/", "!src/data/")
    box = under_rules(own, Rules(Workspace(project), ignore=("src/data/", "!/data/")))
    assert isinstance(box, Toolbox)
    for path in ("data/a.py", "src/data/deep/b.py"):
        assert CANARY not in (await ask(box, "read_file", path=path)).content
    assert CANARY in (await ask(own, "read_file", path="src/data/deep/b.py")).content
    assert CANARY in (await ask(box, "read_file", path="c.csv")).content
    worker = box.for_worker("task-1")
    assert "hidden" in (await ask(worker, "write_file", path="data/a.py", content="x\n")).content


def test_an_executor_that_cannot_be_held_to_it_is_refused(folder) -> None:
    """Nobody knows what it reads."""

    class Own:
        def specs(self):
            return ()

        async def execute(self, call):
            raise AssertionError

    with pytest.raises(ConfigurationError, match="the executor Own is not one: leave ignore out"):
        under_rules(Own(), Rules(Workspace(folder), ignore=("data/",)))


@pytest.mark.skipif(bool(WHY), reason="requires bubblewrap")
async def test_a_command_sees_hidden_files_as_it_sees_ignored_ones(project, ask) -> None:
    """Tests need their data: the sandbox shows the whole workspace."""
    said = await ask(hiding(project, allow_shell=True), "run_command", command="cat data/a.py c.csv")
    assert said.content.count(CANARY) == 2


def test_the_lens_and_the_surroundings_do_not_show_it(project) -> None:
    """Neither a path nor a line of it, nor advice; not even if the task names it."""
    make(project, "AGENTS.md", "CLAUDE.md")
    task = f"Look at {', '.join(HIDDEN)} and main.py"
    shown = gather(project, task, limit_tokens=9_000, secrets=Secrets(), ignore=(*IGNORE, "AGENTS.md"))
    assert "src/main.py" in shown.text
    assert shown.text.count(CANARY) == 1  # CLAUDE.md
    assert [path for path in HIDDEN if f"\n{path} " in shown.text] == []
    seen = look_around(project, secrets=Secrets(), ignore=(*IGNORE, "AGENTS.md"))
    assert [one.name for one in seen.advice] == ["CLAUDE.md"]
    assert "kept.csv" in seen.files
    assert [part for part in ("data/", "c.csv", "größe") if part in seen.files] == []


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        pytest.param("# data", "with # it is a comment: write \\# for a name that begins so", id="comment"),
        pytest.param("a\nb", "it has a line end in it: give each line as a pattern of its own", id="lines"),
        pytest.param("!", "it names nothing: write one such as 'data/' or '*.csv'", id="nothing"),
        pytest.param("/", "it names nothing: write one such as 'data/' or '*.csv'", id="root"),
        pytest.param("./data", "no path has . or .. in it: write it from the workspace on", id="dot"),
        pytest.param("!/../data/", "no path has . or .. in it: write it from the workspace on", id="dots"),
        pytest.param("data[", "it ends within brackets or behind a backslash", id="brackets"),
        pytest.param("data\\", "it ends within brackets or behind a backslash", id="backslash"),
        pytest.param("\ud800x", "it is not valid text", id="half-a-letter"),
        pytest.param("x" * 20_001, "ignore is longer than 20,000 characters: write fewer", id="long"),
    ],
)
def test_a_pattern_that_matches_nothing_is_refused(folder, pattern, said) -> None:
    """In one sentence: whoever hides something would not notice that it is shown."""
    with pytest.raises(ConfigurationError) as caught:
        Workspace(folder, ignore=[pattern])
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_single_text_and_a_flood_are_refused(folder) -> None:
    """A text would be taken for its letters; too many patterns would not all count."""
    with pytest.raises(TypeError, match="single string"):
        Workspace(folder, ignore="data/")
    with pytest.raises(ConfigurationError, match="1,001 patterns: 1,000 are the most"):
        Workspace(folder, ignore=["a*b"] * 1_001)


def test_a_match_takes_linear_time() -> None:
    """Patterns of many stars against a long path that nearly fits them."""
    hidden = HiddenFiles.of(["*a" * 900 + "b", "/**/a" * 300 + "b", "**/" * 600 + "b"])
    before = time.process_time()
    assert not hidden.hides("/".join(["a" * 250] * 16), is_folder=False)
    assert not hidden.hides("a/" * 2_000 + "a", is_folder=False)
    assert time.process_time() - before < 0.5


NAMES = st.sampled_from(["a", "b", "a.py", "b.csv", "data"])
PATTERNS = st.lists(
    st.builds(
        lambda sign, glob: sign + glob,
        st.sampled_from(["", "", "!"]),
        st.sampled_from(["a", "*.py", "/data/", "data/*", "**/b*", "*.csv", "/a/b.csv", "*", "b"]),
    ),
    max_size=5,
)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.lists(NAMES, min_size=1, max_size=3), min_size=1, max_size=8), PATTERNS, PATTERNS)
async def test_every_way_to_a_file_agrees(tmp_path_factory, trees, first, second) -> None:
    """Whatever the patterns, a file that can be read is listed, searched and shown, and no other one is."""
    folder = tmp_path_factory.mktemp("w")
    for names in trees:
        path = folder.joinpath(*names)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"{CANARY}\n")
        except OSError:  # a file of that name is a folder, or the other way round
            continue
    box = Toolbox(Workspace(folder, ignore=first).hiding(second), secrets=Secrets())
    readable = set()
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            where = str(path.relative_to(folder))
            said = await box.execute(ToolCall("1", "read_file", json.dumps({"path": where})))
            readable |= set() if said.is_error else {where}
    found = await box.execute(
        ToolCall("1", "search_files", json.dumps({"pattern": CANARY, "literal": True, "path": "."}))
    )
    assert {line.partition(":")[0] for line in found.content.splitlines() if CANARY in line} == readable
    assert box.workspace is not None
    assert {entry.path for entry in list_files(box.workspace)[0]} == readable
