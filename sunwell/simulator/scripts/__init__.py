"""Scripted models: pure functions of what they are asked."""

from sunwell.simulator.scripts.conventions import CONVENTIONS, Convention, known_in
from sunwell.simulator.scripts.demo import DEMO_MODELS
from sunwell.simulator.scripts.roles import cheap, smart
from sunwell.simulator.scripts.steady import steps

__all__ = ["CONVENTIONS", "DEMO_MODELS", "Convention", "cheap", "known_in", "smart", "steps"]
