"""``sunwell resume``: going on without paying twice."""

import json
import shlex
from decimal import Decimal
from pathlib import Path

import attrs
import pytest

from sunwell.journal import read_records
from sunwell.journal.codec import encode
from sunwell.simulator import Fault, FaultRule, Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS

TASK = "Generate CRUD endpoints for 5 entities"


def test_a_run_goes_on_with_more_turns(sunwell, shop: Path, simulator: Simulator) -> None:
    """A higher limit takes a run to its end, and the lens is not asked for again."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "3", "--json").stdout)
    before = len(simulator.requests)
    done = sunwell("resume", first["run_id"][:20], "-w", shop, "--max-turns", "20", "--json")
    told = json.loads(done.stdout)
    assert (first["status"], done.exit_code, told["status"]) == ("incomplete", 0, "ok")
    assert told["run_id"] == first["run_id"]
    assert Decimal(told["cost_usd"]) == simulator.bill.total_usd()
    lenses = [request for request in simulator.requests if request.model == "claude-opus-5-5"]
    assert len(lenses) == 1
    assert before < len(simulator.requests)


def test_a_finished_run_costs_nothing_more(sunwell, shop: Path, simulator: Simulator) -> None:
    """Taking up what is done gives the same answer, and nothing is asked."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)
    asked = len(simulator.requests)
    again = json.loads(sunwell("resume", first["run_id"], "-w", shop, "--json").stdout)
    assert again["answer"] == first["answer"]
    assert again["cost_usd"] == first["cost_usd"]
    assert len(simulator.requests) == asked


def test_a_finished_run_says_that_nothing_was_asked(sunwell, shop: Path) -> None:
    """One sentence and the result again: the steps of a run that is over are not told as if it went on."""
    first = sunwell("run", TASK, "-w", shop, "--delegate")
    done = sunwell("resume", "0", "-w", shop)
    assert done.exit_code == 0
    assert done.stdout == first.stdout
    line, *bill = done.stderr.splitlines()
    assert (
        line == "the run had finished: nothing was asked and nothing was paid, and this is its result again"
    )
    told_first = first.stderr.splitlines()  # with what had been forecast, and with its steps
    assert bill == [line for line in told_first if line in bill]
    assert len(bill) > 8
    told = sunwell("resume", "0", "-w", shop, "-v")
    assert "from the journal" in told.stderr
    assert done.stderr in told.stderr


