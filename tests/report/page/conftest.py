"""Runs of each kind with their records, pages that no run has had, and a browser to open them in."""

import pickle
import runpy
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
import pytest
from playwright.sync_api import Browser

from sunwell.journal import read_records
from sunwell.journal.reading import Repair
from sunwell.journal.records import Record
from sunwell.report.page.html_page import page_html
from sunwell.report.page.page_data import PageData
from sunwell.report.page.page_json import page_json
from sunwell.report.page.run_view import RunView
from tests.browser import CHROMIUM, running_browser
from tests.report.page.sample_runs import SampleRun, sample_runs

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


@pytest.fixture(scope="session")
def kept_values(maker: Any) -> bytes:
    """Return the values of :func:`values`, which are made once."""
    return pickle.dumps(page_json(maker["made_page"](8, 60)))


@pytest.fixture
def values(kept_values: bytes) -> Values:
    """Return the JSON values of a run of 8 workers, in which much went wrong."""
    found: Values = pickle.loads(kept_values)
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


@attrs.frozen
class ServedRecord:
    """A sample run and its journal, read once."""

    sample: SampleRun = attrs.field(repr=False)
    records: tuple[Record, ...] = attrs.field(repr=False)
    torn: Repair | None

    def data(self) -> PageData:
        """Return the data of its page, taken at once."""
        view = RunView(self.sample.journal)
        for record in self.records:
            view.take(record)
        view.torn(self.torn)
        return view.data()


@pytest.fixture(scope="package")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, ServedRecord]:
    """Return a run of each kind by its name."""
    made = {}
    for name, sample in sample_runs(tmp_path_factory.mktemp("samples")).items():
        torn: list[Repair] = []
        records = tuple(read_records(sample.journal, torn=torn.append))
        made[name] = ServedRecord(sample, records, torn[0] if torn else None)
    return made


@pytest.fixture(scope="package")
def pages(runs: Mapping[str, ServedRecord]) -> Mapping[str, PageData]:
    """Return the data of their pages."""
    return {name: run.data() for name, run in runs.items()}
