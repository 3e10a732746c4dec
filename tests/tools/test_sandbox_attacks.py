"""What a command does to get out of the sandbox, for real, as root and as an ordinary user."""

import os
import pty
import pwd
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from sunwell.core.secrets import Secrets
from sunwell.tools import Toolbox
from sunwell.tools.sandbox import Bubblewrap, require_sandbox
from sunwell.tools.shell import CommandRunner
from sunwell.tools.system_calls import opened_filter
from tests.bubblewrap import ENVIRON, Users, needs_bubblewrap, needs_root

pytestmark = needs_bubblewrap

CANARY = "canary-5f1d"
PYTHON = shutil.which("python3", path=ENVIRON["PATH"])
needs_python = pytest.mark.skipif(PYTHON is None, reason="requires python3 of the system")
CONNECT = """
import socket, sys
name = sys.argv[1]
with socket.socket(socket.AF_UNIX) as client:
    client.connect("\\0" + name[1:] if name.startswith("@") else name)
print("connected")
"""


@pytest.mark.parametrize(
    "path",
    [
        *("~/.ssh/id_ed25519", "../canary.txt", "/root/.ssh", "/etc/ssl/private"),
        *("/etc/shadow", "/etc/gshadow", "/etc/sudoers", "/etc/ssh"),
    ],
)
def test_what_is_not_needed_is_not_there(user: Users, path: str) -> None:
    """Home, what lies beside the workspace, password hashes and keys."""
    home = user.folder.parent / "home"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "id_ed25519").write_text(CANARY)
    for place in (home, home / ".ssh", home / ".ssh" / "id_ed25519"):
        os.chown(place, user.uid, -1)
    user.environ["HOME"] = str(home)
    done = user.runs(f"ls -d {path} && cat {path}")
    assert (done.returncode, done.stdout) == (2, "")
    assert "No such file" in done.stderr


@pytest.mark.parametrize("place", ["/home", "/mnt", "/opt", "/srv", "/var/lib"])
@needs_root
def test_what_belongs_to_others_is_not_there(user: Users, place: str) -> None:
    """Even if everybody may read it; only programs in ``/opt`` that somebody uses are shown."""
    if not Path(place).is_dir():
        pytest.skip(f"requires {place}")
    with tempfile.TemporaryDirectory(dir=place) as made:
        Path(made).chmod(0o755)
        (Path(made) / "canary.txt").write_text(CANARY)
        done = user.runs(f"ls -A {place} ; cat {made}/canary.txt")
        assert done.returncode != 0
        assert CANARY not in done.stdout
        assert Path(made).name not in done.stdout


@needs_root
@pytest.mark.parametrize("place", ["/home", "/opt"])
@pytest.mark.parametrize("name", ["bin", ".venv", ".venv/bin", ".venv/bin/python3", ".git"])
def test_a_link_that_came_with_the_workspace_opens_nothing(user: Users, place: str, name: str) -> None:
    """Whatever the link looks like: a folder of ``PATH``, an environment, an interpreter, a repository."""
    if not Path(place).is_dir():
        pytest.skip(f"requires {place}")
    with tempfile.TemporaryDirectory(dir=place) as made:
        theirs = Path(made) / "theirs"
        for folder in ("bin", "lib", "objects", "refs", "worktrees/w"):
            (theirs / folder).mkdir(parents=True)
        for file in ("bin/python3", "HEAD", "pyvenv.cfg", "canary.txt", "worktrees/w/gitdir"):
            (theirs / file).write_text(CANARY)
        Path(made).chmod(0o755)
        link = user.folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        if name.startswith(".venv/"):
            (user.folder / ".venv" / "pyvenv.cfg").write_text("")
        if name == ".git":
            link.write_text(f"gitdir: {theirs}/worktrees/w\n")
        else:
            link.symlink_to(theirs / {".venv": "", ".venv/bin/python3": "bin/python3"}.get(name, "bin"))
        user.environ["PATH"] = f"{user.folder}/bin:{user.folder}/.venv/bin:{user.environ['PATH']}"
        user.environ["VIRTUAL_ENV"] = f"{user.folder}/.venv"
        done = user.runs(f"cat {theirs}/canary.txt")
        assert CANARY not in done.stdout


