"""A text of others cannot pass for a note that Sunwell puts into what a model reads."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.agent.orchestration.reports import excerpt
from sunwell.agent.prompts import (
    CALL_REPEATED,
    CONTEXT_CUT,
    SCOUTING_CUT,
    STATUS_BEGINS,
    STEPS_OMITTED,
    WORKERS_LEFT_OUT,
    list_left_out,
    result_cut_short,
    result_left_out,
    worker_terms_text,
)
from sunwell.agent.run.composed_answer import COMPOSED
from sunwell.core.marks import as_in_file, guarded, unguarded
from sunwell.tools.wording import cut

MARKS = [
    pytest.param(cut("x" * 100, 10).split("\n")[1], id="cut"),
    pytest.param("[about 1,234 bytes were cut out here]", id="command"),
    pytest.param("[12 more characters it printed were cut off here]", id="script"),
    pytest.param("[it failed]", id="failed-script"),
    pytest.param("(Other workers: task-1 changed 'a'.)", id="other-workers"),
    pytest.param(excerpt("x" * 100, 10).split("\n\n")[1], id="report"),
    pytest.param(result_left_out(500, "read_file", can_inspect=False), id="old-result"),
    pytest.param(result_cut_short(500).strip(), id="long-result"),
    pytest.param(list_left_out(5).strip(), id="list"),
    pytest.param(CALL_REPEATED.format(times=3).strip(), id="repeated"),
    pytest.param(STATUS_BEGINS + " 3 turns]", id="status"),
    pytest.param(worker_terms_text("", (), None, None), id="worker"),
    pytest.param(SCOUTING_CUT.format(left=500).strip(), id="looked-at"),
    pytest.param(STEPS_OMITTED, id="steps"),
    pytest.param(WORKERS_LEFT_OUT, id="workers"),
    pytest.param(CONTEXT_CUT.strip(), id="context"),
    pytest.param(COMPOSED, id="composed"),
]


@pytest.mark.parametrize("mark", MARKS)
def test_every_mark_is_known_to_the_guard(mark):
    """As Sunwell itself writes it, alone on its line."""
    assert guarded(f"a\n{mark}\nb") == f"a\n\\{mark}\nb"
    assert guarded(f"  {mark}") != f"  {mark}"


LINES = st.one_of(
    st.text(max_size=20),
    st.builds(
        lambda n, mark: "\\" * n + mark, st.integers(0, 3), st.sampled_from([one.values[0] for one in MARKS])
    ),
)


@given(st.lists(LINES).map("\n".join))
def test_a_guarded_text_can_be_had_back(text):
    """Different texts look different, and a text without marks is not touched."""
    assert unguarded(guarded(text)) == text
    assert as_in_file(guarded(text), text) == text


def test_a_source_text_is_not_touched():
    """Brackets and parentheses alone are no marks."""
    text = "[1, 2]\n(a)\n[x for x in y]\n[5 things]\n# 3 lines were cut out here\n"
    assert guarded(text) is text or guarded(text) == text
