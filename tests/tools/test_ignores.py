"""Ignore files hide what git hides."""

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sunwell.context.workspace_files import list_files
from sunwell.core.secrets import Secrets
from sunwell.tools import ToolLimits, Workspace
from sunwell.tools.ignore_rules import Ignores
from sunwell.tools.workspace_view import WorkspaceView

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")


def git(folder: Path, *words: str) -> bytes:
    line = ["git", "-c", "core.excludesFile=/dev/null", "-c", "user.name=a", "-c", "user.email=a@b", *words]
    return subprocess.run(line, cwd=folder, capture_output=True, check=True).stdout


def shown_by_git(folder: Path) -> set[str]:
    """Return the files that git tracks or would add."""
    listed = git(folder, "ls-files", "--cached", "--others", "--exclude-standard", "-z").split(b"\0")
    return {path for path in map(os.fsdecode, listed) if path and (folder / path).exists()}


def shown(folder: Path) -> set[str]:
    """Return the files that the tools list and search."""
    view = WorkspaceView(Workspace(folder), ToolLimits(), Secrets())
    return {e.path for e, ignored in view.walk(".", 50) if not ignored and e.kind in ("file", "link")}


def make(folder: Path, files: dict[str, bytes]) -> None:
    for path, data in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(data)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with a few files, whose ignore rules a test writes."""
    git(tmp_path, "init", "-q")
    paths = ("top.go", "cmd/api/main.go", "cmd/notes.txt", "packages/p/node_modules/m.js", "packages/p/i.js")
    make(
        tmp_path, dict.fromkeys((*paths, "a.log", "deep/a.log", "build/out.js", "[id].ts", "größe.md"), b"x")
    )
    return tmp_path


@needs_git
@pytest.mark.parametrize(
    "files",
    [
        pytest.param({".gitignore": b"*\n!*/\n!*.go\n!.gitignore\n"}, id="allow-list"),
        pytest.param({".gitignore": b"/*\n!/cmd\n/cmd/*\n!/cmd/api\n"}, id="allow-list-of-folders"),
        pytest.param({".gitignore": b"node_modules/\n!/packages/\n"}, id="folder-above-taken-back"),
        pytest.param({".gitignore": b"build\n!build/\n"}, id="folder-taken-back"),
        pytest.param({".gitignore": b"build/\n!build/out.js\n"}, id="parent-is-ignored"),
        pytest.param({".gitignore": b"*.log\n", "deep/.gitignore": b"!a.log\n"}, id="nested-negation"),
        pytest.param({".gitignore": b"\xef\xbb\xbf*.log\n"}, id="byte-order-mark"),
        pytest.param({".gitignore": b"*.log\r\ncmd\r\n"}, id="crlf"),
        pytest.param({".gitignore": b"*.log  \n\\#x\n cmd\n"}, id="spaces"),
        pytest.param({".gitignore": b"[[]id].ts\n"}, id="class"),
        pytest.param({".gitignore": b"gr??e.md\n"}, id="letters-are-bytes"),
        pytest.param({".gitignore": "grö*.md\n".encode()}, id="letters"),
        pytest.param({".gitignore": b"**/p/**\n!**/i.js\n"}, id="two-stars"),
        pytest.param({".git/info/exclude": b"*.log\n/build\n"}, id="info-exclude"),
        pytest.param(
            {".git/info/exclude": b"*.log\n", ".gitignore": b"!a.log\n"}, id="ignore-file-over-exclude"
        ),
        pytest.param({".gitignore": b"x" * 600 + b"\n*.log\n" + b"y\n" * 3_000 + b"*.js\n"}, id="long"),
    ],
)
def test_the_same_files_are_shown_as_by_git(repository, files):
    """Allow-lists, nested files, ``info/exclude``: git decides the same. A lens sees the same files."""
    make(repository, files)
    assert shown(repository) == shown_by_git(repository)
    found, _ = list_files(Workspace(repository))
    assert {entry.path for entry in found} == {
        path for path in shown_by_git(repository) if "node_modules" not in path
    }


@needs_git
def test_a_part_of_a_repository_is_under_the_rules_of_the_whole(repository):
    """Folders above the workspace count, up to the root of the repository."""
    make(repository, {".gitignore": b"node_modules/\n/packages/p/i.js\n", "packages/p/kept.js": b""})
    for part in ("packages", "packages/p"):
        assert shown(repository / part) == shown_by_git(repository / part)
    assert shown(repository / "packages/p") == {"kept.js"}


@needs_git
def test_what_git_tracks_is_shown_though_a_rule_matches_it(repository):
    """A file that was added by force is part of the project; its neighbours stay hidden."""
    make(repository, {".gitignore": b"build/\n*.log\n", "build/deep/er/kept.js": b"", "build/deep/x.js": b""})
    git(repository, "add", "--force", "build/deep/er/kept.js", "a.log")
    for version in ("2", "3", "4"):
        git(repository, "update-index", f"--index-version={version}")
        assert shown(repository) == shown_by_git(repository) > {"build/deep/er/kept.js", "a.log"}


@needs_git
def test_a_workspace_that_is_itself_ignored_is_not_empty(repository):
    """The caller chose it: only the rules about what is in it count."""
    make(repository, {".gitignore": b"build/\n*.log\n", "build/a.log": b""})
    assert shown(repository / "build") == {"out.js"}


@needs_git
def test_a_second_working_tree_has_the_rules_of_the_first(repository, tmp_path_factory):
    """``info/exclude`` lies in the folder that all working trees share."""
    git(repository, "add", "top.go")
    git(repository, "commit", "-qm", "one")
    other = tmp_path_factory.mktemp("trees") / "other"
    git(repository, "worktree", "add", "-q", str(other))
    make(repository, {".git/info/exclude": b"*.log\n"})
    make(other, {"a.log": b"", "b.txt": b""})
    assert shown(other) == shown_by_git(other) == {"top.go", "b.txt"}


@needs_git
def test_a_repository_in_the_workspace_has_its_own_rules(repository):
    """git's rules end at its root; lists that are not git's go on."""
    make(repository, {".gitignore": b"*.go\n", ".sunwellignore": b"*.txt\n"})
    git(repository / "cmd", "init", "-q")
    make(repository / "cmd", {".git/info/exclude": b"*.md\n", "x.md": b""})
    assert {path for path in shown(repository) if path.startswith("cmd")} == {"cmd/api/main.go"}


def test_without_git_the_rules_hold_and_none_from_outside(tmp_path):
    """Ignore files count in any folder; those above it only in a repository."""
    make(tmp_path, {".gitignore": b"*.a\n", "w/.gitignore": b"*.b\n", "w/x.a": b"", "w/x.b": b""})
    assert shown(tmp_path / "w") == {".gitignore", "x.a"}


def test_a_link_in_place_of_an_ignore_file_is_not_read(tmp_path):
    """As in git: it may lead anywhere."""
    make(tmp_path, {"rules": b"*.a\n", "x.a": b""})
    (tmp_path / ".gitignore").symlink_to("rules")
    assert "x.a" in shown(tmp_path)


@pytest.mark.parametrize("said", [b"gitdir: /dev/null\n", b"gitdir: \0\n", b"nonsense", b"gitdir: .\n"])
def test_a_forged_repository_is_none(tmp_path, said):
    """A file ``.git`` that leads nowhere changes nothing."""
    make(tmp_path, {".git": said, "x.a": b"", ".gitignore": b"*.b\n", "x.b": b""})
    assert shown(tmp_path) == {".gitignore", "x.a"}


NAMES = st.sampled_from(["a", "b", "ab", "a.b", "b.a", "[a]", "a b", "é", "!a", "#a", "aab", "x\\y"])
PATHS = st.lists(NAMES, min_size=1, max_size=4).map("/".join)
SIGNS = (
    "a",
    "b",
    "ab",
    ".",
    "*",
    "**",
    "/",
    "**/",
    "/**",
    "?",
    "[a",
    "]",
    "[!a]",
    "[b-",
    "[]a]",
    "\\",
    " ",
    "é",
)
MORE_SIGNS = (
    "!",
    "#",
    "[[:alpha:]]",
    "[^b]",
    "a.b",
    "*.b",
    "*a",
    "a*",
    "[a-b]",
    "[[:",
    "-",
    "\\*",
    "\r",
    "\t",
)
LINES = st.tuples(
    st.sampled_from(["", "", "!", "/", "!/"]),
    st.one_of(PATHS, st.lists(st.sampled_from(SIGNS + MORE_SIGNS), min_size=1, max_size=6).map("".join)),
    st.sampled_from(["", "", "/", " "]),
).map("".join)
FILES = st.lists(LINES, max_size=6).map("\n".join)


@needs_git
@settings(max_examples=50)  # each starts git up to four times
@given(
    paths=st.lists(PATHS, max_size=14),
    rules=st.dictionaries(st.one_of(st.just(""), PATHS), FILES, max_size=4),
    exclude=FILES,
    part=st.one_of(st.just(""), NAMES),
)
@example(["a/b", "a.b"], {"": "*\n!*/\n!*.b"}, "", "")
@example(["ab/a/b", "ab/b"], {"": "a**/b"}, "", "")
def test_random_trees_are_seen_as_git_sees_them(paths, rules, exclude, part):
    """Random files, folders and rules: the same files are left, for the whole tree and for a part of it."""
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        git(root, "init", "-q")
        (root / ".git/info/exclude").write_text(exclude)
        for path, text in [*((f"{p}/.gitignore", t) for p, t in rules.items()), *((p, "") for p in paths)]:
            place = root / path.lstrip("/")
            try:
                place.parent.mkdir(parents=True, exist_ok=True)
                place.write_text(text, newline="")
            except (NotADirectoryError, FileExistsError, IsADirectoryError):
                continue  # a file is in the place of a folder
        assert shown(root) == shown_by_git(root)
        if part and (root / part).is_dir() and shown_by_git(root / part):
            assert shown(root / part) == shown_by_git(root / part)


def test_a_hostile_pattern_costs_little():
    """Patterns built to take hours are matched in a moment."""
    lines = b"*a" * 60 + b"b\n" + b"**/a*/" * 60 + b"b\n" + b"a" + b"*?" * 100 + b"c\n" + b"x " * 50_000
    started = time.process_time()
    rules = Ignores().below("", [(".gitignore", lines + b"\n" + b" " * 200_000)])
    assert not rules.hides("a" * 250, is_folder=False)
    assert not rules.hides("/".join(["aa"] * 1_000), is_folder=False)
    assert time.process_time() - started < 2
