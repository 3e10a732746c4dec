"""``sunwell ask``: contexts of any length, priced first, and answered for nothing the second time."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sunwell.journal import read_records
from sunwell.journal.records import Note
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.cli.terminals import Terminal, calling, plain

pytest.importorskip("pydantic_monty")
QUESTION = "What are the 'ERROR' lines about?"


@pytest.fixture
def simulator():
    """A provider with the models of the demonstration."""
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        yield running


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A log of which no window holds all."""
    lines = [f"2026-11-30 INFO request {number} served in {number % 97} ms" for number in range(120_000)]
    for number in (100, 70_000, 110_000):
        lines[number] = f"2026-11-30 ERROR disk full on node {number}"
    (tmp_path / "app.log").write_text("\n".join(lines))
    return tmp_path / "app.log"


@pytest.fixture
def ask(sunwell, tmp_path: Path):
    """Return what asks with a memory of its own."""

    def asked(*arguments: object, **given: object):
        place = ("-w", tmp_path, "--cache-dir", tmp_path / "cache")
        return sunwell("ask", *arguments, *place, **given)

    return asked


def test_a_log_is_looked_into_and_asked_about(ask, log: Path, simulator) -> None:
    """The answer is on standard output; the way, both prices and the bill are not."""
    done = ask(QUESTION, "-c", log)
    assert done.exit_code == 0, done.output
    assert "3 lines hold ERROR." in done.stdout
    assert "ERROR disk full on node 70000" in done.stdout
    assert "Coverage, from the harness: scripts searched 100.0 % and calls read " in done.stdout
    assert "claude-opus-5-5 explores, and may ask claude-haiku-5-5 about parts: about 1," in done.stderr
    assert "verdict" not in done.stderr
    assert "bill " in done.stderr
    assert "bill " not in done.stdout
    models = [request.model for request in simulator.requests]
    assert (models.count("claude-opus-5-5"), models.count("claude-haiku-5-5")) == (3, 3)


def test_what_was_asked_before_costs_nothing(ask, log: Path, simulator) -> None:
    """The bill counts it apart; ``--no-answer-memory`` asks again."""
    ask(QUESTION, "-c", log)
    again = ask(QUESTION, "-c", log, "--json")
    told = json.loads(again.stdout)
    assert told["remembered_calls"] == 3
    (covered,) = told["coverage"]["contexts"]
    assert covered["searched_bytes"] == covered["size_bytes"] == log.stat().st_size
    assert 0 < covered["read_bytes"] < covered["size_bytes"]
    assert (covered["parts"], told["coverage"]["unanswered"], told["coverage"]["cut_answers"]) == (3, [], 0)
    assert "3 lines hold ERROR." in told["answer"]
    models = [request.model for request in simulator.requests]
    assert models.count("claude-haiku-5-5") == 3
    shown = ask(QUESTION, "-c", log)
    assert "3 calls answered from memory, for nothing" in shown.stderr
    ask(QUESTION, "-c", log, "--no-answer-memory")
    assert [request.model for request in simulator.requests].count("claude-haiku-5-5") == 6


def test_answers_from_the_memory_use_up_no_script_that_may_ask(ask, log: Path, simulator) -> None:
    """The first run has a script that asked; in the second, nobody was called for it."""
    for asks in ([False, True], [False, False]):
        done = ask(QUESTION, "-c", log, "--json")
        journal = log.parent / ".sunwell" / "runs" / json.loads(done.stdout)["run_id"] / "journal.jsonl"
        notes = [one for one in read_records(journal) if isinstance(one, Note) and one.name == "step"]
        assert [note.value["asks"] for note in notes] == asks


def test_the_folder_of_the_memory_is_a_setting(sunwell, log: Path, simulator, monkeypatch) -> None:
    """The variable of the seed names it, too."""
    folder = log.parent / "kept"
    monkeypatch.setenv("RLM_CACHE_DIR", str(folder))
    done = sunwell("ask", QUESTION, "-c", log, "-w", log.parent)
    assert done.exit_code == 0, done.output
    assert [file.name for file in folder.iterdir()] == ["answers.sqlite3"]


def test_show_and_the_page_say_what_was_remembered(ask, sunwell, log: Path, simulator) -> None:
    """Without any cost of its own, and it is not paid twice."""
    ask(QUESTION, "-c", log)
    ask(QUESTION, "-c", log)
    place = ("-w", log.parent)
    assert sunwell("show", "last", *place).stdout.count("remembered, for nothing") == 3
    assert sunwell("report", "last", *place).exit_code == 0
    [page] = log.parent.glob(".sunwell/runs/*/report.html")
    assert '"remembered"' in page.read_text()


