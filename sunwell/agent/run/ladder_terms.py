"""What the ladder of a run needs to know of the place that is worked in."""

from pathlib import Path

import attrs

from sunwell.core.secrets import Secrets
from sunwell.tools.originals import Originals
from sunwell.tools.workspace import Workspace


@attrs.frozen(kw_only=True)
class LadderTerms:
    """Where a run works, where its files are kept as they were, and where outcomes are kept."""

    workspace: Workspace | None = None
    secrets: Secrets = attrs.field(factory=Secrets)
    originals: Originals | None = None
    """Where the files are kept as they were before the run; ``None``: nowhere."""
    allow_write: tuple[str, ...] = ()
    """Globs of files that may be written although other programs run them by themselves."""
    outcomes: Path | None = None
    """The file in which outcomes are kept for later runs; ``None``: nowhere."""
