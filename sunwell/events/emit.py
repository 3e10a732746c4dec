"""Sends events. A failing observer is caught only here."""

import logging
from collections.abc import Callable
from contextvars import ContextVar

from blinker import NamedSignal

from sunwell.events.payloads import Event

log = logging.getLogger("sunwell.events")

Emit = Callable[[NamedSignal, Event], None]
"""The function that upper layers call to send an event."""


_RUN_ID: ContextVar[str] = ContextVar("run_id", default="")


def emit(signal: NamedSignal, sender: object, event: Event, run_id: str = "") -> None:
    """Send the event to every receiver of *signal*; an error in a receiver is logged, never raised.

    Receivers are called as ``receiver(sender, event=event)``; :func:`run_of_event` tells them *run_id*.
    """
    if signal.is_muted:
        return
    token = _RUN_ID.set(run_id)
    try:
        for receiver in signal.receivers_for(sender):
            try:
                receiver(sender, event=event)
            except Exception:
                log.exception("receiver %r failed on %s", receiver, signal.name)
    finally:
        _RUN_ID.reset(token)


def run_of_event() -> str:
    """Return the id of the run whose event a receiver is being told of; empty outside a receiver.

    One loop may carry out several runs at once, so the sender does not tell them apart.
    """
    return _RUN_ID.get()


def silent(signal: NamedSignal, event: Event) -> None:
    """Send nothing."""
