"""Makes each model once, however many threads want it at the same time."""

import threading
from collections.abc import Callable

import attrs

from sunwell.core.model import ModelProtocol
from sunwell.errors import ConfigurationError


@attrs.define(eq=False)
class Recipe:
    """A model that is made when somebody first wants it."""

    title: str
    """What the model is called where something goes wrong."""
    make: Callable[[], ModelProtocol]
    _model: ModelProtocol | None = attrs.field(default=None, init=False)
    _making: "_Making | None" = attrs.field(default=None, init=False)

    def model(self) -> ModelProtocol:
        """Return the model; the first caller makes it, and all others wait for that one.

        What *make* raises, the maker and everyone who waits get to see; the next call tries again.
        Raises :exc:`~sunwell.errors.ConfigurationError` where waiting would never end, since the
        model is needed for its own making, in this thread or by way of others.
        """
        while True:
            # One step: look whether the model is there, whether somebody makes it, whether waiting
            # for that one would close a circle, and note who makes or who waits. Otherwise two
            # threads would both make it, or each would wait for the other.
            with _LOCK:
                if self._model is not None:
                    return self._model
                making = self._making
                is_ours = making is None
                if making is None:
                    making = self._making = _Making(threading.get_ident())
                else:
                    self._refuse_circle(making)
                    _WAITING[threading.get_ident()] = making
            if is_ours:
                return self._made(making)
            made = making.outcome()
            if made is not None:
                return made

    def _refuse_circle(self, making: "_Making") -> None:
        ours = threading.get_ident()
        step: _Making | None = making
        while step is not None:
            if step.thread == ours:
                raise ConfigurationError(
                    f"the model {self.title!r} is needed for its own making; let no factory resolve itself"
                )
            step = _WAITING.get(step.thread)

    def _made(self, making: "_Making") -> ModelProtocol:
        model: ModelProtocol | None = None
        try:
            # Outside the lock: a factory may take long, and may resolve other models.
            model = checked_model(self.make(), f"the factory of {self.title!r} returned")
            return model
        except Exception as error:
            making.error = error
            raise
        finally:
            # One step: the model is there, nobody makes it any more, and nobody waits for it.
            # Otherwise a thread that was just let go would still count as waiting.
            with _LOCK:
                self._model = making.model = model
                self._making = None
                for thread in [thread for thread, wanted in _WAITING.items() if wanted is making]:
                    del _WAITING[thread]
            making.done.set()


@attrs.define(eq=False)
class _Making:
    """One attempt to make a model. With neither model nor error, the maker was interrupted."""

    thread: int
    done: threading.Event = attrs.field(factory=threading.Event, init=False)
    model: ModelProtocol | None = attrs.field(default=None, init=False)
    error: Exception | None = attrs.field(default=None, init=False)

    def outcome(self) -> ModelProtocol | None:
        try:
            self.done.wait()
        finally:
            with _LOCK:  # an interrupted wait must not be taken for one that goes on
                _WAITING.pop(threading.get_ident(), None)
        if self.error is not None:
            raise self.error
        return self.model


_LOCK = threading.Lock()
_WAITING: dict[int, _Making] = {}
"""What each thread waits for. One for the process: a circle may lead through several registries."""


def checked_model(value: object, subject: str) -> ModelProtocol:
    """Return *value* if it is a model, or raise :exc:`TypeError` with a sentence about *subject*."""
    if isinstance(value, ModelProtocol) and not isinstance(value, type):
        return value
    raise TypeError(f"{subject} {value!r}, which is no model: a model has name, complete and stream")
