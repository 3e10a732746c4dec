"""The public place of :class:`RunOptions` (RFC-137); it is defined in ``sunwell.context.options``."""

from sunwell.context.options import RunOptions

__all__ = ["RunOptions"]
