"""``sunwell batch`` and ``sunwell lens`` over real HTTP: results, order, resume, bad input."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from sunwell.simulator import Fault, FaultRule, Simulator, echo, running_simulator

Invoke = Callable[..., Result]
ENTITIES = ("Product", "Customer", "Order")


def tasks_in(folder: Path, *lines: object) -> Path:
    """Return a file of tasks."""
    path = folder / "tasks.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return path


@pytest.fixture
def tasks(tmp_path: Path) -> Path:
    """Return three tasks, one of them with limits of its own."""
    texts = [f"Generate CRUD endpoints for the entity {name}" for name in ENTITIES]
    more = {"text": texts[2], "budget": {"turns": 20}, "timeout_seconds": 60, "done": "it imports"}
    return tasks_in(tmp_path, json.dumps(texts[0]), "", {"task": texts[1]}, more)


def test_a_batch_under_a_lens_that_was_written_before(
    sunwell: Invoke, shop: Path, tmp_path: Path, tasks: Path
) -> None:
    """The lens is written once, checked for nothing, and read by every worker; results are in order."""
    lens, out = tmp_path / "lens.json", tmp_path / "out.jsonl"
    written = sunwell("lens", "Generate CRUD endpoints for 5 entities", "-w", shop, "-o", lens)
    assert written.exit_code == 0, written.output
    assert sunwell("lens", "--check", lens).exit_code == 0
    done = sunwell("batch", tasks, "-w", shop, "--lens", lens, "--results", out)
    assert done.exit_code == 0, done.output
    assert "3 tasks done" in done.output
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [one["index"] for one in results] == [0, 1, 2]
    assert [one["status"] for one in results] == ["ok"] * 3
    assert all(one["receipts"]["tools_called"]["write_file"] == 1 for one in results)
    assert {path.stem for path in (shop / "shop" / "endpoints").glob("*.py")} >= {
        "product",
        "customer",
        "order",
    }
    text = (shop / "shop" / "routes.py").read_text()
    assert all(name.lower() in text for name in ENTITIES)


def test_without_a_file_results_are_printed_in_order(sunwell: Invoke, shop: Path, tasks: Path) -> None:
    """Standard output has a line for each and nothing else; a lens is written first, as nobody has one."""
    done = sunwell("batch", tasks, "-w", shop)
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["index"] for one in lines] == [0, 1, 2]
    assert "bill     claude-haiku-5-5" in done.stderr
    assert "claude-opus-5-5" in done.stderr


def test_a_batch_that_met_its_budget_goes_on_where_it_stopped(
    sunwell: Invoke, shop: Path, tmp_path: Path, tasks: Path
) -> None:
    """``sunwell resume`` with more calls finishes it, and completes the same results file.

    The file is not in the workspace, so the record alone does not make anybody write to it.
    """
    out = tmp_path / "out.jsonl"
    first = sunwell("batch", tasks, "-w", shop, "--results", out, "--max-calls", "8")
    assert first.exit_code == 3, first.output
    assert f"--results {out} --budget-calls N" in first.output
    run, before = next((shop / ".sunwell" / "runs").glob("0*")).name, out.read_bytes()
    refused = sunwell("resume", run, "-w", shop, "--max-calls", "100")
    assert (refused.exit_code, out.read_bytes()) == (2, before)
    assert f"the results file {out} of the record is not a place in the workspace" in refused.stderr
    again = sunwell("resume", run, "-w", shop, "--max-calls", "100", "--results", out)
    assert again.exit_code == 0, again.output
    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [(one["index"], one["status"]) for one in results] == [(0, "ok"), (1, "ok"), (2, "ok")]


def test_results_of_another_run_are_not_mixed_in(
    sunwell: Invoke, shop: Path, tmp_path: Path, tasks: Path
) -> None:
    """A file that holds results already is refused before anything is spent, and stays as it is."""
    out = tmp_path / "out.jsonl"
    out.write_text('{"index": 7, "status": "ok"}\n')
    done = sunwell("batch", tasks, "-w", shop, "--results", out)
    assert done.exit_code == 2, done.output
    assert "is not empty: name another file, or go on with its run by sunwell resume" in done.output
    assert "bill " not in done.output
    assert out.read_text() == '{"index": 7, "status": "ok"}\n'


@pytest.mark.parametrize(
    ("flags", "statuses"),
    [
        pytest.param((), ["error", "ok", "ok", "ok"], id="the-others-go-on"),
        pytest.param(("--fail-fast",), ["error", "cancelled", "cancelled", "cancelled"], id="fail-fast"),
    ],
)
def test_one_failure_costs_the_others_nothing_unless_that_is_wanted(
    sunwell: Invoke, shop: Path, tmp_path: Path, flags: tuple[str, ...], statuses: list[str]
) -> None:
    """With ``--fail-fast`` nobody else is asked; the way to go on is printed, and goes on."""
    tasks = tasks_in(tmp_path, *(json.dumps(f"Say {i}") for i in range(4)))
    model = "claude-haiku-5-5"
    faults = [FaultRule(Fault(status=400), numbers={1})]
    with running_simulator(Simulator({model: echo}, faults=faults)) as sim:
        env = {"ANTHROPIC_BASE_URL": sim.url, "ANTHROPIC_API_KEY": "simulated-key"}
        words = ("batch", tasks, "-w", shop, "-m", model, "--max-concurrent", "1", *flags)
        done = sunwell(*words, env=env)
        assert done.exit_code == 3, done.output
        assert [json.loads(line)["status"] for line in done.stdout.splitlines()] == statuses
        assert len(sim.bill.entries()) == statuses.count("ok")
        run = done.stderr.partition("resume   sunwell resume ")[2].split()[0]
        again = sunwell("resume", run, "-w", shop, env=env)
        assert again.exit_code == 0, again.output
        assert len(sim.bill.entries()) == 4


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("no json", "line 1 is not JSON", id="no-json"),
        pytest.param("[1]", "must be a string or an object", id="a-list"),
        pytest.param('{"task": ""}', "is empty", id="empty"),
        pytest.param('{"scope": "x"}', "a task needs a text", id="no-text"),
        pytest.param('{"task": "x", "model": "opus"}', "no field 'model'", id="unknown-field"),
        pytest.param(
            '{"task": "x", "budget": {"usd": -1}}',
            "budget.usd cannot be -1: it must be an amount",
            id="bad-budget",
        ),
        pytest.param('{"task": "x", "tools": "read_file"}', "must be a list of texts", id="tools-as-text"),
    ],
)
def test_a_bad_line_is_named_before_anything_is_spent(
    sunwell: Invoke, shop: Path, tmp_path: Path, line: str, said: str
) -> None:
    """One sentence says where it is and what is wrong; no run is begun."""
    done = sunwell("batch", tasks_in(tmp_path, line), "-w", shop)
    assert done.exit_code == 2
    assert said in done.output
    assert not (shop / ".sunwell").exists()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("{", "is no JSON", id="no-json"),
        pytest.param('{"heuristics": "one"}', "heuristics must be a list of strings", id="text-for-a-list"),
        pytest.param('{"heuristic": ["one"]}', "has no 'heuristic'", id="unknown-part"),
        pytest.param('{"heuristics": []}', "is empty", id="empty"),
    ],
)
def test_a_lens_that_is_none_is_refused(sunwell: Invoke, tmp_path: Path, text: str, said: str) -> None:
    """Checking and using it say the same."""
    lens = tmp_path / "lens.json"
    lens.write_text(text)
    done = sunwell("lens", "--check", lens)
    assert done.exit_code == 2
    assert said in done.output


def test_a_byte_order_mark_before_what_a_command_reads_is_skipped(
    sunwell: Invoke, shop: Path, tmp_path: Path
) -> None:
    """Tasks, a lens, a piped task and its material are read with the mark as without it, by all commands."""
    tasks = tmp_path / "tasks.jsonl"
    tasks.write_text('"Say a"\n', "utf-8-sig")
    lens = tmp_path / "lens.json"
    lens.write_text('{"heuristics": ["one"]}', "utf-8-sig")
    material = tmp_path / "material.txt"
    material.write_text("a text", "utf-8-sig")
    done = sunwell("batch", tasks, "-w", shop, "--lens", lens)
    assert done.exit_code == 0, done.output
    checked = sunwell("lens", "--check", lens)
    assert checked.exit_code == 0, checked.output
    done = sunwell("run", "-", "-c", material, "-w", shop, "-m", "haiku", "--json", said="\ufeffSay b")
    assert done.exit_code == 0, done.output
    journals = "".join(one.read_text() for one in (shop / ".sunwell").rglob("journal.jsonl"))
    assert "Say b" in journals
    assert "a text" in journals
    assert "\ufeff" not in journals
    assert "\\ufeff" not in journals


def test_a_batch_and_a_lens_heed_what_is_configured(sunwell: Invoke, shop: Path, tasks: Path) -> None:
    """Models, limits and switches of the project's file hold here as they do for a run."""
    (shop / "sunwell.toml").write_text('model = "haiku"\nsmart_model = "sonnet"\n[budget]\nturns = 1\n')
    done = sunwell("batch", tasks, "-w", shop, "--trust-config")
    assert done.exit_code == 3, done.output
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["stop_reason"] for one in lines} == {"turns"}
    assert "claude-opus-5-5" not in done.stderr
    written = sunwell("lens", "Generate CRUD endpoints for 5 entities", "-w", shop, "--trust-config")
    assert written.exit_code == 0, written.output
    (shop / "sunwell.toml").write_text('smart_mdoel = "sonnet"\n')
    refused = sunwell("batch", tasks, "-w", shop, "--trust-config")
    assert (refused.exit_code, "smart_model" in refused.output) == (2, True)


