"""Pages of runs of many kinds, as a browser shows them."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser

from sunwell.journal.reading import read_records
from sunwell.report.figures import exact
from sunwell.report.page.page_json import page_json
from sunwell.report.page.run_view import RunView
from tests.browser import needs_chromium, opened
from tests.report.page.sample_runs import SAMPLES, SampleRun, sample_runs

pytestmark = needs_chromium


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SampleRun]:
    """Return runs of all kinds, made on a thread: the browser's loop runs on this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(sample_runs, tmp_path_factory.mktemp("samples")).result()


def values_of(journal: Path) -> dict[str, Any]:
    """Return the JSON values of the page of the run in *journal*."""
    view = RunView(journal)
    for record in read_records(journal):
        view.take(record)
    found: dict[str, Any] = page_json(view.data())
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_each_kind_of_run_has_its_page(
    samples: dict[str, SampleRun], browser: Browser, written: Callable[..., str], name: str
) -> None:
    """Every view opens in silence, and the page costs what the result's bill says."""
    sample = samples[name]
    with opened(browser, written(values_of(sample.journal))) as page:
        cost = page.get_attribute('#facts [data-figure="cost.usd"]', "data-exact")
        if sample.result is not None and sample.result.bill.cost_usd is not None:
            assert Decimal(str(cost)) == Decimal(str(exact(sample.result.bill.cost_usd)))
        for link in page.query_selector_all("#views a"):
            link.click()
            assert page.evaluate("document.getElementById('view').textContent.length") > 20
        page.keyboard.press("Escape")
        page.goto(page.url.partition("#")[0] + "#tree/run")
        assert page.is_visible("#detail h2")


def test_a_refused_call_is_the_first_cause(
    samples: dict[str, SampleRun], browser: Browser, written: Callable[..., str]
) -> None:
    """The run ends because of it, so it stands before the run."""
    with opened(browser, written(values_of(samples["capped"].journal))) as page:
        names = page.locator(".failure strong").all_inner_texts()
    assert names[0] == "run › direct"
    assert names[-1] == "run"
