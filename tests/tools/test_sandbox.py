"""A command in the sandbox can change the workspace and nothing else, whoever runs it."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from sunwell.core.message import ToolResult
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from sunwell.tools import Toolbox
from sunwell.tools.sandbox import PROGRAMS, Bubblewrap, require_sandbox, trusted_program
from sunwell.tools.shell import RunCommand
from tests.bubblewrap import ENVIRON, NOBODY, WHY, Users, as_nobody, needs_bubblewrap, needs_root


@needs_bubblewrap
@pytest.mark.parametrize(
    "script",
    [
        pytest.param("mount -o remount,rw /", id="make-the-system-writable"),
        pytest.param("mount -o remount,bind,rw /", id="make-one-mount-writable"),
        pytest.param("mount -t tmpfs none /mnt", id="mount"),
        pytest.param("mount --bind /etc /mnt", id="bind"),
        pytest.param("umount /proc", id="unmount"),
        pytest.param("unshare -Ur true", id="user-namespace"),
        pytest.param("unshare -m true", id="mount-namespace"),
        pytest.param("chroot / true", id="chroot"),
        pytest.param("touch /etc/sunwell-was-here", id="write-to-etc"),
        pytest.param("touch /usr/bin/sunwell-was-here", id="write-to-programs"),
        pytest.param(f"touch {Path(sys.prefix) / 'sunwell-was-here'}", id="write-to-the-interpreter"),
        pytest.param(f": >> {os.__file__}", id="write-to-its-modules"),
        pytest.param(": >> /proc/sys/kernel/core_pattern", id="have-the-kernel-start-a-program"),
        pytest.param("mknod disk b 254 0 && head -c 1 disk", id="device"),
    ],
)
def test_a_command_cannot_get_out(user: Users, script: str) -> None:
    """Neither root nor an ordinary user can change the system, mount, or get back what was taken."""
    done = user.runs(script)
    assert done.returncode != 0
    assert done.stderr
    assert not [path for path in ("/etc", "/usr/bin", sys.prefix) if Path(path, "sunwell-was-here").exists()]


@needs_bubblewrap
@pytest.mark.skipif(
    bool(WHY) or not require_sandbox(Path(__file__).parent, ENVIRON).disables_namespaces,
    reason="this bubblewrap cannot forbid user namespaces",
)
def test_a_command_has_no_user_namespace_of_its_own(user: Users) -> None:
    """In one it would have all capabilities, if only on what it mounts itself."""
    assert user.runs("unshare --user true").returncode != 0


@needs_bubblewrap
def test_a_command_has_no_capabilities_and_gets_none(user: Users) -> None:
    """All sets are empty, the bounding set too, and set-uid programs give nothing."""
    status = dict(
        line.split(":", 1) for line in user.runs("cat /proc/self/status").stdout.splitlines() if ":" in line
    )
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    assert {int(status[name], 16) for name in sets} == {0}
    assert status["NoNewPrivs"].strip() == "1"


@needs_bubblewrap
def test_what_a_command_writes_belongs_to_who_runs_it(user: Users) -> None:
    """Root's stays root's: nobody else could remove it otherwise."""
    done = user.runs("echo hi > made && mkdir sub && id -u")
    assert (done.returncode, done.stdout.strip()) == (0, str(user.uid))
    made = user.folder / "made"
    assert (made.read_text(), made.stat().st_uid, (user.folder / "sub").stat().st_uid) == (
        "hi\n",
        user.uid,
        user.uid,
    )


@needs_bubblewrap
def test_other_processes_are_neither_seen_nor_reached(user: Users) -> None:
    """Not even one of the same user."""
    sleeper = subprocess.Popen(["/bin/sleep", "1000"], user=user.uid, cwd="/")
    try:
        done = user.runs(f"kill -9 {sleeper.pid}; cat /proc/{sleeper.pid}/cmdline; ls -d /proc/[0-9]*")
        assert "1000" not in done.stdout
        assert len(done.stdout.split()) < 10
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@needs_bubblewrap
def test_this_machine_s_services_are_not_reached(user: Users) -> None:
    """Neither over loopback, nor through a socket in the folders for them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        done = user.runs(f"bash -c 'echo hi > /dev/tcp/127.0.0.1/{port}'")
    assert done.returncode != 0
    assert "refused" in done.stderr or "unreachable" in done.stderr
    assert user.runs("ls -A /run/dbus /run/docker.sock /run/user").returncode != 0