def test_only_what_is_listed_is_there(user: Users) -> None:
    """No ``/sys``, ``/run``, ``/boot`` or ``/media``, and nothing but the basic devices."""
    known = {*("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "nix", "gnu"), "dev", "etc", "proc"}
    links = {path.name for path in Path("/").iterdir() if path.is_symlink()}
    homes = (user.environ["HOME"], pwd.getpwuid(user.uid).pw_dir)
    places = (user.folder, sys.prefix, sys.base_prefix, *homes)
    shown = {Path(place).parts[1] for place in places} | {"tmp", "var"}
    assert set(user.runs("ls -A /").stdout.split()) <= known | links | shown
    assert user.runs("ls -A /var").stdout.split() == ["tmp"]
    assert user.runs("ls -A /var/tmp; ls -A ~").stdout == ""
    devices = set(user.runs("find /dev -type b -o -type c").stdout.split())
    basic = {"null", "zero", "full", "random", "urandom", "tty", "console", "pts/ptmx"}
    assert {path.removeprefix("/dev/") for path in devices} <= basic
    done = user.runs("touch /made /etc/made /home/made /var/made; ls /made /etc/made /home/made /var/made")
    assert (done.returncode, done.stdout) == (2, "")


def test_what_is_written_outside_of_the_workspace_is_forgotten(user: Users) -> None:
    """A temporary file is the sandbox's own, and so is home."""
    names = [f"/tmp/{user.folder.parent.name}-made", f"/var/tmp/{user.folder.parent.name}-made", "~/made"]
    for name in names:
        assert user.runs(f"echo hi > {name} && cat {name}").stdout == "hi\n"
        assert not Path(name).expanduser().exists()
        assert user.runs(f"cat {name}").returncode != 0


def test_a_command_cannot_fill_the_machine_s_folder_for_temporary_files(user: Users) -> None:
    """Its own ends at one gigabyte."""
    sandbox = require_sandbox(user.folder, ENVIRON)
    if not sandbox.limits_sizes:
        pytest.skip("requires a bubblewrap that limits the size of a folder")
    for folder in ("/tmp", "/var/tmp", "~"):
        done = user.runs(f"fallocate -l 1100M {folder}/big")
        assert done.returncode != 0
        assert "No space" in done.stderr


class Listening:
    """A server on a Unix socket, which tells whether somebody has connected."""

    def __init__(self, stack: ExitStack, name: str) -> None:
        self.name = name
        self.socket = stack.enter_context(socket.socket(socket.AF_UNIX))
        if name.startswith("@"):
            self.socket.bind(f"\0{name[1:]}")
        else:
            self.socket.bind(name)
            stack.callback(Path(name).unlink, missing_ok=True)
            Path(name).chmod(0o777)
        self.socket.listen(8)
        self.socket.setblocking(False)

    def was_reached(self) -> bool:
        try:
            self.socket.accept()[0].close()
        except BlockingIOError:
            return False
        return True


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as made:
        yield made


def place_of(kind: str, user: Users, stack: ExitStack) -> str:
    """Return where a server of *kind* listens; the folder is there."""
    if kind == "abstract":
        return f"@sunwell-{os.getpid()}"
    if kind in ("/tmp", "/run", "/usr/local", "/var/tmp"):
        if not os.access(kind, os.W_OK):
            pytest.skip(f"requires a writable {kind}")
        made = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=kind)))
    else:
        made = {
            "parent": user.folder.parent,
            "workspace": user.folder,
            "deep": user.folder / "a" / "b",
            "git": user.folder / ".git",
            "path": user.folder.parent / "programs",
        }[kind]
        made.mkdir(parents=True, exist_ok=True)
    if kind == "path":
        user.environ["PATH"] += f":{made}"
    if made.is_relative_to(user.folder):
        for path in (made, *made.parents):
            if path.is_relative_to(user.folder):
                os.chown(path, user.uid, -1)
    made.chmod(0o755)
    return f"{made}/s"


