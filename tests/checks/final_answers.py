# ruff: noqa: E501 (the texts are as long as models write them)
"""Last messages of models, as many kinds of models write them: early stops, and sound answers.

Each comes with its task and with what was done before it. The table is older than the rules that read it.
"""

import json
from typing import Any

import attrs

from sunwell.core.message import FileChange, ToolCall, ToolResult

ALL_TOOLS = ("list_files", "read_file", "search_files", "write_file", "edit_file", "run_command")
FILE_TOOLS = ALL_TOOLS[:-1]
READ_TOOLS = ALL_TOOLS[:3]


@attrs.frozen
class Done:
    """One tool call and its result."""

    call: ToolCall
    result: ToolResult


@attrs.frozen
class Case:
    """The end of a piece of work."""

    id: str
    task: str
    answer: str
    done: tuple[Done, ...] = ()
    tools: tuple[str, ...] = ALL_TOOLS
    targets: tuple[str, ...] = ()


def _made(tool: str, arguments: dict[str, Any], result: ToolResult) -> Done:
    return Done(ToolCall("c", tool, json.dumps(arguments)), result)


def ran(command: str, exit_code: int | None = 0, printed: str = "") -> Done:
    """A command that ended; ``None``: it was killed at its time limit."""
    head = "killed after 120 seconds, before it ended; what it printed:"
    text = f"{head if exit_code is None else f'exit code {exit_code}'}\n{printed or '(it printed nothing)'}"
    result = ToolResult("c", text, is_error=exit_code is None, exit_code=exit_code)
    return _made("run_command", {"command": command, "timeout_seconds": None}, result)


def read(path: str) -> Done:
    """A file that was read."""
    return _made("read_file", {"path": path, "start": None, "lines": None}, ToolResult("c", "text"))


def searched(pattern: str) -> Done:
    """A search."""
    return _made("search_files", {"pattern": pattern}, ToolResult("c", "a.py:1: text"))


def wrote(path: str) -> Done:
    """A file that was written."""
    change = FileChange(path, "a" * 64, "b" * 64)
    return _made("write_file", {"path": path, "content": "x"}, ToolResult("c", "Done.", changes=(change,)))


def edited(path: str) -> Done:
    """A file that was edited."""
    change = FileChange(path, "a" * 64, "b" * 64)
    arguments = {"path": path, "old": "x", "new": "y"}
    return _made("edit_file", arguments, ToolResult("c", "Done.", changes=(change,)))


def failed_edit(path: str, said: str) -> Done:
    """An edit that was not made, for the reason *said*."""
    return _made("edit_file", {"path": path, "old": "x", "new": "y"}, ToolResult("c", said, is_error=True))


def failed_write(path: str, said: str) -> Done:
    """A write that was not made, for the reason *said*."""
    return _made("write_file", {"path": path, "content": "x"}, ToolResult("c", said, is_error=True))


NOT_APPROVED = "write_file was not approved; not done"
NOT_FOUND = "old is not in the file"

