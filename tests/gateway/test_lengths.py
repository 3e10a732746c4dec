"""A request that is refused for its length: figures are learned, and a shorter answer is asked for."""

import pytest

from sunwell.errors import RequestTooLong
from sunwell.events import ModelRetried
from sunwell.journal.records import Failure, Intent
from sunwell.models.prices import PriceBook
from sunwell.testing import ScriptedModel, run_virtual


def too_long(**figures: int) -> RequestTooLong:
    return RequestTooLong("haiku", "too long", **figures)


@pytest.mark.parametrize(
    ("refusal", "limit"),
    [
        pytest.param({"window_tokens": 8_192, "input_tokens": 38}, 2_048, id="small-window"),
        pytest.param({"window_tokens": 8_192, "input_tokens": 7_000}, 1_192, id="what-is-left"),
        pytest.param({"window_tokens": 8_192}, 2_048, id="window-alone"),
        pytest.param({"output_limit_tokens": 4_096}, 4_096, id="limit-of-answers"),
    ],
)
def test_a_shorter_answer_is_asked_for_at_once(open_door, refusal, limit) -> None:
    """The same question fits with a lower limit, and no wait helps."""
    door = open_door()
    model = ScriptedModel("haiku", [too_long(**refusal), "Yes."])
    assert run_virtual(door.ask(model, max_output_tokens=None)).text == "Yes."
    assert [request.max_output_tokens for request in model.calls] == [8_192, limit]
    (retried,) = door.told(ModelRetried)
    assert retried.wait_seconds == 0
    assert door.gateway.tally.bill("run").uncertain_usd == 0


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param({"window_tokens": 8_192, "input_tokens": 9_000}, id="prompt-alone"),
        pytest.param({"window_tokens": 8_192, "input_tokens": 8_000}, id="too-little-left"),
        pytest.param({"window_tokens": 200_000}, id="as-large-as-thought"),
        pytest.param({}, id="no-figures"),
    ],
)
def test_a_prompt_that_is_too_long_is_not_asked_again_by_itself(open_door, refusal) -> None:
    """Who asks must shorten it."""
    door, model = open_door(), ScriptedModel("haiku", [too_long(**refusal)])
    with pytest.raises(RequestTooLong):
        run_virtual(door.ask(model, max_output_tokens=None))
    model.assert_finished()


def test_what_was_learned_holds_for_later_calls(open_door) -> None:
    """Siblings on the same model are not refused again."""
    prices = PriceBook()
    model = ScriptedModel("haiku", [too_long(window_tokens=8_192, input_tokens=38), "Yes.", "Yes."])
    run_virtual(open_door(prices=prices).ask(model, max_output_tokens=None))
    run_virtual(open_door(prices=prices).ask(model, max_output_tokens=None))
    assert model.calls[-1].max_output_tokens == 2_048
    assert prices.window_tokens(model) == 8_192


def test_the_shorter_question_takes_the_place_of_the_refused_one(open_door) -> None:
    """A resume that asks the shorter one at once finds its answer."""
    door = open_door()
    model = ScriptedModel("haiku", [too_long(window_tokens=8_192, input_tokens=9_000), "Yes."])
    with pytest.raises(RequestTooLong):
        run_virtual(door.ask(model, max_output_tokens=None))
    run_virtual(door.ask(model, max_output_tokens=None))
    records = door.records
    assert [(one.number, one.attempt) for one in records if isinstance(one, Intent)] == [(0, 0), (0, 1)]
    assert [one.may_be_billed for one in records if isinstance(one, Failure)] == [False]