OUTSIDE = ("abstract", "/tmp", "/run", "/usr/local", "/var/tmp", "parent", "path")
SERVICES = (*OUTSIDE, "workspace", "deep", "git")


@needs_python
@pytest.mark.parametrize("has_network", [False, True], ids=["closed", "open"])
@pytest.mark.parametrize("kind", SERVICES)
def test_no_service_is_reached_through_a_unix_socket(
    user: Users, stack: ExitStack, kind: str, has_network: bool
) -> None:
    """Wherever it lies: read-only mounts do not prevent it, and folders are shown. An abstract one has no
    place, and belongs to the network: who opens that opens it, too.
    """
    server = Listening(stack, place_of(kind, user, stack))
    user.network = has_network
    (user.folder / "connect.py").write_text(CONNECT)
    subprocess.run([PYTHON, user.folder / "connect.py", server.name], check=True, capture_output=True)
    assert server.was_reached()  # without the sandbox it is
    done = user.runs(f"{PYTHON} connect.py {server.name}")
    is_open = kind == "abstract" and has_network
    assert (done.stdout == "connected\n", server.was_reached()) == (is_open, is_open), done.stderr


@needs_python
def test_a_socket_is_hidden_whoever_binds_it_and_whenever(user: Users, stack: ExitStack) -> None:
    """By a name relative to a folder, before the first command; or between two commands."""
    (user.folder / "connect.py").write_text(CONNECT)
    before = Path.cwd()
    os.chdir(user.folder)
    try:
        relative = Listening(stack, "relative")
    finally:
        os.chdir(before)
    stack.callback((user.folder / "relative").unlink, missing_ok=True)
    sandbox = require_sandbox(user.folder, ENVIRON).made_ready(user.folder)
    later = Listening(stack, f"{user.folder}/later")
    for name, server in (("relative", relative), ("later", later)):
        line = sandbox.wrapped((str(PYTHON), "connect.py", name), user.folder, ENVIRON)
        done = subprocess.run(line, env=ENVIRON, capture_output=True, text=True, check=False)
        assert "Connection refused" in done.stderr
        assert not server.was_reached()


def test_a_link_in_place_of_a_socket_has_nothing_made_behind_it(folder: Path, stack: ExitStack) -> None:
    """bwrap makes what it mounts on: a command that swaps a folder must not choose where."""
    (folder / "a").mkdir()
    Listening(stack, f"{folder}/a/s")
    sandbox = require_sandbox(folder, ENVIRON).made_ready(folder)
    assert sandbox.sockets == (folder / "a" / "s",)
    (folder / "a").rename(folder / "old")
    (folder / "a").symlink_to(folder.parent / "outside")
    line = sandbox.wrapped(("/bin/true",), folder, ENVIRON)
    assert not {f"{folder}/a/s", f"{folder}/a"}.intersection(line)
    assert subprocess.run(line, env=ENVIRON, check=False).returncode == 0
    assert sorted(path.name for path in (folder.parent / "outside").iterdir()) == ["canary.txt"]
    (folder / "a").unlink()  # nor does a folder that is gone keep commands from running
    line = sandbox.wrapped(("/bin/true",), folder, ENVIRON)
    assert subprocess.run(line, env=ENVIRON, check=False).returncode == 0


def test_the_network_is_there_if_it_is_allowed(user: Users) -> None:
    """With the services of this machine."""
    user.network = True
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert user.runs(f"bash -c 'echo hi > /dev/tcp/127.0.0.1/{port}'").returncode == 0


