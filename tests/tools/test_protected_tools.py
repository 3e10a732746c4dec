"""Every tool against every row of the table of protected files, and against links and repositories."""

import hashlib
import json
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sunwell.core.message import ToolCall
from sunwell.core.model import ToolSpec
from sunwell.core.secrets import Secrets
from sunwell.errors import ToolError
from sunwell.tools import Toolbox, Workspace
from sunwell.tools.originals import Originals, UndoStep, undo
from sunwell.tools.protected import PROTECTED, ProtectedKind
from tests.tools.test_sandbox import WHY

CANARY = "canary-7c2e"
KINDS = [pytest.param(kind, id=kind.patterns[0].strip("./*")) for kind in PROTECTED]
SECRET = ("secret", "repository")
PRIVATE_KEY = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"


def paths_of(kind: ProtectedKind) -> list[str]:
    """Return a path for each pattern of *kind*."""
    return [p.replace("*", "x") + ("inner.txt" if p.endswith("/") else "") for p in kind.patterns]


def make(folder: Path, files: dict[str, str]) -> None:
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def arguments_for(spec: ToolSpec, path: str) -> dict[str, Any]:
    """Return a call of any tool that reads or changes *path* if it can: what is unknown gets the path."""
    script = f"try:\n  print(read_file({path!r}))\nexcept OSError as e:\n  print(e)\nprint(list_files('.'))"
    known = {
        "code": script,
        "command": f"cat '{path}'; echo broken > '{path}'; rm -f '{path}'",
        "pattern": "canary",
        "literal": True,
        "old": CANARY,
        "new": "broken",
        "content": "broken\n",
    }
    given = {}
    for name, schema in spec.parameters["properties"].items():
        kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
        other = path if "string" in kinds else None
        given[name] = known.get(name, None if name == "glob" else other)
    return given


def every_tool() -> list[str]:
    box = Toolbox(Path(__file__).parent, allow_shell=True, allow_python=True, secrets=Secrets())
    return [spec.name for spec in box.specs()]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", every_tool())
async def test_no_tool_opens_what_the_table_closes(folder, name, kind) -> None:
    """A tool that is added later is tested by itself: its arguments are made from its schema."""
    if name == "run_command" and WHY:
        pytest.skip("requires bubblewrap")
    box = Toolbox(folder, allow_shell=True, allow_python=True, secrets=Secrets())
    spec = next(spec for spec in box.specs() if spec.name == name)
    paths = [above + path for path in paths_of(kind) for above in ("", "deep/down/")]
    make(folder, dict.fromkeys(paths, f"{CANARY}\n"))
    calls = [arguments_for(spec, path) for path in paths]
    if name == "run_command":  # one for all paths: each begins a sandbox
        calls = [{**calls[0], "command": "; ".join(one["command"] for one in calls)}]
    for path, arguments in zip(paths, calls, strict=False):
        said = await box.execute(ToolCall("1", name, json.dumps(arguments)))
        is_shown = CANARY in said.content
        if kind.level == "secret" or (kind.level == "repository" and name != "run_command"):
            assert not is_shown, path
    for path in paths:
        assert (folder / path).read_text() == f"{CANARY}\n", path
    assert sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file()) == sorted(paths)


@pytest.mark.parametrize("kind", KINDS)
async def test_nothing_closed_is_made_either(folder, box, ask, kind) -> None:
    """A file that is not there yet is closed, too; the sentence is one line and says what to do."""
    for path in paths_of(kind):
        said = await ask(box, "write_file", path=path, content="x\n")
        assert said.is_error
        assert "\n" not in said.content
        assert "is refused: " in said.content or "not written: " in said.content
    assert list(folder.iterdir()) == []


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=25)
@given(st.data())
async def test_a_link_to_a_closed_file_is_that_file(tmp_path_factory, data) -> None:
    """Symbolic and hard links, one through the other, with any name, read and written."""
    kind = data.draw(st.sampled_from([kind for kind in PROTECTED if kind.level != "asked"]))
    path = data.draw(st.sampled_from(paths_of(kind)))
    folder = tmp_path_factory.mktemp("w")
    make(folder, {path: f"{CANARY}\n", "src/a.py": "ok\n"})
    target = path
    for number in range(data.draw(st.integers(1, 3))):
        link = data.draw(st.sampled_from([f"l{number}.txt", f"src/l{number}.py"]))
        if data.draw(st.booleans()) and not (folder / target).is_symlink():
            (folder / link).hardlink_to(folder / target)
        else:
            (folder / link).symlink_to(folder / target)
        target = link
    box = Toolbox(folder, secrets=Secrets(), allow_python=True)
    for spec in box.specs():
        said = await box.execute(ToolCall("1", spec.name, json.dumps(arguments_for(spec, target))))
        if kind.level in SECRET:
            assert CANARY not in said.content
        assert (folder / path).read_text() == f"{CANARY}\n"
    found = await box.execute(ToolCall("1", "search_files", json.dumps({"pattern": CANARY})))
    assert (CANARY not in found.content) or kind.level not in SECRET


