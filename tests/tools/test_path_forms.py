"""Paths as models write them: understood if only one file can be meant, and never a way out."""

import json
import os
import time
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools import Toolbox, ToolLimits, Workspace
from sunwell.tools.file_glob import FileGlob
from sunwell.tools.near_names import near_names
from sunwell.tools.workspace import FolderEntry
from sunwell.tools.workspace_view import WorkspaceView


@pytest.fixture
def project(folder):
    """A workspace called ``work`` with a file in a folder, and a link out of it."""
    (folder / "src/deep").mkdir(parents=True)
    (folder / "src/a.py").write_text("one\n")
    (folder / "src/deep/b.py").write_text("two\n")
    (folder / "out").symlink_to(folder.parent / "outside")
    return folder


FORMS = [
    pytest.param("{root}/src/a.py", id="absolute"),
    pytest.param("{root}//src/./a.py", id="absolute-with-more-slashes"),
    pytest.param("./src/a.py", id="dot"),
    pytest.param("work/src/a.py", id="name-of-the-workspace"),
    pytest.param("./work/src/a.py", id="dot-and-name-of-the-workspace"),
    pytest.param("src\\a.py", id="backslash"),
    pytest.param(".\\src\\a.py", id="dot-and-backslash"),
    pytest.param("work\\src\\a.py", id="name-and-backslash"),
    pytest.param(" src/a.py\n", id="space-around"),
    pytest.param("`src/a.py`", id="quotes-around"),
]


@pytest.mark.parametrize("form", FORMS[:-2])
async def test_every_tool_takes_every_form_of_a_path(project, box, ask, form):
    """Results and changes name the file as it is called from the workspace on."""
    path = form.format(root=project)
    assert (await ask(box, "read_file", path=path)).content.startswith("src/a.py: lines 1-1 of 1")
    assert (await ask(box, "search_files", pattern="one", path=path)).content == "src/a.py:1: one"
    edited = await ask(box, "edit_file", path=path, old="one", new="two")
    assert [change.path for change in edited.changes] == ["src/a.py"]
    written = await ask(box, "write_file", path=path, content="three\n")
    assert [change.path for change in written.changes] == ["src/a.py"]
    worker = box.for_worker("task-1")
    written = await ask(worker, "write_file", path=path, content="four\n")
    assert [change.path for change in written.changes] == ["src/a.py"]
    listed = await ask(box, "list_files", path=path.replace("a.py", "deep"), depth=1)
    assert listed.content == "src/deep/b.py (4 bytes)"
    assert sorted(one.name for one in project.iterdir()) == ["out", "src"]


@pytest.mark.parametrize("form", FORMS)
async def test_a_file_that_only_a_plan_knows_is_found_in_every_form(folder, ask, form):
    """In a dry run a planned file is there like any other."""
    box = Toolbox(folder, secrets=Secrets(), dry_run=True)
    await ask(box, "write_file", path="src/a.py", content="one\n")
    assert "one" in (await ask(box, "read_file", path=form.format(root=folder).replace("\n", ""))).content


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("{root}/../canary.txt", id="up-from-the-absolute-root"),
        pytest.param("{root}/src/../../canary.txt", id="up-from-a-folder"),
        pytest.param("{root}-other/x", id="folder-that-begins-alike"),
        pytest.param("{root}/../work/../canary.txt", id="in-and-out"),
        pytest.param("{root}/out/canary.txt", id="link-out"),
        pytest.param("work/out/canary.txt", id="name-and-link-out"),
        pytest.param("work/../canary.txt", id="name-and-up"),
        pytest.param("out\\canary.txt", id="backslash-and-link-out"),
        pytest.param("..\\canary.txt", id="backslash-and-up"),
        pytest.param("work\\..\\..\\canary.txt", id="name-backslash-and-up"),
        pytest.param("`../canary.txt`", id="quotes-and-up"),
        pytest.param("{up}/canary.txt", id="absolute-beside"),
        pytest.param("{root}/.env", id="absolute-env"),
        pytest.param("work/.env", id="name-and-env"),
        pytest.param("work\\.env", id="backslash-env"),
        pytest.param("{root}/.git/config", id="absolute-git"),
        pytest.param("/etc/passwd", id="elsewhere"),
    ],
)
@pytest.mark.parametrize("tool", ["read_file", "search_files", "list_files", "write_file", "edit_file"])
async def test_no_form_of_a_path_leads_out(project, box, ask, path, tool):
    """What is outside or closed stays so, and nothing is written anywhere."""
    (project / ".git").mkdir()
    for closed in (".env", ".git/config"):
        (project / closed).write_text("canary-5f1d\n")
    before = {one: one.read_bytes() for one in project.parent.rglob("*") if one.is_file()}
    more = {
        "search_files": {"pattern": "canary"},
        "write_file": {"content": "x\n"},
        "edit_file": {"old": "canary", "new": "x"},
    }
    result = await ask(box, tool, path=path.format(root=project, up=project.parent), **more.get(tool, {}))
    assert result.is_error or tool == "write_file"
    assert "canary-5f1d" not in result.content
    after = {one: one.read_bytes() for one in project.parent.rglob("*") if one.is_file()}
    assert {one: data for one, data in after.items() if one in before} == before
    made = [one for one in after if one not in before]  # a new file where it was named, in the workspace
    assert all(project in one.resolve().parents for one in made)