@needs_python
def test_a_process_of_this_machine_cannot_be_traced(user: Users) -> None:
    """Neither by its number, nor through its memory."""
    sleeper = subprocess.Popen(["/bin/sleep", "1000"], user=user.uid, cwd="/")
    try:
        (user.folder / "trace.py").write_text(
            "import ctypes, sys\n"
            "libc = ctypes.CDLL(None, use_errno=True)\n"
            "done = libc.ptrace(16, int(sys.argv[1]), None, None)\n"
            "print(done, ctypes.get_errno())\n"
        )
        done = user.runs(f"{PYTHON} trace.py {sleeper.pid}; cat /proc/{sleeper.pid}/mem")
        assert done.stdout == "-1 3\n"  # no such process
        assert done.returncode != 0
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


@pytest.mark.parametrize(
    "script",
    [
        pytest.param("echo '|/bin/true' > /proc/sys/kernel/core_pattern", id="core-pattern"),
        pytest.param("echo h > /proc/sysrq-trigger", id="sysrq"),
        pytest.param("echo 1 > /proc/sys/vm/overcommit_memory", id="memory"),
        pytest.param("echo 1000 > /proc/1/oom_score_adj", id="settings-of-the-first-process"),
        pytest.param("dmesg -c", id="kernel-log"),
        pytest.param("hostname elsewhere", id="host-name"),
        pytest.param("mknod null2 c 1 3", id="device"),
        pytest.param("unshare -Urn true", id="user-and-network-namespace"),
        pytest.param("nsenter -t 1 -m true", id="enter-a-namespace"),
        pytest.param("ls /proc/1/root/etc/shadow", id="root-of-the-first-process"),
        pytest.param("cat /proc/kcore", id="memory-of-the-kernel"),
    ],
)
def test_the_kernel_gives_nothing(user: Users, script: str) -> None:
    """What would reach all of the machine is refused."""
    before = Path("/proc/sys/kernel/core_pattern").read_bytes()
    assert user.runs(script).returncode != 0
    assert Path("/proc/sys/kernel/core_pattern").read_bytes() == before


KEYS = """
import ctypes, os, sys
add_key = {"x86_64": 248, "aarch64": 217}[os.uname().machine]
libc = ctypes.CDLL(None, use_errno=True)
if sys.argv[1:]:
    libc.syscall(add_key + 2, 1, None)  # a key ring for this session
    if libc.syscall(add_key, b"user", b"ticket", b"canary-5f1d", 11, -3) < 0:
        sys.exit(77)
    os.execv(sys.argv[1], sys.argv[1:])
text = ctypes.create_string_buffer(20)
key = libc.syscall(add_key + 1, b"user", b"ticket", None, 0)
print(libc.syscall(add_key + 2, 11, key, text, 20), text.value, ctypes.get_errno() == 38)
"""


@needs_python
@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="requires a known machine")
def test_tickets_in_the_kernel_s_key_rings_are_not_there(public: Path) -> None:
    """A session's key ring is in no namespace, and desktops and Kerberos keep secrets there."""
    (public / "keys.py").write_text(KEYS)
    plain = (str(PYTHON), "keys.py")
    there = subprocess.run(
        [*plain, *plain], cwd=public, env=ENVIRON, capture_output=True, text=True, check=False
    )
    if there.returncode == 77:
        pytest.skip("requires a kernel with key rings")
    assert CANARY in there.stdout
    with opened_filter() as file:
        line = require_sandbox(public, ENVIRON).wrapped(plain, public, ENVIRON, file)
        done = subprocess.run(
            [*plain, *line],
            cwd=public,
            env=ENVIRON,
            capture_output=True,
            text=True,
            check=True,
            pass_fds=[file],
        )
    assert done.stdout == "-1 b'' True\n"


