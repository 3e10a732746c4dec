"""A check runs files that a model wrote: what they try is contained, and the evidence stays short.

Such a file can still make the check pass: it is then named in the evidence, and a protected one fails it.
"""

import os
import py_compile
import shutil
import socket
import sys
import textwrap
from pathlib import Path

import attrs
import pytest

from sunwell.checks.command_check import CheckShell, CommandCheck
from sunwell.checks.files_check import FilesCheck
from sunwell.checks.suite import ChosenChecks, run_checks
from sunwell.context.options import RunOptions
from sunwell.core.message import FileChange
from sunwell.core.secrets import Secrets
from sunwell.tools.environment import secrets_from_environment
from tests.bubblewrap import needs_bubblewrap

ENVIRON = {
    "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
    "HOME": "/nonexistent",
}
KEY = "sk-ant-attack-0123456789"


pytestmark = needs_bubblewrap
PYTEST = f"{sys.executable} -m pytest -q -p no:cacheprovider --rootdir ."


@pytest.fixture
def attacked(folder, checking):
    """Write files as a model does, run a check in the sandbox, and return its verdict."""
    secrets = secrets_from_environment({"ANTHROPIC_API_KEY": KEY})
    environ = {**ENVIRON, "ANTHROPIC_API_KEY": KEY, "GITHUB_TOKEN": KEY}

    async def run(command: str, files: dict[str, str], **given):
        changes = []
        for name, text in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text))
            path.chmod(0o755)
            changes.append(FileChange(name, None, "1"))
        made = checking(sandbox="required", secrets=secrets, files=tuple(changes))
        shell = CheckShell.of(made, environ)
        return await CommandCheck(command, **given)(attrs.evolve(made, shell=shell))

    return run


PASSING = "def test_fine():\n    pass\n"


async def test_a_conftest_that_skips_the_tests_passes_and_is_named(attacked):
    """Nothing can keep it from passing, so that the evidence says who decided."""
    hook = """
        import pytest

        def pytest_collection_modifyitems(items):
            for item in items:
                item.add_marker(pytest.mark.skip)
    """
    failing = "def test_wrong():\n    assert False\n"
    verdict = await attacked(PYTEST, {"conftest.py": hook, "tests/test_a.py": failing})
    assert verdict.passed is True
    assert "files that can decide how this check runs: conftest.py (created)" in verdict.evidence


async def test_a_protected_conftest_fails_the_verdict(attacked, checking):
    """What must not change fails the whole, however the command ended."""
    files = (FileChange("tests/conftest.py", None, "1"),)
    checks = [CommandCheck("true"), FilesCheck(protect=("tests/**",))]
    verdict = await run_checks(checks, checking(files=files))
    assert verdict.passed is False
    assert "Protected files were changed; undo that: tests/conftest.py (created)." in verdict.evidence


@pytest.mark.parametrize(
    ("command", "files"),
    [
        pytest.param(
            PYTEST,
            {
                "conftest.py": "import os\nprint('SEEN', dict(os.environ))\n",
                "tests/test_a.py": PASSING,
            },
            id="conftest",
        ),
        pytest.param("make test", {"Makefile": "test:\n\tenv; cat /proc/*/environ\n"}, id="makefile"),
        pytest.param(
            "PATH=node_modules/.bin:$PATH jest",
            {"node_modules/.bin/jest": "#!/bin/sh\nenv; cat /proc/*/environ | tr '\\0' '\\n'\n"},
            id="installed-program",
        ),
        pytest.param(
            f"{sys.executable} -c pass; env",
            {"sitecustomize.py": "import os\nprint(os.environ)\n"},
            id="sitecustomize",
        ),
    ],
)
async def test_no_written_file_finds_a_secret(attacked, command, files):
    """Neither in its environment nor in that of another process."""
    if command.startswith("make") and shutil.which("make") is None:
        pytest.skip("no make on this machine")
    verdict = await attacked(command, files)
    assert KEY not in verdict.evidence
    assert "[ANTHROPIC_API_KEY]" not in verdict.evidence
    assert "ANTHROPIC_API_KEY" not in verdict.evidence


