"""What is told of the test of a lens, and that nobody else's text passes for it."""

from decimal import Decimal

import pytest

from sunwell.core.marks import guarded_from_report
from sunwell.core.verdict import LensTest, lens_test_fields
from sunwell.report.lens_test_text import lens_test_lines, lens_test_sentence

HARMS = LensTest("harms", "", True, 4, 0, 4, 0, Decimal("0.0012"), 36)
CASES = {
    HARMS: "tested on 4 items: better in 0, worse in 4; it harms, so it is withheld from 36 items; "
    "4 extra runs, $0.001200",
    LensTest("helps", "", False, 8, 3, 1, 0, Decimal("0.01")): "tested on 8 items: better in 3, worse in 1; "
    "it helps; 8 extra runs, $0.01",
    LensTest("no harm", "", False, 20, 2, 1, 0, Decimal("0.02")): "tested on 20 items: better in 2, "
    "worse in 1; it does no harm; 20 extra runs, $0.02",
    LensTest("no gain", "", True, 20, 1, 1, 2, Decimal("0.02"), 1): "tested on 20 items: better in 1, "
    "worse in 1, unknown in 2; it is no gain and costs more, so it is withheld from 1 item; 20 extra runs, "
    "$0.02",
    LensTest("undecided", "near the cap", False, 4, 1, 1, 0, None): "tested on 4 items: better in 1, "
    "worse in 1; undecided (near the cap); 4 extra runs, unknown",
    LensTest("not tested", "no item has a check"): "not tested: no item has a check",
}


@pytest.mark.parametrize(("test", "said"), CASES.items(), ids=[test.finding for test in CASES])
def test_the_sentence_has_evidence_and_cost(test: LensTest, said: str) -> None:
    """Or says why there is none."""
    assert lens_test_sentence(test) == said
    assert [line.strip() for line in lens_test_lines(test)] == [said]


@pytest.mark.parametrize("test", CASES, ids=[test.finding for test in CASES])
def test_no_answer_can_say_the_same(test: LensTest) -> None:
    """A line of an answer that looks like it gets a backslash, be it of the report or of the run's lines."""
    for line in (*lens_test_lines(test), f"lens {lens_test_sentence(test)}"):
        assert guarded_from_report(line) == f"\\{line}"
    for line in ("task-3 without the lens: check passed: is_right", "task-3: check failed: is_right"):
        assert guarded_from_report(line) == f"\\{line}"


def test_without_a_lens_nothing_is_told() -> None:
    """Neither as text nor as JSON."""
    assert list(lens_test_lines(None)) == []
    assert lens_test_fields(None) is None


def test_amounts_have_all_their_digits_in_json() -> None:
    """And what is unknown or empty is null."""
    fields = lens_test_fields(HARMS)
    assert fields is not None
    assert (fields["extra_usd"], fields["reason"], fields["finding"]) == ("0.0012", None, "harms")


def test_the_evidence_is_what_a_lens_file_keeps() -> None:
    """Without amounts: these are of the run."""
    assert HARMS.evidence == "harms: better in 0, worse in 4 of 4 pairs"
    assert LensTest("not tested", "it was switched off").evidence == "not tested: it was switched off"
