"""What was made of objects is found again by the same objects."""

from sunwell.core.kept import kept_by_identity


def test_it_is_made_once_for_the_same_objects_and_equal_values() -> None:
    """An equal object that is another one, and another value, have it made anew."""
    made: list[tuple[list[int], str]] = []

    @kept_by_identity
    def both(one: list[int], *, name: str) -> int:
        made.append((one, name))
        return len(made)

    first, other = [1], [1]
    assert [both(first, name="a"), both(first, name="a"), both(other, name="a")] == [1, 1, 2]
    assert [both(first, name="b"), both(first, name="a"), both(other, name="a")] == [3, 1, 2]


def test_nothing_is_found_by_the_number_of_an_object_that_is_gone() -> None:
    """What is kept holds its objects, so thousands of short-lived ones are each told apart."""

    @kept_by_identity
    def total(numbers: list[int]) -> int:
        return sum(numbers)

    assert [total([number]) for number in range(2_000)] == list(range(2_000))
