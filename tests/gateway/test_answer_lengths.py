"""The length below which no answer is cut: what holds nearly all answers of a model and a purpose."""

import pytest

from sunwell.budget import Budget
from sunwell.core import Request, Usage, user
from sunwell.errors import BudgetExhausted
from sunwell.gateway.answer_lengths import AnswerLengths
from sunwell.journal.records import Intent
from sunwell.testing import ScriptedModel, completion, run_virtual


def lengths(*tokens: int, stop: str = "end") -> AnswerLengths:
    """Return what is known after answers of so many tokens."""
    made = AnswerLengths()
    for one in tokens:
        made.add("haiku", "work", completion("Yes.", usage=Usage(10, one), stop=stop))
    return made


@pytest.mark.parametrize(
    ("seen", "enough"),
    [
        pytest.param((), 1_024, id="nothing-yet"),
        pytest.param((20, 30), 1_024, id="too-few"),
        pytest.param((20, 3_000), 3_000, id="too-few-but-long"),
        pytest.param((20, 30, 40, 50), 50, id="enough"),
        pytest.param((*[100] * 95, *[9_000] * 5), 100, id="five-of-a-hundred-are-longer"),
        pytest.param((*[100] * 94, *[9_000] * 6), 9_000, id="six-are"),
    ],
)
def test_enough_is_what_held_nearly_all_answers(seen: tuple[int, ...], enough: int) -> None:
    """At the start it is what is usual for the purpose."""
    assert lengths(*seen).enough_tokens("haiku", "work") == enough


def test_an_answer_that_was_cut_would_have_been_longer() -> None:
    """Otherwise cut answers would make it right to cut the next ones."""
    assert lengths(500, 500, 500, 500, stop="length").enough_tokens("haiku", "work") == 1_000


def test_each_model_and_each_purpose_has_its_own_lengths() -> None:
    """A lens is long, a check is short."""
    known = lengths(20, 30, 40, 50)
    assert known.enough_tokens("opus", "work") == known.enough_tokens("haiku", "orchestrate") == 1_024


def ask(door, model, words: str):
    """Ask with a limit of 8,000 tokens."""
    request = Request([user(words)], max_output_tokens=8_000)
    return run_virtual(door.gateway.ask(door.span, model, request, purpose="work"))


def test_no_answer_is_cut_below_the_lengths_seen_so_far(open_door, price) -> None:
    """After answers of 2,000 tokens, room for 1,500 is none; recorded answers count after a resume."""
    lines = [completion("Yes.", usage=Usage(10, 2_000), model="haiku")] * 4
    door, model = open_door(Budget(usd="0.1")), ScriptedModel("haiku", lines, price)
    words = ["one", "two", "three", "four"]
    for one in words:
        ask(door, model, one)
    with pytest.raises(BudgetExhausted):
        ask(door, model, "five")
    for usd, granted in (("0.0965", None), ("0.1025", 2_000)):
        again = open_door(Budget(usd=usd), journal=door.gateway.journal, heed_refusals=False)
        again.gateway.ledger.restore("run", door.used)
        for one in words:
            ask(again, model, one)
        model.lines = ["Yes."]
        if granted is None:
            with pytest.raises(BudgetExhausted):
                ask(again, model, "five")
        else:
            ask(again, model, "five")
            *_, intent = (record for record in again.records if isinstance(record, Intent))
            assert granted <= intent.max_output_tokens < 8_000
