"""A provider on loopback whose keys are in the environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("mcp")

from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.serve.mcp_server.serving import shop


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """Run the scripted models of the demonstration."""
    with running_simulator(Simulator(DEMO_MODELS)) as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "simulated-key")
        yield running


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a copy of the example code base."""
    return shop(tmp_path)