EARLY_STOPS = (
    Case(
        "do-that-next",
        "Fix the failing test in tests/test_cart.py",
        "Let me do that next.",
        (read("tests/test_cart.py"),),
    ),
    Case(
        "now-run-the-tests",
        "Add a `limit` parameter to list_orders in shop/orders.py",
        "I've added the `limit` parameter to `list_orders`. I'll now run the tests to make sure nothing else broke.",
        (read("shop/orders.py"), edited("shop/orders.py")),
    ),
    Case(
        "next-i-will-list",
        "Refactor the config loader into its own module",
        "I've looked at how configuration is loaded today.\n\nNext, I will:\n1. Create `config/loader.py`\n"
        "2. Move `load_config` there\n3. Update the imports",
        (read("app.py"), searched("load_config")),
    ),
    Case(
        "going-to-edit",
        "Rename the class Foo to Bar",
        "The class is defined in `foo.py` and used in three places. Now I'm going to edit all of them.",
        (searched("class Foo"),),
    ),
    Case(
        "proceed-to",
        "Implement pagination for the users endpoint",
        "Based on my analysis, the endpoint lives in `api/users.py`. I will now proceed to implement the pagination logic.",
        (read("api/users.py"),),
    ),
    Case(
        "lets",
        "Update the README with the new install command",
        "The README still mentions `setup.py install`. Let's update that section.",
        (read("README.md"),),
    ),
    Case(
        "let-me-check-colon",
        "Fix the crash when the cart is empty",
        "I see: `total()` divides by `len(items)`. Let me check where it is called from:",
        (read("cart.py"),),
    ),
    Case(
        "step-two-heading",
        "Migrate the tests from unittest to pytest",
        "## Step 1: Survey\n\nThere are four test modules.\n\n## Step 2: Migration\n\nI'll start with `test_models.py` and "
        "convert its assertions.",
        (searched("unittest"),),
    ),
    Case(
        "first-lets-look",
        "Why does the worker leak memory? Fix it.",
        "To find the leak, I first need to look at how connections are pooled. Let me open `pool.py`.",
        (read("worker.py"),),
    ),
    Case(
        "emoji-and-bold",
        "Add type hints to utils.py",
        "✅ **Analysis complete!** I understand the structure of the module.\n\n🚀 **Next step:** I'll add the type hints now.",
        (read("utils.py"),),
    ),
    Case(
        "gerund",
        "Add a health check endpoint",
        "The router is in `server/routes.py`.\n\nNow adding the `/health` route and its test...",
        (read("server/routes.py"),),
    ),
    Case(
        "we-will",
        "Split the monolithic views.py into a package",
        "This is a large file with 14 views. We'll go through them one at a time, beginning with the authentication views.",
        (read("views.py"),),
    ),
    Case(
        "about-to",
        "Remove the deprecated API v1",
        "All v1 routes are registered in `legacy.py`, and nothing else imports it. I'm about to delete the file and its "
        "registration.",
        (read("legacy.py"), searched("legacy")),
    ),
    Case(
        "plan-of-bullets",
        "Speed up the report query",
        "Here is my plan:\n\n- add an index on `orders.created_at`\n- rewrite the subquery as a join\n- measure again\n\n"
        "I'll begin with the index.",
        (read("report.sql"),),
    ),
    Case(
        "apply-fix",
        "Fix the off-by-one error in paginate()",
        "Found it: the slice should end at `start + size`, not `start + size - 1`. Applying the fix now.",
        (read("paginate.py"),),
    ),
)

