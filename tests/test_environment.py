"""The suite does not depend on who runs it: nothing of the user's environment reaches a test."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
REPRESENTATIVE = (
    "cli/test_config.py",
    "cli/test_estimate.py",
    "cli/test_models.py",
    "cli/test_plain.py",
    "cli/test_tree_lines.py::test_every_line_fits_and_has_the_cost[all-80]",
    "cli/test_failing.py::test_closed_and_full_streams_leave_no_traceback[full]",
    "models/test_connection.py",
    "tools/test_environment.py",
    "tools/test_writing.py",
    "scenarios/test_money_limits.py",
)
"""Tests that read settings, keys, addresses, time, the width of the terminal and the modes of files."""

HOSTILE = {
    "SUNWELL_BUDGET_USD": "0.000001",
    "SUNWELL_SMART_MODEL": "nonsense",
    "SUNWELL_DELEGATION_MODEL": "nonsense",
    "SUNWELL_NO_SUCH_SETTING": "x",
    "RLM_MAX_DEPTH": "0",
    "ANTHROPIC_API_KEY": "x",
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:9",
    "ANTHROPIC_CUSTOM_HEADERS": "x: y",
    "OPENAI_API_KEY": "x",
    "OPENAI_BASE_URL": "http://127.0.0.1:9",
    "HTTPS_PROXY": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "LANG": "C",
    "LC_ALL": "C",
    "TZ": "Pacific/Chatham",
    "COLUMNS": "20",
    "LINES": "2",
    "NO_COLOR": "1",
    "FORCE_COLOR": "1",
    "TERM": "dumb",
    "PYTHONHASHSEED": "1",
}


@pytest.mark.timeout(300)  # a suite in the suite, beside others on a busy machine
def test_a_hostile_environment_changes_no_result(tmp_path: Path) -> None:
    """Settings, keys, addresses, a broken file of the user's, a narrow terminal and a strict umask."""
    for folder in ("xdg/sunwell", "home/.config/sunwell"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "config.toml").write_text("this is = not [ toml")
    environ = {
        **HOSTILE,
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "XDG_CONFIG_HOME": str(tmp_path / "xdg"),
        "PYTHONUNBUFFERED": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", tmp_path / "base",
         *(str(TESTS / test) for test in REPRESENTATIVE)],
        cwd=TESTS.parent,
        env=environ,
        umask=0o077,
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
