"""Several checks give one verdict, and what is asked of a model beforehand."""

from collections.abc import Callable
from pathlib import Path

import pytest

from sunwell.checks.suite import ChosenChecks, run_checks
from sunwell.context.options import RunOptions
from sunwell.core.check import Checking, Verdict
from sunwell.core.message import FileChange
from sunwell.core.secrets import Secrets
from sunwell.errors import ConfigurationError
from tests.bubblewrap import needs_bubblewrap


def says(name: str, passed: bool | None, *, costs: bool = False) -> Callable[..., object]:
    """Return a check of this name with this verdict; *costs*: whether it costs money."""

    async def check(checking: Checking) -> Verdict:
        asked.append(name)
        return Verdict(passed, f"{name} saw it")

    check.name = name  # type: ignore[attr-defined]
    check.costs = costs  # type: ignore[attr-defined]
    check.told = f"{name} is content" if costs else ""  # type: ignore[attr-defined]
    return check


asked: list[str] = []


@pytest.fixture(autouse=True)
def _fresh() -> None:
    asked.clear()


async def test_those_that_did_not_pass_are_named_and_stand_last() -> None:
    """So that the end of the evidence is what has to be put right."""
    verdict = await run_checks(
        [says("a", False), says("b", True), says("c", None)], Checking(task="t", answer="a")
    )
    assert verdict.passed is False
    assert verdict.missed == ("a",)
    assert [verdict.evidence.index(f"{name}: ") for name in "bca"] == sorted(
        verdict.evidence.index(f"{name}: ") for name in "bca"
    )


async def test_a_check_that_costs_money_is_asked_only_if_none_failed() -> None:
    """It is named with what it will decide by."""
    verdict = await run_checks(
        [says("a", False), says("judge", True, costs=True)], Checking(task="t", answer="a")
    )
    assert asked == ["a"]
    assert verdict.passed is False
    assert (
        "judge: could not tell\nnot asked, since another check failed\njudge is content" in verdict.evidence
    )
    assert (
        await run_checks([says("judge", True, costs=True)], Checking(task="t", answer="a"))
    ).passed is True


def test_models_are_told_beforehand_what_must_hold(tmp_path: Path) -> None:
    """Of a check of the caller's own, only what it says of itself."""
    options = RunOptions(checks=["pytest -q", says("own", True)], protect=["tests/**"], judge="It is short.")
    told = ChosenChecks.of(options, tmp_path, Secrets()).told()
    assert told == (
        "no file that tests/** selects is changed",
        "the command `pytest -q` ends with exit code 0",
        "a judge finds that the work meets this rubric: It is short.",
    )


@needs_bubblewrap
def test_a_command_that_names_a_file_it_cannot_see_is_refused(tmp_path: Path) -> None:
    """It would fail on every rung, whatever the work is; a path in the workspace or of the system is fine."""
    outside = tmp_path / "outside.py"
    outside.write_text("")
    root = tmp_path / "work"
    root.mkdir()
    (root / "inside.py").write_text("")
    bad = ChosenChecks.of(RunOptions(checks=[f"python3 {outside}"]), root, Secrets())
    with pytest.raises(ConfigurationError, match=r"outside\.py, which a command in the sandbox cannot see"):
        bad.require_sandbox()
    good = [f"python3 {root}/inside.py", "cat /etc/hostname", "touch /tmp", "sh -c 'unclosed"]
    ChosenChecks.of(RunOptions(checks=good), root, Secrets()).require_sandbox()
    off = RunOptions(checks=[f"python3 {outside}"], sandbox="off")
    ChosenChecks.of(off, root, Secrets()).require_sandbox()


def test_no_judge_is_shown_what_the_user_hides(tmp_path: Path) -> None:
    """A command may have written it, and its whole text would be in the diff."""
    (tmp_path / "rows.csv").write_text("canary\n")
    (tmp_path / "a.txt").write_text("shown\n")
    options = RunOptions(checks=[says("own", True)], ignore=["*.csv"])
    chosen = ChosenChecks.of(options, tmp_path, Secrets())
    files = tuple(FileChange(name, None, "0" * 64) for name in ("rows.csv", "a.txt"))
    diff = chosen.prepared(Checking(task="t", answer="a"), chosen.of_run, files).diff
    assert "shown" in diff
    assert "canary" not in diff
    assert "rows.csv: created; it cannot be shown ('rows.csv' is hidden by the user" in diff
