"""Who else can change a file of settings: real owners, modes, links and groups, and a real race."""

import os
import struct
import threading
from pathlib import Path

import pytest

from sunwell.config import Sources
from sunwell.config.documents import read_content
from sunwell.config.trust import TrustRecord
from sunwell.errors import ConfigurationError
from sunwell.tools import file_owners
from sunwell.tools.file_owners import doubt, open_with_steps

SOMEBODY = 54321
pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="requires user ids")
as_root = pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="requires root")
SETTINGS = "[budget]\nusd = 1\n"


def by_modes(project) -> dict[str, object]:
    """Return, by name, what makes a project's file one that others can change."""
    file, folder = project.folder / "sunwell.toml", project.folder
    return {
        "file-of-all": lambda: file.chmod(0o666),
        "folder-of-all": lambda: folder.chmod(0o777),
        "folder-above-of-all": lambda: folder.parent.chmod(0o777),
        "file-of-somebody": lambda: os.chown(file, SOMEBODY, -1),
        "folder-of-somebody": lambda: os.chown(folder, SOMEBODY, -1),
        "folder-above-of-somebody": lambda: os.chown(folder.parent, SOMEBODY, -1),
        "file-of-a-group": lambda: (os.chown(file, -1, SOMEBODY), file.chmod(0o664)),
        "folder-of-a-group": lambda: (os.chown(folder, -1, SOMEBODY), folder.chmod(0o775)),
    }


@as_root
@pytest.mark.parametrize("what", by_modes(type("", (), {"folder": Path("x/y")})))
def test_what_somebody_else_can_change_is_not_used(project, what):
    """Neither found nor named by a variable; if the user's ``safe`` or the command line names it, it is."""
    file = project.write(SETTINGS)
    # The folder is the user's, and not root's: what is above a folder of root's does not count.
    me = {"SUDO_UID": str(SOMEBODY + 1)}
    os.chown(project.folder, SOMEBODY + 1, -1)
    by_modes(project)[what]()
    loaded = project.load(me)
    assert loaded.values.run.budget.usd is None
    [said] = [told for told in loaded.warnings if "is not used" in told]
    assert said.startswith(f"{file} is not used: ")
    with pytest.raises(ConfigurationError, match="is not used"):
        project.load({"SUNWELL_CONFIG": str(file), **me})
    assert project.load(config=file).values.run.budget.usd == 1
    for safe in (file, project.folder):
        project.write_user(f'safe = ["{safe}"]\n')
        assert project.load(me).values.run.budget.usd == 1


@as_root
def test_a_file_below_anybodys_folder_is_found_and_not_used(project):
    """Somebody puts ``sunwell.toml`` above the folders of others, as in ``/tmp``."""
    shared = project.folder.parent / "shared"
    (shared / "mine").mkdir(parents=True)
    shared.chmod(0o1777)
    theirs = shared / "sunwell.toml"
    theirs.write_text(SETTINGS)
    os.chown(theirs, SOMEBODY, -1)
    environ = project.environ()
    loaded = Sources(shared / "mine", None, environ).load()
    if loaded.warnings:
        assert f"{theirs} is not used: it belongs to the user {SOMEBODY}" in loaded.warnings[0]
    assert loaded.files == ()
    own = shared / "mine" / "sunwell.toml"
    own.write_text(SETTINGS)
    assert Sources(shared / "mine", None, environ).load().files == (own,)


def test_a_sticky_folder_is_no_danger_and_another_is(tmp_path):
    """In ``/tmp`` nobody can replace a name that is not theirs."""
    folder = tmp_path / "shared"
    folder.mkdir()
    file = folder / "x.toml"
    file.write_text(SETTINGS)
    folder.chmod(0o1777)
    assert doubt(read_content(file).steps, file_owners.own_user()) == ""
    folder.chmod(0o777)
    assert (
        doubt(read_content(file).steps, file_owners.own_user()) == f"every user can write the folder {folder}"
    )