async def test_a_hard_link_that_is_made_later_is_found(folder, box, ask) -> None:
    """What was looked up once is looked up again after a file got another name."""
    make(folder, {".env": f"{CANARY}\n", "a.txt": "one\n"})
    (folder / "b.txt").hardlink_to(folder / "a.txt")
    assert "one" in (await ask(box, "read_file", path="b.txt")).content
    (folder / "c.txt").hardlink_to(folder / ".env")
    said = await ask(box, "read_file", path="c.txt")
    assert said.is_error
    assert "it has another name (a hard link)" in said.content


async def test_a_hard_link_to_a_secret_of_the_home_folder_is_closed(
    folder, box, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The table is looked up there, too; and a start file of the shell is not written through one."""
    home = folder.parent / "home"
    make(home, {".ssh/known": f"{CANARY}\n", ".netrc": f"{CANARY}\n", ".bashrc": "ok\n"})
    monkeypatch.setenv("HOME", str(home))
    for number, name in enumerate((".ssh/known", ".netrc", ".bashrc")):
        (folder / f"{number}.txt").hardlink_to(home / name)
    for number in (0, 1):
        assert (await ask(box, "read_file", path=f"{number}.txt")).is_error
    assert CANARY not in (await ask(box, "search_files", pattern="canary")).content
    said = await ask(box, "write_file", path="2.txt", content="bad\n")
    assert "a shell or a program of the desktop runs it" in said.content
    assert (home / ".bashrc").read_text() == "ok\n"


async def test_a_private_key_is_closed_under_every_name_and_a_public_one_open(folder, box, ask) -> None:
    """For reading, searching and scripts alike."""
    make(folder, {"notes.txt": PRIVATE_KEY, "public.pem": PRIVATE_KEY.replace("PRIVATE", "PUBLIC")})
    make(folder, {"i18n/en.key": "title = Welcome\n"})
    assert "it is a private key" in (await ask(box, "read_file", path="notes.txt")).content
    assert "PUBLIC KEY" in (await ask(box, "read_file", path="public.pem")).content
    assert not (await ask(box, "edit_file", path="i18n/en.key", old="Welcome", new="Hi")).is_error
    found = (await ask(box, "search_files", pattern="BEGIN")).content
    assert "notes.txt" not in found
    assert "public.pem" in found
    assert (await ask(box, "write_file", path="notes.txt", content="x\n")).is_error


LAYOUT = {"HEAD": "ref: refs/heads/a\n", "config": "[core]\nfsmonitor=./x\n", "objects/a": "", "refs/a": ""}


@pytest.mark.parametrize("names", list(permutations(LAYOUT))[::4], ids="-".join)
@pytest.mark.parametrize("above", ["", "vendor/", "a/b/"])
async def test_a_repository_cannot_be_laid_out_file_by_file(folder, box, ask, names, above) -> None:
    """In no order, in no folder, nor in the workspace itself: the last piece is refused."""
    results = [await ask(box, "write_file", path=above + name, content=LAYOUT[name] or "x") for name in names]
    assert any("part of a git repository" in said.content for said in results if said.is_error)
    place = folder / above
    assert not all((place / name).exists() for name in ("HEAD", "objects", "refs"))


@pytest.mark.parametrize("path", ["repo.git/config", "repo.git/hooks/pre-push", "repo.git/x", "meta/config"])
async def test_a_repository_that_is_there_is_not_written(folder, box, ask, path) -> None:
    """Bare, and one that a file ``.git`` names; both may be read."""
    make(folder, {f"repo.git/{name}": text for name, text in LAYOUT.items()})
    make(
        folder,
        {"meta/HEAD": "ref: refs/heads/a\n", "meta/commondir": "../repo.git", ".git": "gitdir: meta\n"},
    )
    said = await ask(box, "write_file", path=path, content="bad\n")
    assert "part of a git repository" in said.content
    assert not (await ask(box, "read_file", path="repo.git/HEAD")).is_error


async def test_a_workspace_inside_a_repository_of_git_is_not_written(folder, ask) -> None:
    """The folders above the workspace count."""
    make(folder, LAYOUT | {"sub/a.txt": ""})
    box = Toolbox(folder / "sub", secrets=Secrets())
    assert "part of a git repository" in (await ask(box, "write_file", path="b.txt", content="")).content


async def test_what_the_configuration_of_git_names_is_asked_for(folder, box, ask) -> None:
    """Hooks in a folder of any name, and files that are included."""
    make(folder, {".git/config": "[core]\n\thooksPath = tools/hooks\n[include]\n path = ../shared.cfg\n"})
    for path in ("tools/hooks/pre-push", "shared.cfg"):
        said = await ask(box, "write_file", path=path, content="bad\n")
        assert "the configuration of git names it" in said.content
    assert not (await ask(box, "write_file", path="tools/a.py", content="ok\n")).is_error


async def test_a_file_that_others_run_is_asked_for_each_time(folder, ask) -> None:
    """The approver learns why, and that an answer for all does not cover it."""
    asked = []

    def approve(proposal) -> bool:
        asked.append(proposal)
        return proposal.path != "AGENTS.md"

    box = Toolbox(folder, secrets=Secrets(), approve=approve)
    assert not (await ask(box, "write_file", path="a.py", content="ok\n")).is_error
    assert not (await ask(box, "write_file", path=".envrc", content="ok\n")).is_error
    assert not (await ask(box, "edit_file", path=".envrc", old="ok", new="good")).is_error
    assert (await ask(box, "write_file", path="AGENTS.md", content="ok\n")).is_error
    assert [one.always for one in asked] == [False, True, True, True]
    assert asked[0].reason == ""
    assert asked[1].reason == "direnv runs it when a shell enters the folder"
    assert (folder / ".envrc").read_text() == "good\n"
    assert not (folder / "AGENTS.md").exists()


async def test_without_an_approver_the_refusal_names_the_option(folder, box, ask) -> None:
    """One sentence that a model can act on, and that a person can act on, too."""
    said = await ask(box, "write_file", path=".github/workflows/ci.yml", content="on: push\n")
    assert said.content == (
        "'.github/workflows/ci.yml' was not written: a build service runs it with its own keys, so only a "
        "person can allow it (--approve, or --allow-write with its path); do not try it again, do the rest, "
        "and say at the end what should stand in it"
    )


@pytest.mark.parametrize(
    ("globs", "path", "is_open"),
    [
        ((".envrc",), ".envrc", True),
        ((".envrc",), "sub/.envrc", True),
        ((".github/workflows/**",), ".github/workflows/ci.yml", True),
        ((".github/workflows/*.yml",), ".github/workflows/ci.yaml", False),
        (("docs/**",), ".envrc", False),
        (("**",), "sunwell.toml", False),
        (("**",), ".git/config", False),
        (("**",), ".env", False),
        (("**",), "a/id_rsa", False),
    ],
)
async def test_a_glob_opens_what_is_asked_for_and_nothing_else(folder, ask, globs, path, is_open) -> None:
    """Never what is closed: secrets, repositories, Sunwell's own configuration."""
    box = Toolbox(folder, secrets=Secrets(), allow_write=globs)
    assert (await ask(box, "write_file", path=path, content="x\n")).is_error is not is_open
    assert (folder / path).exists() is is_open


async def test_a_dry_run_refuses_what_the_run_would_refuse(folder, ask) -> None:
    """And plans what it would ask for."""
    box = Toolbox(folder, secrets=Secrets(), dry_run=True)
    assert (await ask(box, "write_file", path=".envrc", content="x\n")).is_error
    box = Toolbox(folder, secrets=Secrets(), dry_run=True, approve=lambda _: False)
    assert "planned" in (await ask(box, "write_file", path=".envrc", content="x\n")).content
    assert list(folder.iterdir()) == []


def test_undo_writes_into_no_repository_and_no_configuration(folder, workspace: Workspace) -> None:
    """The index of originals lies in the workspace: it is data, and grants nothing."""
    make(folder, {"sunwell.toml": "a", ".git/config": "a", ".envrc": "new"})
    before, after = sha256(b"bad"), sha256(b"a")
    kept = Originals(folder / ".sunwell/originals")
    for path in ("sunwell.toml", ".git/config"):
        kept.keep(path, before, b"bad")
        kept.expect(path, after)
    done = undo(folder / ".sunwell/originals", workspace)
    assert {one.path for one in done.refused} == {"sunwell.toml", ".git/config"}
    assert (folder / "sunwell.toml").read_text() == "a"


def test_undo_restores_a_file_that_was_approved(folder, workspace: Workspace) -> None:
    """Only if a person says so again: the index lies in the workspace, where anybody may have written it."""
    make(folder, {".envrc": "new"})
    kept = Originals(folder / ".sunwell/originals")
    kept.keep(".envrc", sha256(b"old"), b"old")
    kept.expect(".envrc", sha256(b"new"))
    (left,) = undo(folder / ".sunwell/originals", workspace).refused
    assert (left.path, "only a person can allow it" in left.reason) == (".envrc", True)
    steps: list[UndoStep] = []

    def seen(step: UndoStep) -> str:
        steps.append(step)
        return ""

    assert undo(folder / ".sunwell/originals", workspace, refuses=seen).restored == (".envrc",)
    assert (folder / ".envrc").read_text() == "old"
    assert [(one.verb, one.old, one.new) for one in steps] == [("restores", b"new", b"old")]


def test_the_workspace_itself_refuses_what_nobody_allowed(folder, workspace: Workspace) -> None:
    """Whoever writes through it: the guard is below the tools."""
    for path in (".envrc", "sunwell.toml", "x/.hg/hgrc"):
        with pytest.raises(ToolError):
            workspace.write(path, b"x", None)
    workspace.write(".envrc", b"x", None, allowed=True)
    assert [path.name for path in folder.iterdir()] == [".envrc"]