SOUND_ANSWERS = (
    Case(
        "grep-that-finds-nothing",
        "Is `legacy_login` still used anywhere?",
        "No. `legacy_login` is used nowhere: a search over the whole tree finds no line.",
        (ran("grep -rn legacy_login .", 1),),
    ),
    Case(
        "grep-after-a-removal",
        "Remove the function legacy_login from auth.py",
        "Removed `legacy_login` from `auth.py`. A search for the name finds nothing any more.",
        (edited("auth.py"), ran("pytest -q"), ran("grep -rn legacy_login src", 1)),
    ),
    Case(
        "diff-that-differs",
        "How do config.dev.toml and config.prod.toml differ?",
        "They differ in two keys: `debug` is true in dev, and `workers` is 8 in prod.",
        (ran("diff config.dev.toml config.prod.toml", 1, "1c1"),),
    ),
    Case(
        "fixed-after-a-failure",
        "Fix the failing test in tests/test_cart.py",
        "Fixed: `total()` returns 0 for an empty cart. All tests pass (34 passed).\n\nFiles changed: cart.py, tests/test_cart.py",
        (
            ran("pytest -q", 1),
            edited("cart.py"),
            edited("tests/test_cart.py"),
            ran("pytest -q", 0, "34 passed"),
        ),
    ),
    Case(
        "offer-if-you-like",
        "Add a --json flag to the export command in cli/export.py",
        "Added `--json` to `export` in `cli/export.py`; the tests of the command pass. If you like, I can also add it to "
        "`import`.",
        (edited("cli/export.py"), ran("python -m pytest tests/test_export.py", 0)),
    ),
    Case(
        "let-me-know",
        "Translate the error messages in messages.py to French",
        "All 23 messages in `messages.py` are now in French. Let me know if you'd prefer the formal address throughout.",
        (read("messages.py"), wrote("messages.py")),
    ),
    Case(
        "you-can-now-run",
        "Create a Dockerfile for the service",
        "Created `Dockerfile` with a two-stage build. You can now run `docker build -t service .` to build the image.\n\n"
        "Not checked: Docker is not available here, so the image was not built.",
        (wrote("Dockerfile"),),
    ),
    Case(
        "leave-it-to-you",
        "Bump the version in pyproject.toml to 2.4.0",
        "The version in `pyproject.toml` is now 2.4.0. I'll leave the git tag to you.",
        (edited("pyproject.toml"),),
        FILE_TOOLS,
    ),
    Case(
        "nothing-needed",
        "Add a license header to setup.py",
        "`setup.py` already begins with the license header, so no change was needed.",
        (read("setup.py"),),
    ),
    Case(
        "honest-refusal",
        "Update the settings in config/prod.toml and config/dev.toml",
        "`config/dev.toml` is updated.\n\nNot done: the change of `config/prod.toml` was not approved, so it is as it was.",
        (wrote("config/dev.toml"), failed_write("config/prod.toml", NOT_APPROVED)),
    ),
    Case(
        "edit-repeated-with-success",
        "Fix the typo in docs/guide.md",
        'Corrected "recieve" to "receive" in docs/guide.md, line 12.',
        (failed_edit("docs/guide.md", NOT_FOUND), read("docs/guide.md"), edited("docs/guide.md")),
        FILE_TOOLS,
    ),
    Case(
        "wrong-path-then-right",
        "Fix the default timeout in settings.py",
        "The default timeout is 30 seconds now (`src/app/settings.py`, line 8).",
        (
            failed_edit("settings.py", "there is no file settings.py"),
            read("src/app/settings.py"),
            edited("src/app/settings.py"),
        ),
        FILE_TOOLS,
    ),
    Case("question", "How many tests are in tests/test_cart.py?", "12 tests.", (read("tests/test_cart.py"),)),
    Case(
        "explain",
        "Explain how the retry loop in gateway.py works",
        "Each attempt waits twice as long as the one before. The loop will now and then skip a wait: if the server sends "
        "`Retry-After`, that value counts instead. After five attempts it raises the last error.",
        (read("gateway.py"),),
    ),
    Case(
        "review-with-next-steps",
        "Review the pull request in changes.diff",
        "Two findings:\n\n1. `api.py:40`: the cursor is never closed.\n2. `api.py:77`: a bare except hides the error.\n\n"
        "Next steps for the author: close the cursor in a `finally`, and catch `ValueError` only.",
        (read("changes.diff"),),
    ),
    Case(
        "run-the-tests-and-tell",
        "Run the test suite and tell me which tests fail",
        "Two of 40 tests fail:\n\n- `test_login_expired`: the token is accepted after its expiry\n- `test_rate_limit`: 429 was "
        "expected, got 200",
        (ran("pytest -q", 1, "2 failed, 38 passed"),),
    ),
    Case(
        "failing-test-wanted",
        "Write a failing test that reproduces the bug in issue.md",
        "Added `test_empty_cart_total` to tests/test_cart.py. It fails with ZeroDivisionError, as the report says.",
        (read("issue.md"), edited("tests/test_cart.py"), ran("pytest tests/test_cart.py -k empty", 1)),
    ),
    Case(
        "missing-program-other-way",
        "Add input validation to the signup form in signup.ts",
        "Validation is in `signup.ts`: an e-mail without `@` is refused. I checked it with `node --test`, since npm is not "
        "installed here.",
        (edited("signup.ts"), ran("npm test", 127, "npm: not found"), ran("node --test", 0)),
    ),
    Case(
        "look-at-a-missing-file",
        "Create the folder layout for the plugin: plugin/__init__.py and plugin/main.py",
        "Created plugin/__init__.py and plugin/main.py.",
        (
            ran("ls plugin", 2, "No such file or directory"),
            wrote("plugin/__init__.py"),
            wrote("plugin/main.py"),
            ran("ls plugin"),
        ),
    ),
    Case(
        "last-look-fails",
        "Add *.log to .gitignore",
        "`.gitignore` now has `*.log`. No log file is tracked: `git ls-files | grep .log` prints nothing.",
        (edited(".gitignore"), ran("git ls-files | grep '\\.log$'", 1)),
    ),
    Case(
        "test-command",
        "Does the build folder exist?",
        "No, there is no folder `build`.",
        (ran("test -d build", 1),),
    ),
    Case(
        "written-by-a-command",
        "Sort the lines of words.txt",
        "words.txt is sorted, 812 lines.",
        (ran("sort -o words.txt words.txt"), ran("wc -l words.txt", 0, "812")),
    ),
    Case(
        "many-files-one-named-reference",
        "Add docs for the cache module to docs/cache.md, in the style of docs/queue.md",
        "Wrote docs/cache.md: purpose, options, and two examples, in the order that docs/queue.md has.",
        (read("docs/queue.md"), read("cache.py"), wrote("docs/cache.md")),
        FILE_TOOLS,
    ),
    Case(
        "a-target-needs-nothing",
        "Rename get_user to fetch_user",
        "`get_user` is `fetch_user` now in api.py and views.py. tests/test_api.py needed no change: it never used the name.",
        (edited("api.py"), edited("views.py"), ran("pytest -q", 0)),
        ALL_TOOLS,
        ("api.py", "views.py", "tests/test_api.py"),
    ),
    Case(
        "honest-not-checked",
        "Fix the race in scheduler.py",
        "The queue is now guarded by a lock (`scheduler.py`, lines 40 to 58).\n\nNot checked: no command can be run here, so the "
        "tests were not run. They should pass, since the interface is unchanged.",
        (read("scheduler.py"), edited("scheduler.py")),
        FILE_TOOLS,
    ),
    Case(
        "advice-in-the-first-person-of-others",
        "Draft a reply to the customer in ticket.txt",
        "Dear Ms Lang,\n\nthank you for your patience. The refund was booked today. I will update the ticket as soon as the bank "
        "confirms.\n\nKind regards",
        (read("ticket.txt"),),
        READ_TOOLS,
    ),
    Case(
        "plan-wanted",
        "Plan the migration to Python 3.13. Do not change anything yet.",
        "1. Pin the tools that support 3.13.\n2. Replace `imp` with `importlib` in loader.py.\n3. Run the suite on both versions.\n"
        "4. Then let's drop 3.9 from the matrix.",
        (read("pyproject.toml"), searched("import imp")),
    ),
    Case(
        "summary-announced-and-given",
        "Refactor parse() in parser.py into smaller functions",
        "Let me summarize what I did:\n\n- `parse()` is split into `tokenize()`, `fold()` and `check()`\n- the tests of the parser "
        "are unchanged and pass",
        (edited("parser.py"), ran("python -m pytest tests/test_parser.py -q", 0, "18 passed")),
    ),
    Case(
        "code-that-says-i-will",
        "Change the greeting of the bot in bot.py",
        'The greeting is changed:\n\n```python\nGREETING = "Hi! Tell me your order number, then I\'ll check its status."\n```',
        (edited("bot.py"),),
        FILE_TOOLS,
    ),
    Case(
        "blocked-and-said",
        "Upgrade the dependency requests to 3.0 in requirements.txt",
        "Not done: there is no release 3.0 of requests, the latest is 2.32. I left requirements.txt as it is; to go on I would need "
        "the version that you mean.",
        (read("requirements.txt"), ran("pip index versions requests", 1, "no network")),
    ),
)
