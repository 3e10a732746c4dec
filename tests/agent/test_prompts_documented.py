"""``docs/prompts.md`` shows every prompt as models read it.

``python tests/agent/test_prompts_documented.py`` writes it anew.
"""

from pathlib import Path

from sunwell.agent import prompts
from sunwell.agent.lens.scouting import MOST_CALLS, TURN_BYTES
from sunwell.checks.judge_check import JUDGE_PROMPT, JUDGE_PROMPT_VERSION
from sunwell.context.surroundings import Advice, Surroundings
from sunwell.core.lens import EphemeralLens
from sunwell.core.markdown import fenced

FILE = Path(__file__).parents[2] / "docs" / "prompts.md"
TOOLS = ("list_files", "read_file", "search_files", "write_file", "edit_file")
PLACE = Surroundings(
    "/home/ada/shop",
    "Linux x86_64",
    "2026-11-29",
    "README.md, setup.py; shop/: cart.py, prices.py; tests/: test_cart.py",
    (Advice("AGENTS.md", "Run the tests with `make test`."),),
)
LENS = EphemeralLens(
    ("Read shop/cart.py first.",),
    constraints=("Amounts are whole cents.",),
    task_scope="Discounts in the shop",
    target_files=("shop/cart.py", "tests/test_cart.py"),
)
EVIDENCE = "pytest -q: failed\nexit code 1\n1 failed, 11 passed in 0.31s"
PARTS = prompts.parts_text(7_500, 0.09, 5)
BEGIN = """\
# What models are told

These are the texts themselves: this page is made from `sunwell/agent/prompts.py` (that of a judge from
`sunwell/checks/judge_check.py`), and a test fails if it
differs. Each part has a version, and a run that is resumed with another version says so. To see
everything that a model sees, descriptions and results of tools included, answer in its place (see
[testing](testing.md)).

The system prompt of a direct run and of a worker consists of these sections, in this order. It is the
same for all work of a run, byte for byte, also after a resume, in a fork and on another day, so that
providers can cache it:

1. your own instructions (`system_prompt`, `--system-prompt`);
2. how to work (below; `work_prompt` replaces it, an empty text leaves it out), and how the work is checked,
   if it is;
3. the workspace: path, system, day, upper files, and `AGENTS.md` and `CLAUDE.md` of the workspace within
   8,000 bytes (`--no-workspace-advice` leaves these out). It is taken once when the run opens, and
   recorded;
4. the lens, if there is one, and a sentence on what it is.

Sections 2 and 3 together have at most 500 tokens without the advice. If no tool looks at the workspace,
section 3 is left out.
"""

PLACE_LIMITS = (
    "5 workers run at the same time; more wait in a queue.",
    "Each worker has at most 50 messages and 300 seconds. A worker that reaches a limit reports what it has.",
    "You have at most 20 messages. Several calls fit into one.",
)


