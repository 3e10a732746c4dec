"""Keeps what was made of objects, and finds it again by these objects themselves."""

from collections.abc import Callable, Hashable
from typing import Generic, ParamSpec, TypeVar, cast

P = ParamSpec("P")
Made = TypeVar("Made")

_MOST = 256


def kept_by_identity(make: Callable[P, Made]) -> Callable[P, Made]:
    """Return *make*, whose results are kept for the same objects by position and equal values by name.

    It suits objects that never change and that are the same from one request of a conversation to the next,
    such as its tools: it asks none of them for a hash, nor whether it equals another, which takes longer than
    all else here. An equal object that is another one only misses what is kept.
    """
    return _KeptByIdentity(make)


class _KeptByIdentity(Generic[P, Made]):
    __slots__ = ("_found", "_make")

    def __init__(self, make: Callable[P, Made]) -> None:
        self._make = make
        self._found: dict[tuple[Hashable, ...], tuple[tuple[object, ...], Made]] = {}

    def __call__(self, *objects: P.args, **values: P.kwargs) -> Made:
        key = (*map(id, objects), *cast(tuple[Hashable, ...], values.values()))
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= _MOST:
                self._found.clear()
            # With the objects: as long as they are kept, no others get their numbers.
            found = self._found[key] = (objects, self._make(*objects, **values))
        return found[1]
