"""What a run is about: options, session, and what of a workspace a smart model is shown."""

from sunwell.context.options import RunOptions
from sunwell.context.session import SessionContext

__all__ = ["RunOptions", "SessionContext"]