@pytest.mark.parametrize("is_over", [True, False], ids=["finished", "cut-off"])
def test_what_is_cut_off_the_end_of_a_journal_is_said(sunwell, shop: Path, simulator, is_over) -> None:
    """One sentence: how much, and where it is kept. The answers before it are asked no more."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)
    asked, journal = len(simulator.requests), Path(first["journal"])
    if is_over:
        journal.write_bytes(journal.read_bytes() + b"\0" * 99 + b"garbage")
    else:
        journal.write_bytes(journal.read_bytes()[:-40])
    done = sunwell("resume", "0", "-w", shop)
    [said] = [line for line in done.stderr.splitlines() if "cut off" in line]
    torn = journal.with_suffix(".torn")
    size = torn.stat().st_size
    assert said == (
        f"note: {size:,} bytes (1 line) after the last good record were cut off; they are kept in {torn}"
    )
    assert (done.exit_code, len(simulator.requests)) == (0, asked)
    assert "cut off" not in sunwell("resume", "0", "-w", shop).stderr


def test_a_folder_in_the_place_of_a_journal_is_named(sunwell, shop: Path) -> None:
    """One sentence that says what is in the way; the listing shows it as damaged."""
    place = shop / ".sunwell/runs/0000/journal.jsonl"
    place.mkdir(parents=True)
    done = sunwell("resume", "0", "-w", shop)
    assert done.exit_code == 2
    assert f"{place} is not a file: move it out of the way" in done.stderr
    [listed] = json.loads(sunwell("runs", "-w", shop, "--json").stdout)["runs"]
    assert (listed["status"], "is not a file" in listed["error"]) == ("damaged", True)


def test_other_ceilings_stay(sunwell, shop: Path) -> None:
    """A ceiling that is raised leaves the recorded others as they were."""
    first = json.loads(
        sunwell(
            "run", TASK, "-w", shop, "--model", "haiku", "--max-turns", "2", "--max-calls", "4", "--json"
        ).stdout
    )
    told = json.loads(sunwell("resume", first["run_id"], "-w", shop, "--max-turns", "20", "--json").stdout)
    assert (told["status"], told["stop_reason"]) == ("incomplete", "calls")


def cut_off(sunwell, shop: Path, *options: str, env: dict[str, str] | None = None) -> str:
    """Leave a run that met its limit of two turns, and return its id."""
    done = sunwell("run", TASK, "-w", shop, "-m", "haiku", "--max-turns", "2", "--json", *options, env=env)
    told = json.loads(done.stdout)
    assert told["status"] == "incomplete", done.output
    return str(told["run_id"])


def test_a_raised_ceiling_holds_also_if_the_first_try_fails(sunwell, shop: Path, keys) -> None:
    """What the old ceiling refused is asked under the new one, though a process with that one had failed."""
    told = json.loads(sunwell("run", TASK, "-w", shop, "-m", "haiku", "--max-calls", "2", "--json").stdout)
    assert told["stop_reason"] == "calls"
    again = ("resume", told["run_id"], "-w", shop, "--max-calls", "30", "--json")
    with running_simulator(Simulator(DEMO_MODELS, faults=FaultRule(Fault(status=401)))) as refusing:
        failed = sunwell(*again, env={**keys, "ANTHROPIC_BASE_URL": refusing.url})
    assert failed.exit_code == 1, failed.output
    assert json.loads(sunwell(*again).stdout)["status"] == "ok"


def test_a_file_that_others_run_is_allowed_again_or_refused(sunwell, shop: Path, simulator, keys) -> None:
    """The record alone opens nothing; the option does, and so does the user's own environment."""
    run_id = cut_off(sunwell, shop, "--allow-write", ".envrc")
    said = "with --allow-write .envrc, which its record cannot grant"
    assert said in sunwell("resume", run_id, "-w", shop, "--accept-changes").stderr
    assert said in sunwell("fork", run_id, "--at", "run/direct", "-w", shop).stderr
    done = sunwell("resume", run_id, "-w", shop, "--max-turns", "3", "--allow-write", ".envrc")
    assert done.exit_code == 3, done.output
    env = {**keys, "SUNWELL_ALLOW_WRITE": ".envrc"}
    assert sunwell("resume", run_id, "-w", shop, "--max-turns", "20", env=env).exit_code == 0


@pytest.mark.parametrize("option", ["--allow-shell", "--allow-python"])
def test_a_permission_is_given_again_or_refused(sunwell, shop: Path, simulator, keys, option: str) -> None:
    """By the option, or by the user's own environment; the record alone gives nothing."""
    run_id = cut_off(sunwell, shop, option)
    asked = len(simulator.requests)
    for more in ((), ("--accept-changes",), (f"--no-{option[2:]}",)):
        refused = sunwell("resume", run_id, "-w", shop, "--max-turns", "3", *more)
        assert refused.exit_code == 2, refused.output
    assert f"with {option}, which its record cannot grant" in sunwell("resume", run_id, "-w", shop).stderr
    assert (
        f"with {option}, which its record cannot grant"
        in sunwell("fork", run_id, "--at", "run/direct", "-w", shop).stderr
    )
    assert len(simulator.requests) == asked
    done = sunwell("resume", run_id, "-w", shop, "--max-turns", "3", option)
    assert done.exit_code == 3, done.output
    variable = f"SUNWELL_{option[2:].replace('-', '_').upper()}"
    done = sunwell("resume", run_id, "-w", shop, "--max-turns", "4", env={**keys, variable: "true"})
    assert done.exit_code == 3, done.output
    without = (f"--no-{option[2:]}", "--accept-changes", "--max-turns", "20")
    assert sunwell("resume", run_id, "-w", shop, *without).exit_code == 0


def test_the_way_to_go_on_names_what_must_be_given_again(sunwell, shop: Path) -> None:
    """The command that is printed works as it is."""
    done = sunwell("run", TASK, "-w", shop, "-m", "haiku", "--max-turns", "2", "--allow-shell")
    [line] = [line for line in done.stderr.splitlines() if line.startswith("resume ")]
    assert line.endswith("--allow-shell --budget-turns N")
    words = shlex.split(
        line.removeprefix("resume   sunwell ").replace("--budget-turns N", "--budget-turns 20")
    )
    assert sunwell(*words).exit_code == 0


