"""``sunwell demo``: what it claims is so."""

import re
import shutil
import stat
import tempfile
from pathlib import Path

from sunwell.cli.demo_command import DemoClaims, DemoVerdict, fresh_shop, run_tests
from sunwell.core.user_folders import state_folder

README = Path(__file__).parents[2] / "README.md"


def test_the_demonstration_holds_what_it_claims(sunwell) -> None:
    """Red, green, equal bills, the smart model alone dearer, red without the lens, up; behind any proxy."""
    nowhere = "http://127.0.0.1:9"
    done = sunwell("demo", env={"HTTP_PROXY": nowhere, "HTTPS_PROXY": nowhere, "ALL_PROXY": nowhere})
    assert done.exit_code == 0, done.output
    assert "80 of 83 tests fail" in done.stdout
    assert done.stdout.count("all 83 tests pass") == 3
    assert "✓ verified by the shop's tests on rung 3" in done.stdout
    assert "the same to the last digit" in done.stdout
    assert "55 of 83 tests fail" in done.stdout
    assert "soft delete" in done.stdout
    assert "The models are scripts" in " ".join(done.stdout.split())
    assert "✗" not in done.stdout
    page = Path(done.stdout.splitlines()[-1].strip())
    assert page == state_folder() / "demo-report.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    booked = re.search(r"\$([\d.]+) booked", done.stdout)
    assert booked
    assert f'"usd":"{booked[1]}"' in page.read_text()
    assert "+++ b/shop/endpoints/order.py" in page.read_text()
    # The path of the workspace is in the prompts: in a longer one, models read some tokens more.
    is_usual = tempfile.gettempdir() == "/tmp"
    shown = [line if is_usual else without_figures(line) for line in done.stdout.splitlines()]
    for line in shown_in_the_readme():
        assert (line if is_usual else without_figures(line)) in shown


def without_figures(line: str) -> str:
    """Return *line* with each number, and the blanks before it, as one mark."""
    return re.sub(r" *\$?[\d.,]*\d", " #", line)


def shown_in_the_readme() -> list[str]:
    """Return what the readme shows of the demonstration, without the command and the gaps."""
    shown = README.read_text().partition("$ make demo\n")[2].partition("```")[0]
    lines = [line for line in shown.splitlines() if line.strip(" …")]
    assert len(lines) > 10
    return lines


def test_the_folder_is_kept_on_request(sunwell) -> None:
    """With ``--keep`` the finished code base is there to be looked at."""
    done = sunwell("demo", "--keep", env={})
    folder = Path(done.stdout.strip().splitlines()[-1].rpartition(": ")[2])
    try:
        assert (folder / "delegated/shop/endpoints/order.py").is_file()
        assert run_tests(folder / "delegated").is_green
    finally:
        shutil.rmtree(folder)


def test_red_is_red(tmp_path: Path) -> None:
    """Tests that fail, that cannot be found and that cannot be run are not green."""
    assert not run_tests(fresh_shop(tmp_path / "shop")).is_green
    (tmp_path / "empty").mkdir()
    assert not run_tests(tmp_path / "empty").is_green
    assert not DemoVerdict(0, ()).is_green
    assert DemoVerdict(1, ()).is_green


def test_failures_are_counted_by_rule() -> None:
    """The tests of a rule begin with its name."""
    verdict = DemoVerdict(3, ("test_paging_is_capped", "test_paging_begins_at_zero", "test_other"))
    assert verdict.by_rule(("paging", "clock")) == {"paging": 2}


def test_a_claim_that_does_not_hold_is_not_forgotten(capsys) -> None:
    """One of many is enough for exit code 1, and its line is marked."""
    claims = DemoClaims()
    claims.say(True, "water is wet")
    assert claims.exit_code() == 0
    claims.say(False, "fire is cold")
    claims.say(True, "snow is white")
    assert claims.exit_code() == 1
    out, err = capsys.readouterr()
    assert "✗ fire is cold" in out
    assert "Not all claims above are true" in err
