"""What does a long run cost the reader of its page?

The page of a run of 10,000 calls and 200 workers, beside the page of a run of one call: its size, the time
until it is ready, and the time until a filter has been applied to all that is shown. Both pages are opened in
turns in one browser. Run with ``python benchmarks/report_page.py``; it needs Chromium.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from made_page import made_page
from playwright.sync_api import Browser, Page, sync_playwright
from recording import record

from sunwell.report.page.html_page import page_html
from sunwell.report.page.page_json import page_json

ROUNDS = 9
WORKERS, CALLS = 200, 10_000
MOST_TO_EMPTY, MOST_FILTER_MS = 3.0, 100.0
VIEWS = ("summary", "tree", "time", "calls", "cost", "checks", "files")
FILTERS = ("status:failed", "model:haiku cost:>0.002", "endpoint 5", "-purpose:work", "")
_FILTERED = """async (text) => {
  const box = document.getElementById("filter");
  const began = performance.now();
  box.value = text;
  box.dispatchEvent(new Event("input"));
  return performance.now() - began;
}"""


def open_ms(browser: Browser, address: str) -> float:
    """Return how long the page at *address* takes from the navigation until it is ready and painted."""
    page = browser.new_page()
    try:
        page.goto(address)
        page.wait_for_selector("html[data-ready]", state="attached")
        page.wait_for_function("performance.getEntriesByType('paint').length > 0")
        painted: float = page.evaluate(
            "Math.max(performance.getEntriesByType('navigation')[0].loadEventEnd,"
            " ...performance.getEntriesByType('paint').map((one) => one.startTime))"
        )
        return painted
    finally:
        page.close()


def filter_ms(page: Page, view: str) -> float:
    """Return the median time of all filters in *view*, each used before."""
    page.evaluate("view => { location.hash = view }", view)
    page.wait_for_selector(f'#views a[href="#{view}"][aria-current]')
    for text in FILTERS:  # the first time, texts and entries are prepared
        page.evaluate(_FILTERED, text)
    took: list[float] = [page.evaluate(_FILTERED, text) for text in FILTERS for _ in range(3)]
    return statistics.median(took)


def measured(folder: Path, browser: Browser) -> dict[str, Any]:
    """Return what was measured."""
    pages = {
        "empty": page_html(page_json(made_page(1, 1))),
        "long": page_html(page_json(made_page(WORKERS, CALLS))),
    }
    for name, html in pages.items():
        (folder / f"{name}.html").write_text(html)
    times: dict[str, list[float]] = {name: [] for name in pages}
    for _ in range(ROUNDS):
        for name in pages:
            times[name].append(open_ms(browser, (folder / f"{name}.html").as_uri()))
    opened = {name: statistics.median(took) for name, took in times.items()}
    page = browser.new_page()
    page.goto((folder / "long.html").as_uri())
    filtered = {view: round(filter_ms(page, view), 1) for view in VIEWS}
    return {
        "calls": CALLS,
        "workers": WORKERS,
        "rounds": ROUNDS,
        "kilobytes": {name: round(len(html.encode()) / 1000) for name, html in pages.items()},
        "open_ms": {name: round(took) for name, took in opened.items()},
        "open_to_empty": round(opened["long"] / opened["empty"], 2),
        "filter_ms": filtered,
        "filter_to_empty": round(max(filtered.values()) / opened["empty"], 2),
    }


def main() -> int:
    """Measure, print and record; fail where the page is slower than it should be."""
    program = shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        print("Chromium is not installed", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        found = measured(Path(folder), browser)
        browser.close()
    print(record("report_page", found).read_text())
    slow = found["open_to_empty"] > MOST_TO_EMPTY or max(found["filter_ms"].values()) > MOST_FILTER_MS
    return int(slow)


if __name__ == "__main__":
    sys.exit(main())