@as_root
@pytest.mark.parametrize("names", [["own"], ["theirs", "own"], ["folder"]], ids=str)
def test_every_link_on_the_way_counts(project, tmp_path, names):
    """Whoever owns a link in the middle decides which file it is, also a link that is a folder."""
    (tmp_path / "far").mkdir()
    target = tmp_path / "far" / "own.toml"
    target.write_text(SETTINGS)
    links = tmp_path / "links"
    links.mkdir()
    if names == ["folder"]:
        (links / "folder").symlink_to(tmp_path / "far")
        first, theirs = links / "folder" / "own.toml", links / "folder"
    else:
        (links / "own").symlink_to(target)
        (links / "theirs").symlink_to("own")
        first, theirs = links / names[0], links / "own"
    (project.folder / "sunwell.toml").symlink_to(first)
    assert project.load().values.run.budget.usd == 1
    os.lchown(theirs, SOMEBODY, -1)
    loaded = project.load()
    assert (loaded.values.run.budget.usd, loaded.files) == (None, ())
    assert f"the link {theirs} belongs to the user {SOMEBODY}" in loaded.warnings[0]
    os.lchown(theirs, 0, -1)
    os.chown(tmp_path / "far", SOMEBODY, -1)
    assert f"the folder {tmp_path / 'far'} belongs to" in project.load().warnings[0]


def test_links_that_lead_in_a_circle_end(tmp_path):
    """With an error in one sentence."""
    (tmp_path / "a.toml").symlink_to("b.toml")
    (tmp_path / "b.toml").symlink_to("a.toml")
    with pytest.raises(ConfigurationError, match="more than 40 links"):
        read_content(tmp_path / "a.toml")


@as_root
def test_a_group_of_ones_own_is_no_danger(tmp_path):
    """The primary group of a user, with their name and nobody else in it; any other group is one."""
    import grp
    import pwd

    user = next((each for each in pwd.getpwall() if each.pw_uid and _is_private(each)), None)
    if user is None:
        pytest.skip("requires a user with a group of their own")
    file = tmp_path / "x.toml"
    file.write_text(SETTINGS)
    os.chown(file, user.pw_uid, user.pw_gid)
    file.chmod(0o664)
    steps = read_content(file).steps
    assert doubt(steps, frozenset({user.pw_uid})) == ""
    shared = next(each.gr_gid for each in grp.getgrall() if each.gr_gid not in (0, user.pw_gid))
    os.chown(file, user.pw_uid, shared)
    file.chmod(0o664)
    assert "can write it" in doubt(read_content(file).steps, frozenset({user.pw_uid}))


def _is_private(user) -> bool:
    import grp
    import pwd

    try:
        group = grp.getgrgid(user.pw_gid)
    except KeyError:
        return False
    alone = sum(each.pw_gid == user.pw_gid for each in pwd.getpwall()) == 1
    return group.gr_name == user.pw_name and not set(group.gr_mem) - {user.pw_name} and alone


def test_an_access_list_counts(tmp_path):
    """Its entries for single users hide behind the bits of the group."""
    file = tmp_path / "x.toml"
    file.write_text(SETTINGS)
    entries = ((1, 6, 2**32 - 1), (2, 6, SOMEBODY), (4, 4, 2**32 - 1), (16, 6, 2**32 - 1), (32, 4, 2**32 - 1))
    listed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(file, "system.posix_acl_access", listed)
    except (AttributeError, OSError):
        pytest.skip("requires a file system with access lists")
    assert "who its access list names" in doubt(read_content(file).steps, file_owners.own_user())


@as_root
def test_under_sudo_the_files_of_who_called_count(project):
    """As git does it; another user's do not, and neither does the variable for anybody but root."""
    file = project.write(SETTINGS)
    os.chown(file, SOMEBODY, -1)
    assert project.load({"SUDO_UID": str(SOMEBODY)}).values.run.budget.usd == 1
    for other in ("54322", "", "x", "-1", "54321x", "９", "9" * 50):
        assert project.load({"SUDO_UID": other}).values.run.budget.usd is None


@as_root
def test_the_variable_of_sudo_gives_an_ordinary_user_nothing(project):
    """Anybody can set it: for a process that is not root it means nothing."""
    file = project.write(SETTINGS)
    os.chown(file, SOMEBODY, -1)
    content, reading = read_content(file), os.pipe()
    child = os.fork()
    if child == 0:  # what the tests import lies where an ordinary user cannot read it
        try:
            os.setuid(SOMEBODY + 1)
            who = doubt(content.steps, file_owners.users_behind({"SUDO_UID": str(SOMEBODY)}))
            os.write(reading[1], who.encode() or b"nobody")
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading[0], 1000).decode() == f"it belongs to the user {SOMEBODY}"
    for end in reading:
        os.close(end)