SET_ID = """
import ctypes, mmap, os, socket, stat
libc = ctypes.CDLL(None, use_errno=True)
def told(name, result):
    print(name, result, ctypes.get_errno())
def tried(name, work):
    try:
        work()
        print(name, "done")
    except OSError as error:
        print(name, error.errno)
for mode in (0o4755, 0o2755):
    open("plain", "w").close()
    file = os.open("plain", os.O_RDWR)
    tried("chmod", lambda: os.chmod("plain", mode))
    tried("fchmod", lambda: os.fchmod(file, mode))
    tried("fchmodat", lambda: os.chmod("plain", mode, dir_fd=os.open(".", os.O_RDONLY)))
    told("fchmodat2", libc.syscall(452, -100, b"plain", mode, 0))
    tried("openat", lambda: os.open("made", os.O_CREAT | os.O_WRONLY, mode))
    tried("unnamed", lambda: os.open(".", os.O_TMPFILE | os.O_WRONLY, mode))
    told("creat", libc.creat(b"made", mode))
    tried("mknod", lambda: os.mknod("made", stat.S_IFREG | mode))
    told("mknodat", libc.mknodat(-100, b"made", stat.S_IFREG | mode, 0))
    tried("mkdir", lambda: os.mkdir("folder", mode))
told("openat2", libc.syscall(437, -100, b"plain", (ctypes.c_uint64 * 3)(0o101, 0o4755, 0), 24))
told("io_uring", libc.syscall(425, 1, (ctypes.c_uint64 * 15)()))
"""
OTHER_TABLES = """
import ctypes, mmap, os, socket
libc = ctypes.CDLL(None, use_errno=True)
file = os.open("plain", os.O_RDWR)
print(libc.syscall(0x40000000 + 91, file, 0o4755), ctypes.get_errno())
memory = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
memory.write(bytes.fromhex("53 89f8 89f3 89d1 cd80 5b c3"))  # a 32-bit call with two arguments
place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
call = ctypes.CFUNCTYPE(ctypes.c_int, *[ctypes.c_int] * 3)(place)
print(call(94, file, 0o4755), call(359, 40, 1), call(102, 1, 0), call(425, 1, 0), flush=True)
"""
ORDINARY_WORK = """
set -e
echo text > a; chmod 1777 .; chmod 755 .; cp -p a b; install -m 755 a c; mkdir -m 1755 folder
tar cf all.tar a b c folder; mkdir out; tar xpf all.tar -C out; cp -a out again; test -x again/c
sed -i s/text/other/ a; mktemp > name; ls -lR > listing
"""


def test_no_file_of_another_s_rights_is_left(user: Users) -> None:
    """A set-uid file of the workspace would stay, and give whoever runs it the rights of its owner."""
    user.runs(
        "cp /bin/ls own; chmod 4755 own; chmod 755 own; chmod u+s own; chmod g+s own; install -m 6755 own two"
    )
    found = [path for path in user.folder.rglob("*") if path.lstat().st_mode & 0o6000]
    assert (user.folder / "own").exists()
    assert found == []


@needs_python
@pytest.mark.skipif(os.uname().machine not in ("x86_64", "aarch64"), reason="requires a known machine")
def test_no_system_call_sets_such_rights(user: Users) -> None:
    """Nor makes a file with them; what the filter cannot look into is not there."""
    (user.folder / "try.py").write_text(SET_ID)
    done = user.runs(f"{PYTHON} try.py")
    *tries, openat2, ring = done.stdout.splitlines()
    assert len(tries) == 20, done.stderr
    assert {line.split(maxsplit=1)[1] for line in tries} == {"1", "-1 1"}
    assert (openat2, ring) == ("openat2 -1 38", "io_uring -1 38")
    assert [path for path in user.folder.rglob("*") if path.lstat().st_mode & 0o6000] == []


@needs_python
@pytest.mark.skipif(os.uname().machine != "x86_64", reason="requires x86_64")
def test_other_tables_of_calls_do_not_get_around_the_filter(user: Users) -> None:
    """Each kind of program has its own numbers: 32-bit ones, and x32."""
    (user.folder / "try.py").write_text(OTHER_TABLES)
    done = user.runs(f"touch plain; {PYTHON} try.py")
    x32, *old = done.stdout.splitlines()
    assert x32 == "-1 38"
    assert (user.folder / "plain").stat().st_mode & 0o6000 == 0
    if not old or old[0].startswith("-38"):
        pytest.skip("requires a kernel with 32-bit calls")
    assert old == ["-1 -97 -38 -38"]


