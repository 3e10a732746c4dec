"""What the ladder of a run needs to know of the place that is worked in."""

from collections.abc import Sequence
from typing import Protocol

import attrs

from sunwell.core.secrets import Secrets
from sunwell.memory.outcomes import KnownOutcomes, RungOutcome
from sunwell.tools.originals import Originals
from sunwell.tools.workspace import Workspace


class OutcomeStore(Protocol):
    """Keeps outcomes of earlier runs. It never fails a run: what it cannot read or write is left out."""

    def known(self) -> KnownOutcomes:
        """Return the outcomes so far."""
        ...

    def record(self, outcomes: Sequence[RungOutcome]) -> None:
        """Keep *outcomes* for later runs."""
        ...


@attrs.frozen(kw_only=True)
class LadderTerms:
    """Where a run works, where its files are kept as they were, and where outcomes are kept."""

    workspace: Workspace | None = None
    secrets: Secrets = attrs.field(factory=Secrets)
    originals: Originals | None = None
    """Where the files are kept as they were before the run; ``None``: nowhere."""
    outcomes: OutcomeStore | None = None
    """Where outcomes are kept for later runs; ``None``: nowhere."""
