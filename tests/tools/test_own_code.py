"""No tool writes into what the running program is made of, under whatever name."""

import os
import site
import sys
from pathlib import Path

import pytest

from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox
from sunwell.tools.originals import Originals, undo
from sunwell.tools.workspace import Workspace

REFUSED = "is not open to tools"


@pytest.fixture
def importing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the workspace that modules are imported from."""
    packages = folder / "venv" / "lib" / "packages"
    packages.mkdir(parents=True)
    (packages / "json_repair.py").write_text("old = 1\n")
    monkeypatch.syspath_prepend(str(packages))
    return packages


@pytest.mark.parametrize(
    "path",
    [
        pytest.param("venv/lib/packages/json_repair.py", id="old-file"),
        pytest.param("venv/lib/packages/new.py", id="new-file"),
        pytest.param("venv/lib/packages/deep/down/new.py", id="new-folders"),
        pytest.param("./venv//lib/../lib/packages/x.pth", id="roundabout"),
        pytest.param("link/json_repair.py", id="link"),
        pytest.param("file-link", id="link-to-the-file"),
    ],
)
async def test_what_is_imported_from_the_workspace_cannot_be_written(
    folder, box, ask, importing, path
) -> None:
    """Whatever way leads there; the sentence names the place and says to leave it alone."""
    (folder / "link").symlink_to("venv/lib/packages")
    (folder / "file-link").symlink_to("venv/lib/packages/json_repair.py")
    before = sorted(importing.rglob("*"))
    written = await ask(box, "write_file", path=path, content="import os\n")
    assert written.is_error
    assert f"{REFUSED}: {importing} is a folder that modules are imported from" in written.content
    assert written.content.endswith("leave it alone and write elsewhere")
    edited = await ask(box, "edit_file", path=path, old="old", new="new")
    assert edited.is_error
    assert sorted(importing.rglob("*")) == before
    assert (importing / "json_repair.py").read_text() == "old = 1\n"


async def test_the_rest_of_the_workspace_stays_open(folder, box, ask, importing) -> None:
    """Next to the closed folder, and below one of the same name elsewhere."""
    for path in ("venv/notes.md", "src/venv/lib/packages/json_repair.py", "packages/a.py", "a.py"):
        assert not (await ask(box, "write_file", path=path, content="x\n")).is_error
        assert (folder / path).read_text() == "x\n"


async def test_a_hard_link_to_a_module_cannot_be_written(folder, box, ask, importing) -> None:
    """A file is written under all its names, so one that is also a module is closed; others are not."""
    (folder / "other.py").hardlink_to(importing / "json_repair.py")
    (folder / "one.md").write_text("x\n")
    (folder / "two.md").hardlink_to(folder / "one.md")
    said = (await ask(box, "write_file", path="other.py", content="bad\n")).content
    assert REFUSED in said
    assert "the file has another name (a hard link) in it" in said
    assert (importing / "json_repair.py").read_text() == "old = 1\n"
    assert not (await ask(box, "write_file", path="two.md", content="y\n")).is_error


async def test_a_hard_link_to_a_module_is_found_below_a_workspace_on_the_path(
    folder, box, ask, importing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace itself is not all closed, but a folder of modules in it is."""
    monkeypatch.syspath_prepend(str(folder))
    (folder / "other.py").hardlink_to(importing / "json_repair.py")
    assert REFUSED in (await ask(box, "write_file", path="other.py", content="bad\n")).content
    assert (importing / "json_repair.py").read_text() == "old = 1\n"