def test_configured_permissions_add_nothing_to_a_run(sunwell, shop: Path, simulator, keys) -> None:
    """Somebody who usually allows the shell does not give it to a run that was started without."""
    run_id = cut_off(sunwell, shop)
    env = {**keys, "SUNWELL_ALLOW_SHELL": "true"}
    assert sunwell("resume", run_id, "-w", shop, "--max-turns", "20", env=env).exit_code == 0
    assert "run_command" not in {tool["name"] for tool in simulator.requests[-1].body["tools"]}


def test_one_line_says_which_ceilings_hold(sunwell, shop: Path, keys) -> None:
    """Each with where it comes from: the command line, the user's settings, or the run's record."""
    run_id = cut_off(sunwell, shop, "--max-usd", "5", "--budget-tokens", "900000")
    env = {**keys, "SUNWELL_BUDGET_USD": "3", "SUNWELL_BUDGET_CALLS": "40", "SUNWELL_BUDGET_TURNS": "1"}
    done = sunwell("resume", run_id, "-w", shop, "--max-turns", "20", env=env)
    assert done.exit_code == 0, done.output
    [line] = [line for line in done.stderr.splitlines() if line.startswith("ceilings: ")]
    assert line == (
        "ceilings: $3.00 (environment SUNWELL_BUDGET_USD), 900,000 tokens (the run's record), "
        "40 calls (environment SUNWELL_BUDGET_CALLS), 20 turns (--budget-turns)"
    )


def test_a_ceiling_that_was_raised_in_the_record_does_not_pass_the_users_own(
    sunwell, shop: Path, simulator, keys
) -> None:
    """The project's journal says 1,000 dollars and no limit of calls; the user's variables say otherwise."""
    run_id = cut_off(sunwell, shop)
    journal = shop / ".sunwell" / "runs" / run_id / "journal.jsonl"
    opened, *others = read_records(journal)
    settings = dict(opened.settings)
    ceilings = dict.fromkeys(("budget_tokens", "budget_calls", "budget_turns", "budget_seconds"))
    settings["options"] |= ceilings | {"budget_usd": "1000"}
    records = [attrs.evolve(opened, settings=settings), *others]
    journal.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))
    assert sunwell("adopt", run_id, "-w", shop).exit_code == 0
    asked = len(simulator.requests)
    done = sunwell(
        "resume", run_id, "-w", shop, "--json", env={**keys, "SUNWELL_BUDGET_CALLS": str(asked + 1)}
    )
    assert json.loads(done.stdout)["stop_reason"] == "calls"
    assert len(simulator.requests) <= asked + 1


def test_a_damaged_record_is_one_sentence_for_every_command(sunwell, shop: Path) -> None:
    """Whatever reads the settings; what only shows the run may still show it."""
    run_id = cut_off(sunwell, shop)
    journal = shop / ".sunwell" / "runs" / run_id / "journal.jsonl"
    opened, *others = read_records(journal)
    settings = dict(opened.settings)
    settings["options"]["max_concurrent"] = "many"
    records = [attrs.evolve(opened, settings=settings), *others]
    journal.write_bytes(b"".join(encode(record, i) + b"\n" for i, record in enumerate(records)))
    assert sunwell("adopt", run_id, "-w", shop).exit_code == 0
    for command in (("resume", run_id), ("replay", run_id), ("fork", run_id, "--at", "run/direct")):
        done = sunwell(*command, "-w", shop)
        assert done.exit_code == 2, done.output
        [said] = done.stderr.splitlines()
        assert "journal are damaged: its options.max_concurrent cannot be 'many'; restore the journal" in said
    done = sunwell("record", journal)
    assert (done.exit_code, "damaged" in done.stderr) == (2, True)
    for command in (("show", run_id), ("runs",), ("undo", run_id)):
        assert "Traceback" not in sunwell(*command, "-w", shop).output


