"""``--approve`` and ``--confirm-above`` at a real terminal."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sunwell.simulator import Simulator, running_simulator
from tests.cli.terminals import QUESTION, Terminal, calling, plain, run_line, running, writing

TASK = "Generate CRUD endpoints for 5 entities"
HIDING = "echo good # \x1b[8m\u202e; touch evil \x9b2K\r literally \\x1b\necho two"
SHOWN = r"echo good # \x1b[8m\u202e; touch evil \x9b2K\x0d literally \\x1b"
SHELL = ("--allow-shell", "--sandbox", "off")
Begin = Callable[..., Terminal]


@pytest.fixture
def terminal(keys: dict[str, str], shop: Path) -> Iterator[Begin]:
    """Return a function that starts a run of the demonstration in a terminal."""
    opened: list[Terminal] = []

    def begin(*arguments: str) -> Terminal:
        opened.append(Terminal(["run", TASK, "-w", str(shop), "--json", *arguments], keys))
        return opened[-1]

    yield begin
    for each in opened:
        each.close()


@contextmanager
def proposing(
    workspace: Path, *calls: tuple[str, dict[str, object]], options: tuple[str, ...] = (), columns: int = 100
) -> Iterator[Terminal]:
    """Start a run in a terminal whose model makes *calls*."""
    with running_simulator(Simulator({"claude-haiku-5-5": calling(*calls)})) as simulator:
        env = {"ANTHROPIC_BASE_URL": simulator.url, "ANTHROPIC_API_KEY": "simulated-key"}
        screen = Terminal(run_line(workspace, *options), env, columns=columns)
        try:
            yield screen
        finally:
            screen.close()


def test_yes_no_and_all(terminal: Begin, shop: Path) -> None:
    """The difference is shown; a no leaves the file away, *all* asks no more."""
    screen = terminal("--model", "haiku", "--approve")
    assert "shop/endpoints/customer.py" in screen.asked()
    screen.type(b"n")
    assert "shop/endpoints/product.py" in screen.asked()
    screen.type(b"y")
    screen.asked()
    screen.type(b"all")
    told = json.loads(screen.result())
    paths = {file["path"] for file in told["files"]}
    assert "shop/endpoints/product.py" in paths
    assert "shop/endpoints/invoice.py" in paths


def test_ctrl_c_at_the_question_ends_the_run(terminal: Begin, sunwell, shop: Path) -> None:
    """Nothing is written, and a resume must ask again."""
    screen = terminal("--model", "haiku", "--approve")
    screen.asked()
    screen.process.send_signal(signal.SIGINT)
    told = json.loads(screen.result())
    assert (screen.process.returncode, told["status"], told["files"]) == (130, "cancelled", [])
    assert not (shop / "shop/endpoints/customer.py").exists()
    done = sunwell("resume", told["run_id"], "-w", shop)
    assert done.exit_code == 2
    assert "--approve" in done.stderr


def test_anything_but_an_answer_asks_again(tmp_path: Path) -> None:
    """An empty line, more than an answer, the beginning of one; *?* explains, *details* repeats."""
    with proposing(tmp_path, writing("a.txt", "one\n")) as screen:
        assert "| +one" in screen.asked()
        for odd in (b"", b"yes please", b"a", b"ye", b"q", b"y y", "\u0443".encode(), b"1"):
            screen.type(odd)
            assert screen.asked().endswith("type y, n, all, details or ?\nMake a.txt (+1)? ")
        screen.type(b"?")
        told = screen.asked()
        for word in ("y ", "n ", "all ", "details ", "Ctrl-C "):
            assert f"\n  {word}" in told
        screen.type(b"details")
        assert "| +one" in screen.asked()
        assert not (tmp_path / "a.txt").exists()
        screen.type(b"  YES ")
        assert json.loads(screen.result())["status"] == "ok"
    assert (tmp_path / "a.txt").read_text() == "one\n"


def test_the_end_of_the_input_is_a_no(tmp_path: Path) -> None:
    """Ctrl-D approves nothing, and the next question is asked."""
    with proposing(tmp_path, *(writing(f"{name}.txt", "one\n") for name in "abc")) as screen:
        screen.asked()
        os.write(screen.master, b"\x04")
        assert "Make b.txt" in screen.asked()
        os.write(screen.master, b"y\x04\x04")  # a line that was not ended
        assert "Make c.txt" in screen.asked()
        screen.type(b"y")
        screen.result()
    assert [path.name for path in tmp_path.glob("*.txt")] == ["c.txt"]


def test_what_was_typed_before_the_question_is_no_answer(tmp_path: Path) -> None:
    """It is thrown away, a line that has no end yet included."""
    with proposing(tmp_path, writing("a.txt", "one\n")) as screen:
        os.write(screen.master, b"all\ny\nall\ny")
        screen.asked()
        screen.type(b"")
        assert "no answer yet" in screen.asked()
        screen.type(b"n")
        screen.result()
    assert not (tmp_path / "a.txt").exists()


def test_a_pasted_text_is_no_answer(tmp_path: Path) -> None:
    """Neither to this question nor to the next."""
    with proposing(tmp_path, writing("a.txt", "one\n"), writing("b.txt", "two\n")) as screen:
        screen.asked()
        for text in (b"y\ny\n", b"all\nrm -rf /\n", b"y\n\n", b"\n" * 3 + b"y\n"):
            os.write(screen.master, text)
            assert "several lines came at once" in screen.asked()
        screen.type(b"n")
        assert "Make b.txt" in screen.asked()
        screen.type(b"n")
        screen.result()
    assert not list(tmp_path.glob("*.txt"))


def test_a_command_is_shown_exactly_as_it_would_run(tmp_path: Path) -> None:
    """What a terminal would act on is written out, in every line of it, and nothing is left away."""
    with proposing(tmp_path, running(HIDING), options=SHELL) as screen:
        shown = screen.asked()
        assert f"\n| {SHOWN}\n| echo two\n" in shown
        assert f"in {tmp_path}, without a sandbox: with network" in " ".join(shown.split())
        assert "\nRun echo good" in shown
        screen.type(b"n")
        assert json.loads(screen.result())["status"] == "ok"
    assert not (tmp_path / "evil").exists()


def test_a_command_that_is_read_from_right_to_left_is_also_shown_in_its_order(tmp_path: Path) -> None:
    """A terminal that turns such words around shows these two commands alike."""
    commands = ("rm \u05d0 1", "rm 1 \u05d0")
    with proposing(tmp_path, *map(running, commands), options=SHELL) as screen:
        for command, order in zip(commands, (r"rm \u05d0 1", r"rm 1 \u05d0"), strict=True):
            assert f"\n| {command}\n= in stored order: {order}\nin " in screen.asked()
            screen.type(b"n")
        screen.result()


def test_no_text_can_get_to_the_edge_of_the_terminal(tmp_path: Path) -> None:
    """A long line is folded with a sign before each row: it cannot look like a question of Sunwell's."""
    forged = "Make harmless.txt (+1)? (y, n, all, details, ?) n"
    command = f"echo {'x' * 71}{forged}; touch evil #{' ' * 200}\\\n{forged}"
    with proposing(tmp_path, running(command), options=SHELL, columns=80) as screen:
        screen.read_until(b"killed")
        rows = (
            plain(screen.all).partition("| echo x")[2].partition(f"\nin {str(tmp_path)[:20]}")[0].split("\n")
        )
        assert all(len(row) <= 80 for row in rows)
        assert len(rows) >= 6
        assert all(row.startswith(("| ", ": ")) for row in rows[1:])
        assert rows[-1].startswith(f"| {forged[:20]}")
        assert screen.asked().rpartition("\n")[2].startswith("Run echo xxx")
        screen.type(b"n")
        screen.result()
    assert not (tmp_path / "evil").exists()


