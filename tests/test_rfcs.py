"""The decisions are listed, and what is called implemented is held by tests that exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "rfcs"
INDEX = (FOLDER / "README.md").read_text()
RFCS = sorted(path for path in FOLDER.glob("*.md") if re.match(r"\d{4}-", path.name))
HEADINGS = ("Problem", "Decision", "Alternatives", "Drawbacks", "Validation", "Open questions")


def status_of(path: Path) -> str:
    """Return what an RFC says of itself."""
    found = re.search(
        r"^Status: ([^·\n]+) · Created \d{4}-\d\d-\d\d · Authors: \S", path.read_text(), re.MULTILINE
    )
    assert found, f"{path.name} has no line with status, day and authors"
    return found[1].strip()


@pytest.mark.parametrize("path", RFCS, ids=lambda path: path.stem)
def test_an_rfc_stands_in_the_index_as_it_is(path: Path) -> None:
    """Its number, its file and its status, once."""
    rows = [line for line in INDEX.splitlines() if f"]({path.name})" in line]
    assert len(rows) == 1
    cells = [cell.strip() for cell in rows[0].strip("|").split("|")]
    assert cells[0] == f"[{path.name[:4]}]({path.name})"
    assert status_of(path).startswith(cells[2].partition(",")[0])
    assert path.read_text().startswith(f"# RFC-{int(path.name[:4])}: ")


def test_the_index_lists_nothing_else() -> None:
    """Every file that it names is there."""
    named = re.findall(r"\]\(([^)]+\.md)\)", INDEX)
    assert sorted(set(named)) == sorted(path.name for path in FOLDER.glob("*.md") if path.name != "README.md")


@pytest.mark.parametrize("path", RFCS, ids=lambda path: path.stem)
def test_what_is_implemented_names_its_tests(path: Path) -> None:
    """Under "Validation" stand test files and folders that exist, and are not empty."""
    text = path.read_text()
    missing = [heading for heading in HEADINGS if f"\n## {heading}\n" not in text]
    assert set(missing) <= {"Alternatives"}
    if not status_of(path).startswith("Implemented"):
        return
    validation = text.partition("\n## Validation\n")[2].partition("\n## ")[0]
    named = re.findall(r"`(tests/[\w/.]+|benchmarks/[\w/.]+)`", validation)
    assert [name for name in named if name.startswith("tests/")]
    for name in named:
        place = ROOT / name
        assert place.is_file() or list(place.glob("test_*.py")), name