def test_show_has_every_script_in_its_lines(ask, sunwell, log: Path, simulator) -> None:
    """With ``-v``, each line below its call, and not as JSON."""
    ask(QUESTION, "-c", log)
    shown = [
        line.strip("│├└─| ") for line in sunwell("show", "last", "-v", "-w", log.parent).stdout.splitlines()
    ]
    at = shown.index("about = {}")
    assert shown[at - 1] == "→ explore"
    assert shown[at + 1] == "for part in context.chunks(20000):"
    assert "\\n" not in "".join(shown[at : at + 5])


def test_the_figures_of_the_page_are_those_of_its_commands(sunwell, tmp_path, monkeypatch, simulator) -> None:
    """Each line of its outputs is printed, in this order; … stands for what is left out."""
    monkeypatch.chdir(tmp_path)
    lines = [f"2026-11-30 INFO request {number} served" for number in range(1, 200_001)]
    lines[69_999] = "2026-11-30 ERROR disk full"
    (tmp_path / "app.log").write_text("\n".join(lines) + "\n")
    page = (Path(__file__).parents[2] / "docs" / "ask.md").read_text()
    outputs = re.findall(r"```text\n(.*?)```", page, re.DOTALL)
    arguments = ("ask", QUESTION, "-c", "app.log", "--budget-usd", "0.50", "--cache-dir", tmp_path / "cache")
    assert f'sunwell ask "{QUESTION}" -c app.log --budget-usd 0.50' in page
    assert len(outputs) == 3
    for more, output in zip(((), (), ("--dry-run",)), outputs, strict=True):
        done = sunwell(*arguments, *more)
        assert done.exit_code == 0, done.output
        at, printed = 0, done.output.splitlines()
        for line in filter(lambda each: each.strip(" …"), output.splitlines()):
            wanted = re.compile(".*".join(map(re.escape, line.split("…"))))
            found = next((n for n in range(at, len(printed)) if wanted.fullmatch(printed[n])), None)
            assert found is not None, (line, printed)
            at = found + 1


def test_a_short_context_goes_into_one_prompt(ask, tmp_path: Path, simulator) -> None:
    """Several contexts have their names before them."""
    (tmp_path / "a.txt").write_text("the cat")
    (tmp_path / "b.txt").write_text("the dog")
    done = ask("Who?", "-c", tmp_path / "a.txt", "-c", tmp_path / "b.txt")
    assert done.exit_code == 0, done.output
    assert "claude-opus-5-5 answers in one direct call: one call is expected to cost less" in done.stderr
    assert "delegating" not in done.stderr
    (request,) = simulator.requests
    sent = json.dumps(request.body["messages"])
    assert "the cat" in sent
    assert "the dog" in sent
    assert "tools" not in request.body


@pytest.mark.parametrize("arguments", [(), ("-c", "-")], ids=["alone", "dash"])
def test_what_is_piped_in_is_the_context(ask, simulator, arguments) -> None:
    """With and without ``-c -``."""
    done = ask("Who?", *arguments, said="the piped cat")
    assert done.exit_code == 0, done.output
    assert "the piped cat" in json.dumps(simulator.requests[0].body)