def boxed(folder: Path, **options: object) -> Toolbox:
    return Toolbox(folder, allow_shell=True, secrets=Secrets(), **options)


@needs_bubblewrap
async def test_code_of_the_running_program_is_read_only_in_the_sandbox(
    folder, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of ``PATH`` in the workspace cannot be changed, nor put away with the folder around it."""
    programs = folder / "tools" / "bin"
    programs.mkdir(parents=True)
    (programs / "uname").write_text("old")
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    for command in (
        "echo new > tools/bin/uname",
        "rm tools/bin/uname",
        "mv tools/bin tools/gone",
        "mv tools gone && mkdir -p tools/bin && echo new > tools/bin/uname",
    ):
        result = await ask(boxed(folder), "run_command", command=command)
        assert result.exit_code not in (0, None), command
    assert (programs / "uname").read_text() == "old"


@needs_bubblewrap
@pytest.mark.parametrize("variable", ["PATH", "sys.path"])
async def test_a_folder_for_code_of_the_running_program_cannot_be_made_in_the_sandbox(
    folder, ask, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    """It is made, empty and read-only, before the first command, and not before a command runs."""
    later = folder / "tools" / "later"
    if variable == "PATH":
        monkeypatch.setenv("PATH", f"{later}:{os.environ['PATH']}")
    else:
        monkeypatch.syspath_prepend(str(later))
    box = boxed(folder)
    box.require_sandbox()
    assert not later.exists()
    for command in (
        "mkdir -p tools/later && echo new > tools/later/git",
        "rmdir tools/later",
        "mv tools gone && mkdir -p tools/later && echo new > tools/later/git",
    ):
        result = await ask(box, "run_command", command=command)
        assert result.exit_code not in (0, None), command
    assert list(later.iterdir()) == []
    assert (await ask(box, "run_command", command="echo fine > tools/else")).exit_code == 0


def test_a_missing_folder_is_not_made_behind_a_link(folder) -> None:
    """Who put the link there after the sandbox was found chose the place that would be mounted."""
    (folder.parent / "outside").mkdir(exist_ok=True)
    sandbox = Bubblewrap("bwrap", missing=(folder / "tools" / "later",))
    (folder / "tools").symlink_to(folder.parent / "outside")
    with pytest.raises(ConfigurationError, match="a parent folder is a link"):
        sandbox.with_missing_made()


@needs_bubblewrap
async def test_no_command_runs_if_a_folder_for_code_cannot_be_closed(
    folder, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sentence names the folder and says what to do."""
    (folder / "file").write_text("")
    monkeypatch.setenv("PATH", f"{folder / 'file' / 'bin'}:{os.environ['PATH']}")
    result = await ask(boxed(folder), "run_command", command="touch made")
    assert result.is_error
    assert f"{folder / 'file' / 'bin'} is on PATH or sys.path" in result.content
    assert not (folder / "made").exists()


@needs_bubblewrap
@pytest.mark.parametrize("name", [".git", ".sunwell", ".env", "tools"])
async def test_a_link_that_a_command_left_opens_nothing(
    folder, ask, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """What is read-only or empty for a command is decided before the first one, not by what it leaves."""
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:{folder / 'tools'}")
    hidden = "../" * len(folder.parts) + str(folder.parent / "outside").lstrip("/")
    box = boxed(folder)
    left = await ask(box, "run_command", command=f"ln -s {hidden} {name} && ln -s {folder.parent} up")
    assert (left.exit_code == 0) is (name != "tools")  # that one exists by now
    for each in (box, boxed(folder)):
        result = await ask(each, "run_command", command=f"cat {name}/canary.txt up/outside/canary.txt")
        assert "canary-5f1d" not in result.content


@needs_bubblewrap
async def test_git_s_own_folder_cannot_be_changed(folder, ask) -> None:
    """A hook there would be run by the user's own git."""
    (folder / ".git").mkdir()
    for command in ("touch .git/hook", "mv .git gone", "rm -rf .git"):
        assert (await ask(boxed(folder), "run_command", command=command)).exit_code != 0
    assert list((folder / ".git").iterdir()) == []


@needs_bubblewrap
async def test_a_workspace_on_the_path_brings_no_sandbox_of_its_own(
    folder, ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A ``bwrap`` that a model wrote is not what commands run under."""
    (folder / "bwrap").write_text(f"#!/bin/sh\ntouch {folder}/fooled\n")
    (folder / "bwrap").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    result = await ask(boxed(folder), "run_command", command="echo hi")
    assert (result.exit_code, result.content) == (0, "exit code 0\nhi\n")
    assert not (folder / "fooled").exists()


@pytest.fixture
def program(tmp_path: Path) -> Path:
    """A program in a folder of its own that only this user can write to."""
    path = tmp_path / "programs" / "bwrap"
    path.parent.mkdir(mode=0o755)
    shutil.copy("/bin/sh", path)
    path.chmod(0o755)
    return path


def test_a_program_that_only_root_and_this_user_can_write_is_trusted(program, folder) -> None:
    """Links to it are resolved."""
    assert trusted_program(program, folder) == program
    link = program.parent / "link"
    link.symlink_to(program)
    assert trusted_program(link, folder) == program


def _writable(program: Path) -> None:
    program.chmod(0o775)


def _in_a_writable_folder(program: Path) -> None:
    program.parent.chmod(0o757)


def _not_a_program(program: Path) -> None:
    program.chmod(0o644)


def _gone(program: Path) -> None:
    program.unlink()


@pytest.mark.parametrize("spoil", [_writable, _in_a_writable_folder, _not_a_program, _gone])
def test_a_program_that_others_could_replace_is_not_trusted(program, folder, spoil) -> None:
    """Whoever can write to it, or to its folder, could have put anything there."""
    spoil(program)
    assert trusted_program(program, folder) is None


def test_a_program_in_the_workspace_is_not_trusted(program) -> None:
    """A model can write there; a link from elsewhere helps nothing, nor one in it that leads elsewhere."""
    assert trusted_program(program, program.parent) is None
    elsewhere = program.parents[1] / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    (elsewhere / "bwrap").symlink_to(program)
    assert trusted_program(elsewhere / "bwrap", program.parent) is None
    assert trusted_program(elsewhere / "bwrap", elsewhere) is None


@needs_root
def test_a_program_of_another_user_is_not_trusted(program, folder) -> None:
    """It is theirs to change."""
    os.chown(program, NOBODY, NOBODY)
    assert trusted_program(program, folder) is None


BROKEN = """#!/bin/sh
[ "$1" = --help ] && exec echo --disable-userns
touch "$0.tried"
echo "bwrap: No permissions to create new namespace" >&2
exit 1
"""
NOT_HELD = """#!/bin/sh
while [ "$1" != -- ]; do shift; done
shift
exec "$@"
"""


def test_a_sandbox_that_cannot_start_is_said_with_what_to_choose(program, folder) -> None:
    """Not installed, forbidden by the system, or not to be trusted: three sentences."""
    with pytest.raises(ConfigurationError, match=r"is not installed: install it.*--sandbox off"):
        require_sandbox(folder, ENVIRON, [str(program.parent / "none")])
    program.write_text(BROKEN)
    with pytest.raises(ConfigurationError, match=r"No permissions to create.*containers.*--sandbox off"):
        require_sandbox(folder, ENVIRON, [str(program)])
    assert Path(f"{program}.tried").exists()
    program.chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"is not trusted.*--sandbox off"):
        require_sandbox(folder, ENVIRON, [str(program)])


@pytest.mark.skipif(sys.platform != "linux", reason="capabilities are Linux's")
def test_a_sandbox_that_leaves_rights_is_none(program, folder) -> None:
    """A program that runs commands as they are does not pass for a sandbox."""
    program.write_text(NOT_HELD)
    with pytest.raises(ConfigurationError, match="does not work here"):
        require_sandbox(folder, ENVIRON, [str(program)])


def test_the_whole_file_system_is_no_workspace_for_commands() -> None:
    """There would be nothing left to protect."""
    with pytest.raises(ConfigurationError, match="root of the file system"):
        require_sandbox(Path("/"), ENVIRON)


async def test_without_a_working_sandbox_no_command_runs(folder, ask) -> None:
    """The model is told that it was not run, and why; it is not run in any other way."""
    tool = RunCommand(Path("/"), boxed(folder).limits, Secrets(), ENVIRON)
    box = Toolbox(folder, [tool], secrets=Secrets())
    result: ToolResult = await ask(box, "run_command", command=f"touch {folder}/made")
    assert result.is_error
    assert result.content.startswith("the command was not run: ")
    assert not (folder / "made").exists()


@pytest.mark.parametrize("value", ["auto", "none", None, False])
def test_a_sandbox_is_required_or_off(folder, value) -> None:
    """Nothing else is understood."""
    with pytest.raises(ValueError, match="sandbox"):
        boxed(folder, sandbox=value)


def test_fixed_places_are_absolute() -> None:
    """No name is looked up."""
    assert all(Path(path).is_absolute() for path in PROGRAMS)


def test_the_sandbox_hides_home_and_what_tools_may_not_touch(folder) -> None:
    """The workspace is writable; home, records and ``.env`` are empty, ``.git`` is read-only."""
    for name in (".git", ".sunwell"):
        (folder / name).mkdir()
    (folder / ".env").write_text("KEY=1")
    (folder / ".environment").write_text("")
    home = folder.parent / "home"
    (home / "bin").mkdir(parents=True)
    environ = {"HOME": str(home), "PATH": f"/usr/bin:{home}/bin"}
    line = " ".join(Bubblewrap("bwrap", closed=(folder / ".git",)).wrapped(("true",), folder, environ))
    for part in (
        "bwrap --unshare-all --unshare-user --disable-userns --cap-drop ALL --die-with-parent",
        "--ro-bind-try /usr /usr ",
        "--proc /proc ",
        "--remount-ro /proc ",
        f"--tmpfs {home} ",
        f"--ro-bind-try {home}/bin {home}/bin",
        f"--bind {folder} {folder} --remount-ro / ",
        f"--ro-bind {folder}/.git {folder}/.git",
        f"--tmpfs {folder}/.sunwell",
        f"--ro-bind /dev/null {folder}/.env ",
    ):
        assert part in line
    assert ".environment" not in line
    assert "--tmpfs /tmp " in line
    assert "-bind / /" not in line
    assert line.endswith(f"--chdir {folder} -- true")
    assert "--disable-userns" not in Bubblewrap("bwrap", False).wrapped(("true",), folder, environ)


@pytest.fixture
def home(folder) -> Path:
    """A home folder beside the workspace, with a secret in each kind of place."""
    made = folder.parent / "home"
    for place in (".ssh", ".local/share", ".local/lib", ".local/bin", ".config", "private/bin"):
        (made / place).mkdir(parents=True)
        (made / place / "secret").write_text("secret")
    return made


def installed(place: Path) -> Path:
    """Put an interpreter that needs its library into *place*, and return it."""
    for name in ("bin", "lib"):
        (place / name).mkdir(parents=True)
    (place / "lib" / "words").write_text("it runs")
    (place / "lib" / "python3.11").mkdir()
    (place / "lib" / "python3.11" / "os.py").write_text("")
    program = place / "bin" / "python3"
    program.write_text(f'#!/bin/sh\ncat "{place}/lib/words"\n')
    program.chmod(0o755)
    return program


@needs_bubblewrap
@pytest.mark.parametrize("kind", ["on-path", "linked-venv", "venv-in-workspace", "shims", "linked-folder"])
def test_an_interpreter_in_the_home_folder_runs(folder, home, kind) -> None:
    """With its installation, read-only; nothing else of the home folder is there."""
    program = installed(home / ".versions" / "3.11")
    if kind == "on-path":
        entry = program.parent
    elif kind == "shims":
        entry = home / ".manager" / "shims"
        for place in (entry, home / ".manager" / "libexec"):
            place.mkdir(parents=True)
        (home / ".manager" / "libexec" / "run").write_text(f'#!/bin/sh\nexec "{home}/.manager/real"\n')
        (home / ".manager" / "real").write_text("#!/bin/sh\necho it runs\n")
        (entry / "python3").write_text(f'#!/bin/sh\nexec "{home}/.manager/libexec/run"\n')
        for made in (home / ".manager" / "libexec" / "run", home / ".manager" / "real", entry / "python3"):
            made.chmod(0o755)
    else:
        venv = (folder if kind == "venv-in-workspace" else home) / ".venv"
        (venv / "bin").mkdir(parents=True)
        (venv / "pyvenv.cfg").write_text("")
        if kind == "linked-folder":  # uv names the newest of a minor version so
            (home / ".versions" / "3").symlink_to("3.11")
            program = home / ".versions" / "3" / "bin" / "python3"
        (venv / "bin" / "python3").symlink_to(program)
        entry = venv / "bin"
    environ = {"HOME": str(home), "PATH": f"{entry}:/usr/bin:/bin"}
    sandbox = require_sandbox(folder, environ)
    script = f"python3; echo; find {home} -name secret; touch {program} 2>/dev/null && echo writable"
    line = sandbox.wrapped(("/bin/sh", "-c", script), folder, environ)
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["it", "runs"], done.stderr


@needs_bubblewrap
def test_a_folder_that_is_no_installation_stays_hidden(folder, home) -> None:
    """Programs of ``~/.local/bin`` can be run; what lies beside them is the user's own."""
    for place in (home / ".local", home / "private"):
        (place / "bin" / "python3").write_text("#!/bin/sh\necho it runs\n")
        (place / "bin" / "python3").chmod(0o755)
    for place in ("bin", "lib"):  # programs with data of their own, but no interpreter
        (home / "notes" / place).mkdir(parents=True)
    folders = f"{home}/.local/bin:{home}/private/bin:{home}/notes/bin"
    environ = {"HOME": str(home), "PATH": f"{folders}:/usr/bin:/bin"}
    sandbox = require_sandbox(folder, environ)
    script = f"python3; ls -A {home}/.local {home}/notes {home}/private"
    line = sandbox.wrapped(("/bin/sh", "-c", script), folder, environ)
    done = subprocess.run(line, env=environ, capture_output=True, text=True, check=False)
    seen = [word for name in (".local", "notes", "private") for word in (f"{home}/{name}:", "bin")]
    assert done.stdout.split() == ["it", "runs", *seen]


@needs_root
def test_a_folder_of_path_that_may_not_be_looked_at_is_passed_over(public) -> None:
    """Such as root's own programs on the path of an ordinary user."""
    closed = public.parent / "closed"
    (closed / "bin").mkdir(parents=True)
    closed.chmod(0o700)
    environ = {"HOME": "/nonexistent", "PATH": f"{closed}/bin:/usr/bin:/bin"}
    line = as_nobody(lambda: Bubblewrap("/usr/bin/bwrap").wrapped(("true",), public, environ))
    assert str(closed / "bin") not in line