async def test_a_secret_that_the_work_knew_is_replaced(attacked):
    """A test may print what the model was shown: the evidence does not."""
    verdict = await attacked(f"echo {KEY}; exit 1", {})
    assert KEY not in verdict.evidence
    assert "[ANTHROPIC_API_KEY]" in verdict.evidence


async def test_nothing_outside_of_the_workspace_is_read_or_written(attacked, folder):
    """Not the folder beside it, not the home folder, not the system."""
    outside = folder.parent / "outside"
    script = f"""
        import pathlib
        for place in ("{outside}/canary.txt", "/root/.ssh/id_rsa", "{outside}/made", "/etc/made"):
            try:
                path = pathlib.Path(place)
                path.write_text("x") if "made" in place else print(path.read_text())
                print("DONE", place)
            except OSError as error:
                print("refused", place)
    """
    verdict = await attacked(f"{sys.executable} attack.py", {"attack.py": script})
    assert "DONE" not in verdict.evidence
    assert verdict.evidence.count("refused") == 4
    assert not (outside / "made").exists()


async def test_there_is_no_network(attacked):
    """A server on this machine is not reached, so that nothing is sent away."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        script = f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 3)\nprint('REACHED')\n"
        verdict = await attacked(f'{sys.executable} -c "{script}"', {})
    assert verdict.passed is False
    assert "REACHED" not in verdict.evidence


async def test_a_process_in_the_background_ends_with_the_check(attacked, folder):
    """It cannot wait for the verdict and change the files afterwards."""
    script = (
        "import os, time\nif os.fork() == 0:\n    os.setsid()\n    time.sleep(1)\n    open('late', 'w')\n"
    )
    verdict = await attacked(f"{sys.executable} back.py", {"back.py": script})
    assert verdict.passed is True
    probe = await attacked("sleep 1.5; test ! -e late", {})
    assert probe.passed is True
    assert not (folder / "late").exists()


async def test_a_test_that_kills_its_parent_does_not_reach_the_run(attacked):
    """It sees only the processes of its own sandbox."""
    script = """
        import os
        for pid in (os.getppid(), *range(1, 50)):
            try:
                os.kill(pid, 9)
            except OSError:
                pass
    """
    verdict = await attacked(f"{sys.executable} kill.py", {"kill.py": script})
    assert verdict.passed is False
    assert os.getpid()


async def test_a_gigabyte_of_output_is_cut(attacked):
    """It is read, and only its head and tail are kept."""
    verdict = await attacked("head -c 1000000000 /dev/zero | tr '\\0' 'y'; exit 1", {})
    assert verdict.passed is False
    assert len(verdict.evidence) < 7_000


async def test_a_test_that_never_ends_has_failed(attacked):
    """The time limit ends the whole group."""
    verdict = await attacked(PYTEST, {"tests/test_a.py": "while True:\n    pass\n"}, timeout_seconds=2)
    assert verdict.passed is False
    assert "had not finished after 2 seconds" in verdict.evidence


async def test_hooks_and_settings_of_git_cannot_be_written(attacked, folder):
    """The repository is read-only for a check, and its hooks are not run by it."""
    hooks = folder / ".git" / "hooks"
    hooks.mkdir(parents=True)
    verdict = await attacked("echo evil > .git/hooks/pre-commit", {})
    assert verdict.passed is False
    assert not (hooks / "pre-commit").exists()


async def test_a_check_without_a_sandbox_on_the_machine_is_not_run(folder, checking):
    """The root of the file system cannot be protected: nothing is run, and the verdict says why."""
    verdict = await CommandCheck("true")(checking(workspace=Path("/"), sandbox="required", secrets=Secrets()))
    assert verdict.passed is None
    assert "no sandbox can protect" in verdict.evidence


REWRITES = "import pathlib\npathlib.Path('tests/test_a.py').write_text('def test_a(): pass\\n')\n"
FAILING = "def test_a():\n    assert 1 == 2\n"


def begun(folder, **options) -> ChosenChecks:
    """Return the checks of a run that begins in *folder*."""
    made = ChosenChecks.of(RunOptions(**options), folder, Secrets(), environ=ENVIRON)
    made.watch(folder)
    return made


def written(folder, **files: str) -> None:
    """Write files; two underscores in a name stand for a slash."""
    for name, text in files.items():
        path = folder / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize("allow_shell", [True, False])
async def test_a_check_that_rewrites_a_protected_test_fails(folder, checking, allow_shell):
    """The work rewrites it while one check runs, and puts it back in the next one."""
    written(folder, tests__gold_DOT_txt="gold", src_DOT_py="")
    commands = ["echo evil > tests/gold.txt", "grep -q evil tests/gold.txt; echo gold > tests/gold.txt"]
    chosen = begun(folder, checks=commands, protect=["tests/**"], allow_shell=allow_shell)
    verdict = await chosen.verdict(checking())
    assert verdict.passed is False
    assert "Protected files were changed; undo that: tests/gold.txt (changed)" in verdict.evidence
    assert "While this check ran, files that checks look at were changed: tests/gold.txt" in verdict.evidence


async def test_a_test_that_a_check_rewrites_is_named_without_protection(folder, checking):
    """Also where models have no commands, so that nothing was noted when the run began."""
    written(folder, tests__test_a_DOT_py=FAILING, src_DOT_py=REWRITES)
    chosen = begun(folder, checks=["python src.py"])
    assert chosen.watched is None
    verdict = await chosen.verdict(checking())
    assert "were changed: tests/test_a.py (changed)" in verdict.evidence


@pytest.mark.parametrize("sandbox", ["required", "off"])
async def test_bytecode_of_another_source_is_not_used(folder, checking, sandbox):
    """Bytecode is known by size and time of its source, and both can be forged."""
    written(folder, one_DOT_py="RIGHT = 1\n")
    source = folder / "one.py"
    py_compile.compile(str(source))
    times = source.stat()
    source.write_text("RIGHT = 0\n")
    os.utime(source, ns=(times.st_atime_ns, times.st_mtime_ns))
    chosen = begun(folder, checks=["python -c 'import one; raise SystemExit(one.RIGHT)'"], sandbox=sandbox)
    assert (await chosen.verdict(checking())).passed is True


async def test_a_file_with_holes_is_compared_without_reading_it(folder, checking):
    """Two hundred gigabytes of nothing would be read for minutes."""
    chosen = begun(folder, checks=["true"], allow_shell=True)
    (folder / "conftest.py").touch()
    os.truncate(folder / "conftest.py", 200 << 30)
    verdict = await chosen.verdict(checking())
    assert "conftest.py (created)" in verdict.evidence


async def test_programs_of_a_check_that_a_command_changed_are_named(folder, checking):
    """Its own script, installed programs and plugins, also where git ignores them."""
    paths = ("ci/check.sh", "node_modules/.bin/jest", ".venv/bin/tool", "z.egg-info/entry_points.txt")
    plugin = ".venv/lib/python3/site-packages/z.dist-info/entry_points.txt"
    written(folder, _DOT_gitignore="ci\n*.egg-info\n.venv\nnode_modules\n")
    for path in (*paths, plugin):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text("exit 1")
    chosen = begun(folder, checks=["sh ci/check.sh"], allow_shell=True)
    for path in (*paths, plugin):
        (folder / path).write_text("exit 0")
    verdict = await chosen.verdict(checking())
    assert verdict.passed is True
    for path in (*paths, plugin):
        assert f"{path} (changed)" in verdict.evidence


async def test_a_new_ignore_file_or_a_link_to_a_copy_does_not_get_past_a_protection(folder, checking):
    """The ignore files of the start hold, and a link is another file."""
    written(folder, data__gold_DOT_txt="gold", data__deep__a_DOT_txt="a", keep__gold_DOT_txt="gold")
    chosen = begun(folder, protect=["data/**", "keep/**"])
    written(folder, _DOT_gitignore="data/\n", data__new_DOT_txt="x", copy_DOT_txt="gold")
    (folder / "data/gold.txt").unlink()
    (folder / "data/gold.txt").symlink_to("../copy.txt")
    (folder / "data/link.txt").symlink_to("../copy.txt")
    (folder / "keep").rename(folder / "other")
    (folder / "keep").symlink_to("other")
    verdict = await chosen.verdict(checking())
    for said in (
        "new.txt (created)",
        "data/gold.txt (changed)",
        "link.txt (created)",
        "keep/gold.txt (removed)",
    ):
        assert said in verdict.evidence
