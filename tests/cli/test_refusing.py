"""What is given and cannot be used is refused: exit code 2, one sentence, no run and no cost."""

import json
from pathlib import Path

import pytest

from sunwell.agent.request import RunOptions
from sunwell.errors import ConfigurationError
from sunwell.simulator import Simulator

from .conftest import TASK, Invoke


def refused(done, shop: Path, simulator: Simulator) -> str:
    """Return the sentence; nothing was asked, and no run is left behind."""
    assert done.exit_code == 2, done.output
    assert simulator.bill.by_model() == {}
    assert list((shop / ".sunwell" / "runs").glob("*")) == []
    return " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param({"tools": ["nope"]}, "there is no tool 'nope'; there are: ", id="tool"),
        pytest.param({"tools": ["run_command"]}, "there is no tool 'run_command'", id="tool-not-allowed"),
        pytest.param({"budget": {"dollars": 1}}, "no field 'dollars'; did you mean usd?", id="dollars"),
        pytest.param({"budget": 1}, "budget cannot be 1: it must be an object", id="no-object"),
        pytest.param({"budget": {"tokens": "many"}}, 'budget.tokens cannot be "many"', id="no-number"),
        pytest.param({"budget": {"zzz": 1}}, "its fields: usd, tokens", id="unknown"),
        pytest.param({"max_usd": 1}, "no field 'max_usd'; did you mean budget.usd?", id="meaning"),
        pytest.param({"timeout": 1}, "did you mean timeout_seconds?", id="timeout"),
        pytest.param({"timeout_seconds": "5 parsecs"}, 'text such as "90s"', id="time"),
        pytest.param({"done": 3}, "done cannot be 3: it must be text", id="text"),
    ],
)
def test_a_task_of_a_batch(
    sunwell: Invoke, shop: Path, tmp_path: Path, simulator: Simulator, line: dict, said: str
) -> None:
    """Fields, budgets and tools of each line are checked before a run begins, in words of tasks."""
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text(json.dumps({"text": "Say hello", **line}))
    sentence = refused(sunwell("batch", tasks, "-w", shop), shop, simulator)
    assert said in sentence
    assert "argument" not in sentence


def test_a_task_of_a_batch_takes_lengths_of_time(sunwell: Invoke, shop: Path, tmp_path: Path) -> None:
    """As everywhere else: text with a unit, besides seconds."""
    tasks = tmp_path / "tasks.jsonl"
    line = {"text": "Say hello", "timeout_seconds": "1h30m", "budget": {"seconds": "30m", "usd": "0.5"}}
    tasks.write_text(json.dumps(line))
    assert sunwell("batch", tasks, "-w", shop).exit_code == 0


@pytest.mark.parametrize("place", ["full.jsonl", ".", "full.jsonl/below.jsonl"])
def test_a_results_file_that_cannot_be_begun(
    sunwell: Invoke, shop: Path, tmp_path: Path, simulator: Simulator, place: str
) -> None:
    """A file that holds something, a folder, and a place below a file; no open run is left behind."""
    (tmp_path / "tasks.jsonl").write_text('"Say hello"')
    (tmp_path / "full.jsonl").write_text("kept")
    done = sunwell("batch", tmp_path / "tasks.jsonl", "-w", shop, "--results", tmp_path / place)
    assert refused(done, shop, simulator)
    assert (tmp_path / "full.jsonl").read_text() == "kept"


