"""Files with several names (hard links): the strongest of all names counts, in the workspace and outside."""

import json
import time
from pathlib import Path

import pytest

from sunwell.context.excerpts import gather
from sunwell.context.surroundings import look_around
from sunwell.core.message import ToolCall
from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox, Workspace, tool
from sunwell.tools.originals import Originals, undo
from sunwell.tools.protected import kind_of_name, kind_of_path
from sunwell.tools.user_files import _NAMED, _links_in
from tests.bubblewrap import WHY, needs_bubblewrap

from .test_protected_tools import arguments_for, make, sha256

CANARY = "canary-7c2e"
OWN = {".config/sunwell/config.toml": "fixed", ".config/sunwell/trusted.json": "fixed"}
OWN |= {".local/state/sunwell/journal.key": "secret", ".local/state/sunwell/outcomes.sqlite3": "secret"}
OWN |= {".local/state/sunwell/lenses.sqlite3": "secret"}

HOME_SECRETS = (".aws/credentials", ".netrc", ".ssh/id_rsa")
WEAKER = ("AGENTS.md", "CLAUDE.md", ".envrc", ".vscode/settings.json", "sub/sunwell.toml", ".claude/a/b.md")
WEAKER += ("notes.txt", "a.json", "x.pth", ".gitattributes", "node_modules/a/index.js")