def page() -> str:
    """Return the page as it must be."""
    shown = [
        (
            "How to work, with tools that read, write and run commands",
            prompts.work_prompt((*TOOLS, "run_command")),
        ),
        ("How to work, without commands", prompts.work_prompt(TOOLS)),
        ("How to work, with tools that only read", prompts.work_prompt(TOOLS[:3])),
        ("How to work, without tools", prompts.work_prompt(())),
        ("How to work, if there are checks, without commands", prompts.work_prompt((*TOOLS, "run_checks"))),
        ("How the work is checked", prompts.checks_text(["the command `pytest -q` ends with exit code 0"])),
        ("The workspace", prompts.surroundings_text(PLACE)),
        (
            "A lens, with what stands after it",
            f"{LENS.to_context()}\n\n{prompts.after_lens(LENS.target_files)}",
        ),
        (
            "What a worker is told behind its task",
            prompts.worker_terms_text("Make prices exact everywhere", TOOLS[:3], 50, 300.0),
        ),
        (
            "What a worker is told that a model has started, and whose task builds on a report",
            f"{prompts.passed_on_text(['task:01J8XK2M · ok (end) · find the price'])}\n\n"
            + prompts.worker_terms_text("Make prices exact everywhere", None, 50, 300.0, (), 4_000),
        ),
        (
            "What is looked up for a worker, behind its task, and what the tool context_query returns",
            prompts.context_found_text(
                "how prices are rounded",
                [("docs", ("docs/prices.md, lines 3-9 (Prices > Rounding):\n…", ""))],
            ),
        ),
        ("What stands after a brief", prompts.BRIEF_STANDING),
        ("A classifier, which says who may do a task", prompts.CLASSIFY_PROMPT),
        ("The lens writer", prompts.LENS_PROMPT),
        ("The lens writer, if the task may be split", prompts.SPLIT_PROMPT.strip()),
        (
            "The lens writer, if it may look first",
            prompts.scout_prompt("3 messages", MOST_CALLS, TURN_BYTES).strip(),
        ),
        ("The lens writer, if a kept lens is to be changed", prompts.CHANGE_PROMPT.strip()),
        ("What ends its request then", prompts.lens_change_limit(1_500)),
        ("The lens writer, when it may look no more", prompts.SCOUT_NO_MORE),
        ("The lens writer, after a check has failed", prompts.ATTEMPT_PROMPT.strip()),
        (
            "What it is shown then",
            prompts.attempt_text("shop/cart.py\n-0\n+1", "Done.", EVIDENCE, ["haiku", "haiku"]),
        ),
        ("A model whose own work did not pass its check", prompts.repair_text(EVIDENCE)),
        (
            "A model that comes after another, behind its task",
            prompts.before_you(
                EVIDENCE, "Done.", ["shop/cart.py"], diff="shop/cart.py\n-0\n+1", restored=False
            ),
        ),
        ("An orchestrator", prompts.ORCHESTRATOR_PROMPT),
        (
            "What it is told of its run",
            prompts.orchestrator_place_text(
                TOOLS,
                PLACE_LIMITS,
                ["- task:01J8XK2M · 'The price is in shop.py'"],
                "Files with their sizes in bytes and, if there is room, what they define:\nshop.py 812",
            ),
        ),
        (
            "What it is shown of a lens that its workers have",
            prompts.orchestrator_lens_text("# Task Expertise"),
        ),
        (
            "If it writes words while reports are open",
            prompts.handed_over_text("Running: 1 (01J8XK2N).", ["Worker 01J8XK2M: …"], can_set_answer=True),
        ),
        ("A model that looks into long contexts", prompts.ASK_PROMPT),
        (
            "What it is told of its contexts",
            prompts.ask_text(
                "Which orders were paid twice?",
                ["orders.log: 48,120,344 bytes"],
                20,
                5,
                PARTS,
                money=prompts.money_text("$0.4979", 7_500, "$0.0023", 61),
            ),
        ),
        (
            "A model that is asked about a part",
            "\n\n".join(prompts.read_system("List the numbers of orders that were paid twice, or: none.")),
        ),
        ("A model that is shown a context whole", prompts.DIRECT_PROMPT),
        ("A judge", JUDGE_PROMPT),
        ("At a limit", prompts.closing_text("budget_usd", 600)),
        (
            "At a limit, if a question about contexts is answered",
            prompts.question_closing_text("budget_usd", 130),
        ),
        (
            "Behind the instructions of a client of the endpoint",
            prompts.FOR_CLIENTS,
        ),
        (
            "A task of the endpoint, if its conversation began elsewhere",
            prompts.conversation_text("Name teas.", (("user", "In German, please."), ("assistant", "Ja?"))),
        ),
        (
            "A report that does not fit what was recorded",
            prompts.facts_text("the last command failed: `pytest -q` ended with exit code 1"),
        ),
    ]
    versions = (
        f"Versions: lens {prompts.LENS_PROMPT_VERSION}, changes of a lens "
        f"{prompts.LENS_CHANGE_PROMPT_VERSION}, work {prompts.WORK_PROMPT_VERSION}, "
        f"orchestrator {prompts.ORCHESTRATOR_PROMPT_VERSION}, ladder {prompts.LADDER_PROMPT_VERSION}, "
        f"ask {prompts.ASK_PROMPT_VERSION}, judge {JUDGE_PROMPT_VERSION}, "
        f"classifier {prompts.CLASSIFY_PROMPT_VERSION}."
    )
    parts = [f"## {title}\n\n{fenced(text)}" for title, text in shown]
    return "\n\n".join([BEGIN.strip(), versions, *parts]) + "\n"


def test_the_page_shows_the_prompts_as_they_are() -> None:
    """Whoever changes a prompt changes what users can read of it."""
    assert FILE.read_text() == page()


if __name__ == "__main__":
    FILE.write_text(page())
