"""SDKs in memory, and a workspace."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.adapters.telemetry_sdk import Telemetry

SHOP = Path(__file__).parents[2] / "examples" / "shop"


@pytest.fixture(autouse=True)
def _contexts_are_left_as_they_were_entered(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail if OpenTelemetry complains of a context that was left elsewhere; it only logs that."""
    yield
    said = [
        one.getMessage() for one in caplog.get_records("call") if one.name.startswith("opentelemetry.context")
    ]
    assert said == []


@pytest.fixture
def telemetry() -> Telemetry:
    """Return an SDK in memory that nothing is told yet."""
    return Telemetry()


@pytest.fixture
def traced(telemetry: Telemetry) -> Iterator[Telemetry]:
    """Return an SDK in memory that is told of all runs of the test."""
    with telemetry.instrument():
        yield telemetry


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """Return a copy of the example shop."""
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))
