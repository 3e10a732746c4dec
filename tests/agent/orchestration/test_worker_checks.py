"""Checks that a model names for its workers: who may, what decides, and what is told of it."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from sunwell.core import Budget, Completion, Price, Rates, Request
from sunwell.core.tool import Proposal
from sunwell.testing import Line
from tests.agent.orchestrated import answer, boss, call, results_in
from tests.agent.orchestration.workspaces import by_task, calls_of, orchestrate, writes

SHELL: dict[str, Any] = {"allow_shell": True, "sandbox": "off"}
AWAIT = call("await_results", task_ids=None, timeout_seconds=None)


def batch(*tasks: tuple[str, str | None]) -> Line:
    """Return an answer that delegates tasks, each with its check."""
    return call(
        "delegate_batch", tasks=[{"task": task, "tools": None, "check": check} for task, check in tasks]
    )


async def test_the_verdict_is_in_the_report_and_in_the_result(tmp_path: Path) -> None:
    """Work that fails its check is incomplete, with what the check found; other work does not wait for it."""
    smart = boss(
        batch(
            ("good", "grep -q right good.txt"), ("bad", "cat bad.txt; grep -q right bad.txt"), ("free", None)
        ),
        AWAIT,
        answer("ok"),
    )
    cheap = by_task(
        {
            "good": [writes("good.txt", "right\n"), "good is done"],
            "bad": [writes("bad.txt", "wrong\n"), "bad is done"],
            "free": ["free is done"],
        }
    )
    result = await orchestrate(tmp_path, smart, cheap, **SHELL)
    by = {one.task: one for one in result.workers}
    assert [(by[name].status, by[name].stop_reason) for name in ("good", "bad", "free")] == [
        ("ok", "end"),
        ("incomplete", "check_failed"),
        ("ok", "end"),
    ]
    verified = [by[name].verification for name in ("good", "bad", "free")]
    assert [None if one is None else one.passed for one in verified] == [True, False, None]
    _, good, bad, free = results_in(smart.calls[-1])[1].split("\n\nWorker ")
    assert "- check passed: grep -q right good.txt" in good
    assert "- check failed: cat bad.txt; grep -q right bad.txt" in bad
    assert "exit code 1\nwrong" in bad
    assert "bad is done" in bad
    assert "check" not in free
    assert result.status == "ok"  # the run's own end is another matter


async def test_a_worker_is_told_of_its_check(tmp_path: Path) -> None:
    """Behind its task, as a task of a batch is."""
    smart = boss(call("delegate", task="dig", tools=None, check="test -f a"), AWAIT, answer("ok"))
    cheap = by_task({"dig": ["done"]})
    await orchestrate(tmp_path, smart, cheap, **SHELL)
    assert "only if also: the command `test -f a` ends with exit code 0" in cheap.calls[0].messages[0].text


@pytest.mark.parametrize(
    ("options", "check", "said"),
    [
        pytest.param({}, "true", "no commands may run here", id="no-shell"),
        pytest.param(
            {**SHELL, "tools": ("read_file",)}, "true", "no commands may run here", id="not-among-tools"
        ),
        pytest.param(SHELL, f"true {'x' * 2_000}", "2,000 is the most", id="too-long"),
        pytest.param(
            {**SHELL, "approve": lambda asked: False}, "true", "was not approved", id="not-approved"
        ),
    ],
)
async def test_a_check_that_may_not_run_refuses_its_item_alone(
    tmp_path: Path, options: dict[str, Any], check: str, said: str
) -> None:
    """In one sentence; the others start."""
    smart = boss(batch(("one", check), ("two", None)), AWAIT, answer("ok"))
    result = await orchestrate(tmp_path, smart, by_task({"two": ["2"]}), **options)
    told = results_in(smart.calls[-1])[0]
    assert told.startswith("Started 1 worker for 2 tasks;")
    assert "- not started · one · " in told
    assert said in told
    assert [one.task for one in result.workers] == ["two"]


async def test_a_single_task_whose_check_may_not_run_is_refused(tmp_path: Path) -> None:
    """And the call does not count as called."""
    smart = boss(call("delegate", task="dig", tools=None, check="true"), answer("ok"))
    result = await orchestrate(tmp_path, smart, by_task({}))
    assert "leave check null" in results_in(smart.calls[-1])[0]
    assert dict(result.tools_called) == {"set_answer": 1}


async def test_checks_are_approved_like_commands(tmp_path: Path) -> None:
    """Whoever approves commands is asked before the worker starts, once for each check."""
    asked: list[Proposal] = []

    def approve(proposal: Proposal) -> bool:
        asked.append(proposal)
        return True

    smart = boss(batch(("one", "true"), ("two", "true")), AWAIT, answer("ok"))
    cheap = by_task({"one": ["1"], "two": ["2"]})
    result = await orchestrate(tmp_path, smart, cheap, **SHELL, approve=approve)
    assert [(one.tool, one.summary, one.details) for one in asked] == [
        ("run_command", "check of a worker: run true", "true")
    ] * 2
    assert all(one.verification is not None and one.verification.passed for one in result.workers)


async def test_work_that_fails_its_check_goes_up_where_the_ladder_is_on(tmp_path: Path) -> None:
    """Each rung is paid and told; the cap of the run holds for all of them."""
    smart = boss(
        batch(("dig", "grep -q right a.txt")),
        AWAIT,
        writes("a.txt", "right\n"),
        "now it is right",
        answer("ok"),
    )
    cheap = by_task({"dig": [writes("a.txt", "wrong\n"), "it is there", "it is right, really"]})
    result = await orchestrate(
        tmp_path,
        smart,
        cheap,
        **SHELL,
        escalate=True,
        worth_usd=100,
        ladder=("cheap", "cheap_again", "smart"),
        budget=Budget(tokens=1_000_000),
    )
    (one,) = result.workers
    assert one.verification is not None
    rungs = [(attempt.rung, attempt.model, attempt.passed) for attempt in one.verification.attempts]
    assert rungs == [("cheap", "worker", False), ("cheap_again", "worker", False), ("smart", "boss", True)]
    assert (one.status, one.answer) == ("ok", "now it is right")
    told = results_in(smart.calls[-1])[1]
    assert "- check passed: grep -q right a.txt" in told
    assert "- tried on these rungs: cheap failed, cheap_again failed, smart passed" in told


async def test_each_rung_reads_the_brief(tmp_path: Path) -> None:
    """What the model tells all its workers holds for whoever does the work next."""
    empty: dict[str, list[str]] = {"heuristics": [], "patterns": [], "anti_patterns": [], "examples": []}
    smart = boss(
        call("write_brief", constraints=["Name the line."], **empty),
        batch(("dig", "grep -q right dig.txt")),
        AWAIT,
        writes("dig.txt", "right\n"),
        "now it is right",
        answer("ok"),
    )
    cheap = by_task({"dig": [writes("dig.txt", "wrong\n"), "done"]})
    ladder = {"escalate": True, "worth_usd": 100, "ladder": ("cheap", "smart")}
    result = await orchestrate(tmp_path, smart, cheap, **SHELL, **ladder)
    assert result.workers[0].answer == "now it is right"
    work = [
        *cheap.calls,
        *(one for one in smart.calls if any(spec.name == "write_file" for spec in one.tools)),
    ]
    assert len(work) == 4
    assert all("- Name the line." in request.system[-1] for request in work)


async def test_a_worker_that_may_climb_hands_nothing_out(tmp_path: Path) -> None:
    """Its work may go on at another place in the run, which has no workers there. Siblings may."""
    smart = boss(batch(("dig", "true"), ("free", None)), AWAIT, answer("ok"))
    deeper = calls_of("delegate", task="deeper", tools=None, check=None)
    cheap = by_task({"dig": [deeper, "alone"], "free": [deeper, "sent"], "deeper": ["deep"]})
    result = await orchestrate(
        tmp_path, smart, cheap, **SHELL, escalate=True, worth_usd=100, max_depth=2, ladder=("cheap", "smart")
    )
    called = {one.task: dict(one.tools_called) for one in result.workers}
    assert called == {"dig": {}, "free": {"delegate": 1}, "deeper": {}}


async def test_a_worker_without_commands_names_no_check(tmp_path: Path) -> None:
    """A check is a command: who may not run any itself cannot have one run by a worker of its own."""
    smart = boss(call("delegate", task="dig", tools=["delegate"], check=None), AWAIT, answer("ok"))
    deeper = calls_of("delegate", task="deeper", tools=None, check="touch made")
    cheap = by_task({"dig": [deeper, "refused"]})
    await orchestrate(tmp_path, smart, cheap, **SHELL, max_depth=2)
    assert "no commands may run here" in results_in(cheap.calls[-1])[0]
    assert not (tmp_path / "made").exists()


async def test_a_check_of_the_run_can_be_run_by_a_worker_while_others_wait_for_it(tmp_path: Path) -> None:
    """A call that waits for workers is no writing, so checks do not wait for its end."""
    smart = boss(call("delegate", task="dig", tools=None, check="true"), AWAIT, answer("ok"))
    cheap = by_task({"dig": [calls_of("run_checks"), "checked"]})
    result = await orchestrate(tmp_path, smart, cheap, **SHELL, checks=("true",))
    assert result.verification is not None
    assert result.verification.passed
    assert dict(result.workers[0].tools_called) == {"run_checks": 1}


async def test_the_cap_of_the_run_holds_for_all_rungs(tmp_path: Path) -> None:
    """A dearer rung is asked as long as the cap has room, and no longer; what was found is told."""

    def say(request: Request) -> str | Completion:
        if "Another model has tried" in request.messages[0].text:
            return "I cannot do better"
        return "the end" if request.tool_choice == "none" else AWAIT

    smart = boss(batch(("dig", "false"), ("dag", "false")), *[say] * 9)
    cheap = by_task({"dig": ["done"], "dag": ["done"]})
    cap = {"budget": Budget(calls=6), "ladder": ("cheap", "smart")}
    result = await orchestrate(tmp_path, smart, cheap, **SHELL, escalate=True, worth_usd=100, **cap)
    assert result.bill.calls <= 6
    assert (result.status, result.stop_reason) == ("incomplete", "calls")
    assert {one.verification.passed for one in result.workers if one.verification} == {False}


async def test_a_rung_that_is_not_worth_it_is_told(tmp_path: Path) -> None:
    """The report says why the work went no further."""
    price = Price(Rates(Decimal(1), Decimal(5)))
    smart = boss(batch(("dig", "false")), AWAIT, answer("ok"))
    cheap = by_task({"dig": ["done"]})
    smart.price = cheap.price = price
    ladder = {"worth_usd": Decimal("0.0000001"), "ladder": ("cheap", "smart")}
    result = await orchestrate(tmp_path, smart, cheap, **SHELL, escalate=True, **ladder)
    (one,) = result.workers
    assert (one.status, one.stop_reason) == ("incomplete", "check_failed")
    assert "- not tried any further: " in results_in(smart.calls[-1])[1]
