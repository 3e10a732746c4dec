"""Ordinary work goes on in the sandbox: what programs need of the machine is there."""

import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from tests.bubblewrap import Users, needs_bubblewrap

pytestmark = needs_bubblewrap

TEST = """
import os, socket, tempfile
from concurrent.futures import ThreadPoolExecutor
from multiprocessing import get_context

def test_it():
    with tempfile.TemporaryFile() as file, socket.create_server(("127.0.0.1", 0)) as server:
        file.write(b"hi")
        socket.create_connection(server.getsockname()).close()
    assert os.path.expanduser("~") != "~"
    assert get_context("spawn").Pool(1).map(len, ["four"]) == [4]
"""
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null", "PATH": "/usr/bin:/bin"}
PROGRAMS = {
    "make": ("printf 'it:\\n\\t@echo made\\n' > Makefile; make", "made"),
    "cc": ("echo 'int main(){return 7;}' > a.c; cc a.c -o a; ./a; echo $?", "7"),
    "awk": ("echo 3 4 | awk '{print $1 + $2}'", "7"),
    "sort": ("seq 200000 | sort -rn -S 100k | head -1", "200000"),
    "locale": ("LC_ALL=C.UTF-8 locale charmap", "UTF-8"),
    "node": ("node -e 'console.log(typeof require(\"tls\").connect)'", "function"),
    "npm": ("npm --version > /dev/null && echo there", "there"),
    "perl": ("perl -MPOSIX -e 'print POSIX::floor(1.5)'", "1"),
    "getent": ("getent hosts localhost | grep -c localhost", "1"),
    "id": ("id -un > /dev/null && date +%Z > /dev/null && echo known", "known"),
}
"""What each is asked, and what it says."""
needs_git = pytest.mark.skipif(shutil.which("git", path=GIT["PATH"]) is None, reason="requires git")


@pytest.mark.parametrize("kind", ["in-the-workspace", "beside-it", "linked"])
def test_tests_run_in_a_virtual_environment(public: Path, kind: str) -> None:
    """By its interpreter and by an entry point; with temporary files, processes, and a server on loopback."""
    user = Users(public, is_nobody=False)
    place = (public.parent if kind == "beside-it" else public) / ".venv"
    if kind == "linked":  # as managers of environments do it
        (public.parent / "environments").mkdir()
        place.symlink_to(public.parent / "environments")
    venv.create(place.resolve(), symlinks=True)
    packages = next(place.glob("lib/python3*/site-packages"))
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib"))
    entry = place / "bin" / "begin"
    entry.write_text(f"#!{place}/bin/python\nimport sys, pytest\nsys.exit(pytest.main(sys.argv[1:]))\n")
    entry.chmod(0o755)
    (public / "test_it.py").write_text(TEST)
    user.environ |= {"PATH": f"{place}/bin:{user.environ['PATH']}", "VIRTUAL_ENV": str(place)}
    done = user.runs("python -m pytest -q -p no:cacheprovider test_it.py && begin --version")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def repository(user: Users) -> Path:
    """Make a repository with one commit and a change in the workspace."""
    for words in (
        ("init", "-q"),
        ("-c", "user.name=A", "-c", "user.email=a@b.c", "commit", "-q", "--allow-empty", "-m", "Begin"),
    ):
        subprocess.run(["git", *words], cwd=user.folder, env=GIT, user=user.uid, check=True)
    return user.folder


@needs_git
def test_git_tells_what_was_changed(user: Users) -> None:
    """Its own folder is read-only."""
    repository(user)
    done = user.runs("echo hi > made && git status --short && git log --format=%s && git diff --stat")
    assert (done.returncode, done.stdout) == (0, "?? made\nBegin\n"), done.stderr
    assert user.runs("git -c user.name=A -c user.email=a@b.c commit --allow-empty -m no").returncode != 0


@needs_git
def test_git_tells_what_was_changed_in_a_work_tree(public: Path) -> None:
    """Whose repository lies elsewhere. A file that only claims to belong to one opens nothing."""
    tree = public.parent / "tree"
    made = repository(Users(public, is_nobody=False))
    subprocess.run(["git", "worktree", "add", "-q", tree], cwd=made, env=GIT, check=True)
    user = Users(tree, is_nobody=False)
    done = user.runs("git status --short && git log --format=%s")
    assert (done.returncode, done.stdout) == (0, "Begin\n"), done.stderr
    (made / ".git" / "worktrees" / "tree" / "gitdir").write_text("/elsewhere/.git\n")
    assert user.runs(f"ls {made}").returncode != 0


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_works(user: Users, name: str) -> None:
    """As it does outside, if the machine has it."""
    if shutil.which(name, path=user.environ["PATH"]) is None:
        pytest.skip(f"requires {name}")
    script, said = PROGRAMS[name]
    done = user.runs(script)
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr


def test_the_interpreter_of_these_tests_is_there(public: Path) -> None:
    """Wherever it is installed, with its compiled modules."""
    done = Users(public, is_nobody=False).runs(f"{sys.executable} -c 'import ssl, sqlite3, attrs; print(1)'")
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
