"""Observers cannot hurt."""

import logging

import pytest
from blinker import Namespace

from sunwell.events import Event, Warned, emit
from sunwell.events import signals as all_signals


def test_a_broken_receiver_is_logged_and_the_next_one_still_told(caplog: pytest.LogCaptureFixture) -> None:
    """One receiver that raises stops neither the sender nor its neighbours."""
    signal = Namespace().signal("tested")
    seen: list[Event] = []

    def broken(_: object, event: Event) -> None:
        raise ValueError("observer's own bug")

    def sound(_: object, event: Event) -> None:
        seen.append(event)

    signal.connect(broken, weak=False)
    signal.connect(sound, weak=False)
    with caplog.at_level(logging.ERROR):
        emit(signal, "sender", Warned("look"))
    assert seen == [Warned("look")]
    assert "tested" in caplog.text


def test_every_signal_is_listed_once() -> None:
    """No two constants share a signal."""
    signals = [getattr(all_signals, name) for name in all_signals.__all__]
    assert len({id(signal) for signal in signals}) == len(signals) == len({signal.name for signal in signals})
