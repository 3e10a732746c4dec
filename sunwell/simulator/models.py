"""Which models a simulator offers, and how fast they are."""

import re
from collections.abc import Mapping

import attrs

from sunwell.errors import ConfigurationError
from sunwell.simulator.echo import echo
from sunwell.simulator.prices import ModelPrice
from sunwell.simulator.script import Script

_DATE = re.compile(r"-\d{8}$")


@attrs.frozen
class SimulatedModel:
    """A script and its pace."""

    script: Script
    latency_seconds: float = 0.0
    """Time before the first byte."""
    chunk_seconds: float = 0.0
    """Time that each chunk of an answer takes."""


def offered(
    models: Mapping[str, Script | SimulatedModel] | None, prices: Mapping[str, ModelPrice]
) -> dict[str, SimulatedModel]:
    """Return the models by id; without any, every priced one echoes.

    Raises :exc:`~sunwell.errors.ConfigurationError` where a model has no price.
    """
    if models is None:
        return {name: SimulatedModel(echo) for name in prices}
    unpriced = [name for name in models if name not in prices]
    if unpriced:
        named = ", ".join(unpriced)
        raise ConfigurationError(f"the simulator has no price for {named}: give prices= for every model")
    return {
        name: model if isinstance(model, SimulatedModel) else SimulatedModel(model)
        for name, model in models.items()
    }


def offered_id(asked: str, models: Mapping[str, SimulatedModel]) -> str | None:
    """Return the id under which *asked* is offered: exact, or without the date at its end."""
    if asked in models:
        return asked
    undated = _DATE.sub("", asked)
    return undated if undated in models else None
