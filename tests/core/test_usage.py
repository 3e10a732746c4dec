"""Tokens of calls: what is part of what, and what a sum is."""

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sunwell.core import Usage

FIELDS = [field.name for field in attrs.fields(Usage)]
usages = st.builds(Usage, *[st.integers(0, 10**12)] * len(FIELDS))


@pytest.mark.parametrize("field", FIELDS)
def test_a_count_is_not_negative(field):
    """Less than no tokens is refused, with the name of the count; none is fine."""
    assert getattr(Usage(**{field: 0}), field) == 0
    with pytest.raises(ValueError, match=f"{field} must be 0 or more, got -1"):
        Usage(**{field: -1})


@pytest.mark.parametrize(
    ("usage", "uncached"),
    [
        pytest.param(Usage(10, 5), 10, id="no-cache"),
        pytest.param(Usage(10, 5, 2, 3, 4), 1, id="one-token-left"),
        pytest.param(Usage(10, 5, 3, 3, 4), 0, id="all-cached"),
        pytest.param(Usage(10, 5, 4, 3, 4), 0, id="more-than-all"),
    ],
)
def test_cached_tokens_are_part_of_the_input(usage, uncached):
    """Input includes what was read and written; a provider that reports more cached than input gives 0."""
    assert usage.uncached_input_tokens == uncached


def test_reasoning_is_part_of_the_output():
    """The total is input and output: reasoning and cached tokens are not added again."""
    assert Usage(10, 5, 2, 3, 4, 5).total_tokens == 15


@given(st.lists(usages))
def test_a_sum_adds_each_count(parts):
    """Usage of a whole tree is the sum of its nodes', count by count, in any order."""
    total = sum(parts, Usage())
    assert attrs.astuple(total) == tuple(sum(getattr(part, name) for part in parts) for name in FIELDS)
    assert sum(reversed(parts), Usage()) == total
    assert total.total_tokens == sum(part.total_tokens for part in parts)


def test_only_usage_adds_to_usage():
    """Unknown usage is no usage: adding ``None`` is an error, not zero."""
    with pytest.raises(TypeError):
        Usage(1, 1) + None  # type: ignore[operator]
