"""The page of all runs in a browser: what it shows is true, everybody can use it, and texts stay texts."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import attrs
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page

from sunwell.report.figures import dollars
from sunwell.report.page.html_page import overview_html
from sunwell.report.page.overview import Overview, OverviewRow, OverviewTotals
from sunwell.report.page.page_json import page_json
from tests.browser import needs_chromium, opened
from tests.filled import filled
from tests.report.page.test_page_in_browser import HOSTILE, strangers

pytestmark = needs_chromium
FIRST, SECOND, THIRD = "01a229d3-0001", "01a229d3-0002", "01a229d3-0003"
OPUS, HAIKU = "claude-opus-5-5", "claude-haiku-5-5"
DAMAGED = "the journal is damaged: record 3 cannot be read"
Written = Callable[[Any], str]


def row(run_id: str, status: str, **known: Any) -> OverviewRow:
    """Return a row."""
    return OverviewRow(run_id, status, f"/w/.sunwell/runs/{run_id}/journal.jsonl", **known)


ROWS = (
    row(
        THIRD,
        "ok",
        started_at=1795997342.5,
        task="And the tests",
        verdict="verified by pytest, $1.25",
        verified=True,
        usd=Decimal("1.25"),
        cap_usd=Decimal("2.00"),
        calls=12,
        tool_calls=30,
        models=(OPUS, HAIKU),
        continues=SECOND,
    ),
    row(
        SECOND,
        "incomplete",
        started_at=1795997000.0,
        task="Generate CRUD endpoints",
        usd=Decimal("0.0123"),
        unconfirmed_usd=Decimal("0.004"),
        calls=3,
        models=(HAIKU,),
        forked_from="01a229d3-0000",
        foreign=True,
    ),
    row("01a229d3-0001-b", "running", started_at=1795996999.0, task="Count", calls=1, models=("local",)),
    row(FIRST, "damaged", error=DAMAGED),
)
TOTALS = OverviewTotals(
    4, {"ok": 1, "incomplete": 1, "running": 1, "damaged": 1}, Decimal("1.2623"), Decimal("0.004"), 2, 16, 30
)
RUNS = Overview("/w", TOTALS, "", {one.run_id: one for one in ROWS})


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Return a function that writes a page to a file and gives its address."""

    def write(data: Any) -> str:
        path = tmp_path / "runs.html"
        path.write_text(overview_html(page_json(data)))
        return path.as_uri()

    return write


def figures_of(page: Page) -> dict[str, tuple[str, str]]:
    """Return exact value and text of each figure that is there, by its place in the data."""
    code = "all => all.map(one => [one.dataset.figure, [one.dataset.exact, one.textContent]])"
    return {path: tuple(told) for path, told in page.eval_on_selector_all("[data-figure]", code)}


def shown_runs(page: Page) -> list[str]:
    """Return the tasks of the rows, from the first."""
    return page.eval_on_selector_all("[role=row][data-at] bdi", "all => all.map(one => one.textContent)")  # type: ignore[no-any-return]


def test_what_people_read_is_what_the_data_says(browser: Browser, written: Written) -> None:
    """Each amount of each run and of all of them; unknown is a word, and a damaged run has no figures."""
    with opened(browser, written(RUNS)) as page:
        found = figures_of(page)
        assert "4 runs, $1.26" in page.inner_text("h1")
        assert "2 of unknown cost, not in the sum" in page.inner_text("#facts")
    for name in ("usd", "unconfirmed_usd"):
        amount = getattr(TOTALS, name)
        assert found[f"totals.{name}"] == (str(amount), dollars(amount))
    assert found["totals.by_status[ok]"] == ("1", "1")
    for one in ROWS:
        told = found[f"runs[{one.run_id}].usd"]
        assert told == ("" if one.usd is None else str(one.usd), dollars(one.usd))
        if one.cap_usd is not None:
            assert found[f"runs[{one.run_id}].cap_usd"] == ("2", dollars(one.cap_usd))
    assert f"runs[{FIRST}].calls" not in found


def test_a_run_opens_and_leads_to_the_one_before(browser: Browser, written: Written) -> None:
    """Its details say what to type, and the address names it."""
    with opened(browser, written(RUNS)) as page:
        page.click("text=And the tests")
        said = page.inner_text("#detail")
        for part in ("✓ verified by pytest, $1.25", "2026-11-30", f"sunwell report {THIRD} --open"):
            assert part in said
        page.click(f"#detail a:has-text('{SECOND}')")
        said = page.inner_text("#detail")
        assert page.url.endswith(f"#{SECOND}")
        for part in ("up to $0.004000 more", "01a229d3-0000, which is not here", f"sunwell adopt {SECOND}"):
            assert part in said
    with opened(browser, written(RUNS) + f"#{FIRST}") as page:
        assert "record 3 cannot be read" in page.inner_text("#detail")
        assert page.get_attribute("[role=row].active", "data-at") == "3"