def test_folders_and_globs_are_contexts(ask, tmp_path: Path, simulator) -> None:
    """Protected files stay out."""
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.log").write_text("the cat")
    (tmp_path / "logs" / ".env").write_text("KEY=hidden-value")
    for context in (tmp_path / "logs", f"{tmp_path}/logs/*.log"):
        done = ask("Who?", "-c", context)
        assert done.exit_code == 0, done.output
        sent = json.dumps(simulator.requests[-1].body)
        assert "a.log <==" in sent
        assert "hidden-value" not in sent


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        pytest.param(("Q", "-c", "nowhere.txt"), "cannot be read: No such file", id="no-file"),
        pytest.param((" ", "-c", "a.txt"), "the question is empty", id="empty"),
        pytest.param(("Q", "-c", "a.txt", "-c", "a.txt"), "is given twice", id="twice"),
        pytest.param(("Q", "-c", ".env"), "would be sent to a model", id="protected"),
        pytest.param(("Q", "-c", "pipe"), "no file but a pipe", id="pipe"),
        pytest.param(("Q", "-c", "/dev/zero"), "no file but a pipe or a device", id="device"),
        pytest.param(("Q", "-c", "empty.txt"), "the context empty.txt is empty", id="empty-file"),
        pytest.param(("Q", "-c", "*.nope"), "*.nope matches nothing", id="glob"),
        pytest.param(("Q", "-c", ".en*"), "fits no text file that may be read", id="glob-protected"),
        pytest.param(("Q", "-c", "a.txt", "--confirm-above", "0"), "not begun", id="confirm"),
    ],
)
def test_what_cannot_be_asked_is_refused(ask, tmp_path, monkeypatch, simulator, arguments, sentence) -> None:
    """One sentence, before anything is sent."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("text")
    (tmp_path / "empty.txt").touch()
    (tmp_path / ".env").write_text("KEY=secret")
    os.mkfifo(tmp_path / "pipe")
    done = ask(*arguments)
    assert (done.exit_code, sentence in done.stderr) == (2, True), done.output
    assert not simulator.requests


@pytest.mark.parametrize("tried", ["context.sherch('x')", "print(context.sherch)"])
def test_a_script_that_fails_is_told_with_its_error(tmp_path: Path, keys, sunwell, tried) -> None:
    """The last line of its traceback, which says what was wrong, and not what the harness adds behind it."""
    (tmp_path / "a.txt").write_text("all is well\n" * 400_000)
    call = ("explore", {"code": f"print('so far')\n{tried}"})
    with running_simulator(Simulator({"claude-opus-5-5": calling(call)})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        done = sunwell("ask", "Q?", "-c", tmp_path / "a.txt", "-w", tmp_path, env=env)
    assert re.search(r"ask: explore failed: \w+Error: .*sherch", done.stderr), done.stderr


def test_a_resume_counts_answers_about_parts_in_a_line(log: Path, sunwell, simulator, monkeypatch) -> None:
    """And not one by one; with -v each has a line."""
    place = ("-w", log.parent, "--no-answer-memory")
    monkeypatch.chdir(log.parent)
    first = sunwell("ask", QUESTION, "-c", log, *place, "--budget-turns", "2")
    assert first.exit_code != 0, first.output
    done = sunwell("resume", "last", "-w", log.parent, "--budget-turns", "9")
    assert done.exit_code == 0, done.output
    assert "3 answers about parts from the journal" in done.stderr
    assert "calls/q-" not in done.stderr


def test_an_empty_pipe_is_refused(ask, simulator) -> None:
    """There is nothing to ask about."""
    done = ask("Who?", "-c", "-", said="")
    assert (done.exit_code, "the context standard input is empty" in done.stderr) == (2, True), done.output
    assert not simulator.requests


def test_steps_that_may_cost_more_are_refused_without_a_terminal(ask, log: Path, simulator) -> None:
    """The model is told why and the threshold, and no part is asked about."""
    done = ask(QUESTION, "-c", log, "--confirm-above", "0")
    said = "a step above $0 (--confirm-above) needs a person, and none is there"
    assert said in done.stderr
    assert said in json.dumps(simulator.requests[-1].body)
    assert "claude-haiku-5-5" not in [request.model for request in simulator.requests]


@pytest.mark.parametrize(("typed", "calls"), [(b"y", 3), (b"n", 0)], ids=["yes", "no"])
def test_a_terminal_is_asked_with_the_figures(log: Path, keys, simulator, typed: bytes, calls: int) -> None:
    """What the step is, what it may cost, what is spent of the budget: where the live view was."""
    place = ("-w", str(log.parent), "--cache-dir", str(log.parent / "cache"))
    arguments = ["ask", QUESTION, "-c", str(log), *place, "--budget-usd", "0.30", "--confirm-above", "0"]
    screen = Terminal(arguments, keys)
    try:
        shown = plain(screen.read_until(b"Go on? [y/N]: "))
        figures = r"3 calls to claude-haiku-5-5, at most \$0\.\d{4}; \$0\.\d{4} of \$0\.30 is spent\. $"
        assert re.search(figures, shown), shown[-300:]
        screen.type(typed)
        screen.result()
    finally:
        screen.close()
    assert [request.model for request in simulator.requests].count("claude-haiku-5-5") == calls


def test_a_dry_run_says_both_prices_and_asks_nothing(ask, log: Path, simulator) -> None:
    """The way and the figures are those of the run; no journal is written, and no key is needed."""
    done = ask(QUESTION, "-c", log, "--dry-run", "--json", "--budget-usd", "0.001", env={})
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert not simulator.requests
    assert not (log.parent / ".sunwell").exists()
    assert told["quote"]["chosen"] == "explored"
    assert "the budget of $0.0010 is far below the $" in told["warnings"][0]
    for side in told["quote"]["sides"].values():
        assert float(side["low_usd"]) < float(side["expected_usd"]) < float(side["high_usd"])
    text = ask(QUESTION, "-c", log, "--dry-run").stdout
    assert "would be exploring: about 1," in text
    assert "→ explored" in text
    assert "Nothing was asked and nothing was spent." in text
    ran = json.loads(ask(QUESTION, "-c", log, "--json").stdout)
    assert ran["quote"]["sides"] == told["quote"]["sides"]
    low, high = (float(ran["quote"]["sides"]["explored"][name]) for name in ("low_usd", "high_usd"))
    assert low < float(ran["cost_usd"]) < high


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        pytest.param(("--budget-usd", "0.0001"), "does not hold the first call", "incomplete", id="budget"),
        pytest.param(("--confirm-above", "0"), "not begun", "cancelled", id="confirm"),
    ],
)
def test_a_question_that_could_not_begin_is_not_open(
    ask, sunwell, tmp_path: Path, simulator, arguments, said: str, status: str
) -> None:
    """Nobody resumes what never was."""
    (tmp_path / "a.txt").write_text("the cat")
    done = ask("Who?", "-c", tmp_path / "a.txt", *arguments)
    assert (done.exit_code, said in done.stderr) == (2, True), done.output
    (run,) = json.loads(sunwell("runs", "-w", tmp_path, "--json").stdout)["runs"]
    assert (run["status"], simulator.requests) == (status, ())


def test_a_budget_far_below_the_price_is_told_first(ask, log: Path, simulator) -> None:
    """It holds, and the run begins."""
    done = ask(QUESTION, "-c", log, "--budget-usd", "0.05")
    assert "note: the budget of $0.0500 is far below the $" in done.stderr
    assert "far below" not in ask(QUESTION, "-c", log, "--budget-usd", "0.5").stderr


def test_one_call_is_confirmed_with_the_figures(tmp_path: Path, keys, simulator) -> None:
    """A question that is answered in one call asks in the same way; a no spends nothing."""
    (tmp_path / "a.txt").write_text("the cat")
    screen = Terminal(
        ["ask", "Who?", "-c", str(tmp_path / "a.txt"), "-w", str(tmp_path), "--confirm-above", "0"], keys
    )
    try:
        shown = plain(screen.read_until(b"Go on? [y/N]: "))
        assert re.search(r"1 call to claude-opus-5-5, \$0\.\d{4} expected, up to \$0\.\d{4}; \$0", shown)
        screen.type(b"n")
        screen.result()
    finally:
        screen.close()
    assert (screen.process.returncode, len(simulator.requests)) == (2, 0)


def test_a_terminal_is_not_waited_for(tmp_path: Path, keys: dict[str, str]) -> None:
    """Without a context there is nothing to ask about."""
    command = [sys.executable, "-m", "sunwell", "ask", "Who?", "-w", str(tmp_path)]
    ours, theirs = os.openpty()
    with os.fdopen(ours), os.fdopen(theirs) as terminal:
        env = {**os.environ, **keys}
        done = subprocess.run(command, stdin=terminal, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "there is no context: name a file" in done.stderr


def test_run_with_a_query_explores_too(sunwell, log: Path, simulator) -> None:
    """The answer alone is printed."""
    done = sunwell("run", "-q", QUESTION, "-c", log, "-m", "opus", "--child-model", "haiku", "-w", log.parent)
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("3 lines hold ERROR.")
    assert done.stderr == ""


@pytest.mark.parametrize("words", [("ask",), ("run", "-q")], ids=["ask", "run"])
def test_the_steps_of_looking_are_bounded(sunwell, log: Path, simulator, words: tuple[str, ...]) -> None:
    """The model is told so: 20 by default (``tests/agent/asking`` holds what happens at the bound)."""
    place = ("-c", log, "-m", "opus", "--child-model", "haiku", "-w", log.parent)
    for bound, most in ((("--max-explore", "3"), 3), ((), 20)):
        done = sunwell(*words, QUESTION, *place, *bound, "--no-answer-memory")
        assert done.exit_code == 0, done.output
        asked = [str(one.body) for one in simulator.requests if one.model == "claude-opus-5-5"]
        assert f"Scripts that only look: at most {most}. Scripts that ask: at most 5." in asked[-1]


def test_a_bound_that_bounds_nothing_is_refused(sunwell, tmp_path: Path, simulator) -> None:
    """``--max-explore`` of ``run`` is about a question."""
    done = sunwell("run", "Do it", "-m", "opus", "--max-explore", "3", "-w", tmp_path)
    assert done.exit_code == 2
    assert "has no effect here: nothing is asked about a context" in done.stderr
    assert not simulator.requests


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A workspace that holds no log."""
    (tmp_path / "work").mkdir()
    return tmp_path / "work"


