"""A workspace whose file is wrong at the beginning."""

from pathlib import Path

import pytest


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    """Return a folder with the file that the task is about."""
    (tmp_path / "answer.txt").write_text("0\n")
    return tmp_path