@pytest.fixture
def home(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the user, empty, beside the workspace."""
    place = folder.parent / "home"
    place.mkdir()
    monkeypatch.setenv("HOME", str(place))
    return place


def link(place: Path, target: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.hardlink_to(target)


async def asked_of_all(root: Path, *paths: str, allow_write: tuple[str, ...] = ("**",)) -> str:
    """Return what all tools say of *paths*: they read, change, run and delete, as far as they are let."""
    box = Toolbox(root, allow_shell=not WHY, allow_python=True, secrets=Secrets(), allow_write=allow_write)
    calls = []
    for spec in box.specs():
        given = [arguments_for(spec, path) for path in paths]
        if spec.name == "run_command":  # one that does it all: each looks through the workspace
            given = [{**given[0], "command": "\n".join(one["command"] for one in given)}]
        calls += [ToolCall("1", spec.name, json.dumps(one)) for one in given]
    return "\n".join([(await box.execute(call)).content for call in calls])


@pytest.mark.parametrize("secret", HOME_SECRETS)
async def test_a_secret_of_the_home_folder_is_one_under_every_name(folder, home, secret) -> None:
    """Of a weaker class or of none: nothing reads it, nothing writes it, and no prompt holds it."""
    make(home, {secret: f"{CANARY}\n"})
    for name in WEAKER:
        link(folder / name, home / secret)
    assert CANARY not in await asked_of_all(folder, *WEAKER)
    assert (home / secret).read_text() == f"{CANARY}\n"
    seen = look_around(folder, secrets=Secrets())
    assert seen.advice == ()
    assert CANARY not in gather(folder, f"Change {' and '.join(WEAKER)}", limit_tokens=20_000).text


@pytest.mark.parametrize("name", ["AGENTS.md", ".envrc", "x.txt"])
async def test_one_weaker_name_does_not_open_the_others(folder, home, name) -> None:
    """Nor does one in the workspace itself, in whatever order they are found."""
    make(home, {".netrc": f"{CANARY}\n"})
    make(folder, {".env": f"{CANARY}\n", "b.txt": "ok\n"})
    for other in (name, "a.txt", "z/CLAUDE.md"):
        link(folder / other, home / ".netrc")
        link(folder / f"own/{other}", folder / ".env")
    names = [f"{above}{one}" for above in ("", "own/") for one in (name, "a.txt", "z/CLAUDE.md")]
    assert CANARY not in await asked_of_all(folder, *names)
    assert (home / ".netrc").read_text() == (folder / ".env").read_text() == f"{CANARY}\n"


@needs_bubblewrap
@pytest.mark.parametrize("name", [".git/config", "sub/.git/config", ".git/objects/ab/cd", ".hg/hgrc"])
async def test_a_command_reads_no_secret_in_a_repository(folder, home, ask, name) -> None:
    """It may read the rest of it."""
    make(home, {".git-credentials": f"{CANARY}\n"})
    make(folder, {f"{name}.other": "open\n"})
    link(folder / name, home / ".git-credentials")
    box = Toolbox(folder, secrets=Secrets(), allow_shell=True)
    said = await ask(box, "run_command", command=f"cat {name}.other {name}; echo x >> {name}")
    assert "open" in said.content
    assert CANARY not in said.content
    assert (home / ".git-credentials").read_text() == f"{CANARY}\n"


@needs_bubblewrap
async def test_no_number_of_other_files_lets_a_command_read_a_secret(folder, home, ask) -> None:
    """There are more protected files than can be mounted."""
    make(home, {".netrc": f"{CANARY}\n"})
    make(folder, {f"a{number}/.envrc": "" for number in range(1_100)})
    link(folder / "deep/down/and/further/AGENTS.md", home / ".netrc")
    box = Toolbox(folder, secrets=Secrets(), allow_shell=True)
    said = await ask(box, "run_command", command="cat deep/down/and/further/AGENTS.md")
    assert CANARY not in said.content
    assert "exit code 1" in said.content


@pytest.mark.parametrize(
    "path", [".devcontainer/.env", ".idea/id_rsa", ".claude/.netrc", ".cursor/.ssh/config"]
)
async def test_a_secret_in_a_folder_that_is_asked_for_is_a_secret(folder, path) -> None:
    """For commands, too: the folder's class does not open what is in it."""
    make(folder, {path: f"{CANARY}\n"})
    assert CANARY not in await asked_of_all(folder, path)
    assert (folder / path).read_text() == f"{CANARY}\n"


async def test_no_glob_opens_settings_in_a_folder_that_is_asked_for(folder, ask) -> None:
    """Sunwell's own configuration is never written."""
    box = Toolbox(folder, secrets=Secrets(), allow_write=(".claude/**",))
    assert (await ask(box, "write_file", path=".claude/sunwell.toml", content="x\n")).is_error
    assert not (await ask(box, "write_file", path=".claude/a.md", content="x\n")).is_error


@pytest.mark.parametrize("name", [".env.pth", ".env.code-workspace", "a.tfstate.pth"])
def test_the_strongest_rule_for_a_name_counts(name) -> None:
    """Whichever row of the table comes first."""
    kind = kind_of_name(name)
    assert kind is not None
    assert kind.level == "secret"


@pytest.mark.parametrize("name", ["keystore", "pth", "p12", "jks"])
def test_a_name_that_only_equals_an_ending_is_open(name) -> None:
    """A folder of source code may be called so."""
    assert kind_of_path(f"{name}/a.py") is None


@pytest.mark.parametrize(
    ("path", "why"),
    [
        (".config/fish/config.fish", "a shell or a program of the desktop runs it"),
        (".claude/settings.json", "agents take it as instructions"),
        ("src/other/AGENTS.md", "agents take it as instructions"),
        ("src/other/.git/hooks/pre-push", ".git is not open to tools"),
        ("src/other/.git/config", ".git is not open to tools"),
    ],
)
async def test_what_other_programs_run_is_not_written_under_another_name(
    folder, home, box, ask, path, why
) -> None:
    """Neither of the home folder nor of the user's other projects."""
    make(home, {path: "ok\n"})
    link(folder / "x.txt", home / path)
    assert why in (await ask(box, "write_file", path="x.txt", content="bad\n")).content
    if not WHY:
        shell = Toolbox(folder, secrets=Secrets(), allow_shell=True)
        await ask(shell, "run_command", command="echo bad > x.txt")
    assert (home / path).read_text() == "ok\n"


SPREAD = ("src/app/.env", "a/b/c/.env.production", "src/infra/terraform.tfstate", "work/.aws/credentials")


@pytest.mark.parametrize("secret", SPREAD)
async def test_a_secret_of_another_project_is_one_under_every_name(folder, home, secret) -> None:
    """Files that only their own name tells are found in the upper folders of the home folder."""
    make(home, {secret: f"{CANARY}\n"})
    for name in ("x.txt", "AGENTS.md"):
        link(folder / name, home / secret)
    assert CANARY not in await asked_of_all(folder, "x.txt", "AGENTS.md")
    assert (home / secret).read_text() == f"{CANARY}\n"


VARIABLES = f"# of the shop\n\nexport DB_PASSWORD={CANARY}\nKEY='a\nb'\n"
STATE = json.dumps({"version": 4, "terraform_version": "1.9", "serial": 3, "lineage": CANARY})


@pytest.mark.parametrize("content", [VARIABLES, STATE], ids=["variables", "state"])
async def test_what_looks_like_a_secret_and_has_an_unknown_name_is_closed_to_tools(
    folder, home, box, ask, content
) -> None:
    """Its name is nowhere where names are looked for, so the content decides; commands read it."""
    make(folder.parent, {"elsewhere/.hidden/.env": content})
    link(folder / "x.txt", folder.parent / "elsewhere/.hidden/.env")
    said = (await ask(box, "read_file", path="x.txt")).content
    assert "it has another name (a hard link) outside of the workspace, and it looks like" in said
    assert CANARY not in (await ask(box, "search_files", pattern="canary")).content
    assert (await ask(box, "write_file", path="x.txt", content="bad\n")).is_error
    assert CANARY not in gather(folder, "Change x.txt", limit_tokens=2_000).text
    (folder / "y.txt").write_text(content)
    link(folder / "z.txt", folder / "y.txt")
    assert CANARY in (await ask(box, "read_file", path="z.txt")).content


async def test_many_files_with_such_content_do_not_hold_up_a_search(folder, home, box, ask) -> None:
    """The names of all of them are counted at once, and again only if one gets another name."""
    make(folder, {f"a{number}.txt": "A=needle\n" for number in range(1_500)})
    for number in range(1_500):
        link(folder / f"b/{number}.txt", folder / f"a{number}.txt")
    began = time.process_time()
    found = await ask(box, "search_files", pattern="[n]othing", glob="a*.txt")
    assert found.content == "no match in 1,500 files"
    assert time.process_time() - began < 5
    link(folder.parent / "elsewhere.txt", folder / "a7.txt")
    assert (await ask(box, "read_file", path="b/7.txt")).is_error
    assert not (await ask(box, "read_file", path="b/8.txt")).is_error


async def test_a_workspace_full_of_hard_links_can_be_worked_in(folder, home, box, ask) -> None:
    """As those of pnpm, of a copy with ``cp -al``, of a build cache: ordinary files stay ordinary."""
    other = folder.parent / "store"
    files = {f"src/a{number}.py": f"x = {number}\n" for number in range(300)}
    files |= {"package.json": '{"private": true}\n', "Makefile": "CC=gcc\nall:\n\t$(CC) a.c\n"}
    files |= {"node_modules/left/index.js": "ok()\n", "settings.py": 'DEBUG = False\nKEYS = ["a"]\n'}
    files |= {"run.sh": "A=1\nexport B=2\necho $A\n", "v.mk": "CC = gcc\n", "a.properties": "color=blue\n"}
    make(other, files)
    for path in files:
        link(folder / path, other / path)
    for path in files:
        assert not (await ask(box, "read_file", path=path)).is_error, path
    found = await ask(box, "search_files", pattern="x = 29\\d")
    assert found.content.count("\n") + 1 == 10
    assert not (await ask(box, "edit_file", path="src/a7.py", old="x = 7", new="x = 8")).is_error
    if not WHY:
        shell = Toolbox(folder, secrets=Secrets(), allow_shell=True)
        assert "x = 8" in (await ask(shell, "run_command", command="cat src/a7.py")).content


@pytest.mark.parametrize("path", OWN)
@pytest.mark.parametrize("name", ["x.txt", "AGENTS.md", ".envrc", "sunwell.toml"])
async def test_own_files_of_sunwell_are_closed_under_every_name(folder, home, name, path) -> None:
    """A model that writes them is trusted with everything, or marks runs as the user's."""
    make(home, {path: f"{CANARY}\n"})
    link(folder / name, home / path)
    said = await asked_of_all(folder, name)
    assert (home / path).read_text() == f"{CANARY}\n"
    assert (CANARY in said) is (OWN[path] == "fixed")


def above(folder: Path, home: Path) -> tuple[Path, str]:
    return folder.parent, "home/"


def here(folder: Path, home: Path) -> tuple[Path, str]:
    return home, ""


def linked(folder: Path, home: Path) -> tuple[Path, str]:
    place = folder.parent / "link"
    place.symlink_to(home)
    return place, ""


@pytest.mark.parametrize("where", [here, above, linked])
@pytest.mark.parametrize("path", OWN)
async def test_own_files_are_closed_where_the_workspace_holds_them(folder, home, where, path) -> None:
    """The workspace is the home folder, is above it, or is a link to it."""
    make(home, {path: f"{CANARY}\n"})
    root, start = where(folder, home)
    (home / "way").symlink_to(Path(path).parent)
    names = (start + path, f"{start}way/{Path(path).name}")
    said = await asked_of_all(root, *names)
    assert (home / path).read_text() == f"{CANARY}\n"
    assert (CANARY in said) is (OWN[path] == "fixed")


@needs_bubblewrap
@pytest.mark.parametrize("where", [here, above])
async def test_a_command_cannot_put_folders_in_the_place_of_sunwells_own(folder, home, ask, where) -> None:
    """Neither they nor the folders above them can be renamed; nothing new stays in them."""
    make(home, dict.fromkeys(OWN, f"{CANARY}\n"))
    root, start = where(folder, home)
    box = Toolbox(root, secrets=Secrets(), allow_shell=True)
    lines = [
        f"mv {start}{one} {start}moved; rm -rf {start}{one}"
        for one in (".config", ".local", ".config/sunwell")
    ]
    lines += [f"mv {start}.local/state {start}s; mkdir -p {start}.local/state/sunwell"]
    lines += [f"echo x > {start}{one}" for one in (*OWN, ".config/sunwell/new", ".local/state/sunwell/new")]
    await ask(box, "run_command", command="\n".join(lines))
    assert {path: (home / path).read_text() for path in OWN} == dict.fromkeys(OWN, f"{CANARY}\n")
    assert sorted(p.name for p in home.glob(".*/**/*") if p.is_file()) == sorted(Path(p).name for p in OWN)


@pytest.mark.parametrize("place", ["inside", "same", "above"])
async def test_own_files_are_closed_in_a_folder_that_the_environment_names(
    folder, home, ask, monkeypatch: pytest.MonkeyPatch, place
) -> None:
    """``SUNWELL_HOME`` holds both kinds; other files in it that is the workspace may be read."""
    chosen = {"inside": folder / "settings", "same": folder, "above": folder.parent}[place]
    monkeypatch.setenv("SUNWELL_HOME", str(chosen))
    make(chosen, {Path(path).name: f"{CANARY}\n" for path in OWN})
    make(folder, {"a.txt": "ok\n"})
    for number, path in enumerate(OWN):
        link(folder / f"{number}.txt", chosen / Path(path).name)
    start = {"inside": "settings/", "same": "", "above": "../"}[place]
    for number, (path, level) in enumerate(OWN.items()):
        for name in (start + Path(path).name, f"{number}.txt"):
            said = await asked_of_all(folder, name)
            assert (chosen / Path(path).name).read_text() == f"{CANARY}\n", name
            assert CANARY not in said or level == "fixed", name
    box = Toolbox(folder, secrets=Secrets())
    assert not (await ask(box, "read_file", path="a.txt")).is_error


async def test_a_configuration_that_is_a_link_into_the_workspace_is_not_written(folder, home, ask) -> None:
    """As with a workspace of dot files."""
    make(folder, {"dots/mine.toml": f"{CANARY}\n"})
    make(home, {".config/sunwell/x": ""})
    (home / ".config/sunwell/config.toml").symlink_to(folder / "dots/mine.toml")
    await asked_of_all(folder, "dots/mine.toml")
    assert (folder / "dots/mine.toml").read_text() == f"{CANARY}\n"


@pytest.mark.parametrize("link_of", [(".netrc", "netrc"), (".ssh", "ssh"), (".config", "config")])
async def test_what_links_of_the_home_folder_lead_to_is_what_they_are(folder, home, link_of) -> None:
    """A folder of dot files is a workspace: its names do not tell, those of the links do."""
    name, target = link_of
    files = {"netrc": CANARY, "ssh/config": CANARY, "config/gh/hosts.yml": CANARY, "config/fish/a.fish": "ok"}
    make(folder, {path: f"{text}\n" for path, text in files.items() if path.startswith(target)})
    (home / name).symlink_to(folder / target)
    paths = [path for path in files if path.startswith(target)]
    assert CANARY not in await asked_of_all(folder, *paths, allow_write=())
    assert {(folder / path).read_text() for path in paths} == {f"{files[path]}\n" for path in paths}


@pytest.mark.parametrize("which", [".config", ".config/sunwell", ".local/state", ".local/state/sunwell"])
async def test_own_files_are_closed_where_the_workspace_is_their_folder(folder, home, which) -> None:
    """Or the folder above it."""
    make(home, dict.fromkeys(OWN, f"{CANARY}\n"))
    inside = [Path(path).relative_to(which).as_posix() for path in OWN if path.startswith(f"{which}/")]
    said = await asked_of_all(home / which, *inside)
    assert {(home / path).read_text() for path in OWN} == {f"{CANARY}\n"}
    assert (CANARY in said) is which.startswith(".config")


def test_undo_writes_and_removes_nothing_of_the_users(folder, home) -> None:
    """The index of originals is data: it names what it likes."""
    make(home, dict.fromkeys((*OWN, ".netrc", ".ssh/id_x"), "now"))
    for number, path in enumerate((*OWN, ".netrc", ".ssh/id_x")):
        link(home / f"{number}.txt", home / path)
    kept = Originals(home / ".sunwell/originals")
    names = (*OWN, ".netrc", *(f"{number}.txt" for number in range(6)))
    for number, path in enumerate(names):
        kept.keep(path, sha256(b"bad") if number % 2 else None, b"bad" if number % 2 else None)
        kept.expect(path, sha256(b"now"))
    done = undo(home / ".sunwell/originals", Workspace(home))
    assert {one.path for one in done.refused} == set(names)
    assert {(home / path).read_text() for path in (*OWN, ".netrc", ".ssh/id_x")} == {"now"}


async def test_an_unapproved_write_keeps_no_original_of_a_secret(folder, home, ask, tmp_path: Path) -> None:
    """What is refused is not copied into the journal's folder either."""
    make(home, {".netrc": f"{CANARY}\n"})
    link(folder / "AGENTS.md", home / ".netrc")
    kept = tmp_path / "originals"
    box = Toolbox(folder, secrets=Secrets(), allow_write=("**",), originals=Originals(kept))
    assert (await ask(box, "write_file", path="AGENTS.md", content="x\n")).is_error
    assert (await ask(box, "edit_file", path="AGENTS.md", old="canary", new="x")).is_error
    assert not kept.exists() or not any(CANARY in file.read_text() for file in kept.iterdir())


@pytest.mark.parametrize("is_file", [False, True], ids=["no-home", "home-is-a-file"])
async def test_a_missing_home_folder_stops_nothing(
    folder, ask, monkeypatch: pytest.MonkeyPatch, is_file
) -> None:
    """In a container, there may be none."""
    place = folder.parent / "nowhere"
    if is_file:
        place.write_text("")
    monkeypatch.setenv("HOME", str(place))
    make(folder, {"a.txt": "ok\n"})
    link(folder / "b.txt", folder / "a.txt")
    box = Toolbox(folder, secrets=Secrets())
    assert not (await ask(box, "read_file", path="b.txt")).is_error
    assert not (await ask(box, "write_file", path="b.txt", content="new\n")).is_error
    assert (folder / "a.txt").read_text() == "new\n"


async def test_a_link_of_the_home_folder_that_changes_between_two_runs_is_seen(folder, home, ask) -> None:
    """Each run looks anew, and only when a tool asks: what the link led to before is an ordinary file."""
    make(folder, {"a.txt": f"{CANARY}\n", "b.txt": f"{CANARY}\n"})
    (home / ".netrc").symlink_to(folder / "a.txt")
    first = Toolbox(folder, secrets=Secrets())
    assert CANARY not in (await ask(first, "read_file", path="a.txt")).content
    (home / ".netrc").unlink()
    (home / ".netrc").symlink_to(folder / "b.txt")
    second = Toolbox(folder, secrets=Secrets())
    said = [(await ask(second, "read_file", path=path)).content for path in ("a.txt", "b.txt")]
    assert [CANARY in one for one in said] == [True, False]


async def test_a_call_that_may_change_links_opens_no_file_of_the_users(folder, home, ask) -> None:
    """What a link led to before the first such call stays closed, wherever it leads after it."""
    make(folder, {"a.txt": f"{CANARY}\n"})
    (home / ".netrc").symlink_to(folder / "a.txt")

    @tool
    async def move() -> str:
        """Lead the link elsewhere."""
        (home / ".netrc").unlink()
        (home / ".netrc").symlink_to(home / "elsewhere")
        return "moved"

    async def agree(_: object) -> bool:
        return True

    box = Toolbox(folder, (move,), secrets=Secrets(), approve=agree)
    assert (await ask(box, "move")).content == "moved"
    assert CANARY not in (await ask(box, "read_file", path="a.txt")).content


@pytest.mark.parametrize("name", [".config/gh", ".cargo/credentials", ".Netrc"])
async def test_a_link_in_a_folder_of_the_home_folder_counts(folder, home, name) -> None:
    """The folder itself is none. A name in other capitals is the file where the system does not tell them."""
    make(folder, {"dots/a.txt": f"{CANARY}\n"})
    make(home, {f"{Path(name).parent}/beside": ""})
    target = folder / "dots" if name == ".config/gh" else folder / "dots/a.txt"
    (home / name).symlink_to(target)
    is_other = not (home / name.lower()).exists()
    said = await asked_of_all(folder, "dots/a.txt", allow_write=())
    assert (CANARY in said) is is_other


def test_names_of_a_folder_that_cannot_be_listed_may_all_be_links(home) -> None:
    """They are looked at one by one; in a folder that is not there, none is."""
    (home / "round").symlink_to("round")
    assert set(_links_in(str(home / "round"), {"gh", "hub"})) == {"gh", "hub"}
    assert set(_links_in(str(home / "none"), {"gh", "hub"})) == set()


def test_no_name_of_the_table_goes_deeper_than_a_folder_of_the_home_folder() -> None:
    """Links are looked for there and in its folders."""
    assert {path.count("/") for path, _ in _NAMED} == {0, 1}
