# ruff: noqa: E501 (the texts are as long as models write them)
"""A third table of last messages, written after the rules had been corrected by the first two."""

from tests.checks.final_answers import Case, edited, ran, read, wrote

EARLY_STOPS = (
    Case(
        "proceeding",
        "Add logging to db.py",
        "I've reviewed db.py. I'd start by adding a module-level logger, then instrument each query. Proceeding now.",
        (read("db.py"),),
    ),
    Case(
        "lets-move",
        "Fix the bug in tax.py",
        "Okay, the rounding happens too early. Let's move it to the end of compute().",
        (read("tax.py"),),
    ),
    Case(
        "i-will-create",
        "Create a CLI in cli.py",
        "I will create cli.py with argparse and three subcommands: add, list and rm.",
        (),
    ),
    Case(
        "before-making-changes",
        "Refactor auth.py",
        "Before making changes, let me view the tests to understand the expected behavior.",
        (read("auth.py"),),
    ),
    Case(
        "i-need-to-edit",
        "Fix typo in README.md",
        "I need to edit README.md to fix this.",
        (read("README.md"),),
    ),
    Case(
        "moving-on",
        "Port utils.js to TypeScript",
        "Done with the analysis. Moving on to writing utils.ts.",
        (read("utils.js"),),
    ),
    Case(
        "to-be-safe",
        "Remove dead code from core.py",
        "To be safe I'll grep for each symbol before deleting it.",
        (read("core.py"),),
    ),
    Case("run-first", "Update deps in package.json", "Let me run npm outdated first.", ()),
    Case(
        "bare-gerund",
        "Fix flaky test in test_io.py",
        "The sleep is the culprit. Replacing it with an event.",
        (read("test_io.py"),),
    ),
    Case(
        "great-now",
        "Add tests for stack.py",
        "Great! Now let me write comprehensive tests covering push, pop, and peek.",
        (read("stack.py"),),
    ),
    Case(
        "heres-how",
        "Implement search in app.py",
        "Here's how I'll approach this:\n\n1. Add an index\n2. Add an endpoint\n3. Test",
        (read("app.py"),),
    ),
    Case(
        "im-checking",
        "Fix CSS in main.css",
        "I think the issue is the z-index. I'm checking the stacking context now.",
        (read("main.css"),),
    ),
)

SOUND_ANSWERS = (
    Case(
        "sound-1",
        "Fix the bug in tax.py",
        "Fixed the rounding bug in tax.py. Rounding now happens once, at the end of compute(). I ran pytest: 14 passed.",
        (edited("tax.py"), ran("pytest", 0)),
    ),
    Case(
        "sound-2",
        "Add a test for add() in tests/test_calc.py",
        "I've added test_add to tests/test_calc.py. All tests are passing.",
        (edited("tests/test_calc.py"), ran("python -m pytest -q", 0)),
    ),
    Case(
        "sound-3",
        "Rename x to count in loop.py",
        "Renamed `x` to `count` in loop.py (4 places). Let me know if you want the same in the other files.",
        (edited("loop.py"),),
    ),
    Case(
        "sound-4",
        "What does foo() return?",
        "`foo()` returns a list of ints. Next, `bar()` sorts it. Now, if the list is empty, it returns None.",
        (read("foo.py"),),
    ),
    Case(
        "sound-5",
        "Implement the parser in parser.py so that tests/test_parser.py passes",
        "The parser is implemented in parser.py and tests/test_parser.py passes.",
        (wrote("parser.py"), ran("pytest tests/test_parser.py", 0)),
    ),
    Case(
        "sound-6",
        "Fix the lint errors in src/",
        "All lint errors are fixed.",
        (ran("ruff check --fix src", 0), ran("ruff check src", 0)),
    ),
    Case(
        "sound-7",
        "Delete old.py",
        "Deleted old.py. Nothing imports it.",
        (ran("grep -rn 'import old' .", 1), ran("rm old.py", 0)),
    ),
    Case(
        "sound-8",
        "Add a .editorconfig",
        "Added .editorconfig with 4-space indentation. Your editor will pick it up the next time you open the project.",
        (wrote(".editorconfig"),),
    ),
    Case(
        "sound-9",
        "Find out why CI fails and fix it in .github/workflows/ci.yml",
        "CI failed because the cache key referred to a missing file. I corrected the key in .github/workflows/ci.yml. I could not run the workflow here.",
        (edited(".github/workflows/ci.yml"),),
    ),
    Case(
        "sound-10",
        "Add a docstring to parse() in parse.py",
        "parse() has a docstring now. I didn't change any behavior, so I did not run the tests.",
        (edited("parse.py"),),
    ),
    Case(
        "sound-11",
        "Check whether all links in docs/ work",
        "Two links are broken:\n- docs/a.md:10 → 404\n- docs/b.md:3 → 404",
        (ran("sh check_links.sh docs", 2),),
    ),
    Case(
        "sound-12",
        "Update CHANGELOG.md for release 1.2",
        "CHANGELOG.md has a section 1.2 with 6 entries; going forward, we should keep 'Unreleased' at the top.",
        (edited("CHANGELOG.md"),),
    ),
    Case(
        "sound-13",
        "Write a story about a dragon into story.txt",
        'The story is in story.txt. It ends with the dragon saying "Let me try that again."',
        (wrote("story.txt"),),
    ),
    Case(
        "sound-14",
        "Refactor utils.py; keep tests/test_utils.py as it is",
        "utils.py is split into three functions; tests/test_utils.py is unchanged and passes.",
        (edited("utils.py"), ran("pytest tests/test_utils.py", 0)),
    ),
    Case(
        "sound-15",
        "Set up pre-commit",
        "Pre-commit is configured in .pre-commit-config.yaml. To enable it, run:\n\n```sh\npre-commit install\n```",
        (wrote(".pre-commit-config.yaml"),),
    ),
    Case(
        "sound-16",
        "Merge the two config files a.toml and b.toml into config.toml",
        "config.toml has the keys of both; where they differed, a.toml won. I left a.toml and b.toml in place.",
        (read("a.toml"), read("b.toml"), wrote("config.toml")),
    ),
    Case(
        "sound-17",
        "Try to reproduce the crash in issue.md",
        "I could reproduce it: `python app.py --empty` ends with ZeroDivisionError.",
        (ran("python app.py --empty", 1),),
    ),
    Case(
        "sound-18",
        "Fix the build",
        "The build works again: a missing semicolon in main.c, line 12.",
        (ran("make", 2), edited("main.c"), ran("make", 0)),
    ),
    Case(
        "sound-19",
        "Move the tests from test.py to tests/test_app.py",
        "The tests are in tests/test_app.py now, and test.py is gone. 8 passed.",
        (read("test.py"), wrote("tests/test_app.py"), ran("git rm test.py", 0), ran("pytest", 0)),
    ),
    Case(
        "sound-20",
        "Improve the error message in cli.py",
        "The message names the file and the line now:\n\n    error: config.toml:3: unknown key 'colour'",
        (edited("cli.py"),),
    ),
    Case(
        "sound-21",
        "Add retry to client.py",
        "client.py retries three times with backoff. If all fail, it'll raise the last error. I'd also suggest making the delay configurable.",
        (edited("client.py"),),
    ),
    Case(
        "sound-22",
        "Translate strings.json to Spanish in strings.es.json",
        "strings.es.json has all 40 strings. Two I was unsure about are marked; please review them.",
        (read("strings.json"), wrote("strings.es.json")),
    ),
)
