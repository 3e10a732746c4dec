"""The ladder on the command line: a task that is given up leaves its evidence and the reason."""

import json
from pathlib import Path

from tests.bubblewrap import needs_bubblewrap
from tests.cli.conftest import TASK


@needs_bubblewrap
def test_a_give_up_leaves_evidence_and_reason(sunwell, shop: Path) -> None:
    """In the exit code, in --json, and later in show."""
    given = (
        "--check",
        "python3 -B -m unittest",
        "--escalate",
        "--ladder",
        "cheap",
        "--ladder",
        "cheap_again",
    )
    models = ("--smart-model", "claude-opus-5-5", "--delegation-model", "claude-haiku-5-5")
    done = sunwell("run", TASK, "-w", shop, "--json", *models, *given)
    told = json.loads(done.stdout)
    assert done.exit_code != 0
    assert told["status"] == "incomplete"
    found = told["verification"]
    assert found["passed"] is False
    assert found["by"] == ["python3 -B -m unittest"]
    assert [rung["rung"] for rung in found["rungs"]] == ["cheap", "cheap_again"]
    for rung in found["rungs"]:
        assert "FAILED" in rung["evidence"]
        assert rung["reason"]
        assert rung["cost_usd"]
        assert rung["quoted_usd"]
    assert found["gave_up"] == "gave up: every rung was tried"
    assert "FAILED" in found["evidence"]
    shown = sunwell("show", told["run_id"], "-w", shop).stdout
    assert "not verified: python3 -B -m unittest did not pass after 2 rungs, $" in shown
    assert "gave up: every rung was tried" in shown
    assert "FAILED" in shown
    assert shown.count("✗ check python3 -B -m unittest") == 2


MODELS = ("--smart-model", "claude-opus-5-5", "--delegation-model", "claude-haiku-5-5")


@needs_bubblewrap
def test_a_batch_without_room_says_how_it_goes_on(sunwell, shop: Path) -> None:
    """With more money, and with the checks of its tasks allowed again; a give-up says nothing of the kind."""
    tasks = shop / "tasks.jsonl"
    tasks.write_text('{"text": "Generate CRUD endpoints for product", "check": "exit 1"}')
    given = ("batch", tasks, "-w", shop, "--escalate", *MODELS)
    done = sunwell(*given, "--budget-usd", "0.012")
    assert done.exit_code == 3
    run_id = next((shop / ".sunwell" / "runs").iterdir()).name
    assert f"sunwell resume {run_id} --workspace {shop} --allow-checks --budget-usd X" in done.stderr
    assert "task-0: rung cheap_again: claude-haiku-5-5" in done.stderr
    done = sunwell(*given, "--ladder", "cheap")
    assert "every rung was tried" in done.stdout
    assert "sunwell resume" not in done.stderr