def cut_off(sunwell, place: Path, *contexts: object, said: str | None = None, **given: object) -> str:
    """Ask with room for two calls only; return what is printed beside the answer."""
    typed = ("ask", QUESTION, "-w", place, "--max-calls", "2", "--no-answer-memory")
    done = sunwell(*typed, *contexts, said=said, **given)
    assert done.exit_code == 3, done.output
    return str(done.stderr)


def test_a_context_outside_is_given_again_to_resume(sunwell, log: Path, elsewhere: Path, simulator) -> None:
    """Without it one sentence says so; the line that names the command has it, and no call is paid twice."""
    told = cut_off(sunwell, elsewhere, "-c", log, "--confirm-above", "2")
    assert f" -c {log} --confirm-above 2 --budget-calls N" in told
    sent = len(simulator.requests)
    again = ("resume", "0", "-w", elsewhere, "--max-calls", "20")
    refused = sunwell(*again, "--confirm-above", "2")
    assert refused.exit_code == 2
    assert (
        f"the context '{log.name}', which its record cannot name: give it again with -c FILE"
        in refused.stderr
    )
    refused = sunwell(*again, "-c", log)
    assert (refused.exit_code, "add --confirm-above X" in refused.stderr) == (2, True)
    assert len(simulator.requests) == sent
    done = sunwell(*again, "-c", log, "--confirm-above", "2")
    assert done.exit_code == 0, done.output
    assert "3 lines hold ERROR." in done.stdout
    sent_texts = [json.dumps(request.body["messages"]) for request in simulator.requests]
    assert log.name in sent_texts[0]
    assert not any(str(log.parent) in text for text in sent_texts)
    models = [request.model for request in simulator.requests]
    # The first and the closing one at the limit, then two more.
    assert (models.count("claude-opus-5-5"), models.count("claude-haiku-5-5")) == (4, 3)


