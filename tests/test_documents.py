"""The Python in the documents runs as it stands there, against the simulator."""

import ast
import asyncio
import inspect
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest
from blinker import NamedSignal
from hypothesis import settings

from sunwell import RunOptions, SessionContext, events, forecast
from sunwell.models.connection import close_clients
from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS

ROOT = Path(__file__).parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str]]:
    """Return each Python block with the document and line that it begins on."""
    found = []
    for path in DOCUMENTS:
        text = path.read_text()
        for match in BLOCK.finditer(text):
            line = text.count("\n", 0, match.start()) + 2
            found.append((f"{path.relative_to(ROOT)}:{line}", match[1]))
    return found


@pytest.fixture(autouse=True)
def _nobody_stays_connected() -> Iterator[None]:
    """Disconnect whom a block connected: it would print into every test that follows."""
    signals = [value for value in vars(events).values() if isinstance(value, NamedSignal)]
    before = {signal: set(signal.receivers) for signal in signals}
    yield
    for signal in signals:
        for number, receiver in list(signal.receivers.items()):
            if number not in before[signal]:
                signal.disconnect(receiver)


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return a copy of the example to work in, with keys and base URLs that lead to the simulator."""
    folder = tmp_path / "shop"
    shutil.copytree(ROOT / "examples" / "shop", folder)
    monkeypatch.chdir(folder)
    with running_simulator(Simulator(DEMO_MODELS)) as simulator:
        monkeypatch.setenv("ANTHROPIC_API_KEY", "a-key-for-documents")
        monkeypatch.setenv("ANTHROPIC_BASE_URL", simulator.url)
        monkeypatch.setenv("OPENAI_API_KEY", "a-key-for-documents")
        monkeypatch.setenv("OPENAI_BASE_URL", simulator.openai_url)
        yield folder


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(("where", "code"), blocks(), ids=[where for where, _ in blocks()])
def test_block_runs(where: str, code: str) -> None:
    """A block of a page runs on an event loop if it awaits; one of the readme runs as a script."""
    flags = 0 if where.startswith("README.md") else ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    run_block(compile(code, where, "exec", flags=flags))


def test_the_first_example_is_a_program_that_delegates(shop: Path) -> None:
    """Saved to a file and run, it has a cheap model do the work, and the shop's tests pass."""
    code = next(code for where, code in blocks() if where.startswith("README.md"))
    (shop / "endpoints_script.py").write_text(code)
    printed = program(shop, "-W", "error::ResourceWarning", "endpoints_script.py").splitlines()
    assert printed[0] == "ok end"
    assert {line.split()[0] for line in printed[-2:]} == {"claude-opus-5-5", "claude-haiku-5-5"}
    program(shop, "-m", "unittest")


def test_the_tasks_of_the_readme_are_delegated(shop: Path) -> None:
    """What a new user types first shows what Sunwell is for."""
    tasks = re.findall(r'^sunwell (?:estimate|run) "(.*?)"', (ROOT / "README.md").read_text(), re.MULTILINE)
    options = RunOptions(smart_model="opus", delegation_model="haiku")
    made = [forecast(SessionContext.build(shop, task, options=options)) for task in tasks]
    assert [bool(one.decision) for one in made] == [True, True, True]


def program(folder: Path, *arguments: str) -> str:
    """Run Python in *folder* and return what it prints; it must end well."""
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return done.stdout


def run_block(compiled: CodeType) -> None:
    """Run a block as a script, or on an event loop where it awaits; tests that it defines are run, too."""
    names: dict[str, Any] = {"__name__": "document"}
    made = eval(compiled, names)
    if inspect.isawaitable(made):

        async def main() -> None:
            await made
            await close_clients()

        asyncio.run(main())
    for name, test in list(names.items()):
        if name.startswith("test_"):
            test()


def test_there_are_documents() -> None:
    """The readme shows Python, so the table above is not empty."""
    assert any(where.startswith("README.md") for where, _ in blocks())


