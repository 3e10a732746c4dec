"""Names that stand for current models, and models that their providers take out of service."""

from collections.abc import Mapping
from types import MappingProxyType

import attrs

from sunwell.models.references import parse_reference, provider_of, spelled_alike

ALIASES_DATE = "2026-11-21"
"""ISO day on which both tables were last brought up to date."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "opus": "anthropic/claude-opus-5-5",
        "sonnet": "anthropic/claude-sonnet-5-5",
        "haiku": "anthropic/claude-haiku-5-5",
        "anthropic-smart": "anthropic/claude-opus-5-5",
        "anthropic-cheap": "anthropic/claude-haiku-5-5",
        "openai-smart": "openai/gpt-6.1-sol",
        "openai-cheap": "openai/gpt-6-luna",
    }
)
"""What each built-in alias stands for, as ``provider/id``. A registered name goes before an alias."""

DEFAULT_SMART_MODEL = "opus"
"""What thinks where nobody says which model does."""


@attrs.frozen
class Retirement:
    """A model that its provider no longer serves, or stops serving on a day that is known."""

    model_id: str
    date: str
    """ISO day of the end."""
    successor: str
    """Id of a current model of the same provider and class."""

    @property
    def sentence(self) -> str:
        """What a user should know, true before and after the day."""
        return (
            f"{self.model_id} is out of service from {self.date} on; "
            f"it is asked all the same, and its successor is {self.successor}"
        )


_RETIREMENTS = {
    retirement.model_id: retirement
    for retirement in (
        Retirement("claude-3-opus-20240229", "2026-01-05", "claude-opus-5-5"),
        Retirement("claude-3-haiku-20240307", "2026-04-20", "claude-haiku-5-5"),
        Retirement("gpt-4o", "2027-01-14", "gpt-6.1-sol"),
        Retirement("gpt-4o-mini", "2027-01-14", "gpt-6-luna"),
    )
}


def retirement_of(model_id: str) -> Retirement | None:
    """Return when *model_id* ends and what follows it, or ``None`` where no end is known.

    The id counts as its maker serves it, bare or as ``provider/id``; another seller of the same
    model may keep it longer. It is asked all the same: telling the user is the caller's part.
    """
    reference = parse_reference(model_id)
    if reference is None or reference.provider != provider_of(reference.model_id):
        return None
    return _RETIREMENTS.get(spelled_alike(reference.model_id))
