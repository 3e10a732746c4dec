"""Sends events. A failing observer is caught only here."""

import logging
from collections.abc import Callable

from blinker import NamedSignal

from sunwell.events.payloads import Event

log = logging.getLogger("sunwell.events")

Emit = Callable[[NamedSignal, Event], None]
"""The function that upper layers call to send an event."""


def emit(signal: NamedSignal, sender: object, event: Event) -> None:
    """Send the event to every receiver of *signal*; an error in a receiver is logged, never raised.

    Receivers are called as ``receiver(sender, event=event)``.
    """
    if signal.is_muted:
        return
    for receiver in signal.receivers_for(sender):
        try:
            receiver(sender, event=event)
        except Exception:
            log.exception("receiver %r failed on %s", receiver, signal.name)


def silent(signal: NamedSignal, event: Event) -> None:
    """Send nothing."""
