"""What is worked out once for an object that never changes, and kept as long as the object lives."""

import weakref
from collections.abc import Callable
from functools import update_wrapper
from typing import Any, Generic, TypeVar

Of = TypeVar("Of")
Made = TypeVar("Made")


class KeptForEach(Generic[Of, Made]):
    """A function of one object that is called once for each object: by identity, which takes no hash of it.

    The object must not change, and what is made of it must not refer to it: it would never be let go.
    """

    def __init__(self, make: Callable[[Of], Made]) -> None:
        self._make = make
        self._kept: dict[int, tuple[weakref.ref[Any], Made]] = {}
        update_wrapper(self, make)

    def __call__(self, of: Of) -> Made:
        """Return what the function returned for *of*."""
        number = id(of)
        found = self._kept.get(number)
        if found is not None and found[0]() is of:
            return found[1]
        made = self._make(of)
        self._kept[number] = (weakref.ref(of, lambda gone: self._drop(number, gone)), made)
        return made

    def _drop(self, number: int, gone: "weakref.ref[Any]") -> None:
        found = self._kept.get(number)
        if found is not None and found[0] is gone:  # another object may have got the number meanwhile
            del self._kept[number]
