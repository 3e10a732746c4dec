"""What is worked out once for an object is found again by that object alone."""

import gc
import weakref

import attrs

from sunwell.agent.lifecycle.run_settings import KeptForEach


@attrs.frozen
class Options:
    """Something that never changes."""

    name: str


def test_each_object_is_asked_for_once_and_equal_ones_apart() -> None:
    """Identity decides: no hash is taken, and what is equal today need not be the same."""
    asked: list[str] = []

    @KeptForEach
    def length(options: Options) -> int:
        asked.append(options.name)
        return len(options.name)

    one, equal = Options("abc"), Options("abc")
    assert [length(one), length(one), length(equal), length(one)] == [3, 3, 3, 3]
    assert asked == ["abc", "abc"]


def test_nothing_is_kept_of_an_object_that_is_gone() -> None:
    """A new object with the same number is asked for anew, and nothing piles up."""
    kept = KeptForEach(lambda options: options.name.upper())
    for number in range(200):
        options = Options(f"o{number}")
        assert kept(options) == f"O{number}"
    gone = weakref.ref(options)
    del options
    gc.collect()
    assert gone() is None
    assert not kept._kept