async def test_a_folder_of_modules_that_is_not_there_yet_cannot_be_made(
    folder, box, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Python looks again when it starts again."""
    monkeypatch.syspath_prepend(str(folder / "lib" / "later"))
    made = await ask(box, "write_file", path="lib/later/json.py", content="bad\n")
    assert made.is_error
    assert REFUSED in made.content
    assert not (folder / "lib").exists()
    assert not (await ask(box, "write_file", path="lib/else.py", content="good\n")).is_error


@pytest.mark.parametrize("where", [sys.prefix, sys.base_prefix, os.__file__, pytest.__file__])
async def test_a_workspace_inside_the_interpreter_is_not_written_to(ask, where: str) -> None:
    """Reading is fine; a write is refused with a sentence, and nothing is made."""
    inside = Path(where) if Path(where).is_dir() else Path(where).parent
    box = Toolbox(inside, secrets=Secrets())
    result = await ask(box, "write_file", path="sunwell-was-here.txt", content="x\n")
    assert result.is_error
    assert REFUSED in result.content
    assert not (inside / "sunwell-was-here.txt").exists()


async def test_the_package_itself_cannot_be_written(ask) -> None:
    """Not even where somebody works on it with itself."""
    checkout = Path(__file__).parents[2]
    box = Toolbox(checkout, secrets=Secrets())
    result = await ask(box, "edit_file", path="sunwell/errors.py", old="import attrs", new="import  attrs")
    assert result.is_error
    assert "is the code of the running program" in result.content
    assert (await ask(box, "write_file", path="sunwell/new.py", content="")).is_error
    assert not (checkout / "sunwell" / "new.py").exists()


@pytest.mark.parametrize("is_absolute", [True, False])
async def test_a_folder_that_programs_are_started_from_is_closed(
    folder, box, ask, monkeypatch: pytest.MonkeyPatch, is_absolute: bool
) -> None:
    """Existing or not, absolute or relative to where the program was started."""
    monkeypatch.chdir(folder)
    entry = str(folder / "bin") if is_absolute else "bin"
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}{os.pathsep}{entry}")
    for _ in range(2):
        result = await ask(box, "write_file", path="bin/git", content="#!/bin/sh\n")
        assert result.is_error
        assert "programs are started from" in result.content
        (folder / "bin").mkdir(exist_ok=True)


@pytest.mark.parametrize("entry", ["", ".", None], ids=["empty", "dot", "absolute"])
async def test_a_workspace_on_the_path_stays_open_but_for_its_programs(
    folder, box, ask, monkeypatch: pytest.MonkeyPatch, entry: str | None
) -> None:
    """A new file is not executable; one that is cannot be replaced."""
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PATH", f"{folder if entry is None else entry}{os.pathsep}{os.environ['PATH']}")
    (folder / "build").write_text("#!/bin/sh\n")
    (folder / "build").chmod(0o755)
    assert "run by its name" in (await ask(box, "write_file", path="build", content="bad\n")).content
    assert not (await ask(box, "write_file", path="git", content="new\n")).is_error
    assert not os.access(folder / "git", os.X_OK)
    assert not (await ask(box, "write_file", path="src/build", content="new\n")).is_error
    assert (folder / "build").read_text() == "#!/bin/sh\n"


@pytest.mark.parametrize("entry", ["", ".", None, ".."], ids=["empty", "dot", "absolute", "folder-above"])
async def test_a_workspace_on_the_module_path_gets_no_module_that_hides_another(
    folder, box, ask, monkeypatch: pytest.MonkeyPatch, entry: str | None
) -> None:
    """A script's own folder is there: its other files stay open."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(folder) if entry is None else entry)
    closed = ["json.py", "JSON.py", "openai/__init__.py", "sitecustomize.py", "attrs.cpython-311.so"]
    if entry == "..":
        box, closed = Toolbox(folder.parent / "work", secrets=Secrets()), []
    for path in closed:
        made = await ask(box, "write_file", path=path, content="bad\n")
        assert made.is_error, path
        assert "imported in place of another" in made.content
        assert not (folder / path).exists()
    for path in ("main.py", "json.md", "src/json.py", "helpers/__init__.py", "test/test_a.py"):
        assert not (await ask(box, "write_file", path=path, content="good\n")).is_error, path


async def test_a_workspace_that_is_named_like_a_module_does_not_become_it(
    tmp_path: Path, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the folder above it on the module path, an ``__init__.py`` would hide the module."""
    (tmp_path / "email").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))
    box = Toolbox(tmp_path / "email", secrets=Secrets())
    assert (await ask(box, "write_file", path="__init__.py", content="bad\n")).is_error
    assert not (await ask(box, "write_file", path="message.py", content="good\n")).is_error


async def test_a_dry_run_refuses_it_too(folder, ask, importing) -> None:
    """What would be refused is not planned."""
    box = Toolbox(folder, dry_run=True, secrets=Secrets())
    result = await ask(box, "write_file", path="venv/lib/packages/new.py", content="x\n")
    assert result.is_error
    assert REFUSED in result.content


async def test_a_folder_that_becomes_one_of_ours_between_plan_and_write_is_refused(
    folder, box, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked at again when the file is written, where it is written."""
    (folder / "lib").mkdir()
    arguments = '{"path": "lib/new.py", "content": "x"}'
    staged = await box.stage(ToolCall("c1", "write_file", arguments))
    monkeypatch.syspath_prepend(str(folder / "lib"))
    result = await staged.finish()
    assert result.is_error
    assert REFUSED in result.content
    assert not (folder / "lib" / "new.py").exists()


async def test_undo_puts_back_what_is_closed_by_now(
    folder, tmp_path, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It restores its own originals only."""
    (folder / "lib").mkdir()
    (folder / "lib" / "a.py").write_text("old\n")
    kept = tmp_path / "originals"
    box = Toolbox(folder, secrets=Secrets(), originals=Originals(kept))
    assert not (await ask(box, "write_file", path="lib/a.py", content="new\n")).is_error
    monkeypatch.syspath_prepend(str(folder / "lib"))
    assert undo(kept, Workspace(folder)).restored == ("lib/a.py",)
    assert (folder / "lib" / "a.py").read_text() == "old\n"


async def test_the_user_s_own_folder_of_packages_cannot_be_written(ask) -> None:
    """Existing or not: Python imports ``usercustomize`` from there when it starts."""
    packages = Path(site.getusersitepackages())
    home = next(path for path in packages.parents if path.is_dir())
    written = await ask(
        Toolbox(home, secrets=Secrets()),
        "write_file",
        path=str(packages.relative_to(home) / "sunwell-was-here.txt"),
        content="x\n",
    )
    assert written.is_error
    assert f"{REFUSED}: {packages.resolve()} is a folder of installed packages" in written.content
    assert not (packages / "sunwell-was-here.txt").exists()
