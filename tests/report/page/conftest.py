"""Pages that no run has had, and a browser to open them in."""

import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from sunwell.report.page.html_page import page_html
from sunwell.report.page.page_json import page_json
from tests.browser import CHROMIUM, running_browser

_BENCHMARKS = Path(__file__).parents[3] / "benchmarks"
Values = dict[str, Any]


@pytest.fixture(scope="session")
def maker() -> Any:
    """Return the names of the module that makes the data of pages."""
    sys.path.insert(0, str(_BENCHMARKS))
    try:
        return runpy.run_path(str(_BENCHMARKS / "made_page.py"))
    finally:
        sys.path.remove(str(_BENCHMARKS))


@pytest.fixture
def values(maker: Any) -> Values:
    """Return the JSON values of a run of 8 workers, in which much went wrong."""
    found: Values = page_json(maker["made_page"](8, 60))
    return found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Give a browser to the tests of one module."""
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    with running_browser() as started:
        yield started


@pytest.fixture
def written(tmp_path: Path) -> Callable[..., str]:
    """Return a function that writes a page to a file and gives its address."""

    def write(data: Mapping[str, Any], requests: Mapping[str, Any] | None = None) -> str:
        path = tmp_path / "page.html"
        path.write_text(page_html(data, requests=requests))
        return path.as_uri()

    return write
