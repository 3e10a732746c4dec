"""The conventions of the example code base, as the scripted models know or miss them."""

import attrs


@attrs.frozen
class Convention:
    """One rule of ``examples/shop/CONVENTIONS.md``.

    A scripted model has read the rule where ``key`` occurs in what it was sent, whatever the case
    and the line breaks. ``key`` stands in the rule itself and in ``item``, and in no other file of
    the example.
    """

    slug: str
    """Short name; the example's tests of the rule begin with ``test_`` and this."""
    key: str
    part: str
    """The part of a lens in which a smart model writes the rule."""
    item: str
    """The rule as a smart model writes it into a lens."""


CONVENTIONS = (
    Convention(
        "not_found",
        "an unknown id raises NotFound",
        "constraints",
        "An unknown id raises NotFound in read, change and delete; a deleted record counts as unknown. "
        "Never answer with an empty body instead.",
    ),
    Convention(
        "paging",
        "capped at 100",
        "patterns",
        "Page every list: limit is 20 unless given and capped at 100, offset is 0 unless given; the body "
        "holds items, total, limit and offset.",
    ),
    Convention(
        "unknown_fields",
        "unknown fields is refused with 422",
        "constraints",
        "A body with unknown fields is refused with 422, on creation and on change.",
    ),
    Convention(
        "soft_delete",
        "deletes are soft",
        "anti_patterns",
        "Removing a record from its table. Deletes are soft: set deleted_at, and leave the record out "
        "of lists.",
    ),
    Convention(
        "ids",
        "strings with the prefix of their entity",
        "patterns",
        "Ids are strings with the prefix of their entity: shop.store.new_id(Entity.PREFIX).",
    ),
    Convention(
        "clock",
        "timestamps come from the injected clock",
        "anti_patterns",
        "Calling the datetime module. Timestamps come from the injected clock: shop.clock.now().",
    ),
    Convention(
        "money",
        "money is an integer number of cents",
        "constraints",
        "Money is an integer number of cents; a fraction is refused with 422.",
    ),
)


def known_in(text: str) -> frozenset[str]:
    """Return the slugs of the conventions whose key occurs in *text*."""
    read = " ".join(text.casefold().split())
    return frozenset(rule.slug for rule in CONVENTIONS if rule.key.casefold() in read)