def test_what_was_piped_in_is_piped_in_again(sunwell, log: Path, elsewhere: Path, simulator) -> None:
    """Other text is refused: the answers were about the first."""
    text = log.read_text()
    assert " -c - --budget-calls N" in cut_off(sunwell, elsewhere, said=text)
    again = ("resume", "0", "-w", elsewhere, "--max-calls", "20", "-c", "-")
    refused = sunwell(*again, said=text.replace("INFO", "WARN"))
    assert (refused.exit_code, "standard input has changed" in refused.stderr) == (2, True)
    done = sunwell(*again, said=text)
    assert done.exit_code == 0, done.output
    assert "3 lines hold ERROR." in done.stdout


def test_a_context_that_has_moved_is_found_by_its_text(
    sunwell, log: Path, elsewhere: Path, simulator
) -> None:
    """It takes the place of the one that the record cannot name, beside one that it can."""
    (elsewhere / "more.txt").write_text("nothing of it\n")
    cut_off(sunwell, elsewhere, "-c", elsewhere / "more.txt", "-c", log)
    moved = log.rename(log.parent / "moved.log")
    again = ("resume", "0", "-w", elsewhere, "--max-calls", "20", "-c", moved)
    refused = sunwell(*again, "-c", log.parent / "work" / "more.txt", "-c", __file__)
    assert "the run has no place for the context " in refused.stderr
    assert f"{Path(__file__).name}: it has only " in refused.stderr
    done = sunwell(*again)
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("option", ["-c", "--confirm-above"])
def test_what_belongs_to_a_question_is_refused_for_other_runs(sunwell, shop: Path, simulator, option) -> None:
    """Also by fork."""
    sunwell("run", "Do it", "-w", shop, "-m", "haiku", "--max-turns", "1")
    for words in (("resume", "0"), ("fork", "0", "--at", "run/direct")):
        refused = sunwell(*words, "-w", shop, option, "1")
        assert refused.exit_code == 2
        assert f"the run asks about no context: leave {option} out" in refused.stderr


def test_a_fork_is_given_its_contexts_too(sunwell, log: Path, elsewhere: Path, simulator) -> None:
    """What it keeps is not paid again."""
    done = sunwell("ask", QUESTION, "-c", log, "-w", elsewhere, "--no-answer-memory")
    assert done.exit_code == 0, done.output
    again = ("fork", "0", "--at", "run/ask:1", "-w", elsewhere)
    refused = sunwell(*again)
    assert (refused.exit_code, "give it again with -c" in refused.stderr) == (2, True)
    forked = sunwell("fork", "last", *again[2:], "-c", log)
    assert forked.exit_code == 0, forked.output
    assert "3 lines hold ERROR." in forked.stdout
