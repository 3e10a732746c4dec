"""The page on compatibility says what the project's own files and code say.

``python tests/test_compatibility.py`` writes the table of packages anew.
"""

import re
import tomllib
from pathlib import Path

import pytest
from mcp_types.version import SUPPORTED_PROTOCOL_VERSIONS
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sunwell.adapters.otel.genai_registry import VERSION as CONVENTIONS
from sunwell.journal.codec import FORMAT as JOURNAL
from sunwell.memory.outcome_store import FORMAT as OUTCOMES
from sunwell.report.page.page_data import FORMAT as PAGE_DATA

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "compatibility.md"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CONTRIBUTORS = {"dev", "docs"}
BEFORE, AFTER = "<!-- from here on held by tests/test_compatibility.py -->", "<!-- up to here -->"


def pinned() -> dict[str, str]:
    """Return the versions with which the suite is run."""
    text = (ROOT / "requirements" / "dev.txt").read_text()
    found = re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE)
    return {canonicalize_name(name): version for name, version in found}


def table() -> str:
    """Return the table of packages as the page has it."""
    versions, extras = pinned(), PROJECT["optional-dependencies"]
    groups = {"": PROJECT["dependencies"], **{name: extras[name] for name in sorted(extras)}}
    lines = ["| extra | package | bounds | tested |", "| --- | --- | --- | --- |"]
    for extra, listed in groups.items():
        for wanted in map(Requirement, listed if extra not in CONTRIBUTORS else ()):
            first, *rest = sorted(map(str, wanted.specifier), reverse=True)
            bounds = ", ".join([first, *rest])
            tested = versions.get(canonicalize_name(wanted.name), "installed by the check of a release")
            lines.append(f"| {extra and f'`{extra}`'} | `{wanted.name}` | {bounds} | {tested} |")
    return "\n".join(lines)


def rows() -> dict[str, list[str]]:
    """Return the cells of each row of the page, by the first cell."""
    lines = [line.strip("| ").split(" | ") for line in PAGE.read_text().splitlines() if line.startswith("| ")]
    return {cells[0]: cells[1:] for cells in lines}


def test_packages_are_those_of_the_project() -> None:
    """Each bound and each version with which the suite runs; ``python`` this file writes them again."""
    text = PAGE.read_text()
    assert text.partition(BEFORE)[2].partition(AFTER)[0].strip() == table()


def test_pythons_are_those_of_the_project_and_its_workflow() -> None:
    """The oldest one is required, and each of the others is a classifier and runs in the workflow."""
    supported, tested = rows()["Python"]
    assert PROJECT["requires-python"] == f">={supported.split()[0]}"
    workflow = (ROOT / ".github" / "workflows" / "ci.yml").read_text()
    matrix = re.search(r"python: \[(.*)\]", workflow)
    assert matrix is not None
    listed = re.findall(r"3\.\d+", matrix[1])
    assert listed == [line.split()[-1] for line in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", line)]
    assert set(re.findall(r"3\.\d+", tested)) == set(listed)


@pytest.mark.parametrize(
    ("file", "version"),
    [
        ("journal of a run", "{}.{}".format(*JOURNAL)),
        ("outcomes", str(OUTCOMES)),
        ("data in a report page", str(PAGE_DATA)),
    ],
)
def test_formats_are_those_that_are_written(file: str, version: str) -> None:
    """A format that is raised is told here."""
    assert rows()[file][0] == version


def test_protocols_are_those_of_the_packages() -> None:
    """The versions of MCP that the package knows, and the conventions whose names are used."""
    spoken = rows()["MCP, both directions"][0].partition(";")[0]
    assert spoken.split(", ") == list(SUPPORTED_PROTOCOL_VERSIONS)
    assert f"generative AI {CONVENTIONS}," in rows()["OpenTelemetry"][0]


if __name__ == "__main__":
    head, _, rest = PAGE.read_text().partition(BEFORE)
    PAGE.write_text(f"{head}{BEFORE}\n\n{table()}\n\n{AFTER}{rest.partition(AFTER)[2]}")
