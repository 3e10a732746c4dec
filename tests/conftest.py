"""What every test shares: no network but loopback, a fresh registry, recorded events."""

import ipaddress
import os
import sys
from collections.abc import Callable, Iterator

import pytest
from blinker import NamedSignal
from hypothesis import HealthCheck, settings

from sunwell.events import Event
from sunwell.models.registry import ModelRegistry

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

_KEYS = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "ANTHROPIC_BASE_URL", "OPENAI_BASE_URL")

# Programs that tests start find the byte code of those before, also where the developer's own leave none.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what may take longest, so that no worker is left alone with it at the end."""
    items.sort(key=_longest_seconds, reverse=True)


def _longest_seconds(item: pytest.Item) -> float:
    limit = item.get_closest_marker("timeout")
    return limit.args[0] if limit else 0


def _refuse_the_network(event: str, arguments: tuple[object, ...]) -> None:
    """Fail any connection that leaves the machine: a test that needs it is no test of this suite."""
    if event != "socket.connect" or _network["allowed"]:
        return
    address = arguments[1]
    if not isinstance(address, tuple):
        return  # a socket of this machine's file system
    host = str(address[0])
    try:
        local = ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = host == "localhost"
    if not local:
        raise RuntimeError(f"a test connects to {host}: only loopback is allowed")


_network = {"allowed": False}
sys.addaudithook(_refuse_the_network)


@pytest.fixture(autouse=True)
def _no_keys(request: pytest.FixtureRequest) -> Iterator[None]:
    """Keep the developer's own keys and addresses out of every test but the live ones."""
    if request.node.get_closest_marker("live"):
        _network["allowed"] = True
        yield
        _network["allowed"] = False
        return
    before = dict(os.environ)
    for name in _KEYS:
        os.environ.pop(name, None)
    yield
    if os.environ != before:  # what a test has set is gone with it: their order must not matter
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def registry() -> ModelRegistry:
    """Return a registry that nobody else has touched."""
    return ModelRegistry()


@pytest.fixture
def recorded() -> Iterator[Callable[..., list[Event]]]:
    """Return a function that connects to signals and gives the list of what they carry."""
    connected: list[tuple[NamedSignal, Callable[..., None]]] = []

    def record(*signals: NamedSignal) -> list[Event]:
        events: list[Event] = []

        def receive(_: object, event: Event) -> None:
            events.append(event)

        for signal in signals:
            signal.connect(receive, weak=False)
            connected.append((signal, receive))
        return events

    yield record
    for signal, receive in connected:
        signal.disconnect(receive)