async def test_a_name_that_is_there_is_taken_as_it_is_written(project, box, ask):
    """Another reading counts only if there is nothing at the path itself."""
    (project / "work/src").mkdir(parents=True)
    (project / "work/src/a.py").write_text("inner\n")
    (project / "src\\a.py").write_text("odd\n")
    assert "inner" in (await ask(box, "read_file", path="work/src/a.py")).content
    assert "odd" in (await ask(box, "read_file", path="src\\a.py")).content
    missing = await ask(box, "read_file", path="work/src/deep/b.py")
    assert missing.is_error
    assert "did you mean 'src/deep/b.py'?" in missing.content


async def test_a_new_file_is_made_where_it_was_named(project, box, ask):
    """A path that is not there yet is no misspelling, except for one with backslashes, which is refused."""
    made = await ask(box, "write_file", path="work/src/new.py", content="x\n")
    assert [change.path for change in made.changes] == ["work/src/new.py"]
    made = await ask(box, "write_file", path=f"{project}/src/new.py", content="x\n")
    assert [change.path for change in made.changes] == ["src/new.py"]
    refused = await ask(box, "write_file", path="src\\newer.py", content="x\n")
    assert refused.content == "'src\\newer.py' has backslashes; folders end with '/': write 'src/newer.py'"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    st.lists(
        st.sampled_from(
            ["src", "a.py", "deep", "b.py", "work", "..", ".", "", "out", "canary.txt", "\\", " "]
        ),
        max_size=6,
    ),
    st.sampled_from(["", "/", "{root}/", "./", "{root}\\", "`"]),
    st.sampled_from(["/", "\\"]),
)
def test_a_path_means_a_file_of_the_workspace_or_none(tmp_path, names, start, between):
    """Whatever the form, the file that is read is inside, and a path that the system knows means that one."""
    root = tmp_path / "work"
    if not root.exists():
        (root / "src/deep").mkdir(parents=True)
        (root / "src/a.py").write_text("one\n")
        (root / "src/deep/b.py").write_text("two\n")
        (root / "out").symlink_to(tmp_path)
        (tmp_path / "canary.txt").write_text("canary\n")
    path = start.format(root=root) + between.join(names)
    view = WorkspaceView(Workspace(root), ToolLimits(), Secrets())
    try:
        where = view.workspace.locate(view.meant(path))
    except ToolError:
        return
    real = Path(os.path.realpath(root / where))
    assert real == root or root in real.parents
    plain = root / path
    if "\\" not in path and plain.exists() and root in plain.resolve().parents:
        assert real == plain.resolve()


@pytest.mark.parametrize(
    ("path", "said"),
    [
        pytest.param("a.py", "did you mean 'src/a.py'?", id="in-another-folder"),
        pytest.param("lib/deep/b.py", "did you mean 'src/deep/b.py'?", id="in-a-folder-of-the-same-name"),
        pytest.param("src/A.PY", "did you mean 'src/a.py'?", id="capitals"),
        pytest.param("src/a.py:12", "did you mean 'src/a.py'?", id="line-number-behind"),
        pytest.param("src/setings.py", "did you mean 'src/settings.py'?", id="misspelt"),
        pytest.param("src/user-model.py", "did you mean 'src/user_model.py'?", id="hyphen"),
        pytest.param("zzz.rs", "list_files shows what there is", id="nothing-like-it"),
        pytest.param("debug.log", "list_files shows what there is", id="ignored"),
        pytest.param(".env.py", "files named .env hold secrets", id="closed"),
    ],
)
async def test_a_missing_file_names_what_may_be_meant(project, box, ask, path, said):
    """Also for edits; ignored files are not offered."""
    (project / "src/settings.py").write_text("\n")
    (project / "src/user_model.py").write_text("\n")
    (project / "src/debug.log").write_text("\n")
    (project / ".gitignore").write_text("*.log\n")
    for tool, more in (("read_file", {}), ("edit_file", {"old": "a", "new": "b"})):
        result = await ask(box, tool, path=path, **more)
        assert result.is_error
        assert said in result.content