def test_undo_follows_no_link(sunwell, shop: Path, tmp_path: Path) -> None:
    """What is kept must lie in the workspace, and its index must be one."""
    told = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--json").stdout)
    originals = Path(told["journal"]).parent / "originals"
    index = originals / "index.jsonl"
    text = index.read_text()
    index.write_text(text + '\n{"path": "x", "before": 7}\n{"path": "y", "before": "../../etc/passwd"}')
    assert sunwell("undo", told["run_id"], "-w", shop).exit_code == 0
    originals.rename(tmp_path / "elsewhere")
    originals.symlink_to(tmp_path / "elsewhere")
    done = sunwell("undo", told["run_id"], "-w", shop)
    assert (done.exit_code, "is a symbolic link" in done.stderr) == (2, True)


def test_a_changed_model_is_refused(sunwell, shop: Path, simulator: Simulator) -> None:
    """Who takes a run up elsewhere, where a name stands for nothing, gets a sentence."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "2", "--json").stdout)
    done = sunwell("resume", first["run_id"], "-w", shop, env={})
    assert done.exit_code == 2
    assert "ANTHROPIC_API_KEY" in done.stderr


def test_a_run_may_go_on_as_a_dry_run(sunwell, shop: Path) -> None:
    """What it would still have changed is shown and not made."""
    first = json.loads(sunwell("run", TASK, "-w", shop, "--delegate", "--max-turns", "1", "--json").stdout)
    before = {path: path.read_bytes() for path in shop.rglob("*.py")}
    again = ("resume", first["run_id"], "-w", shop, "--max-turns", "20", "--dry-run", "--accept-changes")
    done = sunwell(*again)
    assert (first["status"], done.exit_code) == ("incomplete", 0), done.output
    assert {path: path.read_bytes() for path in shop.rglob("*.py")} == before


def _parts(node: dict):
    yield node
    for child in node["children"]:
        yield from _parts(child)


def test_a_fork_names_the_model_that_answered(sunwell, shop: Path) -> None:
    """Copied answers are the old model's; what comes after is the new one's, and only its time counts."""
    told = json.loads(sunwell("run", TASK, "-w", shop, "-m", "haiku", "--json").stdout)
    arguments = (told["run_id"], "-w", shop, "--at", "run/direct:5", "-m", "sonnet", "--accept-changes")
    done = sunwell("fork", *arguments)
    assert done.exit_code == 0, done.output
    calls = [line for line in done.stderr.splitlines() if line.startswith("direct ")]
    copied = [line for line in calls if "from the journal" in line]
    assert len(copied) == 5
    assert all("claude-haiku-5-5" in line for line in copied)
    assert all("claude-sonnet-5-5" in line for line in calls[5:])
    journal = next(line for line in done.stderr.splitlines() if line.startswith("journal"))
    exported = json.loads(
        sunwell("export", Path(journal.removeprefix("journal").strip()).parent.name, "-w", shop).stdout
    )["root"]
    (part,) = exported["children"]
    assert part["model"] == "claude-sonnet-5-5"
    assert part["duration_ms"] <= exported["duration_ms"]
    copied_tools = [node for node in _parts(part) if node["type"] == "tool"][:3]
    assert {node["duration_ms"] for node in copied_tools} == {None}


def test_no_part_took_longer_than_its_run(sunwell, shop: Path) -> None:
    """The time between two processes counts nowhere; totals in the export are those of the bill."""
    told = json.loads(sunwell("run", TASK, "-w", shop, "-m", "haiku", "--budget-turns", "3", "--json").stdout)
    again = json.loads(sunwell("resume", told["run_id"], "-w", shop, "--budget-turns", "30", "--json").stdout)
    root = json.loads(sunwell("export", told["run_id"], "-w", shop).stdout)["root"]
    assert all((part["duration_ms"] or 0) <= root["duration_ms"] for part in _parts(root))
    assert root["duration_ms"] == round(again["duration_seconds"] * 1000)
    assert root["tokens_used"] == again["usage"]["total_tokens"]
    assert root["cost"] == float(again["cost_usd"])


def test_a_fork_refuses_a_model_that_nobody_asks(sunwell, shop: Path, simulator: Simulator) -> None:
    """As for the delegation model: it would be ignored."""
    told = json.loads(sunwell("run", TASK, "-w", shop, "-m", "haiku", "--json").stdout)
    calls = simulator.bill.by_model()
    done = sunwell("fork", told["run_id"], "-w", shop, "--at", "run/direct:5", "--smart-model", "opus")
    assert (done.exit_code, "--smart-model has no effect" in done.stderr) == (2, True)
    assert simulator.bill.by_model() == calls
