"""``sunwell report``: where the page is written, over what, and who gets to see it."""

import json
import os
import re
import signal
import stat
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from sunwell.journal import list_runs

KEY = "sk-ant-api03-9dKf72LqXw41ZbTn"
DATA = re.compile(r'<script type="application/json" id="data-(\w+)">(.*?)</script>', re.DOTALL)


@pytest.fixture
def workspace(tmp_path: Path, sunwell) -> Path:
    """Return a workspace with a run in it."""
    folder = tmp_path / "work"
    folder.mkdir()
    done = sunwell("run", "Say what is here", "-w", folder, "-m", "haiku", "--budget-usd", "0.50")
    assert done.exit_code == 0, done.output
    return folder


def told_in(page: str) -> dict[str, Any]:
    """Return the sections of data in a page."""
    return {name: json.loads(text) for name, text in DATA.findall(page)}


def test_a_report_is_written_beside_the_journal(workspace: Path, sunwell) -> None:
    """For its owner alone; standard output has its path and nothing else."""
    (run,) = list_runs(workspace)
    done = sunwell("report", run.run_id[:8], "-w", workspace)
    place = run.path.with_name("report.html")
    assert (done.exit_code, done.stdout, done.stderr) == (0, f"{place}\n", "")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    head = told_in(place.read_text())["head"]
    assert (head["run_id"], head["status"]) == (run.run_id, "ok")
    assert sunwell("report", "last", "-w", workspace).stdout == done.stdout  # over the earlier one
    assert sorted(
        path.name for path in place.parent.iterdir() if "report" in path.name or "tmp" in path.name
    ) == ["report.html"]


def test_pruning_a_run_removes_its_report(workspace: Path, sunwell) -> None:
    """Nothing of it is left."""
    place = Path(sunwell("report", "last", "-w", workspace).stdout.strip())
    assert place.exists()
    assert sunwell("prune", "--keep", "0", "-w", workspace).exit_code == 0
    assert not place.parent.exists()


def test_without_a_run_it_is_the_page_of_all_runs(workspace: Path, tmp_path: Path, sunwell) -> None:
    """With a row for each; it goes when a run is pruned."""
    place = workspace / ".sunwell" / "runs" / "report.html"
    done = sunwell("report", "-w", workspace)
    assert (done.exit_code, done.stdout) == (0, f"{place}\n")
    assert stat.S_IMODE(place.stat().st_mode) == 0o600
    (run,) = list_runs(workspace)
    assert list(told_in(place.read_text())["runs"]) == [run.run_id]
    assert list(json.loads(sunwell("report", "-w", workspace, "--json").stdout)["runs"]) == [run.run_id]
    assert sunwell("report", "-w", workspace).exit_code == 0
    sunwell("prune", "--keep", "0", "-w", workspace, "--dry-run")
    assert place.exists()
    sunwell("prune", "--keep", "0", "-w", workspace)
    assert not place.exists()
    done = sunwell("report", "-w", workspace)
    assert done.exit_code == 2
    assert "there are no runs" in done.stderr


def test_the_data_is_printed_for_programs(workspace: Path, sunwell) -> None:
    """It is what the page has, with all digits."""
    shown = told_in(sunwell("report", "last", "-w", workspace, "-o", "-").stdout)
    data = sunwell("report", "last", "-w", workspace, "--json")
    assert data.exit_code == 0
    told = json.loads(data.stdout)
    assert {name: shown[name] for name in ("head", "cost", "bill")} == {
        name: told[name] for name in ("head", "cost", "bill")
    }
    assert list(told["calls"]) == list(shown["calls"]["entries"])
    (listed,) = json.loads(sunwell("runs", "-w", workspace, "--json").stdout)["runs"]
    assert shown["cost"]["usd"] == listed["cost_usd"]
    assert shown["cost"]["calls"] == listed["calls"]


