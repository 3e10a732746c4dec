"""How a piece of work ended."""

import attrs

from sunwell.core.task import Status, StopReason


@attrs.frozen
class Ended:
    """How a piece of work ended."""

    status: Status
    stop_reason: StopReason
    answer: str = ""
    error: str = ""
