"""The pin: at and below a worker's span nothing runs on another model than the one named for it."""

import pytest

from sunwell.budget import Budget
from sunwell.core import Span
from sunwell.errors import PinError
from sunwell.testing import ScriptedModel, run_virtual

WORKER = Span("run").worker("work")


@pytest.mark.parametrize(
    "span",
    [
        pytest.param(WORKER, id="worker"),
        pytest.param(WORKER.child("closing-3"), id="closing"),
        pytest.param(WORKER.worker("a"), id="grandchild"),
        pytest.param(WORKER.worker("a").worker("b").child("check"), id="three-below"),
    ],
)
def test_another_model_is_an_error_at_any_depth_and_nothing_is_sent(open_door, price, span) -> None:
    """No reservation, no record, no event; the error names both models and the place."""
    door = open_door(Budget(usd=1))
    cheap, dear = ScriptedModel("haiku", ["Yes."], price), ScriptedModel("opus", [], price)
    door.gateway.pin(WORKER, cheap)
    with pytest.raises(PinError) as caught:
        run_virtual(door.ask(dear, span=span))
    assert (caught.value.named, caught.value.asked, caught.value.span) == ("haiku", "opus", span.path)
    assert (dear.calls, door.records, door.events, door.used.calls) == ([], [], [], 0)
    assert run_virtual(door.ask(cheap, span=span)).text == "Yes."


@pytest.mark.parametrize(
    "span",
    [
        pytest.param(Span("run"), id="above"),
        pytest.param(Span("run").child("lens"), id="beside"),
        pytest.param(Span("run/workshop"), id="a-name-that-begins-alike"),
    ],
)
def test_elsewhere_any_model_may_be_asked(open_door, price, span) -> None:
    """What goes up to the parent's side is the parent's."""
    door = open_door()
    door.gateway.pin(WORKER, ScriptedModel("haiku", []))
    assert run_virtual(door.ask(ScriptedModel("opus", ["Yes."], price), span=span)).text == "Yes."


@pytest.mark.parametrize(
    "span", [pytest.param(WORKER, id="same"), pytest.param(WORKER.worker("a"), id="below")]
)
def test_a_pin_is_not_moved_to_another_model(open_door, span) -> None:
    """Neither a second pin nor one further down lets another model in."""
    door = open_door()
    door.gateway.pin(WORKER, ScriptedModel("haiku", []))
    with pytest.raises(PinError):
        door.gateway.pin(span, ScriptedModel("opus", []))
    door.gateway.pin(span, ScriptedModel("haiku", []))
    with pytest.raises(PinError):
        run_virtual(door.ask(ScriptedModel("opus", []), span=span))


def test_a_recorded_answer_of_another_model_is_no_way_around_it(open_door) -> None:
    """The pin is looked at before the journal."""
    door = open_door()
    dear = ScriptedModel("opus", ["Yes."])
    run_virtual(door.ask(dear, span=WORKER))
    resumed = open_door(journal=door.gateway.journal, accept_changes=True)
    resumed.gateway.pin(WORKER, ScriptedModel("haiku", []))
    with pytest.raises(PinError):
        run_virtual(resumed.ask(dear, span=WORKER))
