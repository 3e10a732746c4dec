"""A provider on loopback whose keys are in the environment."""

from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("uvicorn")
pytest.importorskip("starlette")

from sunwell.simulator import Simulator, running_simulator
from sunwell.simulator.scripts import DEMO_MODELS
from tests.serve.endpoint.serving import shop


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """Run the scripted models of the demonstration, or those that the test names."""
    models = getattr(request, "param", DEMO_MODELS)
    with running_simulator(Simulator(models)) as running:
        monkeypatch.setenv("ANTHROPIC_BASE_URL", running.url)
        monkeypatch.setenv("ANTHROPIC_API_KEY", "simulated-key")
        yield running


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of the example code base; what is kept of conversations is kept beside it."""
    monkeypatch.setenv("SUNWELL_HOME", str(tmp_path / "home"))
    return shop(tmp_path / "serve")