def test_the_users_own_file_is_refused_if_others_can_write_it(project):
    """It may hold limits, so it is not left out: one sentence ends the command."""
    project.write_user(SETTINGS)
    (project.user / "config.toml").chmod(0o666)
    with pytest.raises(
        ConfigurationError, match=r"your own settings .* are not used: every user can write it"
    ):
        project.load()
    (project.user / "config.toml").chmod(0o600)
    project.user.chmod(0o777)
    with pytest.raises(ConfigurationError, match="every user can write the folder"):
        project.load()


def test_the_folder_of_the_users_settings_is_the_same_everywhere(project, monkeypatch):
    """A path that is not full would lead into each repository in turn, whose file would hold in full."""
    (project.folder / "settings").mkdir()
    project.write("allow_shell = true\n", "settings/config.toml")
    monkeypatch.chdir(project.folder)
    with pytest.raises(ConfigurationError, match=r"SUNWELL_HOME is 'settings'.*: give its full path"):
        project.load({"SUNWELL_HOME": "settings"})


@pytest.mark.parametrize("level", ["project", "environment", "option"])
def test_nobody_but_the_user_calls_a_place_safe(project, level):
    """A file cannot vouch for itself, and neither can a variable that came with it."""
    environ, options = {}, {}
    if level == "project":
        project.write('safe = ["/"]\n')
    elif level == "environment":
        environ = {"SUNWELL_SAFE": "/"}
    else:
        options = {"safe": ("/",)}
    with pytest.raises(ConfigurationError, match="safe can only be set in your own file"):
        project.load(environ, trust=True, **options)


def test_a_safe_place_is_a_full_path(project):
    """``.`` would be another folder each time."""
    project.write_user('safe = ["."]\n')
    with pytest.raises(ConfigurationError, match="a list of full paths"):
        project.load()


@as_root
def test_a_workspace_of_somebody_else_is_said(project):
    """Once, whether it has settings or not; ``safe`` ends it."""
    os.chown(project.folder, SOMEBODY, -1)
    [said] = project.load().warnings
    assert said.startswith(f"the workspace {project.folder} belongs to the user {SOMEBODY}")
    project.write_user(f'safe = ["{project.folder}"]\n')
    assert project.load().warnings == ()


def test_what_is_judged_is_what_was_opened(tmp_path):
    """A name that is swapped all the time between two files gives bytes and way of one of them."""
    good, bad, name = tmp_path / "good", tmp_path / "bad", tmp_path / "x.toml"
    good.write_text("good")
    bad.write_text("bad")
    bad.chmod(0o666)
    ended = threading.Event()

    def swap() -> None:
        fresh = tmp_path / "fresh"
        while not ended.is_set():
            for target in (good, bad):
                fresh.symlink_to(target)
                fresh.replace(name)

    name.symlink_to(good)
    swapping = threading.Thread(target=swap)
    swapping.start()
    try:
        for _ in range(300):
            content = read_content(name)
            is_bad = doubt(content.steps, file_owners.own_user()) != ""
            assert (content.data == b"bad") is is_bad
    finally:
        ended.set()
        swapping.join()


def test_a_pipe_or_a_device_is_no_file_of_settings(project, tmp_path):
    """None of them blocks."""
    os.mkfifo(tmp_path / "pipe.toml")
    for file in (tmp_path / "pipe.toml", Path("/dev/zero"), tmp_path, Path("/")):
        with pytest.raises(ConfigurationError):
            read_content(file)
    descriptor, steps = open_with_steps(Path("/dev/null"))
    os.close(descriptor)
    assert [step.path for step in steps] == [Path("/"), Path("/dev"), Path("/dev/null")]


def test_the_record_is_never_written_through_a_link(project, tmp_path):
    """Neither the record itself nor the file that becomes it."""
    file, victim = project.write(SETTINGS), tmp_path / "victim"
    victim.write_text("mine")
    project.user.mkdir()
    (project.user / "trusted.json").symlink_to(victim)
    (project.user / f".trusted.json.{os.getpid()}").symlink_to(victim)
    TrustRecord.of_user(project.environ()).add(file, file.read_bytes())
    assert victim.read_text() == "mine"
    assert (project.user / "trusted.json").stat().st_mode & 0o777 == 0o600
