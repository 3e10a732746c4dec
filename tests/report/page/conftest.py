"""Runs of each kind, made once, with their records."""

from collections.abc import Mapping

import attrs
import pytest

from sunwell.journal import read_records
from sunwell.journal.reading import Repair
from sunwell.journal.records import Record
from sunwell.report.page.page_data import PageData
from sunwell.report.page.run_view import RunView
from tests.report.page.sample_runs import SampleRun, sample_runs


@attrs.frozen
class RecordedRun:
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
def runs(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, RecordedRun]:
    """Return a run of each kind by its name."""
    made = {}
    for name, sample in sample_runs(tmp_path_factory.mktemp("samples")).items():
        torn: list[Repair] = []
        records = tuple(read_records(sample.journal, torn=torn.append))
        made[name] = RecordedRun(sample, records, torn[0] if torn else None)
    return made


@pytest.fixture(scope="package")
def pages(runs: Mapping[str, RecordedRun]) -> Mapping[str, PageData]:
    """Return the data of their pages."""
    return {name: run.data() for name, run in runs.items()}
