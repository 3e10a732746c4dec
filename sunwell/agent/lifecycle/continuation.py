"""The conversation of an earlier run as a new one takes it over."""

import time
from collections.abc import Sequence
from typing import Any, Literal

import attrs

from sunwell.agent.lifecycle.drift import digests_of
from sunwell.agent.run.guidance import Guidance
from sunwell.core.lens import EphemeralLens
from sunwell.core.message import FileRead, Message
from sunwell.core.model import ToolSpec
from sunwell.errors import JournalError
from sunwell.journal.records import Continued
from sunwell.memory.scratchpad import ScratchpadEntry

Place = Literal["direct", "work", "orchestrator"]
GoesOn = Literal["model", "smart_model", "delegation_model", "second_model"]
"""The role of the model that goes on with a conversation."""


@attrs.frozen(kw_only=True)
class Continuation:
    """What a run goes on with: all of it is in its journal before anybody is asked."""

    run_id: str
    """The earlier run."""
    place: Place
    role: GoesOn
    system: tuple[str, ...]
    """The system prompt of the conversation."""
    messages: tuple[Message, ...]
    """All of it, with the user's next words at its end."""
    tokens_per_byte: float | None
    guidance: Guidance
    """What the system prompt was made of."""
    tools: tuple[ToolSpec, ...]
    """Tools of the earlier run, without those that hand out work."""
    surroundings: str
    lens: EphemeralLens | None
    """What it worked under."""
    files: tuple[FileRead, ...] = ()
    entries: tuple[ScratchpadEntry, ...] = ()

    def settings(self) -> dict[str, Any]:
        """Return what the settings of the new run have from the earlier one, as JSON."""
        return {"surroundings": self.surroundings, "continues": {"run_id": self.run_id}}

    def record(self, guidance: Guidance, tools: Sequence[ToolSpec]) -> Continued:
        """Return the record of it for a run with *guidance* and *tools*.

        The system prompt is kept only if the new run would send the same: then the provider's cache has it.
        """
        is_same = guidance == self.guidance and digests_of(tools) == digests_of(self.tools)
        return Continued(
            self.run_id,
            time.time(),
            self.place,
            self.role,
            self.system if is_same else (),
            self.messages,
            self.tokens_per_byte,
            self.files,
            [entry.as_json() for entry in self.entries],
        )


def earlier_entries(begun: Continued) -> tuple[ScratchpadEntry, ...]:
    """Return the scratchpad of the run whose conversation goes on.

    Raises :exc:`~sunwell.errors.JournalError` for what is no scratchpad, or no conversation.
    """
    try:
        if not begun.messages:
            raise ValueError("it has no messages")
        return tuple(ScratchpadEntry.from_json(entry) for entry in begun.entries)
    except (TypeError, ValueError, LookupError, AttributeError) as error:
        raise JournalError(
            f"the journal is damaged: the conversation that the run continues cannot be read ({error}); "
            f"continue {begun.run_id} again"
        ) from None
