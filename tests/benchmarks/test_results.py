"""The page on benchmarks shows every result, as it was recorded last."""

import json
import runpy
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parents[2] / "benchmarks"
PAGE = HERE / "README.md"
RESULTS = sorted((HERE / "results").glob("*.json"))
SERVERS = {"canned_server", "slow_server"}


@pytest.fixture(scope="module")
def tables() -> dict[str, Any]:
    """Return the script that fills the page."""
    return runpy.run_path(str(HERE / "tables.py"), run_name="tables")


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_a_result_says_where_it_comes_from_and_is_shown(path: Path) -> None:
    """It parses, names its commit and Python and whether code was changed, and has a place on the page."""
    found = json.loads(path.read_text())
    assert {"commit", "dirty", "python"} <= found.keys()
    page = PAGE.read_text()
    assert f"<!-- results: {path.stem} -->" in page
    assert f"results/{path.stem}.json" in page


def test_the_figures_on_the_page_are_the_recorded_ones(tables: dict[str, Any]) -> None:
    """No figure is typed: where this fails, run ``python benchmarks/tables.py``."""
    page = PAGE.read_text()
    assert page == tables["filled"](page)


def test_every_benchmark_has_its_question_on_the_page() -> None:
    """What can be run stands under a heading that asks something."""
    scripts = [path for path in HERE.glob("*.py") if '__name__ == "__main__"' in path.read_text()]
    headings = [line for line in PAGE.read_text().splitlines() if line.startswith("## ")]
    asked = {name for line in headings if "?" in line for name in [line.partition("`")[2].strip("`")]}
    assert {path.name for path in scripts if path.stem not in SERVERS | {"tables"}} == asked
