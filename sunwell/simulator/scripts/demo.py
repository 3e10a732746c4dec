"""Which scripted model answers to which id."""

from collections.abc import Mapping
from types import MappingProxyType

from sunwell.simulator.script import Script
from sunwell.simulator.scripts.roles import cheap, smart

DEMO_MODELS: Mapping[str, Script] = MappingProxyType(
    {
        "claude-opus-5-5": smart,
        "claude-sonnet-5-5": smart,
        "gpt-6.1-sol": smart,
        "claude-haiku-5-5": cheap,
        "gpt-6-luna": cheap,
    }
)
"""The scripts of the demonstration under the ids of real models. None of these models is asked."""