@needs_python
def test_the_host_of_a_virtual_machine_is_not_reached(user: Users) -> None:
    """Only local sockets and those of the internet are there, also with the network."""
    user.network = True
    script = (
        "import socket\n"
        "for family in (40, 38, 17, 31):\n"
        "    for make in (socket.socket, socket.socketpair):\n"
        "        try: make(family, socket.SOCK_STREAM)\n"
        "        except OSError as error: print(error.errno)\n"
        "socket.socketpair(); socket.socket(socket.AF_INET6); socket.getaddrinfo('localhost', 80)\n"
        "print(len(socket.if_nameindex()) > 0)\n"
    )
    (user.folder / "try.py").write_text(script)
    assert user.runs(f"{PYTHON} try.py").stdout.split() == [*["97"] * 8, "True"]


def test_ordinary_work_goes_on_under_the_filter(user: Users) -> None:
    """Programs that set modes and make files."""
    (user.folder / "work.sh").write_text(ORDINARY_WORK)
    done = user.runs(
        "sh work.sh && git init -q repository && cd repository && git add . && git status --short"
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_names_of_keys_are_not_told(user: Users) -> None:
    """``/proc/keys`` lists keys of the whole machine."""
    assert user.runs("cat /proc/keys /proc/key-users").stdout == ""


async def test_every_command_has_the_filter_of_system_calls(folder: Path, ask) -> None:
    """That of the tool, and that of a check; it inherits no file."""
    script = "grep ^Seccomp: /proc/self/status; ls /proc/$$/fd"
    box = Toolbox(folder, allow_shell=True, secrets=Secrets())
    of_tool = await ask(box, "run_command", command=script)
    of_check = await CommandRunner(folder, Secrets(), ENVIRON).run(script, 60, 1000)
    for said in (of_tool.content, of_check.output.decode()):
        assert "Seccomp:\t2\n0\n1\n2\n" in said


@needs_root
def test_a_set_uid_program_gives_nothing(user: Users) -> None:
    """Neither one of the workspace, nor one of the system."""
    program = user.folder / "id"
    shutil.copy("/usr/bin/id", program)
    os.chown(program, 0, 0)
    program.chmod(0o4755)
    assert user.runs("./id -u").stdout.strip() == str(user.uid)
    assert user.runs("su -c id nobody </dev/null").returncode != 0


def test_nothing_is_typed_into_the_terminal(folder: Path) -> None:
    """A command that gets hold of it could leave a line there for the user's shell."""
    script = (
        "(exec 3<>/dev/tty && echo opened)\n"
        'perl -e \'ioctl(STDIN, 0x5412, my $c = "x") and print "typed\\n"\'\n'
        "echo over\n"
    )
    sandbox: Bubblewrap = require_sandbox(folder, ENVIRON)
    line = sandbox.wrapped(("/bin/sh", "-c", script), folder, ENVIRON)
    child, terminal = pty.fork()
    if child == 0:
        os.execve(line[0], line, ENVIRON)
    said = b""
    try:
        while chunk := os.read(terminal, 1000):
            said += chunk
    except OSError:  # Linux says so when nobody has the terminal any more
        pass
    os.waitpid(child, 0)
    os.close(terminal)
    assert b"over" in said
    assert b"opened" not in said
    assert b"typed" not in said


def test_a_folder_around_a_read_only_one_stays_read_only(folder: Path) -> None:
    """An environment of the workspace is closed, and so is the folder of programs in it."""
    (folder / "env" / "bin").mkdir(parents=True)
    closed = (folder / "env", folder / "env" / "bin")
    line = Bubblewrap("/usr/bin/bwrap", closed=closed).wrapped(
        ("/bin/sh", "-c", "touch env/made; touch env/bin/made; mv env gone"), folder, ENVIRON
    )
    assert subprocess.run(line, env=ENVIRON, capture_output=True, check=False).returncode != 0
    assert sorted(path.name for path in folder.rglob("*")) == ["bin", "env"]
