"""However many threads want a model at once, it is made once, and nobody waits for ever."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from sunwell.core import ModelProtocol
from sunwell.errors import ConfigurationError, ModelError
from sunwell.models.providers import Environment
from sunwell.models.registry import ModelRegistry, resolve_model
from sunwell.testing import ScriptedModel

PATIENCE_SECONDS = 20


def model(name: str = "a model") -> ScriptedModel:
    return ScriptedModel(name, [])


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Run all at once; return what each returned or raised, and fail where one never ends."""
    start = threading.Barrier(len(works))
    outcomes: list[Any] = ["never ended"] * len(works)

    def run(place: int, work: Callable[[], Any]) -> None:
        start.wait(PATIENCE_SECONDS)
        try:
            outcomes[place] = work()
        except Exception as error:
            outcomes[place] = error

    threads = [threading.Thread(target=run, args=it, daemon=True) for it in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [thread.is_alive() for thread in threads] == [False] * len(works), "dead-lock"
    return outcomes


def test_two_threads_cannot_close_a_circle_of_aliases():
    """However two aliases that stand for each other are made, one of them is refused."""
    for _ in range(50):
        alias = ModelRegistry().alias
        outcomes = in_threads(partial(alias, "a", "b"), partial(alias, "b", "a"))
        refused = [outcome for outcome in outcomes if isinstance(outcome, ConfigurationError)]
        assert len(refused) == 1


def test_sixty_four_threads_and_one_factory():
    """A factory runs once, however many threads want its model, and all get that one."""
    registry = ModelRegistry()
    made = []

    def factory() -> ModelProtocol:
        made.append(model())
        return made[-1]

    registry.register_factory("mine", factory)
    outcomes = in_threads(*[lambda: registry.get("mine")] * 64)
    assert len(made) == 1
    assert {id(got) for got in outcomes} == {id(made[0])}


def test_sixty_four_threads_and_one_provider():
    """A model behind an alias is built once, however many threads resolve it."""
    registry = ModelRegistry(Environment({"ANTHROPIC_API_KEY": "key"}))
    outcomes = in_threads(*[lambda: resolve_model("opus", registry)] * 64)
    assert [got.name for got in outcomes] == ["claude-opus-5-5"] * 64
    assert len({id(got) for got in outcomes}) == 1


def test_nobody_sees_half_a_state():
    """While names are replaced and read by 64 threads, each read gives one of the models, whole."""
    registry = ModelRegistry()
    models = [model(str(number)) for number in range(32)]
    registry.register("mine", models[0])

    def write(number: int) -> None:
        for step in range(50):
            registry.register(f"own-{number}", models[number])
            if step % 2:
                registry.register("mine", models[number])
            else:
                registry.alias("mine", f"own-{number}")

    def read() -> set[int]:
        return {id(registry.get("mine")) for _ in range(50) if registry.known()}

    writers = [lambda number=number: write(number) for number in range(32)]
    seen = in_threads(*writers, *[read] * 32)[32:]
    assert set().union(*seen) <= {id(one) for one in models}


def test_factories_run_outside_the_lock():
    """While a factory takes its time, other names can be registered and resolved."""
    registry, other = ModelRegistry(), model("other")
    began, go_on = threading.Event(), threading.Event()

    def slow() -> ModelProtocol:
        began.set()
        assert go_on.wait(PATIENCE_SECONDS)
        return model("slow")

    def meanwhile() -> ModelProtocol:
        assert began.wait(PATIENCE_SECONDS)
        registry.register("other", other)
        got = registry.get("other")
        go_on.set()
        return got

    registry.register_factory("slow", slow)
    outcomes = in_threads(lambda: registry.get("slow"), meanwhile)
    assert [got.name for got in outcomes] == ["slow", "other"]


def test_factories_that_resolve_others():
    """Factories may resolve each other's parts, in any number of threads, and each runs once."""
    registry = ModelRegistry()
    made: list[str] = []

    def layer(name: str, *below: str) -> None:
        def factory() -> ModelProtocol:
            for part in below:
                registry.get(part)
            made.append(name)
            return model(name)

        registry.register_factory(name, factory)

    layer("a", "b", "c")
    layer("b", "d")
    layer("c", "d", "b")
    layer("d")
    outcomes = in_threads(*[lambda name=name: registry.get(name) for name in "abcd" * 16])
    assert [got.name for got in outcomes] == list("abcd" * 16)
    assert sorted(made) == ["a", "b", "c", "d"]


def test_a_factory_that_needs_itself():
    """A factory that resolves its own name, straight or by way of another, is an error and no hang."""
    registry = ModelRegistry()
    registry.register_factory("a", lambda: registry.get("a"))
    registry.register_factory("b", lambda: registry.get("c"))
    registry.register_factory("c", lambda: registry.get("b"))
    for name in ("a", "b"):
        with pytest.raises(ConfigurationError, match=f"the model '{name}' needs this model itself"):
            registry.get(name)


def test_a_circle_across_threads_and_registries():
    """Two threads whose factories need each other's model both get the error, and neither hangs."""
    one, two = ModelRegistry(), ModelRegistry()
    both_began = threading.Barrier(2)

    def needs(other: ModelRegistry) -> ModelProtocol:
        both_began.wait(PATIENCE_SECONDS)
        return other.get("part")

    one.register_factory("part", lambda: needs(two))
    two.register_factory("part", lambda: needs(one))
    outcomes = in_threads(lambda: one.get("part"), lambda: two.get("part"))
    assert [type(outcome) for outcome in outcomes] == [ConfigurationError] * 2


def test_a_wait_that_is_over_closes_no_circle():
    """A thread that was just let go counts as waiting no more, even if it has not moved on yet."""
    for _ in range(100):
        registry, first_began = ModelRegistry(), threading.Event()

        def first(registry: ModelRegistry = registry, began: threading.Event = first_began) -> ModelProtocol:
            began.set()
            return registry.get("second")

        def second(began: threading.Event = first_began) -> ModelProtocol:
            assert began.wait(PATIENCE_SECONDS)
            return model("second")

        def both(registry: ModelRegistry = registry) -> ModelProtocol:
            registry.get("second")
            return registry.get("first")

        registry.register_factory("first", first)
        registry.register_factory("second", second)
        outcomes = in_threads(partial(registry.get, "first"), both)
        assert [got.name for got in outcomes] == ["second", "second"]


def test_a_factory_that_raises():
    """Maker and waiters get the same error; the next call tries again, and what works then is kept."""
    registry = ModelRegistry()
    tries: list[int] = []
    waiting = threading.Semaphore(0)

    def factory() -> ModelProtocol:
        tries.append(1)
        if len(tries) == 1:
            for _ in range(3):
                assert waiting.acquire(timeout=PATIENCE_SECONDS)
            raise ModelError("mine", "not today")
        return model("mine")

    def wait() -> ModelProtocol:
        waiting.release()
        return registry.get("mine")

    registry.register_factory("mine", factory)
    outcomes = in_threads(lambda: registry.get("mine"), wait, wait, wait)
    ours = registry.get("mine")
    failed = [outcome for outcome in outcomes if isinstance(outcome, ModelError)]
    assert {id(outcome) for outcome in outcomes} <= {id(failed[0]), id(ours)}
    assert registry.get("mine") is ours
    assert len(tries) == 2


def test_a_factory_that_makes_no_model():
    """What a factory returns must be a model; the sentence names the factory."""
    registry = ModelRegistry()
    registry.register_factory("mine", lambda: "claude")  # type: ignore[arg-type, return-value]
    with pytest.raises(TypeError, match="the factory of 'mine' returned 'claude'"):
        registry.get("mine")
    with pytest.raises(TypeError, match="must be callable"):
        registry.register_factory("mine", "claude")  # type: ignore[arg-type]


def test_an_interrupted_factory_is_taken_over():
    """Where the maker is interrupted (Ctrl-C), somebody who waits makes the model instead."""
    registry = ModelRegistry()
    tries: list[int] = []

    def factory() -> ModelProtocol:
        tries.append(1)
        if len(tries) == 1:
            raise KeyboardInterrupt
        return model("mine")

    registry.register_factory("mine", factory)
    with pytest.raises(KeyboardInterrupt):
        registry.get("mine")
    assert registry.get("mine").name == "mine"