@pytest.mark.parametrize(
    ("text", "left", "usd"),
    [
        ("status:ok", ["And the tests"], "1.25"),
        ("status:failed", ["Generate CRUD endpoints", DAMAGED], "0.0123"),
        ("model:haiku -status:passed", ["Generate CRUD endpoints"], "0.0123"),
        ("cost:>0.01", ["And the tests", "Generate CRUD endpoints"], "1.2623"),
        ("calls:>=3 crud", ["Generate CRUD endpoints"], "0.0123"),
        ("status:foreign", ["Generate CRUD endpoints"], "0.0123"),
        ('"and the"', ["And the tests"], "1.25"),
        ("error:record", [DAMAGED], "0"),
        ("none of them", [], "0"),
    ],
)  # fmt: skip
def test_the_filter_selects_and_adds_up(
    browser: Browser, written: Written, text: str, left: list[str], usd: str
) -> None:
    """The words mean the same as on the page of a run; the sum is that of the rows."""
    with opened(browser, written(RUNS)) as page:
        page.fill("#filter", text)
        assert shown_runs(page) == left
        assert page.inner_text("#problems") == ""
        assert page.get_attribute("#selection [data-exact]", "data-exact") == usd


def test_a_key_of_other_lists_is_refused(browser: Browser, written: Written) -> None:
    """A list of runs has no purposes."""
    with opened(browser, written(RUNS)) as page:
        page.fill("#filter", "purpose:lens")
        assert "There is no purpose: here" in page.inner_text("#problems")
        assert len(shown_runs(page)) == 4


def test_rows_are_sorted_by_their_figures(browser: Browser, written: Written) -> None:
    """The newest first, or the dearest; unknown is less than any amount."""
    with opened(browser, written(RUNS)) as page:
        assert shown_runs(page)[0] == "And the tests"
        page.click("text=Started ▼")
        assert shown_runs(page)[-1] == "And the tests"
        page.click("[role=columnheader] >> text=Cost")
        assert shown_runs(page)[:2] == ["And the tests", "Generate CRUD endpoints"]
        page.click("[role=columnheader] >> text=Cost")
        assert shown_runs(page)[-1] == "And the tests"


def test_all_is_reached_by_keyboard(browser: Browser, written: Written) -> None:
    """From the filter to the list, into a run and back."""
    with opened(browser, written(RUNS)) as page:
        page.keyboard.press("/")
        assert page.evaluate("document.activeElement.id") == "filter"
        page.keyboard.type("haiku")
        page.keyboard.press("Enter")
        page.keyboard.press("j")
        page.keyboard.press("Enter")
        assert "Generate CRUD endpoints" in page.inner_text("#detail h2")
        page.keyboard.press("Escape")
        page.wait_for_selector("#detail", state="hidden")  # the address changes first
        assert page.evaluate("document.activeElement.getAttribute('role')") == "grid"
        page.keyboard.press("t")
        assert page.evaluate("document.documentElement.className") == "dark"


@pytest.mark.parametrize(
    ("width", "dark"), [pytest.param(1400, False, id="wide-light"), pytest.param(360, True, id="narrow-dark")]
)
def test_everybody_can_use_it(browser: Browser, written: Written, width: int, dark: bool) -> None:
    """No violation of axe, and a narrow screen never scrolls sideways."""
    with opened(browser, written(RUNS), width=width, dark=dark) as page:
        for address in ("", THIRD, FIRST):
            page.evaluate("address => { location.hash = address }", address)
            page.focus("#filter")
            found = [
                (one["id"], one["nodes"][0]["html"][:300]) for one in Axe().run(page).response["violations"]
            ]
            assert (address, found) == (address, [])
            assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("text", [pytest.param(text, id=name) for name, text in HOSTILE.items()])
def test_a_text_does_nothing_wherever_it_stands(browser: Browser, written: Written, text: str) -> None:
    """In every text of every row, as a key too: no dialog, no error, no request, no element."""
    made: Overview = filled(Overview, text)
    hostile = attrs.evolve(made, totals=attrs.evolve(made.totals, usd=Decimal(1), unconfirmed_usd=Decimal(1)))
    with opened(browser, written(hostile), width=1000) as page:
        line = page.query_selector("[role=row][data-at]")
        if line is not None:
            line.click()
        page.fill("#filter", f'"{text}"'.replace("\x00", "")[:200])
        page.fill("#filter", "")
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert strangers(page) == []


def test_thousands_of_runs_open_at_once(browser: Browser, written: Written) -> None:
    """Only the rows in sight are elements."""
    many = {
        f"01a229d3-{number:05}": attrs.evolve(ROWS[0], run_id=f"01a229d3-{number:05}")
        for number in range(10_000)
    }
    with opened(browser, written(attrs.evolve(RUNS, runs=many))) as page:
        assert page.get_attribute("[role=grid]", "aria-rowcount") == "10001"
        assert page.evaluate("document.querySelectorAll('*').length") < 2_000


def test_a_printed_page_has_the_rows(browser: Browser, written: Written) -> None:
    """As a table."""
    with opened(browser, written(RUNS)) as page:
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        said = page.inner_text("#paper")
        assert "Generate CRUD endpoints" in said
        assert not page.is_visible("#main")


def test_a_folder_without_runs_has_a_page(browser: Browser, written: Written) -> None:
    """And so has one whose runs cannot be told from those of others."""
    empty = Overview(
        "/w", OverviewTotals(0, {}, Decimal(0), Decimal(0), 0, 0, 0), "Nobody knows whose they are.", {}
    )
    with opened(browser, written(empty)) as page:
        assert page.inner_text("h1") == "0 runs, $0"
        assert page.inner_text("#note") == "Nobody knows whose they are."
