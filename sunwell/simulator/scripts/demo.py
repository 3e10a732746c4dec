"""Which scripted model answers to which id."""

import re
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

_DATE = re.compile(r"-20\d\d-?\d\d-?\d\d\Z")


def find_script(model: str, scripts: Mapping[str, Script] = DEMO_MODELS) -> Script | None:
    """Return the script for an id, or for an id with a date at its end; ``None`` where there is none."""
    return scripts.get(model) or scripts.get(_DATE.sub("", model))