@pytest.mark.parametrize(
    ("option", "lens", "expected"),
    [((), "", True), (("--no-delegate",), "", False), ((), "lens.json", False)],
    ids=["by-itself", "switched-off", "lens-is-given"],
)
def test_a_batch_has_one_lens_written_unless_it_is_switched_off_or_given(
    sunwell: Invoke,
    shop: Path,
    tmp_path: Path,
    tasks: Path,
    option: tuple[str, ...],
    lens: str,
    expected: bool,
) -> None:
    """The record says whether the smart model was to write one."""
    if lens:
        sunwell("lens", "Generate CRUD endpoints for 5 entities", "-w", tmp_path, "-o", tmp_path / lens)
        option += ("--lens", str(tmp_path / lens))
    assert sunwell("batch", tasks, "-w", shop, *option).exit_code == 0
    [journal] = shop.glob(".sunwell/runs/*/journal.jsonl")
    with journal.open() as lines:
        assert json.loads(next(lines))["settings"]["options"]["enable_delegation"] is expected


def test_results_with_the_longest_name_are_written(
    sunwell: Invoke, shop: Path, tmp_path: Path, tasks: Path
) -> None:
    """The file that takes their place for a moment has a shorter one."""
    out = tmp_path / ("é" * 120 + ".jsonl")
    done = sunwell("batch", tasks, "-w", shop, "--results", out)
    assert done.exit_code == 0, done.output
    assert [json.loads(line)["index"] for line in out.read_text().splitlines()] == [0, 1, 2]
