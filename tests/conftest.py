"""What every test shares: an environment of its own, no network but loopback, recorded events."""

import gc
import ipaddress
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator

import pytest
from blinker import NamedSignal
from hypothesis import HealthCheck, settings

from sunwell.events import Event
from sunwell.models.registry import ModelRegistry

# Where a test does not say how many examples it needs; ``--hypothesis-profile long`` looks at many more.
_OURS = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("suite", _OURS, max_examples=40)
settings.register_profile("long", _OURS, max_examples=500)
settings.load_profile("suite")

_KEPT = ("PATH", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "CI")
_KEPT_PREFIXES = ("PYTEST_", "COV_", "COVERAGE_")

_users = dict(os.environ)
_home = tempfile.TemporaryDirectory(prefix="sunwell-home-")


def _own_environment() -> dict[str, str]:
    """Return the environment of the tests: nothing of the user's that could change what they find.

    A list of what is kept, since nobody can list all that a user may have set. The user's folder is an
    empty one, so that no configuration lies in it.
    """
    kept = {k: v for k, v in _users.items() if k in _KEPT or k.startswith(_KEPT_PREFIXES)}
    own = {"HOME": _home.name, "LANG": "C.UTF-8", "SUNWELL_OUTCOMES": "off", "SUNWELL_LENSES": "off"}
    return {"PATH": os.defpath, **kept, **own}


# Here and not in a fixture: what is imported and collected, and every program that a test starts, sees it.
os.environ.clear()
os.environ.update(_own_environment())
os.umask(0o022)
time.tzset()
# Programs that tests start find the byte code of those before, also where the developer's own leave none.
sys.dont_write_bytecode = False


def pytest_unconfigure() -> None:
    """Remove the user's folder of the tests."""
    _home.cleanup()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what may take longest, so that no worker is left alone with it at the end."""
    items.sort(key=_longest_seconds, reverse=True)


def pytest_collection_finish() -> None:
    """Have the garbage collector leave alone what is loaded by now: it finds nothing there, each time."""
    gc.collect()
    gc.freeze()


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
def _fresh_environment(request: pytest.FixtureRequest) -> Iterator[None]:
    """Undo what a test sets in the environment; give the user's own to the live ones."""
    before = dict(os.environ)
    is_live = request.node.get_closest_marker("live") is not None
    if is_live:
        os.environ.update(_users)
        _network["allowed"] = True
    yield
    _network["allowed"] = False
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
