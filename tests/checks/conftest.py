"""A workspace with a secret beside it, and what a check is given of the work in it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sunwell.core.check import Checking
from sunwell.core.secrets import Secrets

CANARY = "canary-5f1d"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty workspace; the folder around it holds a canary that no check may reach."""
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "canary.txt").write_text(CANARY)
    root = tmp_path / "work"
    root.mkdir()
    return root


@pytest.fixture
def checking(folder: Path) -> Callable[..., Checking]:
    """Return what a check is given; commands run without a sandbox unless a test says otherwise."""

    def make(**given: Any) -> Checking:
        known = {"task": "t", "answer": "a", "workspace": folder, "sandbox": "off", "secrets": Secrets()}
        return Checking(**{**known, **given})

    return make