def test_an_earlier_run_that_is_not_there(sunwell: Invoke, shop: Path, simulator: Simulator) -> None:
    """No empty journal is left behind."""
    done = sunwell("run", TASK, "-w", shop, "--orchestrate", "--after", "0abc")
    assert "begins with '0abc'" in refused(done, shop, simulator)


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("hiaku", "haiku"),
        ("Sonet", "sonnet"),
        ("claud-opus-5-5", "claude-opus-5-5"),
        ("anthropc/claude-opus-5-5", "anthropic/claude-opus-5-5"),
    ],
)
def test_a_misspelt_model(sunwell: Invoke, shop: Path, simulator: Simulator, name: str, meant: str) -> None:
    """The name that was meant comes first."""
    done = sunwell("run", TASK, "-w", shop, "-m", name)
    assert f"did you mean {meant}?" in refused(done, shop, simulator)


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("max_usd", "budget=Budget\\(usd=...\\)"),
        ("dollars", "budget=Budget\\(usd=...\\)"),
        ("weak_model", "delegation_model"),
        ("smart_modell", "smart_model"),
        ("maxConcurrency", "max_concurrent"),
    ],
)
def test_an_unknown_option_in_python(given: str, meant: str) -> None:
    """The error of an option that does not exist suggests one, as files and the command line do."""
    with pytest.raises(ConfigurationError, match=f"no option '{given}'; did you mean {meant}"):
        RunOptions(**{given: 1})


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--after 0abc", "--orchestrate"),
        ("--orchestrator-max-turns 3", "--orchestrate"),
        ("--sub-calls-max-per-turn 3", "--sub-calls"),
        ("--sub-calls --delegation-tools delegate", "leave one of the two out"),
        ("--threshold 5 --no-delegate", "no lens is written"),
        ("--split -m haiku", "no lens is written"),
        ("--orchestrate --delegate", "--orchestrate"),
        ("--delegation-model haiku --no-delegate", "delegation is off"),
        ("-m haiku --smart-model opus", "leave one of the two out"),
        ("-m haiku --fallback parent", "--delegation-model"),
        ("--max-parallel 2", "--split"),
        ("--cache-choice at-once", "--split"),
        ("--max-depth 2", "--delegation-tools"),
        ("--delegation-tools delegate --max-depth 0", "no worker"),
        ("--sandbox off", "--allow-shell"),
        ("--ladder cheap", "nothing climbs; add --escalate"),
        ("--worth-usd 1 --check true", "nothing climbs; add --escalate"),
        ("--fresh", "nothing climbs; add --escalate"),
        ("--second-model haiku", "nobody judges"),
        ("--escalate", "there is no check"),
        ("--escalate --check true --ladder nope", "no rung 'nope'"),
        ("--escalate --orchestrate", "allow them (--allow-shell)"),
        ("--escalate --delegation-tools subagent --check true", "sub-calls have no checks"),
        ("--check-timeout-seconds 9 --allow-shell", "no check is a command"),
        ("--allow-shell --tools read_file", "run_command"),
        ("--plugins nobody", "nobody is not installed"),
        ("--budget-usd 1 --max-usd 2", "is given twice"),
        ("-c one.txt -c two.txt", "is given twice"),
        ("-c missing.txt", "cannot be read"),
        ("-c empty.txt", "is empty"),
        ("--dollars 1", "Did you mean '--budget-usd'?"),
        ("--weak-model haiku", "Did you mean '--delegation-model'?"),
    ],
)
def test_an_option_without_effect(
    sunwell: Invoke, shop: Path, simulator: Simulator, monkeypatch, arguments: str, said: str
) -> None:
    """What was typed is used or refused; the sentence says what it needs, or what stands against it."""
    monkeypatch.chdir(shop)
    (shop / "empty.txt").write_text("")
    assert said in refused(sunwell("run", "Say hello", *arguments.split()), shop, simulator)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ("--lens lens.json --delegate", "has no effect"),
        ("--lens lens.json --max-lens-tokens 500", "no lens is written"),
        ("--no-delegate --on-lens-failure fail", "no lens is written"),
        ("--delegation-model haiku --no-delegate --model opus", "do all the work"),
        ("--sandbox off", "--allow-shell"),
    ],
)
def test_an_option_without_effect_on_a_batch(
    sunwell: Invoke, shop: Path, simulator: Simulator, monkeypatch, arguments: str, said: str
) -> None:
    """A batch needs what a run does not, and the other way round."""
    monkeypatch.chdir(shop)
    (shop / "tasks.jsonl").write_text('"Say hello"')
    (shop / "lens.json").write_text(json.dumps({"heuristics": ["Be brief."]}))
    assert said in refused(sunwell("batch", "tasks.jsonl", *arguments.split()), shop, simulator)


def test_settings_of_files_hold_for_many_runs(sunwell: Invoke, shop: Path) -> None:
    """Only what was typed must have an effect."""
    (shop / "sunwell.toml").write_text("[orchestrator]\nmax_turns = 3\n[workers]\nmax_concurrent = 2\n")
    assert sunwell("run", "Say hello", "-w", shop, "--trust-config").exit_code == 0


def test_a_lens_that_is_only_checked_takes_no_other_option(
    sunwell: Invoke, shop: Path, simulator: Simulator, monkeypatch
) -> None:
    """Nothing would be written to the file that ``-o`` names."""
    monkeypatch.chdir(shop)
    (shop / "lens.json").write_text(json.dumps({"heuristics": ["Be brief."]}))
    assert sunwell("lens", "--check", "lens.json").exit_code == 0
    done = sunwell("lens", "--check", "lens.json", "-o", "other.json")
    assert "--output has no effect" in refused(done, shop, simulator)