@pytest.mark.parametrize(
    ("tool", "path", "said"),
    [
        pytest.param("list_files", "deep", "there is no folder 'deep'; did you mean 'src/deep'?", id="list"),
        pytest.param("list_files", "srcs", "there is no folder 'srcs'; did you mean 'src'?", id="misspelt"),
        pytest.param(
            "search_files",
            "b.py",
            "there is no file or folder 'b.py'; did you mean 'src/deep/b.py'?",
            id="file",
        ),
        pytest.param("list_files", "src/*.py", "a path has no wildcards", id="wildcard"),
    ],
)
async def test_a_missing_folder_names_what_may_be_meant(project, box, ask, tool, path, said):
    """A search may mean a file or a folder."""
    result = await ask(box, tool, path=path, **({"pattern": "x"} if tool == "search_files" else {}))
    assert result.is_error
    assert said in result.content


def test_looking_for_a_name_takes_little_time_in_a_large_workspace():
    """Of 100,000 files, those that were seen within the time are offered; the rest is left."""
    entries = (FolderEntry(f"folder{n % 100}/module_{n}.py", "file") for n in range(1_000_000))
    begun = time.monotonic()
    assert len(near_names(entries, "folder7/modul_7.py", "file")) == 3
    assert time.monotonic() - begun < 3


async def test_a_call_in_the_manner_of_another_product_is_done(project, box):
    """Other names of arguments, a number in quotes, an absolute path."""
    call = ToolCall("1", "read_file", json.dumps({"file_path": f"{project}/src/a.py", "start_line": "1"}))
    assert (await box.execute(call)).content.endswith("\n\none\n")


def expanded(glob: str) -> list[str]:
    """Write out the braces of *glob* from the outside in, which is another way than the tool's."""
    depth, start, commas = 0, -1, []
    for at, sign in enumerate(glob):
        if sign == "{":
            depth, start = depth + 1, at if depth == 0 else start
            commas = [] if depth == 1 else commas
        elif sign == "," and depth == 1:
            commas.append(at)
        elif sign == "}" and depth:
            depth -= 1
            if depth == 0:
                edges = [start, *commas, at]
                inside = [glob[a + 1 : b] for a, b in pairwise(edges)]
                return [one for part in inside for one in expanded(glob[:start] + part + glob[at + 1 :])]
    return [glob]


ALTERNATIVES = st.recursive(
    st.sampled_from(["a", "b", "c.py", "*", "?", "src"]),
    lambda inner: (
        st.lists(inner, min_size=2, max_size=3).map(lambda some: "{" + ",".join(some) + "}")
        | st.lists(inner, min_size=1, max_size=2).map("".join)
    ),
    max_leaves=6,
)
FILES = [
    f"{start}{name}" for start in ("", "src/", "a/") for name in ("a", "b", "ab", "c.py", "src.py", "ac.py")
]


@settings(deadline=None)
@given(st.lists(ALTERNATIVES, min_size=1, max_size=2).map("/".join))
def test_braces_select_what_their_alternatives_select(glob):
    """A glob with braces, nested or not, is the same as all the globs that it stands for."""
    try:
        whole = FileGlob.of(glob)
    except ToolError:  # it has too many alternatives
        reject()
    parts = [FileGlob.of(one) for one in expanded(glob)]
    for path in FILES:
        assert whole.takes(path) == any(one.takes(path) for one in parts)


@pytest.mark.parametrize(
    ("glob", "found"),
    [
        pytest.param("{src,lib}/**/*.{py,ts}", {"src/a.py", "src/deep/b.py"}, id="two-braces"),
        pytest.param("**/{a, b}.py", {"src/a.py", "src/deep/b.py"}, id="space-in-braces"),
        pytest.param("{x,{a,b}}.py", {"src/a.py", "src/deep/b.py"}, id="nested-after-a-comma"),
        pytest.param("{root}/src/*.py", {"src/a.py"}, id="absolute"),
        pytest.param("!{root}/src/deep/*", {"src/a.py"}, id="without-an-absolute-one"),
    ],
)
async def test_globs_find_the_files_that_they_mean(project, box, ask, glob, found):
    """On the real file system, in the forms that models write."""
    result = await ask(box, "search_files", pattern="one|two", glob=glob.replace("{root}", str(project)))
    assert {line.split(":")[0] for line in result.content.splitlines()} == found