CHANGES = {
    "line-ends": (b"a\r\nb\r\n", "a\nb\r\n", "line ends CR LF, becomes UTF-8, line ends LF"),
    "no-last-line-end": (b"a\nb\n", "a\nb", "| +b\n| \\ no line end"),
    "tab": (b"x:\n    a\n", "x:\n\ta\n", "| -    a\n| +\u21e5   a"),
    "spaces-at-the-end": (b"a\n", "a  \n", "| +a \\x20"),
    "unseen": (b"a\n", "a\u200b\u202e\n", r"| +a\u200b\u202e"),
    "encoding": (b"a\n", "\ufeffa\n", "becomes UTF-8 with a byte order mark"),
    "binary": (b"\x00\x01\x02", "text\n", "a binary file of 3 bytes is replaced by 5 bytes"),
}


def test_what_a_diff_does_not_show_is_shown(tmp_path: Path) -> None:
    """Line ends, the end of the file, white space, encoding; the question names the file again."""
    for name, (old, _, _) in CHANGES.items():
        (tmp_path / name).write_bytes(old)
    with proposing(tmp_path, *(writing(name, new) for name, (_, new, _) in CHANGES.items())) as screen:
        for name, (_, _, said) in CHANGES.items():
            shown = screen.asked()
            assert said in shown
            assert shown.rpartition("\n")[2].startswith(f"Change {name} (+")
            screen.type(b"y")
        screen.result()
    for name, (_, new, _) in CHANGES.items():
        assert (tmp_path / name).read_bytes().decode("utf-8") == new


def test_a_long_change_is_cut_and_counted_and_details_shows_all(tmp_path: Path) -> None:
    """The last row says what is asked; no command is ever cut."""
    long = "".join(f"line {number}\n" for number in range(1, 501)) + "x" * 5_000 + "\n"
    command = "true\n" * 400
    with proposing(
        tmp_path, writing("long.txt", long), running(command), options=SHELL, columns=80
    ) as screen:
        shown = screen.asked()
        left_out = shown.split("\n")[-2]  # said again where the question is
        assert left_out.startswith("\u2026 304 lines with ")
        assert left_out.endswith("not shown here: the answer details shows them (and in 1 more place)")
        assert shown.endswith("\nMake long.txt (+501)? ")
        assert re.search("\n\u2026 304 lines with [\\d,]+ characters not shown here", shown)
        assert "\u2026 3,001 characters of this line not shown here" in shown
        assert "| +line 150\n" in shown
        assert "line 300\n" not in shown
        screen.type(b"details")
        shown = screen.asked()
        assert all(f"| +line {number}\n" in shown for number in range(1, 501))
        assert shown.count("x") >= 5_000
        assert "not shown" not in shown
        screen.type(b"y")
        assert screen.asked().count("\n| true") == 400
        screen.type(b"n")
        screen.result()
    assert (tmp_path / "long.txt").read_text() == long


