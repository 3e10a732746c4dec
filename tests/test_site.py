"""The documents as a site: every link and name is there, and no page asks another place for anything."""

import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sunwell
from tests.browser import CHROMIUM, Heard, running_browser

ROOT = Path(__file__).parent.parent
PROGRAM = ROOT / "docs" / "build_site.py"
HAS_TOOL = all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo"))
needs_the_tool = pytest.mark.skipif(not HAS_TOOL, reason="the extra docs is not installed: make docs")


@pytest.fixture(scope="module")
def program() -> ModuleType:
    """Return the module that builds the site."""
    spec = importlib.util.spec_from_file_location("build_site", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of the built site; the build fails at a warning."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, PROGRAM, folder], capture_output=True, text=True, timeout=550, check=False
    )
    assert built.returncode == 0, built.stderr
    return folder / "html"


def test_faults_of_pages_are_seen(program: ModuleType, tmp_path: Path) -> None:
    """A lost page, a lost anchor, a lost picture, and all that would come from another place."""
    (tmp_path / "style.css").write_text('@import "https://fonts.example/a.css"; p { background: url(a.png) }')
    (tmp_path / "other.html").write_text('<h1 id="here">Here</h1>')
    (tmp_path / "page.html").write_text(
        '<link rel="stylesheet" href="//cdn.example/a.css"><script src="https://cdn.example/a.js"></script>'
        '<link rel="canonical" href="https://docs.example/page.html"><img src="lost.png">'
        '<img src="data:image/png;base64,AA=="><a href="other.html#here">1</a><a href="other.html#gone">2</a>'
        '<a href="gone.html">3</a><a href="#top">4</a><a href="https://example.org/">5</a>'
        '<p id="top" style="background: url(https://cdn.example/b.png)">'
    )
    assert set(program.faults(tmp_path)) == {
        "page.html loads //cdn.example/a.css from another place",
        "page.html loads https://cdn.example/a.js from another place",
        "page.html loads https://cdn.example/b.png from another place",
        "page.html loads lost.png, which is not there",
        "page.html links to other.html#gone: the page has no such anchor",
        "page.html links to gone.html, which is not there",
        "style.css loads https://fonts.example/a.css from another place",
    }


def test_the_reference_has_every_public_name(program: ModuleType) -> None:
    """Those of ``sunwell`` by the headings of the page on the API, the others by their modules."""
    page = (ROOT / "docs" / "api.md").read_text()
    listed = {name for names in program.public_names(page).values() for name in names}
    modules, longer = program.other_names(page)
    assert listed == set(sunwell.__all__)
    assert {"sunwell.core", "sunwell.events", "sunwell.testing"} <= set(modules)
    assert ("sunwell.adapters.otel", "instrument") in longer


def test_without_its_tool_it_says_what_to_install(tmp_path: Path) -> None:
    """One sentence, and nothing is written."""
    done = subprocess.run(
        [sys.executable, "-S", PROGRAM, tmp_path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "The site needs Sphinx: pip install 'sunwell[docs]', or make docs\n"
    assert list(tmp_path.iterdir()) == []


@needs_the_tool
@pytest.mark.timeout(600)  # more than a minute, on a busy machine some
def test_the_site_has_each_document_and_each_name(site: Path) -> None:
    """Also the readme, the changelog, and the decisions; names have an anchor of their own."""
    documents = [*ROOT.glob("docs/*.md"), *ROOT.glob("rfcs/*.md"), *ROOT.glob("sunwell/*/README.md")]
    for page in (*documents, ROOT / "README.md", ROOT / "CHANGELOG.md"):
        assert (site / page.relative_to(ROOT).with_suffix(".html")).exists(), page
    described = "".join(page.read_text() for page in (site / "reference").glob("*.html"))
    assert [name for name in sunwell.__all__ if f'id="sunwell.{name}"' not in described] == []
    assert 'id="sunwell.events.RUN_FINISHED"' in described
    assert "Sent before the workers of a batch start" in described


@needs_the_tool
@pytest.mark.chromium
@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.timeout(600)
def test_the_site_works_from_a_folder_and_asks_nobody(site: Path) -> None:
    """Opened as files, without a server: the front page, the reference, a search that finds both kinds."""
    with running_browser() as browser:
        page, heard = browser.new_page(), Heard()
        heard.listen(page)
        page.goto((site / "index.html").as_uri())
        page.wait_for_url("**/README.html")
        page.goto((site / "reference" / "running.html").as_uri())
        page.fill(".sidebar-search", "RetryPolicy")
        page.press(".sidebar-search", "Enter")
        page.wait_for_selector("#search-results li a")
        found = [link.get_attribute("href") or "" for link in page.query_selector_all("#search-results li a")]
    assert any(link.startswith("reference/running.html") for link in found), found
    assert any(link.startswith("docs/") for link in found), found
    assert heard.messages == []
    assert [asked for asked in heard.requests if not asked.startswith(("file:", "data:"))] == []