def test_the_page_of_a_run_of_others_says_so_and_takes_no_command_from_it(
    workspace: Path, tmp_path: Path, sunwell
) -> None:
    """Neither the workspace nor the options that it recorded are offered to be pasted into a terminal."""
    elsewhere = tmp_path / "elsewhere"
    workspace.rename(elsewhere)  # the mark of a run holds for its path
    (run,) = list_runs(elsewhere)
    shown = told_in(sunwell("report", "last", "-w", elsewhere, "-o", "-").stdout)
    assert shown["head"]["foreign"]
    commands = [step["command"] for step in shown["reproduce"]]
    assert commands == [
        f"sunwell show {run.run_id} --spans -w {elsewhere}",
        f"sunwell export {run.run_id} --with-texts -w {elsewhere}",
        f"sunwell adopt {run.run_id} -w {elsewhere}",
    ]
    assert sunwell("adopt", run.run_id, "-w", elsewhere).exit_code == 0
    shown = told_in(sunwell("report", "last", "-w", elsewhere, "-o", "-").stdout)
    assert not shown["head"]["foreign"]
    commands = [step["command"] for step in shown["reproduce"]]
    assert f"sunwell replay {run.run_id} -w {elsewhere}" in commands  # where the run is now
    assert any(one.startswith("sunwell run") for one in commands)


def test_standard_output_gets_the_page_and_no_more(workspace: Path, sunwell) -> None:
    """With ``-o -``."""
    done = sunwell("report", "last", "-w", workspace, "-o", "-")
    assert done.exit_code == 0
    assert done.stdout.startswith("<!DOCTYPE html>")
    assert done.stdout.endswith("</html>")
    assert not list_runs(workspace)[0].path.with_name("report.html").exists()


def test_a_file_of_ones_choice(workspace: Path, tmp_path: Path, sunwell) -> None:
    """An earlier report is replaced, and has the mode of a new one."""
    place = tmp_path / "out.html"
    for _ in range(2):
        done = sunwell("report", "last", "-w", workspace, "-o", place)
        assert (done.exit_code, done.stdout) == (0, f"{place}\n")
        assert stat.S_IMODE(place.stat().st_mode) == 0o600
        place.chmod(0o644)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.html", "work"]


def test_what_is_no_report_is_not_replaced(workspace: Path, tmp_path: Path, sunwell) -> None:
    """Unless that is asked for; a link is not followed even then."""
    mine, link, pipe = tmp_path / "mine.html", tmp_path / "link.html", tmp_path / "pipe"
    mine.write_text("<html>mine</html>")
    link.symlink_to(mine)
    os.mkfifo(pipe)
    for place, reason in ((mine, "is not a report"), (link, "is a link"), (pipe, "is not a report")):
        done = sunwell("report", "last", "-w", workspace, "-o", place)
        assert (done.exit_code, done.stdout) == (2, "")
        assert reason in done.stderr
        assert "--force" in done.stderr
    assert mine.read_text() == "<html>mine</html>"
    assert sunwell("report", "last", "-w", workspace, "-o", link, "--force").exit_code == 0
    assert not link.is_symlink()
    assert mine.read_text() == "<html>mine</html>"
    assert sunwell("report", "last", "-w", workspace, "-o", mine, "--force").exit_code == 0
    assert told_in(mine.read_text())["head"]["status"] == "ok"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.html", "mine.html", "pipe", "work"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        pytest.param(("last", "-o", "nowhere/x.html"), "nowhere is not a folder", id="no-folder"),
        pytest.param(("last", "-o", "."), "is a folder", id="a-folder"),
        pytest.param(("nobody",), "no run under", id="no-run"),
        pytest.param(("last", "--json", "--follow"), "--follow has no effect with --json", id="json-follow"),
        pytest.param(("last", "--json", "-o", "x"), "--output has no effect with --json", id="json-output"),
        pytest.param(("last", "--follow", "-o", "x"), "--output has no effect with --follow", id="follow"),
        pytest.param(("last", "-o", "-", "--open"), "--open has no effect", id="open-of-nothing"),
        pytest.param(("last", "--force"), "--force has no effect", id="force-of-nothing"),
        pytest.param(("--follow",), "--follow needs a RUN", id="follow-of-nothing"),
    ],
)
def test_what_cannot_be_done_is_refused(
    workspace: Path, sunwell, monkeypatch: pytest.MonkeyPatch, given: tuple[str, ...], reason: str
) -> None:
    """With a sentence, and before anything is written."""
    monkeypatch.chdir(workspace)
    before = sorted(workspace.rglob("*"))
    done = sunwell("report", *given)
    assert done.exit_code == 2
    assert reason in " ".join(done.stderr.split())
    assert sorted(workspace.rglob("*")) == before