def test_a_file_that_changes_behind_the_question_is_not_written(tmp_path: Path) -> None:
    """What was approved is the change of the file as it was shown: anything else is refused."""
    (tmp_path / "f").write_text("old\n")
    with proposing(tmp_path, writing("f", "new\n"), writing("g", "new\n")) as screen:
        assert "| -old" in screen.asked()
        (tmp_path / "f").write_text("precious\n")
        screen.type(b"y")
        screen.asked()
        (tmp_path / "g").write_text("precious, too\n")
        screen.type(b"y")
        assert json.loads(screen.result())["files"] == []
    assert (tmp_path / "f").read_text() == "precious\n"
    assert (tmp_path / "g").read_text() == "precious, too\n"


ALWAYS = """
import asyncio
from sunwell.cli.approval_prompt import Asker
from sunwell.cli.output import say
from sunwell.cli.plain_view import PlainView
from sunwell.core.tool import Proposal

async def main():
    view = PlainView()
    asker = Asker(view)
    first = Proposal("act", "act once", "{}", asked_by="task-1: Do\\nthis")
    second = Proposal("act", "act on a guarded file", "{}", reason="it is protected", always=True)
    third = Proposal("act", "act again", "{}")
    asking = [asyncio.create_task(asker(one)) for one in (first, second, third)]
    await asyncio.sleep(0)
    view.say("a line of another worker")
    say("one more", err=True)
    print(await asyncio.gather(*asking))

asyncio.run(main())
"""


def test_questions_come_one_after_another_and_some_even_after_all() -> None:
    """Nothing comes between a question and its answer; what must always be asked says why."""
    screen = Terminal(["-c", ALWAYS], {})
    try:
        assert screen.asked() == "\nasked by task-1: Do this\n| {}\nAct once? "
        screen.type(b"x")
        assert screen.asked() == "x\n  no answer yet: type y, n, all, details or ?\nAct once? "
        screen.type(b"all")
        shown = screen.asked()
        assert shown.startswith(
            "all\n  approved from here on: each write, command and tool of this run, without showing it\n"
            "a line of another worker\none more\n"
        )
        assert shown.endswith("| {}\nasked because it is protected\nAct on a guarded file? ")
        screen.type(b"n")
        assert screen.result() == "[True, False, True]\n"
        assert b"Act again" not in screen.all
    finally:
        screen.close()


def test_all_does_not_cover_a_file_that_other_programs_run(tmp_path: Path) -> None:
    """It is shown with the reason, and a no holds."""
    with proposing(
        tmp_path, writing("a.txt", "a\n"), writing(".envrc", "b\n"), writing("c.txt", "c\n")
    ) as screen:
        screen.asked()
        screen.type(b"all")
        shown = screen.asked()
        assert (
            "| +b\nasked because direnv runs it when a shell enters the folder\nMake .envrc (+1)? " in shown
        )
        screen.type(b"n")
        screen.result()
    assert sorted(path.name for path in tmp_path.glob("*") if path.is_file()) == ["a.txt", "c.txt"]
    assert not (tmp_path / ".envrc").exists()


def test_a_worker_that_asks_is_named(terminal: Begin, shop: Path) -> None:
    """With its task; each question is complete before the next one comes."""
    screen = terminal("--orchestrate", "--smart-model", "opus", "--delegation-model", "haiku", "--approve")
    for _ in range(3):
        shown = screen.asked()
        rows = shown[shown.index("asked by ") :].split("\n")
        assert rows[0].partition(": ")[2]
        assert all(row.startswith(("| ", ": ")) for row in rows[1:-1])
        assert rows[-1].startswith("Make shop/")
        screen.type(b"n")
    screen.process.send_signal(signal.SIGINT)
    screen.result()


@pytest.mark.parametrize(
    ("answer", "code"), [pytest.param(b"y", 0, id="yes"), pytest.param(b"n", 2, id="no")]
)
def test_a_dear_run_is_confirmed(terminal: Begin, simulator: Simulator, answer: bytes, code: int) -> None:
    """``--confirm-above`` shows what is expected; a no spends nothing."""
    screen = terminal("--delegate", "--confirm-above", "0.001")
    assert b"is expected to cost $" in screen.read_until(b"[y/N]: ")
    screen.type(b"yes, I think")
    screen.read_until(b"[y/N]: ")
    screen.type(answer)
    screen.result()
    assert screen.process.returncode == code
    assert bool(simulator.requests) == (code == 0)


def test_the_help_of_the_question_names_every_answer() -> None:
    """As the question itself does."""
    assert plain(QUESTION) == "(y, n, all, details, ?) "
