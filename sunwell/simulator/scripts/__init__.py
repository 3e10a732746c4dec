"""Scripted models: pure functions of what they are asked."""

from sunwell.simulator.scripts.scripted_roles import (
    CONVENTIONS,
    DEMO_MODELS,
    Convention,
    cheap,
    known_in,
    smart,
)
from sunwell.simulator.scripts.steady import steps

__all__ = ["CONVENTIONS", "DEMO_MODELS", "Convention", "cheap", "known_in", "smart", "steps"]