def test_a_link_in_place_of_the_folder_of_runs_is_not_followed(
    workspace: Path, tmp_path: Path, sunwell
) -> None:
    """Nothing is written elsewhere."""
    runs = workspace / ".sunwell" / "runs"
    runs.rename(tmp_path / "elsewhere")
    runs.symlink_to(tmp_path / "elsewhere")
    done = sunwell("report", "last", "-w", workspace)
    assert done.exit_code == 2
    assert "is a link" in done.stderr
    assert list((tmp_path / "elsewhere").rglob("report.html")) == []


@pytest.fixture
def browser(tmp_path: Path) -> Path:
    """Return a program that notes what it was to show, and says much."""
    place = tmp_path / "browser"
    place.write_text(
        f'#!/bin/sh\necho noise\necho noise >&2\nenv > {tmp_path}/env\necho "$1" > {tmp_path}/shown\n'
    )
    place.chmod(0o755)
    return place


def test_the_browser_is_given_the_file(workspace: Path, tmp_path: Path, browser: Path, start, keys) -> None:
    """What it says goes nowhere, and it gets no key."""
    process = start(
        "report",
        "last",
        "-w",
        workspace,
        "--open",
        env={**keys, "ANTHROPIC_API_KEY": KEY, "BROWSER": str(browser)},
    )
    out, err = process.communicate(timeout=60)
    (run,) = list_runs(workspace)
    assert (process.returncode, out, err) == (0, f"{run.path.with_name('report.html')}\n", "")
    assert (tmp_path / "shown").read_text() == run.path.with_name("report.html").as_uri() + "\n"
    assert "BROWSER=" in (tmp_path / "env").read_text()
    assert KEY not in (tmp_path / "env").read_text()


def test_without_a_browser_the_path_is_all(workspace: Path, tmp_path: Path, start) -> None:
    """A sentence says so, and the report is written all the same."""
    (tmp_path / "empty").mkdir()
    process = start(
        "report", "last", "-w", workspace, "--open", env={"PATH": str(tmp_path / "empty"), "BROWSER": ""}
    )
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0
    assert Path(out.strip()).exists()
    assert "no browser could be started" in err


def asked(address: str) -> bytes:
    """Return what is at *address*, without any proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(address, timeout=30) as response:
        body: bytes = response.read()
    return body


def test_a_run_is_followed_until_ctrl_c(workspace: Path, tmp_path: Path, browser: Path, start, keys) -> None:
    """The address is one line; the browser gets one that leads there once."""
    os.mkfifo(tmp_path / "shown")
    arguments = ("report", "last", "-w", workspace, "--follow", "--open")
    process = start(*arguments, env={**keys, "BROWSER": str(browser)})
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{43}/", address)
    shown = told_in(asked(address).decode())
    assert shown["head"]["status"] == "ok"
    changes = json.loads(asked(f"{address}changes?since=0"))
    assert changes["version"] == shown["version"]
    assert changes["patch"]["head"] == shown["head"]
    once = (tmp_path / "shown").read_text().strip()  # waits until the browser is started
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out) == (0, "")
    assert err.count("\n") == 1
    assert once.rsplit("/", 2)[0] == address.rsplit("/", 2)[0]
    assert once != address


def test_the_request_of_a_call_is_served(workspace: Path, start, keys) -> None:
    """It is made again from the journal when somebody opens the call."""
    process = start("report", "last", "-w", workspace, "--follow", env=keys)
    assert process.stdout is not None
    address = process.stdout.readline().strip()
    calls = json.loads(asked(f"{address}changes?since=0"))["patch"]["calls"]
    assert calls
    for key in calls:
        found = json.loads(asked(f"{address}request?call={urllib.parse.quote(key)}"))
        assert found["missing"] == ""
        assert found["sent"][key]["agrees"] is True