PAGES = sorted(
    page
    for folder in ("docs", "rfcs", "benchmarks", "examples", "integrations", "sunwell")
    for page in (ROOT / folder).rglob("*.md")
) + sorted(ROOT.glob("*.md"))
LINK = re.compile(r"\]\(<?([^)<>\s]+)>?(?: \"[^\"]*\")?\)|^\[[^\]]+\]: *(\S+)", re.MULTILINE)
FENCED = re.compile(r"^(`{3,}|~{3,}).*?^\1`*$", re.MULTILINE | re.DOTALL)


def prose(page: Path) -> str:
    """Return the text of *page* without its blocks of code."""
    return FENCED.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """Return the anchors that a code host gives the headings of *page*."""
    found: dict[str, int] = {}
    for line in re.findall(r"^#{1,6} +(.+?) *#*$", prose(page), re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", line)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        times = found[name] = found.get(name, -1) + 1
        if times:
            found[f"{name}-{times}"] = 0
    return set(found)


def lost_links(page: Path, project: Path = ROOT) -> list[str]:
    """Return the links of *page* to files and headings that *project* does not have."""
    lost = []
    for inline, listed in LINK.findall(re.sub(r"`[^`\n]+`", "", prose(page))):
        path, _, anchor = (link := inline or listed).partition("#")
        target = (page.parent / path).resolve() if path else page
        if re.match(r"[a-z]+:", link):
            continue
        headless = bool(anchor) and (
            target.suffix != ".md" or not target.exists() or anchor not in anchors(target)
        )
        if link.startswith("/") or not target.exists() or not target.is_relative_to(project) or headless:
            lost.append(link)
    return lost


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path: Path) -> None:
    """Every link to a file of the project finds it, and the heading in it that it names."""
    assert lost_links(path) == []


def test_links_that_lead_nowhere_are_seen(tmp_path: Path) -> None:
    """To a file, a heading or a place outside of the project; code is no link, and a heading may repeat."""
    page = tmp_path / "page.md"
    page.write_text(
        "# A `name`: what it *is*\n\n## Twice\n\n## Twice\n\n[no](no.md) [bad](#three)\n"
        "[ok](#a-name-what-it-is) `[code](code.md)` [twice](page.md#twice-1)\n\n"
        "```text\n[fenced](fenced.md)\n## Three\n```\n\n"
        "[out]: /etc/hosts\n[away](https://example.org/#x) [up](../up.md)\n"
    )
    assert anchors(page) == {"a-name-what-it-is", "twice", "twice-1"}
    assert lost_links(page, tmp_path) == ["no.md", "#three", "/etc/hosts", "../up.md"]


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/recipes.md"])
def test_files_that_contributors_are_sent_to_are_there(page: str) -> None:
    """A recipe that names a file which has moved helps nobody."""
    named = re.findall(r"`((?:sunwell|tests)/[\w/]+\.py)`", (ROOT / page).read_text())
    assert named
    assert [name for name in named if not (ROOT / name).exists()] == []


def test_every_document_is_listed() -> None:
    """The index of the documents names each of them."""
    index = (ROOT / "docs" / "README.md").read_text()
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert {name for name in pages if f"]({name})" not in index} == set()


def test_what_contributors_are_told_to_make_can_be_made() -> None:
    """And the long way through the properties draws more, and is not in the gate."""
    rules = dict(re.findall(r"^([\w-]+):(.*(?:\n\t.*)*)", (ROOT / "Makefile").read_text(), re.MULTILINE))
    told = re.findall(r"\bmake ([\w-]+)", (ROOT / "CONTRIBUTING.md").read_text())
    assert {"check", "test", "test-long"} <= set(told) <= set(rules)
    assert "test-long" not in rules["check"]
    profile = re.search(r"-m \"hypothesis and not live\" --hypothesis-profile (\w+)", rules["test-long"])
    assert profile is not None
    assert settings.get_profile(profile[1]).max_examples > 10 * settings.get_profile("suite").max_examples
