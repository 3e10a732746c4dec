"""What was chosen stays chosen: a resume follows the record, whatever outcomes say by then."""

import asyncio
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from sunwell.agent.policy.task_kinds import kind_of
from sunwell.cli.main import cli
from sunwell.events import RungStarted
from sunwell.memory.outcome_store import OutcomeStore, outcomes_file
from sunwell.memory.outcomes import WorkOutcome
from tests.agent.ladder.batch_parts import WRONG, Crew, Writer, is_right, items, rungs

RUNGS = ("cheap", "cheap_again", "lens", "smart")
NEVER = {"item-0.txt": (WRONG,)}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a user's folder in which outcomes are kept."""
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("SUNWELL_OUTCOMES", raising=False)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """Return a folder for all examples of a property."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def crew_in(workspace: Path) -> Crew:
    """Return models that never write the right word."""
    workspace.mkdir(parents=True)
    cheap, smart = Writer("cheap", NEVER, seconds=at_once), Writer("smart", NEVER, 10, at_once)
    return Crew(workspace, cheap, smart, play=asyncio.run)


def at_once(item: str) -> float:
    """Let no time pass."""
    return 0.0


def learn(rung: str, passed: bool, count: int, after: str = "") -> None:
    """Record so many outcomes of *rung*, as other runs do meanwhile."""
    path = outcomes_file()
    assert path is not None
    model = "smart" if rung == "smart" else "cheap"
    kind = kind_of(items(1)[0].text)
    OutcomeStore(path, warn=pytest.fail).record(
        [WorkOutcome(kind, rung, model, after, passed, None, 1.0)] * count
    )


def test_outcomes_change_what_a_new_run_climbs(tmp_path: Path, home: Path) -> None:
    """Else the following would say nothing: after enough failures the smart model comes right away."""
    before = crew_in(tmp_path / "before").batch(items(1), ladder=None)
    learn("cheap", False, 60)
    after = crew_in(tmp_path / "after").batch(items(1), ladder=None)
    assert rungs(before[0])[0] == "cheap"
    assert rungs(after[0]) != rungs(before[0])


@settings(max_examples=12)
@given(
    stop_at=st.integers(0, 3),
    learned=st.lists(st.tuples(st.sampled_from(RUNGS), st.booleans(), st.integers(1, 40)), max_size=6),
)
def test_a_resume_follows_the_rungs_on_record(
    place: Path, stop_at: int, learned: list[tuple[str, bool, int]]
) -> None:
    """Stopped at any rung, with any outcomes recorded since: what was chosen before is climbed first."""
    here = Path(tempfile.mkdtemp(dir=place))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SUNWELL_HOME", str(here / "home"))
        environment.delenv("SUNWELL_OUTCOMES", raising=False)
        crew = crew_in(here / "workspace")
        chosen: list[str] = []

        def stop(event: object) -> bool:
            if isinstance(event, RungStarted):
                chosen.append(event.rung)
            return len(chosen) == stop_at + 1

        crew.stop_at = stop
        stopped = crew.batch(items(1), ladder=None)
        assert stopped.run.status == "cancelled"
        for rung, passed, count in learned:
            learn(rung, passed, count)
        crew.stop_at = None
        done = crew.resume(stopped.run.run_id, {"checks": (is_right,)})
        assert rungs(done[0])[: len(chosen)] == chosen
        finished = done[0].verification
        learn("cheap", False, 90)
        crew.cheap, crew.smart = Writer("cheap"), Writer("smart", usd=10)  # whoever is asked now writes
        again = crew.resume(stopped.run.run_id, {"checks": (is_right,)})
        assert again[0].verification == finished
        replayed = asyncio.run(crew.agent().replay(stopped.run.run_id, workspace=crew.workspace).result())
        assert replayed.workers[0].verification == finished
        assert (crew.cheap.asked, crew.smart.asked) == ([], [])
    shutil.rmtree(here)


def test_a_climbed_run_is_played_again_from_its_record(tmp_path: Path, home: Path) -> None:
    """``sunwell replay`` prints the same verdict, without models, checks, or the outcomes since."""
    crew = crew_in(tmp_path / "work")
    done = crew.batch(items(1), ladder=None)
    learn("cheap", False, 90)
    played = CliRunner().invoke(cli, ["replay", done.run.run_id, "-w", str(crew.workspace)])
    assert played.exit_code == 3, played.output
    assert "verdict  not verified: is_right did not pass" in played.output
